"""Who gets how much: cuts that fit every circuit, minimums for everyone, then raises in steps.

Works on a `Board` of plain lists, one decision long. The order is that of design §3:
guaranteed floors, what `critical` needs, everyone's minimum, the rest by class and laxity. What
comes last in it gives way first. Limits move as little as they can: a cut takes from the fewest
connectors, the largest first; a raise goes to the smallest first. What that leaves uneven is
made good by `dues`.
"""

from dataclasses import dataclass

from gateway.control.board import AFTER_CRITICAL, EVERYONE, Board, Rank
from gateway.control.parameters import ControlParameters
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA


def cut_to_fit(board: Board, may_pause: list[bool], parameters: ControlParameters) -> None:
    """Lower limits until every row that is over by more than the dead-band fits.

    First down to the minimum, the least important and largest first; then, on rows that may
    pause, down to nothing, the longest served first; then what critical vehicles have above
    their floors, and the floors themselves.
    """
    short = _short_by_more(board, parameters.dead_band_ma)
    while short:
        told_ma = board.limit_ma.copy()
        for row in short:
            _fit(board, row, may_pause, parameters.dead_band_ma)
        # Who was waited for on one row may have been paused for another.
        short = [] if board.limit_ma == told_ma else _short_by_more(board, parameters.dead_band_ma)


def _short_by_more(board: Board, slack_ma: int) -> list[int]:
    return [
        row
        for row, room_ma in enumerate(board.room_ma)
        if room_ma < -slack_ma and board.movable[row]
    ]


def _fit(board: Board, row: int, may_pause: list[bool], slack_ma: int) -> None:
    """Lower limits until a row fits, as far as it is time for that."""
    if board.room_ma[row] >= -slack_ma:
        return
    # A little more than needed, or the next breath of noise cuts again.
    need_ma = slack_ma - board.room_ma[row]
    cut_above_floor(board, row, need_ma, step_ma=slack_ma, from_rank=AFTER_CRITICAL)
    if board.room_ma[row] >= -slack_ma:
        return
    if may_pause[row]:
        board.crowded.add(row)
        pause(board, row, board.last_served(row), -slack_ma)
    elif any(board.may_be_paused(at) for at in board.movable[row]):
        return  # What is critical is not cut before it is known who must be paused.
    if board.room_ma[row] < -slack_ma:
        need_ma = slack_ma - board.room_ma[row]
        cut_above_floor(board, row, need_ma, step_ma=slack_ma, from_rank=EVERYONE)
    if board.room_ma[row] < -slack_ma and may_pause[row]:
        _take_floors(board, row, slack_ma)


def _take_floors(board: Board, row: int, slack_ma: int) -> None:
    """Take what nothing but safety takes: promised floors down to the minimum, then minimums."""
    least_ma = [MIN_CHARGING_MA] * len(board.limit_ma)
    need_ma = slack_ma - board.room_ma[row]
    cut_above_floor(board, row, need_ma, step_ma=slack_ma, keeps_ma=least_ma)
    served = [at for at in board.movable[row] if board.limit_ma[at]]
    served.sort(
        key=lambda at: (at not in board.guaranteed, board.rank[at], -board.started_at_s[at], at),
        reverse=True,
    )
    pause(board, row, served, -slack_ma)


def pause(board: Board, row: int, served: list[int], least_room_ma: int) -> list[int]:
    """Pause in order until the row has room; return who was paused."""
    paused = []
    for at in served:
        if board.room_ma[row] >= least_room_ma:
            break
        if board.limit_ma[at]:
            board.move(at, 0)
            paused.append(at)
    return paused


