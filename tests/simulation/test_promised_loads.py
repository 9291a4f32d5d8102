"""Days of loads that were promised room: it is there when they come, and what was said of it is true."""

from functools import cache

import pytest

from tests.simulation.harness import HARM
from tests.simulation.loads import LoadDay, lived, promised_loads

SEEDS = (1, 3, 5)
SLACK_A = 2.5
"""A promise lacks from 1 A on, and base is read with the tolerances of vehicles in it."""


def told_wrongly(day: LoadDay) -> set[str]:
    """Return the draws said to be broken that had their room, and those that lacked it unsaid."""
    promised, lacked_a = day.run.promised, day.lacked_a
    needless = {name for name in promised.broken if lacked_a[name] < -SLACK_A}
    lacking = {name for name, amps in lacked_a.items() if amps > SLACK_A}
    return needless | (lacking - set(promised.broken) - set(promised.unknown))


@cache
def day(seed: int) -> LoadDay:
    return lived(*promised_loads(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_load_that_takes_what_it_was_promised_does_no_harm(seed: int) -> None:
    run, report = day(seed).run, day(seed).report

    assert [told for told in report.violations if told.what in HARM] == []
    assert (run.unsound, run.unexplained) == ([], [])
    assert [circuit.over_rating_s for circuit in report.circuits] == [0.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_a_draw_is_what_it_had(seed: int) -> None:
    assert told_wrongly(day(seed)) == set()


def test_some_of_these_days_have_room_for_all_and_some_have_not() -> None:
    lacked_a = [max(day(seed).lacked_a.values()) for seed in SEEDS]

    assert min(lacked_a) < -SLACK_A
    assert max(lacked_a) > SLACK_A
