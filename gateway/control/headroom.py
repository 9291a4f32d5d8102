"""How much current is left on every phase of every circuit: subtract lows, count highs.

For each row (a phase of a circuit), with T the circuit's reading and every connector believed
to draw within [low, high] (design §3):

    base_high = max(0, T - sum of lows)
    available = bound - base_high - reserve
    sum of highs <= available
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

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
from gateway.domain.charging import RateUnit
from gateway.domain.circuits import Connector
from gateway.domain.electric import NOTHING, PerPhase
from gateway.domain.ids import CircuitId

ENDLESS_S = float("inf")
NOMINAL_VOLTAGE_V = 230.0  # What a station divides watts by (OCPP 1.6 errata 3.69).
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
    overdrawn: list[bool]
    """Per connector: whether it draws more than any limit that may be in force."""
    masks: list[Mask]
    """Per connector: the phases that count."""
    claimed_ma: list[int]
    """Per row: the sum of highs."""


def tolerance_ma(current_ma: int, parameters: ControlParameters) -> int:
    """Return how far a station's own reading of `current_ma` may be from the truth."""
    by_ratio_ma = int(current_ma * parameters.draw_tolerance_ratio)
    at_least_ma = parameters.draw_tolerance_ma
    return max(at_least_ma, by_ratio_ma)


def overdraw_ma(limit_ma: int, parameters: ControlParameters) -> int:
    """Return the draw above which a connector is over its limit, not merely imprecise."""
    by_ratio_ma = int(limit_ma * parameters.disobedience_ratio)
    at_least_ma = parameters.disobedience_ma
    return limit_ma + (max(at_least_ma, by_ratio_ma))


def draw_as_limit_ma(draw: Draw, connector: Connector, belief: ConnectorBelief) -> int | None:
    """Return the draw per phase, the terms its limit was set in; of watts, by the phases in use.

    Until a vehicle's phases are learnt from its watts they are taken to be as many as would
    fit its limit best.
    """
    if draw.current_ma is not None:
        return max(draw.current_ma)
    if draw.power_w is None:
        return None
    on_one_ma = int(draw.power_w * 1_000 / NOMINAL_VOLTAGE_V)
    phase_count = belief.phase_count
    if phase_count is None:
        offered_ma = max(1, belief.limits[-1].limit_ma)
        phase_count = min(len(connector.phases), max(1, round(on_one_ma / offered_ma)))
    return on_one_ma // phase_count


def counted_limit_ma(limit_ma: int, station: StationBelief) -> int:
    """Return the current a limit allows: of one in watts, at the lowest voltage (design §3)."""
    capabilities = station.capabilities
    if capabilities is None or RateUnit.AMPERES in capabilities.rate_units:
        return limit_ma
    return -int(-limit_ma * NOMINAL_VOLTAGE_V // LOWEST_VOLTAGE_V)


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
    if not belief.draws or not station.is_connected:
        return False
    interval_s = interval_of_s(station, parameters)
    return now_s - belief.draws[-1].at_s <= interval_s + parameters.interval_grace_s


def interval_of_s(station: StationBelief, parameters: ControlParameters) -> float:
    """Return how often the station sends meter values, as it told or as is assumed."""
    if station.capabilities is None or station.capabilities.sample_interval_s is None:
        return parameters.default_interval_s
    return station.capabilities.sample_interval_s


def is_overdrawn(
    connector: Connector, belief: ConnectorBelief, parameters: ControlParameters
) -> bool:
    """Return whether the last reading was above every limit that may be in force.

    A sample taken before the oldest of them had settled still shows the limit before it.
    """
    if not belief.draws:
        return False
    draw, oldest = belief.draws[-1], belief.limits[0]
    if oldest.acknowledged_at_s is not None:
        settled_at_s = oldest.acknowledged_at_s + parameters.settling_s
        if draw.at_s - parameters.sample_age_s < settled_at_s:
            return False
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    return drawn_ma is not None and drawn_ma > overdraw_ma(belief.in_force_ma, parameters)


def high_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
) -> int:
    """Return the most the connector may draw per phase until proven otherwise (design §3)."""
    if not station.is_connected:
        return _high_unreachable_ma(connector, belief, station, now_s)
    if is_idle(belief):
        return 0
    is_over = is_overdrawn(connector, belief, parameters)
    if is_over and reading_is_current(belief, station, parameters, now_s):
        return max(connector.max_ma, _drawn_ma(connector, belief))
    high = counted_limit_ma(belief.in_force_ma, station)
    if _may_have_lapsed(belief.limits, parameters, now_s):
        return max(high, fallback_ma(connector, belief))
    return high


