"""Who waits is looked at again as soon as somebody else has moved."""

from gateway.control.board import CRITICAL, Board, Rank
from gateway.control.parameters import ControlParameters
from gateway.control.share import start_waiting

LATER = float("inf")
NORMAL: Rank = (2, LATER)
CRITICAL_RANK: Rank = (CRITICAL, LATER)


def test_one_like_another_that_was_shut_out_has_its_turn_once_room_was_made() -> None:
    """The first finds no room, what is critical has one paused that leaves room for two."""
    served, first, critical, like_the_first = range(4)
    board = Board(
        rows=[(0,)] * 4,
        may_move=[True] * 4,
        limit_ma=[16_000, 0, 0, 0],
        high_ma=[16_000, 0, 0, 0],
        awake_ma=[16_000, 0, 0, 0],
        max_ma=[32_000] * 4,
        cap_ma=[32_000] * 4,
        floor_ma=[16_000, 6_000, 6_000, 6_000],
        rank=[NORMAL, NORMAL, CRITICAL_RANK, NORMAL],
        started_at_s=[0.0] * 4,
        room_ma=[1_000],
        proven_room_ma=[1_000],
        takes_watts=[False] * 4,
        excess_ma=[0] * 4,
        in_base_ma=[0] * 4,
        phase_count=[1] * 4,
        known_count=[1] * 4,
    )

    start_waiting(board, [first, critical, like_the_first], [False] * 4, ControlParameters())

    assert board.made_room_for == {served: critical}
    assert board.kept_ma[0][critical] == 6_000
    assert board.kept_ma[0][like_the_first] == 6_000
