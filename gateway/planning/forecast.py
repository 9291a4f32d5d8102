"""What base will be: the weeks before, corrected by how today differs, and past errors as paths.

Every scenario is a whole path of errors that was really made, from the same hour of a day, so
that an hour's error goes with the next hour's as it did then. Measured on whole buildings it
keeps what it promises (`benchmarks/promises.py`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WEEK_WEIGHTS = (0.4, 0.3, 0.2, 0.1)  # Of the same hour one, two, three and four weeks ago.
ERROR_WEEKS = 8  # Errors of the last so many weeks are scenarios.
LEAST_PATHS = 20  # With fewer errors known, the worst case stands for those that are not.
NEIGHBOURS = (-1, 0, 1)  # Errors from the step before and after one of the same hour count too.


OFFSET_PACE = 0.02
"""How far an hour of misses moves an offset that expected none.

In recorded buildings errors last for hours, and those of one evening say little of the next day: four
times as fast, loads are foretold worse than without any offset.
"""
WIDEST_OFFSET = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadHistory:
    """What base was: one mean per step, the newest last, in any one unit.

    A step is an hour or a whole part of one, in local time; `steps_a_day` tells. A step without
    a measurement is NaN.
    """

    loads: Floats
    steps_a_day: int

    @property
    def steps_a_week(self) -> int:
        """Return how many steps a week has."""
        return 7 * self.steps_a_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What base will be from now on: `expected` per step, and `paths` (scenarios, steps)."""

    expected: Floats
    paths: Floats


def forecast(
    history: LoadHistory,
    steps: int,
    *,
    worst_case: float,
    offset: float = 0.0,
) -> Forecast:
    """Return what base will be over the next `steps`, in the unit of the history.

    `worst_case` is what it is at most where nothing is known: all of it at a cold start, and in
    the place of errors not yet seen in the first weeks. `offset` shifts every scenario by what was
    learnt of the forecasts before (`moved_offset`).
    """
    loads = _filled(history.loads)
    origin, week = len(loads), history.steps_a_week
    if origin < 2 * week:
        worst = np.full(steps, worst_case)
        return Forecast(expected=worst, paths=worst[np.newaxis])
    profile = _profile(loads, week, until=origin + steps)
    errors = loads - profile[:origin]
    follows = _follows(errors, steps, ERROR_WEEKS * week)
    expected = profile[origin:] + follows * errors[-1]
    made = _error_paths(errors, follows, history.steps_a_day)
    if len(made):
        made += offset * made.std(axis=0)
    paths = np.maximum(0.0, expected + made)
    missing = LEAST_PATHS - len(paths)
    if missing > 0:
        paths = np.concatenate((paths, np.full((missing, steps), worst_case)))
    return Forecast(expected=np.maximum(0.0, expected), paths=paths)


def moved_offset(
    offset: float, *, is_over: bool, level_ratio: float, steps_a_day: int = 24
) -> float:
    """Return the offset of the next forecast, after a load was over or under what was said of it.

    An offset is added to every scenario, in standard deviations of the scenarios of each step;
    `level_ratio` is how often loads are to stay under. It moves up a lot at a miss and down a
    little at none, so that misses come out as often as they should whatever the scenarios are
    (Gibbs & Candes, arXiv 2106.00170).
    """
    pace = OFFSET_PACE * 24 / steps_a_day
    moved = offset + pace * (float(is_over) - (1.0 - level_ratio))
    return min(WIDEST_OFFSET, max(-WIDEST_OFFSET, moved))


def _filled(loads: Floats) -> Floats:
    """Return the loads with each gap taken from a week before, else from the step before."""
    filled = loads.copy()
    for at in np.flatnonzero(np.isnan(filled)):
        filled[at] = filled[at - 1] if at else 0.0
    return filled


def _profile(loads: Floats, week: int, *, until: int) -> Floats:
    """Return for each step the weighted mean of the same step of the weeks before it.

    Steps later than the weeks known take those of a week before; NaN where no week is known.
    """
    known = np.concatenate((loads, np.full(until - len(loads), np.nan)))
    for at in range(len(loads), until):  # A horizon beyond a week stands on its own forecast.
        known[at] = known[at - week]
    summed, weights = np.zeros(until), np.zeros(until)
    for weeks_ago, weight in enumerate(WEEK_WEIGHTS, start=1):
        lag = weeks_ago * week
        if lag < until:
            summed[lag:] += weight * known[: until - lag]
            weights[lag:] += weight
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(weights > 0, summed / weights, np.nan)
    return mean


def _follows(errors: Floats, steps: int, window: int) -> Floats:
    """Return per step ahead how much of the last error is still there, by least squares, 0 to 1."""
    known = errors[~np.isnan(errors)][-window:]
    last = known[: len(known) - steps]
    power = float(last @ last)
    if len(last) < steps or power <= 0:
        return np.zeros(steps)
    ahead = np.lib.stride_tricks.sliding_window_view(known[1:], steps)[: len(last)]
    follows: Floats = np.clip(last @ ahead / power, 0.0, 1.0)
    return follows


def _error_paths(errors: Floats, follows: Floats, steps_a_day: int) -> Floats:
    """Return the errors of forecasts made at this hour of the days before, each a path."""
    steps, origin = len(follows), len(errors)
    starts = [
        origin - day * steps_a_day + beside
        for day in range(1, 7 * ERROR_WEEKS)
        for beside in NEIGHBOURS
    ]
    paths = [
        errors[at : at + steps] - follows * errors[at - 1]
        for at in starts
        if 0 < at <= origin - steps and not np.isnan(errors[at - 1])
    ]
    return np.array(paths).reshape(len(paths), steps)
