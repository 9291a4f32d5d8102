"""What is mended in a payload, and that mending breaks nothing that was whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ocpp.leniency import MOST_VALUES, mend
from drivers.ocpp.schemas import actions, is_valid, load_schema
from gateway.domain.charging import OcppVersion

V16 = OcppVersion.V16
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
VALUE = {"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [{"value": "1"}]}


def meter_values(*samples: Any) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{**VALUE, "sampledValue": list(samples)}]}


@pytest.mark.parametrize(
    ("action", "payload", "mended", "rule"),
    [
        ("BootNotification", {**BOOT, "iccid": None}, BOOT, "null-is-absent"),
        ("BootNotification", {**BOOT, "vendorThing": [1]}, BOOT, "unknown-property"),
        (
            "BootNotification",
            {**BOOT, "chargePointSerialNumber": "s" * 33},
            {**BOOT, "chargePointSerialNumber": "s" * 25},
            "cut-string",
        ),
        (
            "BootNotification",
            {**BOOT, "chargePointModel": 22},
            {**BOOT, "chargePointModel": "22"},
            "number-for-string",
        ),
        (
            "StatusNotification",
            {"connectorId": "1", "errorCode": "noerror", "status": "charging"},
            {"connectorId": 1, "errorCode": "NoError", "status": "Charging"},
            "enum-spelling",
        ),
        (
            "MeterValues",
            meter_values({"value": "1", "unit": "Percentage"}),
            meter_values({"value": "1", "unit": "Percent"}),
            "enum-spelling",
        ),
        (
            "MeterValues",
            meter_values({"value": "1"}, {"unit": "A"}, "junk", {"value": "2", "phase": ""}),
            meter_values({"value": "1"}, {"value": "2"}),
            "dropped-sampledValue",
        ),
    ],
)
def test_form_is_mended_and_said(action: str, payload: Any, mended: Any, rule: str) -> None:
    result, rules, _ = mend(V16, action, payload)

    assert result == mended
    assert rule in rules
    assert not is_valid(V16, action, payload, is_answer=False)
    assert is_valid(V16, action, result, is_answer=False)


def test_what_is_missing_is_not_invented() -> None:
    result = mend(V16, "BootNotification", {"chargePointVendor": "V"}).payload

    assert result == {"chargePointVendor": "V"}


def test_what_is_too_much_to_walk_is_left_as_it_is() -> None:
    nearly = meter_values(*[{"v": 1}] * (MOST_VALUES // 2 - 10))
    assert "too-much" not in mend(V16, "MeterValues", nearly).rules
    for too_much in (
        meter_values(*[{"v": 1}] * MOST_VALUES),
        {f"unknown {n}": None for n in range(MOST_VALUES + 1)},
    ):
        result, rules, walked_count = mend(V16, "MeterValues", too_much)

        assert result is too_much
        assert (rules, walked_count) == (("too-much",), MOST_VALUES)


@pytest.mark.parametrize("payload", [[], "text", 5, None])
def test_what_is_no_object_is_left_as_it_is(payload: object) -> None:
    assert mend(V16, "BootNotification", payload)[0] == payload


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@st.composite
def near_payloads(draw: st.DrawFn) -> tuple[OcppVersion, str, object]:
    """Draw an action and a payload with its property names and any values."""
    version = draw(st.sampled_from(OcppVersion))
    action = draw(st.sampled_from(sorted(actions(version))))
    properties = load_schema(version, action, is_answer=False).get("properties", {})
    assert isinstance(properties, dict)
    names = st.sampled_from(sorted(properties) or ["x"]) | st.text(max_size=5)
    return version, action, draw(st.dictionaries(names, junk, max_size=6))


@settings(max_examples=300)
@given(near=near_payloads())
def test_mending_never_raises_nor_changes_its_argument(
    near: tuple[OcppVersion, str, object],
) -> None:
    version, action, payload = near
    before = json.dumps(payload)

    once = mend(version, action, payload).payload
    twice, rules, _ = mend(version, action, once)

    assert json.dumps(payload) == before
    # What was mended once is whole, or past mending.
    assert json.dumps(twice) == json.dumps(once)
    if is_valid(version, action, once, is_answer=False):
        assert rules == ()
