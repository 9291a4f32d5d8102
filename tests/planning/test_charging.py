"""Charging planned in slots of its own, seen in those of the book: who is moved gets no less."""

import random
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.charging import Charging, charging_of
from gateway.planning.greedy import greedy
from gateway.planning.grid import HOUR_S, Grid, grid_of
from gateway.planning.problem import Demand, Problem, delivered_wh
from gateway.planning.quote import Ask
from gateway.planning.room import Outlet, Room
from gateway.planning.shifting import shift

BOOK = grid_of(6 * HOUR_S, least_slot_s=0.0)
ASKED = Outlet(key="asked", rows=(0,), phase_count=1, voltage_v=230.0, max_ma=32_000)


def vehicle(key: str, **changes: object) -> Demand:
    car = Demand(
        key=key,
        place=key,
        rows=(0,),
        phase_count=1,
        voltage_v=230.0,
        earliest_s=0.0,
        latest_s=70 * 60.0,
        energy_wh=8_000.0,
        max_ma=32_000,
    )
    return replace(car, **changes)  # type: ignore[arg-type]


def planned(limit_ma: int, begins_s: float, *demands: Demand) -> Charging:
    """Return what a plan of its own slots, cut where vehicles come and go, gives in the book's."""
    events_s = {edge_s for d in demands for edge_s in (d.earliest_s, d.latest_s)}
    grid = grid_of(5 * HOUR_S, events_s=events_s)
    problem = Problem(grid=grid, available_ma=((limit_ma,) * grid.slot_count,) * 2, demands=demands)
    return charging_of(demands, greedy(problem), grid=BOOK, begins_s=begins_s)


def room_of(limit_ma: int) -> Room:
    left_ma = np.full((2, BOOK.slot_count), limit_ma, dtype=np.int64)
    return Room(version=1, grid=BOOK, left_ma=left_ma)


def gets_wh(there: Charging, grid: Grid) -> list[float]:
    return [
        delivered_wh(replace(demand, energy_wh=None), of_slots_ma, grid.hours)
        for demand, of_slots_ma in zip(there.demands, there.current_ma.tolist(), strict=True)
    ]


def test_what_is_charged_in_a_slot_in_which_its_vehicle_leaves_stays_there() -> None:
    # It leaves after 70 min, and the book has a slot from 60 to 75 min.
    there = planned(32_000, 0.0, vehicle("van"))
    at = BOOK.edges_s.index(HOUR_S)
    asked = Ask(from_s=HOUR_S, until_s=1.5 * HOUR_S, energy_wh=3_600.0)

    assert there.current_ma[0, at] > 0
    shifted = shift(room_of(32_000), there, ASKED, asked)
    assert shifted.charging.current_ma[0, at] == there.current_ma[0, at]
    assert shifted.moved == ()


def test_a_start_that_a_move_makes_next_to_what_stays_is_made_up_for() -> None:
    # It draws from 12.5 min on, and the book has a slot from 10 to 15 min.
    car = vehicle("van", settling_s=40.0, energy_wh=2_000.0, latest_s=3 * HOUR_S)
    there = planned(32_000, 750.0, car)
    asked = Ask(from_s=900.0, until_s=1_800.0, energy_wh=1_840.0)
    shifted = shift(room_of(32_000), there, ASKED, asked)

    assert there.current_ma[0, 2:5].tolist() == [32_000, 32_000, 32_000]
    assert shifted.charging.current_ma[0, 2:6].tolist() == [32_000, 0, 0, 0]
    (then_wh,), (now_wh,) = gets_wh(there, BOOK), gets_wh(shifted.charging, BOOK)
    assert now_wh >= then_wh - 1.0


def test_beside_who_leaves_within_a_slot_everybody_else_is_planned_anew() -> None:
    at = BOOK.edges_s.index(HOUR_S)
    # Who is in the way can only go where another is, and that one later.
    demands = (
        vehicle("first", earliest_s=HOUR_S, latest_s=1.5 * HOUR_S, energy_wh=1_840.0),
        vehicle("second", earliest_s=1.25 * HOUR_S, latest_s=1.75 * HOUR_S, energy_wh=1_840.0),
        vehicle("leaves", rows=(1,), earliest_s=HOUR_S, latest_s=HOUR_S + 600, energy_wh=900.0),
    )
    current_ma = np.zeros((3, BOOK.slot_count), dtype=np.int64)
    current_ma[(0, 1, 2), (at, at + 1, at)] = 32_000
    there = Charging(demands=demands, current_ma=current_ma)
    asked = Ask(from_s=HOUR_S, until_s=1.25 * HOUR_S, energy_wh=1_840.0)
    shifted = shift(room_of(32_000), there, ASKED, asked)

    assert shifted.moved == ("first", "second")
    assert shifted.charging.current_ma[2].tolist() == current_ma[2].tolist()
    assert shifted.room.left_ma[0, at] == 32_000


