"""What does not fit is cut in one decision, on whatever row it is seen first."""

from gateway.control.board import CRITICAL, Board, Rank
from gateway.control.parameters import ControlParameters
from gateway.control.share import cut_to_fit

LATER = float("inf")
NORMAL: Rank = (2, LATER)


def test_what_is_critical_is_cut_once_nobody_is_left_who_could_be_paused() -> None:
    """The first row leaves it alone, as another may be paused; that one is, for the second row."""
    on_two_rows, on_one = (0, 1), (0,)
    board = Board(
        rows=[on_two_rows, on_one],
        may_move=[True, True],
        limit_ma=[6_000, 9_000],
        high_ma=[6_000, 9_000],
        awake_ma=[6_000, 9_000],
        max_ma=[32_000, 32_000],
        cap_ma=[32_000, 32_000],
        floor_ma=[6_000, 6_000],
        rank=[NORMAL, (CRITICAL, LATER)],
        started_at_s=[0.0, 0.0],
        room_ma=[-9_000, -5_000],
        proven_room_ma=[-9_000, -5_000],
        takes_watts=[False, False],
        phase_count=[1, 1],
        known_count=[1, 1],
        excess_ma=[0, 0],
        in_base_ma=[0, 0],
    )

    cut_to_fit(board, [False, True], ControlParameters())

    assert board.limit_ma == [0, 6_000]
