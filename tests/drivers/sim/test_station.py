"""A simulated station keeps to what it stores: leases, reboots, clocks and disobedience."""

from collections.abc import Callable

import pytest

from drivers.sim.evse import Evse
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.observations import Answered, Observation, Outcome
from drivers.sim.plant import Plant
from drivers.sim.profiles import ChargingProfile, Kind, Period, Purpose
from drivers.sim.scenario import Scenario, StationTraits
from gateway.domain.charging import ChargingState, ConnectorStatus, OcppVersion, RateUnit
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId
from gateway.domain.limits import CurrentLimit
from tests.support.sim_scenarios import CP1, CP2, ONE, small_scenario, traits_of, visit

# A limit is acknowledged within 1.5 s, the pilot follows within 5, the vehicle within 6 more.
FOLLOWED_S = 1.5 + 5.0 + 6.0 + 0.1


def evse_of(plant: Plant) -> Evse:
    return plant.world.stations[CP1].evses[1]


def one_car(
    *faults: Fault, traits: StationTraits | None = None, seed: int = 1, leave_s: float = 10_000.0
) -> Scenario:
    return small_scenario(
        seed=seed,
        stations=(traits or traits_of(CP1), traits_of(CP2)),
        visits=(visit(leave_s=leave_s),),
        faults=faults,
    )


def fault(
    kind: FaultKind, at_s: float, until_s: float, *, subject: str = CP1, value: float = 0.0
) -> Fault:
    return Fault(kind=kind, at_s=at_s, until_s=until_s, subject=subject, value=value)


def send(plant: Plant, amps: float, *, valid_for_s: float = 60.0) -> int:
    limit = CurrentLimit(limit_ma=int(amps * 1_000), phase_count=3, voltage_v=230.0)
    return plant.send_limit(ONE, limit, valid_for_s=valid_for_s, at_s=plant.now_s)


def limit_over_time(plant: Plant, to_s: float) -> list[tuple[float, float]]:
    """Return when the limit in force changed, to the tenth of a second, and to what."""
    changes: list[tuple[float, float]] = []
    while plant.now_s < to_s:
        before_a = evse_of(plant).limit_a
        plant.advance(round(plant.now_s + 0.1, 1))
        if evse_of(plant).limit_a != before_a:
            changes.append((plant.now_s, evse_of(plant).limit_a))
    return changes


def test_a_lease_lapses_to_the_fallback_by_itself() -> None:
    plant = Plant(one_car())
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=60.0)

    changes = limit_over_time(plant, 400.0)

    assert [limit_a for _, limit_a in changes] == [20.0, 6.0]
    assert changes[0][0] - 100.0 <= 1.6
    # The gateway knows the station's clock only to within the delay of its messages.
    assert changes[1][0] - 100.0 == pytest.approx(60.0, abs=2.1)


def test_a_renewed_lease_does_not_lapse() -> None:
    plant = Plant(one_car())
    plant.advance(100.0)
    for _ in range(20):
        send(plant, 20.0, valid_for_s=60.0)
        plant.advance(plant.now_s + 20.0)
        assert evse_of(plant).limit_a == 20.0


@pytest.mark.parametrize("version", list(OcppVersion))
def test_the_vehicle_follows_a_limit_within_the_chain(version: OcppVersion) -> None:
    for seed in range(30):
        plant = Plant(one_car(traits=traits_of(CP1, version=version), seed=seed))
        plant.advance(100.0)
        assert evse_of(plant).draw_a == 6.0

        send(plant, 20.0)
        plant.advance(100.0 + FOLLOWED_S)
        assert evse_of(plant).draw_a == 20.0

        send(plant, 8.0)
        plant.advance(100.0 + 2 * FOLLOWED_S)
        assert evse_of(plant).draw_a == 8.0


def test_the_pilot_waits_up_to_five_seconds_and_the_vehicle_up_to_six_more() -> None:
    pilots_s: list[float] = []
    draws_s: list[float] = []
    for seed in range(60):
        plant = Plant(one_car(seed=seed))
        plant.advance(100.0)
        send(plant, 20.0)
        in_force_s = pilot_s = 0.0
        while evse_of(plant).draw_a < 20.0:
            plant.advance(plant.now_s + 0.05)
            in_force_s = in_force_s or plant.now_s * (evse_of(plant).limit_a == 20.0)
            pilot_s = pilot_s or plant.now_s * (evse_of(plant).pilot_a == 20.0)
        pilots_s.append(pilot_s - in_force_s)
        draws_s.append(plant.now_s - pilot_s)

    assert 4.0 < max(pilots_s) <= 5.1
    assert min(pilots_s) < 1.0
    assert 4.0 < max(draws_s) <= 6.1
    assert min(draws_s) < 2.5


