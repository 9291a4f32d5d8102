"""Seeds, and stories that begin as one does, that show what a safety rule is for."""

from collections.abc import Callable
from dataclasses import replace

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.plant import Plant
from drivers.sim.scenario import DrawAt, Scenario, ScenarioKind, StepAt, Visit
from drivers.sim.sites import CARPARK, one_circuit
from gateway.control.state import SiteState
from gateway.domain.circuits import Source, SourceKind
from gateway.domain.electric import Phase
from gateway.domain.ids import SourceId, StationId
from tests.simulation.acts import Act, Story
from tests.simulation.car_parks import (
    LONGEST_S,
    climb_of_base,
    fault_of,
    full_car_park,
    gateway_killed,
    limited_to,
    of_all_stations,
    of_such,
    once_shared,
    reduced_to,
    step_of_base,
    with_base,
    with_circuit,
    with_vehicles,
)

RAISED_S = 3.0  # A moment ago: a raise and the answer to it.
ROGUE = StationId("CP-01")  # Two connectors of 32 A.
AWAY, SMALL, LAST = (
    StationId("CP-02"),
    StationId("CP-03"),
    StationId("CP-04"),
)  # One of 32, 16, 32 A.
(METER,) = (meter.id for meter in one_circuit().meters)


def seed(kind: str, number: int, *, until_s: float) -> Callable[[], Scenario]:
    """Return what makes the first part of the two-hour scenario of a kind and a seed."""

    def scenario() -> Scenario:
        whole = generate(ScenarioKind(kind), number, duration_s=7_200.0)
        return replace(whole, duration_s=until_s)

    return scenario


def _step_behind(fault: FaultKind) -> Story:
    return Story.of(
        full_car_park(),
        once_shared(fault_of(fault, METER, 0.0, 200.0), step_of_base(20.0, 26.0), lasts_s=200.0),
    )


def step_behind_a_lost_meter() -> Scenario:
    """Return a car park whose base steps up while its meter is lost."""
    return _step_behind(FaultKind.METER_LOST)


def step_behind_a_frozen_meter() -> Scenario:
    """Return a car park whose base steps up while its meter repeats itself."""
    return _step_behind(FaultKind.METER_FROZEN)


def _out_of_reach(*, stations_from_s: float) -> tuple[Fault, ...]:
    """Return how a network fails: the meter is lost at once, and all stations some seconds later."""
    lost = fault_of(FaultKind.METER_LOST, METER, 0.0, 100.0)
    return lost, *of_all_stations(FaultKind.STATION_LOST, stations_from_s, 100.0)


def base_that_returns_when_all_is_lost() -> Scenario:
    """Return a car park whose base falls, and is back once the meter is lost, and then the stations.

    What fell has been free for nearly so long that it is given when the meter is lost.
    """
    lost = _out_of_reach(stations_from_s=9.0)
    return Story.of(
        with_base(full_car_park(), low_a=48.0, high_a=48.0, floor_a=0.0),
        once_shared(step_of_base(0.0, -45.0), lasts_s=0.0),
        Act(when=_is_soon_given_room, then=(*lost, step_of_base(20.0, 45.0)), lasts_s=100.0),
    )


def _is_soon_given_room(plant: Plant, state: SiteState) -> bool:
    """Return whether room is given in some six seconds, when a meter lost now is stale."""
    since_s = [since_s for since_s in state.memory.headroom_since_s if since_s is not None]
    from_s = state.parameters.raise_after_s - 6.0
    return bool(since_s) and plant.now_s - max(since_s) >= from_s


def worst_case_when_all_is_lost() -> Scenario:
    """Return a car park whose base is at its worst once the meter is lost, and then the stations."""
    lost = _out_of_reach(stations_from_s=14.0)
    park = with_base(full_car_park(), low_a=18.0, high_a=18.0, ceiling_a=60.0)
    return Story.of(
        replace(park, site=one_circuit(worst_case_base_ma=58_000)),
        once_shared(*lost, step_of_base(25.0, 38.0), lasts_s=100.0),
    )


