"""What a promise takes of each scenario of base, and what it leaves there for those after it."""

import random
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.book import Book, become, hold, opened, with_promise, without
from gateway.planning.grid import HOUR_S, even_grid
from gateway.planning.moving import rewritten
from gateway.planning.quote import Ask, Offer, quote
from gateway.planning.room import Ints, Outlet

AT_S = 1_800_000_000.0
OUTLET = Outlet(key="CP-2", rows=(0, 1, 2), phase_count=3, voltage_v=230.0, max_ma=16_000)
AN_HOUR_WH = 11_040.0  # 16 A on three phases.


def book(left_ma: list[int], paths_ma: list[list[int]]) -> Book:
    return opened(
        even_grid(len(left_ma), HOUR_S),
        np.array([left_ma] * 3, dtype=np.int64),
        from_at_s=AT_S,
        base_paths_ma=dict.fromkeys(range(3), np.array(paths_ma, dtype=np.int64)),
    )


def promise(name: str = "a", *, hours: int = 3, energy_wh: float = AN_HOUR_WH) -> Reservation:
    """Return a promise of 16 A from the beginning on as long as that takes, and the connector after."""
    draws_s = energy_wh / AN_HOUR_WH * HOUR_S
    envelope = (
        Stretch(from_at_s=AT_S, until_at_s=AT_S + draws_s, current_ma=16_000),
        Stretch(from_at_s=AT_S + draws_s, until_at_s=AT_S + hours * HOUR_S, current_ma=0),
    )
    return Reservation(
        id=name,
        place=f"CP-{name}",
        rows=(0, 1, 2),
        envelope=envelope,
        energy_wh=int(energy_wh),
        guaranteed_wh=int(energy_wh),
        confidence_ratio=0.9,
        criticality=Criticality.NORMAL,
        state=PromiseState.HELD,
        hold_until_at_s=AT_S + 120.0,
    )


def left_ma(of: Book, row: int = 0) -> Ints:
    """Return what a row leaves in each scenario."""
    left: Ints = of.room.left_ma[row] - of.room.base_paths_ma[row]
    return left


def offered(of: Book, from_h: int, until_h: int, confidence_ratio: float) -> Offer:
    ask = Ask(
        from_s=from_h * HOUR_S,
        until_s=until_h * HOUR_S,
        energy_wh=AN_HOUR_WH,
        confidence_ratio=confidence_ratio,
    )
    return quote(of.room, OUTLET, ask).offers[0]


def test_where_base_is_higher_it_makes_up_later_in_the_room_of_those_after_it() -> None:
    # In one of four scenarios there is nothing in the first hour.
    uncertain = book([16_000, 24_000, 8_000], [[0, 0, 0]] * 3 + [[16_000, 0, 0]])
    alone, behind = (offered(of, 1, 2, 0.75) for of in (uncertain, hold(uncertain, promise())))

    assert (alone.energy_wh, alone.confidence_ratio) == (AN_HOUR_WH, 1.0)
    assert (behind.energy_wh, behind.confidence_ratio) == (AN_HOUR_WH, 0.75)


def test_where_base_is_lower_it_is_done_sooner_and_leaves_what_its_envelope_held() -> None:
    # 8 A are planned for two hours; in one scenario of two all of it is there in the first.
    uncertain = book([8_000, 8_000], [[0, 0], [-8_000, 0]])
    slow = Stretch(from_at_s=AT_S, until_at_s=AT_S + 2 * HOUR_S, current_ma=8_000)
    held = hold(uncertain, replace(promise(hours=2), envelope=(slow,), max_ma=16_000))

    assert held.room.left_ma[0].tolist() == [0, 0]
    assert left_ma(held).tolist() == [[0, 0], [0, 8_000]]


def test_it_takes_whole_steps_and_nothing_below_its_least_and_no_more_than_it_is_owed() -> None:
    uncertain = book([20_000, 20_000], [[14_050, 0], [9_990, 4_000], [-50_000, -50_000]])
    held = hold(uncertain, promise(hours=2, energy_wh=1.5 * AN_HOUR_WH))

    assert left_ma(held).tolist() == [[5_950, 4_000], [10, 2_000], [54_000, 62_000]]


def test_what_was_delivered_is_owed_no_more() -> None:
    uncertain = book([16_000, 16_000], [[0, 0], [0, 0]])
    half = replace(promise(hours=2), delivered_wh=AN_HOUR_WH / 2)

    assert left_ma(with_promise(uncertain, half)).tolist() == [[8_000, 16_000]] * 2


def test_rows_without_scenarios_bound_it_and_lose_its_envelope_alone() -> None:
    grid, paths_ma = even_grid(2, HOUR_S), np.zeros((2, 2), dtype=np.int64)
    available_ma = np.array([[20_000] * 2, [20_000] * 2, [8_000, 20_000]])
    mixed = opened(grid, available_ma, from_at_s=AT_S, base_paths_ma={0: paths_ma, 1: paths_ma})
    held = with_promise(mixed, promise(hours=2))

    assert left_ma(held).tolist() == [[12_000, 12_000]] * 2
    assert held.room.left_ma[2].tolist() == [-8_000, 20_000]
    assert paths_ma.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("is_closed", [True, False])
