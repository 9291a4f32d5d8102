"""Loop and dispatcher on the plant in memory: what lies between a decision and the wires is safe."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from drivers.sim.faults import FaultKind
from drivers.sim.generator import generate
from drivers.sim.plant import Plant
from drivers.sim.report import Report
from drivers.sim.scenario import Scenario, ScenarioKind
from gateway.control.decide import Decision
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.services.control_loop import ControlLoop
from gateway.services.dispatcher import Dispatcher
from gateway.services.inbox import Inbox
from tests.support.plant_driver import PlantDriver
from tests.support.virtual_time import VirtualClock, run_virtual

DURATION_S = 1_800
UNSAFE = {"thermal_budget", "third_of_thermal_budget", "back_under_rating_p95", "flash_writes"}
"""What the plant may never say; that headroom is used is for the law, tested in simulation/."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    report: Report
    loop: ControlLoop
    dispatcher: Dispatcher
    inbox: Inbox
    misread: list[str]
    """Orders whose limit is not the one their reason speaks of."""


def run_shell(scenario: Scenario) -> Outcome:
    """Run the real loop and dispatcher on the plant, in virtual time."""

    async def run() -> Outcome:
        clock, inbox, plant = VirtualClock(), Inbox(), Plant(scenario)
        parameters = ControlParameters()
        driver = PlantDriver(plant, inbox.post, on_jump=clock.jump_wall_clock)
        dispatcher = Dispatcher(
            scenario.site.stations, driver, clock=clock, post=inbox.post, parameters=parameters
        )
        start = SiteState.at_start(Wiring.of(scenario.site), parameters, now_s=0.0)
        misread: list[str] = []

        def offer(decision: Decision) -> None:
            for order in decision.orders:
                reason = decision.reasons[order.connector]
                if reason.limit_ma != order.limit.limit_ma:
                    misread.append(f"{decision.at_s}: {order} but {reason}")
            dispatcher.offer(decision)

        loop = ControlLoop(start, inbox, offer, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(part) for part in (driver.run(), dispatcher.run(), loop.run())
            ]
            await asyncio.sleep(DURATION_S - 0.5)
            for task in running:
                task.cancel()
        return Outcome(
            report=plant.report(), loop=loop, dispatcher=dispatcher, inbox=inbox, misread=misread
        )

    return run_virtual(run())


def scenario_of(kind: ScenarioKind, seed: int) -> Scenario:
    """Return a scenario that one process can live through."""
    scenario = generate(kind, seed, duration_s=DURATION_S)
    borne = tuple(fault for fault in scenario.faults if fault.kind is not FaultKind.GATEWAY_KILL)
    return replace(scenario, faults=borne)


@pytest.mark.parametrize(
    ("kind", "seed"),
    [(ScenarioKind.FAULTS, 1), (ScenarioKind.FAULTS, 3), (ScenarioKind.HARSH, 1)],
)
def test_no_circuit_suffers_and_no_cycle_is_lost(kind: ScenarioKind, seed: int) -> None:
    scenario = scenario_of(kind, seed)

    outcome = run_shell(scenario)

    assert [v for v in outcome.report.violations if v.what in UNSAFE] == []
    assert outcome.loop.counters["cycles"] == DURATION_S
    jumps = [fault for fault in scenario.faults if fault.kind is FaultKind.WALL_CLOCK_JUMP]
    assert outcome.loop.counters["clock_jumps"] <= 2 * len(jumps)
    assert outcome.dispatcher.counters["fault"] == 0
    assert outcome.dispatcher.counters["limit accepted"] > 100
    assert outcome.inbox.dropped_count == 0
    assert outcome.misread == []


def test_the_same_day_passes_twice_in_the_same_way() -> None:
    scenario = scenario_of(ScenarioKind.FAULTS, 2)

    assert run_shell(scenario).report == run_shell(scenario).report
