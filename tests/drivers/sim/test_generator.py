"""Scenarios from a seed: repeatable, and as rough as their kind says."""

from itertools import pairwise

import pytest

from drivers.sim.faults import FaultKind
from drivers.sim.generator import generate
from drivers.sim.mishaps import LENGTHS_S
from drivers.sim.scenario import Scenario, ScenarioKind
from drivers.sim.sites import CARPARK, one_circuit, tree
from drivers.sim.world import World
from gateway.domain.circuits import Site
from gateway.domain.electric import Phase

SEEDS = range(5)
KINDS = pytest.mark.parametrize("kind", list(ScenarioKind))


def base_over_time(scenario: Scenario) -> list[list[float]]:
    """Return the base of the car park's circuit each second, on L1 to L3."""
    world = World(scenario, on_word=lambda *_: None, on_gateway_fault=lambda *_: None)
    seen = []
    for second in range(int(scenario.duration_s)):
        world.agenda.run(float(second))
        seen.append(list(world.wires[CARPARK].base_a))
    return seen


@KINDS
def test_the_same_seed_is_the_same_scenario(kind: ScenarioKind) -> None:
    assert generate(kind, 3) == generate(kind, 3)
    assert generate(kind, 3) != generate(kind, 4)


@KINDS
def test_a_scenario_can_be_read(kind: ScenarioKind) -> None:
    scenario = generate(kind, 3)
    lines = scenario.describe().splitlines()

    assert lines[0].startswith(f"{kind.value}/3: 6 h")
    assert len(lines) == (
        1
        + len(scenario.stations)
        + len(scenario.base)
        + len(scenario.visits)
        + len(scenario.steps)
        + len(scenario.faults)
    )


@pytest.mark.parametrize("site", [one_circuit(), tree()], ids=lambda site: site.name)
def test_silence_fits_every_circuit_of_the_sites_simulated(site: Site) -> None:
    for circuit in site.circuits:
        for phase in Phase:
            fallbacks_ma = sum(
                connector.fallback_ma
                for connector in site.connectors
                if circuit.id in site.path_to_root(connector.circuit) and phase in connector.phases
            )
            worst_ma = circuit.worst_case_base_ma[phase] + fallbacks_ma
            assert worst_ma <= circuit.set_point_ma[phase], (circuit.id, phase)


@KINDS
def test_the_base_never_exceeds_its_declared_worst_case(kind: ScenarioKind) -> None:
    for seed in SEEDS:
        scenario = generate(kind, seed)
        site = scenario.site
        for circuit in site.circuits:
            ceiling_a = sum(
                traits.ceiling_a
                for traits in scenario.base
                if circuit.id in site.path_to_root(traits.circuit)
            )
            assert ceiling_a * 1_000 <= min(circuit.worst_case_base_ma)


@KINDS
def test_visits_to_a_connector_do_not_overlap(kind: ScenarioKind) -> None:
    for seed in SEEDS:
        scenario = generate(kind, seed, duration_s=3 * 86_400.0)
        assert scenario.visits
        for connector in scenario.site.connectors:
            stays = [v for v in scenario.visits if v.connector == connector.ref]
            assert all(v.leave_s > v.at_s for v in stays)
            assert all(later.at_s > earlier.leave_s for earlier, later in pairwise(stays))


def test_harsh_is_harsh() -> None:
    for seed in SEEDS:
        scenario = generate(ScenarioKind.HARSH, seed)
        sizes_a = [max(map(abs, s.delta_a)) for s in scenario.steps]
        assert all(10.0 <= size <= 25.0 for size in sizes_a)
        assert 3 * 6 <= len(sizes_a) <= 12 * 6
        assert {max(s.delta_a) > 0.0 for s in scenario.steps} == {True, False}
        assert all(b.at_s - a.at_s >= 60.0 for a, b in pairwise(scenario.steps))
        stays_s = sum(min(v.leave_s, scenario.duration_s) - v.at_s for v in scenario.visits)
        assert stays_s / (8 * scenario.duration_s) > 0.9
    for amps in base_over_time(generate(ScenarioKind.HARSH, 1)):
        assert all(15.0 <= phase <= 50.0 for phase in amps)


