"""What is acknowledged to a station is safe first, and nobody else waits for it."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from gateway.domain.charging import OcppVersion
from gateway.domain.errors import LimitRejectedError
from gateway.domain.events import StationBooted, TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.memory import Memory, StationMemory, TransactionMemory
from tests.support.ocpp16_station import station16
from tests.support.ocpp201_station import station201
from tests.support.ocpp_hall import Hall, ask, in_hall, wait_until
from tests.support.paper_ledger import PaperLedger

CP_01 = StationId("CP-01")
NOON = "2026-01-05T12:00:00Z"
STARTED = {
    "eventType": "Started",
    "timestamp": NOON,
    "triggerReason": "Authorized",
    "seqNo": 0,
    "transactionInfo": {"transactionId": "T-1"},
    "evse": {"id": 1, "connectorId": 1},
    "idToken": {"idToken": "CARD", "type": "Central"},
}


def start(call_id: str, *, timestamp: str = NOON, meter_start: int = 10) -> list[Any]:
    payload = {
        "connectorId": 1,
        "idTag": "CARD",
        "meterStart": meter_start,
        "timestamp": timestamp,
    }
    return [2, call_id, "StartTransaction", payload]


def stop(call_id: str, transaction: int, *, meter_stop: int = 900) -> list[Any]:
    payload = {
        "transactionId": transaction,
        "meterStop": meter_stop,
        "timestamp": NOON,
        "reason": "EVDisconnected",
    }
    return [2, call_id, "StopTransaction", payload]


async def send(connection: ClientConnection, frame: list[Any]) -> None:
    await connection.send(json.dumps(frame))


async def answers(connection: ClientConnection, *, for_s: float = 0.3) -> list[Any]:
    """Return the answers that come within a time, calls of the server left out."""
    found: list[Any] = []
    try:
        async with asyncio.timeout(for_s):
            while True:
                frame = json.loads(await connection.recv())
                if frame[0] != 2:
                    found.append(frame)
    except TimeoutError:
        return found


def test_a_start_is_answered_once_it_is_safe_and_nobody_else_waits() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one, hall.connect("CP-02") as two:
            await send(one, start("a"))
            await send(one, [2, "b", "Heartbeat", {}])
            assert [frame[1] for frame in await answers(one)] == ["b"]
            assert (await ask(two, [2, "c", "Heartbeat", {}]))[1] == "c"
            # Told again while it waits: still one transaction, and one answer to each call.
            await send(one, start("a"))
            await send(one, start("a2"))
            assert await answers(one) == []

            ledger.commit()
            found = await answers(one)
            assert [frame[1] for frame in found] == ["a", "a2"]
            (number,) = {frame[2]["transactionId"] for frame in found}
            # What was answered is answered again at once, in the same words.
            assert (await ask(one, start("a")))[2]["transactionId"] == number

            await send(one, stop("d", number))
            assert await answers(one) == []
            ledger.commit()
            assert [frame[1] for frame in await answers(one)] == ["d"]

        kinds = [
            type(f).__name__
            for f in hall.facts
            if isinstance(f, TransactionStarted | TransactionEnded)
        ]
        assert kinds == ["TransactionStarted", "TransactionEnded"]

    in_hall(test, ledger=ledger)

    (kept,) = ledger.memory.transactions
    assert (kept.station, kept.connector_number, kept.is_over) == (CP_01, 1, True)
    assert (kept.meter_start_wh, kept.meter_stop_wh) == (10.0, 900.0)
    assert (kept.id_token, kept.reason) == ("CARD", "EVDisconnected")


def test_a_connection_that_ends_just_as_its_answer_may_be_given_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            await send(one, start("a"))
            await wait_until(lambda: ledger.is_asked)
            session = hall.server._stations[CP_01].session
            assert session is not None
            # Who waits is called in the loop's next turn: in between, the connection is gone.
            ledger.commit()
            session.lose()
            await asyncio.sleep(0)

    in_hall(test, ledger=ledger)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_start_sent_again_and_again_waits_once_and_has_few_answers() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            for number in range(40):
                await send(one, start(f"again-{number}"))
            await send(one, start("other", timestamp="2026-01-05T13:00:00Z"))
            assert await answers(one) == []
            starts = [kept for kept in ledger.waiting if isinstance(kept, TransactionMemory)]
            assert len({kept.transaction for kept in starts if not kept.is_over}) == 2
            assert len([kept for kept in starts if kept.told is not None]) == 2
            ledger.commit()
            told = [frame[1] for frame in await answers(one)]
            # On the first of so many its station has long given up.
            assert told == [f"again-{number}" for number in range(24, 40)] + ["other"]

    in_hall(test, ledger=ledger)


def test_a_stop_and_what_2_0_1_tells_wait_once_too() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with (
            hall.connect("CP-01") as one,
            hall.connect("CP-02", version=OcppVersion.V201) as two,
        ):
            await send(one, start("a"))
            await wait_until(lambda: ledger.is_asked)
            ledger.commit()
            ((_, _, started),) = await answers(one)
            before = len(ledger.waiting)
            for number in range(20):
                await send(one, stop(f"s-{number}", started["transactionId"]))
                await send(two, [2, f"e-{number}", "TransactionEvent", STARTED])
            assert await answers(one) == await answers(two) == []
            told = [
                kept
                for kept in ledger.waiting[before:]
                if isinstance(kept, TransactionMemory) and (kept.ended_at or kept.began_at)
            ]
            assert len(told) == 2
            ledger.commit()
            assert (await answers(one))[-1][1] == "s-19"
            assert (await answers(two))[-1][1] == "e-19"

    in_hall(test, ledger=ledger)


def test_the_same_in_2_0_1_and_what_goes_on_in_between_waits_for_nothing() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as one:
            await send(one, [2, "a", "TransactionEvent", STARTED])
            assert await answers(one) == []
            ledger.commit()
            ((_, call_id, answer),) = await answers(one)
            assert (call_id, answer["idTokenInfo"]["status"]) == ("a", "Accepted")

            update = {**STARTED, "eventType": "Updated", "seqNo": 1}
            assert (await ask(one, [2, "b", "TransactionEvent", update]))[1] == "b"
            # One that was never heard of before is acknowledged like a start.
            unknown = {**update, "transactionInfo": {"transactionId": "T-2"}}
            await send(one, [2, "c", "TransactionEvent", unknown])
            assert await answers(one) == []
            over = {
                **STARTED,
                "eventType": "Ended",
                "seqNo": 2,
                "transactionInfo": {"transactionId": "T-1", "stoppedReason": "Local"},
            }
            await send(one, [2, "d", "TransactionEvent", over])
            assert await answers(one) == []
            ledger.commit()
            assert sorted(frame[1] for frame in await answers(one)) == ["c", "d"]

    in_hall(test, ledger=ledger)

    kept = {t.transaction: t for t in ledger.memory.transactions}
    assert kept[TransactionId("T-1")].is_over
    assert kept[TransactionId("T-1")].reason == "Local"
    assert not kept[TransactionId("T-2")].is_over


def test_a_connection_that_is_lost_meanwhile_takes_the_answer_with_it() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            await send(one, start("a"))
            await wait_until(lambda: ledger.is_asked)
        async with hall.connect("CP-01") as again:
            await wait_until(lambda: len(hall.facts) >= 4)
            ledger.commit()
            assert await answers(again) == []
            await send(again, start("b"))
            await wait_until(lambda: ledger.is_asked)
            ledger.commit()
            ((_, call_id, _),) = await answers(again)
            assert call_id == "b"

    in_hall(test, ledger=ledger)

    assert len(ledger.memory.transactions) == 1


def test_a_boot_is_answered_in_the_end_whatever_the_disk_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("drivers.ocpp.remembered.PATIENCE_S", 0.5)
    ledger = PaperLedger()
    boot = [2, "a", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            await send(one, boot)
            assert await answers(one, for_s=0.2) == []
            ((_, _, answer),) = await answers(one, for_s=1.0)
            assert answer["status"] == "Accepted"
        assert any(isinstance(fact, StationBooted) for fact in hall.facts)

    in_hall(test, ledger=ledger)


def test_a_limit_lets_the_answer_go_first_that_names_its_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with station16(hall) as station:
            booting = asyncio.get_running_loop().create_task(station.boot())
            await wait_until(lambda: ledger.is_asked)
            ledger.commit()
            await booting
            await wait_until(lambda: hall.server.station(CP_01).capabilities)
            starting = asyncio.get_running_loop().create_task(
                station.start_transaction(1, timestamp=NOON)
            )
            await wait_until(lambda: ledger.is_asked)
            limiting = asyncio.get_running_loop().create_task(
                hall.driver.set_limit(
                    ConnectorRef(CP_01, 1),
                    CurrentLimit(limit_ma=10_000),
                    valid_for=timedelta(seconds=60),
                )
            )
            await asyncio.sleep(0.2)
            assert station.profiles() == []
            ledger.commit()
            number = await starting
            await limiting
            (lease,) = station.profiles("TxProfile")
            assert lease["transaction_id"] == number

            # A cut waits for no answer, however long one may be waited for.
            monkeypatch.setattr("drivers.ocpp.limits.ANSWERED_WITHIN_S", 3_600.0)
            late = asyncio.get_running_loop().create_task(
                station.stop_transaction(number, timestamp=NOON)
            )
            await wait_until(lambda: ledger.is_asked)
            with contextlib.suppress(LimitRejectedError):
                await hall.driver.set_limit(
                    ConnectorRef(CP_01, 1),
                    CurrentLimit(limit_ma=6_000),
                    valid_for=timedelta(seconds=60),
                )
            assert not late.done()
            ledger.commit()
            await late

    in_hall(test, ledger=ledger)


def remembered() -> Memory:
    """Return a memory of a station with one transaction that runs and one that is over."""
    told = json.dumps([1, "CARD", NOON, 10], separators=(",", ":"))
    common: dict[str, Any] = {"station": CP_01, "connector_number": 1}
    over = TransactionMemory(
        **common,
        transaction=TransactionId("2000000000"),
        given_number=2_000_000_000,
        is_over=True,
        told=told,
        meter_start_wh=10.0,
        meter_stop_wh=500.0,
    )
    running = TransactionMemory(
        **common,
        transaction=TransactionId("2000000001"),
        given_number=2_000_000_001,
        told=json.dumps([1, "CARD", "2026-01-05T13:00:00Z", 500], separators=(",", ":")),
    )
    who = StationMemory(station=CP_01, vendor="Vendor", model="Model", firmware="1.0")
    return Memory(
        stations={CP_01: who},
        transactions=(over, running),
        last_given_number=2_000_000_001,
    )


def test_after_a_restart_transactions_go_on_under_their_numbers() -> None:
    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            again = start("a", timestamp="2026-01-05T13:00:00Z", meter_start=500)
            assert (await ask(one, again))[2]["transactionId"] == 2_000_000_001
            assert (await ask(one, start("b")))[2]["transactionId"] == 2_000_000_000
            await ask(one, stop("c", 2_000_000_001))
            new = start("d", timestamp="2026-01-05T14:00:00Z", meter_start=900)
            assert (await ask(one, new))[2]["transactionId"] == 2_000_000_002
        told = [f for f in hall.facts if isinstance(f, TransactionStarted | TransactionEnded)]
        assert [(type(f).__name__, f.transaction) for f in told] == [
            ("TransactionEnded", "2000000001"),
            ("TransactionStarted", "2000000002"),
        ]
        assert told[0].connector == ConnectorRef(CP_01, 1)

    in_hall(test, memory=remembered())


def test_what_began_under_an_id_used_before_goes_on_after_a_restart() -> None:
    ledger = PaperLedger()
    over = TransactionMemory(
        station=CP_01,
        transaction=TransactionId("T-1"),
        is_over=True,
        ended_at=datetime(2026, 1, 5, 11, tzinfo=UTC),
    )

    async def before(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as one:
            await send(one, [2, "a", "TransactionEvent", STARTED])
            await wait_until(lambda: ledger.is_asked)
            ledger.commit()

    async def after(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as one:
            on = {
                **STARTED,
                "eventType": "Updated",
                "seqNo": 1,
                "timestamp": "2026-01-05T12:01:00Z",
            }
            await ask(one, [2, "a", "TransactionEvent", on])
            await ask(one, [2, "b", "TransactionEvent", {**on, "eventType": "Ended", "seqNo": 2}])
        assert [f.transaction for f in hall.facts_of(TransactionEnded)] == ["T-1"]

    ledger.keep(over)
    ledger.commit()
    in_hall(before, ledger=ledger, memory=ledger.memory)
    in_hall(after, memory=ledger.memory)


@pytest.mark.parametrize(
    ("station_of", "reads"), [(station16, "GetConfiguration"), (station201, "GetReport")]
)
def test_a_station_that_is_remembered_is_not_asked_to_boot_and_keeps_its_leases(
    station_of: Callable[[Hall], Any], reads: str
) -> None:
    async def test(hall: Hall) -> None:
        async with station_of(hall) as station:
            await wait_until(lambda: station.said(reads))
            await asyncio.sleep(0.2)
            asked = [said["requested_message"] for said in station.said("TriggerMessage")]
            assert "BootNotification" not in asked
            assert station.said("ClearChargingProfile") == []

    in_hall(test, memory=remembered())


@pytest.mark.parametrize("station_of", [station16, station201])
def test_an_unknown_station_is_asked_and_cleared_as_ever(
    station_of: Callable[[Hall], Any],
) -> None:
    async def test(hall: Hall) -> None:
        async with station_of(hall) as station:
            await wait_until(lambda: station.said("ClearChargingProfile"))
            asked = [said["requested_message"] for said in station.said("TriggerMessage")]
            assert "BootNotification" in asked

    in_hall(test)


def test_a_refusal_is_no_answer_that_waits() -> None:
    ledger = PaperLedger()

    async def test(hall: Hall) -> None:
        async with hall.connect("CP-01") as one:
            answer = await ask(one, [2, "a", "BootNotification", {"chargePointVendor": 7}])
            assert answer[0] == 4

    in_hall(test, ledger=ledger)
