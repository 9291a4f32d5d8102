"""The linear program of a plan: the most energy, weighted by class, over a few long intervals.

Solved by the interior point method of HiGHS without crossover: what it is for is to say how
much everybody can have in each interval; which steps and slots that becomes is `place`'s part.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from highspy._core import _Highs
from numpy.typing import NDArray

from gateway.planning.grid import STEPS
from gateway.planning.problem import Demand, Problem

MOST_INTERVALS = 110
CLASS_WEIGHT = 10.0  # One class matters so much more than the next.
BROKEN_PROMISE_WEIGHT = 1e5  # Per Wh that is promised and not given.

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the program gives: a current in mA per demand and slot, before steps and minimums.

    `bound_wh` is what no plan can exceed: the program leaves out steps, minimums and tapers.
    """

    current_ma: Floats
    bound_wh: float


def solve(
    problem: Problem, *, time_limit_s: float, interval_count: int = MOST_INTERVALS
) -> Rates | None:
    """Return the best rates, None when the time was not enough to find them.

    With as many intervals as there are slots the bound is that of the exact program.
    """
    edges = _interval_edges(problem, interval_count)
    program = _Program(problem, edges)
    solution = program.solve(time_limit_s)
    if solution is None:
        return None
    current_ma = np.zeros((len(problem.demands), problem.grid.slot_count))
    for column, (demand, interval) in enumerate(program.columns):
        current_ma[demand, edges[interval] : edges[interval + 1]] = solution[column]
    bound_wh = float(solution[: len(program.columns)] @ program.wh_per_ma)
    return Rates(current_ma=current_ma, bound_wh=bound_wh)


def _interval_edges(problem: Problem, interval_count: int) -> list[int]:
    """Return the slots at which intervals begin, and the end: coarse, and cut at events.

    Of more events than there may be intervals those are left out that are next to an edge.
    """
    grid = problem.grid
    if interval_count >= grid.slot_count:
        return list(range(grid.slot_count + 1))
    wanted_s = [0.0]
    for until_s, step_s in STEPS:
        while wanted_s[-1] < min(until_s, grid.edges_s[-1]):
            wanted_s.append(wanted_s[-1] + step_s)
    edges = {bisect_left(grid.edges_s, s) for s in wanted_s if s < grid.edges_s[-1]}
    edges |= {0, grid.slot_count}
    events: set[int] = set()
    for demand in problem.demands:
        window = grid.slots_within(demand.earliest_s, demand.latest_s)
        events |= {window.start, window.stop}
    for of_row in problem.available_ma:
        events |= (
            {at for at in range(1, grid.slot_count) if of_row[at] != of_row[at - 1]}
            if len(set(of_row)) < MOST_INTERVALS // 4
            else set()
        )
    rest = sorted(events - edges)
    while rest and len(edges) <= interval_count:
        known = sorted(edges)
        far = max(rest, key=lambda at: _distance(known, at))
        edges.add(far)
        rest.remove(far)
    return sorted(edge for edge in edges if edge <= grid.slot_count)


def _distance(known: Sequence[int], at: int) -> int:
    right = bisect_left(known, at)
    return min(at - known[right - 1], known[min(right, len(known) - 1)] - at)


