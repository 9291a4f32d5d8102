"""How much had flowed at a connector by which instant."""

from itertools import permutations
from math import inf

import pytest

from gateway.services.courses import Course, Point, flowed_wh, with_newest, with_older

READINGS = ((10.0, 1_100.0), (20.0, 1_400.0), (40.0, 1_500.0), (60.0, 2_000.0))


def test_what_flows_from_one_reading_to_the_next_is_taken_to_flow_evenly() -> None:
    course = (Point(0.0), Point(40.0, 100.0), Point(40.0, 110.0), Point(50.0, 210.0))
    for since_s, until_s, flowed in (
        (-inf, 10.0, 25.0),
        (10.0, 20.0, 25.0),
        (-inf, 40.0, 110.0),
        (40.0, 45.0, 50.0),
        (45.0, inf, 50.0),
        (50.0, inf, 0.0),
        (-inf, 0.0, 0.0),
        (-inf, inf, 210.0),
    ):
        assert flowed_wh(course, since_s, until_s) == flowed


def test_a_reading_is_told_late_is_of_when_it_was_taken() -> None:
    newest_s, newest_wh = READINGS[-1]
    for told in permutations(READINGS[:-1]):
        course: Course = (Point(0.0, 0.0, 1_000.0), Point(newest_s, newest_wh - 1_000.0, newest_wh))
        for at_s, shown_wh in told:
            now = with_older(course, at_s, shown_wh)
            assert now is not None
            course = now
        assert course == (
            Point(0.0, 0.0, 1_000.0),
            *(Point(at_s, shown_wh - 1_000.0, shown_wh) for at_s, shown_wh in READINGS),
        )


@pytest.mark.parametrize(
    ("at_s", "shown_wh"),
    [(10.0, 900.0), (10.0, 2_100.0), (-5.0, 1_500.0), (40.0, 1_500.0), (30.0, 1_800.0)],
)
def test_a_reading_that_has_no_place_among_the_others_is_not_put_there(
    at_s: float, shown_wh: float
) -> None:
    course = (
        Point(0.0, 0.0, 1_000.0),
        Point(20.0, 1_000.0, 2_000.0),
        Point(40.0, 1_000.0, 2_000.0),
    )
    assert with_older(course, at_s, shown_wh) is None
    assert with_older((Point(0.0), Point(20.0, 1.0, 9.0)), 10.0, 5.0) is None


def test_what_is_read_last_is_never_before_another() -> None:
    course = with_newest((Point(10.0, 5.0),), Point(7.0, 9.0))
    assert course == (Point(10.0, 5.0), Point(10.0, 9.0))
