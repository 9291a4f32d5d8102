"""What follows from a decision: limits to be sent now, and fallbacks to be written."""

from dataclasses import dataclass

from gateway.control.board import Board
from gateway.control.caps import chargeable_ma
from gateway.control.claims import Moment
from gateway.control.state import SiteState
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import CurrentLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOrder:
    """A limit to be sent now; a cut goes before anything else on the wire."""

    connector: ConnectorRef
    limit: CurrentLimit
    valid_for_s: float
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackOrder:
    """A persistent fallback to be written: at adoption, and when a prohibition comes or goes."""

    connector: ConnectorRef
    limit: CurrentLimit


def orders_of(moment: Moment, board: Board, lapsing: ConnectorRef | None) -> tuple[LimitOrder, ...]:
    """Return what is to be sent: changes at once, renewals in time, repeats of the unanswered.

    The lease of `lapsing` is not renewed.
    """
    state, now_s = moment.state, moment.now_s
    parameters = state.parameters
    orders = []
    for at in moment.moved:
        belief, limit_ma = state.connectors[at], board.limit_ma[at]
        newest = belief.limits[-1]
        # What is told no current is told it for no phase: so its renewal stays one.
        phase_count = board.phase_count[at] if limit_ma else newest.phase_count
        is_change = newest.last_sequence == 0 or limit_ma != newest.limit_ma
        if board.takes_watts[at] and limit_ma and phase_count != newest.phase_count:
            is_change = True
        if not is_change:
            again_s = parameters.renew_s if newest.is_answered else parameters.resend_s
            due_s = newest.renewed_at_s + again_s
            if now_s < due_s or state.wiring.connectors[at].ref == lapsing:
                continue
        orders.append(
            LimitOrder(
                connector=state.wiring.connectors[at].ref,
                limit=CurrentLimit(
                    limit_ma=limit_ma,
                    phase_count=phase_count,
                    voltage_v=state.wiring.site.voltage_v,
                ),
                valid_for_s=parameters.lease_s,
                is_cut=limit_ma < belief.in_force_ma,
            )
        )
    return tuple(orders)


def fallbacks_of(moment: Moment) -> tuple[FallbackOrder, ...]:
    """Return the fallbacks that are not what they must be; a prohibition is a fallback of 0."""
    state, orders = moment.state, []
    for at, (connector, belief) in enumerate(
        zip(state.wiring.connectors, state.connectors, strict=True)
    ):
        if not moment.stations[at].is_connected:
            continue
        is_forbidden = state.is_stopped or (bool(state.constraints) and _is_forbidden(state, at))
        wanted_ma = 0 if is_forbidden else connector.fallback_ma
        if belief.fallback_ma != wanted_ma:
            limit = CurrentLimit(limit_ma=wanted_ma, voltage_v=state.wiring.site.voltage_v)
            orders.append(FallbackOrder(connector=connector.ref, limit=limit))
    return tuple(orders)


def _is_forbidden(state: SiteState, at: int) -> bool:
    """Return whether somebody forbids charging on a connector, or on a circuit above it."""
    connector = state.wiring.connectors[at]
    above = {state.wiring.circuits[circuit].id for circuit in state.wiring.paths[at]}
    return any(
        not chargeable_ma(state, at, constraint)
        for constraint in state.constraints.values()
        if constraint.subject == connector.ref or constraint.subject in above
    )
