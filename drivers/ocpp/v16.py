# ruff: noqa: ARG002 - the outward half is being written
"""OCPP 1.6: one station's messages translated to facts, and limits to its charging profiles."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from drivers.ocpp import v16_messages as messages
from drivers.ocpp.adapter import Answer, Link, StationContext, VersionSupport
from drivers.ocpp.clockwork import wire_time
from gateway.domain.charging import OcppVersion, StationCapabilities
from gateway.domain.errors import StationUnreachableError
from gateway.domain.events import StationBooted
from gateway.domain.ids import TransactionId
from gateway.domain.limits import CurrentLimit

MAX_FRAME_BYTES: Final = 256 * 1024

ANSWERED_WITHOUT_EFFECT: Final[Mapping[str, Mapping[str, object]]] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "DiagnosticsStatusNotification": {},
    "FirmwareStatusNotification": {},
    "LogStatusNotification": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
    "SignedFirmwareStatusNotification": {},
}


class V16Adapter:
    """One station that speaks OCPP 1.6."""

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        self._context = context
        self._station = context.station
        self._link: Link | None = None
        self._capabilities: StationCapabilities | None = None
        self._handlers: Mapping[str, Callable[..., Answer]] = {
            "BootNotification": self._on_boot,
            "Heartbeat": self._on_heartbeat,
        }

    def opened(self, link: Link) -> None:
        """See `StationAdapter`."""
        self._link = link

    def closed(self) -> None:
        """See `StationAdapter`."""
        self._link = None

    def answer(self, action: str, payload: object) -> Answer:
        """See `StationAdapter`."""
        handler = self._handlers.get(action)
        return ANSWERED_WITHOUT_EFFECT[action] if handler is None else handler(payload)

    def _on_boot(self, boot: messages.BootNotification) -> Answer:
        self._context.post(
            StationBooted(
                at_s=self._context.clock.monotonic_s(),
                station=self._station,
                vendor=boot.charge_point_vendor or "",
                model=boot.charge_point_model or "",
                firmware=boot.firmware_version or "",
            )
        )
        return {
            "currentTime": wire_time(self._context.clock.now_at()),
            "interval": self._context.heartbeat_interval_s,
            "status": "Accepted",
        }

    def _on_heartbeat(self, _: messages.Heartbeat) -> Answer:
        return {"currentTime": wire_time(self._context.clock.now_at())}

    async def interview(self) -> None:
        """See `StationAdapter`."""

    async def set_limit(self, number: int, limit: CurrentLimit, *, valid_for: timedelta) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    async def set_fallback(self, number: int, limit: CurrentLimit) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    async def request_reading(self, number: int) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    async def start_transaction(self, number: int, id_token: str) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    async def stop_transaction(self, transaction: TransactionId) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    async def reset(self, *, is_hard: bool) -> None:
        """See `StationAdapter`."""
        raise StationUnreachableError(self._station, "not yet")

    @property
    def capabilities(self) -> StationCapabilities | None:
        """See `StationAdapter`."""
        return self._capabilities

    @property
    def flash_writes(self) -> int:
        """See `StationAdapter`."""
        return 0


SUPPORT: Final = VersionSupport(
    version=OcppVersion.V16,
    make_adapter=V16Adapter,
    from_station=frozenset(messages.PAYLOAD_TYPES) | frozenset(ANSWERED_WITHOUT_EFFECT),
    never_refused=frozenset({"StartTransaction", "StopTransaction", "MeterValues"}),
    payload_types=messages.PAYLOAD_TYPES,
    max_frame_bytes=MAX_FRAME_BYTES,
)
