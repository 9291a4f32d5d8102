"""What is planned for vehicles nobody promised anything, in the slots of a room: it may be moved."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.planning.exchange import may_wait
from gateway.planning.grid import Grid
from gateway.planning.problem import Demand, Plan, delivered_wh
from gateway.planning.room import Ints, Room

MOST_ROOMS = 8


def _nothing() -> Ints:
    return np.zeros((0, 0), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charging:
    """Who charges when: `current_ma` is (demands, slots of the room), windows are s from its begin.

    A value of its own for each plan; nobody in it was promised anything.
    """

    demands: tuple[Demand, ...] = ()
    current_ma: Ints = field(default_factory=_nothing)
    _beside: dict[tuple[int, int], tuple[Room, Room]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def beside(self, room: Room, *, rank: int | None = None) -> Room:
        """Return the room that is left beside those of a class or above (None: beside everybody).

        Of a room it is worked out once.
        """
        if not self.demands:
            return room
        known = self._beside.get((id(room), -1 if rank is None else rank))
        if known is not None and known[0] is room:
            return known[1]
        left_ma = room.left_ma.copy()
        for demand, of_slots_ma in zip(self.demands, self.current_ma, strict=True):
            if rank is None or demand.rank <= rank:
                left_ma[list(demand.rows)] -= of_slots_ma
        left = Room(
            version=room.version,
            grid=room.grid,
            left_ma=left_ma,
            base_paths_ma=room.base_paths_ma,
        )
        if len(self._beside) > MOST_ROOMS:
            self._beside.clear()
        # The room is kept beside its answer, so that its id is nobody else's meanwhile.
        self._beside[id(room), -1 if rank is None else rank] = room, left
        return left

    def without(self, places: Container[str]) -> "Charging":
        """Return the same but for who charges at some connectors."""
        if not self.demands:
            return self
        kept = [at for at, demand in enumerate(self.demands) if demand.place not in places]
        if len(kept) == len(self.demands):
            return self
        demands = tuple(self.demands[at] for at in kept)
        return Charging(demands=demands, current_ma=self.current_ma[kept])

    def stays_ma(self, grid: Grid) -> Ints:
        """Return of the currents those that cannot be at other times.

        That is all of who wants all as soon as it can, or tapers (what it takes depends on what it
        has had), and what is drawn in slots that lie in a window only in part. Of those that share a
        connector all stay where anything does.
        """
        stays_ma, staying, at_place = self.current_ma.copy(), set[str](), Counter[str]()
        for at, demand in enumerate(self.demands):
            at_place[demand.place] += 1
            window = grid.slots_within(demand.earliest_s, demand.latest_s)
            if may_wait(demand):
                stays_ma[at, window.start : window.stop] = 0
            if stays_ma[at].any():
                staying.add(demand.place)
        for at, demand in enumerate(self.demands):
            if at_place[demand.place] > 1 and demand.place in staying:
                stays_ma[at] = self.current_ma[at]
        return stays_ma

    def moves_wh(self, grid: Grid, stays_ma: Ints) -> list[float]:
        """Return what each demand is given beyond what stays, at most what it wants.

        What stays may cost a start then that it did not cost before.
        """
        hours, moves_wh = grid.hours, []
        for demand, has_ma, keeps_ma in zip(
            self.demands, self.current_ma.tolist(), stays_ma.tolist(), strict=True
        ):
            endless = replace(demand, energy_wh=None)
            beyond_wh = delivered_wh(endless, has_ma, hours) - delivered_wh(
                endless, keeps_ma, hours
            )
            moves_wh.append(min(beyond_wh, demand.energy_wh or beyond_wh))
        return moves_wh


def charging_of(
    demands: Sequence[Demand],
    plan: Plan,
    *,
    grid: Grid,
    begins_s: float,
    promised: Container[str] = (),
) -> Charging:
    """Return what a plan gives demands, in the slots of `grid`; those promised something left out.

    The plan begins `begins_s` after the grid. Where its slots lie across those of the grid, the
    highest current of each counts.
    """
    of_whom = [
        at
        for at, demand in enumerate(demands)
        if not demand.promised_wh and demand.key not in promised
    ]
    plan_edges_s = np.array(plan.grid.edges_s) + begins_s
    edges_s = np.array(grid.edges_s)
    first = np.searchsorted(plan_edges_s, edges_s[:-1], side="right") - 1
    last = np.searchsorted(plan_edges_s, edges_s[1:], side="left")
    planned_ma = np.array([plan.current_ma[at] for at in of_whom], dtype=np.int64)
    planned_ma = planned_ma.reshape(len(of_whom), plan.grid.slot_count)
    current_ma = np.zeros((len(of_whom), grid.slot_count), dtype=np.int64)
    first, last = np.maximum(first, 0), np.minimum(last, plan.grid.slot_count)
    for slot, (begins, ends) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if begins < ends:
            current_ma[:, slot] = planned_ma[:, begins:ends].max(axis=1)
    moved = tuple(
        replace(
            demands[at],
            earliest_s=demands[at].earliest_s + begins_s,
            latest_s=demands[at].latest_s + begins_s,
        )
        for at in of_whom
    )
    return Charging(demands=moved, current_ma=current_ma)
