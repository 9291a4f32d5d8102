"""What a careful gateway may keep for a connector, and for how long it may doubt a station."""

from dataclasses import replace

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.plant import Plant
from drivers.sim.scenario import Scenario
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import CurrentLimit
from tests.support.sim_scenarios import (
    CP1,
    CP2,
    METER,
    ONE,
    PLAIN,
    TWO,
    small_scenario,
    traits_of,
    visit,
)

PROVEN_S = 600.0  # By then both have drawn for more than five minutes.


def run(
    scenario: Scenario,
    until_s: float,
    limits_ma: dict[ConnectorRef, int],
    *,
    plant: Plant | None = None,
) -> Plant:
    """Run a plant on to a second, under a gateway that repeats the same limits."""
    plant = plant or Plant(scenario)
    while plant.now_s < until_s:
        plant.advance(min(plant.now_s + 20.0, until_s))
        for connector, limit_ma in limits_ma.items():
            if plant.is_gateway_up and plant.now_s > 40.0:
                limit = CurrentLimit(limit_ma=limit_ma)
                plant.send_limit(connector, limit, valid_for_s=60.0, at_s=plant.now_s)
    return plant


def test_a_connector_counts_what_its_limit_allows() -> None:
    plant = run(small_scenario(visits=(visit(),)), PROVEN_S, {ONE: 13_000})

    assert plant.rightly_counted_a() == {ONE: 13.0, TWO: 0.0}


def test_a_limit_in_watts_allows_more_at_a_low_voltage() -> None:
    stations = (traits_of(CP1, is_watts_only=True), traits_of(CP2))
    plant = run(small_scenario(stations=stations, visits=(visit(),)), PROVEN_S, {})

    assert plant.rightly_counted_a()[ONE] == pytest.approx(6.0 / 0.9)


@pytest.mark.parametrize(
    ("kind", "until_s"),
    [
        (FaultKind.STATION_REBOOT, 601.0),
        (FaultKind.STATION_RUNAWAY, 630.0),
        (FaultKind.GATEWAY_KILL, 630.0),
        (FaultKind.STATION_LOST, 630.0),
    ],
)
def test_a_station_may_be_doubted_for_a_while_after_a_fault(
    kind: FaultKind, until_s: float
) -> None:
    subject = "" if kind is FaultKind.GATEWAY_KILL else CP1
    fault = Fault(kind=kind, at_s=600.0, until_s=until_s, subject=subject)
    scenario = small_scenario(visits=(visit(),), faults=(fault,), duration_s=2_000.0)

    known = [ONE in run(scenario, at_s, {}).rightly_counted_a() for at_s in (90, 590, 700, 1_300)]

    assert known == [False, True, False, True]


@pytest.mark.parametrize("tells", [True, False])
def test_a_clock_that_jumps_is_found_by_what_the_station_tells(tells: bool) -> None:
    jump = Fault(
        kind=FaultKind.STATION_CLOCK_JUMP, at_s=600.0, until_s=601.0, subject=CP1, value=-90.0
    )
    stations = (traits_of(CP1, sends_meter_values=tells), traits_of(CP2))
    scenario = small_scenario(stations=stations, visits=(visit(),), faults=(jump,))

    assert (ONE in run(scenario, 2_000.0, {}).rightly_counted_a()) is tells


def test_a_vehicle_that_draws_nothing_proves_nothing() -> None:
    full = replace(PLAIN, need_wh=1.0)
    plant = run(small_scenario(visits=(visit(vehicle=full),)), 3_000.0, {})

    assert ONE not in plant.rightly_counted_a()


@pytest.mark.parametrize(("tells", "taken_a"), [(True, 0.3), (False, 10.0)])
def test_what_a_station_does_not_tell_may_be_taken_for_base(tells: bool, taken_a: float) -> None:
    stations = (traits_of(CP1, sends_meter_values=tells), traits_of(CP2))
    scenario = small_scenario(stations=stations, visits=(visit(),))
    plant = run(scenario, PROVEN_S, {ONE: 10_000})

    assert plant.rightly_taken_for_base_a() == [pytest.approx(20.0 + taken_a)] * 3


def test_a_meter_just_lost_leaves_base_open() -> None:
    lost = Fault(kind=FaultKind.METER_LOST, at_s=500.0, until_s=530.0, subject=METER)
    scenario = small_scenario(faults=(lost,))

    assert run(scenario, 600.0, {}).rightly_taken_for_base_a() == [None] * 3
    assert run(scenario, 900.0, {}).rightly_taken_for_base_a() == [pytest.approx(20.0)] * 3


@pytest.mark.parametrize(
    ("takes_a", "violations"), [(24.0, set()), (10.0, {"headroom_never_came_back"})]
)
def test_a_limit_far_above_the_draw_is_to_be_given_to_others(
    takes_a: float, violations: set[str]
) -> None:
    # Set-point 95 A, base 50 A, reserve 15 A: 30 A for one told 24 A and one told 8 A.
    modest = visit(vehicle=replace(PLAIN, max_a=takes_a))
    scenario = small_scenario(visits=(modest, visit(TWO)), base_a=50.0)
    plant = run(scenario, 3_600.0, {ONE: 24_000, TWO: 8_000})

    assert {violation.what for violation in plant.report().violations} == violations


@pytest.mark.parametrize(("base_a", "told"), [(57.0, [ONE, TWO]), (61.0, [])])
def test_room_below_the_minimum_of_one_who_waits_is_rightly_left(
    base_a: float, told: list[ConnectorRef]
) -> None:
    # 95 A less 15 A of reserve, 8 A told and 5.7 A for noise: 9.3 A are left to give, or 5.3 A.
    scenario = small_scenario(visits=(visit(), visit(TWO)), base_a=base_a)
    proven = run(scenario, PROVEN_S, {ONE: 8_000, TWO: 8_000})
    plant = run(scenario, 2_000.0, {ONE: 8_000, TWO: 0}, plant=proven)
    violations = plant.report().violations

    assert sorted(v.detail.partition(":")[0] for v in violations) == [str(ref) for ref in told]
