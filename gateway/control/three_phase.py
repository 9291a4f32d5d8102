"""Bounds that join the three phases of a circuit: apparent power, neutral, imbalance (design §3).

Each is told to the phases as a bound of their own, so that everything else stays a matter of
rows. RMS currents add as scalars, which errs upwards.
"""

from dataclasses import replace

from gateway.control.rows import Row
from gateway.control.state import SiteState
from gateway.domain.circuits import Circuit

HIGHEST_VOLTAGE_RATIO = 1.1  # EN 50160: the nominal voltage and 10 %.
POWER = "the limit on power"
NEUTRAL = "the neutral"
IMBALANCE = "the limit on imbalance"


def within_three_phase_bounds(
    state: SiteState, rows: list[Row], claimed_ma: list[int]
) -> list[Row]:
    """Return the rows, narrowed on circuits that declare such bounds."""
    for at, circuit in enumerate(state.wiring.circuits):
        phases = slice(3 * at, 3 * at + 3)
        if circuit.power_limit_va is not None:
            voltage_v = _highest_voltage_v(state, at)
            total_ma = int(circuit.power_limit_va * 1_000 / voltage_v)
            rows[phases] = _within_power(rows[phases], claimed_ma[phases], total_ma)
        if circuit.neutral_ma is not None or circuit.imbalance_ma is not None:
            rows[phases] = _within_difference(circuit, rows[phases])
    return rows


def _highest_voltage_v(state: SiteState, circuit: int) -> float:
    """Return the highest voltage measured on the circuit, else the highest it may be."""
    told_v = [phase.voltage_v for phase in state.circuits[circuit].phases]
    known_v = [voltage_v for voltage_v in told_v if voltage_v is not None]
    if len(known_v) == len(told_v):
        return max(known_v)
    return state.wiring.site.voltage_v * HIGHEST_VOLTAGE_RATIO


def _within_power(rows: list[Row], claimed_ma: list[int], total_ma: int) -> list[Row]:
    """Return the rows with what is left of the power shared between the phases alike.

    What is over is taken from each phase by its part. The bounds add up to no more than the
    limit; a phase that needs more than its share gets it in steps, a decision at a time.
    """
    needs_ma = [
        row.base_ma + row.reserve_ma + claimed
        for row, claimed in zip(rows, claimed_ma, strict=True)
    ]
    spare_ma = total_ma - sum(needs_ma)
    if spare_ma >= 0:
        bounds_ma = [need_ma + spare_ma // 3 for need_ma in needs_ma]
    else:
        bounds_ma = [need_ma * total_ma // sum(needs_ma) for need_ma in needs_ma]
    return [_bound(row, bound_ma, POWER) for row, bound_ma in zip(rows, bounds_ma, strict=True)]


def _within_difference(circuit: Circuit, rows: list[Row]) -> list[Row]:
    """Return the rows bound to what surely flows on the least loaded other phase, and a bit more.

    The neutral carries no more than the largest difference between two phases: with phasors at
    120° its square is a² + b² + c² - ab - bc - ca, at most (max - min)². Currents that harmonics
    or different power factors send down the neutral are not in that.
    """
    bounds = [(circuit.neutral_ma, NEUTRAL), (circuit.imbalance_ma, IMBALANCE)]
    difference_ma, source = min((ma, name) for ma, name in bounds if ma is not None)
    flows_ma = [max(0, row.current_ma or 0) for row in rows]
    return [
        _bound(row, difference_ma + min(flows_ma[:phase] + flows_ma[phase + 1 :]), source)
        for phase, row in enumerate(rows)
    ]


def _bound(row: Row, bound_ma: int, source: str) -> Row:
    """Return the row with a bound, where that is tighter than what binds it."""
    if bound_ma >= row.bound_ma:
        return row
    available_ma = row.available_ma - row.bound_ma + bound_ma
    return replace(row, bound_ma=bound_ma, bound_source=source, available_ma=available_ma)
