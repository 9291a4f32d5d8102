"""Which reason is the primary one for each connector's limit."""

from collections.abc import Callable
from functools import lru_cache

from gateway.control.all_phases import asks_all_phases
from gateway.control.board import Board
from gateway.control.bounds import counted_limit_ma, fallback_ma, on_one_phase_ma, taken_ma
from gateway.control.caps import figures
from gateway.control.claims import AT_REST_RANK, Moment, told_ma
from gateway.control.headroom import Survey
from gateway.control.obedience import excess_of
from gateway.control.share import least_climb_ma
from gateway.control.state import ControlMemory, Due, SiteState
from gateway.control.trusted import is_unanswered
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA
from gateway.domain.ids import ConnectorRef
from gateway.domain.needs import Criticality
from gateway.domain.reasons import Reason, ReasonKind, RowFigures

CLASSES = tuple(Criticality)

Tightest = Callable[[Position], RowFigures]


def reasons_of(moment: Moment, board: Board, memory: ControlMemory) -> dict[ConnectorRef, Reason]:
    """Return each connector's limit with its one primary reason."""
    state, seen, now_s = moment.state, moment.seen, moment.now_s
    known: dict[tuple[int, ...], RowFigures] = {}
    of_row: dict[int, RowFigures] = {}
    of_rows: dict[tuple[object, ...], Reason] = {}
    unproven = {at for at in moment.moved if not moment.stations[at].is_proven}

    def tightest(at: Position) -> RowFigures:
        """Return the arithmetic of the tightest row that a connector loads."""
        rows = board.rows[at]
        if rows not in known:
            row = min([(board.proven_room_ma[row], row) for row in rows])[1]
            if row not in of_row:  # The same one of a high circuit is many connectors' tightest.
                told = figures(state, seen, row)
                if unproven:
                    told = _with_unproven(moment, unproven, row, told)
                of_row[row] = _as_decided(state, board, row, told)
            known[rows] = of_row[row]
        return known[rows]

    for due in memory.dues:
        for giver in due.givers:
            if _still_gives(state, giver, due):
                board.made_room_for.setdefault(giver, due.connector_at)
    reasons: dict[ConnectorRef, Reason] = {}
    for at, connector in enumerate(state.wiring.connectors):
        if not moment.controlled[at]:
            reasons[connector.ref] = _of_uncontrolled(state, seen, at, now_s)
            continue
        reason = _of_its_own(moment, board, memory, at, tightest)
        if reason is None:
            reason = _of_holding(moment, board, at, tightest)
        if reason is None:
            limit_ma, since_s = board.limit_ma[at], memory.waiting_since_s[at]
            is_promised, start_ma = at in board.guaranteed, 0 if limit_ma else board.start_ma(at)
            alike = board.rows[at], limit_ma, board.rank[at][0], is_promised, since_s, start_ma
            if alike not in of_rows:
                of_rows[alike] = _of_row(moment, board, memory, at, tightest(at))
            reason = of_rows[alike]
            if not limit_ma and reason.kind is ReasonKind.RAISED_IN_STEPS:
                # There is room: what it was told before its pause is not known to be over.
                reason = _of_pending(state, seen, at, limit_ma, now_s)
        if state.connectors[at].above is not None:
            reason = _with_excess(state, at, reason, now_s)
        reasons[connector.ref] = reason
    return reasons


def _of_its_own(
    moment: Moment, board: Board, memory: ControlMemory, at: Position, tightest: Tightest
) -> Reason | None:
    """Return the reason that a connector, its vehicle or its station gives by itself."""
    state, limit_ma, cap = moment.state, board.limit_ma[at], moment.caps[at]
    if limit_ma >= state.wiring.max_ma[at]:
        return _at_maximum(limit_ma)
    if memory.tells_all_phases[at] and state.connectors[at].resting_since_s is not None:
        return _of_phases(moment, board, at, moment.seen.high_ma[at], None)
    if moment.stations[at].takes_watts and asks_all_phases(state, at, cap):
        return _of_phases(moment, board, at, 0, tightest(at))
    if cap is not None and (limit_ma >= cap.limit_ma or _is_cut_for_trial(moment, board, at, cap)):
        return cap if limit_ma == cap.limit_ma else cap._replace(limit_ma=limit_ma)
    lapsing = memory.lapse.connector
    if lapsing is not None and state.wiring.connectors[at].ref == lapsing:
        return _of_lapse(state, at, limit_ma, moment.now_s)
    return None


