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
LEAST_WEEKS = 2  # So much must have been measured before anything is said.
LEAST_PATHS = 20  # With fewer errors of a step known, the worst case stands for those that are not.
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

    @property
    def is_enough(self) -> bool:
        """Return whether so much was measured that anything can be said."""
        measured = len(self.loads) - np.count_nonzero(np.isnan(self.loads))
        return bool(measured >= LEAST_WEEKS * self.steps_a_week)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What base will be from now on: `expected` per step, and `paths` (scenarios, steps).

    A step is known of which so many errors are that the worst case stands for none.
    """

    expected: Floats
    paths: Floats
    is_known: NDArray[np.bool_]


def forecast(
    history: LoadHistory,
    steps: int,
    *,
    worst_case: float,
    offset: float = 0.0,
) -> Forecast:
    """Return what base will be over the next `steps`, in the unit of the history.

    `worst_case` is what it is at most where nothing is known: all of it at a cold start, at steps
    that were measured in none of the last weeks, and in the place of errors not yet seen. `offset`
    shifts every scenario by what was learnt of the forecasts before (`moved_offset`).
    """
    if not history.is_enough:
        worst = np.full(steps, worst_case)
        return Forecast(
            expected=worst, paths=worst[np.newaxis], is_known=np.zeros(steps, dtype=np.bool_)
        )
    origin, week = len(history.loads), history.steps_a_week
    profile = _profile(history.loads, week, until=origin + steps)
    errors = history.loads - profile[:origin]
    is_last_known = not np.isnan(errors[-1])
    follows = _follows(errors, steps, ERROR_WEEKS * week) if is_last_known else np.zeros(steps)
    expected = profile[origin:] + (follows * errors[-1] if is_last_known else 0.0)
    made = _error_paths(errors, follows, history.steps_a_day)
    made += offset * np.ma.masked_invalid(made).std(axis=0).filled(0.0)
    is_known = np.count_nonzero(~np.isnan(expected + made), axis=0) >= LEAST_PATHS
    paths = _filled(np.maximum(0.0, expected + made), worst_case)
    expected = np.where(np.isnan(expected), worst_case, np.maximum(0.0, expected))
    return Forecast(expected=expected, paths=paths, is_known=is_known)


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


def _filled(paths: Floats, worst_case: float) -> Floats:
    """Return the paths with what is not known of a step taken from those that know it.

    Of so many paths as are known for less than `LEAST_PATHS` of them all, the oldest have the
    worst case.
    """
    for of_step in paths.T:
        unknown = np.flatnonzero(np.isnan(of_step))
        if not len(unknown):
            continue
        known = of_step[~np.isnan(of_step)]
        missing = max(0, LEAST_PATHS - len(known))
        worst = np.full(-(-len(paths) * missing // LEAST_PATHS), worst_case)
        of_step[unknown] = np.concatenate((np.resize(known, len(unknown) - len(worst)), worst))
    return paths


def _profile(loads: Floats, week: int, *, until: int) -> Floats:
    """Return for each step the weighted mean of the same step of the weeks before that know it.

    Steps later than the weeks known take those of a week before; NaN where no week is known.
    """
    known = np.concatenate((loads, np.full(until - len(loads), np.nan)))
    for at in range(len(loads), until):  # A horizon beyond a week stands on its own forecast.
        known[at] = known[at - week]
    is_known = ~np.isnan(known)
    measured = np.where(is_known, known, 0.0)
    summed, weights = np.zeros(until), np.zeros(until)
    for weeks_ago, weight in enumerate(WEEK_WEIGHTS, start=1):
        lag = weeks_ago * week
        if lag < until:
            summed[lag:] += weight * measured[: until - lag]
            weights[lag:] += weight * is_known[: until - lag]
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(weights > 0, summed / weights, np.nan)
    return mean


def _follows(errors: Floats, steps: int, window: int) -> Floats:
    """Return per step ahead how much of the last error is still there, by least squares, 0 to 1."""
    is_known = ~np.isnan(errors[-window:])
    known = np.where(is_known, errors[-window:], 0.0)
    last = known[: len(known) - steps]
    if np.count_nonzero(is_known[: len(last)]) < steps:
        return np.zeros(steps)
    together = last @ _ahead(known, steps)
    power = last**2 @ _ahead(is_known.astype(np.float64), steps)
    follows: Floats = np.clip(together / np.where(power > 0, power, 1.0), 0.0, 1.0)
    return follows


def _ahead(values: Floats, steps: int) -> Floats:
    """Return for each value that has so many after it those, a row for each."""
    ahead: Floats = np.lib.stride_tricks.sliding_window_view(values[1:], steps)
    return ahead[: len(values) - steps]


def _error_paths(errors: Floats, follows: Floats, steps_a_day: int) -> Floats:
    """Return the errors of forecasts made at this hour of the days before, each a path.

    At least `LEAST_PATHS`, the newest first, those not there yet of nothing but NaN.
    """
    steps, origin = len(follows), len(errors)
    starts = [
        origin - day * steps_a_day + beside
        for day in range(1, 7 * ERROR_WEEKS)
        for beside in NEIGHBOURS
    ]
    starts = [at for at in starts if 0 < at <= origin - steps]
    paths = np.full((max(LEAST_PATHS, len(starts)), steps), np.nan)
    for path, at in zip(paths, starts, strict=False):
        # What does not follow the error before is known without it.
        path[:] = errors[at : at + steps] - np.where(follows > 0, follows * errors[at - 1], 0.0)
    return paths
