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
from gateway.control.state import ConnectorBelief, SiteState, StandingLimit, StationBelief
from gateway.domain.circuits import Connector
from gateway.domain.memory import ConnectorMemory, StationMemory
from gateway.services.remembrance import Remembrance
from tests.simulation.harness import HARM
from tests.simulation.reborn import Reborn
from tests.simulation.stories import (
    killed_beside_a_full_vehicle,
    killed_in_the_midst_of_raises,
    killed_where_more_flows_than_told,
    killed_while_a_station_is_away,
)
from tests.simulation.test_more_than_told import one_in_four_gives_more

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


@pytest.mark.parametrize(
    "scenario",
    [
        an_hour_of_kills(ScenarioKind.HARSH, 1),
        an_hour_of_kills(ScenarioKind.FAULTS, 1),
        one_in_four_gives_more(an_hour_of_kills(ScenarioKind.HARSH, 2)),
    ],
    ids=["harsh", "faults", "more than told"],
)
def test_kills_are_outlived_without_harm_and_without_starting_over(scenario: Scenario) -> None:
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


def test_a_full_vehicle_leaves_others_their_share_after_a_restart() -> None:
    """No cut can be seen to bite there, so that nothing proves its station anew."""
    original = restore._station_of

    def unproven(remembered: StationMemory | None) -> StationBelief:
        return replace(original(remembered), is_proven=False)

    def others_wh(run: Reborn) -> float:
        assert broken_by(run) == []
        full, *others = run.plant.report().sessions
        assert full.finished_at is not None
        return sum(other.delivered_wh for other in others)

    story = killed_beside_a_full_vehicle()
    with pytest.MonkeyPatch.context() as forgetful:
        forgetful.setattr(restore, "_station_of", unproven)
        assert others_wh(Reborn.life(story)) < 100.0

    assert others_wh(Reborn.life(story)) > 3_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule of restarts switched off."""

    rule: str
    switch_off: Callable[[pytest.MonkeyPatch], None]
    story: Callable[[], Scenario] = killed_in_the_midst_of_raises
    disk_s: float = 1.0


def _believing(
    monkeypatch: pytest.MonkeyPatch, less: Callable[[Connector, ConnectorBelief], ConnectorBelief]
) -> None:
    """Have less believed of a connector after a restart than is remembered."""
    original = restore._belief_of

    def belief_of(
        connector: Connector, remembered: ConnectorMemory, *others: object, **when: float
    ) -> ConnectorBelief:
        return less(connector, original(connector, remembered, *others, **when))  # type: ignore[arg-type]

    monkeypatch.setattr(restore, "_belief_of", belief_of)


def _nothing_may_be_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_its_fallback(connector: Connector, belief: ConnectorBelief) -> ConnectorBelief:
        return replace(belief, limits=(StandingLimit(limit_ma=connector.fallback_ma),))

    _believing(monkeypatch, at_its_fallback)


def _what_is_beyond_limits_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    _believing(monkeypatch, lambda _, belief: replace(belief, excess_ma=0, is_excess_shown=False))


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
        story=killed_while_a_station_is_away,
    ),
    Mutant(
        rule="what settles above its limits still counts",
        switch_off=_what_is_beyond_limits_is_forgotten,
        story=killed_where_more_flows_than_told,
    ),
)


def broken_by(run: Reborn) -> list[str]:
    harm = [str(v) for v in run.plant.report().violations if v.what in HARM]
    return [*harm, *run.too_low, *run.too_early, *run.unsound]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_of_restarts_switched_off_is_missed(mutant: Mutant) -> None:
    scenario = mutant.story()
    with pytest.MonkeyPatch.context() as without_it:
        mutant.switch_off(without_it)
        assert broken_by(Reborn.life(scenario, disk_s=mutant.disk_s)) != []

    as_built = Reborn.life(scenario, disk_s=mutant.disk_s)
    assert broken_by(as_built) == []
    assert as_built.stage.to_come == ()
