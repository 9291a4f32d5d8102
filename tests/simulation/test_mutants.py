"""Each safety rule is needed: with it switched off, some seed shows it."""

import pytest

from drivers.sim.scenario import Scenario
from gateway.control.parameters import ControlParameters
from tests.simulation.harness import Run
from tests.simulation.mutants import MUTANTS, Mutant


def failures(mutant: Mutant, scenario: Scenario, parameters: ControlParameters) -> list[str]:
    """Return what the plant and the comparison with its truth say against a run."""
    run = Run.of(scenario, parameters)
    run.state, run.seen_s = mutant.knows(run.state), mutant.seen_s
    report = run.to_end(scenario.duration_s)
    told = [
        f"{v.at_s:.0f} s: {v.what}: {v.detail}" for v in report.violations if v.what in mutant.told
    ]
    return told + run.unsound


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_switched_off_is_missed(mutant: Mutant) -> None:
    for scenario in mutant.scenarios:
        with pytest.MonkeyPatch.context() as without_it:
            if mutant.first_line is not None:
                mutant.first_line(without_it)
            is_missed = failures(mutant, scenario(), mutant.switch_off(without_it)) != []
        if is_missed:
            with pytest.MonkeyPatch.context() as with_it:
                if mutant.first_line is not None:
                    mutant.first_line(with_it)
                assert failures(mutant, scenario(), ControlParameters()) == []
            return
    pytest.fail("no seed misses it")
