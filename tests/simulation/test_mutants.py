"""Each safety rule is needed: with it switched off, the story it is for shows that."""

import pytest

from gateway.control.parameters import ControlParameters
from tests.simulation.harness import Run
from tests.simulation.mutants import MUTANTS, Mutant


def lived(mutant: Mutant, parameters: ControlParameters) -> tuple[Run, list[str]]:
    """Return a run of the story, and what the plant and the comparison with its truth say against it."""
    story = mutant.story()
    run = Run.of(story, parameters)
    run.state, run.seen_s = mutant.knows(run.state), mutant.seen_s
    report = run.to_end(story.duration_s)
    told = [
        f"{v.at_s:.0f} s: {v.what}: {v.detail}" for v in report.violations if v.what in mutant.told
    ]
    return run, told + run.unsound


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_switched_off_is_missed(mutant: Mutant) -> None:
    with pytest.MonkeyPatch.context() as without_it:
        if mutant.first_line is not None:
            mutant.first_line(without_it)
        _, against = lived(mutant, mutant.switch_off(without_it))
        assert against != []

    with pytest.MonkeyPatch.context() as with_it:
        if mutant.first_line is not None:
            mutant.first_line(with_it)
        run, against = lived(mutant, ControlParameters())
        assert against == []
        assert run.stage.to_come == ()  # Nor has it come through by never coming to the point.
