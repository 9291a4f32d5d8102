"""What the rest of a building draws."""

import itertools
from random import Random
from statistics import pstdev

import pytest

from drivers.sim.building import BaseLoad, office_ratio
from drivers.sim.scenario import BaseTraits
from tests.support.sim_scenarios import CARPARK

TRAITS = BaseTraits(
    circuit=CARPARK, low_a=20.0, high_a=24.0, noise_a=0.3, floor_a=15.0, ceiling_a=50.0
)


def load_of(traits: BaseTraits = TRAITS, *, seed: int = 1) -> BaseLoad:
    return BaseLoad(traits, start_of_day_s=0.0, rng=Random(seed))


@pytest.mark.parametrize(
    ("hour", "ratio"), [(0, 0.0), (6, 0.05), (9.5, 0.9), (12, 1.0), (12.5, 0.925), (23, 0.0)]
)
def test_an_office_wakes_works_and_sleeps(hour: float, ratio: float) -> None:
    assert office_ratio(hour * 3_600.0) == pytest.approx(ratio)


def test_a_step_is_there_at_once_and_for_good() -> None:
    load = load_of()
    before_a = list(load.amps)

    load.step((12.0, 0.0, -3.0))
    after_a = list(load.amps)
    load.tick(1.0, 1.0)

    assert [after - before for after, before in zip(after_a, before_a, strict=True)] == (
        pytest.approx([12.0, 0.0, -3.0])
    )
    assert load.amps == pytest.approx(after_a, abs=2.0)


def test_it_stays_within_its_bounds() -> None:
    load = load_of()
    load.step((60.0, -30.0, 0.0))
    seen = []
    for second in range(600):
        load.tick(float(second), float(second))
        seen.append(list(load.amps))

    assert {amps[0] for amps in seen} == {50.0}
    assert {amps[1] for amps in seen} == {15.0}


def test_its_noise_has_the_size_given_and_resembles_the_second_before() -> None:
    steady = BaseTraits(
        circuit=CARPARK, low_a=20.0, high_a=20.0, noise_a=0.3, floor_a=0.0, ceiling_a=50.0
    )
    load = load_of(steady)
    seen = []
    for second in range(20_000):
        load.tick(float(second), float(second))
        seen.append(load.amps[0])
    changes = [after - before for before, after in itertools.pairwise(seen)]

    assert pstdev(seen) == pytest.approx(0.3, rel=0.1)
    assert pstdev(changes) < 0.5 * pstdev(seen)
