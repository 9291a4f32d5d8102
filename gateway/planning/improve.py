"""A better plan than the greedy one, where there is one: what the linear program gives, placed."""

from bisect import insort
from collections.abc import Sequence

from gateway.planning.check import check
from gateway.planning.greedy import greedy
from gateway.planning.linear import Rates, solve
from gateway.planning.problem import Demand, Plan, Problem, plan_of, serves_everyone

TIME_LIMIT_S = 5.0


def plan(problem: Problem, *, time_limit_s: float = TIME_LIMIT_S) -> Plan:
    """Return the best plan that can be had in time; one that breaks no promise goes first."""
    return improve(problem, greedy(problem), time_limit_s=time_limit_s)


def improve(problem: Problem, known: Plan, *, time_limit_s: float = TIME_LIMIT_S) -> Plan:
    """Return a plan that is not worse than the known one.

    Where everybody gets what was asked no plan gives more, and none is sought.
    """
    if serves_everyone(problem, known):
        return known
    rates = solve(problem, time_limit_s=time_limit_s)
    if rates is None:
        return known
    placed = place(problem, rates)
    return max((known, placed), key=lambda candidate: worth(problem, candidate))


def worth(problem: Problem, candidate: Plan) -> tuple[int, tuple[float, ...]]:
    """Return what a plan is compared by: what is wrong with it, then energy class by class.

    Differences of a thousandth of a class's energy are none.
    """
    by_class_wh = [0.0, 0.0, 0.0, 0.0]
    for demand, delivered_wh in zip(problem.demands, candidate.delivered_wh, strict=True):
        by_class_wh[min(demand.rank, 3)] += delivered_wh
    weighted_wh = sum(energy_wh * 10.0**-rank for rank, energy_wh in enumerate(by_class_wh))
    return -len(check(problem, candidate)), (weighted_wh,)


def place(problem: Problem, rates: Rates) -> Plan:
    """Return the plan that comes nearest to the rates in whole steps, slot after slot.

    A demand saves up what its rate gives it until that makes a current it can take. What is
    still free in a slot goes to whom waiting would hurt soonest, and is taken off what comes
    later: so energy moves to the left.
    """
    grid, hours = problem.grid, problem.grid.hours
    demands = problem.demands
    current_ma = [[0] * grid.slot_count for _ in demands]
    windows = [grid.slots_within(d.earliest_s, d.latest_s) for d in demands]
    begin: dict[int, list[int]] = {}
    for at, window in enumerate(windows):
        begin.setdefault(window.start, []).append(at)
    there: list[int] = []
    saved_mah = [0.0] * len(demands)
    delivered_wh = [0.0] * len(demands)
    rate_ma = rates.current_ma.tolist()
    for slot in range(grid.slot_count):
        for at in begin.get(slot, ()):
            insort(there, at)
        there = [
            at
            for at in there
            if slot < windows[at].stop and not _is_full(demands[at], delivered_wh[at])
        ]
        active = _first_at_each(demands, there)
        left_ma = [of_row[slot] for of_row in problem.available_ma]
        length_h = hours[slot]
        for at in active:
            saved_mah[at] += rate_ma[at][slot] * length_h
        now_s = grid.edges_s[slot]
        turns = sorted(active, key=lambda at: _turn(demands[at], delivered_wh[at], now_s, at))
        for at in turns:
            most_ma = _turned_into_ma(demands[at], saved_mah[at] / length_h)
            current_ma[at][slot] = _fitting_ma(
                demands[at], delivered_wh[at], most_ma, length_h, left_ma
            )
            _take(demands[at], current_ma[at][slot], left_ma)
        for at in turns:
            has_ma = current_ma[at][slot]
            if min([left_ma[row] for row in demands[at].rows]) < demands[at].step_ma:
                continue
            _take(demands[at], -has_ma, left_ma)
            given_ma = _fitting_ma(demands[at], delivered_wh[at], None, length_h, left_ma)
            current_ma[at][slot] = max(has_ma, given_ma)
            _take(demands[at], current_ma[at][slot], left_ma)
        for at in active:
            saved_mah[at] -= current_ma[at][slot] * length_h
            delivered_wh[at] += current_ma[at][slot] * length_h * demands[at].wh_per_ma_h
    return plan_of(problem, current_ma)


def _is_full(demand: Demand, delivered_wh: float) -> bool:
    return demand.energy_wh is not None and delivered_wh >= demand.energy_wh - 1.0


def _first_at_each(demands: Sequence[Demand], there: list[int]) -> list[int]:
    """Return who may draw of those that are there: the first at each connector."""
    first: dict[str, int] = {}
    for at in there:
        known = first.setdefault(demands[at].place, at)
        if demands[at].earliest_s < demands[known].earliest_s:
            first[demands[at].place] = at
    return list(first.values())


def _turn(
    demand: Demand, delivered_wh: float, now_s: float, at: int
) -> tuple[bool, int, float, int]:
    power_w = demand.takes_ma(delivered_wh) * demand.wh_per_ma_h
    wants_wh = demand.energy_wh if demand.energy_wh is not None else float("inf")
    laxity_s = demand.latest_s - now_s - (wants_wh - delivered_wh) / power_w * 3_600.0
    return delivered_wh >= demand.promised_wh, demand.rank, laxity_s, at


def _turned_into_ma(demand: Demand, saved_ma: float) -> int:
    """Return the current that savings make: half of the least will do, the rest is borrowed."""
    if 0.5 * demand.min_ma <= saved_ma < demand.min_ma:
        return demand.min_ma
    return int(saved_ma) + demand.step_ma // 2


def _fitting_ma(
    demand: Demand,
    delivered_wh: float,
    most_ma: int | None,
    length_h: float,
    left_ma: list[int],
) -> int:
    """Return what a demand can have in a slot, in whole steps; 0 when that is below its least."""
    fits_ma = demand.takes_ma(delivered_wh)
    if most_ma is not None:
        fits_ma = min(fits_ma, most_ma)
    if demand.energy_wh is not None:
        needs_ma = (demand.energy_wh - delivered_wh) / (length_h * demand.wh_per_ma_h)
        in_steps_ma = -int(-needs_ma // demand.step_ma) * demand.step_ma
        fits_ma = min(fits_ma, max(demand.min_ma, in_steps_ma))
    fits_ma = min(fits_ma, *[left_ma[row] for row in demand.rows])
    fits_ma = fits_ma // demand.step_ma * demand.step_ma
    return fits_ma if fits_ma >= demand.min_ma else 0


def _take(demand: Demand, current_ma: int, left_ma: list[int]) -> None:
    for row in demand.rows:
        left_ma[row] -= current_ma
