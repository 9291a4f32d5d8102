"""Whether a vehicle uses what it has: only then are others cut to give it more."""

from gateway.control.bounds import reading_is_current, taken_ma
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, SiteState


def uses_its_limit(state: SiteState, at: int, now_s: float) -> bool:
    """Return whether readings show a connector's vehicle to draw what it was last told.

    It counts only once the limit has settled. A station that tells no draw for long is believed.
    """
    parameters, belief = state.parameters, state.connectors[at]
    station = state.stations[state.wiring.station_of[at]]
    newest, draw, drawn_ma = belief.limits[-1], belief.draw, None
    if newest.acknowledged_at_s is None or belief.unused_since_s is not None:
        return False
    if draw is not None and reading_is_current(belief, station, parameters, now_s):
        drawn_ma = taken_ma(draw, belief)
    if draw is None or drawn_ma is None:
        return now_s - belief.started_at_s > parameters.phases_known_s
    settled_at_s = newest.acknowledged_at_s + parameters.settling_s
    is_settled = draw.at_s - parameters.sample_age_s >= settled_at_s
    return is_settled and drawn_ma >= _least_used_ma(newest.limit_ma, parameters)


def is_at_rest(state: SiteState, belief: ConnectorBelief, now_s: float) -> bool:
    """Return whether the vehicle has drawn next to nothing for long, though it might.

    One paused for that is offered its minimum again after a rotation: it may have woken.
    """
    parameters, since_s, paused_at_s = state.parameters, belief.resting_since_s, belief.paused_at_s
    if since_s is None or belief.draw is None:
        return False
    shown_at_s = belief.draw.at_s  # One that told of no draw once, and fell silent, may charge.
    if paused_at_s is None:
        return shown_at_s - since_s > parameters.dormant_after_s
    was_at_rest = min(paused_at_s, shown_at_s) - since_s > parameters.dormant_after_s
    return was_at_rest and now_s - paused_at_s < parameters.rotation_s


def _least_used_ma(limit_ma: int, parameters: ControlParameters) -> int:
    """Return what a vehicle draws that would take more: some round down to whole amperes."""
    return int(limit_ma * parameters.used_ratio) - parameters.used_margin_ma
