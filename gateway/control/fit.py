"""On how many phases a vehicle draws whose station tells power alone.

Many counts explain one power. A count is sure only where the draw followed the limit from one to
another, or where no other is possible. Until then the most that may be count where obedience is
judged, and the fewest where it is asked what a vehicle takes.
"""

from dataclasses import replace

from gateway.control.bounds import CHARGING_MA, overdraw_ma
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, Draw
from gateway.domain.circuits import Connector

LEAST_USED_RATIO = 0.75  # Who follows its limit draws so much of it, at a low voltage too.
SLOPE_RATIO = 0.3


def with_fit(
    belief: ConnectorBelief, connector: Connector, draw: Draw, parameters: ControlParameters
) -> ConnectorBelief:
    """Return the belief with what the power of a draw tells of the phases in use."""
    newest, power_ma, wired_count = belief.limits[-1], draw.power_ma, len(connector.phases)
    if draw.current_ma is not None or power_ma is None or wired_count == 1:
        return belief
    acknowledged_at_s, sampled_at_s = newest.acknowledged_at_s, draw.at_s - parameters.sample_age_s
    if not newest.limit_ma or acknowledged_at_s is None or sampled_at_s < acknowledged_at_s:
        return belief
    fit, count = belief.fit, _followed_count(belief, wired_count, power_ma, parameters)
    if count is not None:
        fit = replace(fit, count=count, fewest_count=count)
    if sampled_at_s >= acknowledged_at_s + parameters.settling_s:
        needed_count = _needed_count(belief, power_ma, parameters)
        if needed_count <= wired_count and power_ma >= needed_count * CHARGING_MA:
            fit = replace(fit, fewest_count=max(fit.fewest_count, needed_count))
        fit = replace(fit, limit_ma=newest.limit_ma, power_ma=power_ma)
    return replace(belief, fit=fit)


def _needed_count(belief: ConnectorBelief, power_ma: int, parameters: ControlParameters) -> int:
    """Return on how many phases at least a power keeps every limit that may be in force.

    On one, if what is beyond may be what it settles above its limit.
    """
    in_force_ma = belief.in_force_ma
    if power_ma <= in_force_ma + parameters.excess_most_ma:
        return 1
    return -(-power_ma // overdraw_ma(in_force_ma + belief.excess_ma, parameters))


def _followed_count(
    belief: ConnectorBelief, wired_count: int, power_ma: int, parameters: ControlParameters
) -> int | None:
    """Return on how many phases a draw went with its limit, from the last settled one to this.

    It must have used both, and moved with them: what a vehicle takes of itself, or a limit that
    was lowered to what was drawn, fits some count by chance.
    """
    fit, limit_ma = belief.fit, belief.wanted_ma
    told_ma, moved_ma = limit_ma - fit.limit_ma, power_ma - fit.power_ma
    if not fit.limit_ma or abs(told_ma) < parameters.dead_band_ma:
        return None

    def is_used(count: int, of_ma: int, drawn_ma: int) -> bool:
        least_ma = max(CHARGING_MA, of_ma * LEAST_USED_RATIO)
        most_ma = overdraw_ma(of_ma + belief.excess_ma, parameters)
        return count * least_ma <= drawn_ma <= count * most_ma

    counts = [
        count
        for count in range(1, wired_count + 1)
        if is_used(count, fit.limit_ma, fit.power_ma)
        and is_used(count, limit_ma, power_ma)
        and abs(moved_ma - count * told_ma) <= SLOPE_RATIO * count * abs(told_ma)
    ]
    return min(counts, key=lambda count: abs(moved_ma - count * told_ma), default=None)
