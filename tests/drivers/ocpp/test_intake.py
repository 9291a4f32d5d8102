"""Payloads on their way to an adapter: the fast way and the slow way say the same."""

import string
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ocpp.intake import Intake
from drivers.ocpp.rpc import RefusedError
from drivers.ocpp.schemas import is_valid, load_schema
from drivers.ocpp.v16 import SUPPORT
from drivers.ocpp.v16_messages import PAYLOAD_TYPES
from gateway.domain.charging import OcppVersion

texts = st.text(string.printable, max_size=20)


def valid_values(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return values a schema of 1.6 allows."""
    match schema["type"]:
        case "object":
            properties = schema.get("properties", {})
            needed = set(schema.get("required", ()))
            return st.fixed_dictionaries(
                {key: valid_values(properties[key]) for key in needed},
                optional={
                    key: valid_values(value)
                    for key, value in properties.items()
                    if key not in needed
                },
            )
        case "array":
            return st.lists(valid_values(schema["items"]), min_size=1, max_size=3)
        case "string" if "enum" in schema:
            return st.sampled_from(schema["enum"])
        case "string":
            return texts
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case kind:
            raise AssertionError(kind)


def schema_of(action: str) -> Mapping[str, Any]:
    return load_schema(OcppVersion.V16, action, is_answer=False)


@settings(max_examples=50)
@given(data=st.data())
@pytest.mark.parametrize("action", PAYLOAD_TYPES)
def test_whatever_is_valid_is_taken_and_both_ways_agree(action: str, data: st.DataObject) -> None:
    payload = data.draw(valid_values(schema_of(action)))
    assert is_valid(OcppVersion.V16, action, payload, is_answer=False)
    counters: Counter[str] = Counter()
    intake = Intake(SUPPORT, counters)

    fast = intake.read(action, msgspec.Raw(orjson.dumps(payload)))
    slow = intake.read(action, payload)

    assert isinstance(fast, PAYLOAD_TYPES[action])
    assert fast == slow
    assert counters == {}


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b'{"connectorId":"1","meterValue":[]}', "lenient.MeterValues.string-for-number"),
        (
            b'{"connectorId":1,"meterValue":[{"timestamp":"x","sampledValue":[{"value":null}]}]}',
            "lenient.MeterValues.taken-as-is",
        ),
    ],
)
def test_what_is_mended_is_counted(payload: bytes, rule: str) -> None:
    counters: Counter[str] = Counter()

    Intake(SUPPORT, counters).read("MeterValues", msgspec.Raw(payload))

    assert counters[rule] == 1


@pytest.mark.parametrize("payload", [b"5", b"[]", b'"text"', b"{"])
@pytest.mark.parametrize("action", sorted(SUPPORT.from_station))
def test_what_is_no_object_is_refused(action: str, payload: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        Intake(SUPPORT, Counter()).read(action, msgspec.Raw(payload))

    assert len(caught.value.description) < 500


def test_a_long_word_is_no_measurand() -> None:
    sample = {"value": "6", "measurand": "x" * 100_000}
    payload = {"connectorId": 1, "meterValue": [{"timestamp": "x", "sampledValue": [sample]}]}

    taken = Intake(SUPPORT, Counter()).read("MeterValues", msgspec.Raw(orjson.dumps(payload)))

    # The value stays, and says what a value without a measurand says.
    assert len(orjson.dumps(msgspec.to_builtins(taken))) < 500
