"""Charging profiles in the words of OCPP 2.0.1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.ocpp.leases import CompositePeriod, Profile, Role, profile_id, read_periods
from gateway.domain.charging import RateUnit


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
    words: dict[str, object] = {
        "id": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": profile.purpose,
        "chargingProfileKind": profile.kind.value,
        # One schedule only: more are for ISO 15118 (K01.FR.34).
        "chargingSchedule": [{"id": profile.id, **profile.schedule}],
    }
    if profile.transaction is not None:
        words["transactionId"] = profile.transaction
    if profile.valid_to is not None:
        words["validTo"] = profile.valid_to
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


def read_composite(answer: Mapping[str, Any]) -> tuple[CompositePeriod, ...]:
    """Return the periods of a GetCompositeSchedule answer, rounded down."""
    schedule = answer.get("schedule")
    if not isinstance(schedule, Mapping):
        return ()
    return read_periods(
        schedule.get("chargingSchedulePeriod", ()),
        is_current=schedule.get("chargingRateUnit") == RateUnit.AMPERES,
    )