class _Program:
    """The matrix of one problem over its intervals."""

    def __init__(self, problem: Problem, edges: list[int]) -> None:
        self._problem = problem
        hours = np.array(problem.grid.hours)
        self._begins, self._ends = np.array(edges[:-1]), np.array(edges[1:])
        cumulated_h = np.concatenate(([0.0], np.cumsum(hours)))
        self._hours = cumulated_h[self._ends] - cumulated_h[self._begins]
        self.columns: list[tuple[int, int]] = []
        highest: list[float] = []
        wh_per_ma: list[float] = []
        for at, demand in enumerate(problem.demands):
            for interval, share in self._shares(demand, cumulated_h):
                self.columns.append((at, interval))
                highest.append(demand.max_ma * share)
                wh_per_ma.append(demand.wh_per_ma_h * float(self._hours[interval]))
        self._highest_ma = np.array(highest)
        self.wh_per_ma = np.array(wh_per_ma)

    def _shares(self, demand: Demand, cumulated_h: Floats) -> list[tuple[int, float]]:
        """Return the intervals a demand may draw in, and what part of each is in its window."""
        window = self._problem.grid.slots_within(demand.earliest_s, demand.latest_s)
        shares = []
        for interval in range(len(self._begins)):
            begins = max(int(self._begins[interval]), window.start)
            ends = min(int(self._ends[interval]), window.stop)
            if begins < ends:
                inside_h = float(cumulated_h[ends] - cumulated_h[begins])
                shares.append((interval, inside_h / float(self._hours[interval])))
        return shares

    def solve(self, time_limit_s: float) -> Floats | None:
        """Return the currents in mA, a column each, None when there was no time for them."""
        problem, count = self._problem, len(self.columns)
        if not count:
            return np.zeros(0)
        weights = [CLASS_WEIGHT**-demand.rank for demand in problem.demands]
        promised = [at for at, demand in enumerate(problem.demands) if demand.promised_wh > 0]
        cost = np.concatenate(
            (
                -self.wh_per_ma * np.array([weights[at] for at, _ in self.columns]),
                np.full(len(promised), BROKEN_PROMISE_WEIGHT),
            )
        )
        rows = self._row_parts() + self._place_parts() + self._energy_parts(promised)
        lp = highspy.HighsLp()
        lp.num_col_ = count + len(promised)
        lp.num_row_ = len(rows)
        lp.col_cost_ = cost
        lp.col_lower_ = np.zeros(lp.num_col_)
        lp.col_upper_ = np.concatenate(
            (self._highest_ma, np.full(len(promised), highspy.kHighsInf))
        )
        lp.row_lower_ = np.array([low for _, _, low, _ in rows])
        lp.row_upper_ = np.array([high for _, _, _, high in rows])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate(
            ([0], np.cumsum([len(columns) for columns, _, _, _ in rows]))
        ).astype(np.int32)
        lp.a_matrix_.index_ = np.concatenate([np.array(c) for c, _, _, _ in rows]).astype(np.int32)
        lp.a_matrix_.value_ = np.concatenate([values for _, values, _, _ in rows])
        return _solution_of(lp, count, time_limit_s)

    def _row_parts(self) -> list[tuple[list[int], Floats, float, float]]:
        """Return a constraint per row and interval that could be over: the sum of its currents."""
        problem = self._problem
        on: dict[tuple[int, int], list[int]] = {}
        for column, (at, interval) in enumerate(self.columns):
            for row in problem.demands[at].rows:
                on.setdefault((row, interval), []).append(column)
        hours = np.array(problem.grid.hours)
        parts = []
        available = {row: np.maximum(0, np.array(problem.available_ma[row])) for row, _ in on}
        for (row, interval), columns in on.items():
            slots = slice(int(self._begins[interval]), int(self._ends[interval]))
            has_ma = float(available[row][slots] @ hours[slots] / self._hours[interval])
            if float(self._highest_ma[columns].sum()) > has_ma:
                parts.append((columns, np.ones(len(columns)), -highspy.kHighsInf, has_ma))
        return parts

    def _place_parts(self) -> list[tuple[list[int], Floats, float, float]]:
        """Return that those at one connector have it one after the other: their times add up."""
        at_place: dict[tuple[str, int], list[int]] = {}
        for column, (at, interval) in enumerate(self.columns):
            at_place.setdefault((self._problem.demands[at].place, interval), []).append(column)
        parts: list[tuple[list[int], Floats, float, float]] = []
        for columns in at_place.values():
            if len(columns) > 1:
                highest_ma = [self._problem.demands[self.columns[c][0]].max_ma for c in columns]
                parts.append((columns, 1.0 / np.array(highest_ma), -highspy.kHighsInf, 1.0))
        return parts

    def _energy_parts(self, promised: list[int]) -> list[tuple[list[int], Floats, float, float]]:
        """Return what each demand wants at most, and what it was promised at least."""
        of: dict[int, list[int]] = {}
        for column, (at, _) in enumerate(self.columns):
            of.setdefault(at, []).append(column)
        parts: list[tuple[list[int], Floats, float, float]] = []
        for at, columns in of.items():
            energy_wh = self._problem.demands[at].energy_wh
            most_wh = highspy.kHighsInf if energy_wh is None else energy_wh
            parts.append((columns, self.wh_per_ma[columns], -highspy.kHighsInf, most_wh))
        for slack, at in enumerate(promised):
            columns = of.get(at, [])
            values = np.append(self.wh_per_ma[columns], 1.0)
            least_wh = self._problem.demands[at].promised_wh
            parts.append(
                ([*columns, len(self.columns) + slack], values, least_wh, highspy.kHighsInf)
            )
        return parts


def _solution_of(lp: highspy.HighsLp, count: int, time_limit_s: float) -> Floats | None:
    # The class on top of it prints a line as it is made, on standard output, whatever is asked.
    highs = _Highs()
    for option, value in (
        ("output_flag", False),
        ("log_to_console", False),
        ("solver", "ipm"),
        ("run_crossover", "off"),
        ("threads", 1),
        ("time_limit", time_limit_s),
    ):
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    highs.run()
    # Without crossover an optimum comes as "unknown" where complementarity is not to the last digit.
    status = highs.getModelStatus()
    if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kUnknown):
        return None
    found: Floats = np.array(highs.getSolution().col_value[:count])
    return np.maximum(found, 0.0)
