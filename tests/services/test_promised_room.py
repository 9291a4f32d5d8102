"""Control keeps the room of a promised draw while it lasts, and a draw without room is told so."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.control.fold import DrawsPromised
from gateway.control.promised_draws import PromisedDraw
from gateway.domain.ids import CircuitId
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.services.base_before import NEAR_S
from gateway.services.control_loop import Cycle
from gateway.services.promised_room import SHORT_FOR_S, Lacks, PromisedRoom
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


def draw(
    name: str, *parts: tuple[int, int, float], rows: tuple[int, ...] = (0, 1, 2)
) -> Reservation:
    """Return a promised draw of parts: from and until what second, and how much."""
    envelope = tuple(
        Stretch(from_at_s=NOW_S + since, until_at_s=NOW_S + until, current_ma=int(amps * 1_000))
        for since, until, amps in parts
    )
    return replace(KITCHEN, id=name, rows=rows, envelope=envelope)


class Board:
    """A 100 A board with two hungry vehicles and 40 A for them, and a desk that keeps room.

    A load flows as `loads` says: from and until what second, on which circuit, and how much.
    """

    def __init__(
        self,
        *promises: Reservation,
        base_a: float = 40.0,
        worst_case_a: int = 50,
        loads: tuple[tuple[int, int, str, float], ...] = (),
    ) -> None:
        board = replace(circuit("board", 100), worst_case_base_ma=(worst_case_a * 1_000,) * 3)
        circuits = (board, circuit("kitchen", 50, "board"))
        self.site = HungrySite(circuits, ("board",) * 2, base_a={"board": base_a, "kitchen": 0.0})
        self.promises, self.loads, self.base_a = promises, loads, base_a
        self.room = PromisedRoom(self.room_told)
        self.told: list[Mapping[int, PromisedDraw]] = []
        self.set_back_s, self.mute_from, self.mute_until = 0.0, 0, 0
        self.second = 0
        self.peak_a = 0.0
        self.site.plug_in(1)
        self.site.plug_in(2)
        self.site.run(600)

    def room_told(self, draws: Mapping[int, PromisedDraw]) -> None:
        """Have control keep the room of draws."""
        self.told.append(draws)
        self.site.learn(DrawsPromised(at_s=self.site.now_s, draws=draws))

    def run(self, until: int) -> Lacks:
        """Let time pass until a second; return which draws lack room at the last."""
        lacks = Lacks({}, {})
        while self.second < until:
            self.second += 1
            self.site.base_a = {"board": self.base_a, "kitchen": 0.0}
            for since, ends, name, amps in self.loads:
                self.site.base_a[name] += amps if since <= self.second < ends else 0.0
            is_mute = self.mute_from <= self.second < self.mute_until
            self.site.silent_meters = {"meter-board"} if is_mute else set()
            cycle = Cycle(decision=self.site.step(), state=self.site.state)
            lacks = self.room.note(cycle, self.promises, NOW_S + self.second - self.set_back_s)
            self.promises = tuple(p for p in self.promises if p.id not in lacks.broken)
            draws_ma = (guest.draw_ma(self.site.now_s) for guest in self.site.guests.values())
            flows_a = sum(self.site.base_a.values()) + sum(draws_ma) / 1_000
            self.peak_a = max(self.peak_a, flows_a)
        return lacks

    @property
    def charging_a(self) -> float:
        return sum(self.site.limits_a().values())


def test_room_is_made_before_the_draw_begins_and_given_back_at_its_end() -> None:
    board = Board(KITCHEN, loads=((60, 650, "board", 20.0),))
    board.run(int(60 - NEAR_S) - 1)
    before_a = board.charging_a
    ends_s = board.site.now_s + 660 - board.second
    board.run(59)
    at_its_beginning_a = board.charging_a
    board.run(649)
    while_it_flows_a = board.charging_a
    board.run(850)

    assert before_a > 38
    assert 17 < at_its_beginning_a <= 20
    assert 17 < while_it_flows_a <= 20
    assert board.charging_a > 38
    assert not board.site.overclaimed
    assert {(kept.current_ma, kept.until_s) for told in board.told for kept in told.values()} == {
        (20_000, ends_s)
    }
    assert board.told[-1] == {}
    # Of what base was before it began the most counts: told anew where that rises.
    assert len(board.told) < 10


def test_nothing_is_kept_for_what_is_held_only_or_has_a_vehicle() -> None:
    for promise in (
        replace(KITCHEN, state=PromiseState.HELD),
        replace(KITCHEN, state=PromiseState.CANCELLED),
        replace(KITCHEN, place="CP-1/1"),
    ):
        board = Board(promise)
        board.run(100)

        assert board.told == []


@pytest.mark.parametrize(
    ("second", "loads", "charging_a"),
    [
        # They overlap: of 40 A the second has 12 A once the first is over.
        ((360, 1560), ((60, 660, "board", 12.0), (360, 1560, "board", 12.0)), 28),
        # One after another, and one load flows on.
        ((660, 1560), ((60, 1560, "board", 12.0),), 28),
    ],
)
def test_draws_one_after_another_are_kept_room_once(
    second: tuple[int, int], loads: tuple[tuple[int, int, str, float], ...], charging_a: float
) -> None:
    board = Board(draw("a", (60, 660, 12)), draw("b", (*second, 12)), loads=loads)
    for now in (640, 659, 900, 1550):
        board.run(now)
        if now > 700 or second[0] == 660:
            assert charging_a - 4 < board.charging_a <= charging_a
    assert not board.site.overclaimed


def test_draws_on_a_circuit_and_the_one_above_are_kept_room_once() -> None:
    above = draw("above", (200, 1500, 15))
    below = draw("below", (60, 660, 10), rows=(0, 1, 2, 3, 4, 5))
    loads = ((60, 660, "kitchen", 10.0), (200, 1500, "board", 15.0))
    board = Board(above, below, loads=loads)
    board.run(600)
    both_a = board.charging_a
    board.run(1400)

    assert 12 < both_a <= 15
    assert 20 < board.charging_a <= 25


def test_a_draw_that_dips_for_a_moment_keeps_its_room() -> None:
    board = Board(draw("a", (60, 360, 20), (360, 380, 10), (380, 900, 20)))
    for now in (350, 365, 390, 500, 880):
        board.run(now)
        assert board.charging_a <= 20


def test_a_draw_is_kept_room_to_its_end_though_the_clock_is_set_back() -> None:
    board = Board(KITCHEN)
    board.run(300)
    board.set_back_s = 200
    board.run(850)
    kept_a = board.charging_a
    board.run(1_000)

    assert kept_a <= 20
    assert board.charging_a > 38


def test_a_draw_that_is_given_up_in_its_time_is_kept_no_room_from_then_on() -> None:
    board = Board(KITCHEN)
    board.run(300)
    kept_a = board.charging_a
    board.promises = (replace(KITCHEN, state=PromiseState.CANCELLED),)
    board.run(400)

    assert kept_a <= 20
    assert board.told[-1] == {}
    assert board.charging_a > 38


def test_after_a_restart_in_its_midst_a_draw_is_kept_once_more_to_its_end() -> None:
    board = Board(KITCHEN, loads=((60, 660, "board", 20.0),))
    board.run(200)
    before_a = board.charging_a
    board.room = PromisedRoom(board.room_told)
    board.run(300)
    after_a = board.charging_a
    board.run(800)

    assert 17 < before_a <= 20
    assert after_a == 0
    assert board.told[-1] == {}
    assert board.charging_a > 38


def test_a_clock_that_wanders_by_less_than_a_second_tells_nothing_anew() -> None:
    board = Board(KITCHEN)
    for second in range(1, 200):
        board.set_back_s = 0.1 * (second % 5)
        board.run(second)

    assert 0 < len(board.told) < 10


@pytest.mark.parametrize("off", [(45, 48), (10, 40), (20, 75)])
def test_an_oven_that_is_off_for_a_while_takes_nothing_of_a_draw_s_room(
    off: tuple[int, int],
) -> None:
    # The lowest base of those seconds would be the draw's whole room, given to vehicles.
    loads = ((*off, "board", -45.0), (240, 660, "board", 45.0))
    board = Board(draw("a", (60, 660, 45)), base_a=50.0, worst_case_a=95, loads=loads)
    board.run(239)

    assert board.charging_a == 0
    assert {kept.owed_ma(50_000, 0.0) for kept in board.told[-1].values()} == {45_000}
    board.run(300)
    assert board.peak_a <= 95


def test_what_base_rose_by_beside_a_draw_that_flows_is_not_taken_off_one_that_joins_it() -> None:
    first, second = draw("first", (60, 3_000, 25)), draw("second", (900, 1_500, 25))
    loads = (
        (60, 3_000, "board", 25.0),
        (400, 9_999, "board", 15.0),
        (500, 9_999, "board", 10.0),
        (900, 1_500, "board", 25.0),
    )
    board = Board(first, second, base_a=10.0, worst_case_a=95, loads=loads)
    board.run(899)
    kept = board.site.state.promised_draws[0].owed_ma(60_000, 0.0)
    board.run(1_000)

    assert 25_000 <= kept < 26_000
    assert board.peak_a <= 95


def test_a_load_that_runs_on_for_a_moment_is_not_taken_for_another_beside_the_next_draw() -> None:
    first, second = draw("first", (60, 360, 20)), draw("second", (400, 1_000, 20))
    loads = ((60, 380, "board", 20.0), (400, 1_000, "board", 20.0))
    board = Board(first, second, loads=loads)
    board.run(399)
    before_a = board.charging_a
    board.run(600)

    assert before_a <= 20
    assert 17 < board.charging_a <= 20


def test_a_draw_that_was_told_to_be_broken_is_kept_what_room_there_is_to_its_end() -> None:
    # A load is told nothing: it comes all the same.
    board = Board(draw("a", (60, 660, 45)), base_a=51.5, worst_case_a=95)
    board.loads = ((180, 660, "board", 45.0),)
    assert board.run(120).broken == {"a": "circuit board was short of 1.5 A on L1 for 60 s"}
    assert board.run(179) == ({}, {})
    before_a = board.charging_a
    board.run(400)

    assert before_a == 0
    assert board.peak_a < 97
    board.run(661)
    assert board.told[-1] == {}


def test_a_draw_that_joins_a_small_one_is_broken_where_others_have_risen_since() -> None:
    small, kitchen = draw("small", (60, 3_000, 0.5)), draw("kitchen", (700, 1_300, 40))
    board = Board(small, kitchen, worst_case_a=95, loads=((200, 9_999, "board", 30.0),))

    assert "kitchen" in board.run(700 + int(SHORT_FOR_S)).broken


@pytest.mark.parametrize("small", [(60, 2_000), (60, 260)])
def test_what_base_rose_by_beside_a_small_draw_is_not_taken_off_one_that_begins_later(
    small: tuple[int, int],
) -> None:
    loads = ((100, 9_999, "board", 30.0),)
    kitchen = draw("kitchen", (260, 860, 30))
    board = Board(draw("small", (*small, 0.5)), kitchen, base_a=20.0, worst_case_a=95, loads=loads)
    board.run(259)

    assert board.charging_a == 0
    # What the small one may have is taken to flow.
    assert board.site.state.promised_draws[0].owed_ma(50_000, 0.0) >= 29_500


def test_what_was_before_is_noted_only_from_a_meter_that_is_read() -> None:
    board = Board(loads=((60, 660, "board", 12.0),))
    board.mute_from, board.mute_until = 1, 55
    board.run(10)
    board.room = PromisedRoom(board.room_told)
    board.promises = (draw("a", (60, 660, 12)),)
    board.run(50)
    assert {kept.before_ma for kept in board.told[-1].values()} == {None}
    board.run(300)

    assert 24 < board.charging_a <= 28


def test_a_draw_without_room_for_a_minute_of_its_time_is_told_where_it_lacks() -> None:
    # Of the set-point, 95 A, 15 A are left where nobody charges.
    board = Board(KITCHEN, base_a=80.0)
    assert board.run(60 + int(SHORT_FOR_S) - 1) == ({}, {})
    assert board.charging_a == 0

    lacks = board.run(60 + int(SHORT_FOR_S))

    assert lacks == ({"kitchen": "circuit board was short of 5.0 A on L1 for 60 s"}, {})
    board.base_a = 70.0
    assert board.run(board.second + 2) == ({}, {})


def test_less_than_what_a_limit_is_changed_for_breaks_no_promise() -> None:
    assert Board(KITCHEN, base_a=75.5).run(120) == ({}, {})
    assert Board(KITCHEN, base_a=76.5).run(120).broken


def test_a_draw_that_follows_does_not_break_the_one_that_has_its_room() -> None:
    now, next_ = draw("now", (60, 660, 20)), draw("next", (200, 660, 30))
    board = Board(now, next_, base_a=55.0, loads=((60, 660, "board", 20.0),))
    # The second has no room, and that is short for a minute from when it begins.
    for second in range(60, 200 + int(SHORT_FOR_S)):
        assert board.run(second) == ({}, {})


def test_nobody_judges_a_draw_before_which_nothing_was_measured() -> None:
    board = Board(worst_case_a=70, loads=((60, 660, "board", 30.0),))
    board.mute_from, board.mute_until = 1, 150
    board.run(10)
    board.room = PromisedRoom(board.room_told)
    board.promises = (draw("a", (60, 660, 30)),)
    said = (
        "circuit board was short of 5.0 A on L1 for 60 s; whether that was its room nobody measured"
    )

    for second in range(30, 400):
        assert board.run(second).broken == {}
        if second == 130:
            assert board.run(second + 1).unknown == {"a": said}


def test_where_base_itself_does_not_fit_nobody_says_that_the_room_was_there() -> None:
    # Another load takes what the kitchen was to have, and then that begins as well.
    board = Board(KITCHEN, loads=((40, 2_000, "board", 45.0), (60, 660, "board", 20.0)))

    broken, unknown = board.run(60 + int(SHORT_FOR_S) + 1)

    said = "circuit board was short of 10.7 A on L1 for 60 s; whether that was its room nobody measured"
    assert (broken, unknown) == ({}, {"kitchen": said})


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

        spoilt, kept, unknown = await drawn(), await drawn(), await drawn()
        why = "circuit carpark was short of 5.0 A on L1 for 60 s"
        house.booking.spoil({spoilt.id: why, "nobody's": why}, {unknown.id: "nobody measured"})
        house.booking.spoil({}, {unknown.id: "nobody measured since", kept.id[:-1]: "nobody's"})
        await house.clock.sleep_s(700)
        house.booking.settle()

        assert (house.of(spoilt).state, house.of(spoilt).cause) == (PromiseState.BROKEN, why)
        assert house.of(kept).state is PromiseState.FULFILLED
        assert house.of(kept).cause == (
            "its room was kept free; what was drawn of it nobody measured"
        )
        assert house.of(unknown).state is PromiseState.FULFILLED
        assert house.of(unknown).cause == "nobody measured"

    run_virtual(test())


@pytest.mark.parametrize("confirmed", [50, 62])
def test_an_oven_that_is_off_as_a_draw_is_promised_late_takes_nothing_of_its_room(
    confirmed: int,
) -> None:
    loads = ((40, 75, "board", -45.0), (240, 660, "board", 45.0))
    board = Board(base_a=50.0, worst_case_a=95, loads=loads)
    board.run(confirmed)
    board.promises = (draw("a", (60, 660, 45)),)
    board.run(239)

    assert board.charging_a == 0
    board.run(300)
    assert board.peak_a <= 95


def test_where_room_is_missing_all_the_time_but_not_surely_its_own_nobody_says_it_was_there() -> (
    None
):
    # Of 20 A there are 15 A, and each while more comes than was promised.
    others = tuple((at, at + 20, "board", 25.0) for at in range(90, 660, 40))
    board = Board(KITCHEN, base_a=80.0, loads=others)
    unknown = set[str]()
    for second in range(60, 300):
        broken, whose = board.run(second)
        assert broken == {}
        unknown |= set(whose)

    assert unknown == {"kitchen"}


def test_what_base_rose_by_beside_a_draw_is_not_taken_off_one_that_takes_its_place() -> None:
    loads = ((60, 640, "board", 20.0), (200, 9_999, "board", 20.0), (800, 1_500, "board", 20.0))
    first, second = draw("first", (60, 660, 20)), draw("second", (660, 1_560, 20))
    board = Board(first, second, base_a=40.0, worst_case_a=95, loads=loads)
    board.run(799)

    assert board.site.state.promised_draws[0].owed_ma(60_000, 0.0) >= 19_000
    board.peak_a = 0.0
    board.run(900)
    assert board.peak_a <= 95


def test_a_draw_told_in_parts_that_are_alike_is_one() -> None:
    # An oven is off for longer than base is watched, in the midst of it.
    loads = ((40, 400, "board", -30.0),)
    board = Board(draw("a", (60, 390, 30), (390, 660, 30)), base_a=50.0, loads=loads)
    board.run(450)

    assert board.site.state.promised_draws[0].owed_ma(50_000, 0.0) == 30_000