def more_than_the_worst_case_behind_a_lost_meter() -> Scenario:
    """Return a car park whose base rises far above what was declared, once its meter is lost."""
    lost = fault_of(FaultKind.METER_LOST, METER, 0.0, 80.0)
    park = with_base(full_car_park(), low_a=18.0, high_a=18.0, ceiling_a=90.0)
    return Story.of(
        replace(park, site=one_circuit(worst_case_base_ma=20_000)),
        once_shared(lost, step_of_base(40.0, 42.0), lasts_s=80.0),
    )


def step_that_only_a_pause_bears() -> Scenario:
    """Return a car park of vehicles that take no more than 6 A, whose base steps far up."""
    park = with_vehicles(full_car_park(), phase_count=3, max_a=6.0)
    return Story.of(
        with_base(park, low_a=45.0, high_a=45.0, ceiling_a=90.0),
        once_shared(step_of_base(0.0, 39.0), lasts_s=80.0),
    )


def steps_to_a_little_over_the_rating() -> Scenario:
    """Return a full car park whose base steps up twice inside its reserve, to 6 A over the rating."""
    return Story.of(
        with_base(full_car_park(), low_a=22.0, high_a=22.0, ceiling_a=90.0),
        once_shared(step_of_base(0.0, 13.75), step_of_base(25.0, 13.75), lasts_s=100.0),
    )


def clamps_that_come_off() -> Scenario:
    """Return a full car park whose meter shows a tenth of what flows, before its base rises."""
    off = fault_of(FaultKind.METER_MISWIRED, METER, 0.0, 300.0, value=0.1)
    return Story.of(full_car_park(), once_shared(off, *climb_of_base(60.0, 20.0), lasts_s=300.0))


def clamps_the_wrong_way_round() -> Scenario:
    """Return a full car park whose meter takes what is drawn for what is given, from the start."""
    wrong = fault_of(FaultKind.METER_MISWIRED, METER, 0.0, LONGEST_S, value=-1.0)
    return Story.of(
        replace(full_car_park(), faults=(wrong,)),
        once_shared(*climb_of_base(0.0, 20.0), lasts_s=240.0),
    )


def step_beyond_reserve() -> Scenario:
    """Return a car park whose base steps up by more than the reserve."""
    park = with_base(full_car_park(), ceiling_a=90.0)
    return Story.of(park, once_shared(step_of_base(0.0, 38.0), lasts_s=150.0))


def step_inside_reserve() -> Scenario:
    """Return a full car park whose base steps up by less than the reserve, when no station obeys."""
    rogues = of_all_stations(FaultKind.STATION_DISOBEDIENT, 0.0, 110.0)
    return Story.of(full_car_park(), once_shared(*rogues, step_of_base(10.0, 14.0), lasts_s=110.0))


def load_that_was_promised_room() -> Scenario:
    """Return a full car park in which a load draws at last what it was promised, when no station obeys."""
    rogues = of_all_stations(FaultKind.STATION_DISOBEDIENT, 0.0, 110.0)
    draw = DrawAt(at_s=0.0, until_s=LONGEST_S, circuit=CARPARK, current_a=30.0)
    park = with_base(full_car_park(), ceiling_a=60.0)
    return Story.of(
        replace(park, draws=(draw,)), once_shared(*rogues, step_of_base(10.0, 30.0), lasts_s=110.0)
    )


def _with_slow_reports(park: Scenario) -> Scenario:
    stations = tuple(replace(station, sample_interval_s=30.0) for station in park.stations)
    return replace(park, stations=stations)


