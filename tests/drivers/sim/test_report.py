"""What the plant says of a run: its schema, its figures, and what it calls a violation."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.plant import Plant
from drivers.sim.report import Report, quantile
from drivers.sim.scenario import LimitAt, Scenario, StepAt, Visit
from gateway.domain.electric import Phase
from gateway.domain.events import TransactionEnded, TransactionStarted
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

Law = Callable[[ConnectorRef, float], float]


def fault(
    kind: FaultKind, at_s: float, until_s: float, subject: str = "", value: float = 0.0
) -> Fault:
    return Fault(kind=kind, at_s=at_s, until_s=until_s, subject=subject, value=value)


def run(scenario: Scenario, law: Law, *, every_s: float = 20.0) -> Plant:
    """Run a plant under a gateway that sends `law(connector, second)` at even intervals."""
    plant = Plant(scenario)
    running: set[ConnectorRef] = set()
    while plant.now_s < scenario.duration_s:
        for told in plant.advance(min(plant.now_s + every_s, scenario.duration_s)):
            if isinstance(told, TransactionStarted):
                running.add(told.connector)
            elif isinstance(told, TransactionEnded):
                running.discard(told.connector)
        for connector in sorted(running) if plant.is_gateway_up else ():
            amps = law(connector, plant.now_s)
            limit = CurrentLimit(limit_ma=int(amps * 1_000))
            plant.send_limit(connector, limit, valid_for_s=60.0, at_s=plant.now_s)
    return plant


def always(amps: float) -> Law:
    return lambda _connector, _second: amps


def what(report: Report) -> list[str]:
    return [violation.what for violation in report.violations]


def both(*, leave_s: float = 10_000.0) -> tuple[Visit, ...]:
    return (visit(leave_s=leave_s), visit(TWO, leave_s=leave_s))


def test_the_schema_is_that_of_the_design() -> None:
    kill = fault(FaultKind.STATION_LOST, 100.0, 300.0, CP1)
    plant = run(small_scenario(visits=both(), faults=(kill,), duration_s=600.0), always(10.0))

    said = json.loads(json.dumps(plant.report().as_json()))

    assert {
        "energy_vs_omniscient",
        "limit_changes_per_connector_h",
        "needless_pauses_per_connector_h",
        "invariants_violated",
    } <= set(said)
    for key, names in {
        "circuits": (
            *("id", "rating_a", "peak_ratio", "over_set_point_s"),
            *("over_rating_s", "overload_pu2s"),
        ),
        "sessions": ("connector", "asked_wh", "promised_wh", "delivered_wh", "finished_at"),
        "stations": ("id", "ocpp_version"),
        "meters": ("id", "transport"),
        "faults": ("kind", "at", "answered_in_s"),
    }.items():
        assert said[key]
        assert set(names) <= set(said[key][0])
    assert set(said["limit_latency_s"]) == {"p50", "p99"}


def test_energy_is_measured_against_who_knew_everything() -> None:
    # Set-point 95 A, base 20 A: 75 A for two cars of 32 A. Both could have had 32, and had 16.
    plant = run(small_scenario(visits=both(), duration_s=3_600.0), always(16.0))
    report = plant.report()

    assert report.energy_vs_omniscient == pytest.approx(0.5, abs=0.01)
    for session in report.sessions:
        assert session.omniscient_wh == pytest.approx(32.0 * 690.0 * 3_590 / 3_600, rel=0.002)
        assert session.delivered_wh == pytest.approx(16.0 * 690.0, rel=0.02)


def test_the_omniscient_shares_what_the_set_point_leaves() -> None:
    # Set-point 95 A, base 45 A: 25 A each.
    plant = run(small_scenario(visits=both(), base_a=45.0), always(20.0))

    assert plant.report().energy_vs_omniscient == pytest.approx(20.0 / 25.0, abs=0.01)


def test_a_session_ends_when_it_has_what_it_asked() -> None:
    small = replace(PLAIN, need_wh=5_520.0)  # Half an hour at 16 A.
    plant = run(small_scenario(visits=(visit(vehicle=small),)), always(16.0))
    (session,) = plant.report().sessions

    assert session.delivered_wh == pytest.approx(5_520.0)
    assert session.finished_at == pytest.approx(10.0 + 1_800.0, abs=60.0)
    assert session.promised_wh is None


def test_a_session_that_left_keeps_its_figures() -> None:
    plant = run(small_scenario(visits=(visit(leave_s=1_000.0),)), always(16.0))
    (session,) = plant.report().sessions

    assert session.delivered_wh == pytest.approx(16.0 * 690.0 * 990.0 / 3_600, rel=0.05)
    assert session.omniscient_wh == pytest.approx(32.0 * 690.0 * 990.0 / 3_600, rel=0.001)
    assert session.finished_at is None


def test_a_lease_that_lapses_is_no_change_that_was_sent() -> None:
    plant = Plant(small_scenario(visits=(visit(),)))
    plant.advance(100.0)
    plant.send_limit(ONE, CurrentLimit(limit_ma=20_000), valid_for_s=60.0, at_s=100.0)
    plant.advance(3_600.0)

    assert plant.report().limit_changes_per_connector_h == pytest.approx(1.0, rel=0.01)


def test_renewals_are_not_changes() -> None:
    def law(_connector: ConnectorRef, second: float) -> float:
        return 16.0 if second < 1_800.0 else 12.0

    plant = run(small_scenario(visits=both()), law)

    # 6 to 16 A and 16 to 12 A, on each of two connectors, in an hour.
    assert plant.report().limit_changes_per_connector_h == pytest.approx(2.0, rel=0.01)


def pausing(from_s: float) -> Law:
    return lambda connector, second: 0.0 if connector == ONE and second >= from_s else 6.0


@pytest.mark.parametrize(
    ("base_a", "needless"),
    # Set-point 95 A. Beside the other's 6 A there is room for 6 A up to a base of 83 A.
    [(20.0, 1), (82.9, 1), (83.1, 0)],
)
def test_a_pause_is_needless_when_the_true_room_would_have_sufficed(
    base_a: float, needless: int
) -> None:
    plant = run(small_scenario(visits=both(), base_a=base_a, duration_s=1_800.0), pausing(600.0))
    judge = plant.world.judge

    assert [pause.connector for pause in judge.pauses] == [ONE]
    assert sum(pause.is_needless for pause in judge.pauses) == needless
    assert plant.report().needless_pauses_per_connector_h == pytest.approx(
        needless / (2 * 1_790.0 / 3_600.0), rel=0.01
    )


def test_taking_turns_is_no_needless_pause_when_there_is_room_for_one_alone() -> None:
    def law(connector: ConnectorRef, second: float) -> float:
        turn = int(second // 600.0) % 2
        return 6.0 if (connector == ONE) == (turn == 0) else 0.0

    plant = run(small_scenario(visits=both(), base_a=85.0), law)

    assert len(plant.world.judge.pauses) >= 4
    assert plant.report().needless_pauses_per_connector_h == 0.0


def test_a_calm_run_violates_nothing() -> None:
    plant = run(small_scenario(visits=both(), base_a=50.0), always(15.0))
    report = plant.report()

    assert what(report) == []
    assert report.invariants_violated == 0
    assert report.circuits[0].over_rating_s == 0.0
    assert report.circuits[0].peak_ratio == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("reserve_a", "violations"),
    # From 80 to 107 A and back after 12 s: more than a third of the budget, not all of it.
    [(30.0, ["third_of_thermal_budget"]), (15.0, [])],
)
def test_a_third_of_the_budget_is_the_limit_while_steps_stay_inside_the_reserve(
    reserve_a: float, violations: list[str]
) -> None:
    scenario = small_scenario(
        visits=both(),
        base_a=50.0,
        steps=(step(600.0, 27.0), step(612.0, -27.0)),
        reserve_a=reserve_a,
        duration_s=900.0,
    )
    report = run(scenario, always(15.0)).report()

    (circuit,) = report.circuits
    assert 1 / 3 < circuit.thermal_budget_peak < 1.0
    assert what(report) == violations
    assert list(circuit.excursions_s) == pytest.approx([12.0])


def test_all_of_the_budget_is_never_to_be_spent() -> None:
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=(step(600.0, 40.0), step(630.0, -40.0)), reserve_a=15.0
    )
    report = run(replace(scenario, duration_s=900.0), always(15.0)).report()

    assert what(report) == ["thermal_budget"]
    assert report.circuits[0].trip_count == 1


def test_a_minute_over_the_rating_is_too_long() -> None:
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=(step(600.0, 21.0),), reserve_a=10.0, duration_s=900.0
    )
    report = run(scenario, always(15.0)).report()

    assert what(report) == ["over_rating_60s", "not_switched_off"]
    assert list(report.circuits[0].excursions_s) == pytest.approx([300.0])


def test_a_circuit_that_is_switched_off_feeds_nothing_any_more() -> None:
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=(step(600.0, 21.0),), reserve_a=10.0, duration_s=900.0
    )
    plant = run(replace(scenario, duration_s=665.0), always(15.0))
    plant.switch_off(CARPARK)
    plant.advance(scenario.duration_s)

    assert plant.true_currents_a() == [(0.0, 0.0)] * 3
    assert plant.connected_stations() == frozenset()
    assert what(plant.report()) == ["over_rating_60s"]


@pytest.mark.parametrize(
    ("declared", "amps", "told"),
    [
        ({"power_limit_va": 55_000}, 15.0, ["power, VA: 55200.0 of 55000"]),
        ({"power_limit_va": 55_000}, 14.0, []),
        ({"imbalance_ma": 25_000}, 15.0, ["imbalance, mA: 30000.0 of 25000"]),
        ({"imbalance_ma": 25_000}, 12.0, []),
        ({"neutral_ma": 25_000}, 15.0, ["neutral, mA: 30000.0 of 25000"]),
        ({"neutral_ma": 25_000}, 12.0, []),
    ],
)
def test_nothing_flows_for_a_minute_beyond_what_joins_the_phases(
    declared: dict[str, int], amps: float, told: list[str]
) -> None:
    is_of_power = "power_limit_va" in declared
    site = small_site(phases=EVERY_PHASE if is_of_power else (Phase.L1,))
    circuit = replace(site.circuits[0], **declared)  # type: ignore[arg-type]
    scenario = small_scenario(
        site=replace(site, circuits=(circuit,)), visits=both(), base_a=50.0, duration_s=900.0
    )
    report = run(scenario, always(amps)).report()

    assert [v.detail for v in report.violations] == [f"carpark: {detail}" for detail in told]


@pytest.mark.parametrize("is_obeyed", [True, False])
def test_nothing_flows_for_a_minute_beyond_what_is_allowed_from_outside(is_obeyed: bool) -> None:
    limit = LimitAt(at_s=600.0, circuit=CARPARK, limit_a=75.0)
    scenario = replace(
        small_scenario(visits=both(), base_a=50.0, duration_s=900.0), limits=(limit,)
    )

    def law(_connector: ConnectorRef, second: float) -> float:
        return 12.0 if is_obeyed and second >= 600.0 else 20.0

    report = run(scenario, law).report()

    assert what(report) == ([] if is_obeyed else ["beyond_bound_60s"])


def test_excursions_are_usually_over_in_a_quarter_of_a_minute() -> None:
    steps: tuple[StepAt, ...] = ()
    for index in range(20):
        at_s = 600.0 + 100.0 * index
        steps += (step(at_s, 21.0), step(at_s + (20.0 if index < 2 else 5.0), -21.0))
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=steps, reserve_a=10.0, duration_s=2_800.0
    )
    report = run(scenario, always(15.0)).report()

    assert what(report) == ["back_under_rating_p95"]


def test_a_rise_in_small_steps_counts_as_one_within_a_reaction() -> None:
    quick = tuple(step(600.0 + 5.0 * index, 10.0) for index in range(3))
    slow = tuple(step(600.0 + 60.0 * index, 10.0) for index in range(3))
    inside = []
    for steps in (quick, slow):
        plant = run(
            small_scenario(visits=both(), base_a=20.0, steps=steps, duration_s=900.0), always(6.0)
        )
        inside.append([record.is_inside_reserve for record in plant.world.judge.steps])

    assert inside == [[True, False, False], [True, True, True]]


@pytest.mark.parametrize(
    ("is_blind", "violations"), [(False, ["third_of_thermal_budget"]), (True, [])]
)
def test_without_a_meter_what_has_risen_since_adds_up(
    is_blind: bool, violations: list[str]
) -> None:
    # Two steps inside the reserve, more than a reaction apart: from 80 to 107 A.
    lost = fault(FaultKind.METER_LOST, 600.0, 640.0, METER)
    scenario = small_scenario(
        visits=both(),
        base_a=50.0,
        steps=(step(602.0, 14.0), step(622.0, 13.0), step(634.0, -27.0)),
        faults=(lost,) if is_blind else (),
        duration_s=900.0,
    )

    assert what(run(scenario, always(15.0)).report()) == violations


def test_what_a_runaway_draws_is_a_rise_like_any_other() -> None:
    away = fault(FaultKind.STATION_RUNAWAY, 600.0, 620.0, CP1)
    scenario = small_scenario(visits=both(), base_a=62.0, faults=(away,), duration_s=900.0)
    report = run(scenario, always(15.0)).report()

    (circuit,) = report.circuits
    assert circuit.peak_ratio == pytest.approx(1.09)
    assert circuit.thermal_budget_peak > 1 / 3
    assert circuit.thermal_budget_peak_inside_reserve == 0.0
    assert what(report) == []


@pytest.mark.parametrize("is_obeyed", [True, False])
def test_nothing_may_draw_while_the_stop_input_is_pressed(is_obeyed: bool) -> None:
    pressed = fault(FaultKind.STOP_PRESSED, 600.0, 1_200.0)
    scenario = small_scenario(visits=both(), faults=(pressed,), duration_s=1_200.0)

    def law(_connector: ConnectorRef, second: float) -> float:
        return 0.0 if is_obeyed and second >= 600.0 else 10.0

    report = run(scenario, law, every_s=1.0).report()

    told = [] if is_obeyed else ["draws_when_stopped"] * 2
    assert [violation.what for violation in report.violations] == told
    answered_s = [record.answered_in_s for record in report.faults]
    assert all(s is not None and s <= 17.0 for s in answered_s) is is_obeyed


def test_a_station_that_is_lost_cannot_hear_that_it_must_stop() -> None:
    pressed = fault(FaultKind.STOP_PRESSED, 600.0, 900.0)
    lost = fault(FaultKind.STATION_LOST, 590.0, 900.0, CP1)
    scenario = small_scenario(visits=both(), faults=(pressed, lost), duration_s=900.0)

    def law(_connector: ConnectorRef, second: float) -> float:
        return 0.0 if second >= 600.0 else 10.0

    assert what(run(scenario, law, every_s=1.0).report()) == []


def test_a_connector_left_hungry_is_forgotten() -> None:
    plant = run(small_scenario(visits=both(), duration_s=7_200.0), pausing(600.0))

    assert "connector_forgotten" in what(plant.report())


def test_a_connector_that_could_not_be_served_is_not_forgotten() -> None:
    plant = run(small_scenario(visits=both(), base_a=80.0, duration_s=7_200.0), pausing(600.0))

    assert what(plant.report()) == []


def test_room_that_nobody_is_given_never_came_back() -> None:
    plant = run(small_scenario(visits=both()), always(8.0))

    assert set(what(plant.report())) == {"headroom_never_came_back"}


@pytest.mark.parametrize(
    ("tells", "violations"), [(True, {"headroom_never_came_back"}), (False, set())]
)
def test_what_a_station_does_not_tell_cannot_be_given_away(
    tells: bool, violations: set[str]
) -> None:
    def law(connector: ConnectorRef, _second: float) -> float:
        return 32.0 if connector == ONE else 8.0

    stations = (traits_of(CP1, sends_meter_values=tells), traits_of(CP2))
    plant = run(small_scenario(stations=stations, visits=both()), law)

    assert set(what(plant.report())) == violations


@pytest.mark.parametrize(
    ("excursion_count", "held_a", "violations"),
    [(3, 0.0, []), (3, 6.0, []), (3, 15.0, ["not_locked_out"] * 2), (2, 15.0, [])],
)
def test_after_three_long_excursions_a_circuit_is_to_be_held_back(
    excursion_count: int, held_a: float, violations: list[str]
) -> None:
    steps: tuple[StepAt, ...] = ()
    for index in range(excursion_count):
        steps += (step(600.0 + 100.0 * index, 21.0), step(625.0 + 100.0 * index, -21.0))
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=steps, reserve_a=10.0, duration_s=7_200.0
    )

    def law(_connector: ConnectorRef, second: float) -> float:
        return 15.0 if second < 840.0 else held_a

    told = what(run(scenario, law).report())
    assert [word for word in told if word != "headroom_never_came_back"] == violations


def test_a_full_vehicle_needs_no_room() -> None:
    full = replace(PLAIN, need_wh=1_000.0)
    plant = run(small_scenario(visits=(visit(vehicle=full),)), always(8.0))

    assert what(plant.report()) == []


def test_a_limit_that_outlives_its_lease_is_told() -> None:
    plant = Plant(small_scenario(visits=both(), base_a=70.0, duration_s=3_600.0))
    plant.advance(700.0)
    plant.send_limit(ONE, CurrentLimit(limit_ma=8_000), valid_for_s=2_000.0, at_s=700.0)
    plant.advance(710.0)
    assert what(plant.report()) == []

    # As if it had promised a minute.
    plant.world.stations[CP1].evses[1].lease_until_s = 760.0
    plant.advance(800.0)

    assert what(plant.report()) == ["old_limit"]


def test_a_violation_names_the_faults_under_way() -> None:
    lost = fault(FaultKind.METER_LOST, 590.0, 700.0, METER)
    scenario = small_scenario(
        visits=both(),
        base_a=50.0,
        steps=(step(600.0, 40.0), step(630.0, -40.0)),
        faults=(lost,),
        duration_s=900.0,
    )
    (violation,) = run(scenario, always(15.0)).report().violations

    assert "meter_lost carpark-meter" in violation.detail


def answered(scenario: Scenario, law: Law) -> float | None:
    (only,) = run(scenario, law, every_s=5.0).report().faults
    return only.answered_in_s


def test_a_lost_meter_is_answered_when_all_are_at_their_fallback() -> None:
    lost = fault(FaultKind.METER_LOST, 600.0, 900.0, METER)
    scenario = small_scenario(visits=both(), faults=(lost,), duration_s=1_000.0)

    assert answered(scenario, lambda _c, s: 16.0 if s < 620.0 else 6.0) == pytest.approx(21, abs=2)
    assert answered(scenario, always(16.0)) is None


def test_a_lost_station_is_answered_when_its_lease_has_lapsed() -> None:
    lost = fault(FaultKind.STATION_LOST, 600.0, 900.0, CP1)
    scenario = small_scenario(visits=both(), faults=(lost,), duration_s=1_000.0)

    assert answered(scenario, always(16.0)) == pytest.approx(58.0, abs=6.0)


def test_a_step_is_answered_once_there_is_a_reserve_for_the_next_one() -> None:
    rises = fault(FaultKind.BASE_STEP, 600.0, 900.0, "carpark", 14.0)
    scenario = small_scenario(visits=both(), base_a=50.0, faults=(rises,), duration_s=1_000.0)

    def law(_connector: ConnectorRef, second: float) -> float:
        return 15.0 if second < 610.0 else 6.0

    assert answered(scenario, always(7.0)) == 0.0
    late_s = answered(scenario, law)
    assert late_s is not None
    assert 10.0 < late_s < 25.0
    assert answered(scenario, always(15.0)) is None


def test_who_disobeys_is_answered_when_its_circuit_is_within_its_set_point_for_good() -> None:
    ignores = fault(FaultKind.STATION_DISOBEDIENT, 600.0, 900.0, CP1)
    steps = (step(605.0, 30.0),)
    scenario = small_scenario(
        visits=both(), base_a=50.0, steps=steps, faults=(ignores,), duration_s=1_000.0
    )

    def law(connector: ConnectorRef, second: float) -> float:
        return 12.0 if second < 620.0 or connector.station == CP1 else 0.0

    late_s = answered(scenario, law)
    assert late_s is not None
    assert 20.0 < late_s < 35.0
    assert answered(scenario, always(12.0)) is None


def test_a_dead_gateway_is_answered_by_the_next_limit_after_it() -> None:
    kill = fault(FaultKind.GATEWAY_KILL, 600.0, 640.0)
    scenario = small_scenario(visits=both(), faults=(kill,), duration_s=1_000.0)

    after_s = answered(scenario, always(10.0))

    assert after_s is not None
    assert 40.0 < after_s < 65.0


def test_too_many_writes_to_flash_are_told() -> None:
    plant = Plant(small_scenario())
    for index in range(11):
        plant.advance(60.0 + 10.0 * index)
        plant.set_fallback(ONE, CurrentLimit(limit_ma=6_000 + index), at_s=plant.now_s)
    plant.advance(300.0)

    assert what(plant.report()) == ["flash_writes"]


@pytest.mark.parametrize(
    ("values", "share", "result"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0)],
)
def test_quantiles_are_of_the_nearest_rank(
    values: list[float], share: float, result: float | None
) -> None:
    assert quantile(values, share) == result
