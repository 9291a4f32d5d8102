"""Charging profiles in the words of OCPP 1.6."""

from collections.abc import Mapping

from drivers.ocpp.leases import Profile


def encode_profile(profile: Profile) -> Mapping[str, object]:
    """Return the SetChargingProfile that installs a profile; one on the same level it replaces."""
    words = {
        "chargingProfileId": profile.id,
        **profile.words(),
        "chargingSchedule": profile.schedule,
    }
    return {"connectorId": profile.number, "csChargingProfiles": words}
