"""The one writer of the book of promises: quotes, holds, confirmations, arrivals, what became of it.

Every act is tested and made in one step of the event loop, and answered once the ledger has it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import ceil
from secrets import token_hex
from zoneinfo import ZoneInfo

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access
from gateway.domain.events import Event
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import Constraint
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import HOLD_S, PromiseState, Reservation
from gateway.domain.sessions import Session
from gateway.domain.tokens import TokenPolicy
from gateway.planning.absence import Away
from gateway.planning.answers import (
    HoldExpiredError,
    NoLongerFitsError,
    OwnEnvelope,
    QuoteAnswer,
    TimeUnknownError,
    UsedKey,
)
from gateway.planning.asking import NOBODY_SEEN, Places, Vehicles
from gateway.planning.at_risk import Risk, alternatives, standings
from gateway.planning.book import Book, BookError
from gateway.planning.calibrate import ReliabilityReport
from gateway.planning.chance import Standing
from gateway.planning.fate_words import moved_said
from gateway.planning.quote_words import refusal_said
from gateway.planning.standing_plan import StandingPlan
from gateway.planning.takers import free_from_s
from gateway.ports import Clock, Ledger
from gateway.services.book_keeper import BookKeeper
from gateway.services.fates import Fates
from gateway.services.feed import Feed
from gateway.services.holding import Holding
from gateway.services.promisable import Prospects, WorstCase
from gateway.services.promise_shelf import PromiseShelf, in_order
from gateway.services.quote_shelf import QUOTE_VALID_S
from gateway.services.quoting import Quoting, ThinkOver, nothing_moves
from gateway.services.risk_watch import RiskWatch
from gateway.services.surroundings import Surroundings


class Booking:
    """The book and everything that happens to it, in one event loop.

    Instants are seconds since the epoch, by the wall clock.
    """

    def __init__(
        self,
        wiring: Wiring,
        parameters: ControlParameters,
        *,
        clock: Clock,
        feed: Feed,
        ledger: Ledger | None = None,
        remembered: Mapping[str, PromiseMemory] | None = None,
        prospects: Prospects | None = None,
        leaves_at_s: Callable[[], Mapping[str, float]] = dict,
        vehicles: Vehicles = NOBODY_SEEN,
        were_there: Iterable[Session] = (),
        tokens: TokenPolicy | None = None,
        think_over: ThinkOver = nothing_moves,
        doubt_s: Callable[[], float] = lambda: 0.0,
        new_id: Callable[[], str] = lambda: token_hex(6),
    ) -> None:
        """Open the book with the promises that are remembered; without a ledger none outlive us.

        `prospects` tells what rows will have; without it the declared worst case counts.
        `leaves_at_s` tells when vehicles leave of which that was said (epoch s), by connector,
        `vehicles` what was seen of vehicles, `tokens` whose they are. `were_there` are those that
        were at connectors before this life, and are until their stations tell otherwise.
        `think_over` tells what could be moved for what is critical, `doubt_s` in how many seconds
        the time may be known: nothing is promised before.
        """
        self.places = Places.of(wiring.site)
        self._zone = ZoneInfo(wiring.site.timezone)
        self._clock, self._doubt_s = clock, doubt_s
        policy = TokenPolicy() if tokens is None else tokens
        self._shelf = PromiseShelf(ledger=ledger, feed=feed)
        self.counters: Counter[str] = self._shelf.counters
        known = remembered or {}
        self._risks = self._wire_risks(feed, known)
        self._keeper = BookKeeper(
            self.places,
            prospects or WorstCase(wiring, parameters),
            self._shelf,
            remembered=known,
            now_s=self._now_s(),
        )
        self._fates = Fates(
            self._keeper, self.places, remembered=in_order(known.values()), were_there=were_there
        )
        self._around = Surroundings(
            self.places,
            self._zone,
            deliveries=self._fates.deliveries,
            leaves_at_s=leaves_at_s,
            vehicles=vehicles,
        )
        self._quoting = Quoting(
            self._around,
            policy,
            book_now=self._book_now,
            find=self._shelf.find,
            think_over=think_over,
            counters=self.counters,
            new_id=new_id,
        )
        self._holding = Holding(
            self.places,
            policy,
            keeper=self._keeper,
            quotes=self._quoting.shelf,
            surroundings=self._around,
            new_id=new_id,
        )

    def _wire_risks(self, feed: Feed, known: Mapping[str, PromiseMemory]) -> RiskWatch:
        return RiskWatch(
            self.places,
            self._zone,
            feed=feed,
            counters=self.counters,
            warned=[name for name, memory in known.items() if memory.is_warned],
            on_told=self._note_risk,
        )

    @property
    def book(self) -> Book:
        """Return the book as it is now."""
        return self._book_now()[0]

    def beside_plan(self) -> Book:
        """Return the book as it is now, less what is planned for those who were promised nothing."""
        book = self.book
        return replace(book, room=self._around.beside_all(book))

    def go_by(self, plan_now: Callable[[], StandingPlan | None]) -> None:
        """Quote beside what is planned for those who were promised nothing: `plan_now` tells."""
        self._around.go_by(plan_now)

    @property
    def at_risk_count(self) -> int:
        """Return how many promises are at risk, as far as was told."""
        return self._risks.count

    @property
    def unheard(self) -> Iterable[Reservation]:
        """Return the promises that are over, and are judged once their stations have told all they kept."""
        self.settle()
        return self._fates.unheard

    def risk(self, reservation_id: str) -> Risk | None:
        """Return how a promise stood at the last look; None before its first, and once it is closed."""
        is_open = reservation_id in self._keeper.book.promises
        return self._risks.risk(reservation_id) if is_open else None

    def place_of(self, promise: Reservation) -> str | None:
        """Return the connector at which the vehicle of a promise is, None while it is at none."""
        return self._fates.deliveries.place_of(promise)

    def waits_for(self, promise: Reservation) -> str:
        """Return whose leaving an open promise needs as things are now, empty if nobody's."""
        book, now_s = self._book_now()
        return self._around.waits_for(promise, book, now_s)

    # What is asked.

    def quote(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; it may be held until it expires, while it still fits.

        Raises:
            TimeUnknownError: it is a guess which time it is.
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality or the vehicle is not for `by` to claim.
            UnknownReservationError, WrongStateError: what it replaces is not there, or not open.
        """
        self._check_time()
        return self._quoting.quote(need, by)

    async def quote_thoroughly(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; what is critical may have promises moved for it in time.

        Raises:
            TimeUnknownError: it is a guess which time it is.
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality or the vehicle is not for `by` to claim.
            UnknownReservationError, WrongStateError: what it replaces is not there, or not open.
        """
        self._check_time()
        return await self._quoting.quote_thoroughly(need, by)

    def free_from_s(self) -> Mapping[str, float]:
        """Return when (epoch s) connectors that are occupied or away are taken to be of use again."""
        book, now_s = self._book_now()
        return free_from_s(self._around.circumstances(book, now_s))

    # What is done.

    async def hold(
        self,
        wanted: str | OwnEnvelope,
        by: Access,
        *,
        key: UsedKey | None = None,
        replaces: str | None = None,
    ) -> Reservation:
        """Hold an offer by its id, or an envelope of one's own, for a short while.

        It is tested against the book as it is, whatever was quoted before. The reservation it
        `replaces`, or the quote did, is cancelled by it, or stands if it is refused: never neither,
        never both.

        Raises:
            UnknownOfferError: there is no such offer, or it has expired.
            UnknownReservationError, WrongStateError: what it replaces is not there, or not open.
            NoLongerFitsError: it does not fit any more; a fresh quote is inside.
            PromisedAlreadyError: its vehicle is promised something else for part of that time.
            TimeUnknownError, AskError, NotAllowedError, TooManyError, KeyReusedError, NotDurableError.
        """
        now_s = self.settle()
        known = self._shelf.answered(by, key)
        if known is not None:
            return await self._shelf.durable(known)
        self._check_time()
        replaces = replaces or self._holding.replaced(wanted, by, now_s)
        book, before, gone = self._keeper.book, None, list[Reservation]()
        promise, need, found = self._holding.wanted(wanted, by, now_s)
        try:
            if replaces is not None:
                before = self._cancelled(self._shelf.find(replaces, by), by, now_s)
                gone.append(before)
            promise, moved = self._holding.held(promise, need, found, by, now_s)
        except BaseException as error:  # A mistake of our own must not take a promise away either.
            # What it would have replaced stands again, before anything else happens.
            self._keeper.book = book
            if not isinstance(error, BookError):
                raise
            self.counters["holds refused"] += 1
            fresh = self.quote(replace(need, replaces=replaces), by)
            refusal = refusal_said(error, self.places, now_s, self._zone)
            raise NoLongerFitsError(refusal, fresh) from error
        stay = None if before is None else self._fates.pass_on(before, promise)
        why = {p.id: moved_said(book.promises[p.id], p, now_s, self._zone) for p in moved}
        return await self._shelf.write(
            promise, by=by, key=key, others=(*gone, *moved), why=why, drawn_in=stay
        )

    def _cancelled(self, promise: Reservation, by: Access, now_s: float) -> Reservation:
        """Return a reservation that is given up, and takes no room from now on."""
        cancelled = self._keeper.become(promise, PromiseState.CANCELLED)
        return replace(cancelled, closed_at_s=now_s, cause=f"cancelled by {by.name}")

    async def confirm(
        self, reservation_id: str, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Make a promise of a hold; done again it changes nothing.

        Raises:
            UnknownReservationError: `by` has no such reservation.
            HoldExpiredError: it was not confirmed in time.
            TimeUnknownError, WrongStateError, KeyReusedError, NotDurableError.
        """
        self.settle()
        known = self._shelf.answered(by, key)
        if known is not None:
            return await self._shelf.durable(known)
        promise = self._shelf.find(reservation_id, by)
        if promise.state in (PromiseState.CONFIRMED, PromiseState.ARRIVED):
            return await self._shelf.durable(promise)
        if promise.state is PromiseState.EXPIRED:
            message = (
                f"the hold {promise.id} was not confirmed in time and has expired: ask for a fresh"
                f" quote, hold it, and confirm it within {HOLD_S:.0f} s"
            )
            raise HoldExpiredError(message)
        self._check_time()
        now = self._keeper.become(promise, PromiseState.CONFIRMED)
        return await self._shelf.write(now, by=by, key=key)

    async def cancel(
        self, reservation_id: str, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Give a reservation up; done again it changes nothing.

        Raises:
            UnknownReservationError: `by` has no such reservation.
            WrongStateError, KeyReusedError, NotDurableError.
        """
        now_s = self.settle()
        known = self._shelf.answered(by, key)
        if known is not None:
            return await self._shelf.durable(known)
        promise = self._shelf.find(reservation_id, by)
        if promise.state is PromiseState.CANCELLED:
            return await self._shelf.durable(promise)
        now = self._cancelled(promise, by, now_s)
        return await self._shelf.write(now, by=by, key=key)

    async def reservation(self, reservation_id: str, by: Access) -> Reservation:
        """Return a reservation as it stands, once the ledger says the same.

        Raises:
            UnknownReservationError: `by` has no such reservation.
            NotDurableError: the ledger cannot be written.
        """
        self.settle()
        return await self._shelf.durable(self._shelf.find(reservation_id, by))

    def reservations(self, by: Access) -> tuple[Reservation, ...]:
        """Return the reservations `by` may see, the open ones and those closed last."""
        self.settle()
        return self._shelf.seen_by(by)

    # What happens.

    def hear(self, fact: Event) -> None:
        """Take note of vehicles that come, draw and go. Never waits, never raises."""
        self._fates.hear(fact, self._now_s())

    def tie(self, place: str, name: str) -> None:
        """Note that somebody says the vehicle at a connector is the one of a reservation.

        `name` is its id, or its reference, if only one holder has open reservations of that name.

        Raises:
            UnknownReservationError: no open reservation is named so, or those of several holders.
        """
        self.settle()
        self._fates.tie(place, name)

    def allow(self, limit_ma_of: Callable[[ConnectorRef], int | None], *, at_s: float) -> None:
        """Take note of what vehicles may surely draw in a cycle at a monotonic second."""
        self._fates.allow(limit_ma_of, at_s=at_s)

    def spoil(self, draws: Mapping[str, str], unknown: Mapping[str, str]) -> None:
        """Break the promises of draws whose room is not there, each with why; note where nobody knows."""
        for name, why in draws.items():
            self._fates.spoil(name, why, self._now_s())
        for name, why in unknown.items():
            self._fates.doubt(name, why)

    def limit(self, constraints: Iterable[Constraint]) -> None:
        """Take note of the limits from outside that hold now."""
        if self._keeper.limit(constraints, self._now_s()):
            self._risks.look_soon()

    def miss(self, away: Mapping[str, Away]) -> None:
        """Take note of the connectors that can serve nobody now."""
        if away != self._around.away:
            self._around.away = away
            self._risks.look_soon()
        self._fates.miss(away, self._now_s())

    def look_again(self) -> None:
        """Open the book anew: what rows will have is seen otherwise than before."""
        self._keeper.reopen(self._now_s())
        self._risks.look_soon()

    async def review(self) -> None:
        """Bring the book up to now, and tell which promises are at risk; to be called each second.

        It looks when what rows have has changed, and every 20 s.
        """
        now_s = self.settle()
        if not self._risks.is_due(now_s):
            return
        book = self._keeper.book
        await self._risks.look(
            book,
            now_s=now_s,
            others_until_s=self._around.others_until_s(book, now_s),
            away=self._around.away,
            alternatives=lambda seen, promise: alternatives(
                seen,
                promise,
                quote_id=f"r{promise.id}{now_s:.0f}",
                expires_at_s=now_s + QUOTE_VALID_S,
                here=self._around.circumstances(
                    book,
                    now_s,
                    holder=promise.holder,
                    id_token=promise.id_token,
                    own=self._around.place_of(promise),
                    replaced=promise.id,
                ),
            ),
            remember=self._quoting.shelf.put,
            is_open=lambda name: name in self._keeper.book.promises,
        )

    def broken_by(self, constraints: Iterable[Constraint]) -> tuple[Standing, ...]:
        """Return the promises that would be at risk under limits beside those that hold now.

        So whoever is about to set a limit can be shown what it breaks; nothing changes.
        """
        now_s = self.settle()
        book = self._keeper.foreseen(constraints, now_s)
        found = standings(
            book,
            self.places,
            now_s=now_s,
            others_until_s=self._around.others_until_s(self._keeper.book, now_s),
            away=self._around.away,
        )
        return tuple(standing for standing in found if standing.is_at_risk)

    def settle(self) -> float:
        """Bring the book up to now: see to what becomes of promises by themselves.

        Every question and act does so first. Returns the epoch second.
        """
        now_s = self._now_s()
        if not self._keeper.is_fresh(now_s):
            self._keeper.reopen(now_s)
            self._risks.look_soon()
        self._fates.settle(now_s)
        return now_s

    def reliability(self) -> ReliabilityReport:
        """Return whether promises are kept as often as they say."""
        self.settle()
        return self._fates.report()

    def _book_now(self) -> tuple[Book, float]:
        now_s = self.settle()
        return self._keeper.book, now_s

    def _note_risk(self, reservation_id: str, told_ratio: float | None) -> None:
        memory = self._shelf.of(reservation_id)
        self._shelf.count(replace(memory, is_warned=told_ratio is not None))

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()

    def _check_time(self) -> None:
        """Refuse to promise anything by a time that is a guess.

        Raises:
            TimeUnknownError: it is.
        """
        doubt_s = self._doubt_s()
        if doubt_s > 0:
            message = (
                "it is not known yet which time it is, after a start with a clock far from when the"
                " ledger was last written: nothing is promised until that has stayed so for a while"
                f" or is kept right by something: ask again in {ceil(doubt_s)} s"
            )
            raise TimeUnknownError(message, doubt_s)

    # What is looked up.
