"""What a 2.0.1 station is asked besides limits: the library's station answers."""

import asyncio
from collections.abc import Awaitable, Callable

import ocpp.exceptions
import pytest

from drivers.ocpp.rpc import CallUnansweredError
from drivers.ocpp.v201 import V201Adapter
from drivers.ocpp.v201_reports import MAX_ROWS
from drivers.ocpp.v201_variables import SAMPLED_INTERVAL
from gateway.domain.charging import ConnectorStatus, EndCause, RateUnit
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    StationStatusChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId
from tests.support.ocpp201_scenes import (
    FIRST,
    LEASE,
    SECOND,
    amperes,
    last,
    learnt,
    with_station,
)
from tests.support.ocpp201_station import Station201, station201
from tests.support.ocpp_hall import PATIENCE_S, Hall, in_hall, wait_until

# The interview.


def test_capabilities_are_read_before_anything_else_and_posted() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await wait_until(lambda: last(hall).profile_count is not None)

        read = last(hall)
        assert read.rate_units == {RateUnit.AMPERES, RateUnit.WATTS}
        # The entries there can be, not those there are: only a report tells.
        assert (read.stack_level, read.profile_count, read.period_count) == (10, 20, 24)
        assert (read.vendor, read.model, read.firmware) == ("Vendor", "Model", "1.0")
        assert station.heard[0][0] == "GetVariables"
        assert station.said("GetBaseReport") == []

    with_station(scene)


def test_meter_values_are_asked_for_every_ten_seconds_and_the_news_is_posted() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)

        wanted = "Current.Import,Power.Active.Import,Energy.Active.Import.Register,SoC"
        at_start = station.variables["SampledDataCtrlr.TxStartedMeasurands"]
        assert at_start == "SoC,Energy.Active.Import.Register"
        assert station.variables["SampledDataCtrlr.TxUpdatedInterval"] == "10"
        assert station.variables["SampledDataCtrlr.TxUpdatedMeasurands"] == wanted
        assert station.variables["AlignedDataCtrlr.Interval"] == "10"
        assert station.variables["AlignedDataCtrlr.Measurands"] == wanted
        assert station.variables["AlignedDataCtrlr.SendDuringIdle"] == "false"
        intervals_s = [f.capabilities.sample_interval_s for f in hall.facts_of(CapabilitiesRead)]
        assert (intervals_s[0], intervals_s[-1]) == (60, 10)

    with_station(scene)


def test_variables_that_are_good_enough_or_fixed_are_not_written() -> None:
    good = "Voltage,SoC,Current.Import,Power.Active.Import,Energy.Active.Import.Register"

    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: station.said("GetChargingProfiles"))  # The interview is over.

        assert station.said("SetVariables") == []
        counts = [fact.capabilities.profile_count for fact in hall.facts_of(CapabilitiesRead)]
        assert counts == [None, 20]  # What is no news is posted after a boot alone.
        await station.boot()
        await wait_until(lambda: len(hall.facts_of(CapabilitiesRead)) == 4)

    with_station(
        scene,
        variables={
            "SampledDataCtrlr.TxStartedMeasurands": "Energy.Active.Import.Register",
            "SampledDataCtrlr.TxUpdatedInterval": "5",
            "SampledDataCtrlr.TxUpdatedMeasurands": good,
            "AlignedDataCtrlr.Interval": "10",
            "AlignedDataCtrlr.SendDuringIdle": "false",
        },
        read_only={"AlignedDataCtrlr.Measurands"},
    )


def test_measurands_a_station_refuses_are_left_off_the_end() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)

        offers = [
            said["value"].split(",")
            for said in station.said("SetVariables")
            if said["name"] == "SampledDataCtrlr.TxUpdatedMeasurands"
        ]
        assert [len(offer) for offer in offers] == [4, 3, 2, 1]
        assert offers[-1] == ["Current.Import"]

    with_station(scene, statuses={"SampledDataCtrlr.TxUpdatedMeasurands": "Rejected"})


def test_smart_charging_that_is_switched_off_is_switched_on() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        assert hall.facts_of(CapabilitiesRead)[0].capabilities.rate_units == frozenset()
        await wait_until(lambda: last(hall).rate_units)

        assert station.variables["SmartChargingCtrlr.Enabled"] == "true"

    with_station(scene, variables={"SmartChargingCtrlr.Enabled": "false"})


