"""How surely open promises will still be kept, as the building is seen now, and what endangers them.

Pure: the same book, instant and vehicles give the same answer. Promises are looked at in the
order in which they matter, so where a row is short the first ones are kept and the others are
named: that is which promises a lower limit breaks, told before they do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np

from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.absence import Away
from gateway.planning.answering import answer
from gateway.planning.answers import QuoteAnswer
from gateway.planning.asking import LATE_S, AskError, Places, asked_of
from gateway.planning.book import Book, without
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.circumstances import Circumstances
from gateway.planning.claims import claimed, take
from gateway.planning.coming import coming
from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.promising import need_of
from gateway.planning.room import (
    Floats,
    Ints,
    Outlet,
    Outlook,
    Room,
    cumulated,
    given_ma,
)
from gateway.planning.shortage import Shortage, shortage_in

LEAST_DROP_RATIO = 0.1
COMES_IN_S = 900.0
"""How soon a vehicle that is late comes at best, when it is looked at again whether that is in time."""
ROUNDING_WH = 1.0
"""Instants and currents are rounded to whole slots and steps: less than this is missing by that."""


class Danger(StrEnum):
    """What makes a promise less sure."""

    STATION = "station"
    """Its connector can serve nobody: its station is out of reach, or says that it cannot."""
    ROOM = "room"
    """Circuits leave too little."""
    OCCUPIED = "occupied"
    """Another vehicle is at its connector."""
    LATE = "late"
    """Its vehicle has not come, and what is left of its time is too short."""
    SLOW = "slow"
    """Its vehicle is there and was given too little so far for what is left of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an open promise stands.

    `confidence_ratio` is how surely at least 98 % of its energy is delivered by its end, and
    `can_wh` what will be if base turns out as planned, what was delivered already included.
    """

    promise: Reservation
    confidence_ratio: float
    can_wh: float
    danger: Danger | None
    shortage: Shortage | None = None
    away: Away | None = None
    """How its connector is away, where that is the danger."""

    @property
    def is_at_risk(self) -> bool:
        """Return whether whoever it was promised to should be told."""
        return self.confidence_ratio < floor_ratio(self.promise.confidence_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """How an open promise stood when it was last looked at, and whether its holder was told.

    `why` is the sentence that was told, with the figures of that look; empty if it is not at risk.
    """

    confidence_ratio: float
    is_at_risk: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A book at an epoch second, with what is seen of connectors; see `standings`."""

    book: Book
    places: Places
    now_s: float
    others_until_s: Mapping[str, float]
    away: Mapping[str, Away]


def floor_ratio(promised_ratio: float) -> float:
    """Return the confidence below which a promise is at risk.

    It has then become twice as likely to break as was said when it was made, and more likely by
    a tenth at least: what was said at 90 % is at risk below 80 %. Or half as likely to be kept,
    which of what was said at 50 % comes first: twice as likely to break it cannot become.
    """
    twice_ratio = promised_ratio - max(LEAST_DROP_RATIO, 1.0 - promised_ratio)
    return max(twice_ratio, promised_ratio / 2)


def standings(
    book: Book,
    places: Places,
    *,
    now_s: float,
    others_until_s: Mapping[str, float] | None = None,
    away: Mapping[str, Away] | None = None,
) -> Iterator[Standing]:
    """Yield how every open promise stands at an epoch second, those that matter most first.

    `others_until_s` names the promises, by id, at whose connector another vehicle is than the one
    they were made to, and until when (epoch s) it is taken to stay; `away` the connectors that can
    serve nobody. A promise whose place is no longer in the site is left out.
    """
    seen = Seen(
        book=book,
        places=places,
        now_s=now_s,
        others_until_s=others_until_s or {},
        away=away or {},
    )
    return (standing for standing in steps(seen) if standing is not None)


def steps(seen: Seen) -> Iterator[Standing | None]:
    """Yield the same, and None before it is known: so whoever waits can see to other things.

    Who is late and would be at risk if all others drew just along their envelopes is looked at again
    as control shares: floors first, then whoever was promised first gets all it takes, and is done
    before its envelope is over.
    """
    found = []
    for chance in _looked_at(seen):
        found.append((chance.standing(), chance.is_late))
        yield None
    if any(is_late and standing.is_at_risk for standing, is_late in found):
        floors: dict[str, Reservation] = {}
        for chance in _looked_at(seen, floors={}):
            floors[chance.promise.id] = chance.floor()
            yield None
        again = {}
        for chance in _looked_at(seen, floors=floors):
            again[chance.promise.id] = chance.standing()
            yield None
        found = [
            (again[s.promise.id] if is_late and not again[s.promise.id].is_at_risk else s, is_late)
            for s, is_late in found
        ]
    yield from (standing for standing, _ in found)


