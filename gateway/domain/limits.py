"""Limits: an upper bound, whose it is, and how long it holds."""

from dataclasses import dataclass
from enum import IntEnum

from gateway.domain.electric import PerPhase
from gateway.domain.ids import CircuitId, ConnectorRef


class Authority(IntEnum):
    """Who may narrow whom: a lower number stands above (design §3)."""

    SAFETY = 0
    GRID = 1
    SITE = 2
    VETO = 3
    OVERRIDE = 4
    RESERVATION = 5
    PLAN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentLimit:
    """An upper bound on a connector's current per phase.

    Zero means "draw nothing". `phase_count` and `voltage_v` are for stations that take watts:
    the phases the vehicle is proven to use (1 until that is known) and the lowest voltage the
    current may flow at.
    """

    limit_ma: int
    phase_count: int = 1
    voltage_v: float = 207.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A bound on a circuit or a connector from outside the control law; None lifts nothing.

    `source` is a name for people: "grid limit (OpenADR)", "veto by J. Smith". `rating_ma` is the
    rating a circuit has by it, to be above which is an overload; None leaves it its own.
    """

    subject: CircuitId | ConnectorRef
    limit_ma: PerPhase
    authority: Authority
    source: str
    rating_ma: PerPhase | None = None
