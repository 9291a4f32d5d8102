"""Gives what vehicles draw to the promises it was drawn for, by when it flowed."""

from dataclasses import replace
from math import inf

from gateway.domain.events import (
    ConnectorMetered,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef
from gateway.domain.memory import PromiseMemory
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.asking import Places
from gateway.services.book_keeper import BookKeeper
from gateway.services.courses import (
    Course,
    Point,
    bounded,
    flowed_wh,
    with_newest,
    with_older,
)
from gateway.services.deliveries import Deliveries, Stay
from gateway.services.registers import Registers
from gateway.services.unheard import Unheard

COMING = (PromiseState.HELD, PromiseState.CONFIRMED)
"""States of promises whose vehicle was not seen in its time yet."""

MAX_ENDS = 16
"""So many promises of one vehicle are known to be over, the last: what waits does so for an hour or two."""


class Giving:
    """What was delivered of the promises in the book, and of those that are over and wait.

    Instants are epoch seconds but where they are said to be monotonic.
    """

    def __init__(
        self, keeper: BookKeeper, places: Places, deliveries: Deliveries, unheard: Unheard
    ) -> None:
        """Know of no reading yet."""
        self._keeper, self._deliveries, self._unheard = keeper, deliveries, unheard
        self._registers = Registers(places.most_w)
        self._courses: dict[str, Course] = {}
        self._read_at_s: dict[str, float] = {}
        """When connectors were read last, as is remembered of promises."""
        self._ends_s: dict[str, tuple[Stay, tuple[float, ...]]] = {}
        """Until when what the vehicle at a connector drew was for promises that are closed, each."""
        self._closed: dict[str, tuple[Stay, PromiseMemory]] = {}
        """What was remembered of the last of them, with what the meter showed then."""

    def say(self, promise: Reservation) -> None:
        """Have this be said of an open promise, in the book or while it waits."""
        if promise in self._unheard:
            self._unheard.put(promise)
        else:
            self._keeper.say(promise)

    def note_closed(self, memory: PromiseMemory, stay: Stay) -> None:
        """Note that what was drawn in a stay for a promise that is closed is not for the next."""
        promise = memory.promise
        if promise.arrived_at_s is None or promise.closed_at_s is None:
            return
        end_s = min(promise.closed_at_s, promise.closes_at_s)
        ends_s = (*self._closed_ends_s(promise.place, stay), end_s)
        self._ends_s[promise.place] = stay, ends_s[-MAX_ENDS:]
        self._closed[promise.place] = stay, memory

    def _closed_ends_s(self, place: str, stay: Stay | None) -> tuple[float, ...]:
        """Return until when what was drawn in a stay was for promises that are closed."""
        known, ends_s = self._ends_s.get(place, (None, ()))
        return ends_s if known == stay else ()

    def meter(self, fact: ConnectorMetered, now_s: float) -> None:
        """Give what has flowed at a connector to the promises of its vehicle, by when it flowed.

        What is told of then changes what was given since, if it was given otherwise.
        """
        # Readings are sorted by no wall clock: of that only what is told of promises is.
        place, ahead_s = str(fact.connector), now_s - fact.at_s
        memories = [self.of_its_stay(p, place) for p in self._takers(fact.connector, now_s)]
        before = self._courses.get(place) or self._begun(fact, memories, now_s)
        course = self._read(fact, before)
        has_told = now_s >= self._unheard.told_by_s(fact.connector.station)
        self._courses[place] = course[-1:] if has_told else bounded(course)
        self._read_at_s[place] = course[-1].at_s + ahead_s
        ends_s = self._closed_ends_s(place, self._deliveries.stay_at(place))
        for memory in memories:
            promise = memory.promise
            # One that is judged may have been over after another that waits.
            since_s = max((end_s for end_s in ends_s if end_s < promise.closes_at_s), default=-inf)
            its_s = since_s - ahead_s, promise.closes_at_s - ahead_s
            given_wh = flowed_wh(course, *its_s) - flowed_wh(before, *its_s)
            made_s_ago = now_s - promise.made_at_s
            if not promise.delivered_wh and made_s_ago >= 0:
                # What its vehicle drew unheard before it was made is not given for it.
                given_wh = min(given_wh, self._registers.most_wh(place, made_s_ago))
            self.count(self._as_read(memory, place), max(0.0, promise.delivered_wh + given_wh))
            ends_s = (*ends_s, promise.closes_at_s)

    def _takers(self, connector: ConnectorRef, now_s: float) -> list[Reservation]:
        """Return the promises for which what a connector tells was drawn: those that are over first."""
        late = (p for p in self._unheard.at(connector) if p.state is PromiseState.ARRIVED)
        its = [promise for promise in late if self._is_drawn_for(connector, promise)]
        now = self._drawn_for(connector, now_s)
        return its if now is None else [*its, now]

    def _begun(self, fact: ConnectorMetered, memories: list[PromiseMemory], now_s: float) -> Course:
        """Return the course of a connector before its first reading, as an earlier life left it."""
        place, read_at_s = str(fact.connector), fact.at_s - fact.age_s
        stay, closed = self._closed.get(place, (None, None))
        if closed is not None and stay == self._deliveries.stay_at(place):
            memories = [*memories, closed]  # The next may have been read in no life yet.
        known = [memory for memory in memories if memory.register_wh is not None]
        last = max(known, key=lambda memory: memory.counted_at_s or -inf, default=None)
        if last is None or last.register_wh is None:
            return (Point(read_at_s, shown_wh=self._registers.shown_wh(place)),)
        made_at_s = last.promise.made_at_s
        self._registers.take_up(fact, last.register_wh, lasted_s=now_s - made_at_s)
        since_s = max(made_at_s, last.counted_at_s or made_at_s) - (now_s - fact.at_s)
        return (Point(min(since_s, read_at_s), shown_wh=last.register_wh),)

    def _read(self, fact: ConnectorMetered, course: Course) -> Course:
        """Return the course of a connector with a reading."""
        read_at_s, place = fact.at_s - fact.age_s, str(fact.connector)
        if fact.energy_wh is not None and read_at_s < course[-1].at_s:
            now = with_older(course, read_at_s, fact.energy_wh)
            if now is not None:
                return now
        flowed = course[-1].flowed_wh + self._registers.count(fact)
        return with_newest(course, Point(read_at_s, flowed, self._registers.shown_wh(place)))

    def begin(self, fact: TransactionStarted, now_s: float) -> None:
        """Take note of what a connector's meter showed when a vehicle came."""
        place, stay = str(fact.connector), (fact.connector, fact.transaction)
        its = (*self._unheard.at(fact.connector), *self._keeper.book.at(place))
        arrived = (p for p in its if p.state is PromiseState.ARRIVED)
        memories = [replace(self._keeper.shelf.of(p.id), promise=p) for p in arrived]
        if any(memory.drawn_in == stay for memory in memories):
            return  # Found running after a restart: it has not come anew.
        self._registers.begin(fact)
        shown_wh = self._registers.shown_wh(place)
        begun = Point(fact.at_s - fact.age_s, shown_wh=shown_wh)
        self._courses[place] = () if shown_wh is None else (begun,)
        self._read_at_s[place] = now_s - fact.age_s
        for memory in memories:
            # What was shown when its vehicle left is past.
            self._keeper.shelf.count(self._as_read(memory, place))

    def of_its_stay(self, promise: Reservation, place: str) -> PromiseMemory:
        """Return what is remembered of a promise whose vehicle is at a connector.

        Without what was drawn before its window in another stay; with what the meter showed last.
        """
        memory = replace(self._keeper.shelf.of(promise.id), promise=promise)
        stay = self._deliveries.stay_at(place)
        if stay != memory.drawn_in and promise.state is not PromiseState.ARRIVED:
            nothing = replace(promise, delivered_wh=0.0)
            memory = replace(memory, promise=nothing, drawn_in=stay, register_wh=None)
        # What was shown last before a restart only the promise remembers.
        return memory if self._registers.shown_wh(place) is None else self._as_read(memory, place)

    def _as_read(self, memory: PromiseMemory, place: str) -> PromiseMemory:
        """Return what is remembered of a promise, with what its connector's meter showed last, and when."""
        shown_wh, read_at_s = self._registers.shown_wh(place), self._read_at_s.get(place)
        return replace(memory, register_wh=shown_wh, counted_at_s=read_at_s)

    def count(self, memory: PromiseMemory, delivered_wh: float) -> None:
        """Have so much be delivered of a promise."""
        counted = replace(memory.promise, delivered_wh=delivered_wh)
        self.say(counted)
        self._keeper.shelf.count(replace(memory, promise=counted))

    def _drawn_for(self, connector: ConnectorRef, now_s: float) -> Reservation | None:
        """Return the promise for which a connector's vehicle draws: one that has begun, or the next.

        One that has come before its time has what it draws until then as well, wherever it waits;
        a hold has it from the first, which may be confirmed, where it is for no promise.
        """
        place, coming = str(connector), list[Reservation]()
        for promise in self._keeper.book.promises.values():
            has_begun_here = promise.state is PromiseState.ARRIVED and promise.place == place
            if has_begun_here and self._is_drawn_for(connector, promise):
                return promise
            if promise.state in COMING and (promise.place == place or now_s < promise.opens_at_s):
                coming.append(promise)
        its = [promise for promise in coming if self._deliveries.is_at(place, promise)]
        return min(its, key=lambda p: (p.state is PromiseState.HELD, p.opens_at_s), default=None)

    def _is_drawn_for(self, connector: ConnectorRef, promise: Reservation) -> bool:
        """Return whether what a connector tells was drawn for a promise that has begun there.

        One that has just left has what is told after it, if nobody can have come since unheard.
        """
        is_free = str(connector) not in self._deliveries.occupied()
        return (is_free and self._registers.is_heard(connector)) or self._deliveries.is_there(
            promise
        )

    def forget_early(self, fact: TransactionStarted | TransactionEnded) -> None:
        """Note that a vehicle has gone before its time: for what it comes back is still to be given.

        It has as well where only the next at its connector tells so.
        """
        stay, is_end = (fact.connector, fact.transaction), isinstance(fact, TransactionEnded)
        for promise in tuple(self._keeper.book.promises.values()):
            if promise.state not in COMING or not promise.delivered_wh:
                continue
            memory = self._keeper.shelf.of(promise.id)
            is_here = memory.drawn_in is not None and memory.drawn_in[0] == fact.connector
            # Over is the stay that ends, and any other where one begins.
            if is_here and is_end == (memory.drawn_in == stay):
                forgot = replace(memory, promise=promise, drawn_in=None, register_wh=None)
                self.count(forgot, 0.0)

    def stop(self, connector: ConnectorRef) -> None:
        """Note that the vehicle at a connector has gone."""
        self._registers.stop(str(connector))

    def lose(self, fact: StationDisconnected) -> None:
        """Note that a station is out of reach: what flows there now, and to whom, nobody hears."""
        self._registers.lose(fact)
