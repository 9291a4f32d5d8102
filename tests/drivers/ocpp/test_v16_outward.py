"""What we ask of a 1.6 station, and how it must be asked: the library's station listens."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drivers.ocpp.rpc import SupersededError
from drivers.ocpp.v16 import V16Adapter
from gateway.domain.charging import ChargingState, RateUnit
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.memory import Memory
from gateway.ports import Clock, Ledger
from tests.support.ocpp16_station import Station16, station16
from tests.support.ocpp_hall import Hall, JumpingClock, PassingClock, in_hall, wait_until
from tests.support.paper_ledger import PaperLedger

FIRST = ConnectorRef(StationId("CP-01"), 1)
LEASE = timedelta(seconds=60)


def now(*, ahead_s: float = 0) -> str:
    at = datetime.now(UTC) + timedelta(seconds=ahead_s)  # noqa: TID251 - a station's own clock
    return at.isoformat()


def amperes(current_a: float, **extra: Any) -> CurrentLimit:
    return CurrentLimit(limit_ma=int(current_a * 1_000), **extra)


def with_station(
    scene: Callable[[Hall, Station16], Awaitable[None]],
    *,
    vendor: str = "Vendor",
    call_deadline_s: float = 10.0,
    clock: Clock | None = None,
    ledger: Ledger | None = None,
    memory: Memory | None = None,
    **options: Any,
) -> None:
    """Run a scene with a station that has booted and been interviewed."""

    async def run(hall: Hall) -> None:
        async with station16(hall, **options) as station:
            await station.boot(vendor=vendor)
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            await scene(hall, station)

    in_hall(run, call_deadline_s=call_deadline_s, clock=clock, ledger=ledger, memory=memory)


def lease_end(profile: dict[str, Any]) -> datetime:
    schedule = profile["charging_schedule"]
    start = datetime.fromisoformat(schedule["start_schedule"])
    return start + timedelta(seconds=schedule["duration"])


def test_capabilities_are_read_before_anything_else_and_posted() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        read = hall.facts_of(CapabilitiesRead)[0].capabilities
        assert read.rate_units == {RateUnit.AMPERES, RateUnit.WATTS}
        assert (read.stack_level, read.profile_count, read.period_count) == (10, 20, 24)
        assert (read.vendor, read.model, read.firmware) == ("Vendor", "Model", "1.0")
        assert station.heard[0][0] == "GetConfiguration"

    with_station(scene)


def test_meter_values_are_asked_for_every_ten_seconds_and_the_news_is_posted() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await wait_until(lambda: len(hall.facts_of(CapabilitiesRead)) == 2)

        assert station.configuration["MeterValueSampleInterval"] == "10"
        assert station.configuration["ClockAlignedDataInterval"] == "10"
        wanted = "Current.Import,Power.Active.Import,Energy.Active.Import.Register,SoC"
        assert station.configuration["MeterValuesSampledData"] == wanted
        assert [f.capabilities.sample_interval_s for f in hall.facts_of(CapabilitiesRead)] == [
            60,
            10,
        ]

    with_station(scene)


def test_a_configuration_that_is_good_enough_is_not_written() -> None:
    told = {
        "MeterValueSampleInterval": "5",
        "ClockAlignedDataInterval": "10",
        "MeterValuesSampledData": "Voltage,SoC,Current.Import,Power.Active.Import,"
        "Energy.Active.Import.Register",
    }

    async def scene(hall: Hall, station: Station16) -> None:
        hall.server.station(FIRST.station)
        await hall.driver.set_fallback(FIRST, amperes(6))  # Comes after the interview.
        await asyncio.sleep(0.1)

        assert station.said("ChangeConfiguration") == []

    with_station(scene, configuration=told, read_only={"MeterValuesAlignedData"})


def test_measurands_a_station_refuses_are_left_off_the_end() -> None:
    async def scene(_: Hall, station: Station16) -> None:
        await wait_until(lambda: len(station.said("ChangeConfiguration")) >= 4)

        offers = [
            said["value"].split(",")
            for said in station.said("ChangeConfiguration")
            if said["key"] == "MeterValuesSampledData"
        ]
        assert [len(offer) for offer in offers] == [3, 2, 1]
        assert offers[-1] == ["Current.Import"]

    with_station(
        scene,
        configuration={"MeterValuesSampledDataMaxLength": "3"},
        statuses={"MeterValuesSampledData": "Rejected"},
    )


def test_a_station_that_knows_no_configuration_still_takes_limits() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        read = hall.facts_of(CapabilitiesRead)[0].capabilities
        assert read.rate_units == {RateUnit.AMPERES}
        assert read.stack_level is None
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert station.profiles("TxProfile")[0]["stack_level"] == 0

    with_station(scene, statuses={"GetConfiguration": "NotSupported"})


def test_a_lease_in_a_transaction_is_a_tx_profile_that_lapses_in_time() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        transaction = await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(12.37), valid_for=LEASE)

        (profile,) = station.profiles()
        assert profile["connector_id"] == 1
        assert profile["transaction_id"] == transaction
        assert profile["charging_profile_purpose"] == "TxProfile"
        assert profile["charging_profile_kind"] == "Absolute"
        schedule = profile["charging_schedule"]
        assert schedule["charging_rate_unit"] == "A"
        (period,) = schedule["charging_schedule_period"]
        assert (period["start_period"], str(period["limit"])) == (0, "12.3")
        left = lease_end(profile) - datetime.fromisoformat(now())
        assert timedelta(seconds=40) < left <= LEASE
        assert hall.server.station(FIRST.station).flash_writes == 0

    with_station(scene)


def test_a_renewed_lease_takes_the_place_of_the_one_before() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        await hall.driver.set_limit(FIRST, amperes(8), valid_for=LEASE)

        first, second = station.profiles()
        assert first["charging_profile_id"] == second["charging_profile_id"]
        assert first["stack_level"] == second["stack_level"]

    with_station(scene)


@pytest.mark.parametrize(("asked_a", "told_a"), [(5.9, 0), (0, 0), (6.05, 6.0), (31.99, 31.9)])
def test_no_limit_between_nothing_and_six_amperes_is_ever_sent(
    asked_a: float, told_a: float
) -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(asked_a), valid_for=LEASE)

        (period,) = station.profiles()[0]["charging_schedule"]["charging_schedule_period"]
        assert float(period["limit"]) == told_a

    with_station(scene)


def test_a_station_that_takes_watts_is_told_watts_and_phases() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        limit = amperes(10.07, phase_count=3, voltage_v=207.5)
        await hall.driver.set_limit(FIRST, limit, valid_for=LEASE)

        schedule = station.profiles()[0]["charging_schedule"]
        assert schedule["charging_rate_unit"] == "W"
        assert schedule["charging_schedule_period"] == [
            {"start_period": 0, "limit": 6_225, "number_phases": 3}  # 10.0 A x 207.5 V x 3
        ]

    with_station(scene, configuration={"ChargingScheduleAllowedChargingRateUnit": "Power"})


def test_no_limit_is_told_before_it_is_known_how_the_station_wants_it() -> None:
    watts = {"ChargingScheduleAllowedChargingRateUnit": "Power"}

    async def scene(hall: Hall) -> None:
        slow = {"GetConfiguration": 0.3}
        async with station16(hall, configuration=watts, delays_s=slow) as station:
            await station.boot()
            await station.start_transaction(1, timestamp=now())
            assert hall.facts_of(CapabilitiesRead) == []
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

            (profile,) = station.profiles()
            assert profile["charging_schedule"]["charging_rate_unit"] == "W"

    in_hall(scene)


@pytest.mark.parametrize("ahead_s", [-40.0, 40.0])
def test_a_small_skew_is_taken_into_the_lease(ahead_s: float) -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now(ahead_s=ahead_s))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        left = lease_end(profile) - datetime.fromisoformat(now(ahead_s=ahead_s))
        assert timedelta(seconds=40) < left <= LEASE

    with_station(scene)


@pytest.mark.parametrize("ahead_s", [-3_600.0, 3_600.0])
def test_a_station_whose_clock_is_wrong_gets_a_lease_that_needs_none(ahead_s: float) -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now(ahead_s=ahead_s))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        assert profile["charging_profile_kind"] == "Relative"
        assert "start_schedule" not in profile["charging_schedule"]
        # It may arrive ten seconds after it was made, and lapses all the same in time.
        assert profile["charging_schedule"]["duration"] == 50

    with_station(scene)


@pytest.mark.parametrize("jump_s", [-40.0, 40.0])
def test_a_jump_of_our_own_clock_moves_no_lease(jump_s: float) -> None:
    clock = JumpingClock()

    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        clock.jumped = timedelta(seconds=jump_s)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        left = lease_end(profile) - datetime.fromisoformat(now())
        assert timedelta(seconds=40) < left <= LEASE

    with_station(scene, clock=clock)


@pytest.mark.parametrize("jump_s", [-50.0, 50.0])
def test_a_station_told_the_time_gets_no_lease_too_long_whether_it_sets_its_clock_or_not(
    jump_s: float,
) -> None:
    clock = JumpingClock()

    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        clock.jumped = timedelta(seconds=jump_s)
        await station.heartbeat()
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        for ahead_s in (0, jump_s):
            assert lease_end(profile) - datetime.fromisoformat(now(ahead_s=ahead_s)) <= LEASE

    with_station(scene, clock=clock)


def test_a_station_whose_clock_goes_back_an_hour_is_heard_and_limited_as_before() -> None:
    clock, back = PassingClock(), timedelta(hours=1)

    async def scene(hall: Hall, station: Station16) -> None:
        async def half_minutes(count: int, *, back: timedelta = timedelta(0)) -> None:
            for _ in range(count):
                clock.passed_s += 30
                at = clock.now_at() - back
                await station.say_meter_values(1, transaction=transaction, timestamp=at.isoformat())
                await station.heartbeat()

        await station.say_status(1, "Charging", timestamp=clock.now_at().isoformat())
        transaction = await station.start_transaction(1, timestamp=clock.now_at().isoformat())
        await half_minutes(12)
        assert len(hall.facts_of(ConnectorMetered)) == 12

        at = clock.now_at() - back
        await station.say_status(1, "SuspendedEV", timestamp=at.isoformat())
        states = [f.charging_state for f in hall.facts_of(ConnectorStatusChanged)]
        assert states[-1] is ChargingState.SUSPENDED_EV
        await half_minutes(6, back=back)
        assert len(hall.facts_of(ConnectorMetered)) == 12 + 4
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        assert profile["charging_profile_kind"] == "Relative"

    with_station(scene, clock=clock)


def test_a_station_that_knows_nothing_relative_gets_no_more_until_its_clock_is_known() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_meter_values(1, transaction=17)  # Adopted, and says no time.
        await hall.driver.set_fallback(FIRST, amperes(16))
        with pytest.raises(LimitRejectedError, match="clock is not known"):
            await hall.driver.set_limit(FIRST, amperes(20), valid_for=LEASE)
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        (cut,) = station.profiles("TxProfile")
        assert cut["charging_schedule"]["charging_schedule_period"][0]["limit"] == 6

    with_station(scene, vendor="Easee")


def test_a_limit_nobody_waited_for_is_believed_to_be_in_force() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        station.delays_s["SetChargingProfile"] = 0.2
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        # The fallback alone would leave the 16 A in force for the rest of their lease.
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits] == [6, 16, 6]

    with_station(scene)


def test_a_lease_for_no_transaction_outlives_one_that_came_and_went() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        transaction = await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        await station.stop_transaction(transaction, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        last = station.profiles()[-1]
        assert last["charging_profile_purpose"] == "TxDefaultProfile"
        assert last["charging_schedule"]["charging_schedule_period"][0]["limit"] == 6

    with_station(scene)


def test_the_lease_from_before_a_transaction_gives_its_place_where_places_are_few() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert station.installed == {11, 13}

    with_station(scene, most_profiles=2, configuration={"MaxChargingProfilesInstalled": "2"})


def test_a_lease_below_the_fallback_stays_until_it_is_over() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(10))
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)
        await station.start_transaction(1, timestamp=now())
        with pytest.raises(LimitRejectedError):
            await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        assert station.installed == {11, 12}

    with_station(scene, most_profiles=2)


def test_watts_for_another_number_of_phases_are_another_fallback() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        for phase_count in (1, 1, 3):
            await hall.driver.set_fallback(FIRST, amperes(6, phase_count=phase_count))

        told = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in told] == [1_242, 3_726]

    with_station(scene, configuration={"ChargingScheduleAllowedChargingRateUnit": "Power"})


def test_a_known_make_gets_the_form_it_takes() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles()
        assert profile["charging_profile_kind"] == "Relative"
        assert profile["stack_level"] == 0

    with_station(scene, vendor="Wall Box Chargers")


def test_without_a_transaction_a_lease_lies_above_the_fallback_and_wears_flash() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        fallback, lease = station.profiles()
        assert lease["charging_profile_purpose"] == "TxDefaultProfile"
        assert (fallback["stack_level"], lease["stack_level"]) == (0, 1)
        assert fallback["charging_profile_id"] != lease["charging_profile_id"]
        assert "duration" not in fallback["charging_schedule"]
        left = lease_end(lease) - datetime.fromisoformat(now())
        assert timedelta(seconds=40) < left <= LEASE
        assert hall.server.station(FIRST.station).flash_writes == 2

    with_station(scene)


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"ChargeProfileMaxStackLevel": "0"}, "above its fallback"),
        ({"MaxChargingProfilesInstalled": "some"}, "above its fallback"),
        ({}, "clock is not known"),
    ],
)
def test_without_a_transaction_no_lease_is_sent_that_might_not_lapse(
    configuration: dict[str, str], said: str
) -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        with pytest.raises(LimitRejectedError, match=said):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        assert station.profiles() == []

    with_station(scene, configuration=configuration)


def test_flash_is_written_ten_times_a_day_and_then_only_to_cut() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        for _ in range(9):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        with pytest.raises(LimitRejectedError, match="flash"):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        await hall.driver.set_limit(FIRST, amperes(8), valid_for=LEASE)
        await hall.driver.set_fallback(FIRST, amperes(0))

        assert hall.server.station(FIRST.station).flash_writes == 12
        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits[-2:]] == [8, 0]

    with_station(scene)


def test_what_was_written_before_a_restart_is_of_the_same_day() -> None:
    ledger = PaperLedger()

    async def before(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        for _ in range(9):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        ledger.commit()

    async def after(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        with pytest.raises(LimitRejectedError, match="flash"):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

    with_station(before, ledger=ledger)
    with_station(after, memory=Memory(flash=ledger.memory.flash))


def test_a_vehicle_at_rest_below_its_fallback_wears_no_flash_over_and_over() -> None:
    clock = PassingClock()

    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Finishing", timestamp=clock.now_at().isoformat())
        await hall.driver.set_fallback(FIRST, amperes(6))
        for _ in range(60):
            clock.passed_s += 20
            with contextlib.suppress(LimitRejectedError):
                await hall.driver.set_limit(FIRST, amperes(0), valid_for=LEASE)
            await station.heartbeat()

        assert hall.server.flash_writes() == {FIRST.station: 10}

    with_station(scene, clock=clock)


def test_once_flash_is_spent_a_fallback_is_written_only_to_forbid() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        for n in range(10):
            await hall.driver.set_fallback(FIRST, amperes(6 + n))
        with pytest.raises(LimitRejectedError, match="flash"):
            await hall.driver.set_fallback(FIRST, amperes(16))
        await hall.driver.set_fallback(FIRST, amperes(0))
        with pytest.raises(LimitRejectedError, match="flash"):
            await hall.driver.set_fallback(FIRST, amperes(6))

        assert len(station.profiles()) == 11
        # What is refused unsent leaves what is known as it is.
        assert hall.facts_of(FallbackInstalled)[-1].fallback_ma == 0

    with_station(scene)


def test_a_limit_the_fallback_already_says_wears_nothing() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        assert len(station.profiles()) == 1
        assert [f.fallback_ma for f in hall.facts_of(FallbackInstalled)] == [6_000, 6_000]

    with_station(scene)


def test_a_lease_that_ended_with_its_transaction_leaves_the_fallback_to_say_it() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        transaction = await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        await station.stop_transaction(transaction, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        assert [p["charging_profile_purpose"] for p in station.profiles()] == [
            "TxDefaultProfile",
            "TxProfile",
        ]
        assert hall.server.station(FIRST.station).flash_writes == 1

    with_station(scene)


def test_a_fallback_needs_no_clock_and_what_others_left_above_it_is_cleared() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: len(station.said("ClearChargingProfile")) == 5)

        (profile,) = station.profiles()
        assert profile["charging_profile_purpose"] == "TxDefaultProfile"
        assert profile["charging_profile_kind"] == "Relative"
        assert profile["connector_id"] == 1
        above = [said for said in station.said("ClearChargingProfile") if said.get("connector_id")]
        assert [said["stack_level"] for said in above] == [2, 3]

    with_station(scene, configuration={"ChargeProfileMaxStackLevel": "3"})


def test_what_others_left_for_the_whole_station_is_cleared_before_its_first_fallback() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        second = ConnectorRef(FIRST.station, 2)
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_fallback(second, amperes(6))
        await station.boot()
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_fallback(second, amperes(6))

        told = [
            action
            for action, said in station.heard
            if action == "SetChargingProfile"
            or (action == "ClearChargingProfile" and said.get("connector_id") == 0)
        ]
        # Never after a fallback: a station might take connector 0 for all of them.
        assert told == ["ClearChargingProfile", "SetChargingProfile", "SetChargingProfile"] * 2
        whole = {"connector_id": 0, "charging_profile_purpose": "TxDefaultProfile"}
        assert station.said("ClearChargingProfile").count(whole) == 2

    with_station(scene)


def test_a_station_that_does_not_say_it_cleared_gets_its_fallback_all_the_same() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        station.delays_s["ClearChargingProfile"] = 1.3
        with pytest.raises(StationUnreachableError):
            await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_fallback(FIRST, amperes(6))

        assert len(station.profiles("TxDefaultProfile")) == 1

    with_station(scene, call_deadline_s=1.0)


def test_leases_of_an_earlier_run_are_cleared_once() -> None:
    async def scene(_: Hall, station: Station16) -> None:
        await station.boot()
        await wait_until(lambda: len(station.said("GetConfiguration")) == 2)
        await asyncio.sleep(0.1)

        assert station.said("ClearChargingProfile") == [
            {"charging_profile_purpose": "TxProfile"},
            {"charging_profile_purpose": "TxDefaultProfile", "stack_level": 1},
        ]

    with_station(scene)


def test_a_station_without_tx_profiles_is_asked_once_and_then_limited_by_default() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert len(station.profiles("TxProfile")) == 1
        assert [p["stack_level"] for p in station.profiles("TxDefaultProfile")] == [1, 1]

    with_station(scene, statuses={"TxProfile": "NotSupported"})


def test_a_refused_limit_says_so() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        with pytest.raises(LimitRejectedError, match="Rejected"):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        with pytest.raises(LimitRejectedError):
            await hall.driver.set_fallback(FIRST, amperes(6))

        assert hall.facts_of(FallbackInstalled) == []

    with_station(scene, statuses={"SetChargingProfile": "Rejected"})


def test_a_mute_station_is_unreachable_and_delays_no_other() -> None:
    async def scene(hall: Hall, mute: Station16) -> None:
        await mute.start_transaction(1, timestamp=now())
        async with station16(hall, "CP-02") as other:
            await other.boot()
            await other.start_transaction(1, timestamp=now())
            await wait_until(lambda: other.said("GetConfiguration"))
            mute.delays_s["SetChargingProfile"] = 60

            asked = asyncio.gather(
                hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE), return_exceptions=True
            )
            there = ConnectorRef(StationId("CP-02"), 1)
            await hall.driver.set_limit(there, amperes(10), valid_for=LEASE)
            assert not asked.done()
            (outcome,) = await asked

        assert isinstance(outcome, StationUnreachableError)

    with_station(scene, call_deadline_s=1.0)


def test_the_newest_limit_that_waits_wins_and_the_other_is_told() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await wait_until(lambda: len(hall.facts_of(CapabilitiesRead)) == 2)
        station.delays_s["SetChargingProfile"] = 0.2

        outcomes = await asyncio.gather(
            *(
                hall.driver.set_limit(FIRST, amperes(limit), valid_for=LEASE)
                for limit in (10, 11, 12, 13)
            ),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes] == [
            type(None),
            SupersededError,
            SupersededError,
            type(None),
        ]
        assert isinstance(outcomes[1], StationUnreachableError)
        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits] == [10, 13]

    with_station(scene)


def test_a_cut_goes_before_a_raise_that_has_waited_longer() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await wait_until(lambda: len(hall.facts_of(CapabilitiesRead)) == 2)
        plugs = [ConnectorRef(FIRST.station, number) for number in (1, 2, 3)]
        for plug in plugs:
            await station.start_transaction(plug.number, timestamp=now())
            await hall.driver.set_limit(plug, amperes(16), valid_for=LEASE)
        station.delays_s["SetChargingProfile"] = 0.2

        await asyncio.gather(
            *(
                hall.driver.set_limit(plug, amperes(limit), valid_for=LEASE)
                for plug, limit in zip(plugs, (20, 21, 10), strict=True)
            )
        )

        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits[3:]] == [20, 10, 21]

    with_station(scene)


def test_a_station_that_is_not_there_is_unreachable() -> None:
    async def scene(hall: Hall) -> None:
        for asked in (
            hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE),
            hall.driver.set_fallback(FIRST, amperes(6)),
            hall.driver.request_reading(FIRST),
        ):
            with pytest.raises(StationUnreachableError, match="not connected"):
                await asked

    in_hall(scene)


def test_a_reading_is_asked_for_or_the_caller_hears_that_it_cannot_be() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await hall.driver.request_reading(FIRST)
        assert station.said("TriggerMessage")[-1] == {
            "requested_message": "MeterValues",
            "connector_id": 1,
        }
        station.statuses["MeterValues"] = "NotImplemented"
        with pytest.raises(StationUnreachableError, match="NotImplemented"):
            await hall.driver.request_reading(FIRST)

    with_station(scene)


def test_a_known_station_that_only_reconnects_is_asked_how_it_is() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.boot()
            await wait_until(lambda: len(hall.facts_of(CapabilitiesRead)) == 2)
        async with station16(hall) as again:
            await wait_until(lambda: again.said("TriggerMessage"))
            await again.start_transaction(1, timestamp=now())
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

            # Not to boot: what is proven of it stands.
            assert again.said("TriggerMessage") == [{"requested_message": "StatusNotification"}]
            assert again.said("GetConfiguration") == []
            assert len(again.profiles()) == 1

    in_hall(scene)


def test_a_station_that_never_boots_is_asked_who_it_is_and_interviewed_all_the_same() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))

            assert [said["requested_message"] for said in station.said("TriggerMessage")] == [
                "BootNotification",
                "StatusNotification",
            ]

    in_hall(scene)


def test_an_interview_cut_off_begins_again() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall, delays_s={"GetConfiguration": 60}) as station:
            await station.boot()
            await wait_until(lambda: station.said("GetConfiguration"))
        async with station16(hall) as again:
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            await again.start_transaction(1, timestamp=now())
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

    in_hall(scene)


def test_a_boot_begins_the_interview_again() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await station.boot()
        await wait_until(lambda: len(station.said("GetConfiguration")) == 2)
        await hall.driver.set_fallback(FIRST, amperes(6))

        assert len(station.profiles()) == 2  # Written anew: a boot may have lost it.

    with_station(scene)


def test_after_a_lost_answer_a_lower_limit_is_a_cut() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.say_status(1, "Preparing", timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        station.delays_s["SetChargingProfile"] = 1.4
        with pytest.raises(StationUnreachableError):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        station.delays_s.clear()
        # 16 A may be in force, so the fallback alone does not say 6 A.
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits] == [6, 16, 6]
        assert hall.server.counters["late-reply"] >= 1

    with_station(scene, call_deadline_s=1.0)


def test_a_fallback_whose_answer_was_lost_is_written_again() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_fallback(FIRST, amperes(10))
        station.statuses["SetChargingProfile"] = "Rejected"
        with pytest.raises(LimitRejectedError):
            await hall.driver.set_fallback(FIRST, amperes(6))
        station.statuses.clear()
        await hall.driver.set_fallback(FIRST, amperes(10))

        limits = [p["charging_schedule"]["charging_schedule_period"][0] for p in station.profiles()]
        assert [period["limit"] for period in limits] == [6, 10, 6, 6, 10]  # Either kind refused.

    with_station(scene)


def test_people_can_start_stop_reset_and_look() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        adapter = hall.server.station(FIRST.station)
        assert isinstance(adapter, V16Adapter)
        await adapter.start_transaction(1, "TAG")
        await adapter.stop_transaction(TransactionId("7"))
        await adapter.reset(is_hard=False)
        await adapter.clear_lease(1)
        periods = await adapter.composite_schedule(1, duration_s=120)
        settings = await adapter.read_configuration(("MeterValueSampleInterval",))

        assert station.said("RemoteStartTransaction") == [{"connector_id": 1, "id_tag": "TAG"}]
        assert station.said("RemoteStopTransaction") == [{"transaction_id": 7}]
        assert station.said("Reset") == [{"type": "Soft"}]
        assert [said["id"] for said in station.said("ClearChargingProfile")[-2:]] == [13, 12]
        assert [(p.start_s, p.current_ma, p.phase_count) for p in periods] == [
            (0, 16_300, None),
            (60, 6_000, 3),
        ]
        assert settings["MeterValueSampleInterval"].value in {"60", "10"}
        station.statuses["RemoteStartTransaction"] = "Rejected"
        with pytest.raises(LimitRejectedError):
            await adapter.start_transaction(1, "TAG")

    with_station(scene)
