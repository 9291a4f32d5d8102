"""No limit that may be in force is forgotten: each way in which one once was, or might be."""

import pytest

from gateway.control.rows import ReserveFor
from gateway.domain.charging import RateUnit
from gateway.domain.events import (
    ConnectorMetered,
    DeadManProven,
    FallbackInstalled,
    StationConnected,
    StopInputChanged,
)
from gateway.domain.reasons import ReasonKind
from tests.support.one_circuit import OneCircuit, ref, site

SETTLES_S = 11.0
BORNE_MA = 9_750  # Above its set-point, for the time of an immediate cut (ADR 0041).


def quiet(site: OneCircuit, seconds: int, current_a: float) -> None:
    """Let seconds pass in which the circuit's meter shows the same, live, and nobody decides."""
    for second in range(seconds):
        site.now_s += 1.0
        site.flow(current_a + 0.001 * (second % 7))


def charging(current_a: float) -> OneCircuit:
    """Return the board with one proven station that has been at a limit for long, and draws it."""
    site = OneCircuit()
    site.prove(1)
    site.begin(1, "first")
    site.send(1, int(current_a * 1_000))
    quiet(site, 20, 20.0 + current_a)
    site.draw(1, current_a)
    return site


# What a station was told and took.


def test_a_refused_cut_leaves_the_old_limit_though_the_draw_fell_by_itself() -> None:
    site = charging(20.0)
    site.send(1, 30_000)
    quiet(site, 20, 40.0)
    site.answers = False
    sequence = site.send(1, 16_000)
    quiet(site, 3, 35.0)
    site.draw(1, 15.0)
    site.refuse(1, sequence)

    assert site.high_ma(1) == 30_000


def test_a_late_acknowledgement_does_not_lengthen_a_lease() -> None:
    site = charging(20.0)
    site.answers = False
    sent_at_s, sequence = site.now_s, site.send(1, 0)
    site.now_s += 9.0
    site.acknowledge(1, sequence)
    site.now_s = sent_at_s + 61.0

    assert site.high_ma(1) == 6_000  # Its lease began when it was sent: the fallback may hold.


def test_what_one_may_draw_that_rested_once_and_fell_silent_is_in_the_reserve() -> None:
    site = OneCircuit()
    site.flow(20.0)
    site.plug_in(1)
    site.run(40, base_a=20.0, draws_a={1: 0.0})
    assert site.high_ma(1) == 6_000

    site.run(90, base_a=20.0, draws_a={})
    seen = site.seen()

    assert seen.rows[0].reserve_for is ReserveFor.UNPROVEN
    assert seen.claimed_ma[0] + seen.rows[0].reserve_ma + BORNE_MA >= 32_000


def test_a_vehicle_at_an_unproven_station_wakes_inside_what_it_is_counted_at() -> None:
    site = OneCircuit()
    site.flow(20.0)
    site.plug_in(1)
    site.run(30, base_a=20.0, draws_a={1: 0.0})
    rested_ma = site.high_ma(1)

    site.now_s += 1.0
    site.draw(1, 20.0)

    assert rested_ma == 6_000
    assert site.high_ma(1) == 32_000


def test_telling_less_to_a_resting_vehicle_never_makes_it_count_more() -> None:
    site = OneCircuit()
    site.flow(20.0)
    site.plug_in(1)
    site.run(30, base_a=20.0, draws_a={1: 0.0})
    before_ma = site.high_ma(1)

    site.answers = False
    site.send(1, 0)

    assert site.high_ma(1) == before_ma == 6_000


def narrow() -> OneCircuit:
    """Return the board with less left than a vehicle at a station not yet proven may draw."""
    site = OneCircuit()
    site.plug_in(1)
    site.begin(1, "first")
    return paused_unseen(site)


def paused_unseen(site: OneCircuit) -> OneCircuit:
    """Let it be paused before it draws anything: what it was told before is not seen to be over."""
    site.flow(60.0)
    site.run(2, base_a=60.0, draws_a={})
    site.learn(StopInputChanged(at_s=site.now_s, is_stopped=True))
    site.run(25, base_a=60.0, draws_a={1: 0.0})
    site.learn(StopInputChanged(at_s=site.now_s, is_stopped=False))
    site.run(5, base_a=60.0, draws_a={1: 0.0})
    return site


def test_a_pause_that_was_seen_to_hold_puts_what_was_before_it_out_of_force() -> None:
    site = narrow()
    assert site.told_ma(1) == 0

    site.run(60, base_a=60.0, draws_a={1: 0.0})

    assert site.told_ma(1) == 6_000
    assert site.high_ma(1) == 6_000


