"""The fold: one fact changes what it is about and nothing else.

The same facts, in the same order, over the same state give the same state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from gateway.control.bounds import (
    fallback_ma,
    is_idle,
    may_have_lapsed,
)
from gateway.control.credible import is_above_maximum, is_refuted
from gateway.control.draws import (
    after_reading,
    draw_of,
    is_disobedient,
    with_sure_part,
)
from gateway.control.metered import with_reading
from gateway.control.parameters import ControlParameters
from gateway.control.presence import (
    is_told_free,
    plugged,
    seen_to_draw,
    with_status,
    without_transaction,
)
from gateway.control.promised_draws import PromisedDraw
from gateway.control.standing import (
    after_acknowledgement,
    after_disobedience,
    after_reboot,
    after_rejection,
    after_sending,
    after_start,
    settled,
    with_another_vehicle,
)
from gateway.control.state import (
    UNFITTED,
    ConnectorBelief,
    ControlMemory,
    Priority,
    SiteState,
    StandingLimit,
    StationBelief,
)
from gateway.control.voltages import highest_voltage_v
from gateway.domain.circuits import Connector
from gateway.domain.events import (
    CapabilitiesRead,
    CircuitRecalled,
    CircuitTripped,
    ConnectorMetered,
    ConnectorStatusChanged,
    ConstraintLifted,
    ConstraintSet,
    DeadManProven,
    Event,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
    LockoutEnded,
    MeterRead,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationStatusChanged,
    StopInputChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision was made; `memory` is what it hands to the next."""

    at_s: float
    memory: ControlMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class PrioritySet:
    """The need behind a connector changed; None takes it back."""

    at_s: float
    connector: ConnectorRef
    priority: Priority | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawsPromised:
    """What is kept for loads is this now, per row, and nothing else."""

    at_s: float
    draws: Mapping[int, PromisedDraw]


ControlEvent = Event | Decided | PrioritySet | DrawsPromised


def evolve_all(state: SiteState, events: Iterable[ControlEvent]) -> SiteState:
    """Return the state after all of `events`, in order."""
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: SiteState, event: ControlEvent) -> SiteState:
    """Return the state after `event`; a fact about something undeclared changes nothing."""
    match event:
        case MeterRead():
            return with_reading(state, event)
        case (
            StationConnected()
            | StationDisconnected()
            | StationBooted()
            | StationStatusChanged()
            | CapabilitiesRead()
            | DeadManProven()
        ):
            return _with_station(state, event)
        case (
            ConnectorStatusChanged()
            | TransactionStarted()
            | TransactionEnded()
            | ConnectorMetered()
            | FallbackInstalled()
            | LimitSent()
            | LimitAcknowledged()
            | LimitRejected()
            | LimitUnanswered()
        ):
            return _with_connector(state, event)
        case ConstraintSet(constraint=constraint):
            key = (constraint.subject, constraint.source)
            return replace(state, constraints={**state.constraints, key: constraint})
        case ConstraintLifted(constraint=constraint):
            lifted = (constraint.subject, constraint.source)
            kept = {key: c for key, c in state.constraints.items() if key != lifted}
            return replace(state, constraints=kept)
        case CircuitRecalled():
            return _after_recall(state, event)
        case CircuitTripped():
            return _after_trip(state, event)
        case LockoutEnded():
            return _after_lockout(state, event)
        case StopInputChanged(is_stopped=is_stopped, cause=cause):
            return replace(state, is_stopped=is_stopped, stop_cause=cause if is_stopped else None)
        case Decided(memory=memory):
            return replace(state, memory=memory)
        case PrioritySet(connector=connector, priority=priority):
            others = {key: p for key, p in state.priorities.items() if key != connector}
            if priority is not None:
                others[connector] = priority
            return replace(state, priorities=others)
        case DrawsPromised(draws=draws):
            return replace(state, promised_draws=draws)
        case _:
            assert_never(event)


def _after_trip(state: SiteState, event: CircuitTripped) -> SiteState:
    """Return the state with the circuit locked out from now on (design §3)."""
    at = state.wiring.circuit_at.get(event.circuit)
    if at is None:
        return state
    until_s = max(state.circuits[at].lockout_until_s, event.at_s + state.parameters.lockout_s)
    circuit = replace(state.circuits[at], lockout_until_s=until_s)
    circuits = (*state.circuits[:at], circuit, *state.circuits[at + 1 :])
    return replace(state, circuits=circuits)


