"""A vehicle that charges on three phases only, at a station that takes its limits in watts."""

from gateway.control.explain import sentence
from gateway.control.parameters import ControlParameters
from gateway.domain.events import ConstraintSet
from gateway.domain.limits import Authority, Constraint
from tests.control.watts_hall import NOTHING_A, Hall, told
from tests.support.one_circuit import ref

EVERY_PHASE = (True, True, True)


def test_who_draws_nothing_on_one_phase_is_told_watts_for_all_and_its_phases_are_learnt() -> None:
    hall = Hall()
    hall.run(25)
    assert told(hall.board) == (6_000, 1)  # 1,380 W: too few for three phases.

    hall.run(35)
    assert told(hall.board)[1] == 3

    hall.run(60)
    assert hall.board.state.connectors[0].mask == EVERY_PHASE
    assert told(hall.board) == (16_000, 3)


def test_watts_for_all_phases_are_counted_on_each_until_it_is_known_which_are_used() -> None:
    hall = Hall(begins_at_w=99_999.0)
    hall.run(70)

    assert told(hall.board)[1] == 3
    assert hall.board.seen().claimed_ma == [17_778] * 3  # Its installed maximum, at 207 V.


def test_the_sentence_says_why_watts_are_told_for_all_phases() -> None:
    hall = Hall(begins_at_w=99_999.0, is_proven=False, max_ma=32_000)
    hall.run(70)

    assert sentence(hall.board.decide().reasons[ref(1)]) == (
        "6.0 A: told in watts for every phase, as the vehicle drew nothing of that on one; "
        "it is counted at 20.0 A on each until its phases are known."
    )


def test_watts_for_all_phases_are_told_only_where_all_of_them_fit_on_each() -> None:
    hall = Hall(base_a=64.0)  # 95 A less 15 A of reserve: 16 A are left.

    hall.run(300)

    assert told(hall.board)[1] == 1


def test_what_base_needs_is_taken_back() -> None:
    hall = Hall(begins_at_w=99_999.0)
    hall.run(200)
    assert told(hall.board)[1] == 3

    hall.base_a = 68.0
    hall.run(30)

    seen = hall.board.seen()
    assert seen.claimed_ma[0] <= seen.rows[0].available_ma + ControlParameters().dead_band_ma


def test_one_phase_that_takes_all_the_watts_is_no_disobedience_and_is_told_for_one() -> None:
    hall = Hall(draws_a=(16.0, 0.0, 0.0))
    is_seen = False
    for _ in range(90):
        hall.run(1)
        if hall.board.now_s % 10 == 0:
            hall.tell()
            if hall.draw_a() != NOTHING_A:
                is_seen, hall.begins_at_w = True, 0.0
        assert not hall.board.seen().overdrawn[0]

    assert is_seen
    assert hall.board.state.connectors[0].mask == (True, False, False)
    assert told(hall.board)[1] == 1


def test_a_station_that_tells_watts_alone_goes_on_being_told_them_for_all_phases() -> None:
    hall = Hall(tells_watts=True)
    hall.run(70)
    assert told(hall.board)[1] == 3

    hall.run(300)

    assert told(hall.board) == (16_000, 3)
    assert hall.board.seen().claimed_ma == [17_778] * 3


def test_a_station_not_yet_proven_is_proven_on_three_phases() -> None:
    hall = Hall(is_proven=False, max_ma=32_000)
    hall.run(40)
    assert told(hall.board) == (6_000, 1)
    for _ in range(150):
        hall.run(1)
        hall.draws_a = (told(hall.board)[0] / 1_000,) * 3
        if hall.board.now_s % 10 == 0:
            hall.tell()

    assert hall.board.state.stations[ref(1).station].is_proven


class DividedHall(Hall):
    """A hall whose station gives what it is told in watts in equal parts to a vehicle's phases."""

    def __init__(self, *, phase_count: int = 3, takes_a: float = 32.0) -> None:
        super().__init__(base_a=5.0, tells_watts=True, max_ma=32_000, begins_at_w=0.0)
        self.phase_count, self.takes_a = phase_count, takes_a

    def draw_a(self) -> tuple[float, float, float]:
        limit_ma, told_count = told(self.board)
        each_a = min(self.takes_a, limit_ma * told_count / self.phase_count / 1_000)
        each_a = 0.0 if each_a < 2 else each_a
        one, two, three = (each_a if phase < self.phase_count else 0.0 for phase in range(3))
        return one, two, three


def test_what_costs_no_more_is_told_too_one_that_divides_its_watts_gives_all_its_phases() -> None:
    hall = DividedHall()
    hall.run(200)

    assert hall.draw_a() == (32.0, 32.0, 32.0)
    assert hall.board.seen().claimed_ma == [35_556] * 3  # As one phase with 7.4 kW would count.
    assert not hall.board.seen().overdrawn[0]


def test_one_that_takes_less_than_its_share_of_that_is_not_said_to_disobey() -> None:
    hall = DividedHall(takes_a=16.0)
    hall.run(400)

    assert hall.draw_a() == (16.0, 16.0, 16.0)
    assert hall.board.state.stations[ref(1).station].is_proven


def test_what_no_longer_fits_is_told_for_one_phase_again_and_nobody_is_paused() -> None:
    hall = DividedHall(phase_count=1)
    hall.run(200)
    assert told(hall.board) == (32_000, 3)

    hall.base_a = 60.0
    for _ in range(60):
        hall.run(1)
        assert told(hall.board)[0] >= 6_000

    assert told(hall.board)[1] == 1
    seen = hall.board.seen()
    assert seen.claimed_ma[0] <= seen.rows[0].available_ma + ControlParameters().dead_band_ma


def test_no_watts_for_all_phases_are_told_under_a_veto_one_phase_may_exceed() -> None:
    hall = Hall()
    veto = Constraint(
        subject=ref(1), limit_ma=(12_000,) * 3, authority=Authority.VETO, source="veto by J. Smith"
    )
    hall.begins_at_w = 99_999.0
    hall.run(70)
    assert told(hall.board)[1] == 3

    hall.board.learn(ConstraintSet(at_s=hall.board.now_s, constraint=veto))
    hall.run(100)

    limit_ma, phase_count = told(hall.board)
    assert limit_ma * phase_count * 230 / 207 <= 12_000


def test_one_that_has_all_its_watts_on_one_phase_is_not_told_them_for_all_over_and_over() -> None:
    hall = Hall(draws_a=(5.5, 0.0, 0.0), begins_at_w=2_000.0, is_proven=False)
    raised_count, was_count = 0, 1
    for _ in range(600):
        hall.run(1)
        if hall.board.now_s % 10 == 0:
            hall.tell()
        now_count = told(hall.board)[1]
        raised_count, was_count = raised_count + (now_count > was_count), now_count

    assert raised_count == 1