def test_a_pause_without_a_transaction_shows_nothing() -> None:
    site = OneCircuit()
    site.plug_in(1)
    paused_unseen(site)

    site.run(120, base_a=60.0, draws_a={1: 0.0})

    assert site.told_ma(1) == 0


def silent_after_a_stop(base_a: float) -> OneCircuit:
    """Return the board with one that tells nothing, half a minute after a stop was released."""
    site = OneCircuit()
    site.plug_in(1)
    site.begin(1, "first")
    site.flow(base_a)
    site.run(2, base_a=base_a, draws_a={})
    site.learn(StopInputChanged(at_s=site.now_s, is_stopped=True))
    site.run(2, base_a=base_a, draws_a={})
    site.learn(StopInputChanged(at_s=site.now_s, is_stopped=False))
    site.run(30, base_a=base_a, draws_a={})
    return site


def test_one_that_tells_nothing_is_tried_though_all_it_may_draw_does_not_fit() -> None:
    site = silent_after_a_stop(60.0)

    assert site.high_ma(1) == 32_000
    assert site.told_ma(1) == 6_000


def test_one_that_tells_nothing_is_not_tried_where_no_minimum_fits() -> None:
    site = silent_after_a_stop(75.0)

    assert site.told_ma(1) == 0


def test_one_that_cannot_be_started_keeps_nothing_from_others() -> None:
    site = OneCircuit()
    site.prove(2)
    site.leave(2)
    site.plug_in(1)
    paused_unseen(site)
    site.plug_in(2)

    site.run(90, base_a=60.0, draws_a={1: 0.0, 2: 6.0})

    assert site.told_ma(1) == 0
    assert site.told_ma(2) > 6_000


# Boots, transactions, vehicles.


def test_nothing_acknowledged_before_a_boot_holds_after_it() -> None:
    site = charging(6.0)
    site.boot(1)
    site.now_s += 1.0
    site.draw(1, 20.0)
    site.now_s += 1.0
    site.draw(1, 5.0)

    assert not site.state.stations[ref(1).station].is_proven
    assert site.high_ma(1) == 32_000


def test_a_boot_with_a_resting_vehicle_counts_the_maximum_until_it_is_told_anew() -> None:
    site = charging(6.0)
    site.run(30, base_a=74.0, draws_a={1: 0.0})
    site.boot(1)

    assert site.decide().survey.high_ma[0] == 32_000


def test_a_boot_may_have_lost_the_fallback_too() -> None:
    site = charging(6.0)
    site.boot(1)

    orders = site.decide().fallbacks

    assert [order.connector for order in orders] == [ref(1)]


def test_a_limit_ends_with_its_transaction() -> None:
    site = charging(6.0)
    site.send(1, 0)
    quiet(site, 12, 20.0)
    site.draw(1, 0.0)
    assert site.high_ma(1) == 0

    site.end(1, "first")
    site.begin(1, "second")

    assert site.high_ma(1) == 6_000  # The fallback holds until the limit is told anew.


def test_the_limit_of_an_ended_transaction_is_told_anew_at_once() -> None:
    site = charging(6.0)
    site.send(1, 0)
    quiet(site, 12, 80.0)
    site.end(1, "first")
    site.begin(1, "second")

    orders = site.decide().orders

    assert [order.limit.limit_ma for order in orders if order.connector == ref(1)] == [0]


def test_a_lease_sent_without_a_transaction_outlives_the_vehicle_it_was_for() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 30_000)
    site.now_s += 15.0
    site.leave(1)
    site.now_s += 5.0
    site.plug_in(1)

    assert site.high_ma(1) == 30_000


def test_a_lease_sent_before_a_transaction_is_below_those_sent_in_it() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 30_000)  # Without a transaction: it stays when one begins and ends.
    site.begin(1, "first")
    site.send(1, 6_000)
    quiet(site, 15, 26.0)
    site.draw(1, 6.0)
    assert site.high_ma(1) == 6_000

    site.end(1, "first")
    site.begin(1, "second")

    assert site.high_ma(1) == 30_000


def test_a_lease_kept_through_a_boot_is_below_those_sent_in_a_transaction_after_it() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 30_000)  # Without a transaction: its station may keep it in flash.
    site.boot(1)
    site.learn(FallbackInstalled(at_s=site.now_s, connector=ref(1), fallback_ma=6_000))
    site.begin(1, "first")
    site.draw(1, 20.0)
    site.send(1, 6_000)
    site.now_s += 5.0
    site.draw(1, 6.0)
    assert site.high_ma(1) == 6_000

    site.end(1, "first")

    assert site.high_ma(1) == 30_000


