"""Days of loads that were promised room: it is there when they come, and what was said of it is true."""

from dataclasses import dataclass
from functools import cache

import pytest

from drivers.sim.report import Report
from gateway.services.promised_room import SHORT_FOR_S
from tests.simulation.harness import HARM, Run
from tests.simulation.loads import Use, promised_loads

SEEDS = (1, 3, 5)
SLACK_A = 2.5
"""A promise lacks from 1 A on, and base is read with the tolerances of vehicles in it."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day as it was, with what each draw truly lacked for a minute on end."""

    run: Run
    report: Report
    lacked_a: dict[str, float]


@cache
def day(seed: int) -> Day:
    """Run a seed, and look each second what a load would lack that had not come yet."""
    scenario, uses = promised_loads(seed)
    run, set_point_a = Run.of(scenario), 0.95 * 100.0
    over_a = list[float]()
    while run.plant.now_s < scenario.duration_s:
        run.step(run.plant.now_s + run.parameters.period_s)
        now_s = run.plant.now_s
        promised_a = sum(d.current_a for d in scenario.draws if d.at_s <= now_s < d.until_s)
        over_a.append(
            max(
                base_a - _flows_a(uses, now_s) + promised_a + vehicles_a - set_point_a
                for base_a, vehicles_a in run.plant.true_currents_a()
            )
        )
    minute_s = int(SHORT_FOR_S)
    lacked_a = {}
    for at, draw in enumerate(scenario.draws):
        in_time_a = over_a[int(draw.at_s) : int(draw.until_s)]
        minutes = (in_time_a[s : s + minute_s] for s in range(len(in_time_a) - minute_s + 1))
        lacked_a[f"draw-{at}"] = max((min(minute) for minute in minutes), default=-set_point_a)
    return Day(run, run.plant.report(), lacked_a)


def _flows_a(uses: tuple[Use, ...], now_s: float) -> float:
    return sum(use.current_a for use in uses if use.from_s <= now_s < use.until_s)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_load_that_takes_what_it_was_promised_does_no_harm(seed: int) -> None:
    run, report = day(seed).run, day(seed).report

    assert [told for told in report.violations if told.what in HARM] == []
    assert (run.unsound, run.unexplained) == ([], [])
    assert [circuit.over_rating_s for circuit in report.circuits] == [0.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_a_draw_is_what_it_had(seed: int) -> None:
    promised, lacked_a = day(seed).run.promised, day(seed).lacked_a

    assert {name for name in promised.broken if lacked_a[name] < -SLACK_A} == set()
    lacking = {name for name, amps in lacked_a.items() if amps > SLACK_A}
    assert lacking - set(promised.broken) - set(promised.unknown) == set()


def test_some_of_these_days_have_room_for_all_and_some_have_not() -> None:
    lacked_a = [max(day(seed).lacked_a.values()) for seed in SEEDS]

    assert min(lacked_a) < -SLACK_A
    assert max(lacked_a) > SLACK_A
