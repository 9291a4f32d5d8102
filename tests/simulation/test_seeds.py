"""Twenty days under control, judged by the plant: safe, explained, and not by under-use."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from statistics import fmean

import pytest

from tests.simulation.figures import Day, day_of
from tests.simulation.harness import HARM

SEEDS = {
    "harsh": range(1, 7),
    "lighter": range(1, 4),
    "ordinary": range(1, 6),
    "faults": range(1, 7),
}
MUST = {"harsh": 0.60, "ordinary": 0.85}


@cache
def days() -> dict[tuple[str, int], Day]:
    """Run every seed once, two at a time; each run itself is free of threads."""
    jobs = [(kind, seed) for kind, seeds in SEEDS.items() for seed in seeds]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return dict(zip(jobs, pool.map(day_of, *zip(*jobs, strict=True)), strict=True))


@pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind, seeds in SEEDS.items() for seed in seeds]
)
def test_a_day_does_no_harm_and_explains_itself(kind: str, seed: int) -> None:
    day = days()[kind, seed]

    assert [told for told in day.violations if told.split(":")[0] in HARM] == []
    assert day.unsound == ()
    assert day.unexplained == ()


@pytest.mark.parametrize("kind", SEEDS)
def test_no_claim_is_stuck_no_connector_forgotten_and_headroom_comes_back(kind: str) -> None:
    told = [
        f"{kind} {seed}: {against}"
        for seed in SEEDS[kind]
        for day in [days()[kind, seed]]
        for against in day.stuck + day.violations
    ]

    assert told == []


@pytest.mark.parametrize("kind", MUST)
def test_what_the_building_has_is_given(kind: str) -> None:
    energies = [days()[kind, seed].energy_vs_omniscient for seed in SEEDS[kind]]

    assert fmean(energies) >= MUST[kind]


@pytest.mark.parametrize("kind", ["harsh", "lighter", "ordinary"])
def test_limits_are_left_alone_and_nobody_is_paused_for_nothing(kind: str) -> None:
    of_kind = [days()[kind, seed] for seed in SEEDS[kind]]

    assert fmean(day.limit_changes_per_connector_h for day in of_kind) <= 15.0
    assert fmean(day.needless_pauses_per_connector_h for day in of_kind) <= 1.0


def test_a_seed_replays_to_the_last_bit() -> None:
    assert day_of("faults", 9, duration_s=1_800.0) == day_of("faults", 9, duration_s=1_800.0)
