"""The one-second decision: what every connector may take, why, and what is sent about it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.control.appetite import uses_its_limit
from gateway.control.board import Board, Rank
from gateway.control.claims import AT_REST_RANK, Moment, board_of, moment_of
from gateway.control.dead_man import lapse_of, may_add_ma
from gateway.control.doubts import doubts_of
from gateway.control.dues import Look, hand_over, owe_promised, standing_dues
from gateway.control.headroom import Survey, may_raise_by
from gateway.control.orders import FallbackOrder, LimitOrder, fallbacks_of, orders_of
from gateway.control.phases_told import (
    awake_of,
    tell_all_phases,
    tell_all_that_costs_nothing,
    told_for_more,
)
from gateway.control.proof_watch import base_seen, void_proofs
from gateway.control.questions import to_ask
from gateway.control.second_look import held_back
from gateway.control.share import (
    Steps,
    cut_to_fit,
    raise_in_steps,
    rotate,
    start_waiting,
)
from gateway.control.standing import settled
from gateway.control.state import ControlMemory, Due, SiteState
from gateway.control.trusted import is_unsure, may_draw_more
from gateway.control.why import reasons_of
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The limits of every connector, with reasons, and what follows from them.

    `reasons` tells why each connector's limit (`Reason.limit_ma`) is what it is; `ask` names
    connectors to be asked for a reading at once; `trips` the circuits whose trip output, where
    fitted, must open; `void_proofs` those whose base was seen above its declared worst case;
    `dead_man_proven` is a station just seen to fall back by itself.
    """

    at_s: float
    reasons: dict[ConnectorRef, Reason]
    orders: tuple[LimitOrder, ...]
    fallbacks: tuple[FallbackOrder, ...]
    ask: tuple[ConnectorRef, ...]
    trips: tuple[CircuitId, ...]
    void_proofs: tuple[CircuitId, ...]
    dead_man_proven: StationId | None
    survey: Survey
    memory: ControlMemory


def decide(state: SiteState, now_s: float) -> Decision:
    """Return what every connector may take at `now_s`; a pure function of the facts."""
    state = with_settled(state, now_s)
    moment = moment_of(state, now_s)
    board, short_since_s = _cut_board(moment)
    timers, waiting = _timers(moment, board), _waiting(moment, board)
    lapse, proven_dead_man = lapse_of(moment)
    if lapse.connector is not None:
        _hold(moment, board, state.wiring.connector_at[lapse.connector])
    steps = Steps.of(timers.climb_ma, state.wiring.rating_ma, state.parameters)
    awake = awake_of(moment, board, waiting)
    # The minimum of who was promised something comes before a floor: what is kept free for floors
    # must not look taken to it, or it cuts those floors, and they are due again.
    wanting = _wanting(moment, board) if state.priorities else []
    _start(moment, board, [at for at in awake if at in board.guaranteed], timers)
    dues = _owe_promised(moment, board, steps, wanting)
    _start(moment, board, [at for at in awake if at not in board.guaranteed], timers)
    rotated_at_s = state.memory.rotated_at_s
    if awake and now_s - rotated_at_s >= state.parameters.rotation_s / 4:
        was_rotated = rotate(board, awake, now_s, state.parameters)
        rotated_at_s = now_s if was_rotated else rotated_at_s
    tell_all_phases(moment, board, timers.headroom_since_s)
    dues += _raise(moment, board, steps)
    tells_all_phases = told_for_more(board)
    tell_all_that_costs_nothing(moment, board)
    orders = _orders_that_fit(moment, board, lapse.connector)
    asked = to_ask(moment)
    base_seen_ma, base_over = base_seen(state, moment.seen, now_s)
    memory = ControlMemory(
        headroom_since_s=timers.headroom_since_s,
        climb_ma=timers.climb_ma,
        start_room_since_s=timers.start_room_since_s,
        short_since_s=short_since_s,
        waiting_since_s=_waiting_since_s(state, waiting, now_s),
        rotated_at_s=rotated_at_s,
        tells_all_phases=tells_all_phases,
        dues=tuple(dues),
        base_seen_ma=base_seen_ma,
        base_over=base_over,
        doubts=doubts_of(
            state.memory.doubts,
            [row.unseen_ma for row in moment.seen.rows],
            state.parameters,
            now_s,
        ),
        lapse=lapse,
        trial_at_s=tuple([None if t is None else t.since_s for t in moment.trials]),
        trial_unseen_count=tuple([0 if t is None else t.unseen_count for t in moment.trials]),
        trial_spared=tuple([t is not None and t.is_spared for t in moment.trials]),
        trial_covered=tuple([t is not None and t.is_covered for t in moment.trials]),
        asked_at_s=_asked_at_s(state, asked, now_s),
    )
    return Decision(
        at_s=now_s,
        reasons=reasons_of(moment, board, memory),
        orders=orders,
        fallbacks=fallbacks_of(moment),
        ask=tuple(state.wiring.connectors[at].ref for at in sorted(asked)),
        trips=_trips(moment),
        void_proofs=void_proofs(state, memory),
        dead_man_proven=proven_dead_man,
        survey=moment.seen,
        memory=memory,
    )


