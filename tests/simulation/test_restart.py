"""The gateway killed again and again, with what its ledger would remember."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.scenario import Scenario, ScenarioKind
from gateway.control import restore
from gateway.control.orders import LimitOrder
from gateway.control.state import ConnectorBelief, SiteState, StandingLimit
from gateway.domain.circuits import Connector
from gateway.domain.memory import ConnectorMemory
from gateway.services.remembrance import Remembrance
from tests.simulation.harness import HARM
from tests.simulation.reborn import Reborn
from tests.simulation.stories import killed_while_a_station_is_away

DURATION_S = 3_600.0


def an_hour_of_kills(kind: ScenarioKind, seed: int) -> Scenario:
    """Return an hour with a kill every few minutes, besides whatever else goes wrong."""
    rng = Random(f"restarts/{seed}")
    scenario = generate(kind, seed, duration_s=DURATION_S)
    kills, at_s = [], 600.0
    while at_s < DURATION_S - 300.0:
        until_s = at_s + rng.choice((2.0, 5.0, 20.0, 55.0, 90.0, 150.0))
        kills.append(Fault(kind=FaultKind.GATEWAY_KILL, at_s=at_s, until_s=until_s, subject=""))
        at_s = until_s + rng.uniform(240.0, 480.0)
    others = [f for f in scenario.faults if f.kind is not FaultKind.GATEWAY_KILL]
    faults = sorted([*others, *kills], key=lambda fault: (fault.at_s, fault.kind))
    return replace(scenario, faults=tuple(faults))


@pytest.mark.parametrize(("kind", "seed"), [(ScenarioKind.HARSH, 1), (ScenarioKind.FAULTS, 1)])
def test_kills_are_outlived_without_harm_and_without_starting_over(
    kind: ScenarioKind, seed: int
) -> None:
    scenario = an_hour_of_kills(kind, seed)
    run, amnesic = Reborn.life(scenario), Reborn.life(scenario, remembers=False)

    report = run.plant.report()
    assert [v for v in report.violations if v.what in HARM] == []
    assert run.too_low == []
    assert run.too_early == []
    assert run.unsound == []
    # What is remembered is worth energy and spares pauses, or why remember it?
    without = amnesic.plant.report()
    assert report.energy_vs_omniscient is not None
    assert without.energy_vs_omniscient is not None
    assert report.energy_vs_omniscient > without.energy_vs_omniscient
    paused = report.needless_pauses_per_connector_h
    assert paused < 0.7 * without.needless_pauses_per_connector_h


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule of restarts switched off."""

    rule: str
    switch_off: Callable[[pytest.MonkeyPatch], None]
    disk_s: float = 1.0


def _nothing_may_be_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    original = restore._belief_of

    def belief_of(
        connector: Connector, remembered: ConnectorMemory, *others: object, **when: float
    ) -> ConnectorBelief:
        belief = original(connector, remembered, *others, **when)  # type: ignore[arg-type]
        return replace(belief, limits=(StandingLimit(limit_ma=connector.fallback_ma),))

    monkeypatch.setattr(restore, "_belief_of", belief_of)


def _raises_do_not_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remembrance, "may_send", lambda *_: True)


def _raises_do_not_wait_for_stations(monkeypatch: pytest.MonkeyPatch) -> None:
    def hold_raises(orders: tuple[LimitOrder, ...], _state: SiteState) -> tuple[LimitOrder, ...]:
        return orders

    monkeypatch.setattr(restore, "hold_raises", hold_raises)


MUTANTS = (
    Mutant(rule="every limit that may be in force counts", switch_off=_nothing_may_be_in_force),
    Mutant(
        rule="a raise is safe before it is sent",
        switch_off=_raises_do_not_wait_for_the_disk,
        disk_s=20.0,
    ),
    Mutant(
        rule="nothing is raised while a lease is away",
        switch_off=_raises_do_not_wait_for_stations,
    ),
)


def broken_by(run: Reborn) -> list[str]:
    harm = [str(v) for v in run.plant.report().violations if v.what in HARM]
    return [*harm, *run.too_low, *run.too_early, *run.unsound]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_of_restarts_switched_off_is_missed(mutant: Mutant) -> None:
    scenario = killed_while_a_station_is_away()
    with pytest.MonkeyPatch.context() as without_it:
        mutant.switch_off(without_it)
        assert broken_by(Reborn.life(scenario, disk_s=mutant.disk_s)) != []

    assert broken_by(Reborn.life(scenario, disk_s=mutant.disk_s)) == []
