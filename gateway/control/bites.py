"""A cut seen to bite in the circuit's own current, where a station tells nothing of its draw."""

from dataclasses import replace

from gateway.control.bounds import allowed_in_force_ma, reading_is_current
from gateway.control.state import ConnectorBelief, Move, PhaseState, SiteState

LEAST_RATIO, MOST_RATIO = 0.7, 1.3  # Of the cut: what the circuit must have fallen by.
WHOLE_AMPERE_MA = 1_000  # Some follow in whole amperes: a small cut may be so much more.


def with_bite_seen(state: SiteState, circuit_at: int, at_s: float) -> SiteState:
    """Return the state with a station proven whose cut to nothing the circuit has shown twice in a row.

    Only where it cannot have been another's: the circuit fell by about what this one was told
    before, beside all that others below may have fallen by, and as it had not done since that began
    to draw. A load that is switched off just then makes such a fall too.
    """
    tried = [at for at in state.wiring.below[circuit_at] if _is_tried(state, at, at_s)]
    if len(tried) != 1:
        return state
    at = tried[0]
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    newest = belief.limits[-1]
    is_told = belief.draw is not None and belief.draw.current_ma is not None
    if shown_on(state, at) != circuit_at:
        return state
    if belief.cut_shown_at_s == newest.sent_at_s:
        return state
    if newest.acknowledged_at_s is None:  # It might yet be refused.
        return state
    if is_told and reading_is_current(belief, station, state.parameters, at_s):
        return state
    told_ma, others_ma = belief.limits[-2].limit_ma, _others_ma(state, at, at_s)
    phases = [state.circuits[circuit_at].phases[phase] for phase in connector.phases]
    if not any(
        LEAST_RATIO * told_ma + others_ma <= _fell_ma(phase, newest.sent_at_s)
        and _fell_ma(phase, newest.sent_at_s) <= MOST_RATIO * told_ma
        and not _falls_so_by_itself(phase, belief.started_at_s, newest.sent_at_s, told_ma)
        for phase in phases
    ):
        return state
    shown = replace(belief, cut_shown_at_s=newest.sent_at_s)
    connectors = (*state.connectors[:at], shown, *state.connectors[at + 1 :])
    state = replace(state, connectors=connectors)
    if not _was_shown_before(belief):
        return state
    # Its old limit goes once the cut has settled, as at any station that obeys.
    proven = replace(station, is_proven=True)
    return replace(state, stations={**state.stations, connector.ref.station: proven})


def _was_shown_before(belief: ConnectorBelief) -> bool:
    """Return whether the circuit has shown the last cut to nothing before the newest as well."""
    before_s = [limit.sent_at_s for limit in belief.limits[:-1] if not limit.limit_ma]
    return bool(before_s) and before_s[-1] == belief.cut_shown_at_s


def shown_on(state: SiteState, at: int) -> int | None:
    """Return the circuit whose meter shows best what a connector does, None without a meter."""
    wiring = state.wiring
    metered = [
        circuit for circuit in wiring.paths[at] if wiring.circuits[circuit].meter is not None
    ]
    return metered[0] if metered else None


def is_covered(state: SiteState, at: int, told_ma: int, at_s: float) -> bool:
    """Return whether others below may fall so much now that a cut of `told_ma` would not be told apart."""
    return _others_ma(state, at, at_s) > (1.0 - LEAST_RATIO) * told_ma


def _others_ma(state: SiteState, at: int, at_s: float) -> int:
    """Return what others may have made the circuit fall by that must show a connector's cut."""
    circuit = shown_on(state, at)
    others = () if circuit is None else state.wiring.below[circuit]
    since_s = at_s - state.parameters.reaction_s
    return sum(_may_fall_ma(state, other, since_s, at_s) for other in others if other != at)


def _may_fall_ma(state: SiteState, at: int, since_s: float, at_s: float) -> int:
    """Return what a connector may have fallen by: as its cut allows, or as its readings tell."""
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    told_ma = _deepest_fall_ma([move for move in belief.moves if move.at_s >= since_s])
    if not _is_being_cut(state, at, at_s):
        return told_ma
    station = state.stations[connector.ref.station]
    in_force_ma = allowed_in_force_ma(connector, belief, station, belief.limits)
    newest_ma = allowed_in_force_ma(connector, belief, station, belief.limits[-1:])
    return max(told_ma, in_force_ma - newest_ma + WHOLE_AMPERE_MA)


def _deepest_fall_ma(moves: list[Move]) -> int:
    """Return by how much a reading was below an earlier one at most, on any phase.

    A draw that goes up and down is no lower for it: what rises between falls is taken off.
    """
    deepest_ma = 0
    for phase in range(3):
        fallen_ma = 0
        for move in moves:
            fallen_ma = max(0, fallen_ma - move.moved_ma[phase])
            deepest_ma = max(deepest_ma, fallen_ma)
    return deepest_ma


def _is_tried(state: SiteState, at: int, at_s: float) -> bool:
    """Return whether a connector is being cut to nothing at a station not yet proven."""
    is_proven = state.stations[state.wiring.station_of[at]].is_proven
    return not is_proven and not state.connectors[at].wanted_ma and _is_being_cut(state, at, at_s)


def _is_being_cut(state: SiteState, at: int, at_s: float) -> bool:
    limits, parameters = state.connectors[at].limits, state.parameters
    if len(limits) < 2 or limits[-1].limit_ma >= limits[-2].limit_ma:  # noqa: PLR2004 - a pair
        return False
    if not limits[-2].last_sequence or not state.connectors[at].is_plugged:
        return False
    return at_s <= limits[-1].sent_at_s + parameters.reaction_s


def _falls_so_by_itself(measured: PhaseState, from_s: float, until_s: float, told_ma: int) -> bool:
    """Return whether base fell by as much before a cut, as far as is remembered."""
    return any(
        change.unexplained_ma <= -LEAST_RATIO * told_ma
        for change in measured.changes
        if from_s < change.at_s <= until_s
    )


def _fell_ma(measured: PhaseState, since_s: float) -> int:
    return -sum(change.delta_ma for change in measured.changes if change.at_s > since_s)
