"""The control law in statements about one circuit of 100 A (design §3)."""

import pytest

from gateway.control.explain import sentence
from gateway.domain.charging import ConnectorStatus, RateUnit
from gateway.domain.electric import Phase
from gateway.domain.events import (
    ConnectorStatusChanged,
    ConstraintLifted,
    ConstraintSet,
    StationBooted,
    StationDisconnected,
    StationStatusChanged,
    StopInputChanged,
)
from gateway.domain.limits import Authority, Constraint
from gateway.domain.reasons import Reason, ReasonKind
from tests.support.one_circuit import BOARD, OneCircuit, ref
from tests.support.one_circuit import site as site_of


def reason_of(site: OneCircuit, number: int) -> Reason:
    return site.decide().reasons[ref(number)]


def test_an_idle_connector_counts_nothing_and_its_fallback_is_in_the_reserve() -> None:
    site = OneCircuit()
    site.flow(20.0)

    seen = site.seen()

    assert seen.high_ma == [0, 0, 0]
    assert seen.rows[0].reserve_ma == 15_000
    assert seen.rows[0].available_ma == 95_000 - 20_000 - 15_000


def test_the_fallback_of_one_that_takes_watts_is_in_the_reserve_at_the_lowest_voltage() -> None:
    board = OneCircuit(of=site_of(fallback_ma=18_000))
    board.is_capable(1, unit=RateUnit.WATTS)
    board.flow(20.0)

    # 4,140 W are 18 A at 230 V, and 20 A at 207 V.
    assert board.seen().rows[0].reserve_ma == 20_000


def test_an_unproven_station_counts_its_installed_maximum_and_gets_the_minimum() -> None:
    site = OneCircuit()
    site.flow(20.0)
    site.plug_in(1)

    reason = reason_of(site, 1)

    assert (reason.kind, reason.limit_ma) == (ReasonKind.STATION_UNPROVEN, 6_000)
    assert site.seen().high_ma[0] == 32_000


def test_a_cut_seen_to_bite_proves_the_station() -> None:
    site = OneCircuit()
    site.prove(1)

    assert site.state.stations[ref(1).station].is_proven
    assert site.seen().high_ma[0] == 6_000


def test_a_boot_opens_the_proof_again() -> None:
    site = OneCircuit()
    site.prove(1)
    site.learn(StationBooted(at_s=site.now_s, station=ref(1).station))

    assert not site.state.stations[ref(1).station].is_proven
    assert site.seen().high_ma[0] == 32_000


def test_a_raise_counts_once_sent_and_a_cut_once_it_has_settled() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 16_000)
    assert site.seen().high_ma[0] == 16_000

    site.send(1, 8_000)
    site.decide()
    assert site.seen().high_ma[0] == 16_000

    site.run(13, base_a=20.0, draws_a={1: 8.0})
    assert site.state.connectors[0].in_force_ma < 16_000


def test_a_cut_without_an_answer_keeps_the_old_limit_counted() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 16_000)
    site.answers = False
    site.send(1, 6_000)
    for _ in range(6):
        site.now_s += 10.0
        site.draw(1, 15.8)

        assert site.seen().high_ma[0] == 16_000


def test_subtract_lows_count_highs() -> None:
    site = OneCircuit()
    site.prove(1)
    site.now_s += 1.0
    site.flow(26.0)  # 20 A of base and the 6 A read.

    row = site.seen().rows[0]

    assert row.base_ma == 26_000 - 6_000 + 300  # What the station's meter may be wrong by.


def test_a_meter_of_one_phase_alone_shows_what_the_newest_reading_draws() -> None:
    board = OneCircuit(of=site_of(phases=(Phase.L1,)))
    board.prove(1)
    for drawn_a in (6.0, 20.0):
        board.now_s += 10.0
        board.draw_on_phases(1, (drawn_a, None, None))
        board.now_s += 1.0
        board.flow_on_phases((drawn_a + 5.0, None, None))

    assert board.seen().low_ma[0][0] > 19_000


