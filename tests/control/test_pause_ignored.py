"""A station that goes on giving its minimum though it was paused: no old limit counts for ever."""

from tests.support.one_circuit import OneCircuit

LEAST_A = 6.0  # Its least: it takes a pause for that.
FOLLOWS_A_S = 4.0
BASE_A, SHORTAGE_A = 40.0, 74.0


class Board(OneCircuit):
    """The board with three vehicles that take all they are told; the first is never paused."""

    def __init__(self) -> None:
        """Let them begin, at stations that obeyed so far."""
        super().__init__()
        for number in (1, 2, 3):
            self.is_capable(number, interval_s=10)
        self.prove(1, 2, 3)
        for number in (1, 2, 3):
            self.begin(number, str(number))
        self.draws_a = dict.fromkeys((1, 2, 3), LEAST_A)

    def live(self, seconds: int, base_a: float) -> None:
        """Let time pass with so much base."""
        for _ in range(seconds):
            self.now_s += 1.0
            for number, was_a in self.draws_a.items():
                offered_a = max(self.told_ma(number) / 1_000, LEAST_A if number == 1 else 0.0)
                by_a = max(-FOLLOWS_A_S, min(FOLLOWS_A_S, offered_a - was_a))
                self.draws_a[number] = was_a + by_a
            unsteady_a = 0.001 * (self.now_s % 7)
            self.flow(base_a + sum(self.draws_a.values()) + unsteady_a)
            if self.now_s % 10 == 0:
                for number, draws_a in self.draws_a.items():
                    self.draw(number, draws_a)
            self.decide()


def test_one_that_kept_no_pause_is_tried_again_once_there_is_room() -> None:
    board = Board()
    board.live(400, BASE_A)
    board.live(60, SHORTAGE_A)
    assert board.told_ma(1) == 0
    assert board.high_ma(1) == 32_000

    board.live(1_800, BASE_A)

    assert board.high_ma(1) < 16_000
    assert all(board.told_ma(number) > 6_000 for number in (1, 2, 3))
