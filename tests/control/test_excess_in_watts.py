"""What a station told in watts gives above them is learnt from the power of all phases, too."""

import pytest

from tests.support.cars import Car, Cars
from tests.support.one_circuit import ref

HALF_AN_HOUR_S = 1_800


@pytest.mark.parametrize("more_a", [1.2, 2.0, 3.2])
def test_power_above_the_watts_told_for_all_phases_is_learnt_and_the_station_proven(
    more_a: float,
) -> None:
    above = Car(takes_watts=True, tells_currents=False, tells_power=True, less_a=-more_a)
    hall = Cars(above, Car(), Car(), base_a=lambda _second: 30.0)
    for _ in range(HALF_AN_HOUR_S):
        hall.step()

    assert hall.board.state.stations[ref(1).station].is_proven
    assert 0 < hall.board.state.connectors[0].excess_ma < more_a * 1_000
    assert hall.board.seen().high_ma[0] < 30_000  # One not proven counts 35.6 A.
    assert min(car.energy_wh for car in hall.cars) > 1_500


@pytest.mark.parametrize("takes_watts", [False, True])
def test_a_first_reading_of_a_vehicle_that_still_rises_is_not_all_that_is_learnt(
    *, takes_watts: bool
) -> None:
    above = Car(takes_watts=takes_watts, tells_currents=False, tells_power=True, less_a=-1.8)
    hall = Cars(above, base_a=lambda _second: 30.0)
    for _ in range(HALF_AN_HOUR_S):
        hall.step()
        if hall.board.state.connectors[0].beyond is not None:
            above.less_a = -3.2

    assert hall.board.state.stations[ref(1).station].is_proven
    assert hall.board.state.connectors[0].excess_ma > 2_000
