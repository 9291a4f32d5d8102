"""What people are shown of a running daemon: one value, the same for every view and command."""

from dataclasses import dataclass
from datetime import datetime

from gateway.control.condition import condition_of
from gateway.control.explain import sentence
from gateway.control.rows import Row
from gateway.control.state import ConnectorBelief, StationBelief
from gateway.domain.circuits import Circuit, Connector
from gateway.domain.electric import Phase
from gateway.domain.reasons import Reason
from gateway.services.alarms import Alarm
from gateway.services.control_loop import Cycle


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


def snapshot_of(
    cycle: Cycle,
    *,
    at: datetime,
    pending: tuple[str, ...] = (),
    alarms: tuple[Alarm, ...] = (),
    counters: dict[str, int],
    limit_latencies_s: list[float],
) -> Snapshot:
    """Return what the cycle left behind, for people."""
    state, decision = cycle.state, cycle.decision
    latencies_s = sorted(limit_latencies_s)
    return Snapshot(
        site=state.wiring.site.name,
        at=at,
        running_s=decision.at_s - state.started_at_s,
        is_stopped=state.is_stopped,
        circuits=tuple(
            _circuit_view(
                circuit,
                decision.survey.rows[3 * place : 3 * place + 3],
                decision.survey.claimed_ma[3 * place : 3 * place + 3],
            )
            for place, circuit in enumerate(state.wiring.circuits)
        ),
        connectors=tuple(
            _connector_view(
                connector,
                belief,
                state.stations[connector.ref.station],
                decision.reasons[connector.ref],
                now_s=decision.at_s,
            )
            for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True)
        ),
        stations=tuple(
            StationView(
                id=station,
                is_connected=belief.is_connected,
                obeys=belief.is_proven,
                falls_back=belief.is_dead_man_proven,
            )
            for station, belief in state.stations.items()
        ),
        sources=tuple(
            SourceView(
                id=source.id,
                meter=source.meter,
                age_s=_known_age_s(decision.at_s - told.read_at_s),
            )
            for source, told in zip(state.wiring.site.sources, state.sources, strict=True)
        ),
        pending=pending,
        alarms=alarms,
        counters=counters,
        limit_latency_p50_s=_quantile_s(latencies_s, 0.5),
        limit_latency_p99_s=_quantile_s(latencies_s, 0.99),
    )


def _quantile_s(sorted_s: list[float], share_ratio: float) -> float | None:
    if not sorted_s:
        return None
    return sorted_s[min(len(sorted_s) - 1, int(share_ratio * len(sorted_s)))]


def _circuit_view(circuit: Circuit, rows: list[Row], claimed_ma: list[int]) -> CircuitView:
    return CircuitView(
        id=circuit.id,
        parent=circuit.parent,
        device=str(circuit.device),
        meter=circuit.meter,
        phases=tuple(
            PhaseView(
                phase=phase.name,
                rating_ma=row.rating_ma,
                set_point_ma=row.set_point_ma,
                bound_ma=row.bound_ma,
                bound_source=row.bound_source,
                current_ma=row.current_ma,
                age_s=_known_age_s(row.age_s),
                base_ma=row.base_ma,
                reserve_ma=row.reserve_ma,
                promised_ma=row.draw_ma,
                available_ma=row.available_ma,
                claimed_ma=claimed,
            )
            for phase, row, claimed in zip(Phase, rows, claimed_ma, strict=True)
            if row.rating_ma
        ),
    )


def _known_age_s(age_s: float | None) -> float | None:
    """Return an age that can be written down: a meter never read has none."""
    return None if age_s is None or age_s == float("inf") else age_s


def _connector_view(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    reason: Reason,
    *,
    now_s: float,
) -> ConnectorView:
    draw, newest = belief.draw, belief.limits[-1]
    lease_s = None if newest.lease_until_s is None else max(0.0, newest.lease_until_s - now_s)
    capabilities = station.capabilities
    return ConnectorView(
        connector=str(connector.ref),
        circuit=connector.circuit,
        phases=tuple(phase.name for phase in connector.phases),
        condition=str(condition_of(belief, station, limit_ma=reason.limit_ma)),
        is_connected=station.is_connected,
        ocpp=None if capabilities is None else str(capabilities.ocpp_version),
        limit_ma=reason.limit_ma,
        told_ma=newest.limit_ma if newest.last_sequence else None,
        max_ma=connector.max_ma,
        fallback_ma=belief.fallback_ma,
        draw_ma=None if draw is None else draw.current_ma,
        power_w=None if draw is None else draw.power_w,
        draw_age_s=None if draw is None else now_s - draw.at_s,
        lease_s=lease_s,
        reason=str(reason.kind),
        why=sentence(reason),
    )
