"""The highest voltage there may be at a connector: it turns power into the least current."""

from gateway.control.rows import age_of_s
from gateway.control.state import SiteState
from gateway.control.wiring import Position
from gateway.domain.electric import HIGHEST_VOLTAGE_PCT, LOWEST_VOLTAGE_PCT

METER_PCT = 1  # A meter of voltage is of class 1 or better.


def highest_voltage_v(state: SiteState, at: Position, at_s: float) -> float:
    """Return the highest voltage of the phases a connector is wired to, at `at_s`.

    As the nearest meter above tells it: from there on it only falls, unless something declared
    feeds in between. Without a fresh one it is the highest of EN 50160.
    """
    wiring, parameters = state.wiring, state.parameters
    nominal_v, phases = wiring.site.voltage_v, wiring.connectors[at].phases
    for circuit in wiring.paths[at]:
        if wiring.circuits[circuit].meter is None:
            continue
        measured = [state.circuits[circuit].phases[phase] for phase in phases]
        is_fresh = all(
            age_of_s(phase, 0, parameters, at_s) <= parameters.stale_no_raises_s
            for phase in measured
        )
        told_v = [phase.voltage_v for phase in measured if phase.voltage_v is not None]
        is_fed = any(wiring.is_fed_below(circuit, phase) for phase in phases)
        if not is_fresh or is_fed or len(told_v) < len(phases):
            break
        if min(told_v) * 100 < nominal_v * LOWEST_VOLTAGE_PCT:
            break  # No vehicle charges with that: the meter tells something else.
        return max(told_v) * (100 + METER_PCT) / 100
    return nominal_v * HIGHEST_VOLTAGE_PCT / 100
