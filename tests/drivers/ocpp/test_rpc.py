"""Frames of either version, read and written."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ocpp.rpc import (
    DIALECTS,
    Call,
    CallErrorReply,
    CallResult,
    Dialect,
    Malformed,
    decode,
    encode_call,
    encode_error,
    encode_result,
)
from gateway.domain.charging import OcppVersion

V16, V201 = DIALECTS[OcppVersion.V16], DIALECTS[OcppVersion.V201]
dialects = st.sampled_from([V16, V201])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(raw=st.binary(max_size=200), dialect=dialects)
def test_no_bytes_end_the_reader(raw: bytes, dialect: Dialect) -> None:
    frame = decode(raw, dialect)

    assert isinstance(frame, Call | CallResult | CallErrorReply | Malformed)


@given(frame=st.lists(json_values, max_size=6), dialect=dialects)
def test_an_answer_to_what_cannot_be_read_is_itself_a_frame(
    frame: list[object], dialect: Dialect
) -> None:
    read = decode(json.dumps(frame).encode(), dialect)

    if isinstance(read, Malformed) and read.answer is not None:
        kind, call_id, code, description, details = json.loads(read.answer)
        assert kind == 4
        assert isinstance(call_id, str)
        assert len(call_id) <= 36
        assert code in {dialect.framing, dialect.unknown_type}
        assert len(description) <= 255
        assert details == {}
        assert call_id == "-1" or call_id == frame[1]


def test_1_6_answers_nothing_under_an_id_it_cannot_read() -> None:
    read = decode(b'[2,17,"Heartbeat",{}]', V16)

    assert isinstance(read, Malformed)
    assert read.answer is None


@given(call_id=st.text(min_size=1, max_size=36), payload=st.dictionaries(st.text(), json_values))
def test_a_call_is_read_as_it_was_written(call_id: str, payload: dict[str, object]) -> None:
    raw = json.dumps([2, call_id, "Action", payload], ensure_ascii=False, allow_nan=True)
    try:
        frame = decode(raw.encode(), V16)
    except UnicodeEncodeError:
        return  # Lone surrogates are no text.

    if "NaN" not in raw and "Infinity" not in raw:
        assert isinstance(frame, Call)
        assert (frame.id, frame.action) == (call_id, "Action")
        payload_raw = frame.payload
        if isinstance(payload_raw, msgspec.Raw):
            assert json.loads(bytes(payload_raw)) == payload


def test_a_null_payload_is_an_empty_one() -> None:
    frame = decode(b'[2,"1","Heartbeat",null]', V16)

    assert isinstance(frame, Call)


def test_a_refusal_is_read_however_little_it_says() -> None:
    assert decode(b'[4,"1"]', V16) == CallErrorReply("1", "GenericError", "")
    assert decode(b'[4,"1","NotSupported",5,{}]', V16) == CallErrorReply("1", "NotSupported", "")


def test_frames_are_written_as_the_text_has_them() -> None:
    assert json.loads(encode_call("1", "Reset", {"type": "Hard"})) == [
        2,
        "1",
        "Reset",
        {"type": "Hard"},
    ]
    assert json.loads(encode_result('"', b"{}")) == [3, '"', {}]
    assert json.loads(encode_result("1", {"a": 1})) == [3, "1", {"a": 1}]
    assert len(json.loads(encode_error("1", "GenericError", "x" * 999))[3]) == 255


@pytest.mark.parametrize("version", OcppVersion)
def test_either_version_spells_its_errors_its_own_way(version: OcppVersion) -> None:
    of_16 = {"FormationViolation", "OccurenceConstraintViolation"}
    of_201 = {"FormatViolation", "OccurrenceConstraintViolation"}
    spelt = {DIALECTS[version].formation, DIALECTS[version].occurrence}

    assert spelt == (of_16 if version is OcppVersion.V16 else of_201)