def slow_reports() -> Scenario:
    """Return a car park that fills twice, whose stations report every 30 s.

    The second time they were all seen to obey, and nobody knows on which phases vehicles draw.
    """
    park = with_vehicles(_with_slow_reports(full_car_park()), phase_count=3)
    first = (replace(visit, leave_s=400.0) for visit in park.visits)
    second = (replace(visit, at_s=420.0) for visit in park.visits)
    return replace(park, visits=(*first, *second), duration_s=500.0)


def _one_that_stops(need_wh: float, *, base_a: float) -> Scenario:
    """Return a car park with a vehicle that stops from full power, which is reported late."""
    park = _with_slow_reports(full_car_park())
    visits = tuple(
        of_such(visit, need_wh=need_wh, phase_count=1)
        for visit in park.visits
        if visit.connector.station == LAST
    )
    return with_base(replace(park, visits=visits), low_a=base_a, high_a=base_a, floor_a=0.0)


def _is_nearly_full(plant: Plant, _state: SiteState) -> bool:
    """Return whether the one vehicle there takes 32 A and has a quarter of a minute to go."""
    (evse,) = plant.world.stations[LAST].evses.values()
    if evse.vehicle is None:
        return False
    evse.vehicle.accrue(plant.now_s)  # Its energy is counted when it changes, and when asked.
    return 0.0 < evse.vehicle.remaining_wh < 30.0


def vehicle_that_stops_while_answers_are_late() -> Scenario:
    """Return a car park whose vehicle stops while stations tell late what they are asked."""
    late = of_all_stations(FaultKind.STATION_LATE, 0.0, 90.0)
    return Story.of(
        _one_that_stops(700.0, base_a=38.0), Act(when=_is_nearly_full, then=late, lasts_s=90.0)
    )


def silent_station_whose_vehicle_stops() -> Scenario:
    """Return a car park of which every station falls silent before its vehicle stops.

    Just before it does base takes as much on its phase: once the fall is forgotten, the meter shows
    what the last reading would explain.
    """
    silent = of_all_stations(FaultKind.STATION_SILENT, 0.0, LONGEST_S)
    step = StepAt(at_s=0.0, circuit=CARPARK, delta_a=(0.0, 30.0, 0.0))
    return Story.of(
        _one_that_stops(700.0, base_a=10.0),
        once_shared(*silent, lasts_s=0.0),
        Act(when=_is_nearly_full, then=(step, step_of_base(120.0, 3.0)), lasts_s=190.0),
    )


def step_just_over_the_rating() -> Scenario:
    """Return a car park whose base step carries it over its rating, and no further."""
    return Story.of(
        with_base(full_car_park(), ceiling_a=60.0),
        once_shared(step_of_base(0.0, 27.0), lasts_s=200.0),
    )


def station_that_obeys_no_more() -> Scenario:
    """Return a full car park of which two stations obey no more."""
    rogues = [
        fault_of(FaultKind.STATION_RUNAWAY, station.id, 0.0, 300.0)
        for station in one_circuit().stations[-2:]
    ]
    return Story.of(full_car_park(), once_shared(*rogues, lasts_s=300.0))


def room_while_answers_are_late() -> Scenario:
    """Return a full car park that was allowed nothing, and may use all when every station answers late.

    Vehicles begin at once.
    """
    late = of_all_stations(FaultKind.STATION_LATE, 0.0, 150.0)
    park = with_vehicles(full_car_park(), phase_count=3, startup_s=1.0)
    return Story.of(
        with_base(park, low_a=5.0, high_a=5.0, floor_a=0.0),
        once_shared(limited_to(25.0), lasts_s=60.0),
        once_shared(*late, limited_to(100.0), lasts_s=150.0),
    )


def cuts_while_answers_are_late() -> Scenario:
    """Return a car park that must cut when every station answers late."""
    late = of_all_stations(FaultKind.STATION_LATE, 0.0, 80.0)
    return Story.of(full_car_park(), once_shared(*late, step_of_base(40.0, 14.0), lasts_s=80.0))