def _looked_at(
    seen: Seen, *, floors: Mapping[str, Reservation] | None = None
) -> Iterator["_Chance"]:
    """Yield the chance of every open promise in turn, each in the room that those before it leave.

    With `floors` all take what they can as soon as they can; those behind have theirs, by id, if
    they are known, instead of their envelopes.
    """
    book, now_s = seen.book, seen.now_s
    grid, from_at_s = book.room.grid, book.from_at_s
    opened = (_as_drawn(p, now_s) for p in book.promises.values() if p.state.is_open)
    promises = sorted(opened, key=matters)
    # Beside what those before it take, and beside what is promised to those behind it too.
    room, free_ma = book.unpromised, book.room.left_ma.copy()
    for promise in promises:
        if floors and promise.id in floors:
            take(free_ma, grid, from_at_s, promise, sign=-1)
            take(free_ma, grid, from_at_s, floors[promise.id], sign=1)
    for promise in promises:
        take(free_ma, grid, from_at_s, (floors or {}).get(promise.id, promise), sign=-1)
        try:
            outlet = _outlet(promise, seen.places)
        except AskError:
            continue
        busy_until_s = seen.others_until_s.get(promise.id, 0.0)
        if promise.state is PromiseState.ARRIVED:
            busy_until_s = 0.0
        chance = _Chance(
            promise=promise,
            room=room,
            free_ma=free_ma,
            outlet=outlet,
            from_at_s=from_at_s,
            now_s=now_s,
            busy_until_s=busy_until_s,
            away=seen.away.get(promise.place),
            hurries=floors is not None,
        )
        yield chance
        claim = chance.claim()
        take(free_ma, grid, from_at_s, claim, sign=1)
        room = chance.leaves(room, claim)


def alternatives(
    book: Book, promise: Reservation, *, quote_id: str, expires_at_s: float, here: Circumstances
) -> QuoteAnswer | None:
    """Return what could be had in the place of what is left of a promise; None if nothing can.

    The promise itself is taken out of the book for that: its own connector is one answer.
    """
    book = without(book, promise.id)
    try:
        need = need_of(promise, here.places, now_s=here.now_s)
        end_s = book.from_at_s + book.room.grid.edges_s[-1]
        asked = asked_of(
            need,
            here.places,
            from_at_s=book.from_at_s,
            now_s=here.now_s,
            end_s=end_s,
            vehicles=here.vehicles,
        )
    except AskError:
        return None
    return answer(
        book, need, asked, quote_id=quote_id, expires_at_s=expires_at_s, circumstances=here
    )


def matters(promise: Reservation) -> tuple[int, bool, float, str]:
    """Return what promises are put in order by: class, what is confirmed, who was first."""
    is_held = promise.state is PromiseState.HELD
    return promise.criticality.rank, is_held, promise.hold_until_at_s, promise.id


def _as_drawn(promise: Reservation, now_s: float) -> Reservation:
    """Return a promise with what is taken to be drawn of it by now, where nobody measures that."""
    if not promise.is_plain_draw:
        return promise
    whole, before = (
        sum(
            s.current_ma * max(0.0, min(s.until_at_s, at_s) - s.from_at_s) for s in promise.envelope
        )
        for at_s in (promise.until_at_s, now_s)
    )
    return replace(promise, delivered_wh=promise.energy_wh * before / whole if whole else 0.0)


def _outlet(promise: Reservation, places: Places) -> Outlet:
    """Return where a promise draws, with no more than its vehicle takes after what it has had."""
    outlet, had_wh = places.at(promise.place, promise.phase_count), promise.delivered_wh
    most_ma = promise.max_ma or max(stretch.current_ma for stretch in promise.envelope)
    if had_wh > 0:
        outlet = replace(outlet, is_drawing=True)
    return replace(
        outlet,
        rows=promise.rows,
        max_ma=min(outlet.max_ma, most_ma),
        taper=tuple((max(0.0, from_wh - had_wh), ma) for from_wh, ma in promise.taper),
    )