def _drawn_ma(connector: Connector, belief: ConnectorBelief) -> int:
    if belief.draw is None:
        return 0
    return draw_as_limit_ma(belief.draw, connector, belief) or 0


def _high_unreachable_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    now_s: float,
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
    return max(connector.max_ma, _drawn_ma(connector, belief))


def _may_have_lapsed(
    limits: tuple[StandingLimit, ...], parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether no lease that the station confirmed may still be running."""
    if limits[0].lease_until_s is None:  # What stands without a lease is always the oldest.
        return False
    confirmed_at_s = -ENDLESS_S
    for limit in limits:
        if limit.confirmed_at_s is not None and limit.confirmed_at_s > confirmed_at_s:
            confirmed_at_s = limit.confirmed_at_s
    return now_s > confirmed_at_s + parameters.lease_s


def counted_draw(belief: ConnectorBelief, circuits_read_at_s: float) -> Draw | None:
    """Return the reading to count low: not yet one that shows more than the circuits could show.

    What a reading younger than the circuit's adds may not be in the circuit's reading yet; what
    it takes away counts at once.
    """
    if not belief.draws:
        return None
    draw = belief.draws[-1]
    if draw.at_s <= circuits_read_at_s:
        return draw
    before = belief.draws[-2] if len(belief.draws) > 1 else None
    if before is None or before.current_ma is None or draw.current_ma is None:
        return None
    return draw if max(draw.current_ma) < max(before.current_ma) else before


def low_ma(draw: Draw | None, parameters: ControlParameters, *, is_current: bool) -> PerPhase:
    """Return what a reading says is surely drawn on each supply phase; nothing when not known."""
    if draw is None or draw.current_ma is None or not is_current:
        return NOTHING
    l1, l2, l3 = draw.current_ma
    less_ma = tolerance_ma(max(draw.current_ma), parameters)
    return (
        l1 - less_ma if l1 > less_ma else 0,
        l2 - less_ma if l2 > less_ma else 0,
        l3 - less_ma if l3 > less_ma else 0,
    )


def undrawn_ma(
    belief: ConnectorBelief, low: int, high: int, parameters: ControlParameters, at_s: float
) -> int:
    """Return how much a raise or a start may still add to the draw at `at_s`, else 0."""
    is_raised = belief.raised_at_s <= at_s <= belief.raised_at_s + parameters.raise_settling_s
    is_started = belief.started_at_s <= at_s <= belief.started_at_s + parameters.start_settling_s
    return max(0, high - low) if is_raised or is_started else 0


def mask_of(belief: ConnectorBelief, wired: Mask) -> Mask:
    """Return the phases that count: all wired until learnt, and again once a pause has settled."""
    return belief.mask if belief.mask is not None and belief.in_force_ma else wired


def survey(state: SiteState, now_s: float) -> Survey:
    """Return every row's arithmetic and every connector's claim."""
    wiring, parameters, stations = state.wiring, state.parameters, state.stations
    count = len(wiring.rating_ma)
    # Summed on each connector's own circuit first: what is above is summed from circuits.
    claimed_ma, lows_ma, idle_ma = [0] * count, [0] * count, [0] * count
    read_at_s, told_at_s = _read_at_s(state, now_s), [ENDLESS_S] * len(wiring.circuits)
    highs_ma: list[int] = []
    overdrawn: list[bool] = []
    masks: list[Mask] = []
    low_of: list[PerPhase] = []
    sampled_at_s: list[float] = []
    waits: set[int] = set()  # Connectors whose newest reading waits for their circuits'.
    for at, connector in enumerate(wiring.connectors):
        belief = state.connectors[at]
        station = stations[connector.ref.station]
        high = high_ma(connector, belief, station, parameters, now_s)
        mask = mask_of(belief, wiring.wired[at])
        circuit, draw, low, is_current = wiring.paths[at][0], None, NOTHING, False
        if belief.draws:
            draw = counted_draw(belief, read_at_s[circuit])
            if draw is not belief.draws[-1]:
                waits.add(at)
            is_current = reading_is_current(belief, station, parameters, now_s)
            low = low_ma(draw, parameters, is_current=is_current)
        highs_ma.append(high)
        overdrawn.append(is_current and is_overdrawn(connector, belief, parameters))
        masks.append(mask)
        low_of.append(low)
        if high:
            for row in wiring.own_rows[at][mask]:
                claimed_ma[row] += high
            sampled_s = -ENDLESS_S if draw is None else draw.at_s - parameters.sample_age_s
            sampled_at_s.append(sampled_s)
            told_s = max(belief.started_at_s, sampled_s)
            told_at_s[circuit] = min(told_at_s[circuit], told_s)
            l1, l2, l3 = low
            row = 3 * circuit
            lows_ma[row] += min(high, l1)
            lows_ma[row + 1] += min(high, l2)
            lows_ma[row + 2] += min(high, l3)
            continue
        sampled_at_s.append(-ENDLESS_S)
        if is_idle(belief):
            starts_ma = fallback_ma(connector, belief)
            for row in wiring.rows[at][mask]:
                idle_ma[row] = max(idle_ma[row], starts_ma)
    for circuit, path in enumerate(wiring.above):
        for higher in path:
            told_at_s[higher] = min(told_at_s[higher], told_at_s[circuit])
    lows_ma = wiring.with_all_below(lows_ma)
    in_order: list[list[_Sample]] = []
    told: list[list[_Told]] = []
    rows = []
    for at, (lows, idle) in enumerate(zip(lows_ma, idle_ma, strict=True)):
        changes = state.circuits[at // 3].phases[at % 3].changes
        if changes and changes[-1].at_s >= told_at_s[at // 3]:
            if not in_order:
                in_order = _in_order_of_sample(state, low_of, highs_ma, sampled_at_s)
                told = _told(state, waits)
            changed_ma = _changed_ma(state, at, in_order[at // 3], told[at])
            lows = min(lows, changed_ma.lows_ma) + changed_ma.given_ma  # noqa: PLW2901
        rows.append(_row(state, at, lows, idle, now_s))
    return Survey(
        rows=rows,
        high_ma=highs_ma,
        overdrawn=overdrawn,
        masks=masks,
        claimed_ma=wiring.with_all_below(claimed_ma),
    )


def _read_at_s(state: SiteState, now_s: float) -> list[float]:
    """Return, per circuit, when the oldest of the readings of it and of those above is from."""
    wiring = state.wiring
    own_s = [
        now_s if circuit.meter is None else min([phase.read_at_s for phase in measured.phases])
        for circuit, measured in zip(wiring.circuits, state.circuits, strict=True)
    ]
    return [
        min([read_s, *[own_s[higher] for higher in path]])
        for read_s, path in zip(own_s, wiring.above, strict=True)
    ]


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
FIRST_DRAW_S = 90.0
JITTER_MA = 200  # Two readings that differ by less tell of nothing.


def _tightest(
    state: SiteState, circuit: CircuitId, phase: int, set_point_ma: int
) -> tuple[int, str | None]:
    bound_ma, source = set_point_ma, None
    for constraint in state.constraints.values():
        if constraint.subject == circuit and constraint.limit_ma[phase] < bound_ma:
            bound_ma, source = constraint.limit_ma[phase], constraint.source
    return bound_ma, source


_Sample = tuple[float, PerPhase, int, Mask, ConnectorBelief]
"""When a connector was sampled, its lows and its high, the phases that count, its belief."""


def _in_order_of_sample(
    state: SiteState, low_of: list[PerPhase], highs_ma: list[int], sampled_at_s: list[float]
) -> list[list[_Sample]]:
    """Return, per circuit, the connectors below it, the oldest sample first."""
    wiring = state.wiring
    in_order: list[list[_Sample]] = [[] for _ in wiring.circuits]
    for at in sorted(range(len(sampled_at_s)), key=sampled_at_s.__getitem__):
        belief = state.connectors[at]
        mask = belief.mask or wiring.wired[at]
        sample = (sampled_at_s[at], low_of[at], highs_ma[at], mask, belief)
        for circuit in wiring.paths[at]:
            in_order[circuit].append(sample)
    return in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changed:
    """What a row's changes leave of the readings: `lows_ma` of them, and `given_ma` to raises."""

    lows_ma: int
    given_ma: int


@dataclass(slots=True)
class _Told:
    """What a connector's readings tell of a move of its draw, as far as not yet used up."""

    since_s: float
    until_s: float
    left_ma: int


def _changed_ma(
    state: SiteState,
    row: int,
    below: list[_Sample],
    told: list[_Told],
) -> _Changed:
    """Correct the sum of readings on a row by what the circuit has shown since.

    `below` are the connectors below in order of their samples, `told` how their
    readings moved.

    A change that a connector's own newer reading shows is explained by it. The rest of it is taken
    from the readings of all whose sample is older; a rise is given to those just raised or
    started whose sample is older, up to what they had not yet drawn. The sets of connectors a
    change concerns grow with its time, so taking what each set still holds, in order of time,
    is the most that can have been taken. Readings count whole here, above a limit that has come
    into force since too: the fall that limit made is theirs.
    """
    parameters, circuit_at, phase = state.parameters, row // 3, row % 3
    changes = state.circuits[circuit_at].phases[phase].changes
    rises_at_s = [change.at_s for change in changes if change.delta_ma >= 0]
    last_rise_at_s = max(rises_at_s, default=-ENDLESS_S)
    total_ma = 0
    times_s: list[float] = []
    held_ma = [0]
    raised: list[tuple[float, int, ConnectorBelief]] = []
    for sampled_s, lows, high, mask, belief in below:
        low = lows[phase]
        if low and high:
            total_ma += low
            times_s.append(sampled_s)
            held_ma.append(total_ma)
        if high > low and sampled_s <= last_rise_at_s and mask[phase]:
            raised.append((sampled_s, high - low, belief))
    taken_ma = given_ma = 0
    for change in changes:
        if change.delta_ma < 0:
            fall_ma = _unexplained_fall_ma(change, told)
            holds_ma = held_ma[bisect_left(times_s, change.at_s)] + given_ma - taken_ma
            taken_ma += min(fall_ma, max(0, holds_ma))
        else:
            rise_ma = _untold_rise_ma(change, told)
            given_ma += _given_ma(rise_ma, change.at_s, raised, parameters, given_ma)
    of_given_ma = max(0, taken_ma - total_ma)
    return _Changed(lows_ma=max(0, total_ma - taken_ma), given_ma=given_ma - of_given_ma)


def _told(state: SiteState, waits: set[int]) -> list[list[_Told]]:
    """Return, per row, how the readings below it moved, each for this row alone."""
    told: list[list[_Told]] = [[] for _ in state.wiring.rating_ma]
    for at, belief in enumerate(state.connectors):
        draws = belief.draws[:-1] if at in waits else belief.draws
        since_s = belief.plugged_at_s
        if draws and since_s is not None and draws[0].at_s - since_s < FIRST_DRAW_S:
            # The first reading tells of all that was drawn since it was plugged in.
            draws = (Draw(at_s=since_s, current_ma=NOTHING), *draws)
        if len(draws) < 2 or _is_level(draws):  # noqa: PLR2004 - a pair
            continue
        for phase in range(3):
            tells = _told_by(draws, phase, state.parameters)
            if tells:
                for circuit in state.wiring.paths[at]:
                    own = [_Told(tell.since_s, tell.until_s, tell.left_ma) for tell in tells]
                    told[3 * circuit + phase] += own
    return told


def _is_level(draws: tuple[Draw, ...]) -> bool:
    """Return whether all readings are the same, so that none of them shows a move."""
    current_ma = draws[0].current_ma
    for draw in draws:  # noqa: SIM110 - asked of every connector each second
        if draw.current_ma != current_ma:
            return False
    return True


def _told_by(draws: tuple[Draw, ...], phase: int, parameters: ControlParameters) -> list[_Told]:
    """Return the moves from one reading to the next.

    The circuit's meter is polled apart from the station: it may show the same move later.
    """
    tells: list[_Told] = []
    age_s = parameters.sample_age_s
    for before, draw in pairwise(draws):
        if before.current_ma is not None and draw.current_ma is not None:
            moved_ma = draw.current_ma[phase] - before.current_ma[phase]
            if abs(moved_ma) > JITTER_MA:
                tells.append(_Told(before.at_s - age_s, draw.at_s + age_s, moved_ma))
    return tells


def _unexplained_fall_ma(change: Change, told: list[_Told]) -> int:
    """Return the part of a fall that no connector's own reading shows; each shows it once."""
    fall_ma = -change.delta_ma
    for tell in told:
        if tell.left_ma < 0 and tell.since_s <= change.at_s <= tell.until_s:
            explained_ma = min(fall_ma, -tell.left_ma)
            tell.left_ma += explained_ma
            fall_ma -= explained_ma
    return fall_ma


def _untold_rise_ma(change: Change, told: list[_Told]) -> int:
    """Return the part of a rise that no connector's own reading shows: the rest is in its low."""
    rise_ma = change.delta_ma
    for tell in told:
        if tell.left_ma > 0 and tell.since_s <= change.at_s <= tell.until_s:
            explained_ma = min(rise_ma, tell.left_ma)
            tell.left_ma -= explained_ma
            rise_ma -= explained_ma
    return rise_ma


def _given_ma(
    rise_ma: int,
    at_s: float,
    raised: list[tuple[float, int, ConnectorBelief]],
    parameters: ControlParameters,
    given_ma: int,
) -> int:
    """Return how much of a rise goes to connectors just raised or started."""
    room_ma = sum(
        undrawn
        for sampled_s, undrawn, belief in raised
        if sampled_s <= at_s and undrawn_ma(belief, 0, undrawn, parameters, at_s)
    )
    return min(rise_ma, max(0, room_ma - given_ma))