def test_what_was_told_before_a_late_start_was_known_may_be_below_what_was_told_after() -> None:
    site = OneCircuit()
    site.prove(1)
    site.send(1, 30_000)
    quiet(site, 3, 30.0)
    site.send(1, 6_000)  # Its transaction may have begun before, unheard of.
    quiet(site, 15, 26.0)
    site.begin(1, "first")
    site.end(1, "first")

    assert site.high_ma(1) == 30_000


def test_a_transaction_told_of_late_makes_no_vehicle() -> None:
    site = OneCircuit()
    site.prove(1)
    site.leave(1)
    site.begin(1, "kept")
    site.end(1, "kept")

    site.run(60, base_a=20.0, draws_a={})

    assert not site.state.connectors[0].is_plugged
    assert site.high_ma(1) == 0


# Out of reach, and leases that lapse.


def test_a_cut_that_was_not_confirmed_does_not_hide_what_it_was_to_cut() -> None:
    site = charging(30.0)
    site.answers = False
    site.send(1, 6_000)
    site.lose(1)
    site.now_s += 50.0  # The lease before is over, and nobody has seen this station fall back.

    assert site.high_ma(1) == 32_000


def test_a_vehicle_takes_seconds_to_follow_a_lease_that_lapses() -> None:
    board = OneCircuit(of=site(fallback_ma=0))
    board.prove(1)
    board.send(1, 20_000)
    until_s = board.now_s + 65.0
    board.learn(DeadManProven(at_s=board.now_s, station=ref(1).station))
    board.lose(1)

    board.now_s = until_s + 1.0
    assert board.high_ma(1) == 20_000
    board.now_s = until_s + SETTLES_S + 1.0
    assert board.high_ma(1) == 0


@pytest.mark.parametrize(("is_proven", "counted_ma"), [(False, 30_000), (True, 6_000)])
def test_a_lease_under_a_transaction_is_over_out_of_sight_where_leases_were_seen_to_lapse(
    is_proven: bool, counted_ma: int
) -> None:
    site = OneCircuit()
    site.prove(1)
    if is_proven:
        site.learn(DeadManProven(at_s=site.now_s, station=ref(1).station))
    site.send(1, 30_000)
    until_s = site.now_s + 65.0
    site.begin(1, "first")
    quiet(site, 20, 50.0)
    site.send(1, 6_000)
    quiet(site, 15, 26.0)
    site.draw(1, 6.0)
    site.lose(1)
    site.now_s = until_s + SETTLES_S + 1.0  # The lease of the transaction is not over yet.

    assert site.high_ma(1) == counted_ma


def test_a_lapsed_lease_counts_until_the_limit_told_anew_has_settled() -> None:
    site = charging(6.0)
    site.send(1, 0)
    quiet(site, 12, 20.0)
    site.draw(1, 0.0)
    site.now_s += 61.0 - 12.0
    assert site.high_ma(1) == 6_000  # It has lapsed, and the vehicle may have begun.

    site.send(1, 0)

    assert site.high_ma(1) == 6_000
    site.now_s += SETTLES_S
    assert site.high_ma(1) == 0


def test_what_was_drawn_by_a_lapsed_lease_counts_though_a_lower_fallback_is_written() -> None:
    site = charging(6.0)
    site.send(1, 0)
    quiet(site, 12, 20.0)
    site.draw(1, 0.0)
    site.now_s += 61.0 - 12.0
    site.send(1, 0)

    site.learn(FallbackInstalled(at_s=site.now_s, connector=ref(1), fallback_ma=0))

    assert site.high_ma(1) == 6_000


def test_a_lapsed_lease_of_a_resting_vehicle_counts_until_it_is_told_anew() -> None:
    site = OneCircuit()
    site.flow(20.0)
    site.plug_in(1)
    site.run(90, base_a=20.0, draws_a={1: 0.0})
    site.answers = False
    site.run(90, base_a=20.0, draws_a={1: 0.0})
    site.send(1, 0)
    site.now_s += 1.0
    site.acknowledge(1, site.sequence)

    assert site.high_ma(1) == 6_000  # Until it has settled the fallback may be drawn.


def test_of_many_limits_that_may_be_in_force_the_last_lease_is_waited_for() -> None:
    site = charging(20.0)
    site.learn(DeadManProven(at_s=site.now_s, station=ref(1).station))
    site.answers = False
    for step in range(20):
        site.send(1, 30_000 - 100 * step)
        site.now_s += 4.0
    sent_last_s = site.now_s
    site.lose(1)
    site.now_s = sent_last_s + 55.0

    assert site.high_ma(1) > 28_000


