"""However often it is planned anew, each promise has what is left of it, and who comes and draws gets it."""

import random
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.asking import Places
from gateway.planning.book import Book, BookError, become, hold, opened
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.check import check
from gateway.planning.demands import Visit, demands_of, edges_of
from gateway.planning.grid import grid_of
from gateway.planning.improve import plan
from gateway.planning.problem import Problem
from tests.support.small_site import small_site

BEGINS_AT_S, HOUR_S, STEP_S = 1_800_000_000.0, 3_600.0, 300.0
PLACES = Places.of(small_site(6))
LIMIT_MA = 40_000
HORIZON_S = 4 * HOUR_S
REPLAN_STEPS = 4
W_PER_MA = 0.69


@dataclass(slots=True)
class Vehicle:
    """How a vehicle with a promise behaves; `draws_ratio` is what part of an offer it takes."""

    late_s: float
    draws_ratio: float
    tapers_at_wh: float

    @property
    def obeys(self) -> bool:
        """Return whether it does what was agreed."""
        return not self.late_s and self.draws_ratio == 1.0 and self.tapers_at_wh == float("inf")

    def takes_ma(self, offered_ma: float, delivered_wh: float, here_for_s: float) -> float:
        """Return what it draws of an offer."""
        if here_for_s < self.late_s:
            return 0.0
        tapered = 0.5 if delivered_wh >= self.tapers_at_wh else 1.0
        return offered_ma * self.draws_ratio * tapered


def promised(chance: random.Random, made: Book) -> Book:
    """Return a book with as many of a few random promises as fit."""
    for at, name in enumerate(list(PLACES.connectors)[:4]):
        outlet = PLACES.outlet(name, phase_count=None, max_power_w=None)
        from_s = STEP_S * chance.randrange(0, 24)
        long_s, after_s = STEP_S * chance.randint(3, 12), STEP_S * chance.randint(0, 6)
        current_ma = chance.randrange(6_000, 32_001, 100)
        begins_s = BEGINS_AT_S + from_s
        stretches = [
            Stretch(from_at_s=begins_s, until_at_s=begins_s + long_s, current_ma=current_ma),
            Stretch(
                from_at_s=begins_s + long_s,
                until_at_s=begins_s + long_s + after_s,
                current_ma=0,
            ),
        ]
        energy_wh = int(current_ma * W_PER_MA * long_s / HOUR_S)
        wanted = Reservation(
            id=f"promise-{at}",
            place=name,
            rows=outlet.rows,
            envelope=tuple(stretches[: 1 + bool(after_s)]),
            energy_wh=energy_wh,
            guaranteed_wh=energy_wh,
            confidence_ratio=1.0,
            criticality=chance.choice(list(Criticality)),
            state=PromiseState.HELD,
            hold_until_at_s=BEGINS_AT_S,
        )
        try:
            made = become(hold(made, wanted), wanted.id, PromiseState.CONFIRMED)
        except BookError:
            continue
    return made


def still_held_wh(promise: Reservation, now_s: float) -> float:
    """Return what is owed of a promise and its envelope still carries from an instant on."""
    carries_wh = sum(
        s.current_ma * W_PER_MA * max(0.0, s.until_at_s - max(now_s, s.from_at_s)) / HOUR_S
        for s in promise.envelope
    )
    return min(promise.guaranteed_wh - promise.delivered_wh, carries_wh)


def held_ma(promise: Reservation, at_s: float) -> int:
    return max(s.current_ma for s in promise.envelope if s.from_at_s <= at_s < s.until_at_s)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_promises_to_who_comes_and_draws_are_kept_whoever_else_does_not(seed: int) -> None:
    chance = random.Random(seed)
    grid = grid_of(HORIZON_S)
    rows = np.full((3, grid.slot_count), LIMIT_MA, dtype=np.int64)
    made = promised(chance, opened(grid, rows, from_at_s=BEGINS_AT_S))
    vehicles = {
        name: Vehicle(
            late_s=chance.choice((0.0, 0.0, 0.0, 1_200.0)),
            draws_ratio=chance.choice((1.0, 1.0, 1.0, 0.6)),
            tapers_at_wh=chance.choice((float("inf"), float("inf"), 2_000.0)),
        )
        for name in made.promises
    }
    walk_up = Visit(
        place="CP-06/1",
        since_at_s=BEGINS_AT_S,
        leaves_at_s=BEGINS_AT_S + HORIZON_S,
        wants_wh=None,
        rank=chance.randrange(4),
    )
    promises = dict(made.promises)
    given_ma: dict[str, tuple[int, ...]] = {}
    for step in range(int(HORIZON_S // STEP_S)):
        now_s = BEGINS_AT_S + step * STEP_S
        if step % REPLAN_STEPS == 0:
            given_ma = replanned(promises, walk_up, now_s)
        there = [p for p in promises.values() if p.from_at_s <= now_s < p.until_at_s]
        drawn_ma = dict.fromkeys((promise.id for promise in there), 0.0)
        # As control does: what was held is a floor, and floors go first.
        for is_floor in (True, False):
            for promise in there:
                planned_ma = given_ma.get(promise.id, (0,) * REPLAN_STEPS)[step % REPLAN_STEPS]
                takes_ma = vehicles[promise.id].takes_ma(
                    held_ma(promise, now_s) if is_floor else planned_ma,
                    promise.delivered_wh,
                    now_s - promise.from_at_s,
                )
                missing_wh = promise.energy_wh - promise.delivered_wh
                takes_ma = min(takes_ma, missing_wh / W_PER_MA * HOUR_S / STEP_S)
                left_ma = LIMIT_MA - sum(drawn_ma.values()) + drawn_ma[promise.id]
                drawn_ma[promise.id] = max(drawn_ma[promise.id], min(takes_ma, left_ma))
        for promise in there:
            gained_wh = drawn_ma[promise.id] * W_PER_MA * STEP_S / HOUR_S
            delivered_wh = promise.delivered_wh + gained_wh
            promises[promise.id] = replace(promise, delivered_wh=delivered_wh)

    for name, promise in promises.items():
        if vehicles[name].obeys:
            assert promise.delivered_wh >= KEPT_RATIO * promise.guaranteed_wh


def replanned(
    promises: dict[str, Reservation], walk_up: Visit, now_s: float
) -> dict[str, tuple[int, ...]]:
    """Return what a fresh plan gives each in its next slots; nothing is wrong with the plan.

    It breaks no promise, whatever its vehicle did: that is told from promises and plan alone.
    """
    edges_s = edges_of((walk_up,), promises.values(), now_s=now_s)
    grid = grid_of(HORIZON_S, events_s=edges_s)
    demands = demands_of((walk_up,), promises.values(), PLACES, grid, now_s=now_s)
    problem = Problem(grid=grid, available_ma=((LIMIT_MA,) * grid.slot_count,) * 3, demands=demands)
    planned = plan(problem)
    assert check(problem, planned) == ()
    keys = [demand.key for demand in demands]
    given_wh = dict(zip(keys, planned.delivered_wh, strict=True))
    for name, promise in promises.items():
        assert given_wh.get(name, 0.0) >= still_held_wh(promise, now_s) - 1.0
    return {
        demand.key: of_slots[:REPLAN_STEPS]
        for demand, of_slots in zip(demands, planned.current_ma, strict=True)
    }
