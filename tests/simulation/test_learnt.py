"""What is learnt of base, vehicles and stations is what the plant's really are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drivers.sim.generator import generate
from drivers.sim.observations import Observation
from drivers.sim.scenario import ScenarioKind, StepAt, VehicleTraits
from drivers.sim.vehicle import accepted_a
from gateway.control.fold import ControlEvent
from gateway.domain.events import ConnectorMetered, TransactionEnded, TransactionStarted
from gateway.services.visits import Visits
from tests.simulation.harness import Run

HOURS = 4
SLOWEST_S = 14.5
"""A vehicle of the plant follows within 11 s, its reading is up to 2 s old, and the law looks each second."""


class PlantClock:
    """The plant's time, from a morning on."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def monotonic_s(self) -> float:
        return self._run.plant.now_s

    def now_at(self) -> datetime:
        return datetime(2026, 1, 5, 6, tzinfo=UTC) + timedelta(seconds=self._run.plant.now_s)

    async def sleep_s(self, delay_s: float) -> None:
        raise NotImplementedError


def test_what_is_learnt_of_a_day_is_what_its_vehicles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = generate(ScenarioKind.ORDINARY, seed=2)
    run = Run.of(scenario, knows_base=True)
    visits, facts_of = Visits(PlantClock(run)), Run._facts_of

    def heard(self: Run, observation: Observation) -> list[ControlEvent]:
        facts = facts_of(self, observation)
        for fact in facts:
            if isinstance(fact, TransactionStarted | TransactionEnded | ConnectorMetered):
                visits.hear(fact)
        return facts

    monkeypatch.setattr(Run, "_facts_of", heard)
    while run.plant.now_s < HOURS * 3_600:
        run.step(run.plant.now_s + 1.0)
        visits.note(run.state)

    traits: dict[str, VehicleTraits] = {str(v.connector): v.vehicle for v in scenario.visits}
    known = {str(ref): s.intake.acceptance() for ref, s in visits._sessions.items()}
    assert sum(bool(one.taper) for one in known.values()) >= 2
    assert sum(one.max_ma is not None for one in known.values()) >= 1
    for name, one in known.items():
        if one.max_ma is not None:
            assert one.max_ma == pytest.approx(1_000 * traits[name].max_a, abs=1_000)
        # The last step has all that is below it.
        for below_wh, most_ma in one.taper[:-1]:
            truly_ma = 1_000 * accepted_a(traits[name], below_wh / 2**0.25)
            assert most_ma == pytest.approx(truly_ma, rel=0.3, abs=1_000), (name, below_wh)
    assert visits._followings
    assert all(f.settling_s <= SLOWEST_S for f in visits._followings.values())


def test_a_base_that_goes_up_and_down_is_learnt_to_rise_by_what_it_does() -> None:
    day = generate(ScenarioKind.HARSH, seed=1, duration_s=1_200.0)
    on = [
        StepAt(at_s=6.0 * number, circuit=day.site.circuits[0].id, delta_a=(10.0, 10.0, 10.0))
        for number in range(1, 200)
    ]
    off = [replace(step, at_s=step.at_s + 3.0, delta_a=(-10.0, -10.0, -10.0)) for step in on]
    steps = tuple(sorted((*on, *off), key=lambda step: step.at_s))
    run = Run.of(replace(day, steps=steps))
    run.to_end(day.duration_s)

    for phase in run.state.circuits[0].phases:
        risen_by_a = [a for a, count in enumerate(phase.rises.days[-1]) for _ in range(count)]
        # Of 100 A each bin is one; while vehicles are cut for it, it may seem to rise by more.
        assert 10 <= risen_by_a[len(risen_by_a) // 2] <= 12
