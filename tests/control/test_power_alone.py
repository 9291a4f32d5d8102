"""Stations that tell power alone: what surely flows there is counted once, and nobody swings."""

from collections import Counter
from dataclasses import replace

import pytest

from gateway.control.claims import board_of, moment_of
from gateway.control.decide import decide
from gateway.domain.charging import RateUnit
from gateway.domain.circuits import Site, Source, SourceKind
from gateway.domain.electric import MIN_CHARGING_MA, PerPhase, Phase
from gateway.domain.events import ConnectorMetered
from gateway.domain.ids import SourceId
from tests.support.cars import Car, Cars
from tests.support.one_circuit import BOARD, THREE_PHASE, OneCircuit, ref, site

ONE_PHASE = (Phase.L1,)
VOLTAGE_V = 230.0
INTERVAL_S = 10
MINUTE_S = 60
FOLLOWS_S = 7
HIGHEST_VOLTAGE = 1.1


class Hall:
    """A board with vehicles that take all they are offered, whose stations tell power alone."""

    def __init__(
        self,
        *,
        phases: tuple[Phase, ...],
        numbers: tuple[int, ...],
        unit: RateUnit = RateUnit.AMPERES,
        takes_a: dict[int, float] | None = None,
        voltage_v: float = VOLTAGE_V,
    ) -> None:
        self.takes_a, self.voltage_v = takes_a or {}, voltage_v
        self.board, self.phases, self.in_watts = (
            OneCircuit(of=site(phases=phases)),
            phases,
            unit is RateUnit.WATTS,
        )
        self.draws_a = dict.fromkeys(numbers, 0.0)
        self.offered_a = {number: [0.0] * FOLLOWS_S for number in numbers}
        self.changes = Counter[int]()
        for number in numbers:
            self.board.is_capable(number, unit=unit, interval_s=INTERVAL_S)
            self.board.plug_in(number)

    def tell(self, number: int) -> None:
        """Let a station tell the power of its vehicle."""
        power_w = self.draws_a[number] * len(self.phases) * self.voltage_v
        self.board.learn(
            ConnectorMetered(
                at_s=self.board.now_s,
                connector=ref(number),
                current_a=(None, None, None),
                power_w=power_w,
            )
        )

    def step(self, base_a: float) -> None:
        """Let a second pass; vehicles follow their limits late, on each phase alike."""
        board = self.board
        board.now_s += 1.0
        for number, waiting in self.offered_a.items():
            newest = board.state.connectors[number - 1].limits[-1]
            told_a = newest.limit_ma / 1_000 if newest.last_sequence else 0.0
            if self.in_watts:
                told_a = told_a * newest.phase_count / len(self.phases)
            takes_a = min(told_a, self.takes_a.get(number, 32.0))
            waiting.append(takes_a if told_a >= MIN_CHARGING_MA / 1_000 else 0.0)
            self.draws_a[number] = waiting.pop(0)
        second = int(board.now_s)
        own_a = sum(self.draws_a.values())
        l1, l2, l3 = (
            base_a + (own_a if phase in self.phases else 0) + 0.001 * (second % 7)
            for phase in range(3)
        )
        board.flow_on_phases((l1, l2, l3))
        before = self._told()
        for number in self.draws_a:
            if (second + 3 * number) % INTERVAL_S == 0:
                self.tell(number)
        for request in board.decide().ask:
            self.tell(int(request.station[3:]))
        self.changes.update(
            number for number, limit in self._told().items() if limit != before[number]
        )

    def run(self, minutes: int, *, base_a: float) -> None:
        """Let minutes pass with a steady base."""
        for _ in range(60 * minutes):
            self.step(base_a)

    def _told(self) -> dict[int, tuple[int, int]]:
        limits = {n: self.board.state.connectors[n - 1].limits[-1] for n in self.draws_a}
        return {number: (limit.limit_ma, limit.phase_count) for number, limit in limits.items()}


@pytest.mark.parametrize(
    ("phases", "numbers", "unit", "base_a"),
    [
        (ONE_PHASE, (1, 2), RateUnit.AMPERES, 15.0),
        (THREE_PHASE, (1, 2), RateUnit.AMPERES, 20.0),
        (THREE_PHASE, (1,), RateUnit.WATTS, 15.0),
        (THREE_PHASE, (1,), RateUnit.WATTS, 30.0),
    ],
)
def test_beside_a_steady_base_limits_come_to_rest(
    phases: tuple[Phase, ...], numbers: tuple[int, ...], unit: RateUnit, base_a: float
) -> None:
    hall = Hall(phases=phases, numbers=numbers, unit=unit)
    hall.run(15, base_a=base_a)
    hall.changes.clear()

    hall.run(15, base_a=base_a)

    assert max(hall.changes.values(), default=0) <= 6
    assert min(hall.draws_a.values()) > 9.0


