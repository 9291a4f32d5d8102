"""What becomes of promises by themselves: vehicles come, draw, refuse and leave, and time runs out."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import inf
from zoneinfo import ZoneInfo

from gateway.domain.events import (
    ConnectorMetered,
    Event,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.memory import PromiseMemory
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.sessions import Session
from gateway.domain.tokens import is_same
from gateway.planning.absence import Away
from gateway.planning.answers import UnknownReservationError
from gateway.planning.asking import AskError, Places
from gateway.planning.book import Book, BookError, ended_as, lapsed
from gateway.planning.calibrate import (
    KEPT_RATIO,
    LATE_S,
    ReliabilityReport,
    excuse_of,
    outcome_of,
    reliability_report,
)
from gateway.planning.fate_words import NOT_BY_ITSELF, cause_said, elsewhere_said, occupied_said
from gateway.planning.grid import HOUR_S
from gateway.planning.promising import moved_to
from gateway.planning.quote_words import clock_said
from gateway.services.book_keeper import BookKeeper
from gateway.services.deliveries import Deliveries
from gateway.services.giving import Giving
from gateway.services.unheard import Unheard

RETURNS_WITHIN_S = 300.0
"""A vehicle that was unplugged for longer has left."""

MAX_SCORED = 2_000
LONGEST_CYCLE_S = 5.0
"""What a vehicle may draw is not taken to hold for longer after the cycle that tells it."""


class Fates:
    """Follows vehicles and the clock, and closes promises; in one event loop."""

    def __init__(
        self,
        keeper: BookKeeper,
        places: Places,
        *,
        remembered: Iterable[PromiseMemory],
        were_there: Iterable[Session],
    ) -> None:
        """Follow a book, and the vehicles that `were_there` in an earlier life, until they are told gone.

        `remembered` are the promises of that life, those closed first and the last of them behind.
        """
        self._keeper, self._places = keeper, places
        self._zone = ZoneInfo(places.site.timezone)
        self.deliveries = Deliveries(were_there)
        self.unheard = Unheard(places)
        self._giving = Giving(keeper, places, self.deliveries, self.unheard)
        self._scored = deque[Reservation](maxlen=MAX_SCORED)
        self._report: ReliabilityReport | None = None
        self._allowed_at_s: float | None = None
        self._missed: dict[str, tuple[float, Away | str]] = {}
        """When connectors served nobody last, and how they were away, or a clause that says why."""
        self._settled: Book | None = None
        self._due_at_s = float("inf")
        for memory in remembered:
            if outcome_of(memory.promise) is not None:
                self._scored.append(memory.promise)
            if memory.drawn_in is not None:
                self.deliveries.know_again(memory.promise, memory.drawn_in)
                self._giving.note_closed(memory, memory.drawn_in)

    def hear(self, fact: Event, now_s: float) -> None:
        """Take note of vehicles that come, draw and go; `now_s` is the epoch second."""
        match fact:
            case TransactionStarted():
                self._giving.forget_early(fact)
                if self.deliveries.begin(fact, now_s=now_s):
                    self._giving.begin(fact, now_s)
                self._settled = None
                # What waited for a connection is told at once: what it has had, and that it has gone.
                self.settle(now_s)
            case TransactionEnded():
                self.settle(now_s)  # Its time may have begun just now.
                self._giving.forget_early(fact)
                if self.deliveries.stay_at(str(fact.connector)) == (
                    fact.connector,
                    fact.transaction,
                ):
                    self._giving.stop(fact.connector)
                gone_s = now_s - fact.age_s
                self.deliveries.end(fact, gone_s=gone_s)
                self._settled = None
                if fact.cause in NOT_BY_ITSELF:
                    # However soon its station is of use again.
                    place, at = str(fact.connector), clock_said(gone_s, now_s, self._zone)
                    self._missed[place] = gone_s, f"{NOT_BY_ITSELF[fact.cause]} at {at}"
            case ConnectorMetered():
                self._giving.meter(fact, now_s)
            case StationConnected():
                self.unheard.hear(fact, now_s)
                self._settled = None
            case StationDisconnected():
                self.unheard.hear(fact, now_s)
                self._giving.lose(fact)
                self._settled = None
            case _:
                pass

    def tie(self, place: str, name: str) -> None:
        """Note that somebody says the vehicle at a connector is the one of a reservation.

        `name` is its id, or its reference, if only one holder has open reservations of that name.

        Raises:
            UnknownReservationError: no open reservation is named so, or those of several holders.
        """
        promises = self._keeper.book.promises
        named = [p for p in promises.values() if p.reference == name]
        holders = {p.holder for p in ([promises[name]] if name in promises else named)}
        if len(holders) != 1:
            count = "several holders have" if holders else "nobody has"
            message = f"{count} an open reservation named {name}: give the id of the one you mean"
            raise UnknownReservationError(message)
        holder = holders.pop()
        self.deliveries.tie(place, holder, name)
        for promise in tuple(promises.values()) if self.deliveries.stay_at(place) else ():
            is_named = promise.holder == holder and name in (promise.id, promise.reference)
            if is_named and promise.state is not PromiseState.ARRIVED:
                memory = self._giving.of_its_stay(promise, place)
                # That somebody said so outlives us.
                self._giving.count(memory, memory.promise.delivered_wh)
        self._settled = None

    def pass_on(
        self, before: Reservation, promise: Reservation
    ) -> tuple[ConnectorRef, TransactionId] | None:
        """Note that the vehicle at the connector of a promise has come for the one in its place.

        Returns the transaction of that vehicle, None if it is not there.
        """
        if self.deliveries.place_of(before) != promise.place:
            return None
        self.deliveries.tie(promise.place, promise.holder, promise.id)
        return self.deliveries.stay_at(promise.place)

    def allow(self, limit_ma_of: Callable[[ConnectorRef], int | None], *, at_s: float) -> None:
        """Take note of what vehicles that were promised something may surely draw now (monotonic s)."""
        before_s, self._allowed_at_s = self._allowed_at_s, at_s
        if before_s is None:
            return
        lasted_h = min(LONGEST_CYCLE_S, max(0.0, at_s - before_s)) / HOUR_S
        for promise in tuple(self._keeper.book.promises.values()):
            connector = self._places.connectors.get(promise.place)
            if promise.state is not PromiseState.ARRIVED or connector is None:
                continue
            limit_ma = limit_ma_of(connector.ref)
            if limit_ma and self.deliveries.is_there(promise):
                outlet = self._places.at(promise.place, promise.phase_count)
                # What is above what its vehicle takes would be no help to it.
                most_ma = promise.max_ma or outlet.max_ma
                allowed_wh = outlet.power_w(min(limit_ma, most_ma)) * lasted_h
                allowed = replace(promise, allowed_wh=promise.allowed_wh + allowed_wh)
                self._keeper.say(allowed)

    def spoil(self, name: str, why: str, now_s: float) -> None:
        """Break the promise of a draw whose room is not there: nobody measures what it draws."""
        promise = self._keeper.book.promises.get(name)
        if promise is not None and promise.state is PromiseState.CONFIRMED:
            self._close(replace(promise, cause=why), PromiseState.BROKEN, now_s)

    def doubt(self, name: str, why: str) -> None:
        """Note of the promise of a draw, for its end, why nobody knows whether its room was there."""
        promise = self._keeper.book.promises.get(name)
        if promise is not None and promise.state is PromiseState.CONFIRMED and not promise.cause:
            self._say_cause(promise, why)

    def miss(self, away: Mapping[str, Away], now_s: float) -> None:
        """Take note of the connectors that can serve nobody at an epoch second.

        Who is to come to one then and does not, or comes late, has done nothing.
        """
        self._missed |= {place: (now_s, each) for place, each in away.items()}
        for promise in tuple(self._keeper.book.promises.values()) if away else ():
            is_to_come = promise.opens_at_s <= now_s <= promise.from_at_s + LATE_S
            is_confirmed = promise.state is PromiseState.CONFIRMED
            if promise.place in away and is_to_come and is_confirmed and not promise.let_down:
                said = away[promise.place].was_said(now_s, now_s, self._zone)
                let_down = replace(promise, let_down=said)
                self._keeper.say(let_down)
                memory = self._keeper.shelf.of(promise.id)
                self._keeper.shelf.count(replace(memory, promise=let_down))

    def settle(self, now_s: float) -> None:
        """See to what has become of promises at an epoch second.

        Nothing has where the book and the vehicles are those it was seen to with last, and no
        time has come since at which something becomes of a promise by itself.
        """
        self.unheard.begin(now_s)
        before = self._keeper.book
        if before is self._settled and now_s < self._due_at_s:
            return
        for name, state in lapsed(self._keeper.book, now_s):
            promise = self._keeper.book.promises[name]
            if self._may_be_more(promise, state, now_s):
                self._keeper.set_aside(promise)
                self.unheard.put(promise)
            else:
                self._close(promise, state, now_s)
        for promise in self.unheard:
            # Whoever was on time has come for it, and not for the next.
            self._see_late(promise, now_s)
        for promise in tuple(self._keeper.book.promises.values()):
            if promise.state is PromiseState.CONFIRMED:
                self._see_arrival(promise, now_s)
            elif promise.state is PromiseState.ARRIVED and now_s < promise.closes_at_s:
                # As of an earlier life, or unplugged for a moment: it is nobody else's meanwhile.
                self.deliveries.follow(promise)
                self._see_departure(promise, now_s)
        now = self._keeper.book
        # What has become of one may leave another the connector that its vehicle is at.
        self._settled = now if now is before else None
        dues_s = [self._due_s(promise, now_s) for promise in now.promises.values()]
        dues_s += [self.unheard.due_at_s(promise) for promise in self.unheard]
        self._due_at_s = min(dues_s, default=float("inf"))

    def _due_s(self, promise: Reservation, now_s: float) -> float:
        """Return the epoch second at which something may become of an open promise by itself."""
        match promise.state:
            case PromiseState.HELD:
                return promise.hold_until_at_s
            case PromiseState.CONFIRMED if now_s < promise.opens_at_s:
                return promise.opens_at_s
            case PromiseState.ARRIVED:
                gone_s = self.deliveries.gone_since_s(promise.place)
                left_s = inf if gone_s is None else self._left_by_s(promise, gone_s)
                return min(left_s, promise.closes_at_s)
            case _:
                return promise.closes_at_s

    def report(self) -> ReliabilityReport:
        """Return whether promises are kept as often as they say."""
        if self._report is None:
            self._report = reliability_report(self._scored)
        return self._report

    def _missed_since(self, place: str, since_s: float, until_s: float) -> str:
        """Return what last had a connector serve nobody, empty if that was not in this time."""
        at_s, why = self._missed.get(place, (-inf, ""))
        if not since_s <= at_s <= until_s:
            return ""
        return why if isinstance(why, str) else why.was_said(at_s, until_s, self._zone)

    def _see_arrival(self, promise: Reservation, now_s: float) -> None:
        """Note that the vehicle a promise was made to is there, once its time has begun.

        Where it is at another connector than said, the promise follows it, if it fits there and
        the vehicle has not come there for what another holder was promised.
        """
        if not promise.opens_at_s <= now_s < promise.closes_at_s:
            return
        place = self.deliveries.place_of(promise)
        if place is None:
            if promise.place in self.deliveries.occupied():
                self._say_cause(promise, occupied_said(promise))
            return
        if place != promise.place and not self._is_another_s(promise, place):
            with suppress(AskError, BookError):
                moved = moved_to(promise, place, self._places)
                self._keeper.hold(moved, in_place_of=promise.id)
                self._keeper.say(moved)
                promise = moved
        if place != promise.place:
            self._say_cause(promise, elsewhere_said(place))
            return
        self._arrive(promise, self._keeper.become(promise, PromiseState.ARRIVED), now_s)

    def _arrive(self, promise: Reservation, arrived: Reservation, now_s: float) -> None:
        """Note that the vehicle of a promise is at its connector, as it was and as it is now."""
        place, cause = promise.place, occupied_said(promise)
        memory = self._giving.of_its_stay(promise, place)
        now = replace(
            arrived,
            delivered_wh=memory.promise.delivered_wh,
            allowed_wh=memory.promise.delivered_wh,  # What it has had early it was allowed.
            cause=cause if promise.cause == cause else "",
            arrived_at_s=max(promise.opens_at_s, self.deliveries.came_at_s(place) or now_s),
        )
        self._giving.say(now)
        self.deliveries.take(now)
        self._keeper.shelf.note(replace(memory, promise=now))

    def _may_be_more(self, promise: Reservation, state: PromiseState, now_s: float) -> bool:
        """Return whether a promise may be kept by what its station has not told yet."""
        if promise.is_plain_draw or state not in (PromiseState.BROKEN, PromiseState.NO_SHOW):
            return False
        return now_s < self.unheard.due_at_s(promise)

    def _see_late(self, promise: Reservation, now_s: float) -> None:
        """Note of a promise that is over what its station has told since, and judge it in time."""
        place = self.deliveries.place_of(promise)
        if promise.state is PromiseState.CONFIRMED and place is not None:
            came_at_s = self.deliveries.came_at_s(place)
            if came_at_s is not None and came_at_s < promise.closes_at_s:
                self._see_late_arrival(promise, place, now_s)
        if now_s >= self.unheard.due_at_s(promise):
            (promise,) = (each for each in self.unheard if each.id == promise.id)
            self._close(promise, ended_as(promise), now_s)

    def _see_late_arrival(self, promise: Reservation, place: str, now_s: float) -> None:
        """Note that the vehicle of a promise that is over had come in its time."""
        if place != promise.place and not self._is_another_s(promise, place):
            with suppress(AskError):  # Its room is past: what it came to has it, if it can.
                promise = moved_to(promise, place, self._places)
        if place == promise.place:
            self._arrive(promise, replace(promise, state=PromiseState.ARRIVED), now_s)
        else:
            self._say_cause(promise, elsewhere_said(place))

    def _say_cause(self, promise: Reservation, cause: str) -> None:
        if promise.cause != cause:
            self._giving.say(replace(promise, cause=cause))

    def _is_another_s(self, promise: Reservation, place: str) -> bool:
        """Return whether another holder was promised a connector for the vehicle of a promise."""
        return any(
            is_same(other.id_token, promise.id_token) and other.holder != promise.holder
            for other in self._keeper.book.at(place)
        )

    def _see_departure(self, promise: Reservation, now_s: float) -> None:
        """Close a promise whose vehicle has left before its time was over, or for another."""
        is_taken, gone_s = self._gone(promise)
        if gone_s is None or (not is_taken and now_s < self._left_by_s(promise, gone_s)):
            return
        is_kept = promise.delivered_wh >= KEPT_RATIO * promise.energy_wh
        self._close(promise, PromiseState.FULFILLED if is_kept else PromiseState.BROKEN, now_s)

    def _gone(self, promise: Reservation) -> tuple[bool, float | None]:
        """Return whether another vehicle has the place of the one that came, and when that left."""
        place = promise.place
        is_taken = place in self.deliveries.occupied() and not self.deliveries.is_there(promise)
        gone_since_s = self.deliveries.made_way_at_s if is_taken else self.deliveries.gone_since_s
        return is_taken, gone_since_s(place)

    def _has_left(self, promise: Reservation, now_s: float) -> bool:
        """Return whether the vehicle of a promise left before its time was over, and by itself."""
        gone_s = self._gone(promise)[1]
        if promise.arrived_at_s is None or gone_s is None or gone_s >= promise.until_at_s:
            return False
        # It has not left by itself where it could not be served.
        return not self._missed_since(promise.place, gone_s - RETURNS_WITHIN_S, now_s)

    def _left_by_s(self, promise: Reservation, gone_s: float) -> float:
        """Return when (epoch s) a vehicle that is gone since then has left, if it is not back.

        That it came back its station may have to tell yet.
        """
        told_at_s = self.unheard.told_at_s(promise)
        return max(self._returns_by_s(promise, gone_s), -inf if told_at_s == inf else told_at_s)

    def _returns_by_s(self, promise: Reservation, gone_s: float) -> float:
        """Return until when (epoch s) a vehicle may come back that is gone since then.

        One that its station let down may while it can still be given what is missing, if its token
        will tell it; else for as long as any other, once the station can serve it.
        """
        left_s = gone_s + RETURNS_WITHIN_S
        missed_s = self._missed.get(promise.place, (-inf, None))[0]
        missing_wh = KEPT_RATIO * promise.energy_wh - promise.delivered_wh
        if missed_s < gone_s - RETURNS_WITHIN_S or missing_wh <= 0:
            return left_s
        outlet = self._places.at(promise.place, promise.phase_count)
        takes_s = missing_wh / outlet.power_w(promise.max_ma or outlet.max_ma) * HOUR_S
        last_s = promise.closes_at_s - takes_s
        if promise.id_token is None:
            last_s = min(last_s, missed_s + RETURNS_WITHIN_S)
        return max(left_s, last_s)

    def _close(self, promise: Reservation, state: PromiseState, now_s: float) -> None:
        is_scored = state is not PromiseState.EXPIRED and not promise.is_plain_draw
        has_left = is_scored and self._has_left(promise, now_s)
        excuse = excuse_of(promise, has_left=has_left) if is_scored else None
        until_s = min(now_s, promise.closes_at_s)
        missed = self._missed_since(promise.place, promise.opens_at_s, until_s)
        let_down = missed or promise.let_down
        cause = cause_said(replace(promise, let_down=let_down), state, excuse)
        if promise in self.unheard and now_s < self.unheard.told_at_s(promise):
            cause += ", as far as its station was heard"
        self.unheard.take_out(promise)
        memory = self._keeper.shelf.of(promise.id)
        closed = self._keeper.close(replace(promise, cause=cause, excuse=excuse), state, now_s)
        if outcome_of(closed) is not None:
            self._scored.append(closed)
            self._report = None
        stay = self.deliveries.stay_at(promise.place)
        if stay is not None and self.deliveries.is_there(promise):
            self._giving.note_closed(replace(memory, promise=closed), stay)
