"""The best currents for a plan's own pattern of who is on when: what steps and minimums left over.

The linear program of `linear` knows no minimum, so a plan placed after its rates falls short of
them. Once it is settled in which slots each demand is on, the minimum is a bound like any other,
and a second program over those slots alone gives back about half of what was lost.
"""

import highspy
import numpy as np

from gateway.planning.linear import BROKEN_PROMISE_WEIGHT, solution_of, weights_of
from gateway.planning.problem import Problem, delivered_wh
from gateway.planning.room import Floats, Ints

ROUNDS_UP = 1e-6  # Of a step: what is a whole one but for the solver's last digits.
EARLIER_IS_BETTER = 1e-3  # How much more a Wh at the beginning counts than one at the end.


def polished_ma(problem: Problem, current_ma: Ints, *, time_limit_s: float) -> Floats | None:
    """Return the currents that give most where a plan (demands, slots) has any; None without time.

    They are not in whole steps. What tapers keeps the currents it has.
    """
    demands, grid = problem.demands, problem.grid
    of, slots = np.nonzero(current_ma)
    hours = _drawing_hours(problem, current_ma, of, slots)
    lowest = np.array([float(d.min_ma) for d in demands])[of]
    highest = np.array([float(d.max_ma) for d in demands])[of]
    stays = np.array([bool(d.taper) for d in demands])[of]
    lowest[stays] = highest[stays] = current_ma[of, slots][stays]
    wh_per_ma = np.array([d.wh_per_ma_h for d in demands])[of] * hours
    weights = np.array(weights_of(demands))[of]
    early = 1.0 + EARLIER_IS_BETTER * (1.0 - np.array(grid.edges_s)[slots] / grid.edges_s[-1])
    promised = [at for at, d in enumerate(demands) if d.promised_wh > 0]
    rows = _Rows()
    _add_rows(rows, problem, of, slots, highest)
    wanted_wh = [d.energy_wh for d in demands]
    least_wh = np.bincount(of, wh_per_ma * lowest, minlength=len(demands))
    for at, energy_wh in enumerate(wanted_wh):
        cells = np.flatnonzero(of == at)
        if len(cells) and energy_wh is not None:
            # The last slot of a demand may offer more than it still needs.
            rows.add(cells, wh_per_ma[cells], -highspy.kHighsInf, max(energy_wh, least_wh[at]))
    for slack, at in enumerate(promised):
        cells = np.append(np.flatnonzero(of == at), len(of) + slack)
        values = np.append(wh_per_ma[cells[:-1]], 1.0)
        rows.add(cells, values, demands[at].promised_wh, highspy.kHighsInf)
    lp = highspy.HighsLp()
    lp.num_col_ = len(of) + len(promised)
    lp.col_cost_ = np.append(
        -wh_per_ma * weights * early, np.full(len(promised), BROKEN_PROMISE_WEIGHT)
    )
    lp.col_lower_ = np.append(lowest, np.zeros(len(promised)))
    lp.col_upper_ = np.append(highest, np.full(len(promised), highspy.kHighsInf))
    rows.put_into(lp)
    found = solution_of(lp, len(of), time_limit_s)
    if found is None:
        return None
    polished = np.zeros(current_ma.shape)
    polished[of, slots] = np.clip(found, lowest, highest)
    return polished


def _drawing_hours(problem: Problem, current_ma: Ints, of: Ints, slots: Ints) -> Floats:
    """Return for how long each cell's current counts: less where a demand starts in it."""
    hours: Floats = np.array(problem.grid.hours)[slots]
    before_ma = np.where(slots > 0, current_ma[of, slots - 1], 0)
    for cell in np.flatnonzero(before_ma == 0).tolist():
        demand, slot = problem.demands[of[cell]], int(slots[cell])
        if demand.starts_slowly and not (slot == 0 and demand.is_drawing):
            hours[cell] = demand.drawing_h(float(current_ma[of[cell], slot]), float(hours[cell]))
    return hours


