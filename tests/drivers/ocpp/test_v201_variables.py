"""What a device model says of smart charging and metering, whatever its form."""

from typing import Any

import pytest

from drivers.ocpp.quirks import PLAIN, Quirks
from drivers.ocpp.v201_variables import (
    ALIGNED_DATA,
    ALIGNED_IDLE,
    ALIGNED_INTERVAL,
    ENABLED,
    PROFILES,
    RATE_UNIT,
    SAMPLED_DATA,
    SAMPLED_INTERVAL,
    STACK_LEVEL,
    STARTED_DATA,
    Reported,
    VariableName,
    find_changes,
    merge,
    read_capabilities,
    read_reports,
    read_variables,
    shortest_interval_s,
)
from gateway.domain.charging import RateUnit


def model(**values: str) -> dict[VariableName, Reported]:
    names = {
        "enabled": ENABLED,
        "unit": RATE_UNIT,
        "level": STACK_LEVEL,
        "sampled_s": SAMPLED_INTERVAL,
        "aligned_s": ALIGNED_INTERVAL,
        "idle": ALIGNED_IDLE,
        "sampled": SAMPLED_DATA,
        "aligned": ALIGNED_DATA,
        "started": STARTED_DATA,
    }
    return {names[name]: Reported(value=value) for name, value in values.items()}


def row(name: VariableName, **extra: Any) -> dict[str, Any]:
    return {**name.encode(), **extra}


def on_evse(name: VariableName, **extra: Any) -> dict[str, Any]:
    return row(name, **{**extra, "component": {"name": name.component, "evse": {"id": 1}}})


def test_only_what_the_station_as_a_whole_said_is_taken() -> None:
    answer = {
        "getVariableResult": [
            row(STACK_LEVEL, attributeStatus="Accepted", attributeValue=" 3 "),
            row(RATE_UNIT, attributeStatus="UnknownVariable"),
            on_evse(ENABLED, attributeStatus="Accepted", attributeValue="false"),
        ]
    }

    assert read_variables(answer) == {STACK_LEVEL: Reported(value="3")}


def test_a_report_tells_the_most_there_can_be_and_what_is_fixed() -> None:
    attributes = [
        {"type": "MaxSet", "value": "99", "mutability": "ReadOnly"},
        {"value": "4", "mutability": "ReadWrite"},
    ]
    limit = {"dataType": "integer", "supportsMonitoring": False, "maxLimit": 20.0}
    fixed = [{"value": "A", "constant": True}]
    rows = [
        row(PROFILES, variableAttribute=attributes, variableCharacteristics=limit),
        row(RATE_UNIT, variableAttribute=fixed),
        on_evse(ENABLED, variableAttribute=[{"value": "false"}]),
    ]

    assert read_reports([{}, {"reportData": rows}]) == {
        PROFILES: Reported(value="4", most=20.0),
        RATE_UNIT: Reported(value="A", is_fixed=True),
    }


def test_what_is_told_later_stands_and_what_is_not_told_again_stays() -> None:
    before = {STACK_LEVEL: Reported(value="3"), RATE_UNIT: Reported(value="A")}
    after = {STACK_LEVEL: Reported(value="5"), RATE_UNIT: Reported(is_fixed=True)}

    assert merge(before, after) == {
        STACK_LEVEL: Reported(value="5"),
        RATE_UNIT: Reported(value="A", is_fixed=True),
    }


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("A", {RateUnit.AMPERES}),
        ("W", {RateUnit.WATTS}),
        ("a, w", {RateUnit.AMPERES, RateUnit.WATTS}),
        ("", {RateUnit.AMPERES}),
        ("horses", {RateUnit.AMPERES}),
    ],
)
def test_a_station_takes_what_it_names_or_amperes(text: str, units: set[RateUnit]) -> None:
    assert read_capabilities(model(unit=text)).rate_units == units


def test_a_number_that_is_none_is_not_known() -> None:
    assert read_capabilities(model(level="many")).stack_level is None
    assert read_capabilities({}).profile_count is None
    assert read_capabilities({PROFILES: Reported(most=0.0)}).profile_count is None


def test_values_between_transactions_alone_are_not_values_while_charging() -> None:
    assert shortest_interval_s(model(sampled_s="60", aligned_s="10")) == 10
    assert shortest_interval_s(model(sampled_s="60", aligned_s="10", idle="true")) == 60
    assert shortest_interval_s(model(sampled_s="0", aligned_s="0")) is None


def test_what_is_good_enough_not_reported_or_fixed_is_left_alone() -> None:
    good = "Current.Import,Power.Active.Import,Energy.Active.Import.Register,SoC"
    known = model(sampled_s="5", aligned_s="10", idle="false", sampled=good, enabled="true")
    fixed = {ALIGNED_DATA: Reported(value="", is_fixed=True)}

    assert find_changes({**known, **fixed}, quirks=PLAIN, interval_s=10) == ()


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("", ("Energy.Active.Import.Register",)),
        ("SoC, Voltage", ("SoC, Voltage,Energy.Active.Import.Register",)),
        ("SoC, Energy.Active.Import.Register", None),
    ],
)
def test_a_start_is_to_tell_the_register_beside_what_it_tells(
    told: str, wanted: tuple[str, ...] | None
) -> None:
    changes = find_changes(model(started=told), quirks=PLAIN, interval_s=10)

    assert [change.values for change in changes] == ([] if wanted is None else [wanted])


def test_no_more_measurands_are_asked_for_than_a_make_bears() -> None:
    (change,) = find_changes(
        model(sampled="Voltage"), quirks=Quirks(max_measurands=2), interval_s=10
    )

    assert change.values == ("Current.Import,Power.Active.Import", "Current.Import")