def test_headroom_is_raised_into_after_thirty_seconds_in_steps() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(25, base_a=20.0, draws_a={1: 6.0})
    assert site.state.connectors[0].wanted_ma == 6_000

    site.run(10, base_a=20.0, draws_a={1: 6.0})

    assert 6_000 < site.state.connectors[0].wanted_ma <= 32_000


@pytest.mark.parametrize("silent_s", [16, 60])
def test_a_silent_meter_takes_the_circuit_to_its_fallback(silent_s: int) -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(60, base_a=20.0, draws_a={1: 6.0})
    raised_ma = site.state.connectors[0].wanted_ma

    site.now_s += silent_s
    reason = reason_of(site, 1)

    assert raised_ma > 6_000
    assert (reason.kind, reason.limit_ma) == (ReasonKind.METER_STALE, 6_000)
    assert site.seen().rows[0].base_ma == 70_000
    assert site.seen().rows[0].reserve_ma == 0


def test_a_meter_that_was_never_read_is_said_to_be_silent_since_the_start() -> None:
    site = OneCircuit()
    site.plug_in(1)
    site.now_s += 420.0

    reason = reason_of(site, 1)

    assert reason.kind is ReasonKind.METER_STALE
    assert "has said nothing new since Headroom began;" in sentence(reason)


def test_a_meter_that_repeats_itself_is_stale() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(60, base_a=20.0, draws_a={1: 6.0})
    for _ in range(25):
        site.now_s += 1.0
        site.flow(33.3)
        site.draw(1, 6.0)

    assert reason_of(site, 1).kind is ReasonKind.METER_STALE


def test_base_that_rises_is_made_room_for_at_once() -> None:
    site = OneCircuit()
    site.prove(1, 2)
    site.run(50, base_a=20.0, draws_a={1: 6.0, 2: 6.0})
    before_ma = sum(b.wanted_ma for b in site.state.connectors[:2])

    site.now_s += 1.0
    site.flow(45.0 + 12.0)
    site.decide()

    assert before_ma > 40_000
    assert sum(b.wanted_ma for b in site.state.connectors[:2]) <= 95_000 - 15_000 - 45_000


def test_an_overload_projected_through_the_thermal_budget_pauses_everyone() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(5, base_a=20.0, draws_a={1: 6.0})
    site.now_s += 1.0
    site.flow(115.0)

    reason = reason_of(site, 1)

    assert (reason.kind, reason.limit_ma) == (ReasonKind.THERMAL_BUDGET, 0)


def test_a_minute_over_the_rating_asks_for_the_trip_output_and_locks_out() -> None:
    site = OneCircuit()
    site.prove(1)
    decision = site.run(70, base_a=101.0, draws_a={1: 0.0})

    assert decision.trips == (BOARD,)
    assert site.state.circuits[0].lockout_until_s > site.now_s + 3_600


def test_three_excursions_in_a_day_lock_the_circuit_at_its_fallback() -> None:
    site = OneCircuit()
    site.prove(1)
    for _ in range(3):
        site.run(18, base_a=101.0, draws_a={1: 0.0})
        site.run(60, base_a=20.0, draws_a={1: 0.0})

    assert reason_of(site, 1).kind is ReasonKind.LOCKOUT


def lowered(site: OneCircuit, *, rating_ma: int) -> None:
    """Let the circuit's calendar lower its set-point to 57 A, and its rating as said."""
    limit = Constraint(
        subject=BOARD,
        limit_ma=(57_000,) * 3,
        authority=Authority.SITE,
        source="calendar",
        rating_ma=(rating_ma,) * 3,
    )
    site.learn(ConstraintSet(at_s=site.now_s, constraint=limit))


