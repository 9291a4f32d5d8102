"""Each rule of the law is needed: with it switched off a promise is broken at the plant."""

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.control.drawn import Script, scripts
from tests.control.mutants import MUTANTS, Mutant
from tests.control.watched import BrokenError, Watched

EXAMPLES = 100


def broken_by(mutant: Mutant, *, examples: int = EXAMPLES) -> tuple[str | None, int]:
    """Return which of its promises the law breaks in the runs of a mutant, and in which of them.

    The runs are the same each time.
    """
    count = 0

    @seed(mutant.number)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],  # What breaks is wanted here, and need not be small.
        database=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(scripts(mutant.kinds))
    def run(script: Script) -> None:
        nonlocal count
        count += 1
        Watched(script, judged=mutant.breaks).run()

    try:
        run()
    except BrokenError as error:
        return error.rule, count
    return None, count


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_rule_switched_off_breaks_a_promise_that_is_kept_with_it(mutant: Mutant) -> None:
    with pytest.MonkeyPatch.context() as without_it:
        mutant.switch_off(without_it)
        broken, count = broken_by(mutant)

    assert broken in mutant.breaks
    assert broken_by(mutant, examples=count)[0] is None
