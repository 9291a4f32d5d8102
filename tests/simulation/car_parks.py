"""A car park in full use, and what may be otherwise about it and happen in it: what stories are made of."""

from dataclasses import replace

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import Happening, LimitAt, Scenario, ScenarioKind, StepAt, Visit
from drivers.sim.sites import CARPARK, one_circuit
from gateway.domain.circuits import Site
from gateway.domain.ids import StationId
from tests.simulation.acts import Act, all_is_shared

LONGEST_S = 1_800.0  # No story takes as long.


def _busy_car_park(duration_s: float) -> Scenario:
    return replace(generate(ScenarioKind.HARSH, 1, duration_s=duration_s), steps=())


def full_car_park(duration_s: float = LONGEST_S) -> Scenario:
    """Return a car park in which everybody is there from the start and takes all it is given."""
    park = _busy_car_park(duration_s)
    first = {visit.connector: visit for visit in reversed(park.visits)}
    visits = (replace(visit, at_s=10.0, leave_s=duration_s + 200.0) for visit in first.values())
    park = replace(
        park,
        visits=tuple(visits),
        stations=tuple(replace(station, offers_whole_amps=False) for station in park.stations),
        base=tuple(replace(load, noise_a=0.05) for load in park.base),
    )
    return with_vehicles(
        park,
        need_wh=80_000.0,
        taper_wh=1.0,
        max_a=32.0,
        draw_ratio=1.0,
        ripple_a=0.0,
        draws_whole_amps=False,
    )


def with_vehicles(park: Scenario, **traits: float) -> Scenario:
    """Return a car park to which such vehicles come."""
    return replace(park, visits=tuple(of_such(visit, **traits) for visit in park.visits))


def of_such(visit: Visit, **traits: float) -> Visit:
    return replace(visit, vehicle=replace(visit.vehicle, **traits))  # type: ignore[arg-type]


def with_base(park: Scenario, **traits: float) -> Scenario:
    base = (replace(load, **traits) for load in park.base)  # type: ignore[arg-type]
    return replace(park, base=tuple(base))


def with_circuit(park: Scenario, **declared: object) -> Scenario:
    (circuit,) = park.site.circuits
    changed = replace(circuit, **declared)  # type: ignore[arg-type]
    return replace(park, site=replace(park.site, circuits=(changed,)))


def reduced_to(names: set[StationId], park: Scenario, site: Site) -> Scenario:
    """Return a car park that is at a site of which it has these stations alone."""
    return replace(
        park,
        site=replace(site, stations=tuple(s for s in site.stations if s.id in names)),
        stations=tuple(traits for traits in park.stations if traits.station in names),
        visits=tuple(visit for visit in park.visits if visit.connector.station in names),
    )


def once_shared(*happenings: Happening, lasts_s: float) -> Act:
    """Return what happens once all is shared."""
    return Act(when=all_is_shared, then=happenings, lasts_s=lasts_s)


def step_of_base(at_s: float, amps: float) -> StepAt:
    return StepAt(at_s=at_s, circuit=CARPARK, delta_a=(amps, amps, amps))


def limited_to(amps: float) -> LimitAt:
    return LimitAt(at_s=0.0, circuit=CARPARK, limit_a=amps)


def climb_of_base(from_s: float, amps: float) -> tuple[StepAt, ...]:
    """Return three steps of base in a minute, each of which vehicles can make room for."""
    return tuple(step_of_base(from_s + 30.0 * at, amps / 3) for at in range(3))


def fault_of(
    kind: FaultKind, subject: str, at_s: float, until_s: float, value: float = 0.0
) -> Fault:
    return Fault(kind=kind, at_s=at_s, until_s=until_s, subject=subject, value=value)


def of_all_stations(kind: FaultKind, at_s: float, until_s: float) -> tuple[Fault, ...]:
    return tuple(fault_of(kind, station.id, at_s, until_s) for station in one_circuit().stations)


def gateway_killed(at_s: float, until_s: float) -> Fault:
    return fault_of(FaultKind.GATEWAY_KILL, "", at_s, until_s)
