"""Everybody's wishes as one problem: what was promised, and what the vehicles that are there want."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.asking import AskError, Places
from gateway.planning.following import USUALLY, Following
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.problem import Demand, Rectangle, delivered_wh

NORMAL_RANK = 2
STAYS_ON_S = 1_800.0
"""How long a vehicle is taken to stay on that should have left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A vehicle at a connector (`place`): what it still wants and until when it stays (epoch s).

    It has been given `delivered_wh`; `wants_wh` more is what it will take, None all there is.
    `phase_count` and `accepts_ma` are what it was seen to use, None while that is not known.
    `taper` says from how many Wh on, from now, it takes at most how many mA, if that is known.
    """

    place: str
    since_at_s: float
    leaves_at_s: float
    wants_wh: float | None
    delivered_wh: float = 0.0
    rank: int = NORMAL_RANK
    id_token: str | None = None
    phase_count: int | None = None
    accepts_ma: int | None = None
    taper: tuple[tuple[float, int], ...] = ()
    is_drawing: bool = False
    following: Following = USUALLY


def served_by(visits: Iterable[Visit], promises: Iterable[Reservation]) -> dict[str, Reservation]:
    """Return by connector the promise that the vehicle there was made."""
    there = {visit.place for visit in visits}
    return {
        promise.place: promise
        for promise in promises
        if promise.state is PromiseState.ARRIVED and promise.place in there
    }


def waiting_by_place(
    visits: Iterable[Visit], promises: Iterable[Reservation]
) -> dict[str, list[Reservation]]:
    """Return by connector the open promises that were made to others than the vehicle there."""
    known = [promise for promise in promises if promise.state.is_open]
    served = served_by(visits, known)
    waiting = dict[str, list[Reservation]]()
    for promise in known:
        if served.get(promise.place) is not promise:
            waiting.setdefault(promise.place, []).append(promise)
    return waiting


def edges_of(
    visits: Iterable[Visit], promises: Iterable[Reservation], *, now_s: float
) -> tuple[float, ...]:
    """Return the instants (s from now) at which something begins or ends."""
    edges_s = {
        at_s
        for promise in promises
        if promise.state.is_open
        for stretch in promise.envelope
        for at_s in (stretch.from_at_s, stretch.until_at_s)
    }
    edges_s |= {visit.leaves_at_s for visit in visits}
    return tuple(sorted(edge_s - now_s for edge_s in edges_s if edge_s > now_s))


def demands_of(
    visits: Sequence[Visit],
    promises: Iterable[Reservation],
    places: Places,
    grid: Grid,
    *,
    now_s: float,
    conceded_wh: Mapping[str, float] | None = None,
) -> tuple[Demand, ...]:
    """Return what everybody wants of a plan that begins now (epoch s), keyed by promise or place.

    A vehicle that was promised something wants that first, and what it takes beyond as everybody
    does. A vehicle leaves its connector to whom that is promised next. `conceded_wh` tells of
    promises that can no longer be kept in full how much still can.
    """
    opened = [promise for promise in promises if promise.state.is_open]
    served, conceded_wh = served_by(visits, opened), conceded_wh or {}
    there, waiting = {visit.place: visit for visit in visits}, waiting_by_place(visits, opened)
    stays_s = {
        visit.place: min([visit.leaves_at_s, *(p.opens_at_s for p in waiting.get(visit.place, ()))])
        - now_s
        for visit in visits
    }
    overdue_s = {place: STAYS_ON_S for place, left_s in stays_s.items() if left_s <= 0}
    demands, owed_wh = [], dict[str, float]()
    for promise in opened:
        is_there = served.get(promise.place) is promise
        demand = _promised(
            promise,
            places,
            grid,
            now_s,
            visit=there[promise.place] if is_there else None,
            busy_s=0.0 if is_there else overdue_s.get(promise.place, 0.0),
        )
        if demand is None:
            continue
        most_wh = conceded_wh.get(promise.id, demand.promised_wh)
        demands.append(replace(demand, promised_wh=min(demand.promised_wh, most_wh)))
        if is_there:
            owed_wh[promise.place] = demand.energy_wh or 0.0
    for place, visit in there.items():
        left_s = overdue_s.get(place, stays_s[place])
        demand = _walked_up(visit, places, left_s, owed_wh=owed_wh.get(place, 0.0))
        if demand is not None:
            demands.append(demand)
    return tuple(demands)


def _promised(
    promise: Reservation,
    places: Places,
    grid: Grid,
    now_s: float,
    *,
    visit: Visit | None,
    busy_s: float,
) -> Demand | None:
    """Return what a promise wants by its end; None when there is nothing left of it.

    Its vehicle is there (`visit`), or another may stand in its way for `busy_s` yet.
    """
    try:
        outlet = places.at(promise.place, promise.phase_count)
    except AskError:
        return None
    latest_s = promise.until_at_s - now_s
    wants_wh = promise.energy_wh - promise.delivered_wh
    if wants_wh < 1.0 or latest_s <= 0:
        return None
    committed = tuple(
        Rectangle(
            from_s=max(0.0, stretch.from_at_s - now_s),
            until_s=stretch.until_at_s - now_s,
            current_ma=stretch.current_ma,
        )
        for stretch in promise.envelope
        if stretch.current_ma and stretch.until_at_s > now_s
    )
    demand = Demand(
        key=promise.id,
        place=promise.place,
        rows=promise.rows,
        phase_count=promise.phase_count,
        voltage_v=outlet.voltage_v,
        earliest_s=max(busy_s, promise.from_at_s - now_s),
        latest_s=latest_s,
        energy_wh=wants_wh,
        max_ma=outlet.max_ma,
        rank=promise.criticality.rank,
        objective=promise.objective,
        committed=committed,
        min_ma=outlet.min_ma,
        step_ma=outlet.step_ma,
    )
    if visit is not None:
        demand = _as_it_takes(demand, visit)
    owed_wh = max(0.0, promise.guaranteed_wh - promise.delivered_wh)
    return replace(demand, promised_wh=min(owed_wh, _carried_wh(demand, grid)))


def _carried_wh(demand: Demand, grid: Grid) -> float:
    """Return what the committed currents carry in whole slots: no plan can hold more of them."""
    held_ma = [0] * grid.slot_count
    window = grid.slots_within(demand.earliest_s, demand.latest_s)
    for rectangle in reversed(demand.committed):
        current_ma = min(rectangle.current_ma, demand.max_ma) // demand.step_ma * demand.step_ma
        for slot in grid.slots_within(rectangle.from_s, rectangle.until_s):
            if slot in window:
                held_ma[slot] = current_ma if current_ma >= demand.min_ma else 0
    return delivered_wh(replace(demand, energy_wh=None), held_ma, grid.hours)


def beside_slots_wh(demand: Demand, grid: Grid) -> float:
    """Return what the committed currents carry in parts of slots: a plan cannot tell of that."""
    window, hours = grid.slots_within(demand.earliest_s, demand.latest_s), grid.hours
    beside_mah = 0.0
    for rectangle in demand.committed:
        from_s = max(rectangle.from_s, demand.earliest_s)
        until_s = max(from_s, min(rectangle.until_s, demand.latest_s))
        slots = grid.slots_within(from_s, until_s)
        whole_h = sum(hours[slot] for slot in slots if slot in window)
        current_ma = min(rectangle.current_ma, demand.max_ma)
        beside_mah += current_ma * ((until_s - from_s) / HOUR_S - whole_h)
    return beside_mah * demand.wh_per_ma_h


def _walked_up(visit: Visit, places: Places, stays_s: float, *, owed_wh: float) -> Demand | None:
    """Return what a vehicle wants beyond what it is owed; None when that is nothing."""
    wants_wh = None if visit.wants_wh is None else visit.wants_wh - owed_wh
    if wants_wh is not None and wants_wh < 1.0:
        return None
    try:
        outlet = places.outlet(visit.place, phase_count=visit.phase_count, max_power_w=None)
    except AskError:
        return None
    demand = Demand(
        key=visit.place,
        place=visit.place,
        rows=outlet.rows,
        phase_count=outlet.phase_count,
        voltage_v=outlet.voltage_v,
        earliest_s=0.0,
        latest_s=stays_s,
        energy_wh=wants_wh,
        max_ma=outlet.max_ma,
        rank=visit.rank,
        min_ma=outlet.min_ma,
        step_ma=outlet.step_ma,
    )
    taper = tuple((max(0.0, wh - owed_wh), ma) for wh, ma in visit.taper)
    return _as_it_takes(demand, replace(visit, taper=taper))


def _as_it_takes(demand: Demand, visit: Visit) -> Demand:
    """Return a demand with what its vehicle was seen to take, and how it was seen to start."""
    max_ma = demand.max_ma if visit.accepts_ma is None else min(demand.max_ma, visit.accepts_ma)
    max_ma = max(demand.min_ma, max_ma // demand.step_ma * demand.step_ma)
    # What it takes less of before it has risen to its most it takes less of from the start: else
    # more told to it at first would seem to give it less, by the time that it rises.
    rises_wh = max_ma * demand.wh_per_ma_h * max_ma / visit.following.ramp_ma_per_s / 2 / HOUR_S
    return replace(
        demand,
        max_ma=max_ma,
        taper=tuple((wh if wh > rises_wh else 0.0, less_ma) for wh, less_ma in visit.taper),
        settling_s=visit.following.settling_s,
        ramp_ma_per_s=visit.following.ramp_ma_per_s,
        is_drawing=visit.is_drawing,
    )
