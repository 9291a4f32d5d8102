"""Promises at a small building are judged by what the law delivered, walk-ups and all."""

from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest

from benchmarks._data import Floats
from benchmarks._recorded_building import AVAILABLE_MA, HISTORY_H, Building
from benchmarks.promises_delivered import (
    Cause,
    Made,
    Window,
    kept_of,
    promised,
    row,
    with_causes,
)
from gateway.planning.recorded import RecordedSession

FIRST_H = HISTORY_H + 24  # A midnight; the hours of a day are local.
HOURS = FIRST_H + 8 * 24


@cache
def office(seed: int = 1) -> Building:
    """Return a building that draws more by day, less at weekends, and otherwise by chance."""
    rng = np.random.default_rng(seed)
    hours = np.arange(HOURS)
    is_day = (hours % 24 >= 8) & (hours % 24 < 18)
    is_weekend = hours // 24 % 7 >= 5
    usual = 0.35 + 0.35 * is_day * np.where(is_weekend, 0.2, 1.0)
    noise: Floats = rng.normal(scale=0.06, size=HOURS)
    return Building(name="office", load_ma=np.clip(usual + noise, 0.1, 0.95) * AVAILABLE_MA)


def sessions() -> tuple[RecordedSession, ...]:
    rng = Random(1)
    return tuple(
        RecordedSession(
            arrive_s=0.0,
            depart_s=(stays_s := rng.uniform(3_600.0, 6 * 3_600.0)),
            energy_wh=(takes_wh := rng.uniform(3_000.0, 15_000.0)),
            stated_depart_s=stays_s,
            stated_energy_wh=takes_wh,
            max_w=11_040.0,
        )
        for _ in range(20)
    )


def two_hours(*, hour: int, day: int) -> Window:
    """Return two hours for which promises are asked an hour ahead."""
    return Window(origin=FIRST_H + 24 * day + hour - 1, ahead_h=1, long_h=2)


def lived(building: Building, *, hour: int, day: int, **steps: float) -> list[Made]:
    """Return what became of the promises of two hours."""
    window = two_hours(hour=hour, day=day)
    return kept_of(building, window, promised(building, window), sessions(), **steps)


def test_of_a_week_promises_are_kept_as_a_rule_and_none_gets_more_than_it_could_draw() -> None:
    made = [one for day in range(7) for one in lived(office(), hour=10, day=day)]
    binding = [one for one in made if one.promise.is_binding]

    assert len(binding) >= 8
    assert sum(one.is_kept for one in binding) >= 0.7 * len(binding)
    assert all(0 < one.promise.delivered_wh <= one.promise.allowed_wh for one in made)
    assert all(one.promise.allowed_wh < 2 * 11_040.0 + 0.1 for one in made)
    assert sum(int(str(row(made, level)["promises"])) for level in (0.8, 0.9, 0.95)) == len(binding)


def test_promises_break_where_base_is_what_nobody_foresaw_those_made_last_first() -> None:
    load_ma = office().load_ma.copy()
    begins = FIRST_H + 24 + 10
    load_ma[begins : begins + 2] += 0.1 * AVAILABLE_MA
    building = replace(office(), load_ma=load_ma)
    made = lived(building, hour=10, day=1)
    kept = [one.is_kept for one in made]

    assert kept[0]
    assert not kept[-1]
    assert kept == sorted(kept, reverse=True)
    assert made[-1].recorded_wh < made[-1].promise.energy_wh
    found = with_causes(building, two_hours(hour=10, day=1), made)
    assert [one.cause is None for one in found] == kept
    assert found[-1].cause is Cause.BASE


def test_run_each_second_the_law_delivers_as_much() -> None:
    seldom = lived(office(), hour=10, day=1)
    always = lived(office(), hour=10, day=1, busy_s=1.0, quiet_s=1.0)
    in_all_wh = [sum(one.promise.delivered_wh for one in made) for made in (seldom, always)]

    assert in_all_wh[0] == pytest.approx(in_all_wh[1], rel=0.02)
    assert [one.is_kept for one in seldom] == [one.is_kept for one in always]
