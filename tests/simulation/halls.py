"""A hall of a hundred and twenty stations on one supply, and what goes wrong in an hour of it."""

from dataclasses import replace
from itertools import cycle
from random import Random

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import Scenario, ScenarioKind, StepAt
from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    Meter,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.ids import BusId, CircuitId, ConnectorRef, MeterId, StationId

BAY_COUNT, STATIONS_A_BAY = 10, 12
SUPPLY = CircuitId("supply")
L1, L2, L3 = Phase.L1, Phase.L2, Phase.L3
WIRINGS = ((L1, L2, L3), (L2, L3, L1), (L3, L1, L2), (L1,), (L2,), (L3,))
FALLBACK_MA = 6_000
ROGUES_FROM_S = 900.0  # By then every station has been proven.
ROGUE_EVERY_S = 180.0
ROGUE_S = 60.0


def hall() -> Site:
    """Return ten bays of twelve connectors, each on 125 A, under a supply of 800 A."""
    bays = [CircuitId(f"bay-{number:02}") for number in range(1, BAY_COUNT + 1)]
    circuits = (
        _circuit(SUPPLY, None, 800_000, OvercurrentDevice.MCCB, 120_000),
        *(_circuit(bay, SUPPLY, 125_000, OvercurrentDevice.MCB, 8_000) for bay in bays),
    )
    stations: list[ChargingStation] = []
    wirings = cycle(WIRINGS)
    for bay in bays:
        for _ in range(STATIONS_A_BAY):
            name = StationId(f"CP-{len(stations) + 1:03}")
            connector = Connector(
                ref=ConnectorRef(name, 1),
                circuit=bay,
                phases=next(wirings),
                max_ma=32_000,
                fallback_ma=FALLBACK_MA,
            )
            stations.append(ChargingStation(id=name, connectors=(connector,)))
    return Site(
        name="Hall",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=circuits,
        meters=tuple(_meter(circuit) for circuit in (SUPPLY, *bays)),
        stations=tuple(stations),
    )


def busy_hall(seed: int, *, duration_s: float = 3_600.0) -> Scenario:
    """Return a scenario in which every connector has a hungry vehicle, and some station obeys not.

    One after another keeps to an old limit, or leaps to its maximum. Every circuit's base steps up
    and down inside its reserve.
    """
    site = hall()
    drawn = generate(ScenarioKind.DEMO, seed, duration_s=duration_s, site=site)
    rng = Random(f"hall/{seed}")
    faults: list[Fault] = []
    steps: list[StepAt] = []
    at_s = ROGUES_FROM_S
    for kind in cycle((FaultKind.STATION_DISOBEDIENT, FaultKind.STATION_RUNAWAY)):
        if at_s + ROGUE_S > duration_s:
            break
        rogue = rng.choice(site.stations).id
        faults.append(Fault(kind=kind, at_s=at_s, until_s=at_s + ROGUE_S, subject=rogue))
        at_s += ROGUE_EVERY_S
    for circuit in site.circuits:
        step_a = max(circuit.worst_case_base_ma) / 2_000
        at_s = rng.uniform(400.0, 700.0)
        while at_s < duration_s:
            for delta_a in (step_a, -step_a):
                steps.append(
                    StepAt(at_s=at_s, circuit=circuit.id, delta_a=(delta_a, delta_a, delta_a))
                )
                at_s += rng.uniform(120.0, 400.0)
    return replace(
        drawn, faults=tuple(faults), steps=tuple(sorted(steps, key=lambda step: step.at_s))
    )


def _circuit(
    name: CircuitId,
    parent: CircuitId | None,
    rating_ma: int,
    device: OvercurrentDevice,
    worst_case_base_ma: int,
) -> Circuit:
    return Circuit(
        id=name,
        parent=parent,
        rating_ma=(rating_ma, rating_ma, rating_ma),
        device=device,
        set_point_ratio=SET_POINT_RATIO[device],
        curve=FASTEST_CURVE[device],
        meter=MeterId(f"{name}-meter"),
        worst_case_base_ma=(worst_case_base_ma, worst_case_base_ma, worst_case_base_ma),
    )


def _meter(circuit: CircuitId) -> Meter:
    return Meter(
        id=MeterId(f"{circuit}-meter"), bus=BusId("memory"), unit=1, profile="eastron_sdm630_v2"
    )
