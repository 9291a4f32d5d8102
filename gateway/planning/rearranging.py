"""Room made for what is critical by planning promises and charging anew, all at once.

Question and answer are plain values, so that a process of its own can think it over. Each promise keeps its energy, its connector and its departure; only when it is given within that
may change. Who was promised nothing gets less where there is no other way, the lowest class first.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import numpy as np

from gateway.domain.promises import Reservation, Stretch
from gateway.planning.charging import Charging
from gateway.planning.check import check
from gateway.planning.claims import envelope_ma
from gateway.planning.following import USUALLY, Following
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.improve import place
from gateway.planning.linear import solve
from gateway.planning.polish import in_steps, polished_ma
from gateway.planning.problem import Demand, Plan, Problem, delivered_wh, plan_of
from gateway.planning.putting_back import put_back
from gateway.planning.quote import Ask
from gateway.planning.room import Ints, Outlet, Room
from gateway.planning.shifting import as_demand, exchanged

NOT_LESS_WH = 1.0
ROUNDING_RATIO = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Rearranging:
    """What is to be planned anew: promises, charging, and what is asked of an outlet.

    `left_ma` (rows, slots) is what all promises leave, `promises` are those that may be moved,
    `demands` and `current_ma` who was promised nothing and what they charge in each slot. The grid
    begins at the epoch second `from_at_s`; what was before `now_s` (epoch s) is over. Each program
    is given `time_limit_s`.
    """

    from_at_s: float
    now_s: float
    grid: Grid
    left_ma: tuple[tuple[int, ...], ...]
    promises: tuple[Reservation, ...]
    demands: tuple[Demand, ...]
    current_ma: tuple[tuple[int, ...], ...]
    outlet: Outlet
    ask: Ask
    time_limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rearranged:
    """What is left beside all that was planned anew: new envelopes of promises, and who gets less.

    `left_ma` is (rows, slots). `moved` charge at other times and get as much as before, `less`
    get less.
    """

    left_ma: tuple[tuple[int, ...], ...]
    envelopes: Mapping[str, tuple[Stretch, ...]]
    moved: tuple[str, ...]
    less: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Others:
    """Who is beside what is asked: charging, then promises as demands; `before_ma` (demands, slots).

    `available_ma` (rows, slots) is what there is for them and what is asked.
    """

    demands: tuple[Demand, ...]
    promises: tuple[Reservation, ...]
    before_ma: Ints
    available_ma: Ints


def rearrange(question: Rearranging) -> Rearranged | None:
    """Return what is left once what is asked fits at its outlet; None if that cannot be had.

    Of promises only slots that lie wholly in their windows are planned anew. First they are moved one
    after another, so that few are; where that is not enough everything is planned together.
    """
    if not question.ask.energy_wh:
        return None
    others = _others(question)
    room = Room(version=0, grid=question.grid, left_ma=others.available_ma)
    charging = Charging(demands=others.demands, current_ma=others.before_ma)
    now_ma, is_all = exchanged(room, charging, question.outlet, question.ask)
    if is_all:
        return _of_currents(question, others, now_ma)
    rows = tuple(map(tuple, others.available_ma.tolist()))
    for wanted in _wanted(question, question.ask.energy_wh):
        demands = (*others.demands, wanted)
        problem = Problem(grid=question.grid, available_ma=rows, demands=demands)
        plan = _planned(problem, question.time_limit_s)
        if plan is not None:
            now_ma = put_back(problem, plan, others.before_ma)
            return _of_currents(question, others, now_ma)
    return None


def _wanted(question: Rearranging, energy_wh: float) -> Iterator[Demand]:
    """Yield what is asked as a demand of whole slots: those within its window, then all it touches.

    Others take a slot or leave it, so of one that is in the window in part all is wanted. Of that
    as much more is asked as could flow outside of the window: then the rest flows within.
    """
    grid, ask, outlet = question.grid, question.ask, question.outlet
    wanted = replace(as_demand(outlet, ask), place=outlet.key, promised_wh=energy_wh)
    power_w, within = outlet.power_w(outlet.max_ma), grid.slots_within(ask.from_s, ask.until_s)
    if sum(grid.hours[within.start : within.stop]) * power_w >= energy_wh:
        yield wanted
    begins_s = grid.edges_s[bisect_right(grid.edges_s, ask.from_s) - 1]
    ends_s = grid.edges_s[min(grid.slot_count, bisect_left(grid.edges_s, ask.until_s))]
    outside_h = (ends_s - begins_s - (ask.until_s - ask.from_s)) / HOUR_S
    if outside_h > 0:
        energy_wh += outside_h * power_w
        yield replace(
            wanted,
            earliest_s=begins_s,
            latest_s=ends_s,
            energy_wh=energy_wh,
            promised_wh=energy_wh,
        )


def _planned(problem: Problem, time_limit_s: float) -> Plan | None:
    """Return a plan that keeps everything promised, None if none is found.

    A little more than promised is sought, for steps are rounded down.
    """
    generous = replace(
        problem,
        demands=tuple(
            replace(
                demand,
                promised_wh=demand.promised_wh * ROUNDING_RATIO,
                energy_wh=max(demand.energy_wh or 0.0, demand.promised_wh * ROUNDING_RATIO),
            )
            if demand.promised_wh
            else demand
            for demand in problem.demands
        ),
    )
    rates = solve(generous, time_limit_s=time_limit_s)
    if rates is None:
        return None
    placed = place(generous, rates)
    plan = plan_of(problem, [list(of_slots) for of_slots in placed.current_ma])
    if not check(problem, plan):
        return plan
    currents = np.array(placed.current_ma, dtype=np.int64)
    exact_ma = polished_ma(generous, currents, time_limit_s=time_limit_s)
    if exact_ma is None:
        return None
    plan = plan_of(problem, in_steps(generous, exact_ma))
    return None if check(problem, plan) else plan


def _others(question: Rearranging) -> _Others:
    """Return everybody else, promises with what their envelopes carry from now on."""
    grid, from_at_s = question.grid, question.from_at_s
    hours, available_ma = np.array(grid.hours), np.array(question.left_ma, dtype=np.int64)
    promises, demands = list[Reservation](), list(question.demands)
    taken_ma = list[Ints](map(np.array, question.current_ma))
    for promise in question.promises:
        earliest_s = max(promise.from_at_s, question.now_s) - from_at_s
        slots = grid.slots_within(earliest_s, promise.until_at_s - from_at_s)
        first, held_ma = envelope_ma(grid, from_at_s, promise)
        takes_ma = np.zeros(grid.slot_count, dtype=np.int64)
        takes_ma[first : first + len(held_ma)] = held_ma
        takes_ma[: slots.start] = takes_ma[slots.stop :] = 0
        if not float(takes_ma @ hours) > 0:
            continue
        starts = Following(settling_s=0.0, ramp_ma_per_s=inf) if promise.is_plain_draw else USUALLY
        demand = Demand(
            key=promise.id,
            place=promise.place,
            rows=promise.rows,
            phase_count=1,
            voltage_v=1_000.0,  # Its current alone counts: 1 mA for an hour is 1 here.
            earliest_s=grid.edges_s[slots.start],
            latest_s=grid.edges_s[slots.stop],
            energy_wh=None,
            max_ma=max(stretch.current_ma for stretch in promise.envelope),
            rank=0,
            settling_s=starts.settling_s,
            ramp_ma_per_s=starts.ramp_ma_per_s,
            is_drawing=promise.delivered_wh > 0,
        )
        takes_mah = delivered_wh(demand, takes_ma.tolist(), grid.hours)
        demand = replace(demand, energy_wh=takes_mah, promised_wh=takes_mah)
        available_ma[list(promise.rows)] += takes_ma
        promises.append(promise)
        demands.append(demand)
        taken_ma.append(takes_ma)
    return _Others(
        demands=tuple(demands),
        promises=tuple(promises),
        before_ma=np.array(taken_ma, dtype=np.int64).reshape(len(demands), grid.slot_count),
        available_ma=available_ma,
    )


def _of_currents(question: Rearranging, others: _Others, now_ma: Ints) -> Rearranged:
    """Return what currents of all others make of room and promises."""
    left_ma, hours = others.available_ma.copy(), question.grid.hours
    for demand, of_slots_ma in zip(others.demands, now_ma, strict=True):
        left_ma[list(demand.rows)] -= of_slots_ma
    is_other = (now_ma != others.before_ma).any(axis=1).tolist()
    moved, less = list[str](), list[str]()
    for at, demand in enumerate(question.demands):
        if is_other[at]:
            got_wh = delivered_wh(demand, others.before_ma[at].tolist(), hours)
            gets_wh = delivered_wh(demand, now_ma[at].tolist(), hours)
            (less if gets_wh < got_wh - NOT_LESS_WH else moved).append(demand.key)
    return Rearranged(
        left_ma=tuple(map(tuple, left_ma.tolist())),
        envelopes={
            promise.id: _rewritten(question, promise, demand, of_slots_ma)
            for promise, demand, of_slots_ma, is_moved in zip(
                others.promises,
                others.demands[len(question.demands) :],
                now_ma[len(question.demands) :],
                is_other[len(question.demands) :],
                strict=True,
            )
            if is_moved
        },
        moved=tuple(moved),
        less=tuple(less),
    )


def _rewritten(
    question: Rearranging, promise: Reservation, demand: Demand, current_ma: Ints
) -> tuple[Stretch, ...]:
    """Return a promise's envelope with other currents in its slots, one after another."""
    grid, from_at_s = question.grid, question.from_at_s
    begins_s, ends_s = from_at_s + demand.earliest_s, from_at_s + demand.latest_s
    parts = [
        replace(old, until_at_s=min(old.until_at_s, begins_s))
        for old in promise.envelope
        if old.from_at_s < begins_s
    ]
    parts += [
        Stretch(
            from_at_s=from_at_s + grid.edges_s[slot],
            until_at_s=from_at_s + grid.edges_s[slot + 1],
            current_ma=int(current_ma[slot]),
        )
        for slot in grid.slots_within(demand.earliest_s, demand.latest_s)
    ]
    parts += [
        replace(old, from_at_s=max(old.from_at_s, ends_s))
        for old in promise.envelope
        if old.until_at_s > ends_s
    ]
    joined = parts[:1]
    for before, after in pairwise(parts):
        if after.current_ma == before.current_ma and after.from_at_s == joined[-1].until_at_s:
            joined[-1] = replace(joined[-1], until_at_s=after.until_at_s)
        else:
            joined.append(after)
    return tuple(joined)
