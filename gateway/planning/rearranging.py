"""Room made for what is critical by planning promises and charging anew, all at once.

Each promise keeps its energy, its connector and its departure; only when it is given within that
may change. Who was promised nothing gets less where there is no other way, the lowest class first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gateway.domain.promises import CIRCUIT_PLACE, Reservation, Stretch
from gateway.planning.book import Book, BookError, NoRoomError, hold, with_promise, without
from gateway.planning.charging import Charging
from gateway.planning.check import check
from gateway.planning.claims import take
from gateway.planning.grid import Grid
from gateway.planning.improve import place
from gateway.planning.linear import solve
from gateway.planning.polish import in_steps, polished_ma
from gateway.planning.problem import Demand, Plan, Problem, plan_of
from gateway.planning.quote import Ask
from gateway.planning.room import Ints, Outlet, Room
from gateway.planning.shifting import as_demand

NOT_LESS_WH = 1.0
ROUNDING_RATIO = 1.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Rearranged:
    """The room beside all that was planned anew: new envelopes of promises, and who gets less.

    `moved` charge at other times and get as much as before, `less` get less.
    """

    room: Room
    envelopes: Mapping[str, tuple[Stretch, ...]]
    moved: tuple[str, ...]
    less: tuple[str, ...]


def rearrange(
    book: Book, charging: Charging, outlet: Outlet, ask: Ask, *, now_s: float, time_limit_s: float
) -> Rearranged | None:
    """Return the room in which what is asked fits at an outlet; None if that cannot be had.

    `now_s` is the epoch second: what was before it is over. Of promises only slots that lie wholly
    in their windows are planned anew.
    """
    if ask.energy_wh is None:
        return None
    promised = tuple(_promised(book, now_s))
    available_ma = book.room.left_ma.copy()
    for demand in promised:
        slots = _slots(book, demand)
        taken_ma = _taken_ma(book, book.promises[demand.key])[slots]
        available_ma[np.ix_(list(demand.rows), slots)] += taken_ma
    wanted = replace(as_demand(outlet, ask), place=outlet.key, promised_wh=ask.energy_wh)
    grid, parents = _cut_at(book.room.grid, (ask.from_s, ask.until_s))
    problem = Problem(
        grid=grid,
        available_ma=tuple(map(tuple, available_ma[:, parents].tolist())),
        demands=(*charging.demands, *promised, wanted),
    )
    plan = _planned(problem, time_limit_s)
    if plan is None:
        return None
    # In the slots of the book a part of a slot takes all of it.
    begins = np.flatnonzero(np.diff(parents, prepend=-1))
    current_ma = np.maximum.reduceat(np.array(plan.current_ma, dtype=np.int64), begins, axis=1)
    return _of_plan(book, charging, problem.demands, available_ma, current_ma)


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


def _promised(book: Book, now_s: float) -> list[Demand]:
    """Return the promises that may be planned anew, with what their envelopes carry from now on."""
    found = []
    for promise in book.promises.values():
        is_plain = promise.place.startswith(CIRCUIT_PLACE)
        if not promise.state.is_open or promise.is_fixed or is_plain:
            continue
        demand = Demand(
            key=promise.id,
            place=promise.place,
            rows=promise.rows,
            phase_count=1,
            voltage_v=1_000.0,  # Its current alone counts: 1 mA for an hour is 1 here.
            earliest_s=max(promise.from_at_s, now_s) - book.from_at_s,
            latest_s=promise.until_at_s - book.from_at_s,
            energy_wh=None,
            max_ma=max(stretch.current_ma for stretch in promise.envelope),
            rank=0,
        )
        slots = _slots(book, demand)
        hours, edges_s = np.array(book.room.grid.hours), book.room.grid.edges_s
        carries_mah = float(_taken_ma(book, promise)[slots] @ hours[slots]) if slots else 0.0
        if carries_mah > 0:
            found.append(
                replace(
                    demand,
                    earliest_s=edges_s[slots[0]],
                    latest_s=edges_s[slots[-1] + 1],
                    energy_wh=carries_mah,
                    promised_wh=carries_mah,
                )
            )
    return found


def _slots(book: Book, demand: Demand) -> list[int]:
    return list(book.room.grid.slots_within(demand.earliest_s, demand.latest_s))


def _taken_ma(book: Book, promise: Reservation) -> Ints:
    """Return what a promise takes of each slot."""
    row = promise.rows[0]
    taken_ma = np.zeros((row + 1, book.room.grid.slot_count), dtype=np.int64)
    take(taken_ma, book.room.grid, book.from_at_s, replace(promise, rows=(row,)), sign=-1)
    of_slots_ma: Ints = taken_ma[row]
    return of_slots_ma


def _of_plan(
    book: Book,
    charging: Charging,
    demands: tuple[Demand, ...],
    available_ma: Ints,
    current_ma: Ints,
) -> Rearranged:
    """Return what a plan of everybody and what is asked, the last, makes of room and promises."""
    left_ma = available_ma.copy()
    envelopes: dict[str, tuple[Stretch, ...]] = {}
    moved, less = [], []
    hours = np.array(book.room.grid.hours)
    got_wh = charging.gets_wh(book.room.grid)
    for at, (demand, now_ma) in enumerate(zip(demands[:-1], current_ma[:-1], strict=True)):
        left_ma[list(demand.rows)] -= now_ma
        if at < len(charging.demands):
            before_ma = charging.current_ma[at]
            if demand.wh_per_ma_h * float(now_ma @ hours) < got_wh[at] - NOT_LESS_WH:
                less.append(demand.key)
            elif (before_ma != now_ma).any():
                moved.append(demand.key)
            continue
        promise, slots = book.promises[demand.key], _slots(book, demand)
        if (_taken_ma(book, promise)[slots] != now_ma[slots]).any():
            envelopes[demand.key] = _rewritten(book, promise, slots, now_ma)
    room = Room(
        version=book.version,
        grid=book.room.grid,
        left_ma=left_ma,
        base_paths_ma=book.room.base_paths_ma,
    )
    return Rearranged(room=room, envelopes=envelopes, moved=tuple(moved), less=tuple(less))


def _rewritten(
    book: Book, promise: Reservation, slots: list[int], current_ma: Ints
) -> tuple[Stretch, ...]:
    """Return a promise's envelope with other currents in some slots, one after another."""
    edges_at_s = [book.from_at_s + edge_s for edge_s in book.room.grid.edges_s]
    begins_s, ends_s = edges_at_s[slots[0]], edges_at_s[slots[-1] + 1]
    parts = [
        replace(old, until_at_s=min(old.until_at_s, begins_s))
        for old in promise.envelope
        if old.from_at_s < begins_s
    ]
    parts += [
        Stretch(
            from_at_s=edges_at_s[slot],
            until_at_s=edges_at_s[slot + 1],
            current_ma=int(current_ma[slot]),
        )
        for slot in slots
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


def hold_moving(
    book: Book, promise: Reservation, envelopes: Mapping[str, tuple[Stretch, ...]], *, now_s: float
) -> Book:
    """Return the book with a hold more, for which other promises were given other envelopes.

    It is tested against the book as it is, whatever was so when the envelopes were worked out.

    Raises:
        NoRoomError: it does not fit any more.
        BookError: a promise would lose energy, or ends otherwise than it did; or as for `hold`.
    """
    open_ones = {
        name: envelope
        for name, envelope in envelopes.items()
        if name in book.promises and book.promises[name].state.is_open
    }
    for name, envelope in open_ones.items():
        before, after = book.promises[name], replace(book.promises[name], envelope=envelope)
        loses_mah = _carries_mah(before, now_s) - _carries_mah(after, now_s)
        ends = after.from_at_s == before.from_at_s, after.until_at_s == before.until_at_s
        if loses_mah > NOT_LESS_WH or before.is_fixed or not all(ends):
            message = f"the promise {name} can no longer be moved"
            raise BookError(message)
    held = hold(rewritten(book, open_ones), promise)
    is_over = (held.room.left_ma < 0) & (held.room.left_ma < book.room.left_ma)
    if is_over.any():
        row, slot = (int(at[0]) for at in np.nonzero(is_over))
        short_ma = -int(held.room.left_ma[row, slot])
        raise NoRoomError(row, book.from_at_s + book.room.grid.edges_s[slot], short_ma)
    return held


def _carries_mah(promise: Reservation, from_at_s: float) -> float:
    return sum(
        part.current_ma * max(0.0, part.until_at_s - max(part.from_at_s, from_at_s)) / 3_600.0
        for part in promise.envelope
    )


def rewritten(book: Book, envelopes: Mapping[str, tuple[Stretch, ...]]) -> Book:
    """Return the book in which promises have other envelopes; nothing is tested."""
    version, order = book.version + 1, tuple(book.promises)
    for name, envelope in envelopes.items():
        promise = replace(book.promises[name], envelope=envelope)
        book = with_promise(without(book, name), promise)
    # Who was promised something first comes first.
    promises = {name: book.promises[name] for name in order}
    return replace(book, room=replace(book.room, version=version), promises=promises)