def stations_that_let_more_flow() -> Scenario:
    """Return a full car park whose stations give 3.5 A more than they are told."""
    park = full_car_park()
    stations = tuple(replace(station, offset_a=3.5) for station in park.stations)
    return replace(park, stations=stations, duration_s=900.0)


def killed_where_more_flows_than_told() -> Scenario:
    """Return the same, whose gateway dies once it has learnt that."""
    return Story.of(
        stations_that_let_more_flow(), once_shared(gateway_killed(0.0, 20.0), lasts_s=200.0)
    )


def _without(park: Scenario, names: set[StationId]) -> tuple[Scenario, list[Visit]]:
    """Return a car park to which nobody comes at these stations, and who would, were it only later."""
    kept = tuple(visit for visit in park.visits if visit.connector.station not in names)
    later = [replace(visit, at_s=0.0) for visit in park.visits if visit not in kept]
    return replace(park, visits=kept), later


def _small_board() -> Scenario:
    """Return three stations of one connector on 40 A, beside 5 A of base."""
    site = one_circuit(worst_case_base_ma=20_000, fallback_ma=0)
    board = with_base(
        reduced_to({AWAY, SMALL, LAST}, full_car_park(), site), low_a=5.0, high_a=5.0, floor_a=4.0
    )
    return with_circuit(board, rating_ma=(40_000,) * 3)


def station_that_never_obeyed() -> Scenario:
    """Return a board in full use to which a vehicle comes at a station that obeys nothing.

    It tells nothing of what it gives either. The vehicle begins half a minute after it came, when it
    is too late for the others to follow.
    """
    board, later = _without(_small_board(), {LAST})
    late = (fault_of(FaultKind.STATION_LATE, name, 20.0, 120.0) for name in (AWAY, SMALL))
    comes = (of_such(visit, phase_count=3, startup_s=33.0) for visit in later)
    return Story.of(
        replace(
            board,
            stations=tuple(
                replace(traits, sends_meter_values=traits.station != LAST)
                for traits in board.stations
            ),
            faults=(fault_of(FaultKind.STATION_RUNAWAY, LAST, 1.0, LONGEST_S),),
        ),
        once_shared(*comes, *late, lasts_s=120.0),
    )


def step_while_the_gateway_is_gone() -> Scenario:
    """Return a car park whose gateway dies before its base steps up."""
    return Story.of(
        with_base(full_car_park(), ceiling_a=60.0),
        once_shared(gateway_killed(0.0, 180.0), step_of_base(90.0, 32.0), lasts_s=200.0),
    )


def stop_pressed_and_the_gateway_killed() -> Scenario:
    """Return a car park whose stop input is pressed, and whose gateway dies before its release."""
    stop = fault_of(FaultKind.STOP_PRESSED, "", 0.0, 250.0)
    return Story.of(full_car_park(), once_shared(stop, gateway_killed(60.0, 160.0), lasts_s=300.0))


def limit_from_outside() -> Scenario:
    """Return a full car park whose circuit is told from outside to carry half."""
    return Story.of(full_car_park(), once_shared(limited_to(50.0), lasts_s=150.0))


def limit_on_power() -> Scenario:
    """Return a full car park whose supply may take 40 kVA, two thirds of its ratings."""
    return with_circuit(replace(full_car_park(), duration_s=400.0), power_limit_va=40_000)


def _on_one_phase() -> Scenario:
    """Return a car park to which only vehicles come that draw on L1 alone."""
    park = replace(full_car_park(), duration_s=400.0)
    first_of = {c.ref: c.phases[0] for station in park.site.stations for c in station.connectors}
    visits = tuple(
        of_such(visit, phase_count=1)
        for visit in park.visits
        if first_of[visit.connector] is Phase.L1
    )
    return replace(park, visits=visits)


def limit_on_the_neutral() -> Scenario:
    """Return a car park whose vehicles draw on one phase, and whose neutral carries 40 A."""
    return with_circuit(_on_one_phase(), neutral_ma=40_000)


