"""Registers become values, or the reason there is none."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.blocks import Span
from drivers.modbus.codec import BlockDecoder, Register, RegisterType, Value, as_sample
from gateway.domain.metering import Quality, Sample

LAYOUT = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f"}


def register(
    name: str = "value",
    address: int = 0,
    kind: str = "f32",
    *,
    lowest: float = -1e30,
    highest: float = 1e30,
    scale: float = 1.0,
    factor: int | None = None,
    sentinels: frozenset[int] = frozenset(),
) -> Register:
    return Register(
        name=name,
        address=address,
        type=RegisterType(kind),
        unit="A",
        lowest=lowest,
        highest=highest,
        scale=scale,
        scale_factor_address=factor,
        sentinels=sentinels,
    )


def decode(words: str, *registers: Register, low_first: bool = False) -> dict[str, Value]:
    payload = bytes.fromhex(words)
    block = Span(address=0, count=len(payload) // 2)
    return BlockDecoder(registers, block=block, is_low_word_first=low_first).decode(payload)


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("f32", "4366 3333", pytest.approx(230.2)),
        ("f64", "406C C666 6666 6666", 230.2),
        ("u16", "FFFE", 65_534),
        ("s16", "FFFE", -2),
        ("u32", "0001 E240", 123_456),
        ("s32", "FFFE 1DC0", -123_456),
        ("u64", "0000 0000 0001 E240", 123_456),
        ("s64", "FFFF FFFF FFFE 1DC0", -123_456),
        ("acc32", "0001 E240", 123_456),
    ],
)
def test_every_type_is_read_high_word_first(kind: str, words: str, value: float) -> None:
    assert decode(words, register(kind=kind)) == {"value": value}


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("f32", "3333 4366", pytest.approx(230.2)),
        ("u32", "E240 0001", 123_456),
        ("s64", "1DC0 FFFE FFFF FFFF", -123_456),
        ("u16", "1234", 0x1234),
    ],
)
def test_or_low_word_first(kind: str, words: str, value: float) -> None:
    assert decode(words, register(kind=kind), low_first=True) == {"value": value}


def test_low_word_first_swaps_each_value_and_not_the_holes() -> None:
    first, second = register("first", 1), register("second", 4)

    values = decode("AAAA 3333 4366 BBBB 0000 4148", first, second, low_first=True)

    assert values == {"first": pytest.approx(230.2), "second": 12.5}


def test_values_are_scaled() -> None:
    assert decode("4038 0000", register(scale=1_000)) == {"value": 2_875.0}


@pytest.mark.parametrize(
    ("raw", "exponent", "value"),
    [
        ("08FD", "FFFF", 230.1),
        ("011F", "0001", 2_870.0),
        ("FF59", "0000", -167.0),
        ("04E2", "FFFE", 12.5),
    ],
)
def test_a_scale_factor_register_is_a_power_of_ten(raw: str, exponent: str, value: float) -> None:
    assert decode(f"{raw} {exponent}", register(kind="s16", factor=1)) == {"value": value}


def test_values_may_share_a_scale_factor() -> None:
    registers = [register(f"l{n}", n, "s16", factor=3) for n in range(3)]

    assert decode("0001 0002 0003 0001", *registers) == {"l0": 10, "l1": 20, "l2": 30}


@pytest.mark.parametrize(
    ("exponent", "quality"),
    [("8000", Quality.SENTINEL), ("000B", Quality.IMPLAUSIBLE), ("FFF5", Quality.IMPLAUSIBLE)],
)
def test_a_scale_factor_that_is_none_gives_no_value(exponent: str, quality: Quality) -> None:
    assert decode(f"0001 {exponent}", register(kind="s16", factor=1)) == {"value": quality}


@pytest.mark.parametrize(
    ("words", "kind", "quality"),
    [
        ("FFC0 0000", "f32", Quality.SENTINEL),  # Schneider's NaN
        ("7FC0 0000", "f32", Quality.SENTINEL),  # SunSpec's
        ("7F80 0000", "f32", Quality.IMPLAUSIBLE),  # infinity
        ("FF80 0000", "f32", Quality.IMPLAUSIBLE),
        ("8000", "s16", Quality.SENTINEL),
        ("03E9", "s16", Quality.IMPLAUSIBLE),  # 1001
    ],
)
def test_no_value_comes_out_as_its_reason(words: str, kind: str, quality: Quality) -> None:
    bounded = register(kind=kind, lowest=-1_000, highest=1_000, sentinels=frozenset({-0x8000}))

    assert decode(words, bounded) == {"value": quality}


def test_the_bounds_themselves_are_plausible() -> None:
    bounded = register(kind="s16", lowest=-5, highest=5)

    assert decode("0005", bounded) == {"value": 5}
    assert decode("FFFB", bounded) == {"value": -5}
    assert decode("0006", bounded) == {"value": Quality.IMPLAUSIBLE}


def test_registers_that_overlap_or_lie_outside_are_refused() -> None:
    block = Span(address=0, count=4)
    for registers in (
        [register("a", 0), register("b", 1)],
        [register("a", 3)],
        [register("a", 0, "s16", factor=4)],
    ):
        with pytest.raises(ValueError, match="does not fit"):
            BlockDecoder(registers, block=block)


@given(
    values=st.lists(
        st.tuples(st.sampled_from(sorted(LAYOUT)), st.integers(0, 100), st.integers(0, 3)),
        min_size=1,
        max_size=12,
    ),
    before=st.integers(0, 10),
)
def test_any_layout_comes_back_as_it_was_packed(
    values: list[tuple[str, int, int]], before: int
) -> None:
    registers, packed, address = [], b"", 1_000
    for number, (kind, value, hole) in enumerate(values):
        packed += b"\xaa\xaa" * hole
        address += hole
        registers.append(register(f"v{number}", address, kind))
        raw = struct.pack(f">{LAYOUT[kind]}", value)
        packed += raw
        address += len(raw) // 2
    block = Span(address=1_000, count=address - 1_000)

    decoded = BlockDecoder(registers[::-1], block=block).decode(
        b"\xff\xff" * before + packed, 2 * before
    )

    assert decoded == {f"v{n}": value for n, (_, value, _) in enumerate(values)}


@given(payload=st.binary(min_size=24, max_size=24))
def test_whatever_the_registers_hold_a_good_value_is_a_finite_plausible_number(
    payload: bytes,
) -> None:
    registers = [register(f"l{n}", 2 * n, lowest=0, highest=100) for n in range(6)]

    for value in BlockDecoder(registers, block=Span(address=0, count=12)).decode(payload).values():
        assert isinstance(value, Quality) or (math.isfinite(value) and 0 <= value <= 100)


def test_a_sample_has_a_value_only_if_it_is_good() -> None:
    assert as_sample(12.5, "A") == Sample(value=12.5, unit="A", quality=Quality.GOOD)
    assert as_sample(Quality.SENTINEL, "A") == Sample(
        value=None, unit="A", quality=Quality.SENTINEL
    )
    assert as_sample(None, "A") == Sample(value=None, unit="A", quality=Quality.MISSING)