def with_settled(state: SiteState, now_s: float) -> SiteState:
    """Return the state with the limits put out of force whose time has come."""
    station_of, connectors = state.wiring.station_of, list(state.connectors)
    for at, belief in enumerate(state.connectors):
        if len(belief.limits) > 1:
            station = state.stations[station_of[at]]
            connectors[at] = settled(belief, station, state.parameters, now_s)
    after = tuple(connectors)
    return state if after == state.connectors else replace(state, connectors=after)


def _cut_board(moment: Moment) -> tuple[Board, tuple[float | None, ...]]:
    """Return the board once all fits that can, and per row since when what is told has not fitted."""
    board = _board_with_needs(moment)
    short_since_s = _short_since_s(moment, board)
    may_pause = _may_pause(moment, short_since_s)
    unsure = _unsure(moment, board, short_since_s)
    for at in unsure:
        if may_draw_more(moment.state, moment.seen, at, moment.now_s):
            for row in board.rows[at]:
                may_pause[row] = True
    crowded_out = _crowded_out(moment, unsure, may_pause) if unsure else []
    if crowded_out:
        board = _board_with_needs(moment, paused=crowded_out)
    cut_to_fit(board, may_pause, moment.state.parameters)
    _leave_trials(moment, board)
    return board, short_since_s


def _board_with_needs(
    moment: Moment, *, paused: Collection[Position] = (), obeyed: bool = False
) -> Board:
    board = board_of(moment, paused=paused, obeyed=obeyed)
    _tell_needs(moment, board)
    return board


def _unsure(
    moment: Moment, board: Board, short_since_s: tuple[float | None, ...]
) -> list[Position]:
    """Return who counts more than it is told on a row on which not all fits, for want of proof."""
    return [
        at
        for at in moment.moved
        if not moment.stations[at].is_proven
        and any(short_since_s[row] is not None for row in board.rows[at])
        and is_unsure(moment.state, moment.seen, at, moment.now_s)
    ]


def _crowded_out(moment: Moment, unsure: list[Position], may_pause: list[bool]) -> list[Position]:
    """Return which of those is to be paused even if all obey what they are told."""
    board = _board_with_needs(moment, obeyed=True)
    told = [at for at in unsure if board.limit_ma[at]]
    cut_to_fit(board, may_pause, moment.state.parameters)
    return [at for at in told if not board.limit_ma[at]]


def _leave_trials(moment: Moment, board: Board) -> None:
    """Leave one that is told a little more, to be cut by, all of it: a smaller cut would not show."""
    for at in moment.moved:
        if moment.trials[at] is not None and board.limit_ma[at] > MIN_CHARGING_MA:
            board.set_floor(at, board.limit_ma[at])


def _short_since_s(moment: Moment, board: Board) -> tuple[float | None, ...]:
    """Return, per row, since when what is told has not fitted."""
    slack_ma, before = moment.state.parameters.dead_band_ma, moment.state.memory.short_since_s
    return tuple(
        (moment.now_s if since_s is None else since_s) if room_ma < -slack_ma else None
        for room_ma, since_s in zip(board.room_ma, before, strict=True)
    )


