"""What a 1.6 station says, as facts: over real sockets, the library's station at the other end."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drivers.ocpp.v16 import STATUSES
from gateway.domain.charging import ChargingState, ConnectorStatus, EndCause
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    StationStatusChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from tests.support.ocpp16_station import Station16, station16
from tests.support.ocpp_hall import Hall, PassingClock, ask, in_hall, wait_until
from tests.support.paper_ledger import PaperLedger

FIRST = ConnectorRef(StationId("CP-01"), 1)


def now(*, ahead_s: float = 0) -> str:
    at = datetime.now(UTC) + timedelta(seconds=ahead_s)  # noqa: TID251 - a station's own clock
    return at.isoformat()


def meter_values(*samples: dict[str, Any], timestamp: str | None = None, **extra: Any) -> list[Any]:
    value = {"timestamp": timestamp or now(), "sampledValue": list(samples)}
    return [2, "m", "MeterValues", {"connectorId": 1, "meterValue": [value], **extra}]


def current(value: Any, phase: str | None = None, **extra: Any) -> dict[str, Any]:
    sample = {"value": value, "measurand": "Current.Import", "unit": "A", **extra}
    return sample if phase is None else {**sample, "phase": phase}


def test_a_boot_is_accepted_told_the_time_and_posted() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            answer = await station.boot()

        assert answer.status == "Accepted"
        assert 48 <= answer.interval <= 72
        told_at = datetime.fromisoformat(answer.current_time)
        assert abs(told_at - datetime.fromisoformat(now())) < timedelta(seconds=60)
        (fact,) = hall.facts_of(StationBooted)
        assert (fact.vendor, fact.model, fact.firmware) == ("Vendor", "Model", "1.0")

    in_hall(scene)


@pytest.mark.parametrize(
    ("word", "status", "state"),
    [
        ("Available", ConnectorStatus.AVAILABLE, ChargingState.IDLE),
        ("Preparing", ConnectorStatus.OCCUPIED, ChargingState.EV_CONNECTED),
        ("Charging", ConnectorStatus.OCCUPIED, ChargingState.CHARGING),
        ("SuspendedEV", ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EV),
        ("SuspendedEVSE", ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EVSE),
        ("Finishing", ConnectorStatus.OCCUPIED, ChargingState.EV_CONNECTED),
        ("Reserved", ConnectorStatus.RESERVED, ChargingState.IDLE),
        ("Unavailable", ConnectorStatus.UNAVAILABLE, None),
        ("Faulted", ConnectorStatus.FAULTED, None),
    ],
)
def test_a_status_is_posted_in_the_words_of_2_0_1(
    word: str, status: ConnectorStatus, state: ChargingState | None
) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, word, timestamp=now())

        (fact,) = hall.facts_of(ConnectorStatusChanged)
        assert (fact.connector, fact.status, fact.charging_state) == (FIRST, status, state)

    assert word in STATUSES
    in_hall(scene)


def test_the_status_of_the_station_itself_changes_no_connector() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            for word in ("Faulted", "Unavailable", "Available"):
                await station.say_status(0, word)
            await station.say_status(65, "Charging")

        assert hall.facts_of(ConnectorStatusChanged) == []
        assert [(f.station, f.status) for f in hall.facts_of(StationStatusChanged)] == [
            ("CP-01", ConnectorStatus.FAULTED),
            ("CP-01", ConnectorStatus.UNAVAILABLE),
            ("CP-01", ConnectorStatus.AVAILABLE),
        ]

    in_hall(scene)


def test_an_old_status_that_waited_for_a_connection_changes_nothing() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, "Charging", timestamp=now())
            await station.say_status(1, "Available", timestamp=now(ahead_s=-600))
            await station.say_status(2, "Preparing", timestamp=now(ahead_s=-300))
            await station.say_status(0, "Available", timestamp=now())
            await station.say_status(0, "Faulted", timestamp=now(ahead_s=-300))

        facts = hall.facts_of(ConnectorStatusChanged)
        # The first word of connector 2 is old, and still the newest there is.
        assert [(f.connector.number, f.status) for f in facts] == [
            (1, ConnectorStatus.OCCUPIED),
            (2, ConnectorStatus.OCCUPIED),
        ]
        (of_station,) = hall.facts_of(StationStatusChanged)
        assert of_station.status is ConnectorStatus.AVAILABLE
        assert hall.server.counters["stale.StatusNotification"] == 2

    in_hall(scene)


def test_a_transaction_gets_a_number_of_ours_and_both_ends_are_posted() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            first = await station.start_transaction(1, timestamp=now())
            second = await station.start_transaction(2, timestamp=now())
            await station.stop_transaction(first, timestamp=now(), meter_stop=1_234)

        assert 0 < first < second < 2**31
        started = hall.facts_of(TransactionStarted)
        assert [(s.connector.number, s.transaction, s.id_token) for s in started] == [
            (1, str(first), "TAG"),
            (2, str(second), "TAG"),
        ]
        (ended,) = hall.facts_of(TransactionEnded)
        assert (ended.connector, ended.transaction) == (FIRST, str(first))
        (metered,) = hall.facts_of(ConnectorMetered)
        assert metered.energy_wh == 1_234

    in_hall(scene)


def test_a_start_tells_what_the_meter_showed_and_how_long_ago_that_was() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, "Charging", timestamp=now())
            await station.start_transaction(1, timestamp=now(), meter_start=5_000)
            # It waited for a connection.
            waited = now(ahead_s=-1_800)
            number = await station.start_transaction(2, timestamp=waited, meter_start=7_000)
            await station.stop_transaction(number, timestamp=waited, meter_stop=7_900)
            await station.start_transaction(1, timestamp=waited)

        first, second, _ = hall.facts_of(TransactionStarted)
        assert (first.meter_start_wh, second.meter_start_wh) == (5_000, 7_000)
        assert [first.age_s, second.age_s] == pytest.approx([0, 1_800], abs=10)
        (metered,) = hall.facts_of(ConnectorMetered)
        assert metered.energy_wh == 7_900
        assert metered.age_s == pytest.approx(1_800, abs=10)
        ends = hall.facts_of(TransactionEnded)
        assert [end.cause for end in ends] == [EndCause.TOLD, EndCause.REPLACED]
        assert [end.age_s for end in ends] == pytest.approx([1_800, 1_800], abs=10)

    in_hall(scene)


@pytest.mark.parametrize(
    ("ahead_s", "age_s"),
    # Behind by years is a clock that was never set, and ahead one that was set wrong.
    [(-1_800, 1_800), (-20 * 365 * 86_400, 0), (7_200, 0)],
)
def test_what_waited_may_be_the_first_that_a_station_tells(ahead_s: float, age_s: float) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.boot()
            await station.start_transaction(1, timestamp=now(ahead_s=ahead_s))

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == pytest.approx(age_s, abs=10)

    in_hall(scene)


def test_what_waited_longer_may_come_before_what_waited() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            # The first that a daemon hears after a restart: an end, and the start after it.
            await station.stop_transaction(77, timestamp=now(ahead_s=-3_600))
            await station.start_transaction(1, timestamp=now(ahead_s=-1_800))

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == pytest.approx(1_800, abs=10)

    in_hall(scene)


def test_what_waited_may_come_slowly() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, "Preparing", timestamp=now(ahead_s=-1_800))
            passing.passed_s = 10  # So long the disk took.
            await station.start_transaction(1, timestamp=now(ahead_s=-1_795))

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == pytest.approx(1_805, abs=10)

    passing = PassingClock()
    in_hall(scene, clock=passing)


def test_a_clock_that_goes_wrong_all_the_time_tells_of_nothing_that_waited() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, "Available", timestamp=now(ahead_s=-3_600))
            passing.passed_s = 30
            await station.say_status(1, "Preparing", timestamp=now(ahead_s=30 - 3_600))
            await station.start_transaction(1, timestamp=now(ahead_s=30 - 3_600))

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == pytest.approx(0, abs=10)

    passing = PassingClock()
    in_hall(scene, clock=passing)


def test_on_a_connection_that_has_stood_a_start_did_not_wait() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.say_status(1, "Available", timestamp=now())
            passing.passed_s = 600
            # It is said of now, by a clock that was put back an hour.
            await station.start_transaction(1, timestamp=now(ahead_s=-3_600))

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == 0

    passing = PassingClock()
    in_hall(scene, clock=passing)


def test_a_start_sent_twice_is_one_transaction() -> None:
    async def scene(hall: Hall) -> None:
        said_at = now()
        async with station16(hall) as station:
            first = await station.start_transaction(1, timestamp=said_at)
        async with station16(hall) as station:  # The answer was lost with the connection.
            again = await station.start_transaction(1, timestamp=said_at)

        assert again == first
        assert len(hall.facts_of(TransactionStarted)) == 1

    in_hall(scene)


def test_a_start_on_a_busy_connector_ends_what_ran() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            first = await station.start_transaction(1, timestamp=now())
            second = await station.start_transaction(1, timestamp=now(ahead_s=1))

        assert [e.transaction for e in hall.facts_of(TransactionEnded)] == [str(first)]
        assert [s.transaction for s in hall.facts_of(TransactionStarted)][-1] == str(second)

    in_hall(scene)


async def _rebooted(station: Station16, status: str) -> int:
    """Return the transaction that ran on connector 1 before a boot, and `status` after it."""
    transaction = await station.start_transaction(1, timestamp=now())
    await station.boot()
    await station.say_status(1, status, timestamp=now())
    return transaction


@pytest.mark.parametrize("status", ["Available", "Preparing"])
def test_what_a_boot_lost_ends_once_its_connector_is_free(status: str) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.boot()
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            transaction = await _rebooted(station, status)

            (ended,) = hall.facts_of(TransactionEnded)
            assert (ended.connector, ended.transaction) == (FIRST, str(transaction))
            assert ended.cause is EndCause.LOST_IN_REBOOT
            # And a limit names it no more: a station refuses what it does not know.
            await hall.driver.set_limit(
                FIRST, CurrentLimit(limit_ma=10_000), valid_for=timedelta(seconds=60)
            )
            assert station.profiles()[-1]["charging_profile_purpose"] == "TxDefaultProfile"

            # The stop it may have kept shows what its vehicle was given, and ends it for good.
            await station.stop_transaction(transaction, timestamp=now(), meter_stop=7_900)
            await station.stop_transaction(transaction, timestamp=now(), meter_stop=7_900)
            await station.say_meter_values(1, transaction=transaction)
        kinds = (TransactionStarted, TransactionEnded, ConnectorMetered)
        told = [fact for fact in hall.facts if isinstance(fact, kinds)]
        assert [type(fact) for fact in told] == [*kinds[:2], kinds[0], kinds[2], kinds[1], kinds[2]]
        assert {s.transaction for s in hall.facts_of(TransactionStarted)} == {str(transaction)}
        assert hall.facts_of(ConnectorMetered)[0].energy_wh == 7_900
        causes = [ended.cause for ended in hall.facts_of(TransactionEnded)]
        assert causes == [EndCause.LOST_IN_REBOOT, EndCause.TOLD]

    in_hall(scene)


def test_the_end_of_what_a_boot_lost_says_nothing_of_the_vehicle_that_came_after_it() -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            transaction = await _rebooted(station, "Available")
            second = await station.start_transaction(1, timestamp=now(), meter_start=8_000)
            await station.stop_transaction(transaction, timestamp=now(), meter_stop=7_900)

        assert hall.facts_of(ConnectorMetered) == []
        starts = [started.transaction for started in hall.facts_of(TransactionStarted)]
        assert starts == [str(transaction), str(second)]
        assert [ended.transaction for ended in hall.facts_of(TransactionEnded)] == starts[:1]

    in_hall(scene)


@pytest.mark.parametrize("status", ["Charging", "SuspendedEV", "Finishing", "Unavailable"])
def test_what_may_have_survived_a_boot_goes_on(status: str) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await _rebooted(station, status)

        assert hall.facts_of(TransactionEnded) == []

    in_hall(scene)


@pytest.mark.parametrize("tells_first", ["status", "values"])
def test_a_station_that_resumes_a_transaction_after_its_boot_is_limited_in_it(
    tells_first: str,
) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.boot()
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            transaction = await station.start_transaction(1, timestamp=now())
            await station.boot()
            if tells_first == "status":
                await station.say_status(1, "Preparing", timestamp=now())
            await station.say_meter_values(1, transaction=transaction)
            await station.say_status(1, "Preparing", timestamp=now())
            await station.say_status(1, "Charging", timestamp=now())
            await hall.driver.set_limit(
                FIRST, CurrentLimit(limit_ma=10_000), valid_for=timedelta(seconds=60)
            )

            told = station.profiles()[-1]
            assert told["charging_profile_purpose"] == "TxProfile"
            assert told["transaction_id"] == transaction
        # What seemed lost was ended, and began anew; what was heard of first never was.
        ends = [ended.cause for ended in hall.facts_of(TransactionEnded)]
        starts = [started.transaction for started in hall.facts_of(TransactionStarted)]
        if tells_first == "status":
            assert (ends, starts) == ([EndCause.LOST_IN_REBOOT], [str(transaction)] * 2)
        else:
            assert (ends, starts) == ([], [str(transaction)])

    in_hall(scene)


def test_a_free_connector_ends_nothing_where_no_boot_was() -> None:
    """Its stop is on its way: a station tells the one and the other in no certain order."""

    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            transaction = await station.start_transaction(1, timestamp=now())
            await station.say_status(1, "Available", timestamp=now())
            assert hall.facts_of(TransactionEnded) == []
            await station.stop_transaction(transaction, timestamp=now())

        assert [ended.cause for ended in hall.facts_of(TransactionEnded)] == [EndCause.TOLD]

    in_hall(scene)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (None, EndCause.TOLD),
        ("EVDisconnected", EndCause.TOLD),
        ("Remote", EndCause.STOPPED),
        ("SoftReset", EndCause.STOPPED),
    ],
)
def test_what_somebody_else_has_ended_than_who_charged_is_told_apart(
    reason: str | None, cause: EndCause
) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            number = await station.start_transaction(1, timestamp=now())
        said = {} if reason is None else {"reason": reason}
        stop = {"transactionId": number, "meterStop": 0, "timestamp": now(), **said}
        async with hall.connect("CP-01") as connection:
            await ask(connection, [2, "s", "StopTransaction", stop])

        assert [ended.cause for ended in hall.facts_of(TransactionEnded)] == [cause]

    in_hall(scene)


@pytest.mark.parametrize("transaction", [-1, 0, 4_711])
def test_the_stop_of_a_transaction_we_do_not_know_is_acknowledged(transaction: int) -> None:
    async def scene(hall: Hall) -> None:
        async with station16(hall) as station:
            await station.stop_transaction(transaction, timestamp=now())

        assert hall.facts_of(TransactionEnded) == []

    in_hall(scene)


def test_a_transaction_is_adopted_from_its_meter_values_until_it_is_stopped() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await ask(station, meter_values(current("6"), transactionId=77))
            await ask(station, meter_values(current("6.1"), transactionId=77))
            stop = {"transactionId": 77, "timestamp": now(), "meterStop": 1}
            await ask(station, [2, "s", "StopTransaction", stop])
            await ask(station, meter_values(current("0"), transactionId=77))  # It came late.

        assert [s.transaction for s in hall.facts_of(TransactionStarted)] == ["77"]
        assert [s.transaction for s in hall.facts_of(TransactionEnded)] == ["77"]

    in_hall(scene)


@pytest.mark.parametrize("transaction", [-1, 0])
def test_no_number_adopts_no_transaction(transaction: int) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await ask(station, meter_values(current("6"), transactionId=transaction))

        assert hall.facts_of(TransactionStarted) == []
        assert len(hall.facts_of(ConnectorMetered)) == 1

    in_hall(scene)


def test_old_meter_values_say_nothing_of_now() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await ask(station, meter_values(current("6"), timestamp=now()))
            await ask(station, meter_values(current("32"), timestamp=now(ahead_s=-600)))

        assert [m.current_a[0] for m in hall.facts_of(ConnectorMetered)] == [6.0]

    in_hall(scene)


def test_of_values_kept_while_there_was_no_connection_only_those_of_now_count() -> None:
    kept = {"timestamp": now(ahead_s=-600), "sampledValue": [current("32", phase="L1")]}
    fresh = {"timestamp": now(), "sampledValue": [current("6", phase="L2")]}
    said = {"connectorId": 1, "meterValue": [kept, fresh]}

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await ask(station, [2, "m", "MeterValues", said])

        assert [m.current_a for m in hall.facts_of(ConnectorMetered)] == [(None, 6.0, None)]

    in_hall(scene)


def test_a_station_whose_clock_is_wrong_is_listened_to() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            for amperes in ("6", "7", "8"):
                await ask(station, meter_values(current(amperes), timestamp=now(ahead_s=-7_200)))

        assert [m.current_a[0] for m in hall.facts_of(ConnectorMetered)] == [6.0, 7.0, 8.0]

    in_hall(scene)


def test_only_the_bad_sampled_value_is_dropped() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            answer = await ask(
                station,
                meter_values(
                    current("10.5", "L1"),
                    current(11, "L2"),
                    current("12.5", "L3", context="Alfen.Private"),
                    {"value": "50.1", "measurand": "Frequency", "unit": "Hz"},
                    {"value": "1", "measurand": "Vendor.Own"},
                    {"measurand": "Power.Active.Import"},
                    {"value": None},
                    {"value": "7.2", "measurand": "Power.Active.Import", "unit": "kW"},
                    transactionId=None,
                ),
            )

        assert answer == [3, "m", {}]
        (metered,) = hall.facts_of(ConnectorMetered)
        assert metered.current_a == (10.5, 11.0, 12.5)
        assert metered.power_w == 7_200

    in_hall(scene)


def test_meter_values_without_any_value_are_dropped_and_counted() -> None:
    """Read as they come, a frame full of them took half a second."""

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            said: list[list[dict[str, object]]] = [
                [{}],
                [{}, {"sampledValue": []}, {"timestamp": now()}],
            ]
            for values in said:
                payload = {"connectorId": 1, "meterValue": values}
                assert await ask(station, [2, "m", "MeterValues", payload]) == [3, "m", {}]

        assert hall.server.counters["lenient.MeterValues.dropped-meterValue"] == 2
        assert hall.facts_of(ConnectorMetered) == []

    in_hall(scene)


def test_a_start_is_never_refused_for_its_form() -> None:
    async def scene(hall: Hall) -> None:
        start = {
            "connectorId": "1",
            "idTag": "a tag that is far longer than twenty characters",
            "meterStart": 12.7,
            "timestamp": None,
            "vendorField": {"a": 1},
        }
        async with hall.connect("CP-01") as station:
            answer = await ask(station, [2, "s", "StartTransaction", start])
            nowhere = await ask(station, [2, "t", "StartTransaction", {"connectorId": 0}])
            nothing = await ask(station, [2, "u", "StopTransaction", {}])

        assert answer[0] == 3
        assert answer[2]["idTagInfo"]["status"] == "Accepted"
        assert [f.transaction for f in hall.facts_of(TransactionStarted)] == [
            str(answer[2]["transactionId"])
        ]
        assert nowhere[0] == nothing[0] == 3

    in_hall(scene)


@pytest.mark.parametrize("digits", [19, 20, 400])
def test_a_number_beyond_all_measure_is_acknowledged_and_stored_nowhere(digits: int) -> None:
    """A column takes 64 bits: one such number from one station would stop the whole ledger."""
    huge, paper = "9" * digits, PaperLedger()

    async def scene(hall: Hall) -> None:
        said_at = '"timestamp":"2026-01-05T12:00:00Z"'
        start = (
            f'[2,"s","StartTransaction",{{"connectorId":%s,"idTag":"T","meterStart":%s,{said_at}}}]'
        )
        stop = f'[2,"e","StopTransaction",{{"transactionId":%s,"meterStop":%s,{said_at}}}]'
        values = f'[2,"m","MeterValues",{{"connectorId":1,"transactionId":{huge},"meterValue":[]}}]'
        async with asyncio.TaskGroup() as tasks, hall.connect("CP-01") as station:
            writing = tasks.create_task(_commit_often(paper), name="paper")
            for frame in (start % (huge, huge), start % (1, huge), start % (-int(huge), 0)):
                answer = await ask(station, frame)
                assert answer[2]["idTagInfo"]["status"] == "Accepted"
            for frame in (stop % (huge, huge), stop % (1, "-" + huge), values):
                assert (await ask(station, frame))[0] == 3
            writing.cancel()
        assert hall.server.counters["internal-error"] == 0
        for known in paper.memory.transactions:
            assert abs(known.connector_number or 0) < 2**63
            assert abs(int(known.transaction)) < 2**63
            assert abs(known.meter_start_wh or 0.0) < 2**63
            assert abs(known.meter_stop_wh or 0.0) < 2**63

    in_hall(scene, ledger=paper)


async def _commit_often(paper: PaperLedger) -> None:
    while True:
        await asyncio.sleep(0.005)
        paper.commit()


def test_what_cannot_be_mended_is_named() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            missing = await ask(station, [2, "1", "StatusNotification", {"connectorId": 1}])
            wrong = await ask(station, [2, "2", "DataTransfer", {"vendorId": {"a": 1}}])
            unknown = await ask(station, [2, "3", "Frobnicate", {}])
            reverse = await ask(station, [2, "4", "RemoteStartTransaction", {"idTag": "x"}])

        assert missing[:3] == [4, "1", "OccurenceConstraintViolation"]
        assert wrong[:3] == [4, "2", "TypeConstraintViolation"]
        assert unknown[:3] == [4, "3", "NotImplemented"]
        assert reverse[:3] == [4, "4", "NotSupported"]
        assert hall.facts_of(ConnectorStatusChanged) == []

    in_hall(scene)
