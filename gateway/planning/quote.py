"""A quote: whether the building can serve a vehicle that has not come yet, and how surely.

The question is put to the room that plan and promises leave (`Room`), so a yes needs nobody to
give way. Energy is offered at a confidence: the part of the scenarios of base in which the promise
would be kept, that is at least 98 % of it given by the departure (design §4).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.problem import Rectangle
from gateway.planning.room import Binding, Floats, Ints, Outlet, Outlook, Room


class Verdict(StrEnum):
    """The answer in a word."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class Way(StrEnum):
    """How an offer answers the question: as asked, or otherwise."""

    AS_ASKED = "as asked"
    MOST_ENERGY = "most energy in the window"
    EARLIEST_FINISH = "earliest finish"
    LONGEST_FULL = "longest at full power"
    SUSTAINED = "highest sustained power"
    ANOTHER_START = "another start"
    ANOTHER_OUTLET = "another connector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of an outlet, s from now; `energy_wh` None is everything there is."""

    from_s: float
    until_s: float
    energy_wh: float | None
    min_energy_wh: float = 0.0
    confidence_ratio: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An envelope on an outlet: what it carries, how surely, and what it is bound by.

    `energy_wh` is offered with `confidence_ratio`; `profile` carries at least that where base
    turns out as planned.
    """

    way: Way
    outlet: Outlet
    energy_wh: float
    confidence_ratio: float
    start_s: float
    finish_s: float
    profile: tuple[Rectangle, ...]
    binding: tuple[Binding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The answer to one question: offers, the best first; never an empty no."""

    verdict: Verdict
    version: int
    offers: tuple[Offer, ...]


def quote(room: Room, outlet: Outlet, ask: Ask, others: Iterable[Outlet] = ()) -> Quote:
    """Return what can be offered for what is asked, with alternatives where that is not all."""
    outlook = room.outlook(outlet)
    asked = _as_asked(room, outlook, ask)
    if asked is not None and (ask.energy_wh is None or asked.energy_wh >= ask.energy_wh):
        return Quote(verdict=Verdict.YES, version=room.version, offers=(asked,))
    offers = [] if asked is None else [replace(asked, way=Way.MOST_ENERGY)]
    offers += _otherwise(room, outlook, ask)
    for other in others:
        elsewhere = _as_asked(room, room.outlook(other), ask)
        if elsewhere is not None and elsewhere.energy_wh >= (ask.energy_wh or 0.0):
            offers.append(replace(elsewhere, way=Way.ANOTHER_OUTLET))
            break
    is_enough = asked is not None and asked.energy_wh >= max(1.0, ask.min_energy_wh)
    verdict = Verdict.PARTLY if is_enough else Verdict.NO
    return Quote(verdict=verdict, version=room.version, offers=tuple(offers))


