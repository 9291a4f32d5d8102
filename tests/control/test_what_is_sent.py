"""What is sent fits, is fair, and is something a station can be told."""

from dataclasses import replace

import pytest

from gateway.control.explain import sentence
from gateway.control.fold import PrioritySet
from gateway.control.guard import guard
from gateway.control.orders import LimitOrder
from gateway.control.state import Priority
from gateway.domain.charging import RateUnit
from gateway.domain.circuits import Source, SourceKind, TripCurve
from gateway.domain.electric import Phase
from gateway.domain.events import (
    ConstraintSet,
    MeterRead,
    StopInputChanged,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, SourceId
from gateway.domain.limits import Authority, Constraint, CurrentLimit
from gateway.domain.metering import MeterReading
from tests.support.one_circuit import BOARD, METER, OneCircuit, ref, site

NAMES = (1, 2, 3)
ROOF = MeterId("roof-meter")
READINGS_DIFFER_MA = 300


def obey(board: OneCircuit, seconds: int, *, base_a: float, numbers: tuple[int, ...]) -> None:
    """Let seconds pass in which vehicles draw what they were told, and tell it every ten."""
    for _ in range(seconds):
        drawn_a = {number: board.told_ma(number) / 1_000 for number in numbers}
        board.now_s += 1.0
        board.flow(base_a + sum(drawn_a.values()) + 0.001 * (board.now_s % 7))
        if board.now_s % 10 == 0:
            for number, current_a in drawn_a.items():
                board.draw(number, current_a)
        board.decide()


def outside(subject: CircuitId | ConnectorRef, limit_ma: int) -> Constraint:
    """Return a limit from outside, the same on each phase."""
    return Constraint(
        subject=subject,
        limit_ma=(limit_ma, limit_ma, limit_ma),
        authority=Authority.VETO,
        source="veto by J. Smith",
    )


def claimed_over_ma(board: OneCircuit) -> int:
    """Return how far claims are above what is available on the row that is worst off."""
    seen = board.seen()
    return max(
        claimed_ma - row.available_ma
        for claimed_ma, row in zip(seen.claimed_ma, seen.rows, strict=True)
    )


# What is sent fits.


@pytest.mark.parametrize("after_s", [6.0, 12.0, 16.0, 30.0])
def test_a_second_step_takes_nothing_back_of_what_the_first_was_given(after_s: float) -> None:
    board = OneCircuit()
    board.is_capable(1, interval_s=60.0)
    board.prove(1)
    board.now_s += 60.0
    board.draw(1, 6.0)
    board.now_s += 3.0
    board.flow(26.0)
    board.send(1, 12_000)
    board.now_s += 5.0
    board.flow(32.0)  # It draws its raise; its station has not told so yet.
    board.now_s += after_s - 5.0
    board.flow(32.001)
    before_ma = board.seen().rows[0].available_ma

    board.send(1, 18_000)

    assert before_ma == 95_000 - 15_000 - (32_001 - 6_000 - 6_000 + 300)
    assert board.seen().rows[0].available_ma == before_ma


def test_a_limit_in_steps_of_a_tenth_is_told_once() -> None:
    board = OneCircuit()
    board.prove(1)
    obey(board, 120, base_a=20.0, numbers=(1,))
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(ref(1), 12_345)))
    before = board.sequence
    obey(board, 19, base_a=20.0, numbers=(1,))

    assert board.told_ma(1) == 12_300
    assert board.sequence == before + 1


@pytest.mark.parametrize("limit_ma", [6_000, 6_500, 7_900])
def test_a_trial_goes_above_no_limit_from_outside(limit_ma: int) -> None:
    board = OneCircuit()
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(ref(1), limit_ma)))
    board.plug_in(1)
    board.begin(1, "unproven")
    told_ma: set[int] = set()
    for _ in range(120):
        obey(board, 1, base_a=20.0, numbers=(1,))
        told_ma.add(board.told_ma(1))

    assert max(told_ma) <= limit_ma


def test_a_limit_below_the_minimum_is_no_charging_at_all() -> None:
    board = OneCircuit()
    board.prove(1)
    board.flow(26.0)
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(ref(1), 5_999)))

    decision = board.decide()

    assert board.told_ma(1) == 0
    assert [order.limit.limit_ma for order in decision.fallbacks] == [0]


