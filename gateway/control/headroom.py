"""How much current is left on every phase of every circuit: subtract lows, count highs.

For each row (a phase of a circuit), with T the circuit's reading and every connector believed
to draw within [low, high] (design §3):

    base_high = max(0, T - sum of lows)
    available = bound - base_high - reserve
    sum of highs <= available
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from gateway.control.parameters import ControlParameters
from gateway.control.state import (
    Change,
    ConnectorBelief,
    Draw,
    PhaseState,
    SiteState,
    StandingLimit,
    StationBelief,
)
from gateway.control.wiring import Mask
from gateway.domain.circuits import Connector
from gateway.domain.electric import NOTHING, PerPhase
from gateway.domain.ids import CircuitId

LOWEST_VOLTAGE_V = 207.0  # EN 50160: 230 V less 10 %.


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One phase of one circuit, as a decision sees it.

    `bound_ma` is the tightest of set-point and outside limits, `bound_source` whose it is (None:
    the set-point). `age_s` is the reading's age, None where there is no meter. `base_ma` is
    base_high, or the declared worst case when the reading is too old or there is none.
    """

    rating_ma: int
    set_point_ma: int
    bound_ma: int
    bound_source: str | None
    current_ma: int | None
    age_s: float | None
    base_ma: int
    reserve_ma: int
    available_ma: int
    """What connectors may take in all here; negative when base alone is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Every row and every connector's part in it, at one instant."""

    rows: list[Row]
    high_ma: list[int]
    """Per connector."""
    masks: list[Mask]
    """Per connector: the phases that count."""
    claimed_ma: list[int]
    """Per row: the sum of highs."""


def tolerance_ma(current_ma: int, parameters: ControlParameters) -> int:
    """Return how far a station's own reading of `current_ma` may be from the truth."""
    by_ratio_ma = int(current_ma * parameters.draw_tolerance_ratio)
    return max(parameters.draw_tolerance_ma, by_ratio_ma)


def overdraw_ma(limit_ma: int, parameters: ControlParameters) -> int:
    """Return the draw above which a connector is over its limit, not merely imprecise."""
    by_ratio_ma = int(limit_ma * parameters.disobedience_ratio)
    return limit_ma + max(parameters.disobedience_ma, by_ratio_ma)


def draw_as_limit_ma(draw: Draw, connector: Connector, belief: ConnectorBelief) -> int | None:
    """Return the draw in the terms its limit was set in: per phase, or watts over the phases."""
    if draw.current_ma is not None:
        return max(draw.current_ma)
    if draw.power_w is None:
        return None
    # A limit in watts is made with the lowest voltage (`CurrentLimit.voltage_v`), so the same
    # division tells what part of it is used.
    phase_count = max(1, min(belief.limits[-1].phase_count, len(connector.phases)))
    return int(draw.power_w * 1_000 / (LOWEST_VOLTAGE_V * phase_count))


def is_idle(belief: ConnectorBelief) -> bool:
    """Return whether no vehicle is connected: it holds its fallback and counts nothing.

    A vehicle takes seconds to begin, in which others are cut.
    """
    return belief.plugged_at_s is None and belief.status is not None


def fallback_ma(connector: Connector, belief: ConnectorBelief) -> int:
    """Return the limit that holds when no lease does: the installed maximum until written."""
    return connector.max_ma if belief.fallback_ma is None else belief.fallback_ma


def reading_is_current(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether the connector's last reading still says what it draws."""
    if belief.draw is None or not station.is_connected:
        return False
    interval_s = interval_of_s(station, parameters)
    return now_s - belief.draw.at_s <= interval_s + parameters.interval_grace_s


def interval_of_s(station: StationBelief, parameters: ControlParameters) -> float:
    """Return how often the station sends meter values, as it told or as is assumed."""
    if station.capabilities is None or station.capabilities.sample_interval_s is None:
        return parameters.default_interval_s
    return station.capabilities.sample_interval_s


def high_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
) -> int:
    """Return the most the connector may draw per phase until proven otherwise (design §3)."""
    draw_ma = 0
    if belief.draw is not None:
        draw_ma = draw_as_limit_ma(belief.draw, connector, belief) or 0
    if not station.is_connected:
        return _high_unreachable_ma(connector, belief, station, now_s, draw_ma)
    if is_idle(belief):
        return 0
    in_force_ma = belief.in_force_ma
    if draw_ma > overdraw_ma(in_force_ma, parameters):
        return max(connector.max_ma, draw_ma)
    if _may_have_lapsed(belief.limits, parameters, now_s):
        return max(in_force_ma, fallback_ma(connector, belief))
    return in_force_ma


