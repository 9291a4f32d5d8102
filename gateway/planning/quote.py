"""A quote: whether the building can serve a vehicle that has not come yet, and how surely.

The question is put to the room that plan and promises leave (`Room`), so a yes needs nobody to
give way. Energy is offered at a confidence: the part of the scenarios of base in which the promise
would be kept, that is at least 98 % of it given by the departure (design §4).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import assert_never

import numpy as np

from gateway.domain.needs import Objective
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.coming import coming, starting
from gateway.planning.problem import Rectangle
from gateway.planning.room import Binding, Floats, Outlet, Outlook, Room, binding_in

FINISH_BLOCK = 12
ROUNDING_WH = 1e-6
MOST_STARTS = 12
"""So many starts are looked at, the nearest first, when one is asked for as surely as the first."""
LEAST_STAY_S = 900.0
"""Who would be there for less is offered so long at another start: less may be gone in starting."""


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
    QUEUED = "once the connector is free"
    BACK = "once the connector is back"

    @property
    def waits(self) -> bool:
        """Return whether it begins once what keeps the connector is over."""
        return self in _WAITING


_WAITING = (Way.QUEUED, Way.BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of an outlet, s from now; `energy_wh` None is everything there is.

    `not_before_s` is the earliest start that may be offered instead. Its vehicle may be there the
    slacks before and after that, too: it must have nobody beside it then. With `ends_when_given` it
    is promised its connector only until it has its energy: no departure was said. Offers come in the
    order of what is best by its `objective`.
    """

    from_s: float
    until_s: float
    energy_wh: float | None
    min_energy_wh: float = 0.0
    confidence_ratio: float = 0.9
    not_before_s: float = 0.0
    arrive_slack_s: float = 0.0
    depart_slack_s: float = 0.0
    ends_when_given: bool = False
    objective: Objective = Objective.BY_DEPARTURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An envelope on an outlet: what it carries, how surely, and what it is bound by.

    `energy_wh` is offered with `confidence_ratio` by the end of what would be held, and by `finish_s`
    as surely as was asked; `profile` carries at least that where base turns out as planned.
    `waits_for` says whose leaving it needs.
    """

    way: Way
    outlet: Outlet
    energy_wh: float
    confidence_ratio: float
    start_s: float
    finish_s: float
    profile: tuple[Rectangle, ...]
    binding: tuple[Binding, ...]
    waits_for: str = ""

    @property
    def begins_s(self) -> float:
        """Return when it begins to give anything; the vehicle may be there before."""
        return self.profile[0].from_s if self.profile else self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The answer to one question: offers, the best first; never an empty no."""

    verdict: Verdict
    version: int
    offers: tuple[Offer, ...]


def quote(room: Room, outlet: Outlet, ask: Ask, others: Iterable[tuple[Outlet, Ask]] = ()) -> Quote:
    """Return what can be offered for what is asked, with alternatives where that is not all.

    `others`, each with what is asked there, come in the order of what they give: of those that give
    all the first is offered that is as sure as that, and where none does the first of all if it gives
    more.
    """
    outlook = room.outlook(outlet)
    asked = _as_asked(room, outlet, outlook, ask)
    if asked is not None and (ask.energy_wh is None or asked.energy_wh >= ask.energy_wh):
        return Quote(verdict=Verdict.YES, version=room.version, offers=(asked,))
    offers = [] if asked is None else [replace(asked, way=Way.MOST_ENERGY)]
    offers += _otherwise(room, outlet, outlook, ask)
    here_wh = 0.0 if asked is None else asked.energy_wh
    elsewhere = _at_another(room, others, ask.energy_wh or 0.0, here_wh)
    offers += [] if elsewhere is None else [elsewhere]
    is_enough = asked is not None and asked.energy_wh >= max(1.0, ask.min_energy_wh)
    verdict = Verdict.PARTLY if is_enough else Verdict.NO
    return Quote(verdict=verdict, version=room.version, offers=tuple(offers))


