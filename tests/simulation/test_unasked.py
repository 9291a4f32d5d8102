"""Room is made in time for what a vehicle may draw at a station that was never seen to obey."""

from collections.abc import Callable

import pytest

from drivers.sim.scenario import Scenario
from tests.simulation.harness import HARM, Run
from tests.simulation.unasked import all_at_once, one_among_many, unasked_start

SPENT_RATIO = 0.15
OVER_FOR_S = 10.0  # The last of those cut follow after the vehicle has begun.
SEEDS = range(10)


def told_against(scenario: Scenario) -> list[str]:
    """Return what is said against a board; and that it grows hot, though no base ever rose."""
    run = Run.of(scenario)
    report = run.to_end(scenario.duration_s)
    (board,) = report.circuits
    is_hot = board.thermal_budget_peak > SPENT_RATIO or board.over_rating_s > OVER_FOR_S
    return [
        *(f"{v.at_s:.0f} s: {v.what}: {v.detail}" for v in report.violations if v.what in HARM),
        *run.unsound,
        *run.unexplained,
        *([f"{board.thermal_budget_peak:.2f} spent, {board.over_rating_s:.1f} s over"] * is_hot),
    ]


@pytest.mark.parametrize("drawn", [unasked_start, all_at_once, one_among_many])
@pytest.mark.parametrize("number", SEEDS)
def test_room_is_made_in_time(drawn: Callable[[int], Scenario], number: int) -> None:
    assert told_against(drawn(number)) == []
