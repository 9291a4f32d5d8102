"""How far above its limits a connector settles: that is counted with each of them (ADR 0037)."""

from dataclasses import replace

from gateway.control.bounds import (
    allowed_of_draw_ma,
    draw_as_limit_ma,
    may_have_lapsed,
    overdraw_ma,
    tolerance_ma,
)
from gateway.control.obedience import followed_at
from gateway.control.parameters import ControlParameters
from gateway.control.state import Beyond, ConnectorBelief, StationBelief
from gateway.domain.circuits import Connector
from gateway.domain.electric import STEP_MA


def with_excess(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with what its last readings show to be drawn beyond its limits.

    Once it was above one limit and has gone with another: so not of a vehicle that is slow to follow,
    nor of one that follows nothing. Or, where a station is not yet seen to obey and is told but
    one limit, by the least of some seconds.
    """
    was = belief.beyond
    if was is not None and _has_gone_down(belief, was, connector, station, parameters):
        return _shown(replace(belief, beyond=None), was.above_ma)
    known = _beyond_ma(belief, connector, station, parameters)
    if known is None:
        return belief
    at_s, (beyond_ma, allowed_ma) = belief.draws[-1].at_s, known
    if beyond_ma > parameters.excess_most_ma:
        return belief if was is None else replace(belief, beyond=None)
    if was is not None and abs(allowed_ma - was.allowed_ma) >= parameters.trial_ma:
        return _shown(replace(belief, beyond=None), max(was.above_ma, beyond_ma))
    if not beyond_ma:
        if was is not None and allowed_ma <= was.allowed_ma:
            # It came down by itself: that was a vehicle slow to follow, or a meter that lied.
            belief = replace(belief, beyond=None)
        return _kept_to(belief, allowed_ma, parameters) if belief.excess_ma else belief
    if was is None:
        beyond = Beyond(since_s=at_s, above_ma=beyond_ma, allowed_ma=allowed_ma)
        return replace(belief, beyond=beyond)
    if station.is_proven or at_s - was.since_s < parameters.excess_after_s:
        return belief
    # The next seconds may show more: the first reading may be of a vehicle that still rises.
    beyond = Beyond(since_s=at_s, above_ma=beyond_ma, allowed_ma=allowed_ma)
    return _shown(replace(belief, beyond=beyond), min(was.above_ma, beyond_ma))


def _has_gone_down(
    belief: ConnectorBelief,
    was: Beyond,
    connector: Connector,
    station: StationBelief,
    parameters: ControlParameters,
) -> bool:
    """Return whether one that was above a limit has come down with a cut, settled or not."""
    newest = belief.limits[-1]
    draw = belief.draws[-1]
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    if drawn_ma is None or not newest.limit_ma or newest.acknowledged_at_s is None:
        return False
    allowed_ma = allowed_of_draw_ma(draw, connector, belief, station, (newest,))
    is_cut = allowed_ma <= was.allowed_ma - parameters.trial_ma
    return is_cut and drawn_ma <= allowed_ma + parameters.excess_most_ma


def _shown(belief: ConnectorBelief, above_ma: int) -> ConnectorBelief:
    """Return the belief with so much shown, in whole tenths of an ampere."""
    excess_ma = max(belief.excess_ma, -(-above_ma // STEP_MA) * STEP_MA)
    return replace(belief, excess_ma=excess_ma, is_excess_shown=True)


def _kept_to(
    belief: ConnectorBelief, allowed_ma: int, parameters: ControlParameters
) -> ConnectorBelief:
    """Return the belief of one that keeps now to what limits allow that had time to be followed."""
    before_ma = belief.kept_to_ma
    if belief.is_excess_shown or before_ma is None:
        return replace(belief, kept_to_ma=allowed_ma)
    if abs(allowed_ma - before_ma) < parameters.trial_ma:
        return belief
    return replace(belief, excess_ma=0)


def _beyond_ma(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    parameters: ControlParameters,
) -> tuple[int, int] | None:
    """Return how far the last reading is above what limits that had time to be followed allow.

    None where it does not tell: of a vehicle that takes less than it may too. What is within
    `overdraw_ma` is none, unless it keeps a station from being seen to obey.
    """
    draw = belief.draws[-1]
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    sampled_at_s = draw.at_s - parameters.sample_age_s
    followed = followed_at(belief, sampled_at_s, parameters)
    if drawn_ma is None or followed is None or sampled_at_s < belief.fallen_until_s:
        return None
    limits = belief.limits[followed:]
    allowed_ma = allowed_of_draw_ma(draw, connector, belief, station, limits)
    if not limits[0].limit_ma or may_have_lapsed(limits, parameters, draw.at_s):
        return None
    if drawn_ma < allowed_ma * parameters.used_ratio - parameters.used_margin_ma:
        return None
    tolerated_ma = tolerance_ma(allowed_ma, parameters)
    if station.is_proven:
        tolerated_ma = overdraw_ma(allowed_ma, parameters) - allowed_ma
    beyond_ma = drawn_ma - allowed_ma
    return (beyond_ma if beyond_ma > tolerated_ma else 0), allowed_ma
