"""Who is told that a promise is at risk in a full book whose vehicles come late, and who breaks.

A supply of 150 A is promised full to vehicles at twenty connectors, for windows of one to three hours,
and there are no walk-ups. A third of the vehicles come up to 50 minutes late. Every five minutes each is
given what it was promised for then; what that leaves goes to those who were given too little so far, in
the order in which they were promised. At each step it is looked at who is at risk. A warning is false
where the promise is kept all the same; one that breaks without is told nobody. What is said of each
at fixed times before its departure is put beside how many of those were kept.
"""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from benchmarks._said_and_kept import said_and_kept
from benchmarks.booking import site_of
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.asking import Places
from gateway.planning.at_risk import matters, standings
from gateway.planning.book import Book, BookError, hold, opened
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.grid import HOUR_S, even_grid
from gateway.planning.quote import Ask, Offer, Verdict, quote

CONNECTORS, DAYS = 20, 12
SUPPLY_MA, BOARD_MA = 150_000, 400_000
ASKED = 10 * CONNECTORS
STEP_S, STEPS = 300.0, 144
LEADS_MIN: Final = (120, 60, 30, 10)
LATE_RATIO, LATEST_S = 1 / 3, 3_000.0
PLACES: Final = Places.of(site_of(CONNECTORS, supply_a=1_000))
GRID: Final = even_grid(STEPS, STEP_S)
MAX_MA, W_PER_MA = 32_000, 0.69


def measure() -> dict[str, object]:
    """Return how many were told, how many of those were kept, and how many broke untold."""
    ends = [end for day in range(DAYS) for end in _day(random.Random(day))]
    return {
        "in_time": _counted([end for end in ends if not end.is_late]),
        "late": _counted([end for end in ends if end.is_late]),
    }


@dataclass(frozen=True, slots=True)
class _End:
    """What became of a promise, and how long before its end it was told to be at risk (None: never).

    `said` is how sure it was said to be so many minutes before its end, None where that was not known.
    """

    is_late: bool
    told_before_s: float | None
    is_kept: bool
    said: Mapping[int, float | None]


def _counted(ends: list[_End]) -> dict[str, object]:
    told = [end for end in ends if end.told_before_s is not None]
    broken = [end for end in ends if not end.is_kept]
    before_s = [end.told_before_s for end in broken if end.told_before_s is not None]
    return {
        "promises": len(ends),
        "told": len(told),
        "told_and_kept_all_the_same": sum(end.is_kept for end in told),
        "broken": len(broken),
        "broken_untold": len(broken) - len(before_s),
        "told_before_departure_min_median": median(before_s) / 60 if before_s else None,
        "said_and_kept": {
            f"{lead_min} min before departure": said_and_kept(
                (end.said[lead_min], end.is_kept) for end in ends if lead_min in end.said
            )
            for lead_min in LEADS_MIN
        },
    }


def _day(chance: random.Random) -> list[_End]:
    """Live through a day; return what became of each promise."""
    promises, told_at_s = _promised(chance), dict[str, float]()
    said: dict[str, dict[int, float | None]] = {name: {} for name in promises}
    comes_at_s = {
        name: promise.from_at_s + chance.uniform(0, LATEST_S) * (chance.random() < LATE_RATIO)
        for name, promise in promises.items()
    }
    for step in range(STEPS):
        now_s = step * STEP_S
        states = (_as_of(promise, comes_at_s[name], now_s) for name, promise in promises.items())
        promises = {promise.id: promise for promise in states}
        seen = standings(_book(promises.values()), PLACES, now_s=now_s)
        for standing in seen:
            # Windows begin and end with steps.
            lead_min = round((standing.promise.until_at_s - now_s) / 60)
            said[standing.promise.id][lead_min] = standing.known_ratio
            if standing.is_at_risk:
                told_at_s.setdefault(standing.promise.id, now_s)
        promises |= _charged(promises, now_s)
    return [
        _End(
            is_late=comes_at_s[name] > promise.from_at_s,
            told_before_s=None if name not in told_at_s else promise.until_at_s - told_at_s[name],
            is_kept=promise.delivered_wh >= KEPT_RATIO * promise.energy_wh,
            said=said[name],
        )
        for name, promise in promises.items()
    ]


