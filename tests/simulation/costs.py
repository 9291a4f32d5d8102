"""What each rule costs and gives: the plant's figures with the rule and without it.

The rules of safety among them: each costs what is given without it, where nothing fails.

Run as `python -m tests.simulation.costs [HOURS [SEEDS]]`; prints a table of harsh days.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import mean

import pytest

from drivers.sim.generator import HOUR_S, generate
from drivers.sim.report import Report
from drivers.sim.scenario import ScenarioKind
from gateway.control import attribution, decide, trusted
from gateway.control.board import Board
from gateway.control.parameters import ControlParameters
from gateway.control.share import Steps, raise_in_steps
from tests.simulation.harness import Run
from tests.simulation.mutants import MUTANTS

HOURS = 6
SEEDS = 4
AT_ONCE_S = 0.0
NEVER_S = 1e9
MORE_THAN_ALL_MA = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The law with one rule otherwise, by its numbers or by another function in its place."""

    name: str
    parameters: ControlParameters = ControlParameters()  # noqa: RUF009 - frozen
    patch: Callable[[pytest.MonkeyPatch], None] | None = None

    def run(self, seed: int, duration_s: float) -> Report:
        """Return the plant's report of one harsh day."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            if self.patch is not None:
                self.patch(monkeypatch)
            scenario = generate(ScenarioKind.HARSH, seed, duration_s=duration_s)
            return Run.of(scenario, self.parameters).to_end(duration_s)


def _falls_are_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_falls", lambda *_: [])


def _steps_are_parts_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_by_what_is_left(
        board: Board, candidates: list[int], steps: Steps, parameters: ControlParameters
    ) -> None:
        left_ma = [
            min(step_ma, max(parameters.dead_band_ma, int(room_ma * parameters.raise_share_ratio)))
            for step_ma, room_ma in zip(steps.left_ma, board.proven_room_ma, strict=True)
        ]
        raise_in_steps(board, candidates, replace(steps, left_ma=left_ma), parameters)

    monkeypatch.setattr(decide, "raise_in_steps", raise_by_what_is_left)


def _room_is_made_once_limits_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for used in (trusted, decide):
        monkeypatch.setattr(used, "may_draw_more", lambda *_: False)


DEFAULTS = ControlParameters()
VARIANTS = (
    Variant(name="the law as built"),
    Variant(name="falls not explained by readings", patch=_falls_are_unexplained),
    Variant(name="steps are parts of what is left", patch=_steps_are_parts_of_what_is_left),
    Variant(
        name="headroom from 1 A is raised into",
        parameters=replace(DEFAULTS, raise_from_ma=DEFAULTS.dead_band_ma),
    ),
    Variant(name="raised after 10 s, not 30 s", parameters=replace(DEFAULTS, raise_after_s=10.0)),
    Variant(
        name="nobody is cut so that others have their share",
        parameters=replace(DEFAULTS, due_gap_ma=MORE_THAN_ALL_MA),
    ),
    Variant(name="a pause does not wait", parameters=replace(DEFAULTS, pause_after_s=AT_ONCE_S)),
    Variant(
        name="what is left unused is not handed on",
        parameters=replace(DEFAULTS, accepts_after_s=NEVER_S),
    ),
    Variant(
        name="no room is made before a first vehicle begins",
        patch=_room_is_made_once_limits_should_hold,
    ),
    Variant(
        name="a reserve of 10 %, as once base is learnt",
        parameters=replace(DEFAULTS, reserve_unlearnt_ratio=DEFAULTS.reserve_floor_ratio),
    ),
    *[
        Variant(name=f"not: {mutant.rule}", parameters=mutant.parameters, patch=mutant.patch)
        for mutant in MUTANTS
    ],
)


def figures_of(reports: list[Report]) -> tuple[float, float, float, int]:
    """Return the means of energy, limit changes and needless pauses, and all violations."""
    return (
        mean(report.energy_vs_omniscient or 0.0 for report in reports),
        mean(report.limit_changes_per_connector_h for report in reports),
        mean(report.needless_pauses_per_connector_h for report in reports),
        sum(report.invariants_violated for report in reports),
    )


def main(arguments: list[str]) -> None:
    """Print a row for each variant."""
    hours, seeds = [*map(int, arguments), *(HOURS, SEEDS)[len(arguments) :]]
    sys.stdout.write(
        f"{seeds} harsh seeds of {hours} h\n"
        "| | energy against omniscient | changes per connector-hour | needless pauses | violated |\n"
        "|---|---|---|---|---|\n"
    )
    for variant in VARIANTS:
        reports = [variant.run(seed, hours * HOUR_S) for seed in range(1, seeds + 1)]
        energy, changes, pauses, violated = figures_of(reports)
        sys.stdout.write(
            f"| {variant.name} | {energy:.1%} | {changes:.1f} | {pauses:.2f} | {violated} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
