"""The site as built: circuits, meters, loads, stations and who hangs where."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.electric import NOTHING, PerPhase, Phase
from gateway.domain.ids import (
    BusId,
    CircuitId,
    ConnectorRef,
    LoadId,
    MeterId,
    SourceId,
    StationId,
)
from gateway.domain.rating_calendar import CalendarRating, lowest_rating


class OvercurrentDevice(StrEnum):
    """The device that protects a circuit."""

    MCB = "mcb"
    MCCB = "mccb"
    FUSE = "fuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class TripCurve:
    """A first-order thermal model of an overcurrent device.

    The state θ follows (I/In)² with one time constant; θ = 1 after long at the rating and
    the device trips at `trip_ratio`² (design §3, thermal budget).
    """

    trip_ratio: float
    time_constant_s: float


FASTEST_CURVE = {
    # IEC 60898-1 table 7: 1.13 In is carried for an hour; 2.55 In from cold lasts at least 1 s.
    # 1 s = τ ln(2.55² / (2.55² - 1.13²)) gives the shortest time constant it allows.
    OvercurrentDevice.MCB: TripCurve(trip_ratio=1.13, time_constant_s=4.57),
    # IEC 60947-2 8.3.3.1.3: 1.05 In is carried for two hours; the standard states no shortest
    # time at higher currents, so the corner of IEC 60898-1 is taken: 1 s at 2.55 In.
    OvercurrentDevice.MCCB: TripCurve(trip_ratio=1.05, time_constant_s=5.39),
    # IEC 60269-1: a gG fuse carries 1.25 In for its conventional time; its pre-arcing time at
    # 2.55 In is far above 1 s, so the same corner is on the safe side.
    OvercurrentDevice.FUSE: TripCurve(trip_ratio=1.25, time_constant_s=3.65),
}

SET_POINT_RATIO = {
    OvercurrentDevice.MCB: 0.95,
    OvercurrentDevice.MCCB: 0.90,
    OvercurrentDevice.FUSE: 0.90,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A node of the electrical tree.

    `worst_case_base_ma` is the most that everything on the circuit which is neither a
    connector nor a declared load can draw; `set_point_ratio` is what part of the rating
    Headroom aims at. Three more bounds where they are declared: the apparent power over all
    phases, the rating of the neutral, and the largest difference between two phases.
    """

    id: CircuitId
    parent: CircuitId | None
    rating_ma: PerPhase
    device: OvercurrentDevice
    set_point_ratio: float
    curve: TripCurve
    meter: MeterId | None = None
    worst_case_base_ma: PerPhase = NOTHING
    ratings: tuple[CalendarRating, ...] = ()
    """Lower ratings it has at times."""
    power_limit_va: int | None = None
    neutral_ma: int | None = None
    imbalance_ma: int | None = None

    @property
    def set_point_ma(self) -> PerPhase:
        """Return the current aimed at on each phase, rounded down."""
        return self.set_point_of(self.rating_ma)

    @property
    def lowest_set_point_ma(self) -> PerPhase:
        """Return the lowest current ever aimed at on each phase, by any rating of its calendar."""
        return self.set_point_of(lowest_rating(self.rating_ma, self.ratings))

    def set_point_of(self, rating_ma: PerPhase) -> PerPhase:
        """Return the current aimed at under a rating, rounded down."""
        l1, l2, l3 = (int(rating * self.set_point_ratio) for rating in rating_ma)
        return l1, l2, l3


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A power meter and how it is reached and read.

    `phases` are the supply phases its own L1, L2, L3 are clamped on; currents and powers are
    multiplied by `ct_ratio`; `invert` swaps import and export. `interval_s` is how often it
    is read.
    """

    id: MeterId
    bus: BusId
    unit: int
    profile: str
    ct_ratio: float = 1.0
    invert: bool = False
    phases: tuple[Phase, ...] = (Phase.L1, Phase.L2, Phase.L3)
    interval_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A large known load: it counts in the proof and is watched.

    Loads of one `interlock` group promise never to run at the same time.
    """

    id: LoadId
    circuit: CircuitId
    worst_case_ma: PerPhase
    interlock: str | None = None


class SourceKind(StrEnum):
    """What feeds a circuit from below."""

    PV = "pv"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What feeds a circuit from below and may vanish: its output is added back to base.

    `nameplate_ma` is the most it gives; that counts where no meter tells its output.
    """

    id: SourceId
    circuit: CircuitId
    kind: SourceKind
    nameplate_ma: PerPhase
    meter: MeterId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A connector as wired.

    `phases` are the supply phases of the connector's own L1, L2, L3, in that order, so a
    rotated three-phase connector reads (L2, L3, L1) and a single-phase one has one entry.
    """

    ref: ConnectorRef
    circuit: CircuitId
    phases: tuple[Phase, ...]
    max_ma: int
    fallback_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingStation:
    """A charging station as declared: a set of connectors behind one OCPP identity.

    One that `takes_watts` has its limits told in watts, at the nominal voltage.
    """

    id: StationId
    connectors: tuple[Connector, ...]
    takes_watts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that is declared about a building; circuits are listed parents first."""

    name: str
    timezone: str
    voltage_v: float
    circuits: tuple[Circuit, ...]
    meters: tuple[Meter, ...] = ()
    loads: tuple[Load, ...] = ()
    sources: tuple[Source, ...] = ()
    stations: tuple[ChargingStation, ...] = ()

    @property
    def connectors(self) -> tuple[Connector, ...]:
        """Return every connector, station by station."""
        return tuple(c for station in self.stations for c in station.connectors)

    def path_to_root(self, circuit: CircuitId) -> tuple[CircuitId, ...]:
        """Return the circuit and all its parents, nearest first."""
        parents = {c.id: c.parent for c in self.circuits}
        path = [circuit]
        while (parent := parents[path[-1]]) is not None:
            path.append(parent)
        return tuple(path)