def test_a_station_without_smart_charging_is_known_to_have_none() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        assert last(hall).rate_units == frozenset()
        await station.say_event("Started", "T1", number=1)
        with pytest.raises(LimitRejectedError, match="NotSupported"):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

    with_station(
        scene,
        variables={"SmartChargingCtrlr.Available": "false"},
        refused={"SetChargingProfile": ocpp.exceptions.NotSupportedError},
    )


def test_a_station_that_takes_few_variables_a_message_is_asked_in_small_ones() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)

        assert last(hall).stack_level == 10
        sizes = [len(said["names"]) for said in station.said("GetVariables")]
        assert sizes[0] > 3
        assert sum(size for size in sizes if size <= 3) == sizes[0]

    with_station(scene, most_per_message=3)


def test_a_station_without_custom_reports_is_asked_for_all_it_has() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await wait_until(lambda: last(hall).profile_count == 20)

        await station.boot()
        await wait_until(lambda: len(station.said("GetReport")) == 2)
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: station.said("GetChargingProfiles"))  # The interview is over.

        assert last(hall).profile_count == 20
        # It is long, and the same as long as the firmware is.
        assert [said["report_base"] for said in station.said("GetBaseReport")] == ["FullInventory"]

    with_station(scene, statuses={"GetReport": "NotSupported"})


def test_a_station_that_knows_no_variables_and_no_reports_still_takes_limits() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        assert last(hall).rate_units == {RateUnit.AMPERES}
        assert (last(hall).stack_level, last(hall).profile_count) == (None, None)
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert station.profiles_sent("TxProfile")[0]["stack_level"] == 0

    with_station(
        scene,
        refused={
            "GetVariables": ocpp.exceptions.NotSupportedError,
            "GetReport": ocpp.exceptions.NotImplementedError,
            "GetBaseReport": ocpp.exceptions.InternalError,
        },
    )


def test_a_make_is_known_from_the_device_model_when_no_boot_told_it() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(
            hall, variables={"ChargingStation.VendorName": "Easee"}, running={1: "T1"}
        ) as station:
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            await wait_until(
                lambda: station.variables["SampledDataCtrlr.TxUpdatedInterval"] == "30"
            )

        assert last(hall).vendor == "Easee"

    in_hall(scene)


def test_how_the_station_is_as_a_whole_is_read_for_nobody_may_say_it_again() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)

        (fact,) = hall.facts_of(StationStatusChanged)
        assert (fact.station, fact.status) == (FIRST.station, ConnectorStatus.UNAVAILABLE)

    with_station(scene, variables={"ChargingStation.AvailabilityState": "Unavailable"})


def test_leases_of_an_earlier_run_are_cleared_once() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.boot()
        await wait_until(lambda: len(station.said("GetVariables")) == 2)
        await wait_until(lambda: len(station.said("GetReport")) == 2)

        assert station.said("ClearChargingProfile") == [
            {"charging_profile_criteria": {"charging_profile_purpose": "TxProfile"}},
            {
                "charging_profile_criteria": {
                    "charging_profile_purpose": "TxDefaultProfile",
                    "stack_level": 1,
                }
            },
        ]

    with_station(scene)


# Transactions that nobody told of.


def test_a_gateway_that_starts_late_finds_the_transactions_that_run() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall, running={1: "T1", 2: "T2"}) as station:
            for connector in (FIRST, SECOND):
                await hall.driver.set_fallback(connector, amperes(6))
            await wait_until(lambda: len(hall.facts_of(TransactionStarted)) == 2)
            await hall.driver.set_limit(SECOND, amperes(10), valid_for=LEASE)

            assert [(s.connector, s.transaction) for s in hall.facts_of(TransactionStarted)] == [
                (FIRST, "T1"),
                (SECOND, "T2"),
            ]
            assert station.limit_at(2) == 10.0
            statuses = [
                said["evse"]
                for said in station.said("TriggerMessage")
                if said["requested_message"] == "StatusNotification"
            ]
            assert statuses == [{"id": n, "connector_id": 1} for n in (1, 2)]  # F06.FR.13

    in_hall(scene)


