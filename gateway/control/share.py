"""Who gets how much: cuts that fit every circuit, minimums for everyone, then raises in steps.

Works on a `Board` of plain lists, one decision long. Limits move as little as they can: a cut
takes from the fewest connectors, the largest first; a raise goes to the smallest first; so
limits stay level over time without being moved every second.
"""

from dataclasses import dataclass, field

from gateway.control.parameters import ControlParameters
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA

Rank = tuple[int, float]
"""Criticality class and laxity: smaller is served first."""


@dataclass(slots=True, kw_only=True)
class Board:
    """The limits of one decision while it is being made. All lists are per connector or row."""

    rows: list[tuple[int, ...]]
    """Per connector: the rows it loads."""
    below: tuple[tuple[int, ...], ...]
    """Per circuit: the connectors below it."""
    may_move: list[bool]
    """Per connector: whether it can be told another limit and will follow."""
    limit_ma: list[int]
    """Per connector: the limit to be told."""
    high_ma: list[int]
    """Per connector: what it is counted at before anything new is told."""
    cap_ma: list[int]
    """Per connector: the most safety and its vehicle allow it."""
    floor_ma: list[int]
    """Per connector: what a cut for others leaves it."""
    rank: list[Rank]
    started_at_s: list[float]
    room_ma: list[int]
    """Per row: what is left once every limit told is obeyed; negative is too much told."""
    proven_room_ma: list[int]
    """Per row: what is left with every claim counted high; only this is raised into."""
    made_room_for: dict[int, int] = field(default_factory=dict)
    """Connector cut -> connector it was cut for."""
    crowded: set[int] = field(default_factory=set)
    """Rows where not even everyone's minimum fits."""
    spare_ma: dict[int, dict[Rank, int]] = field(default_factory=dict)
    """Row -> rank -> what those of that rank or below can give there, until one of them moves."""
    movable: dict[int, list[int]] = field(default_factory=dict)
    """Row -> the connectors that load it and can be moved, of the rows asked for so far."""

    def on_row(self, row: int) -> list[int]:
        """Return the connectors that load a row and can be moved."""
        movable = self.movable.get(row)
        if movable is None:
            rows, may_move = self.rows, self.may_move
            movable = [at for at in self.below[row // 3] if may_move[at] and row in rows[at]]
            self.movable[row] = movable
        return movable

    def move(self, at: int, limit_ma: int) -> None:
        """Tell a connector another limit; a raise within what it is counted at costs nothing."""
        before_ma, high_ma, floor_ma = self.limit_ma[at], self.high_ma[at], self.floor_ma[at]
        self.limit_ma[at] = limit_ma
        claimed_ma = max(0, max(limit_ma, high_ma) - max(before_ma, high_ma))
        gives_otherwise = max(before_ma, floor_ma) != max(limit_ma, floor_ma)
        for row in self.rows[at]:
            self.room_ma[row] += before_ma - limit_ma
            self.proven_room_ma[row] -= claimed_ma
            if gives_otherwise and row in self.spare_ma:
                del self.spare_ma[row]

    def fits(self, at: int, limit_ma: int) -> bool:
        """Return whether every row the connector loads has room for it, claims counted high."""
        more_ma, room_ma = limit_ma - max(self.limit_ma[at], self.high_ma[at]), self.proven_room_ma
        more_ma = max(0, more_ma)
        for row in self.rows[at]:  # noqa: SIM110 - asked of every connector each second
            if room_ma[row] < more_ma:
                return False
        return True


def cut_to_fit(board: Board, may_pause: list[bool], parameters: ControlParameters) -> None:
    """Lower limits until every row that is over by more than the dead-band fits.

    First down to the minimum, the least important and largest first; then, on rows that may
    pause, down to nothing, the longest served first.
    """
    slack_ma = parameters.dead_band_ma
    for row, room_ma in enumerate(board.room_ma):
        if room_ma >= -slack_ma or not board.on_row(row):
            continue
        # A little more than needed, or the next breath of noise cuts again.
        _cut_above_floor(board, row, slack_ma - room_ma, step_ma=slack_ma)
        if board.room_ma[row] < -slack_ma and may_pause[row]:
            board.crowded.add(row)
            _pause_to_fit(board, row, -slack_ma)


def _pause_to_fit(board: Board, row: int, least_room_ma: int) -> None:
    """Pause the least important, and among equals the longest served, until the row fits."""
    served = [at for at in board.on_row(row) if board.limit_ma[at] > 0]
    served.sort(key=lambda at: (board.rank[at], -board.started_at_s[at], at), reverse=True)
    for at in served:
        if board.room_ma[row] >= least_room_ma:
            return
        board.move(at, 0)


def _cut_above_floor(board: Board, row: int, need_ma: int, *, step_ma: int) -> int:
    """Take `need_ma` on a row from those above their floor; return what could not be had.

    Classes give way in order, the least important first, and within one the fewest connectors.
    """
    givers = [at for at in board.on_row(row) if board.limit_ma[at] > board.floor_ma[at]]
    for rank in sorted({board.rank[at] for at in givers}, reverse=True):
        if need_ma <= 0:
            break
        group = sorted(
            (at for at in givers if board.rank[at] == rank),
            key=lambda at: (-board.limit_ma[at], at),
        )
        need_ma = _cut_group(board, group, need_ma, step_ma=step_ma)
    return max(0, need_ma)


def _cut_group(board: Board, group: list[int], need_ma: int, *, step_ma: int) -> int:
    """Take from the largest, as few as can give it, and keep those few level."""
    chosen: list[int] = []
    can_ma = 0
    for at in group:
        chosen.append(at)
        can_ma += board.limit_ma[at] - board.floor_ma[at]
        if can_ma >= need_ma:
            break
    for count, at in enumerate(chosen):
        left = len(chosen) - count
        share_ma = max(-(-need_ma // left), min(step_ma, need_ma))
        limit_ma = max(board.floor_ma[at], board.limit_ma[at] - share_ma)
        limit_ma = max(board.floor_ma[at], limit_ma // STEP_MA * STEP_MA)
        need_ma -= board.limit_ma[at] - limit_ma
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
    for at in waiting:
        if may_start[at] and board.fits(at, MIN_CHARGING_MA):
            board.move(at, MIN_CHARGING_MA)
            continue
        short = _short_rows(board, at, parameters.dead_band_ma)
        if short:
            # What is left there is no use to others for long: they would be cut for it again.
            for row in short:
                board.crowded.add(row)
                board.proven_room_ma[row] = min(0, board.proven_room_ma[row])
            continue
        for row in board.rows[at]:
            need_ma = MIN_CHARGING_MA - board.room_ma[row]
            if need_ma > parameters.dead_band_ma:
                _make_room(board, row, at, need_ma, parameters)
        # What it waits for is not raised into by others meanwhile.
        for row in board.rows[at]:
            board.proven_room_ma[row] -= MIN_CHARGING_MA
            board.room_ma[row] -= MIN_CHARGING_MA


def _least_rank(board: Board, waiting: int) -> Rank:
    """Return the rank from which connectors give way to one waiting."""
    return (min(1, board.rank[waiting][0]), 0.0)


def _givers(board: Board, row: int, waiting: int) -> list[int]:
    """Return who has more than the minimum on a row and does not stand above the one waiting."""
    least_rank = _least_rank(board, waiting)
    return [
        at
        for at in board.on_row(row)
        if board.limit_ma[at] > board.floor_ma[at] and board.rank[at] >= least_rank
    ]


def _spare_ma(board: Board, row: int, waiting: int) -> int:
    """Return what the givers on a row have above their floors."""
    by_rank, least_rank = board.spare_ma.setdefault(row, {}), _least_rank(board, waiting)
    if least_rank not in by_rank:
        by_rank[least_rank] = sum(
            board.limit_ma[at] - board.floor_ma[at] for at in _givers(board, row, waiting)
        )
    return by_rank[least_rank]


def _short_rows(board: Board, waiting: int, margin_ma: int) -> list[int]:
    """Return the rows that cannot give one more minimum, even from those above theirs.

    With a margin, or what is cut for it would be raised again with the next breath of noise.
    """
    short = []
    for row in board.rows[waiting]:
        have_ma = board.room_ma[row]
        if have_ma < MIN_CHARGING_MA and row not in board.crowded:
            have_ma += _spare_ma(board, row, waiting) - margin_ma
        if have_ma < MIN_CHARGING_MA:
            short.append(row)
    return short


def _make_room(
    board: Board, row: int, waiting: int, need_ma: int, parameters: ControlParameters
) -> None:
    """Cut those above the minimum for one who has nothing."""
    givers = _givers(board, row, waiting)
    before_ma = {at: board.limit_ma[at] for at in givers}
    _cut_above_floor(board, row, need_ma, step_ma=parameters.dead_band_ma)
    for at, limit_ma in before_ma.items():
        if board.limit_ma[at] < limit_ma:
            board.made_room_for[at] = waiting


def rotate(board: Board, waiting: list[int], now_s: float, parameters: ControlParameters) -> bool:
    """Pause the longest served for the longest waiting, where minimums do not fit; say if so."""
    seen: set[tuple[int, Rank]] = set()  # Rows and ranks at which nobody can be paused.
    for at in waiting:
        for row in board.rows[at]:
            if row not in board.crowded or (row, board.rank[at]) in seen:
                continue
            seen.add((row, board.rank[at]))
            served = [
                other
                for other in board.on_row(row)
                if 0 < board.limit_ma[other] <= MIN_CHARGING_MA
                and board.rank[other] >= board.rank[at]
                and now_s - board.started_at_s[other] >= parameters.rotation_s
            ]
            if served:
                paused = min(served, key=lambda other: (board.started_at_s[other], other))
                board.move(paused, 0)
                board.made_room_for[paused] = at
                return True
    return False


def raise_in_steps(
    board: Board, candidates: list[int], climb_ma: tuple[int, ...], parameters: ControlParameters
) -> None:
    """Raise those who can take more: at most a quarter of a row's headroom in all, a step.

    `climb_ma` is per row the headroom that has been fresh for long enough, 0 where there is
    none. The most important first, the smallest first among equals; a step smaller than the
    dead-band is not taken.
    """
    dead_band_ma = parameters.dead_band_ma
    budget_ma = [
        max(dead_band_ma, int(headroom_ma * parameters.raise_share_ratio))
        if headroom_ma and room_ma >= parameters.raise_from_ma
        else 0
        for headroom_ma, room_ma in zip(climb_ma, board.proven_room_ma, strict=True)
    ]
    may_rise = [at for at in candidates if _least_ma(budget_ma, board.rows[at]) > 0]
    for at in sorted(may_rise, key=lambda c: (board.rank[c], board.limit_ma[c], c)):
        step_ma = min(
            _least_ma(budget_ma, board.rows[at]),
            _least_ma(board.proven_room_ma, board.rows[at]),
            _least_ma(board.room_ma, board.rows[at]),
        )
        step_ma = min(step_ma, board.cap_ma[at] - board.limit_ma[at]) // STEP_MA * STEP_MA
        if step_ma < min(dead_band_ma, board.cap_ma[at] - board.limit_ma[at]):
            continue
        board.move(at, board.limit_ma[at] + step_ma)
        for row in board.rows[at]:
            budget_ma[row] -= step_ma


def _least_ma(of_row: list[int], rows: tuple[int, ...]) -> int:
    return min([of_row[row] for row in rows])
