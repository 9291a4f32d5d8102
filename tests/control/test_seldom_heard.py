"""Stations that are heard of seldom: nobody is cut and raised for each time one is silent."""

import pytest

from tests.support.hungry_site import EVERY_PHASE, HungrySite, circuit

MINUTE_S = 60


@pytest.mark.parametrize("reads_each_s", [60, 120])
def test_readings_that_come_less_often_than_they_are_told_to_move_nobody(reads_each_s: int) -> None:
    often, seldom = boards = [
        HungrySite(
            (circuit("board", 125),),
            ("board",) * 6,
            base_a={"board": 60.0},
            reads_each_s=reads_each_s,
        )
        for reads_each_s in (10, reads_each_s)
    ]
    for site in boards:
        for number in (1, 2, 3):
            site.plug_in(number)
        site.run(15 * MINUTE_S)
    before = seldom.changes.copy()

    seldom.run(30 * MINUTE_S)

    assert (seldom.changes - before).total() <= 3
    assert sum(seldom.limits_a().values()) > 0.9 * sum(often.limits_a().values())


def test_a_connection_that_comes_and_goes_moves_the_others_a_few_times_and_no_more() -> None:
    site = HungrySite((circuit("board", 125),), ("board",) * 6, base_a={"board": 20.0})
    for number in range(1, 7):
        site.plug_in(number, phases=(EVERY_PHASE[number % 3],))
    site.run(8 * MINUTE_S)
    site.comes_and_goes(1, times=3)
    before = site.changes.copy()

    site.comes_and_goes(1, times=8)

    assert sum((site.changes - before).values()) <= 24
    assert not any(site.pauses.values())


def test_a_connection_that_lasts_is_believed_again() -> None:
    site = HungrySite((circuit("board", 125),), ("board",) * 6, base_a={"board": 20.0})
    for number in range(1, 7):
        site.plug_in(number, phases=(EVERY_PHASE[number % 3],))
    site.run(8 * MINUTE_S)
    before = site.limits_a()
    site.comes_and_goes(1, times=3)
    assert site.limits_a() != before

    site.run(15 * MINUTE_S)

    assert site.limits_a() == before
