"""Scenarios from a kind and a seed: who comes, what the building draws, what goes wrong."""

from dataclasses import replace
from random import Random

from drivers.sim.faults import Fault
from drivers.sim.mishaps import faults_of
from drivers.sim.scenario import (
    BaseTraits,
    Scenario,
    ScenarioKind,
    StationTraits,
    StepAt,
    VehicleTraits,
    Visit,
)
from drivers.sim.sites import ANNEX, CARPARK, SUPPLY, one_circuit, tree
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Connector, Site
from gateway.domain.ids import CircuitId, StationId

HOUR_S = 3_600.0
DAY_S = 86_400.0
DAY_BEGINS_S = 7 * HOUR_S
UNLEARNT_RESERVE_RATIO = 0.15  # Design §3: until seven days of base are known.

EVERY_PHASE = (1.0, 1.0, 1.0)
ONE_PHASE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def generate(
    kind: ScenarioKind,
    seed: int,
    *,
    duration_s: float = 6 * HOUR_S,
    site: Site | None = None,
) -> Scenario:
    """Return the scenario of a kind and a seed; the same arguments give the same one.

    Without a `site` it plays at one of `sites`; with one, its base loads follow from the worst
    cases the site declares.
    """
    rng = Random(f"{kind}/{seed}/{duration_s}")
    if site is None:
        site = tree() if kind is ScenarioKind.FAULTS else one_circuit()
        base = _base(kind)
        steps = _steps(kind, duration_s, rng)
    else:
        base = _declared_base(site)
        steps = ()
    reserve_a = {
        circuit.id: max(circuit.rating_ma) * UNLEARNT_RESERVE_RATIO / 1_000
        for circuit in site.circuits
    }
    stations = tuple(_station(station.id, rng) for station in site.stations)
    faults: tuple[Fault, ...] = ()
    if kind is ScenarioKind.FAULTS:
        stations = _with_odd_ones(stations, rng)
        faults = faults_of(site, base, reserve_a, duration_s, rng)
    return Scenario(
        kind=kind,
        seed=seed,
        duration_s=duration_s,
        site=site,
        stations=stations,
        visits=_visits(kind, site, duration_s, rng),
        base=base,
        steps=steps,
        faults=faults,
        reserve_a=tuple(reserve_a.items()),
        voltage_v=(rng.uniform(228, 238), rng.uniform(228, 238), rng.uniform(228, 238)),
        start_of_day_s=DAY_BEGINS_S,
    )


def _station(name: StationId, rng: Random) -> StationTraits:
    interval_s = rng.uniform(10.0, 30.0)
    return StationTraits(
        station=name,
        ocpp_version=rng.choice((OcppVersion.V16, OcppVersion.V201)),
        sample_interval_s=interval_s,
        sample_phase_s=rng.uniform(0.0, interval_s),
        meter_ratio=rng.uniform(0.99, 1.01),
        clock_skew_s=rng.uniform(-3.0, 3.0),
        boot_s=rng.uniform(20.0, 60.0),
        resumes_transaction=rng.random() < 0.5,
        offers_whole_amps=rng.random() < 0.25,
        keeps_tx_profiles=rng.random() < 0.2,
    )


def _with_odd_ones(stations: tuple[StationTraits, ...], rng: Random) -> tuple[StationTraits, ...]:
    """Make one station take watts only, one tell nothing, one have a clock that is off."""
    watts, mute, off = rng.sample(range(len(stations)), 3)
    return tuple(
        replace(
            traits,
            clock_skew_s=rng.choice((-45.0, 40.0, 3_600.0)) if i == off else traits.clock_skew_s,
            is_watts_only=i == watts,
            sends_meter_values=i != mute,
        )
        for i, traits in enumerate(stations)
    )


# Vehicles.


def _vehicle(connector: Connector, need_wh: float, rng: Random) -> VehicleTraits:
    phase_count = 3 if len(connector.phases) == 3 and rng.random() < 0.7 else 1
    max_a = rng.choice((16.0, 16.0, 32.0)) if phase_count == 3 else rng.choice((16.0, 32.0, 32.0))
    is_slow = rng.random() < 0.15  # Some vehicles begin after 10-40 s.
    return VehicleTraits(
        need_wh=need_wh,
        max_a=min(max_a, connector.max_ma / 1_000),
        phase_count=phase_count,
        taper_wh=min(rng.uniform(1_500.0, 6_000.0), 0.5 * need_wh),
        tail_a=rng.uniform(1.0, 3.0),
        startup_s=rng.uniform(12.5, 33.0) if is_slow else rng.uniform(5.0, 8.3),
        draw_ratio=rng.uniform(0.97, 1.0),
        ripple_a=rng.uniform(0.05, 0.3),
        draws_whole_amps=rng.random() < 0.15,
        sleeps_after_s=1_800.0 if rng.random() < 0.03 else None,
    )