def cut_above_floor(
    board: Board,
    row: int,
    need_ma: int,
    *,
    step_ma: int,
    from_rank: Rank = EVERYONE,
    keeps_ma: list[int] | None = None,
) -> list[int]:
    """Take `need_ma` on a row, as far as it is there, from those of `from_rank` and below it.

    Each keeps its floor, or what `keeps_ma` says. Classes give way in order, the least important
    first, and within one the fewest connectors. Return who was cut.
    """
    keeps_ma = board.floor_ma if keeps_ma is None else keeps_ma
    limit_ma, groups = board.limit_ma, dict[Rank, list[int]]()
    for at in board.movable[row]:
        if limit_ma[at] > keeps_ma[at] and board.rank[at] >= from_rank:
            groups.setdefault(board.rank[at], []).append(at)
    cut: list[int] = []
    for rank in sorted(groups, reverse=True):
        if need_ma <= 0:
            break
        group = sorted(groups[rank], key=lambda at: (-limit_ma[at], at))
        chosen = _fewest(board, group, need_ma, keeps_ma)
        need_ma = _cut_level(board, chosen, need_ma, keeps_ma, step_ma=step_ma)
        cut += chosen
    return cut


def _fewest(board: Board, group: list[int], need_ma: int, keeps_ma: list[int]) -> list[int]:
    """Return the first of a group that together can give what is needed, or all of it."""
    can_ma = 0
    for count, at in enumerate(group, 1):
        can_ma += board.gives_ma(at, keeps_ma[at])
        if can_ma >= need_ma:
            return group[:count]
    return group


