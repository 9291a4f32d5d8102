"""Who is due more than it has: what others give up for it, and that it gets what they gave.

`share` cuts the largest and raises the smallest, and so keeps even what is even. The rest is made
good here: a vehicle that came when all was given away, a need that has become more important, a
floor that was promised. Others are cut for it once, by as much as is worth a move; what they gave
is kept free until it is proven free, and then handed over. So limits move seldom, and not at all
where nothing else changes.
"""

from dataclasses import dataclass, field

from gateway.control.board import CRITICAL, EVERYONE, Board, Rank
from gateway.control.parameters import ControlParameters
from gateway.control.share import Steps, cut_above_floor, pause
from gateway.control.state import Due
from gateway.control.wiring import Position
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA

ENDLESS_S = float("inf")


def standing_dues(
    board: Board, dues: list[Due], now_s: float, parameters: ControlParameters
) -> list[Due]:
    """Return the dues that are not over, of connectors that can still be raised.

    One for which nobody was cut is over as soon as it may have been handed over.
    """
    return [
        due
        for due in dues
        if now_s - due.since_s
        < (parameters.due_again_s if due.givers else parameters.raise_after_s)
        and board.may_move[due.connector_at]
        and board.limit_ma[due.connector_at] >= MIN_CHARGING_MA
    ]


def hand_over(
    board: Board, dues: list[Due], steps: Steps, now_s: float, parameters: ControlParameters
) -> None:
    """Raise those who are due more by what is proven free; keep free for a while what they lack."""
    for due in dues:
        at = due.connector_at
        to_ma = min(due.limit_ma, board.cap_ma[at])
        if now_s - due.since_s < parameters.due_for_s and board.limit_ma[at] < to_ma:
            least_ma = parameters.due_gap_ma if due.givers else parameters.raise_floor_from_ma
            steps.hand_over(board, at, to_ma, least_ma=least_ma)
            board.keep_free(at, to_ma)


def owe_promised(board: Board, at: int, now_s: float, parameters: ControlParameters) -> Due | None:
    """Return what a connector is due before others have their minimum, and cut others for it.

    A promised floor is taken from whoever has more than a floor and from floors that were promised
    later, what is critical from whoever is less so; both from the minimums of others, if need be.
    However little a floor lacks it is made good, by a move at least: of 6 A half an ampere is much.
    """
    limit_ma, gap_ma = board.limit_ma[at], parameters.dead_band_ma
    if at in board.guaranteed and limit_ma < min(board.floor_ma[at], board.cap_ma[at]):
        to_ma = min(max(board.floor_ma[at], limit_ma + gap_ma), board.cap_ma[at])
        claim = _Claim(board=board, at=at, from_rank=EVERYONE, is_promised=True, is_floor=True)
        return claim.due(min(gap_ma, to_ma - limit_ma), to_ma, now_s, parameters)
    if board.rank[at][0] == CRITICAL and board.cap_ma[at] - limit_ma >= gap_ma:
        claim = _Claim(board=board, at=at, from_rank=board.rank[at], is_promised=True)
        return claim.due(gap_ma, board.cap_ma[at], now_s, parameters)
    return None


