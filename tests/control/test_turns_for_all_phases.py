"""Vehicles that need three times the minimum to begin, told in watts, have their turn like others."""

import pytest

from tests.support.cars import Car, Cars

TWO_HOURS_S = 7_200


def in_watts(**traits: object) -> Car:
    """Return a vehicle on three phases whose station takes watts, and divides them."""
    return Car(takes_watts=True, **traits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cars", "base_a"),
    [
        ((in_watts, in_watts, in_watts), 50.0),
        ((in_watts, in_watts, in_watts), 55.0),
        ((in_watts, in_watts), 55.0),
        ((in_watts, Car, Car), 50.0),
        ((in_watts, Car, Car), 55.0),
    ],
)
def test_nobody_stands_still_for_ever_where_there_is_room(
    cars: tuple[type[Car], ...], base_a: float
) -> None:
    hall = Cars(*(car() for car in cars), base_a=lambda _second: base_a)
    for _ in range(TWO_HOURS_S):
        hall.step()

    assert min(car.energy_wh for car in hall.cars) > 2_000
    assert max(hall.flows_a) <= 95.0


def test_one_that_could_never_have_so_much_is_offered_the_minimum_on_one_phase_and_may_wake() -> (
    None
):
    sleeper = in_watts(max_a=0.0, phases=(0,))
    hall = Cars(sleeper, Car(), base_a=lambda _second: 62.0)  # 18 A are left: 20 would be needed.
    for second in range(TWO_HOURS_S // 2):
        if second == TWO_HOURS_S // 6:
            sleeper.max_a = 32.0
        hall.step()

    assert sleeper.energy_wh > 500


def silent(**traits: object) -> Car:
    """Return a vehicle whose station takes watts and tells nothing."""
    return in_watts(tells_currents=False, answers=False, **traits)


def power(**traits: object) -> Car:
    """Return a vehicle whose station takes watts and tells power alone."""
    return in_watts(tells_currents=False, tells_power=True, **traits)


def changes_of(hall: Cars, number: int, seconds: int) -> int:
    """Let time pass; return how often a connector was told something else."""
    count, was = 0, None
    for _ in range(seconds):
        hall.step()
        newest = hall.board.state.connectors[number - 1].limits[-1]
        is_other = was not in (None, (newest.limit_ma, newest.phase_count))
        count, was = count + is_other, (newest.limit_ma, newest.phase_count)
    return count


def test_one_gives_nothing_to_make_room_for_itself() -> None:
    seldom = in_watts(max_a=6.0, interval_s=60, answers=False, lag_s=5)
    first = in_watts(answers=False, voltage_v=240.0)
    hall = Cars(first, seldom, silent(max_a=0.0, phases=(0,)), base_a=lambda _second: 15.0)

    assert changes_of(hall, 2, 900) <= 15


def test_who_gave_up_its_minimum_for_its_turn_is_not_told_it_again_each_minute() -> None:
    slow = [in_watts(interval_s=30, answers=False, lag_s=9) for _ in range(2)]
    hall = Cars(*slow, silent(max_a=0.0, phases=(0,)), base_a=lambda _second: 46.0)

    assert changes_of(hall, 1, 1_200) <= 15


def test_what_is_not_yet_drawn_is_no_room_for_one_that_waits() -> None:
    """Nor is what a silent one, told nothing for a moment to be tried, has back in a moment."""
    hall = Cars(silent(), power(), power(), base_a=lambda _second: 20.0)

    assert changes_of(hall, 3, 3_600) <= 30
    assert hall.cars[1].energy_wh + hall.cars[2].energy_wh > 7_000


def test_a_full_vehicle_has_others_paused_for_it_once_an_hour_at_most() -> None:
    hall = Cars(in_watts(max_a=0.0), Car(), Car(), base_a=lambda _second: 52.0)
    paused_count, before_ma = 0, 0
    for _ in range(TWO_HOURS_S):
        hall.step()
        told_ma = min(hall.board.told_ma(2), hall.board.told_ma(3))
        paused_count, before_ma = paused_count + (told_ma < before_ma == 6_000), told_ma

    assert paused_count <= 2
    assert min(car.energy_wh for car in hall.cars[1:]) > 8_000