def test_over_what_the_calendar_makes_the_rating_all_pause_and_the_trip_output_stays_closed() -> (
    None
):
    site = OneCircuit()
    site.prove(1)
    lowered(site, rating_ma=60_000)

    site.run(32, base_a=84.0, draws_a={1: 6.0})
    assert (reason_of(site, 1).kind, site.told_ma(1)) == (ReasonKind.OVER_RATING, 0)
    assert len(site.state.circuits[0].excursions_at_s) == 1

    decision = site.run(70, base_a=84.0, draws_a={1: 0.0})
    assert decision.reasons[ref(1)].limit_ma == 0
    assert site.state.circuits[0].lockout_until_s > site.now_s + 3_600
    assert decision.trips == ()  # Its own 100 A carry that: no clock switches a building off.


def test_before_a_lower_rating_begins_its_set_point_is_kept_and_nothing_is_an_overload() -> None:
    site = OneCircuit()
    site.prove(1)
    lowered(site, rating_ma=100_000)

    site.run(40, base_a=84.0, draws_a={1: 6.0})

    assert site.seen().rows[0].bound_ma == 57_000
    assert site.state.circuits[0].excursions_at_s == ()


def locked_after_a_pause(site: OneCircuit) -> None:
    """Let the circuit be over its rating three times, the last time for so long that all pause."""
    site.prove(1)
    site.run(18, base_a=101.0, draws_a={1: 0.0})
    site.run(60, base_a=20.0, draws_a={1: 0.0})
    site.run(18, base_a=101.0, draws_a={1: 0.0})
    site.run(60, base_a=20.0, draws_a={1: 0.0})
    site.run(45, base_a=101.0, draws_a={1: 0.0})


def test_a_lockout_after_a_pause_gives_the_fallback_once_it_fits_and_no_more() -> None:
    site = OneCircuit()
    locked_after_a_pause(site)
    assert reason_of(site, 1).limit_ma == 0

    site.run(90, base_a=70.0, draws_a={1: 0.0})
    reason = reason_of(site, 1)
    told = sentence(reason)

    assert (reason.kind, reason.limit_ma) == (ReasonKind.LOCKOUT, 6_000)
    assert told.startswith("6.0 A: board was over its rating too often (3 times) and is held ")
    site.run(300, base_a=20.0, draws_a={1: 6.0})
    assert site.told_ma(1) == 6_000


def test_a_lockout_starts_nobody_where_the_fallback_does_not_fit() -> None:
    site = OneCircuit()
    locked_after_a_pause(site)

    site.run(90, base_a=76.0, draws_a={1: 0.0})  # 95 A less 15 A of reserve.
    reason = reason_of(site, 1)

    assert reason.limit_ma == 0
    assert reason.kind is not ReasonKind.LOCKOUT


def test_a_lockout_goes_up_to_a_larger_fallback_and_no_further() -> None:
    site = OneCircuit(of=site_of(fallback_ma=16_000))
    locked_after_a_pause(site)
    told_ma = []
    for second in range(200):
        site.run(1, base_a=40.0 + second % 7 / 1_000, draws_a={1: site.told_ma(1) / 1_000})
        told_ma.append(site.told_ma(1))

    assert told_ma == sorted(told_ma)
    assert (told_ma[0], told_ma[-1]) == (0, 16_000)
    assert reason_of(site, 1).kind is ReasonKind.LOCKOUT


def test_an_unreachable_station_counts_its_limit_until_the_lease_is_over() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 20_000)
    site.send(1, 20_000)
    site.now_s += 1.0
    site.learn(StationDisconnected(at_s=site.now_s, station=ref(1).station))
    assert site.seen().high_ma[0] == 20_000

    site.now_s += 66.0

    assert site.seen().high_ma[0] == 32_000  # Its dead-man is not proven: the installed maximum.


def test_a_station_above_its_limit_counts_its_maximum_and_is_named() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(15, base_a=20.0, draws_a={1: 6.0})
    site.now_s += 1.0
    site.draw(1, 12.0)

    reason = reason_of(site, 1)

    assert site.seen().high_ma[0] == 32_000
    assert (reason.kind, reason.current_ma) == (ReasonKind.STATION_DISOBEYS, 12_000)


