"""The frame that answers is found among whatever was heard, and nothing else is."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frames import Ask, NotModbusError, crc16, find_rtu_answer, find_tcp_answer

# Eastron SDM630 protocol paper: 04 on unit 1, two registers, 230.2 V.
ASK = Ask(unit=1, function_code=4, count=2)
RTU = bytes.fromhex("01 04 04 43 66 33 34 1b 38")
TCP = bytes.fromhex("00 07 00 00 00 07 01 04 04 43 66 33 34")
TRANSACTION = b"\x00\x07"

asks = st.builds(
    Ask,
    unit=st.integers(1, 247),
    function_code=st.sampled_from([1, 2, 3, 4]),
    count=st.integers(1, 125),
)


def shape(ask: Ask) -> tuple[int, int, int]:
    """Return all that an answer tells of its question."""
    return ask.unit, ask.function_code, ask.byte_count


def rtu_frame(ask: Ask, payload: bytes) -> bytes:
    body = bytes((ask.unit, ask.function_code, len(payload))) + payload
    return body + crc16(body)


def tcp_frame(transaction: bytes, ask: Ask, payload: bytes) -> bytes:
    pdu = bytes((ask.unit, ask.function_code, len(payload))) + payload
    return transaction + b"\0\0" + struct.pack(">H", len(pdu)) + pdu


def test_check_bytes_are_those_of_the_standard() -> None:
    # Modbus over Serial Line V1.02, appendix B: 02 07 is followed by 41 12.
    assert crc16(b"\x02\x07") == b"\x41\x12"
    assert crc16(RTU[:-2]) == RTU[-2:]


@pytest.mark.parametrize(
    ("heard", "answer"),
    [
        (RTU, RTU),
        (b"\x00\xff" + RTU + b"\x00", RTU),  # noise of the line driver around it
        (b"\x01\x04" + RTU, RTU),  # noise that begins like it
        (bytes.fromhex("01 04 00 00 00 02 71 cb") + RTU, RTU),  # the adapter's echo before it
        (RTU[:-1], None),
        (RTU[:-1] + b"\x39", None),  # one bit turned
        (bytes.fromhex("01 03 04 43 66 33 34 1a 8f"), None),  # function 3
        (bytes.fromhex("02 04 04 43 66 33 34 28 38"), None),  # unit 2
        (bytes.fromhex("01 04 02 43 66 08 2a"), None),  # one register
        (b"", None),
    ],
)
def test_only_the_right_serial_frame_answers(heard: bytes, answer: bytes | None) -> None:
    assert find_rtu_answer(heard, ASK) == answer


@pytest.mark.parametrize(
    ("count", "frame"),
    [
        # Modbus Application Protocol V1.1b3, 6.2: 22 inputs come in three bytes, these three.
        (22, bytes.fromhex("01 02 03 ac db 35 22 88")),
        (1, bytes.fromhex("01 02 01 01 60 48")),
        (8, bytes.fromhex("01 02 01 01 60 48")),
    ],
)
def test_bits_come_eight_to_a_byte(count: int, frame: bytes) -> None:
    assert find_rtu_answer(frame, Ask(unit=1, function_code=2, count=count)) == frame
    assert find_rtu_answer(frame, Ask(unit=1, function_code=2, count=count + 8)) is None
    assert find_rtu_answer(frame, Ask(unit=1, function_code=1, count=count)) is None


def test_a_refusal_answers_too() -> None:
    refusal = bytes.fromhex("01 84 02 c2 c1")

    assert find_rtu_answer(b"\xff" + refusal, ASK) == refusal


@given(ask=asks, other=asks, payload=st.binary(max_size=250), noise=st.binary(max_size=20))
def test_no_frame_of_another_shape_ever_answers(
    ask: Ask, other: Ask, payload: bytes, noise: bytes
) -> None:
    payload = (payload + bytes(250))[: other.byte_count]

    found = find_rtu_answer(noise + rtu_frame(other, payload), ask)

    assert found is None or shape(other) == shape(ask)


@given(ask=asks, payload=st.binary(min_size=250, max_size=250), before=st.binary(max_size=20))
def test_noise_before_a_serial_answer_does_not_hide_it(
    ask: Ask, payload: bytes, before: bytes
) -> None:
    frame = rtu_frame(ask, payload[: ask.byte_count])

    assert find_rtu_answer(before + frame, ask) == frame


@pytest.mark.parametrize(
    ("heard", "answer"),
    [
        (TCP, TCP),
        (TCP + TCP, TCP),
        (TCP + bytes.fromhex("00 06 00 00 00 05 01 04 02 00 01"), TCP),
        (TCP[:-1], None),
        (TCP[:5], None),
        # The answer of transaction 6 comes late, and is passed over.
        (bytes.fromhex("00 06 00 00 00 05 01 04 02 00 01") + TCP, TCP),
        (bytes.fromhex("00 06 00 00 00 05 01 04 02 00 01"), None),
        (bytes.fromhex("00 07 00 00 00 03 01 84 06"), bytes.fromhex("00 07 00 00 00 03 01 84 06")),
    ],
)
def test_only_the_right_network_frame_answers(heard: bytes, answer: bytes | None) -> None:
    assert find_tcp_answer(heard, ASK, TRANSACTION) == answer


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        ("00 07 00 00 00 07 02 04 04 43 66 33 34", "unit 2 answered for unit 1"),
        ("00 07 00 00 00 07 01 03 04 43 66 33 34", "function 3 answered to function 4"),
        ("00 07 00 00 00 07 01 2b 04 43 66 33 34", "function 43"),
        ("00 07 00 00 00 05 01 04 02 43 66", "asked for 4 bytes, got 2"),
        ("00 07 00 00 00 07 01 04 05 43 66 33 34", "got 5 of 4"),
        ("00 07 00 00 00 09 01 04 04 43 66 33 34 00 00", "got 4 of 6"),
        ("00 07 00 01 00 07 01 04 04 43 66 33 34", "not Modbus"),
        ("00 07 00 00 40 07 01", "not Modbus"),
        ("00 07 00 00 00 07 01 04 04 43 66 33 34 00", "behind the answer stands no frame: .* 00$"),
        # Two answers of a broken gateway, mixed byte by byte: the header is ours, the values not.
        ("00 07 00 00 00 07 01 04 04 da 33 da 52 04 04 43 66 33 34", "not Modbus|no frame"),
        ("48 54 54 50 2f 31 2e 31 20 34 30 30", "not Modbus.*HTTP/1.1"),
        ("53 53 48 2d 32 2e 30 2d", "not Modbus.*SSH-2.0-"),
    ],
)
def test_a_network_frame_that_cannot_be_right_ends_the_wait(heard: str, why: str) -> None:
    with pytest.raises(NotModbusError, match=why):
        find_tcp_answer(bytes.fromhex(heard), ASK, TRANSACTION)


@given(
    ask=asks,
    other=asks,
    payload=st.binary(min_size=250, max_size=250),
    transaction=st.binary(min_size=2, max_size=2),
)
def test_no_network_frame_of_another_question_ever_answers(
    ask: Ask, other: Ask, payload: bytes, transaction: bytes
) -> None:
    frame = tcp_frame(transaction, other, payload[: other.byte_count])
    try:
        found = find_tcp_answer(frame, ask, TRANSACTION)
    except NotModbusError:
        found = None

    assert found is None or (other == ask and transaction == TRANSACTION)


@given(heard=st.binary(max_size=300), ask=asks)
def test_garbage_is_survived(heard: bytes, ask: Ask) -> None:
    found = find_rtu_answer(heard, ask)
    assert found is None or found in heard
    try:
        find_tcp_answer(heard, ask, TRANSACTION)
    except NotModbusError as error:
        assert str(error)  # noqa: PT017 - both ways out are right
