"""How far scenarios are shifted is learnt from what came, at the same pace whatever a step is."""

import numpy as np
import pytest

from gateway.services.foresight import Foresight, Seen, Words
from gateway.services.learnt_offsets import LearntOffsets

ROW = 0
HOURS_A_DAY, QUARTERS_A_DAY = 24, 96


def said(from_step: int, planned_ma: int, *, steps_a_day: int, is_known: bool = True) -> Foresight:
    """Return a forecast of a day that says one load."""
    paths_ma: Words = np.full((1, steps_a_day + 1), planned_ma, np.int32)
    seen = Seen(
        paths_ma=paths_ma,
        planned_ma=paths_ma[0],
        is_known=np.full(steps_a_day + 1, is_known),
    )
    return Foresight(from_step=from_step, rows={ROW: seen})


def learnt(came_ma: list[float], *, steps_a_day: int) -> LearntOffsets:
    """Return what is learnt where 10 A were said of each step, two days before the first on."""
    offsets = LearntOffsets({ROW: 0.0}, steps_a_day=steps_a_day)
    for step in range(-2 * steps_a_day, len(came_ma)):
        if step > 0:
            offsets.learn(step - 1, {ROW: came_ma[step - 1]})
        offsets.say(said(step, 10_000, steps_a_day=steps_a_day))
    return offsets


def test_a_day_teaches_as_much_by_quarters_of_an_hour_as_by_hours() -> None:
    chance = np.random.default_rng(3)
    hours_ma = chance.uniform(5_000, 12_000, HOURS_A_DAY).tolist()
    quarters_ma = [value_ma for value_ma in hours_ma for _ in range(4)]
    by_hours = learnt([*hours_ma, 0.0], steps_a_day=HOURS_A_DAY).of_rows[ROW]
    by_quarters = learnt([*quarters_ma, 0.0], steps_a_day=QUARTERS_A_DAY).of_rows[ROW]

    assert by_hours == pytest.approx(by_quarters)
    assert by_hours != 0.0


def test_one_bad_evening_moves_scenarios_by_less_than_a_third_of_their_width() -> None:
    evening_ma = [11_000.0] * 6
    assert 0.2 < learnt([*evening_ma, 0.0], steps_a_day=HOURS_A_DAY).of_rows[ROW] < 0.33


def test_what_was_said_first_of_a_step_is_what_is_compared() -> None:
    offsets = LearntOffsets({ROW: 0.0}, steps_a_day=HOURS_A_DAY)
    offsets.say(said(0, 10_000, steps_a_day=HOURS_A_DAY))
    offsets.say(said(0, 20_000, steps_a_day=HOURS_A_DAY))
    offsets.learn(2, {ROW: 15_000.0})

    assert offsets.of_rows[ROW] > 0.0


def test_a_row_of_which_nothing_came_learns_nothing() -> None:
    offsets = LearntOffsets({ROW: 0.25}, steps_a_day=HOURS_A_DAY)
    offsets.say(said(0, 10_000, steps_a_day=HOURS_A_DAY))
    offsets.learn(2, {})

    assert offsets.of_rows == {ROW: 0.25}


def test_where_the_worst_case_stood_for_what_was_never_measured_nothing_is_learnt() -> None:
    offsets = LearntOffsets({ROW: 0.25}, steps_a_day=HOURS_A_DAY)
    offsets.say(said(0, 90_000, steps_a_day=HOURS_A_DAY, is_known=False))
    offsets.learn(2, {ROW: 15_000.0})

    assert offsets.of_rows == {ROW: 0.25}
