"""OCPP 2.0.1: one station's messages translated to facts, and limits to its charging profiles."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from drivers.ocpp import v201_messages as messages
from drivers.ocpp.adapter import Answer, Later, Priority, StationContext, VersionSupport
from drivers.ocpp.clockwork import read_time, wire_time
from drivers.ocpp.metering import measure
from drivers.ocpp.rpc import plain_text
from drivers.ocpp.station import MAX_CONNECTORS
from drivers.ocpp.v201_interview import V201Questions
from drivers.ocpp.v201_limits import V201Words
from drivers.ocpp.v201_reports import Report
from drivers.ocpp.v201_station import V201Station
from drivers.ocpp.v201_transactions import Heard
from drivers.ocpp.v201_variables import AVAILABILITY, STATUSES, Model, VariableName
from drivers.ocpp.version_adapter import ACKNOWLEDGED, STALE_AFTER_S, VersionAdapter, cause_of
from gateway.domain.charging import ChargingState, EndCause, OcppVersion
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.events import ConnectorStatusChanged
from gateway.domain.ids import TransactionId
from gateway.domain.memory import TransactionMemory
from gateway.domain.tokens import ACCEPTED, Judgement

MAX_FRAME_BYTES: Final = 1024 * 1024  # Reports of a device model are long.
MAX_KEPT_LENGTH: Final = 255  # Of an id, which should have 36 characters at most.

# Valid answers to messages nothing follows from; docs/ocpp-2.0.1.md says why of each.
ANSWERED_WITHOUT_EFFECT: Final[Mapping[str, Mapping[str, object]]] = {
    "ClearedChargingLimit": {},
    "DataTransfer": {"status": "UnknownVendorId"},
    "FirmwareStatusNotification": {},
    "Get15118EVCertificate": {"status": "Failed", "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "LogStatusNotification": {},
    "NotifyChargingLimit": {},
    "NotifyCustomerInformation": {},
    "NotifyDisplayMessages": {},
    "NotifyEVChargingNeeds": {"status": "Rejected"},
    "NotifyEVChargingSchedule": {"status": "Accepted"},
    "NotifyMonitoringReport": {},
    "PublishFirmwareStatusNotification": {},
    "ReservationStatusUpdate": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
}

_ENDS: Final = frozenset({"Started", "Ended"})
_REPORTS: Final = frozenset({"NotifyReport", "ReportChargingProfiles"})
_AUTHORIZED: Final = b'{"idTokenInfo":{"status":"Accepted"}}'
_STATES: Final = {str(state): state for state in ChargingState}


def token_info(judgement: Judgement) -> Answer:
    """Return an answer with the IdTokenInfo of a token (2.0.1 2.29)."""
    if judgement is ACCEPTED:
        return _AUTHORIZED
    info: dict[str, object] = {"status": str(judgement.status)}
    if judgement.group is not None:
        info["groupIdToken"] = {"idToken": judgement.group, "type": "Central"}
    if judgement.good_until_at is not None:
        info["cacheExpiryDateTime"] = wire_time(judgement.good_until_at)
    return {"idTokenInfo": info}


class V201Adapter(VersionAdapter[V201Station]):
    """One station that speaks OCPP 2.0.1."""

    __slots__ = ("_last_start_number", "_profiles", "_questions")

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        station = V201Station(context)
        self._profiles = V201Words(station)
        self._questions = V201Questions(station, self._profiles)
        self._last_start_number = 0
        super().__init__(context, station, self._profiles, self._questions)

    def answer(self, action: str, payload: object) -> Answer | Later:
        """See `StationAdapter`."""
        match payload:
            case messages.TransactionEvent():
                return self._on_event(payload)
            case messages.MeterValues():
                return self._on_meter_values(payload)
            case messages.Heartbeat():
                return self._answer_heartbeat()
            case messages.StatusNotification():
                self._note_status(
                    payload.evse_id,
                    payload.connector_id,
                    payload.connector_status,
                    timestamp=payload.timestamp,
                )
                return ACKNOWLEDGED
            case messages.NotifyEvent():
                return self._on_notify_event(payload)
            case messages.BootNotification():
                return self._on_boot(payload.charging_station)
            case messages.Authorize():
                return self._on_authorize(payload)
            case _ if action in _REPORTS:
                assert isinstance(payload, dict)  # The schema says so.
                return self._on_report(action, payload)
            case _:
                return ANSWERED_WITHOUT_EFFECT[action]

    # Inward: synchronous, and no calls out.

    def _on_boot(self, station: messages.ChargingStationType) -> Answer | Later:
        return self._accept_boot(
            vendor=station.vendor_name or "",
            model=station.model or "",
            firmware=station.firmware_version or "",
        )

    def _note_status(
        self, number: int, connector: int, word: str, *, timestamp: str | None
    ) -> None:
        age_s = self._station.observe_age_s(timestamp)
        status = STATUSES.get(word)
        is_there = 0 < number <= MAX_CONNECTORS and 0 < connector <= MAX_CONNECTORS
        if status is None or not (is_there or number == 0):
            return
        if number == 0:  # The station itself: no connector of it changed.
            if self._is_news(number, age_s):
                self._station.post_status(status)
        elif self._is_news((number, connector), age_s):
            self._post(
                ConnectorStatusChanged(
                    at_s=self._clock.monotonic_s(),
                    connector=self._station.ref(number),
                    status=self._station.note_status(number, connector, status),
                )
            )
            self._station.end_lost(number)

    def _on_notify_event(self, notice: messages.NotifyEvent) -> Answer:
        """Take availability from where it may be told instead of a StatusNotification (G01)."""
        for event in notice.event_data:
            evse = event.component.evse
            if event.variable.name != AVAILABILITY.variable:
                continue
            value, at = event.actual_value, event.timestamp
            if event.component.name == AVAILABILITY.component and evse is None:
                self._note_status(0, 0, value, timestamp=at)
            elif event.component.name == "Connector" and evse is not None:
                self._note_status(evse.id, evse.connector_id or 0, value, timestamp=at)
        return ACKNOWLEDGED

    def _on_meter_values(self, message: messages.MeterValues) -> Answer:
        number, values = message.evse_id, self._of_now(message.meter_value)
        if 0 < number <= MAX_CONNECTORS:  # EVSE 0 is the station's grid connection.
            self._station.post_measured(number, values)
        return ACKNOWLEDGED

    def _on_report(self, action: str, report: Report) -> Answer:
        # Unlike a status, which may be as old as it likes, a report is made now.
        self._station.observe_age_s(report.get("generatedAt"))
        if not self._station.reports.take(report):
            self._counters[f"unasked.{action}"] += 1
        return ACKNOWLEDGED

    def _on_authorize(self, message: messages.Authorize) -> Answer:
        return token_info(self._judge(message.id_token.id_token, has_begun=False))

    def _on_event(self, event: messages.TransactionEvent) -> Answer | Later:
        # A token in the event wants its answer in the response (C01.FR.02, E05).
        answer: Answer = ACKNOWLEDGED
        if event.id_token is not None:
            answer = token_info(self._judge(event.id_token.id_token, has_begun=True))
        info = event.transaction_info
        transaction = info.transaction_id if info is not None else None
        if not transaction or len(transaction) > MAX_KEPT_LENGTH:
            self._counters["transaction-unnamed"] += 1
            return answer
        is_first = not self._station.book.knows(transaction)
        heard = self._hear(transaction, event)
        self._enter(transaction, heard, event)
        # The first that is heard of a transaction is acknowledged like its start.
        if not is_first and event.event_type not in _ENDS:
            return answer
        return self._answer_after(answer, self._record(heard, event))

    def _enter(self, transaction: str, heard: Heard, event: messages.TransactionEvent) -> None:
        """Take an event into the book and post what is news."""
        is_end = event.event_type == "Ended"
        book, station = self._station.book, self._station
        told = book.end(transaction, event=heard) if is_end else book.enter(heard)
        station.believe(transaction)
        if event.trigger_reason == "Trigger":
            station.answered.give()
        if told.is_repeat:
            self._counters["repeated-event"] += 1
            return
        number = told.number if told.number is not None else heard.number
        if told.left is not None:
            self._post_end(told.left, transaction, cause=EndCause.TOLD)
        if not is_end:
            self._post_ends(told.ended, number, cause=EndCause.REPLACED, age_s=told.age_s)
        if told.is_begin:
            assert told.number is not None  # Nothing begins nowhere.
            self._station.sought.discard(transaction)
            self._post_begin(
                told.number,
                transaction,
                told.id_token,
                meter_start_wh=told.meter_start_wh,
                age_s=told.age_s,
            )
        if told.number is None:
            self._seek(transaction, heard, is_end=is_end)
        if heard.is_present and number is not None:
            self._post_present(number, event, is_end=is_end)
        elif is_end and told.ended and number is not None:
            # However old it is, so much was given; of what is drawn now it says nothing.
            energy_wh = _shown_at_end_wh(event)
            self._station.post_energy(number, energy_wh, age_s=heard.waited_s)
        if is_end:
            reason = (
                None if event.transaction_info is None else event.transaction_info.stopped_reason
            )
            cause = cause_of(reason)
            self._post_ends(told.ended, number, cause=cause, age_s=heard.waited_s)

    def _record(self, heard: Heard, event: messages.TransactionEvent) -> TransactionMemory:
        """Return what an event says of its transaction that the ledger keeps."""
        is_start, is_end = event.event_type == "Started", event.event_type == "Ended"
        info = event.transaction_info
        reason = info.stopped_reason if info is not None else None
        return replace(
            self._transaction(heard.transaction, heard.number),
            is_over=is_end,
            id_token=heard.id_token,
            began_at=heard.written_at if is_start else None,
            ended_at=heard.written_at if is_end else None,
            meter_start_wh=heard.meter_start_wh,
            meter_stop_wh=_shown_at_end_wh(event) if is_end else None,
            reason=None if reason is None else plain_text(reason),
        )

    def _hear(self, transaction: str, event: messages.TransactionEvent) -> Heard:
        """Return what the event says of its transaction."""
        number = event.evse.id if event.evse is not None else None
        if number is not None and not 0 < number <= MAX_CONNECTORS:
            number = None
        if number is None and event.trigger_reason == "Trigger":
            places = dict(self._station.book.running())
            number = places.get(transaction, self._station.asked)
        # What waited for a connection says nothing of the clock, nor of now.
        waited_s = self._waited_s(event.timestamp, tells_clock=not event.offline)
        age_s = 0.0 if event.offline else self._station.observe_age_s(event.timestamp)
        token, is_start = event.id_token, event.event_type == "Started"
        # A transaction's first sample comes with its start, its last with its end (J02).
        first = (event.meter_value or [])[:1]
        return Heard(
            transaction=transaction,
            sequence=event.seq_no,
            written_at=read_time(event.timestamp),
            number=number,
            id_token=plain_text(token.id_token or "") or None if token else None,
            is_present=not event.offline and age_s <= STALE_AFTER_S,
            is_start=is_start,
            meter_start_wh=measure(first).energy_wh if is_start else None,
            waited_s=waited_s,
        )

    def _seek(self, transaction: str, heard: Heard, *, is_end: bool) -> None:
        """Have the station asked where a transaction runs that does not say so."""
        sought = self._station.sought
        if is_end:
            sought.discard(transaction)
            self._counters["unknown-end"] += 1
        elif heard.is_present and transaction not in sought and len(sought) < MAX_CONNECTORS:
            sought.add(transaction)
            self._station.interview_again()

    def _post_present(self, number: int, event: messages.TransactionEvent, *, is_end: bool) -> None:
        """Post what an event says of its EVSE now."""
        info, values = event.transaction_info, event.meter_value or []
        state = _STATES.get(info.charging_state or "") if info is not None else None
        if state is not None:
            self._post(
                ConnectorStatusChanged(
                    at_s=self._clock.monotonic_s(),
                    connector=self._station.ref(number),
                    charging_state=state,
                )
            )
        # The end carries samples of the whole transaction (J02): the last is of now.
        values = values[-1:] if is_end else values
        self._station.post_measured(number, self._of_now(values))

    def _post_ends(
        self,
        transactions: tuple[str, ...],
        number: int | None,
        *,
        cause: EndCause,
        age_s: float,
    ) -> None:
        for transaction in transactions:
            assert number is not None  # What was announced has an EVSE.
            self._post_end(number, transaction, cause=cause, age_s=age_s)

    # Outward.

    async def get_variables(self, names: tuple[VariableName, ...]) -> Model:
        """See `V201Questions.get_variables`."""
        return await self._questions.get_variables(names)

    async def set_variable(self, name: VariableName, value: str) -> str:
        """See `V201Questions.set_variable`."""
        return await self._questions.set_variable(name, value)

    async def request_reading(self, number: int) -> None:
        """See `StationAdapter`."""
        # In a transaction its event says more: the state and what was set up (F06.FR.07).
        is_running = self._station.book.running_on(number) is not None
        wishes = ("TransactionEvent", "MeterValues") if is_running else ("MeterValues",)
        status = ""
        for message in wishes:
            status = await self._station.trigger(
                message, number=number, priority=Priority.ALLOCATION
            )
            if status == "Accepted":
                return
        raise StationUnreachableError(self._station.id, f"gives no reading when asked: {status}")

    async def start_transaction(self, number: int, id_token: str) -> None:
        """See `StationAdapter`."""
        self._last_start_number += 1
        payload = {
            "evseId": number,
            "remoteStartId": self._last_start_number,
            "idToken": {"idToken": id_token, "type": "Central"},
        }
        await self._station.demand(
            "RequestStartTransaction", payload, priority=Priority.TRANSACTION
        )

    async def stop_transaction(self, transaction: TransactionId) -> None:
        """See `StationAdapter`."""
        payload = {"transactionId": transaction}
        await self._station.demand("RequestStopTransaction", payload, priority=Priority.TRANSACTION)

    async def reset(self, *, is_hard: bool) -> None:
        """See `StationAdapter`. One that is not hard waits for the transactions to end (B12)."""
        payload = {"type": "Immediate" if is_hard else "OnIdle"}
        status = await self._station.ask("Reset", payload, priority=Priority.TRANSACTION)
        if not status.startswith(("Accepted", "Scheduled")):
            raise LimitRejectedError(self._station.id, f"Reset: {status}")


def _shown_at_end_wh(event: messages.TransactionEvent) -> float | None:
    """Return what the meter showed when a transaction ended, None if its end does not tell."""
    return measure((event.meter_value or [])[-1:]).energy_wh


SUPPORT: Final = VersionSupport(
    version=OcppVersion.V201,
    make_adapter=V201Adapter,
    from_station=(
        frozenset(messages.PAYLOAD_TYPES) | frozenset(ANSWERED_WITHOUT_EFFECT) | _REPORTS
    ),
    never_refused=frozenset({"MeterValues", "TransactionEvent"}),
    payload_types=messages.PAYLOAD_TYPES,
    max_frame_bytes=MAX_FRAME_BYTES,
    answered_once=frozenset({"TransactionEvent"}),
)
