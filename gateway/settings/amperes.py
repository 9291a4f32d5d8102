"""From amperes as people write them to integer milliamperes per phase."""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from gateway.domain.electric import PerPhase, Phase

PHASE_NAMES = tuple(phase.name for phase in Phase)

Present = tuple[bool, bool, bool]
"""Which of L1, L2 and L3 a circuit has."""

ALL_PHASES: Present = (True, True, True)
Amperes = float | tuple[float, float, float]
"""One number for every phase a circuit has, or three."""


def ma_down(current_a: float) -> int:
    """Return mA, rounded down: for what may be drawn."""
    return int((Decimal(str(current_a)) * 1_000).to_integral_value(ROUND_FLOOR))


def ma_up(current_a: float) -> int:
    """Return mA, rounded up: for what is drawn at worst."""
    return int((Decimal(str(current_a)) * 1_000).to_integral_value(ROUND_CEILING))


def spread(amount_a: Amperes, present: Present, *, to_ma: Callable[[float], int]) -> PerPhase:
    """Return mA per phase; a single number is for each phase that is present."""
    if not isinstance(amount_a, tuple):
        amount_ma = to_ma(amount_a)
        l1, l2, l3 = (amount_ma if is_there else 0 for is_there in present)
    else:
        l1, l2, l3 = (to_ma(amount) for amount in amount_a)
    return l1, l2, l3


def phases_left(rating_a: Amperes, above: Present) -> Present:
    """Return the phases a circuit has that is fed by one with the phases `above`."""
    rating_ma = spread(rating_a, above, to_ma=ma_down)
    l1, l2, l3 = (a and bool(ma) for a, ma in zip(above, rating_ma, strict=True))
    return l1, l2, l3
