"""What a person knows of the future: something will draw more than the weeks before tell."""

from dataclasses import dataclass

from gateway.domain.electric import PerPhase
from gateway.domain.ids import CircuitId


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEvent:
    """On a circuit `extra_ma` will be drawn on top of what is usual, between two epoch seconds.

    `note` says what it is for people, `by` who said so. One that is cancelled never was.
    """

    id: str
    circuit: CircuitId
    from_at_s: float
    until_at_s: float
    extra_ma: PerPhase
    note: str = ""
    by: str = ""
    is_cancelled: bool = False
