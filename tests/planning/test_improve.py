"""The linear program finds what least laxity misses, and nothing it finds is worse or wrong."""

import random

import pytest

from gateway.planning.check import check
from gateway.planning.greedy import greedy
from gateway.planning.grid import even_grid
from gateway.planning.improve import improve, plan, worth
from gateway.planning.problem import Demand, Problem, Rectangle, serves_everyone

HOUR_S = 3_600.0


def car_park(seed: int, *, count: int = 24, limit_ma: int = 60_000) -> Problem:
    """Return a day of vehicles on one and three phases behind one supply and boards of six."""
    chance = random.Random(seed)
    boards = -(-count // 6)
    demands = []
    for at in range(count):
        phases = (0, 1, 2) if chance.random() < 0.5 else (at % 3,)
        arrives_s = chance.uniform(0, 14) * HOUR_S
        demands.append(
            Demand(
                key=f"vehicle-{at}",
                place=f"CP-{at}",
                rows=tuple(3 * circuit + p for circuit in (1 + at // 6, 0) for p in phases),
                phase_count=len(phases),
                voltage_v=230.0,
                earliest_s=arrives_s,
                latest_s=arrives_s + chance.uniform(2, 9) * HOUR_S,
                energy_wh=chance.uniform(4_000, 22_000) * len(phases),
                max_ma=chance.choice((16_000, 32_000)),
                rank=chance.choice((0, 2, 2, 2, 3)),
            )
        )
    rows = (limit_ma,) * 3 + (40_000,) * (3 * boards)
    grid = even_grid(288, 300.0)
    of_rows = tuple((ma,) * grid.slot_count for ma in rows)
    return Problem(grid=grid, available_ma=of_rows, demands=tuple(demands))


@pytest.mark.parametrize("seed", range(6))
def test_no_plan_is_wrong_or_worse_than_the_greedy_one(seed: int) -> None:
    asked = car_park(seed)
    first = greedy(asked)
    better = improve(asked, first)

    assert check(asked, better) == ()
    assert worth(asked, better) >= worth(asked, first)


def test_where_least_laxity_falls_short_there_is_more_to_have() -> None:
    gained = [
        plan(asked).energy_wh / greedy(asked).energy_wh - 1
        for asked in (car_park(seed, limit_ma=30_000) for seed in range(6))
    ]

    assert max(gained) > 0.01


def test_where_everybody_is_served_nothing_better_is_sought() -> None:
    asked = car_park(1, count=4, limit_ma=400_000)
    first = greedy(asked)

    assert serves_everyone(asked, first)
    assert improve(asked, first) is first


def test_a_promise_is_not_given_away_for_more_energy() -> None:
    asked = car_park(2, limit_ma=16_000)
    arrives_s = asked.demands[0].earliest_s
    promised = Demand(
        key="promised",
        place="CP-promised",
        rows=(0,),
        phase_count=1,
        voltage_v=230.0,
        earliest_s=arrives_s,
        latest_s=arrives_s + 3 * HOUR_S,
        energy_wh=7_000,
        max_ma=16_000,
        rank=3,
        promised_wh=7_000,
        committed=(
            Rectangle(from_s=arrives_s + 600, until_s=arrives_s + 3 * HOUR_S, current_ma=16_000),
        ),
    )
    asked = Problem(
        grid=asked.grid, available_ma=asked.available_ma, demands=(*asked.demands, promised)
    )

    assert check(asked, plan(asked)) == ()


def test_no_time_leaves_the_greedy_plan() -> None:
    asked = car_park(3, limit_ma=20_000)
    first = greedy(asked)

    assert improve(asked, first, time_limit_s=0.0).energy_wh >= first.energy_wh
