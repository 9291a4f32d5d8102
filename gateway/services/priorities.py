"""What control is told of everybody who is there: who goes first, and what a promise has for now."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gateway.control.state import Priority
from gateway.domain.ids import ConnectorRef
from gateway.domain.promises import Reservation
from gateway.planning.asking import Places
from gateway.planning.at_risk import matters
from gateway.planning.demands import Visit, served_by, waiting_by_place
from gateway.planning.problem import full_power_h
from gateway.planning.standing_plan import StandingPlan

TELLS_FROM_S, TELLS_RATIO = 60.0, 0.1
"""A laxity that has moved by less than that, and than that part of it, is not told anew.

Of two that are alike the one that waits grows more urgent all the time: they would change places at
each telling, and each change costs a cut, a raise and half a minute between.
"""

SOON_S = 900.0
"""Who is served so soon has its turn now: plans save up for the least current, and then give it."""

WAITS_S = 48 * 3_600.0
"""What is added to the laxity of those the plan serves later."""

LONGEST_LAXITY_S = WAITS_S / 2

PROMISED_S, PROMISES_APART_S = -2 * WAITS_S, 3_600.0
"""The laxity of the first promise, and by how much more that of each made after it is.

What is promised was promised beside what was promised before, so they go in that order, and all of
them before those of their class who were promised nothing.
"""

OLD_S = 1_800.0
"""A plan older than this is not gone by: who goes first is told by need alone."""

SHORT_WH, SHORT_RATIO = 100.0, 0.02
"""A promise that is short by less, in all or as a part of it, is not short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the plan gives somebody in this slot, and the most it gives soon, mA."""

    now_ma: int
    soon_ma: int


def turns_of(plan: StandingPlan | None, now_s: float) -> dict[str, Turn]:
    """Return what a plan gives about now (epoch s), by key; empty without one to go by.

    Of those whose time is over it says nothing: what it does not give them is no turn they lack.
    """
    turns = dict[str, Turn]()
    if plan is None or not 0 <= now_s - plan.from_at_s < OLD_S:
        return turns
    since_s, edges_s = now_s - plan.from_at_s, plan.plan.grid.edges_s
    first = bisect_right(edges_s, since_s) - 1
    last = bisect_left(edges_s, since_s + SOON_S)
    over = plan.over_at(now_s)
    for demand, of_slots in zip(plan.problem.demands, plan.plan.current_ma, strict=True):
        if demand.key not in over:
            turns[demand.key] = Turn(now_ma=of_slots[first], soon_ma=max(of_slots[first:last]))
    return turns


def priorities_of(
    visits: Sequence[Visit],
    promises: Collection[Reservation],
    places: Places,
    turns: dict[str, Turn],
    *,
    now_s: float,
) -> dict[ConnectorRef, Priority]:
    """Return how much everybody's need matters now (epoch s), with `turns` of the plan.

    Who is in the way of somebody who matters more matters as much.
    """
    served, priorities = served_by(visits, promises), dict[ConnectorRef, Priority]()
    waiting = waiting_by_place(visits, promises)
    in_turn = {promise.id: at for at, promise in enumerate(sorted(served.values(), key=matters))}
    for visit in visits:
        connector = places.connectors[visit.place]
        phase_count = visit.phase_count or len(connector.phases)
        promise = served.get(visit.place)
        kept_waiting = [
            behind.criticality.rank
            for behind in waiting.get(visit.place, ())
            if behind.opens_at_s <= visit.leaves_at_s
        ]
        priorities[connector.ref] = priority_of(
            replace(visit, rank=min([visit.rank, *kept_waiting])),
            promise,
            own=turns.get(visit.place),
            promised=None if promise is None else turns.get(promise.id),
            nth=0 if promise is None else in_turn[promise.id],
            max_ma=min(connector.max_ma, visit.accepts_ma or connector.max_ma),
            w_per_ma=places.site.voltage_v * phase_count / 1_000,
            now_s=now_s,
        )
    return priorities


def priority_of(
    visit: Visit,
    promise: Reservation | None,
    *,
    own: Turn | None = None,
    promised: Turn | None = None,
    nth: int = 0,
    max_ma: int,
    w_per_ma: float,
    now_s: float,
) -> Priority:
    """Return how much a vehicle's need matters now (epoch s).

    `promised` is what the plan gives it of its promise, `own` what beyond, None where there is no
    plan to go by; `max_ma` is what it could take, and less as it fills up. Among those of one class
    promises go first, each before the `nth` that was made after it; then the plan's turn, then who
    could wait least. The floor is what the promise has for now, and while it is behind that what
    the plan gives to make up for it.
    """
    if promise is None or promise.delivered_wh >= promise.guaranteed_wh:
        needs_h = full_power_h(0.0, visit.wants_wh or 0.0, max_ma=max_ma, taper=visit.taper)
        laxity_s = visit.leaves_at_s - now_s - needs_h / w_per_ma * 3_600.0
        laxity_s = min(LONGEST_LAXITY_S, laxity_s)
        turns = [turn for turn in (own, promised) if turn is not None]
        if turns and not any(turn.soon_ma for turn in turns):
            laxity_s += WAITS_S
        return Priority(rank=visit.rank, laxity_s=laxity_s)
    floor_ma = max(
        (s.current_ma for s in promise.envelope if s.from_at_s <= now_s < s.until_at_s), default=0
    )
    if promised is not None and _is_behind(promise, now_s):
        floor_ma = max(floor_ma, promised.now_ma)
    return Priority(
        rank=min(visit.rank, promise.criticality.rank),
        laxity_s=PROMISED_S + nth * PROMISES_APART_S,
        floor_ma=floor_ma,
    )


def _is_behind(promise: Reservation, now_s: float) -> bool:
    """Return whether a vehicle has been given less than its envelope held since it came.

    One that came late is not behind by that: what it missed nobody owes it.
    """
    since_s = promise.from_at_s if promise.arrived_at_s is None else promise.arrived_at_s
    due_wh = promise.guaranteed_wh * _part_of(promise, since_s, now_s)
    return due_wh - promise.delivered_wh > max(SHORT_WH, SHORT_RATIO * promise.guaranteed_wh)


def _part_of(promise: Reservation, from_at_s: float, until_at_s: float) -> float:
    """Return what part of an envelope's energy lies between two epoch seconds."""
    whole = sum(s.current_ma * (s.until_at_s - s.from_at_s) for s in promise.envelope)
    between = sum(
        s.current_ma * max(0.0, min(until_at_s, s.until_at_s) - max(from_at_s, s.from_at_s))
        for s in promise.envelope
    )
    return between / whole if whole else 0.0


def is_alike(known: Priority, now: Priority) -> bool:
    """Return whether a priority is as it was told, but for what need not be told anew."""
    if (known.rank, known.floor_ma) != (now.rank, now.floor_ma):
        return False
    if known.laxity_s is None or now.laxity_s is None:
        return known.laxity_s == now.laxity_s
    if min(known.laxity_s, now.laxity_s) < -WAITS_S:
        return known.laxity_s == now.laxity_s  # In the order of promises nothing is alike.
    has_turn = known.laxity_s <= LONGEST_LAXITY_S
    if has_turn != (now.laxity_s <= LONGEST_LAXITY_S):
        return False
    told_s = abs(known.laxity_s if has_turn else known.laxity_s - WAITS_S)
    return abs(known.laxity_s - now.laxity_s) < max(TELLS_FROM_S, TELLS_RATIO * told_s)
