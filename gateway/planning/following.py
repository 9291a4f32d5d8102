"""How a device follows a start: when it begins to draw and how fast it gets there, as it was seen."""

from dataclasses import dataclass
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
class Starts:
    """What was seen of a device's starts, the newest last."""

    settling_s: tuple[Span, ...] = ()
    ramp_ma_per_s: tuple[Span, ...] = ()

    def following(self) -> Following:
        """Return the usual, moved as little as what was seen asks for."""
        return Following(
            settling_s=_moved(SETTLING_S, self.settling_s),
            ramp_ma_per_s=_moved(RAMP_MA_PER_S, self.ramp_ma_per_s),
        )

    def after(self, told_at_s: float, limit_ma: int, before: Sample, now: Sample) -> "Starts":
        """Return what is known after two readings that follow one another in a start.

        It was told to draw `limit_ma` at `told_at_s`, after nothing.
        """
        if now.at_s - told_at_s > LONGEST_START_S or now.current_ma < DRAWING_MA:
            return self
        settling_s, ramps = self.settling_s, self.ramp_ma_per_s
        had_ma, since_s = before.current_ma, max(before.at_s, told_at_s)
        had_begun = had_ma >= DRAWING_MA and before.at_s > told_at_s
        if not had_begun:
            had_ma = 0
            least_s = max(0.0, since_s - told_at_s - SAMPLE_AGE_S)
            settling_s = (*settling_s[1 - KEPT_COUNT :], (least_s, now.at_s - told_at_s))
        is_there = now.current_ma >= NEARLY_ALL_RATIO * limit_ma
        rises_ma, lasted_s = now.current_ma - had_ma, now.at_s - since_s
        if rises_ma >= RISING_MA and lasted_s > 0 and had_ma < NEARLY_ALL_RATIO * limit_ma:
            # Between two readings it had at least so long; where both lie in the ramp, just so long.
            is_inside = had_begun and not is_there
            least = rises_ma / (lasted_s + SAMPLE_AGE_S)
            most = rises_ma / max(1.0, lasted_s - SAMPLE_AGE_S) if is_inside else inf
            ramps = (*ramps[1 - KEPT_COUNT :], (least, most))
        return Starts(settling_s=settling_s, ramp_ma_per_s=ramps)


def _moved(usual: float, spans: tuple[Span, ...]) -> float:
    """Return the median of where what was seen would have the usual value."""
    return median([min(max(usual, least), most) for least, most in spans] or [usual])
