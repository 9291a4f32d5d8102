"""The trial that proves a dead-man: a lease left to lapse on purpose, and seen to lapse.

A station that is lost counts its installed maximum once its lease is over, unless it was seen
to fall back by itself (design §3). One connector at a time, long after it began and while it
draws well above its fallback, is not renewed. It must draw so until the lease may be over, come
down to the fallback then, and come up again once it is renewed: a vehicle that tapers or ends does
not. What is tried may fail: it is begun only where all that the connector may draw has room, which
nobody else is raised into meanwhile.
"""

from dataclasses import replace

from gateway.control.bounds import (
    counted_limit_ma,
    draw_as_limit_ma,
    interval_of_s,
    reading_is_current,
    tolerance_ma,
)
from gateway.control.claims import Moment
from gateway.control.state import NEVER_S, ConnectorBelief, Lapse, SiteState
from gateway.control.wiring import Position
from gateway.domain.charging import ChargingState
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.ids import StationId


def lapse_of(moment: Moment) -> tuple[Lapse, StationId | None]:
    """Return the trial as it goes on, and the station whose dead-man it has just proven."""
    state, lapse, now_s = moment.state, moment.state.memory.lapse, moment.now_s
    if lapse.returning is not None:
        return _after_return(moment, state.wiring.connector_at[lapse.returning])
    if lapse.connector is None:
        return _begun(moment), None
    at = state.wiring.connector_at[lapse.connector]
    belief = state.connectors[at]
    newest = belief.limits[-1]
    over = replace(lapse, connector=None)
    if not moment.controlled[at] or len(belief.limits) > 1 or newest.renewed_at_s > lapse.since_s:
        return over, None
    if newest.lease_until_s is None or state.is_stopped:
        return over, None
    parameters = state.parameters
    if now_s < newest.renewed_at_s + parameters.lease_s - parameters.lease_margin_s:
        return (lapse if _is_well_above(moment, at) else over), None
    lapsed_at_s = newest.lease_until_s + parameters.settling_s
    draw = belief.draw
    if draw is None or draw.at_s - parameters.sample_age_s < lapsed_at_s:
        is_late = now_s > lapsed_at_s + parameters.start_settling_s
        return (over if is_late else lapse), None
    if not _is_at_fallback(state, at):
        return over, None
    return replace(over, returning=lapse.connector, since_s=now_s), None


def _after_return(moment: Moment, at: Position) -> tuple[Lapse, StationId | None]:
    """Return the trial of one that has fallen back: it is proven once it draws more again."""
    state, lapse = moment.state, moment.state.memory.lapse
    parameters, draw = state.parameters, state.connectors[at].draw
    over = replace(lapse, returning=None)
    if not moment.controlled[at]:
        return over, None
    if draw is not None and draw.at_s > lapse.since_s and _is_well_above(moment, at):
        return over, state.wiring.connectors[at].ref.station
    interval_s = interval_of_s(moment.stations[at], parameters)
    is_late = moment.now_s - lapse.since_s > parameters.start_settling_s + interval_s
    return (over if is_late else lapse), None


def _is_well_above(moment: Moment, at: Position) -> bool:
    """Return whether the connector surely draws more than it would at its fallback."""
    state, belief = moment.state, moment.state.connectors[at]
    if belief.fallback_ma is None or belief.draw is None:
        return False
    if not reading_is_current(belief, moment.stations[at], state.parameters, moment.now_s):
        return False
    drawn_ma = draw_as_limit_ma(belief.draw, state.wiring.connectors[at], belief)
    least_ma = _fallen_ma(belief.fallback_ma, belief) + state.parameters.lapse_shows_ma
    return drawn_ma is not None and drawn_ma >= least_ma


def _fallen_ma(fallback: int, belief: ConnectorBelief) -> int:
    """Return what a fallback leaves, with what is drawn beyond any limit."""
    return fallback + belief.excess_ma if fallback else 0


def _is_at_fallback(state: SiteState, at: Position) -> bool:
    """Return whether the connector's reading after the lapse is what its fallback would leave."""
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    fallback, draw = belief.fallback_ma, belief.draw
    drawn_ma = None if draw is None else draw_as_limit_ma(draw, connector, belief)
    if drawn_ma is None or fallback is None:
        return False
    fallen_ma = _fallen_ma(fallback, belief)
    if drawn_ma > fallen_ma + tolerance_ma(fallen_ma, state.parameters):
        return False
    if fallback >= MIN_CHARGING_MA:
        return drawn_ma >= fallback // 2
    # A vehicle that has ended by itself draws nothing too: only the station can tell then.
    return belief.charging_state is ChargingState.SUSPENDED_EVSE


def _begun(moment: Moment) -> Lapse:
    """Return the trial of the first connector that may be tried now, if any."""
    state, now_s = moment.state, moment.now_s
    idle = state.memory.lapse
    tried_at_s = dict(idle.tried_at_s)
    # Nearly always there is nobody: that is told by what is asked first.
    connectors, after_s = state.connectors, state.parameters.lapse_after_s
    for at in [at for at in moment.moved if now_s - connectors[at].started_at_s >= after_s]:
        station = moment.stations[at]
        if not station.is_proven or station.is_dead_man_proven:
            continue
        connector = state.wiring.connectors[at].ref
        since_tried_s = now_s - tried_at_s.get(connector.station, NEVER_S)
        if since_tried_s >= state.parameters.lapse_retry_s and _is_ready(moment, at):
            tried_at_s[connector.station] = now_s
            return Lapse(connector=connector, since_s=now_s, tried_at_s=tuple(tried_at_s.items()))
    return idle


def may_add_ma(moment: Moment, at: Position) -> dict[int, int]:
    """Return what a station that keeps to nothing adds, on each row its connector is wired to."""
    state, seen = moment.state, moment.seen
    connector, wiring = state.wiring.connectors[at], state.wiring
    station = state.stations[connector.ref.station]
    most_ma = counted_limit_ma(connector.max_ma, state.connectors[at], station)
    counted = wiring.rows[at][seen.masks[at]]
    return {
        row: max(0, most_ma - seen.high_ma[at]) if row in counted else most_ma
        for row in wiring.rows[at][wiring.wired[at]]
    }


def _is_ready(moment: Moment, at: int) -> bool:
    """Return whether a lapse would show: it draws well above the fallback that is written."""
    state = moment.state
    belief = state.connectors[at]
    newest = belief.limits[-1]
    if belief.fallback_ma is None or len(belief.limits) > 1:
        return False
    if belief.fallback_ma < MIN_CHARGING_MA and belief.mask != state.wiring.wired[at]:
        return False  # It would be paused, and might come back on phases not counted now.
    if not newest.is_answered:
        return False
    if not _is_well_above(moment, at):
        return False
    rows, claimed_ma = moment.seen.rows, moment.seen.claimed_ma
    return all(
        rows[row].available_ma - claimed_ma[row] >= more_ma
        for row, more_ma in may_add_ma(moment, at).items()
    )