@dataclass(slots=True)
class Look:
    """One decision's look at shares: who has more than its own, row by row as they are asked for.

    Among equals only who has been told the same limit for a while gives or gets; in a decision
    at most one connector gets.
    """

    board: Board
    now_s: float
    parameters: ControlParameters
    _widest: dict[int, tuple[Rank, int]] = field(default_factory=dict)

    def owe_share(self, candidates: list[int]) -> Due | None:
        """Return what the first is due who lacks enough of its share, and cut others for it.

        Those of lesser rank give all above their floor, its equals what is above its own share.
        """
        board, parameters = self.board, self.parameters
        for at in sorted(candidates, key=lambda c: (board.rank[c], board.limit_ma[c], c)):
            if self._may_lack(at):
                claim = _Claim(board=board, at=at, from_rank=board.rank[at], by_s=self._by_s)
                due = claim.due(parameters.due_gap_ma, board.cap_ma[at], self.now_s, parameters)
                if due is not None:
                    return due
        return None

    @property
    def _by_s(self) -> float:
        return self.now_s - self.parameters.due_after_s

    def _may_lack(self, at: int) -> bool:
        """Return whether on each row there is room, or somebody who may have to give."""
        board, gap_ma, rank = self.board, self.parameters.due_gap_ma, self.board.rank[at]
        most_ma = board.limit_ma[at] + gap_ma
        if board.cap_ma[at] < most_ma:
            return False
        is_left_alone = board.told_at_s[at] <= self._by_s
        for row in board.rows[at]:
            if board.room_ma[row] < gap_ma:
                last, largest_ma = self._widest_on(row)
                if last <= rank and (largest_ma <= most_ma or not is_left_alone):
                    return False
        return True

    def _widest_on(self, row: int) -> tuple[Rank, int]:
        """Return, of those above their floor on a row, the last rank, and the largest limit.

        The largest of those that have been left alone.
        """
        if row not in self._widest:
            board, by_s = self.board, self._by_s
            limit_ma, floor_ma = board.limit_ma, board.floor_ma
            givers = [at for at in board.movable[row] if limit_ma[at] > floor_ma[at]]
            self._widest[row] = (
                max([board.rank[at] for at in givers], default=EVERYONE),
                max([limit_ma[at] for at in givers if board.told_at_s[at] <= by_s], default=0),
            )
        return self._widest[row]


