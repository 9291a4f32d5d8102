"""From beliefs to the board of one decision: who can be moved, and what everyone is counted at."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.control.all_phases import tells_all_phases
from gateway.control.appetite import is_at_rest
from gateway.control.board import Board, Rank
from gateway.control.bounds import (
    counted_in_force_ma,
    counted_limit_ma,
    draw_as_limit_ma,
    is_asleep,
    is_mute,
    is_pause_seen,
    on_one_phase_ma,
    phases_to_tell,
    reading_is_current,
)
from gateway.control.caps import connector_cap, heated_rows, row_caps
from gateway.control.headroom import Survey, survey
from gateway.control.state import ConnectorBelief, Priority, SiteState, StationBelief
from gateway.control.trial import Trial, trials_of
from gateway.control.trusted import is_confirmable, is_unsure, settled_ma
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.reasons import Reason

ORDINARY = Priority()
AT_REST_RANK = 9
ENDLESS_S = float("inf")
AT_REST: Rank = (AT_REST_RANK, ENDLESS_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What one decision looks at. All lists but `moved` are per connector."""

    now_s: float
    state: SiteState
    seen: Survey
    stations: list[StationBelief]
    """What is known of its station."""
    controlled: list[bool]
    """Whether it has a vehicle and its station can be told a limit."""
    moved: list[Position]
    """Those that are controlled."""
    caps: list[Reason | None]
    trials: list[Trial | None]
    heated: frozenset[int]
    """Rows where a third of the device's thermal budget is about to be spent."""


def moment_of(state: SiteState, now_s: float) -> Moment:
    """Return what is seen, who can be moved, and what safety and trials narrow them to."""
    seen = survey(state, now_s)
    narrowed = row_caps(state, seen, now_s)
    stations = [state.stations[station] for station in state.wiring.station_of]
    controlled = [
        station.is_connected and belief.is_plugged
        for station, belief in zip(stations, state.connectors, strict=True)
    ]
    moved = [at for at, is_moved in enumerate(controlled) if is_moved]
    caps: list[Reason | None] = [None] * len(stations)
    trials: list[Trial | None] = [None] * len(stations)
    is_narrowed = bool(narrowed or state.constraints or state.is_stopped)
    tried = trials_of(state, [at for at in moved if not stations[at].is_proven], now_s)
    for at in moved:
        if not (is_narrowed or seen.overdrawn[at] or at in tried or state.connectors[at].excess_ma):
            continue  # Nearly always.
        trials[at] = trial = tried.get(at)
        tried_ma = 0 if trial is None else trial.limit_ma
        caps[at] = connector_cap(state, seen, at, narrowed, tried_ma=tried_ma, now_s=now_s)
    return Moment(
        now_s=now_s,
        state=state,
        seen=seen,
        stations=stations,
        controlled=controlled,
        moved=moved,
        caps=caps,
        trials=trials,
        heated=heated_rows(narrowed),
    )


def told_ma(belief: ConnectorBelief, station: StationBelief) -> int:
    """Return the limit the connector works to: the newest told, or what it starts with."""
    newest = belief.limits[-1]
    if newest.last_sequence or station.is_proven:
        return newest.limit_ma
    return MIN_CHARGING_MA