def best_first(offers: Iterable[Offer], ask: Ask) -> list[Offer]:
    """Return offers in the order of what is best by the objective of who asks.

    Fastest is what gives all soonest, to a vehicle that comes when it said; most energy what gives
    most by its departure, and so is best for who wants all soon where nothing gives all. Else what is
    nearest to the question stays first.
    """
    wanted_wh = inf if ask.energy_wh is None else ask.energy_wh

    def most_energy(offer: Offer) -> tuple[bool, float]:
        is_within = ask.from_s <= offer.start_s and offer.finish_s <= ask.until_s
        return not is_within, -offer.energy_wh

    def fastest(offer: Offer) -> tuple[bool, bool, float]:
        if offer.energy_wh < wanted_wh:
            return True, *most_energy(offer)
        return False, offer.start_s < ask.from_s, offer.finish_s

    match ask.objective:
        case Objective.FASTEST:
            return sorted(offers, key=fastest)
        case Objective.MOST_ENERGY:
            return sorted(offers, key=most_energy)
        case Objective.BY_DEPARTURE:
            return list(offers)
        case _:
            assert_never(ask.objective)


def what_binds(room: Room, outlet: Outlet, ask: Ask) -> tuple[Binding, ...]:
    """Return what leaves an outlet less than it could give, as planned or as surely as is asked."""
    begins_s, outlook = coming(outlet, room.outlook(outlet), ask.from_s)
    return _bound_by(room, outlet, outlook, ask, _given(outlook, ask, begins_s))


def between(
    room: Room, outlet: Outlet, ask: Ask, gaps_s: Sequence[tuple[float, float]]
) -> Offer | None:
    """Return what can be had at another start in gaps, None if there is nothing in any.

    It is the first start after the one asked for, or else the last before, that gives all that is
    asked, or the most there is.
    """
    outlook = room.outlook(outlet)
    takes = starting(outlet, outlook)
    edges_s, length_s = outlook.edges_s, max(LEAST_STAY_S, ask.until_s - ask.from_s)
    known_s = outlook.grid.edges_s
    soonest = _soonest_after(ask.from_s, gaps_s, known_s)
    if soonest is not None and takes.is_certain and ask.energy_wh is not None:
        # Mostly that will do, and the others need not be looked at.
        from_s, until_s = soonest[0], min(soonest[0] + length_s, soonest[1])
        begins_s = min(from_s + outlet.start_s, until_s)
        if takes.energy_within_wh(begins_s, until_s) >= ask.energy_wh:
            return _at_start(room, outlet, ask, from_s, until_s)
    in_gaps_s, counts = list[Sequence[float] | Floats](), list[int]()
    for begins_s, ends_s in gaps_s:
        within_s = edges_s[bisect_right(known_s, begins_s) : bisect_left(known_s, ends_s)]
        in_gaps_s += ([begins_s], within_s)
        counts.append(1 + len(within_s))
    if not in_gaps_s:
        return None
    starts_s = np.concatenate(in_gaps_s)
    gap_ends_s = np.repeat([ends_s for _, ends_s in gaps_s], counts)
    ends_s = np.minimum(starts_s + length_s, gap_ends_s)
    begin_s = np.minimum(starts_s + outlet.start_s, ends_s)

    def within_wh(summed_wh: Floats) -> Floats:
        gained_wh: Floats = np.interp(ends_s, takes.edges_s, summed_wh)
        gained_wh -= np.interp(begin_s, takes.edges_s, summed_wh)
        return gained_wh

    gives_wh = within_wh(takes.energy_wh)
    if not takes.is_certain:
        paths_wh = np.array([within_wh(summed_wh) for summed_wh in takes.path_energy_wh])
        gives_wh = np.minimum(gives_wh, _surely_wh(paths_wh, ask.confidence_ratio))
    most_wh = float(gives_wh.max())
    wanted_wh = most_wh if ask.energy_wh is None else min(most_wh, ask.energy_wh)
    fitting = np.flatnonzero(gives_wh >= wanted_wh - 1e-6)
    # Gaps follow one another, and so do starts.
    after = int(starts_s[fitting].searchsorted(ask.from_s, side="right"))
    best = fitting[min(after, len(fitting) - 1)]
    return _at_start(room, outlet, ask, float(starts_s[best]), float(ends_s[best]))