def fits_many(
    outlook: Outlook, from_s: Floats, until_s: Floats, energy_wh: Floats
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return for many windows at one outlet whether the energy fits, as planned."""
    has_wh = np.interp(until_s, outlook.edges_s, outlook.energy_wh)
    has_wh -= np.interp(from_s, outlook.edges_s, outlook.energy_wh)
    return has_wh >= energy_wh


def _as_asked(room: Room, outlook: Outlook, ask: Ask) -> Offer | None:
    """Return the offer in the window that was asked for, None when there is nothing in it."""
    paths_wh = outlook.path_energies_wh(ask.from_s, ask.until_s)
    surely_wh = _at_confidence_wh(paths_wh, ask.confidence_ratio)
    planned_wh = outlook.energy_within_wh(ask.from_s, ask.until_s)
    offered_wh = min(surely_wh, planned_wh)
    if ask.energy_wh is not None:
        offered_wh = min(offered_wh, ask.energy_wh)
    if offered_wh < 1.0:
        return None
    finish_s = outlook.finish_s(ask.from_s, offered_wh)
    ends_s = ask.until_s if finish_s is None else min(finish_s, ask.until_s)
    return Offer(
        way=Way.AS_ASKED,
        outlet=outlook.outlet,
        energy_wh=offered_wh,
        confidence_ratio=float((paths_wh >= KEPT_RATIO * offered_wh - 1e-6).mean()),
        start_s=ask.from_s,
        finish_s=ends_s,
        profile=outlook.profile(ask.from_s, ends_s),
        binding=outlook.binding(room, ask.from_s, ask.until_s),
    )


def _at_confidence_wh(paths_wh: Floats, confidence_ratio: float) -> float:
    """Return the most energy that would be kept in so many of the scenarios."""
    ordered_wh = np.sort(paths_wh)
    may_fail = int((1.0 - confidence_ratio) * len(ordered_wh) + 1e-9)
    return float(ordered_wh[min(may_fail, len(ordered_wh) - 1)]) / KEPT_RATIO


def _otherwise(room: Room, outlook: Outlook, ask: Ask) -> list[Offer]:
    """Return what would do instead: later, at another time, at another power."""
    offers = []
    if ask.energy_wh is not None:
        finish_s = outlook.finish_s(ask.from_s, ask.energy_wh)
        if finish_s is not None and finish_s > ask.until_s:
            later = replace(ask, until_s=finish_s)
            offers.append((Way.EARLIEST_FINISH, later))
        start_s = _another_start_s(outlook, ask)
        if start_s is not None:
            moved = replace(ask, from_s=start_s, until_s=start_s + ask.until_s - ask.from_s)
            offers.append((Way.ANOTHER_START, moved))
    found = []
    for way, other in offers:
        offer = _as_asked(room, outlook, other)
        if offer is not None:
            found.append(replace(offer, way=way))
    return found + _at_power(room, outlook, ask)


def _another_start_s(outlook: Outlook, ask: Ask) -> float | None:
    """Return the first start after the one asked for whose window, as long, holds the energy."""
    edges_s, length_s = outlook.edges_s, ask.until_s - ask.from_s
    starts_s = edges_s[(edges_s > ask.from_s) & (edges_s + length_s <= edges_s[-1])]
    if ask.energy_wh is None or not len(starts_s):
        return None
    energies_wh = np.full(len(starts_s), ask.energy_wh)
    fitting = np.flatnonzero(fits_many(outlook, starts_s, starts_s + length_s, energies_wh))
    return float(starts_s[fitting[0]]) if len(fitting) else None


def _at_power(room: Room, outlook: Outlook, ask: Ask) -> list[Offer]:
    """Return the longest stretch at full power in the window, and the most that lasts through it."""
    edges_s = outlook.edges_s
    first, last = np.searchsorted(edges_s, (ask.from_s, ask.until_s))
    within = outlook.current_ma[first : max(first, last)]
    offers = []
    begins, ends = _longest_run(within >= outlook.outlet.max_ma)
    if ends > begins:
        from_s, until_s = float(edges_s[first + begins]), float(edges_s[first + ends])
        whole = replace(ask, from_s=from_s, until_s=min(until_s, ask.until_s), energy_wh=None)
        offers.append((Way.LONGEST_FULL, outlook, whole))
    if len(within) and within.min() > 0:
        steady = replace(outlook.outlet, max_ma=int(within.min()))
        offers.append((Way.SUSTAINED, Outlook.of(room, steady), replace(ask, energy_wh=None)))
    found = []
    for way, of_outlook, asked in offers:
        offer = _as_asked(room, of_outlook, asked)
        if offer is not None:
            found.append(replace(offer, way=way, outlet=outlook.outlet))
    return found


def _longest_run(
    is_full: Ints | np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> tuple[int, int]:
    """Return from where to where the longest run of true values goes; an empty one is (0, 0)."""
    padded = np.concatenate(([0], np.asarray(is_full, dtype=np.int8), [0]))
    changes = np.flatnonzero(np.diff(padded))
    if not len(changes):
        return 0, 0
    begins, ends = changes[::2], changes[1::2]
    at = int((ends - begins).argmax())
    return int(begins[at]), int(ends[at])
