"""The linear program of a plan: the most energy, weighted by class, over a few long intervals.

Solved by the interior point method of HiGHS without crossover: what it is for is to say how
much everybody can have in each interval; which steps and slots that becomes is `place`'s part.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import highspy
import numpy as np
from highspy._core import _Highs
from numpy.typing import NDArray

from gateway.planning.grid import STEPS
from gateway.planning.problem import Demand, Problem, ranks_of

MOST_INTERVALS = 90
CLASS_WEIGHT = 10.0  # One class matters so much more than the next.
OPTIMALITY_TOLERANCE = 1e-5  # Steps of 1 A lose a hundred times more; a sixth of the time.
BROKEN_PROMISE_WEIGHT = 1e5  # Per Wh that is promised and not given.

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the program gives: a current in mA per demand and slot, before steps and minimums.

    `delivered_wh` is what each demand has of it: no plan gives all of them more, as the program leaves
    out steps, minimums and tapers.
    """

    current_ma: Floats
    delivered_wh: Floats

    @property
    def bound_wh(self) -> float:
        """Return the energy of all, which no plan can exceed."""
        return float(self.delivered_wh.sum())


def weights_of(demands: Sequence[Demand]) -> list[float]:
    """Return how much a Wh of each demand counts, by the class it is served by."""
    return [CLASS_WEIGHT**-rank for rank in ranks_of(demands)]


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
    delivered_wh = np.zeros(len(problem.demands))
    of_columns = np.array([demand for demand, _ in program.columns], dtype=np.int64)
    np.add.at(delivered_wh, of_columns, solution[: len(of_columns)] * program.wh_per_ma)
    return Rates(current_ma=current_ma, delivered_wh=delivered_wh)


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
        if len(window):
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


Part = tuple[Sequence[int], Sequence[float], float, float]
"""A constraint: its columns, what they count, and from where to where the sum may be."""