@dataclass(slots=True, kw_only=True)
class _Claim:
    """What a connector may ask of those of `from_rank` and below it.

    Its equals keep as much as it will have, and all they have where either of them was told
    another limit since `by_s`. For what `is_promised` others are paused too. For a promised floor
    (`is_floor`) equals give like those below it, and floors that were promised later give too.
    """

    board: Board
    at: Position
    from_rank: Rank
    is_promised: bool = False
    by_s: float = ENDLESS_S
    is_floor: bool = False
    _gives: dict[int, tuple[int, list[Position]]] = field(default_factory=dict)

    def due(
        self, gap_ma: int, to_ma: int, now_s: float, parameters: ControlParameters
    ) -> Due | None:
        """Cut others for as much of `to_ma` as they should give.

        None, and nobody is cut, where a gap as wide would stay open or nobody need give.
        """
        has_ma = self.board.limit_ma[self.at]
        if not self._can_have(has_ma + gap_ma):
            return None
        low, high, there = (has_ma + gap_ma) // STEP_MA, to_ma // STEP_MA, self._there_ma // STEP_MA
        is_there = low <= there and (there >= high or not self._can_have((there + 1) * STEP_MA))
        if is_there and not self.is_floor:
            return None  # Nobody need give what is there: it is raised into like any headroom.
        while low < high:
            middle = (low + high + 1) // 2
            if self._can_have(middle * STEP_MA):
                low = middle
            else:
                high = middle - 1
        givers = self._cut(low * STEP_MA, parameters)
        if not givers and not self.is_floor:
            return None
        return Due(
            connector_at=self.at,
            limit_ma=low * STEP_MA,
            since_s=now_s,
            givers=givers,
            is_promised=self.is_promised,
        )

    def _can_have(self, limit_ma: int) -> bool:
        """Return whether every row has the limit, if those give way who should."""
        board, more_ma = self.board, self._more_ma(limit_ma)
        for row in board.rows[self.at]:
            need_ma = more_ma - board.room_ma[row]
            if need_ma <= 0:
                continue
            given_ma, equals = self._given_on(row)
            if given_ma < need_ma:
                given_ma += sum(
                    [
                        board.gives_ma(giver, max(board.floor_ma[giver], limit_ma))
                        for giver in equals
                    ]
                )
            if given_ma < need_ma:
                return False
        return True

    @property
    def _there_ma(self) -> int:
        """Return a limit that every row has room for without anybody giving way."""
        board, at = self.board, self.at
        room_ma = min([board.room_ma[row] for row in board.rows[at]])
        return board.limit_ma[at] + board.more_for_ma(at, room_ma)

    def _more_ma(self, limit_ma: int) -> int:
        """Return what a limit adds to what the one asking is counted at."""
        board = self.board
        return board.counted_ma(self.at, limit_ma) - board.counted_ma(
            self.at, board.limit_ma[self.at]
        )

    def _given_on(self, row: int) -> tuple[int, list[Position]]:
        """Return what those below give on a row, and which of its equals may give."""
        if row not in self._gives:
            board, equals = self.board, list[Position]()
            given_ma, limit_ma, rank = 0, board.limit_ma, board.rank
            for giver in board.movable[row]:
                keeps_ma = self._keeps_ma(giver) if self.is_floor else board.floor_ma[giver]
                if limit_ma[giver] <= keeps_ma or rank[giver] < self.from_rank:
                    continue
                if not self._is_equal(giver):
                    given_ma += board.gives_ma(giver, keeps_ma)
                elif self._is_left_alone(giver):
                    equals.append(giver)
            if self.is_promised:
                given_ma += sum(
                    board.counted_ma(giver, min(limit_ma[giver], self._keeps_ma(giver)))
                    for giver in board.last_served(row)
                )
            self._gives[row] = given_ma, equals
        return self._gives[row]

    def _keeps_ma(self, giver: int) -> int:
        """Return what one that gives keeps: its minimum of a floor that was promised later."""
        board = self.board
        floor_ma, is_later = board.floor_ma[giver], board.rank[giver] > board.rank[self.at]
        if self.is_floor and giver in board.guaranteed and is_later:
            return min(floor_ma, MIN_CHARGING_MA)
        return floor_ma

    def _is_equal(self, giver: int) -> bool:
        return not self.is_floor and self.board.rank[giver] == self.board.rank[self.at]

    def _is_left_alone(self, giver: int) -> bool:
        told_at_s = self.board.told_at_s
        return max(told_at_s[giver], told_at_s[self.at]) <= self.by_s

    def _cut(self, limit_ma: int, parameters: ControlParameters) -> tuple[int, ...]:
        """Cut others until the limit fits once they have obeyed; return who was cut.

        A few equals give a little more than their part, so that not all of them have to give.
        """
        board, more_ma = self.board, self._more_ma(limit_ma)
        givers: list[int] = []
        for row in sorted(board.rows[self.at], key=board.room_ma.__getitem__):
            need_ma = more_ma - board.room_ma[row]
            if need_ma <= 0:
                continue
            givers += cut_above_floor(
                board,
                row,
                need_ma,
                step_ma=parameters.dead_band_ma,
                from_rank=self.from_rank,
                keeps_ma=self._kept_ma(row, limit_ma - parameters.due_slack_ma),
            )
            if self.is_promised and board.room_ma[row] < more_ma:
                board.crowded.add(row)
                givers += pause(board, row, board.last_served(row), more_ma)
        for giver in givers:
            board.made_room_for[giver] = self.at
        return tuple(dict.fromkeys(givers))

    def _kept_ma(self, row: int, level_ma: int) -> list[int]:
        """Return what everyone keeps on a row: floors, and equals at least `level_ma`."""
        board, kept_ma = self.board, self.board.floor_ma.copy()
        for giver in board.movable[row]:
            kept_ma[giver] = self._keeps_ma(giver)
            if self._is_equal(giver):
                has_ma = board.limit_ma[giver]
                is_giving = giver != self.at and self._is_left_alone(giver)
                kept_ma[giver] = max(kept_ma[giver], level_ma) if is_giving else has_ma
        return kept_ma