class _Chance:
    """One promise in the room that those which matter more leave.

    `free_ma` (rows, slots) is what is left beside all others, those that matter less too. A vehicle
    that came late is not made up for (design §3: floors first): beyond its envelope that is all it has.
    One that `hurries` takes what it can as soon as it can; if it is late it comes in a while.
    """

    def __init__(
        self,
        *,
        promise: Reservation,
        room: Room,
        free_ma: Ints,
        outlet: Outlet,
        from_at_s: float,
        now_s: float,
        busy_until_s: float,
        away: Away | None,
        hurries: bool,
    ) -> None:
        self.promise, self._outlet, self._hurries = promise, outlet, hurries
        self._from_at_s, self._now_s, self._busy_until_s = from_at_s, now_s, busy_until_s
        self._away = away if away is not None and away.spoils(promise.from_at_s, now_s) else None
        is_missed = now_s > promise.from_at_s + LATE_S and not promise.is_plain_draw
        comes_s = COMES_IN_S * (hurries and is_missed and promise.state is not PromiseState.ARRIVED)
        self._begins_s = max(now_s + comes_s, promise.from_at_s, busy_until_s) - from_at_s
        self._ends_s = max(self._begins_s, promise.until_at_s - from_at_s)
        slots = _slots(room, self._begins_s, self._ends_s)
        self._room, self._free_ma = _within(room, outlet, slots), free_ma[:, slots]
        taken_ma = np.zeros_like(self._room.left_ma)
        take(taken_ma, self._room.grid, from_at_s, promise, sign=-1)
        self._own_ma: Ints = taken_ma[promise.rows[0]]
        comes_at_s = _comes_at_s(promise, from_at_s + self._begins_s)
        self.is_late = comes_at_s > promise.from_at_s + LATE_S
        self._outlook = Outlook.of(self._room, outlet)
        if self.is_late:
            self._outlook = self._beside_all()
        self._missing_wh = KEPT_RATIO * promise.energy_wh - promise.delivered_wh - ROUNDING_WH

    def _beside_all(self) -> Outlook:
        """Return the outlook with what it was promised, or what is free if that is more."""
        outlook = self._outlook
        free = Outlook.of(replace(self._room, left_ma=self._free_ma), self._outlet)
        own_wh = self._own_ma * self._outlet.power_w(1.0) * np.diff(outlook.edges_s) / HOUR_S

        def given_wh(summed_wh: Floats, free_wh: Floats) -> Floats:
            floor_wh = np.minimum(np.diff(summed_wh), own_wh)
            return cumulated(np.maximum(floor_wh, np.diff(free_wh)))

        return replace(
            outlook,
            current_ma=np.maximum(np.minimum(outlook.current_ma, self._own_ma), free.current_ma),
            energy_wh=given_wh(outlook.energy_wh, free.energy_wh),
            path_energy_wh=given_wh(outlook.path_energy_wh, free.path_energy_wh),
        )

    def standing(self) -> Standing:
        """Return how the promise stands."""
        if self._away is not None and self._missing_wh > 0:
            return Standing(
                promise=self.promise,
                confidence_ratio=0.0,
                can_wh=self.promise.delivered_wh,
                danger=Danger.STATION,
                away=self._away,
            )
        ends_s, outlook = self._ends_s, self._outlook
        begins_s, takes = coming(outlook, self._begins_s)
        paths_wh = takes.path_energies_wh(begins_s, ends_s)
        confidence_ratio = float((paths_wh >= self._missing_wh).mean())
        danger, shortage = None, None
        if confidence_ratio < 1.0:
            danger = self._danger()
        if danger is Danger.ROOM:
            left_ma = self._free_ma if self.is_late else self._room.left_ma
            room = replace(self._room, left_ma=left_ma)
            shortage = shortage_in(room, outlook, self._begins_s, ends_s, from_at_s=self._from_at_s)
        return Standing(
            promise=self.promise,
            confidence_ratio=confidence_ratio,
            can_wh=self.promise.delivered_wh + takes.energy_within_wh(begins_s, ends_s),
            danger=danger,
            shortage=shortage,
        )

    def _danger(self) -> Danger:
        if self._busy_until_s > max(self._now_s, self.promise.from_at_s):
            return Danger.OCCUPIED
        endless_ma = np.full_like(self._room.left_ma, self._outlet.max_ma)
        endless = replace(self._room, left_ma=endless_ma, base_paths_ma={})
        # What circuits have would do, but for those behind it, who do not give way to who is late.
        is_for_being_late = self.is_late and self._is_enough(self._room)
        if self._is_enough(endless) and not is_for_being_late:
            return Danger.ROOM
        is_there = self.promise.state is PromiseState.ARRIVED
        return Danger.SLOW if is_there else Danger.LATE

    def _is_enough(self, room: Room) -> bool:
        """Return whether a room would give what is missing."""
        begins_s, takes = coming(Outlook.of(room, self._outlet), self._begins_s)
        return takes.energy_within_wh(begins_s, self._ends_s) >= self._missing_wh

    def claim(self) -> Reservation:
        """Return the promise with what it takes from those behind it.

        That is its envelope as far as it can be followed. What it is short of then it takes as soon
        as it can of what is free, and only what that has not from those behind it.
        """
        if self.promise.energy_wh - self.promise.delivered_wh <= 0:
            return replace(self.promise, envelope=())
        is_to_come = self._now_s <= self.promise.from_at_s and not self.is_late
        fits = (self._outlook.left_ma >= self._own_ma).all()
        if is_to_come and fits and not self._goes_ahead:
            return self.promise
        return self._along(self._claims_ma())

    def floor(self) -> Reservation:
        """Return the promise with what it takes of its envelope, until it has its energy."""
        if self.promise.energy_wh - self.promise.delivered_wh <= 0:
            return replace(self.promise, envelope=())
        return self._along(np.minimum(self._claims_ma(), self._own_ma))

    @property
    def _goes_ahead(self) -> bool:
        return self._hurries and not self.promise.is_plain_draw

    def _claims_ma(self) -> Ints:
        outlet, left_ma = self._outlet, self._outlook.left_ma
        missing_wh = self.promise.energy_wh - self.promise.delivered_wh
        edges_s = self._outlook.edges_s.clip(self._begins_s, self._ends_s)
        wh_per_ma = outlet.power_w(1.0) * np.diff(edges_s) / HOUR_S
        free_ma = given_ma(self._free_ma[list(self.promise.rows)].min(axis=0), outlet)
        could_ma = given_ma(left_ma, outlet)
        claims_ma = np.where(left_ma >= self._own_ma, self._own_ma, could_ma)
        if self._goes_ahead:
            claims_ma = _caught_up_ma(np.maximum(claims_ma, free_ma), wh_per_ma, missing_wh)
        for most_ma in (free_ma, *(() if self.is_late else (could_ma,))):
            short_wh = missing_wh - float(claims_ma @ wh_per_ma)
            spare_ma = (most_ma - claims_ma).clip(0)
            claims_ma = claims_ma + _caught_up_ma(spare_ma, wh_per_ma, short_wh)
        return claims_ma

    def _along(self, current_ma: Ints) -> Reservation:
        """Return the promise with such currents in the slots of its window that is left."""
        edges_s = self._outlook.edges_s.clip(self._begins_s, self._ends_s)
        parts = zip(pairwise(edges_s.tolist()), current_ma.tolist(), strict=True)
        envelope = tuple(
            Stretch(
                from_at_s=self._from_at_s + from_s,
                until_at_s=self._from_at_s + until_s,
                current_ma=current_ma,
            )
            for (from_s, until_s), current_ma in parts
            if current_ma and from_s < until_s
        )
        return replace(self.promise, envelope=envelope)

    def leaves(self, room: Room, claim: Reservation) -> Room:
        """Return the room that is left behind a claim; who is late makes up in no scenario."""
        from_at_s, voltage_v = self._from_at_s, self._outlet.voltage_v
        if not self.is_late:
            return claimed(room, claim, from_at_s=from_at_s, voltage_v=voltage_v)[0]
        left_ma = room.left_ma.copy()
        take(left_ma, room.grid, from_at_s, claim, sign=1)
        return replace(room, left_ma=left_ma)