def test_an_ordinary_day_has_small_steps_and_cars_that_stay_for_the_day() -> None:
    for seed in SEEDS:
        scenario = generate(ScenarioKind.ORDINARY, seed, duration_s=12 * 3_600.0)
        assert all(max(map(abs, s.delta_a)) <= 5.0 for s in scenario.steps)
        assert len(scenario.steps) > 100
        for v in scenario.visits:
            assert 5_000.0 <= v.vehicle.need_wh <= 30_000.0
            assert v.at_s <= 4.0 * 3_600.0  # By eleven,
            assert v.leave_s >= 7.0 * 3_600.0  # not before two.


def test_weekdays_repeat() -> None:
    scenario = generate(ScenarioKind.ORDINARY, 1, duration_s=7 * 86_400.0)
    days = {int((v.at_s + 7 * 3_600.0) // 86_400.0) for v in scenario.visits}

    assert days >= set(range(7))


def test_everything_goes_wrong_in_six_hours() -> None:
    for seed in SEEDS:
        scenario = generate(ScenarioKind.FAULTS, seed)
        kinds = {fault.kind for fault in scenario.faults}
        # A stop is pressed, and clamps are on wrong, in stories of their own: nothing else would be
        # seen of such a day.
        assert kinds == set(FaultKind) - {
            FaultKind.STATION_WATTS_ONLY,
            FaultKind.STOP_PRESSED,
            FaultKind.METER_MISWIRED,
        }
        assert set(LENGTHS_S) == kinds
        assert sum(traits.is_watts_only for traits in scenario.stations) == 1
        assert sum(not traits.sends_meter_values for traits in scenario.stations) == 1
        assert any(later.at_s < earlier.until_s for earlier, later in pairwise(scenario.faults)), (
            "faults overlap"
        )
        deaths = [f for f in scenario.faults if f.kind is FaultKind.GATEWAY_KILL]
        assert all(b.at_s >= a.until_s + 300.0 for a, b in pairwise(deaths))


def test_what_goes_wrong_at_once_can_be_lived_through() -> None:
    for seed in range(20):
        scenario = generate(ScenarioKind.FAULTS, seed, duration_s=24 * 3_600.0)
        rogues = [
            fault
            for fault in scenario.faults
            if fault.kind in (FaultKind.STATION_DISOBEDIENT, FaultKind.STATION_RUNAWAY)
        ]
        assert len(rogues) > 5
        assert all(b.at_s > a.until_s for a, b in pairwise(rogues))
        # 32 A more on 63 A would trip the device before anyone could act.
        leaping = {f.subject for f in rogues if f.kind is FaultKind.STATION_RUNAWAY}
        assert leaping <= {"CP-02", "CP-03", "CP-04", "CP-05", "CP-06", "CP-08"}


def test_base_steps_go_inside_and_beyond_the_reserve() -> None:
    shares = set()
    for seed in range(20):
        scenario = generate(ScenarioKind.FAULTS, seed)
        reserve_a = {str(circuit): amps for circuit, amps in scenario.reserve_a}
        shares |= {
            round(fault.value / reserve_a[fault.subject], 2)
            for fault in scenario.faults
            if fault.kind is FaultKind.BASE_STEP
        }

    assert shares == {0.5, 0.9, 1.3}


def test_a_site_of_ones_own_can_be_played_at() -> None:
    scenario = generate(ScenarioKind.DEMO, 1, duration_s=150.0, site=tree())

    assert scenario.site == tree()
    assert {v.connector for v in scenario.visits} == {c.ref for c in tree().connectors}
    assert all(v.at_s <= 30.0 for v in scenario.visits)
