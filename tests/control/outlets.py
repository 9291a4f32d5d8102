"""Stations' connectors as they truly are: what each was told and keeps, and what its vehicle does."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from gateway.domain.circuits import Connector
from gateway.domain.ids import TransactionId

NOMINAL_V = 230.0
SAMPLES = 3  # A sample may be two seconds older than its arrival.
NEVER_S = -inf

Phases = tuple[int, int, int]


class Tells(Enum):
    """What a station's meter values hold."""

    AMPERES = auto()
    WATTS = auto()
    ENERGY = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How a station is made.

    A lease lapses `lease_extra_s` later than told, for clocks differ; one for a transaction
    perhaps not at all. Of a limit in watts it takes the part of each phase that the profile
    counts, or that its vehicle uses.
    """

    takes_watts: bool = False
    divides_by_use: bool = False
    tells: Tells = Tells.AMPERES
    interval_s: int = 10
    answers_questions: bool = True
    latest_answer_s: int = 1
    has_tx_profile: bool = True
    has_default_lease: bool = True
    lapses: bool = True
    has_fallback: bool = True
    resumes_transaction: bool = True
    forgets_in_boot: bool = False
    lease_extra_s: int = 5
    voltage_v: float = NOMINAL_V


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A limit as a station keeps it; a fallback lasts for ever."""

    limit_ma: int
    phase_count: int = 1
    until_s: float = inf


@dataclass(slots=True, kw_only=True)
class Vehicle:
    """What a vehicle would take and does draw, on each of the supply phases it uses."""

    phases: tuple[int, ...]
    takes_ma: int
    rests: bool = False
    was_paused: bool = True
    follows_ma: int = 0
    follows_at_s: float | None = None

    @property
    def draws_ma(self) -> int:
        return 0 if self.rests else min(self.follows_ma, self.takes_ma)


@dataclass(slots=True, kw_only=True)
class Outlet:
    """A connector, and what its station keeps for it."""

    connector: Connector
    traits: Traits
    fallback: Profile | None = None
    default_lease: Profile | None = None
    tx_lease: Profile | None = None
    transaction: TransactionId | None = None
    vehicle: Vehicle | None = None
    obeys_from_s: float = NEVER_S
    drawn_ma: deque[Phases] = field(
        default_factory=lambda: deque([(0, 0, 0)] * SAMPLES, maxlen=SAMPLES)
    )

    def in_force(self, now_s: float) -> Profile | None:
        """Return the profile that limits it; None: nothing but how it is installed."""
        tx_lease, default_lease = self.tx_lease, self.default_lease
        if tx_lease is not None and (now_s < tx_lease.until_s or not self.traits.lapses):
            return tx_lease
        if default_lease is not None and now_s < default_lease.until_s:
            return default_lease
        return self.fallback

    def limit_ma(self, now_s: float) -> int:
        """Return the most its vehicle may draw on a phase, by what the station has to obey."""
        profile, most_ma = self.in_force(now_s), self.connector.max_ma
        if profile is None:
            return most_ma
        if not self.traits.takes_watts:
            return min(profile.limit_ma, most_ma)
        power_w = int(profile.limit_ma * NOMINAL_V * profile.phase_count / 1_000)
        count = profile.phase_count
        if self.traits.divides_by_use:
            count = 1 if self.vehicle is None else len(self.vehicle.phases)
        return min(int(power_w * 1_000 / (self.traits.voltage_v * count)), most_ma)

    def draw_ma(self) -> Phases:
        """Return what flows on each supply phase."""
        vehicle = self.vehicle
        if vehicle is None:
            return 0, 0, 0
        one, two, three = (vehicle.draws_ma if p in vehicle.phases else 0 for p in range(3))
        return one, two, three


@dataclass(slots=True, kw_only=True)
class Line:
    """A station's connection, and until when it is busy or does not do its part."""

    is_linked: bool = True
    is_powered: bool = True
    has_booted: bool = False
    busy_until_s: float = NEVER_S
    mute_until_s: float = NEVER_S
    refuses_until_s: float = NEVER_S
    late_until_s: float = NEVER_S
    silent_until_s: float = NEVER_S
