"""Which reason is the primary one for each connector's limit."""

from dataclasses import replace

from gateway.control.bounds import fallback_ma
from gateway.control.caps import figures
from gateway.control.claims import Moment, is_at_rest
from gateway.control.headroom import Survey
from gateway.control.share import Board
from gateway.control.state import ControlMemory, SiteState
from gateway.domain.ids import ConnectorRef
from gateway.domain.reasons import Reason, ReasonKind, RowFigures


def reasons_of(moment: Moment, board: Board, memory: ControlMemory) -> dict[ConnectorRef, Reason]:
    """Return each connector's limit with its one primary reason."""
    state, seen, now_s = moment.state, moment.seen, moment.now_s
    known: dict[int, RowFigures] = {}
    tightest: dict[tuple[int, ...], int] = {}
    of_row: dict[tuple[int, int], Reason] = {}

    def row_figures(row: int) -> RowFigures:
        if row not in known:
            known[row] = figures(state, seen, row)
        return known[row]

    def tightest_row(at: int) -> int:
        rows = board.rows[at]
        if rows not in tightest:
            tightest[rows] = _tightest_row(board, at)
        return tightest[rows]

    reasons: dict[ConnectorRef, Reason] = {}
    for at, connector in enumerate(state.wiring.connectors):
        if not moment.controlled[at]:
            reasons[connector.ref] = _of_uncontrolled(state, seen, at, now_s)
            continue
        limit_ma, cap = board.limit_ma[at], moment.caps[at]
        if limit_ma >= connector.max_ma:
            reason = Reason(kind=ReasonKind.AT_MAXIMUM, limit_ma=limit_ma)
        elif cap is not None and limit_ma >= cap.limit_ma:
            reason = replace(cap, limit_ma=limit_ma)
        elif at in board.made_room_for:
            other = state.wiring.connectors[board.made_room_for[at]].ref
            reason = Reason(
                kind=ReasonKind.MAKES_ROOM,
                limit_ma=limit_ma,
                row=row_figures(tightest_row(at)),
                name=str(other),
            )
        elif limit_ma >= board.cap_ma[at] or is_at_rest(state, state.connectors[at], now_s):
            reason = _of_appetite(state, at, limit_ma)
        else:
            row = tightest_row(at)
            shared = of_row.get((row, limit_ma))
            reason = shared or _of_row(moment, board, memory, at, row_figures(row))
            if limit_ma:  # One that has nothing has its own time of waiting.
                of_row[row, limit_ma] = reason
        reasons[connector.ref] = reason
    return reasons


def _of_uncontrolled(state: SiteState, seen: Survey, at: int, now_s: float) -> Reason:
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    limit_ma = min(connector.max_ma, fallback_ma(connector, belief))
    if not station.is_connected:
        gone_s = now_s - max(station.changed_at_s, state.started_at_s)
        return Reason(
            kind=ReasonKind.STATION_UNREACHABLE,
            limit_ma=limit_ma,
            current_ma=seen.high_ma[at],
            elapsed_s=gone_s,
        )
    if state.is_stopped:
        return Reason(kind=ReasonKind.STOPPED, limit_ma=0, stop=state.stop_cause)
    unwritten_ma = connector.max_ma if belief.fallback_ma is None else None
    return Reason(kind=ReasonKind.NOT_CONNECTED, limit_ma=limit_ma, current_ma=unwritten_ma)


def _of_appetite(state: SiteState, at: int, limit_ma: int) -> Reason:
    belief = state.connectors[at]
    takes_ma = belief.accepts_ma
    if takes_ma is None and belief.draw is not None:
        takes_ma = belief.draw.highest_ma
    return Reason(kind=ReasonKind.VEHICLE_TAKES_LESS, limit_ma=limit_ma, current_ma=takes_ma)


def _tightest_row(board: Board, at: int) -> int:
    return min([(board.proven_room_ma[row], row) for row in board.rows[at]])[1]


def _of_row(
    moment: Moment, board: Board, memory: ControlMemory, at: int, figures_of_row: RowFigures
) -> Reason:
    parameters, now_s, limit_ma = moment.state.parameters, moment.now_s, board.limit_ma[at]
    row = 3 * moment.state.wiring.circuit_at[figures_of_row.circuit] + figures_of_row.phase
    if limit_ma == 0 and row in board.crowded:
        since_s = memory.waiting_since_s[at]
        return Reason(
            kind=ReasonKind.WAITS_FOR_TURN,
            limit_ma=0,
            row=figures_of_row,
            elapsed_s=0.0 if since_s is None else now_s - since_s,
        )
    timers = memory.headroom_since_s if limit_ma else memory.start_room_since_s
    since_s = timers[row]
    if since_s is None or (limit_ma and board.proven_room_ma[row] < parameters.dead_band_ma):
        kind = ReasonKind.CIRCUIT_AT_SET_POINT
        return Reason(kind=kind, limit_ma=limit_ma, row=figures_of_row)
    remaining_s = parameters.raise_after_s - (now_s - since_s)
    if remaining_s > 0:
        return Reason(
            kind=ReasonKind.WAITS_FOR_HEADROOM,
            limit_ma=limit_ma,
            row=figures_of_row,
            remaining_s=remaining_s,
        )
    return Reason(kind=ReasonKind.RAISED_IN_STEPS, limit_ma=limit_ma, row=figures_of_row)