def _may_pause(moment: Moment, short_since_s: tuple[float | None, ...]) -> list[bool]:
    """Return, per row, whether it is time to pause: short for a while, or measured to be over.

    The `reserve` carries the seconds in which a reading is asked for that may show that the
    row was never short.
    """
    wait_s = moment.state.parameters.pause_after_s
    return [
        since_s is not None
        and (
            moment.now_s - since_s >= wait_s
            or row.current_ma is None
            or row.current_ma > row.bound_ma
        )
        for since_s, row in zip(short_since_s, moment.seen.rows, strict=True)
    ]


def _hold(moment: Moment, board: Board, at: Position) -> None:
    """Leave the limit of one whose lease is tried as it is, and room for all that it may draw."""
    board.cap_ma[at] = min(board.cap_ma[at], moment.state.connectors[at].wanted_ma)
    for row, more_ma in may_add_ma(moment, at).items():
        board.keep_proven(row, at, more_ma)


class _Timers(NamedTuple):
    """What rows have had for a while, as `ControlMemory` keeps it."""

    headroom_since_s: tuple[float | None, ...]
    climb_ma: tuple[int, ...]
    start_room_since_s: tuple[float | None, ...]


def _timers(moment: Moment, board: Board) -> _Timers:
    """Return, per row, since when there has been fresh headroom, and how far it is climbed."""
    state, seen, now_s = moment.state, moment.seen, moment.now_s
    memory, dead_band_ma = state.memory, state.parameters.dead_band_ma
    headroom: list[float | None] = []
    start_room: list[float | None] = []
    climb: list[int] = []
    for row, room_ma in enumerate(board.proven_room_ma):
        is_fresh = may_raise_by(state, seen, row)
        since_s, start_since_s = memory.headroom_since_s[row], memory.start_room_since_s[row]
        has_room, has_start = room_ma >= dead_band_ma, room_ma >= MIN_CHARGING_MA
        headroom.append((now_s if since_s is None else since_s) if is_fresh and has_room else None)
        is_ready = since_s is not None and now_s - since_s >= state.parameters.raise_after_s
        is_climbing = is_ready and headroom[-1] is not None
        climb.append(max(memory.climb_ma[row], room_ma) if is_climbing else 0)
        start_room.append(
            (now_s if start_since_s is None else start_since_s) if is_fresh and has_start else None
        )
    return _Timers(tuple(headroom), tuple(climb), tuple(start_room))


def _is_pause_over(moment: Moment, at: int) -> bool:
    """Return whether its old limit is out of force: till then its old phases are counted.

    Nor is a pause made to see a station obey over before it could be seen. After that one not
    proven is started all the same: its old limit counts until it has been tried with another.
    """
    trial = moment.trials[at]
    if trial is not None and trial.is_held:
        return False
    if not moment.stations[at].is_proven:
        return True
    return moment.state.connectors[at].mask is None or not moment.seen.high_ma[at]


def _waiting(moment: Moment, board: Board) -> list[int]:
    """Return the connectors that have nothing and may have the minimum, in order of turn."""
    since_s = moment.state.memory.waiting_since_s

    def turn(at: int) -> tuple[bool, bool, float, tuple[int, float], int]:
        """Order by turn: the minimum is everyone's, whatever the class, after what comes first."""
        waits_from_s = since_s[at]
        waits_from_s = float("inf") if waits_from_s is None else waits_from_s
        is_after = at not in board.guaranteed, not board.comes_first(at)
        return *is_after, waits_from_s, board.rank[at], at

    return sorted(
        (
            at
            for at in moment.moved
            if board.limit_ma[at] == 0
            and board.cap_ma[at] >= MIN_CHARGING_MA
            and _is_pause_over(moment, at)
        ),
        key=turn,
    )


