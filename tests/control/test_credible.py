"""One reading that cannot be is none; a second one like it may be a vehicle that obeys nothing."""

import pytest

from tests.support.one_circuit import OneCircuit, ref

EVERY_S = 10


class Charging(OneCircuit):
    """A board of 40 A base on which two vehicles draw what they are told."""

    def __init__(self, *, is_metered: bool = True) -> None:
        """Let both be proven and raised."""
        super().__init__()
        self.is_metered = is_metered
        for number in (1, 2):
            self.is_capable(number, interval_s=EVERY_S)
            self.prove(number)
            self.begin(number, str(number))
        self.drawn_a = {1: 6.0, 2: 6.0}
        self.pass_time(300)

    def pass_time(
        self, seconds: int, *, says_a: tuple[float, ...] = (), leaps: bool = False
    ) -> None:
        """Let seconds pass; the first station's next readings are `says_a`, true where it leaps."""
        left_a, asked = list(says_a), False
        for _ in range(seconds):
            self.now_s += 1.0
            for number in self.drawn_a:
                told_a = self.told_ma(number) / 1_000
                self.drawn_a[number] += max(-4.0, min(4.0, told_a - self.drawn_a[number]))
            if leaps and left_a:
                self.drawn_a[1] = left_a[0]
            if self.is_metered:
                self.flow(40.0 + sum(self.drawn_a.values()) + 0.001 * (self.now_s % 7))
            is_due = self.now_s % EVERY_S == 0
            if is_due:
                self.draw(2, self.drawn_a[2])
            if is_due or asked:
                self.draw(1, left_a.pop(0) if left_a else self.drawn_a[1])
            asked = ref(1) in self.decide().ask

    def is_overdrawn(self) -> bool:
        """Return whether the first connector counts as one above its limit."""
        return self.seen().overdrawn[self.state.wiring.connector_at[ref(1)]]

    @property
    def refused_count(self) -> int:
        """Return how many readings of the first connector were no readings."""
        return self.state.connectors[self.state.wiring.connector_at[ref(1)]].refused_count


def test_one_impossible_reading_takes_nothing_from_anybody() -> None:
    board = Charging()
    told_ma = board.told_ma(2)
    board.pass_time(3 * EVERY_S, says_a=(1_000.0,))

    assert not board.is_overdrawn()
    assert board.told_ma(2) >= told_ma
    assert board.refused_count == 1


def test_a_second_one_after_it_is_believed_and_so_are_all_that_follow() -> None:
    board = Charging()
    board.pass_time(6 * EVERY_S, says_a=(1_000.0,) * 20)

    assert board.is_overdrawn()
    assert board.refused_count == 1


def test_a_credible_one_between_two_that_are_not_lets_neither_count() -> None:
    board = Charging()
    for _ in range(5):
        board.pass_time(3 * EVERY_S, says_a=(1_000.0,))

        assert not board.is_overdrawn()
    assert board.refused_count == 5


def test_a_draw_above_the_maximum_that_the_circuit_shows_is_believed_at_once() -> None:
    board = Charging()
    board.pass_time(EVERY_S, says_a=(44.0,), leaps=True)

    assert board.is_overdrawn()
    assert board.refused_count == 0


@pytest.mark.parametrize("current_a", [31.0, 33.0])
def test_what_the_connector_may_be_built_for_is_believed(current_a: float) -> None:
    board = Charging()
    board.flow(20.0)
    board.draw(1, current_a)

    assert board.refused_count == 0


def test_a_meter_that_is_silent_refutes_nothing() -> None:
    board = Charging()
    board.is_metered = False
    board.pass_time(EVERY_S)
    board.draw(1, 1_000.0)

    assert board.is_overdrawn()


def test_the_next_reading_is_asked_for_at_once() -> None:
    board = Charging()
    board.pass_time(2 * EVERY_S)
    board.now_s += 1.0
    board.draw(1, 1_000.0)

    assert ref(1) in board.decide().ask
