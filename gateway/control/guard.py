"""The independent last look at what is about to be sent: it only lowers, and shares no code.

It knows nothing of reasons, timers or sharing. It takes the facts and asks of every limit
whether it can be sent at all, and of every raise whether the circuit's own reading leaves room
for it.
"""

from dataclasses import replace

from gateway.control.orders import LimitOrder
from gateway.control.state import SiteState
from gateway.domain.charging import RateUnit
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA


def guard(state: SiteState, orders: tuple[LimitOrder, ...], now_s: float) -> tuple[LimitOrder, ...]:
    """Return the orders that may go out, each as it is or lower; cuts always go.

    A raise that does not pass is replaced by what the connector was told before.
    """
    passed: list[LimitOrder] = []
    spent_ma: dict[int, int] = {}
    promised_ma: dict[int, list[int]] = {}
    for order in sorted(orders, key=lambda o: o.limit.limit_ma):
        at = state.wiring.connector_at.get(order.connector)
        if at is None:
            continue
        limit_ma = _sendable_ma(order.limit.limit_ma, state.wiring.connectors[at].max_ma)
        if state.is_stopped:
            limit_ma = 0
        told, phase_count = state.connectors[at].limits[-1], order.limit.phase_count
        raise_ma = _flows_ma(state, at, limit_ma, phase_count)
        raise_ma -= _flows_ma(state, at, told.limit_ma, told.phase_count)
        is_raise = raise_ma > 0
        if is_raise and not _has_room(state, at, raise_ma, spent_ma, promised_ma, now_s=now_s):
            told_ma = _sendable_ma(told.limit_ma, state.wiring.connectors[at].max_ma)
            limit_ma, phase_count = min(limit_ma, told_ma), min(phase_count, told.phase_count)
        limit = order.limit
        if (limit.limit_ma, limit.phase_count) != (limit_ma, phase_count):
            limit = replace(limit, limit_ma=limit_ma, phase_count=phase_count)
            order = replace(order, limit=limit)  # noqa: PLW2901
        passed.append(order)
    return tuple(passed)


def _flows_ma(state: SiteState, at: int, limit_ma: int, phase_count: int) -> int:
    """Return what a limit lets flow on one phase: of watts all, while it is not known on which."""
    belief = state.connectors[at]
    if not limit_ma:
        return 0
    if belief.mask is None:
        connector = state.wiring.connectors[at]
        capabilities = state.stations[connector.ref.station].capabilities
        if capabilities is not None and RateUnit.AMPERES not in capabilities.rate_units:
            limit_ma = max(limit_ma, min(limit_ma * phase_count, connector.max_ma))
    return limit_ma + belief.excess_ma


def _sendable_ma(limit_ma: int, max_ma: int) -> int:
    """Return the nearest limit, not above, that a station may be sent: 0, or 6 A to its maximum."""
    limit_ma = min(limit_ma, max_ma) // STEP_MA * STEP_MA
    return limit_ma if limit_ma >= MIN_CHARGING_MA else 0


def _has_room(
    state: SiteState,
    at: int,
    raise_ma: int,
    spent_ma: dict[int, int],
    promised_ma: dict[int, list[int]],
    *,
    now_s: float,
) -> bool:
    """Return whether every circuit above has a fresh reading that leaves room for the raise.

    Room is the set-point less what flows, less what connectors below were told and have not
    yet drawn (`promised_ma`, summed once per circuit, as all orders are looked at on one state).
    """
    wiring = state.wiring
    phases = {int(phase) for phase in wiring.connectors[at].phases}
    taken: list[int] = []
    for circuit in wiring.paths[at]:
        for phase in phases:
            key = 3 * circuit + phase
            flows_ma = wiring.worst_case_ma[key]
            if wiring.circuits[circuit].meter is not None:
                measured = state.circuits[circuit].phases[phase]
                if now_s - measured.read_at_s > state.parameters.stale_no_raises_s:
                    return False
                flows_ma = max(0, measured.current_ma)
            if circuit not in promised_ma:
                promised_ma[circuit] = _promised_ma(state, circuit, now_s)
            kept_ma = promised_ma[circuit][phase] + spent_ma.get(key, 0)
            room_ma = wiring.set_point_ma[key] - flows_ma - kept_ma
            if room_ma < raise_ma:
                return False
            taken.append(key)
    for key in taken:
        spent_ma[key] = spent_ma.get(key, 0) + raise_ma
    return True


def _promised_ma(state: SiteState, circuit: int, now_s: float) -> list[int]:
    """Return, per phase, what connectors below were told and have not yet drawn."""
    is_metered = state.wiring.circuits[circuit].meter is not None
    promised_ma = [0, 0, 0]
    for at in state.wiring.below[circuit]:
        undrawn_ma = _undrawn_ma(state, at, is_metered=is_metered, now_s=now_s)
        if undrawn_ma:
            uses = state.connectors[at].mask or state.wiring.wired[at]
            for phase in range(3):
                if uses[phase]:
                    promised_ma[phase] += undrawn_ma
    return promised_ma


def _undrawn_ma(state: SiteState, at: int, *, is_metered: bool, now_s: float) -> int:
    """Return what a connector was told on each phase, less what its reading shows it draws."""
    belief = state.connectors[at]
    if belief.plugged_at_s is None:
        return 0
    newest = belief.limits[-1]
    told_ma = _flows_ma(state, at, newest.limit_ma, newest.phase_count)
    if not is_metered:
        return told_ma
    drawn_ma = belief.draws[-1].highest_ma if belief.draws else None
    if drawn_ma is not None:
        return max(0, told_ma - drawn_ma)
    # One that tells nothing may not yet draw what it was just told.
    begun_at_s = max(belief.raised_at_s, belief.started_at_s)
    return told_ma if now_s <= begun_at_s + state.parameters.start_settling_s else 0
