"""Room made for what is critical by planning promises and charging anew, all at once.

Question and answer are plain values, so that a process of its own can think it over. Each promise keeps its energy, its connector and its departure; only when it is given within that
may change. Who was promised nothing gets less where there is no other way, the lowest class first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gateway.domain.promises import Reservation, Stretch
from gateway.planning.check import check
from gateway.planning.claims import envelope_ma
from gateway.planning.grid import Grid
from gateway.planning.improve import place
from gateway.planning.linear import solve
from gateway.planning.polish import in_steps, polished_ma
from gateway.planning.problem import Demand, Plan, Problem, delivered_wh, plan_of
from gateway.planning.quote import Ask
from gateway.planning.room import Ints, Outlet
from gateway.planning.shifting import as_demand

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
class _Movable:
    """A promise as a demand, and what it takes of each slot."""

    promise: Reservation
    demand: Demand
    slots: slice
    taken_ma: Ints


def rearrange(question: Rearranging) -> Rearranged | None:
    """Return what is left once what is asked fits at its outlet; None if that cannot be had.

    Of promises only slots that lie wholly in their windows are planned anew.
    """
    ask, outlet = question.ask, question.outlet
    if not ask.energy_wh:
        return None
    movable = _movable(question)
    available_ma = np.array(question.left_ma, dtype=np.int64)
    for one in movable:
        available_ma[list(one.promise.rows), one.slots] += one.taken_ma[one.slots]
    wanted = replace(as_demand(outlet, ask), place=outlet.key, promised_wh=ask.energy_wh)
    grid, parents = _cut_at(question.grid, (ask.from_s, ask.until_s))
    problem = Problem(
        grid=grid,
        available_ma=tuple(map(tuple, available_ma[:, parents].tolist())),
        demands=(*question.demands, *(one.demand for one in movable), wanted),
    )
    plan = _planned(problem, question.time_limit_s)
    if plan is None:
        return None
    # In the slots of the book a part of a slot takes all of it.
    begins = np.flatnonzero(np.diff(parents, prepend=-1))
    current_ma = np.maximum.reduceat(np.array(plan.current_ma, dtype=np.int64), begins, axis=1)
    return _of_plan(question, movable, available_ma, current_ma)


def _cut_at(grid: Grid, events_s: Iterable[float]) -> tuple[Grid, Ints]:
    """Return the grid with edges at events too, and the slot each of its slots is of."""
    edges_s = sorted({*grid.edges_s, *(s for s in events_s if 0 < s < grid.edges_s[-1])})
    parents = np.searchsorted(np.array(grid.edges_s), np.array(edges_s[:-1]), side="right") - 1
    return Grid(edges_s=tuple(edges_s)), parents


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


def _movable(question: Rearranging) -> list[_Movable]:
    """Return the promises as demands, with what their envelopes carry from now on."""
    found = []
    grid, from_at_s = question.grid, question.from_at_s
    hours = np.array(grid.hours)
    for promise in question.promises:
        earliest_s = max(promise.from_at_s, question.now_s) - from_at_s
        slots = grid.slots_within(earliest_s, promise.until_at_s - from_at_s)
        taken_ma = np.zeros(grid.slot_count, dtype=np.int64)
        for slot, current_ma in envelope_ma(grid, from_at_s, promise).items():
            taken_ma[slot] = current_ma
        whole = slice(slots.start, slots.stop)
        carries_mah = float(taken_ma[whole] @ hours[whole])
        if carries_mah > 0:
            demand = Demand(
                key=promise.id,
                place=promise.place,
                rows=promise.rows,
                phase_count=1,
                voltage_v=1_000.0,  # Its current alone counts: 1 mA for an hour is 1 here.
                earliest_s=grid.edges_s[slots.start],
                latest_s=grid.edges_s[slots.stop],
                energy_wh=carries_mah,
                promised_wh=carries_mah,
                max_ma=max(stretch.current_ma for stretch in promise.envelope),
                rank=0,
            )
            found.append(_Movable(promise=promise, demand=demand, slots=whole, taken_ma=taken_ma))
    return found


def _of_plan(
    question: Rearranging, movable: list[_Movable], available_ma: Ints, current_ma: Ints
) -> Rearranged:
    """Return what a plan of everybody and what is asked, the last, makes of room and promises."""
    left_ma = available_ma.copy()
    moved, less = [], []
    hours, charging_count = question.grid.hours, len(question.demands)
    for demand, before_ma, now_ma in zip(
        question.demands, question.current_ma, current_ma[:charging_count], strict=True
    ):
        left_ma[list(demand.rows)] -= now_ma
        after_ma = now_ma.tolist()
        got_wh = delivered_wh(demand, before_ma, hours)
        if delivered_wh(demand, after_ma, hours) < got_wh - NOT_LESS_WH:
            less.append(demand.key)
        elif list(before_ma) != after_ma:
            moved.append(demand.key)
    envelopes: dict[str, tuple[Stretch, ...]] = {}
    for one, now_ma in zip(movable, current_ma[charging_count:-1], strict=True):
        left_ma[list(one.promise.rows)] -= now_ma
        if (one.taken_ma[one.slots] != now_ma[one.slots]).any():
            envelopes[one.promise.id] = _rewritten(question, one, now_ma)
    return Rearranged(
        left_ma=tuple(map(tuple, left_ma.tolist())),
        envelopes=envelopes,
        moved=tuple(moved),
        less=tuple(less),
    )


def _rewritten(question: Rearranging, one: _Movable, current_ma: Ints) -> tuple[Stretch, ...]:
    """Return a promise's envelope with other currents in its slots, one after another."""
    edges_at_s = [question.from_at_s + edge_s for edge_s in question.grid.edges_s]
    begins_s, ends_s = edges_at_s[one.slots.start], edges_at_s[one.slots.stop]
    parts = [
        replace(old, until_at_s=min(old.until_at_s, begins_s))
        for old in one.promise.envelope
        if old.from_at_s < begins_s
    ]
    parts += [
        Stretch(
            from_at_s=edges_at_s[slot],
            until_at_s=edges_at_s[slot + 1],
            current_ma=int(current_ma[slot]),
        )
        for slot in range(one.slots.start, one.slots.stop)
    ]
    parts += [
        replace(old, from_at_s=max(old.from_at_s, ends_s))
        for old in one.promise.envelope
        if old.until_at_s > ends_s
    ]
    joined = parts[:1]
    for before, after in pairwise(parts):
        if after.current_ma == before.current_ma and after.from_at_s == joined[-1].until_at_s:
            joined[-1] = replace(joined[-1], until_at_s=after.until_at_s)
        else:
            joined.append(after)
    return tuple(joined)
