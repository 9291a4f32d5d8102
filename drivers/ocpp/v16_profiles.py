"""Charging profiles in the words of OCPP 1.6."""

from collections.abc import Mapping

from drivers.ocpp.leases import CompositePeriod, Profile, read_periods
from gateway.domain.charging import RateUnit


def encode_profile(profile: Profile) -> Mapping[str, object]:
    """Return the SetChargingProfile that installs a profile; one on the same level it replaces."""
    words: dict[str, object] = {
        "chargingProfileId": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": profile.purpose,
        "chargingProfileKind": profile.kind.value,
        "chargingSchedule": profile.schedule,
    }
    if profile.transaction is not None:
        words["transactionId"] = profile.transaction
    if profile.valid_to is not None:
        words["validTo"] = profile.valid_to
    return {"connectorId": profile.number, "csChargingProfiles": words}


def read_composite(answer: Mapping[str, object]) -> tuple[CompositePeriod, ...]:
    """Return the periods of a GetCompositeSchedule answer, rounded down."""
    schedule = answer.get("chargingSchedule")
    if not isinstance(schedule, Mapping):
        return ()
    return read_periods(
        schedule.get("chargingSchedulePeriod", ()),
        is_current=schedule.get("chargingRateUnit") == RateUnit.AMPERES,
    )
