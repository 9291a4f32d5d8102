"""The plant in memory as a gateway meets it: who answers what, when, and always the same."""

from dataclasses import replace
from itertools import pairwise

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.observations import (
    Answered,
    GatewayKilled,
    GatewayStarted,
    MeterSilent,
    Observation,
    Outcome,
    WallClockJumped,
)
from drivers.sim.plant import Plant
from drivers.sim.scenario import LimitAt, Scenario, ScenarioKind
from gateway.domain.circuits import ChargingStation, Connector
from gateway.domain.events import (
    CapabilitiesRead,
    DeadManProven,
    FallbackInstalled,
    MeterRead,
    StationConnected,
    StationDisconnected,
    StopInputChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import CurrentLimit
from tests.support.sim_scenarios import (
    CARPARK,
    CP1,
    CP2,
    EVERY_PHASE,
    METER,
    ONE,
    PLAIN,
    TWO,
    small_scenario,
    small_site,
    step,
    traits_of,
    visit,
)


def fault(
    kind: FaultKind, at_s: float, until_s: float, subject: str = "", value: float = 0.0
) -> Fault:
    return Fault(kind=kind, at_s=at_s, until_s=until_s, subject=subject, value=value)


def send(plant: Plant, connector: ConnectorRef, amps: float) -> int:
    limit = CurrentLimit(limit_ma=int(amps * 1_000))
    return plant.send_limit(connector, limit, valid_for_s=60.0, at_s=plant.now_s)


def ends(told: list[Observation], call: int) -> list[tuple[float, Outcome]]:
    return [(o.at_s, o.outcome) for o in told if isinstance(o, Answered) and o.call_number == call]


def end(told: list[Observation], call: int) -> tuple[float, Outcome]:
    (only,) = ends(told, call)
    return only


def run_as_a_simple_gateway(scenario: Scenario) -> tuple[Plant, list[Observation]]:
    """Send limits that change all the time, and ask for readings; return all that was seen."""
    plant = Plant(scenario)
    seen: list[Observation] = []
    running: set[ConnectorRef] = set()
    second = 0
    while plant.now_s < scenario.duration_s:
        second += 1
        for told in plant.advance(float(second)):
            seen.append(told)
            if isinstance(told, TransactionStarted):
                running.add(told.connector)
            elif isinstance(told, TransactionEnded):
                running.discard(told.connector)
        if plant.is_gateway_up and second % 15 == 0:
            for index, connector in enumerate(sorted(running)):
                send(plant, connector, 6.0 + (second // 15 + index) % 5)
                if index % 3 == 0:
                    plant.request_reading(connector, at_s=plant.now_s)
    return plant, seen


@pytest.mark.parametrize("kind", list(ScenarioKind))
def test_the_same_seed_gives_the_same_run_to_the_last_bit(kind: ScenarioKind) -> None:
    first, first_seen = run_as_a_simple_gateway(generate(kind, 7, duration_s=2_400.0))
    second, second_seen = run_as_a_simple_gateway(generate(kind, 7, duration_s=2_400.0))

    assert first_seen == second_seen
    assert first.report() == second.report()


def test_another_seed_gives_another_run() -> None:
    first, _ = run_as_a_simple_gateway(generate(ScenarioKind.HARSH, 7, duration_s=1_200.0))
    second, _ = run_as_a_simple_gateway(generate(ScenarioKind.HARSH, 8, duration_s=1_200.0))

    assert first.report().sessions != second.report().sessions


def test_what_a_gateway_asks_does_not_change_what_happens_elsewhere() -> None:
    scenario = generate(ScenarioKind.HARSH, 7, duration_s=1_200.0)
    asked, asked_seen = run_as_a_simple_gateway(scenario)
    left_alone = Plant(scenario)
    left_alone.advance(1_200.0)

    wires = [plant.world.wires[scenario.site.circuits[0].id] for plant in (asked, left_alone)]
    assert wires[0].base_a == wires[1].base_a
    assert asked_seen
    assert [s.asked_wh for s in asked.report().sessions] == [
        s.asked_wh for s in left_alone.report().sessions
    ]


def test_how_time_is_cut_changes_nothing() -> None:
    scenario = generate(ScenarioKind.FAULTS, 3, duration_s=900.0)
    whole, cut = Plant(scenario), Plant(scenario)

    seen_whole = whole.advance(900.0)
    seen_cut = [told for tick in range(1, 3_601) for told in cut.advance(tick / 4)]

    assert seen_whole == seen_cut
    assert whole.report() == cut.report()


def test_what_is_expected_later_is_as_if_the_scenario_had_said_it_from_the_start() -> None:
    scenario = replace(
        small_scenario(
            visits=(visit(at_s=60.0),),
            steps=(step(80.0, 30.0),),
            faults=(fault(FaultKind.METER_LOST, 70.0, 100.0, METER),),
        ),
        limits=(LimitAt(at_s=90.0, circuit=CARPARK, limit_a=10.0),),
    )
    from_the_start, later = Plant(scenario), Plant(small_scenario())

    seen = from_the_start.advance(400.0)
    seen_later = later.advance(50.0)
    for happening in scenario.happenings:
        later.world.expect(happening)
    seen_later += later.advance(400.0)

    assert seen == seen_later
    assert later.report() == from_the_start.report()
    assert [violation.what for violation in later.report().violations] == ["beyond_bound_60s"]


def test_what_arrives_arrives_in_order_and_not_before_its_time() -> None:
    plant = Plant(generate(ScenarioKind.FAULTS, 5, duration_s=1_200.0))
    last_s = 0.0
    for second in range(1, 1_201):
        for told in plant.advance(float(second)):
            assert last_s <= told.at_s <= second
            last_s = told.at_s


def test_a_station_comes_up_connected_read_and_proven() -> None:
    plant = Plant(small_scenario(stations=(traits_of(CP1), traits_of(CP2, is_commissioned=False))))

    told = plant.advance(30.0)

    mine = [o for o in told if getattr(o, "station", getattr(o, "connector", ONE)) in (CP1, ONE)]
    kinds = [type(o) for o in mine if not isinstance(o, MeterRead)]
    assert kinds[:2] == [StationConnected, CapabilitiesRead]
    assert FallbackInstalled in kinds
    assert DeadManProven in kinds
    assert not [o for o in told if isinstance(o, DeadManProven) and o.station == CP2]
    assert plant.connected_stations() == {CP1, CP2}


def test_meters_answer_each_second_a_little_late() -> None:
    plant = Plant(small_scenario(base_a=30.0))
    plant.advance(10.0)

    reads = [o for o in plant.advance(110.0) if isinstance(o, MeterRead)]

    assert len(reads) == 100
    for read in reads:
        assert 0.025 <= read.at_s - read.reading.at_s <= 0.2
        assert read.reading.current_a[0] == pytest.approx(30.0, abs=0.6)


@pytest.mark.parametrize(
    ("kind", "silent_count", "valueless_count", "distinct_count"),
    [
        (FaultKind.METER_LOST, 10, 0, 0),
        (FaultKind.METER_NAN, 0, 10, 1),
        (FaultKind.METER_FROZEN, 0, 0, 1),
    ],
)
def test_a_meter_fails_in_three_ways(
    kind: FaultKind, silent_count: int, valueless_count: int, distinct_count: int
) -> None:
    plant = Plant(small_scenario(faults=(fault(kind, 100.0, 111.0, METER),)))
    plant.advance(101.0)

    told = plant.advance(111.0)

    reads = [o.reading for o in told if isinstance(o, MeterRead)]
    assert len([o for o in told if isinstance(o, MeterSilent)]) == silent_count
    assert len([r for r in reads if r.current_a == (None, None, None)]) == valueless_count
    assert len({r.current_a for r in reads}) == distinct_count
    recovered = [o for o in plant.advance(116.0) if isinstance(o, MeterRead)]
    assert len({read.reading.current_a for read in recovered}) >= 4


def test_limits_are_acknowledged_in_a_second_or_so() -> None:
    plant = Plant(small_scenario(visits=(visit(),)))
    plant.advance(60.0)
    latencies_s = []
    for index in range(200):
        sent_s = plant.now_s
        call = send(plant, ONE, 6.0 + index % 10)
        at_s, outcome = end(plant.advance(sent_s + 2.0), call)
        assert outcome is Outcome.ACCEPTED
        latencies_s.append(at_s - sent_s)

    assert 0.1 <= min(latencies_s) < 0.3
    assert 1.2 < max(latencies_s) <= 1.5
    latency_s = plant.report().limit_latency_s
    assert latency_s.p50 == pytest.approx(sorted(latencies_s)[99])


def test_a_late_station_answers_late_or_too_late() -> None:
    plant = Plant(
        small_scenario(
            visits=(visit(),), faults=(fault(FaultKind.STATION_LATE, 50.0, 9_000.0, CP1),)
        )
    )
    plant.advance(60.0)
    answers = []
    for _ in range(100):
        sent_s = plant.now_s
        call = send(plant, ONE, 10.0)
        at_s, outcome = end(plant.advance(sent_s + 25.0), call)
        answers.append((at_s - sent_s, outcome))

    accepted_s = [after_s for after_s, outcome in answers if outcome is Outcome.ACCEPTED]
    unanswered_s = [after_s for after_s, outcome in answers if outcome is Outcome.UNANSWERED]
    assert 5.0 <= min(accepted_s) <= max(accepted_s) <= 10.0
    assert unanswered_s == pytest.approx([10.0] * len(unanswered_s))
    # 5 to 20 s, evenly: a third is in time.
    assert 20 < len(accepted_s) < 50


def test_a_limit_that_was_not_answered_may_be_in_force_all_the_same() -> None:
    plant = Plant(
        small_scenario(
            visits=(visit(),), faults=(fault(FaultKind.STATION_LATE, 50.0, 9_000.0, CP1),)
        )
    )
    plant.advance(60.0)
    evse = plant.world.stations[CP1].evses[1]
    applied = []
    for index in range(40):
        amps = 7.0 + index % 2
        call = send(plant, ONE, amps)
        if end(plant.advance(plant.now_s + 10.0), call)[1] is Outcome.UNANSWERED:
            applied.append(evse.limit_a == amps)
        plant.advance(plant.now_s + 30.0)

    assert True in applied
    assert False in applied


def test_an_old_limit_never_overtakes_a_newer_one() -> None:
    late = fault(FaultKind.STATION_LATE, 50.0, 9_000.0, CP1)
    for seed in range(20):
        plant = Plant(small_scenario(seed=seed, visits=(visit(),), faults=(late,)))
        plant.advance(60.0)
        evse = plant.world.stations[CP1].evses[1]
        seen = [evse.limit_a]
        for index in range(8):
            send(plant, ONE, 7.0 + index)
            for _ in range(11):
                plant.advance(plant.now_s + 1.0)
                seen.append(evse.limit_a)

        assert seen == sorted(seen)


def two_connectors() -> Scenario:
    """Return a station with two connectors, both with a car."""
    site = small_site()
    first = site.stations[0]
    second = Connector(
        ref=ConnectorRef(CP1, 2),
        circuit=first.connectors[0].circuit,
        phases=EVERY_PHASE,
        max_ma=32_000,
        fallback_ma=6_000,
    )
    double = ChargingStation(id=CP1, connectors=(*first.connectors, second))
    return small_scenario(
        site=replace(site, stations=(double, site.stations[1])),
        visits=(visit(ONE), visit(ConnectorRef(CP1, 2))),
    )


def test_one_call_at_a_time_and_the_newest_limit_instead_of_one_that_waits() -> None:
    plant = Plant(two_connectors())
    plant.advance(60.0)
    first = send(plant, ONE, 10.0)  # Goes out at once.
    old = send(plant, ConnectorRef(CP1, 2), 11.0)  # Waits,
    new = send(plant, ConnectorRef(CP1, 2), 12.0)  # and gives way.
    again = send(plant, ONE, 13.0)

    told = plant.advance(70.0)

    assert end(told, old) == (60.0, Outcome.SUPERSEDED)
    in_order = [end(told, call) for call in (first, new, again)]
    assert [outcome for _, outcome in in_order] == [Outcome.ACCEPTED] * 3
    assert [at_s for at_s, _ in in_order] == sorted(at_s for at_s, _ in in_order)
    assert all(later[0] - earlier[0] >= 0.1 for earlier, later in pairwise(in_order))
    evses = plant.world.stations[CP1].evses
    assert [evses[1].limit_a, evses[2].limit_a] == [13.0, 12.0]


def test_the_deadline_counts_from_the_call_though_it_waits_its_turn() -> None:
    scenario = replace(
        two_connectors(), faults=(fault(FaultKind.STATION_LATE, 50.0, 9_000.0, CP1),)
    )
    plant = Plant(scenario)
    plant.advance(60.0)
    calls = [send(plant, ConnectorRef(CP1, number), 10.0) for number in (1, 2)]

    told = plant.advance(100.0)

    assert max(end(told, call)[0] for call in calls) == pytest.approx(70.0)


def lost_plants() -> list[Plant]:
    """Return plants whose station is lost at 100 s, over seeds: noticed at once or not."""
    lost = fault(FaultKind.STATION_LOST, 100.0, 400.0, CP1)
    return [
        Plant(small_scenario(seed=seed, visits=(visit(),), faults=(lost,))) for seed in range(30)
    ]


def test_a_lost_station_is_noticed_at_once_or_by_its_pings() -> None:
    noticed_s = []
    for plant in lost_plants():
        told = plant.advance(200.0)
        noticed_s += [o.at_s - 100.0 for o in told if isinstance(o, StationDisconnected)]

    assert len(noticed_s) == 30
    assert {after_s < 1.0 or 20.0 <= after_s <= 40.0 for after_s in noticed_s} == {True}
    assert min(noticed_s) < 1.0
    assert max(noticed_s) > 20.0


def test_a_station_that_is_back_before_it_was_missed_was_away_all_the_same() -> None:
    lost = fault(FaultKind.STATION_LOST, 100.0, 103.0, CP1)
    for seed in range(20):
        plant = Plant(small_scenario(seed=seed, visits=(visit(),), faults=(lost,)))
        plant.advance(99.0)

        told = plant.advance(160.0)

        links = [type(o) for o in told if isinstance(o, StationConnected | StationDisconnected)]
        assert links == [StationDisconnected, StationConnected]


def test_calls_to_a_lost_station_are_unanswered_and_change_nothing() -> None:
    for plant in lost_plants():
        plant.advance(100.5)
        call = send(plant, ONE, 20.0)

        at_s, outcome = end(plant.advance(150.0), call)

        assert outcome is Outcome.UNANSWERED
        assert at_s <= 110.5
        assert plant.world.stations[CP1].evses[1].limit_a == 6.0


def test_a_call_under_way_when_the_link_dies_is_unanswered_at_once_if_that_is_noticed() -> None:
    for plant in lost_plants():
        plant.advance(99.95)
        call = send(plant, ONE, 20.0)
        told = plant.advance(200.0)
        noticed_s = next(o.at_s for o in told if isinstance(o, StationDisconnected))
        at_s, outcome = end(told, call)
        if outcome is Outcome.UNANSWERED:
            assert at_s == pytest.approx(min(noticed_s, 109.95))


def test_a_reading_can_be_asked_for() -> None:
    plant = Plant(small_scenario(visits=(visit(),)))
    plant.advance(65.0)
    call = plant.request_reading(ONE, at_s=65.0)

    told = plant.advance(68.0)

    assert end(told, call)[1] is Outcome.ACCEPTED
    metered = [o for o in told if getattr(o, "connector", None) == ONE]
    assert len(metered) == 1


def test_while_the_gateway_is_dead_nothing_reaches_it_and_stations_run_on() -> None:
    kill = fault(FaultKind.GATEWAY_KILL, 100.0, 200.0)
    plant = Plant(small_scenario(visits=(visit(), visit(TWO)), faults=(kill,)))
    plant.advance(99.0)
    call = send(plant, ONE, 20.0)

    told = plant.advance(260.0)

    at = {type(o): o.at_s for o in told if isinstance(o, GatewayKilled | GatewayStarted)}
    assert at == {GatewayKilled: 100.0, GatewayStarted: 200.0}
    assert [o for o in told if 100.0 < o.at_s < 200.0] == []
    assert len(ends(told, call)) <= 1
    after = [o for o in told if o.at_s > 200.0]
    assert {o.station for o in after if isinstance(o, StationConnected)} == {CP1, CP2}
    assert {o.connector for o in after if isinstance(o, TransactionStarted)} == {ONE, TWO}
    assert not [o for o in told if isinstance(o, StationDisconnected)]
    assert len([o for o in after if isinstance(o, MeterRead)]) >= 58


def test_a_dead_gateway_cannot_ask() -> None:
    plant = Plant(small_scenario(faults=(fault(FaultKind.GATEWAY_KILL, 100.0, 200.0),)))
    plant.advance(150.0)

    assert not plant.is_gateway_up
    with pytest.raises(AssertionError):
        send(plant, ONE, 6.0)


def test_the_wall_clock_jumps_and_time_runs_on() -> None:
    jump = fault(FaultKind.WALL_CLOCK_JUMP, 100.0, 101.0, value=-3_600.0)
    plant = Plant(small_scenario(faults=(jump,)))

    told = plant.advance(120.0)

    assert [o.by_s for o in told if isinstance(o, WallClockJumped)] == [-3_600.0]
    assert len([o for o in told if isinstance(o, MeterRead)]) >= 118


def test_a_pressed_stop_input_is_told_and_again_to_a_gateway_that_starts() -> None:
    pressed = fault(FaultKind.STOP_PRESSED, 100.0, 300.0)
    kill = fault(FaultKind.GATEWAY_KILL, 150.0, 200.0)
    plant = Plant(small_scenario(faults=(pressed, kill)))

    told = [o for o in plant.advance(400.0) if isinstance(o, StopInputChanged)]

    assert [(o.at_s, o.is_stopped) for o in told] == [(100.0, True), (200.0, True), (300.0, False)]


def test_base_steps_reach_the_wires_and_the_meter() -> None:
    plant = Plant(
        small_scenario(
            base_a=20.0,
            steps=(step(100.0, 12.0),),
            faults=(fault(FaultKind.BASE_STEP, 110.0, 120.0, "carpark", 5.0),),
        )
    )
    shown = {}
    for at_s in (99.0, 108.0, 118.0, 128.0):
        plant.advance(at_s)
        shown[at_s] = plant.world.wires[plant.world.scenario.site.circuits[0].id].current_a[0]

    assert shown == pytest.approx({99.0: 20.0, 108.0: 32.0, 118.0: 37.0, 128.0: 32.0})


def test_currents_add_up_the_tree() -> None:
    scenario = generate(ScenarioKind.FAULTS, 2, duration_s=1_800.0)
    plant, _ = run_as_a_simple_gateway(scenario)
    world = plant.world
    drawn = {circuit.id: [0.0, 0.0, 0.0] for circuit in scenario.site.circuits}
    for station in world.stations.values():
        for evse in station.evses.values():
            for circuit in scenario.site.path_to_root(evse.connector.circuit):
                for phase in evse.used_phases if evse.vehicle else ():
                    drawn[circuit][phase] += evse.draw_a

    for name, wires in world.wires.items():
        vehicles_a = [c - b for c, b in zip(wires.current_a, wires.base_a, strict=True)]
        assert vehicles_a == pytest.approx(drawn[name], abs=1e-6)
    assert sum(drawn[scenario.site.circuits[0].id]) > 10.0


def test_beyond_its_limit_a_connector_reaches_what_its_vehicle_takes_and_no_more_than_is_known() -> (
    None
):
    gives_more = replace(traits_of(CP1), offset_a=3.0, offers_whole_amps=True)
    takes_little = replace(PLAIN, max_a=8.0)
    plant = Plant(
        small_scenario(
            stations=(gives_more, traits_of(CP2)),
            visits=(visit(), visit(TWO, vehicle=replace(takes_little, least_a=7.0))),
        )
    )
    plant.advance(20.0)

    assert plant.true_reach_a() == {ONE: 9.0, TWO: 7.0}  # Both fallbacks are 6 A.
    assert plant.true_reach_a({ONE: 2.0}) == {ONE: 8.0, TWO: 6.0}
    send(plant, ONE, 20.5)
    send(plant, TWO, 20.5)
    plant.advance(25.0)
    assert plant.true_reach_a() == {ONE: 23.0, TWO: 20.5}


def test_time_only_goes_forward() -> None:
    plant = Plant(small_scenario())
    plant.advance(50.0)

    with pytest.raises(ValueError, match="not to come"):
        plant.send_limit(ONE, CurrentLimit(limit_ma=0), valid_for_s=60.0, at_s=49.0)
