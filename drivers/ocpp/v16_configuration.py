"""What a 1.6 station's configuration keys say it can do, and which of them we want otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.ocpp.leases import read_rate_units
from drivers.ocpp.metering import offer_measurands
from drivers.ocpp.quirks import Quirks
from gateway.domain.charging import OcppVersion, StationCapabilities

RATE_UNIT: Final = "ChargingScheduleAllowedChargingRateUnit"
STACK_LEVEL: Final = "ChargeProfileMaxStackLevel"
PERIODS: Final = "ChargingScheduleMaxPeriods"
PROFILES: Final = "MaxChargingProfilesInstalled"
SAMPLE_INTERVAL: Final = "MeterValueSampleInterval"
SAMPLED_DATA: Final = "MeterValuesSampledData"
SAMPLED_MOST: Final = "MeterValuesSampledDataMaxLength"
ALIGNED_INTERVAL: Final = "ClockAlignedDataInterval"
ALIGNED_DATA: Final = "MeterValuesAlignedData"
ALIGNED_MOST: Final = "MeterValuesAlignedDataMaxLength"

KEYS: Final = (
    RATE_UNIT,
    STACK_LEVEL,
    PERIODS,
    PROFILES,
    SAMPLE_INTERVAL,
    SAMPLED_DATA,
    SAMPLED_MOST,
    ALIGNED_INTERVAL,
    ALIGNED_DATA,
    ALIGNED_MOST,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A configuration key as the station reported it."""

    value: str
    is_fixed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A key to be changed: the values to offer, until the station takes one."""

    key: str
    values: tuple[str, ...]


Settings = Mapping[str, Setting]


def read_settings(answer: Mapping[str, object]) -> Settings:
    """Return the keys of a GetConfiguration answer."""
    rows = answer.get("configurationKey")
    settings: dict[str, Setting] = {}
    for row in rows if isinstance(rows, Sequence) else ():
        if isinstance(row, Mapping) and isinstance(row.get("key"), str):
            value = row.get("value")
            settings[row["key"]] = Setting(
                value=value.strip() if isinstance(value, str) else "",
                is_fixed=row.get("readonly") is True,
            )
    return settings


def read_capabilities(
    settings: Settings, *, vendor: str = "", model: str = "", firmware: str = ""
) -> StationCapabilities:
    """Return what the keys say. A station that names no rate unit takes amperes (§9.4.2)."""
    setting, most = settings.get(RATE_UNIT), _read_integer(settings, PROFILES)
    return StationCapabilities(
        ocpp_version=OcppVersion.V16,
        rate_units=read_rate_units(setting.value if setting else ""),
        stack_level=_read_integer(settings, STACK_LEVEL),
        profile_count=None if most is None or most < 1 else most,
        period_count=_read_integer(settings, PERIODS),
        sample_interval_s=shortest_interval_s(settings),
        vendor=vendor,
        model=model,
        firmware=firmware,
    )


def shortest_interval_s(settings: Settings) -> float | None:
    """Return how often meter values come while charging, None if they do not or is not known."""
    intervals = (_read_integer(settings, key) for key in (SAMPLE_INTERVAL, ALIGNED_INTERVAL))
    return min((float(seconds) for seconds in intervals if seconds), default=None)


def find_changes(settings: Settings, *, quirks: Quirks, interval_s: int) -> tuple[Change, ...]:
    """Return the keys that are not as we need them and can be changed.

    A key the station did not report, or reported as fixed, is left alone: so is one that is as
    good as ours, for every write wears its memory.
    """
    wanted_s = max(interval_s, quirks.shortest_sample_s)
    changes: list[Change] = []
    for data, most in ((SAMPLED_DATA, SAMPLED_MOST), (ALIGNED_DATA, ALIGNED_MOST)):
        room = min(_read_integer(settings, most) or quirks.max_measurands, quirks.max_measurands)
        setting = settings.get(data)
        if setting is not None and not setting.is_fixed:
            offers = offer_measurands(setting.value, room_count=room)
            if offers:
                changes.append(Change(key=data, values=offers))
    for key in (SAMPLE_INTERVAL, ALIGNED_INTERVAL):
        setting = settings.get(key)
        seconds = _read_integer(settings, key) or 0
        if setting is not None and not setting.is_fixed and not 0 < seconds <= wanted_s:
            changes.append(Change(key=key, values=(str(wanted_s),)))
    return tuple(changes)


def _read_integer(settings: Settings, key: str) -> int | None:
    setting = settings.get(key)
    try:
        return int(setting.value) if setting else None
    except ValueError:
        return None