@lru_cache(maxsize=64)
def _at_maximum(limit_ma: int) -> Reason:
    """Return the reason of all that have their installed maximum: many have the same."""
    return Reason(kind=ReasonKind.AT_MAXIMUM, limit_ma=limit_ma)


def _of_holding(moment: Moment, board: Board, at: Position, tightest: Tightest) -> Reason | None:
    """Return what keeps a connector where it is, before it is asked what its row has left."""
    state, limit_ma = moment.state, board.limit_ma[at]
    if at in board.held_ma:
        held_ma = board.held_ma[at]
        kind, row = ReasonKind.RAISE_HELD, tightest(at)
        return Reason(kind=kind, limit_ma=limit_ma, row=row, current_ma=held_ma)
    if at in board.made_room_for:
        other = state.wiring.connectors[board.made_room_for[at]].ref
        kind, row = ReasonKind.MAKES_ROOM, tightest(at)
        return Reason(kind=kind, limit_ma=limit_ma, row=row, name=str(other))
    if not board.may_move[at] and is_unanswered(state, at, moment.now_s):
        return _of_pending(state, moment.seen, at, limit_ma, moment.now_s)
    if limit_ma >= board.cap_ma[at] or board.rank[at][0] == AT_REST_RANK:
        return _of_appetite(state, at, limit_ma)
    return None


def _as_decided(state: SiteState, board: Board, row: int, of_row: RowFigures) -> RowFigures:
    """Return a row's arithmetic with what is raised now claimed, and what of the rest is kept.

    For whom first: not all that is kept may fit.
    """
    of_connector = board.kept_ma.get(row, {})
    left_ma = board.proven_room_ma[row] + sum(of_connector.values())
    of_row = of_row._replace(claimed_ma=max(of_row.claimed_ma, of_row.available_ma - left_ma))
    kept = {at: kept_ma for at, kept_ma in of_connector.items() if kept_ma > 0}
    kept_ma = min(sum(kept.values()), of_row.available_ma - of_row.claimed_ma)
    if kept_ma < STEP_MA:
        return of_row
    return of_row._replace(kept_ma=kept_ma, kept_for=_names(state, list(kept)))