def test_a_higher_fallback_counts_once_it_is_written() -> None:
    site = OneCircuit()
    site.prove(1)
    site.learn(
        StopInputChanged(at_s=site.now_s, is_stopped=True),
        FallbackInstalled(at_s=site.now_s, connector=ref(1), fallback_ma=0),
    )
    site.leave(1)
    site.now_s += 80.0
    site.plug_in(1)
    assert site.high_ma(1) == 0

    site.learn(
        StopInputChanged(at_s=site.now_s, is_stopped=False),
        FallbackInstalled(at_s=site.now_s, connector=ref(1), fallback_ma=6_000),
    )

    assert site.high_ma(1) == 6_000


# What proves a station.


def test_a_mute_station_is_not_proven_by_another_vehicle_that_leaves() -> None:
    site = OneCircuit()
    site.prove(2)
    site.plug_in(1)
    site.begin(1, "mute")
    site.send(1, 6_000)
    site.run(20, base_a=26.0, draws_a={2: 6.0})
    site.send(1, 0)  # Its trial: this cut is to be seen in the circuit.
    quiet(site, 2, 32.0)
    site.leave(2)
    quiet(site, 2, 26.0)  # The six amperes of the other, which has gone.

    assert site.high_ma(1) >= 6_000


def test_a_cut_seen_in_the_circuit_counts_once_it_has_settled() -> None:
    site = OneCircuit()
    site.plug_in(1)
    site.begin(1, "mute")
    site.send(1, 6_000)
    site.run(20, base_a=26.0, draws_a={})
    site.send(1, 0)
    quiet(site, 2, 26.0)
    quiet(site, 1, 20.0)  # It may have been a kettle.

    assert site.high_ma(1) >= 6_000


def test_a_station_told_in_watts_does_not_disobey_for_a_low_voltage() -> None:
    site = OneCircuit()
    site.is_capable(1, unit=RateUnit.WATTS)
    site.prove(1)
    site.send(1, 16_000)
    quiet(site, 20, 40.0)
    site.draw(1, 16 * 230 / 207)

    assert not site.seen().overdrawn[0]


# What readings tell.


def test_energy_alone_does_not_end_an_overdraw() -> None:
    site = charging(6.0)
    site.draw(1, 30.0)
    assert site.high_ma(1) == 32_000

    site.now_s += 1.0
    site.learn(ConnectorMetered(at_s=site.now_s, connector=ref(1), energy_wh=1_234.0))

    assert site.seen().overdrawn[0]
    assert site.high_ma(1) == 32_000


def test_energy_alone_is_no_rest() -> None:
    site = OneCircuit()
    site.plug_in(1)
    site.draw(1, 0.0)
    site.send(1, 6_000)
    quiet(site, 20, 20.0)
    site.learn(ConnectorMetered(at_s=site.now_s, connector=ref(1), energy_wh=1.0))

    assert site.high_ma(1) == 32_000


def test_what_was_read_before_a_pause_is_not_drawn_after_it() -> None:
    site = OneCircuit()
    site.is_capable(1, interval_s=60.0)
    site.prove(1)
    site.send(1, 16_000)
    quiet(site, 20, 56.0)
    site.draw(1, 16.0)
    site.flow(56.0)
    site.now_s += 1.0
    site.send(1, 0)
    quiet(site, 8, 56.0)
    quiet(site, 29, 40.0)
    site.send(1, 6_000)
    quiet(site, 1, 40.0)

    assert site.seen().rows[0].base_ma >= 40_000


def test_a_frozen_meter_shows_itself_where_connectors_draw_more_than_it() -> None:
    site = OneCircuit()
    site.prove(1, 2)
    site.begin(1, "one")
    site.begin(2, "two")
    for second in range(40):
        site.now_s += 1.0
        site.flow(1.5)
        if second % 5 == 0:
            for number in (1, 2):
                site.draw(number, site.told_ma(number) / 1_000)
        site.decide()
    row = site.seen().rows[0]

    assert row.age_s is not None
    assert row.age_s > 15.0
    assert row.base_ma == 70_000


def test_a_meter_of_coarse_resolution_is_not_frozen_while_its_power_changes() -> None:
    site = OneCircuit()
    for second in range(60):
        site.now_s += 1.0
        site.flow(30.0, power_w=6_900.0 + second % 5)

    assert site.seen().rows[0].age_s == 0.0


