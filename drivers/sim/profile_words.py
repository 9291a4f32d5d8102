"""Charging profiles between the words of OCPP, either version, and what a station stores."""

from collections.abc import Callable, Mapping
from typing import Any

from drivers.sim.evse import Evse
from drivers.sim.profiles import ChargingProfile, Kind, Period, Purpose
from drivers.sim.station import Station
from gateway.domain.charging import OcppVersion, RateUnit
from gateway.domain.ids import TransactionId

PURPOSES = {
    "ChargePointMaxProfile": Purpose.STATION_MAX,  # 1.6
    "ChargingStationMaxProfile": Purpose.STATION_MAX,  # 2.0.1
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
}
MAX_COMPOSITE_PERIODS = 24


def read_profile(
    words: Mapping[str, Any],
    *,
    version: OcppVersion,
    transaction: TransactionId | None,
    clock_s: Callable[[str], float],
) -> ChargingProfile:
    """Return the profile of a SetChargingProfile; `clock_s` reads a time.

    Raises:
        ValueError: it is of a purpose or a kind that no station here knows, or has a bad time.
    """
    is_16 = version is OcppVersion.V16
    schedule = words["charging_schedule"] if is_16 else words["charging_schedule"][0]
    purpose = PURPOSES.get(words["charging_profile_purpose"])
    if purpose is None:
        raise ValueError("InvalidProfile")
    kind = words["charging_profile_kind"]
    if kind == "Recurring":
        kind = words.get("recurrency_kind", "")

    def instant(row: Mapping[str, Any], name: str) -> float | None:
        return clock_s(row[name]) if name in row else None

    return ChargingProfile(
        number=words["charging_profile_id" if is_16 else "id"],
        stack_level=words["stack_level"],
        purpose=purpose,
        kind=Kind(kind),
        rate_unit=RateUnit(schedule["charging_rate_unit"]),
        periods=tuple(
            Period(
                start_s=float(row["start_period"]),
                limit=float(row["limit"]),
                phase_count=row.get("number_phases"),
            )
            for row in schedule["charging_schedule_period"]
        ),
        start_s=instant(schedule, "start_schedule"),
        duration_s=schedule.get("duration"),
        valid_from_s=instant(words, "valid_from"),
        valid_to_s=instant(words, "valid_to"),
        transaction=transaction,
    )


def write_profile(profile: ChargingProfile, *, clock_text: Callable[[float], str]) -> Any:  # noqa: ANN401 - words of OCPP
    """Return a stored profile in the words of 2.0.1; `clock_text` writes a time."""
    schedule: dict[str, Any] = {
        "id": profile.number,
        "chargingRateUnit": profile.rate_unit.value,
        "chargingSchedulePeriod": [
            {
                "startPeriod": int(period.start_s),
                "limit": period.limit,
                "numberPhases": period.phase_count,
            }
            for period in profile.periods
        ],
    }
    if profile.start_s is not None:
        schedule["startSchedule"] = clock_text(profile.start_s)
    if profile.duration_s is not None:
        schedule["duration"] = int(profile.duration_s)
    is_recurring = profile.kind in (Kind.DAILY, Kind.WEEKLY)
    words: dict[str, Any] = {
        "id": profile.number,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": profile.purpose.value,
        "chargingProfileKind": "Recurring" if is_recurring else profile.kind.value,
        "chargingSchedule": [schedule],
    }
    if is_recurring:
        words["recurrencyKind"] = profile.kind.value
    if profile.transaction is not None:
        words["transactionId"] = profile.transaction
    return words


def composite_periods(
    station: Station, evse: Evse, *, at_s: float, duration_s: float, unit: RateUnit
) -> list[dict[str, Any]]:
    """Return the periods of what a connector's stored profiles add up to from `at_s` on."""
    store = station.store
    phase_count = len(evse.connector.phases)
    begins_s = clock_s = station.clock_s(at_s)
    started_s = None if evse.transaction is None else station.clock_s(evse.started_s)
    periods: list[dict[str, Any]] = []
    while clock_s < begins_s + duration_s and len(periods) < MAX_COMPOSITE_PERIODS:
        found = store.in_force(
            evse.connector.ref.number,
            transaction=evse.transaction,
            started_s=started_s,
            clock_s=clock_s,
        )
        whole = store.station_max(clock_s)
        limits_a = [a for a in (found.limit_a, whole.limit_a, evse.max_a) if a is not None]
        amps = min(limits_a)
        limit = amps if unit is RateUnit.AMPERES else amps * store.nominal_v * phase_count
        periods.append(
            {
                "startPeriod": int(clock_s - begins_s),
                "limit": round(limit, 1),
                "numberPhases": phase_count,
            }
        )
        clock_s = max(min(found.until_s, whole.until_s), clock_s + 1.0)
    return periods
