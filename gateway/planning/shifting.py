"""Room made for one vehicle more by charging others at other times: none of them gets less.

It is asked when what is planned leaves too little. Slot after slot, charging that stands in the
way is moved to slots of its own window that have room for it; what cannot be moved stays. The
number of tries is bounded, so that a question costs milliseconds at any size.
"""

from dataclasses import dataclass

import numpy as np

from gateway.planning.charging import Charging
from gateway.planning.quote import Ask
from gateway.planning.room import Ints, Outlet, Room

MOST_TRIES = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """The room after others were moved, what they charge now, and who was moved."""

    room: Room
    charging: Charging
    moved: tuple[str, ...]


def shift(room: Room, charging: Charging, outlet: Outlet, ask: Ask) -> Shifted:
    """Return the room beside `charging` once as much as is asked fits at an outlet, or nearly.

    `room` is what promises leave. Every demand keeps its energy within its window and the
    currents it can take; no row carries more than before, or more than it has.
    """
    mover = _Mover(room, charging, outlet, ask)
    mover.run()
    beside = Room(
        version=room.version,
        grid=room.grid,
        left_ma=mover.left_ma + mover.claimed_on_rows(),
        base_paths_ma=room.base_paths_ma,
    )
    moved = tuple(charging.demands[at].key for at in sorted(mover.moved))
    after = Charging(demands=charging.demands, current_ma=mover.current_ma)
    return Shifted(room=beside, charging=after, moved=moved)