@pytest.mark.parametrize("takes_a", [10.0, 15.6])
@pytest.mark.parametrize("voltage_v", [222.0, 238.0])
def test_a_vehicle_that_takes_less_than_its_share_is_not_said_to_disobey(
    takes_a: float, voltage_v: float
) -> None:
    hall = Hall(phases=THREE_PHASE, numbers=(1, 2), takes_a={1: takes_a}, voltage_v=voltage_v)
    told = Counter[int]()
    for base_a in (20.0, 45.0, 20.0):
        for _ in range(600):
            hall.step(base_a)
            told.update(n for n in hall.draws_a if hall.board.state.connectors[n - 1].over_since_s)

    assert not told
    assert hall.draws_a[1] == takes_a
    assert hall.draws_a[2] > 15.0


def surely_ma(
    power_w: float,
    *,
    phases: tuple[Phase, ...] = THREE_PHASE,
    limit_ma: int = 16_000,
    is_proven: bool = True,
    unit: RateUnit = RateUnit.AMPERES,
    after_s: float = 60.0,
    of: Site | None = None,
    meter_v: float | None = None,
    meter_age_s: float = 0.0,
) -> PerPhase:
    """Return what a power, told so long after a limit, means to be surely drawn.

    The circuit's meter told `meter_v` so long before, if anything.
    """
    board = OneCircuit(of=of or site(phases=phases))
    board.is_capable(1, unit=unit)
    board.plug_in(1)
    _believe(board, is_proven=is_proven)
    board.send(1, limit_ma)
    # What was told before it is counted no more.
    belief, *others = board.state.connectors
    only = replace(belief, limits=belief.limits[-1:])
    board.state = replace(board.state, connectors=(only, *others))
    board.now_s += after_s
    if meter_v is not None:
        board.flow(60.0, voltage_v=meter_v)
        board.now_s += meter_age_s
    board.learn(
        ConnectorMetered(
            at_s=board.now_s, connector=ref(1), current_a=(None, None, None), power_w=power_w
        )
    )
    draw = board.state.connectors[0].draw
    assert draw is not None
    assert draw.surely_ma is not None
    return draw.surely_ma


def _believe(board: OneCircuit, *, is_proven: bool) -> None:
    station, beliefs = ref(1).station, board.state.stations
    proven = replace(beliefs[station], is_proven=is_proven)
    board.state = replace(board.state, stations={**beliefs, station: proven})


def test_on_one_phase_its_power_flows_at_the_highest_voltage_at_least() -> None:
    l1, l2, l3 = surely_ma(16 * VOLTAGE_V, phases=ONE_PHASE)

    assert 0.9 * 16_000 / HIGHEST_VOLTAGE < l1 < 16_000 / HIGHEST_VOLTAGE
    assert (l2, l3) == (0, 0)


def test_each_of_three_phases_carries_what_the_others_cannot() -> None:
    drawn_ma = surely_ma(3 * 16 * VOLTAGE_V)

    assert min(drawn_ma) == max(drawn_ma)
    assert 0 < max(drawn_ma) < 3 * 16_000 / HIGHEST_VOLTAGE - 2 * 16_000


@pytest.mark.parametrize("voltage_v", [225.0, 230.0, 253.0])
def test_the_voltage_of_the_meter_above_tells_it_more_closely(voltage_v: float) -> None:
    l1, _, _ = surely_ma(16 * voltage_v, phases=ONE_PHASE, meter_v=voltage_v)
    on_each, _, _ = surely_ma(3 * 16 * voltage_v, meter_v=voltage_v)

    assert 0.96 * 16_000 < l1 <= 16_000
    assert 0.75 * 16_000 < on_each <= 16_000


def test_a_meter_that_is_old_or_tells_no_voltage_one_charges_with_does_not() -> None:
    def sure_ma(meter_v: float | None, meter_age_s: float = 0.0, of: Site | None = None) -> int:
        power_w = 16 * VOLTAGE_V
        return max(
            surely_ma(power_w, phases=ONE_PHASE, of=of, meter_v=meter_v, meter_age_s=meter_age_s)
        )

    without_ma = sure_ma(None)

    assert sure_ma(VOLTAGE_V) > without_ma
    assert sure_ma(VOLTAGE_V, meter_age_s=6.0) == without_ma
    assert sure_ma(150.0) == without_ma
    assert sure_ma(VOLTAGE_V, of=_with_pv(site(phases=ONE_PHASE))) == without_ma