def _soonest_after(
    at_s: float, gaps_s: Sequence[tuple[float, float]], edges_s: Sequence[float]
) -> tuple[float, float] | None:
    """Return the first start after an instant, where a gap begins or at an edge, and its gap's end."""
    for begins_s, ends_s in gaps_s:
        if begins_s > at_s:
            return begins_s, ends_s
        edge = bisect_right(edges_s, at_s)
        if edge < len(edges_s) and edges_s[edge] < ends_s:
            return edges_s[edge], ends_s
    return None


def _at_start(room: Room, outlet: Outlet, ask: Ask, from_s: float, until_s: float) -> Offer | None:
    """Return what is offered of what is asked in another window, until it is given."""
    moved = replace(ask, from_s=from_s, until_s=until_s, ends_when_given=True)
    offer = _as_asked(room, outlet, room.outlook(outlet), moved)
    return None if offer is None else replace(offer, way=Way.ANOTHER_START)


def fits_many(
    outlook: Outlook, from_s: Floats, until_s: Floats, energy_wh: Floats
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return for many windows at one outlet whether the energy fits, as planned."""
    has_wh = np.interp(until_s, outlook.edges_s, outlook.energy_wh)
    has_wh -= np.interp(from_s, outlook.edges_s, outlook.energy_wh)
    return has_wh >= energy_wh


def _at_another(
    room: Room, others: Iterable[tuple[Outlet, Ask]], wanted_wh: float, here_wh: float
) -> Offer | None:
    """Return what another outlet offers: all that is wanted, or else more than there is here."""
    most: Offer | None = None
    for at, (other, ask) in enumerate(others):
        outlook = room.outlook(other)
        if at and outlook.energy_within_wh(ask.from_s, ask.until_s) < wanted_wh:
            break
        offer = _as_asked(room, other, outlook, ask)
        if offer is not None and offer.energy_wh >= wanted_wh:
            return replace(offer, way=Way.ANOTHER_OUTLET)
        if not at:
            most = offer
    if most is None or most.energy_wh < here_wh + 1.0:
        return None
    return replace(most, way=Way.ANOTHER_OUTLET)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What an outlet gives in a window at a confidence, and the scenario that decides it, if one does."""

    energy_wh: float
    sure_ratio: float
    scenario: int | None = None


def _given(outlook: Outlook, ask: Ask, begins_s: float) -> _Given:
    """Return what is given of what is asked, from when energy flows on."""
    offered_wh = outlook.energy_within_wh(begins_s, ask.until_s)
    if ask.energy_wh is not None:
        is_all = offered_wh > ask.energy_wh - ROUNDING_WH
        offered_wh = ask.energy_wh if is_all else offered_wh
    if outlook.is_certain:
        return _Given(energy_wh=offered_wh, sure_ratio=1.0)
    paths_wh = outlook.path_energies_wh(begins_s, ask.until_s)
    sure_ratio = _sure_ratio(paths_wh, offered_wh)
    if sure_ratio >= ask.confidence_ratio:
        return _Given(energy_wh=offered_wh, sure_ratio=sure_ratio)
    offered_wh = min(offered_wh, float(_surely_wh(paths_wh, ask.confidence_ratio)))
    rank = _decides_at(paths_wh, ask.confidence_ratio)
    return _Given(
        energy_wh=offered_wh,
        sure_ratio=_sure_ratio(paths_wh, offered_wh),
        scenario=int(np.argpartition(paths_wh, rank)[rank]),
    )


def _bound_by(
    room: Room, outlet: Outlet, outlook: Outlook, ask: Ask, given: _Given
) -> tuple[Binding, ...]:
    """Return what binds in the scenario that decides, and where none does as planned."""
    found: tuple[Binding, ...] = ()
    if given.scenario is not None:
        found = binding_in(room, outlet, ask.from_s, ask.until_s, scenario=given.scenario)
    return found or outlook.binding(ask.from_s, ask.until_s)


def _as_asked(room: Room, outlet: Outlet, outlook: Outlook, ask: Ask) -> Offer | None:
    """Return the offer in the window that was asked for, None when there is nothing in it."""
    begins_s, outlook = coming(outlet, outlook, ask.from_s)
    given = _given(outlook, ask, begins_s)
    offered_wh, sure_ratio = given.energy_wh, given.sure_ratio
    if offered_wh < 1.0:
        return None
    finish_s = _finish_s(outlook, begins_s, offered_wh, ask.confidence_ratio)
    ends_s = ask.until_s if finish_s is None else min(finish_s, ask.until_s)
    if ask.ends_when_given and not outlook.is_certain:
        # The time behind it would make it surer, and is not held.
        paths_wh = outlook.path_energies_wh(begins_s, ends_s)
        sure_ratio = min(sure_ratio, _sure_ratio(paths_wh, offered_wh))
    return Offer(
        way=Way.AS_ASKED,
        outlet=outlet,
        energy_wh=offered_wh,
        confidence_ratio=sure_ratio,
        start_s=ask.from_s,
        finish_s=ends_s,
        profile=outlook.profile(ask.from_s, ends_s),
        binding=_bound_by(room, outlet, outlook, ask, given),
    )


def _surely_wh(paths_wh: Floats, confidence_ratio: float) -> Floats:
    """Return the most energy that would be kept in so many of the scenarios, along the first axis.

    The scenario that just keeps it is counted among those that do not: it was chosen by that, so
    another day like those seen is as likely below it as above the next. Where none may fail the
    energy is the least there is in any, without what may lack of a promise that is kept.
    """
    if not _may_fail_count(paths_wh, confidence_ratio):
        least_wh: Floats = paths_wh.min(axis=0)
        return least_wh
    rank = _decides_at(paths_wh, confidence_ratio)
    surely_wh: Floats = np.partition(paths_wh, rank, axis=0)[rank] / KEPT_RATIO
    return surely_wh


def _may_fail_count(paths_wh: Floats, confidence_ratio: float) -> int:
    """Return how many scenarios need not keep what is that sure."""
    return int((1.0 - confidence_ratio) * len(paths_wh) + 1e-9)


def _decides_at(paths_wh: Floats, confidence_ratio: float) -> int:
    """Return which of the scenarios, the one with the least energy first, says what is that sure."""
    return min(max(1, _may_fail_count(paths_wh, confidence_ratio)), len(paths_wh)) - 1


def _sure_ratio(paths_wh: Floats, energy_wh: float) -> float:
    """Return how surely an energy is kept, by scenarios; one that it was chosen by says nothing."""
    over_wh = paths_wh - KEPT_RATIO * energy_wh
    kept_count = int((over_wh >= -ROUNDING_WH).sum())
    is_chosen = bool((np.abs(over_wh) <= ROUNDING_WH).any())
    return (kept_count - is_chosen) / len(paths_wh)


def _finish_s(
    outlook: Outlook, begins_s: float, energy_wh: float, confidence_ratio: float
) -> float | None:
    """Return when an energy that flows from an instant on is there as surely; None if not in the plan.

    What is held of an offer goes up to then: what is behind it may be promised to others, and a
    scenario in which base is high needs longer than planned.
    """
    planned_s = outlook.finish_s(begins_s, energy_wh)
    if planned_s is None or outlook.is_certain:
        return planned_s
    edges_s = outlook.edges_s
    first = int(np.searchsorted(edges_s, planned_s - 1e-6))
    begun_wh = outlook.path_energy_at(begins_s)
    # In blocks: mostly the first edge after the planned one will do.
    for edge in range(first, len(edges_s), FINISH_BLOCK):
        gained_wh = outlook.path_energy_wh[:, edge : edge + FINISH_BLOCK] - begun_wh[:, None]
        surely_wh = _surely_wh(gained_wh, confidence_ratio)
        enough = np.flatnonzero(surely_wh >= energy_wh - 1e-6)
        if len(enough):
            return max(planned_s, float(edges_s[edge + enough[0]]))
    return None


def _otherwise(room: Room, outlet: Outlet, outlook: Outlook, ask: Ask) -> list[Offer]:
    """Return what would do instead: later, at another time, at another power."""
    offers = []
    if ask.energy_wh is not None:
        begins_s, of_vehicle = coming(outlet, outlook, ask.from_s)
        finish_s = _finish_s(of_vehicle, begins_s, ask.energy_wh, ask.confidence_ratio)
        if finish_s is not None and finish_s > ask.until_s:
            later = replace(ask, until_s=finish_s)
            offers.append((Way.EARLIEST_FINISH, later))
        start_s = _another_start_s(outlet, outlook, ask)
        if start_s is not None:
            ends_s = start_s + ask.until_s - ask.from_s
            moved = replace(ask, from_s=start_s, until_s=ends_s, ends_when_given=True)
            offers.append((Way.ANOTHER_START, moved))
    found = []
    for way, other in offers:
        offer = _as_asked(room, outlet, outlook, other)
        if offer is not None:
            # Until it is finished that is in the way which was in the window that was asked for.
            is_later = way is Way.EARLIEST_FINISH and not offer.binding
            binding = what_binds(room, outlet, ask) if is_later else offer.binding
            found.append(replace(offer, way=way, binding=binding))
    return found + _at_power(room, outlet, outlook, ask)


def _another_start_s(outlet: Outlet, outlook: Outlook, ask: Ask) -> float | None:
    """Return the start nearest to the one asked for whose window, as long, holds the energy."""
    edges_s, length_s = outlook.edges_s, ask.until_s - ask.from_s
    is_other = (edges_s >= ask.not_before_s) & (edges_s + length_s <= edges_s[-1])
    starts_s = edges_s[is_other & (edges_s != ask.from_s)]
    if ask.energy_wh is None or not len(starts_s):
        return None
    energies_wh = np.full(len(starts_s), ask.energy_wh)
    begin_s, takes = starts_s + outlet.start_s, starting(outlet, outlook)
    fitting_s = starts_s[fits_many(takes, begin_s, starts_s + length_s, energies_wh)]
    nearest_s = fitting_s[np.argsort(np.abs(fitting_s - ask.from_s), kind="stable")]
    for start_s in nearest_s[:MOST_STARTS].tolist():
        begins_s, of_vehicle = coming(outlet, outlook, start_s)
        paths_wh = of_vehicle.path_energies_wh(begins_s, start_s + length_s)
        planned_wh = of_vehicle.energy_within_wh(begins_s, start_s + length_s)
        sure_ratio = _sure_ratio(paths_wh, ask.energy_wh)
        if planned_wh >= ask.energy_wh and sure_ratio >= ask.confidence_ratio:
            return float(start_s)
    return None


def _at_power(room: Room, outlet: Outlet, outlook: Outlook, ask: Ask) -> list[Offer]:
    """Return the longest stretch at full power in the window, and the most that lasts through it."""
    first, last = outlook.slots_between(ask.from_s, ask.until_s)
    within = outlook.current_ma[first:last]
    edges_s = outlook.edges_s[first : last + 1].clip(ask.from_s, ask.until_s)
    offers = []
    longest = _longest_run(within >= outlet.max_ma, edges_s)
    if longest is not None:
        whole = replace(ask, from_s=longest[0], until_s=longest[1], energy_wh=None)
        offers.append((Way.LONGEST_FULL, outlet, outlook, whole))
    if len(within) and within.min() > 0:
        # A start costs it no less than one at full current, by which the hold is tested.
        steady = replace(
            outlet, max_ma=int(within.min()), settling_s=outlet.start_s, ramp_ma_per_s=inf
        )
        steadily = Outlook.of(room, steady)
        offers.append((Way.SUSTAINED, steady, steadily, replace(ask, energy_wh=None)))
    found = []
    for way, at_power, of_outlook, asked in offers:
        offer = _as_asked(room, at_power, of_outlook, asked)
        if offer is not None:
            # What it is bound by is told by what the outlet could give.
            binding = what_binds(room, outlet, ask)
            found.append(replace(offer, way=way, outlet=outlet, binding=binding))
    return found


def _longest_run(
    is_full: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], edges_s: Floats
) -> tuple[float, float] | None:
    """Return from when to when slots between edges are all full for longest, None if none is."""
    padded = np.concatenate(([0], np.asarray(is_full, dtype=np.int8), [0]))
    changes = np.flatnonzero(np.diff(padded))
    if not len(changes):
        return None
    begin_s, end_s = edges_s[changes[::2]], edges_s[changes[1::2]]
    at = int((end_s - begin_s).argmax())
    return float(begin_s[at]), float(end_s[at])