@pytest.mark.parametrize(
    ("limit_ma", "told_ma", "fallbacks_ma"),
    [(10_000, 9_000, []), (6_700, 6_000, []), (6_600, 0, [0])],
)
def test_a_veto_in_amperes_holds_at_the_lowest_voltage_where_watts_are_told(
    limit_ma: int, told_ma: int, fallbacks_ma: list[int]
) -> None:
    board = OneCircuit()
    board.is_capable(1, unit=RateUnit.WATTS)
    board.prove(1)
    board.send(1, 20_000)
    board.flow(40.0)
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(ref(1), limit_ma)))

    decision = board.decide()

    assert board.told_ma(1) == told_ma
    assert told_ma * 230 / 207 <= limit_ma
    assert [order.limit.limit_ma for order in decision.fallbacks] == fallbacks_ma
    assert sentence(decision.reasons[ref(1)]) == (
        f"{told_ma / 1_000:.1f} A: veto by J. Smith ({limit_ma / 1_000:.1f} A; the station takes "
        "watts, which may be 11 % more amperes at the lowest voltage)."
    )


def test_a_circuit_nobody_may_charge_on_holds_that_in_silence_too() -> None:
    board = OneCircuit()
    board.prove(1)
    board.flow(26.0)
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(BOARD, 0)))

    decision = board.decide()

    assert {order.limit.limit_ma for order in decision.fallbacks} == {0}
    assert len(decision.fallbacks) == 3


@pytest.mark.parametrize("time_constant_s", [5.0, 60.0])  # What was warm stays so for seconds.
def test_export_is_no_overload_and_no_room_either(time_constant_s: float) -> None:
    roof = Source(
        id=SourceId("roof"),
        circuit=BOARD,
        kind=SourceKind.PV,
        nameplate_ma=(200_000,) * 3,
        meter=ROOF,
    )
    whole = site()
    curve = TripCurve(trip_ratio=1.13, time_constant_s=time_constant_s)
    circuit = replace(whole.circuits[0], curve=curve)
    board = OneCircuit(of=replace(whole, circuits=(circuit,), sources=(roof,)))
    board.prove(1)
    for second in range(60):
        board.now_s += 1.0
        given = MeterReading(
            meter=ROOF,
            at_s=board.now_s,
            current_a=(150.0 + board.told_ma(1) / 1_000,) * 3,
            power_w=(-30_000.0, -30_000.0, -30_000.0),
            voltage_v=(230.0, 230.0, 230.0),
        )
        board.learn(MeterRead(at_s=board.now_s, reading=given))
        current_a = 150.0 + 0.01 * (second % 5)
        export = MeterReading(
            meter=METER,
            at_s=board.now_s,
            current_a=(current_a, current_a, current_a),
            power_w=(-25_000.0, -25_000.0, -25_000.0),
            voltage_v=(230.0, 230.0, 230.0),
        )
        board.learn(MeterRead(at_s=board.now_s, reading=export))
        if second % 10 == 0:
            board.draw(1, board.told_ma(1) / 1_000)
        decision = board.decide()
        assert decision.trips == ()

    assert board.told_ma(1) > 6_000
    assert board.seen().rows[0].base_ma < 1_000
    assert max(row.available_ma for row in board.seen().rows) <= 95_000 - 15_000


def test_a_phase_a_circuit_does_not_have_takes_nothing_and_harms_nothing() -> None:
    one_phase = site(rating_ma=(40_000, 0, 0), phases=(Phase.L1,))
    board = OneCircuit(of=one_phase)
    board.prove(1)
    obey(board, 60, base_a=5.0, numbers=(1,))

    assert 6_000 < board.told_ma(1) <= 38_000 - 5_000 - 6_000


# Nobody waits for ever.


def test_a_trial_at_nothing_is_not_ended_before_it_can_be_seen() -> None:
    board = OneCircuit()
    board.flow(20.0)
    board.plug_in(1)
    board.begin(1, "mute")
    told_a = [0.0] * 6  # Its vehicle follows six seconds late.
    for _ in range(250):  # Two cuts, and what lies between them.
        told_a.append(board.told_ma(1) / 1_000)
        board.run(1, base_a=20.0 + told_a[-6], draws_a={})
        if board.state.stations[ref(1).station].is_proven:
            break

    assert board.state.stations[ref(1).station].is_proven
    assert told_a[-5:] == [0.0] * 5


def proven_after_s(board: OneCircuit, *, kettle_a: float = 0.0) -> int | None:
    """Return when a mute station is proven whose vehicles follow six seconds late, within 7 min.

    A kettle comes on with the first pause.
    """
    base_a, told_a = 20.0, [0.0] * 6
    for second in range(420):
        newest = [belief.limits[-1] for belief in board.state.connectors]
        told_a.append(sum(limit.limit_ma for limit in newest if limit.last_sequence) / 1_000)
        if told_a[-1] < told_a[-2]:
            base_a = 20.0 + kettle_a
        board.run(1, base_a=base_a + told_a[-6] + 0.001 * (second % 7), draws_a={})
        if board.state.stations[ref(1).station].is_proven:
            return second
    return None


