"""What stations that tell little leave unknown neither makes base too small nor holds others up."""

import pytest

from tests.support.cars import Car, Cars
from tests.support.one_circuit import OneCircuit

MINUTE_S = 60
QUIET_A = 3.0


def mute(**traits: object) -> Car:
    """Return a vehicle on one phase of a three-phase station that tells nothing of its draw."""
    return Car(tells_currents=False, phases=(0,), **traits)  # type: ignore[arg-type]


def test_what_others_told_of_long_ago_is_not_taken_for_what_a_mute_one_draws() -> None:
    cars = Cars(
        Car(lag_s=5), Car(lag_s=6), mute(lag_s=8, answers=False), base_a=lambda _second: QUIET_A
    )
    for _ in range(30 * MINUTE_S):
        decision = cars.step()
        for row in decision.survey.rows:
            assert not row.doubted_ma
            assert row.base_ma >= QUIET_A * 1_000
    assert min(car.energy_wh for car in cars.cars[:2]) > 4_000


@pytest.mark.parametrize("minutes", [1, 2, 4])
def test_a_reading_older_than_what_is_remembered_of_its_circuit_counts_nothing(
    minutes: int,
) -> None:
    board = OneCircuit()
    board.is_capable(1, interval_s=600)
    board.prove(1)
    base_a, draw_a = 20.0, 16.0
    board.send(1, 16_000)

    def flow(seconds: int, current_a: float) -> None:
        for _ in range(seconds):
            board.now_s += 1.0
            board.flow(current_a + 0.001 * (board.now_s % 7))

    flow(30, base_a + draw_a)
    board.draw(1, draw_a)
    flow(20, base_a + draw_a)
    assert board.seen().rows[0].base_ma < base_a * 1_000 + 1_000
    flow(minutes * MINUTE_S, base_a)  # The vehicle has ended, and its station has not said so yet.
    flow(30, base_a + 3.0)

    assert board.seen().rows[0].base_ma >= base_a * 1_000


def test_one_whose_raise_never_fits_does_not_hold_up_another_that_waits() -> None:
    cars = Cars(
        mute(max_a=16.0, less_a=0.9, interval_s=30, voltage_v=222.0),
        Car(
            max_a=13.0,
            less_a=0.9,
            interval_s=45,
            voltage_v=231.0,
            lag_s=10,
            tells_currents=False,
            tells_power=True,
        ),
        Car(max_a=13.0, less_a=0.9, voltage_v=238.0, lag_s=4),
        base_a=lambda _second: 40.0,
    )
    waited_s = 0
    for _ in range(30 * MINUTE_S):
        cars.step()
        waited_s = 0 if cars.board.told_ma(3) else waited_s + 1
        assert waited_s < 10 * MINUTE_S
    assert cars.board.told_ma(3) >= 6_000
