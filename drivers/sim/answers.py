"""How long each fault went unanswered, by what happened in the plant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.sim.faults import METER_FAULTS, Fault, FaultKind
from drivers.sim.judge import Judge
from drivers.sim.station import Station
from gateway.domain.circuits import Site
from gateway.domain.ids import CircuitId, MeterId, StationId

WATCHED_AFTER_S = 300.0  # How long after its end a fault may still be answered.
SETTLED_AFTER_S = 45.0  # What a fault does to the currents has shown by then.
WITHIN_RATIO = 1.005  # Of the set-point: the noise of a load is no overload.

_GO_BY_THEMSELVES = frozenset({FaultKind.STATION_LOST, FaultKind.BASE_STEP, FaultKind.STOP_PRESSED})
_RESTARTS = frozenset(
    {
        FaultKind.STATION_REBOOT,
        FaultKind.STATION_CLOCK_JUMP,
        FaultKind.STATION_WATTS_ONLY,
        FaultKind.WALL_CLOCK_JUMP,
        FaultKind.GATEWAY_KILL,
    }
)


@dataclass(slots=True, kw_only=True)
class FaultRecord:
    """A fault and how long it took until the plant was as safe as it should be again.

    A lost, frozen or mute meter is answered when no vehicle on its circuit may draw more than its
    fallback; a lost station when its leases have lapsed to its fallback; a pressed stop input when
    nobody draws; a restart, a clock that jumped or a change of unit when a station took a new
    limit; a step of base once every circuit above it has again what is kept for the next one; all
    else when every circuit above it is within its set-point for good (0: it never was above). None:
    it was over before that, or never was answered.
    """

    fault: Fault
    answered_in_s: float | None = None
    last_over_s: float | None = None


class FaultLog:
    """Watches the faults under way until each is answered."""

    def __init__(self, site: Site, stations: Mapping[StationId, Station], judge: Judge) -> None:
        self.records: list[FaultRecord] = []
        self._site = site
        self._stations = stations
        self._judge = judge
        self._open: list[FaultRecord] = []

    def begin(self, fault: Fault) -> None:
        """A fault is on from now."""
        record = FaultRecord(fault=fault)
        self.records.append(record)
        self._open.append(record)

    def tick(self, at_s: float) -> None:
        """Look whether anything has been answered, once a second."""
        if not self._open:
            return
        still: list[FaultRecord] = []
        for record in self._open:
            fault = record.fault
            if at_s >= self._watched_until_s(fault):
                continue
            answered_s = self._answered_s(record, at_s)
            if answered_s is None:
                still.append(record)
            else:
                record.answered_in_s = round(answered_s - fault.at_s, 3)
        self._open = still

    def _watched_until_s(self, fault: Fault) -> float:
        # With the meter or the station back, or the load gone, there is nothing left to answer.
        ends = fault.kind in METER_FAULTS or fault.kind in _GO_BY_THEMSELVES
        return fault.until_s if ends else fault.until_s + WATCHED_AFTER_S

    def _answered_s(self, record: FaultRecord, at_s: float) -> float | None:
        """Return when the fault was answered, once that is known."""
        fault = record.fault
        if fault.kind in METER_FAULTS:
            below = self._stations_below(self._metered_by(fault))
            return at_s if all(self._is_at_fallback(station) for station in below) else None
        if fault.kind is FaultKind.STATION_LOST:
            lost = self._stations[StationId(fault.subject)]
            is_leased = any(evse.is_leased for evse in lost.evses.values())
            return at_s if not is_leased and self._is_at_fallback(lost) else None
        if fault.kind is FaultKind.STOP_PRESSED:
            evses = [evse for station in self._stations.values() for evse in station.evses.values()]
            return None if any(evse.draw_a for evse in evses) else at_s
        if fault.kind in _RESTARTS:
            stations: Sequence[Station] = tuple(self._stations.values())
            if fault.subject:
                stations = (self._stations[StationId(fault.subject)],)
            from_s = fault.until_s if fault.kind is FaultKind.GATEWAY_KILL else fault.at_s
            leases_s = [e.leased_at_s for s in stations for e in s.evses.values()]
            return min((lease_s for lease_s in leases_s if lease_s > from_s), default=None)
        if fault.kind is FaultKind.BASE_STEP:
            return self._answered_step_s(record, at_s)
        if not all(self._is_within_set_point(circuit) for circuit in self._above(fault)):
            record.last_over_s = at_s
        elif at_s >= fault.at_s + SETTLED_AFTER_S:
            return fault.at_s if record.last_over_s is None else record.last_over_s
        return None

    def _answered_step_s(self, record: FaultRecord, at_s: float) -> float | None:
        if all(self._is_within_set_point(c, is_kept=True) for c in self._above(record.fault)):
            return record.fault.at_s if record.last_over_s is None else at_s
        record.last_over_s = at_s
        return None

    def _metered_by(self, fault: Fault) -> CircuitId | None:
        meter = MeterId(fault.subject)
        return next((c.id for c in self._site.circuits if c.meter == meter), None)

    def _stations_below(self, circuit: CircuitId | None) -> list[Station]:
        return [
            self._stations[declared.id]
            for declared in self._site.stations
            if any(circuit in self._site.path_to_root(c.circuit) for c in declared.connectors)
        ]

    def _above(self, fault: Fault) -> tuple[CircuitId, ...]:
        if fault.kind is FaultKind.BASE_STEP:
            return self._site.path_to_root(CircuitId(fault.subject))
        station = self._stations[StationId(fault.subject)]
        first = next(iter(station.evses.values()))
        return self._site.path_to_root(first.connector.circuit)

    def _is_within_set_point(self, circuit: CircuitId, *, is_kept: bool = False) -> bool:
        """Return whether a circuit is within its set-point, and has its reserve if that `is_kept`."""
        watch = self._judge.circuits[circuit]
        reserve_a = watch.reserve_a if is_kept else 0.0
        return all(
            amps <= limit_a * WITHIN_RATIO - reserve_a
            for amps, limit_a in zip(watch.wires.current_a, watch.wires.set_point_a, strict=True)
        )

    @staticmethod
    def _is_at_fallback(station: Station) -> bool:
        return all(
            evse.limit_a <= evse.connector.fallback_ma / 1_000 + 0.05
            for evse in station.evses.values()
            if evse.transaction is not None
        )
