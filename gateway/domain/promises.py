"""A promise, from the question to what became of it; instants are seconds since the epoch."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.needs import Criticality, Objective

CIRCUIT_PLACE = "circuit:"
"""What the place of a plain draw on a circuit begins with."""


HOLD_S = 120.0
"""How long a hold lasts that nobody confirms."""


class Excuse(StrEnum):
    """What a vehicle did that no building can make good: such promises are scored apart."""

    NO_SHOW = "no_show"
    CAME_LATE = "came_late"
    LEFT_EARLY = "left_early"
    REFUSED_POWER = "refused_power"


class PromiseState(StrEnum):
    """Where a promise stands."""

    HELD = "held"
    CONFIRMED = "confirmed"
    ARRIVED = "arrived"
    FULFILLED = "fulfilled"
    BROKEN = "broken"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Return whether it still takes room: nothing has become of it yet."""
        return self in _OPEN


# Looked up once: in CPython 3.11 that costs more than to compare, and each promise is asked often.
_OPEN = (PromiseState.HELD, PromiseState.CONFIRMED, PromiseState.ARRIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A current per phase from one instant to another."""

    from_at_s: float
    until_at_s: float
    current_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A promise on a connector (`place`): its envelope, what it carries, and how surely.

    `rows` are what the envelope loads, alike on each, over `phase_count` phases.
    `guaranteed_wh` no plan may take back; with `is_fixed` its times may not be moved either.
    `objective` is what it was asked for.
    The envelope is of the time in which its vehicle is surely there; `arrive_slack_s` before and
    `depart_slack_s` after that it may be there, and nobody else has the connector.
    `waits_for` says whose leaving it needs. A hold lapses at `hold_until_at_s` unless it is
    confirmed. `reference`, `id_token` and `holder` (the token that asked) tie it to who comes.
    `allowed_wh` is what the limits its station had accepted would have carried while its vehicle was
    there and the station could serve it, and what that drew before it began.
    `max_ma` is the most its vehicle takes (None: the highest of the envelope), and `taper` from how
    many Wh delivered on it takes at most how many mA. `is_binding` says
    whether the building was short in its window in at least one scenario when it was made, and
    `excuse` what its vehicle did if it was not kept for that. `let_down` says what had its connector
    serve nobody when its vehicle was to come, or left. `cause` says why it became what it is, where
    that is not plain.
    """

    id: str
    place: str
    rows: tuple[int, ...]
    envelope: tuple[Stretch, ...]
    energy_wh: int
    guaranteed_wh: int
    confidence_ratio: float
    criticality: Criticality
    state: PromiseState
    hold_until_at_s: float
    holder: str = ""
    reference: str | None = None
    id_token: str | None = None
    delivered_wh: float = 0.0
    allowed_wh: float = 0.0
    phase_count: int = 3
    max_ma: int | None = None
    taper: tuple[tuple[float, int], ...] = ()
    is_binding: bool = False
    is_fixed: bool = False
    objective: Objective = Objective.BY_DEPARTURE
    arrive_slack_s: float = 0.0
    depart_slack_s: float = 0.0
    waits_for: str = ""
    arrived_at_s: float | None = None
    closed_at_s: float | None = None
    cause: str = ""
    excuse: Excuse | None = None
    let_down: str = ""

    @property
    def is_plain_draw(self) -> bool:
        """Return whether it is a draw on a circuit: no vehicle comes, and nothing is measured."""
        return self.place.startswith(CIRCUIT_PLACE)

    @property
    def made_at_s(self) -> float:
        """Return when it was first held."""
        return self.hold_until_at_s - HOLD_S

    @property
    def from_at_s(self) -> float:
        """Return when its envelope begins: its vehicle has come by then, or is late."""
        return self.envelope[0].from_at_s

    @property
    def until_at_s(self) -> float:
        """Return when its envelope ends: its vehicle may leave from then on."""
        return self.envelope[-1].until_at_s

    @property
    def opens_at_s(self) -> float:
        """Return from when on its connector is its vehicle's."""
        return self.from_at_s - self.arrive_slack_s

    @property
    def closes_at_s(self) -> float:
        """Return until when its connector is its vehicle's."""
        return self.until_at_s + self.depart_slack_s

    def meets(self, from_at_s: float, until_at_s: float) -> bool:
        """Return whether its connector is its vehicle's in any part of a time."""
        return self.opens_at_s < until_at_s and from_at_s < self.closes_at_s
