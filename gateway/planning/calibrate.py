"""Whether promises are kept as often as they say: the score of every binding quote (design §4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

KEPT_RATIO = 0.98  # Of the energy promised: what counts as kept.
SCORED_COUNT = 500  # The alarm looks at the last so many binding promises.
Z_95, Z_99 = 1.959964, 2.575829


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
    scored = [o for o in outcomes if o.is_binding and not o.is_excused]
    rows = []
    for level in levels:
        of_level = [
            outcome
            for outcome in scored
            if min(levels, key=lambda other: abs(other - outcome.confidence_ratio)) == level
        ]
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


def is_miscalibrated(outcomes: Iterable[Outcome]) -> bool:
    """Return whether the last 500 binding promises were not kept as often as they said.

    The alarm rule of design §4: the 99 % Wilson interval of the rate kept leaves out what was
    promised on average.
    """
    scored = [o for o in outcomes if o.is_binding and not o.is_excused][-SCORED_COUNT:]
    if not scored:
        return False
    low, high = wilson(sum(outcome.is_kept for outcome in scored), len(scored), Z_99)
    promised = sum(outcome.confidence_ratio for outcome in scored) / len(scored)
    return not low <= promised <= high
