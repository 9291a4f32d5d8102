"""For any tree, phases, beliefs and readings: the law keeps what it promises.

The law is run at a plant that knows what is true (`plant`), through whatever is drawn to happen
there (`drawn`), and everything it promises is looked at after each decision (`watched`).
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from tests.control.drawn import Script, scripts
from tests.control.watched import Watched

EXAMPLES = 60
SOAK_EXAMPLES = 3_000

# What the runs are at least to go through, an example: a property of runs in which nothing
# happens holds whatever the law is. Each is well below what is usual.
AT_LEAST_AN_EXAMPLE = {
    "decisions": 200.0,
    "seconds proven": 100.0,
    "seconds masked": 5.0,
    "orders": 30.0,
    "first orders": 2.0,
    "raises": 1.0,
    "starts": 0.3,
    "cuts": 0.5,
    "pauses": 0.5,
    "guarded": 0.05,
    "LimitRejected": 0.5,
    "LimitUnanswered": 0.05,
    "boots while charging": 0.02,
    "leases lapsed": 0.1,
    "served at the end": 0.1,
    "proven at the end": 0.02,
}


KEPT = frozenset(
    {
        "no limit in force is forgotten",
        "nobody draws more than is counted",
        "no phase in use is forgotten",
        "a free connector counts nothing",
        "a limit can be told",
        "a limit from outside narrows",
        "what we send fits",
        "a second look sees what there is",
        "what does not fit is cut",
        "nobody waits where there is room",
        "the guard lowers raises alone",
        "a stop is a stop",
        "a limit has its reason",
    }
)
"""What holds in every run."""


def run(examples: int) -> Counter[str]:
    """Run as many examples; return what they went through.

    Raises:
        BrokenError: the law broke a promise in one of them.
    """
    been_through: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(scripts(has_joined=True))
    def holds(script: Script) -> None:
        been_through["examples"] += 1
        been_through.update(Watched(script, judged=KEPT).run())

    holds()
    return been_through


def too_seldom(been_through: Counter[str]) -> dict[str, int]:
    """Return what the examples went through too seldom for the property to mean anything."""
    examples = been_through["examples"]
    return {
        what: been_through[what]
        for what, at_least in AT_LEAST_AN_EXAMPLE.items()
        if been_through[what] < at_least * examples
    }


def test_every_promise_is_kept_whatever_happens() -> None:
    been_through = run(EXAMPLES)

    assert been_through["examples"] >= EXAMPLES
    assert too_seldom(been_through) == {}


@pytest.mark.soak
def test_every_promise_is_kept_for_weeks() -> None:
    been_through = run(SOAK_EXAMPLES)

    assert too_seldom(been_through) == {}
    assert been_through["rotations"] > 0