def test_an_event_that_names_no_evse_has_its_station_asked_where() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        for number in (1, 2):
            await station.say_status(number, "Occupied")
        await hall.driver.set_fallback(SECOND, amperes(6))
        await wait_until(lambda: len(station.said("TriggerMessage")) >= 2)
        station.running = {2: "T2"}  # It began unheard.
        sample = {"value": 9, "measurand": "Current.Import", "phase": "L1"}
        await station.say_event("Updated", "T2", sequence=5, samples=[sample])
        await wait_until(lambda: hall.facts_of(TransactionStarted))
        await station.say_event("Updated", "T2", samples=[sample])

        (started,) = hall.facts_of(TransactionStarted)
        assert (started.connector, started.transaction) == (SECOND, "T2")
        assert [m.connector for m in hall.facts_of(ConnectorMetered)] == [SECOND]

    with_station(scene)


def test_a_transaction_that_ended_unheard_is_found_out() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Started", "T2", number=2)
        async with station201(hall, running={2: "T2"}) as again:
            await wait_until(lambda: hall.facts_of(TransactionEnded))

            assert {said["transaction_id"] for said in again.said("GetTransactionStatus")} == {
                "T1",
                "T2",
            }
        assert [e.transaction for e in hall.facts_of(TransactionEnded)] == ["T1"]

    in_hall(scene)


def test_a_transaction_that_is_heard_of_is_not_asked_about() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Started", "T2", number=2)
        async with station201(hall, running={1: "T1"}) as again:
            again.sequences["T1"] = 1
            await again.say_event("Updated", "T1")
            await wait_until(lambda: hall.facts_of(TransactionEnded))

            asked = [said["transaction_id"] for said in again.said("GetTransactionStatus")]
            assert asked == ["T2"]

    in_hall(scene)


def test_an_answer_that_an_event_overtook_ends_nothing() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await station.say_event("Started", "T1", number=1)
        async with station201(hall, delays_s={"GetTransactionStatus": 0.3}) as again:
            await wait_until(lambda: again.said("GetTransactionStatus"))
            again.sequences["T1"] = 1
            await again.say_event("Updated", "T1")
            await wait_until(lambda: again.said("TriggerMessage"))  # It is over.

        assert hall.facts_of(TransactionEnded) == []

    in_hall(scene)


def test_a_transaction_that_was_denied_and_goes_on_begins_anew() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await station.say_event("Started", "T1", number=1)
        async with station201(hall) as again:
            await wait_until(lambda: hall.facts_of(TransactionEnded))
            again.sequences["T1"] = 1
            await again.say_event("Updated", "T1", number=1)

        assert [s.transaction for s in hall.facts_of(TransactionStarted)] == ["T1", "T1"]

    in_hall(scene)


def test_a_transaction_whose_end_is_on_its_way_is_waited_for() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await station.say_event("Started", "T1", number=1)
        async with station201(hall, has_queue=True) as again:
            await wait_until(lambda: again.said("GetTransactionStatus"))
            # It is over.
            await wait_until(
                lambda: [m for m in again.said("TriggerMessage")[-1:] if m.get("evse")]
            )

        assert hall.facts_of(TransactionEnded) == []

    in_hall(scene)


def test_what_ran_before_a_boot_is_asked_about() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.running.clear()
        await station.boot()
        await wait_until(lambda: hall.facts_of(TransactionEnded))

    with_station(scene)


def _lost_in_a_reboot(
    tells: Callable[[Station201], Awaitable[None]], *, gives_status: bool = False
) -> list[tuple[str, str, EndCause]]:
    """Return what ended on a station that boots without its transaction, and `tells` of it.

    Then a limit for EVSE 1 must not name what the station does not know.
    """
    ended: list[tuple[str, str, EndCause]] = []
    refused = {} if gives_status else {"GetTransactionStatus": ocpp.exceptions.NotImplementedError}

    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.running.clear()
        await station.boot()
        await tells(station)
        await wait_until(lambda: hall.facts_of(TransactionEnded))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        told = station.said("SetChargingProfile")[-1]["charging_profile"]
        assert told["charging_profile_purpose"] == "TxDefaultProfile"
        ended.extend(
            (str(e.connector), e.transaction, e.cause) for e in hall.facts_of(TransactionEnded)
        )

    with_station(scene, refused=refused)
    return ended


