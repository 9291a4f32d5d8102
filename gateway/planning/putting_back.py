"""A plan made anew moves everybody: whoever can be has what it had before again."""

import numpy as np

from gateway.planning.problem import Plan, Problem
from gateway.planning.room import Ints

MOST_PASSES = 3
"""So often it is looked who can be put back: each that is may make room for others."""


def put_back(problem: Problem, plan: Plan, before_ma: Ints) -> Ints:
    """Return the currents of all but the last demand, as many as can be as they were before.

    `before_ma` is (demands but the last, slots), and so is what is returned; the last keeps what the
    plan gives it. Promises go first, in their order; each is put back only if it fits beside all
    others as they are then.
    """
    now_ma = np.array(plan.current_ma, dtype=np.int64)
    left_ma = np.array(problem.available_ma, dtype=np.int64)
    busy_ma: dict[str, Ints] = {}
    for demand, of_slots_ma in zip(problem.demands, now_ma, strict=True):
        left_ma[list(demand.rows)] -= of_slots_ma
        nothing_ma = np.zeros_like(of_slots_ma)
        busy_ma[demand.place] = busy_ma.get(demand.place, nothing_ma) + of_slots_ma
    order = sorted(range(len(before_ma)), key=lambda at: not problem.demands[at].promised_wh)
    for at in order * MOST_PASSES:
        rows, place = list(problem.demands[at].rows), problem.demands[at].place
        more_ma = before_ma[at] - now_ma[at]
        others_ma = busy_ma[place] - now_ma[at]
        fits = (left_ma[rows] >= more_ma) | (more_ma <= 0)
        if more_ma.any() and fits.all() and not others_ma[before_ma[at] > 0].any():
            left_ma[rows] -= more_ma
            busy_ma[place] += more_ma
            now_ma[at] = before_ma[at]
    return now_ma[:-1]
