"""What base was, quarter of an hour by quarter of an hour for weeks: what the forecast learns from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from math import nan

import numpy as np
from numpy.typing import NDArray

from gateway.control.wiring import Wiring
from gateway.domain.electric import Phase
from gateway.planning.forecast import Floats, LoadHistory
from gateway.services.control_loop import Cycle

STEP_S = 900
STEPS_A_DAY = 86_400 // STEP_S
KEPT_STEPS = 12 * 7 * STEPS_A_DAY
"""What a forecast looks at: four weeks of the profile, and eight of errors."""

LEAST_MINUTES = 5.0
"""With fewer minutes measured a quarter of an hour is not known."""

TOLD_FOR_S = 960.0
"""How long a connector's reading counts: some stations tell every quarter of an hour."""

NOW_S = 300.0
"""Over how long base is what it is now."""

SHORT_S = 1e-3

Singles = NDArray[np.float32]


def metered_rows(wiring: Wiring) -> tuple[int, ...]:
    """Return the rows whose base can be learnt: those of circuits that have a meter."""
    return tuple(
        3 * at + phase
        for at, circuit in enumerate(wiring.circuits)
        for phase in Phase
        if circuit.meter is not None and circuit.rating_ma[phase]
    )


def base_now_a(cycle: Cycle) -> list[float]:
    """Return base per row in A after a cycle: the circuit's reading less what connectors draw.

    Sources below are counted as if they gave nothing. NaN where no meter tells it, and where a
    vehicle may draw whose station does not say what.
    """
    state, seen = cycle.state, cycle.decision.survey
    wiring = state.wiring
    own_ma = [0] * len(seen.rows)
    untold = [0] * len(seen.rows)
    for at, belief in enumerate(state.connectors):
        high_ma = seen.high_ma[at]
        if not high_ma:
            continue
        rows, draw = wiring.own_rows[at][seen.masks[at]], belief.draw
        if draw is None or cycle.decision.at_s - draw.at_s > TOLD_FOR_S:
            is_there = belief.transaction is not None or belief.plugged_at_s is not None
            for row in rows:
                untold[row] += is_there
        elif draw.current_ma is not None:
            for row in rows:
                own_ma[row] += min(high_ma, draw.current_ma[row % 3])
        elif draw.power_ma is not None and rows:
            for row in rows:
                own_ma[row] += min(high_ma, draw.power_ma // len(rows))
    drawn_ma, untold = wiring.with_all_below(own_ma), wiring.with_all_below(untold)
    return [
        nan
        if row.current_ma is None or row.doubted_ma or untold[at]
        else max(0, row.current_ma + row.export_ma - drawn_ma[at]) / 1_000
        for at, row in enumerate(seen.rows)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Minutes of one step put together, per row: the sum of their means, and how many are known."""

    step: int
    summed_a: Floats
    minutes: Floats


class BaseLoad:
    """Means of base per row (A) and quarter of an hour, by local time, over the last weeks.

    Steps are numbered from 1970 by local time, so that weeks fall on one another whatever the
    clocks did between: an hour that is there twice is one, of one that is left out nothing is
    known.
    """

    def __init__(self, wiring: Wiring, zone: tzinfo) -> None:
        """Know of nothing yet."""
        self.rows = metered_rows(wiring)
        self._zone = zone
        self._newest: int | None = None
        self._summed: Singles
        self._minutes: Singles
        self._now_a: Floats
        self._now_at_s = float("-inf")
        self.forget()

    def forget(self) -> None:
        """Forget everything: the clock was wrong."""
        self._newest = None
        shape = (len(self.rows), KEPT_STEPS)
        self._summed, self._minutes = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._now_a = np.full(len(self.rows), nan)

    def step_of(self, at_s: float) -> int:
        """Return the number of the step that an instant (epoch s) lies in."""
        return int((at_s + self._ahead_s(at_s)) // STEP_S)

    def steps_within(self, from_at_s: float, until_at_s: float) -> range:
        """Return the steps that a time (epoch s) has a part in, the first to the last.

        Clocks that go back within it lead through steps before its first or after its last.
        """
        # What ends where a step begins has nothing of it.
        until_at_s = max(from_at_s, until_at_s - SHORT_S)
        instants_s, ahead_s = [from_at_s, until_at_s], self._ahead_s(from_at_s)
        if self._ahead_s(until_at_s) < ahead_s:
            before_s, after_s = from_at_s, until_at_s
            while after_s - before_s > SHORT_S:
                middle_s = (before_s + after_s) / 2
                if self._ahead_s(middle_s) < ahead_s:
                    after_s = middle_s
                else:
                    before_s = middle_s
            instants_s += [before_s, after_s]
        steps = [self.step_of(at_s) for at_s in instants_s]
        return range(min(steps), max(steps) + 1)

    def _ahead_s(self, at_s: float) -> float:
        """Return how far local time is ahead of UTC at an instant (epoch s)."""
        offset = datetime.fromtimestamp(at_s, self._zone).utcoffset()
        assert offset is not None
        return offset.total_seconds()

    def note(self, base_a: Sequence[float], at_s: float, *, lasted_s: float) -> None:
        """Take what base is now, for every row of the site, as it was for so long."""
        values = np.array([base_a[row] for row in self.rows])
        known, at = ~np.isnan(values), self._place_of(self.step_of(at_s))
        if at is not None:
            self._summed[known, at] += values[known] * lasted_s / 60
            self._minutes[known, at] += lasted_s / 60
        weight = min(1.0, lasted_s / NOW_S)
        kept = np.where(np.isnan(self._now_a), values, self._now_a)
        moved = kept + weight * (values - kept)
        self._now_a = np.where(np.isnan(values), self._now_a, moved)

    def gathered(self, minutes: Iterable[tuple[float, Sequence[float]]]) -> tuple[Gathered, ...]:
        """Return minutes of before by step; each has its beginning (epoch s) and a mean per row.

        It may be called in another thread: nothing is learnt yet.
        """
        by_step: dict[int, tuple[Floats, Floats]] = {}
        for at_s, means_a in minutes:
            values = np.array(means_a, dtype=np.float64)
            known = ~np.isnan(values)
            summed, count = by_step.setdefault(
                self.step_of(at_s), (np.zeros(len(values)), np.zeros(len(values)))
            )
            summed[known] += values[known]
            count += known
        return tuple(
            Gathered(step=step, summed_a=summed, minutes=count)
            for step, (summed, count) in by_step.items()
        )

    def recall(self, steps: Iterable[Gathered]) -> None:
        """Take what was gathered of minutes that were not noted."""
        for of_step in steps:
            at = self._place_of(of_step.step)
            if at is not None:
                self._summed[:, at] += of_step.summed_a
                self._minutes[:, at] += of_step.minutes

    def _place_of(self, step: int) -> int | None:
        """Return the column of a step, made if it is later than all known; None if it is too old."""
        if self._newest is None:
            self._newest = step
        ahead = step - self._newest
        if ahead > 0:
            self._advance(min(ahead, KEPT_STEPS))
            self._newest = step
        at = KEPT_STEPS - 1 + step - self._newest
        return at if at >= 0 else None

    def _advance(self, steps: int) -> None:
        for kept in (self._summed, self._minutes):
            kept[:, : KEPT_STEPS - steps] = kept[:, steps:].copy()
            kept[:, KEPT_STEPS - steps :] = 0.0

    @property
    def now_a(self) -> Floats:
        """Return what base has been in the last minutes, per row of `rows`; NaN is not known."""
        return self._now_a

    def mean_a(self, step: int) -> Floats:
        """Return the mean of a step per row of `rows`, NaN where too little of it is known."""
        at = KEPT_STEPS - 1 + step - (step if self._newest is None else self._newest)
        if not 0 <= at < KEPT_STEPS:
            return np.full(len(self.rows), nan)
        return self._means(at, at + 1)[:, 0]

    def _means(self, first: int, last: int) -> Floats:
        minutes = self._minutes[:, first:last]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self._summed[:, first:last].astype(np.float64) / minutes
        return np.where(minutes >= LEAST_MINUTES, means, nan)

    def history(self, until_step: int) -> list[LoadHistory]:
        """Return per row of `rows` what base was up to before a step, from the first that is known.

        All end alike; those of one age have one length.
        """
        if self._newest is None:
            return [LoadHistory(loads=np.empty(0), steps_a_day=STEPS_A_DAY) for _ in self.rows]
        last = min(KEPT_STEPS, max(0, KEPT_STEPS - 1 + until_step - self._newest))
        means = self._means(0, last)
        missing = until_step - 1 - self._newest
        if missing > 0:
            gap = np.full((len(self.rows), min(missing, KEPT_STEPS)), nan)
            means = np.concatenate((means, gap), axis=1)[:, -KEPT_STEPS:]
        histories = []
        for of_row in means:
            known = np.flatnonzero(~np.isnan(of_row))
            first = int(known[0]) if len(known) else len(of_row)
            histories.append(LoadHistory(loads=of_row[first:], steps_a_day=STEPS_A_DAY))
        return histories