def test_a_frozen_meter_opens_no_trip_output() -> None:
    site = OneCircuit()
    for _ in range(90):
        site.now_s += 1.0
        site.flow(101.0)

        assert site.decide().trips == ()


# Phases.


def told(site: OneCircuit, current_a: tuple[float | None, ...], power_w: float) -> None:
    """Let the first station report, time and again, what it tells of each of its phases."""
    one, two, three = current_a
    for _ in range(4):
        site.now_s += 10.0
        site.learn(
            ConnectorMetered(
                at_s=site.now_s,
                connector=ref(1),
                current_a=(one, two, three),
                power_w=power_w,
            )
        )


def charging_at_six() -> OneCircuit:
    site = OneCircuit()
    site.plug_in(1)
    site.begin(1, "first")
    site.send(1, 6_000)
    return site


def test_a_current_told_for_one_phase_alone_does_not_tell_that_the_others_are_free() -> None:
    site = charging_at_six()
    told(site, (6.0, None, None), power_w=1_380.0)

    assert site.seen().masks[0] == (True, True, True)


def test_a_reading_with_a_gap_does_not_tell_that_a_phase_is_free() -> None:
    site = charging_at_six()
    told(site, (6.0, None, 6.0), power_w=4_140.0)

    assert site.seen().masks[0] == (True, True, True)


def test_a_current_told_once_is_that_of_each_phase_where_the_power_says_so() -> None:
    site = charging_at_six()
    told(site, (6.0, None, None), power_w=4_140.0)

    assert site.seen().masks[0] == (True, True, True)
    assert site.seen().low_ma[0] == (5_700, 5_700, 5_700)


def test_a_row_that_is_paused_pauses_whoever_is_wired_to_it() -> None:
    site = on_one_phase()
    for _ in range(40):
        site.now_s += 1.0
        noise_a = 0.001 * (site.now_s % 7)
        site.flow_on_phases((10.0 + noise_a, 101.0 + noise_a, 10.0 + noise_a))
        site.decide()
    reason = site.decide().reasons[ref(1)]

    assert reason.kind is ReasonKind.OVER_RATING
    assert reason.limit_ma == 0


def on_one_phase() -> OneCircuit:
    """Return the board with a proven station whose vehicle is known to use its first phase."""
    site = OneCircuit()
    site.plug_in(1)
    site.begin(1, "first")
    site.draw_on_phases(1, (20.0, 0.0, 0.0))
    site.send(1, 6_000)
    for _ in range(3):
        site.now_s += 5.0
        site.draw_on_phases(1, (6.0, 0.0, 0.0))
    assert site.seen().claimed_ma == [6_000, 0, 0]
    return site


def test_all_phases_count_while_a_station_is_out_of_reach() -> None:
    site = on_one_phase()
    site.lose(1)

    assert min(site.seen().claimed_ma) >= 6_000


def test_all_phases_count_again_when_it_was_gone_long_enough_for_another_vehicle() -> None:
    site = on_one_phase()
    site.lose(1)
    site.now_s += 200.0
    site.learn(StationConnected(at_s=site.now_s, station=ref(1).station))
    site.plug_in(1)

    assert min(site.seen().claimed_ma) >= 6_000


def test_all_phases_count_again_after_a_boot() -> None:
    site = on_one_phase()
    site.boot(1)

    assert site.seen().claimed_ma == [32_000] * 3


def test_all_phases_count_again_after_a_transaction() -> None:
    site = on_one_phase()
    site.end(1, "first")
    site.begin(1, "second")

    assert site.seen().claimed_ma == [6_000] * 3


def test_all_phases_count_again_after_a_pause() -> None:
    site = on_one_phase()
    site.send(1, 0)
    site.now_s += 15.0
    site.draw_on_phases(1, (0.0, 0.0, 0.0))
    site.send(1, 6_000)

    assert site.seen().claimed_ma == [6_000] * 3


def test_a_station_told_in_watts_is_proven_at_any_voltage_there_may_be() -> None:
    site = OneCircuit()
    site.is_capable(1, unit=RateUnit.WATTS)
    site.plug_in(1)
    site.begin(1, "watts")
    told_ma = [0] * 6  # It follows after six seconds.
    for _ in range(300):
        told_ma.append(site.told_ma(1))
        drawn_a = told_ma[-6] * 230 / 207 / 1_000  # At 207 V its watts are more amperes.
        site.run(1, base_a=20.0, draws_a={1: drawn_a})

    assert site.state.stations[ref(1).station].is_proven