def _visits(kind: ScenarioKind, site: Site, duration_s: float, rng: Random) -> tuple[Visit, ...]:
    visits: list[Visit] = []
    for connector in site.connectors:
        if kind is ScenarioKind.ORDINARY:
            visits += _office_visits(connector, duration_s, rng)
        elif kind is ScenarioKind.DEMO:
            visits.append(_early_visit(connector, duration_s, rng))
        else:
            is_hungry = kind is not ScenarioKind.LIGHTER
            visits += _busy_visits(connector, duration_s, rng, is_hungry=is_hungry)
    return tuple(sorted(visits, key=lambda v: (v.at_s, v.connector)))


def _early_visit(connector: Connector, duration_s: float, rng: Random) -> Visit:
    """Return a hungry car that is there within half a minute and stays."""
    vehicle = _vehicle(connector, rng.uniform(25_000.0, 60_000.0), rng)
    return Visit(
        connector=connector.ref,
        at_s=rng.uniform(2.0, 30.0),
        leave_s=duration_s + HOUR_S,
        vehicle=replace(vehicle, startup_s=min(vehicle.startup_s, 8.0), sleeps_after_s=None),
    )


def _busy_visits(
    connector: Connector, duration_s: float, rng: Random, *, is_hungry: bool
) -> list[Visit]:
    """Return one hungry car after another, with a few minutes between them."""
    visits: list[Visit] = []
    at_s = rng.uniform(5.0, 300.0)
    while at_s < duration_s - 300.0:
        leave_s = at_s + rng.uniform(0.75, 3.0) * HOUR_S
        need_wh = rng.uniform(25_000.0, 80_000.0) if is_hungry else rng.uniform(8_000.0, 45_000.0)
        visits.append(
            Visit(
                connector=connector.ref,
                at_s=at_s,
                leave_s=leave_s,
                vehicle=_vehicle(connector, need_wh, rng),
            )
        )
        at_s = leave_s + (rng.uniform(60.0, 360.0) if is_hungry else rng.uniform(120.0, 1_500.0))
    return visits


def _office_visits(connector: Connector, duration_s: float, rng: Random) -> list[Visit]:
    """Return the cars of an office: they come in the morning and leave in the afternoon."""
    visits: list[Visit] = []
    free_s = 0.0
    midnight_s = -DAY_BEGINS_S
    while midnight_s < duration_s:
        arrivals_s = [rng.gauss(8.5 * HOUR_S, 0.75 * HOUR_S)] if rng.random() < 0.9 else []
        for arrival_s in arrivals_s:
            at_s = midnight_s + min(11.0 * HOUR_S, max(7.02 * HOUR_S, arrival_s))
            leaves_s = min(19.0 * HOUR_S, max(14.0 * HOUR_S, rng.gauss(16.5 * HOUR_S, HOUR_S)))
            if free_s < at_s < duration_s - 300.0:
                visits.append(
                    Visit(
                        connector=connector.ref,
                        at_s=at_s,
                        leave_s=midnight_s + leaves_s,
                        vehicle=_vehicle(connector, rng.uniform(5_000.0, 30_000.0), rng),
                    )
                )
                free_s = midnight_s + leaves_s + 60.0
        midnight_s += DAY_S
    return visits


# The building.


def _declared_base(site: Site) -> tuple[BaseTraits, ...]:
    """Return a quiet base on each circuit, below what is declared as its worst case."""
    loads: list[BaseTraits] = []
    for circuit in site.circuits:
        below_ma = sum(
            max(child.worst_case_base_ma) for child in site.circuits if child.parent == circuit.id
        )
        own_a = max(0, max(circuit.worst_case_base_ma) - below_ma) / 1_000
        loads.append(
            _load(circuit.id, 0.3 * own_a, 0.4 * own_a, 0.0, 0.98 * own_a, noise_a=0.005 * own_a)
        )
    return tuple(loads)


def _base(kind: ScenarioKind) -> tuple[BaseTraits, ...]:
    match kind:
        case ScenarioKind.ORDINARY:
            return (_load(CARPARK, 18.0, 42.0, 15.0, 52.0, follows_office_day=True),)
        case ScenarioKind.LIGHTER | ScenarioKind.DEMO:
            return (_load(CARPARK, 20.0, 24.0, 15.0, 42.0),)
        case ScenarioKind.HARSH:
            return (_load(CARPARK, 20.0, 24.0, 15.0, 50.0),)
        case ScenarioKind.FAULTS:
            return (
                _load(SUPPLY, 25.0, 40.0, 15.0, 75.0),
                _load(CARPARK, 1.0, 3.0, 0.0, 5.0, noise_a=0.05),
                _load(ANNEX, 4.0, 8.0, 0.0, 20.0, noise_a=0.1),
            )


