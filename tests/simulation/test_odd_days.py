"""A day with faults at a low voltage, where some draw more than they are told: no harm is done."""

from dataclasses import replace

from drivers.sim.scenario import Scenario
from tests.simulation.harness import Run
from tests.simulation.stories import seed

UNTIL_S = 5_400.0
LOW_V = (209.0, 216.0, 224.0)  # EN 50160 allows a tenth below 230 V: 207 V.


def odd_day() -> Scenario:
    """Return a day the like of which no seed makes: more is drawn than told, at a low voltage.

    Stations that tell nothing give what they are told: what they give beyond it is in the
    reserve, as all that such a vehicle may start, and is counted at no connector.
    """
    day = seed("faults", 1, until_s=UNTIL_S)()
    stations = (
        replace(station, offset_a=3.5) if at % 4 == 1 and station.sends_meter_values else station
        for at, station in enumerate(day.stations)
    )
    visits = (
        visit if at % 5 else replace(visit, vehicle=replace(visit.vehicle, least_a=8.0))
        for at, visit in enumerate(day.visits)
    )
    return replace(day, voltage_v=LOW_V, stations=tuple(stations), visits=tuple(visits))


def test_nothing_is_said_against_a_day_of_odd_ones() -> None:
    run = Run.of(odd_day())
    report = run.to_end(UNTIL_S)

    assert report.violations == ()
    assert (run.unsound, run.stuck.told, run.unexplained) == ([], [], [])
