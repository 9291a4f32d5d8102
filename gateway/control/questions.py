"""Which connectors are asked for a reading at once: TriggerMessage, rate-limited."""

from gateway.control.bounds import interval_of_s
from gateway.control.claims import Moment
from gateway.control.state import NEVER_S, CircuitState, ConnectorBelief, SiteState, StationBelief
from gateway.control.wiring import Position

LATE_S = 1.0
RECENT_S = 3.0
BEGINS_S = 180.0  # A first vehicle that will charge has begun by then.


def to_ask(moment: Moment) -> set[Position]:
    """Return the positions of connectors whose reading is needed sooner than it would come."""
    state, now_s = moment.state, moment.now_s
    changed_at_s = _lately_unexplained_at_s(state, now_s)
    asked: set[Position] = set()
    for at in moment.moved:
        if now_s - state.memory.asked_at_s[at] < state.parameters.reading_request_gap_s:
            continue
        belief = state.connectors[at]
        read_at_s = belief.draws[-1].at_s if belief.draws else NEVER_S
        is_unexplained = read_at_s < changed_at_s[state.wiring.paths[at][0]]
        if is_unexplained or _is_needed(state, belief, moment.stations[at], read_at_s, now_s):
            asked.add(at)
    return asked


def _lately_unexplained_at_s(state: SiteState, now_s: float) -> list[float]:
    """Return, per circuit, when its current or that of one above last changed so, if lately."""
    lately_s = [_own_unexplained_at_s(circuit, now_s - RECENT_S) for circuit in state.circuits]
    return [
        max([at_s, *[lately_s[higher] for higher in path]])
        for at_s, path in zip(lately_s, state.wiring.above, strict=True)
    ]


def _own_unexplained_at_s(circuit: CircuitState, from_s: float) -> float:
    """Return when a circuit's current last fell, or rose by more than noise and raises."""
    latest_s = NEVER_S
    for phase in circuit.phases:
        if phase.changes and phase.changes[-1].at_s >= from_s:  # In most seconds there is none.
            for change in phase.changes[-3:]:
                if change.at_s >= from_s and (change.unexplained_ma or change.delta_ma < 0):
                    latest_s = max(latest_s, change.at_s)
    return latest_s


def _is_needed(
    state: SiteState,
    belief: ConnectorBelief,
    station: StationBelief,
    read_at_s: float,
    now_s: float,
) -> bool:
    """Return whether a cut, or a start, waits to be seen, or a reading is too much or soon too old."""
    parameters, newest = state.parameters, belief.limits[-1]
    if belief.is_above_maximum:
        return True
    is_open = len(belief.limits) > 1 or not station.is_proven
    if is_open and newest.acknowledged_at_s is not None and newest.last_sequence:
        settled_at_s = newest.acknowledged_at_s + parameters.settling_s
        if now_s >= settled_at_s and read_at_s < settled_at_s:
            return True
    begins_by_s = belief.started_at_s + BEGINS_S
    is_beginning = not station.is_proven and newest.limit_ma > 0 and now_s <= begins_by_s
    if is_beginning and belief.draws:
        # Others make room for all that it may draw until it is seen to draw no more than it is told.
        return now_s - read_at_s >= parameters.reading_request_gap_s
    if not belief.draws:
        return newest.limit_ma > 0 and now_s - belief.started_at_s > parameters.settling_s
    return now_s - read_at_s > interval_of_s(station, parameters) + LATE_S