def test_connectors_of_a_mute_station_are_tried_one_at_a_time() -> None:
    board = OneCircuit(of=site(outlet_count=2))
    board.flow(20.0)
    for outlet in (1, 2):
        board.plug_in(1, outlet)

    after_s = proven_after_s(board)

    assert after_s is not None
    assert after_s < 180  # Two cuts of one, and no turn of the other between them.


def test_a_cut_that_the_circuit_could_not_show_is_soon_made_again() -> None:
    board = OneCircuit()
    board.flow(20.0)
    board.plug_in(1)

    after_s = proven_after_s(board, kettle_a=6.0)

    assert after_s is not None
    assert after_s > 180


# Stations of several connectors, and connectors turned round.


def test_a_cut_seen_at_one_connector_proves_the_station_and_not_what_another_draws() -> None:
    board = OneCircuit(of=site(outlet_count=2))
    board.prove(1)
    board.plug_in(1, outlet=2)

    first, second, *_ = board.seen().high_ma

    assert board.state.stations[ref(1).station].is_proven
    assert first == 6_000
    assert second == 6_000  # Its fallback: it has been told nothing.


def test_each_connector_of_a_station_is_told_its_own_limit() -> None:
    board = OneCircuit(of=site(outlet_count=2))
    board.prove(1)
    board.plug_in(1, outlet=2)
    for second in range(90):
        board.now_s += 1.0
        drawn_a = [belief.wanted_ma / 1_000 for belief in board.state.connectors[:2]]
        board.flow(20.0 + sum(drawn_a) + 0.001 * (second % 7))
        if second % 10 == 0:
            for outlet, current_a in enumerate(drawn_a, start=1):
                board.draw(1, current_a, outlet)
        board.decide()

    first, second_one = (belief.wanted_ma for belief in board.state.connectors[:2])
    assert min(first, second_one) > 6_000
    assert first + second_one <= 95_000 - 15_000 - 20_000


def test_one_connector_that_disobeys_opens_the_whole_station() -> None:
    board = OneCircuit(of=site(outlet_count=2))
    board.prove(1)
    board.plug_in(1, outlet=2)
    board.send(1, 6_000, outlet=2)
    board.now_s += 15.0
    for _ in range(4):
        board.now_s += 6.0
        board.draw(1, 20.0, outlet=2)
        board.draw(1, 6.0)

    assert not board.state.stations[ref(1).station].is_proven
    assert board.seen().high_ma[:2] == [32_000, 32_000]


def test_a_boot_opens_every_connector_of_a_station_and_no_other() -> None:
    board = OneCircuit(of=site(outlet_count=2))
    board.prove(1, 2)
    board.plug_in(1, outlet=2)
    board.boot(1)

    assert board.seen().high_ma[:4] == [32_000, 32_000, 6_000, 0]


def test_a_rotated_connector_is_counted_on_the_phase_it_is_wired_to() -> None:
    board = OneCircuit(of=site(phases=(Phase.L2, Phase.L3, Phase.L1)))
    board.plug_in(1)
    board.draw_on_phases(1, (20.0, 0.0, 0.0))
    board.send(1, 6_000)
    for _ in range(3):
        board.now_s += 5.0
        board.draw_on_phases(1, (6.0, 0.0, 0.0))
    board.flow(30.0)

    seen = board.seen()

    assert seen.claimed_ma == [0, 6_000, 0]
    assert [row.base_ma for row in seen.rows] == [30_000, 30_000 - 6_000 + 300, 30_000]


# Whose need matters more.


def served(
    ranks: tuple[int, int, int], *, floors_ma: tuple[int, int, int] = (0, 0, 0)
) -> OneCircuit:
    """Return the board with three proven stations at 18 A whose needs matter so much."""
    board = OneCircuit()
    board.prove(*NAMES)
    for number, rank, floor_ma in zip(NAMES, ranks, floors_ma, strict=True):
        priority = Priority(rank=rank, floor_ma=floor_ma)
        board.learn(PrioritySet(at_s=board.now_s, connector=ref(number), priority=priority))
        board.send(number, 18_000)
    board.now_s += 20.0
    for number in NAMES:
        board.draw(number, 18.0)
    board.now_s += 3.0
    board.flow(20.0 + 54.0)
    board.decide()
    assert [board.told_ma(number) for number in NAMES] == [18_000] * 3
    return board


