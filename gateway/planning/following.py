"""How a device follows what it is told: when it begins, and how fast it gets there, as was seen."""

from dataclasses import dataclass, replace
from math import inf
from statistics import median

SETTLING_S = 8.0
"""A station answers within 3 s (design §3), and a vehicle begins within 5 s (IEC 61851-1)."""

RAMP_MA_PER_S = 32_000 / 6.0
"""A vehicle is where it will be 6 s after it has begun (IEC 61851-1), at the largest connectors too."""

LONGEST_START_S = 120.0
"""A vehicle that begins later does so for a reason of its own: nothing is learnt of it."""

KEPT_COUNT = 9
DRAWING_MA, RISING_MA = 1_000, 500
SAMPLE_AGE_S = 2.0  # A reading may be so much older than its arrival.
NEARLY_ALL_RATIO = 0.9  # Of its limit: who draws so much may be there already.

Span = tuple[float, float]
"""Between what and what a value must have been for what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """From nothing a device begins to draw after `settling_s`, then more by `ramp_ma_per_s`."""

    settling_s: float = SETTLING_S
    ramp_ma_per_s: float = RAMP_MA_PER_S


USUALLY = Following()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a device drew, and when that was read."""

    at_s: float
    current_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a device was told: to draw `limit_ma`, when it drew `had_ma`."""

    at_s: float
    limit_ma: int
    had_ma: int = 0

    def is_followed_by(self, sample: Sample) -> bool:
        """Return whether a reading shows that it has begun to follow."""
        return sample.at_s > self.at_s and sample.current_ma - self.had_ma >= DRAWING_MA


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What was seen of how a device follows, the newest last: starts, and raises of what it drew.

    Starts tell best how it starts; while none was seen raises do.
    """

    starts_s: tuple[Span, ...] = ()
    raises_s: tuple[Span, ...] = ()
    ramps_ma_per_s: tuple[Span, ...] = ()

    def following(self) -> Following:
        """Return the usual, moved as little as what was seen asks for."""
        return Following(
            settling_s=_moved(SETTLING_S, self.starts_s or self.raises_s),
            ramp_ma_per_s=_moved(RAMP_MA_PER_S, self.ramps_ma_per_s),
        )

    def after(self, told: Told, before: Sample, now: Sample) -> "Followed":
        """Return what is known after two readings that follow one another, the last since it was told."""
        if now.at_s - told.at_s > LONGEST_START_S or not told.is_followed_by(now):
            return self
        known, had_begun = self, told.is_followed_by(before)
        had_ma = before.current_ma if had_begun else told.had_ma
        since_s = max(before.at_s, told.at_s)
        if not had_begun:
            span = max(0.0, since_s - told.at_s - SAMPLE_AGE_S), now.at_s - told.at_s
            known = known._with_settling(span, is_start=not told.had_ma)
        nearly_all_ma = told.had_ma + NEARLY_ALL_RATIO * (told.limit_ma - told.had_ma)
        rises_ma, lasted_s = now.current_ma - had_ma, now.at_s - since_s
        if rises_ma >= RISING_MA and lasted_s > 0 and had_ma < nearly_all_ma:
            # Between two readings it had at least so long; where both lie in the ramp, just so long.
            is_inside = had_begun and now.current_ma < nearly_all_ma
            least = rises_ma / (lasted_s + SAMPLE_AGE_S)
            most = rises_ma / max(1.0, lasted_s - SAMPLE_AGE_S) if is_inside else inf
            ramps = (*known.ramps_ma_per_s[1 - KEPT_COUNT :], (least, most))
            known = replace(known, ramps_ma_per_s=ramps)
        return known

    def _with_settling(self, span: Span, *, is_start: bool) -> "Followed":
        if is_start:
            return replace(self, starts_s=(*self.starts_s[1 - KEPT_COUNT :], span))
        return replace(self, raises_s=(*self.raises_s[1 - KEPT_COUNT :], span))


def _moved(usual: float, spans: tuple[Span, ...]) -> float:
    """Return the median of where what was seen would have the usual value."""
    return median([min(max(usual, least), most) for least, most in spans] or [usual])
