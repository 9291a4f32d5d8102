"""Whether what a connector was told may be counted on, before it is seen to hold."""

from gateway.control.bounds import (
    allowed_in_force_ma,
    allowed_limit_ma,
    draw_as_limit_ma,
    overdraw_ma,
    reading_is_current,
)
from gateway.control.headroom import Survey
from gateway.control.parameters import ControlParameters
from gateway.control.state import NEVER_S, ConnectorBelief, SiteState, StandingLimit
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA


def may_draw_more(state: SiteState, seen: Survey, at: Position, now_s: float) -> bool:
    """Return whether a vehicle may draw more than it was ever told, where nothing shows that it does not.

    That is at a station never seen to obey, until a reading shows it to charge with no more. What it
    draws beyond after that is a rise like any other.
    """
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    if station.is_proven:
        return False
    told_ma = allowed_limit_ma(MIN_CHARGING_MA, station)
    came_at_s = NEVER_S if belief.plugged_at_s is None else belief.plugged_at_s
    told = tuple([limit for limit in belief.limits if _is_told_since(limit, came_at_s)])
    if told:
        told_ma = max(told_ma, allowed_in_force_ma(connector, belief, station, told))
    if seen.high_ma[at] - belief.excess_ma <= told_ma:
        return False
    if not reading_is_current(belief, station, state.parameters, now_s):
        return True
    read_ma = draw_as_limit_ma(belief.draws[-1], connector, belief)
    if read_ma is None or read_ma < state.parameters.dormant_draw_ma:
        return True  # It has not begun.
    return read_ma > overdraw_ma(told_ma + belief.excess_ma, state.parameters)


def _is_told_since(limit: StandingLimit, since_s: float) -> bool:
    """Return whether a limit is of ours, and for the vehicle that has been there since then."""
    return limit.last_sequence > 0 and limit.sent_at_s >= since_s


def is_confirmable(state: SiteState, seen: Survey, at: int, now_s: float) -> bool:
    """Return whether the newest limit may still be counted on to come into force in time.

    What is not confirmed in time is taken from those that do answer (design §3). On who was never
    seen to obey nobody counts: what a vehicle draws there others must leave from its first second.
    """
    if seen.overdrawn[at] or may_draw_more(state, seen, at, now_s):
        return False
    parameters, belief = state.parameters, state.connectors[at]
    newest = belief.limits[-1]
    if newest.last_sequence == 0:
        return True
    high_ma = seen.high_ma[at] - belief.excess_ma
    if high_ma <= newest.limit_ma or high_ma <= _allowed_ma(state, at):
        return True  # It rests, or what was before is out of force.
    if not newest.is_answered:
        return not is_unanswered(state, at, now_s)
    if len(belief.limits) == 1 or newest.acknowledged_at_s is None:
        return True
    seen_by_s = parameters.settling_s + parameters.interval_grace_s
    return now_s - newest.acknowledged_at_s < seen_by_s


def is_unanswered(state: SiteState, at: int, now_s: float) -> bool:
    """Return whether the station has not answered the newest limit, or its renewal, in time."""
    newest = state.connectors[at].limits[-1]
    if newest.last_sequence == 0 or newest.is_answered:
        return False
    return now_s - newest.renewed_at_s >= state.parameters.acknowledgement_s


def _allowed_ma(state: SiteState, at: int) -> int:
    """Return what the newest limit allows on one phase."""
    belief, station = state.connectors[at], state.stations[state.wiring.station_of[at]]
    if not station.takes_watts:
        return belief.limits[-1].limit_ma
    return allowed_in_force_ma(state.wiring.connectors[at], belief, station, belief.limits[-1:])


def is_unsure(state: SiteState, seen: Survey, at: Position, now_s: float) -> bool:
    """Return whether a connector counts more than it is told for want of proof, and may obey all the same.

    Not one that does not answer, nor one that is read above its limit, nor one of which nothing was
    read since the oldest that we told it should have been seen to hold: what it draws may be missing
    in what is left otherwise.
    """
    belief, station = state.connectors[at], state.stations[state.wiring.station_of[at]]
    if station.is_proven or seen.overdrawn[at] or is_unanswered(state, at, now_s):
        return False
    if belief.above is not None or _is_unread(belief, state.parameters, now_s):
        return False
    return not is_confirmable(state, seen, at, now_s)


def _is_unread(belief: ConnectorBelief, parameters: ControlParameters, now_s: float) -> bool:
    """Return whether a reading should have shown the first of our limits by now, and none has."""
    told_at_s = [limit.acknowledged_at_s for limit in belief.limits if limit.last_sequence]
    acknowledged_at_s = [at_s for at_s in told_at_s if at_s is not None]
    if not acknowledged_at_s:
        return False
    first_at_s = min(acknowledged_at_s)
    if now_s < first_at_s + parameters.settling_s + parameters.interval_grace_s:
        return False
    return not _is_read_under(first_at_s, belief, parameters)


def _is_read_under(
    acknowledged_at_s: float, belief: ConnectorBelief, parameters: ControlParameters
) -> bool:
    """Return whether the last reading is from after a limit acknowledged then had settled."""
    if not belief.draws:
        return False
    sampled_at_s = belief.draws[-1].at_s - parameters.sample_age_s
    return sampled_at_s >= acknowledged_at_s + parameters.settling_s


def settled_ma(state: SiteState, at: Position) -> int:
    """Return what a connector draws of its newest limit once that has settled, as far as it was read."""
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    acknowledged_at_s = belief.limits[-1].acknowledged_at_s
    if acknowledged_at_s is None or not _is_read_under(acknowledged_at_s, belief, state.parameters):
        return 0
    return draw_as_limit_ma(belief.draws[-1], connector, belief) or 0
