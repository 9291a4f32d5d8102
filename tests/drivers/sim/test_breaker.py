"""What a current does to an overcurrent device, against the closed form of its model."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim.breaker import Breaker
from gateway.domain.circuits import TripCurve

CURVE = TripCurve(trip_ratio=1.13, time_constant_s=4.57)
TRIP = 1.13**2


def breaker_of(curve: TripCurve = CURVE) -> Breaker:
    return Breaker(curve=curve, rating_a=(100.0,) * 3, set_point_a=(95.0,) * 3)


def carry(breaker: Breaker, *pieces: tuple[float, float]) -> Breaker:
    """Carry each (amperes, until) on L2, with a little on the other phases."""
    for amps, to_s in pieces:
        breaker.carry([5.0, amps, 5.0], to_s)
    return breaker


def test_the_budget_is_spent_as_the_closed_form_says() -> None:
    breaker = carry(breaker_of(), (100.0, 60.0), (110.0, 63.0))

    theta = 1.21 + (1.0 - 1.21) * exp(-3.0 / 4.57)

    assert breaker.spent_ratio == pytest.approx((theta - 1.0) / (TRIP - 1.0))
    assert breaker.spent_peak_ratio == breaker.spent_ratio


def test_the_corner_of_iec_60898_trips_after_one_second() -> None:
    # IEC 60898-1 table 7: 2.55 In from cold lasts at least 1 s; the model is fitted to that.
    breaker = carry(breaker_of(), (0.0, 100.0), (255.0, 102.0))

    assert breaker.trips_s == [pytest.approx(101.0, abs=0.01)]


def test_a_trip_is_timed_inside_the_piece_of_current_that_causes_it() -> None:
    breaker = carry(breaker_of(), (100.0, 60.0), (150.0, 90.0))

    wait_s = 4.57 * log((2.25 - 1.0) / (2.25 - TRIP))

    assert breaker.trips_s == [pytest.approx(60.0 + wait_s)]


def test_what_it_may_carry_for_ever_never_trips_it() -> None:
    breaker = carry(breaker_of(), (100.0, 60.0), (112.9, 100_000.0))

    assert breaker.trips_s == []
    assert 0.98 < breaker.spent_peak_ratio < 1.0


def test_below_its_rating_nothing_is_spent() -> None:
    breaker = carry(breaker_of(), (95.0, 60.0), (100.0, 600.0))

    assert breaker.spent_peak_ratio == 0.0
    assert breaker.over_rating_s == 0.0
    assert breaker.overload_pu2s == [0.0, 0.0, 0.0]


def test_it_cools() -> None:
    breaker = carry(breaker_of(), (100.0, 60.0), (120.0, 65.0), (50.0, 80.0))

    assert breaker.spent_ratio == 0.0
    assert breaker.take_recent_peak() > 0.0
    assert breaker.take_recent_peak() == 0.0


def test_times_and_the_overload_integral_add_up() -> None:
    breaker = carry(
        breaker_of(), (90.0, 10.0), (96.0, 12.0), (110.0, 15.0), (120.0, 16.0), (50.0, 30.0)
    )

    assert breaker.over_set_point_s == pytest.approx(6.0)
    assert breaker.over_rating_s == pytest.approx(4.0)
    assert breaker.overload_pu2s[1] == pytest.approx(0.21 * 3 + 0.44)
    assert breaker.peak_ratio == pytest.approx(1.2)


def test_an_excursion_lasts_until_it_is_over_for_good() -> None:
    breaker = carry(
        breaker_of(),
        *((90.0, 10.0), (110.0, 15.0), (99.0, 16.0), (110.0, 18.0), (90.0, 30.0)),
        *((101.0, 31.0), (90.0, 40.0)),
    )

    assert [(e.at_s, e.length_s) for e in breaker.excursions] == [(10.0, 8.0), (30.0, 1.0)]


def test_the_worst_phase_counts() -> None:
    breaker = breaker_of()
    breaker.carry([120.0, 0.0, 90.0], 10.0)
    breaker.carry([0.0, 110.0, 90.0], 20.0)

    assert breaker.over_rating_s == pytest.approx(20.0)
    assert breaker.overload_pu2s == [pytest.approx(4.4), pytest.approx(2.1), 0.0]


@given(
    pieces=st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.01, 30.0)), max_size=10),
    splits=st.integers(2, 5),
)
def test_cutting_time_into_smaller_pieces_changes_nothing(
    pieces: list[tuple[float, float]], splits: int
) -> None:
    whole, cut = breaker_of(), breaker_of()
    at_s = 0.0
    for amps, lasts_s in pieces:
        for part in range(1, splits + 1):
            cut.carry([amps, 0.0, 0.0], at_s + lasts_s * part / splits)
        at_s += lasts_s
        whole.carry([amps, 0.0, 0.0], at_s)

    assert cut.spent_ratio == pytest.approx(whole.spent_ratio, abs=1e-9)
    assert cut.spent_peak_ratio == pytest.approx(whole.spent_peak_ratio, abs=1e-9)
    assert cut.trips_s == pytest.approx(whole.trips_s, abs=1e-6)
    assert cut.overload_pu2s[0] == pytest.approx(whole.overload_pu2s[0])