def leave_for_charging(board: OneCircuit, available_ma: int) -> None:
    """Narrow the board until so much is left on each phase, and decide."""
    left_ma = board.seen().rows[0].available_ma - available_ma
    board.learn(ConstraintSet(at_s=board.now_s, constraint=outside(BOARD, 95_000 - left_ma)))
    board.decide()


def test_the_least_important_gives_way_first() -> None:
    board = served((3, 1, 2))
    leave_for_charging(board, 44_000)

    assert [board.told_ma(number) for number in NAMES] == [7_000, 18_000, 18_000]


def test_the_next_class_gives_way_when_the_least_important_has_nothing_left() -> None:
    board = served((3, 1, 2))
    leave_for_charging(board, 33_000)

    assert [board.told_ma(number) for number in NAMES] == [6_000, 18_000, 8_000]


def test_a_floor_is_kept_while_anybody_else_can_give() -> None:
    board = served((2, 2, 2), floors_ma=(16_000, 0, 0))
    leave_for_charging(board, 32_000)

    assert board.told_ma(1) >= 16_000
    assert board.told_ma(2) + board.told_ma(3) <= 16_000


def test_pauses_begin_with_the_least_important() -> None:
    board = served((1, 3, 2))
    leave_for_charging(board, 14_000)
    for _ in range(8):
        board.now_s += 1.0
        board.flow(74.0 + 0.001 * (board.now_s % 7))
        board.decide()

    assert [board.told_ma(number) for number in NAMES] == [6_000, 0, 6_000]


def test_room_goes_to_whoever_matters_most() -> None:
    board = OneCircuit()
    board.prove(*NAMES)
    for number, rank in zip(NAMES, (3, 1, 2), strict=True):
        priority = Priority(rank=rank)
        board.learn(PrioritySet(at_s=board.now_s, connector=ref(number), priority=priority))
    obey(board, 50, base_a=45.0, numbers=NAMES)

    assert board.told_ma(2) > board.told_ma(3) == board.told_ma(1) == 6_000


@pytest.mark.parametrize(("is_answered", "again_s"), [(True, 20.0), (False, 5.0)])
def test_a_limit_is_told_again_in_time_and_sooner_if_it_was_not_answered(
    is_answered: bool, again_s: float
) -> None:
    board = OneCircuit(answers=is_answered)
    board.plug_in(1)
    board.flow(20.0)
    board.decide()
    told_ma, sequence = board.told_ma(1), board.sequence

    board.run(int(again_s) - 1, base_a=20.0, draws_a={})
    assert board.sequence == sequence

    board.run(1, base_a=20.0, draws_a={})
    assert (board.told_ma(1), board.sequence) == (told_ma, sequence + 1)


# The guard.


def order(board: OneCircuit, number: int, limit_ma: int) -> LimitOrder:
    told_ma = board.told_ma(number)
    return LimitOrder(
        connector=ref(number),
        limit=CurrentLimit(limit_ma=limit_ma),
        valid_for_s=60.0,
        is_cut=limit_ma < told_ma,
    )


def guarded_ma(board: OneCircuit, *orders: LimitOrder) -> dict[int, int]:
    passed = guard(board.state, orders, board.now_s)
    return {int(order.connector.station[3:]): order.limit.limit_ma for order in passed}


def test_the_guard_passes_a_raise_there_is_room_for_and_no_other() -> None:
    board = OneCircuit()
    board.prove(1, 2)
    board.flow(70.0)

    assert guarded_ma(board, order(board, 1, 20_000)) == {1: 20_000}
    assert guarded_ma(board, order(board, 1, 32_000)) == {1: 6_000}
    assert guarded_ma(board, order(board, 1, 18_000), order(board, 2, 20_000)) == {
        1: 18_000,
        2: 6_000,
    }


def test_the_guard_passes_every_cut_and_no_raise_where_the_meter_is_silent() -> None:
    board = OneCircuit()
    board.prove(1, 2)
    board.flow(20.0)
    board.now_s += 6.0

    assert guarded_ma(board, order(board, 1, 0), order(board, 2, 8_000)) == {1: 0, 2: 6_000}


def test_the_guard_takes_off_what_was_told_and_is_not_drawn_yet() -> None:
    board = OneCircuit()
    board.prove(1, 2)
    board.flow(50.0)
    board.send(1, 32_000)  # 26 A of it are still to come.

    assert guarded_ma(board, order(board, 2, 26_000)) == {2: 6_000}
    assert guarded_ma(board, order(board, 2, 25_000)) == {2: 25_000}


