"""What happens to the building of the demo: everything at once, and again in a longer run."""

from dataclasses import dataclass, replace
from random import Random

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import Scenario, ScenarioKind, StationTraits, Visit
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Site
from gateway.domain.ids import MeterId

ROUND_S = 150.0  # One round of faults; a shorter run has it pressed together.
LATER_ROUND_S = 300.0  # Between rounds the building comes to rest.
STEP_OF_RESERVE = 0.9  # What is announced by nobody, and must be borne all the same.
EARLY_S = 8.0  # Vehicles that come before this are there from the start.
LATE_SHARE = 0.25  # Of the vehicles; the others are there from the start.

# Kind, from, until, in seconds of a round. They overlap, and come when there is something to cut;
# a station is lost for longer than its lease (60 s) and what a gateway allows for skew.
PLAN = (
    (FaultKind.STATION_LOST, 70.0, 137.0),
    (FaultKind.STATION_DISOBEDIENT, 84.0, 128.0),
    (FaultKind.BASE_STEP, 82.0, 130.0),
    (FaultKind.METER_LOST, 100.0, 127.0),
)
# What later rounds have in the place of a mute meter, in turn.
METER_FAULTS = (FaultKind.METER_NAN, FaultKind.METER_FROZEN, FaultKind.METER_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A vehicle that comes to a connector (`CP-01/1`) when it is told to, and stays."""

    connector: str
    at_s: float
    energy_wh: int
    most_a: float
    phase_count: int


def demonstrate(
    site: Site, *, seed: int, duration_s: float, guests: tuple[Guest, ...] = ()
) -> Scenario:
    """Return what the demo plays at a site: half the stations of either version, hungry cars.

    The last station takes its limits in watts only, from the start. Every kind of `PLAN` happens
    in each round of faults, to whom is up to `seed`. `guests` come in the place of the vehicle
    that their connector would have had.
    """
    drawn = generate(ScenarioKind.DEMO, seed, duration_s=duration_s, site=site)
    rng = Random(f"demonstration/{seed}")
    round_s = min(duration_s, ROUND_S)
    stations = tuple(_station(traits, at, drawn) for at, traits in enumerate(drawn.stations))
    expected = {guest.connector: guest for guest in guests}
    visits = tuple(
        _as_expected(_visit(visit, round_s, rng), expected.get(str(visit.connector)))
        for visit in drawn.visits
    )
    faults = [
        # Not a passing fault: it is what this station is, and is answered by its first limit.
        Fault(
            kind=FaultKind.STATION_WATTS_ONLY,
            at_s=0.0,
            until_s=duration_s + ROUND_S,
            subject=traits.station,
        )
        for traits in stations
        if traits.is_watts_only
    ]
    begins_s = 0.0
    count = 0
    while begins_s < duration_s:
        meter_kind = FaultKind.METER_LOST if count == 0 else METER_FAULTS[(count - 1) % 3]
        faults += _round(
            drawn,
            visits,
            begins_s=begins_s,
            pace_ratio=round_s / ROUND_S,
            meter_kind=meter_kind,
            rng=rng,
        )
        begins_s += LATER_ROUND_S
        count += 1
    return replace(
        drawn,
        stations=stations,
        visits=tuple(sorted(visits, key=lambda v: (v.at_s, v.connector))),
        faults=tuple(sorted(faults, key=lambda f: (f.at_s, f.kind))),
    )


def _station(traits: StationTraits, position: int, drawn: Scenario) -> StationTraits:
    return replace(
        traits,
        ocpp_version=(OcppVersion.V16, OcppVersion.V201)[position % 2],
        sample_interval_s=float(int(traits.sample_interval_s)),
        is_watts_only=position == len(drawn.stations) - 1,
    )


def _visit(visit: Visit, round_s: float, rng: Random) -> Visit:
    """Return the visit at a time that suits a run of this length."""
    if rng.random() < LATE_SHARE:
        return replace(visit, at_s=EARLY_S + rng.uniform(0.05, 0.3) * round_s)
    return replace(visit, at_s=rng.uniform(1.0, 6.0))


def _as_expected(visit: Visit, guest: Guest | None) -> Visit:
    """Return the visit of whom is expected at a connector: a vehicle that takes all it is given."""
    if guest is None:
        return visit
    vehicle = replace(
        visit.vehicle,
        need_wh=float(guest.energy_wh),
        max_a=guest.most_a,
        phase_count=guest.phase_count,
        taper_wh=0.0,
    )
    return replace(visit, at_s=guest.at_s, vehicle=vehicle)


def _round(
    drawn: Scenario,
    visits: tuple[Visit, ...],
    *,
    begins_s: float,
    pace_ratio: float,
    meter_kind: FaultKind,
    rng: Random,
) -> list[Fault]:
    """Return one round of faults; `pace_ratio` is how much of its usual time it takes."""
    subjects = _subjects(drawn, visits, rng)
    if FaultKind.METER_LOST in subjects:
        subjects[meter_kind] = subjects[FaultKind.METER_LOST]
    reserve_a = dict(drawn.reserve_a)
    faults: list[Fault] = []
    for planned, from_s, until_s in PLAN:
        kind = meter_kind if planned is FaultKind.METER_LOST else planned
        subject = subjects.get(kind)
        if subject is None:
            continue
        value = 0.0
        if kind is FaultKind.BASE_STEP:
            value = STEP_OF_RESERVE * next(a for name, a in reserve_a.items() if name == subject)
        faults.append(
            Fault(
                kind=kind,
                at_s=begins_s + from_s * pace_ratio,
                until_s=begins_s + until_s * pace_ratio,
                subject=subject,
                value=value,
            )
        )
    return faults


def _subjects(drawn: Scenario, visits: tuple[Visit, ...], rng: Random) -> dict[FaultKind, str]:
    """Return to whom each kind happens, as far as the site has somebody for it."""
    site = drawn.site
    # Where a meter shows what they do and somebody charges, if possible; the last takes watts.
    metered = {circuit.id for circuit in site.circuits if circuit.meter}
    late = {visit.connector.station for visit in visits if visit.at_s > EARLY_S}
    amperes = list(site.stations[:-1])
    rng.shuffle(amperes)
    amperes.sort(key=lambda s: (s.connectors[0].circuit not in metered, s.id in late))
    kinds = (FaultKind.STATION_LOST, FaultKind.STATION_DISOBEDIENT)
    found: dict[FaultKind, str] = dict(zip(kinds, (s.id for s in amperes), strict=False))
    roots = [circuit for circuit in site.circuits if circuit.parent is None and circuit.meter]
    if roots:
        found[FaultKind.BASE_STEP] = roots[0].id
    inner: list[MeterId] = [c.meter for c in site.circuits if c.meter and c.parent is not None]
    meters = inner or [meter.id for meter in site.meters]
    if meters:
        found[FaultKind.METER_LOST] = rng.choice(meters)
    return found
