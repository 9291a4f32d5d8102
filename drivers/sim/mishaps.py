"""What goes wrong in a scenario: faults of every kind, as they come, that some law can be safe through."""

from random import Random

from drivers.sim.faults import METER_FAULTS, Fault, FaultKind
from drivers.sim.scenario import BaseTraits
from gateway.domain.circuits import ChargingStation, Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId

HOUR_S = 3_600.0

# The faults of `ScenarioKind.FAULTS` that have a length: the shortest and the longest, seconds.
LENGTHS_S = {
    FaultKind.METER_LOST: (15.0, 300.0),
    FaultKind.METER_FROZEN: (30.0, 300.0),
    FaultKind.METER_NAN: (10.0, 120.0),
    FaultKind.STATION_LOST: (30.0, 600.0),
    FaultKind.STATION_DISOBEDIENT: (60.0, 600.0),
    FaultKind.STATION_RUNAWAY: (60.0, 300.0),
    FaultKind.STATION_LYING: (120.0, 1_200.0),
    FaultKind.STATION_METER_FROZEN: (120.0, 900.0),
    FaultKind.STATION_SILENT: (300.0, 1_800.0),
    FaultKind.STATION_LATE: (120.0, 600.0),
    FaultKind.STATION_REJECTS: (60.0, 300.0),
    FaultKind.STATION_REBOOT: (60.0, 60.0),
    FaultKind.STATION_CLOCK_JUMP: (1.0, 1.0),
    FaultKind.WALL_CLOCK_JUMP: (1.0, 1.0),
    FaultKind.GATEWAY_KILL: (5.0, 90.0),
    FaultKind.BASE_STEP: (60.0, 300.0),
}
FAULTS_PER_HOUR = 9.0
BORNE_RATIO = 1.06  # Of the rating: less than half of the fastest device's thermal budget.

_ROGUES = frozenset({FaultKind.STATION_DISOBEDIENT, FaultKind.STATION_RUNAWAY})


def faults_of(
    site: Site,
    base: tuple[BaseTraits, ...],
    reserve_a: dict[CircuitId, float],
    duration_s: float,
    rng: Random,
) -> tuple[Fault, ...]:
    """Return faults of every kind, overlapping as they come."""
    count = max(1, round(FAULTS_PER_HOUR * duration_s / HOUR_S))
    faults: list[Fault] = []
    impossible: set[FaultKind] = set()
    if not any(_may_run_away(site, station, reserve_a) for station in site.stations):
        impossible.add(FaultKind.STATION_RUNAWAY)
    if not _circuits_with_room(base, reserve_a):
        impossible.add(FaultKind.BASE_STEP)
    if not site.meters:
        impossible |= METER_FAULTS
    bag: list[FaultKind] = []
    for _ in range(count):
        if not bag:
            bag = [kind for kind in LENGTHS_S if kind not in impossible]
            rng.shuffle(bag)
        kind = bag.pop()
        subject, value = _target(kind, site, base, reserve_a, rng)
        for _attempt in range(50):
            at_s = rng.uniform(300.0, max(301.0, duration_s - 300.0))
            fault = Fault(
                kind=kind,
                at_s=at_s,
                until_s=at_s + rng.uniform(*LENGTHS_S[kind]),
                subject=subject,
                value=value,
            )
            if all(_may_both_be(fault, other) for other in faults):
                faults.append(fault)
                break
    return tuple(sorted(faults, key=lambda f: (f.at_s, f.kind)))


def _may_both_be(one: Fault, other: Fault) -> bool:
    """Return whether some law can keep the building safe through both.

    One death of the gateway at a time, with time enough to live between them; one station that
    does not obey at a time; and no leap of a station at the moment at which the base leaps.
    """
    kinds = {one.kind, other.kind}
    if kinds == {FaultKind.GATEWAY_KILL}:
        return not _overlap(one, other, gap_s=600.0)
    if kinds <= _ROGUES:
        return not _overlap(one, other, gap_s=120.0)
    if kinds == {FaultKind.BASE_STEP, FaultKind.STATION_RUNAWAY}:
        return abs(one.at_s - other.at_s) > 60.0
    return True


def _overlap(one: Fault, other: Fault, *, gap_s: float) -> bool:
    return one.at_s < other.until_s + gap_s and other.at_s < one.until_s + gap_s


def _may_run_away(site: Site, station: ChargingStation, reserve_a: dict[CircuitId, float]) -> bool:
    """Return whether no device above trips at once when all of a station leaps to its maximum."""
    for circuit in site.circuits:
        for phase in Phase:
            leap_ma = sum(
                connector.max_ma - connector.fallback_ma
                for connector in station.connectors
                if phase in connector.phases and circuit.id in site.path_to_root(connector.circuit)
            )
            # From the set-point less the reserve to what is borne for some minutes.
            room_ma = (BORNE_RATIO - circuit.set_point_ratio) * circuit.rating_ma[phase]
            if leap_ma > room_ma + 1_000 * reserve_a[circuit.id]:
                return False
    return True


def _circuits_with_room(
    base: tuple[BaseTraits, ...], reserve_a: dict[CircuitId, float]
) -> list[CircuitId]:
    """Return the circuits whose base may step beyond the reserve."""
    return [b.circuit for b in base if b.ceiling_a - b.floor_a > reserve_a[b.circuit]]


def _target(
    kind: FaultKind,
    site: Site,
    base: tuple[BaseTraits, ...],
    reserve_a: dict[CircuitId, float],
    rng: Random,
) -> tuple[str, float]:
    """Return what a fault happens to, and how much of it."""
    if kind.value.startswith("meter_"):
        return rng.choice(site.meters).id, 0.0
    if kind is FaultKind.BASE_STEP:
        circuit = rng.choice(_circuits_with_room(base, reserve_a))
        return circuit, reserve_a[circuit] * rng.choice((0.5, 0.9, 1.3))
    stations = site.stations
    if kind is FaultKind.STATION_RUNAWAY:
        stations = tuple(s for s in stations if _may_run_away(site, s, reserve_a))
    station = rng.choice(stations).id
    match kind:
        case FaultKind.STATION_LYING:
            return station, rng.choice((0.0, 0.5, 0.8, 1.3, 2.0))
        case FaultKind.STATION_CLOCK_JUMP:
            return station, rng.choice((-3_600.0, -90.0, -20.0, 30.0, 120.0, 3_600.0))
        case FaultKind.WALL_CLOCK_JUMP:
            return "", rng.choice((-3_600.0, -5.0, 5.0, 3_600.0))
        case FaultKind.GATEWAY_KILL:
            return "", 0.0
        case _:
            return station, 0.0
