"""What a promise takes of a room: its envelope as planned, and in each scenario what it can have.

In a scenario with less base than planned a vehicle is done before its envelope is over, and with
more it makes up later for what it was not given. What is left for whoever is promised something
after it is what it leaves in that very scenario, not what its envelope leaves.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gateway.domain.promises import Reservation, Stretch
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.room import Ints, Outlet, Room, given_ma

A_LITTLE_SLOTS = 8
"""So far beyond an envelope is looked first for when a vehicle has its energy in all scenarios."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathClaim:
    """How much more than its envelope a promise takes, (scenarios, slots from `first_slot` on)."""

    first_slot: int
    more_ma: Ints


def cut_claim(claim: PathClaim, parts: list[int]) -> PathClaim:
    """Return a claim in slots that are parts of those it was made in."""
    last = claim.first_slot + claim.more_ma.shape[1]
    first, after = bisect_left(parts, claim.first_slot), bisect_left(parts, last)
    if after - first == last - claim.first_slot:
        return replace(claim, first_slot=first)  # None of its slots is cut.
    of_claim = [part - claim.first_slot for part in parts[first:after]]
    return PathClaim(first_slot=first, more_ma=claim.more_ma[:, of_claim])


def touched(grid: Grid, from_at_s: float, stretch: Stretch) -> range:
    """Return the slots a stretch touches: a part of a slot takes all of it."""
    first = bisect_right(grid.edges_s, stretch.from_at_s - from_at_s) - 1
    last = bisect_left(grid.edges_s, stretch.until_at_s - from_at_s)
    return range(max(0, first), min(grid.slot_count, max(0, last)))


def envelope_ma(grid: Grid, from_at_s: float, promise: Reservation) -> tuple[int, Ints]:
    """Return the first slot an envelope touches, and what it takes of each from it to the last.

    Where stretches meet in a slot the higher counts.
    """
    parts = [(touched(grid, from_at_s, part), part.current_ma) for part in promise.envelope]
    parts = [(slots, current_ma) for slots, current_ma in parts if slots]
    first = min((slots.start for slots, _ in parts), default=0)
    last = max((slots.stop for slots, _ in parts), default=0)
    held_ma = np.zeros(last - first, dtype=np.int64)
    for slots, current_ma in parts:
        of_part_ma = held_ma[slots.start - first : slots.stop - first]
        np.maximum(of_part_ma, current_ma, out=of_part_ma)
    return first, held_ma


def take(left_ma: Ints, grid: Grid, from_at_s: float, promise: Reservation, *, sign: int) -> None:
    """Take an envelope off what is left (`sign` 1), or give it back (-1), in place."""
    first, held_ma = envelope_ma(grid, from_at_s, promise)
    taken_ma = sign * held_ma
    for row in promise.rows:
        left_ma[row, first : first + len(held_ma)] -= taken_ma


def claimed_in_turn(
    room: Room, promises: Iterable[Reservation], *, from_at_s: float, voltage_v: float
) -> tuple[Room, dict[str, PathClaim]]:
    """Return the room that promises leave, each behind those before it, and what they take of scenarios."""
    # What is left is copied once, not for each.
    paths_ma = {row: of_row_ma.copy() for row, of_row_ma in room.base_paths_ma.items()}
    behind = replace(room, left_ma=room.left_ma.copy(), base_paths_ma=paths_ma)
    claims: dict[str, PathClaim] = {}
    for promise in promises:
        claim = _path_claim(behind, promise, from_at_s=from_at_s, voltage_v=voltage_v)
        take(behind.left_ma, room.grid, from_at_s, promise, sign=1)
        if claim is None:
            continue
        claims[promise.id] = claim
        slots = slice(claim.first_slot, claim.first_slot + claim.more_ma.shape[1])
        for row in paths_ma.keys() & promise.rows:
            paths_ma[row][:, slots] += claim.more_ma
    return behind, claims


def claimed(
    room: Room, promise: Reservation, *, from_at_s: float, voltage_v: float
) -> tuple[Room, PathClaim | None]:
    """Return the room a promise leaves, and what it takes of scenarios; None where there are none."""
    left_ma = room.left_ma.copy()
    take(left_ma, room.grid, from_at_s, promise, sign=1)
    claim = _path_claim(room, promise, from_at_s=from_at_s, voltage_v=voltage_v)
    paths_ma = with_claim(room.base_paths_ma, promise, claim, sign=1)
    return replace(room, left_ma=left_ma, base_paths_ma=paths_ma), claim