def test_what_a_boot_lost_ends_once_its_evse_is_free_whatever_the_station_can_say() -> None:
    async def tell(station: Station201) -> None:
        await station.say_status(1, "Available")

    assert _lost_in_a_reboot(tell) == [("CP-01/1", "T1", EndCause.LOST_IN_REBOOT)]
    assert _lost_in_a_reboot(tell, gives_status=True) == [("CP-01/1", "T1", EndCause.DENIED)]


def test_what_a_boot_lost_ends_though_the_vehicle_is_still_there() -> None:
    async def tell(station: Station201) -> None:
        await station.say_status(1, "Occupied")

    assert _lost_in_a_reboot(tell) == [("CP-01/1", "T1", EndCause.LOST_IN_REBOOT)]


@pytest.mark.parametrize("is_told", [False, True])
def test_what_a_station_resumes_after_its_boot_goes_on(is_told: bool) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        await station.boot()
        await station.say_status(1, "Occupied")
        if is_told:
            await station.say_event("Updated", "T1")
        else:  # Asked for its event, it has one.
            await wait_until(
                lambda: (
                    "TransactionEvent"
                    in [said["requested_message"] for said in station.said("TriggerMessage")]
                )
            )
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        told = station.said("SetChargingProfile")[-1]["charging_profile"]
        assert (told["charging_profile_purpose"], told["transaction_id"]) == ("TxProfile", "T1")
        assert hall.facts_of(TransactionEnded) == []

    with_station(scene, refused={"GetTransactionStatus": ocpp.exceptions.NotImplementedError})


def test_a_station_that_resumes_what_it_seemed_to_have_lost_begins_it_anew() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        running = dict(station.running)
        station.running.clear()
        await station.boot()
        await station.say_status(1, "Available")
        await wait_until(lambda: hall.facts_of(TransactionEnded))
        station.running.update(running)
        await station.say_event("Updated", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        told = station.said("SetChargingProfile")[-1]["charging_profile"]
        assert told["transaction_id"] == "T1"
        assert [s.transaction for s in hall.facts_of(TransactionStarted)] == ["T1", "T1"]

    with_station(scene, refused={"GetTransactionStatus": ocpp.exceptions.NotImplementedError})


def test_a_station_that_boots_tells_its_status_by_itself() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: station.said("TriggerMessage"))

        messages = [said["requested_message"] for said in station.said("TriggerMessage")]
        assert messages == ["TransactionEvent"]

    with_station(scene)


def test_every_new_connection_is_looked_around_on() -> None:
    async def connect_and_wait(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_status(1, "Available", connector=2)
            await wait_until(lambda: len(station.said("TriggerMessage")) == 3)

            wanted = station.said("TriggerMessage")[1]
            assert wanted["requested_message"] == "StatusNotification"
            assert wanted["evse"] == {"id": 1, "connector_id": 2}

    async def scene(hall: Hall) -> None:
        await connect_and_wait(hall)
        await connect_and_wait(hall)

    in_hall(scene)


def test_another_transactions_event_is_not_taken_for_the_one_asked_for() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T2", number=2)
        station.statuses["TransactionEvent"] = "Accepted"
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: station.said("TriggerMessage"))
        assert station.said("TriggerMessage")[-1]["evse"] == {"id": 1}
        await station.say_event("Updated", "T2", trigger="Trigger")

        assert [s.connector for s in hall.facts_of(TransactionStarted)] == [SECOND]

    with_station(scene)


def test_a_transaction_the_station_denies_is_asked_about() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.running.clear()
        with pytest.raises(LimitRejectedError, match="TxNotFound"):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        await wait_until(lambda: hall.facts_of(TransactionEnded))

    with_station(scene)


# What people ask.


def test_a_reading_is_asked_for_in_the_way_that_tells_most() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await hall.driver.request_reading(FIRST)
        assert station.said("TriggerMessage")[-1] == {
            "requested_message": "MeterValues",
            "evse": {"id": 1},
        }
        await station.say_event("Started", "T1", number=1)
        await hall.driver.request_reading(FIRST)
        assert station.said("TriggerMessage")[-1]["requested_message"] == "TransactionEvent"
        station.statuses["TransactionEvent"] = "NotImplemented"
        await hall.driver.request_reading(FIRST)
        assert station.said("TriggerMessage")[-1]["requested_message"] == "MeterValues"
        station.statuses["MeterValues"] = "Rejected"
        with pytest.raises(StationUnreachableError, match="Rejected"):
            await hall.driver.request_reading(FIRST)

    with_station(scene)


