"""Whether a vehicle is there: what a status, a transaction and a draw tell of its coming and going."""

from dataclasses import replace
from typing import Final

from gateway.control.bounds import CHARGING_MA, draw_as_limit_ma, reading_is_current
from gateway.control.draws import USED_PHASE_MA, with_draw
from gateway.control.parameters import ControlParameters
from gateway.control.standing import after_transaction, with_another_vehicle
from gateway.control.state import NEVER_S, UNFITTED, ConnectorBelief, Draw, StationBelief
from gateway.domain.charging import ChargingState, ConnectorStatus
from gateway.domain.circuits import Connector
from gateway.domain.electric import NOTHING
from gateway.domain.events import ConnectorStatusChanged

_FREE: Final = frozenset({ConnectorStatus.AVAILABLE, ConnectorStatus.UNAVAILABLE})


def with_status(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    event: ConnectorStatusChanged,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with what the station says of the connector: a vehicle may have come or gone.

    That nothing is there, said before and belied by what is drawn since, says no more when repeated.
    """
    is_belied = belief.is_plugged and is_told_free(belief)
    status = event.status or belief.status
    charging_state = event.charging_state or belief.charging_state
    belief = replace(belief, status=status, charging_state=charging_state)
    if status is ConnectorStatus.OCCUPIED:
        return plugged(belief, connector, station, event.at_s)
    if is_belied and reading_is_current(belief, station, parameters, event.at_s):
        return belief
    if event.status in _FREE:
        return unplugged(belief, connector, station, event.at_s)
    return belief


def is_told_free(belief: ConnectorBelief) -> bool:
    """Return whether the station says that nothing is there."""
    return belief.status in _FREE and belief.transaction is None


def seen_to_draw(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    draw: Draw,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with what is drawn put above a status that says nothing is there.

    Two readings in a row decide: one may have been taken before the status. That nothing is drawn
    of nothing tells of no leaving.
    """
    before = belief.draw
    if before is None or not is_told_free(belief):
        return belief
    was_ma = draw_as_limit_ma(before, connector, belief)
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    if was_ma is None or drawn_ma is None:
        return belief
    if min(was_ma, drawn_ma) >= CHARGING_MA:
        return plugged(belief, connector, station, draw.at_s)
    draws_nothing = belief.is_plugged and max(was_ma, drawn_ma) < USED_PHASE_MA
    if draws_nothing and _might_draw(belief, before.at_s, parameters):
        return unplugged(belief, connector, station, draw.at_s)
    return belief


def _might_draw(belief: ConnectorBelief, at_s: float, parameters: ControlParameters) -> bool:
    """Return whether a vehicle has been told enough to draw for as long as it takes to begin."""
    newest, since_s = belief.limits[-1], belief.started_at_s
    if newest.last_sequence:
        if newest.acknowledged_at_s is None:
            return False
        since_s = max(since_s, newest.acknowledged_at_s)
    sampled_at_s = at_s - parameters.sample_age_s
    return newest.limit_ma > 0 and sampled_at_s >= since_s + parameters.start_settling_s


def plugged(
    belief: ConnectorBelief, connector: Connector, station: StationBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief with a vehicle there, of which nothing is known yet unless it was there."""
    if belief.is_plugged:
        return belief
    status = belief.status or ConnectorStatus.OCCUPIED
    return replace(
        with_another_vehicle(connector, belief, station, at_s),
        status=status,
        plugged_at_s=at_s,
        started_at_s=at_s,
        mask=None,
        mask_seen=None,
        fit=UNFITTED,
        accepts_ma=None,
        all_phases_at_s=NEVER_S,
        asks_all_phases=False,
        unused_since_s=None,
        resting_since_s=None,
        is_asleep=False,
        paused_at_s=None,
        is_excess_shown=False,
        kept_to_ma=None,
        beyond=None,
        draws=(),
        moves=(),
    )


def unplugged(
    belief: ConnectorBelief, connector: Connector, station: StationBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief with no vehicle there."""
    if not belief.is_plugged and belief.draw is not None:
        return belief
    left = with_another_vehicle(connector, belief, station, at_s)
    return replace(
        with_draw(left, Draw(at_s=at_s, current_ma=NOTHING, surely_ma=NOTHING)),
        plugged_at_s=None,
        transaction=None,
        charging_state=ChargingState.IDLE,
        over_since_s=None,
        above=None,
        paused_at_s=None,
        resting_since_s=None,
        is_asleep=False,
    )


def without_transaction(
    belief: ConnectorBelief, connector: Connector, station: StationBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief with no transaction; a status told before it may have said Available."""
    if belief.status is ConnectorStatus.AVAILABLE:
        return unplugged(replace(belief, transaction=None), connector, station, at_s)
    return replace(
        after_transaction(connector, belief, station, at_s),
        transaction=None,
        mask=None,
        mask_seen=None,
        fit=UNFITTED,
    )
