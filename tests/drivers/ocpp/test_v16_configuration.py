"""Configuration keys of a 1.6 station, in the forms they come in."""

import pytest

from drivers.ocpp.quirks import PLAIN, Quirks, find_quirks
from drivers.ocpp.v16_configuration import (
    Change,
    Setting,
    find_changes,
    read_capabilities,
    read_settings,
)
from gateway.domain.charging import RateUnit

A, W = RateUnit.AMPERES, RateUnit.WATTS


def settings(**values: str) -> dict[str, Setting]:
    return {key: Setting(value=value, is_fixed=False) for key, value in values.items()}


@pytest.mark.parametrize(
    ("said", "units"),
    [
        ("Current,Power", {A, W}),
        ("Current, Power", {A, W}),
        ("Power", {W}),
        ("current", {A}),
        ("W", {W}),
        ("A;W", {A, W}),
        ("", {A}),
        ("Gallons", {A}),
    ],
)
def test_rate_units_are_understood_however_spelt(said: str, units: set[RateUnit]) -> None:
    read = read_capabilities(settings(ChargingScheduleAllowedChargingRateUnit=said))

    assert read.rate_units == units


def test_what_is_not_told_is_not_known() -> None:
    read = read_capabilities(settings(ChargeProfileMaxStackLevel="many"))

    assert (read.stack_level, read.profile_count, read.period_count) == (None, None, None)
    assert read.sample_interval_s is None


@pytest.mark.parametrize(("said", "count"), [("0", None), ("-1", None), ("1", 1)])
def test_a_station_that_keeps_no_profile_at_all_has_not_told(said: str, count: int | None) -> None:
    assert read_capabilities(settings(MaxChargingProfilesInstalled=said)).profile_count == count


@pytest.mark.parametrize(
    ("sampled", "aligned", "interval_s"),
    [("60", "900", 60), ("60", "0", 60), ("0", "0", None), ("60", "10", 10)],
)
def test_the_shorter_interval_counts_and_nought_is_none(
    sampled: str, aligned: str, interval_s: float | None
) -> None:
    told = settings(MeterValueSampleInterval=sampled, ClockAlignedDataInterval=aligned)

    assert read_capabilities(told).sample_interval_s == interval_s


def test_an_answer_of_any_shape_is_read() -> None:
    answer = {
        "configurationKey": [
            {"key": "A", "readonly": False, "value": " 1 "},
            {"key": "B", "readonly": True},
            {"readonly": True},
            "junk",
        ],
        "unknownKey": ["C"],
    }

    assert read_settings(answer) == {
        "A": Setting(value="1", is_fixed=False),
        "B": Setting(value="", is_fixed=True),
    }
    assert read_settings({}) == {}


def test_only_what_is_worse_than_wanted_is_changed() -> None:
    told = settings(MeterValueSampleInterval="60", ClockAlignedDataInterval="5")
    told["MeterValuesSampledData"] = Setting(value="Voltage", is_fixed=True)

    assert find_changes(told, quirks=PLAIN, interval_s=10) == (
        Change(key="MeterValueSampleInterval", values=("10",)),
    )


def test_a_make_that_suffers_is_asked_for_less() -> None:
    told = settings(MeterValueSampleInterval="60", MeterValuesSampledData="")
    few = Quirks(shortest_sample_s=30, max_measurands=2)

    assert find_changes(told, quirks=few, interval_s=10) == (
        Change(
            key="MeterValuesSampledData",
            values=("Current.Import,Power.Active.Import", "Current.Import"),
        ),
        Change(key="MeterValueSampleInterval", values=("30",)),
    )


@pytest.mark.parametrize(
    ("vendor", "is_known"),
    [
        ("ABB", True),
        ("abb AG", True),
        ("Abbott", False),
        ("Wall Box Chargers", True),
        ("My Wallbox", False),
        ("", False),
    ],
)
def test_a_make_is_known_by_how_its_name_begins(vendor: str, is_known: bool) -> None:
    assert (find_quirks(vendor, "Model 1") is not PLAIN) == is_known
