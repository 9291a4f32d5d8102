"""The one writer of the book of promises: quotes, holds, confirmations, arrivals, what became of it.

Every act is tested and made in one step of the event loop, and answered once the ledger has it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from uuid import uuid4
from zoneinfo import ZoneInfo

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access
from gateway.domain.events import ConnectorMetered, Event, TransactionEnded, TransactionStarted
from gateway.domain.limits import Constraint
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.answering import Circumstances, answer
from gateway.planning.answers import (
    HoldExpiredError,
    NoLongerFitsError,
    NotAllowedError,
    OwnEnvelope,
    QuoteAnswer,
    TooManyError,
    UsedKey,
    WrongStateError,
)
from gateway.planning.asking import AskError, Places, asked_of
from gateway.planning.at_risk import alternatives
from gateway.planning.book import (
    Book,
    BookError,
    NoRoomError,
    become,
    hold,
    lapsed,
    opened,
)
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.grid import grid_of
from gateway.planning.promising import need_of, of_envelope, of_offer, weighed
from gateway.planning.quote_words import clock_said, place_said, row_said
from gateway.ports import Clock, Ledger
from gateway.services.deliveries import Deliveries
from gateway.services.feed import Feed
from gateway.services.promisable import Prospects, WorstCase
from gateway.services.promise_shelf import PromiseShelf, in_order
from gateway.services.quote_shelf import QUOTE_VALID_S, QuoteShelf
from gateway.services.risk_watch import RiskWatch

BEGINS_EVERY_S = 1_800.0
"""A book begins at a whole half hour, so that slots of every length begin at whole ones."""

HOLD_S = 120.0
MAX_OPEN_A_HOLDER = 200
RETURNS_WITHIN_S = 300.0
"""A vehicle that was unplugged for longer has left."""

OCCUPIED_FOR_S = 3_600.0
"""How long a connector with a vehicle that has said nothing is taken to stay occupied."""


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
        new_id: Callable[[], str] = lambda: uuid4().hex[:12],
    ) -> None:
        """Open the book with the promises that are remembered; without a ledger none outlive us.

        `prospects` tells what rows will have; without it the declared worst case counts.
        """
        self.places = Places.of(wiring.site)
        self._prospects = prospects or WorstCase(wiring, parameters)
        self._zone = ZoneInfo(wiring.site.timezone)
        self._clock, self._feed, self._new_id = clock, feed, new_id
        self._constraints: tuple[Constraint, ...] = ()
        self._quotes = QuoteShelf()
        self._shelf = PromiseShelf(ledger=ledger, feed=feed)
        self._deliveries = Deliveries()
        self.counters: Counter[str] = self._shelf.counters
        self._risks = RiskWatch(self.places, self._zone, feed=feed, counters=self.counters)
        self._book = self._restored(remembered or {})

    @property
    def book(self) -> Book:
        """Return the book as it is now."""
        self.settle()
        return self._book

    @property
    def at_risk_count(self) -> int:
        """Return how many promises are at risk, as far as was told."""
        return self._risks.count

    def is_at_risk(self, reservation_id: str) -> bool:
        """Return whether a promise is at risk, as far as was told."""
        return self._risks.is_at_risk(reservation_id)

    # What is asked.

    def quote(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; it may be held until it expires, while it still fits.

        Raises:
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality is above what `by` may claim.
        """
        _check_criticality(need.criticality, by)
        now_s = self.settle()
        book = self._book
        end_s = book.from_at_s + book.room.grid.edges_s[-1]
        asked = asked_of(need, self.places, from_at_s=book.from_at_s, now_s=now_s, end_s=end_s)
        said = answer(
            book,
            need,
            asked,
            quote_id=self._new_id(),
            expires_at_s=now_s + QUOTE_VALID_S,
            circumstances=self._circumstances(now_s),
        )
        self._quotes.put(said, by.name)
        self.counters[f"quotes {said.verdict}"] += 1
        return said

    # What is done.

    async def hold(
        self, wanted: str | OwnEnvelope, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Hold an offer by its id, or an envelope of one's own, for a short while.

        It is tested against the book as it is, whatever was quoted before.

        Raises:
            UnknownOfferError: there is no such offer, or it has expired.
            NoLongerFitsError: it does not fit any more; a fresh quote is inside.
            AskError, NotAllowedError, TooManyError, KeyReusedError, NotDurableError.
        """
        now_s = self.settle()
        known = self._shelf.answered(by, key)
        if known is not None:
            return await self._shelf.durable(known)
        open_count = sum(p.holder == by.name for p in self._book.promises.values())
        if open_count >= MAX_OPEN_A_HOLDER:
            message = f"{by.name} has {open_count} open reservations: cancel some first"
            raise TooManyError(message)
        promise, need = self._wanted(wanted, by, now_s)
        try:
            self._book = hold(self._book, promise)
        except BookError as error:
            self.counters["holds refused"] += 1
            fresh = self.quote(need, by)
            raise NoLongerFitsError(self._refusal(error, now_s), fresh) from error
        return await self._shelf.write(promise, by=by, key=key)

    async def confirm(
        self, reservation_id: str, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Make a promise of a hold; done again it changes nothing.

        Raises:
            UnknownReservationError: `by` has no such reservation.
            HoldExpiredError: it was not confirmed in time.
            WrongStateError, KeyReusedError, NotDurableError.
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
        now = self._become(promise, PromiseState.CONFIRMED)
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
        cancelled = self._become(promise, PromiseState.CANCELLED)
        now = replace(cancelled, closed_at_s=now_s, cause=f"cancelled by {by.name}")
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
        match fact:
            case TransactionStarted():
                self._deliveries.begin(fact)
            case TransactionEnded():
                self._deliveries.end(fact, now_s=self._now_s())
            case ConnectorMetered():
                self._meter(fact)
            case _:
                pass

    def limit(self, constraints: Iterable[Constraint]) -> None:
        """Take note of the limits from outside that hold now."""
        now = tuple(constraints)
        if now != self._constraints:
            self._constraints = now
            self._reopen(self._now_s())

    def look_again(self) -> None:
        """Open the book anew: what rows will have is seen otherwise than before."""
        self._reopen(self._now_s())

    async def review(self) -> None:
        """Bring the book up to now, and tell which promises are at risk; to be called each second.

        It looks when what rows have has changed, and every 20 s.
        """
        now_s = self.settle()
        if not self._risks.is_due(now_s):
            return
        here = self._circumstances(now_s)
        await self._risks.look(
            self._book,
            now_s=now_s,
            others_until_s=self._others_until_s(now_s),
            alternatives=lambda book, promise: alternatives(
                book,
                promise,
                quote_id=f"r{promise.id}{now_s:.0f}",
                expires_at_s=now_s + QUOTE_VALID_S,
                here=here,
            ),
            remember=self._quotes.put,
        )

    def _others_until_s(self, now_s: float) -> dict[str, float]:
        """Return the connectors of promises at which another vehicle is, and for how long."""
        occupied = self._deliveries.occupied()
        return {
            promise.place: now_s + OCCUPIED_FOR_S
            for promise in self._book.promises.values()
            if promise.place in occupied
            and not self._deliveries.is_there(promise.place, promise.id_token)
        }

    def settle(self) -> float:
        """Bring the book up to now: see to what becomes of promises by themselves.

        Every question and act does so first. Returns the epoch second.
        """
        now_s = self._now_s()
        if _beginning_s(now_s) != self._book.from_at_s:
            self._reopen(now_s)
        for promise in tuple(self._book.promises.values()):
            if promise.state is PromiseState.CONFIRMED:
                self._see_arrival(promise, now_s)
            elif promise.state is PromiseState.ARRIVED:
                self._see_departure(promise, now_s)
        for name, state in lapsed(self._book, now_s):
            self._close(name, state, now_s, cause=_cause(self._book.promises[name], state))
        return now_s

    def _see_arrival(self, promise: Reservation, now_s: float) -> None:
        """Note that the vehicle a promise was made to is there, once its time has begun."""
        is_time = promise.from_at_s <= now_s < promise.until_at_s
        if not is_time or not self._deliveries.is_there(promise.place, promise.id_token):
            return
        now = replace(self._become(promise, PromiseState.ARRIVED), arrived_at_s=now_s)
        self._say(now)
        register_wh = self._deliveries.register_wh(promise.place)
        memory = self._shelf.of(promise.id)
        self._shelf.note(replace(memory, promise=now, register_wh=register_wh))

    def _see_departure(self, promise: Reservation, now_s: float) -> None:
        """Close a promise whose vehicle has left before its time was over."""
        gone_s = self._deliveries.gone_since_s(promise.place)
        if gone_s is None or now_s - gone_s < RETURNS_WITHIN_S or now_s >= promise.until_at_s:
            return
        is_kept = promise.delivered_wh >= KEPT_RATIO * promise.energy_wh
        state = PromiseState.FULFILLED if is_kept else PromiseState.BROKEN
        self._close(promise.id, state, now_s, cause="" if is_kept else "the vehicle left early")

    def _meter(self, fact: ConnectorMetered) -> None:
        place = str(fact.connector)
        for promise in self._book.promises.values():
            if promise.place == place and promise.state is PromiseState.ARRIVED:
                memory = self._shelf.of(promise.id)
                register_wh, gained_wh = self._deliveries.gained_wh(fact, memory.register_wh)
                counted = replace(promise, delivered_wh=promise.delivered_wh + gained_wh)
                self._say(counted)
                self._shelf.count(replace(memory, promise=counted, register_wh=register_wh))
                break
        self._deliveries.note(fact)

    # How the book is kept.

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()

    def _opened(self, promises: Mapping[str, Reservation], now_s: float, *, version: int) -> Book:
        begins_s = _beginning_s(now_s)
        edges_s = {
            edge_s - begins_s
            for promise in promises.values()
            for stretch in promise.envelope
            for edge_s in (stretch.from_at_s, stretch.until_at_s)
        }
        grid = grid_of(events_s=edges_s)
        seen = self._prospects.prospect(grid, from_at_s=begins_s, constraints=self._constraints)
        return opened(
            grid,
            seen.available_ma,
            from_at_s=begins_s,
            promises=promises,
            version=version,
            base_paths_ma=seen.base_paths_ma,
        )

    def _reopen(self, now_s: float) -> None:
        """Open the book anew, with what rows have now."""
        self._book = self._opened(self._book.promises, now_s, version=self._book.version + 1)
        self._risks.look_soon()

    def _circumstances(self, now_s: float) -> Circumstances:
        return Circumstances(
            places=self.places,
            now_s=now_s,
            zone=self._zone,
            occupied=self._deliveries.occupied(),
            occupied_until_s=now_s + OCCUPIED_FOR_S,
        )

    def _restored(self, remembered: Mapping[str, PromiseMemory]) -> Book:
        """Return the book of what is remembered; a promise whose place is gone is cancelled."""
        now_s = self._now_s()
        promises: dict[str, Reservation] = {}
        for memory in in_order(remembered.values()):
            promise = memory.promise
            if not promise.state.is_open:
                self._shelf.take_up(memory)
                continue
            try:
                # Positions of rows are those of the site file of that day.
                rows = self.places.at(promise.place, promise.phase_count).rows
            except AskError:
                cause = f"{place_said(promise.place)} is no longer in the site file"
                state = PromiseState.CANCELLED
                promise = replace(promise, state=state, closed_at_s=now_s, cause=cause)
                self._shelf.take_up(replace(memory, promise=promise))
                self._shelf.count(self._shelf.of(promise.id))
                continue
            promises[promise.id] = replace(promise, rows=rows)
            self._shelf.take_up(replace(memory, promise=promises[promise.id]))
        # By the clock, so that versions go up over a restart too.
        return self._opened(promises, now_s, version=int(now_s))

    def _become(self, promise: Reservation, state: PromiseState) -> Reservation:
        """Change the state of a promise in the book; return it. One that is closed leaves the book.

        Raises:
            WrongStateError: that cannot become of it.
        """
        try:
            self._book = become(self._book, promise.id, state)
        except BookError as error:
            message = f"the reservation {promise.id} is {promise.state}: it cannot become {state}"
            raise WrongStateError(message) from error
        now = self._book.promises[promise.id]
        if not state.is_open:
            promises = {key: p for key, p in self._book.promises.items() if key != promise.id}
            self._book = replace(self._book, promises=promises)
        return now

    def _say(self, promise: Reservation) -> None:
        """Have the book say this of a promise, its room being the same."""
        promises = {**self._book.promises, promise.id: promise}
        self._book = replace(self._book, promises=promises)

    def _close(self, name: str, state: PromiseState, now_s: float, *, cause: str) -> None:
        """Note what has become of a promise by itself."""
        closed = self._become(self._book.promises[name], state)
        memory = self._shelf.of(name)
        self._shelf.note(replace(memory, promise=replace(closed, closed_at_s=now_s, cause=cause)))

    # What is looked up.

    def _wanted(
        self, wanted: str | OwnEnvelope, by: Access, now_s: float
    ) -> tuple[Reservation, Need]:
        """Return the promise that is to be held, and the need behind it."""
        name, hold_until_at_s = self._new_id(), now_s + HOLD_S
        if isinstance(wanted, str):
            found, need = self._quotes.find(wanted, by, now_s=now_s)
            promise = of_offer(
                found, need, name=name, holder=by.name, hold_until_at_s=hold_until_at_s
            )
            return weighed(promise, self._book, self.places, is_offered=True), need
        _check_criticality(wanted.criticality, by)
        promise = of_envelope(
            wanted, self.places, name=name, holder=by.name, hold_until_at_s=hold_until_at_s
        )
        need = need_of(promise, self.places)
        # Its window is tested as that of a quote.
        from_at_s, end_s = self._book.from_at_s, self._book.room.grid.edges_s[-1]
        asked_of(need, self.places, from_at_s=from_at_s, now_s=now_s, end_s=from_at_s + end_s)
        return weighed(promise, self._book, self.places, is_offered=False), need

    def _refusal(self, error: BookError, now_s: float) -> str:
        """Return why an envelope no longer fits, and what to do."""
        why = str(error)
        if isinstance(error, NoRoomError):
            circuit, phase = row_said(self.places, error.row)
            since = clock_said(error.at_s, now_s, self._zone)
            short_a = error.short_ma / 1_000
            why = f"circuit {circuit} is short of {short_a:.1f} A on {phase} from {since}"
        return f"{why}: hold an offer of the fresh quote inside"


def _beginning_s(now_s: float) -> float:
    return now_s // BEGINS_EVERY_S * BEGINS_EVERY_S


def _check_criticality(criticality: Criticality, by: Access) -> None:
    if criticality.rank < by.criticality.rank:
        message = (
            f"your token may claim {by.criticality} at most, not {criticality}: ask for less, or"
            " have a token made for more"
        )
        raise NotAllowedError(message)


def _cause(promise: Reservation, state: PromiseState) -> str:
    """Return why a promise became by itself what it is."""
    match state:
        case PromiseState.EXPIRED:
            return "nobody confirmed it in time"
        case PromiseState.NO_SHOW:
            return "nobody came"
        case PromiseState.BROKEN:
            delivered = f"{promise.delivered_wh / 1_000:.1f} of {promise.energy_wh / 1_000:.1f}"
            return f"{delivered} kWh were delivered by the end"
        case _:
            return ""
