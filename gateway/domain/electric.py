"""Phases, and the passage between amperes and watts."""

from enum import IntEnum

PerPhase = tuple[int, int, int]
"""One integer per phase of the supply, in the order L1, L2, L3."""

NOTHING: PerPhase = (0, 0, 0)
MIN_CHARGING_MA = 6_000  # IEC 61851-1: an EV offered less than 6 A must not draw.
STEP_MA = 100  # OCPP 1.6 limits carry one decimal.
LOWEST_VOLTAGE_PCT = 90  # EN 50160: the nominal voltage less 10 %,
HIGHEST_VOLTAGE_PCT = 110  # and more by as much.


class Phase(IntEnum):
    """A phase of the site's supply; the value indexes a `PerPhase`."""

    L1 = 0
    L2 = 1
    L3 = 2


def power_w(current_ma: int, *, voltage_v: float, phase_count: int) -> int:
    """Return the real power of `current_ma` on each of `phase_count` phases, rounded down."""
    return int(current_ma * voltage_v * phase_count / 1_000)


def in_amperes_ma(limit_ma: int) -> int:
    """Return the current that a limit allows which was told in watts at the nominal voltage."""
    return -(-limit_ma * 100 // LOWEST_VOLTAGE_PCT)


def in_watts_ma(current_ma: int) -> int:
    """Return the highest limit told in watts that never allows more than a current."""
    return current_ma * LOWEST_VOLTAGE_PCT // 100


def current_ma(power_w: float, *, voltage_v: float, phase_count: int) -> int:
    """Return the current per phase that carries `power_w`, rounded up: what is drawn is not less.

    Raises:
        ValueError: the voltage or the number of phases is not positive.
    """
    if voltage_v <= 0 or phase_count <= 0:
        message = f"no current carries {power_w} W at {voltage_v} V on {phase_count} phases"
        raise ValueError(message)
    return -int(-power_w * 1_000 // (voltage_v * phase_count))