def board_of(moment: Moment, *, paused: Collection[Position] = (), obeyed: bool = False) -> Board:
    """Return the board before anything is moved for others: limits told, caps applied.

    Those `paused` are told nothing. `obeyed`, who counts more for want of proof alone is trusted.
    """
    state, seen, now_s = moment.state, moment.seen, moment.now_s
    wiring, count = state.wiring, len(moment.controlled)
    # What is claimed, and raised, beyond highs; summed on each connector's own circuit first.
    more_ma, raises_ma = [0] * len(seen.rows), [0] * len(seen.rows)
    may_move, known_counts, phase_counts = [False] * count, [1] * count, [1] * count
    limits_ma, caps_ma, floors_ma = [0] * count, [0] * count, [0] * count
    highs_ma, in_base_ma = list(seen.high_ma), [0] * count
    awake_ma, ranks, ordinary = list(highs_ma), [AT_REST] * count, _rank(state, ORDINARY)
    for at in moment.moved:
        belief, station, high_ma = state.connectors[at], moment.stations[at], seen.high_ma[at]
        priority, rank = _need_of(state, at) if state.priorities else (ORDINARY, ordinary)
        if belief.resting_since_s is not None and is_at_rest(state, belief, now_s):
            rank = AT_REST
        cap, trial, max_ma = moment.caps[at], moment.trials[at], wiring.max_ma[at]
        cap_ma = max_ma if cap is None else min(max_ma, cap.limit_ma)
        limit_ma = told_ma(belief, station) if trial is None else trial.limit_ma
        limit_ma = 0 if at in paused else min(cap_ma, limit_ma)
        is_trusted = obeyed and is_unsure(state, seen, at, now_s)
        confirmable = is_trusted or is_confirmable(state, seen, at, now_s)
        known_counts[at], phase_counts[at] = _phase_counts(moment, at)
        counted_ma, undrawn_ma = limit_ma, 0
        if station.takes_watts:
            times = phase_counts[at] // known_counts[at]
            counted_ma = on_one_phase_ma(limit_ma, times=times, max_ma=max_ma)
        if station.takes_watts or belief.fit.count is not None:
            in_base_ma[at], undrawn_ma = _in_base_ma(moment, at, limit_ma)
            if not confirmable:
                undrawn_ma = max(0, undrawn_ma)  # What it was told to leave may go on flowing.
        if belief.excess_ma and limit_ma:
            counted_ma += belief.excess_ma
        claim_ma = _claim_ma(moment, at, counted_ma, confirmable=confirmable, trusted=is_trusted)
        if claim_ma != high_ma or undrawn_ma:
            for row in wiring.own_rows[at][seen.masks[at]]:
                more_ma[row] += claim_ma - high_ma + min(0, undrawn_ma)
                raises_ma[row] += max(0, counted_ma - high_ma) + max(0, undrawn_ma)
        if len(belief.limits) > 1 and not station.is_proven:
            awake_ma[at] = max(highs_ma[at], _awake_ma(state, at, now_s))
        highs_ma[at] += min(limit_ma, in_base_ma[at])
        awake_ma[at] += min(limit_ma, in_base_ma[at])
        may_move[at] = confirmable and not _gives_nothing(moment, at)
        limits_ma[at], caps_ma[at], ranks[at] = limit_ma, cap_ma, rank
        floors_ma[at] = _floor_ma(rank, priority, cap_ma)
    more_ma, raises_ma = wiring.with_all_below(more_ma), wiring.with_all_below(raises_ma)
    return Board(
        rows=[rows[mask] for rows, mask in zip(wiring.rows, seen.masks, strict=True)],
        may_move=may_move,
        limit_ma=limits_ma,
        high_ma=highs_ma,
        awake_ma=awake_ma,
        max_ma=wiring.max_ma,
        cap_ma=caps_ma,
        floor_ma=floors_ma,
        rank=ranks,
        takes_watts=[station.takes_watts for station in moment.stations],
        in_base_ma=in_base_ma,
        starting_ma=_starting_ma(moment),
        drawn_ma=_drawn_in_base(moment, in_base_ma, limits_ma),
        excess_ma=[belief.excess_ma for belief in state.connectors],
        phase_count=phase_counts,
        known_count=known_counts,
        started_at_s=[belief.started_at_s for belief in state.connectors],
        room_ma=_left_ma(seen, more_ma),
        proven_room_ma=_left_ma(seen, raises_ma),
    )


def _phase_counts(moment: Moment, at: Position) -> tuple[int, int]:
    """Return how many phases a vehicle is known to use, and for how many its limit is told."""
    belief, known_count = moment.state.connectors[at], 1
    if belief.mask is not None and belief.limits[-1].limit_ma:
        known_count = phases_to_tell(belief)
    if moment.state.memory.tells_all_phases[at] and tells_all_phases(
        moment.state, at, moment.caps[at]
    ):
        return known_count, len(moment.state.wiring.connectors[at].phases)
    return known_count, known_count


def _claim_ma(
    moment: Moment, at: Position, counted_ma: int, *, confirmable: bool, trusted: bool
) -> int:
    """Return what a connector counts at in what all were told: less than before only if it will obey.

    Where the heat of the device is at stake nobody is counted on who was never seen to obey: until
    that is known a vehicle that draws its maximum would spend more than may be. Who is told nothing
    for a moment, to see it obey, has its minimum back soon: that is nobody else's. One that is
    `trusted`, though it was never seen to obey, counts what it was read at if that is more.
    """
    trial, station, high_ma = moment.trials[at], moment.stations[at], moment.seen.high_ma[at]
    if trial is not None and trial.is_held:
        least_ma = counted_limit_ma(MIN_CHARGING_MA, moment.state.connectors[at], station)
        counted_ma = max(counted_ma, min(least_ma, high_ma))  # Then it is in the reserve.
    if trusted:
        return max(counted_ma, settled_ma(moment.state, at))
    if confirmable and moment.heated and not station.is_proven:
        rows = moment.state.wiring.rows[at][moment.seen.masks[at]]
        confirmable = moment.heated.isdisjoint(rows)
    return counted_ma if confirmable else max(counted_ma, high_ma)


def _awake_ma(state: SiteState, at: int, now_s: float) -> int:
    """Return what one that is told more is counted at, though it counts less while it rests.

    Its old limits are then in force again, as its station is not proven to obey.
    """
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    if is_pause_seen(belief, station, state.parameters, now_s):
        return 0
    if is_asleep(belief, station) or is_mute(belief, station, state.parameters, now_s):
        return 0  # They are in the reserve, whatever it is told.
    return counted_in_force_ma(connector, belief, station, belief.limits)


def _left_ma(seen: Survey, more_ma: list[int]) -> list[int]:
    """Return what is left on each row once so much more is claimed there."""
    rows = zip(seen.rows, seen.claimed_ma, more_ma, strict=True)
    return [row.available_ma - claimed_ma - more for row, claimed_ma, more in rows]


