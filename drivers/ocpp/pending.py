"""Stations nobody has adopted: answered that they must wait, shown to people, without effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from websockets.frames import CloseCode

from drivers.ocpp.adapter import Answer
from drivers.ocpp.clockwork import wire_time
from drivers.ocpp.rpc import RefusedError, plain_text
from gateway.domain.charging import OcppVersion
from gateway.domain.ids import StationId
from gateway.ports import Clock

PENDING_INTERVAL_S: Final = 60
SHOWN_LENGTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingStation:
    """A station that waits for adoption, as far as it has said who it is."""

    id: StationId
    version: OcppVersion
    peer: str
    since_s: float
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""


class PendingAdapter:
    """Answers Boot with Pending and Heartbeat with the time, and refuses the rest.

    What is refused (SecurityError) a station keeps and sends again once it is accepted, so no
    transaction is lost by waiting (1.6 §4.2, 2.0.1 B02.FR.09).
    """

    def __init__(
        self,
        station: StationId,
        version: OcppVersion,
        *,
        peer: str,
        clock: Clock,
        is_adopted: Callable[[], bool],
    ) -> None:
        """Begin to know a station; `is_adopted` says whether its wait is over."""
        self._clock = clock
        self._is_adopted = is_adopted
        self.close: Callable[[int, str], None] | None = None
        self.seen = PendingStation(
            id=station, version=version, peer=peer, since_s=clock.monotonic_s()
        )

    def answer(self, action: str, payload: object) -> Answer:
        """See `StationAdapter.answer`."""
        now = wire_time(self._clock.now_at())
        if action == "Heartbeat":
            return {"currentTime": now}
        if action != "BootNotification":
            raise RefusedError("SecurityError", "this station waits for adoption")
        if self._is_adopted() and self.close is not None:
            # It dials again, and is accepted then.
            self.close(CloseCode.SERVICE_RESTART, "adopted")
        self.seen = _describe(self.seen, msgspec.to_builtins(payload))
        return {"currentTime": now, "interval": PENDING_INTERVAL_S, "status": "Pending"}

    async def interview(self) -> None:
        """Ask nothing of it."""


def _describe(seen: PendingStation, boot: object) -> PendingStation:
    said = boot if isinstance(boot, Mapping) else {}
    station = said.get("chargingStation")
    station = station if isinstance(station, Mapping) else {}

    def text(*values: object) -> str:
        said = next((v for v in values if isinstance(v, str)), "")
        return plain_text(said, limit=SHOWN_LENGTH)

    return PendingStation(
        id=seen.id,
        version=seen.version,
        peer=seen.peer,
        since_s=seen.since_s,
        vendor=text(said.get("chargePointVendor"), station.get("vendorName")),
        model=text(said.get("chargePointModel"), station.get("model")),
        serial=text(said.get("chargePointSerialNumber"), station.get("serialNumber")),
        firmware=text(said.get("firmwareVersion"), station.get("firmwareVersion")),
    )
