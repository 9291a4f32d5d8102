"""OCPP 1.6: one station's messages translated to facts, and limits to its charging profiles."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from drivers.ocpp import v16_messages as messages
from drivers.ocpp.adapter import Answer, Later, Priority, StationContext, VersionSupport
from drivers.ocpp.clockwork import read_time, wire_time
from drivers.ocpp.rpc import plain_text
from drivers.ocpp.station import MAX_CONNECTORS
from drivers.ocpp.v16_configuration import Settings
from drivers.ocpp.v16_interview import V16Questions
from drivers.ocpp.v16_limits import V16Words
from drivers.ocpp.v16_station import V16Station
from drivers.ocpp.v16_transactions import NO_TRANSACTION, StartKey
from drivers.ocpp.version_adapter import ACKNOWLEDGED, STALE_AFTER_S, VersionAdapter, cause_of
from gateway.domain.charging import ChargingState, ConnectorStatus, EndCause, OcppVersion
from gateway.domain.errors import StationUnreachableError
from gateway.domain.events import ConnectorStatusChanged
from gateway.domain.ids import TransactionId
from gateway.domain.memory import Act
from gateway.domain.tokens import Judgement, TokenStatus

MAX_FRAME_BYTES: Final = 256 * 1024
LARGEST_NUMBER: Final = 2**53  # The largest a float tells from its neighbours.

# 1.6 §4.9 to 2.0.1 ConnectorStatusEnumType and ChargingStateEnumType. Where 1.6 does not say
# whether current may flow (Unavailable, Faulted), the state stands as it was.
STATUSES: Final[Mapping[str, tuple[ConnectorStatus, ChargingState | None]]] = {
    "Available": (ConnectorStatus.AVAILABLE, ChargingState.IDLE),
    "Preparing": (ConnectorStatus.OCCUPIED, ChargingState.EV_CONNECTED),
    "Charging": (ConnectorStatus.OCCUPIED, ChargingState.CHARGING),
    "SuspendedEV": (ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EV),
    "SuspendedEVSE": (ConnectorStatus.OCCUPIED, ChargingState.SUSPENDED_EVSE),
    "Finishing": (ConnectorStatus.OCCUPIED, ChargingState.EV_CONNECTED),
    "Reserved": (ConnectorStatus.RESERVED, ChargingState.IDLE),
    "Unavailable": (ConnectorStatus.UNAVAILABLE, None),
    "Faulted": (ConnectorStatus.FAULTED, None),
}

# What a connector says on which nothing runs (1.6 §4.9).
FREE: Final = frozenset({"Available", "Preparing", "Reserved"})

# Valid answers to messages nothing follows from; docs/ocpp-1.6.md says why of each.
ANSWERED_WITHOUT_EFFECT: Final[Mapping[str, Mapping[str, object]]] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "DiagnosticsStatusNotification": {},
    "FirmwareStatusNotification": {},
    "LogStatusNotification": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
    "SignedFirmwareStatusNotification": {},
}


def token_info(judgement: Judgement) -> dict[str, object]:
    """Return an IdTagInfo (1.6 7.27); it knows no Unknown."""
    is_unknown = judgement.status is TokenStatus.UNKNOWN
    info: dict[str, object] = {"status": "Invalid" if is_unknown else str(judgement.status)}
    if judgement.group is not None:
        info["parentIdTag"] = judgement.group
    if judgement.good_until_at is not None:
        info["expiryDate"] = wire_time(judgement.good_until_at)
    return info


def _storable(value: int | None) -> int | None:
    """Return a whole number as it is, None where it is beyond what anything stores.

    JSON bounds no number, a column does: one that does not fit would stop the whole ledger.
    """
    return value if value is not None and abs(value) <= LARGEST_NUMBER else None


class V16Adapter(VersionAdapter[V16Station]):
    """One station that speaks OCPP 1.6."""

    __slots__ = ("_book", "_questions")

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        station = V16Station(context)
        self._questions = V16Questions(station)
        self._book = station.book
        super().__init__(context, station, V16Words(station), self._questions)

    def answer(self, action: str, payload: object) -> Answer | Later:
        """See `StationAdapter`."""
        match payload:
            case messages.MeterValues():
                return self._on_meter_values(payload)
            case messages.Heartbeat():
                return self._answer_heartbeat()
            case messages.StatusNotification():
                return self._on_status(payload)
            case messages.StartTransaction():
                return self._on_start(payload)
            case messages.StopTransaction():
                return self._on_stop(payload)
            case messages.BootNotification():
                return self._on_boot(payload)
            case messages.Authorize():
                return {"idTagInfo": token_info(self._judge(payload.id_tag, has_begun=False))}
            case _:
                return ANSWERED_WITHOUT_EFFECT[action]

    # Inward: synchronous, and no calls out.

    def _on_boot(self, boot: messages.BootNotification) -> Answer | Later:
        self._station.unheard = set(self._book.running())
        return self._accept_boot(
            vendor=boot.charge_point_vendor or "",
            model=boot.charge_point_model or "",
            firmware=boot.firmware_version or "",
        )

    def _on_status(self, notice: messages.StatusNotification) -> Answer:
        age_s = self._station.observe_age_s(notice.timestamp)
        number, meaning = notice.connector_id, STATUSES.get(notice.status)
        if meaning is None or not 0 <= number <= MAX_CONNECTORS:
            return ACKNOWLEDGED
        if self._is_news(number, age_s):
            status, state = meaning
            if number == 0:  # The station itself: no connector of it changed (§4.9).
                self._station.post_status(status)
                return ACKNOWLEDGED
            if notice.status in FREE and age_s <= STALE_AFTER_S:
                self._end_lost(number)
            self._post(
                ConnectorStatusChanged(
                    at_s=self._clock.monotonic_s(),
                    connector=self._station.ref(number),
                    status=status,
                    charging_state=state,
                )
            )
        return ACKNOWLEDGED

    def _end_lost(self, number: int) -> None:
        """End what ran on a connector before a boot that its station did not survive with it.

        It may still send its stop, or go on with it after all: either is then taken as it comes.
        """
        transaction = self._book.running_on(number)
        if transaction is not None and transaction in self._station.unheard:
            self._station.unheard.discard(transaction)
            self._station.lost[number] = transaction
            self._book.drop(number)
            self._counters["lost-in-reboot"] += 1
            self._post_end(number, str(transaction), cause=EndCause.LOST_IN_REBOOT)

    def _take_back(self, transaction: int | None) -> None:
        """Let what seemed lost in a boot run on until its end, which is told after all.

        So what its end shows is its vehicle's. Where another runs by now nobody can tell any more.
        """
        lost = self._station.lost
        number = next((n for n, each in lost.items() if each == transaction), None)
        if number is not None and self._book.adopt(number, lost.pop(number)):
            self._post_begin(number, str(transaction))

    def _on_meter_values(self, message: messages.MeterValues) -> Answer | Later:
        number, values = message.connector_id, self._of_now(message.meter_value)
        message.transaction_id = _storable(message.transaction_id)
        is_old = bool(message.meter_value) and not values
        if not 0 < number <= MAX_CONNECTORS or is_old:  # Connector 0 is the station's own meter.
            return ACKNOWLEDGED
        self._station.unheard.discard(message.transaction_id or 0)
        is_adopted = self._book.adopt(number, message.transaction_id)
        if is_adopted:
            self._counters["adopted-transaction"] += 1
            self._post_begin(number, str(message.transaction_id))
        self._station.post_measured(number, values)
        # The first that is heard of a transaction is acknowledged like its start.
        return self._answer_after(ACKNOWLEDGED) if is_adopted else ACKNOWLEDGED

    def _on_start(self, start: messages.StartTransaction) -> Later:
        age_s = self._waited_s(start.timestamp)
        is_somewhere = 0 < start.connector_id <= MAX_CONNECTORS
        number = start.connector_id if is_somewhere else 0
        key = StartKey(number, start.id_tag, start.timestamp, _storable(start.meter_start))
        started = self._book.start(key, runs=is_somewhere)
        if not is_somewhere:
            self._counters["transaction-nowhere"] += 1
            return self._acknowledge_start(key, started.transaction)
        if not started.is_new:
            self._station.unheard.discard(started.transaction)
            self._counters["repeated-start"] += 1
            return self._acknowledge_start(key, started.transaction)
        if started.replaced is not None:
            replaced = str(started.replaced)
            self._post_end(number, replaced, cause=EndCause.REPLACED, age_s=age_s)
        id_token = None if start.id_tag is None else plain_text(start.id_tag)
        self._post_begin(
            number,
            str(started.transaction),
            id_token,
            meter_start_wh=key.meter_start_wh,
            age_s=age_s,
        )
        return self._acknowledge_start(key, started.transaction)

    def _acknowledge_start(self, key: StartKey, transaction: int) -> Later:
        begun = replace(
            self._transaction(str(transaction), key.number),
            given_number=transaction,
            id_token=None if key.id_tag is None else plain_text(key.id_tag),
            told=key.as_text(),
            began_at=read_time(key.timestamp),
            meter_start_wh=key.meter_start_wh,
        )
        judgement = self._judge(key.id_tag, has_begun=True)
        answer = {"transactionId": transaction, "idTagInfo": token_info(judgement)}
        return self._answer_after(answer, begun)

    def _on_stop(self, stop: messages.StopTransaction) -> Later:
        age_s = self._waited_s(stop.timestamp)
        stop.transaction_id = _storable(stop.transaction_id)
        stop.meter_stop = _storable(stop.meter_stop)
        self._take_back(stop.transaction_id)
        number = self._book.stop(stop.transaction_id, stop.meter_stop)
        # Unknown, or of a start that was never answered: acknowledged all the same, or the
        # station sends it for ever (1.6 errata v4.0).
        if number is None or stop.transaction_id is None:
            self._counters["unknown-stop"] += 1
            return self._acknowledge_stop(stop)
        self._station.post_energy(number, stop.meter_stop, age_s=age_s)
        cause = cause_of(stop.reason)
        self._post_end(number, str(stop.transaction_id), cause=cause, age_s=age_s)
        return self._acknowledge_stop(stop)

    def _acknowledge_stop(self, stop: messages.StopTransaction) -> Later:
        if stop.transaction_id is None or stop.transaction_id in NO_TRANSACTION:
            said = {
                "meter_stop_wh": str(stop.meter_stop),
                "timestamp": plain_text(stop.timestamp or ""),
            }
            act = Act(kind="stop-of-no-transaction", subject=self._station.id, detail=said)
            return self._answer_after(ACKNOWLEDGED, act)
        over = replace(
            self._transaction(str(stop.transaction_id)),
            is_over=True,
            ended_at=read_time(stop.timestamp),
            meter_stop_wh=None if stop.meter_stop is None else float(stop.meter_stop),
            reason=None if stop.reason is None else plain_text(stop.reason),
        )
        return self._answer_after(ACKNOWLEDGED, over)

    # Outward.

    async def read_configuration(self, keys: tuple[str, ...]) -> Settings:
        """See `V16Questions.read_configuration`."""
        return await self._questions.read_configuration(keys)

    async def change_configuration(self, key: str, value: str) -> str:
        """See `V16Questions.change_configuration`."""
        return await self._questions.change_configuration(key, value)

    async def request_reading(self, number: int) -> None:
        """See `StationAdapter`."""
        status = await self._station.trigger(
            "MeterValues", number=number, priority=Priority.ALLOCATION
        )
        if status != "Accepted":
            raise StationUnreachableError(
                self._station.id, f"gives no reading when asked: {status}"
            )

    async def start_transaction(self, number: int, id_token: str) -> None:
        """See `StationAdapter`."""
        payload = {"connectorId": number, "idTag": id_token}
        await self._station.demand("RemoteStartTransaction", payload, priority=Priority.TRANSACTION)

    async def stop_transaction(self, transaction: TransactionId) -> None:
        """See `StationAdapter`."""
        payload = {"transactionId": int(transaction)}
        await self._station.demand("RemoteStopTransaction", payload, priority=Priority.TRANSACTION)

    async def reset(self, *, is_hard: bool) -> None:
        """See `StationAdapter`."""
        payload = {"type": "Hard" if is_hard else "Soft"}
        await self._station.demand("Reset", payload, priority=Priority.TRANSACTION)


SUPPORT: Final = VersionSupport(
    version=OcppVersion.V16,
    make_adapter=V16Adapter,
    from_station=frozenset(messages.PAYLOAD_TYPES) | frozenset(ANSWERED_WITHOUT_EFFECT),
    never_refused=frozenset({"MeterValues", "StartTransaction", "StopTransaction"}),
    payload_types=messages.PAYLOAD_TYPES,
    max_frame_bytes=MAX_FRAME_BYTES,
    answered_once=frozenset({"StartTransaction", "StopTransaction"}),
)
