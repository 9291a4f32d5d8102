"""What a promise takes of a room: its envelope as planned, and in each scenario what it can have.

In a scenario with less base than planned a vehicle is done before its envelope is over, and with
more it makes up later for what it was not given. What is left for whoever is promised something
after it is what it leaves in that very scenario, not what its envelope leaves.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gateway.domain.promises import Reservation, Stretch
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.room import Floats, Ints, Outlet, Room, given_ma


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
    edges_s = np.array(grid.edges_s)
    first = int(edges_s.searchsorted(stretch.from_at_s - from_at_s, side="right")) - 1
    last = int(edges_s.searchsorted(stretch.until_at_s - from_at_s, side="left"))
    return range(max(0, first), min(grid.slot_count, max(0, last)))


def envelope_ma(grid: Grid, from_at_s: float, promise: Reservation) -> dict[int, int]:
    """Return what an envelope takes of the slots it touches; where stretches meet the higher counts."""
    of_slots_ma: dict[int, int] = {}
    for stretch in promise.envelope:
        for slot in touched(grid, from_at_s, stretch):
            of_slots_ma[slot] = max(of_slots_ma.get(slot, 0), stretch.current_ma)
    return of_slots_ma


def take(left_ma: Ints, grid: Grid, from_at_s: float, promise: Reservation, *, sign: int) -> None:
    """Take an envelope off what is left (`sign` 1), or give it back (-1), in place."""
    of_slots_ma = envelope_ma(grid, from_at_s, promise)
    if of_slots_ma:
        slots = list(of_slots_ma)
        left_ma[np.ix_(list(promise.rows), slots)] -= sign * np.array(list(of_slots_ma.values()))


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
    held_ma = envelope_ma(room.grid, from_at_s, promise)
    is_certain = room.base_paths_ma.keys().isdisjoint(promise.rows)
    if is_certain or not held_ma or promise.is_plain_draw:
        return None
    first, last = min(held_ma), max(held_ma) + 1
    edges_s = np.array(room.grid.edges_s[first : last + 1])
    there_s = np.clip(edges_s, promise.from_at_s - from_at_s, promise.until_at_s - from_at_s)
    outlet = Outlet(
        key=promise.place,
        rows=promise.rows,
        phase_count=promise.phase_count,
        voltage_v=voltage_v,
        max_ma=promise.max_ma or max(stretch.current_ma for stretch in promise.envelope),
    )
    can_ma = given_ma(_paths_left_ma(room, promise, first, last), outlet)
    owed_mah = max(0.0, promise.energy_wh - promise.delivered_wh) / outlet.power_w(1.0)
    summed_mah = np.minimum((can_ma * np.diff(there_s) / HOUR_S).cumsum(axis=1), owed_mah)
    taken_mah: Floats = np.diff(summed_mah, axis=1, prepend=0.0)
    taken_ma = np.ceil(taken_mah * HOUR_S / np.diff(edges_s) - 1e-6).astype(np.int64)
    return PathClaim(
        first_slot=first,
        more_ma=taken_ma - np.array([held_ma.get(slot, 0) for slot in range(first, last)]),
    )


def _paths_left_ma(room: Room, promise: Reservation, first: int, last: int) -> Ints:
    """Return what the rows of a promise leave in each scenario, (scenarios, slots)."""
    least_ma: Ints = np.minimum.reduce(
        [
            room.left_ma[row, first:last] - room.base_paths_ma[row][:, first:last]
            for row in promise.rows
            if row in room.base_paths_ma
        ]
    )
    for row in promise.rows:
        if row not in room.base_paths_ma:
            least_ma = np.minimum(least_ma, room.left_ma[row, first:last])
    return least_ma
