"""Finds, in the bytes heard on a line, the one frame that answers a question, or none.

pymodbus takes whatever frame comes next for the answer; here function, unit, register count
and transaction must all be those asked for. Layouts: Modbus over Serial Line V1.02, 2.5.1, and
Modbus Messaging on TCP/IP V1.0b, 3.1.3. Pure.
"""

from dataclasses import dataclass

EXCEPTION_BIT = 0x80


class NotModbusError(ValueError):
    """What was heard can not be the answer, and nothing that follows it can be."""


BIT_FUNCTIONS = frozenset({1, 2})
"""Read coils and read discrete inputs: what they count are bits, eight to a byte."""


def answer_byte_count(function_code: int, count: int) -> int:
    """Return how many bytes an answer's payload has: all that it tells of what was asked."""
    return (count + 7) // 8 if function_code in BIT_FUNCTIONS else 2 * count


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an answer must match: `count` registers or bits, read from `unit` with `function_code`.

    What is written is answered by its own words: `echo` is the place and the value, as sent.
    """

    unit: int
    function_code: int
    count: int
    echo: bytes = b""

    @property
    def byte_count(self) -> int:
        """Return how many bytes the payload of the answer has."""
        return len(self.echo) or answer_byte_count(self.function_code, self.count)

    @property
    def head(self) -> bytes:
        """Return what stands between the function and the payload: its length, or nothing."""
        return b"" if self.echo else bytes((self.byte_count,))


def _make_crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _make_crc_table()


def crc16(frame: bytes) -> bytes:
    """Return the two check bytes of an RTU frame, in the order they are sent."""
    crc = 0xFFFF
    for byte in frame:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def find_rtu_answer(heard: bytes, ask: Ask) -> bytes | None:
    """Return the RTU frame in `heard` that answers `ask`, or None while there is none.

    Noise, echoes and frames of others before and after it do not matter: the frame is known
    by its unit, function and length together, and by its check bytes.
    """
    good = bytes((ask.unit, ask.function_code)) + ask.head
    whole = len(good) + ask.byte_count + 2
    refusal = bytes((ask.unit, ask.function_code | EXCEPTION_BIT))
    for header, length in ((good + ask.echo, whole), (refusal, 5)):
        start = heard.find(header)
        while start >= 0:
            frame = heard[start : start + length]
            if len(frame) == length and crc16(frame[:-2]) == frame[-2:]:
                return frame
            start = heard.find(header, start + 1)
    return None


def find_tcp_answer(heard: bytes, ask: Ask, transaction: bytes) -> bytes | None:
    """Return the MBAP frame in `heard` that answers `ask`, or None while more may come.

    Whole frames of other transactions, before it and behind it, are passed over.

    Raises:
        NotModbusError: the bytes are no Modbus, or a frame of this very transaction does not
            answer the question, or what stands behind it is no frame: then the stream has lost
            its step, and without check bytes nothing tells which of it is true.
    """
    start, answer = 0, None
    while len(heard) - start >= 7:
        length = int.from_bytes(heard[start + 4 : start + 6], "big")
        if heard[start + 2 : start + 4] != b"\0\0" or not 3 <= length <= 254:
            raise NotModbusError(f"this is not Modbus: {shown(heard[start:])}")
        end = start + 6 + length
        if heard[start : start + 2] == transaction and len(heard) >= end:
            answer = _checked(heard[start:end], ask)
        start = end
    if answer is not None and start != len(heard):
        raise NotModbusError(f"behind the answer stands no frame: {shown(heard[-7:])}")
    return answer


def _checked(frame: bytes, ask: Ask) -> bytes:
    unit, function_code, third = frame[6], frame[7], frame[8]
    if unit != ask.unit:
        raise NotModbusError(f"unit {unit} answered for unit {ask.unit}")
    if function_code == ask.function_code | EXCEPTION_BIT and len(frame) == 9:
        return frame
    if function_code != ask.function_code:
        raise NotModbusError(f"function {function_code} answered to function {ask.function_code}")
    if ask.echo and frame[8:] != ask.echo:
        raise NotModbusError(f"asked to write {ask.echo.hex(' ')}, told {frame[8:].hex(' ')}")
    if not ask.echo and (third != ask.byte_count or len(frame) != 9 + third):
        raise NotModbusError(f"asked for {ask.byte_count} bytes, got {third} of {len(frame) - 9}")
    return frame


def shown(heard: bytes, most: int = 12) -> str:
    """Return bytes as a person can compare them: hex, and text where it is text."""
    part = heard[:most]
    text = part.decode("ascii", errors="replace")
    return f"{part.hex(' ')} ({text!r})" if text.isprintable() else part.hex(" ")
