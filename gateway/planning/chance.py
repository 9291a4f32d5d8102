"""How surely one promise will still be kept, in the room that those which matter more leave it."""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np

from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.absence import Away
from gateway.planning.asking import LATE_S
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.claims import claimed, take
from gateway.planning.coming import coming
from gateway.planning.grid import HOUR_S, Grid
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
    Where that hangs on what nobody has measured the former is what can be counted on, and not
    `is_known`: who is away may be back, who is in the way may leave, others may leave more to who is
    late, base may be less than the worst, and a vehicle may take more than was said of it.
    """

    promise: Reservation
    confidence_ratio: float
    can_wh: float
    danger: Danger | None
    is_known: bool = True
    shortage: Shortage | None = None
    away: Away | None = None
    """How its connector is away, where that is the danger."""

    @property
    def known_ratio(self) -> float | None:
        """Return how surely it is kept, as it is told; None where that is not known."""
        return round(self.confidence_ratio, 4) if self.is_known else None

    @property
    def is_at_risk(self) -> bool:
        """Return whether whoever it was promised to should be told."""
        return self.confidence_ratio < floor_ratio(self.promise.confidence_ratio)


def floor_ratio(promised_ratio: float) -> float:
    """Return the confidence below which a promise is at risk.

    It has then become twice as likely to break as was said when it was made, and more likely by
    a tenth at least: what was said at 90 % is at risk below 80 %. Or half as likely to be kept,
    which of what was said at 50 % comes first: twice as likely to break it cannot become.
    """
    twice_ratio = promised_ratio - max(LEAST_DROP_RATIO, 1.0 - promised_ratio)
    return max(twice_ratio, promised_ratio / 2)


class Chance:
    """One promise in the room that those which matter more leave.

    `free_ma` (rows, slots) is what is left beside all others, those that matter less too. A vehicle
    that came late is not made up for (design §3: floors first): beyond its envelope that is all it has.
    One that `hurries` takes what it can as soon as it can; if it is late it comes in a while.
    `unpromised` is the room as if nobody were promised anything, `at_most` the outlet as if its vehicle
    took all that flows there.
    """

    def __init__(
        self,
        *,
        promise: Reservation,
        room: Room,
        free_ma: Ints,
        unpromised: Room,
        outlet: Outlet,
        at_most: Outlet,
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
        self._before, self._unpromised, self._at_most = room, unpromised, at_most
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
                is_known=not self._at_best_ratio(self._at_most),
                away=self._away,
            )
        ends_s = self._ends_s
        begins_s, takes = coming(self._outlet, self._outlook, self._begins_s)
        confidence_ratio = self._kept_ratio(takes, begins_s, ends_s)
        danger, is_known, shortage = None, True, None
        if confidence_ratio < 1.0:
            danger = self._danger()
            outlet = self._outlet if danger is Danger.ROOM else self._at_most
            is_known = self._at_best_ratio(outlet) <= confidence_ratio
        if danger is Danger.ROOM:
            left_ma = self._free_ma if self.is_late else self._room.left_ma
            room = replace(self._room, left_ma=left_ma)
            rows = self._outlet.rows
            shortage = shortage_in(room, rows, self._begins_s, ends_s, from_at_s=self._from_at_s)
        return Standing(
            promise=self.promise,
            confidence_ratio=self._tempered(confidence_ratio, danger),
            can_wh=self.promise.delivered_wh + takes.energy_within_wh(begins_s, ends_s),
            danger=danger,
            is_known=is_known,
            shortage=shortage,
        )

    def _kept_ratio(self, takes: Outlook, begins_s: float, ends_s: float) -> float:
        """Return the part of the scenarios in which what is missing is given."""
        return float((takes.path_energies_wh(begins_s, ends_s) >= self._missing_wh).mean())

    def _tempered(self, kept_ratio: float, danger: Danger | None) -> float:
        """Return how sure it is if so many scenarios keep it.

        Where all of them do, or none, the day that comes may be another: that is half a scenario more.
        """
        outlook, outlet = self._outlook, self._outlet
        lasts_h = (outlook.edges_s[-1] - outlook.edges_s[0]) / HOUR_S
        is_short = (
            outlook.path_energy_wh[:, -1].min()
            < outlet.power_w(outlet.max_ma) * lasts_h - ROUNDING_WH
        )
        is_open = is_short if danger is None else danger is Danger.ROOM
        if outlook.is_certain or self._missing_wh <= 0 or not is_open:
            return kept_ratio
        half_ratio = 0.5 / (len(outlook.path_energy_wh) + 1)
        return min(1.0 - half_ratio, max(half_ratio, kept_ratio))

    def _at_best_ratio(self, outlet: Outlet) -> float:
        """Return how surely it is kept if all goes well of which nobody can tell how it will go.

        Its vehicle charges from now on as its `outlet` allows, whatever is away or in its way; of base
        that nobody measured nothing is drawn; and if it is late, nobody else comes.
        """
        begins_s = max(self._now_s, self.promise.from_at_s) - self._from_at_s
        ends_s = max(begins_s, self.promise.until_at_s - self._from_at_s)
        whole = self._unpromised if self.is_late else self._before
        room = _within(whole, outlet, _slots(whole, begins_s, ends_s))
        left_ma = room.left_ma.copy()
        for row in room.unmeasured_ma.keys() & outlet.rows:
            left_ma[row] += room.unmeasured_ma[row]
        begins_s, takes = coming(
            outlet, Outlook.of(replace(room, left_ma=left_ma), outlet), begins_s
        )
        return self._kept_ratio(takes, begins_s, ends_s)

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
        outlook = Outlook.of(room, self._outlet)
        begins_s, takes = coming(self._outlet, outlook, self._begins_s)
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
        unmeasured_ma={row: ma[slots] for row, ma in room.unmeasured_ma.items()},
    )
