"""Whether a connector's own reading can be true: not where a meter above it shows that less flows."""

from collections.abc import Iterator

from gateway.control.bounds import overdraw_ma
from gateway.control.doubts import unseen_ma
from gateway.control.parameters import ControlParameters
from gateway.control.rows import age_of_s
from gateway.control.state import Draw, SiteState
from gateway.control.wiring import Position
from gateway.domain.circuits import Connector


def is_above_maximum(connector: Connector, draw: Draw, parameters: ControlParameters) -> bool:
    """Return whether a connector tells of more than it is built for, on any phase."""
    most_ma = overdraw_ma(connector.max_ma, parameters)
    return any(drawn_ma > most_ma * len(phases) for phases, drawn_ma in _told_ma(connector, draw))


def is_refuted(state: SiteState, at: Position, draw: Draw) -> bool:
    """Return whether a circuit above a connector carries less than that says it draws.

    A meter can only tell that while it is fresh and was not in doubt lately, and where nothing that
    is declared below it feeds.
    """
    return any(
        _carries_less(state, circuit, phases, drawn_ma, draw.at_s)
        for phases, drawn_ma in _told_ma(state.wiring.connectors[at], draw)
        for circuit in state.wiring.paths[at]
    )


def _told_ma(connector: Connector, draw: Draw) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield phases and what is drawn on them together: of watts, on all that are wired."""
    if draw.current_ma is not None:
        for phase in connector.phases:
            yield (phase,), draw.current_ma[phase]
    elif draw.power_ma is not None:
        yield connector.phases, draw.power_ma


def _carries_less(
    state: SiteState, circuit: Position, phases: tuple[int, ...], drawn_ma: int, at_s: float
) -> bool:
    """Return whether the circuit's meter shows surely less on the phases together."""
    wiring, parameters = state.wiring, state.parameters
    if wiring.circuits[circuit].meter is None:
        return False
    shown_ma = rating_ma = 0
    for phase in phases:
        row, measured = 3 * circuit + phase, state.circuits[circuit].phases[phase]
        if wiring.is_fed_below(circuit, phase) or state.memory.doubts[row] is not None:
            return False
        if age_of_s(measured, 0, parameters, at_s) > parameters.stale_no_raises_s:
            return False
        shown_ma, rating_ma = shown_ma + measured.current_ma, rating_ma + wiring.rating_ma[row]
    return unseen_ma(shown_ma, drawn_ma, 0, rating_ma, parameters) > 0
