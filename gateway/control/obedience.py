"""Whether readings show a connector above what it was told last and had time to follow.

This is what people are told (design §3: alarm). What is counted goes by every limit that may be in
force (`bounds.is_overdrawn`), which is another question: a station that lost its proof may draw
anything by that, and still does not do as it was told.
"""

from gateway.control.bounds import (
    allowed_in_force_ma,
    allowed_limit_ma,
    draw_as_limit_ma,
    fallback_ma,
    may_have_lapsed,
    overdraw_ma,
    reading_is_current,
)
from gateway.control.parameters import ControlParameters
from gateway.control.state import Above, ConnectorBelief, StationBelief
from gateway.domain.circuits import Connector
from gateway.domain.reasons import Excess


def above_told(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    *,
    was_above: bool,
) -> Above | None:
    """Return how readings are above the newest limit that had time to be followed.

    A limit told since, and not yet due, excuses what it allows: such a reading tells nothing, and
    leaves as it was what had lasted long enough to be told (`was_above`).
    """
    draw, was = belief.draws[-1], belief.above
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    followed = followed_at(belief, draw.at_s - parameters.sample_age_s, parameters)
    unknown = was if was_above else None
    if drawn_ma is None or followed is None:
        return unknown

    def allowed_ma(first: int, end: int) -> int:
        limits = belief.limits[first:end]
        return allowed_in_force_ma(connector, belief, station, limits)

    if drawn_ma <= overdraw_ma(allowed_ma(followed, followed + 1), parameters):
        return None
    most_ma = allowed_ma(followed, len(belief.limits))
    has_fallen = may_have_lapsed(belief.limits[followed:], parameters, draw.at_s)
    if has_fallen or draw.at_s - parameters.sample_age_s < belief.fallen_until_s:
        most_ma = max(most_ma, allowed_limit_ma(fallback_ma(connector, belief), station))
    if drawn_ma <= overdraw_ma(most_ma, parameters):
        return unknown
    return Above(
        since_s=draw.at_s if was is None else was.since_s,
        drawn_ma=drawn_ma,
        told_ma=belief.limits[followed].limit_ma,
    )


def is_above(belief: ConnectorBelief, parameters: ControlParameters) -> bool:
    """Return whether readings have been above for so long that people are told."""
    draw, above = belief.draw, belief.above
    return (
        draw is not None
        and above is not None
        and draw.at_s - above.since_s >= parameters.disobedience_s
    )


def excess_of(
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
) -> Excess | None:
    """Return what a connector draws and what it was told, where people are to be told of it.

    Nothing once its last reading is too old to say what it draws now.
    """
    above = belief.above
    if above is None or not is_above(belief, parameters):  # Nearly always.
        return None
    if not reading_is_current(belief, station, parameters, now_s):
        return None
    return Excess(drawn_ma=above.drawn_ma, told_ma=above.told_ma, elapsed_s=now_s - above.since_s)


def followed_at(
    belief: ConnectorBelief, sampled_at_s: float, parameters: ControlParameters
) -> int | None:
    """Return which limit is the newest that was acknowledged and had time to settle, if any."""
    for at in range(len(belief.limits) - 1, -1, -1):
        acknowledged_at_s = belief.limits[at].acknowledged_at_s
        if acknowledged_at_s is None:
            continue
        if sampled_at_s >= acknowledged_at_s + parameters.settling_s:
            return at
    return None