def _starting_ma(moment: Moment) -> dict[Position, dict[int, int]]:
    """Return what the reserve keeps, on each row, for the start of those told nothing.

    They are told their minimum out of the reserve, which then needs so much less: what they may
    draw is the same, told anything or nothing, until it is proven.
    """
    state, seen, left_ma = moment.state, moment.seen, dict[int, int]()
    starting_ma = dict[Position, dict[int, int]]()
    for at in seen.kept_for:
        if seen.high_ma[at]:
            continue
        least_ma = counted_limit_ma(MIN_CHARGING_MA, state.connectors[at], moment.stations[at])
        starting_ma[at] = of_rows = {
            row: left_ma.get(row, seen.rows[row].unproven_ma)
            for row in state.wiring.rows[at][seen.masks[at]]
        }
        left_ma.update({row: max(0, ma - least_ma) for row, ma in of_rows.items()})
    return starting_ma


def _in_base_ma(moment: Moment, at: int, limit_ma: int) -> tuple[int, int]:
    """Return what a vehicle draws of its limit at most, and still may, where that is in base too.

    Watts are taken off no phase that is not known (design §3): what is drawn of them is base as
    well as a claim. Else what a raise takes would be missed a moment later, and taken back.
    """
    state, belief, station = moment.state, moment.state.connectors[at], moment.stations[at]
    draw = belief.draw
    if belief.mask is not None or draw is None or draw.current_ma is not None:
        return 0, 0
    newest, count = belief.limits[-1], belief.fit.count
    told_count = newest.phase_count if station.takes_watts else count
    if not station.takes_watts and (draw.surely_ma is None or max(draw.surely_ma)):
        return 0, 0  # What surely flows is in base no more.
    accepts_ma, max_ma = belief.accepts_ma, state.wiring.max_ma[at]
    takes_ma = max_ma if accepts_ma is None else accepts_ma
    is_current = reading_is_current(belief, station, state.parameters, moment.now_s)
    if draw.power_ma is None or not is_current or belief.resting_since_s is not None:
        return takes_ma, 0
    most_ma = min(limit_ma, takes_ma)
    undrawn_ma = most_ma - draw.power_ma // (told_count or 1)
    if undrawn_ma < 0:  # It gives that up, unless it is of several phases, and all it may have.
        drawn_ma = draw_as_limit_ma(draw, state.wiring.connectors[at], belief) or 0
        undrawn_ma = min(0, most_ma - drawn_ma)
    is_settled = moment.now_s - newest.sent_at_s > state.parameters.reaction_s
    # What a cut takes from base shows in the circuit soon, in its own readings much later.
    return takes_ma, max(0, undrawn_ma) if is_settled else undrawn_ma


def _drawn_in_base(
    moment: Moment, in_base_ma: list[int], limits_ma: list[int]
) -> dict[Position, int]:
    """Return what each draws of its limit, where what it would is counted as if it were in base.

    The lesser of its last two readings: what a circuit rose by since the one before is not yet in
    base, but given to who was raised.
    """
    drawn_ma = dict[Position, int]()
    for at, ma in enumerate(in_base_ma):
        if not ma:
            continue
        belief, drawn_ma[at] = moment.state.connectors[at], 0
        powers_ma = [draw.power_ma or 0 for draw in belief.draws]
        if belief.resting_since_s is None and powers_ma and powers_ma[-1]:
            undrawn_ma = max(0, _in_base_ma(moment, at, limits_ma[at])[1])
            drawn_ma[at] = (min(limits_ma[at], ma) - undrawn_ma) * min(powers_ma) // powers_ma[-1]
    return drawn_ma


def _gives_nothing(moment: Moment, at: Position) -> bool:
    """Return whether one gives nothing by a pause: the reserve keeps all it may start all the same.

    Where what all were told does not fit by itself it gives that.
    """
    seen = moment.seen
    if at not in seen.kept_for:
        return False
    rows = moment.state.wiring.rows[at][seen.masks[at]]
    return any(seen.rows[row].unproven_ma for row in rows) and all(
        seen.claimed_ma[row] <= seen.rows[row].available_ma + seen.rows[row].unproven_ma
        for row in rows
    )


def _floor_ma(rank: Rank, priority: Priority, cap_ma: int) -> int:
    """Return what a cut for others leaves: its minimum at least, unless its vehicle rests."""
    if rank[0] == AT_REST_RANK:
        return min(cap_ma, priority.floor_ma)
    return min(cap_ma, max(MIN_CHARGING_MA, priority.floor_ma))


def _need_of(state: SiteState, at: Position) -> tuple[Priority, Rank]:
    """Return what a connector's vehicle needs, and what that ranks as."""
    priority = state.priorities.get(state.wiring.connectors[at].ref, ORDINARY)
    return priority, _rank(state, priority)


def awake_rank(state: SiteState, at: Position) -> Rank:
    """Return what a connector ranks as while its vehicle does not rest."""
    return _need_of(state, at)[1]


def _rank(state: SiteState, priority: Priority) -> Rank:
    if priority.laxity_s is None:
        return (priority.rank, ENDLESS_S)
    return (priority.rank, priority.laxity_s // state.parameters.laxity_band_s)