def _waiting_since_s(
    state: SiteState, waiting: list[int], now_s: float
) -> tuple[float | None, ...]:
    before = state.memory.waiting_since_s
    names = set(waiting)
    return tuple(
        (now_s if since_s is None else since_s) if at in names else None
        for at, since_s in enumerate(before)
    )


def _asked_at_s(state: SiteState, asked: set[Position], now_s: float) -> tuple[float, ...]:
    before = state.memory.asked_at_s
    return tuple([now_s if at in asked else asked_s for at, asked_s in enumerate(before)])


def _start(moment: Moment, board: Board, waiting: list[int], timers: _Timers) -> None:
    """Give those waiting their minimum: at once just after plugging in, else after a while."""
    if not waiting:
        return
    state, may_start = moment.state, [False] * len(board.limit_ma)
    not_ready = {
        row
        for row, since_s in enumerate(timers.start_room_since_s)
        if since_s is None or moment.now_s - since_s < state.parameters.raise_after_s
    }
    for at in waiting:
        if state.connectors[at].paused_at_s is None:
            may_start[at] = True
            continue
        waits_for = not_ready.intersection(board.rows[at])
        may_start[at] = not waits_for or (
            all(board.has_already_ma(at, row) >= MIN_CHARGING_MA for row in waits_for)
            and board.fits(at, MIN_CHARGING_MA)
        )
    start_waiting(board, waiting, may_start, state.parameters)