def _promised(chance: random.Random) -> Mapping[str, Reservation]:
    """Return what is promised of a day: who asks gets all of it, or nothing."""
    book = _book(())
    for at in range(ASKED):
        outlet = PLACES.outlet(f"CP-{at % CONNECTORS}/1", phase_count=None, max_power_w=None)
        from_s = chance.randrange(6, STEPS - 48) * STEP_S
        until_s = from_s + chance.randrange(12, 37) * STEP_S
        most_wh = outlet.power_w(MAX_MA) * (until_s - from_s) / HOUR_S
        ask = Ask(from_s=from_s, until_s=until_s, energy_wh=most_wh * chance.uniform(0.3, 0.8))
        said = quote(book.room, outlet, ask)
        if said.verdict is Verdict.YES:
            try:
                book = hold(book, _promise(said.offers[0], f"p{at}", until_s, asked_at_s=float(at)))
            except BookError:  # Its connector is promised to another.
                continue
    return {p.id: replace(p, state=PromiseState.CONFIRMED) for p in book.promises.values()}


def _promise(offer: Offer, name: str, until_s: float, *, asked_at_s: float) -> Reservation:
    parts = [
        Stretch(from_at_s=r.from_s, until_at_s=r.until_s, current_ma=r.current_ma)
        for r in offer.profile
    ]
    edges_s = (offer.start_s, parts[0].from_at_s, parts[-1].until_at_s, until_s)
    waits = [
        Stretch(from_at_s=from_s, until_at_s=ends_s, current_ma=0)
        for from_s, ends_s in (edges_s[:2], edges_s[2:])
    ]
    return Reservation(
        id=name,
        place=offer.outlet.key,
        rows=offer.outlet.rows,
        envelope=(waits[0], *parts, waits[1]),
        energy_wh=int(offer.energy_wh),
        guaranteed_wh=int(offer.energy_wh),
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.HELD,
        hold_until_at_s=asked_at_s,
        max_ma=MAX_MA,
    )


def _book(promises: Iterable[Reservation]) -> Book:
    available_ma = np.full((3 * len(PLACES.site.circuits), GRID.slot_count), BOARD_MA)
    available_ma[:3] = SUPPLY_MA
    return opened(GRID, available_ma, from_at_s=0.0, promises={p.id: p for p in promises})


def _as_of(promise: Reservation, comes_at_s: float, now_s: float) -> Reservation:
    """Return a promise with its state at an instant."""
    if promise.state is PromiseState.CONFIRMED and now_s >= comes_at_s:
        promise = replace(promise, state=PromiseState.ARRIVED, arrived_at_s=comes_at_s)
    if promise.state.is_open and now_s >= promise.until_at_s:
        promise = replace(promise, state=PromiseState.FULFILLED)
    return promise


def _charged(promises: Mapping[str, Reservation], now_s: float) -> Mapping[str, Reservation]:
    """Return who is there with what it is given in a step: floors first, then who is to catch up."""
    there = [p for p in promises.values() if p.state is PromiseState.ARRIVED]
    left_ma, given_ma = float(SUPPLY_MA), dict.fromkeys((p.id for p in there), 0.0)
    wh_per_ma = W_PER_MA * STEP_S / HOUR_S
    for is_floor in (True, False):
        for promise in sorted(there, key=matters):
            most_ma = float(MAX_MA)
            if is_floor:
                now = (s for s in promise.envelope if s.from_at_s <= now_s < s.until_at_s)
                most_ma = float(max((part.current_ma for part in now), default=0))
            wants_ma = max(0.0, promise.energy_wh - promise.delivered_wh) / wh_per_ma
            more_ma = min(left_ma, min(most_ma, wants_ma) - given_ma[promise.id])
            given_ma[promise.id] += max(0.0, more_ma)
            left_ma -= max(0.0, more_ma)
    return {
        p.id: replace(p, delivered_wh=p.delivered_wh + given_ma[p.id] * wh_per_ma) for p in there
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
