"""What is learnt of base is how far it rises within a time, not how often it moves."""

from gateway.control.metered import RISE_BINS
from gateway.control.state import RiseHistory
from tests.support.one_circuit import OneCircuit

LONG_S = 400
"""Some windows of a lease, in which base does the same again and again."""


def highest_ma(history: RiseHistory) -> int:
    """Return the upper edge of the highest bin that a window was counted in, of 100 A."""
    counts = history.days[-1]
    return max(bin_at for bin_at in range(RISE_BINS) if counts[bin_at]) * 1_000


def highest_rises_ma(board: OneCircuit) -> tuple[int, int]:
    """Return the most that base is said to have risen within a reaction, and within a lease."""
    phase = board.state.circuits[0].phases[0]
    return highest_ma(phase.rises), highest_ma(phase.lease_rises)


def pass_time(board: OneCircuit, until_s: int, *, flows_a: dict[int, float]) -> None:
    """Let the meter tell what flows, second by second: each current from its second on."""
    current_a = 0.0
    for second in range(until_s):
        current_a = flows_a.get(second, current_a)
        board.now_s += 1.0
        board.flow(current_a, power_w=current_a * 230 + second % 7)


def test_a_hob_that_goes_on_and_off_rises_by_what_it_draws() -> None:
    board = OneCircuit()
    pass_time(
        board, LONG_S, flows_a={second: 15.0 + 10.0 * (second // 2 % 2) for second in range(LONG_S)}
    )

    assert highest_rises_ma(board) == (10_000, 10_000)


def test_rises_with_no_fall_between_them_are_one() -> None:
    board = OneCircuit()
    pass_time(board, 90, flows_a={0: 15.0, 3: 20.0, 6: 25.0, 9: 30.0})

    assert highest_rises_ma(board) == (15_000, 15_000)


def test_a_fall_before_a_rise_makes_it_no_smaller() -> None:
    board = OneCircuit()
    pass_time(board, 90, flows_a={0: 30.0, 3: 15.0, 6: 35.0})

    assert highest_rises_ma(board) == (20_000, 20_000)


def test_a_cut_between_two_rises_hides_neither() -> None:
    board = OneCircuit()
    board.prove(1)
    board.send(1, 16_000)
    pass_time(board, 64, flows_a={0: 36.0})
    board.draw(1, 16.0)
    pass_time(board, 3, flows_a={0: 36.0, 1: 46.0})
    board.send(1, 6_000)
    pass_time(board, 80, flows_a={0: 46.0, 3: 36.0, 6: 46.0})

    assert highest_rises_ma(board) == (20_000, 20_000)


def test_what_a_cut_has_taken_is_taken_once() -> None:
    board = OneCircuit()
    board.prove(1)
    board.send(1, 16_000)
    pass_time(board, 60, flows_a={0: 36.0})
    board.draw(1, 16.0)
    board.send(1, 6_000)
    pass_time(board, 90, flows_a={0: 36.0, 3: 26.0, 4: 36.0, 5: 26.0, 6: 36.0, 7: 26.0, 8: 36.0})

    assert highest_rises_ma(board)[0] == 10_000


def test_a_rise_that_a_raise_explains_is_not_of_base() -> None:
    board = OneCircuit()
    board.prove(1)
    pass_time(board, 60, flows_a={0: 26.0})
    board.draw(1, 6.0)
    board.send(1, 16_000)
    pass_time(board, 90, flows_a={0: 26.0, 3: 36.0})

    assert highest_rises_ma(board) == (0, 0)