def test_people_can_start_stop_reset_and_look() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        adapter = hall.server.station(FIRST.station)
        assert isinstance(adapter, V201Adapter)
        for _ in range(2):
            await adapter.start_transaction(1, "TAG")
        await adapter.stop_transaction(TransactionId("T1"))
        await adapter.reset(is_hard=True)
        station.statuses["Reset"] = "Scheduled"
        await adapter.reset(is_hard=False)
        await adapter.clear_lease(1)
        periods = await adapter.composite_schedule(1, duration_s=120)
        variables = await adapter.get_variables((SAMPLED_INTERVAL,))
        inventory = await adapter._questions.get_base_report()

        starts = station.said("RequestStartTransaction")
        assert [start["evse_id"] for start in starts] == [1, 1]
        assert starts[0]["id_token"] == {"id_token": "TAG", "type": "Central"}
        assert starts[0]["remote_start_id"] != starts[1]["remote_start_id"]
        assert station.said("RequestStopTransaction") == [{"transaction_id": "T1"}]
        assert [said["type"] for said in station.said("Reset")] == ["Immediate", "OnIdle"]
        cleared = [said.get("charging_profile_id") for said in station.said("ClearChargingProfile")]
        assert cleared[-2:] == [13, 12]
        assert [(p.start_s, p.current_ma, p.phase_count) for p in periods] == [
            (0, 16_300, None),
            (60, 6_000, 3),
        ]
        assert variables[SAMPLED_INTERVAL].value == "10"
        assert inventory is not None
        assert sum(len(part["reportData"]) for part in inventory) == len(station.variables)
        await hall.driver.set_fallback(FIRST, amperes(6))
        installed = await adapter._profiles.read_profiles("TxDefaultProfile", number=1)
        assert installed is not None
        assert [(p.id, p.number, p.stack_level, p.is_ours) for p in installed] == [(11, 1, 0, True)]
        assert await adapter._profiles.read_profiles("TxProfile") == []
        station.refused["GetChargingProfiles"] = ocpp.exceptions.NotSupportedError
        assert await adapter._profiles.read_profiles("TxProfile") is None

    with_station(scene)


@pytest.mark.parametrize("rows_a_part", [0, 1_000])
def test_a_report_without_end_is_given_up_and_not_kept(rows_a_part: int) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        adapter = hall.server.station(FIRST.station)
        assert isinstance(adapter, V201Adapter)
        station.is_silent_on_reports = True
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(given_up(adapter))
            await wait_until(lambda: station.said("GetBaseReport"))
            (request,) = {said["request_id"] for said in station.said("GetBaseReport")}
            part = {"requestId": request, "tbc": True, "reportData": [{}] * rows_a_part}
            reports = adapter._station.reports
            # More than there is time to take out, as when they come faster than the answer.
            for _ in range(2_000):
                assert reports.take(part)
            assert reports._open[request].parts.qsize() <= (MAX_ROWS // (rows_a_part or 10)) + 1
            async with asyncio.timeout(PATIENCE_S):
                await asking

    async def given_up(adapter: V201Adapter) -> None:
        with pytest.raises(CallUnansweredError, match="the report has no end"):
            await adapter._questions.get_base_report()

    with_station(scene)


@pytest.mark.parametrize(
    "action",
    ["RequestStartTransaction", "RequestStopTransaction", "Reset", "GetCompositeSchedule"],
)
def test_what_people_ask_may_be_refused(action: str) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        adapter = hall.server.station(FIRST.station)
        assert isinstance(adapter, V201Adapter)
        asks: dict[str, Callable[[], Awaitable[object]]] = {
            "RequestStartTransaction": lambda: adapter.start_transaction(1, "TAG"),
            "RequestStopTransaction": lambda: adapter.stop_transaction(TransactionId("T1")),
            "Reset": lambda: adapter.reset(is_hard=True),
            "GetCompositeSchedule": lambda: adapter.composite_schedule(1, duration_s=60),
        }
        with pytest.raises(LimitRejectedError, match=f"{action}: Rejected"):
            await asks[action]()
        assert len(station.said(action)) == 1

    with_station(scene, statuses={action: "Rejected"})