def _with_unproven(
    moment: Moment, unproven: set[Position], row: int, of_row: RowFigures
) -> RowFigures:
    """Return a row's arithmetic with who counts more than was told, not yet seen to obey."""
    state, seen = moment.state, moment.seen
    beyond_ma: dict[Position, int] = {}
    on_row = [at for at in state.wiring.below[row // 3] if at in unproven]
    on_row = [at for at in on_row if row in state.wiring.rows[at][seen.masks[at]]]
    for at in on_row:
        belief, station = state.connectors[at], moment.stations[at]
        more_ma = seen.high_ma[at] - counted_limit_ma(told_ma(belief, station), belief, station)
        if more_ma > 0:
            beyond_ma[at] = more_ma
    if beyond_ma:
        by = _names(state, list(beyond_ma))
        of_row = of_row._replace(unproven_ma=sum(beyond_ma.values()), unproven_by=by)
    if seen.rows[row].unproven_ma:
        of_row = of_row._replace(reserve_by=_names(state, sorted(seen.starting[row])))
    return of_row


def _names(state: SiteState, ats: list[Position]) -> str:
    """Return the first of some connectors, and how many more there are."""
    name, others = str(state.wiring.connectors[ats[0]].ref), len(ats) - 1
    return f"{name} and {others} more" if others else name


def _with_excess(state: SiteState, at: int, reason: Reason, now_s: float) -> Reason:
    """Return the reason with what is drawn beyond it; who does not obey is no more said to be new."""
    station = state.stations[state.wiring.station_of[at]]
    excess = excess_of(state.connectors[at], station, state.parameters, now_s)
    if excess is None:
        return reason
    if reason.kind is ReasonKind.STATION_UNPROVEN:
        kind = ReasonKind.STATION_DISOBEYS
        reason = reason._replace(kind=kind, current_ma=excess.drawn_ma, elapsed_s=excess.elapsed_s)
    return reason._replace(excess=excess)


def _still_gives(state: SiteState, giver: Position, due: Due) -> bool:
    """Return whether what a giver has is what it was cut to: same vehicle, told nothing since."""
    belief = state.connectors[giver]
    told_by_s = due.since_s + state.parameters.acknowledgement_s
    is_same = belief.plugged_at_s is not None and belief.plugged_at_s <= due.since_s
    return is_same and belief.limits[-1].sent_at_s <= told_by_s


def _of_uncontrolled(state: SiteState, seen: Survey, at: int, now_s: float) -> Reason:
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    limit_ma = min(connector.max_ma, fallback_ma(connector, belief))
    if not station.is_connected:
        lease_until_s = belief.limits[-1].lease_until_s
        is_leased = lease_until_s is not None and lease_until_s > now_s
        return Reason(
            kind=ReasonKind.STATION_UNREACHABLE,
            limit_ma=belief.wanted_ma if is_leased else limit_ma,
            current_ma=seen.high_ma[at],
            elapsed_s=now_s - max(station.changed_at_s, state.started_at_s),
            remaining_s=lease_until_s - now_s if lease_until_s and is_leased else None,
        )
    if state.is_stopped:
        return Reason(kind=ReasonKind.STOPPED, limit_ma=0, stop=state.stop_cause)
    unwritten_ma = connector.max_ma if belief.fallback_ma is None else None
    kind = ReasonKind.STATUS_UNKNOWN if belief.status is None else ReasonKind.NOT_CONNECTED
    return Reason(kind=kind, limit_ma=limit_ma, current_ma=unwritten_ma)


def _of_phases(
    moment: Moment, board: Board, at: int, high_ma: int, waits: RowFigures | None
) -> Reason:
    """Return what watts count once told for every phase, and what is free while that waits."""
    connector, least_ma = moment.state.wiring.connectors[at], board.limit_ma[at] or MIN_CHARGING_MA
    count, max_ma = len(connector.phases), connector.max_ma
    counted_ma = on_one_phase_ma(least_ma, times=count, max_ma=max_ma)
    if waits is not None:
        counted_ma += min(least_ma, board.in_base_ma[at])
    return Reason(
        kind=ReasonKind.ALL_PHASES_TRIED,
        limit_ma=board.limit_ma[at],
        current_ma=max(high_ma, counted_ma),
        row=waits,
    )


def _is_cut_for_trial(moment: Moment, board: Board, at: Position, cap: Reason) -> bool:
    """Return whether a connector is told nothing for a moment, to see that its station obeys.

    Where what is claimed does not fit that is why.
    """
    trial, seen = moment.trials[at], moment.seen
    if cap.kind is not ReasonKind.STATION_UNPROVEN or trial is None or not trial.is_held:
        return False
    return all(seen.claimed_ma[row] <= seen.rows[row].available_ma for row in board.rows[at])


def _of_lapse(state: SiteState, at: Position, limit_ma: int, now_s: float) -> Reason:
    until_s = state.connectors[at].limits[-1].lease_until_s
    left_s = None if until_s is None or until_s <= now_s else until_s - now_s
    return Reason(kind=ReasonKind.LEASE_TRIED, limit_ma=limit_ma, remaining_s=left_s)


def _of_pending(
    state: SiteState, seen: Survey, at: Position, limit_ma: int, now_s: float
) -> Reason:
    """Return since when a limit is told, what counts until it holds, and when that is over."""
    newest = state.connectors[at].limits[-1]
    told_at_s = max(newest.sent_at_s, newest.confirmed_at_s or newest.sent_at_s)
    left_s = None
    if newest.acknowledged_at_s is not None and newest.is_answered:
        told_at_s = newest.sent_at_s
        left_s = max(0.0, newest.acknowledged_at_s + state.parameters.settling_s - now_s)
    return Reason(
        kind=ReasonKind.LIMIT_PENDING,
        limit_ma=limit_ma,
        current_ma=seen.high_ma[at],
        elapsed_s=now_s - told_at_s,
        remaining_s=left_s,
    )


def _of_appetite(state: SiteState, at: int, limit_ma: int) -> Reason:
    belief = state.connectors[at]
    takes_ma = belief.accepts_ma
    if takes_ma is None and belief.draw is not None:
        takes_ma = taken_ma(belief.draw, belief)
    return Reason(kind=ReasonKind.VEHICLE_TAKES_LESS, limit_ma=limit_ma, current_ma=takes_ma)


def _of_row(
    moment: Moment, board: Board, memory: ControlMemory, at: int, figures_of_row: RowFigures
) -> Reason:
    parameters, now_s, limit_ma = moment.state.parameters, moment.now_s, board.limit_ma[at]
    row = 3 * moment.state.wiring.circuit_at[figures_of_row.circuit] + figures_of_row.phase
    first = _comes_first(moment, board, at, row)
    if first is not None:
        return Reason(
            kind=ReasonKind.OTHERS_COME_FIRST, limit_ma=limit_ma, row=figures_of_row, name=first
        )
    is_for_turns = figures_of_row.available_ma >= MIN_CHARGING_MA
    if limit_ma == 0 and row in board.crowded and is_for_turns:
        since_s = memory.waiting_since_s[at]
        return Reason(
            kind=ReasonKind.WAITS_FOR_TURN,
            limit_ma=0,
            row=figures_of_row,
            elapsed_s=None if since_s is None else now_s - since_s,
        )
    timers = memory.headroom_since_s if limit_ma else memory.start_room_since_s
    since_s, climb_ma = timers[row], least_climb_ma(figures_of_row.rating_ma, parameters)
    least_ma = climb_ma if limit_ma else board.start_ma(at)
    if since_s is None or board.proven_room_ma[row] < least_ma:
        is_told_of_ma = parameters.dead_band_ma if limit_ma else MIN_CHARGING_MA
        return Reason(
            kind=ReasonKind.CIRCUIT_AT_SET_POINT,
            limit_ma=limit_ma,
            row=figures_of_row,
            current_ma=least_ma if board.proven_room_ma[row] >= is_told_of_ma else None,
        )
    remaining_s = parameters.raise_after_s - (now_s - since_s)
    if remaining_s > 0:
        return Reason(
            kind=ReasonKind.WAITS_FOR_HEADROOM,
            limit_ma=limit_ma,
            row=figures_of_row,
            remaining_s=remaining_s,
        )
    return Reason(kind=ReasonKind.RAISED_IN_STEPS, limit_ma=limit_ma, row=figures_of_row)


def _comes_first(moment: Moment, board: Board, at: Position, row: int) -> str | None:
    """Return who on a row has more, for a need that comes before a connector's, and its class."""
    if not moment.state.priorities:
        return None
    has_ma = board.limit_ma[at]
    before = [
        other
        for other in board.movable[row]
        if board.limit_ma[other] > (max(MIN_CHARGING_MA, has_ma) if has_ma else 0)
        and (board.rank[other][0] < board.rank[at][0] or other in board.guaranteed)
    ]
    if not before:
        return None
    first = min(before, key=lambda other: (board.rank[other], other))
    ref = moment.state.wiring.connectors[first].ref
    has = "a promised floor" if first in board.guaranteed else CLASSES[board.rank[first][0]]
    return f"{ref} ({has})"
