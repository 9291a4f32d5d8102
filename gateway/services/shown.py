"""What one cycle left behind, as people are shown it."""

from datetime import datetime

from gateway.control.condition import condition_of
from gateway.control.explain import sentence
from gateway.control.rows import Row
from gateway.control.state import ConnectorBelief, StationBelief
from gateway.domain.alarms import Alarm
from gateway.domain.circuits import Circuit, Connector
from gateway.domain.electric import Phase
from gateway.domain.reasons import Reason
from gateway.services.control_loop import Cycle
from gateway.services.snapshot import (
    CircuitView,
    ConnectorView,
    PhaseView,
    Snapshot,
    SourceView,
    StationView,
)


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
