"""What a 2.0.1 station says, as facts: over real sockets, the library's station at the other end."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from drivers.ocpp.station import MAX_CONNECTORS
from drivers.ocpp.v201 import V201Adapter
from gateway.domain.charging import ChargingState, ConnectorStatus, EndCause, OcppVersion
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    StationStatusChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId
from tests.support.ocpp201_station import now, station201
from tests.support.ocpp_hall import Hall, ask, in_hall, wait_until

FIRST = ConnectorRef(StationId("CP-01"), 1)
UNHURRIED_S = 1_000.0  # No boot is asked for, and nothing else.


def current(value: Any, phase: str, **extra: Any) -> dict[str, Any]:
    return {"value": value, "measurand": "Current.Import", "phase": phase, **extra}


def event(**extra: Any) -> list[Any]:
    """Return a TransactionEvent as a raw frame; a part that is None is left out."""
    said: dict[str, Any] = {
        "eventType": "Updated",
        "timestamp": now(),
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "T1"},
        "evse": {"id": 1},
        **extra,
    }
    return [2, "e", "TransactionEvent", {k: v for k, v in said.items() if v is not None}]


def test_a_boot_is_accepted_told_the_time_and_posted() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            answer = await station.boot()

        assert answer.status == "Accepted"
        assert 48 <= answer.interval <= 72
        told_at = datetime.fromisoformat(answer.current_time)
        assert abs(told_at - datetime.fromisoformat(now())) < timedelta(seconds=60)
        (fact,) = hall.facts_of(StationBooted)
        assert (fact.vendor, fact.model, fact.firmware) == ("Vendor", "Model", "1.0")

    in_hall(scene)


@pytest.mark.parametrize("status", list(ConnectorStatus))
def test_a_status_is_posted_for_its_evse_and_says_nothing_of_the_charging_state(
    status: ConnectorStatus,
) -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_status(1, status)

        (fact,) = hall.facts_of(ConnectorStatusChanged)
        assert (fact.connector, fact.status, fact.charging_state) == (FIRST, status, None)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_an_evse_is_what_its_most_engaged_connector_is() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_status(1, "Faulted", connector=1)
            await station.say_status(1, "Available", connector=2)
            await station.say_status(1, "Occupied", connector=2)
            await station.say_status(1, "Available", connector=1)
            await station.say_status(1, "Available", connector=2)

        assert [str(f.status) for f in hall.facts_of(ConnectorStatusChanged)] == [
            "Faulted",
            "Available",
            "Occupied",
            "Occupied",
            "Available",
        ]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_the_status_of_the_station_itself_changes_no_connector() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            for word in ("Faulted", "Unavailable", "Available"):
                await station.say_status(0, word, connector=0)
            await station.say_status(0, "Unavailable", connector=1)
            await station.say_status(65, "Occupied")
            await station.say_status(1, "Occupied", connector=0)

        assert hall.facts_of(ConnectorStatusChanged) == []
        assert [(f.station, f.status) for f in hall.facts_of(StationStatusChanged)] == [
            ("CP-01", ConnectorStatus.FAULTED),
            ("CP-01", ConnectorStatus.UNAVAILABLE),
            ("CP-01", ConnectorStatus.AVAILABLE),
            ("CP-01", ConnectorStatus.UNAVAILABLE),
        ]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_an_old_status_that_waited_for_a_connection_changes_nothing() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_status(1, "Occupied")
            await station.say_status(1, "Available", timestamp=now(ahead_s=-600))

        assert [str(f.status) for f in hall.facts_of(ConnectorStatusChanged)] == ["Occupied"]
        assert hall.server.counters["stale.StatusNotification"] == 1

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_status_may_come_as_a_monitored_event_instead() -> None:
    def availability(
        component: dict[str, Any], value: str, variable: str = "AvailabilityState"
    ) -> dict[str, Any]:
        return {
            "eventId": 1,
            "timestamp": now(),
            "trigger": "Delta",
            "actualValue": value,
            "eventNotificationType": "HardWiredNotification",
            "component": component,
            "variable": {"name": variable},
        }

    async def scene(hall: Hall) -> None:
        rows = [
            availability({"name": "Connector", "evse": {"id": 1, "connectorId": 1}}, "Occupied"),
            availability({"name": "EVSE", "evse": {"id": 1}}, "Faulted"),
            availability(
                {"name": "Connector", "evse": {"id": 1, "connectorId": 1}}, "Faulted", "X"
            ),
            availability({"name": "ChargingStation"}, "Faulted"),
            availability({"name": "Connector", "evse": {"id": 1, "connectorId": 1}}, "Melted"),
        ]
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            notice = {"generatedAt": now(), "seqNo": 0, "eventData": rows}
            assert await ask(station, [2, "n", "NotifyEvent", notice]) == [3, "n", {}]

        (fact,) = hall.facts_of(ConnectorStatusChanged)
        assert (fact.connector, fact.status) == (FIRST, ConnectorStatus.OCCUPIED)
        (of_station,) = hall.facts_of(StationStatusChanged)
        assert of_station.status is ConnectorStatus.FAULTED

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_transaction_is_posted_from_its_start_to_its_end() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            began = await station.say_event("Started", "T1", number=1, token="TAG")
            updated = await station.say_event("Updated", "T1", state="Charging")
            await station.say_event("Ended", "T1", state="EVConnected")

        assert began.id_token_info["status"] == "Accepted"
        assert updated.id_token_info is None
        (started,) = hall.facts_of(TransactionStarted)
        assert (started.connector, started.transaction, started.id_token) == (FIRST, "T1", "TAG")
        assert [f.charging_state for f in hall.facts_of(ConnectorStatusChanged)] == [
            ChargingState.CHARGING,
            ChargingState.EV_CONNECTED,
        ]
        (ended,) = hall.facts_of(TransactionEnded)
        assert (ended.connector, ended.transaction) == (FIRST, "T1")
        state = hall.facts_of(ConnectorStatusChanged)[-1]
        assert hall.facts.index(ended) > hall.facts.index(state)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


@pytest.mark.parametrize("state", list(ChargingState))
def test_a_charging_state_is_posted_as_it_is(state: ChargingState) -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1, state=state)

        (fact,) = hall.facts_of(ConnectorStatusChanged)
        assert (fact.connector, fact.status, fact.charging_state) == (FIRST, None, state)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_token_that_comes_later_is_posted_with_its_transaction_once() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Updated", "T1", token="TAG")
            await station.say_event("Updated", "T1", token="TAG")

        started = hall.facts_of(TransactionStarted)
        assert [(s.transaction, s.id_token) for s in started] == [("T1", None), ("T1", "TAG")]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_an_event_sent_twice_is_one_event() -> None:
    async def scene(hall: Hall) -> None:
        said_at = now()
        async with station201(hall) as station:
            for _ in range(2):  # The answer was lost: another message id, the same number.
                await station.say_event(
                    "Started", "T1", number=1, sequence=0, timestamp=said_at, state="Charging"
                )
            for _ in range(2):
                await station.say_event("Ended", "T1", sequence=1, timestamp=said_at)
            await station.say_event("Updated", "T1", sequence=2)

        assert len(hall.facts_of(TransactionStarted)) == 1
        assert len(hall.facts_of(ConnectorStatusChanged)) == 1
        assert len(hall.facts_of(TransactionEnded)) == 1
        assert hall.server.counters["repeated-event"] == 3

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_the_same_words_under_the_same_id_get_the_same_answer_and_no_more() -> None:
    async def scene(hall: Hall) -> None:
        frame = event(idToken={"idToken": "TAG", "type": "ISO14443"})
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            assert await ask(station, frame) == await ask(station, frame)

        assert hall.server.counters["duplicate"] == 1
        assert len(hall.facts_of(TransactionStarted)) == 1

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_station_that_does_not_count_is_listened_to() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            for amperes in (6.0, 7.0, 8.0):
                await station.say_event(
                    "Updated", "T1", number=1, sequence=0, samples=[current(amperes, "L1")]
                )

        assert [m.current_a[0] for m in hall.facts_of(ConnectorMetered)] == [6.0, 7.0, 8.0]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (None, EndCause.TOLD),
        ("StoppedByEV", EndCause.TOLD),
        ("Remote", EndCause.STOPPED),
        ("ImmediateReset", EndCause.STOPPED),
    ],
)
def test_what_somebody_else_has_ended_than_who_charged_is_told_apart(
    reason: str | None, cause: EndCause
) -> None:
    async def scene(hall: Hall) -> None:
        said = {} if reason is None else {"stoppedReason": reason}
        over = {"transactionId": "T1", **said}
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            await ask(station, event())
            await ask(station, event(seqNo=1, eventType="Ended", transactionInfo=over))

        assert [ended.cause for ended in hall.facts_of(TransactionEnded)] == [cause]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_transaction_found_running_is_adopted() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            await ask(station, event(seqNo=17))
            await ask(station, event(seqNo=18, eventType="Ended", evse=None))

        assert [s.transaction for s in hall.facts_of(TransactionStarted)] == ["T1"]
        assert [e.connector for e in hall.facts_of(TransactionEnded)] == [FIRST]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_transactions_that_never_say_where_they_run_fill_no_memory() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            for n in range(2 * MAX_CONNECTORS):
                told = {"transactionInfo": {"transactionId": f"T{n}"}}
                answer = await ask(station, event(evse=None, **told))
                assert answer[0] == 3
            adapter = hall.server.station(FIRST.station)
            assert isinstance(adapter, V201Adapter)
            assert len(adapter._station.sought) == MAX_CONNECTORS

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_the_end_of_a_transaction_we_do_not_know_is_acknowledged() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Ended", "T9", sequence=5)
            await station.say_event("Ended", "T8", number=1, sequence=5)

        assert hall.facts_of(TransactionStarted) == []
        assert hall.facts_of(TransactionEnded) == []

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_start_on_a_busy_evse_ends_what_ran() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Started", "T2", number=1)
            await station.say_event("Ended", "T1")  # It was only late.

        told = [f for f in hall.facts if isinstance(f, TransactionStarted | TransactionEnded)]
        assert [(type(fact).__name__, fact.transaction) for fact in told] == [
            ("TransactionStarted", "T1"),
            ("TransactionEnded", "T1"),
            ("TransactionStarted", "T2"),
        ]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_transaction_told_on_another_evse_leaves_the_one_before() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Updated", "T1", number=1)
            await station.say_event("Updated", "T1", number=2)
            await station.say_event("Ended", "T1")

        began = [s.connector.number for s in hall.facts_of(TransactionStarted)]
        ended = [e.connector.number for e in hall.facts_of(TransactionEnded)]
        assert (began, ended) == ([1, 2], [1, 2])

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_what_began_and_ended_without_a_connection_is_told_with_its_end() -> None:
    def register(energy_wh: float) -> list[dict[str, Any]]:
        return [current(32, "L1"), {"value": energy_wh}]

    async def scene(hall: Hall) -> None:
        past, later = now(ahead_s=-3_600), now(ahead_s=-1_800)
        async with station201(hall) as station:
            await station.say_event(
                "Started",
                "T1",
                number=1,
                timestamp=past,
                offline=True,
                state="Charging",
                token="TAG",
                samples=register(5_000),
            )
            assert hall.facts_of(TransactionStarted) == []
            samples = register(12_000)
            for _ in range(2):
                await station.say_event(
                    "Ended", "T1", timestamp=later, offline=True, samples=samples
                )

        assert hall.facts_of(ConnectorStatusChanged) == []  # It charges no more.
        kinds = (TransactionStarted, ConnectorMetered, TransactionEnded)
        told = [fact for fact in hall.facts if isinstance(fact, kinds)]
        assert [type(fact) for fact in told] == [*kinds]
        (started,), (metered,), (ended,) = (
            hall.facts_of(TransactionStarted),
            hall.facts_of(ConnectorMetered),
            hall.facts_of(TransactionEnded),
        )
        assert (started.connector, started.id_token, started.meter_start_wh) == (
            FIRST,
            "TAG",
            5_000,
        )
        assert (metered.energy_wh, metered.current_a[0]) == (12_000, None)
        ages_s = [started.age_s, metered.age_s, ended.age_s]
        assert ages_s == pytest.approx([3_600, 1_800, 1_800], abs=10)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_what_began_without_a_connection_and_still_runs_is_posted_with_its_token() -> None:
    async def scene(hall: Hall) -> None:
        past = now(ahead_s=-3_600)
        async with station201(hall) as station:
            await station.say_event(
                "Started", "T1", number=1, timestamp=past, offline=True, token="TAG"
            )
            await station.say_event("Updated", "T1", samples=[current(9, "L1")])

        (started,) = hall.facts_of(TransactionStarted)
        assert (started.connector, started.id_token) == (FIRST, "TAG")
        assert [m.current_a[0] for m in hall.facts_of(ConnectorMetered)] == [9.0]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_start_tells_what_the_meter_showed_and_how_long_ago_that_was() -> None:
    def register(energy_wh: float) -> list[dict[str, Any]]:
        return [{"value": energy_wh, "context": "Transaction.Begin"}]

    async def scene(hall: Hall) -> None:
        past = now(ahead_s=-1_800)
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1, samples=register(5_000))
            await station.say_event("Started", "T2", number=2)
            # It waited for a connection, and is announced by what is said of it now.
            await station.say_event(
                "Started",
                "T3",
                number=3,
                timestamp=past,
                offline=True,
                samples=register(7_000),
            )
            await station.say_event("Updated", "T3", samples=[current(9, "L1")])
            await station.say_event("Updated", "T3", token="TAG")

        told = [(s.transaction, s.meter_start_wh) for s in hall.facts_of(TransactionStarted)]
        assert told == [("T1", 5_000), ("T2", None), ("T3", 7_000), ("T3", 7_000)]
        ages_s = [s.age_s for s in hall.facts_of(TransactionStarted)]
        assert ages_s == pytest.approx([0, 0, 1_800, 1_800], abs=10)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


@pytest.mark.parametrize(
    ("ahead_s", "age_s"),
    # Behind by years is a clock that was never set, and ahead one that was set wrong.
    [(-1_800, 1_800), (-20 * 365 * 86_400, 0), (7_200, 0)],
)
def test_a_start_that_nobody_answered_may_be_the_first_that_a_station_tells(
    ahead_s: float, age_s: float
) -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            # Told to a daemon that died of it: no time without connection is said of it.
            at = now(ahead_s=ahead_s)
            await station.say_event("Started", "T1", number=1, timestamp=at)

        (started,) = hall.facts_of(TransactionStarted)
        assert started.age_s == pytest.approx(age_s, abs=10)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_what_an_end_without_a_connection_shows_was_given_to_what_had_begun() -> None:
    async def scene(hall: Hall) -> None:
        past = now(ahead_s=-300)
        shown = [current(32, "L1"), {"value": 9_000, "context": "Transaction.End"}]
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Ended", "T1", timestamp=past, offline=True, samples=shown)
            # Of this one nobody knows that it had begun.
            await station.say_event(
                "Ended", "T2", number=1, timestamp=past, offline=True, samples=shown
            )

        (metered,) = hall.facts_of(ConnectorMetered)
        assert (metered.connector, metered.current_a[0]) == (FIRST, None)
        assert metered.energy_wh == 9_000
        assert metered.age_s == pytest.approx(300, abs=10)
        (ended,) = hall.facts_of(TransactionEnded)
        assert hall.facts.index(metered) < hall.facts.index(ended)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_an_end_without_a_connection_ends_what_we_knew_to_run() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Started", "T1", number=1)
            await station.say_event("Ended", "T1", timestamp=now(ahead_s=-300), offline=True)

        assert [e.transaction for e in hall.facts_of(TransactionEnded)] == ["T1"]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_meter_values_are_read_in_and_outside_a_transaction() -> None:
    samples = [
        current(10.5, "L1"),
        current(1.15, "L2", unitOfMeasure={"unit": "A", "multiplier": 1}),
        current(12_500, "L3", unitOfMeasure={"unit": "mA"}),
        current(3, "N"),
        {"value": 7.2, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}},
        {"value": 1_234},
        {"value": 55, "measurand": "SoC", "location": "EV"},
        {"value": 230, "measurand": "Voltage", "phase": "L1-N"},
    ]

    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.say_event("Updated", "T1", number=1, samples=samples)
        async with hall.connect("CP-01", version=OcppVersion.V201) as raw:
            values = [{"timestamp": now(), "sampledValue": samples}]
            for number in (0, 1):
                said = {"evseId": number, "meterValue": values}
                assert await ask(raw, [2, "m", "MeterValues", said]) == [3, "m", {}]

        first, second = hall.facts_of(ConnectorMetered)
        assert (first.connector, second.connector) == (FIRST, FIRST)
        for metered in (first, second):
            assert metered.current_a == (10.5, 11.5, 12.5)
            assert (metered.power_w, metered.energy_wh, metered.soc_pct) == (7_200, 1_234, 55)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_of_values_kept_while_there_was_no_connection_only_those_of_now_count() -> None:
    kept = {"timestamp": now(ahead_s=-600), "sampledValue": [current(32, "L1")]}
    fresh = {"timestamp": now(), "sampledValue": [current(6, "L2")]}

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            await ask(station, event(meterValue=[kept, fresh]))

        assert [m.current_a for m in hall.facts_of(ConnectorMetered)] == [(None, 6.0, None)]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_old_meter_values_say_nothing_of_now() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            for at, amperes in ((now(), 6), (now(ahead_s=-600), 32)):
                values = [{"timestamp": at, "sampledValue": [current(amperes, "L1")]}]
                await ask(station, [2, "m", "MeterValues", {"evseId": 1, "meterValue": values}])
                extra = {"meterValue": values, "timestamp": at, "seqNo": None}
                await ask(station, event(**extra))

        assert [m.current_a[0] for m in hall.facts_of(ConnectorMetered)] == [6.0, 6.0]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_the_end_says_what_is_drawn_by_its_last_sample_alone() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            await ask(station, event(seqNo=0))
            values = [
                {"timestamp": now(ahead_s=-900), "sampledValue": [current(32, "L1")]},
                {"timestamp": now(), "sampledValue": [{"value": 4_000}]},
            ]
            await ask(station, event(seqNo=1, eventType="Ended", meterValue=values))

        (metered,) = hall.facts_of(ConnectorMetered)
        assert (metered.current_a[0], metered.energy_wh) == (None, 4_000)

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_transaction_event_is_never_refused_for_its_form() -> None:
    odd = {
        "eventType": "begun",
        "timestamp": "yesterday",
        "triggerReason": None,
        "seqNo": "7",
        "transactionInfo": {"transactionId": "T1", "chargingState": "charging", "vendor": 1},
        "evse": {"id": "1"},
        "idToken": {"idToken": "TAG", "type": "Fob"},
        "meterValue": [
            {
                "timestamp": None,
                "sampledValue": [
                    {"value": "10.5", "measurand": "Current.Import", "phase": "L1"},
                    {"value": 1, "measurand": "Vendor.Own"},
                ],
            }
        ],
    }

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            assert (await ask(station, event(**odd)))[:2] == [3, "e"]
            assert (await ask(station, event(transactionInfo=None)))[:2] == [3, "e"]
            assert (await ask(station, event(transactionInfo={})))[:2] == [3, "e"]
            endless = {"transactionId": "T" * 300}
            assert (await ask(station, event(transactionInfo=endless)))[:2] == [3, "e"]

        (started,) = hall.facts_of(TransactionStarted)
        assert (started.connector, started.transaction) == (FIRST, "T1")
        assert hall.server.counters["transaction-unnamed"] == 3

    in_hall(scene, boot_patience_s=UNHURRIED_S)


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("StatusNotification", {"evseId": 1, "connectorId": 1}, "OccurrenceConstraintViolation"),
        ("StatusNotification", [], "TypeConstraintViolation"),
        ("BootNotification", {"reason": "PowerUp"}, "OccurrenceConstraintViolation"),
        (
            "NotifyReport",
            {"requestId": "?", "generatedAt": "", "seqNo": 0},
            "TypeConstraintViolation",
        ),
        ("SecurityEventNotification", {"type": {}, "timestamp": ""}, "TypeConstraintViolation"),
        # 2.0.1 part 4 table 8: known and not for a central system; not known at all.
        ("SetChargingProfile", {}, "NotSupported"),
        ("StartTransaction", {}, "NotImplemented"),
    ],
)
def test_what_cannot_be_read_gets_the_code_of_2_0_1(action: str, payload: Any, code: str) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            answer = await ask(station, [2, "x", action, payload])

        assert answer[:3] == [4, "x", code]

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_a_report_nobody_asked_for_is_acknowledged_and_counted() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=OcppVersion.V201) as station:
            report = {"requestId": 7, "generatedAt": now(), "seqNo": 0, "reportData": []}
            del report["reportData"]
            assert await ask(station, [2, "r", "NotifyReport", report]) == [3, "r", {}]

        assert hall.server.counters["unasked.NotifyReport"] == 1

    in_hall(scene, boot_patience_s=UNHURRIED_S)


def test_the_better_version_is_chosen_of_those_offered() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall) as station:
            await station.boot()
            await wait_until(lambda: hall.facts_of(StationBooted))
        async with hall.connect("CP-02", version=OcppVersion.V16) as other:
            assert other.subprotocol == "ocpp1.6"

    in_hall(scene)
