"""Seeds, and stories made of one, that show what a safety rule is for."""

from collections.abc import Callable
from dataclasses import replace

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import LimitAt, Scenario, ScenarioKind, StationTraits, StepAt
from drivers.sim.sites import one_circuit
from gateway.domain.circuits import Source, SourceKind
from gateway.domain.electric import Phase
from gateway.domain.ids import SourceId, StationId

BUSY_S = 500.0  # By then a fresh site has proven its stations and shares all it has.
ROGUE = StationId("CP-01")  # Two connectors of 32 A.


def seed(kind: str, number: int, *, until_s: float) -> Callable[[], Scenario]:
    """Return what makes the first part of the two-hour scenario of a kind and a seed."""

    def scenario() -> Scenario:
        whole = generate(ScenarioKind(kind), number, duration_s=7_200.0)
        return replace(whole, duration_s=until_s)

    return scenario


def _busy_car_park(duration_s: float) -> Scenario:
    return replace(generate(ScenarioKind.HARSH, 1, duration_s=duration_s), steps=())


def full_car_park(duration_s: float) -> Scenario:
    """Return a car park in which everybody is there from the start and takes all it is given."""
    park = _busy_car_park(duration_s)
    first = {visit.connector: visit for visit in reversed(park.visits)}
    visits = tuple(
        replace(
            visit,
            at_s=10.0,
            leave_s=duration_s + 200.0,
            vehicle=replace(
                visit.vehicle,
                need_wh=80_000.0,
                taper_wh=1.0,
                max_a=32.0,
                draw_ratio=1.0,
                ripple_a=0.0,
                draws_whole_amps=False,
            ),
        )
        for visit in first.values()
    )
    return replace(
        park,
        visits=visits,
        stations=tuple(replace(station, offers_whole_amps=False) for station in park.stations),
        base=tuple(replace(load, noise_a=0.05) for load in park.base),
    )


def _with_circuit(park: Scenario, **declared: object) -> Scenario:
    (circuit,) = park.site.circuits
    changed = replace(circuit, **declared)  # type: ignore[arg-type]
    return replace(park, site=replace(park.site, circuits=(changed,)))


def _step_behind(fault: FaultKind) -> Scenario:
    park = _busy_car_park(700.0)
    step = StepAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, delta_a=(22.0, 22.0, 22.0))
    blind = Fault(kind=fault, at_s=480.0, until_s=700.0, subject=park.site.meters[0].id)
    return replace(park, steps=(step,), faults=(blind,))


def _step(park: Scenario, at_s: float, amps: float) -> StepAt:
    return StepAt(at_s=at_s, circuit=park.site.circuits[0].id, delta_a=(amps, amps, amps))


def _climb(park: Scenario, from_s: float, amps: float) -> tuple[StepAt, ...]:
    """Return three steps of base in a minute, each of which vehicles can make room for."""
    return tuple(_step(park, from_s + 30.0 * at, amps / 3) for at in range(3))


def _of_all_stations(park: Scenario, kind: FaultKind, at_s: float) -> tuple[Fault, ...]:
    return tuple(
        Fault(kind=kind, at_s=at_s, until_s=park.duration_s, subject=station.station)
        for station in park.stations
    )


def step_behind_a_lost_meter() -> Scenario:
    """Return a car park whose base steps up while its meter is lost."""
    return _step_behind(FaultKind.METER_LOST)


def step_behind_a_frozen_meter() -> Scenario:
    """Return a car park whose base steps up while its meter repeats itself."""
    return _step_behind(FaultKind.METER_FROZEN)


def _behind_clamps_that_show(ratio: float, from_s: float) -> Scenario:
    park = full_car_park(800.0)
    meter = park.site.meters[0].id
    wrong = Fault(
        kind=FaultKind.METER_MISWIRED, at_s=from_s, until_s=800.0, subject=meter, value=ratio
    )
    return replace(park, faults=(wrong,), steps=_climb(park, BUSY_S + 60.0, 20.0))


def clamps_that_come_off() -> Scenario:
    """Return a full car park whose meter shows a tenth of what flows, before its base rises."""
    return _behind_clamps_that_show(0.1, BUSY_S)


def clamps_the_wrong_way_round() -> Scenario:
    """Return a full car park whose meter takes what is drawn for what is given, from the start."""
    return _behind_clamps_that_show(-1.0, 0.0)


