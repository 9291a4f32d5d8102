"""OCPP 1.6: one station's messages translated to facts, and limits to its charging profiles."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from drivers.ocpp import v16_messages as messages
from drivers.ocpp.adapter import Answer, Link, Priority, StationContext, VersionSupport
from drivers.ocpp.interview import Interview
from drivers.ocpp.leases import CompositePeriod
from drivers.ocpp.limits import Limits
from drivers.ocpp.rpc import plain_text
from drivers.ocpp.station import MAX_CONNECTORS, STALE_AFTER_S
from drivers.ocpp.v16_configuration import Settings
from drivers.ocpp.v16_interview import V16Questions
from drivers.ocpp.v16_limits import V16Words
from drivers.ocpp.v16_station import V16Station
from drivers.ocpp.v16_transactions import StartKey
from gateway.domain.charging import (
    ChargingState,
    ConnectorStatus,
    OcppVersion,
    StationCapabilities,
)
from gateway.domain.errors import StationUnreachableError
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId
from gateway.domain.limits import CurrentLimit

MAX_FRAME_BYTES: Final = 256 * 1024

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

# Valid answers to messages nothing follows from; docs/ocpp-1.6.md says why of each.
ANSWERED_WITHOUT_EFFECT: Final[Mapping[str, Mapping[str, object]]] = {
    "Authorize": {"idTagInfo": {"status": "Accepted"}},
    "DataTransfer": {"status": "UnknownVendorId"},
    "DiagnosticsStatusNotification": {},
    "FirmwareStatusNotification": {},
    "LogStatusNotification": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
    "SignedFirmwareStatusNotification": {},
}

_ACKNOWLEDGED: Final = b"{}"


class V16Adapter:
    """One station that speaks OCPP 1.6."""

    __slots__ = (
        "_book",
        "_clock",
        "_counters",
        "_heartbeat_interval_s",
        "_interview",
        "_limits",
        "_post",
        "_questions",
        "_random",
        "_station",
        "_status_at_s",
        "_words",
    )

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        self._station = V16Station(context)
        self._questions = V16Questions(self._station)
        self._interview = Interview(self._station, self._questions)
        self._words = V16Words(self._station)
        self._limits = Limits(self._station, self._words)
        self._random = context.random
        self._heartbeat_interval_s = context.heartbeat_interval_s
        self._clock = context.clock
        self._post = context.post
        self._counters = context.counters
        self._book = self._station.book
        self._status_at_s: dict[int, float] = {}

    def answer(self, action: str, payload: object) -> Answer:
        """See `StationAdapter`."""
        match payload:
            case messages.MeterValues():
                return self._on_meter_values(payload)
            case messages.Heartbeat():
                return b'{"currentTime":"' + self._station.tell_time().encode() + b'"}'
            case messages.StatusNotification():
                return self._on_status(payload)
            case messages.StartTransaction():
                return self._on_start(payload)
            case messages.StopTransaction():
                return self._on_stop(payload)
            case messages.BootNotification():
                return self._on_boot(payload)
            case _:
                return ANSWERED_WITHOUT_EFFECT[action]

    # Inward: synchronous, and no calls out.

    def _on_boot(self, boot: messages.BootNotification) -> Answer:
        self._station.time.forget()
        self._status_at_s.clear()
        vendor = plain_text(boot.charge_point_vendor or "")
        model = plain_text(boot.charge_point_model or "")
        firmware = plain_text(boot.firmware_version or "")
        self._station.note_boot(vendor=vendor, model=model, firmware=firmware)
        self._post(
            StationBooted(
                at_s=self._clock.monotonic_s(),
                station=self._station.id,
                vendor=vendor,
                model=model,
                firmware=firmware,
            )
        )
        # Spread, so that a hall of stations switched on at once does not beat as one.
        interval_s = self._heartbeat_interval_s * self._random.uniform(0.8, 1.2)
        return {
            "currentTime": self._station.tell_time(),
            "interval": max(1, int(interval_s)),
            "status": "Accepted",
        }

    def _on_status(self, notice: messages.StatusNotification) -> Answer:
        age_s = self._station.observe_age_s(notice.timestamp)
        number, meaning = notice.connector_id, STATUSES.get(notice.status)
        if meaning is None or not 0 < number <= MAX_CONNECTORS:
            return _ACKNOWLEDGED  # Connector 0 is the station: no connector of it changed.
        at_s = self._clock.monotonic_s()
        said_at_s = at_s - age_s
        if age_s > STALE_AFTER_S and said_at_s < self._status_at_s.get(number, said_at_s):
            self._counters["stale.StatusNotification"] += 1
            return _ACKNOWLEDGED
        self._status_at_s[number] = said_at_s
        status, state = meaning
        self._post(
            ConnectorStatusChanged(
                at_s=at_s, connector=self._station.ref(number), status=status, charging_state=state
            )
        )
        return _ACKNOWLEDGED

    def _on_meter_values(self, message: messages.MeterValues) -> Answer:
        number = message.connector_id
        age_s = 0.0
        for value in message.meter_value:
            age_s = self._station.observe_age_s(value.timestamp)  # The last is the newest.
        if not 0 < number <= MAX_CONNECTORS:
            return _ACKNOWLEDGED  # Connector 0 is the station's own meter.
        if age_s > STALE_AFTER_S:
            self._counters["stale.MeterValues"] += 1
            return _ACKNOWLEDGED
        at_s = self._clock.monotonic_s()
        connector = self._station.ref(number)
        if self._book.adopt(number, message.transaction_id):
            self._counters["adopted-transaction"] += 1
            self._post(
                TransactionStarted(
                    at_s=at_s,
                    connector=connector,
                    transaction=TransactionId(str(message.transaction_id)),
                )
            )
        self._station.post_measured(number, message.meter_value)
        return _ACKNOWLEDGED

    def _on_start(self, start: messages.StartTransaction) -> Answer:
        self._station.observe_age_s(start.timestamp)
        number = start.connector_id
        if not 0 < number <= MAX_CONNECTORS:
            self._counters["transaction-nowhere"] += 1
            return _started(self._book.new_number())
        started = self._book.start(
            StartKey(number, start.id_tag, start.timestamp, start.meter_start)
        )
        if not started.is_new:
            self._counters["repeated-start"] += 1
            return _started(started.transaction)
        at_s, connector = self._clock.monotonic_s(), self._station.ref(number)
        if started.replaced is not None:
            self._post_end(number, started.replaced)
        self._post(
            TransactionStarted(
                at_s=at_s,
                connector=connector,
                transaction=TransactionId(str(started.transaction)),
                id_token=None if start.id_tag is None else plain_text(start.id_tag),
            )
        )
        return _started(started.transaction)

    def _on_stop(self, stop: messages.StopTransaction) -> Answer:
        self._station.observe_age_s(stop.timestamp)
        number = self._book.stop(stop.transaction_id)
        # Unknown, or of a start that was never answered: acknowledged all the same, or the
        # station sends it for ever (1.6 errata v4.0).
        if number is None or stop.transaction_id is None:
            self._counters["unknown-stop"] += 1
            return _ACKNOWLEDGED
        if stop.meter_stop is not None:
            self._post(
                ConnectorMetered(
                    at_s=self._clock.monotonic_s(),
                    connector=self._station.ref(number),
                    energy_wh=float(stop.meter_stop),
                )
            )
        self._post_end(number, stop.transaction_id)
        return _ACKNOWLEDGED

    def _post_end(self, number: int, transaction: int) -> None:
        self._post(
            TransactionEnded(
                at_s=self._clock.monotonic_s(),
                connector=self._station.ref(number),
                transaction=TransactionId(str(transaction)),
            )
        )

    # Outward.

    def opened(self, link: Link) -> None:
        """See `StationAdapter`."""
        self._station.link = link
        self._station.booted.take_back()
        self._interview.is_greeted = False

    def closed(self) -> None:
        """See `StationAdapter`."""
        self._station.link = None

    async def interview(self) -> None:
        """See `StationAdapter`."""
        await self._interview.run()

    async def set_limit(self, number: int, limit: CurrentLimit, *, valid_for: timedelta) -> None:
        """See `StationAdapter`."""
        await self._limits.set_limit(number, limit, valid_for=valid_for)

    async def set_fallback(self, number: int, limit: CurrentLimit) -> None:
        """See `StationAdapter`."""
        await self._limits.set_fallback(number, limit)

    async def clear_lease(self, number: int) -> None:
        """See `Limits.clear_lease`."""
        await self._limits.clear_lease(number)

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """See `V16Words.composite_schedule`."""
        return await self._words.composite_schedule(number, duration_s=duration_s)

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

    @property
    def capabilities(self) -> StationCapabilities | None:
        """See `StationAdapter`."""
        return self._station.capabilities

    @property
    def flash_writes(self) -> int:
        """See `StationAdapter`."""
        return self._station.flash.total


def _started(transaction: int) -> Answer:
    return {"transactionId": transaction, "idTagInfo": {"status": "Accepted"}}


SUPPORT: Final = VersionSupport(
    version=OcppVersion.V16,
    make_adapter=V16Adapter,
    from_station=frozenset(messages.PAYLOAD_TYPES) | frozenset(ANSWERED_WITHOUT_EFFECT),
    never_refused=frozenset({"MeterValues", "StartTransaction", "StopTransaction"}),
    payload_types=messages.PAYLOAD_TYPES,
    max_frame_bytes=MAX_FRAME_BYTES,
    answered_once=frozenset({"StartTransaction", "StopTransaction"}),
)