def test_where_nobody_may_be_moved_nobody_is_however_little_is_asked() -> None:
    # Who says nothing takes all there is as soon as it can: nothing of that can wait.
    there = planned(32_000, 0.0, vehicle("van", energy_wh=None))
    asked = Ask(from_s=0.0, until_s=HOUR_S, energy_wh=1.0)
    shifted = shift(room_of(32_000), there, ASKED, asked)

    assert there.current_ma[0].max() == 32_000
    assert (shifted.moved, shifted.charging) == ((), there)
    assert shifted.room.left_ma[0].min() == 0


def car_park(seed: int) -> tuple[Demand, ...]:
    """Return vehicles that come and go at any second, some one behind the other at a connector."""
    chance = random.Random(seed)
    demands = []
    for at in range(chance.randint(1, 6)):
        from_s = chance.choice((0.0, 0.0, chance.uniform(0, 1.5 * HOUR_S)))
        demands.append(
            vehicle(
                f"{at}",
                place=f"{at % 4}",
                rows=chance.choice(((0,), (0, 1))),
                earliest_s=from_s,
                latest_s=from_s + chance.uniform(60, 4 * HOUR_S),
                energy_wh=chance.choice((1_000.0, 3_000.0, 8_000.0)),
                max_ma=chance.choice((10_000, 16_000, 32_000)),
                settling_s=chance.choice((0.0, 40.0, 200.0)),
                is_drawing=from_s == 0 and chance.random() < 0.5,
            )
        )
    return tuple(demands)


@given(
    seed=st.integers(0, 100_000),
    limit_ma=st.integers(16_000, 64_000),
    begins_s=st.floats(-900, 1_800),
    window_s=st.tuples(st.floats(0, 2.5 * HOUR_S), st.floats(120, 2 * HOUR_S)),
    energy_wh=st.none() | st.floats(100, 12_000),
)
def test_a_plan_off_the_slots_of_the_book_is_moved_and_nobody_gets_less(
    seed: int,
    limit_ma: int,
    begins_s: float,
    window_s: tuple[float, float],
    energy_wh: float | None,
) -> None:
    there, room = planned(limit_ma, begins_s, *car_park(seed)), room_of(limit_ma)
    from_s, long_s = window_s
    asked = Ask(from_s=from_s, until_s=from_s + long_s, energy_wh=energy_wh)
    shifted = shift(room, there, ASKED, asked)

    then_ma, now_ma = there.current_ma, shifted.charging.current_ma
    for at, demand in enumerate(there.demands):
        window = BOOK.slots_within(demand.earliest_s, demand.latest_s)
        is_outside = np.ones(BOOK.slot_count, dtype=np.bool_)
        is_outside[window.start : window.stop] = False
        assert (now_ma[at, is_outside] == then_ma[at, is_outside]).all()
        drawn_ma = now_ma[at, now_ma[at] > 0]
        assert ((demand.min_ma <= drawn_ma) & (drawn_ma <= demand.max_ma)).all()
    for demand, then_wh, now_wh in zip(
        there.demands, gets_wh(there, BOOK), gets_wh(shifted.charging, BOOK), strict=True
    ):
        assert demand.energy_wh is not None
        assert now_wh >= min(then_wh, demand.energy_wh) - 1.0
    before_ma, after_ma = there.beside(room).left_ma, shifted.room.left_ma
    assert (after_ma >= np.minimum(before_ma, 0)).all()
    assert (_doubly_taken(shifted.charging) <= _doubly_taken(there)).all()


def _doubly_taken(there: Charging) -> np.ndarray:
    """Return per place and slot how many draw beyond the first."""
    places = sorted({demand.place for demand in there.demands})
    counts = np.zeros((len(places), BOOK.slot_count), dtype=np.int64)
    for demand, of_slots_ma in zip(there.demands, there.current_ma, strict=True):
        counts[places.index(demand.place)] += of_slots_ma > 0
    return np.maximum(0, counts - 1)
