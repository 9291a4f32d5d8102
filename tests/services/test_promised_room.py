"""Control keeps the room of a promised draw while it lasts, and a draw without room is told so."""

from dataclasses import replace
from datetime import timedelta

from gateway.control.fold import DrawsPromised
from gateway.control.promised_draws import PromisedDraw
from gateway.domain.ids import CircuitId
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.services.control_loop import Cycle
from gateway.services.promised_room import BEFORE_S, SHORT_FOR_S, PromisedRoom
from tests.support.hungry_site import HungrySite, circuit
from tests.support.promise_house import VANS, House
from tests.support.virtual_time import run_virtual

NOW_S = 1_800_000_000.0
KITCHEN = Reservation(
    id="kitchen",
    place="circuit:board",
    rows=(0, 1, 2),
    envelope=(
        Stretch(from_at_s=NOW_S + 60, until_at_s=NOW_S + 660, current_ma=20_000),
        Stretch(from_at_s=NOW_S + 660, until_at_s=NOW_S + 900, current_ma=0),
    ),
    energy_wh=2_300,
    guaranteed_wh=2_300,
    confidence_ratio=1.0,
    criticality=Criticality.NORMAL,
    state=PromiseState.CONFIRMED,
    hold_until_at_s=NOW_S,
    holder="canteen",
)


class Board:
    """A 100 A board with two hungry vehicles and 40 A for them, and a desk that keeps room."""

    def __init__(self, promise: Reservation = KITCHEN) -> None:
        self.site = HungrySite((circuit("board", 100),), ("board",) * 2, base_a={"board": 40.0})
        self.promise = promise
        self.room = PromisedRoom(self._tell)
        self.told: list[tuple[PromisedDraw, ...]] = []
        self.now_s = NOW_S
        self.site.plug_in(1)
        self.site.plug_in(2)
        self.site.run(600)

    def _tell(self, draws: tuple[PromisedDraw, ...]) -> None:
        self.told.append(draws)
        self.site.learn(DrawsPromised(at_s=self.site.now_s, draws=draws))

    def run(self, seconds: int) -> dict[str, str]:
        """Let seconds pass; return which draws are not kept at the last."""
        lacking = dict[str, str]()
        for _ in range(seconds):
            self.now_s += 1.0
            cycle = Cycle(decision=self.site.step(), state=self.site.state)
            lacking = self.room.note(cycle, [self.promise], self.now_s)
        return lacking

    @property
    def charging_a(self) -> float:
        return sum(self.site.limits_a().values())


def test_room_is_made_before_the_draw_begins_and_given_back_at_its_end() -> None:
    board = Board()
    board.run(int(60 - BEFORE_S) - 1)
    before_a = board.charging_a
    board.run(int(BEFORE_S))
    at_its_beginning_a = board.charging_a
    board.site.base_a["board"] += 20.0
    board.run(590)
    while_it_flows_a = board.charging_a
    board.site.base_a["board"] -= 20.0
    board.run(200)

    assert before_a > 38
    assert 17 < at_its_beginning_a <= 20
    assert 17 < while_it_flows_a <= 20
    assert board.charging_a > 38
    assert not board.site.overclaimed
    (kept,) = board.told[0]
    assert (kept.current_ma, kept.until_s) == (
        20_000,
        board.site.now_s - (board.now_s - NOW_S - 660),
    )
    assert board.told[1:] == [()]


def test_nothing_is_kept_for_what_is_held_only_or_has_a_vehicle() -> None:
    for promise in (
        replace(KITCHEN, state=PromiseState.HELD),
        replace(KITCHEN, state=PromiseState.CANCELLED),
        replace(KITCHEN, place="CP-1/1"),
    ):
        board = Board(promise)
        board.run(100)

        assert board.told == []


def test_a_draw_without_room_for_a_minute_of_its_time_is_told_where_it_lacks() -> None:
    board = Board()
    board.site.base_a["board"] = 80.0
    # Of the set-point, 95 A, so much is left where nobody charges.
    assert board.run(60 + int(SHORT_FOR_S) - 1) == {}
    assert board.charging_a == 0

    lacking = board.run(1)

    assert lacking == {"kitchen": "circuit board was short of 5.0 A on L1 for 60 s"}
    board.site.base_a["board"] = 70.0
    assert board.run(2) == {}


def test_what_became_of_a_draw_is_whether_its_room_was_there() -> None:
    async def test() -> None:
        house = House()

        async def drawn() -> Reservation:
            need = Need(
                depart_at=house.clock.now_at() + timedelta(minutes=10),
                energy_wh=500,
                circuit=CircuitId("carpark"),
                max_power_w=5_000,
            )
            offer = house.booking.quote(need, VANS).offers[0]
            return await house.booking.confirm((await house.booking.hold(offer.id, VANS)).id, VANS)

        spoilt, kept = await drawn(), await drawn()
        why = "circuit carpark was short of 5.0 A on L1 for 60 s"
        house.booking.spoil({spoilt.id: why, "nobody's": why})
        await house.clock.sleep_s(700)
        house.booking.settle()

        assert (house.of(spoilt).state, house.of(spoilt).cause) == (PromiseState.BROKEN, why)
        assert house.of(kept).state is PromiseState.FULFILLED
        assert house.of(kept).cause == (
            "its room was kept free; what was drawn of it nobody measured"
        )

    run_virtual(test())
