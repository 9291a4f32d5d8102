"""Charging profiles in the words of OCPP 2.0.1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.ocpp.leases import Profile, Role, profile_id


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledProfile:
    """A charging profile as a station reported it (ReportChargingProfiles)."""

    id: int
    number: int
    purpose: str
    stack_level: int
    source: str
    transaction: str | None = None

    @property
    def is_ours(self) -> bool:
        """Return whether it has one of the ids we give, on the EVSE we give it to."""
        return self.number > 0 and self.id in {profile_id(self.number, role) for role in Role}


def encode_profile(profile: Profile) -> Mapping[str, object]:
    """Return the SetChargingProfile that installs a profile; one of the same id it replaces."""
    words = {
        "id": profile.id,
        **profile.words(),
        # One schedule only: more are for ISO 15118 (K01.FR.34).
        "chargingSchedule": [{"id": profile.id, **profile.schedule}],
    }
    return {"evseId": profile.number, "chargingProfile": words}


def read_installed(report: Mapping[str, Any]) -> tuple[InstalledProfile, ...]:
    """Return the profiles of a ReportChargingProfiles that fits its schema."""
    return tuple(
        InstalledProfile(
            id=profile["id"],
            number=report["evseId"],
            purpose=profile["chargingProfilePurpose"],
            stack_level=profile["stackLevel"],
            source=report["chargingLimitSource"],
            transaction=profile.get("transactionId"),
        )
        for profile in report["chargingProfile"]
    )
