"""Where the rows of an outlet leave least in a window, and when."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.planning.room import Ints, Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """The phase of a circuit (`row`) that leaves least: how little, and when (epoch s).

    With `is_planned` it leaves no more as planned, else only where base turns out highest.
    """

    row: int
    left_ma: int
    from_at_s: float
    until_at_s: float
    is_planned: bool = True


def shortage_in(
    room: Room, rows: Sequence[int], begins_s: float, ends_s: float, *, from_at_s: float
) -> Shortage | None:
    """Return which of some rows leaves least in a window, and when; in scenarios, where there are."""
    edges_s = room.grid.edges_s
    first = max(0, bisect_right(edges_s, begins_s) - 1)
    last = min(room.grid.slot_count, bisect_left(edges_s, ends_s))
    if first >= last:
        return None
    left_ma = np.array([_least_left_ma(room, row)[first:last] for row in rows])
    at, slot = np.unravel_index(int(left_ma.argmin()), left_ma.shape)
    least_ma = int(left_ma[at, slot])
    is_as_short = left_ma[at] <= least_ma
    until = int(slot)
    while until < last - first and is_as_short[until]:
        until += 1
    return Shortage(
        row=rows[int(at)],
        left_ma=max(0, least_ma),
        from_at_s=from_at_s + max(begins_s, edges_s[first + int(slot)]),
        until_at_s=from_at_s + min(ends_s, edges_s[first + until]),
        is_planned=int(room.left_ma[rows[int(at)], first + int(slot)]) <= least_ma,
    )


def _least_left_ma(room: Room, row: int) -> Ints:
    """Return what a row leaves per slot where base turns out highest."""
    paths_ma = room.base_paths_ma.get(row)
    least_ma: Ints = room.left_ma[row]
    if paths_ma is not None:
        least_ma = least_ma - np.maximum(0, paths_ma.max(axis=0))
    return least_ma
