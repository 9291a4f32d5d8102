"""What a vehicle needs, in the words of whoever asks for it (design §4)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.domain.ids import CircuitId, ConnectorRef


class Objective(StrEnum):
    """What is best for a vehicle, once it gets the least it can live with."""

    FASTEST = "fastest"
    MOST_ENERGY = "most_energy"
    BY_DEPARTURE = "by_departure"


class Criticality(StrEnum):
    """How much it matters; a token carries the highest it may claim."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    OPPORTUNISTIC = "opportunistic"

    @property
    def rank(self) -> int:
        """Return 0 for what matters most, 3 for what matters least."""
        return _RANKS[self]


_RANKS = {criticality: rank for rank, criticality in enumerate(Criticality)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOfCharge:
    """A battery: what is in it, what is to be, and what it holds in all."""

    now_pct: float
    target_pct: float
    battery_wh: int

    @property
    def energy_wh(self) -> int:
        """Return what is missing, rounded up; 0 when nothing is."""
        missing_pct = max(0.0, self.target_pct - self.now_pct)
        return -int(-missing_pct * self.battery_wh / 100 // 1)

    @property
    def missing_wh(self) -> float:
        """Return what is missing until it is full."""
        return max(0.0, 100.0 - self.now_pct) * self.battery_wh / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a vehicle wants: energy, window, objective, criticality.

    `arrive_at` None is now, `depart_at` None is whenever; `energy_wh` None is everything there
    is (or what `soc` says is missing). It can live with `min_energy_wh`, and may come and go by
    the slacks later and earlier than said. A need names a connector, or a circuit it draws from
    plainly, or leaves the choice. With `is_fixed` what it is promised may not be moved in time.
    `replaces` is the id of a reservation that is given up for what is held of the answer.
    """

    arrive_at: datetime | None = None
    depart_at: datetime | None = None
    energy_wh: int | None = None
    soc: StateOfCharge | None = None
    min_energy_wh: int = 0
    arrive_slack_s: float = 0.0
    depart_slack_s: float = 0.0
    objective: Objective = Objective.BY_DEPARTURE
    criticality: Criticality = Criticality.NORMAL
    max_power_w: int | None = None
    phase_count: int | None = None
    confidence_ratio: float | None = None
    connector: ConnectorRef | None = None
    circuit: CircuitId | None = None
    id_token: str | None = None
    reference: str | None = None
    is_fixed: bool = False
    replaces: str | None = None

    @property
    def wanted_wh(self) -> int | None:
        """Return the energy wanted, however it was said; None is everything there is."""
        if self.energy_wh is not None or self.soc is None:
            return self.energy_wh
        return self.soc.energy_wh
