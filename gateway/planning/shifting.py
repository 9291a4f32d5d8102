"""Room made for one vehicle more by charging others at other times: none of them gets less.

It is asked when what is planned leaves too little. Slot after slot, charging that stands in the
way is moved to slots of its own window that have room for it; what cannot be moved stays. The
number of tries is bounded, so that a question costs milliseconds at any size.
"""

from dataclasses import dataclass, replace

import numpy as np

from gateway.planning.charging import Charging
from gateway.planning.exchange import MOST_ROUNDS, NOTHING_MAH, Exchange
from gateway.planning.greedy import greedy
from gateway.planning.grid import HOUR_S
from gateway.planning.problem import Demand, Problem, serves_everyone
from gateway.planning.quote import Ask
from gateway.planning.room import Ints, Outlet, Room

MOST_TRIES = 1_000
MOST_PLANNED = 30_000
"""Up to so many demands times slots are planned anew where moving one after another fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """The room after others were moved, what they charge now, and who was moved."""

    room: Room
    charging: Charging
    moved: tuple[str, ...]


def shift(room: Room, charging: Charging, outlet: Outlet, ask: Ask) -> Shifted:
    """Return the room beside `charging` once as much as is asked fits at an outlet, or nearly.

    `room` is what promises leave. Every demand keeps its energy within its window and the
    currents it can take; no row carries more than before, or more than it has. Nobody is moved where
    the outlet gives no more by it.
    """
    current_ma, is_all = exchanged(room, charging, outlet, ask)
    anew = None if is_all else _anew(room, charging, as_demand(outlet, ask))
    shifted = _shifted(room, charging, current_ma if anew is None else anew)
    beside = charging.beside(room)
    was_wh, is_wh = (
        left.outlook(outlet).energy_within_wh(ask.from_s, ask.until_s)
        for left in (beside, shifted.room)
    )
    return shifted if is_wh > was_wh else Shifted(room=beside, charging=charging, moved=())


def exchanged(room: Room, charging: Charging, outlet: Outlet, ask: Ask) -> tuple[Ints, bool]:
    """Return currents of which as few as can be are moved, one after another, and if all asked fits."""
    edges_s = np.array(room.grid.edges_s)
    # Of the first and the last slot only a part may be in the window.
    inside_s = np.minimum(edges_s[1:], ask.until_s) - np.maximum(edges_s[:-1], ask.from_s)
    inside_h = np.maximum(0.0, inside_s) / HOUR_S
    touched = np.flatnonzero(inside_h)
    if not len(touched):
        return charging.current_ma, True
    outer = replace(
        as_demand(outlet, ask),
        energy_wh=None,
        earliest_s=float(edges_s[touched[0]]),
        latest_s=float(edges_s[touched[-1] + 1]),
    )
    demands = (*charging.demands, outer)
    beside = charging.beside(room)
    nothing_ma = np.zeros((1, room.grid.slot_count), dtype=np.int64)
    exchange = Exchange(
        room.grid,
        demands,
        np.concatenate((charging.current_ma.reshape(-1, room.grid.slot_count), nothing_ma)),
        beside.left_ma.copy(),
    )
    wants_mah = float("inf") if ask.energy_wh is None else ask.energy_wh / outlet.power_w(1.0)
    has_mah, starts = 0.0, 1
    for _ in range(MOST_ROUNDS):  # What is given in one more stretch costs one more start.
        lacks_mah = wants_mah + starts * outlet.max_ma * outlet.start_s / HOUR_S - has_mah
        if lacks_mah <= NOTHING_MAH:
            return exchange.current_ma[:-1], True
        got_mah = exchange.give(
            len(demands) - 1,
            lacks_mah,
            most_tries=MOST_TRIES - exchange.tries,
            inside_h=inside_h,
        )
        if got_mah < lacks_mah:
            break
        is_on = exchange.current_ma[-1] > 0
        has_mah += got_mah
        starts = int(is_on[0]) + int((is_on[1:] & ~is_on[:-1]).sum())
    return exchange.current_ma[:-1], False


def as_demand(outlet: Outlet, ask: Ask) -> Demand:
    """Return what is asked as a demand of its own connector, from slot edge to slot edge."""
    return Demand(
        key="",
        place=f"{outlet.key} for what is asked",
        rows=outlet.rows,
        phase_count=outlet.phase_count,
        voltage_v=outlet.voltage_v,
        earliest_s=ask.from_s,
        latest_s=ask.until_s,
        energy_wh=ask.energy_wh,
        max_ma=outlet.max_ma,
        rank=0,
        min_ma=outlet.min_ma,
        step_ma=outlet.step_ma,
        settling_s=outlet.settling_s,
        ramp_ma_per_s=outlet.ramp_ma_per_s,
        taper=outlet.taper,
    )


def _shifted(room: Room, charging: Charging, current_ma: Ints) -> Shifted:
    after = Charging(demands=charging.demands, current_ma=current_ma)
    moved = (current_ma != charging.current_ma).any(axis=1)
    return Shifted(
        room=after.beside(room),
        charging=after,
        moved=tuple(d.key for d, is_moved in zip(charging.demands, moved, strict=True) if is_moved),
    )


def _anew(room: Room, charging: Charging, wanted: Demand) -> Ints | None:
    """Return currents by least laxity of all that may move and what is asked, if all are served.

    None if they are not, if nobody may move, or if that would take too long.
    """
    count = len(charging.demands)
    if wanted.energy_wh is None or count * room.grid.slot_count > MOST_PLANNED:
        return None
    left_ma, stays_ma = room.left_ma.copy(), charging.stays_ma(room.grid)
    wanting, positions = [], []
    for at, (demand, wants_wh) in enumerate(
        zip(charging.demands, charging.moves_wh(room.grid, stays_ma), strict=True)
    ):
        left_ma[list(demand.rows)] -= stays_ma[at]
        if wants_wh > 0:
            positions.append(at)
            wanting.append(replace(demand, energy_wh=wants_wh, rank=0))
    if not wanting:
        return None
    problem = Problem(
        grid=room.grid,
        available_ma=tuple(map(tuple, left_ma.tolist())),
        demands=(*wanting, wanted),
    )
    plan = greedy(problem)
    if not serves_everyone(problem, plan):
        return None
    current_ma = stays_ma.copy()
    current_ma[positions] += np.array(plan.current_ma[:-1], dtype=np.int64).reshape(
        len(positions), -1
    )
    return current_ma