def _cut_level(
    board: Board,
    chosen: list[int],
    need_ma: int,
    keeps_ma: list[int],
    *,
    step_ma: int,
) -> int:
    """Take from all that were chosen, and keep them level; return what could not be had.

    Who can give least is asked first: what it lacks of its part the others give.
    """
    for count, at in enumerate(sorted(chosen, key=lambda c: (board.gives_ma(c, keeps_ma[c]), c))):
        left = len(chosen) - count
        share_ma = max(-(-need_ma // left), min(step_ma, need_ma))
        limit_ma = max(keeps_ma[at], board.limit_ma[at] - share_ma)
        limit_ma = max(keeps_ma[at], limit_ma // STEP_MA * STEP_MA)
        if limit_ma < MIN_CHARGING_MA:
            limit_ma = 0  # It rests: one that charges keeps its minimum at least.
        need_ma -= board.gives_ma(at, limit_ma)
        board.move(at, limit_ma)
    return need_ma


def start_waiting(
    board: Board,
    waiting: list[int],
    may_start: list[bool],
    parameters: ControlParameters,
) -> None:
    """Give the minimum to those who have nothing, in order; make room where others have more.

    `waiting` is in the order they are served; `may_start` says per connector whether headroom
    has been there long enough (always, for one just plugged in).
    """
    shut_out: set[tuple[object, ...]] = set()
    for at in waiting:
        if may_start[at] and board.fits(at, MIN_CHARGING_MA):
            board.move(at, MIN_CHARGING_MA)
            shut_out.clear()
            continue
        # Until somebody moves, who is like one that cannot be started cannot be started either.
        least_ma = board.start_ma(at)
        alike = board.rows[at], least_ma, board.comes_first(at), at in board.guaranteed
        if alike in shut_out:
            continue
        short = _short_rows(board, at, least_ma, parameters.dead_band_ma)
        if short:
            shut_out.add(alike)
            if not could_start(board, at, least_ma):
                continue
            if board.phase_count[at] > board.known_count[at]:
                board.turns.add(at)
                # It needs so much that what is left is of use to others, but for those cut for it.
                short = [row for row in short if board.just_cut.intersection(board.movable[row])]
                for row in short:
                    board.keep_proven(row, at, max(0, board.proven_room_ma[row]))
                continue
            # What is left there is no use to others for long: they would be cut for it again.
            for row in short:
                board.crowded.add(row)
                if board.proven_room_ma[row] > 0:
                    board.keep_proven(row, at, board.proven_room_ma[row])
            continue
        for row in board.rows[at]:
            if board.room_ma[row] < least_ma:
                _make_room(board, row, at, least_ma, parameters)
        board.keep_free(at, MIN_CHARGING_MA)
        if at in board.guaranteed:
            _keep_rest_of_floor(board, at)
        shut_out.clear()


def _keep_rest_of_floor(board: Board, at: int) -> None:
    """Raise nobody into what one with a promised floor is to have beyond its minimum."""
    rest_ma = board.counted_ma(at, board.floor_ma[at]) - board.counted_ma(at, MIN_CHARGING_MA)
    for row in board.rows[at]:
        kept_ma = min(rest_ma, board.proven_room_ma[row])
        if kept_ma > 0:
            board.keep_proven(row, at, kept_ma)


def make_room_for_more(board: Board, at: int, more_ma: int, parameters: ControlParameters) -> bool:
    """Make room for `more_ma` on each row of one that has its minimum, and keep it free; say if so.

    Nobody is cut where that is not to be had from those above their floors. It gives nothing
    itself: what it has is not in `more_ma`.
    """
    floor_ma = board.floor_ma[at]
    board.set_floor(at, max(floor_ma, board.limit_ma[at]))
    is_had = not _short_rows(board, at, more_ma, parameters.dead_band_ma)
    if is_had:
        for row in board.rows[at]:
            if board.room_ma[row] < more_ma:
                _make_room(board, row, at, more_ma, parameters)
            board.room_ma[row] -= more_ma
            board.keep_proven(row, at, more_ma)
    board.set_floor(at, floor_ma)
    return is_had


def _least_rank(board: Board, waiting: int) -> Rank:
    """Return the rank from which those above their floor give way to one waiting."""
    return EVERYONE if board.comes_first(waiting) else AFTER_CRITICAL


def _spare_ma(board: Board, row: int, waiting: int) -> int:
    """Return what can be had on a row: from those above their floors, or who can be paused."""
    by_rank, least_rank = board.spare_ma.setdefault(row, {}), _least_rank(board, waiting)
    if least_rank not in by_rank:
        limit_ma, floor_ma, rank = board.limit_ma, board.floor_ma, board.rank
        by_rank[least_rank] = sum(
            [
                board.gives_ma(at, floor_ma[at])
                for at in board.movable[row]
                if limit_ma[at] > floor_ma[at] and rank[at] >= least_rank
            ]
        )
    if not board.comes_first(waiting):
        return by_rank[least_rank]
    paused_ma = sum(
        board.counted_ma(at, min(board.limit_ma[at], board.floor_ma[at]))
        for at in board.last_served(row)
    )
    if waiting not in board.guaranteed:
        return by_rank[least_rank] + paused_ma
    # Where promised floors do not all fit, each keeps its minimum before one has it all.
    floors_ma = sum(
        board.counted_ma(at, min(board.limit_ma[at], board.floor_ma[at]))
        - board.counted_ma(at, MIN_CHARGING_MA)
        for at in board.guaranteed.intersection(board.movable[row])
        if board.limit_ma[at] >= MIN_CHARGING_MA
    )
    return by_rank[least_rank] + paused_ma + floors_ma


def _short_rows(board: Board, waiting: int, least_ma: int, margin_ma: int) -> list[int]:
    """Return the rows that cannot give one waiting so much, even from those who would give way.

    With a margin, or what is cut for it would be raised again with the next breath of noise.
    """
    short, comes_first = [], board.comes_first(waiting)
    for row in board.lacking(waiting, least_ma):
        have_ma = board.room_ma[row]
        if comes_first or row not in board.crowded:
            have_ma += _spare_ma(board, row, waiting) - margin_ma
        if have_ma < least_ma:
            short.append(row)
    return short


def could_start(board: Board, waiting: int, least_ma: int) -> bool:
    """Return whether one waiting could start if all who can be paused were: else none need."""
    return all(
        board.may_gain(row, least_ma - board.room_ma[row])
        for row in board.lacking(waiting, least_ma)
    )


def _make_room(
    board: Board, row: int, waiting: int, least_ma: int, parameters: ControlParameters
) -> None:
    """Cut those who give way to one waiting, by a little more than it needs."""
    cut = cut_above_floor(
        board,
        row,
        least_ma + parameters.dead_band_ma - board.room_ma[row],
        step_ma=parameters.dead_band_ma,
        from_rank=_least_rank(board, waiting),
    )
    if board.comes_first(waiting):
        cut += pause(board, row, board.last_served(row), least_ma)
    if waiting in board.guaranteed and board.room_ma[row] < least_ma:
        cut += cut_above_floor(
            board,
            row,
            least_ma + parameters.dead_band_ma - board.room_ma[row],
            step_ma=parameters.dead_band_ma,
            keeps_ma=[MIN_CHARGING_MA] * len(board.limit_ma),
        )
    for at in cut:
        board.made_room_for[at] = waiting


def rotate(board: Board, waiting: list[int], now_s: float, parameters: ControlParameters) -> bool:
    """Pause the longest served for the longest waiting, where minimums do not fit; say if so.

    The minimum is everyone's, whatever the class: only what comes first is not paused for it.
    Nobody is paused for one that would still wait, for want of room elsewhere.
    """
    had_turn: dict[int, list[int]] = {}
    gain_ma: dict[int, int] = {}
    in_vain: set[tuple[tuple[int, ...], int]] = set()

    def may_have_ma(row: int) -> int:
        """Return what a row has once all who had their turn there are paused."""
        if row not in had_turn:
            had_turn[row] = _had_turn(board, row, now_s - parameters.rotation_s)
            gain_ma[row] = sum([board.gives_ma(other, 0) for other in had_turn[row]])
        return board.room_ma[row] + gain_ma[row]

    def lacks_turn(at: int, least_ma: int, short: list[int]) -> bool:
        """Return whether it still lacks room when those who had their turn are paused for it."""
        if at not in board.turns:
            is_crowded = not board.crowded.isdisjoint(short)
            # The nearest row is asked first: it has the fewest to look through.
            return not is_crowded or any(may_have_ma(row) < least_ma for row in short)
        return any(
            may_have_ma(row) + _spare_of_others_ma(board, row, at, had_turn[row]) < least_ma
            for row in short
        )

    for at in waiting:
        least_ma = board.start_ma(at)
        alike = board.rows[at], least_ma
        if alike in in_vain:
            continue
        short = board.lacking(at, least_ma)
        if lacks_turn(at, least_ma, short):
            in_vain.add(alike)
            continue
        for row in short:
            if at in board.turns:
                _take_turn(board, row, had_turn[row], at, parameters)
                continue
            for other in pause(board, row, had_turn[row], least_ma):
                board.made_room_for[other] = at
        return True
    return False


def _spare_of_others_ma(board: Board, row: int, waiting: int, had_turn: list[int]) -> int:
    """Return what those who had no turn yet can give on a row above their floors."""
    if row in board.crowded:
        return 0
    theirs_ma = sum([board.gives_ma(other, board.floor_ma[other]) for other in had_turn])
    return _spare_ma(board, row, waiting) - theirs_ma


def _take_turn(
    board: Board, row: int, had_turn: list[int], waiting: int, parameters: ControlParameters
) -> None:
    """Pause no more than are needed beside what others can give above their floors."""
    least_ma = board.start_ma(waiting)
    for other in had_turn:
        if row not in _short_rows(board, waiting, least_ma, parameters.dead_band_ma):
            break
        if board.limit_ma[other]:
            board.move(other, 0)
            board.made_room_for[other] = waiting
    if board.room_ma[row] < least_ma:
        _make_room(board, row, waiting, least_ma, parameters)


def _had_turn(board: Board, row: int, by_s: float) -> list[int]:
    """Return who on a row was started by then and can be paused, the longest served first."""
    return sorted(
        (
            at
            for at in board.movable[row]
            if board.started_at_s[at] <= by_s and board.may_be_paused(at)
        ),
        key=lambda at: (board.started_at_s[at], at),
    )


@dataclass(slots=True, kw_only=True)
class Steps:
    """What may be raised on each row in one decision: a step of each climb."""

    left_ma: list[int]
    least_ma: list[int]
    """Per row: the headroom from which there is a climb, where there is one."""

    @staticmethod
    def of(
        climb_ma: tuple[int, ...], rating_ma: tuple[int, ...], parameters: ControlParameters
    ) -> "Steps":
        """Return a step of each row's climb: a quarter of it, or the dead-band if that is more.

        `climb_ma` is per row the headroom that has been fresh for long enough, 0 where there is
        none.
        """
        ratio, dead_band_ma = parameters.raise_share_ratio, parameters.dead_band_ma
        return Steps(
            left_ma=[ma and max(dead_band_ma, int(ma * ratio)) for ma in climb_ma],
            least_ma=[
                least_climb_ma(rating, parameters) if ma else 0
                for ma, rating in zip(climb_ma, rating_ma, strict=True)
            ],
        )

    def hand_over(self, board: Board, at: int, to_ma: int, *, least_ma: int) -> None:
        """Raise a connector by what others gave up for it, in one: it was in use a moment ago.

        Less than `least_ma` is not handed over, unless it is all there is to be.
        """
        rows, wants_ma = board.rows[at], to_ma - board.limit_ma[at]
        room_ma = min(_least_ma(board.proven_room_ma, rows), _least_ma(board.room_ma, rows))
        step_ma = min(board.more_for_ma(at, room_ma), wants_ma) // STEP_MA * STEP_MA
        if _least_ma(self.left_ma, rows) and step_ma >= min(least_ma, wants_ma):
            board.move(at, board.limit_ma[at] + step_ma)


def least_climb_ma(rating_ma: int, parameters: ControlParameters) -> int:
    """Return the headroom on a row from which it is raised into."""
    by_ratio_ma = int(rating_ma * parameters.raise_from_ratio)
    return min(parameters.raise_from_ma, max(parameters.dead_band_ma, by_ratio_ma))


def raise_in_steps(
    board: Board, candidates: list[int], steps: Steps, parameters: ControlParameters
) -> None:
    """Raise those who can take more, by a step of each row's climb in all.

    Only where there is enough headroom to begin with. The most important first, the smallest
    first among equals; a step smaller than the dead-band is not taken.
    """
    dead_band_ma = parameters.dead_band_ma
    left_ma = [
        step_ma if room_ma >= least_ma else 0
        for step_ma, room_ma, least_ma in zip(
            steps.left_ma, board.proven_room_ma, steps.least_ma, strict=True
        )
    ]
    if not any(left_ma):
        return
    closed = {row for row, step_ma in enumerate(left_ma) if step_ma <= 0}
    may_rise = [at for at in candidates if closed.isdisjoint(board.rows[at])]
    for at in sorted(may_rise, key=lambda c: (board.rank[c], board.limit_ma[c], c)):
        wants_ma = board.cap_ma[at] - board.limit_ma[at]
        step_ma = min(
            _least_ma(left_ma, board.rows[at]),
            _least_ma(board.proven_room_ma, board.rows[at]),
            _least_ma(board.room_ma, board.rows[at]),
        )
        step_ma = min(board.more_for_ma(at, step_ma), wants_ma) // STEP_MA * STEP_MA
        if step_ma < min(dead_band_ma, wants_ma):
            continue
        board.move(at, board.limit_ma[at] + step_ma)
        for row in board.rows[at]:
            left_ma[row] -= step_ma


def _least_ma(of_row: list[int], rows: tuple[int, ...]) -> int:
    return min([of_row[row] for row in rows])
