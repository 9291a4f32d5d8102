"""A better plan than the greedy one, where there is one: what the linear program gives, placed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from gateway.planning.greedy import greedy
from gateway.planning.linear import Rates, solve, weights_of
from gateway.planning.polish import in_steps, polished_ma
from gateway.planning.problem import Demand, Plan, Problem, plan_of, ranks_of, serves_everyone

TIME_LIMIT_S = 5.0
NEARLY_ALL_RATIO = 0.99  # Of what no plan can exceed: nearer than that a plan is left as it is.
NOTABLY_RATIO = 1.01
"""What is gained less than that over least laxity is not worth what it takes for granted.

The program trusts departures and energies as they are said to the minute and the last Wh, and moves
charging for a Wh more; who has least laxity first is hurt less by what comes otherwise.
"""
MOST_POLISHED = 15_000  # So many slots of demands take about 0.2 s.


def plan(problem: Problem, *, time_limit_s: float = TIME_LIMIT_S) -> Plan:
    """Return the best plan that can be had in time; one that breaks no promise goes first."""
    return improve(problem, greedy(problem), time_limit_s=time_limit_s)


def improve(problem: Problem, known: Plan, *, time_limit_s: float = TIME_LIMIT_S) -> Plan:
    """Return the known plan, or one that breaks less of promises or gives notably more.

    Where everybody gets what was asked no plan gives more, and none is sought.
    """
    if serves_everyone(problem, known):
        return known
    rates = solve(problem, time_limit_s=time_limit_s)
    if rates is None or not _is_notable(problem, known, rates.delivered_wh.tolist()):
        return known
    placed = place(problem, rates)
    better = max((known, placed), key=lambda candidate: worth(problem, candidate))
    if better.energy_wh < NEARLY_ALL_RATIO * rates.bound_wh:
        polished = _polished(problem, better, time_limit_s=time_limit_s)
        better = max((better, polished), key=lambda candidate: worth(problem, candidate))
    breaks_wh, _ = worth(problem, better)
    is_notable = _is_notable(problem, known, better.delivered_wh, breaks_wh=breaks_wh)
    return better if is_notable else known


def _is_notable(
    problem: Problem, known: Plan, delivered_wh: Sequence[float], *, breaks_wh: float = 0.0
) -> bool:
    """Return whether less of promises is broken than by a plan, or a class is given notably more.

    `breaks_wh` is as `worth` has it. Classes are looked at one by one: of many it would not show
    that one vehicle which goes before them all lacks something.
    """
    before_wh, after_wh = defaultdict[int, float](float), defaultdict[int, float](float)
    each = zip(ranks_of(problem.demands), known.delivered_wh, delivered_wh, strict=True)
    for rank, was_wh, is_wh in each:
        before_wh[rank] += was_wh
        after_wh[rank] += is_wh
    gives_more = any(wh > before_wh[rank] * NOTABLY_RATIO for rank, wh in after_wh.items())
    return breaks_wh > worth(problem, known)[0] or gives_more


def _polished(problem: Problem, placed: Plan, *, time_limit_s: float) -> Plan:
    """Return the plan with the best currents for who is on when in it, if it is small enough."""
    currents = np.array(placed.current_ma, dtype=np.int64)
    if not 0 < np.count_nonzero(currents) <= MOST_POLISHED:
        return placed
    exact_ma = polished_ma(problem, currents, time_limit_s=time_limit_s)
    return placed if exact_ma is None else plan_of(problem, in_steps(problem, exact_ma))


def worth(problem: Problem, candidate: Plan) -> tuple[float, float]:
    """Return what plans are compared by: what they break of promises, then energy; by class, Wh."""
    broken_wh = weighted_wh = 0.0
    weights = weights_of(problem.demands)
    each = zip(problem.demands, weights, candidate.delivered_wh, strict=True)
    for demand, weight, delivered_wh in each:
        missing_wh = demand.promised_wh - delivered_wh
        broken_wh += missing_wh * weight if missing_wh > 1.0 else 0.0
        weighted_wh += delivered_wh * weight
    return -broken_wh, weighted_wh


@dataclass(slots=True)
class _Placed:
    """A demand while it is placed: what its rates have saved up for it, and what it has had."""

    demand: Demand
    at: int
    window: range
    rank: int
    rates_ma: list[float]
    saved_mah: float = 0.0
    delivered_wh: float = 0.0
    draws_h: float = 0.0
    """How long of the slot it would draw."""
    is_starting: bool = False
    since_h: float = inf
    """For how long it draws since it started."""
    wants_wh: float = field(init=False)
    wh_per_ma_h: float = field(init=False)
    s_per_wh: float = field(init=False)

    def __post_init__(self) -> None:
        energy_wh = self.demand.energy_wh
        self.wants_wh = float("inf") if energy_wh is None else energy_wh
        self.wh_per_ma_h = self.demand.wh_per_ma_h
        self.s_per_wh = 3_600.0 / (self.demand.max_ma * self.wh_per_ma_h)

    def is_full(self) -> bool:
        """Return whether it has all it wants."""
        return self.delivered_wh >= self.wants_wh - 1.0

    def turn(self, now_s: float) -> tuple[bool, int, float, int]:
        """Return what it is served by: promises, class, how long it could wait."""
        demand, needs_s = self.demand, (self.wants_wh - self.delivered_wh) * self.s_per_wh
        if demand.taper:
            needs_s = demand.needs_s(self.delivered_wh, self.wants_wh)
        laxity_s = demand.latest_s - now_s - needs_s
        return self.delivered_wh >= demand.promised_wh, self.rank, laxity_s, self.at

    def fitting_ma(self, most_ma: int, length_h: float, left_ma: list[int]) -> int:
        """Return what it can have in a slot, in whole steps; 0 when that is below its least."""
        demand = self.demand
        min_ma, step_ma = demand.min_ma, demand.step_ma
        fits_ma = min([left_ma[row] for row in demand.rows])
        if fits_ma < min_ma:
            return 0
        fits_ma = min(fits_ma, most_ma, demand.max_ma)
        if demand.taper:
            fits_ma = min(fits_ma, demand.takes_ma(self.delivered_wh))
        needs_ma = (self.wants_wh - self.delivered_wh) / (length_h * self.wh_per_ma_h)
        if needs_ma < fits_ma:
            fits_ma = min(fits_ma, max(min_ma, -int(-needs_ma // step_ma) * step_ma))
        fits_ma = fits_ma // step_ma * step_ma
        return fits_ma if fits_ma >= min_ma else 0


def place(problem: Problem, rates: Rates) -> Plan:
    """Return the plan that comes nearest to the rates in whole steps, slot after slot.

    A demand saves up what its rate gives it until that makes a current it can take. What is
    still free in a slot goes to whom waiting would hurt soonest, and is taken off what comes
    later: so energy moves to the left.
    """
    grid, demands, hours = problem.grid, problem.demands, problem.grid.hours
    current_ma = [[0] * grid.slot_count for _ in demands]
    ranks, rates_ma = ranks_of(demands), rates.current_ma.tolist()
    begin: list[list[_Placed]] = [[] for _ in range(grid.slot_count)]
    for at, demand in enumerate(demands):
        window = grid.slots_within(demand.earliest_s, demand.latest_s)
        if len(window):
            begin[window.start].append(_Placed(demand, at, window, ranks[at], rates_ma[at]))
    there: list[_Placed] = []
    of_slots = list(zip(*problem.available_ma, strict=True))
    for slot in range(grid.slot_count):
        there = [one for one in there if slot < one.window.stop and not one.is_full()]
        there += begin[slot]
        left_ma, length_h = list(of_slots[slot]), hours[slot]
        _place_slot(_in_turn(there, grid.edges_s[slot]), slot, length_h, left_ma, current_ma)
    return plan_of(problem, current_ma)


def _place_slot(
    turns: list[_Placed],
    slot: int,
    length_h: float,
    left_ma: list[int],
    current_ma: list[list[int]],
) -> None:
    """Give each in turn what its rate has saved for it, and then what is still free."""
    given_ma = []
    for one in turns:
        one.saved_mah += one.rates_ma[slot] * length_h
        one.draws_h, demand = length_h, one.demand
        one.is_starting = False
        if demand.starts_slowly:
            was_ma = current_ma[one.at][slot - 1] if slot else int(demand.is_drawing)
            one.since_h = one.since_h if was_ma else 0.0
            one.is_starting = one.since_h < demand.starts_for_h
            if one.is_starting:
                drawing_h = demand.drawing_h(demand.max_ma, length_h, since_h=one.since_h)
                one.draws_h = max(1e-9, drawing_h)
        most_ma = _turned_into_ma(one.demand, one.saved_mah / length_h)
        gets_ma = one.fitting_ma(most_ma, one.draws_h, left_ma) if most_ma > 0 else 0
        if gets_ma:
            for row in one.demand.rows:
                left_ma[row] -= gets_ma
        given_ma.append(gets_ma)
    for one, has_ma in zip(turns, given_ma, strict=True):
        demand, gets_ma = one.demand, has_ma
        if has_ma < demand.max_ma and min([left_ma[row] for row in demand.rows]) >= demand.step_ma:
            for row in demand.rows:
                left_ma[row] += has_ma
            gets_ma = max(has_ma, one.fitting_ma(demand.max_ma, one.draws_h, left_ma))
            for row in demand.rows:
                left_ma[row] -= gets_ma
        if gets_ma:
            current_ma[one.at][slot] = gets_ma
            one.saved_mah -= gets_ma * length_h
            if one.is_starting:
                one.draws_h = demand.drawing_h(gets_ma, length_h, since_h=one.since_h)
            one.since_h += length_h
            one.delivered_wh += demand.gains_wh(one.delivered_wh, gets_ma, one.draws_h)


def _in_turn(there: list[_Placed], now_s: float) -> list[_Placed]:
    """Return who may draw of those that are there, the first at each connector, in turn."""
    first: dict[str, _Placed] = {}
    for one in there:
        known = first.setdefault(one.demand.place, one)
        if (one.demand.earliest_s, one.at) < (known.demand.earliest_s, known.at):
            first[one.demand.place] = one
    turns = [(one.turn(now_s), one) for one in first.values()]
    turns.sort()
    return [one for _, one in turns]


def _turned_into_ma(demand: Demand, saved_ma: float) -> int:
    """Return the current that savings make: half of the least will do, the rest is borrowed."""
    if 0.5 * demand.min_ma <= saved_ma < demand.min_ma:
        return demand.min_ma
    return int(saved_ma) + demand.step_ma // 2
