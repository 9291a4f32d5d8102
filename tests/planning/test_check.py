"""The last look finds what is wrong, whoever made the plan."""

from dataclasses import replace

import pytest

from gateway.planning.check import Fault, check
from gateway.planning.greedy import greedy
from gateway.planning.grid import even_grid
from gateway.planning.problem import Demand, Plan, Problem, plan_of

CAR = Demand(
    key="car",
    place="CP-1",
    rows=(0,),
    phase_count=1,
    voltage_v=230.0,
    earliest_s=300.0,
    latest_s=1_500.0,
    energy_wh=1_000.0,
    max_ma=16_000,
)
PROBLEM = Problem(grid=even_grid(6, 300.0), available_ma=((20_000,) * 6,), demands=(CAR,))


def given(*current_ma: int) -> Plan:
    return plan_of(PROBLEM, [list(current_ma)])


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (given(8_000, 8_000, 0, 0, 0, 0), Fault.OUTSIDE_WINDOW),
        (given(0, 17_000, 0, 0, 0, 0), Fault.CURRENT),
        (given(0, 5_000, 0, 0, 0, 0), Fault.CURRENT),
        (replace(given(0, 8_000, 0, 0, 0, 0), delivered_wh=(900.0,)), Fault.ENERGY),
        (replace(given(0, 8_000, 0, 0, 0, 0), grid=even_grid(6, 60.0)), Fault.FOREIGN),
        (given(0, 8_000, 0), Fault.FOREIGN),
        (Plan(grid=PROBLEM.grid, current_ma=(), delivered_wh=()), Fault.FOREIGN),
    ],
)
def test_a_wrong_plan_is_told_for_what_it_is(plan: Plan, fault: Fault) -> None:
    assert [violation.fault for violation in check(PROBLEM, plan)] == [fault]


def test_a_row_a_place_and_a_promise_are_looked_at_together() -> None:
    second = replace(CAR, key="second", promised_wh=800.0)
    both = replace(PROBLEM, demands=(CAR, second))
    plan = plan_of(both, [[0, 16_000, 0, 0, 0, 0], [0, 8_000, 0, 0, 0, 0]])

    assert {v.fault for v in check(both, plan)} == {Fault.ROW_OVER, Fault.PLACE, Fault.PROMISE}


def test_who_comes_later_draws_once_the_one_before_it_is_done() -> None:
    later = replace(CAR, key="later", earliest_s=600.0)
    both = replace(PROBLEM, demands=(later, CAR))
    swapped = plan_of(both, [[0, 0, 8_000, 0, 0, 0], [0, 8_000, 0, 8_000, 0, 0]])
    in_turn = plan_of(both, [[0, 0, 0, 0, 8_000, 0], [0, 8_000, 0, 8_000, 0, 0]])

    (found,) = check(both, swapped)
    assert (found.fault, found.subject, found.slot) == (Fault.PLACE, "later", 2)
    assert check(both, in_turn) == ()


def test_a_start_that_takes_longer_than_its_slot_costs_the_rest_in_the_next() -> None:
    slow = replace(CAR, settling_s=400.0, ramp_ma_per_s=160.0)  # At 16 A 100 s until it is there.
    problem = replace(PROBLEM, demands=(slow,))
    plan = plan_of(problem, [[0, 16_000, 16_000, 0, 0, 0]])

    takes_wh = 16.0 * 230.0 * (600.0 - 400.0 - 50.0) / 3_600.0
    assert plan.delivered_wh[0] == pytest.approx(takes_wh)
    assert check(problem, plan) == ()
    forgiving = replace(plan, delivered_wh=(16.0 * 230.0 * 300.0 / 3_600.0,))
    assert [violation.fault for violation in check(problem, forgiving)] == [Fault.ENERGY]


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert check(PROBLEM, greedy(PROBLEM)) == ()
