"""What happens to the building of the demo: everything at once, and again in a longer run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from random import Random

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import (
    BaseTraits,
    Scenario,
    ScenarioKind,
    StationTraits,
    StepAt,
    VehicleTraits,
    Visit,
)
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import ChargingStation, Circuit, Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId

ROUND_S = 150.0  # One round of faults; a shorter run has it pressed together.
LATER_ROUND_S = 300.0  # Between rounds the building comes to rest.
STEP_OF_RESERVE = 0.9  # What is announced by nobody, and must be borne all the same.
WORST_RATIO = 0.975  # Of its own worst case: what the base comes to while nobody sees it.
QUIET_RATIOS = (0.49, 0.50)  # The same before that.
UNSEEN_RATIOS = (0.94, 0.97)  # Where no meter is, the worst case is all that is known: it is so.
EARLY_S = 8.0  # Vehicles that come before this are there from the start.
LATE_RATIOS = (0.76, 0.88)  # When the others come, in parts of a round: with the faults.
STARTS_S = 5.0  # A demo is short: no vehicle is slow.
SAMPLE_INTERVAL_S = 10.0  # What Headroom asks of stations.

# Kind, from, until, in seconds of a round. Stations need some 80 s until they are seen to obey and
# their vehicles have what there is: then, and not before, there is something to cut. So the base
# steps up by all but the reserve just when its meter falls mute, and on to its worst case once those
# below are surely at their fallbacks. A station is lost for longer than a lease is counted (75 s).
PLAN = (
    (FaultKind.STATION_LOST, 52.0, 140.0),
    (FaultKind.STATION_DISOBEDIENT, 89.0, 137.0),
    (FaultKind.METER_LOST, 92.0, 131.0),
    (FaultKind.BASE_STEP, 93.0, 139.0),
)
WORST_S = (114.0, 136.0)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """To whom things happen, as far as a site has somebody for it."""

    lost: str | None
    disobedient: str | None
    stepping: Circuit | None
    meter: MeterId | None
    early: frozenset[ConnectorRef]


def demonstrate(
    site: Site, *, seed: int, duration_s: float, guests: tuple[Guest, ...] = ()
) -> Scenario:
    """Return what the demo plays at a site: half the stations of either version, hungry cars.

    The last station takes its limits in watts only, from the start. Every kind of `PLAN` happens
    in each round of faults, to whom is up to the site, and to `seed`. `guests` come in the place of
    the vehicle that their connector would have had.
    """
    drawn = generate(ScenarioKind.DEMO, seed, duration_s=duration_s, site=site)
    rng = Random(f"demonstration/{seed}")
    round_s = min(duration_s, ROUND_S)
    drawn = replace(
        drawn,
        base=tuple(_base(traits, site) for traits in drawn.base),
        stations=tuple(_station(traits, at, drawn) for at, traits in enumerate(drawn.stations)),
    )
    expected = {guest.connector: guest for guest in guests}
    cast = _cast(drawn, expected, rng)
    faults = [
        # Not a passing fault: it is what this station is, and is answered by its first limit.
        Fault(
            kind=FaultKind.STATION_WATTS_ONLY,
            at_s=0.0,
            until_s=duration_s + ROUND_S,
            subject=traits.station,
        )
        for traits in drawn.stations
        if traits.is_watts_only
    ]
    steps: list[StepAt] = []
    for at in count():
        begins_s = at * LATER_ROUND_S
        if begins_s >= duration_s:
            break
        kind = FaultKind.METER_LOST if at == 0 else METER_FAULTS[(at - 1) % 3]
        pace_ratio = round_s / ROUND_S
        faults += _round(drawn, cast, begins_s=begins_s, pace_ratio=pace_ratio, meter_kind=kind)
        if cast.stepping is not None:
            steps += _goes_on(drawn, cast.stepping, begins_s=begins_s, pace_ratio=pace_ratio)
    visits = [
        _as_expected(guest, visit)
        if (guest := expected.get(str(visit.connector)))
        else _visit(visit, site, cast, round_s, rng)
        for visit in drawn.visits
    ]
    return replace(
        drawn,
        steps=tuple(steps),
        visits=tuple(sorted(visits, key=lambda v: (v.at_s, v.connector))),
        faults=tuple(sorted(faults, key=lambda f: (f.at_s, f.kind))),
    )


def _station(traits: StationTraits, position: int, drawn: Scenario) -> StationTraits:
    return replace(
        traits,
        ocpp_version=(OcppVersion.V16, OcppVersion.V201)[position % 2],
        sample_interval_s=SAMPLE_INTERVAL_S,
        sample_phase_s=traits.sample_phase_s % SAMPLE_INTERVAL_S,
        is_watts_only=position == len(drawn.stations) - 1,
    )


def _base(traits: BaseTraits, site: Site) -> BaseTraits:
    """Return the base of a circuit, as quiet as its meter lets it be."""
    is_metered = any(c.meter for c in site.circuits if c.id == traits.circuit)
    low_ratio, high_ratio = QUIET_RATIOS if is_metered else UNSEEN_RATIOS
    own_a = _own_a(site, traits.circuit)
    return replace(traits, low_a=low_ratio * own_a, high_a=high_ratio * own_a)


def _own_a(site: Site, circuit: CircuitId) -> float:
    """Return the worst case of what a circuit feeds directly."""
    below_ma = sum(max(c.worst_case_base_ma) for c in site.circuits if c.parent == circuit)
    worst_ma = max(ma for c in site.circuits if c.id == circuit for ma in c.worst_case_base_ma)
    return max(0, worst_ma - below_ma) / 1_000


def _visit(visit: Visit, site: Site, cast: _Cast, round_s: float, rng: Random) -> Visit:
    """Return the visit at a time that suits a run of this length."""
    if visit.connector not in cast.early:
        return replace(visit, at_s=rng.uniform(*LATE_RATIOS) * round_s)
    connector = next(c for c in site.connectors if c.ref == visit.connector)
    vehicle = _hungry(visit, connector.max_ma / 1_000, len(connector.phases))
    return replace(visit, at_s=rng.uniform(1.0, 3.0), vehicle=vehicle)


def _as_expected(guest: Guest, visit: Visit) -> Visit:
    """Return the visit of whom is expected at a connector: a vehicle that takes all it is given."""
    vehicle = _hungry(visit, guest.most_a, guest.phase_count)
    need_wh = float(guest.energy_wh)
    return replace(visit, at_s=guest.at_s, vehicle=replace(vehicle, need_wh=need_wh))


def _hungry(visit: Visit, most_a: float, phase_count: int) -> VehicleTraits:
    """Return the vehicle of a visit as one that soon takes all it is told."""
    return replace(
        visit.vehicle,
        max_a=most_a,
        phase_count=phase_count,
        startup_s=STARTS_S,
        draw_ratio=1.0,
        draws_whole_amps=False,
        taper_wh=0.0,
    )


def _round(
    drawn: Scenario, cast: _Cast, *, begins_s: float, pace_ratio: float, meter_kind: FaultKind
) -> list[Fault]:
    """Return one round of faults; `pace_ratio` is how much of its usual time it takes."""
    subjects = {
        FaultKind.STATION_LOST: cast.lost,
        FaultKind.STATION_DISOBEDIENT: cast.disobedient,
        FaultKind.METER_LOST: cast.meter,
        FaultKind.BASE_STEP: cast.stepping.id if cast.stepping else None,
    }
    step_a = _steps_a(drawn, cast.stepping)[0] if cast.stepping else 0.0
    return [
        Fault(
            kind=meter_kind if kind is FaultKind.METER_LOST else kind,
            at_s=begins_s + from_s * pace_ratio,
            until_s=begins_s + until_s * pace_ratio,
            subject=subject,
            value=step_a if kind is FaultKind.BASE_STEP else 0.0,
        )
        for kind, from_s, until_s in PLAN
        if (subject := subjects[kind]) is not None
    ]


def _goes_on(
    drawn: Scenario, stepping: Circuit, *, begins_s: float, pace_ratio: float
) -> list[StepAt]:
    """Return how in a round of faults base goes on to its worst case, and back."""
    step_a = _steps_a(drawn, stepping)[1]
    return [
        StepAt(at_s=begins_s + at_s * pace_ratio, circuit=stepping.id, delta_a=(way * step_a,) * 3)
        for way, at_s in zip((1.0, -1.0), WORST_S, strict=True)
    ]


def _steps_a(drawn: Scenario, stepping: Circuit) -> tuple[float, float]:
    """Return how far the base of a circuit steps at first, and how much further then."""
    own_a = _own_a(drawn.site, stepping.id)
    left_a = (WORST_RATIO - QUIET_RATIOS[1]) * own_a
    first_a = min(left_a, STEP_OF_RESERVE * dict(drawn.reserve_a)[stepping.id])
    return first_a, left_a - first_a


def _cast(drawn: Scenario, expected: Mapping[str, Guest], rng: Random) -> _Cast:
    """Return to whom each kind happens: where nobody but the gateway could keep it from harm."""
    site = drawn.site
    stepping = next((c for c in site.circuits if c.parent is None and c.meter), None)
    early = _early(drawn, stepping, expected)
    amperes = list(site.stations[:-1])  # The last takes watts.
    rng.shuffle(amperes)

    def is_seen(station: ChargingStation) -> bool:
        circuit = station.connectors[0].circuit
        return any(c.meter for c in site.circuits if c.id == circuit)

    # Where no meter shows what flows, only what is counted for a station out of reach is between it
    # and the overcurrent device; and it may begin to draw more just then, at its fallback.
    amperes.sort(key=lambda s: (is_seen(s), -max(c.fallback_ma for c in s.connectors)))
    lost, others = amperes[:1], amperes[1:]
    # Of who disobeys the meter knows, and there is much to be cut.
    others.sort(
        key=lambda s: (
            not is_seen(s),
            not any(c.ref in early for c in s.connectors),
            max(c.max_ma for c in s.connectors),
        )
    )
    meters = [stepping.meter] if stepping and stepping.meter else [m.id for m in site.meters]
    return _Cast(
        lost=lost[0].id if lost else None,
        disobedient=others[0].id if others else None,
        stepping=stepping,
        meter=meters[0] if meters else None,
        early=early,
    )


def _early(
    drawn: Scenario, stepping: Circuit | None, expected: Mapping[str, Guest]
) -> frozenset[ConnectorRef]:
    """Return whose vehicles are there from the start.

    All but those below the circuit that steps: of these only as many as can show at once that their
    stations obey, the nearest first. Others would have to wait until somebody was cut for them, and
    what is told them for that would be little of what there is when the base steps.
    """
    site = drawn.site
    reserve_a, load_a = dict(drawn.reserve_a), {b.circuit: b.high_a for b in drawn.base}
    rooms_ma = {
        (circuit.id, phase): set_point_ma
        - 1_000 * (reserve_a[circuit.id] + load_a.get(circuit.id, 0.0))
        for circuit in site.circuits
        for phase, set_point_ma in zip(Phase, circuit.set_point_ma, strict=True)
    }
    early: set[ConnectorRef] = set()
    for connector in sorted(site.connectors, key=lambda c: len(site.path_to_root(c.circuit))):
        path = site.path_to_root(connector.circuit)
        if stepping is None or stepping.id not in path:
            early.add(connector.ref)
            continue
        rows = [(circuit, phase) for circuit in path for phase in connector.phases]
        is_fitting = all(rooms_ma[row] >= 0 for row in rows)
        if is_fitting and str(connector.ref) not in expected:
            early.add(connector.ref)
            for row in rows:
                rooms_ma[row] -= connector.max_ma
    return frozenset(early)