def _comes_at_s(promise: Reservation, begins_at_s: float) -> float:
    """Return when (epoch s) a vehicle has come, or comes at the soonest."""
    if promise.is_plain_draw:
        return promise.from_at_s  # Nobody has to come.
    if promise.state is PromiseState.ARRIVED and promise.arrived_at_s is not None:
        return promise.arrived_at_s
    return begins_at_s


def _caught_up_ma(spare_ma: Ints, wh_per_ma: Floats, short_wh: float) -> Ints:
    """Return how much of what is spare is taken per slot, the first ones first, until it is enough.

    Of a slot in which it is enough before its end no more than that is taken on average.
    """
    summed_wh = np.minimum((spare_ma * wh_per_ma).cumsum(), max(0.0, short_wh))
    taken_ma = np.zeros(len(spare_ma))
    np.divide(np.diff(summed_wh, prepend=0.0), wh_per_ma, out=taken_ma, where=wh_per_ma > 0)
    whole_ma: Ints = np.ceil(taken_ma - 1e-6).astype(np.int64)
    return whole_ma


def _slots(room: Room, begins_s: float, ends_s: float) -> slice:
    """Return the slots of a room that have a part in a window, one at least."""
    edges_s = np.array(room.grid.edges_s)
    last_slot = room.grid.slot_count - 1
    first = min(last_slot, max(0, int(edges_s.searchsorted(begins_s, side="right")) - 1))
    last = max(first + 1, min(last_slot + 1, int(edges_s.searchsorted(ends_s, side="left"))))
    return slice(first, last)


def _within(room: Room, outlet: Outlet, slots: slice) -> Room:
    """Return a part of a room: its other slots need not be looked at."""
    return Room(
        version=room.version,
        grid=Grid(edges_s=room.grid.edges_s[slots.start : slots.stop + 1]),
        left_ma=room.left_ma[:, slots],
        base_paths_ma={
            row: room.base_paths_ma[row][:, slots]
            for row in outlet.rows
            if row in room.base_paths_ma
        },
    )