class _Program:
    """The matrix of one problem over its intervals."""

    def __init__(self, problem: Problem, edges: list[int]) -> None:
        self._problem = problem
        hours = np.array(problem.grid.hours)
        self._edges = edges
        cumulated_h = np.concatenate(([0.0], np.cumsum(hours)))
        self._hours = np.diff(cumulated_h[edges])
        self.columns: list[tuple[int, int]] = []
        self._columns_of: list[range] = []
        highest: list[float] = []
        wh_per_ma: list[float] = []
        at_edges_h, long_h = cumulated_h.tolist(), self._hours.tolist()
        for at, demand in enumerate(problem.demands):
            first = len(self.columns)
            for interval, share in self._shares(demand, at_edges_h):
                self.columns.append((at, interval))
                highest.append(demand.max_ma * share)
                wh_per_ma.append(demand.wh_per_ma_h * long_h[interval])
            self._columns_of.append(range(first, len(self.columns)))
        self._highest_ma = highest
        self.wh_per_ma = np.array(wh_per_ma)

    def _shares(self, demand: Demand, cumulated_h: list[float]) -> list[tuple[int, float]]:
        """Return the intervals a demand may draw in, and what part of each is in its window."""
        window = self._problem.grid.slots_within(demand.earliest_s, demand.latest_s)
        edges = self._edges
        shares = []
        for interval in range(max(0, bisect_right(edges, window.start) - 1), len(edges) - 1):
            begins = max(edges[interval], window.start)
            ends = min(edges[interval + 1], window.stop)
            if begins >= ends:
                break
            whole_h = cumulated_h[edges[interval + 1]] - cumulated_h[edges[interval]]
            shares.append((interval, (cumulated_h[ends] - cumulated_h[begins]) / whole_h))
        return shares

    def solve(self, time_limit_s: float) -> Floats | None:
        """Return the currents in mA, a column each, None when there was no time for them."""
        problem, count = self._problem, len(self.columns)
        if not count:
            return np.zeros(0)
        weights = weights_of(problem.demands)
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
        lp.a_matrix_.index_ = np.fromiter(chain.from_iterable(c for c, _, _, _ in rows), np.int32)
        lp.a_matrix_.value_ = np.fromiter(chain.from_iterable(v for _, v, _, _ in rows), np.float64)
        return solution_of(lp, count, time_limit_s)

    def _row_parts(self) -> list[Part]:
        """Return a constraint per row and interval that could be over: the sum of its currents.

        Of rows with the same demands, a circuit and the only one below it, the tightest is enough.
        """
        problem = self._problem
        on: dict[tuple[int, ...], list[int]] = {}
        for at, demand in enumerate(problem.demands):
            on.setdefault(demand.rows, []).append(at)
        of_row: dict[int, set[int]] = {}
        for rows, demands in on.items():
            for row in rows:
                of_row.setdefault(row, set()).update(demands)
        alike: dict[frozenset[int], list[int]] = {}
        for row, members in of_row.items():
            alike.setdefault(frozenset(members), []).append(row)
        hours = np.array(problem.grid.hours)
        parts: list[Part] = []
        for together, same in alike.items():
            available_ma = np.maximum(0, np.array([problem.available_ma[row] for row in same]))
            sums = np.add.reduceat(available_ma * hours, self._edges[:-1], axis=1)
            has_ma = (sums / self._hours).min(axis=0).tolist()
            columns: list[list[int]] = [[] for _ in has_ma]
            for at in sorted(together):
                for column in self._columns_of[at]:
                    columns[self.columns[column][1]].append(column)
            for interval, in_it in enumerate(columns):
                if sum([self._highest_ma[column] for column in in_it]) > has_ma[interval]:
                    ones = [1.0] * len(in_it)
                    parts.append((in_it, ones, -highspy.kHighsInf, has_ma[interval]))
        return parts

    def _place_parts(self) -> list[Part]:
        """Return that those at one connector have it one after the other: their times add up."""
        at_place: dict[str, list[int]] = {}
        for at, demand in enumerate(self._problem.demands):
            at_place.setdefault(demand.place, []).append(at)
        parts: list[Part] = []
        for queue in at_place.values():
            in_interval: dict[int, list[int]] = {}
            for at in queue if len(queue) > 1 else ():
                for column in self._columns_of[at]:
                    in_interval.setdefault(self.columns[column][1], []).append(column)
            for columns in in_interval.values():
                if len(columns) > 1:
                    highest_ma = [self._problem.demands[self.columns[c][0]].max_ma for c in columns]
                    parts.append((columns, [1.0 / ma for ma in highest_ma], -highspy.kHighsInf, 1))
        return parts

    def _energy_parts(self, promised: list[int]) -> list[Part]:
        """Return what each demand wants at most, and what it was promised at least."""
        wh_per_ma = self.wh_per_ma.tolist()
        parts: list[Part] = []
        for at, columns in enumerate(self._columns_of):
            energy_wh = self._problem.demands[at].energy_wh
            if columns and energy_wh is not None:
                values = wh_per_ma[columns.start : columns.stop]
                parts.append((columns, values, -highspy.kHighsInf, energy_wh))
        for slack, at in enumerate(promised):
            columns = self._columns_of[at]
            values = [*wh_per_ma[columns.start : columns.stop], 1.0]
            least_wh = self._problem.demands[at].promised_wh
            parts.append(
                ([*columns, len(self.columns) + slack], values, least_wh, highspy.kHighsInf)
            )
        return parts


def solution_of(lp: highspy.HighsLp, count: int, time_limit_s: float) -> Floats | None:
    """Return the first columns of an optimum, None when there was no time to find one."""
    # The class on top of it prints a line as it is made, on standard output, whatever is asked.
    highs = _Highs()
    for option, value in (
        ("output_flag", False),
        ("log_to_console", False),
        ("solver", "ipm"),
        ("run_crossover", "off"),
        ("threads", 1),
        ("ipm_optimality_tolerance", OPTIMALITY_TOLERANCE),
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