def test_a_station_that_disobeys_for_long_has_to_prove_itself_anew() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(15, base_a=20.0, draws_a={1: 6.0})
    site.run(30, base_a=20.0, draws_a={1: 12.0})

    assert not site.state.stations[ref(1).station].is_proven
    assert site.seen().high_ma[0] == 32_000
    # What it has lost the proof of it is not said to have yet to show.
    assert reason_of(site, 1).kind is ReasonKind.STATION_DISOBEYS


def test_a_reading_from_before_a_cut_has_settled_is_no_disobedience() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 20_000)
    site.now_s += 20.0
    site.draw(1, 20.0)
    site.send(1, 6_000)
    site.now_s += 12.0  # The sample may be two seconds older: from within the eleven.
    site.draw(1, 20.0)

    assert not site.seen().overdrawn[0]


def test_the_stop_input_takes_everyone_to_nothing_in_one_cycle_and_for_good() -> None:
    site = OneCircuit()
    site.prove(1)
    site.flow(26.0)
    site.learn(StopInputChanged(at_s=site.now_s, is_stopped=True))

    decision = site.decide()

    assert decision.reasons[ref(1)].kind is ReasonKind.STOPPED
    assert site.state.connectors[0].wanted_ma == 0
    assert {order.limit.limit_ma for order in decision.fallbacks} == {0}


def test_a_limit_from_outside_narrows_and_is_lifted() -> None:
    site = OneCircuit()
    grid = Constraint(
        subject=BOARD, limit_ma=(50_000,) * 3, authority=Authority.GRID, source="grid limit"
    )
    site.flow(20.0)
    site.learn(ConstraintSet(at_s=site.now_s, constraint=grid))
    assert site.seen().rows[0].bound_ma == 50_000

    site.learn(ConstraintLifted(at_s=site.now_s, constraint=grid))
    assert site.seen().rows[0].bound_ma == 95_000


def test_a_vehicle_that_leaves_takes_its_claim_with_it() -> None:
    site = OneCircuit()
    site.prove(1)
    site.learn(
        ConnectorStatusChanged(at_s=site.now_s, connector=ref(1), status=ConnectorStatus.AVAILABLE)
    )

    assert site.seen().high_ma[0] == 0
    assert reason_of(site, 1).kind is ReasonKind.NOT_CONNECTED


@pytest.mark.parametrize("status", list(ConnectorStatus))
def test_what_a_station_says_of_itself_as_a_whole_changes_no_claim(
    status: ConnectorStatus,
) -> None:
    site = OneCircuit()
    site.prove(1)
    site.begin(1, "T1")
    site.send(1, 16_000)
    connectors, seen = site.state.connectors, site.seen()
    site.learn(StationStatusChanged(at_s=site.now_s, station=ref(1).station, status=status))

    assert site.state.connectors == connectors
    assert site.seen() == seen
    assert site.state.stations[ref(1).station].is_proven


def test_an_unwritten_fallback_is_not_said_to_hold() -> None:
    site = OneCircuit(has_fallbacks=False)

    told = sentence(reason_of(site, 1))

    assert told == "32.0 A: no vehicle is connected; no fallback is written yet."


@pytest.mark.parametrize("kind", list(ReasonKind))
def test_every_reason_has_a_sentence_that_begins_with_its_limit(kind: ReasonKind) -> None:
    told = sentence(Reason(kind=kind, limit_ma=6_500))

    assert told.startswith("6.5 A: ")
    assert told.endswith(".")


@pytest.mark.parametrize(
    ("limit_ma", "gets"),
    [
        (6_000, "it gets the minimum and is"),
        (8_000, "it gets the minimum, or a little more to be cut by, and is"),
        (0, "it gets the minimum, or nothing for a moment as a cut that must show, and is"),
    ],
)
def test_what_an_unproven_station_gets_is_what_it_is_said_to_get(limit_ma: int, gets: str) -> None:
    reason = Reason(kind=ReasonKind.STATION_UNPROVEN, limit_ma=limit_ma, current_ma=32_000)

    assert f"until then {gets} counted at 32.0 A." in sentence(reason)
