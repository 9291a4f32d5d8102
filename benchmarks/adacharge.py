"""Our plans beside adacharge's model (cvxpy and Clarabel): CPU and energy on the same days.

The model is written anew after the description in Lee et al., arXiv 2012.02636, and the open
package: a dense variable of a row per session and a column per slot, bounds, an energy per
session, a linear row per circuit and phase; built anew at every call, as there. Its
objective puts energy first (100 x kWh + early amperes). It knows no queue at a connector, no
steps and no minimum: for both, sessions stand at connectors of their own. Ours is timed with
1 A steps and the 6 A minimum (IEC 61851-1); the energy is compared with them and, as the model has
it, without.
"""

import importlib
import importlib.util
import sys
import time
from dataclasses import replace
from statistics import fmean
from types import ModuleType
from typing import Final

import numpy as np

from benchmarks.planning import day
from gateway.planning.check import check
from gateway.planning.improve import plan
from gateway.planning.problem import Problem

SEEDS: Final = {54: range(3), 200: range(1)}
SHARES: Final = (0.045, 0.06)
ENERGY_FIRST: Final = 100.0
FINE_MA: Final = 10
MUST: Final = "at least 8 times less CPU, at most 0.01 less energy"


def measure() -> dict[str, object]:
    """Return per size the CPU of both, how often it is less, and what energy is given up."""
    if importlib.util.find_spec("cvxpy") is None or importlib.util.find_spec("clarabel") is None:
        return {
            "left_out": "no cvxpy: pip install --require-hashes --no-deps -r requirements-bench.txt"
        }
    cvxpy = importlib.import_module("cvxpy")
    _solve_theirs(cvxpy, day(4, 0, share=0.06))  # What is loaded at first use counts for nobody.
    plan(day(4, 0, share=0.06))
    return {str(count): _beside(cvxpy, count) for count in SEEDS} | {"must": MUST}


def _beside(cvxpy: ModuleType, count: int) -> dict[str, object]:
    ours_ms, theirs_ms, solver_ms = [], [], []
    less, less_alike = [], []
    for seed in SEEDS[count]:
        for share in SHARES:
            print(f"  {count} connectors, day {seed}, {share}", file=sys.stderr, flush=True)
            asked = _apart(day(count, seed, share=share))
            began_s = time.process_time()
            ours = plan(asked, time_limit_s=60.0)
            ours_ms.append((time.process_time() - began_s) * 1_000)
            assert check(asked, ours) == ()
            began_s = time.process_time()
            theirs_wh, solver_s = _solve_theirs(cvxpy, asked)
            theirs_ms.append((time.process_time() - began_s) * 1_000)
            solver_ms.append(solver_s * 1_000)
            less.append(1 - ours.energy_wh / theirs_wh)
            alike = plan(_without_steps(asked), time_limit_s=60.0)
            less_alike.append(1 - alike.energy_wh / theirs_wh)
    ratios = [theirs / ours for theirs, ours in zip(theirs_ms, ours_ms, strict=True)]
    return {
        "days": len(less),
        "ours_cpu_ms": round(fmean(ours_ms), 1),
        "adacharge_cpu_ms": round(fmean(theirs_ms), 1),
        "adacharge_solver_alone_wall_ms": round(fmean(solver_ms), 1),
        "times_less_cpu_mean": round(fmean(ratios), 1),
        "times_less_cpu_min": round(min(ratios), 1),
        "less_energy_mean": round(fmean(less_alike), 5),
        "less_energy_max": round(max(less_alike), 5),
        "less_energy_in_steps_mean": round(fmean(less), 5),
        "less_energy_in_steps_max": round(max(less), 5),
    }


def _apart(problem: Problem) -> Problem:
    """Return the problem with every session at a connector of its own."""
    return replace(problem, demands=tuple(replace(d, place=d.key) for d in problem.demands))


def _without_steps(problem: Problem) -> Problem:
    """Return the problem with steps and a minimum too small to matter."""
    fine = [replace(d, min_ma=FINE_MA, step_ma=FINE_MA) for d in problem.demands]
    return replace(problem, demands=tuple(fine))


def _solve_theirs(cvxpy: ModuleType, problem: Problem) -> tuple[float, float]:
    """Return the energy their model gives, Wh, and what its solver alone took, s of wall time."""
    demands, slots = problem.demands, problem.grid.slot_count
    hours = np.array(problem.grid.hours)
    highest_a = np.zeros((len(demands), slots))
    loads = np.zeros((len(problem.available_ma), len(demands)))
    for at, demand in enumerate(demands):
        window = problem.grid.slots_within(demand.earliest_s, demand.latest_s)
        highest_a[at, window.start : window.stop] = demand.max_ma / 1_000
        loads[list(demand.rows), at] = 1.0
    kw_per_a = np.array([demand.wh_per_ma_h for demand in demands])
    rates_a = cvxpy.Variable((len(demands), slots))
    constraints = [rates_a >= 0.0, rates_a <= highest_a]
    for at, demand in enumerate(demands):
        window = problem.grid.slots_within(demand.earliest_s, demand.latest_s)
        inside = slice(window.start, window.stop)
        if demand.energy_wh is not None and len(window):
            given_kwh = kw_per_a[at] * (rates_a[at, inside] @ hours[inside])
            constraints.append(given_kwh <= demand.energy_wh / 1_000)
    for row, has_ma in enumerate(problem.available_ma):
        if loads[row].any():
            constraints.append(loads[row] @ rates_a <= np.array(has_ma) / 1_000)
    early = np.arange(slots, 0, -1) / slots
    energy_kwh = cvxpy.sum(kw_per_a @ rates_a @ hours)
    objective = ENERGY_FIRST * energy_kwh + cvxpy.sum(rates_a, axis=0) @ early
    asked = cvxpy.Problem(cvxpy.Maximize(objective), constraints)
    asked.solve(solver=cvxpy.CLARABEL)
    assert asked.status == cvxpy.OPTIMAL, asked.status
    return float(kw_per_a @ rates_a.value @ hours) * 1_000, float(asked.solver_stats.solve_time)
