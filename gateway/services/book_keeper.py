"""Keeps the book of promises and what is remembered of it, one version after the other."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.domain.limits import Constraint
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.answers import OfferAnswer, WrongStateError
from gateway.planning.asking import CONFIDENCE_RATIO, AskError, Places
from gateway.planning.book import (
    Book,
    BookError,
    become,
    cut_for,
    edges_of,
    hold,
    opened,
    without,
)
from gateway.planning.grid import grid_of
from gateway.planning.moving import before_others, hold_moving
from gateway.planning.promising import as_it_is_followed, as_sure_as_asked
from gateway.planning.quote_words import place_said
from gateway.planning.room import Outlet, Room
from gateway.services.promisable import Prospects
from gateway.services.promise_shelf import PromiseShelf, in_order

BEGINS_EVERY_S = 1_800.0
"""A book begins at a whole half hour, so that slots of every length begin at whole ones."""

MOST_CUT_SLOTS = 200
"""After so many cuts a book is opened anew: those that nobody needs any more are gone then."""


class BookKeeper:
    """The newest book, in one event loop. Instants are epoch seconds; every act takes one step."""

    def __init__(
        self,
        places: Places,
        prospects: Prospects,
        shelf: PromiseShelf,
        *,
        remembered: Mapping[str, PromiseMemory],
        now_s: float,
    ) -> None:
        """Open the book with the promises that are remembered."""
        self._places, self._prospects, self.shelf = places, prospects, shelf
        self._constraints: tuple[Constraint, ...] = ()
        # By the clock, so that versions go up over a restart too.
        self.book = self._opened(self._restored(remembered, now_s), now_s, version=int(now_s))
        self._slots_when_opened = self.book.room.grid.slot_count

    def limit(self, constraints: Iterable[Constraint], now_s: float) -> bool:
        """Take note of the limits from outside that hold now; return whether they are others."""
        now = tuple(constraints)
        if now == self._constraints:
            return False
        self._constraints = now
        self.reopen(now_s)
        return True

    def is_fresh(self, now_s: float) -> bool:
        """Return whether the book begins in the half hour of an instant, and was cut little since."""
        cut_slots = self.book.room.grid.slot_count - self._slots_when_opened
        return _beginning_s(now_s) == self.book.from_at_s and cut_slots <= MOST_CUT_SLOTS

    def reopen(self, now_s: float) -> None:
        """Open the book anew, with what rows have now."""
        self.book = self._opened(self.book.promises, now_s, version=self.book.version + 1)
        self._slots_when_opened = self.book.room.grid.slot_count

    def foreseen(self, constraints: Iterable[Constraint], now_s: float) -> Book:
        """Return the book as it would be if these limits held as well; nothing changes."""
        return self._opened(
            self.book.promises,
            now_s,
            version=self.book.version + 1,
            constraints=(*self._constraints, *constraints),
        )

    def hold(self, promise: Reservation, *, in_place_of: str | None = None) -> None:
        """Add a promise, another one being taken out for it; if it does not fit nothing changes.

        Raises:
            BookError: it does not fit, or its connector is promised.
        """
        book = self.book if in_place_of is None else without(self.book, in_place_of)
        self.book = hold(cut_for(book, (promise.envelope,)), promise)

    def hold_own(
        self, promise: Reservation, beside: Room, outlet: Outlet, need: Need, now_s: float
    ) -> Reservation:
        """Add the promise of somebody's own envelope; return it with what of it can be followed.

        It has to fit `beside` what is planned, as a quote would have it: nobody was asked to give way
        to it. If it does not nothing changes.

        Raises:
            AskError: it gives a vehicle nothing.
            BookError: it does not fit, or is less sure than was asked.
        """
        before, asked_ratio = self.book, need.confidence_ratio or CONFIDENCE_RATIO
        book = hold(cut_for(before, (promise.envelope,)), promise)
        if beside is not before.room:
            before = replace(before, room=beside)
            hold(cut_for(before, (promise.envelope,)), promise)
        held = as_it_is_followed(promise, before, outlet, asked_ratio, now_s=now_s)
        self.book = book
        self.say(held)
        return held

    def hold_offer(
        self, promise: Reservation, found: OfferAnswer, need: Need, now_s: float
    ) -> tuple[Reservation, tuple[Reservation, ...]]:
        """Add the promise of an offer; return it, as sure as it is now, and those moved for it.

        They are given the envelopes the offer names. If it does not fit nothing changes.

        Raises:
            BookError: it does not fit, is less sure than was asked, or another would lose energy by it.
        """
        before, envelopes = self.book.promises, found.gives_way.envelopes
        book = cut_for(self.book, (promise.envelope, *envelopes.values()))
        book = hold_moving(book, promise, envelopes, now_s=now_s)
        asked_ratio = need.confidence_ratio or CONFIDENCE_RATIO
        # Unless others give way, what is beside it is the book before, whose outlooks are known.
        beside = self.book
        if found.gives_way.is_before_others:
            beside = without(book, promise.id)
            beside = replace(beside, room=before_others(beside))
        offered = book.promises[promise.id]
        held = as_sure_as_asked(offered, beside, found.outlet, asked_ratio, now_s=now_s)
        self.book = book
        self.say(held)
        named = (book.promises[name] for name in envelopes if name in before)
        return held, tuple(now for now in named if now != before[now.id])

    def become(self, promise: Reservation, state: PromiseState) -> Reservation:
        """Change the state of a promise; return it. One that is closed leaves the book.

        Raises:
            WrongStateError: that cannot become of it.
        """
        try:
            self.book = become(self.book, promise.id, state)
        except BookError as error:
            then = "for another ask for a fresh quote and hold an offer of it"
            if state is PromiseState.CANCELLED:
                then = "it takes no room any more, so leave it as it is"
            message = f"the reservation {promise.id} is {promise.state}: {then}"
            raise WrongStateError(message) from error
        now = self.book.promises[promise.id]
        if not state.is_open:
            promises = {key: p for key, p in self.book.promises.items() if key != promise.id}
            self.book = replace(self.book, promises=promises)
        return now

    def say(self, promise: Reservation) -> None:
        """Have the book say this of a promise, its room being the same."""
        promises = {**self.book.promises, promise.id: promise}
        self.book = replace(self.book, promises=promises)

    def set_aside(self, promise: Reservation) -> None:
        """Take a promise out of the book whose time is over, and of which it is not known what became."""
        self.book = without(self.book, promise.id)

    def close(self, closing: Reservation, state: PromiseState, now_s: float) -> Reservation:
        """Note what has become of a promise by itself, with the cause `closing` tells; return it."""
        is_in_book = closing.id in self.book.promises
        became = self.become(closing, state) if is_in_book else replace(closing, state=state)
        closed = replace(became, closed_at_s=now_s, cause=closing.cause, excuse=closing.excuse)
        self.shelf.note(replace(self.shelf.of(closed.id), promise=closed))
        return closed

    def _opened(
        self,
        promises: Mapping[str, Reservation],
        now_s: float,
        *,
        version: int,
        constraints: tuple[Constraint, ...] | None = None,
    ) -> Book:
        begins_s = _beginning_s(now_s)
        edges_s = edges_of((p.envelope for p in promises.values()), from_at_s=begins_s)
        # With no edge between two promises that only touch, the slot would count them both.
        grid = grid_of(events_s=edges_s, least_slot_s=0.0)
        limits = self._constraints if constraints is None else constraints
        seen = self._prospects.prospect(grid, from_at_s=begins_s, constraints=limits)
        return opened(
            grid,
            seen.available_ma,
            from_at_s=begins_s,
            promises=promises,
            version=version,
            base_paths_ma=seen.base_paths_ma,
            unmeasured_ma=seen.unmeasured_ma,
            voltage_v=self._places.site.voltage_v,
        )

    def _restored(
        self, remembered: Mapping[str, PromiseMemory], now_s: float
    ) -> dict[str, Reservation]:
        """Return the open promises of what is remembered; one whose place is gone is cancelled."""
        promises: dict[str, Reservation] = {}
        for memory in in_order(remembered.values()):
            promise = memory.promise
            if not promise.state.is_open:
                self.shelf.take_up(memory)
                continue
            try:
                # Positions of rows are those of the site file of that day.
                rows = self._places.at(promise.place, promise.phase_count).rows
            except AskError:
                cause = f"{place_said(promise.place)} is no longer in the site file"
                state = PromiseState.CANCELLED
                promise = replace(promise, state=state, closed_at_s=now_s, cause=cause)
                self.shelf.take_up(replace(memory, promise=promise))
                self.shelf.count(self.shelf.of(promise.id))
                continue
            promises[promise.id] = replace(promise, rows=rows)
            self.shelf.take_up(replace(memory, promise=promises[promise.id]))
        return promises


def _beginning_s(now_s: float) -> float:
    return now_s // BEGINS_EVERY_S * BEGINS_EVERY_S
