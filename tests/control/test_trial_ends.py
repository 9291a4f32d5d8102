"""A trial ends whatever the vehicle draws and its station tells; and nobody waits for one in vain."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from gateway.control.explain import sentence
from gateway.control.rows import ReserveFor
from gateway.control.state import Priority
from gateway.control.thermal import budget_spent_ratio, theta_after
from gateway.control.trusted import may_draw_more
from gateway.domain.circuits import FASTEST_CURVE, OvercurrentDevice, Site
from gateway.domain.electric import Phase
from gateway.domain.events import ConstraintSet, FallbackInstalled, MeterRead
from gateway.domain.ids import CircuitId, MeterId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.metering import MeterReading
from gateway.domain.reasons import Reason, ReasonKind
from tests.support.one_circuit import OneCircuit, ref, site

FOLLOWS_S = 7
LEAST_A = 6.0
A_THIRD = 0.33
HALF_AN_HOUR_S = 1_800
QUARTER_OF_AN_HOUR_S = 900
AFTER_A_CUT = 10


@dataclass(kw_only=True)
class Car:
    """A vehicle that comes at `at_s` and draws what its station gives, up to what it takes."""

    at_s: int = 0
    takes_a: float = 16.0
    every_s: int = 10
    says_every_s: int = 10
    is_mute: bool = False
    tells_until_s: int | None = None
    """When the last reading may come, if any: later ones are never sent."""
    is_tied_a: float | None = None
    """What its station gives it whatever that is told."""
    a_second_a: float = 32.0
    draws_a: float = 0.0
    given_a: list[float] = field(default_factory=lambda: [0.0] * FOLLOWS_S)


class Board:
    """A board under control; stations accept all they are told, and answer no question."""

    def __init__(
        self, cars: dict[int, Car], *, rating_a: int = 100, of: Site | None = None
    ) -> None:
        self.rating_ma = rating_a * 1_000
        self.one = OneCircuit(of=of or site(rating_ma=(self.rating_ma,) * 3))
        self.cars, self.time_s = cars, 0
        self.changes, self.served_s = dict.fromkeys(cars, 0), dict.fromkeys(cars, 0)
        self.curve, self.theta = FASTEST_CURVE[OvercurrentDevice.MCB], 0.0
        self.spent_ratio = 0.0
        for number, car in cars.items():
            self.one.is_capable(number, interval_s=car.says_every_s)

    def live(self, seconds: int, base_a: float) -> None:
        """Let time pass with so much base."""
        one = self.one
        for _ in range(seconds):
            one.now_s += 1.0
            for number, car in self.cars.items():
                if self.time_s == car.at_s:
                    one.plug_in(number)
                    one.begin(number, f"of-{number}")
                if self.time_s >= car.at_s:
                    self._follow(number, car)
            self.time_s += 1
            flows_a = base_a + sum(car.draws_a for car in self.cars.values())
            self._heat(flows_a)
            for number, car in self.cars.items():
                self.served_s[number] += car.draws_a > 0.0
            one.flow(flows_a + 0.001 * (self.time_s % 7))
            for number, car in self.cars.items():
                is_due = car.at_s < self.time_s and (self.time_s + number) % car.every_s == 0
                is_silent = car.tells_until_s is not None and self.time_s > car.tells_until_s
                if is_due and not car.is_mute and not is_silent:
                    one.draw(number, car.draws_a)
            before_ma = {number: one.told_ma(number) for number in self.cars}
            one.decide()
            for number, was_ma in before_ma.items():
                self.changes[number] += one.told_ma(number) != was_ma

    def boot(self, number: int) -> None:
        """Let a station boot; its fallback is written anew."""
        self.one.boot(number)
        written = FallbackInstalled(at_s=self.one.now_s, connector=ref(number), fallback_ma=6_000)
        self.one.learn(written)

    def swap(self, number: int, car: Car) -> None:
        """Let the vehicle go and another come."""
        self.one.end(number, f"of-{number}")
        self.one.leave(number)
        self.one.now_s += 1.0
        self.cars[number], car.at_s = car, self.time_s

    def is_proven(self, number: int) -> bool:
        """Return whether a station was seen to obey."""
        return self.one.state.stations[ref(number).station].is_proven

    def why(self, number: int) -> Reason:
        """Return the reason of a connector's limit."""
        return self.one.decide().reasons[ref(number)]

    def _follow(self, number: int, car: Car) -> None:
        told = self.one.state.connectors[number - 1].limits[-1]
        told_a = told.limit_ma / 1_000 if told.last_sequence else 0.0
        car.given_a.append(told_a if car.is_tied_a is None else car.is_tied_a)
        given_a = car.given_a.pop(0)
        wanted_a = min(car.takes_a, given_a) if given_a >= LEAST_A else 0.0
        car.draws_a += max(-car.a_second_a, min(car.a_second_a, wanted_a - car.draws_a))

    def _heat(self, flows_a: float) -> None:
        ratio = flows_a * 1_000 / self.rating_ma
        self.theta = theta_after(self.theta, ratio=ratio, curve=self.curve, elapsed_s=1.0)
        self.spent_ratio = max(self.spent_ratio, budget_spent_ratio(self.theta, self.curve))