def step_beyond_reserve() -> Scenario:
    """Return a car park whose base steps up by more than the reserve."""
    park = _busy_car_park(700.0)
    step = StepAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, delta_a=(32.0, 32.0, 32.0))
    return replace(park, steps=(step,))


def step_inside_reserve() -> Scenario:
    """Return a full car park whose base steps up by less than the reserve, unseen for some seconds.

    Its meter is lost for a moment; then its stations answer late.
    """
    park = full_car_park(740.0)
    meter = park.site.meters[0].id
    lost = Fault(kind=FaultKind.METER_LOST, at_s=639.0, until_s=648.0, subject=meter)
    return replace(
        park,
        steps=(_step(park, 640.0, 14.5),),
        faults=(lost, *_of_all_stations(park, FaultKind.STATION_LATE, 630.0)),
    )


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


def vehicles_that_stop_while_answers_are_late() -> Scenario:
    """Return the same car park whose stations tell late what they are asked."""
    park = vehicles_that_stop_at_once()
    return replace(park, faults=_of_all_stations(park, FaultKind.STATION_LATE, 400.0))


def silent_station_whose_vehicle_stops() -> Scenario:
    """Return a car park of which every station falls silent before its vehicle stops.

    Just before it does, at 1,654 s, base takes as much on its phase: the meter goes on showing what
    the last reading would explain.
    """
    park = vehicles_that_stop_at_once()
    step = StepAt(at_s=1_640.0, circuit=park.site.circuits[0].id, delta_a=(0.0, 28.0, 0.0))
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


def room_while_answers_are_late() -> Scenario:
    """Return a car park that has much to give away when every station answers late."""
    park = full_car_park(700.0)
    steps = (_step(park, 300.0, 28.0), _step(park, 520.0, -28.0))
    faults = _of_all_stations(park, FaultKind.STATION_LATE, 480.0)
    return replace(park, steps=steps, faults=faults)


def cuts_while_answers_are_late() -> Scenario:
    """Return a car park that must cut when every station answers late."""
    park = _busy_car_park(560.0)
    faults = _of_all_stations(park, FaultKind.STATION_LATE, 480.0)
    return replace(park, steps=(_step(park, 520.0, 14.0),), faults=faults)


def stations_that_let_more_flow() -> Scenario:
    """Return a full car park whose stations give 3.5 A more than they are told."""
    park = full_car_park(1_500.0)
    stations = tuple(replace(station, offset_a=3.5) for station in park.stations)
    return replace(park, stations=stations)


def killed_where_more_flows_than_told() -> Scenario:
    """Return the same, whose gateway dies once it has learnt that."""
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=BUSY_S, until_s=BUSY_S + 20.0)
    return replace(stations_that_let_more_flow(), duration_s=700.0, faults=(kill,))


def station_that_never_obeyed() -> Scenario:
    """Return a busy car park to which two vehicles come at a station that obeys nothing.

    It tells nothing of what it gives either. The vehicles begin half a minute after they came.
    """
    park = _busy_car_park(700.0)
    first = {visit.connector: visit for visit in reversed(park.visits)}
    visits = tuple(
        replace(
            visit,
            at_s=BUSY_S + 20.0 if visit.connector.station == ROGUE else 10.0,
            leave_s=1_000.0,
            vehicle=replace(
                visit.vehicle,
                need_wh=80_000.0,
                taper_wh=1.0,
                max_a=32.0,
                phase_count=3 if visit.connector.station == ROGUE else visit.vehicle.phase_count,
                startup_s=33.0 if visit.connector.station == ROGUE else 6.0,
            ),
        )
        for visit in first.values()
    )

    def mute(traits: StationTraits) -> StationTraits:
        return replace(traits, sends_meter_values=traits.station != ROGUE)

    rogue = Fault(kind=FaultKind.STATION_RUNAWAY, at_s=1.0, until_s=700.0, subject=ROGUE)
    return replace(
        park,
        visits=tuple(sorted(visits, key=lambda visit: (visit.at_s, visit.connector))),
        stations=tuple(mute(traits) for traits in park.stations),
        steps=(_step(park, 548.0, 12.0),),
        faults=(rogue,),
    )


def step_while_the_gateway_is_gone() -> Scenario:
    """Return a busy car park whose gateway dies before its base steps up."""
    park = _busy_car_park(700.0)
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=BUSY_S, until_s=680.0)
    return replace(park, steps=(_step(park, 590.0, 28.0),), faults=(kill,))