def _load(
    circuit: CircuitId,
    low_a: float,
    high_a: float,
    floor_a: float,
    ceiling_a: float,
    *,
    noise_a: float = 0.25,
    follows_office_day: bool = False,
) -> BaseTraits:
    return BaseTraits(
        circuit=circuit,
        low_a=low_a,
        high_a=high_a,
        noise_a=noise_a,
        floor_a=floor_a,
        ceiling_a=ceiling_a,
        follows_office_day=follows_office_day,
    )


def _steps(kind: ScenarioKind, duration_s: float, rng: Random) -> tuple[StepAt, ...]:
    match kind:
        case ScenarioKind.ORDINARY:
            return _appliances(CARPARK, duration_s, rng, largest_a=5.0)
        case ScenarioKind.LIGHTER:
            return _switchings(CARPARK, duration_s, rng, (5.0, 12.0), (-4.0, 17.0), gap_s=900.0)
        case ScenarioKind.HARSH:
            return _switchings(CARPARK, duration_s, rng, (10.0, 25.0), (-4.5, 25.5), gap_s=300.0)
        case ScenarioKind.FAULTS:
            return (
                *_switchings(SUPPLY, duration_s, rng, (6.0, 20.0), (-8.0, 30.0), gap_s=900.0),
                *_switchings(ANNEX, duration_s, rng, (2.0, 5.0), (-3.0, 8.0), gap_s=900.0),
            )
        case ScenarioKind.DEMO:
            return ()


def _switchings(
    circuit: CircuitId,
    duration_s: float,
    rng: Random,
    size_a: tuple[float, float],
    within_a: tuple[float, float],
    *,
    gap_s: float,
) -> tuple[StepAt, ...]:
    """Return steps up and down, at least a minute apart, whose sum stays `within_a`."""
    steps: list[StepAt] = []
    level_a = [0.0, 0.0, 0.0]
    at_s = rng.uniform(60.0, 600.0)
    while at_s < duration_s:
        on = EVERY_PHASE if rng.random() < 0.6 else rng.choice(ONE_PHASE)
        levels_a = [level for level, share in zip(level_a, on, strict=True) if share]
        rooms_a = {1.0: within_a[1] - max(levels_a), -1.0: min(levels_a) - within_a[0]}
        # Up and down are equally likely where both fit; what fits neither way is left out.
        ways = [way for way, room_a in rooms_a.items() if room_a >= size_a[0]]
        if ways:
            way = rng.choice(ways)
            step_a = way * rng.uniform(size_a[0], min(size_a[1], rooms_a[way]))
            one, two, three = (step_a * share for share in on)
            level_a = [level_a[0] + one, level_a[1] + two, level_a[2] + three]
            steps.append(StepAt(at_s=at_s, circuit=circuit, delta_a=(one, two, three)))
        at_s += 60.0 + rng.expovariate(1.0 / gap_s)
    return tuple(steps)


def _appliances(
    circuit: CircuitId, duration_s: float, rng: Random, *, largest_a: float
) -> tuple[StepAt, ...]:
    """Return what an office switches on and off: lifts, kettles, air handling."""
    uses = (
        # How often an hour, on which phases, how many amperes, for how long.
        (8.0, True, (0.6 * largest_a, largest_a), (15.0, 40.0)),  # A lift.
        (6.0, False, (0.6 * largest_a, largest_a), (120.0, 240.0)),  # A kettle.
        (2.0, True, (0.4 * largest_a, 0.8 * largest_a), (300.0, 900.0)),  # Air handling.
    )
    steps: list[StepAt] = []
    for per_hour, on_every, size_a, holds_s in uses:
        at_s = rng.expovariate(per_hour / HOUR_S)
        while at_s < duration_s:
            on = EVERY_PHASE if on_every else rng.choice(ONE_PHASE)
            step_a = rng.uniform(*size_a)
            until_s = at_s + rng.uniform(*holds_s)
            one, two, three = (step_a * share for share in on)
            steps.append(StepAt(at_s=at_s, circuit=circuit, delta_a=(one, two, three)))
            steps.append(StepAt(at_s=until_s, circuit=circuit, delta_a=(-one, -two, -three)))
            # One thing is not switched on twice.
            at_s = until_s + rng.expovariate(per_hour / HOUR_S)
    return tuple(sorted(steps, key=lambda s: s.at_s))