def test_one_that_leaves_the_book_gives_back_what_it_took(is_closed: bool) -> None:
    uncertain = book([40_000, 40_000, 40_000], [[0, 9_000, 0], [16_000, -7_000, 3_000]])
    held = hold(hold(uncertain, promise("a")), promise("b"))
    left = without(held, "a")
    if is_closed:
        left = become(held, "a", PromiseState.CANCELLED)

    assert left.room.left_ma[0].tolist() == [24_000, 40_000, 40_000]
    assert (left_ma(without(left, "b")) == left_ma(uncertain)).all()
    assert (left_ma(without(held, "b")) == left_ma(hold(uncertain, promise("a")))).all()


def test_a_book_opened_anew_takes_as_one_after_another_was_held() -> None:
    uncertain = book([40_000, 40_000, 40_000], [[0, 9_000, 0], [16_000, -7_000, 3_000]])
    held = hold(hold(uncertain, promise("a")), promise("b"))
    again = opened(
        uncertain.room.grid,
        uncertain.room.left_ma,
        from_at_s=AT_S,
        promises=held.promises,
        base_paths_ma=uncertain.room.base_paths_ma,
    )

    assert (left_ma(again) == left_ma(held)).all()
    assert (again.room.left_ma == held.room.left_ma).all()


def test_one_that_is_moved_takes_of_scenarios_as_it_does_then() -> None:
    uncertain = book([16_000, 40_000, 40_000], [[0, 9_000, 0], [16_000, -7_000, 3_000]])
    held = hold(uncertain, promise())
    later = (
        Stretch(from_at_s=AT_S, until_at_s=AT_S + HOUR_S, current_ma=0),
        Stretch(from_at_s=AT_S + HOUR_S, until_at_s=AT_S + 2 * HOUR_S, current_ma=16_000),
        Stretch(from_at_s=AT_S + 2 * HOUR_S, until_at_s=AT_S + 3 * HOUR_S, current_ma=0),
    )
    moved = rewritten(held, {"a": later})

    assert moved.version == held.version + 1
    assert moved.room.left_ma[0].tolist() == [16_000, 24_000, 40_000]
    assert (
        left_ma(moved) == left_ma(held)
    ).all()  # A vehicle takes what it can, as soon as it can.


def test_many_in_turn_take_of_each_scenario_what_those_before_them_leave() -> None:
    chance, slots = random.Random(7), 60
    left = [chance.randrange(10_000, 70_000) for _ in range(slots)]
    paths = [[chance.randrange(-9_000, 15_000) for _ in range(slots)] for _ in range(12)]
    promises = [_by_chance(chance, f"p{at}", slots) for at in range(25)]
    uncertain = book(left, paths)
    held = opened(
        uncertain.room.grid,
        uncertain.room.left_ma,
        from_at_s=AT_S,
        promises={each.id: each for each in promises},
        base_paths_ma=uncertain.room.base_paths_ma,
    )

    assert left_ma(held).tolist() == _left_in_turn(left, paths, promises)
    assert (left_ma(uncertain) == np.array(left) - np.array(paths)).all()


def _by_chance(chance: random.Random, name: str, slots: int) -> Reservation:
    """Return a promise that draws in a few hours of its window, at times more than it is promised."""
    begins, hours = chance.randrange(slots), chance.randrange(1, 30)
    until = min(slots, begins + hours)
    edges_s = [AT_S + (begins + at) * HOUR_S for at in range(until - begins + 1)]
    draws = chance.randrange(len(edges_s))
    currents_ma = [chance.randrange(6_000, 16_000) if at < draws else 0 for at in range(hours)]
    parts = zip(pairwise(edges_s), currents_ma, strict=False)
    envelope = tuple(
        Stretch(from_at_s=from_s, until_at_s=until_s, current_ma=ma)
        for (from_s, until_s), ma in parts
    )
    energy_wh = chance.uniform(0.0, 12.0) * AN_HOUR_WH
    return replace(promise(name, energy_wh=energy_wh), envelope=envelope, max_ma=16_000)


def _left_in_turn(
    left: list[int], paths: list[list[int]], promises: list[Reservation]
) -> list[list[int]]:
    """Return what is left of each scenario, worked out hour by hour."""
    of_scenarios = [[ma - more for ma, more in zip(left, path, strict=True)] for path in paths]
    for each in promises:
        begins, until = (int((at_s - AT_S) // HOUR_S) for at_s in (each.from_at_s, each.until_at_s))
        for of_slots in of_scenarios:
            owed_mah = each.energy_wh / 0.69
            for at in range(begins, until):
                could_ma = min(of_slots[at], 16_000) // 100 * 100
                took_mah = min(owed_mah, could_ma if could_ma >= 6_000 else 0)
                of_slots[at] -= ceil(took_mah - 1e-6)
                owed_mah -= took_mah
    return of_scenarios
