"""What the judge remembers of circuits, stations, connectors and visits while it watches."""

from collections import deque
from dataclasses import dataclass, field
from math import inf

from drivers.sim.evse import Evse
from drivers.sim.faults import FaultKind
from drivers.sim.omniscient import Guest
from drivers.sim.scenario import Visit
from drivers.sim.station import Station
from drivers.sim.wires import Wires
from gateway.domain.charging import RateUnit
from gateway.domain.ids import CircuitId, ConnectorRef

TROUBLE_LASTS_S = 300.0  # After a fault it takes this long until everything is as before.
PROOF_WITHIN_S = 300.0  # Of drawing something that can be seen to stop.
SEEN_TO_STOP_A = 1.5  # In the station's own readings,
SEEN_IN_CIRCUIT_A = 4.5  # and in those of the circuit, where it tells none.

TROUBLES = frozenset(
    {
        FaultKind.STATION_LOST,
        FaultKind.STATION_DISOBEDIENT,
        FaultKind.STATION_RUNAWAY,
        FaultKind.STATION_LATE,
        FaultKind.STATION_REJECTS,
        FaultKind.STATION_REBOOT,
        FaultKind.STATION_CLOCK_JUMP,
    }
)
# After these nobody knows any more whether the station obeys: so it looks to the gateway.
UNPROVING = frozenset(
    {
        FaultKind.STATION_DISOBEDIENT,
        FaultKind.STATION_RUNAWAY,
        FaultKind.STATION_REBOOT,
        FaultKind.STATION_LYING,
        FaultKind.STATION_METER_FROZEN,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An invariant was broken: which, when, and the figures."""

    what: str
    at_s: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A hungry vehicle's limit fell below the minimum; needless if the true room sufficed."""

    at_s: float
    connector: ConnectorRef
    is_needless: bool


@dataclass(slots=True, kw_only=True)
class VisitRecord:
    """A visit and what came of it; `left_s` is None while the vehicle is there."""

    visit: Visit
    guest: Guest
    delivered_wh: float = 0.0
    finished_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step of base, and whether the reserve covers what it has risen within one reaction."""

    at_s: float
    circuit: CircuitId
    is_inside_reserve: bool


@dataclass(slots=True, eq=False)
class CircuitWatch:
    """One circuit's base over the last reaction, and what that explains."""

    wires: Wires
    reserve_a: float
    history: tuple[deque[float], deque[float], deque[float]] = field(
        default_factory=lambda: (deque(), deque(), deque())
    )
    blind_from_s: float = inf
    blind_until_s: float = -inf
    beyond_until_s: float = -inf
    spent_inside_ratio: float = 0.0
    is_third_spent: bool = False
    is_all_spent: bool = False
    is_long: bool = False
    is_left_on: bool = False
    long_s: list[float] = field(default_factory=list)
    """When the circuit was surely seen to be over its rating for long, since the gateway began."""
    is_in_long: bool = False
    limit_a: float | None = None
    """What somebody outside allows."""
    beyond_since_s: float | None = None
    is_beyond_told: bool = False

    def exceeded(self) -> str | None:
        """Return which of its bounds besides the rating it is beyond now, and by how much."""
        wires, circuit = self.wires, self.wires.circuit
        declared = (circuit.power_limit_va, circuit.neutral_ma, circuit.imbalance_ma)
        if self.limit_a is None and declared == (None, None, None):
            return None
        for name, flows, bound in (
            ("outside limit, A", max(wires.current_a), self.limit_a),
            ("power, VA", wires.apparent_va(), circuit.power_limit_va),
            ("neutral, mA", wires.neutral_a() * 1_000, circuit.neutral_ma),
            ("imbalance, mA", wires.imbalance_a() * 1_000, circuit.imbalance_ma),
        ):
            if bound is not None and flows > bound:
                return f"{name}: {flows:.1f} of {bound:g}"
        return None

    def room_a(self, phase: int) -> float:
        """Return what the set-point leaves for vehicles on a phase."""
        return self.wires.set_point_a[phase] - self.wires.base_a[phase]


Row = tuple[CircuitWatch, int]
"""A phase of a circuit."""


@dataclass(slots=True, eq=False)
class StationWatch:
    """One station: when it was last in trouble, and how long it has had to prove that it obeys.

    `deaf_s` is when a gateway that is there last could not have it obey.
    """

    station: Station
    deaf_s: float = -inf
    trouble_s: float = -inf
    proving_s: float = 0.0

    def look(self, at_s: float, *, is_gateway_dead: bool, every_s: float) -> None:
        """Look whether it is in trouble, or doing what shows whether it obeys."""
        station = self.station
        kinds = {fault.kind for fault in station.faults}
        if kinds & TROUBLES or not (station.is_linked or is_gateway_dead):
            self.deaf_s = at_s
        if is_gateway_dead or not station.is_linked or kinds & TROUBLES:
            self.trouble_s = at_s
        if is_gateway_dead or not station.is_powered or kinds & UNPROVING:
            self.trouble_s = at_s
            self.proving_s = 0.0
        shows_a = SEEN_TO_STOP_A if self.tells_currents else SEEN_IN_CIRCUIT_A
        if any(evse.draw_a >= shows_a for evse in station.evses.values()):
            self.proving_s += every_s

    @property
    def tells_currents(self) -> bool:
        """Return whether its meter values say what flows on which phase."""
        station = self.station
        return not station.hides_its_draw and RateUnit.AMPERES in station.store.rate_units

    def is_in_trouble(self, at_s: float) -> bool:
        """Return whether it is in trouble, or was a moment ago."""
        return at_s - self.trouble_s < TROUBLE_LASTS_S

    def may_be_doubted(self, at_s: float) -> bool:
        """Return whether a careful gateway may still think that it does not obey.

        One that tells nothing and whose clock jumped may be doubted for good: its leases end
        when nobody can know.
        """
        station = self.station
        is_adrift = station.has_clock_jumped and not station.traits.sends_meter_values
        return is_adrift or self.is_in_trouble(at_s) or self.proving_s < PROOF_WITHIN_S


@dataclass(slots=True, eq=False)
class ConnectorWatch:
    """One connector: who is on it, which rows it draws from, and how long it has waited.

    `wired_rows` are those it can draw from, `rows` those its vehicle uses.
    """

    evse: Evse
    of_station: StationWatch
    circuits: tuple[CircuitWatch, ...]
    wired_rows: tuple[Row, ...]
    rows: tuple[Row, ...] = ()
    record: VisitRecord | None = None
    starved_s: float = 0.0
    unused_s: float = 0.0
    occupied_s: float = 0.0
    limit_change_count: int = 0
    is_old_limit_told: bool = False
    is_unlocked_told: bool = False

    @property
    def station(self) -> Station:
        """Return the station it belongs to."""
        return self.of_station.station