def limit_on_imbalance() -> Scenario:
    """Return a car park whose vehicles draw on one phase, which may be 40 A above the others."""
    return with_circuit(_on_one_phase(), imbalance_ma=40_000)


def cloud_over_the_roof() -> Scenario:
    """Return a full car park below a roof that gives 45 A a phase, until a cloud comes.

    Nobody measures the roof: the meter shows what is left of base behind it. Stations are out of reach.
    """
    park = with_base(full_car_park(), low_a=5.0, high_a=6.0, floor_a=0.0)
    roof = Source(
        id=SourceId("roof"),
        circuit=CARPARK,
        kind=SourceKind.PV,
        nameplate_ma=(45_000, 45_000, 45_000),
    )
    lost = of_all_stations(FaultKind.STATION_LOST, 0.0, 160.0)
    return Story.of(
        replace(
            park,
            site=replace(park.site, sources=(roof,)),
            reserve_a=((CARPARK, 15.0 + 45.0),),
        ),
        once_shared(*lost, step_of_base(10.0, 45.0), lasts_s=160.0),
    )


def vehicle_at_a_large_fallback() -> Scenario:
    """Return a full car park to which a last vehicle comes, where the fallback is 32 A.

    Its station refuses what it is told, and the others are out of reach: nobody can make room.
    """
    park, later = _without(full_car_park(), {LAST})
    site = one_circuit(worst_case_base_ma=33_000)
    stations = tuple(
        replace(
            station,
            connectors=tuple(replace(c, fallback_ma=32_000) for c in station.connectors),
        )
        if station.id == LAST
        else station
        for station in site.stations
    )
    comes = [replace(of_such(visit, startup_s=1.0, phase_count=3), at_s=10.0) for visit in later]
    lost = [
        replace(fault, kind=FaultKind.STATION_REJECTS) if fault.subject == LAST else fault
        for fault in of_all_stations(FaultKind.STATION_LOST, 0.0, 110.0)
    ]
    return Story.of(
        replace(park, site=replace(site, stations=stations)),
        once_shared(*lost, *comes, lasts_s=110.0),
    )


def large_rise_while_the_gateway_is_gone() -> Scenario:
    """Return a full car park whose base rises as far as it ever did, just after the gateway died."""
    return Story.of(
        with_base(full_car_park(), ceiling_a=80.0),
        once_shared(gateway_killed(0.0, 150.0), step_of_base(20.0, 38.0), lasts_s=200.0),
    )


def base_above_its_worst_case() -> Scenario:
    """Return a car park whose base was far above its worst case, and is again once unseen."""
    park = with_circuit(full_car_park(), worst_case_base_ma=(40_000, 40_000, 40_000))
    lost = fault_of(FaultKind.METER_LOST, METER, 0.0, 190.0)
    return Story.of(
        with_base(park, ceiling_a=90.0),
        once_shared(*climb_of_base(0.0, 48.0), lasts_s=200.0),
        once_shared(step_of_base(0.0, -48.0), lasts_s=60.0),
        once_shared(lost, step_of_base(40.0, 42.0), lasts_s=200.0),
    )


def base_above_the_rating_thrice() -> Scenario:
    """Return a car park whose base climbs above the rating for some 25 s, three times."""
    rise = (*climb_of_base(0.0, 45.0), *climb_of_base(90.0, 36.0), step_of_base(175.0, -81.0))
    return Story.of(
        with_base(full_car_park(), low_a=22.0, high_a=22.0, ceiling_a=110.0),
        *[once_shared(*rise, lasts_s=lasts_s) for lasts_s in (240.0, 240.0, 320.0)],
    )


def station_that_nothing_cuts() -> Scenario:
    """Return a car park in which one station alone, that obeys nobody, is too much with base."""
    park = with_base(full_car_park(), low_a=22.0, high_a=22.0)
    rogue = fault_of(FaultKind.STATION_RUNAWAY, ROGUE, 0.0, 100.0)
    return Story.of(
        with_vehicles(park, phase_count=3),
        once_shared(rogue, step_of_base(5.0, 17.0), lasts_s=100.0),
    )


