"""Twenty days under control, judged by the plant: safe, explained, and not by under-use."""

from statistics import fmean

import pytest

from tests.simulation.figures import day_of

SEEDS = {
    "harsh": range(1, 7),
    "lighter": range(1, 4),
    "ordinary": range(1, 6),
    "faults": range(1, 7),
}
MUST = {"harsh": 0.60, "ordinary": 0.85}


@pytest.mark.parametrize("kind", SEEDS)
def test_days_do_no_harm_explain_themselves_and_give_what_there_is(kind: str) -> None:
    """Also no claim is stuck, no connector forgotten, and headroom comes back."""
    days = {seed: day_of(kind, seed) for seed in SEEDS[kind]}

    assert [
        f"{kind} {seed}: {told}"
        for seed, day in days.items()
        for told in (*day.violations, *day.unsound, *day.unexplained, *day.stuck)
    ] == []
    assert fmean(day.energy_vs_omniscient for day in days.values()) >= MUST.get(kind, 0.0)
    if kind != "faults":
        assert fmean(day.limit_changes_per_connector_h for day in days.values()) <= 15.0
        assert fmean(day.needless_pauses_per_connector_h for day in days.values()) <= 1.0


def test_a_seed_replays_to_the_last_bit() -> None:
    assert day_of("faults", 9, duration_s=1_800.0) == day_of("faults", 9, duration_s=1_800.0)
