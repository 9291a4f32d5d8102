"""What stations that tell little leave unknown neither makes base too small nor holds others up."""

from dataclasses import replace

import pytest

from gateway.control.headroom import survey
from gateway.control.second_look import held_back
from gateway.control.state import SiteState
from gateway.domain.limits import CurrentLimit
from tests.support.cars import Car, Cars
from tests.support.one_circuit import OneCircuit, site

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


def test_raises_that_do_not_fit_hold_up_none_that_do_for_long() -> None:
    board = OneCircuit(of=site(outlet_count=4))
    for number in (1, 2, 3):
        for outlet in (1, 2, 3, 4):
            board.plug_in(number, outlet)
            board.send(number, 6_000, outlet)
    # Twelve of 6 A in 95 A, 15 A of it kept: each of them may have a little more, and none 26 A.
    board.flow(1.1)
    seen = survey(_only_newest(board), board.now_s)
    assert seen.rows[0].available_ma - seen.claimed_ma[0] == 6_900
    raises = {
        at: CurrentLimit(limit_ma=32_000 if at == 5 else 6_100, phase_count=1, voltage_v=230.0)
        for at in range(12)
    }

    held = [
        held_back(_only_newest(board), seen, raises, lambda at: at, board.now_s + second)
        for second in range(12)
    ]

    assert all(5 in of_second for of_second in held)
    assert set.intersection(*held) == {5}


def _only_newest(board: OneCircuit) -> SiteState:
    """Return the state in which every cut has settled."""
    connectors = tuple(
        replace(belief, limits=belief.limits[-1:]) for belief in board.state.connectors
    )
    stations = {s: replace(of, is_proven=True) for s, of in board.state.stations.items()}
    return replace(board.state, connectors=connectors, stations=stations)
