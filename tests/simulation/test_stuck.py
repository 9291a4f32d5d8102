"""A claim that really is stuck is told: laws made to keep what they should let go."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from gateway.control import claims, decide, draws, fold
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief
from tests.simulation.harness import Run
from tests.simulation.stories import seed

NEVER_S = 1e9
DEFAULTS = ControlParameters()
UNTIL_S = 2_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckLaw:
    """A law that keeps something for ever, the day it is seen on, and by whom it is told."""

    keeps: str
    kind: str
    told_by: set[str]
    patch: Callable[[pytest.MonkeyPatch], None] | None = None
    parameters: ControlParameters = DEFAULTS


def _settled_limits_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(belief: ConnectorBelief, *_: object) -> ConnectorBelief:
        return belief

    monkeypatch.setattr(decide, "settled", settled)
    monkeypatch.setattr(fold, "settled", settled)


def _no_station_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "trials_of", lambda *_: {})


def _phases_are_not_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    original = draws.after_reading

    def after_reading(*given: object) -> tuple[ConnectorBelief, bool]:
        belief, is_proof = original(*given)  # type: ignore[arg-type] # as it was given
        return replace(belief, mask=None), is_proof

    monkeypatch.setattr(fold, "after_reading", after_reading)


def _nobody_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "raise_in_steps", lambda *_: None)


STUCK_LAWS = (
    StuckLaw(
        keeps="limits that settled cuts have put out of force",
        kind="lighter",
        told_by={"stuck"},
        patch=_settled_limits_stay,
    ),
    StuckLaw(
        keeps="the maximum of a station not yet proven",
        kind="lighter",
        told_by={"stuck"},
        patch=_no_station_is_tried,
    ),
    StuckLaw(
        keeps="phases that no vehicle uses",
        kind="lighter",
        told_by={"headroom_never_came_back"},
        patch=_phases_are_not_learnt,
    ),
    StuckLaw(
        keeps="room that is nobody's",
        kind="lighter",
        told_by={"headroom_never_came_back"},
        patch=_nobody_is_raised,
    ),
    StuckLaw(
        keeps="leases that have lapsed",
        kind="lighter",
        told_by={"headroom_never_came_back"},
        parameters=replace(DEFAULTS, renew_s=NEVER_S),
    ),
)


def told_of(law: StuckLaw, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return who tells of a law in the first part of a day."""
    if law.patch is not None:
        law.patch(monkeypatch)
    run = Run.of(seed(law.kind, 1, until_s=UNTIL_S)(), law.parameters)
    report = run.to_end(UNTIL_S)
    return {violation.what for violation in report.violations} | (
        {"stuck"} if run.stuck.told else set()
    )


@pytest.mark.parametrize("law", STUCK_LAWS, ids=lambda law: law.keeps)
def test_a_law_that_keeps_it_for_ever_is_told(
    law: StuckLaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert law.told_by <= told_of(law, monkeypatch)


@pytest.mark.parametrize("kind", sorted({law.kind for law in STUCK_LAWS}))
def test_the_law_as_built_is_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_built = StuckLaw(keeps="nothing", kind=kind, told_by=set())

    assert told_of(as_built, monkeypatch) == set()


def test_a_connector_that_is_never_proven_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_reading(*given: object) -> tuple[ConnectorBelief, bool]:
        belief, is_proof = original(*given)  # type: ignore[arg-type] # as it was given
        before = given[0]
        assert isinstance(before, ConnectorBelief)
        return (replace(belief, limits=before.limits) if is_proof else belief), is_proof

    original = draws.after_reading
    _settled_limits_stay(monkeypatch)
    monkeypatch.setattr(fold, "after_reading", after_reading)
    run = Run.of(seed("harsh", 1, until_s=3_300.0)())

    told = {violation.what for violation in run.to_end(3_300.0).violations}

    assert told == {"connector_forgotten"}


def test_a_lease_is_counted_in_the_simulation_as_long_as_the_daemon_counts_it() -> None:
    run = Run.of(seed("harsh", 1, until_s=300.0)())
    run.to_end(300.0)

    leases_s = [
        limit.lease_until_s - limit.renewed_at_s
        for belief in run.state.connectors
        for limit in belief.limits
        if limit.lease_until_s is not None and limit.last_sequence
    ]
    # 60 s, 10 for an answer that may come as late, and 5 for clocks that differ.
    assert leases_s
    assert leases_s == [pytest.approx(75.0)] * len(leases_s)
