"""Days the like of which no seed of a kind makes: more is drawn than told, at other voltages."""

from dataclasses import replace
from random import Random

from drivers.sim.scenario import Scenario

A_STATION, A_VEHICLE = 4, 5  # One in so many is odd.
MORE_A = (1.0, 3.5)  # What is learnt, and counted, is up to 4 A (ADR 0037); a reading is 1 % off.
LEAST_A = (7.0, 9.5)
VOLTAGE_V = (209.0, 250.0)  # EN 50160: 207 to 253 V, from which a meter is 1 % off.
LOW_V, LOW_RATIO = (209.0, 224.0), 0.5


def odd(day: Scenario, seed: int) -> Scenario:
    """Return a day made odd, as a seed has it.

    One station in four gives more than it is told, and one vehicle in five draws no less than 7 A or
    so. Stations that tell nothing give what they are told: with more their cuts would look like
    somebody else's fall (`gateway.control.bites`), and nobody could be served beside them.
    """
    rng = Random(f"odd/{day.kind}/{seed}")
    first = rng.randrange(A_STATION)
    stations = tuple(
        replace(station, offset_a=rng.uniform(*MORE_A))
        if at % A_STATION == first and station.sends_meter_values
        else station
        for at, station in enumerate(day.stations)
    )
    visits = tuple(
        replace(visit, vehicle=replace(visit.vehicle, least_a=rng.uniform(*LEAST_A)))
        if rng.random() < 1.0 / A_VEHICLE
        else visit
        for visit in day.visits
    )
    voltages_v = LOW_V if rng.random() < LOW_RATIO else VOLTAGE_V
    l1_v, l2_v, l3_v = (rng.uniform(*voltages_v) for _ in range(3))
    return replace(day, voltage_v=(l1_v, l2_v, l3_v), stations=stations, visits=visits)
