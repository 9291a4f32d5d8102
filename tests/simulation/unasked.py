"""Vehicles at stations never seen to obey: one that draws unasked, many that do not, one among many."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.scenario import Scenario, Visit
from drivers.sim.sites import one_circuit
from gateway.domain.circuits import ChargingStation
from tests.simulation.car_parks import full_car_park

COMES_FROM_S, COMES_BY_S = 480.0, 540.0  # By then others have all there is.
DURATION_S = 720.0
TAKES_A, TO_SPARE_A = 32.0, 3.0


def unasked_start(number: int) -> Scenario:
    """Return a board in full use, of any size, to which a vehicle comes that nobody can tell anything.

    Its station accepts all limits and gives 32 A, from the first second; it tells what it gives, or
    nothing. It alone, with base, is within the set-point: all that is needed is that others make room.
    """
    rng = Random(f"unasked/{number}")
    stations = one_circuit().stations[1 : 2 + rng.randint(1, 4)]
    rogue, rating_a = stations[-1].id, rng.choice((40, 50, 63, 80, 100))
    park = _board(rng, stations, rating_a=rating_a, most_a=TAKES_A)
    comes_at_s, begins_after_s = rng.uniform(COMES_FROM_S, COMES_BY_S), rng.uniform(5.0, 11.0)
    is_silent = rng.random() < 0.25
    visits = [
        replace(
            visit,
            at_s=comes_at_s,
            vehicle=replace(visit.vehicle, phase_count=3, startup_s=begins_after_s),
        )
        if visit.connector.station == rogue
        else visit
        for visit in park.visits
    ]
    return replace(
        park,
        visits=_in_order(visits),
        stations=tuple(
            replace(traits, sends_meter_values=not (is_silent and traits.station == rogue))
            for traits in park.stations
        ),
        faults=(
            Fault(kind=FaultKind.STATION_RUNAWAY, at_s=1.0, until_s=DURATION_S, subject=rogue),
        ),
    )


def all_at_once(number: int) -> Scenario:
    """Return a small board on which vehicles stand at every connector after a power cut.

    Their stations obey, and nobody knows yet: they tell what they give each half minute. Not even
    the minimum of all of them fits.
    """
    rng = Random(f"at once/{number}")
    park = _board(rng, one_circuit().stations, rating_a=rng.choice((40, 50)), most_a=6.0)
    gap_s = rng.choice((0.0, 0.0, 1.0, 5.0))
    visits = [
        replace(
            visit,
            at_s=10.0 + gap_s * count,
            vehicle=replace(visit.vehicle, phase_count=3, startup_s=5.0),
        )
        for count, visit in enumerate(park.visits)
    ]
    return replace(
        park,
        visits=_in_order(visits),
        stations=tuple(replace(traits, sample_interval_s=30.0) for traits in park.stations),
    )


def one_among_many(number: int) -> Scenario:
    """Return a small board on which a vehicle draws all it can, and others come to stations that obey.

    Nobody knows yet which of the stations do: as when they come back after a power cut.
    """
    rng = Random(f"one among many/{number}")
    rating_a = rng.choice((40, 50))
    park = _board(rng, one_circuit().stations, rating_a=rating_a, most_a=TAKES_A)
    first, *others = park.visits
    rogue = first.connector.station
    others = [visit for visit in others if visit.connector.station != rogue]
    comes_at_s, gap_s = rng.choice((25.0, 30.0, 40.0)), rng.choice((3.0, 5.0, 8.0))
    visits = [
        replace(visit, at_s=comes_at_s + gap_s * count)
        for count, visit in enumerate(others[: rng.randint(3, 6)])
    ]
    is_silent, interval_s = rng.random() < 0.4, rng.choice((10.0, 30.0))
    return replace(
        park,
        visits=_in_order([first, *visits]),
        stations=tuple(
            replace(
                traits,
                sample_interval_s=interval_s,
                sends_meter_values=not (is_silent and traits.station == rogue),
            )
            for traits in park.stations
        ),
        faults=(
            Fault(kind=FaultKind.STATION_RUNAWAY, at_s=1.0, until_s=DURATION_S, subject=rogue),
        ),
    )


def _board(
    rng: Random, stations: Sequence[ChargingStation], *, rating_a: int, most_a: float
) -> Scenario:
    """Return a board with vehicles at these stations; base leaves room for `most_a` at the set-point."""
    site = one_circuit(worst_case_base_ma=20_000, fallback_ma=rng.choice((0, 6_000)))
    park, names = full_car_park(DURATION_S), {station.id for station in stations}
    (circuit,) = site.circuits
    spare_a = rating_a * circuit.set_point_ratio - most_a - TO_SPARE_A
    base_a = rng.uniform(2.5, min(spare_a, 0.4 * rating_a))
    return replace(
        park,
        site=replace(
            site,
            circuits=(replace(circuit, rating_ma=(rating_a * 1_000,) * 3),),
            stations=tuple(station for station in site.stations if station.id in names),
        ),
        stations=tuple(traits for traits in park.stations if traits.station in names),
        visits=tuple(visit for visit in park.visits if visit.connector.station in names),
        base=tuple(
            replace(load, low_a=base_a, high_a=base_a, floor_a=base_a - 2.0) for load in park.base
        ),
    )


def _in_order(visits: Sequence[Visit]) -> tuple[Visit, ...]:
    return tuple(sorted(visits, key=lambda visit: (visit.at_s, visit.connector)))
