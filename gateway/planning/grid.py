"""The slots of a plan: fine where it is near, coarse where it is far, cut where something happens."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

HOUR_S = 3_600.0
STEPS: tuple[tuple[float, float], ...] = (
    (HOUR_S, 300.0),
    (6 * HOUR_S, 900.0),
    (48 * HOUR_S, 1_800.0),
)
"""Until when (s from now) slots are how long (s): design §3, planning."""
LEAST_SLOT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Slots one after another: slot k is from `edges_s[k]` to `edges_s[k + 1]`, s from now."""

    edges_s: tuple[float, ...]

    @property
    def slot_count(self) -> int:
        """Return how many slots there are."""
        return len(self.edges_s) - 1

    @property
    def hours(self) -> tuple[float, ...]:
        """Return the length of each slot in hours."""
        edges_s = self.edges_s
        return tuple((after_s - before_s) / HOUR_S for before_s, after_s in pairwise(edges_s))

    def slots_within(self, from_s: float, until_s: float) -> range:
        """Return the slots that lie wholly between two instants."""
        first = bisect_left(self.edges_s, from_s)
        last = bisect_right(self.edges_s, until_s) - 1
        return range(min(first, self.slot_count), max(min(first, self.slot_count), last))

    def cut(self, at_s: Iterable[float]) -> tuple["Grid", list[int]]:
        """Return the slots cut at instants within them, and of which slot each is a part."""
        edges_s, parts = list(self.edges_s), list(range(self.slot_count))
        for edge_s in at_s:
            at = bisect_left(edges_s, edge_s)
            if 0 < at < len(edges_s) and edges_s[at] != edge_s:
                edges_s.insert(at, edge_s)
                parts.insert(at, parts[at - 1])
        return Grid(edges_s=tuple(edges_s)), parts


def grid_of(
    horizon_s: float = 48 * HOUR_S,
    *,
    events_s: Iterable[float] = (),
    least_slot_s: float = LEAST_SLOT_S,
) -> Grid:
    """Return the slots up to a horizon, with an edge at every event that is not next to one.

    A slot made by events is never shorter than `least_slot_s`; with 0 every event has its edge.
    """
    edges_s = [0.0]
    for until_s, step_s in STEPS:
        while edges_s[-1] < min(until_s, horizon_s):
            edges_s.append(edges_s[-1] + step_s)
    known_s = edges_s
    for event_s in sorted(events_s):
        at = bisect_left(known_s, event_s)
        is_inside = 0 < at < len(known_s)
        if not is_inside:
            continue
        gap_s = min(event_s - known_s[at - 1], known_s[at] - event_s)
        if gap_s > 0 and gap_s >= least_slot_s:
            known_s.insert(at, event_s)
    return Grid(edges_s=tuple(known_s))


def even_grid(slot_count: int, slot_s: float) -> Grid:
    """Return slots of one length."""
    return Grid(edges_s=tuple(at * slot_s for at in range(slot_count + 1)))
