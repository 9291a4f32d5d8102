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


def test_a_full_vehicle_has_others_paused_for_it_once_an_hour_at_most() -> None:
    hall = Cars(in_watts(max_a=0.0), Car(), Car(), base_a=lambda _second: 52.0)
    paused_count, before_ma = 0, 0
    for _ in range(TWO_HOURS_S):
        hall.step()
        told_ma = min(hall.board.told_ma(2), hall.board.told_ma(3))
        paused_count, before_ma = paused_count + (told_ma < before_ma == 6_000), told_ma

    assert paused_count <= 2
    assert min(car.energy_wh for car in hall.cars[1:]) > 8_000
