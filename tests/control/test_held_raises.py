"""While a lease of before a restart may still be in force nothing is raised, in phases neither."""

import pytest

from gateway.control.orders import LimitOrder
from gateway.control.restore import hold_raises
from gateway.domain.charging import RateUnit
from gateway.domain.limits import CurrentLimit
from tests.support.one_circuit import OneCircuit, ref


@pytest.mark.parametrize(
    ("told", "ordered", "held"),
    [
        ((6_000, 1), (6_000, 3), (6_000, 1)),  # The same watts for each phase are more of them.
        ((6_000, 1), (10_000, 3), (6_000, 1)),
        ((10_000, 1), (6_000, 3), (6_000, 1)),
        ((10_000, 3), (16_000, 3), (10_000, 3)),
        ((20_000, 1), (6_000, 3), (6_000, 3)),  # 18 A, were they all on one: a cut.
        ((10_000, 3), (6_000, 1), (6_000, 1)),
        ((0, 1), (6_000, 3), (0, 3)),  # Of nothing.
        ((6_000, 3), (0, 1), (0, 1)),
    ],
)
def test_watts_for_more_phases_are_held_where_they_may_be_more_on_one(
    told: tuple[int, int], ordered: tuple[int, int], held: tuple[int, int]
) -> None:
    board = OneCircuit()
    board.is_capable(1, unit=RateUnit.WATTS)
    board.plug_in(1)
    told_ma, told_count = told
    board.send(1, told_ma, phase_count=told_count)
    limit_ma, phase_count = ordered
    limit = CurrentLimit(limit_ma=limit_ma, phase_count=phase_count)
    order = LimitOrder(connector=ref(1), limit=limit, valid_for_s=60.0, is_cut=False)

    (passed,) = hold_raises((order,), board.state)

    assert (passed.limit.limit_ma, passed.limit.phase_count) == held