def _high_unreachable_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    now_s: float,
    draw_ma: int,
) -> int:
    standing_ma = [
        limit.limit_ma
        for limit in belief.limits
        if limit.lease_until_s is None or limit.lease_until_s > now_s
    ]
    if standing_ma:
        return max(*standing_ma, fallback_ma(connector, belief))
    if station.is_dead_man_proven:
        return fallback_ma(connector, belief)
    return max(connector.max_ma, draw_ma)


def _may_have_lapsed(
    limits: tuple[StandingLimit, ...], parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether no lease that the station confirmed may still be running."""
    if any(limit.lease_until_s is None for limit in limits):
        return False
    confirmed_s = [limit.confirmed_at_s for limit in limits if limit.confirmed_at_s is not None]
    return not confirmed_s or now_s > max(confirmed_s) + parameters.lease_s


def low_ma(
    belief: ConnectorBelief,
    station: StationBelief,
    high: int,
    parameters: ControlParameters,
    now_s: float,
    *,
    circuits_read_at_s: float,
) -> PerPhase:
    """Return what the connector surely draws on each supply phase; nothing when not known.

    A reading younger than the circuit's counts only as far as the one before it confirms: what
    it adds may not be in the circuit's reading yet.
    """
    draw = belief.draw
    if draw is None or draw.current_ma is None:
        return NOTHING
    if not reading_is_current(belief, station, parameters, now_s):
        return NOTHING
    drawn_ma = draw.current_ma
    if draw.at_s > circuits_read_at_s:
        before = belief.draw_before
        if before is None or before.current_ma is None:
            return NOTHING
        l1, l2, l3 = before.current_ma
        drawn_ma = (min(drawn_ma[0], l1), min(drawn_ma[1], l2), min(drawn_ma[2], l3))
    less_ma = max(drawn_ma)
    less_ma = tolerance_ma(less_ma, parameters) if less_ma else 0
    l1, l2, l3 = drawn_ma
    return (
        min(high, max(0, l1 - less_ma)),
        min(high, max(0, l2 - less_ma)),
        min(high, max(0, l3 - less_ma)),
    )


def undrawn_ma(
    belief: ConnectorBelief, low: int, high: int, parameters: ControlParameters, at_s: float
) -> int:
    """Return how much a raise or a start may still add to the draw at `at_s`, else 0."""
    is_raised = belief.raised_at_s <= at_s <= belief.raised_at_s + parameters.settling_s
    is_started = belief.started_at_s <= at_s <= belief.started_at_s + parameters.start_settling_s
    return max(0, high - low) if is_raised or is_started else 0


def survey(state: SiteState, now_s: float) -> Survey:
    """Return every row's arithmetic and every connector's claim."""
    wiring, parameters, stations = state.wiring, state.parameters, state.stations
    read_at_s = [min(phase.read_at_s for phase in c.phases) for c in state.circuits]
    metered = set(wiring.metered_circuit_at.values())
    claimed_ma = [0] * len(wiring.rating_ma)
    lows_ma = [0] * len(wiring.rating_ma)
    idle_ma = [0] * len(wiring.rating_ma)
    highs_ma: list[int] = []
    masks: list[Mask] = []
    low_of: list[PerPhase] = []
    for at, connector in enumerate(wiring.connectors):
        belief = state.connectors[at]
        station = stations[connector.ref.station]
        high = high_ma(connector, belief, station, parameters, now_s)
        mask = belief.mask or wiring.wired[at]
        path = wiring.paths[at]
        oldest_s = min((read_at_s[c] for c in path if c in metered), default=now_s)
        low = NOTHING
        if belief.draw is not None:
            low = low_ma(belief, station, high, parameters, now_s, circuits_read_at_s=oldest_s)
        highs_ma.append(high)
        masks.append(mask)
        low_of.append(low)
        if high:
            for row in wiring.rows[at][mask]:
                claimed_ma[row] += high
        elif is_idle(belief):
            starts_ma = fallback_ma(connector, belief)
            for row in wiring.rows[at][mask]:
                idle_ma[row] = max(idle_ma[row], starts_ma)
        if low is not NOTHING:
            for circuit in path:
                row = 3 * circuit
                lows_ma[row] += low[0]
                lows_ma[row + 1] += low[1]
                lows_ma[row + 2] += low[2]
    rows = []
    for at, (lows, idle) in enumerate(zip(lows_ma, idle_ma, strict=True)):
        measured = state.circuits[at // 3].phases[at % 3]
        if measured.changes:
            lows = _lows_after_changes_ma(state, at, low_of, highs_ma)  # noqa: PLW2901
        rows.append(_row(state, at, lows, idle, now_s))
    return Survey(rows=rows, high_ma=highs_ma, masks=masks, claimed_ma=claimed_ma)


def _row(state: SiteState, at: int, lows_ma: int, idle_ma: int, now_s: float) -> Row:
    wiring, parameters = state.wiring, state.parameters
    circuit, phase = wiring.circuits[at // 3], at % 3
    measured = state.circuits[at // 3].phases[phase]
    bound_ma, source = wiring.set_point_ma[at], None
    if state.constraints:
        bound_ma, source = _tightest(state, circuit.id, phase, bound_ma)
    age_s = None if circuit.meter is None else age_of_s(measured, parameters, now_s)
    if age_s is None or age_s > parameters.stale_worst_case_s:
        # With no reading to trust the declared worst case stands, and needs no reserve.
        current_ma, base_ma, reserve_ma = None, wiring.worst_case_ma[at], 0
    else:
        current_ma = measured.current_ma
        base_ma = max(0, current_ma - lows_ma)
        reserve_ma = max(_rise_ma(measured, wiring.rating_ma[at], parameters), idle_ma)
    return Row(
        rating_ma=wiring.rating_ma[at],
        set_point_ma=wiring.set_point_ma[at],
        bound_ma=bound_ma,
        bound_source=source,
        current_ma=current_ma,
        age_s=age_s,
        base_ma=base_ma,
        reserve_ma=reserve_ma,
        available_ma=bound_ma - base_ma - reserve_ma,
    )


def _rise_ma(measured: PhaseState, rating_ma: int, parameters: ControlParameters) -> int:
    """Return what base may credibly rise by within one reaction chain (design §3, reserve)."""
    if measured.rises.quantile_ma is None:
        return int(rating_ma * parameters.reserve_unlearnt_ratio)
    return max(measured.rises.quantile_ma, int(rating_ma * parameters.reserve_floor_ratio))


def age_of_s(measured: PhaseState, parameters: ControlParameters, now_s: float) -> float:
    """Return how old a circuit's reading is; a value that repeats itself ages too.

    A live current is never the same to the last bit for long, so a meter that repeats one is
    frozen; one that shows next to nothing may rightly repeat itself.
    """
    age_s = now_s - measured.read_at_s
    unchanged_s = now_s - measured.changed_at_s
    if abs(measured.current_ma) >= FLOWING_MA and unchanged_s > parameters.frozen_after_s:
        return max(age_s, unchanged_s - parameters.frozen_after_s + parameters.stale_no_raises_s)
    return age_s


FLOWING_MA = 2_000


def _tightest(
    state: SiteState, circuit: CircuitId, phase: int, set_point_ma: int
) -> tuple[int, str | None]:
    bound_ma, source = set_point_ma, None
    for constraint in state.constraints.values():
        if constraint.subject == circuit and constraint.limit_ma[phase] < bound_ma:
            bound_ma, source = constraint.limit_ma[phase], constraint.source
    return bound_ma, source


def _lows_after_changes_ma(
    state: SiteState, row: int, low_of: list[PerPhase], highs: list[int]
) -> int:
    """Return the sum of lows on a row, corrected by what the circuit showed since the readings.

    A fall is taken from the lows of all whose sample is older than it, a rise is given to those
    just raised or started whose reading is older, up to what they had not yet drawn. The sets
    of connectors a change concerns grow with its time, so taking what each set still holds, in
    order of time, is the most that can have been taken.
    """
    parameters, circuit_at, phase = state.parameters, row // 3, row % 3
    changes = state.circuits[circuit_at].phases[phase].changes
    total_ma = 0
    sampled: list[tuple[float, int]] = []
    raised: list[tuple[float, int, ConnectorBelief]] = []
    for at in state.wiring.below[circuit_at]:
        belief = state.connectors[at]
        low = low_of[at][phase]
        if low and belief.draw is not None:
            total_ma += low
            sampled.append((belief.draw.at_s - parameters.sample_age_s, low))
        high = highs[at]
        if high > low and (belief.mask or state.wiring.wired[at])[phase]:
            arrived_s = belief.draw.at_s if belief.draw is not None else float("-inf")
            raised.append((arrived_s, high - low, belief))
    sampled.sort()
    times_s = [time_s for time_s, _ in sampled]
    held_ma = list(accumulate((low for _, low in sampled), initial=0))
    taken_ma = given_ma = 0
    for change in changes:
        if change.delta_ma < 0:
            holds_ma = held_ma[bisect_left(times_s, change.at_s)] + given_ma - taken_ma
            taken_ma += min(-change.delta_ma, max(0, holds_ma))
        else:
            given_ma += _given_ma(change, raised, parameters, given_ma)
    return total_ma + given_ma - taken_ma


def _given_ma(
    change: Change,
    raised: list[tuple[float, int, ConnectorBelief]],
    parameters: ControlParameters,
    given_ma: int,
) -> int:
    """Return how much of a rise goes to connectors just raised or started."""
    room_ma = sum(
        undrawn
        for arrived_s, undrawn, belief in raised
        if arrived_s <= change.at_s and undrawn_ma(belief, 0, undrawn, parameters, change.at_s)
    )
    return min(change.delta_ma, max(0, room_ma - given_ma))