def stop_pressed_and_the_gateway_killed() -> Scenario:
    """Return a car park whose stop input is pressed, and whose gateway dies before its release."""
    park = _busy_car_park(800.0)
    stop = Fault(kind=FaultKind.STOP_PRESSED, at_s=BUSY_S, until_s=750.0)
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=560.0, until_s=660.0)
    return replace(park, faults=(stop, kill))


def limit_from_outside() -> Scenario:
    """Return a full car park whose circuit is told from outside to carry half."""
    park = full_car_park(650.0)
    limit = LimitAt(at_s=BUSY_S, circuit=park.site.circuits[0].id, limit_a=50.0)
    return replace(park, limits=(limit,))


def limit_on_power() -> Scenario:
    """Return a full car park whose supply may take 40 kVA, two thirds of its ratings."""
    return _with_circuit(full_car_park(500.0), power_limit_va=40_000)


def _on_one_phase() -> Scenario:
    """Return a car park to which only vehicles come that draw on L1 alone."""
    park = full_car_park(500.0)
    first_of = {c.ref: c.phases[0] for station in park.site.stations for c in station.connectors}
    visits = tuple(
        replace(visit, vehicle=replace(visit.vehicle, phase_count=1))
        for visit in park.visits
        if first_of[visit.connector] is Phase.L1
    )
    return replace(park, visits=visits)


def limit_on_the_neutral() -> Scenario:
    """Return a car park whose vehicles draw on one phase, and whose neutral carries 40 A."""
    return _with_circuit(_on_one_phase(), neutral_ma=40_000)


def limit_on_imbalance() -> Scenario:
    """Return a car park whose vehicles draw on one phase, which may be 40 A above the others."""
    return _with_circuit(_on_one_phase(), imbalance_ma=40_000)


def cloud_over_the_roof() -> Scenario:
    """Return a full car park below a roof that gives 45 A a phase, until a cloud comes.

    Nobody measures the roof: the meter shows what is left of base behind it. Stations are out of reach.
    """
    park = full_car_park(650.0)
    circuit = park.site.circuits[0].id
    roof = Source(
        id=SourceId("roof"),
        circuit=circuit,
        kind=SourceKind.PV,
        nameplate_ma=(45_000, 45_000, 45_000),
    )
    return replace(
        park,
        site=replace(park.site, sources=(roof,)),
        base=tuple(replace(load, low_a=5.0, high_a=6.0, floor_a=0.0) for load in park.base),
        steps=(_step(park, BUSY_S, 45.0),),
        faults=_of_all_stations(park, FaultKind.STATION_LOST, BUSY_S - 10.0),
        reserve_a=((circuit, 15.0 + 45.0),),
    )


def vehicle_at_a_large_fallback() -> Scenario:
    """Return a full car park to which a last vehicle comes, where the fallback is 32 A.

    Its station refuses what it is told, and the others are out of reach: nobody can make room.
    """
    park = full_car_park(600.0)
    site = one_circuit(worst_case_base_ma=33_000)
    last = StationId("CP-04")
    stations = tuple(
        replace(
            station,
            connectors=tuple(replace(c, fallback_ma=32_000) for c in station.connectors),
        )
        if station.id == last
        else station
        for station in site.stations
    )
    visits = tuple(
        replace(visit, at_s=BUSY_S, vehicle=replace(visit.vehicle, startup_s=1.0, phase_count=3))
        if visit.connector.station == last
        else visit
        for visit in park.visits
    )
    lost = _of_all_stations(park, FaultKind.STATION_LOST, BUSY_S - 10.0)
    return replace(
        park,
        site=replace(site, stations=stations),
        visits=tuple(sorted(visits, key=lambda visit: (visit.at_s, visit.connector))),
        faults=tuple(
            replace(fault, kind=FaultKind.STATION_REJECTS) if fault.subject == last else fault
            for fault in lost
        ),
    )


def large_rise_while_the_gateway_is_gone() -> Scenario:
    """Return a full car park whose base rises as far as it ever did, just after the gateway died."""
    park = full_car_park(700.0)
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=BUSY_S, until_s=650.0)
    base = tuple(replace(load, ceiling_a=80.0) for load in park.base)
    return replace(park, base=base, steps=(_step(park, 520.0, 38.0),), faults=(kill,))