def _after_lockout(state: SiteState, event: LockoutEnded) -> SiteState:
    """Return the state with the circuit's lockout over, no excursion counted, its meter believed."""
    at = state.wiring.circuit_at.get(event.circuit)
    if at is None:
        return state
    until_s = min(state.circuits[at].lockout_until_s, event.at_s)
    circuit = replace(state.circuits[at], lockout_until_s=until_s, excursions_at_s=())
    doubts = (*state.memory.doubts[: 3 * at], *(None,) * 3, *state.memory.doubts[3 * at + 3 :])
    return replace(
        state,
        circuits=(*state.circuits[:at], circuit, *state.circuits[at + 1 :]),
        memory=replace(state.memory, doubts=doubts),
    )


def _after_recall(state: SiteState, event: CircuitRecalled) -> SiteState:
    """Return the state with a circuit's excursions of before, and the lockout by them, older."""
    at = state.wiring.circuit_at.get(event.circuit)
    if at is None:
        return state
    circuit = state.circuits[at]
    excursions_at_s = tuple(
        at_s - event.older_s if at_s < event.restored_at_s else at_s
        for at_s in circuit.excursions_at_s
    )
    until_s = circuit.lockout_until_s
    if not any(at_s >= event.restored_at_s for at_s in excursions_at_s):
        until_s -= event.older_s  # No excursion since has made the lockout longer.
    after = replace(circuit, excursions_at_s=excursions_at_s, lockout_until_s=until_s)
    return replace(state, circuits=(*state.circuits[:at], after, *state.circuits[at + 1 :]))


StationFact = (
    StationConnected
    | StationDisconnected
    | StationBooted
    | StationStatusChanged
    | CapabilitiesRead
    | DeadManProven
)
ConnectorFact = (
    ConnectorStatusChanged
    | TransactionStarted
    | TransactionEnded
    | ConnectorMetered
    | FallbackInstalled
    | LimitSent
    | LimitAcknowledged
    | LimitRejected
    | LimitUnanswered
)


def _with_station(state: SiteState, event: StationFact) -> SiteState:
    before = state.stations.get(event.station)
    if before is None:
        return state
    match event:
        case StationConnected(at_s=at_s):
            after = replace(before, is_connected=True, changed_at_s=at_s)
        case StationDisconnected(at_s=at_s):
            was_short = at_s - before.changed_at_s < state.parameters.steady_after_s
            is_unsteady = before.is_connected and was_short
            after = replace(before, is_connected=False, changed_at_s=at_s, is_unsteady=is_unsteady)
        case StationBooted(firmware=firmware):
            after = _after_boot(before, firmware)
        case StationStatusChanged(status=status):
            after = replace(before, status=status)
        case CapabilitiesRead(capabilities=capabilities):
            after = replace(before, capabilities=capabilities)
        case DeadManProven():
            after = replace(before, is_dead_man_proven=True)
        case _:
            assert_never(event)
    state = replace(state, stations={**state.stations, event.station: after})
    if isinstance(event, StationBooted):
        return _after_reboot_of(state, event.station, event.at_s)
    if isinstance(event, StationConnected):
        gone_s = event.at_s - before.changed_at_s
        if not before.is_connected and gone_s > state.parameters.settling_s:
            return _phases_unlearnt(state, event.station)
    return state


def _phases_unlearnt(state: SiteState, station: StationId) -> SiteState:
    """Return the state after an absence in which vehicles may have changed places."""
    connectors = list(state.connectors)
    for at in state.wiring.connectors_of[station]:
        connectors[at] = replace(connectors[at], mask=None, mask_seen=None, fit=UNFITTED)
    return replace(state, connectors=tuple(connectors))


def _unknown_again(
    state: SiteState, station: StationId, at: int, after: ConnectorBelief, at_s: float
) -> tuple[ConnectorBelief, ...]:
    """Return the connectors with those of a station that obeys no more at their maximum.

    It obeyed once: what it may draw now is anything, until it is proven again.
    """
    connectors = [*state.connectors[:at], after, *state.connectors[at + 1 :]]
    for other in state.wiring.connectors_of[station]:
        if connectors[other].is_plugged:
            connector = state.wiring.connectors[other]
            connectors[other] = after_disobedience(connector, connectors[other], at_s)
    return tuple(connectors)


def _after_boot(before: StationBelief, firmware: str) -> StationBelief:
    """Return the station with its proofs open again: other firmware may obey otherwise."""
    is_same = before.firmware in (None, firmware)
    return replace(
        before,
        status=None,
        is_proven=False,
        is_dead_man_proven=before.is_dead_man_proven and is_same,
        firmware=firmware,
    )


def _after_reboot_of(state: SiteState, station: StationId, at_s: float) -> SiteState:
    """Return the state in which anything the station once knew may be in force."""
    connectors = list(state.connectors)
    for at in state.wiring.connectors_of[station]:
        connectors[at] = after_reboot(state.wiring.connectors[at], connectors[at], at_s)
    memory, lapse = state.memory, state.memory.lapse
    tried = lapse.connector or lapse.returning
    if tried is not None and tried.station == station:  # What fell is not what would return.
        memory = replace(memory, lapse=replace(lapse, connector=None, returning=None))
    return replace(state, connectors=tuple(connectors), memory=memory)


