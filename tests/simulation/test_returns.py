"""After a step beyond the reserve a circuit is soon back under its rating, whichever station is in trouble."""

from dataclasses import replace
from random import Random

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.generator import generate
from drivers.sim.judge import LONGEST_EXCURSION_S, USUAL_EXCURSION_S
from drivers.sim.report import ENOUGH_FOR_P95, quantile
from drivers.sim.scenario import Scenario, ScenarioKind, StepAt
from drivers.sim.sites import CARPARK
from tests.simulation import switches
from tests.simulation.harness import Run

DURATION_S = 570.0
STEPS_S = (300.0, 480.0)  # By then vehicles have what there is, and again.
STEP_LASTS_S = 75.0  # Longer than an excursion ever may.
STEP_A = (22.0, 45.0)  # From set-point less reserve 20 A reach the rating.
TROUBLES = (
    FaultKind.STATION_LATE,
    FaultKind.STATION_DISOBEDIENT,
    FaultKind.STATION_RUNAWAY,
    FaultKind.STATION_REJECTS,
    FaultKind.STATION_LOST,
    FaultKind.STATION_SILENT,
)


def steps_beyond_reserve(seed: int) -> Scenario:
    """Return a car park full of hungry vehicles whose base steps up far, each time beside a trouble.

    Base alone stays below the rating: there is always enough to cut.
    """
    drawn = generate(ScenarioKind.HARSH, seed, duration_s=DURATION_S)
    first = {visit.connector: visit for visit in reversed(drawn.visits)}
    rng = Random(f"returns/{seed}")
    steps: list[StepAt] = []
    faults: list[Fault] = []
    for from_s in STEPS_S:
        step_a, at_s = rng.uniform(*STEP_A), from_s + rng.uniform(0.0, 10.0)
        for delta_a, by_s in ((step_a, 0.0), (-step_a, STEP_LASTS_S)):
            by_phase = (delta_a, delta_a, delta_a)
            steps.append(StepAt(at_s=at_s + by_s, circuit=CARPARK, delta_a=by_phase))
        faults.append(
            Fault(
                kind=rng.choice(TROUBLES),
                at_s=from_s - 10.0,
                until_s=at_s + STEP_LASTS_S,
                subject=rng.choice(drawn.site.stations).id,
            )
        )
    return replace(
        drawn,
        visits=tuple(
            replace(
                visit,
                at_s=10.0,
                leave_s=2 * DURATION_S,
                vehicle=replace(visit.vehicle, need_wh=80_000.0, sleeps_after_s=None),
            )
            for visit in first.values()
        ),
        base=tuple(replace(load, ceiling_a=90.0) for load in drawn.base),
        steps=tuple(steps),
        faults=tuple(faults),
    )


def excursions_s(seeds: range) -> list[float]:
    """Return how long each time over the rating was, of all these seeds, in order of length."""
    reports = (Run.of(steps_beyond_reserve(seed)).to_end(DURATION_S) for seed in seeds)
    return sorted(
        length_s
        for report in reports
        for circuit in report.circuits
        for length_s in circuit.excursions_s
    )


def test_95_of_100_are_over_within_15_s_and_all_within_60_s() -> None:
    lengths_s = excursions_s(range(1, 25))

    assert len(lengths_s) >= ENOUGH_FOR_P95
    assert (quantile(lengths_s, 0.95) or 0.0) <= USUAL_EXCURSION_S
    assert lengths_s[-1] <= LONGEST_EXCURSION_S


def test_they_are_not_where_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    switches.nothing_is_cut_nor_heat_watched(monkeypatch)

    assert (quantile(excursions_s(range(1, 5)), 0.95) or 0.0) > USUAL_EXCURSION_S
