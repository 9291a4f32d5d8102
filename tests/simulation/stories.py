"""Seeds, and stories made of one, that show what a safety rule is for."""

from collections.abc import Callable
from dataclasses import replace

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import Scenario, ScenarioKind, StepAt

BUSY_S = 500.0  # By then a fresh site has proven its stations and shares all it has.


def seed(kind: str, number: int, *, until_s: float) -> Callable[[], Scenario]:
    """Return what makes the first part of the two-hour scenario of a kind and a seed."""

    def scenario() -> Scenario:
        whole = generate(ScenarioKind(kind), number, duration_s=7_200.0)
        return replace(whole, duration_s=until_s)

    return scenario


def _busy_car_park(duration_s: float) -> Scenario:
    return replace(generate(ScenarioKind.HARSH, 1, duration_s=duration_s), steps=())


def _step_behind(fault: FaultKind) -> Scenario:
    park = _busy_car_park(700.0)
    step = StepAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, delta_a=(22.0, 22.0, 22.0))
    blind = Fault(kind=fault, at_s=480.0, until_s=700.0, subject=park.site.meters[0].id)
    return replace(park, steps=(step,), faults=(blind,))


def step_behind_a_lost_meter() -> Scenario:
    """Return a car park whose base steps up while its meter is lost."""
    return _step_behind(FaultKind.METER_LOST)


def step_behind_a_frozen_meter() -> Scenario:
    """Return a car park whose base steps up while its meter repeats itself."""
    return _step_behind(FaultKind.METER_FROZEN)


def step_beyond_reserve() -> Scenario:
    """Return a car park whose base steps up by more than the reserve."""
    park = _busy_car_park(700.0)
    step = StepAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, delta_a=(32.0, 32.0, 32.0))
    return replace(park, steps=(step,))


def slow_reports() -> Scenario:
    """Return a car park whose stations report every 30 s."""
    park = _busy_car_park(900.0)
    stations = tuple(replace(station, sample_interval_s=30.0) for station in park.stations)
    return replace(park, stations=stations)


def vehicles_that_stop_at_once() -> Scenario:
    """Return a car park whose two vehicles stop from full power, which is reported late."""
    park = replace(slow_reports(), duration_s=2_400.0)
    first = {visit.connector: visit for visit in reversed(park.visits)}
    visits = tuple(
        replace(
            visit,
            leave_s=2_400.0,
            vehicle=replace(
                visit.vehicle, need_wh=2_500.0, taper_wh=1.0, max_a=32.0, phase_count=1
            ),
        )
        for visit in list(first.values())[:2]
    )
    return replace(park, visits=visits)


def silent_station_whose_vehicle_stops() -> Scenario:
    """Return a car park of which every station falls silent before its vehicle stops.

    Long after, a small load on the same circuit comes on: the fall is history by then.
    """
    park = vehicles_that_stop_at_once()
    step = StepAt(at_s=1_800.0, circuit=park.site.circuits[0].id, delta_a=(4.0, 4.0, 4.0))
    silent = tuple(
        Fault(kind=FaultKind.STATION_SILENT, at_s=BUSY_S, until_s=2_400.0, subject=station.station)
        for station in park.stations
    )
    return replace(park, faults=silent, steps=(step,))


def step_just_over_the_rating() -> Scenario:
    """Return a car park whose base step carries it over its rating, and no further."""
    park = _busy_car_park(700.0)
    step = StepAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, delta_a=(20.0, 20.0, 20.0))
    return replace(park, steps=(step,))


def station_that_obeys_no_more() -> Scenario:
    """Return a car park of which two stations obey until it is busy, and then none."""
    park = _busy_car_park(900.0)
    rogues = tuple(
        Fault(kind=FaultKind.STATION_RUNAWAY, at_s=BUSY_S, until_s=900.0, subject=station.station)
        for station in park.stations[-2:]
    )
    return replace(park, faults=rogues)