def _with_connector(state: SiteState, event: ConnectorFact) -> SiteState:
    at = state.wiring.connector_at.get(event.connector)
    if at is None:
        return state
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    is_proof = False
    match event:
        case ConnectorMetered():
            belief, is_proof = _after_metered(state, at, belief, event)
        case ConnectorStatusChanged():
            belief = with_status(belief, connector, station, event, state.parameters)
        case TransactionStarted(transaction=transaction, at_s=at_s):
            if belief.transaction not in (None, transaction):
                # The end of the one before is told late, or never.
                belief = without_transaction(belief, connector, station, at_s)
            belief = plugged(replace(belief, transaction=transaction), connector, station, at_s)
            belief = after_start(belief, at_s)
        case TransactionEnded(transaction=transaction):
            if belief.transaction == transaction or (belief.is_plugged and is_told_free(belief)):
                belief = without_transaction(belief, connector, station, event.at_s)
        case FallbackInstalled(fallback_ma=fallback):
            belief = _with_fallback(belief, connector, fallback, state.parameters, event.at_s)
            if is_idle(belief) and station.is_proven:
                # A lease that was sent before outlives the writing of what is below it.
                belief = with_another_vehicle(connector, belief, station, event.at_s)
        case LimitSent():
            belief = after_sending(belief, event, station, state.parameters)
        case LimitAcknowledged(sequence=sequence, at_s=at_s):
            belief = after_acknowledgement(belief, sequence, state.parameters, at_s)
        case LimitRejected(sequence=sequence):
            belief = after_rejection(belief, sequence)
        case LimitUnanswered():
            return state  # It stays among the limits that may be in force.
        case _:
            assert_never(event)
    after = settled(belief, station, state.parameters, event.at_s)
    connectors = (*state.connectors[:at], after, *state.connectors[at + 1 :])
    stations, is_proven = state.stations, station.is_proven or is_proof
    if is_proven and is_disobedient(after, state.parameters):
        is_proven = False
        after = replace(after, over_since_s=None)
        connectors = _unknown_again(state, connector.ref.station, at, after, event.at_s)
    if is_proven is not station.is_proven:
        stations = {**stations, connector.ref.station: replace(station, is_proven=is_proven)}
    return replace(state, connectors=connectors, stations=stations)


def _after_metered(
    state: SiteState, at: int, belief: ConnectorBelief, event: ConnectorMetered
) -> tuple[ConnectorBelief, bool]:
    """Return the belief after a reading, and whether it proves the station obeys.

    One that cannot be true is none; the next like it is one, lest a real overdraw be lost.
    """
    connector = state.wiring.connectors[at]
    station = state.stations[connector.ref.station]
    draw = draw_of(event, connector, state.wiring.site.voltage_v, state.parameters)
    is_above, was_above = (
        is_above_maximum(connector, draw, state.parameters),
        belief.is_above_maximum,
    )
    if is_above is not was_above:
        belief = replace(belief, is_above_maximum=is_above)
    if is_above and not was_above and is_refuted(state, at, draw):
        return replace(belief, refused_count=belief.refused_count + 1), False
    belief = seen_to_draw(belief, connector, station, draw, state.parameters)
    if draw.current_ma is None and draw.power_w is not None:
        highest_v = highest_voltage_v(state, at, draw.at_s)
        draw = with_sure_part(
            draw, connector, belief, station, state.parameters, highest_v=highest_v
        )
    return after_reading(belief, connector, station, draw, state.parameters)


def _with_fallback(
    belief: ConnectorBelief,
    connector: Connector,
    written_ma: int,
    parameters: ControlParameters,
    at_s: float,
) -> ConnectorBelief:
    """Return the belief with a fallback written; what holds at rest is not less than that."""
    limits = tuple(
        replace(limit, limit_ma=max(limit.limit_ma, written_ma))
        if limit.last_sequence == 0 and limit.lease_until_s is None
        else limit
        for limit in belief.limits
    )
    before_ma = fallback_ma(connector, belief)
    has_fallen = at_s < belief.fallen_until_s or may_have_lapsed(limits, parameters, at_s)
    if before_ma > written_ma and has_fallen:
        # A vehicle that has fallen back to the one before takes seconds to follow, and no lease
        # that lapsed puts that out of force.
        lapsed = [replace(limit, acknowledged_at_s=None) for limit in limits]
        limits = (StandingLimit(limit_ma=before_ma), *lapsed)
    return replace(belief, fallback_ma=written_ma, limits=limits)