def released(
    room: Room, promise: Reservation, claim: PathClaim | None, *, from_at_s: float
) -> Room:
    """Return the room without a promise that takes an envelope and, of scenarios, a claim."""
    left_ma = room.left_ma.copy()
    take(left_ma, room.grid, from_at_s, promise, sign=-1)
    paths_ma = with_claim(room.base_paths_ma, promise, claim, sign=-1)
    return replace(room, left_ma=left_ma, base_paths_ma=paths_ma)


def with_claim(
    paths_ma: Mapping[int, Ints], promise: Reservation, claim: PathClaim | None, *, sign: int
) -> Mapping[int, Ints]:
    """Return the scenarios of rows with a claim on top (`sign` 1), or without it (-1)."""
    if claim is None:
        return paths_ma
    moved, known = dict(paths_ma), dict[int, Ints]()
    slots = slice(claim.first_slot, claim.first_slot + claim.more_ma.shape[1])
    for row in promise.rows:
        if row not in paths_ma:
            continue
        before_ma = paths_ma[row]
        if id(before_ma) not in known:  # Rows that are alike share their scenarios.
            known[id(before_ma)] = before_ma.copy()
            known[id(before_ma)][:, slots] += sign * claim.more_ma
        moved[row] = known[id(before_ma)]
    return moved


def _path_claim(
    room: Room, promise: Reservation, *, from_at_s: float, voltage_v: float
) -> PathClaim | None:
    """Return what a promise takes in each scenario beyond its envelope, less being negative.

    That is all it can have from its beginning on, until it has its energy. What is drawn plainly
    follows its envelope.
    """
    if promise.is_plain_draw or room.base_paths_ma.keys().isdisjoint(promise.rows):
        return None
    first, held_ma = envelope_ma(room.grid, from_at_s, promise)
    if not len(held_ma):
        return None
    drawing = held_ma.nonzero()[0]
    # Mostly a vehicle has its energy in all scenarios long before its window is over.
    count = min(len(held_ma), (int(drawing[-1]) if len(drawing) else 0) + A_LITTLE_SLOTS)
    outlet = Outlet(
        key=promise.place,
        rows=promise.rows,
        phase_count=promise.phase_count,
        voltage_v=voltage_v,
        max_ma=promise.max_ma or max(stretch.current_ma for stretch in promise.envelope),
    )
    owed_mah = max(0.0, promise.energy_wh - promise.delivered_wh) / outlet.power_w(1.0)
    begins_s, ends_s = promise.from_at_s - from_at_s, promise.until_at_s - from_at_s
    while True:
        edges_s = np.array(room.grid.edges_s[first : first + count + 1])
        there_h = np.diff(edges_s.clip(begins_s, ends_s)) / HOUR_S
        can_ma = given_ma(_paths_left_ma(room, promise, first, first + count), outlet)
        summed_mah = (can_ma * there_h).cumsum(axis=1)
        if count == len(held_ma) or summed_mah[:, -1].min() >= owed_mah:
            break
        count = min(len(held_ma), 2 * count)
    np.minimum(summed_mah, owed_mah, out=summed_mah)
    taken_mah = summed_mah.copy()
    taken_mah[:, 1:] -= summed_mah[:, :-1]
    taken_ma = np.ceil(taken_mah * (HOUR_S / np.diff(edges_s)) - 1e-6).astype(np.int64)
    return PathClaim(first_slot=first, more_ma=taken_ma - held_ma[:count])


def _paths_left_ma(room: Room, promise: Reservation, first: int, last: int) -> Ints:
    """Return what the rows of a promise leave in each scenario, (scenarios, slots)."""
    least_ma: Ints | None = None
    for row in promise.rows:
        of_row_ma = room.left_ma[row, first:last]
        if row in room.base_paths_ma:
            of_row_ma = of_row_ma - room.base_paths_ma[row][:, first:last]
        least_ma = of_row_ma if least_ma is None else np.minimum(least_ma, of_row_ma)
    assert least_ma is not None
    return least_ma
