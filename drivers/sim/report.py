"""What the plant saw, in the one JSON schema of `demo`, `replay` and the simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drivers.sim.judge import USUAL_EXCURSION_S
from drivers.sim.watched import CircuitWatch, Violation, VisitRecord
from drivers.sim.world import World
from gateway.domain.ids import MeterId

HOUR_S = 3_600.0
WRITES_PER_DAY = 10
DAY_S = 86_400.0
ENOUGH_FOR_P95 = 20  # Of fewer excursions, one in twenty is less than one.


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReport:
    """What a circuit carried; the worst phase where phases differ.

    `thermal_budget_peak` is the largest share of the budget ever spent, `…_inside_reserve` while
    no rise of base beyond the reserve explains it. `excursions_s` are the lengths of all times
    over the rating.
    """

    id: str
    rating_a: float
    peak_ratio: float
    over_set_point_s: float
    over_rating_s: float
    overload_pu2s: float
    thermal_budget_peak: float
    thermal_budget_peak_inside_reserve: float
    excursions_s: tuple[float, ...]
    trip_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """A visit: what was asked, promised (None: nothing) and delivered, when it had enough."""

    connector: str
    asked_wh: float
    promised_wh: float | None
    delivered_wh: float
    omniscient_wh: float
    finished_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationReport:
    """A station and the protocol it spoke; writes that reached its flash."""

    id: str
    ocpp_version: str
    persistent_write_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReport:
    """A meter and how it was reached."""

    id: str
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """A fault, when it came, and after how long it was answered (`answers.FaultRecord`)."""

    kind: str
    at: float
    subject: str
    answered_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """From sending a limit to its acknowledgement; None when there was none."""

    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The plant's judgement of a run: design §8, "Reports".

    Rates are per hour in which a connector had a transaction. `energy_vs_omniscient` is None
    when there was nothing to deliver. Times are seconds from the start.
    """

    scenario: str
    duration_s: float
    energy_vs_omniscient: float | None
    limit_changes_per_connector_h: float
    needless_pauses_per_connector_h: float
    circuits: tuple[CircuitReport, ...]
    sessions: tuple[SessionReport, ...]
    stations: tuple[StationReport, ...]
    meters: tuple[MeterReport, ...]
    faults: tuple[FaultReport, ...]
    limit_latency_s: LatencyReport
    invariants_violated: int
    violations: tuple[Violation, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it in the words of JSON."""
        return asdict(self)


def report_of(
    world: World,
    *,
    answer_times_s: Sequence[float] = (),
    transports: Mapping[MeterId, str] | None = None,
    promised_wh: Mapping[str, float] | None = None,
) -> Report:
    """Return what has been seen so far.

    `answer_times_s` are the times from sending a limit to its acknowledgement; `transports` names
    how each meter was reached ("memory" if it does not); `promised_wh` is what the vehicle that
    comes to a connector was promised, as whoever promised it says.
    """
    promised = promised_wh or {}
    judge = world.judge
    at_s = world.agenda.now_s
    judge.omniscient.deliver(at_s)
    sessions = tuple(
        _session(record, world, promised.get(str(record.visit.connector)))
        for record in judge.visits
    )
    asked_wh = sum(session.omniscient_wh for session in sessions)
    circuits = tuple(_circuit(watch, at_s) for watch in judge.circuits.values())
    hours = sum(watch.occupied_s for watch in judge.connectors.values()) / HOUR_S
    changes = sum(watch.limit_change_count for watch in judge.connectors.values())
    needless = sum(pause.is_needless for pause in judge.pauses)
    stations = tuple(
        StationReport(
            id=station.id,
            ocpp_version=station.traits.ocpp_version.value,
            persistent_write_count=station.store.write_count,
        )
        for station in world.stations.values()
    )
    violations = (
        *judge.violations,
        *_slow_returns(circuits, at_s),
        *_worn_flashes(stations, at_s),
    )
    answers_s = sorted(answer_times_s)
    return Report(
        scenario=f"{world.scenario.kind}/{world.scenario.seed}",
        duration_s=at_s,
        energy_vs_omniscient=(
            sum(session.delivered_wh for session in sessions) / asked_wh if asked_wh else None
        ),
        limit_changes_per_connector_h=changes / hours if hours else 0.0,
        needless_pauses_per_connector_h=needless / hours if hours else 0.0,
        circuits=circuits,
        sessions=sessions,
        stations=stations,
        meters=tuple(
            MeterReport(id=meter, transport=(transports or {}).get(meter, "memory"))
            for meter in world.meters
        ),
        faults=tuple(
            FaultReport(
                kind=record.fault.kind.value,
                at=record.fault.at_s,
                subject=record.fault.subject,
                answered_in_s=record.answered_in_s,
            )
            for record in world.fault_log.records
        ),
        limit_latency_s=LatencyReport(p50=quantile(answers_s, 0.50), p99=quantile(answers_s, 0.99)),
        invariants_violated=len(violations),
        violations=violations,
    )


def quantile(ordered: list[float], share: float) -> float | None:
    """Return the nearest-rank quantile of an ordered list, None of an empty one."""
    if not ordered:
        return None
    rank = -int(-share * len(ordered) // 1)
    return ordered[min(len(ordered), max(1, rank)) - 1]


def _circuit(watch: CircuitWatch, at_s: float) -> CircuitReport:
    wires = watch.wires
    wires.carry(at_s)
    breaker = wires.breaker
    lengths_s = [excursion.length_s for excursion in breaker.excursions]
    if breaker.is_over_since_s is not None:
        lengths_s.append(at_s - breaker.is_over_since_s)
    return CircuitReport(
        id=wires.circuit.id,
        rating_a=max(wires.rating_a),
        peak_ratio=breaker.peak_ratio,
        over_set_point_s=breaker.over_set_point_s,
        over_rating_s=breaker.over_rating_s,
        overload_pu2s=max(breaker.overload_pu2s),
        thermal_budget_peak=breaker.spent_peak_ratio,
        thermal_budget_peak_inside_reserve=watch.spent_inside_ratio,
        excursions_s=tuple(lengths_s),
        trip_count=len(breaker.trips_s),
    )


def _session(record: VisitRecord, world: World, promised_wh: float | None) -> SessionReport:
    visit = record.visit
    delivered_wh = record.delivered_wh
    if record.left_s is None:
        evse = world.stations[visit.connector.station].evses[visit.connector.number]
        assert evse.vehicle is not None
        evse.vehicle.accrue(world.agenda.now_s)
        delivered_wh = evse.vehicle.delivered_wh
    return SessionReport(
        connector=str(visit.connector),
        asked_wh=visit.vehicle.need_wh,
        promised_wh=promised_wh,
        delivered_wh=delivered_wh,
        omniscient_wh=record.guest.delivered_wh,
        finished_at=record.finished_s,
    )


def _slow_returns(circuits: tuple[CircuitReport, ...], at_s: float) -> tuple[Violation, ...]:
    """Return the violation of "back under the rating in 15 s p95", if there is one."""
    lengths_s = sorted(length for circuit in circuits for length in circuit.excursions_s)
    p95_s = quantile(lengths_s, 0.95)
    if p95_s is None or len(lengths_s) < ENOUGH_FOR_P95 or p95_s <= USUAL_EXCURSION_S:
        return ()
    detail = f"{p95_s:.1f} s of {len(lengths_s)} excursions"
    return (Violation(what="back_under_rating_p95", at_s=at_s, detail=detail),)


def _worn_flashes(stations: tuple[StationReport, ...], at_s: float) -> list[Violation]:
    """Return a violation for each station whose flash was written more than ten times a day."""
    allowed_count = WRITES_PER_DAY * max(1.0, at_s / DAY_S)
    return [
        Violation(
            what="flash_writes",
            at_s=at_s,
            detail=f"{station.id}: {station.persistent_write_count} persistent writes",
        )
        for station in stations
        if station.persistent_write_count > allowed_count
    ]