def lost_station() -> Scenario:
    """Return a full car park of which a station is lost, and falls back."""
    return Story.of(
        full_car_park(),
        once_shared(fault_of(FaultKind.STATION_LOST, ROGUE, 0.0, 170.0), lasts_s=170.0),
    )


def lost_station_that_keeps_its_limit() -> Scenario:
    """Return a full car park of which a station is lost that never falls back, and was never tried."""
    park = full_car_park()
    stations = tuple(
        replace(traits, lapses=False, is_commissioned=False) if traits.station == ROGUE else traits
        for traits in park.stations
    )
    return Story.of(
        replace(park, site=one_circuit(fallback_ma=0), stations=stations),
        once_shared(fault_of(FaultKind.STATION_LOST, ROGUE, 0.0, 290.0), lasts_s=300.0),
    )


def killed_beside_a_full_vehicle() -> Scenario:
    """Return a board of 40 A with 5 A of base, a vehicle that is full and stays, and two that come.

    Its station was seen to obey while it charged. The gateway dies before the others come.
    """
    board, later = _without(_small_board(), {SMALL, LAST})
    comes = (replace(visit, at_s=300.0) for visit in later)
    return Story.of(
        with_vehicles(board, need_wh=1_500.0, phase_count=3),
        Act(when=_is_full, then=(gateway_killed(0.0, 20.0), *comes), lasts_s=1_200.0),
    )


def _is_full(plant: Plant, _state: SiteState) -> bool:
    return any(record.finished_s is not None for record in plant.world.judge.visits)


def killed_in_the_midst_of_raises() -> Scenario:
    """Return a full car park with more room, whose gateway dies when a station has begun to use it.

    It does so again: what was raised may have been written by chance.
    """
    killed = Act(when=_is_raised, then=(gateway_killed(0.0, 3.0),), lasts_s=100.0)
    return Story.of(
        replace(with_base(full_car_park(), floor_a=0.0), site=one_circuit(fallback_ma=0)),
        once_shared(step_of_base(0.0, -18.0), lasts_s=10.0),
        killed,
        killed,
    )


def _is_raised(plant: Plant, state: SiteState) -> bool:
    """Return whether a station has just taken more than it was told before."""
    beliefs = {ref: state.connectors[at] for ref, at in state.wiring.connector_at.items()}
    return any(
        plant.now_s - beliefs[ref].raised_at_s < RAISED_S
        and watch.evse.limit_a * 1_000 >= beliefs[ref].wanted_ma
        for ref, watch in plant.world.judge.connectors.items()
    )


def killed_while_a_station_is_away() -> Scenario:
    """Return a board with room for more, whose gateway dies for a moment as base falls.

    It is back at once, and a station whose vehicle takes little, by a lease just renewed, is not.
    """
    park = reduced_to({ROGUE, AWAY}, full_car_park(), one_circuit(fallback_ma=0))
    visits = tuple(
        of_such(visit, max_a=7.0) if visit.connector.station == AWAY else visit
        for visit in park.visits
    )
    lost = fault_of(FaultKind.STATION_LOST, AWAY, 0.0, 100.0)
    return Story.of(
        with_base(replace(park, visits=visits), floor_a=0.0),
        once_shared(lasts_s=0.0),
        Act(
            when=_is_renewed,
            then=(lost, gateway_killed(0.0, 2.0), step_of_base(0.0, -18.0)),
            lasts_s=100.0,
        ),
    )


def _is_renewed(plant: Plant, _state: SiteState) -> bool:
    """Return whether the lease of who will be away was renewed a moment ago."""
    (evse,) = plant.world.stations[AWAY].evses.values()
    return plant.now_s - evse.leased_at_s < 2.0