def test_a_new_vehicle_begins_with_the_fallback_in_force() -> None:
    plant = Plant(one_car())
    plant.advance(60.0)

    assert evse_of(plant).draw_a == 6.0


def test_without_anything_stored_a_station_gives_all_it_has() -> None:
    plant = Plant(one_car(traits=traits_of(CP1, is_commissioned=False)))
    plant.advance(60.0)

    assert evse_of(plant).draw_a == 32.0


def test_the_fallback_can_be_written_and_is_told() -> None:
    plant = Plant(one_car(traits=traits_of(CP1, is_commissioned=False)))
    told = plant.advance(60.0)
    assert not [o for o in told if isinstance(o, FallbackInstalled) and o.connector == ONE]

    plant.set_fallback(ONE, CurrentLimit(limit_ma=10_000), at_s=60.0)
    told = plant.advance(60.0 + FOLLOWED_S)

    assert [o.fallback_ma for o in told if isinstance(o, FallbackInstalled)] == [10_000]
    assert evse_of(plant).draw_a == 10.0
    assert plant.report().stations[0].persistent_write_count == 1


def test_without_a_link_a_station_keeps_to_what_it_stores() -> None:
    plant = Plant(one_car(fault(FaultKind.STATION_LOST, 110.0, 300.0)))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=60.0)
    told = plant.advance(150.0)
    assert evse_of(plant).draw_a == 20.0

    told += plant.advance(175.0)
    assert evse_of(plant).draw_a == 6.0

    told += plant.advance(320.0)
    links = [o for o in told if isinstance(o, StationDisconnected | StationConnected)]
    assert [type(o) for o in links] == [StationDisconnected, StationConnected]
    assert links[1].at_s > 300.0
    assert CP1 in plant.connected_stations()


def test_what_happened_without_a_link_is_told_after_it() -> None:
    plant = Plant(one_car(fault(FaultKind.STATION_LOST, 110.0, 300.0), leave_s=200.0))
    plant.advance(290.0)

    told = plant.advance(330.0)

    ended = [o for o in told if isinstance(o, TransactionEnded)]
    assert [o.connector for o in ended] == [ONE]
    statuses = [o for o in told if isinstance(o, ConnectorStatusChanged)]
    assert statuses[-1].status is ConnectorStatus.AVAILABLE


@pytest.mark.parametrize(("keeps", "after_a"), [(False, 6.0), (True, 20.0)])
def test_a_reboot_loses_the_lease_unless_it_is_kept(keeps: bool, after_a: float) -> None:
    reboot = fault(FaultKind.STATION_REBOOT, 110.0, 111.0)
    plant = Plant(one_car(reboot, traits=traits_of(CP1, boot_s=30.0, keeps_tx_profiles=keeps)))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=300.0)
    plant.advance(109.9)
    plant.advance(111.0)
    assert evse_of(plant).draw_a == 0.0

    told = plant.advance(160.0)

    assert [o for o in told if isinstance(o, StationBooted)]
    assert evse_of(plant).limit_a == after_a
    assert evse_of(plant).draw_a == after_a


def test_a_station_that_does_not_resume_begins_anew_after_a_reboot() -> None:
    reboot = fault(FaultKind.STATION_REBOOT, 110.0, 111.0)
    plant = Plant(one_car(reboot, traits=traits_of(CP1, resumes_transaction=False)))
    plant.advance(109.0)

    told = plant.advance(180.0)

    ended = [o.transaction for o in told if isinstance(o, TransactionEnded)]
    started = [o.transaction for o in told if isinstance(o, TransactionStarted)]
    assert len(ended) == len(started) == 1
    assert ended != started


@pytest.mark.parametrize(
    ("jump_s", "limit_a"),
    # On: a lease of a minute is over. Back by an hour: it has not begun. Back a little: it holds.
    [(3_600.0, 6.0), (-3_600.0, 6.0), (-20.0, 20.0), (20.0, 20.0)],
)
def test_a_clock_that_jumps_moves_what_is_in_force(jump_s: float, limit_a: float) -> None:
    jump = fault(FaultKind.STATION_CLOCK_JUMP, 110.0, 111.0, value=jump_s)
    plant = Plant(one_car(jump))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=60.0)
    plant.advance(112.0)

    assert evse_of(plant).limit_a == limit_a