def test_a_vehicle_that_draws_little_is_tried_by_a_pause() -> None:
    board = Board({1: Car(at_s=100), 2: Car(at_s=200), 3: Car(takes_a=3.0)})

    board.live(HALF_AN_HOUR_S, 50.0)

    assert board.is_proven(3)
    assert min(board.one.told_ma(1), board.one.told_ma(2)) > 6_000


def test_one_that_draws_next_to_nothing_is_left_to_rest() -> None:
    board = Board({3: Car(takes_a=0.4)})

    board.live(HALF_AN_HOUR_S, 30.0)

    assert board.one.high_ma(3) == 6_000
    assert board.changes[3] == 1


@pytest.mark.parametrize("says_every_s", [60, 10])
def test_a_pause_lasts_until_readings_that_come_seldom_can_show_it(says_every_s: int) -> None:
    """Also where a station sends them less often than it says."""
    slow = {n: Car(takes_a=32.0, every_s=60, says_every_s=says_every_s) for n in (1, 2, 3)}
    board = Board(slow)

    board.live(HALF_AN_HOUR_S, 30.0)

    assert [board.is_proven(number) for number in (1, 2, 3)] == [True, True, True]


def test_a_pause_that_was_not_kept_is_made_again_after_minutes() -> None:
    board = Board({1: Car(is_tied_a=6.0)})

    board.live(HALF_AN_HOUR_S, 30.0)

    assert not board.is_proven(1)
    assert 4 <= board.changes[1] <= 20


@pytest.mark.parametrize(("rating_a", "base_a"), [(100, 50.0), (40, 4.0)])
def test_one_that_stops_by_itself_long_after_a_cut_proves_nothing(
    rating_a: int, base_a: float
) -> None:
    """On 40 A it is told nothing, draws all the same, and is told its minimum as it stops."""
    cars = {1: Car(is_tied_a=32.0, takes_a=32.0), 2: Car(at_s=20), 3: Car(at_s=30)}
    board = Board(cars, rating_a=rating_a)
    board.live(HALF_AN_HOUR_S, base_a)

    board.cars[1].takes_a = 0.0
    board.live(60, base_a)

    assert board.cars[1].draws_a == 0.0
    assert not board.is_proven(1)


def test_one_that_comes_down_by_less_than_a_cut_from_reading_to_reading_is_proven() -> None:
    board = Board({1: Car(takes_a=32.0, every_s=1, says_every_s=1, a_second_a=0.5)})

    board.live(60, 30.0)

    assert board.is_proven(1)


def after_a_boot(*, rating_a: int, is_mute: bool, takes_a: float = 0.0) -> Board:
    """Return a board with a vehicle at a station that has booted, and two more."""
    full = Car(is_mute=is_mute, takes_a=takes_a)
    board = Board({1: Car(at_s=200), 2: Car(at_s=300), 3: full}, rating_a=rating_a)
    board.live(60, rating_a / 2)
    board.boot(3)
    return board


@pytest.mark.parametrize("is_mute", [True, False])
@pytest.mark.parametrize(("rating_a", "base_a"), [(100, 60.0), (40, 1.0)])
def test_a_full_vehicle_at_a_station_not_proven_leaves_others_their_minimum(
    rating_a: int, base_a: float, *, is_mute: bool
) -> None:
    board = after_a_boot(rating_a=rating_a, is_mute=is_mute)

    board.live(HALF_AN_HOUR_S, base_a)

    assert not board.is_proven(3)
    assert min(board.served_s[1], board.served_s[2]) > 500


