"""Watts told for every phase: who has them, who makes room for them, who waits for them in turn."""

from collections.abc import Sequence

from gateway.control.all_phases import asks_all_phases, counts_no_more
from gateway.control.board import Board
from gateway.control.claims import AT_REST_RANK, Moment, awake_rank
from gateway.control.headroom import may_raise_by
from gateway.control.share import could_start, make_room_for_more
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA


def awake_of(moment: Moment, board: Board, waiting: list[Position]) -> list[Position]:
    """Return who of those waiting is not at rest; who needs watts for every phase waits for them.

    It has drawn nothing, and yet does not rest. Where there will never be so much it waits for
    the minimum on one, and may have woken to take that.
    """
    state = moment.state
    for at in waiting:
        if not board.takes_watts[at] or not asks_all_phases(state, at, moment.caps[at]):
            continue
        board.phase_count[at] = len(state.wiring.connectors[at].phases)
        # What it was told before its pause may count still: that will be over.
        has_ma = min([board.has_already_ma(at, row) for row in board.rows[at]])
        if could_start(board, at, board.start_ma(at) - has_ma):
            board.rank[at] = awake_rank(state, at)
            board.just_cut = board.just_cut or _just_cut(moment, board)
        else:
            board.phase_count[at] = board.known_count[at]
    return [at for at in waiting if board.rank[at][0] != AT_REST_RANK]


def _just_cut(moment: Moment, board: Board) -> set[Position]:
    """Return who was told lately that it has no more than it keeps."""
    after_s = moment.now_s - moment.state.parameters.due_for_s
    return {
        at
        for at in moment.moved
        if 0 < board.limit_ma[at] <= board.floor_ma[at] and board.told_at_s[at] > after_s
    }


def tell_all_phases(moment: Moment, board: Board, headroom_since_s: Sequence[float | None]) -> None:
    """Tell who drew nothing on one phase its watts for all, into headroom that has been fresh.

    Others make room for it. Where they cannot with what they have above their minimums it gives up
    its own, which is of no use to it, and waits for its turn.
    """
    state, after_s = moment.state, moment.state.parameters.raise_after_s
    for at in moment.moved:
        if not board.takes_watts[at] or not board.limit_ma[at]:
            continue
        if not asks_all_phases(state, at, moment.caps[at]):
            continue
        if board.phase_count[at] > board.known_count[at]:
            continue  # It has just been started so.
        count = len(state.wiring.connectors[at].phases)
        since_s = [headroom_since_s[row] for row in board.rows[at]]
        is_ready = all(s is not None and moment.now_s - s >= after_s for s in since_s)
        if is_ready and board.tell_for(at, MIN_CHARGING_MA, count):
            continue
        told_for_s = moment.now_s - state.connectors[at].started_at_s
        if not board.may_move[at] or told_for_s < state.parameters.start_settling_s + after_s:
            continue  # It may have begun by now, and what is free may have become fresh.
        more_ma = board.more_for_phases_ma(at, MIN_CHARGING_MA, count)
        if make_room_for_more(board, at, more_ma, state.parameters):
            continue
        # What was told before a pause counts no more after it: it starts from nothing.
        need_ma = board.counted_for_ma(at, MIN_CHARGING_MA, count)
        if board.may_be_paused(at) and all(
            board.may_gain(row, need_ma - board.room_ma[row]) for row in board.rows[at]
        ):
            board.move(at, 0)


def told_for_more(board: Board) -> tuple[bool, ...]:
    """Return, per connector, whether its watts are told for more phases than it is known to use."""
    counts = zip(board.limit_ma, board.phase_count, board.known_count, strict=True)
    return tuple([limit_ma > 0 and count > known for limit_ma, count, known in counts])


def tell_all_that_costs_nothing(moment: Moment, board: Board) -> None:
    """Tell watts for all phases where that counts no more; anew each second, while it does not."""
    state = moment.state
    for at in moment.moved:
        if not board.takes_watts[at]:
            continue
        if not counts_no_more(state, at, board.limit_ma[at], moment.caps[at]):
            continue
        count, newest = len(state.wiring.connectors[at].phases), state.connectors[at].limits[-1]
        is_told = newest.phase_count == count
        if is_told or all(may_raise_by(state, moment.seen, row) for row in board.rows[at]):
            board.phase_count[at] = count