def test_a_clock_set_back_makes_a_lease_longer() -> None:
    jump = fault(FaultKind.STATION_CLOCK_JUMP, 110.0, 111.0, value=-20.0)
    plant = Plant(one_car(jump))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=60.0)

    changes = limit_over_time(plant, 300.0)

    assert changes[-1][0] == pytest.approx(180.0, abs=2.1)


@pytest.mark.parametrize("skew_s", [-45.0, 0.0, 40.0, 3_600.0])
def test_a_clock_that_is_off_is_allowed_for_once_it_has_been_seen(skew_s: float) -> None:
    plant = Plant(one_car(traits=traits_of(CP1, clock_skew_s=skew_s)))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=60.0)

    changes = limit_over_time(plant, 300.0)

    assert [limit for _, limit in changes] == [20.0, 6.0]
    assert changes[1][0] == pytest.approx(160.0, abs=2.1)


def test_a_disobedient_station_accepts_and_stays_where_it_was() -> None:
    plant = Plant(one_car(fault(FaultKind.STATION_DISOBEDIENT, 130.0, 300.0)))
    plant.advance(100.0)
    send(plant, 20.0)
    plant.advance(131.0)
    send(plant, 8.0)
    plant.advance(180.0)
    assert evse_of(plant).limit_a == 8.0
    assert evse_of(plant).draw_a == 20.0

    plant.advance(300.0 + FOLLOWED_S)
    assert evse_of(plant).draw_a == 6.0


def test_a_runaway_station_gives_its_maximum_whatever_it_accepted() -> None:
    plant = Plant(one_car(fault(FaultKind.STATION_RUNAWAY, 130.0, 300.0)))
    plant.advance(100.0)
    send(plant, 10.0)
    plant.advance(130.0 + FOLLOWED_S)

    assert evse_of(plant).limit_a == 10.0
    assert evse_of(plant).draw_a == 32.0


def test_a_rejecting_station_keeps_the_lease_before() -> None:
    plant = Plant(one_car(fault(FaultKind.STATION_REJECTS, 132.0, 300.0)))
    plant.advance(130.0)
    send(plant, 20.0, valid_for_s=60.0)
    plant.advance(133.0)
    send(plant, 8.0)
    plant.advance(140.0)
    assert evse_of(plant).limit_a == 20.0

    plant.advance(195.0)
    assert evse_of(plant).limit_a == 6.0


def test_a_watts_only_station_takes_and_tells_watts() -> None:
    plant = Plant(one_car(traits=traits_of(CP1, is_watts_only=True)))
    told = plant.advance(100.0)
    units = {o.station: o.capabilities.rate_units for o in told if isinstance(o, CapabilitiesRead)}
    assert units[CP1] == {RateUnit.WATTS}

    send(plant, 20.0)
    told = plant.advance(160.0)

    metered = [o for o in told if isinstance(o, ConnectorMetered)][-1]
    assert evse_of(plant).draw_a == pytest.approx(20.0)
    assert metered.current_a == (None, None, None)
    assert metered.power_w == pytest.approx(20.0 * 690.0, rel=0.001)


def test_watts_for_one_phase_at_the_lowest_voltage_never_give_more_amperes() -> None:
    plant = Plant(one_car(traits=traits_of(CP1, is_watts_only=True)))
    plant.advance(100.0)
    limit = CurrentLimit(limit_ma=20_000, phase_count=1, voltage_v=207.0)
    plant.send_limit(ONE, limit, valid_for_s=60.0, at_s=100.0)
    plant.advance(130.0)

    assert evse_of(plant).limit_a == pytest.approx(20.0 * 207.0 / 230.0)


def outcomes(told: list[Observation], call: int) -> list[Outcome]:
    return [o.outcome for o in told if isinstance(o, Answered) and o.call_number == call]


def metered_after(plant: Plant, to_s: float) -> list[ConnectorMetered]:
    return [o for o in plant.advance(to_s) if isinstance(o, ConnectorMetered)]


