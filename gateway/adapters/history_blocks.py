"""A minute of many series as a few kilobytes: each second packed, and each minute's low, mean and high."""

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Final

SECONDS: Final = 60
RESOLUTIONS: Final = {"a": 0.1, "w": 10.0, "wh": 10.0, "pct": 0.1, "s": 0.1, "c": 0.1}
FINEST: Final = 0.001
_MOST: Final = 2**30  # So that the difference of two still fits.
_SHAPE: Final = b"\x01"


class BlockDamagedError(ValueError):
    """A block is not as it was packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteFigures:
    """What one series was in one minute: the lowest, the mean and the highest of its seconds."""

    low: float
    mean: float
    high: float


def resolution_of(name: str) -> float:
    """Return how finely a series is kept, by the unit at the end of its name."""
    return RESOLUTIONS.get(name.rsplit("_", maxsplit=1)[-1], FINEST)


def pack_seconds(columns: Sequence[Sequence[float]], resolutions: Sequence[float]) -> bytes:
    """Return a minute of seconds as bytes: one column for each series, NaN where there is none.

    Values are rounded to the resolution. Of each column only the steps from second to second are
    kept: currents move little, and what is mostly zero packs well.
    """
    steps, present = array("i"), bytearray()
    for column, resolution in zip(columns, resolutions, strict=True):
        mask, before = 0, 0
        for second, value in enumerate(column):
            if isnan(value):
                steps.append(0)
                continue
            mask |= 1 << second
            units = min(_MOST, max(-_MOST, round(value / resolution)))
            steps.append(units - before)
            before = units
        present += mask.to_bytes(8, "little")
    raw = steps.tobytes()
    # The four bytes of a number each with their like: three of them are nearly always zero.
    planes = b"".join(raw[plane::4] for plane in range(4))
    return _SHAPE + zlib.compress(bytes(present) + planes, 6)


def unpack_seconds(block: bytes, resolutions: Sequence[float]) -> list[list[float]]:
    """Return the columns of a minute.

    Raises:
        BlockDamagedError: they are not as they were packed.
    """
    whole, count = _inflate(block), len(resolutions)
    if len(whole) != count * (8 + 4 * SECONDS):
        raise BlockDamagedError(f"{len(whole)} bytes do not hold a minute of {count} series")
    masks, planes = whole[: 8 * count], whole[8 * count :]
    raw, size = bytearray(len(planes)), len(planes) // 4
    for plane in range(4):
        raw[plane::4] = planes[plane * size : (plane + 1) * size]
    steps = array("i")
    steps.frombytes(bytes(raw))
    columns = []
    for at, resolution in enumerate(resolutions):
        mask, units, column = int.from_bytes(masks[8 * at : 8 * at + 8], "little"), 0, []
        for second in range(SECONDS):
            units += steps[at * SECONDS + second]
            column.append(units * resolution if mask >> second & 1 else nan)
        columns.append(column)
    return columns


def pack_figures(columns: Sequence[Sequence[float]]) -> bytes:
    """Return low, mean and high of each column as bytes."""
    figures = array("f")
    for column in columns:
        known = [value for value in column if not isnan(value)]
        if known:
            figures.extend((min(known), sum(known) / len(known), max(known)))
        else:
            figures.extend((nan, nan, nan))
    raw = figures.tobytes()
    return _SHAPE + zlib.compress(b"".join(raw[plane::4] for plane in range(4)), 6)


def unpack_figures(block: bytes, count: int) -> list[MinuteFigures | None]:
    """Return low, mean and high of each of `count` series, None where nothing was known.

    Raises:
        BlockDamagedError: they are not as they were packed.
    """
    figures = _figures(block, count)
    return [
        None
        if isnan(figures[at])
        else MinuteFigures(low=figures[at], mean=figures[at + 1], high=figures[at + 2])
        for at in range(0, len(figures), 3)
    ]


def unpack_highs(block: bytes, count: int) -> Sequence[float]:
    """Return the highest second of each of `count` series, NaN where nothing was known.

    Raises:
        BlockDamagedError: they are not as they were packed.
    """
    return _figures(block, count)[2::3]


def unpack_means(block: bytes, count: int) -> Sequence[float]:
    """Return the mean of each of `count` series, NaN where nothing was known.

    Raises:
        BlockDamagedError: they are not as they were packed.
    """
    return _figures(block, count)[1::3]


def _figures(block: bytes, count: int) -> Sequence[float]:
    planes = _inflate(block)
    if len(planes) != 12 * count:
        raise BlockDamagedError(f"{len(planes)} bytes do not hold the figures of {count} series")
    raw, size = bytearray(len(planes)), len(planes) // 4
    for plane in range(4):
        raw[plane::4] = planes[plane * size : (plane + 1) * size]
    figures = array("f")
    figures.frombytes(bytes(raw))
    return figures


def _inflate(block: bytes) -> bytes:
    if block[:1] != _SHAPE:
        raise BlockDamagedError("a block of a shape that is not known")
    try:
        return zlib.decompress(block[1:])
    except zlib.error as error:
        raise BlockDamagedError(str(error)) from error