def _tell_needs(moment: Moment, board: Board) -> None:
    """Tell the board whose floors are promised, and what vehicles were seen to take."""
    state = moment.state
    board.told_at_s = [belief.limits[-1].sent_at_s for belief in state.connectors]
    for ref, priority in state.priorities.items():
        at = state.wiring.connector_at.get(ref)
        if at is not None and priority.floor_ma:
            board.floor_ma[at] = -(-board.floor_ma[at] // STEP_MA) * STEP_MA
            board.guaranteed.add(at)
    for at in moment.moved:
        accepts_ma = state.connectors[at].accepts_ma
        if accepts_ma is not None and moment.stations[at].is_proven:
            takes_ma = max(MIN_CHARGING_MA, accepts_ma // STEP_MA * STEP_MA)
            board.cap_ma[at] = min(board.cap_ma[at], takes_ma)


def _wanting(moment: Moment, board: Board) -> list[int]:
    """Return who has its minimum at least and can take more."""
    return [
        at
        for at in moment.moved
        if MIN_CHARGING_MA <= board.limit_ma[at] < board.cap_ma[at]
        and board.rank[at][0] != AT_REST_RANK
        and moment.stations[at].is_proven
    ]


def _owe_promised(moment: Moment, board: Board, steps: Steps, wanting: list[int]) -> list[Due]:
    """Return what is due before others have their minimum, and hand it over."""
    state, now_s = moment.state, moment.now_s
    if not state.priorities:
        return []
    known = [due for due in state.memory.dues if due.is_promised]
    dues = standing_dues(board, known, now_s, state.parameters)
    has_due = {due.connector_at for due in state.memory.dues}
    first = [
        at
        for at in wanting
        if board.comes_first(at)
        and board.may_move[at]
        and at not in has_due
        and uses_its_limit(state, at, now_s)
    ]
    first.sort(key=lambda at: (at not in board.guaranteed, board.rank[at], at))
    asked = [owe_promised(board, at, now_s, state.parameters) for at in first]
    dues += [due for due in asked if due is not None]
    hand_over(board, dues, steps, now_s, state.parameters)
    return dues


def _raise(moment: Moment, board: Board, steps: Steps) -> list[Due]:
    """Raise who can take more into headroom that has been fresh for long enough.

    First those others were cut for; return what is due of what is shared.
    """
    state, now_s = moment.state, moment.now_s
    candidates = _wanting(moment, board)
    waiting = [
        at
        for at in moment.moved
        if not board.limit_ma[at]
        and board.cap_ma[at] >= MIN_CHARGING_MA
        and board.rank[at][0] != AT_REST_RANK
    ]
    _free_unused(moment, board, candidates + waiting)
    known = [due for due in state.memory.dues if not due.is_promised]
    dues = standing_dues(board, known, now_s, state.parameters)
    hand_over(board, dues, steps, now_s, state.parameters)
    has_due = {due.connector_at for due in state.memory.dues}
    looked_at = [at for at in _looked_at(moment, board, candidates) if at not in has_due]
    due = Look(board, now_s, state.parameters).owe_share(looked_at)
    if due is not None:
        dues.append(due)
        hand_over(board, [due], steps, now_s, state.parameters)
    raise_in_steps(board, candidates, steps, state.parameters)
    return dues


def _looked_at(moment: Moment, board: Board, candidates: list[int]) -> list[int]:
    """Return whose turn it is to be looked at for their share: those of some circuits.

    Not before it is known on which phases they would take it.
    """
    state, parameters, now_s = moment.state, moment.state.parameters, moment.now_s
    turn, every = int(now_s), int(parameters.due_look_s)
    connectors, paths = state.connectors, state.wiring.paths
    return [
        at
        for at in candidates
        if (turn + paths[at][0]) % every == 0
        and board.may_move[at]
        and (
            connectors[at].mask is not None
            or now_s - connectors[at].started_at_s > parameters.phases_known_s
        )
        and uses_its_limit(state, at, now_s)
    ]


def _free_unused(moment: Moment, board: Board, takers: list[int]) -> None:
    """Cut what a vehicle leaves unused, all of it if it rests, where `takers` want it."""
    state, wanting = moment.state, set(takers)
    is_wanted_on: dict[int, bool] = {}
    for at in moment.moved:
        if not board.limit_ma[at]:
            continue
        takes_ma = board.cap_ma[at]
        if board.rank[at][0] == AT_REST_RANK and board.may_move[at]:
            takes_ma = 0
        if board.limit_ma[at] - takes_ma < state.parameters.dead_band_ma:
            continue
        for row in board.rows[at]:
            if board.proven_room_ma[row] >= state.parameters.dead_band_ma:
                continue
            if row not in is_wanted_on:
                is_wanted_on[row] = not wanting.isdisjoint(board.movable[row])
            if is_wanted_on[row]:
                board.move(at, takes_ma)
                break


def _orders_that_fit(
    moment: Moment, board: Board, lapsing: ConnectorRef | None
) -> tuple[LimitOrder, ...]:
    """Return what is to be sent, without the raises that a second look does not let pass."""
    connector_at, connectors = moment.state.wiring.connector_at, moment.state.connectors

    def in_order(at: Position) -> tuple[bool, Rank, int]:
        """Return who goes first: who has nothing yet, then by rank."""
        return connectors[at].limits[-1].limit_ma > 0, board.rank[at], at

    while True:
        orders = orders_of(moment, board, lapsing)
        limits = {connector_at[order.connector]: order.limit for order in orders}
        held = held_back(moment.state, moment.seen, limits, in_order, moment.now_s)
        if not held:
            return orders
        for at in held:
            newest = connectors[at].limits[-1]
            board.held_ma[at] = board.limit_ma[at]
            board.move(at, min(board.limit_ma[at], newest.limit_ma))
            board.phase_count[at] = min(board.phase_count[at], newest.phase_count)


def _trips(moment: Moment) -> tuple[CircuitId, ...]:
    """Return the circuits over their own rating for so long that only a trip output is left.

    Not over what the calendar makes of it: no wrong clock switches a building off. As far as is
    known: a silent or frozen meter says nothing of now, and what falls back without it is proven
    to fit. One that is fed by the very circuit is silent once that is open.
    """
    state, now_s = moment.state, moment.now_s
    parameters, tripped = state.parameters, []
    for circuit_at, circuit in enumerate(state.circuits):
        for row, phase in enumerate(circuit.phases, 3 * circuit_at):
            silent_s, since_s = moment.seen.rows[row].silent_s, phase.over_own_since_s
            if since_s is None or silent_s is None or silent_s > parameters.stale_worst_case_s:
                continue
            if now_s - since_s > parameters.over_rating_trip_s:
                tripped.append(state.wiring.circuits[circuit_at].id)
                break
    return tuple(tripped)