def test_meter_values_come_each_interval_and_are_a_little_old() -> None:
    plant = Plant(one_car())
    plant.advance(100.0)

    metered = metered_after(plant, 200.0)

    assert len(metered) == 10  # Sampled at 103, 113 ...
    for index, reading in enumerate(metered):
        assert 0.1 <= reading.at_s - (103.0 + 10.0 * index) <= 2.0
        assert reading.current_a == (6.0, 6.0, 6.0)
        assert reading.power_w == pytest.approx(6.0 * 690.0)


@pytest.mark.parametrize(
    ("kind", "value", "judge"),
    [
        (FaultKind.STATION_LYING, 0.5, lambda shown: set(shown) == {3.0}),
        (FaultKind.STATION_LYING, 0.0, lambda shown: set(shown) == {0.0}),
        (FaultKind.STATION_METER_FROZEN, 0.0, lambda shown: set(shown) == {6.0}),
        (FaultKind.STATION_SILENT, 0.0, lambda shown: shown == []),
    ],
)
def test_a_station_may_lie_about_what_it_gives(
    kind: FaultKind, value: float, judge: Callable[[list[float | None]], bool]
) -> None:
    plant = Plant(one_car(fault(kind, 150.0, 400.0, value=value)))
    plant.advance(152.0)
    if kind is FaultKind.STATION_METER_FROZEN:
        send(plant, 20.0)

    metered = metered_after(plant, 200.0)

    assert judge([reading.current_a[0] for reading in metered])


def test_a_mute_station_tells_no_meter_values_and_refuses_to_be_asked() -> None:
    plant = Plant(one_car(traits=traits_of(CP1, sends_meter_values=False)))
    plant.advance(100.0)
    call = plant.request_reading(ONE, at_s=100.0)

    told = plant.advance(200.0)

    assert not [o for o in told if isinstance(o, ConnectorMetered)]
    assert outcomes(told, call) == [Outcome.REJECTED]


def test_states_are_told_as_they_come() -> None:
    plant = Plant(one_car(leave_s=300.0))
    told = plant.advance(100.0)
    send(plant, 0.0)
    told += plant.advance(150.0)
    told += plant.advance(310.0)

    mine = [o for o in told if isinstance(o, ConnectorStatusChanged) and o.connector == ONE]
    assert [o.charging_state for o in mine if o.charging_state] == [
        ChargingState.EV_CONNECTED,
        ChargingState.CHARGING,
        ChargingState.SUSPENDED_EVSE,
        ChargingState.SUSPENDED_EV,  # The lease of 0 A has lapsed; the vehicle wakes.
        ChargingState.CHARGING,
    ]
    assert [o.status for o in mine if o.status] == [
        ConnectorStatus.AVAILABLE,
        ConnectorStatus.OCCUPIED,
        ConnectorStatus.AVAILABLE,
    ]


def test_a_lease_ends_with_its_transaction() -> None:
    plant = Plant(one_car(leave_s=130.0))
    plant.advance(100.0)
    send(plant, 20.0, valid_for_s=600.0)
    plant.advance(131.0)
    station = plant.world.stations[CP1]

    assert evse_of(plant).limit_a == 6.0
    assert station.clear(131.0, purpose=Purpose.TX) is False
    assert station.clear(131.0, purpose=Purpose.TX_DEFAULT) is True


def test_the_maximum_of_a_station_is_shared_by_its_connectors() -> None:
    plant = Plant(one_car())
    plant.advance(100.0)
    send(plant, 20.0)
    plant.advance(110.0)
    station = plant.world.stations[CP1]
    whole = ChargingProfile(
        number=99,
        stack_level=0,
        purpose=Purpose.STATION_MAX,
        kind=Kind.ABSOLUTE,
        rate_unit=RateUnit.AMPERES,
        periods=(Period(start_s=0.0, limit=14.0),),
        start_s=0.0,
    )

    assert station.install(0, whole, 110.0) == ""
    assert evse_of(plant).limit_a == 14.0
    second = Evse(evse_of(plant).connector)
    second.transaction = TransactionId("another")
    station.evses[2] = second
    station.refresh(110.0, was_sent=False)
    assert evse_of(plant).limit_a == 7.0


def test_a_station_without_a_transaction_rejects_a_lease() -> None:
    plant = Plant(small_scenario())
    plant.advance(60.0)
    call = send(plant, 20.0)

    told = plant.advance(70.0)

    assert outcomes(told, call) == [Outcome.REJECTED]
    assert evse_of(plant).limit_a == 6.0
