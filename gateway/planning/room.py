"""What is left for one vehicle more, once plan and promises are taken off: a snapshot to ask.

A room never changes, so any number of questions may read it at once; what changes the ledger
makes a new one, with the next version.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.problem import Rectangle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A connector as a plan sees it: the rows it loads, alike on each, and what it can give.

    It may be seen with a vehicle: `settling_s`, `ramp_ma_per_s`, `taper` and `is_drawing` are as in
    `Demand`.
    """

    key: str
    rows: tuple[int, ...]
    phase_count: int
    voltage_v: float
    max_ma: int
    min_ma: int = MIN_CHARGING_MA
    step_ma: int = STEP_MA
    settling_s: float = 0.0
    ramp_ma_per_s: float = inf
    taper: tuple[tuple[float, int], ...] = ()
    is_drawing: bool = False

    @property
    def start_s(self) -> float:
        """Return what a start at full current costs, as time without any."""
        return self.settling_s + self.max_ma / self.ramp_ma_per_s / 2.0

    @property
    def shape(self) -> tuple[object, ...]:
        """Return what its outlook depends on: connectors of one board are mostly alike."""
        return (
            self.rows,
            self.phase_count,
            self.voltage_v,
            self.max_ma,
            self.min_ma,
            self.step_ma,
        )

    def power_w(self, current_ma: float) -> float:
        """Return the real power of a current on each phase."""
        return current_ma * self.voltage_v * self.phase_count / 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A row that leaves less than an outlet could give, from one instant to another.

    `limit_ma` is the least it leaves then; at no instant is it 0.1 A more. That is as planned, or in
    the scenario that decides what is as sure as was asked.
    """

    row: int
    from_s: float
    until_s: float
    limit_ma: int
    is_planned: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What every row has left per slot, and how base may turn out otherwise.

    `left_ma` is (rows, slots). `base_paths_ma` tells for some rows how much more base than
    planned each scenario has, as (scenarios, slots): all have the same scenarios in the same
    order, for what drives one circuit drives the next. `unmeasured_ma` tells of how much that was
    taken off, (slots), nobody can tell whether it will be drawn: base at its worst, where too little
    was measured.
    """

    version: int
    grid: Grid
    left_ma: Ints
    base_paths_ma: Mapping[int, Ints] = field(default_factory=dict)
    unmeasured_ma: Mapping[int, Ints] = field(default_factory=dict)
    _outlooks: dict[tuple[object, ...], "Outlook"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _edges: list[Floats] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def edges_s(self) -> Floats:
        """Return the edges of the grid, to find many instants at once among them."""
        if not self._edges:
            self._edges.append(np.array(self.grid.edges_s))
        return self._edges[0]

    def outlook(self, outlet: Outlet) -> "Outlook":
        """Return what an outlet could give; it is worked out when one like it is first asked for."""
        shape = outlet.shape
        known = self._outlooks.get(shape)
        if known is None:
            known = self._outlooks[shape] = Outlook.of(self, outlet)
        return known

    def cut(self, grid: Grid, parts: Ints) -> "Room":
        """Return the same room in slots of which each is a part of one of its own."""
        known = dict[int, Ints]()  # Rows that are alike share their scenarios.
        for paths_ma in self.base_paths_ma.values():
            if id(paths_ma) not in known:
                known[id(paths_ma)] = paths_ma.take(parts, axis=1)
        return Room(
            version=self.version,
            grid=grid,
            left_ma=self.left_ma.take(parts, axis=1),
            base_paths_ma={row: known[id(ma)] for row, ma in self.base_paths_ma.items()},
            unmeasured_ma={row: ma[parts] for row, ma in self.unmeasured_ma.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What outlets of one shape could give: per slot, and summed, as planned and in each scenario.

    `energy_wh` is cumulated at the edges of the grid, so what a window holds is a difference of
    two values between them; `path_energy_wh` is the same per scenario, (scenarios, edges).
    """

    grid: Grid
    edges_s: Floats
    """Those of the grid (`Room.edges_s`)."""
    current_ma: Ints
    left_ma: Ints
    energy_wh: Floats
    path_energy_wh: Floats
    is_certain: bool
    """Whether there are no scenarios: all turns out as planned."""
    short_slots: Ints
    """The slots in which less is left than the outlet could give."""
    tightest_rows: Ints
    """The row that leaves least in each of them."""
    of_starts: dict[float, "Outlook | None"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The same less what starts cost, by how long one takes (`gateway.planning.coming.starting`)."""

    @staticmethod
    def of(room: Room, outlet: Outlet) -> "Outlook":
        """Return the outlook of an outlet in a room."""
        rows = list(outlet.rows)
        of_rows_ma = room.left_ma[rows]
        left_ma = of_rows_ma.min(axis=0)
        edges_s = room.edges_s
        hours = (edges_s[1:] - edges_s[:-1]) / HOUR_S
        current_ma = given_ma(left_ma, outlet)
        paths_ma = [
            room.left_ma[row] - room.base_paths_ma[row] for row in rows if row in room.base_paths_ma
        ]
        energy_wh = cumulated(outlet.power_w(1.0) * current_ma * hours)
        path_energy_wh = energy_wh[np.newaxis]
        if paths_ma:
            path_left_ma = np.minimum(np.minimum.reduce(paths_ma), left_ma_without(room, rows))
            path_ma = given_ma(path_left_ma, outlet)
            path_energy_wh = cumulated(outlet.power_w(1.0) * path_ma * hours)
        short_slots = tightest_rows = (left_ma < outlet.max_ma).nonzero()[0]
        if len(short_slots):  # Mostly there is none.
            tightest_rows = np.array(rows)[of_rows_ma[:, short_slots].argmin(axis=0)]
        return Outlook(
            grid=room.grid,
            edges_s=edges_s,
            current_ma=current_ma,
            left_ma=left_ma,
            energy_wh=energy_wh,
            path_energy_wh=path_energy_wh,
            is_certain=not paths_ma,
            short_slots=short_slots,
            tightest_rows=tightest_rows,
        )

    def energy_within_wh(self, from_s: float, until_s: float) -> float:
        """Return what the outlet could give between two instants, as planned."""
        return max(0.0, self._energy_at(until_s) - self._energy_at(from_s))

    def _energy_at(self, at_s: float) -> float:
        """Return the energy up to an instant, as planned."""
        edges_s, energy_wh = self.grid.edges_s, self.energy_wh
        after = bisect_right(edges_s, at_s)
        if not 0 < after < len(edges_s):
            return energy_wh.item(-1 if after else 0)
        begins_s, before_wh = edges_s[after - 1], energy_wh.item(after - 1)
        rate = (energy_wh.item(after) - before_wh) / (edges_s[after] - begins_s)
        return rate * (at_s - begins_s) + before_wh

    def path_energies_wh(self, from_s: float, until_s: float) -> Floats:
        """Return the same in each scenario."""
        if self.is_certain:
            return np.array([self.energy_within_wh(from_s, until_s)])
        return np.maximum(0.0, self.path_energy_at(until_s) - self.path_energy_at(from_s))

    def path_energy_at(self, at_s: float) -> Floats:
        """Return the energy of each scenario up to an instant."""
        edges_s = self.grid.edges_s
        slot = min(max(bisect_right(edges_s, at_s) - 1, 0), len(edges_s) - 2)
        part = (at_s - edges_s[slot]) / (edges_s[slot + 1] - edges_s[slot])
        before, after = self.path_energy_wh[:, slot], self.path_energy_wh[:, slot + 1]
        at_wh: Floats = before + (after - before) * min(1.0, max(0.0, part))
        return at_wh

    def finish_s(self, from_s: float, energy_wh: float) -> float | None:
        """Return when so much could be given from an instant on, None if not within the plan."""
        edges_s, summed_wh = self.grid.edges_s, self.energy_wh
        wanted_wh = self._energy_at(from_s) + energy_wh
        if wanted_wh > summed_wh.item(-1) + 1e-6:
            return None
        # The first instant at which it is there: flat stretches before do not count.
        edge = int(summed_wh.searchsorted(wanted_wh - 1e-6))
        if edge == 0:
            return from_s
        before_wh = summed_wh.item(edge - 1)
        part = (wanted_wh - before_wh) / (summed_wh.item(edge) - before_wh)
        length_s = edges_s[edge] - edges_s[edge - 1]
        return max(from_s, edges_s[edge - 1] + min(1.0, max(0.0, part)) * length_s)

    def profile(self, from_s: float, until_s: float) -> tuple[Rectangle, ...]:
        """Return what the outlet could give between two instants, as rectangles."""
        first, last = self.slots_between(from_s, until_s)
        if first >= last:
            return ()
        # A window has few slots: a plain loop is faster there.
        edges_s, found = self.grid.edges_s, list[Rectangle]()
        begins_s, current_ma = max(from_s, edges_s[first]), self.current_ma.item(first)
        for slot, next_ma in enumerate(self.current_ma[first + 1 : last].tolist(), first + 1):
            if next_ma != current_ma:
                if current_ma:
                    found.append(
                        Rectangle(from_s=begins_s, until_s=edges_s[slot], current_ma=current_ma)
                    )
                begins_s, current_ma = edges_s[slot], next_ma
        if current_ma:
            ends_s = min(until_s, edges_s[last])
            found.append(Rectangle(from_s=begins_s, until_s=ends_s, current_ma=current_ma))
        return tuple(found)

    def binding(self, from_s: float, until_s: float) -> tuple[Binding, ...]:
        """Return the rows that leave less than the outlet could give, the tightest of each slot."""
        if not len(self.short_slots):
            return ()
        begin, end = self.short_slots.searchsorted(self.slots_between(from_s, until_s))
        slots = self.short_slots[begin:end]
        if not len(slots):
            return ()
        tightest = self.tightest_rows[begin:end]
        found = _bindings(slots, tightest, self.left_ma[slots], self.edges_s)
        return _inside(found, from_s, until_s)

    def slots_between(self, from_s: float, until_s: float) -> tuple[int, int]:
        """Return the first slot that has a part between two instants, and the one after the last."""
        first = max(0, bisect_right(self.grid.edges_s, from_s) - 1)
        last = min(len(self.current_ma), bisect_left(self.grid.edges_s, until_s))
        return first, max(first, last)


def binding_in(
    room: Room, outlet: Outlet, from_s: float, until_s: float, *, scenario: int
) -> tuple[Binding, ...]:
    """Return the rows that leave less than an outlet could give, as one scenario has it."""
    outlook, rows = room.outlook(outlet), np.array(outlet.rows)
    first, last = outlook.slots_between(from_s, until_s)
    of_rows_ma = room.left_ma[rows, first:last]
    for at, row in enumerate(outlet.rows):
        if row in room.base_paths_ma:
            of_rows_ma[at] -= room.base_paths_ma[row][scenario, first:last]
    left_ma = of_rows_ma.min(axis=0, initial=outlet.max_ma)
    short = np.flatnonzero(left_ma < outlet.max_ma)
    if not len(short):
        return ()
    tightest = rows[of_rows_ma[:, short].argmin(axis=0)]
    found = _bindings(short + first, tightest, left_ma[short], outlook.edges_s)
    return tuple(replace(one, is_planned=False) for one in _inside(found, from_s, until_s))


def _bindings(slots: Ints, tightest: Ints, left_ma: Ints, edges_s: Floats) -> list[Binding]:
    """Return what binds in slots that are short: the tightest row of each, and what it leaves."""
    left_ma = np.maximum(left_ma, 0)
    # One slot of nothing among many that give much is told of that slot alone.
    steps = left_ma // STEP_MA
    is_other = (slots[1:] - slots[:-1] > 1) | (tightest[1:] != tightest[:-1])
    is_other |= steps[1:] != steps[:-1]
    begins = np.concatenate(([0], is_other.nonzero()[0] + 1))
    ends = np.concatenate((begins[1:], [len(slots)])) - 1
    parts = zip(
        tightest[begins].tolist(),
        edges_s[slots[begins]].tolist(),
        edges_s[slots[ends] + 1].tolist(),
        np.minimum.reduceat(left_ma, begins).tolist(),
        strict=True,
    )
    return [
        Binding(row=row, from_s=begins_s, until_s=ends_s, limit_ma=ma)
        for row, begins_s, ends_s, ma in parts
    ]


def _inside(found: list[Binding], from_s: float, until_s: float) -> tuple[Binding, ...]:
    """Return what binds within a window: only the first and the last may reach out of it."""
    found[0] = replace(found[0], from_s=max(from_s, found[0].from_s))
    found[-1] = replace(found[-1], until_s=min(until_s, found[-1].until_s))
    return tuple(found)


def left_ma_without(room: Room, rows: list[int]) -> Ints:
    """Return what those of `rows` leave whose base has no scenarios; no bound where all have."""
    certain = [row for row in rows if row not in room.base_paths_ma]
    if not certain:
        return np.full(room.left_ma.shape[1], np.iinfo(np.int64).max)
    least_ma: Ints = room.left_ma[certain].min(axis=0)
    return least_ma


def given_ma(left_ma: Ints, outlet: Outlet) -> Ints:
    """Return what an outlet gives of what is left: whole steps, and nothing below its least."""
    capped_ma = np.minimum(left_ma, outlet.max_ma) // outlet.step_ma * outlet.step_ma
    given_ma: Ints = np.where(capped_ma >= outlet.min_ma, capped_ma, 0)
    return given_ma


def cumulated(of_slots: Floats) -> Floats:
    """Return sums from the first slot on, with 0 before it, along the last axis."""
    summed = np.zeros((*of_slots.shape[:-1], of_slots.shape[-1] + 1))
    of_slots.cumsum(axis=-1, out=summed[..., 1:])
    return summed
