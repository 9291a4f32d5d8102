"""Room that others make for a vehicle that charges on three phases only, told in watts."""

import pytest

from gateway.control.explain import sentence
from tests.control.watts_hall import NOTHING_A, Hall, told
from tests.support.one_circuit import ref


class SharedHall(Hall):
    """A hall where one that takes all it is given came before one that charges on three phases only."""

    def __init__(
        self,
        *,
        base_a: float,
        wants: bool = True,
        tells_watts: bool = False,
        others: tuple[int, ...] = (2,),
    ) -> None:
        super().__init__(base_a=base_a, tells_watts=tells_watts, is_proven=False, max_ma=32_000)
        self.wants = wants
        self.board.leave(1)
        for number in others:
            self.board.is_capable(number)
        self.board.prove(*others)
        self.cuts, self.others_a = 0, dict.fromkeys(others, 6.0)

    def draw_a(self) -> tuple[float, float, float]:
        """Return the draw of the one in watts: a third of them on each phase, once that is enough."""
        limit_ma, phase_count = told(self.board)
        each_a = limit_ma * phase_count / 3_000
        is_there = self.wants and self.board.state.connectors[0].is_plugged
        is_told = self.board.state.connectors[0].limits[-1].last_sequence > 0
        return (each_a,) * 3 if is_there and is_told and each_a >= 6 else NOTHING_A

    def run(self, seconds: int) -> None:
        """Let seconds pass; both stations tell what is drawn every ten."""
        board = self.board
        for _ in range(seconds):
            board.now_s += 1.0
            before_ma = {number: board.told_ma(number) for number in self.others_a}
            drawn_a = max(self.draw_a()) + sum(self.others_a.values())
            board.flow(self.base_a + drawn_a + 0.001 * (board.now_s % 7))
            if board.now_s % 10 == 9:
                self.tell()
                for number, current_a in self.others_a.items():
                    board.draw(number, current_a)
            board.decide()
            for number, was_ma in before_ma.items():
                told_ma = board.told_ma(number)
                self.cuts += told_ma < was_ma
                self.others_a[number] = told_ma / 1_000


@pytest.mark.parametrize("tells_watts", [False, True])
def test_others_make_room_for_one_that_needs_all_phases_to_begin(*, tells_watts: bool) -> None:
    hall = SharedHall(base_a=35.0, tells_watts=tells_watts)
    hall.run(400)
    assert hall.others_a[2] > 30.0

    hall.board.plug_in(1)
    hall.run(400)

    assert min(hall.draw_a()) >= 6.0
    assert hall.board.state.stations[ref(1).station].is_proven
    assert hall.others_a[2] >= 6.0


def test_others_are_not_cut_again_and_again_for_one_that_draws_nothing() -> None:
    hall = SharedHall(base_a=35.0, wants=False)
    hall.run(400)

    hall.board.plug_in(1)
    hall.run(2_200)

    assert 1 <= hall.cuts <= 2


def test_nobody_is_cut_where_all_phases_would_not_fit_all_the_same() -> None:
    hall = SharedHall(base_a=60.0)
    hall.run(300)
    hall.cuts = 0

    hall.board.plug_in(1)
    hall.run(120)

    assert told(hall.board)[1] == 1
    assert hall.cuts <= 1  # For its minimum.
    assert sentence(hall.board.decide().reasons[ref(1)]).startswith(
        "6.0 A: the vehicle drew nothing of its watts on one phase; they are told for every phase "
        "once 20.0 A are free on each; board L1 has"
    )


def test_one_that_could_not_begin_is_not_said_to_take_little() -> None:
    hall = SharedHall(base_a=60.0, tells_watts=True)
    hall.board.plug_in(1)

    for _ in range(600):
        hall.run(1)
        assert hall.board.state.connectors[0].accepts_ma is None
        assert "at most" not in sentence(hall.board.decide().reasons[ref(1)])


@pytest.mark.parametrize("base_a", [5.0, 20.0])
def test_beside_one_told_watts_for_all_phases_limits_come_to_rest(base_a: float) -> None:
    hall = SharedHall(base_a=base_a, tells_watts=True, others=(2, 3))
    hall.board.plug_in(1)
    hall.run(1_200)
    hall.cuts, before = 0, told(hall.board)

    hall.run(1_200)

    assert hall.cuts <= 1
    assert told(hall.board) == before
    assert min(hall.draw_a()) >= 6.0


def test_a_share_in_watts_for_all_phases_is_taken_over_and_limits_come_to_rest() -> None:
    hall = SharedHall(base_a=20.0, tells_watts=True)
    hall.run(400)
    hall.board.plug_in(1)
    hall.run(1_200)
    hall.cuts = 0

    hall.run(1_200)

    assert hall.cuts <= 1
    assert min(*hall.draw_a(), hall.others_a[2]) > 11.0
