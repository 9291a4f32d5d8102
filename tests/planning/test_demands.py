"""Promises and vehicles become one problem, in which a promise that fits can always be planned."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.needs import Criticality, Objective
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.asking import Places
from gateway.planning.check import check
from gateway.planning.demands import Visit, beside_slots_wh, demands_of, edges_of
from gateway.planning.following import Following
from gateway.planning.greedy import greedy
from gateway.planning.grid import Grid, grid_of
from gateway.planning.problem import Demand, Problem, ranks_of
from tests.support.small_site import small_site

NOW_S = 1_000_000.0
PLACES = Places.of(small_site(3))


def promise_of(
    *stretches: tuple[float, float, int],
    place: str = "CP-01/1",
    state: PromiseState = PromiseState.CONFIRMED,
    delivered_wh: float = 0.0,
) -> Reservation:
    """Return a promise of stretches: from and until (s from now), and mA."""
    envelope = tuple(
        Stretch(from_at_s=NOW_S + from_s, until_at_s=NOW_S + until_s, current_ma=current_ma)
        for from_s, until_s, current_ma in stretches
    )
    energy_wh = int(sum((u - f) / 3_600 * 0.69 * ma for f, u, ma in stretches))
    return Reservation(
        id="P",
        place=place,
        rows=(0, 1, 2),
        envelope=envelope,
        energy_wh=energy_wh,
        guaranteed_wh=energy_wh,
        confidence_ratio=0.9,
        criticality=Criticality.HIGH,
        state=state,
        hold_until_at_s=NOW_S + 60.0,
        delivered_wh=delivered_wh,
    )


VISIT = Visit(
    place="CP-01/1",
    since_at_s=NOW_S - 600.0,
    leaves_at_s=NOW_S + 7_200.0,
    wants_wh=8_000.0,
    phase_count=1,
    accepts_ma=20_050,
)


def wishes(
    *visits: Visit, promises: tuple[Reservation, ...] = (), conceded_wh: float | None = None
) -> tuple[Grid, tuple[Demand, ...]]:
    grid = grid_of(events_s=edges_of(visits, promises, now_s=NOW_S))
    conceded = {} if conceded_wh is None else {"P": conceded_wh}
    return grid, demands_of(visits, promises, PLACES, grid, now_s=NOW_S, conceded_wh=conceded)


def test_a_vehicle_wants_what_it_was_seen_to_take_until_it_leaves() -> None:
    _, (demand,) = wishes(VISIT)

    assert (demand.key, demand.rows, demand.phase_count) == ("CP-01/1", (0,), 1)
    assert (demand.earliest_s, demand.latest_s, demand.energy_wh) == (0.0, 7_200.0, 8_000.0)
    assert (demand.max_ma, demand.promised_wh) == (20_000, 0.0)
    assert wishes(replace(VISIT, wants_wh=0.0))[1] == ()
    assert wishes(replace(VISIT, place="CP-99/1"))[1] == ()


def test_one_that_was_promised_something_wants_that_and_what_it_takes_beyond() -> None:
    arrived = promise_of((-600, 3_000, 16_000), state=PromiseState.ARRIVED, delivered_wh=1_000.0)
    eager = replace(VISIT, wants_wh=30_000.0)

    _, (demand,) = wishes(replace(VISIT, is_drawing=True), promises=(arrived,))
    _, (same, more) = wishes(replace(eager, is_drawing=True), promises=(arrived,))

    assert (demand.key, demand.rank, demand.energy_wh) == ("P", 1, 10_040.0)
    assert (demand.latest_s, same) == (3_000.0, demand)
    assert (more.key, more.rank, more.energy_wh) == ("CP-01/1", 2, 30_000.0 - 10_040.0)
    assert (more.latest_s, more.promised_wh) == (7_200.0, 0.0)
    # Of what is owed, what is left of its envelope carries so much.
    assert demand.promised_wh == pytest.approx(16_000 * 0.69 * 3_000 / 3_600)


def test_what_was_asked_for_as_fast_as_can_be_is_planned_so() -> None:
    promise = replace(promise_of((3_600, 7_200, 16_000)), objective=Objective.FASTEST)
    _, (demand,) = wishes(promises=(promise,))

    assert demand.objective is Objective.FASTEST


def test_a_connector_is_left_to_whom_it_is_promised() -> None:
    later = promise_of((3_600, 7_200, 16_000))
    _, demands = wishes(VISIT, promises=(later,))

    assert {d.key: d.latest_s for d in demands} == {"P": 7_200.0, "CP-01/1": 3_600.0}


def test_who_stands_where_something_critical_comes_next_is_served_like_it() -> None:
    soon = replace(promise_of((3_600, 7_200, 16_000)), criticality=Criticality.CRITICAL)
    tomorrow = replace(promise_of((90_000, 93_600, 16_000)), criticality=Criticality.CRITICAL)
    lowly = replace(VISIT, rank=3)

    assert ranks_of(wishes(lowly, promises=(soon,))[1]) == [0, 0]
    assert ranks_of(wishes(lowly, promises=(tomorrow,))[1]) == [0, 3]


def test_one_that_should_have_left_is_planned_on_before_whom_it_keeps_waiting() -> None:
    begun = promise_of((-600, 7_200, 16_000))
    grid, demands = wishes(VISIT, promises=(begun,))
    waits, stays = demands
    plan = greedy(
        Problem(grid=grid, available_ma=((40_000,) * grid.slot_count,) * 3, demands=demands)
    )

    assert (waits.key, waits.earliest_s, stays.key, stays.latest_s) == (
        "P",
        1_800,
        "CP-01/1",
        1_800,
    )
    # It is given what it can have, though it goes on; who waits is promised no more than is left.
    assert plan.delivered_wh[1] == pytest.approx(20 * 0.23 * 1_800 / 3_600 * 1_000, rel=0.01)
    assert waits.promised_wh == pytest.approx(16_000 * 0.69 * 5_400 / 3_600)
    assert wishes(replace(VISIT, leaves_at_s=NOW_S - 60.0))[1][0].latest_s == 1_800.0


def test_what_a_vehicle_was_seen_to_take_and_how_it_starts_is_planned_for() -> None:
    slow = Following(settling_s=40.0, ramp_ma_per_s=500.0)
    full = replace(VISIT, taper=((6_000.0, 10_000),), following=slow, accepts_ma=16_000)
    grid, (demand,) = wishes(full)
    problem = Problem(grid=grid, available_ma=((40_000,) * grid.slot_count,) * 3, demands=(demand,))
    plan = greedy(problem)
    # 3.68 kW less the 56 s of its start, then 2.3 kW from 6 kWh on.
    full_power_s = 6_000 / 3_680 * 3_600 + 56.0

    assert check(problem, plan) == ()
    assert plan.delivered_wh[0] == pytest.approx(6_000 + (7_200 - full_power_s) / 3_600 * 2_300)


def test_what_is_over_or_nowhere_is_not_planned_for() -> None:
    over = promise_of((-7_200, -600, 16_000))
    moved_away = promise_of((0, 600, 16_000), place="CP-99/1")
    kept = promise_of((0, 600, 16_000), delivered_wh=5_000.0, state=PromiseState.ARRIVED)

    assert wishes(promises=(over,))[1] == wishes(promises=(moved_away,))[1] == ()
    assert wishes(promises=(kept,))[1] == ()


def test_what_was_conceded_of_a_promise_is_no_longer_demanded_of_the_plan() -> None:
    _, (demand,) = wishes(promises=(promise_of((0, 3_600, 16_000)),), conceded_wh=4_000.0)

    assert demand.promised_wh == 4_000.0
    assert demand.energy_wh == 11_040.0


CURRENTS = st.integers(60, 320).map(lambda steps: 100 * steps)


@example(
    begins_s=0,
    lengths_s=[678],
    currents_ma=[8_100, 6_000, 6_000, 19_000],
    delivered_ratio=0.0,
    visits=True,
    takes=(19_000, 1.0),
)
@given(
    begins_s=st.integers(-7_200, 90_000),
    lengths_s=st.lists(st.integers(1, 9_000), min_size=1, max_size=4),
    currents_ma=st.lists(CURRENTS, min_size=4, max_size=4),
    delivered_ratio=st.floats(0.0, 1.0),
    visits=st.booleans(),
    takes=st.tuples(st.integers(6_000, 32_000), st.floats(0.0, 20_000.0)),
)
def test_a_promise_whose_envelope_the_rows_carry_can_be_planned_at_any_moment(
    begins_s: int,
    lengths_s: list[int],
    currents_ma: list[int],
    delivered_ratio: float,
    takes: tuple[int, float],
    *,
    visits: bool,
) -> None:
    stretches, at_s = [], float(begins_s)
    for length_s, current_ma in zip(lengths_s, currents_ma, strict=False):
        stretches.append((at_s, at_s + length_s, current_ma))
        at_s += length_s
    promise = promise_of(*stretches)
    promise = replace(promise, delivered_wh=delivered_ratio * promise.energy_wh)
    others: tuple[Visit, ...] = ()
    if visits:
        others = (
            replace(VISIT, place="CP-02/1", wants_wh=40_000.0, phase_count=3),
            replace(VISIT, accepts_ma=takes[0], taper=((takes[1], 8_000),)),
        )
        if begins_s <= 0:
            promise = replace(promise, state=PromiseState.ARRIVED)
    grid, demands = wishes(*others, promises=(promise,))
    rows = tuple((max(currents_ma),) * grid.slot_count for _ in range(3))
    problem = Problem(grid=grid, available_ma=rows, demands=demands)

    assert check(problem, greedy(problem)) == ()


def test_beside_slots_lies_what_no_slot_holds_alone() -> None:
    # In slots of five minutes: 30 s of 16 A before, 60 s of 8 A behind; 5 min that are gone by.
    promise = promise_of((-300, 0, 16_000), (570, 1_200, 16_000), (1_200, 1_260, 8_000))
    grid = grid_of()
    (demand,) = demands_of((), (promise,), PLACES, grid, now_s=NOW_S)

    per_s_wh = 0.69 / 3_600
    expected_wh = (30 * 16_000 + 60 * 8_000) * per_s_wh
    assert beside_slots_wh(demand, grid) == pytest.approx(expected_wh)
    assert beside_slots_wh(demand, grid_of(events_s=(570.0, 1_260.0), least_slot_s=0.0)) == 0.0
    # Who still stands in its way takes that from it.
    assert beside_slots_wh(replace(demand, earliest_s=600.0), grid) == pytest.approx(
        60 * 8_000 * per_s_wh
    )