@pytest.mark.parametrize("is_mute", [True, False])
@pytest.mark.parametrize(("rating_a", "base_a"), [(100, 60.0), (100, 50.0), (63, 20.0), (40, 1.0)])
def test_one_that_wakes_and_obeys_nothing_is_made_room_for_in_time(
    rating_a: int, base_a: float, *, is_mute: bool
) -> None:
    board = after_a_boot(rating_a=rating_a, is_mute=is_mute)
    board.live(HALF_AN_HOUR_S, base_a)
    assert board.cars[1].draws_a or board.cars[2].draws_a

    board.cars[3].is_tied_a = board.cars[3].takes_a = 32.0
    board.live(300, base_a)

    assert board.cars[3].draws_a == 32.0
    assert board.spent_ratio <= A_THIRD


@pytest.mark.parametrize(
    ("rating_a", "base_a", "others"),
    [(50, 15.0, 1), (40, 5.0, 1), (50, 10.0, 2), (63, 25.0, 2)],
)
def test_a_first_vehicle_at_a_station_that_obeys_nothing_is_made_room_for_in_time(
    rating_a: int, base_a: float, others: int
) -> None:
    cars = {number: Car(takes_a=6.0) for number in range(1, others + 1)}
    cars[3] = Car(at_s=300, is_tied_a=32.0, takes_a=32.0, given_a=[32.0] * FOLLOWS_S)
    board = Board(cars, rating_a=rating_a)
    board.live(300, base_a)
    assert min(car.draws_a for number, car in cars.items() if number != 3) == 6.0

    board.live(300, base_a)

    assert cars[3].draws_a == 32.0
    assert board.spent_ratio <= A_THIRD


@pytest.mark.parametrize("others_take_a", [6.0, 32.0])
@pytest.mark.parametrize(
    ("rating_a", "base_a"), [(40, 5.0), (50, 10.0), (50, 15.0), (63, 25.0), (100, 40.0)]
)
def test_one_that_takes_seconds_to_begin_finds_all_its_room(
    rating_a: int, base_a: float, others_take_a: float
) -> None:
    cars = {number: Car(takes_a=others_take_a) for number in (1, 2)}
    cars[3] = Car(at_s=300, is_tied_a=32.0, takes_a=32.0)
    board = Board(cars, rating_a=rating_a)
    board.live(300, base_a)
    assert min(cars[1].draws_a, cars[2].draws_a) >= 6.0

    board.live(300, base_a)

    assert cars[3].draws_a == 32.0
    assert board.spent_ratio < 0.05


@pytest.mark.parametrize(
    ("rating_a", "base_a"), [(40, 5.0), (40, 18.0), (40, 18.5), (50, 10.0), (63, 15.0)]
)
def test_who_makes_room_for_a_first_vehicle_has_its_minimum_again_once_that_is_proven(
    rating_a: int, base_a: float
) -> None:
    """Also where what that is told more for a moment, to be cut by, is all that one waiting lacks."""
    board = Board({1: Car(), 3: Car(at_s=300)}, rating_a=rating_a)
    board.live(300, base_a)
    served_s = board.served_s[1]

    board.live(300, base_a)

    assert board.is_proven(3)
    assert 30 < 300 - (board.served_s[1] - served_s) < 90


def test_nobody_is_raised_into_a_promised_floor_that_made_room_for_a_first_vehicle() -> None:
    board = Board({1: Car(takes_a=32.0), 3: Car(at_s=300, takes_a=32.0)}, rating_a=63)
    promised = {ref(1): Priority(rank=0, floor_ma=16_000)}
    board.one.state = replace(board.one.state, priorities=promised)
    board.live(300, 15.0)
    assert board.one.told_ma(1) > 16_000

    told_ma = []
    for _ in range(300):
        board.live(1, 15.0)
        told_ma.append((board.one.told_ma(1), board.one.told_ma(3)))

    assert (0, 6_000) in told_ma
    assert board.is_proven(3)
    kept_ma, rest_ma = told_ma[-1]
    assert kept_ma == 16_000
    assert max(ma for _, ma in told_ma) <= rest_ma + board.one.state.parameters.dead_band_ma


