"""Stations and vehicles that draw steadily more than they are told do not starve the others."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.sim.report import Report
from drivers.sim.scenario import Scenario
from gateway.control.parameters import ControlParameters
from tests.simulation.harness import Run
from tests.simulation.stories import seed

UNTIL_S = 5_400.0
A_QUARTER = 4  # One station in so many.
MOST_OF_IT = 0.85  # Single days differ by a tenth, either way.


def one_in_four_gives_more(day: Scenario) -> Scenario:
    """Return the day with stations that let 2.5 A more flow than they are told."""
    stations = (
        station if at % A_QUARTER else replace(station, offset_a=2.5)
        for at, station in enumerate(day.stations)
    )
    return replace(day, stations=tuple(stations))


def one_in_four_has_a_high_minimum(day: Scenario) -> Scenario:
    """Return the day with vehicles that draw no less than 8 A."""
    odd = {station.station for station in day.stations[::A_QUARTER]}
    visits = (
        replace(visit, vehicle=replace(visit.vehicle, least_a=8.0))
        if visit.connector.station in odd
        else visit
        for visit in day.visits
    )
    return replace(day, visits=tuple(visits))


def run_of(day: Scenario, parameters: ControlParameters | None = None) -> tuple[Run, Report]:
    """Return the run of a day at its end, and what the plant says of it."""
    run = Run.of(day, parameters)
    return run, run.to_end(UNTIL_S)


@pytest.mark.parametrize("odd", [one_in_four_gives_more, one_in_four_has_a_high_minimum])
def test_others_have_what_they_would_have_without_them(odd: Callable[[Scenario], Scenario]) -> None:
    day = seed("harsh", 1, until_s=UNTIL_S)()

    _, usual = run_of(day)
    run, with_them = run_of(odd(day))

    assert with_them.violations == usual.violations == ()
    assert (run.unsound, run.stuck.told, run.unexplained) == ([], [], [])
    assert usual.energy_vs_omniscient is not None
    assert with_them.energy_vs_omniscient is not None
    assert with_them.energy_vs_omniscient > MOST_OF_IT * usual.energy_vs_omniscient


def test_they_do_where_what_settles_above_its_limit_is_never_learnt() -> None:
    day = one_in_four_gives_more(seed("harsh", 1, until_s=UNTIL_S)())

    _, starved = run_of(day, ControlParameters(excess_most_ma=0))
    _, fed = run_of(day)

    assert starved.energy_vs_omniscient is not None
    assert fed.energy_vs_omniscient is not None
    assert starved.energy_vs_omniscient < 0.6 * fed.energy_vs_omniscient