def in_steps(problem: Problem, exact_ma: Floats) -> list[list[int]]:
    """Return currents in whole steps, rounded down; what that leaves free goes to whom it is short.

    Only slots in which a demand is on are filled up.
    """
    grid = problem.grid
    hours = np.array(grid.hours)
    left_ma = np.array(problem.available_ma, dtype=np.int64)
    steps_ma = np.array([d.step_ma for d in problem.demands])[:, None]
    current_ma = (exact_ma / steps_ma + ROUNDS_UP).astype(np.int64) * steps_ma
    for demand, of_slots_ma in zip(problem.demands, current_ma, strict=True):
        left_ma[list(demand.rows)] -= of_slots_ma
    for demand, of_slots_ma in zip(problem.demands, current_ma, strict=True):
        slots = np.flatnonzero(of_slots_ma)
        if demand.energy_wh is None or demand.taper or not len(slots):
            continue
        has_wh = delivered_wh(demand, of_slots_ma.tolist(), grid.hours)
        missing_mah = (demand.energy_wh - has_wh) / demand.wh_per_ma_h
        if missing_mah <= 0.0:
            continue
        rows, step_ma = np.array(demand.rows), demand.step_ma
        free_ma = left_ma[rows[:, None], slots].min(axis=0)
        free_ma = np.clip(free_ma, 0, demand.max_ma - of_slots_ma[slots]) // step_ma * step_ma
        before_mah = np.cumsum(free_ma * hours[slots]) - free_ma * hours[slots]
        needs_ma = np.maximum(0.0, missing_mah - before_mah) / hours[slots]
        adds_ma = np.minimum(free_ma, -(-needs_ma // step_ma).astype(np.int64) * step_ma)
        of_slots_ma[slots] += adds_ma
        left_ma[rows[:, None], slots] -= adds_ma
    currents: list[list[int]] = current_ma.tolist()
    return currents


class _Rows:
    """The constraints of a program while they are gathered."""

    def __init__(self) -> None:
        self._columns: list[Ints] = []
        self._values: list[Floats] = []
        self._low: list[float] = []
        self._high: list[float] = []

    def add(self, columns: Ints, values: Floats, low: float, high: float) -> None:
        """Add a constraint: from where to where the sum of columns times values may be."""
        self._columns.append(columns)
        self._values.append(values)
        self._low.append(low)
        self._high.append(high)

    def put_into(self, lp: highspy.HighsLp) -> None:
        """Make them the constraints of a program."""
        lp.num_row_ = len(self._low)
        lp.row_lower_, lp.row_upper_ = np.array(self._low), np.array(self._high)
        lengths = [len(columns) for columns in self._columns]
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        nothing = [np.zeros(0)]
        lp.a_matrix_.index_ = np.concatenate(self._columns or nothing).astype(np.int32)
        lp.a_matrix_.value_ = np.concatenate(self._values or nothing).astype(np.float64)


def _add_rows(rows: _Rows, problem: Problem, of: Ints, slots: Ints, highest: Floats) -> None:
    """Add a constraint per row and slot that could be over.

    Of rows with the same demands, the tightest in each slot is enough.
    """
    members: dict[int, list[int]] = {}
    for at, demand in enumerate(problem.demands):
        for row in demand.rows:
            members.setdefault(row, []).append(at)
    alike: dict[tuple[int, ...], list[int]] = {}
    for row, on_row in members.items():
        alike.setdefault(tuple(on_row), []).append(row)
    by_slot = np.argsort(slots, kind="stable")
    for together, same in alike.items():
        has_ma = np.maximum(0, np.array([problem.available_ma[row] for row in same])).min(axis=0)
        is_on = np.zeros(len(problem.demands), dtype=np.bool_)
        is_on[list(together)] = True
        cells = by_slot[is_on[of[by_slot]]]
        if not len(cells):
            continue
        of_slot = slots[cells]
        begins = np.flatnonzero(np.diff(of_slot, prepend=-1))
        most_ma = np.add.reduceat(highest[cells], begins)
        ends = np.append(begins[1:], len(cells))
        ones = np.ones(len(cells))
        for at in np.flatnonzero(most_ma > has_ma[of_slot[begins]]).tolist():
            inside = slice(begins[at], ends[at])
            limit_ma = float(has_ma[of_slot[begins[at]]])
            rows.add(cells[inside], ones[inside], -highspy.kHighsInf, limit_ma)