def base_above_its_worst_case() -> Scenario:
    """Return a car park whose base was far above its worst case, and is again once unseen."""
    park = _with_circuit(full_car_park(1_000.0), worst_case_base_ma=(40_000, 40_000, 40_000))
    lost = Fault(
        kind=FaultKind.METER_LOST, at_s=800.0, until_s=990.0, subject=park.site.meters[0].id
    )
    return replace(
        park,
        base=tuple(replace(load, ceiling_a=90.0) for load in park.base),
        steps=(
            *_climb(park, 300.0, 48.0),
            _step(park, 560.0, -48.0),
            _step(park, 840.0, 48.0),
        ),
        faults=(lost,),
    )


def base_above_the_rating_thrice() -> Scenario:
    """Return a car park whose base climbs above the rating for some 25 s, three times."""
    park = full_car_park(1_500.0)
    steps = [
        step
        for begins_s in (400.0, 700.0, 1_000.0)
        for step in (
            *_climb(park, begins_s, 45.0),
            *_climb(park, begins_s + 90.0, 36.0),
            _step(park, begins_s + 175.0, -81.0),
        )
    ]
    base = tuple(replace(load, ceiling_a=110.0) for load in park.base)
    return replace(park, base=base, steps=tuple(steps))


def station_that_nothing_cuts() -> Scenario:
    """Return a car park in which one station alone, that obeys nobody, is too much with base."""
    park = full_car_park(600.0)
    rogue = Fault(kind=FaultKind.STATION_RUNAWAY, at_s=BUSY_S, until_s=600.0, subject=ROGUE)
    return replace(
        park,
        visits=tuple(
            replace(visit, vehicle=replace(visit.vehicle, phase_count=3)) for visit in park.visits
        ),
        base=tuple(replace(load, low_a=22.0, high_a=22.0) for load in park.base),
        steps=(_step(park, 505.0, 17.0),),
        faults=(rogue,),
    )


def lost_station_that_keeps_its_limit() -> Scenario:
    """Return a full car park of which a station is lost that never falls back, and was never tried."""
    park = full_car_park(800.0)
    lost = Fault(kind=FaultKind.STATION_LOST, at_s=BUSY_S, until_s=790.0, subject=ROGUE)
    stations = tuple(
        replace(traits, lapses=False, is_commissioned=False) if traits.station == ROGUE else traits
        for traits in park.stations
    )
    return replace(park, site=one_circuit(fallback_ma=0), stations=stations, faults=(lost,))


def killed_beside_a_full_vehicle() -> Scenario:
    """Return a board of 40 A with 5 A of base, a vehicle that is full and stays, and two that come.

    Its station was seen to obey while it charged. The gateway dies before the others come.
    """
    park = full_car_park(3_600.0)
    site = one_circuit(worst_case_base_ma=20_000, fallback_ma=0)
    stations = site.stations[1:4]
    names = [station.id for station in stations]
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=600.0, until_s=620.0)
    visits = [visit for visit in park.visits if visit.connector.station in names]
    first = next(visit for visit in visits if visit.connector.station == names[0])
    full = replace(first, vehicle=replace(first.vehicle, need_wh=1_500.0, phase_count=3))
    others = (replace(visit, at_s=900.0) for visit in visits if visit is not first)
    small = replace(
        park,
        site=replace(site, stations=stations),
        stations=tuple(traits for traits in park.stations if traits.station in names),
        visits=(full, *others),
        base=tuple(replace(load, low_a=5.0, high_a=5.0, floor_a=4.0) for load in park.base),
        faults=(kill,),
    )
    return _with_circuit(small, rating_ma=(40_000,) * 3)


def killed_while_a_station_is_away() -> Scenario:
    """Return a full car park with room again, whose gateway dies in the midst of its raises.

    It is back at once, and one of its stations is not, when another vehicle comes.
    """
    park = full_car_park(680.0)
    kill = Fault(kind=FaultKind.GATEWAY_KILL, at_s=499.0, until_s=502.0)
    lost = Fault(kind=FaultKind.STATION_LOST, at_s=498.0, until_s=600.0, subject=ROGUE)
    last = park.site.stations[-1].id
    visits = tuple(
        replace(visit, at_s=527.0) if visit.connector.station == last else visit
        for visit in park.visits
    )
    return replace(
        park,
        site=one_circuit(fallback_ma=0),
        visits=tuple(sorted(visits, key=lambda visit: (visit.at_s, visit.connector))),
        steps=(_step(park, 300.0, 22.0), _step(park, 460.0, -22.0)),
        faults=(lost, kill),
    )
