"""Room made in a plan by moving charging from slot to slot: who is moved gets no less.

Moves are tried one after another, most of them in tens of microseconds, and are counted, so that
whoever uses it can bound what it costs.
"""

from collections.abc import Sequence

import numpy as np

from gateway.domain.needs import Objective
from gateway.planning.grid import Grid
from gateway.planning.problem import Demand
from gateway.planning.room import Floats, Ints

NOTHING_MAH = 1e-6
MOST_ROUNDS = 3
"""So often more is sought for what the starts cost that a move makes."""


class Exchange:
    """A plan while charging is moved in it: `current_ma` (demands, slots), `left_ma` (rows, slots).

    What is left is beside everybody. No move takes energy from anybody, or carries a row below
    zero that was not; currents stay such as demands can take, in their windows, one at a place.
    What is drawn in a slot that lies in a window only in part stays there.
    """

    def __init__(
        self, grid: Grid, demands: Sequence[Demand], current_ma: Ints, left_ma: Ints
    ) -> None:
        """Begin with a plan; both arrays are changed in place."""
        self.current_ma, self.left_ma = current_ma, left_ma
        self.tries = 0
        self._demands = demands
        self._hours = np.array(grid.hours)
        self._rows = [np.array(demand.rows) for demand in demands]
        self._row_sets = [frozenset(demand.rows) for demand in demands]
        self._windows = [grid.slots_within(d.earliest_s, d.latest_s) for d in demands]
        stays = {demand.place for demand in demands if not may_wait(demand)}
        self._movable = np.array([demand.place not in stays for demand in demands], dtype=np.bool_)
        at_place: dict[str, list[int]] = {}
        for at, demand in enumerate(demands):
            at_place.setdefault(demand.place, []).append(at)
        self._queues = {place: queue for place, queue in at_place.items() if len(queue) > 1}

    def give(
        self, at: int, wanted_mah: float, *, most_tries: int, inside_h: Floats | None = None
    ) -> float:
        """Give a demand up to so much more, in the slots in which that disturbs least; return it.

        `inside_h` says how much of each slot counts for it, if not all of it.
        """
        demand, rows = self._demands[at], self._rows[at]
        hours = self._hours if inside_h is None else inside_h
        window, until_tries = self._window(at), self.tries + most_tries
        slots = np.arange(window.start, window.stop)
        missing_ma = demand.max_ma - self.current_ma[at, slots]
        short_ma = missing_ma - self.left_ma[np.ix_(rows, slots)].min(axis=0)
        got_mah = 0.0
        for slot in slots[np.argsort(short_ma, kind="stable")].tolist():
            needs_mah = wanted_mah - got_mah
            if needs_mah <= 0 or self.tries >= until_tries:
                break
            has_ma = int(self.current_ma[at, slot])
            if demand.max_ma - has_ma < demand.step_ma or hours[slot] <= 0:
                continue
            steps = -int(-min(needs_mah / hours[slot], 1e9) // demand.step_ma)
            more_ma = min(demand.max_ma - has_ma, steps * demand.step_ma)
            more_ma = max(more_ma, demand.min_ma - has_ma)
            self._make_way(at, slot, more_ma, until_tries)
            fits_ma = min(more_ma, int(self.left_ma[rows, slot].min()))
            gets_ma = (has_ma + fits_ma) // demand.step_ma * demand.step_ma
            if gets_ma >= demand.min_ma and gets_ma > has_ma:
                self.left_ma[rows, slot] -= gets_ma - has_ma
                self.current_ma[at, slot] = gets_ma
                got_mah += (gets_ma - has_ma) * float(hours[slot])
        return got_mah

    def _make_way(self, for_at: int, slot: int, wanted_ma: int, until_tries: int) -> None:
        """Move others out of a slot until so much is free on every row of a demand."""
        rows = self._demands[for_at].rows
        left_ma = {row: int(self.left_ma[row, slot]) for row in rows}
        if min(left_ma.values()) >= wanted_ma:
            return
        drawing = np.flatnonzero((self.current_ma[:, slot] > 0) & self._movable).tolist()
        on = {at: self._row_sets[at].intersection(rows) for at in drawing if at != for_at}
        order = sorted(on, key=lambda at: (-len(on[at]), -self._windows[at].stop, at))
        for at in order:
            short = [row for row in on[at] if left_ma[row] < wanted_ma]
            if not short:
                continue
            if self.tries >= until_tries:
                return
            self.tries += 1
            moved_ma = self._move(at, slot, wanted_ma - min(left_ma[row] for row in short))
            for row in on[at]:
                left_ma[row] += moved_ma
            if min(left_ma.values()) >= wanted_ma:
                return

    def _move(self, at: int, slot: int, short_ma: int) -> int:
        """Move so much of a demand, or all it has in a slot, to others; return how much went."""
        demand, rows = self._demands[at], self._rows[at]
        has_ma = int(self.current_ma[at, slot])
        window = self._window(at)
        if slot not in window:
            return 0
        keeps_ma = (has_ma - short_ma) // demand.step_ma * demand.step_ma
        if keeps_ma < demand.min_ma:
            keeps_ma = 0
        gives_mah = (has_ma - keeps_ma) * float(self._hours[slot])
        adds_ma = self._elsewhere(at, window, slot, keeps_ma, gives_mah)
        if not len(adds_ma):
            return 0
        slots = np.arange(window.start, window.start + len(adds_ma))
        self.current_ma[at, slots] += adds_ma
        self.left_ma[rows[:, None], slots] -= adds_ma
        self.current_ma[at, slot] = keeps_ma
        self.left_ma[rows, slot] += has_ma - keeps_ma
        return has_ma - keeps_ma

    def _elsewhere(
        self, at: int, window: range, slot: int, keeps_ma: int, gives_mah: float
    ) -> Ints:
        """Return what would be added to slots of a window, the first on, so that one may give so much.

        Nothing is where there is no room for it. A start more than before costs something too.
        """
        demand, rows, first = self._demands[at], self._rows[at], window.start
        of_demand = self.current_ma[at, first : window.stop]
        free_ma: Ints = self.left_ma[rows, first : window.stop].min(axis=0)
        np.minimum(free_ma, demand.max_ma - of_demand, out=free_ma)
        np.maximum(free_ma, 0, out=free_ma)
        free_ma -= free_ma % demand.step_ma
        free_ma[of_demand + free_ma < demand.min_ma] = 0
        free_ma[slot - first] = 0
        # A start may be saved, or needed, next to what stays at the edges of the window.
        begins = max(0, first - 1)
        around_ma = self.current_ma[at, begins : window.stop + 1]
        has_mah = self._drawn_mah(at, around_ma, begins) if demand.starts_slowly else 0.0
        for _ in range(MOST_ROUNDS):
            adds_ma = self._filled(at, free_ma, gives_mah, first)
            if not demand.starts_slowly or not len(adds_ma):
                return adds_ma
            after_ma = around_ma.copy()
            after_ma[first - begins : first - begins + len(adds_ma)] += adds_ma
            after_ma[slot - begins] = keeps_ma
            lacks_mah = has_mah - self._drawn_mah(at, after_ma, begins)
            if lacks_mah <= NOTHING_MAH:
                return adds_ma
            gives_mah += lacks_mah
        return free_ma[:0]

    def _filled(self, at: int, free_ma: Ints, gives_mah: float, first: int) -> Ints:
        """Return what of free currents, the earliest first, carries so much; nothing if none does."""
        demand, hours = self._demands[at], self._hours[first : first + len(free_ma)]
        summed_mah = (free_ma * hours).cumsum()
        if not len(summed_mah) or summed_mah[-1] < gives_mah - NOTHING_MAH:
            return free_ma[:0]
        last = int(summed_mah.searchsorted(gives_mah - NOTHING_MAH))
        before_mah = float(summed_mah[last - 1]) if last else 0.0
        rest_ma = -int(-(gives_mah - before_mah) / hours[last] // demand.step_ma) * demand.step_ma
        least_ma = demand.min_ma - int(self.current_ma[at, first + last])
        adds_ma = free_ma[: last + 1].copy()
        adds_ma[last] = min(max(rest_ma, least_ma), int(free_ma[last]))
        return adds_ma

    def _drawn_mah(self, at: int, of_slots_ma: Ints, first: int) -> float:
        """Return what currents from a slot on carry, less what their starts cost."""
        demand, hours = self._demands[at], self._hours[first : first + len(of_slots_ma)]
        is_on = of_slots_ma > 0
        begins = np.flatnonzero(is_on[1:] & ~is_on[:-1]) + 1
        carries_mah = float(of_slots_ma @ hours)
        for begin in (
            *([0] if is_on[:1].any() and not demand.is_drawing else []),
            *begins.tolist(),
        ):
            at_slot, since_h = begin, 0.0
            while at_slot < len(is_on) and is_on[at_slot] and since_h < demand.starts_for_h:
                ma, length_h = float(of_slots_ma[at_slot]), float(hours[at_slot])
                carries_mah -= ma * (length_h - demand.drawing_h(ma, length_h, since_h=since_h))
                at_slot, since_h = at_slot + 1, since_h + length_h
        return carries_mah

    def _window(self, at: int) -> range:
        """Return the slots a demand may use: between those before and behind it at its connector."""
        demand, window = self._demands[at], self._windows[at]
        first, last = window.start, window.stop
        for other in self._queues.get(demand.place, ()):
            drawn = np.flatnonzero(self.current_ma[other])
            if other == at or not len(drawn):
                continue
            if (self._demands[other].earliest_s, other) < (demand.earliest_s, at):
                first = max(first, int(drawn[-1]) + 1)
            else:
                last = min(last, int(drawn[0]))
        return range(first, max(first, last))


def may_wait(demand: Demand) -> bool:
    """Return whether a demand may charge at other times than planned.

    Not if it wants all as soon as it can, or if it tapers: what it takes depends on what it has had.
    """
    is_soon = demand.objective is Objective.FASTEST or demand.energy_wh is None
    return not is_soon and not demand.taper