def test_the_guard_tells_watts_for_no_more_phases_than_before_where_they_have_no_room() -> None:
    board = OneCircuit()
    board.plug_in(1)
    board.is_capable(1, unit=RateUnit.WATTS)
    board.send(1, 8_000, phase_count=2)
    board.now_s += 60.0  # Of what it was told nothing is still to come.
    asked = order(board, 1, 8_000)
    asked = replace(asked, limit=replace(asked.limit, phase_count=3))

    def passed_count(flows_a: float) -> int:
        board.now_s += 1.0
        board.flow(flows_a)
        (passed,) = guard(board.state, (asked,), board.now_s)
        assert passed.limit.limit_ma == 8_000
        return passed.limit.phase_count

    assert passed_count(70.0) == 3
    assert passed_count(88.0) == 2  # On one phase the watts of three would be 8 A more.


@pytest.mark.parametrize(
    ("asked_ma", "passed_ma"), [(5_900, 0), (6_049, 6_000), (40_000, 32_000), (12_345, 12_300)]
)
def test_the_guard_makes_of_any_number_what_a_station_can_be_told(
    asked_ma: int, passed_ma: int
) -> None:
    board = OneCircuit()
    board.prove(1)
    board.flow(20.0)

    assert guarded_ma(board, order(board, 1, asked_ma)) == {1: passed_ma}


def test_the_guard_lets_nothing_flow_once_stopped() -> None:
    board = OneCircuit()
    board.prove(1)
    board.flow(20.0)
    board.learn(StopInputChanged(at_s=board.now_s, is_stopped=True))

    assert guarded_ma(board, order(board, 1, 6_000)) == {1: 0}


def test_what_is_told_in_watts_is_counted_the_same_before_and_after() -> None:
    board = OneCircuit()
    board.prove(1, 2)
    for number in (1, 2):
        board.is_capable(number, unit=RateUnit.WATTS)
    for _ in range(200):
        before_ma = claimed_over_ma(board)
        obey(board, 1, base_a=30.0, numbers=(1, 2))

        assert claimed_over_ma(board) <= max(0, before_ma) + READINGS_DIFFER_MA


def test_what_does_not_fit_is_cut_in_one_decision() -> None:
    board = OneCircuit()
    board.prove(1, 2, 3)
    for number, limit_ma in ((1, 30_000), (2, 16_000), (3, 6_000)):
        board.send(number, limit_ma)
    board.now_s += 20.0
    for number, limit_a in ((1, 30.0), (2, 16.0), (3, 6.0)):
        board.draw(number, limit_a)
    board.now_s += 3.0
    board.flow(20.0 + 52.0)
    leave_for_charging(board, 22_000)

    # One can give 24 A and one 10 A, and 30 A are needed.
    assert sum(board.told_ma(number) for number in (1, 2, 3)) <= 23_000
    assert min(board.told_ma(number) for number in (1, 2, 3)) >= 6_000


@pytest.mark.parametrize("short_ma", [100, 500, 900, 1_500])
def test_whoever_waits_is_made_room_for_however_little_is_missing(short_ma: int) -> None:
    board = OneCircuit()
    board.prove(1, 2)
    board.send(2, 0)
    board.send(1, 20_000)
    board.now_s += 15.0
    board.draw(1, 20.0)
    board.draw(2, 0.0)
    base_a = (95_000 - 15_000 - 20_000 - 6_000 + short_ma) / 1_000

    obey(board, 90, base_a=base_a, numbers=(1, 2))

    assert board.told_ma(2) == 6_000
    assert board.told_ma(1) >= 6_000


def test_a_resting_vehicle_at_a_station_not_yet_proven_is_not_paused_for_nothing() -> None:
    board = OneCircuit()
    board.prove(2)
    board.send(2, 0)
    board.plug_in(1)
    board.begin(1, "resting")
    base_a = 95.0 - 15.0 - 9.0  # There is room for one minimum.
    for _ in range(400):
        board.now_s += 1.0
        drawn_a = board.told_ma(2) / 1_000
        board.flow(base_a + drawn_a + 0.001 * (board.now_s % 7))
        if board.now_s % 10 == 0:
            board.draw(1, 0.0)
            board.draw(2, drawn_a)
        board.decide()

    # What it may start is in the reserve, told its minimum or nothing (ADR 0041).
    assert (board.told_ma(1), board.told_ma(2)) == (6_000, 0)
