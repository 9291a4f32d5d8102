"""What is particular to the limits of an OCPP 1.6 station."""

from collections.abc import Mapping
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.leases import Profile, read_composite
from drivers.ocpp.v16_profiles import encode_profile
from drivers.ocpp.v16_station import V16Station
from gateway.domain.charging import CompositePeriod
from gateway.domain.errors import LimitRejectedError

MAX_TRUSTED_SKEW_S: Final = 60.0


class V16Words:
    """Says limits in the words of 1.6."""

    __slots__ = ("_station",)

    largest_skew_s: Final = MAX_TRUSTED_SKEW_S

    def __init__(self, station: V16Station) -> None:
        """Speak for one station."""
        self._station = station

    def transaction_on(self, number: int) -> int | None:
        """See `Words`."""
        return self._station.book.running_on(number)

    def encode_profile(self, profile: Profile) -> Mapping[str, object]:
        """See `Words`."""
        return encode_profile(profile)

    def encode_clear(self, profile: int) -> Mapping[str, object]:
        """See `Words`."""
        return {"id": profile}

    async def clear_whole(self) -> None:
        """See `Words`.

        What is on connector 0 holds for every connector (1.6 §3.13.1, §5.16); asked by that
        number, a station clears nothing of the others (§6.13).
        """
        await self._station.ask(
            "ClearChargingProfile",
            {"connectorId": 0, "chargingProfilePurpose": "TxDefaultProfile"},
            priority=Priority.SAFETY,
        )

    async def make_room(self, _profile: Profile, _refusal: str) -> bool:
        """See `Words`: here a profile replaces what is in its place (1.6 §5.16.3)."""
        return False

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """See `Words` (§5.7: it is indicative only)."""
        answer = await self._station.call(
            "GetCompositeSchedule",
            {"connectorId": number, "duration": duration_s},
            priority=Priority.DIAGNOSTICS,
        )
        if answer.get("status") != "Accepted":
            raise LimitRejectedError(self._station.id, "GetCompositeSchedule: Rejected")
        return read_composite(answer.get("chargingSchedule"))
