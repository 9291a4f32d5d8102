"""Days on which some draw more than they are told: no harm is done, and no claim is too low for long."""

from dataclasses import replace

from drivers.sim.scenario import Scenario
from tests.simulation.harness import Run
from tests.simulation.odd import odd
from tests.simulation.stories import seed

ODD_S, MUTE_S = 5_400.0, 3_600.0


def assert_that_nothing_is_said_against(day: Scenario) -> None:
    run = Run.of(day)
    report = run.to_end(day.duration_s)

    assert report.violations == ()
    assert (run.unsound, run.stuck.told, run.unexplained) == ([], [], [])


def test_nothing_is_said_against_a_day_of_odd_ones_with_faults() -> None:
    assert_that_nothing_is_said_against(odd(seed("faults", 100, until_s=ODD_S)(), 100))


def test_what_nobody_tells_is_base_once_it_flows() -> None:
    """Every vehicle draws 8 A at least, where 6 A is told too, and no station tells what is drawn."""
    day = seed("harsh", 1, until_s=MUTE_S)()
    assert_that_nothing_is_said_against(
        replace(
            day,
            stations=tuple(replace(station, sends_meter_values=False) for station in day.stations),
            visits=tuple(
                replace(visit, vehicle=replace(visit.vehicle, least_a=8.0)) for visit in day.visits
            ),
        )
    )
