"""Turns the bytes of a block of registers into values, or into the reason there is none.

Pure. A block is unpacked in one go with a layout compiled beforehand; sentinels, NaN and values
outside what is plausible come out as their quality instead of a number.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan
from operator import itemgetter

from drivers.modbus.blocks import Span
from gateway.domain.metering import Quality, Sample

Value = float | Quality
"""A good value, or why there is none."""


class RegisterType(StrEnum):
    """How a value lies in its registers."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    ACC32 = "acc32"  # SunSpec: an unsigned accumulator.


_LAYOUT = {
    RegisterType.U16: "H",
    RegisterType.S16: "h",
    RegisterType.U32: "I",
    RegisterType.S32: "i",
    RegisterType.U64: "Q",
    RegisterType.S64: "q",
    RegisterType.F32: "f",
    RegisterType.F64: "d",
    RegisterType.ACC32: "I",
}
_POWERS = {exponent: 10.0**exponent for exponent in range(11)}
SCALE_FACTOR_SENTINEL = -0x8000  # SunSpec: sunssf, not implemented.


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A value of a meter and where it lies; all addresses are as sent on the wire.

    value = raw × `scale`, and × 10 to the power in the register `scale_factor_address` if there
    is one. `lowest` and `highest` bound what is plausible, in `unit`. `sentinels` are raw values
    that mean "no value" (for floats only NaN does).
    """

    name: str
    address: int
    type: RegisterType
    unit: str
    lowest: float
    highest: float
    scale: float = 1.0
    scale_factor_address: int | None = None
    sentinels: frozenset[int] = frozenset()

    @property
    def own_span(self) -> Span:
        """Return the registers the value itself takes."""
        return Span(address=self.address, count=struct.calcsize(_LAYOUT[self.type]) // 2)

    @property
    def span(self) -> Span:
        """Return the registers that must be read together: the value and its scale factor."""
        own = self.own_span
        if self.scale_factor_address is None:
            return own
        first = min(own.address, self.scale_factor_address)
        return Span(address=first, count=max(own.end, self.scale_factor_address + 1) - first)


class BlockDecoder:
    """The layout of one block, for the registers wanted of it."""

    def __init__(
        self, registers: Sequence[Register], *, block: Span, is_low_word_first: bool = False
    ) -> None:
        """Compile the layout of `registers`, all of which lie in `block`.

        Raises:
            ValueError: two registers overlap, or one lies outside the block.
        """
        self.registers = tuple(registers)
        factors = {r.scale_factor_address for r in registers if r.scale_factor_address is not None}
        fields = [(r.own_span, _LAYOUT[r.type]) for r in registers]
        fields += [(Span(address=address, count=1), "h") for address in factors]
        fields.sort(key=itemgetter(0))
        layout, end = ">", block.address
        for span, letter in fields:
            if span.address < end or span.end > block.end:
                raise ValueError(f"{span} does not fit into {block} from register {end} on")
            layout += f"{2 * (span.address - end)}x{letter}"
            end = span.end
        self._struct = struct.Struct(layout)
        spans = [span for span, _ in fields]
        self._in_order = _byte_order(spans, block) if is_low_word_first else None
        where = {span.address: index for index, span in enumerate(spans)}
        self._steps = tuple(
            (
                r.name,
                where[r.address],
                r.sentinels,
                r.scale,
                None if r.scale_factor_address is None else where[r.scale_factor_address],
                r.lowest,
                r.highest,
            )
            for r in registers
        )

    def decode(self, payload: bytes, offset: int = 0) -> dict[str, Value]:
        """Return the values by name; the block begins `offset` bytes into `payload`."""
        if self._in_order is not None:
            payload, offset = bytes(payload[offset + index] for index in self._in_order), 0
        raw = self._struct.unpack_from(payload, offset)
        values: dict[str, Value] = {}
        for name, index, sentinels, scale, factor_index, lowest, highest in self._steps:
            value = raw[index]
            if value in sentinels:
                values[name] = Quality.SENTINEL
                continue
            value *= scale
            if factor_index is not None:
                exponent = raw[factor_index]
                if not -10 <= exponent <= 10:  # SunSpec: the range of sunssf.
                    is_mark = exponent == SCALE_FACTOR_SENTINEL
                    values[name] = Quality.SENTINEL if is_mark else Quality.IMPLAUSIBLE
                    continue
                # Division, because a tenth is not a float: 2301 × 10^-1 is to be 230.1.
                power = _POWERS[abs(exponent)]
                value = value * power if exponent >= 0 else value / power
            if lowest <= value <= highest:
                values[name] = float(value)
            else:
                values[name] = Quality.SENTINEL if isnan(value) else Quality.IMPLAUSIBLE
        return values


def _byte_order(spans: Iterable[Span], block: Span) -> tuple[int, ...]:
    """Return the places from which to take a block's bytes to have the high word first."""
    words = list(range(block.count))
    for span in spans:
        start, end = span.address - block.address, span.end - block.address
        words[start:end] = reversed(words[start:end])
    return tuple(byte for word in words for byte in (2 * word, 2 * word + 1))


def as_sample(value: Value | None, unit: str) -> Sample:
    """Return a value with its quality; None is a value that was not answered."""
    if value is None:
        return Sample(value=None, unit=unit, quality=Quality.MISSING)
    if isinstance(value, Quality):
        return Sample(value=None, unit=unit, quality=value)
    return Sample(value=value, unit=unit, quality=Quality.GOOD)
