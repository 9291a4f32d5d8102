"""What people are shown of a running daemon: one value, the same for every view and command."""

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.alarms import Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseView:
    """One phase of a circuit, in mA; `current_ma` is None where nothing measures it.

    `bound_ma` is what is aimed at (`bound_source`: whose limit it is, None the set-point).
    `age_s` is the reading's age; too old a reading is not shown, its age is. Available is the bound
    less base, reserve and `promised_ma`, which loads that were promised it may still add to base.
    """

    phase: str
    rating_ma: int
    set_point_ma: int
    bound_ma: int
    bound_source: str | None
    current_ma: int | None
    age_s: float | None
    base_ma: int
    reserve_ma: int
    promised_ma: int
    available_ma: int
    claimed_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitView:
    """A circuit and the phases it has."""

    id: str
    parent: str | None
    device: str
    meter: str | None
    phases: tuple[PhaseView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorView:
    """A connector: how it is, what it may take, what it takes, and the sentence why.

    `draw_ma` has one entry for each supply phase (None: its station gives watts or nothing).
    `lease_s` is how long the limit in force still runs by itself, None without a lease.
    """

    connector: str
    circuit: str
    phases: tuple[str, ...]
    condition: str
    is_connected: bool
    ocpp: str | None
    limit_ma: int
    told_ma: int | None
    max_ma: int
    fallback_ma: int | None
    draw_ma: tuple[int, int, int] | None
    power_w: float | None
    draw_age_s: float | None
    lease_s: float | None
    reason: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceView:
    """What feeds a circuit from below; `age_s` is its meter's, None if that was never read."""

    id: str
    meter: str | None
    age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationView:
    """A station: whether it is there, and what it has been seen to do.

    `obeys`: it cut when told to; `falls_back`: it fell back by itself when a lease lapsed.
    """

    id: str
    is_connected: bool
    obeys: bool
    falls_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole site after one cycle."""

    site: str
    at: datetime
    running_s: float
    is_stopped: bool
    circuits: tuple[CircuitView, ...]
    connectors: tuple[ConnectorView, ...]
    stations: tuple[StationView, ...] = ()
    sources: tuple[SourceView, ...] = ()
    pending: tuple[str, ...] = ()
    """Stations that are connected and wait for adoption."""
    alarms: tuple[Alarm, ...] = ()
    """What is wrong with Headroom itself and wants a person."""
    counters: dict[str, int]
    limit_latency_p50_s: float | None = None
    limit_latency_p99_s: float | None = None
