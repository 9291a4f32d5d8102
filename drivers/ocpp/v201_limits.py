"""What is particular to the limits of an OCPP 2.0.1 station."""

import math
from collections.abc import Mapping
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.leases import Profile, Role, read_composite
from drivers.ocpp.v201_profiles import (
    InstalledProfile,
    encode_profile,
    read_installed,
)
from drivers.ocpp.v201_station import V201Station
from gateway.domain.charging import CompositePeriod
from gateway.domain.errors import LimitRejectedError

MAX_TRANSACTION_ID_LENGTH: Final = 36  # What a SetChargingProfile can name.
_DUPLICATE: Final = "DuplicateProfile"
_NO_TRANSACTION: Final = ("TxNotFound", "UnknownTxId")


class V201Words:
    """Says limits in the words of 2.0.1."""

    __slots__ = ("_station",)

    # A relative schedule counts from when energy could first flow (K01.FR.41, FR.42): in the
    # midst of a transaction it is over when it arrives, whatever its duration. So a lease is
    # told by the station's own clock however far off that is, if only it is known.
    largest_skew_s: Final = math.inf

    def __init__(self, station: V201Station) -> None:
        """Speak for one station."""
        self._station = station

    def transaction_on(self, number: int) -> str | None:
        """See `Words`."""
        transaction = self._station.book.running_on(number)
        is_usable = transaction is not None and len(transaction) <= MAX_TRANSACTION_ID_LENGTH
        return transaction if is_usable else None

    def encode_profile(self, profile: Profile) -> Mapping[str, object]:
        """See `Words`."""
        return encode_profile(profile)

    def encode_clear(self, profile: int) -> Mapping[str, object]:
        """See `Words`."""
        return {"chargingProfileId": profile}

    async def clear_whole(self) -> None:
        """See `Words`: here it is found among what is installed, and cleared by its id."""

    async def make_room(self, profile: Profile, refusal: str) -> bool:
        """See `Words`.

        A profile of another id in the same place has ours refused (K01.FR.52, FR.53), with or
        without the reason. Only the fallback is tried without: it is written once.
        """
        if any(reason in refusal for reason in _NO_TRANSACTION):
            self._station.doubt(str(profile.transaction))
            return False
        is_told = _DUPLICATE in refusal
        if not is_told and not (profile.role is Role.FALLBACK and refusal.startswith("Rejected")):
            return False
        installed = await self.read_profiles(profile.purpose, priority=Priority.ALLOCATION)
        if installed is None:
            return is_told and await self._clear_place(profile)
        in_the_way = [
            other
            for other in installed
            if other.number in (profile.number, 0)
            and other.stack_level == profile.stack_level
            and not other.is_ours
        ]
        return await self.clear(in_the_way, priority=Priority.ALLOCATION)

    async def _clear_place(self, profile: Profile) -> bool:
        """Clear whatever has the place of a profile, ours before it as well."""
        has_cleared = False
        for number in (profile.number, 0):
            criteria = {
                "evseId": number,
                "chargingProfilePurpose": profile.purpose,
                "stackLevel": profile.stack_level,
            }
            status = await self._station.ask(
                "ClearChargingProfile",
                {"chargingProfileCriteria": criteria},
                priority=Priority.ALLOCATION,
            )
            has_cleared |= status == "Accepted"
        return has_cleared

    async def clear(self, profiles: list[InstalledProfile], *, priority: Priority) -> bool:
        """Clear profiles by their ids; return whether any was.

        Raises:
            StationUnreachableError: no answer in time.
        """
        has_cleared = False
        for profile in profiles:
            status = await self._station.ask(
                "ClearChargingProfile", self.encode_clear(profile.id), priority=priority
            )
            has_cleared |= status == "Accepted"
        return has_cleared

    async def read_profiles(
        self, purpose: str, *, number: int | None = None, priority: Priority = Priority.DIAGNOSTICS
    ) -> list[InstalledProfile] | None:
        """Return the installed profiles of a purpose, None where the station does not tell.

        Raises:
            StationUnreachableError: no answer in time.
        """
        question: dict[str, object] = {"chargingProfile": {"chargingProfilePurpose": purpose}}
        if number is not None:
            question["evseId"] = number
        reports = await self._station.reports.collect(
            "GetChargingProfiles", question, priority=priority
        )
        if reports is None:
            return None
        return [profile for report in reports for profile in read_installed(report)]

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """See `Words` (K08, remarks: it is indicative only)."""
        answer = await self._station.call(
            "GetCompositeSchedule",
            {
                "evseId": number,
                "duration": duration_s,
                "chargingRateUnit": self._station.form.unit.value,
            },
            priority=Priority.DIAGNOSTICS,
        )
        if answer.get("status") != "Accepted":
            raise LimitRejectedError(self._station.id, "GetCompositeSchedule: Rejected")
        return read_composite(answer.get("schedule"))
