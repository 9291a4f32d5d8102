"""Whether promises are kept as often as they say: the score of every binding quote (design §4)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from gateway.domain.promises import Excuse, PromiseState, Reservation

KEPT_RATIO = 0.98  # Of the energy promised: what counts as kept.
SCORED_COUNT = 500  # The alarm looks at the last so many binding promises of each level,
LEAST_COUNT = 20  # and at so many at least: of two at 95 % one breaks as often as one time in ten.
Z_95, Z_99 = 1.959964, 2.575829
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The levels a report has rows for; what was said at another counts for the nearest."""
ROUNDING_RATIO = 1e-9
LATE_S = 120.0
"""Who comes later than that after the last instant said has come late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a promise: how surely it was made, and whether it was kept.

    `is_binding` says whether some circuit would have been at its set-point in the window in at
    least one scenario: others are kept by anybody, and flatter. `is_excused` is a vehicle that
    refused power, came late or left early; it is scored apart.
    """

    confidence_ratio: float
    promised_wh: float
    delivered_wh: float
    is_binding: bool = True
    is_excused: bool = False

    @property
    def is_kept(self) -> bool:
        """Return whether what was promised was delivered."""
        return self.delivered_wh >= KEPT_RATIO * self.promised_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How often promises of one level were kept, with the 95 % Wilson interval of that."""

    level_ratio: float
    promised_ratio: float
    """The mean of what was said."""
    kept_ratio: float
    low_ratio: float
    high_ratio: float
    count: int


def wilson(kept_count: int, count: int, z: float) -> tuple[float, float]:
    """Return the interval that holds the true rate (Wilson 1927); all of 0 to 1 for no promise."""
    if not count:
        return 0.0, 1.0
    rate = kept_count / count
    spread = z * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    middle = rate + z * z / (2 * count)
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def reliability(outcomes: Iterable[Outcome], levels: tuple[float, ...]) -> tuple[Reliability, ...]:
    """Return a row per level for the binding promises nearest to it; excused ones are left out."""
    rows = []
    for level, of_level in _scored_by_level(outcomes, levels).items():
        kept_count, count = sum(outcome.is_kept for outcome in of_level), len(of_level)
        low, high = wilson(kept_count, count, Z_95)
        said = [outcome.confidence_ratio for outcome in of_level]
        rows.append(
            Reliability(
                level_ratio=level,
                promised_ratio=sum(said) / count if count else level,
                kept_ratio=kept_count / count if count else 0.0,
                low_ratio=low,
                high_ratio=high,
                count=count,
            )
        )
    return tuple(rows)


def _scored_by_level(
    outcomes: Iterable[Outcome], levels: tuple[float, ...]
) -> dict[float, list[Outcome]]:
    """Return the outcomes that are scored, each at the level nearest to what was said."""
    of_levels: dict[float, list[Outcome]] = {level: [] for level in levels}
    for outcome in outcomes:
        if outcome.is_binding and not outcome.is_excused:
            said_ratio = outcome.confidence_ratio
            of_levels[min(levels, key=lambda level: abs(level - said_ratio))].append(outcome)
    return of_levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Miscalibration:
    """So many binding promises of a level were kept so often, and it was said otherwise, on average."""

    level_ratio: float
    count: int
    kept_ratio: float
    promised_ratio: float


def miscalibrations(outcomes: Iterable[Outcome]) -> tuple[Miscalibration, ...]:
    """Return the levels at which what was said is far from what was kept.

    The alarm rule of design §4, level by level, so that none hides another: the 99 % Wilson interval
    of the rate kept of the last 500 binding promises leaves out what was promised on average.

    One look is wrong about one time in a hundred. It looks again at each promise that ends: a level
    that is exactly as sure as it says sounds it at some time within 500 of them 10 to 11 times in a
    hundred, and it is over once later ones are kept as said.
    """
    found = []
    for level, of_level in _scored_by_level(outcomes, LEVELS).items():
        last = of_level[-SCORED_COUNT:]
        kept_count, count = sum(outcome.is_kept for outcome in last), len(last)
        if count < LEAST_COUNT:
            continue
        low, high = wilson(kept_count, count, Z_99)
        promised = sum(outcome.confidence_ratio for outcome in last) / count
        if not low - ROUNDING_RATIO <= promised <= high + ROUNDING_RATIO:
            found.append(
                Miscalibration(
                    level_ratio=level,
                    count=count,
                    kept_ratio=kept_count / count,
                    promised_ratio=promised,
                )
            )
    return tuple(found)


def outcome_of(promise: Reservation) -> Outcome | None:
    """Return how a promise is scored; None if it is not: open, given up, or measured by nobody."""
    ended = (PromiseState.FULFILLED, PromiseState.BROKEN, PromiseState.NO_SHOW)
    if promise.state not in ended or promise.is_plain_draw:
        return None
    return Outcome(
        confidence_ratio=promise.confidence_ratio,
        promised_wh=promise.energy_wh,
        delivered_wh=promise.delivered_wh,
        is_binding=promise.is_binding,
        is_excused=promise.excuse is not None,
    )


def excuse_of(promise: Reservation, *, has_left: bool) -> Excuse | None:
    """Return what the vehicle of a promise did that no building can make good, as it is closed.

    `has_left` is whether it has left before its time was over. Who came late is excused whatever
    came of it: those kept all the same would flatter. Who was allowed enough and drew less has
    refused it. Who did not come in time to a connector that could serve nobody then did nothing.
    """
    if not promise.let_down:
        if promise.arrived_at_s is None:
            return Excuse.NO_SHOW
        if promise.arrived_at_s > promise.from_at_s + LATE_S:
            return Excuse.CAME_LATE
    kept_wh = KEPT_RATIO * promise.energy_wh
    if promise.delivered_wh >= kept_wh:
        return None
    if has_left:
        return Excuse.LEFT_EARLY
    return Excuse.REFUSED_POWER if promise.allowed_wh >= kept_wh else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityReport:
    """Whether promises are kept as often as they say.

    `rows` are of binding promises, `slack_count` were not: anybody would have kept those.
    `excused` counts what vehicles did that no building can make good.
    """

    rows: tuple[Reliability, ...]
    slack_count: int
    slack_kept_count: int
    excused: Mapping[Excuse, int]
    miscalibrations: tuple[Miscalibration, ...]


def reliability_report(promises: Iterable[Reservation]) -> ReliabilityReport:
    """Return the report of promises, the one closed last at the end."""
    scored = [(promise, outcome_of(promise)) for promise in promises]
    outcomes = [outcome for _, outcome in scored if outcome is not None]
    excused = Counter(
        promise.excuse
        for promise, outcome in scored
        if outcome is not None and promise.excuse is not None
    )
    slack = [o for o in outcomes if not o.is_binding and not o.is_excused]
    return ReliabilityReport(
        rows=reliability(outcomes, LEVELS),
        slack_count=len(slack),
        slack_kept_count=sum(outcome.is_kept for outcome in slack),
        excused={excuse: excused[excuse] for excuse in Excuse},
        miscalibrations=miscalibrations(outcomes),
    )
