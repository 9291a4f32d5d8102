"""The plan that is always there fits, keeps promises, and serves by class and laxity."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.needs import Objective
from gateway.planning.check import Fault, check
from gateway.planning.greedy import greedy
from gateway.planning.grid import Grid, even_grid, grid_of
from gateway.planning.problem import (
    Demand,
    Plan,
    Problem,
    Rectangle,
    serves_everyone,
)

HOUR_S = 3_600.0


def demand(key: str, *, energy_wh: float | None = 11_000, **changes: object) -> Demand:
    """Return a three-phase vehicle that may take 16 A for the first four hours."""
    vehicle = Demand(
        key=key,
        place=key,
        rows=(0, 1, 2),
        phase_count=3,
        voltage_v=230.0,
        earliest_s=0.0,
        latest_s=4 * HOUR_S,
        energy_wh=energy_wh,
        max_ma=16_000,
    )
    return replace(vehicle, **changes)  # type: ignore[arg-type]


def problem(*demands: Demand, limit_ma: int = 20_000, grid: Grid | None = None) -> Problem:
    grid = grid or even_grid(48, 300.0)
    return Problem(grid=grid, available_ma=((limit_ma,) * grid.slot_count,) * 3, demands=demands)


def delivered_by_s(plan: Plan, at: int, energy_wh: float, wh_per_ma_h: float) -> float:
    """Return when a demand has so much, s from now."""
    total_wh = 0.0
    for slot, ma in enumerate(plan.current_ma[at]):
        total_wh += ma * plan.grid.hours[slot] * wh_per_ma_h
        if total_wh >= energy_wh - 1.0:
            return plan.grid.edges_s[slot + 1]
    return float("inf")


def test_whoever_leaves_first_is_served_first() -> None:
    late, soon = demand("late"), demand("soon", latest_s=1.2 * HOUR_S)
    plan = greedy(problem(late, soon))

    assert delivered_by_s(plan, 1, 11_000, soon.wh_per_ma_h) <= 1.2 * HOUR_S
    assert serves_everyone(problem(late, soon), plan)


def test_class_goes_before_laxity() -> None:
    critical = demand("critical", rank=0)
    tight = demand("tight", latest_s=1.2 * HOUR_S)
    plan = greedy(problem(tight, critical))

    assert delivered_by_s(plan, 1, 11_000, critical.wh_per_ma_h) <= 1.1 * HOUR_S
    assert plan.delivered_wh[0] < 11_000


def test_an_impossible_target_gets_the_best_effort() -> None:
    plan = greedy(problem(demand("hungry", energy_wh=100_000)))

    assert plan.delivered_wh[0] == pytest.approx(16 * 230 * 3 * 4)


def test_a_vehicle_that_tapers_takes_less_from_there_on() -> None:
    plan = greedy(problem(demand("full", taper=((5_500.0, 8_000),))))
    half_at = 6  # 5,520 Wh are 16 A on three phases for half an hour.

    assert set(plan.current_ma[0][:half_at]) == {16_000}
    assert max(plan.current_ma[0][half_at:]) == 8_000


def test_who_takes_less_at_the_end_is_not_left_for_later() -> None:
    slow = demand("slow", latest_s=2.6 * HOUR_S, taper=((6_000.0, 6_000),))
    quick = demand("quick", latest_s=2 * HOUR_S)
    plan = greedy(problem(quick, slow, limit_ma=22_000))

    # 6 kWh at 11 kW and 5 at 4.1 take an hour and three quarters: it can wait less than the other.
    assert slow.needs_s(0.0, 11_000.0) == pytest.approx((6_000 / 11_040 + 5_000 / 4_140) * HOUR_S)
    assert (plan.current_ma[0][0], plan.current_ma[1][0]) == (6_000, 16_000)
    assert plan.delivered_wh == pytest.approx((11_000, 11_000))


def test_what_tapers_within_a_slot_is_counted_to_the_second() -> None:
    hour = even_grid(1, HOUR_S)
    full = demand("full", taper=((5_520.0, 8_000),), energy_wh=20_000)
    asked = problem(full, grid=hour)
    plan = greedy(asked)

    # Half an hour at 16 A, and half an hour at 8 A, though 16 A are offered all the while.
    assert plan.current_ma == ((16_000,),)
    assert plan.delivered_wh == pytest.approx((5_520 + 2_760,))
    assert check(asked, plan) == ()
    assert [v.fault for v in check(asked, replace(plan, delivered_wh=(11_040.0,)))] == [
        Fault.ENERGY
    ]


def test_a_device_that_starts_slowly_is_given_what_that_costs() -> None:
    # It settles in a minute, and is at 16 A half a minute later: in all 76 s of it are lost.
    slow = demand("slow", energy_wh=11_040, settling_s=60.0, ramp_ma_per_s=500.0)
    asked = problem(slow)
    plan = greedy(asked)

    assert check(asked, plan) == ()
    # An hour at full power, and the 76 s it takes to start.
    assert delivered_by_s(plan, 0, 11_040, slow.wh_per_ma_h) == HOUR_S
    assert sum(plan.current_ma[0]) == pytest.approx(12 * 16_000 * (1 + 76 / HOUR_S), abs=6_000)
    drawing = problem(replace(slow, is_drawing=True))
    assert sum(greedy(drawing).current_ma[0]) == 12 * 16_000


def test_a_target_that_cannot_be_met_is_no_reason_for_less() -> None:
    hungry = demand("hungry", energy_wh=100_000, latest_s=2 * HOUR_S)
    late = demand("late", energy_wh=9_000, latest_s=600.0)
    plan = greedy(problem(hungry, late, limit_ma=32_000))

    assert plan.delivered_wh == pytest.approx((16 * 230 * 3 * 2, 16 * 230 * 3 / 6))
    assert not serves_everyone(problem(hungry, late, limit_ma=32_000), plan)


def test_what_was_promised_is_kept_whoever_comes() -> None:
    promised = demand(
        "promised",
        promised_wh=11_000,
        committed=(Rectangle(from_s=2 * HOUR_S, until_s=3 * HOUR_S, current_ma=16_000),),
        rank=3,
    )
    others = [demand(f"critical-{n}", rank=0, energy_wh=None) for n in range(4)]
    asked = problem(*others, promised, limit_ma=16_000)

    assert check(asked, greedy(asked)) == ()


def test_what_is_held_is_free_again_once_it_was_given_earlier() -> None:
    promised = demand(
        "promised",
        promised_wh=11_000,
        committed=(Rectangle(from_s=2 * HOUR_S, until_s=3 * HOUR_S, current_ma=16_000),),
    )
    other = demand("other", energy_wh=None)
    plan = greedy(problem(promised, other, limit_ma=16_000))

    assert plan.delivered_wh[1] == pytest.approx(3 * 16 * 230 * 3, rel=0.02)


def test_one_at_a_connector_after_the_other() -> None:
    first = demand("first", place="CP-1", latest_s=2 * HOUR_S)
    second = demand("second", place="CP-1", earliest_s=1 * HOUR_S)
    asked = problem(first, second, limit_ma=32_000)

    assert check(asked, greedy(asked)) == ()
    assert serves_everyone(asked, greedy(asked))


def test_fastest_does_not_wait_for_who_leaves_sooner() -> None:
    fast = demand("fast", objective=Objective.FASTEST)
    plan = greedy(problem(demand("soon", latest_s=3 * HOUR_S), fast, limit_ma=16_000))

    assert plan.current_ma[1][0] == 16_000


demands = st.builds(
    demand,
    key=st.uuids().map(str),
    place=st.sampled_from([f"CP-{at}" for at in range(6)]),
    energy_wh=st.one_of(st.none(), st.floats(0, 60_000)),
    rows=st.sets(st.integers(0, 5), min_size=1, max_size=4).map(lambda rows: tuple(sorted(rows))),
    phase_count=st.integers(1, 3),
    earliest_s=st.floats(0, 20 * HOUR_S),
    latest_s=st.floats(0, 30 * HOUR_S),
    rank=st.integers(0, 3),
    max_ma=st.integers(60, 640).map(lambda steps: steps * 100),
    objective=st.sampled_from(Objective),
    settling_s=st.sampled_from((0.0, 0.0, 45.0, 400.0)),
    ramp_ma_per_s=st.sampled_from((inf, 5_000.0, 20.0)),
    is_drawing=st.booleans(),
    taper=st.lists(st.floats(0, 30_000), max_size=3).map(
        lambda at_wh: tuple((wh, 20_000 - 6_000 * k) for k, wh in enumerate(sorted(at_wh)))
    ),
)


@given(
    asked=st.lists(demands, max_size=12),
    rows_ma=st.lists(st.integers(-20_000, 90_000), min_size=6, max_size=6),
)
def test_whatever_is_asked_nothing_is_wrong_with_the_plan(
    asked: list[Demand], rows_ma: list[int]
) -> None:
    grid = grid_of(24 * HOUR_S, events_s=[d.latest_s for d in asked])
    of_rows = tuple((ma,) * grid.slot_count for ma in rows_ma)
    given_problem = Problem(grid=grid, available_ma=of_rows, demands=tuple(asked))

    assert check(given_problem, greedy(given_problem)) == ()


def test_a_wrong_plan_is_told() -> None:
    asked = problem(demand("a"), demand("b", promised_wh=5_000), limit_ma=20_000)
    over = ((16_000,) * 48, (6_050,) * 48)
    plan = Plan(grid=asked.grid, current_ma=over, delivered_wh=(44_160.0, 0.0))

    assert {violation.fault for violation in check(asked, plan)} == {
        Fault.ROW_OVER,
        Fault.CURRENT,
        Fault.ENERGY,
    }
    nothing = Plan(grid=asked.grid, current_ma=((0,) * 48,) * 2, delivered_wh=(0.0, 0.0))
    assert [violation.fault for violation in check(asked, nothing)] == [Fault.PROMISE]


def test_the_grid_is_fine_where_it_is_near_and_cut_where_something_happens() -> None:
    grid = grid_of(events_s=[5 * HOUR_S + 400.0, 7 * HOUR_S + 10.0])

    assert grid.edges_s[:3] == (0.0, 300.0, 600.0)
    assert grid.edges_s[-1] == 48 * HOUR_S
    assert 5 * HOUR_S + 400.0 in grid.edges_s
    assert 7 * HOUR_S + 10.0 not in grid.edges_s
    assert grid.slot_count == 12 + 20 + 84 + 1
    assert 7 * HOUR_S + 10.0 in grid_of(events_s=[7 * HOUR_S + 10.0], least_slot_s=0.0).edges_s


@given(at_s=st.lists(st.floats(-10.0, 60.0) | st.sampled_from([0.0, 10.0, 20.0, 40.0, 50.0])))
def test_a_slot_that_is_cut_is_the_same_time_in_parts(at_s: list[float]) -> None:
    grid = even_grid(5, 10.0)

    cut, parts = grid.cut(at_s)

    within_s = {edge_s for edge_s in at_s if 0.0 < edge_s < 50.0}
    assert cut.edges_s == tuple(sorted(within_s.union(grid.edges_s)))
    for part, (begins_s, ends_s) in zip(parts, pairwise(cut.edges_s), strict=True):
        assert grid.edges_s[part] <= begins_s < ends_s <= grid.edges_s[part + 1]