def _with_pv(of: Site) -> Site:
    """Return the site with a roof that feeds its board."""
    roof = Source(
        id=SourceId("roof"),
        circuit=BOARD,
        kind=SourceKind.PV,
        nameplate_ma=(10_000, 10_000, 10_000),
        meter=None,
    )
    return replace(of, sources=(roof,))


@pytest.mark.parametrize(
    "doubt",
    [{"is_proven": False}, {"unit": RateUnit.WATTS}, {"after_s": 12.0}],
    ids=["not proven", "told in watts", "not yet followed"],
)
def test_what_is_not_surely_held_leaves_the_others_their_maximum(doubt: dict[str, object]) -> None:
    assert surely_ma(3 * 16 * VOLTAGE_V, **doubt) == (0, 0, 0)  # type: ignore[arg-type]
    assert max(surely_ma(3 * 32 * VOLTAGE_V, limit_ma=32_000, **doubt)) > 0  # type: ignore[arg-type]


def test_what_one_phase_may_carry_is_surely_on_none_of_three() -> None:
    assert surely_ma(32 * VOLTAGE_V, limit_ma=32_000) == (0, 0, 0)


def test_a_rise_that_power_tells_is_given_to_no_other() -> None:
    base_a, rise_a = 20.0, 14.0
    hall = Hall(phases=ONE_PHASE, numbers=(1, 2))
    board, hall.draws_a = hall.board, {1: 6.0, 2: 6.0}
    for number in hall.draws_a:
        board.send(number, 6_000)
    board.now_s += 60.0
    board.flow(base_a + 12.0)
    for number in hall.draws_a:
        hall.tell(number)
        board.send(number, 20_000)
    board.now_s += 8.0
    hall.draws_a[1] += rise_a
    board.flow(base_a + 12.0 + rise_a)
    board.now_s += 3.0
    # The other was raised too, and has not told since.
    hall.tell(1)
    board.flow(base_a + 12.0 + rise_a)

    assert board.seen().rows[0].base_ma >= base_a * 1_000


def test_a_cut_that_is_not_answered_is_no_fall_of_base_to_come() -> None:
    board = OneCircuit(of=site(phases=THREE_PHASE))
    board.is_capable(1, unit=RateUnit.WATTS)
    board.prove(2)
    for number, limit_ma in ((1, 20_000), (2, 24_000)):
        board.plug_in(number)
        board.send(number, limit_ma)
    for second in range(60):
        if second == 45:
            board.answers = False
            board.send(1, 0)
        board.now_s += 1.0
        board.flow(20.0 + 20.0 + 24.0 + 0.001 * (second % 7))
        if second % 10 == 0:
            board.learn(ConnectorMetered(at_s=board.now_s, connector=ref(1), power_w=20.0 * 230))
            board.draw(2, 24.0)

    assert decide(board.state, board.now_s).reasons[ref(2)].limit_ma <= 17_000


def test_what_may_be_all_it_was_told_on_each_phase_is_no_room_that_a_cut_will_give() -> None:
    board = OneCircuit()
    board.is_capable(1, unit=RateUnit.WATTS)
    board.plug_in(1)
    _believe(board, is_proven=True)
    board.send(1, 6_000)
    board.now_s += 12.0
    board.flow(56.0)
    board.learn(
        ConnectorMetered(
            at_s=board.now_s,
            connector=ref(1),
            current_a=(None, None, None),
            power_w=3 * 6.0 * VOLTAGE_V,
        )
    )
    seen = board.seen()

    room_ma = board_of(moment_of(board.state, board.now_s)).room_ma

    assert [row.available_ma - 6_667 for row in seen.rows] == room_ma


@pytest.mark.parametrize(("in_watts", "base_a"), [(0, 20.0), (1, 30.0)])
def test_one_phase_of_three_that_tells_power_is_counted_as_base_too_and_limits_come_to_rest(
    in_watts: int, base_a: float
) -> None:
    def tells_power(**traits: object) -> Car:
        return Car(tells_currents=False, tells_power=True, **traits)  # type: ignore[arg-type]

    others = [tells_power(phases=(0,)) for _ in range(3 - in_watts)]
    watts = [tells_power(takes_watts=True) for _ in range(in_watts)]
    hall, changes, before = Cars(*watts, *others, base_a=lambda _second: base_a), 0, (0, 0, 0)
    for _ in range(60 * MINUTE_S):
        hall.step()
        one, two, three = (hall.board.told_ma(number) for number in (1, 2, 3))
        changes, before = changes + ((one, two, three) != before), (one, two, three)

    assert changes <= 30
    assert min(car.energy_wh for car in hall.cars) > 1_200
