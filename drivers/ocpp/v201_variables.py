"""What a 2.0.1 station's device model says it can do, and which of it we want otherwise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from drivers.ocpp.leases import read_rate_units
from drivers.ocpp.metering import REGISTER, offer_measurands
from drivers.ocpp.quirks import Quirks
from gateway.domain.charging import ConnectorStatus, OcppVersion, StationCapabilities


class VariableName(NamedTuple):
    """A variable of a component of the station as a whole (2.0.1 part 1 §4)."""

    component: str
    variable: str
    instance: str | None = None

    def encode(self) -> dict[str, object]:
        """Return the name as GetVariables, SetVariables and GetReport take it."""
        variable = {"name": self.variable}
        if self.instance is not None:
            variable["instance"] = self.instance
        return {"component": {"name": self.component}, "variable": variable}


ENABLED: Final = VariableName("SmartChargingCtrlr", "Enabled")
AVAILABLE: Final = VariableName("SmartChargingCtrlr", "Available")
RATE_UNIT: Final = VariableName("SmartChargingCtrlr", "RateUnit")
STACK_LEVEL: Final = VariableName("SmartChargingCtrlr", "ProfileStackLevel")
PERIODS: Final = VariableName("SmartChargingCtrlr", "PeriodsPerSchedule")
PROFILES: Final = VariableName("SmartChargingCtrlr", "Entries", "ChargingProfiles")
STARTED_DATA: Final = VariableName("SampledDataCtrlr", "TxStartedMeasurands")
SAMPLED_INTERVAL: Final = VariableName("SampledDataCtrlr", "TxUpdatedInterval")
SAMPLED_DATA: Final = VariableName("SampledDataCtrlr", "TxUpdatedMeasurands")
ALIGNED_INTERVAL: Final = VariableName("AlignedDataCtrlr", "Interval")
ALIGNED_DATA: Final = VariableName("AlignedDataCtrlr", "Measurands")
ALIGNED_IDLE: Final = VariableName("AlignedDataCtrlr", "SendDuringIdle")
VENDOR: Final = VariableName("ChargingStation", "VendorName")
MODEL: Final = VariableName("ChargingStation", "Model")
AVAILABILITY: Final = VariableName("ChargingStation", "AvailabilityState")

WANTED: Final = (
    AVAILABLE,
    ENABLED,
    RATE_UNIT,
    STACK_LEVEL,
    PERIODS,
    STARTED_DATA,
    SAMPLED_INTERVAL,
    SAMPLED_DATA,
    ALIGNED_INTERVAL,
    ALIGNED_DATA,
    ALIGNED_IDLE,
    VENDOR,
    MODEL,
    AVAILABILITY,
)

STATUSES: Final = {str(status): status for status in ConnectorStatus}
"""What `AvailabilityState` may say, and a StatusNotification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A variable as the station reported it; what it did not tell is None."""

    value: str | None = None
    is_fixed: bool = False
    most: float | None = None


Model = Mapping[VariableName, Reported]
"""The part of a device model that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A variable to be changed: the values to offer, until the station takes one."""

    name: VariableName
    values: tuple[str, ...]


def read_variables(answer: Mapping[str, Any]) -> Model:
    """Return the variables of a GetVariables answer that fits its schema."""
    return {
        _read_name(row): Reported(value=row.get("attributeValue", "").strip())
        for row in answer["getVariableResult"]
        if row["attributeStatus"] == "Accepted" and "evse" not in row["component"]
    }


def read_reports(reports: Iterable[Mapping[str, Any]]) -> Model:
    """Return the variables of NotifyReports that fit their schema, and belong to the station."""
    model: dict[VariableName, Reported] = {}
    for report in reports:
        for row in report.get("reportData", ()):
            if "evse" in row["component"]:
                continue
            attributes = row["variableAttribute"]
            none: Mapping[str, Any] = {}
            actual = next((a for a in attributes if a.get("type", "Actual") == "Actual"), none)
            value = actual.get("value")
            model[_read_name(row)] = Reported(
                value=None if value is None else value.strip(),
                is_fixed=actual.get("mutability") == "ReadOnly" or actual.get("constant", False),
                most=row.get("variableCharacteristics", {}).get("maxLimit"),
            )
    return model


def merge(first: Model, second: Model) -> Model:
    """Return what both say; where `second` does not tell a value, `first` does."""
    merged = dict(first)
    for name, reported in second.items():
        is_told = reported.value is not None or name not in first
        merged[name] = reported if is_told else replace(reported, value=first[name].value)
    return merged


def _read_name(row: Mapping[str, Any]) -> VariableName:
    variable = row["variable"]
    return VariableName(row["component"]["name"], variable["name"], variable.get("instance"))


def read_capabilities(
    model: Model, *, vendor: str = "", model_name: str = "", firmware: str = ""
) -> StationCapabilities:
    """Return what the variables say. Without smart charging there is no rate unit at all."""
    has_none = _is_false(model, AVAILABLE) or _is_false(model, ENABLED)
    most = model[PROFILES].most if PROFILES in model else None
    return StationCapabilities(
        ocpp_version=OcppVersion.V201,
        rate_units=frozenset() if has_none else read_rate_units(_read_text(model, RATE_UNIT)),
        stack_level=_read_integer(model, STACK_LEVEL),
        profile_count=None if most is None or most < 1 else int(most),
        period_count=_read_integer(model, PERIODS),
        sample_interval_s=shortest_interval_s(model),
        vendor=vendor or _read_text(model, VENDOR),
        model=model_name or _read_text(model, MODEL),
        firmware=firmware,
    )


def shortest_interval_s(model: Model) -> float | None:
    """Return how often meter values come while charging, None if they do not or is not known."""
    intervals_s = [_read_integer(model, SAMPLED_INTERVAL)]
    if not _is_true(model, ALIGNED_IDLE):
        intervals_s.append(_read_integer(model, ALIGNED_INTERVAL))
    return min((float(interval_s) for interval_s in intervals_s if interval_s), default=None)


def find_changes(model: Model, *, quirks: Quirks, interval_s: int) -> tuple[Change, ...]:
    """Return the variables that are not as we need them and can be changed.

    One the station did not report, or reported as fixed, is left alone: so is one that is as
    good as ours, for every write wears its memory.
    """
    wanted_s = max(interval_s, quirks.shortest_sample_s)
    wishes: dict[VariableName, tuple[str, ...]] = {}
    if _is_false(model, ENABLED) and not _is_false(model, AVAILABLE):
        wishes[ENABLED] = ("true",)
    if _is_true(model, ALIGNED_IDLE):
        wishes[ALIGNED_IDLE] = ("false",)
    at_start = _read_text(model, STARTED_DATA)
    if REGISTER not in {word.strip() for word in at_start.split(",")}:
        wishes[STARTED_DATA] = (f"{at_start},{REGISTER}" if at_start else REGISTER,)
    for name in (SAMPLED_DATA, ALIGNED_DATA):
        wishes[name] = offer_measurands(_read_text(model, name), room_count=quirks.max_measurands)
    for name in (SAMPLED_INTERVAL, ALIGNED_INTERVAL):
        if not 0 < (_read_integer(model, name) or 0) <= wanted_s:
            wishes[name] = (str(wanted_s),)
    return tuple(
        Change(name=name, values=values)
        for name, values in wishes.items()
        if values and name in model and not model[name].is_fixed
    )


def _read_text(model: Model, name: VariableName) -> str:
    reported = model.get(name)
    return (reported.value or "") if reported else ""


def _is_true(model: Model, name: VariableName) -> bool:
    return _read_text(model, name).lower() == "true"


def _is_false(model: Model, name: VariableName) -> bool:
    return _read_text(model, name).lower() == "false"


def _read_integer(model: Model, name: VariableName) -> int | None:
    try:
        return int(_read_text(model, name))
    except ValueError:
        return None