class _Mover:
    """The room while it is made: `left_ma` is beside everybody and what is claimed for the ask."""

    def __init__(self, room: Room, charging: Charging, outlet: Outlet, ask: Ask) -> None:
        self._charging, self._outlet = charging, outlet
        self._rows = list(outlet.rows)
        self.left_ma: Ints = charging.beside(room).left_ma.copy()
        self.current_ma: Ints = charging.current_ma.copy()
        self._hours = np.array(room.grid.hours)
        self.moved: set[int] = set()
        self._tries = 0
        beside = charging.beside(room).outlook(outlet)
        first, last = beside.slots_between(ask.from_s, ask.until_s)
        edges_s = beside.edges_s
        # Of the first and the last slot only a part may be in the window.
        self._inside_h = np.zeros(len(self._hours))
        begins_s = np.maximum(edges_s[first:last], ask.from_s)
        ends_s = np.minimum(edges_s[first + 1 : last + 1], ask.until_s)
        self._inside_h[first:last] = (ends_s - begins_s) / 3_600.0
        self._slots = range(first, last)
        self._claimed_ma = np.zeros(len(self._hours), dtype=np.int64)
        self._claimed_ma[first:last] = beside.current_ma[first:last]
        self.left_ma[self._rows] -= self._claimed_ma
        self._wants_mah = (
            float("inf") if ask.energy_wh is None else ask.energy_wh / outlet.power_w(1.0)
        )
        self._rows_of = [list(demand.rows) for demand in charging.demands]
        self._movable = charging.movable()
        self._on = [set(rows) & set(outlet.rows) for rows in self._rows_of]
        self._windows = [
            room.grid.slots_within(demand.earliest_s, demand.latest_s)
            for demand in charging.demands
        ]

    def claimed_on_rows(self) -> Ints:
        """Return what is claimed for the ask, as rows and slots."""
        claimed = np.zeros_like(self.left_ma)
        claimed[self._rows] = self._claimed_ma
        return claimed

    def run(self) -> None:
        """Claim slot after slot what the ask could have there, the least disturbing first."""
        outlet = self._outlet
        missing_ma = outlet.max_ma - self._claimed_ma
        free_ma = self.left_ma[self._rows].min(axis=0)
        order = sorted(self._slots, key=lambda slot: (missing_ma[slot] - free_ma[slot], slot))
        got_mah = float((self._claimed_ma * self._inside_h).sum())
        for slot in order:
            needs_mah = self._wants_mah - got_mah
            if needs_mah <= 0 or self._tries >= MOST_TRIES:
                return
            if missing_ma[slot] < outlet.step_ma or self._inside_h[slot] <= 0:
                continue
            before_ma = int(self._claimed_ma[slot])
            more_ma = min(int(missing_ma[slot]), self._in_steps(needs_mah / self._inside_h[slot]))
            aims_ma = max(before_ma + more_ma, outlet.min_ma)
            self._make_way(slot, aims_ma - before_ma)
            fits_ma = before_ma + int(self.left_ma[self._rows, slot].min())
            gets_ma = min(aims_ma, fits_ma) // outlet.step_ma * outlet.step_ma
            if gets_ma >= outlet.min_ma and gets_ma > before_ma:
                self.left_ma[self._rows, slot] -= gets_ma - before_ma
                self._claimed_ma[slot] = gets_ma
                got_mah += (gets_ma - before_ma) * self._inside_h[slot]

    def _in_steps(self, ma: float) -> int:
        step_ma = self._outlet.step_ma
        return -int(-min(ma, 1e9) // step_ma) * step_ma

    def _make_way(self, slot: int, wanted_ma: int) -> None:
        """Move others out of a slot until so much is free on every row of the outlet."""
        for at in self._in_the_way(slot):
            short = [row for row in self._rows if self.left_ma[row, slot] < wanted_ma]
            if not short or self._tries >= MOST_TRIES:
                return
            on = self._on[at].intersection(short)
            if on:
                self._tries += 1
                short_ma = wanted_ma - min(int(self.left_ma[row, slot]) for row in on)
                self._move(at, slot, short_ma)

    def _in_the_way(self, slot: int) -> list[int]:
        """Return who draws in a slot on a row of the outlet and may move, who has most time first."""
        drawing = np.flatnonzero(self.current_ma[:, slot]).tolist()
        found = [at for at in drawing if self._on[at] and self._movable[at]]
        return sorted(found, key=lambda at: (-len(self._on[at]), -self._windows[at].stop, at))

    def _move(self, at: int, slot: int, short_ma: int) -> None:
        """Move so much of a demand, or all it has in a slot, to slots that have room for it."""
        demand, rows = self._charging.demands[at], self._rows_of[at]
        has_ma = int(self.current_ma[at, slot])
        keeps_ma = (has_ma - short_ma) // demand.step_ma * demand.step_ma
        if keeps_ma < demand.min_ma:
            keeps_ma = 0
        gives_mah = (has_ma - keeps_ma) * self._hours[slot]
        window = self._windows[at]
        inside = slice(window.start, window.stop)
        free_ma = np.minimum(
            self.left_ma[rows, inside].min(axis=0), demand.max_ma - self.current_ma[at, inside]
        )
        free_ma = np.maximum(free_ma, 0) // demand.step_ma * demand.step_ma
        free_ma[self.current_ma[at, inside] + free_ma < demand.min_ma] = 0
        free_ma[slot - window.start] = 0
        hours = self._hours[inside]
        summed_mah = np.cumsum(free_ma * hours)
        if not len(summed_mah) or summed_mah[-1] < gives_mah - 1e-6:
            return
        last = int(np.searchsorted(summed_mah, gives_mah - 1e-6))
        before_mah = float(summed_mah[last - 1]) if last else 0.0
        adds_ma = free_ma[: last + 1].copy()
        least_ma = max(0, demand.min_ma - int(self.current_ma[at, window.start + last]))
        rest_ma = -int(-(gives_mah - before_mah) / hours[last] // demand.step_ma) * demand.step_ma
        adds_ma[last] = min(max(rest_ma, least_ma), int(free_ma[last]))
        self.current_ma[at, window.start : window.start + last + 1] += adds_ma
        self.left_ma[np.ix_(rows, range(window.start, window.start + last + 1))] -= adds_ma
        self.current_ma[at, slot] = keeps_ma
        self.left_ma[rows, slot] += has_ma - keeps_ma
        self.moved.add(at)
