"""Where the rows of an outlet leave least in a window, and when."""

from dataclasses import dataclass

import numpy as np

from gateway.planning.room import Ints, Outlook, Room


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
    room: Room, outlook: Outlook, begins_s: float, ends_s: float, *, from_at_s: float
) -> Shortage | None:
    """Return the row that leaves least in a window, and when; in the scenarios, where there are."""
    edges_s = outlook.edges_s
    first = max(0, int(edges_s.searchsorted(begins_s, side="right")) - 1)
    last = min(room.grid.slot_count, int(edges_s.searchsorted(ends_s, side="left")))
    if first >= last:
        return None
    rows = list(outlook.outlet.rows)
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
        from_at_s=from_at_s + max(begins_s, float(edges_s[first + int(slot)])),
        until_at_s=from_at_s + min(ends_s, float(edges_s[first + until])),
        is_planned=int(room.left_ma[rows[int(at)], first + int(slot)]) <= least_ma,
    )


def _least_left_ma(room: Room, row: int) -> Ints:
    """Return what a row leaves per slot where base turns out highest."""
    paths_ma = room.base_paths_ma.get(row)
    least_ma: Ints = room.left_ma[row]
    if paths_ma is not None:
        least_ma = least_ma - np.maximum(0, paths_ma.max(axis=0))
    return least_ma
