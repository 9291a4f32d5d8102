"""Scenarios from a kind and a seed: who comes, what the building draws, what goes wrong."""

from random import Random

from drivers.sim.faults import Fault, FaultKind
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


def generate(kind: ScenarioKind, seed: int, *, duration_s: float = 6 * HOUR_S) -> Scenario:
    """Return the scenario of a kind and a seed; the same three give the same one."""
    rng = Random(f"{kind}/{seed}/{duration_s}")
    site = tree() if kind is ScenarioKind.FAULTS else one_circuit()
    stations = tuple(_station(station.id, rng) for station in site.stations)
    faults: tuple[Fault, ...] = ()
    if kind is ScenarioKind.FAULTS:
        stations = _with_odd_ones(stations, rng)
        faults = _faults(site, duration_s, rng)
    return Scenario(
        kind=kind,
        seed=seed,
        duration_s=duration_s,
        site=site,
        stations=stations,
        visits=_visits(kind, site, duration_s, rng),
        base=_base(kind),
        steps=_steps(kind, duration_s, rng),
        faults=faults,
        reserve_a=tuple(
            (circuit.id, max(circuit.rating_ma) * UNLEARNT_RESERVE_RATIO / 1_000)
            for circuit in site.circuits
        ),
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
    )


def _with_odd_ones(stations: tuple[StationTraits, ...], rng: Random) -> tuple[StationTraits, ...]:
    """Make one station take watts only, one tell nothing, one have a clock that is off."""
    watts, mute, off = rng.sample(range(len(stations)), 3)
    return tuple(
        StationTraits(
            station=traits.station,
            ocpp_version=traits.ocpp_version,
            sample_interval_s=traits.sample_interval_s,
            sample_phase_s=traits.sample_phase_s,
            meter_ratio=traits.meter_ratio,
            clock_skew_s=rng.choice((-45.0, 40.0, 3_600.0)) if i == off else traits.clock_skew_s,
            boot_s=traits.boot_s,
            resumes_transaction=traits.resumes_transaction,
            offers_whole_amps=traits.offers_whole_amps,
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
        else:
            visits += _busy_visits(connector, duration_s, rng, is_harsh=kind is ScenarioKind.HARSH)
    return tuple(sorted(visits, key=lambda v: (v.at_s, v.connector)))


def _busy_visits(
    connector: Connector, duration_s: float, rng: Random, *, is_harsh: bool
) -> list[Visit]:
    """Return one hungry car after another, with a few minutes between them."""
    visits: list[Visit] = []
    at_s = rng.uniform(5.0, 300.0)
    while at_s < duration_s - 300.0:
        leave_s = at_s + rng.uniform(0.75, 3.0) * HOUR_S
        need_wh = rng.uniform(25_000.0, 80_000.0) if is_harsh else rng.uniform(8_000.0, 45_000.0)
        visits.append(
            Visit(
                connector=connector.ref,
                at_s=at_s,
                leave_s=leave_s,
                vehicle=_vehicle(connector, need_wh, rng),
            )
        )
        at_s = leave_s + (rng.uniform(60.0, 360.0) if is_harsh else rng.uniform(120.0, 1_500.0))
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


def _base(kind: ScenarioKind) -> tuple[BaseTraits, ...]:
    match kind:
        case ScenarioKind.ORDINARY:
            return (_load(CARPARK, 18.0, 42.0, 15.0, 52.0, follows_office_day=True),)
        case ScenarioKind.LIGHTER:
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
            return _switchings(CARPARK, duration_s, rng, (10.0, 25.0), (-4.5, 25.5), gap_s=480.0)
        case ScenarioKind.FAULTS:
            return (
                *_switchings(SUPPLY, duration_s, rng, (6.0, 20.0), (-8.0, 30.0), gap_s=900.0),
                *_switchings(ANNEX, duration_s, rng, (2.0, 5.0), (-3.0, 8.0), gap_s=900.0),
            )


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
        step_a = rng.uniform(*size_a)
        # Up and down are equally likely where both fit; one that fits nowhere is left out.
        ways = [step_a, -step_a]
        rng.shuffle(ways)
        for way_a in ways:
            after_a = [level + way_a * share for level, share in zip(level_a, on, strict=True)]
            if all(within_a[0] <= level <= within_a[1] for level in after_a):
                level_a = after_a
                one, two, three = (way_a * share for share in on)
                steps.append(StepAt(at_s=at_s, circuit=circuit, delta_a=(one, two, three)))
                break
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


# What goes wrong.


def _faults(site: Site, duration_s: float, rng: Random) -> tuple[Fault, ...]:
    """Return faults of every kind, the first of each as early as there is room for it."""
    kinds = list(LENGTHS_S)
    count = max(1, round(FAULTS_PER_HOUR * duration_s / HOUR_S))
    faults: list[Fault] = []
    dead_until_s = 0.0
    bag: list[FaultKind] = []
    for _ in range(count):
        if not bag:
            bag = list(kinds)
            rng.shuffle(bag)
        kind = bag.pop()
        at_s = rng.uniform(300.0, max(301.0, duration_s - 300.0))
        if kind is FaultKind.GATEWAY_KILL:
            # One death at a time, and time enough to live between them.
            at_s = max(at_s, dead_until_s + 600.0)
            dead_until_s = at_s + LENGTHS_S[kind][1]
        faults.append(_fault(kind, at_s, site, rng))
    return tuple(sorted(faults, key=lambda f: (f.at_s, f.kind)))


def _fault(kind: FaultKind, at_s: float, site: Site, rng: Random) -> Fault:
    subject = ""
    value = 0.0
    if kind.value.startswith("meter_"):
        subject = rng.choice(site.meters).id
    elif kind.value.startswith("station_"):
        subject = rng.choice(site.stations).id
    if kind is FaultKind.STATION_LYING:
        value = rng.choice((0.0, 0.5, 0.8, 1.3, 2.0))
    elif kind is FaultKind.STATION_CLOCK_JUMP:
        value = rng.choice((-3_600.0, -90.0, -20.0, 30.0, 120.0, 3_600.0))
    elif kind is FaultKind.WALL_CLOCK_JUMP:
        value = rng.choice((-3_600.0, -5.0, 5.0, 3_600.0))
    elif kind is FaultKind.BASE_STEP:
        # The reserve is 30 A on the supply and 9.45 A in the annex: inside and beyond it.
        subject, sizes_a = rng.choice(((SUPPLY, (15.0, 28.0, 40.0)), (ANNEX, (5.0, 9.0, 12.0))))
        value = rng.choice(sizes_a)
    return Fault(
        kind=kind,
        at_s=at_s,
        until_s=at_s + rng.uniform(*LENGTHS_S[kind]),
        subject=subject,
        value=value,
    )