@pytest.mark.parametrize("gap_s", [0, 5])
@pytest.mark.parametrize("fallback_ma", [0, 6_000])
@pytest.mark.parametrize("rating_a", [40, 63])
def test_many_that_come_to_stations_not_proven_begin_no_more_than_fit(
    rating_a: int, fallback_ma: int, gap_s: int
) -> None:
    """As after a power cut: all of them together are told no more than there is, and tried in turn."""
    whole = site(
        rating_ma=(rating_a * 1_000,) * 3, fallback_ma=fallback_ma, station_count=AFTER_A_CUT
    )
    cars = {number: Car(at_s=1 + gap_s * number) for number in range(1, AFTER_A_CUT + 1)}
    board = Board(cars, rating_a=rating_a, of=whole)

    board.live(HALF_AN_HOUR_S // 2, 1.0)

    assert board.spent_ratio == 0.0
    assert all(board.is_proven(number) for number in cars)


def test_who_is_not_proven_gives_way_too_where_the_device_grows_hot() -> None:
    """It has been told its minimum alone: nothing less but a pause takes anything from it."""
    tied = Car(at_s=50, is_tied_a=32.0, takes_a=32.0, given_a=[32.0] * FOLLOWS_S)
    slow = Car(takes_a=6.0, every_s=60, says_every_s=60)
    board = Board({1: slow, 3: tied}, rating_a=40)
    board.live(50, 5.0)
    assert board.cars[1].draws_a == 6.0
    assert not board.is_proven(1)

    board.live(300, 5.0)

    assert tied.draws_a == 32.0
    assert board.spent_ratio <= A_THIRD


def test_one_that_sleeps_may_wake_in_a_pause_and_after_it() -> None:
    board = Board({3: Car(takes_a=0.0)})
    board.live(120, 20.0)
    one, kept_ma = board.one, list[int]()

    for told_ma in (0, 6_000):
        one.send(3, told_ma)
        one.now_s += 60.0
        one.flow(20.0 + 0.001 * told_ma)
        one.draw(3, 0.0)
        seen = one.seen()
        kept_ma.append(seen.claimed_ma[0] + seen.rows[0].reserve_ma)

    assert min(kept_ma) > 32_000 - 10_000


def test_of_several_that_sleep_the_reserve_keeps_one_start() -> None:
    """A power cut in the night must not leave nothing to anybody by day."""
    board = Board({1: Car(takes_a=0.0), 2: Car(takes_a=0.0), 3: Car(at_s=30)})

    board.live(600, 30.0)

    row = board.one.seen().rows[0]
    assert row.reserve_for is ReserveFor.UNPROVEN
    assert row.reserve_ma < 32_000
    assert board.one.told_ma(3) > 10_000


@pytest.mark.parametrize(("spike_a", "limit_ma"), [(36.0, 6_000), (40.0, 0)])
def test_one_paused_for_heat_alone_is_said_not_to_have_been_seen_to_obey(
    spike_a: float, limit_ma: int
) -> None:
    """Where the others have their minimum; where all are paused the heat is why."""
    board = Board({1: Car(takes_a=32.0), 2: Car(takes_a=32.0), 3: Car(takes_a=0.0)})
    board.live(600, 10.0)

    board.live(1, 10.0 + spike_a)

    obeys, unproven = board.why(1), board.why(3)
    is_said = "budget, and the station has not yet been seen to obey a cut;" in sentence(unproven)
    assert unproven.kind is ReasonKind.THERMAL_BUDGET
    assert (obeys.limit_ma, unproven.limit_ma) == (limit_ma, 0)
    assert is_said == (limit_ma > 0)
    assert "seen to obey a cut" not in sentence(obeys)


def test_one_that_sleeps_is_said_to_count_what_it_counts_and_what_it_may_start() -> None:
    board = Board({3: Car(takes_a=0.0)})
    board.live(120, 20.0)
    assert board.one.high_ma(3) == 6_000

    told = sentence(board.why(3))

    assert "is counted at 6.0 A; up to 26.0 A more may begin to flow, should it not obey." in told
    assert board.one.seen().rows[0].reserve_ma < 26_000  # A part is borne until others are cut.
    assert "reserve" not in told


def test_several_that_wake_at_once_are_all_in_the_reserve() -> None:
    board = Board({n: Car(is_mute=True, takes_a=0.0) for n in (1, 2)})
    board.live(120, 20.0)

    row = board.one.seen().rows[0]

    assert row.reserve_for is ReserveFor.UNPROVEN
    assert board.one.seen().claimed_ma[0] + row.reserve_ma > 2 * 32_000 - 10_000


def test_without_a_fresh_reading_all_that_may_start_is_kept() -> None:
    board = Board({3: Car(is_mute=True, takes_a=0.0)})
    board.live(120, 20.0)
    for _ in range(12):
        board.one.now_s += 1.0
        board.one.decide()

    seen = board.one.seen()

    assert seen.claimed_ma[0] + seen.rows[0].reserve_ma == 32_000


def test_one_that_tells_nothing_is_tried_again_where_its_first_cut_was_not_seen() -> None:
    cars = {1: Car(at_s=7, takes_a=13.0), 2: Car(at_s=100), 3: Car(is_mute=True, takes_a=10.0)}
    board = Board(cars)

    board.live(HALF_AN_HOUR_S, 50.0)

    assert board.is_proven(3)
    assert min(board.one.told_ma(number) for number in (1, 2, 3)) >= 6_000


def forbid_more(board: Board, number: int, limit_ma: int) -> None:
    """Let somebody forbid a connector more than a limit."""
    veto = Constraint(
        subject=ref(number), limit_ma=(limit_ma,) * 3, authority=Authority.VETO, source="J. Smith"
    )
    board.one.learn(ConstraintSet(at_s=board.one.now_s, constraint=veto))


def beside_one_at_20_a(car: Car) -> Board:
    """Return a board on which one draws the 20 A that it may, and another is about to come."""
    car.at_s = 120
    board = Board({1: Car(takes_a=32.0), 3: car})
    forbid_more(board, 1, 20_000)
    board.live(119, 20.0)
    assert board.cars[1].draws_a == 20.0
    return board


def while_tried(board: Board, *, cuts_ma: int, seconds: int) -> None:
    """Let time pass in which the first connector is cut just as the third is tried, twice."""
    limits_ma, was_ma = [20_000 - 2 * cuts_ma, 20_000 - cuts_ma], board.one.told_ma(3)
    for _ in range(seconds):
        told_ma = board.one.told_ma(3)
        if limits_ma and was_ma and not told_ma:
            forbid_more(board, 1, limits_ma.pop())
        was_ma = told_ma
        board.live(1, 20.0)


def test_a_small_cut_of_another_does_not_cover_a_trial() -> None:
    board = beside_one_at_20_a(Car(is_mute=True, takes_a=6.0))

    while_tried(board, cuts_ma=300, seconds=180)

    assert board.is_proven(3)


def test_a_trial_that_another_cut_covers_is_made_again_as_soon_as_the_first_was() -> None:
    board = beside_one_at_20_a(Car(is_mute=True, takes_a=6.0))

    while_tried(board, cuts_ma=3_000, seconds=660)

    assert board.is_proven(3)


def go_up_and_down(board: Board, *, seconds: int, by_a: float, each_s: int) -> None:
    """Let time pass in which the first connector draws so much more, and no more, in turns."""
    least_a = board.cars[1].takes_a
    for second in range(seconds):
        board.cars[1].takes_a = least_a + by_a * (second // each_s % 2)
        board.live(1, 20.0)


def test_beside_a_draw_that_goes_up_and_down_each_second_one_is_proven_as_soon() -> None:
    restless = Car(takes_a=14.0, every_s=1, says_every_s=1)
    board = Board({1: restless, 3: Car(at_s=120, is_mute=True, takes_a=6.0)})
    board.live(120, 20.0)

    go_up_and_down(board, seconds=180, by_a=1.2, each_s=1)

    assert board.is_proven(3)


def test_what_another_fell_by_is_not_forgotten_while_it_goes_up_and_down() -> None:
    """It falls just as one that obeys nothing is cut, and a load does 13 s later: 3 A each."""
    restless = Car(takes_a=20.0, every_s=1, says_every_s=1)
    deaf = Car(at_s=120, is_mute=True, takes_a=6.0, is_tied_a=6.0)
    board, paused_s = Board({1: restless, 3: deaf}), 0
    board.live(150, 20.0)
    for second in range(1_200):
        paused_s = 0 if board.one.told_ma(3) else paused_s + 1
        restless.takes_a = (17.0 if paused_s else 20.0) + 0.5 * (second % 2)
        board.live(1, 17.0 if paused_s > 13 else 20.0)

    assert board.changes[3] > 4
    assert not board.is_proven(3)


@pytest.mark.parametrize(("by_a", "each_s"), [(2.0, 10), (3.0, 12), (2.0, 15)])
def test_one_that_is_covered_each_time_is_tried_more_and_more_seldom(
    by_a: float, each_s: int
) -> None:
    board = Board({1: Car(takes_a=14.0), 3: Car(at_s=200, is_mute=True, takes_a=16.0)})
    board.live(200, 20.0)

    go_up_and_down(board, seconds=2 * HALF_AN_HOUR_S, by_a=by_a, each_s=each_s)

    assert 5 <= board.changes[3] <= 15


@pytest.mark.parametrize("cuts_ma", [4_000, 5_000, 6_000, 7_000])
def test_what_falls_by_a_cut_of_another_proves_nobody(cuts_ma: int) -> None:
    board = beside_one_at_20_a(Car(is_mute=True, takes_a=6.0, is_tied_a=6.0))

    while_tried(board, cuts_ma=cuts_ma, seconds=660)

    assert board.cars[1].draws_a <= 12.0
    assert not board.is_proven(3)


def test_a_load_that_is_switched_off_once_proves_nobody() -> None:
    board = Board({3: Car(is_mute=True, takes_a=0.0)})
    while board.changes[3] < 2:  # Told its minimum, and cut to nothing.
        board.live(1, 20.0)
    assert board.one.told_ma(3) == 0

    board.live(60, 14.0)
    board.live(300, 20.0)

    assert not board.is_proven(3)


@pytest.mark.parametrize("on_for_s", [10, 12, 16, 30])
def test_a_load_that_goes_on_and_off_proves_nobody(on_for_s: int) -> None:
    """One that does so each 10, 16 or 30 s is switched off twice just as the vehicle is cut."""
    board = Board({3: Car(is_mute=True, takes_a=0.0)})

    for _ in range(HALF_AN_HOUR_S // (2 * on_for_s)):
        board.live(on_for_s, 20.0)
        board.live(on_for_s, 14.0)

    assert not board.is_proven(3)


def test_a_cut_that_is_never_seen_is_made_more_and_more_seldom() -> None:
    board = Board({3: Car(is_mute=True, takes_a=0.0)})
    board.live(2 * HALF_AN_HOUR_S, 20.0)
    in_first_hour = board.changes[3]
    board.live(2 * HALF_AN_HOUR_S, 20.0)
    later = board.changes[3] - in_first_hour

    board.one.end(3, "of-3")
    board.one.leave(3)
    board.cars[3].at_s = board.time_s + 30
    board.live(360, 20.0)

    assert (in_first_hour, later) == (11, 8)
    assert board.changes[3] - in_first_hour - later >= 4  # Another vehicle, as at first.


def test_one_that_tells_nothing_has_its_minimum_out_of_what_is_kept_for_it() -> None:
    board = Board({3: Car(is_mute=True, takes_a=0.0)}, rating_a=40)
    board.live(200, 9.0)  # All of 32 A beside that does not fit 38 A.
    board.cars[3].takes_a = 16.0

    board.live(600, 9.0)

    assert board.is_proven(3)
    assert board.one.told_ma(3) >= 6_000


def test_it_has_it_too_where_a_circuit_above_keeps_nothing_for_it() -> None:
    """Its reserve there is as large for another reason, and there is room."""
    whole = site(rating_ma=(40_000,) * 3)
    (own,) = whole.circuits
    supply = replace(own, id=CircuitId("supply"), meter=MeterId("supply"), rating_ma=(400_000,) * 3)
    of = replace(whole, circuits=(supply, replace(own, parent=supply.id)))
    board = Board({3: Car(is_mute=True, takes_a=0.0)}, rating_a=40, of=of)

    def live(seconds: int, base_a: float) -> None:
        for second in range(seconds):
            on_each = (base_a + 20.0 + 0.001 * (second % 7),) * 3
            read = MeterReading(
                meter=MeterId("supply"),
                at_s=board.one.now_s,
                current_a=on_each,
                power_w=on_each,
                voltage_v=(230.0,) * 3,
            )
            board.one.learn(MeterRead(at_s=board.one.now_s, reading=read))
            board.live(1, base_a)

    live(200, 9.0)
    live(60, 37.0)
    assert board.one.told_ma(3) == 0
    board.cars[3].takes_a = 16.0
    live(600, 9.0)

    assert board.is_proven(3)
    assert board.one.told_ma(3) >= 6_000


def test_a_hall_in_which_nobody_tells_anything_is_tried_one_by_one() -> None:
    """Though all that they may draw at once is more than there is."""
    board = Board({n: Car(is_mute=True) for n in (1, 2, 3)})

    board.live(HALF_AN_HOUR_S, 40.0)

    assert [board.is_proven(number) for number in (1, 2, 3)] == [True, True, True]
    assert min(board.one.told_ma(number) for number in (1, 2, 3)) >= 6_000


@pytest.mark.parametrize("is_mute", [True, False])
@pytest.mark.parametrize("seldom_count", [2, 3])
def test_who_says_it_tells_seldom_keeps_nobody_waiting_for_its_readings(
    seldom_count: int, is_mute: bool
) -> None:
    """What each 15 min tells is too late: until it is seen to obey the circuit must show that."""
    every_s = QUARTER_OF_AN_HOUR_S
    cars = {
        number: Car(is_mute=is_mute, every_s=every_s, says_every_s=every_s)
        for number in range(1, seldom_count + 1)
    }
    cars |= {seldom_count + number: Car(at_s=100) for number in (1, 2)}
    board = Board(cars, rating_a=63, of=site(rating_ma=(63_000,) * 3, station_count=len(cars)))

    board.live(every_s, 10.0)

    assert all(board.is_proven(number) for number in cars)
    assert min(board.served_s.values()) > every_s // 4
    assert board.spent_ratio == 0.0


def test_who_waits_is_told_whose_claim_it_is() -> None:
    cars = {1: Car(takes_a=3.0), 2: Car(at_s=5), 3: Car(at_s=5)}
    board = Board(cars, rating_a=40)
    board.live(12, 2.0)

    told = sentence(board.why(1))

    assert "84.0 A of it for CP-1/1 and 2 more, not yet seen to obey" in told


def test_who_is_paused_for_a_first_vehicle_is_told_so_from_its_first_second() -> None:
    """Before that has been told anything."""
    board = Board({1: Car(), 3: Car(at_s=300)}, rating_a=40)
    board.live(300, 5.0)
    assert board.one.told_ma(1) >= 6_000
    board.one.plug_in(3)

    told = board.why(1)

    assert told.limit_ma == 0
    assert "beside what CP-3/1 may draw" in sentence(told)
    assert "26.0 A of it for CP-3/1, not yet seen to obey" in sentence(told)


def test_who_waits_is_told_for_whom_the_reserve_is() -> None:
    board = Board({1: Car(is_mute=True, takes_a=0.0), 3: Car(at_s=5)}, rating_a=40)
    board.live(200, 8.0)

    told = sentence(board.why(3))

    assert "reserve 22.1 A for CP-1/1, not yet seen to obey" in told


def test_a_reserve_is_told_for_whom_it_is_on_each_phase() -> None:
    """Of one that is wired to one phase, and of a smaller one wired to three."""
    whole = site(rating_ma=(40_000,) * 3)
    of_three, of_one, other = whole.stations
    (wired,) = of_one.connectors
    of_one = replace(of_one, connectors=(replace(wired, phases=(Phase.L1,)),))
    (wired,) = of_three.connectors
    of_three = replace(of_three, connectors=(replace(wired, max_ma=20_000),))
    cars = {1: Car(takes_a=0.0), 2: Car(takes_a=0.0), 3: Car(at_s=200)}
    board = Board(cars, rating_a=40, of=replace(whole, stations=(of_three, of_one, other)))
    board.live(300, 10.0)
    told = []

    for base_a in ((30.0, 2.0, 2.0), (2.0, 30.0, 2.0)):
        for second in range(20):
            board.one.now_s += 1.0
            one, two, three = (amps + 0.001 * (second % 7) for amps in base_a)
            board.one.flow_on_phases((one, two, three))
            for number in cars:
                board.one.draw(number, 0.0)
            board.one.decide()
        told.append(sentence(board.why(3)))

    assert "board L1 has 0.0 A" in told[0]
    assert "for CP-2/1, not yet seen to obey" in told[0]
    assert "board L2 has 0.0 A" in told[1]
    assert "for CP-1/1, not yet seen to obey" in told[1]


def test_a_first_vehicle_is_asked_for_readings_until_it_has_begun() -> None:
    """Others may be at nothing for it all that time: its station tells one each 15 min by itself.

    Later it is asked by the minute, until it was seen to obey.
    """
    board, asked_at_s = OneCircuit(), list[float]()
    board.is_capable(1, interval_s=900.0)
    board.flow(20.0)
    board.plug_in(1)
    board.begin(1, "of-1")
    began_s = board.now_s

    for second in range(600):
        board.now_s += 1.0
        board.flow(20.0 + 0.001 * (second % 7))
        if ref(1) in board.decide().ask:
            asked_at_s.append(board.now_s - began_s)
            board.draw(1, 0.0)

    assert len(asked_at_s) >= 8
    later_s = [at_s for at_s in asked_at_s if at_s > 180.0]
    assert later_s
    assert min(after_s - at_s for at_s, after_s in pairwise(later_s)) >= 60.0


def test_a_reading_of_next_to_nothing_does_not_show_a_first_vehicle_to_charge() -> None:
    """Its station's meter tells some milliamperes of nothing, in the second in which it comes."""
    board = OneCircuit()
    board.is_capable(3)
    board.plug_in(3)
    board.begin(3, "of-3")
    board.flow(20.0)
    board.draw(3, 0.05)
    board.decide()

    board.now_s += 1.0

    at = board.state.wiring.connector_at[ref(3)]
    assert may_draw_more(board.state, board.seen(), at, board.now_s)


TOLD_LAST_S = [7, 17]  # Its readings come 7 s after it and each 10 s from then.


@pytest.mark.parametrize("last_s", TOLD_LAST_S)
def test_one_that_tells_of_its_draw_at_first_and_no_more_is_tried(last_s: int) -> None:
    board = Board({1: Car(at_s=200), 2: Car(at_s=300), 3: Car(tells_until_s=last_s)})

    board.live(HALF_AN_HOUR_S, 30.0)

    assert board.is_proven(3)
    assert min(board.one.told_ma(number) for number in (1, 2, 3)) > 7_000


@pytest.mark.parametrize("last_s", TOLD_LAST_S)
def test_a_full_one_that_tells_no_more_leaves_others_their_share(last_s: int) -> None:
    full = Car(takes_a=0.0, tells_until_s=last_s)
    board = Board({1: Car(at_s=200), 2: Car(at_s=300), 3: full})

    board.live(HALF_AN_HOUR_S, 30.0)

    assert not board.is_proven(3)
    assert min(board.one.told_ma(1), board.one.told_ma(2)) > 12_000
    assert "not yet been seen to obey" in sentence(board.why(3))


@pytest.mark.parametrize(("rating_a", "base_a"), [(100, 60.0), (63, 20.0)])
@pytest.mark.parametrize("takes_a", [0.0, 32.0])
def test_one_that_tells_no_more_and_obeys_nothing_is_made_room_for_in_time(
    rating_a: int, base_a: float, takes_a: float
) -> None:
    car = Car(takes_a=takes_a, is_tied_a=32.0, tells_until_s=17)
    board = Board({1: Car(at_s=200), 2: Car(at_s=300), 3: car}, rating_a=rating_a)
    board.live(HALF_AN_HOUR_S, base_a)
    car.takes_a = 0.0
    board.live(600, base_a)

    car.takes_a = 32.0
    board.live(300, base_a)

    assert car.draws_a == 32.0
    assert board.spent_ratio <= A_THIRD


def test_one_that_drew_nothing_yet_when_it_fell_silent_is_no_vehicle_at_rest() -> None:
    board = Board({number: Car(takes_a=32.0) for number in (1, 2, 3)})
    board.live(HALF_AN_HOUR_S, 30.0)
    board.swap(3, Car(takes_a=32.0, tells_until_s=board.time_s + 7))

    board.live(HALF_AN_HOUR_S, 30.0)

    assert board.served_s[3] > 2 * HALF_AN_HOUR_S - 200
    assert board.one.told_ma(3) > 9_000


def test_a_start_of_one_asleep_is_kept_room_for_once() -> None:
    board = Board(
        {1: Car(takes_a=0.0), 2: Car(is_mute=True), 3: Car(is_mute=True)},
        rating_a=63,
    )

    board.live(HALF_AN_HOUR_S, 10.0)

    assert max(board.changes.values()) <= 20
    assert min(board.served_s[number] for number in (2, 3)) > HALF_AN_HOUR_S / 2
