"""What is asked of the book of promises, and answered; what is critical is thought over elsewhere."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.domain.access import Access
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import Reservation
from gateway.domain.tokens import TokenPolicy
from gateway.planning.answering import answer, to_think_over
from gateway.planning.answers import QuoteAnswer, WrongStateError
from gateway.planning.asking import Asked
from gateway.planning.book import Book, without
from gateway.planning.circumstances import Circumstances
from gateway.planning.claiming import check_claim
from gateway.planning.quote import Verdict, Way
from gateway.planning.quote_words import kwh_apart
from gateway.planning.rearranging import Rearranged, Rearranging
from gateway.services.quote_shelf import QUOTE_VALID_S, QuoteShelf
from gateway.services.surroundings import Surroundings
from gateway.services.turns import Turns

SOLVER_S = 2.0
"""What each program of a critical question may take."""
TURN_WITHIN_S = 10.0
"""How long a critical question may wait until it is thought over."""

ThinkOver = Callable[[Rearranging], Awaitable[Rearranged | None]]
"""Tells what can be moved for a question; None if that is nothing, or is not known in time."""


async def nothing_moves(question: Rearranging) -> None:
    """Think nothing over: so is answered where nobody can."""
    del question


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A need and the book it is put to, which never changes: it may be answered whenever."""

    book: Book
    need: Need
    asked: Asked
    circumstances: Circumstances
    quote_id: str
    expires_at_s: float
    owed_wh: float = 0.0
    """What is still to be given by the promise that is given up for it unasked."""
    otherwise: "_Question | None" = None
    """The question in which that is not given up."""

    def answer(self, rearranged: Rearranged | None = None) -> QuoteAnswer:
        said = self._answer(rearranged)
        if self.otherwise is None:
            return said
        # Nobody gives up what a vehicle is being given for less, or for another time or place.
        place = self.asked.outlets[0].key
        offers = tuple(
            offer
            for offer in said.offers
            if offer.offer.way in (Way.AS_ASKED, Way.MOST_ENERGY)
            and offer.outlet.key == place
            and offer.guaranteed_wh >= self.owed_wh
        )
        if offers[:1] != said.offers[:1] or not offers:
            return self.otherwise.answer()
        return replace(said, offers=offers)

    def _answer(self, rearranged: Rearranged | None) -> QuoteAnswer:
        here = self.circumstances
        if rearranged is not None:
            here = replace(here, rearranged=rearranged)
        return answer(
            self.book,
            self.need,
            self.asked,
            quote_id=self.quote_id,
            expires_at_s=self.expires_at_s,
            circumstances=here,
        )

    def to_think_over(self) -> Rearranging | None:
        return to_think_over(
            self.book,
            self.need,
            self.asked,
            circumstances=self.circumstances,
            time_limit_s=SOLVER_S,
        )


class Quoting:
    """Answers needs by the book as it is, and keeps what was offered until it expires."""

    def __init__(
        self,
        surroundings: Surroundings,
        tokens: TokenPolicy,
        *,
        book_now: Callable[[], tuple[Book, float]],
        find: Callable[[str, Access], Reservation],
        think_over: ThinkOver,
        counters: Counter[str],
        new_id: Callable[[], str],
    ) -> None:
        """Wire it: `book_now` brings the book up to now and returns both, `counters` are added to.

        `find` returns a reservation by its id, if who asks may see it.
        """
        self._surroundings, self._tokens, self._find = surroundings, tokens, find
        self._book_now, self._think_over = book_now, think_over
        self._counters, self._new_id = counters, new_id
        self._turns = Turns()
        self.shelf = QuoteShelf()

    def quote(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; it may be held until it expires, while it still fits.

        Raises:
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality or the vehicle is not for `by` to claim.
            UnknownReservationError, WrongStateError: what it replaces is not there, or not open.
        """
        return self._told(self._question(need, by).answer(), by)

    async def quote_thoroughly(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; what is critical may have promises moved for it in time.

        That is thought over one question at a time, by turns. Whose turn does not come in time, or
        who gets no answer, is told what can be had while nobody is moved.

        Raises:
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality or the vehicle is not for `by` to claim.
            UnknownReservationError, WrongStateError: what it replaces is not there, or not open.
        """
        said = self._question(need, by).answer()
        if said.verdict is not Verdict.YES and need.criticality is Criticality.CRITICAL:
            async with self._turns.taken(by.name, within_s=TURN_WITHIN_S) as is_taken:
                if is_taken:
                    said = await self._thought_over(self._question(need, by))
        return self._told(said, by)

    async def _thought_over(self, question: _Question) -> QuoteAnswer:
        posed = question.to_think_over()
        return question.answer(None if posed is None else await self._think_over(posed))

    def _question(self, need: Need, by: Access) -> _Question:
        check_claim(need.criticality, need.id_token, by, self._tokens)
        book, now_s = self._book_now()
        asked = self._surroundings.asked(need, book, now_s)
        if need.replaces is not None:
            return self._posed(
                need, asked, by, book, now_s, before=self._open(need.replaces, by, book)
            )
        question = self._posed(need, asked, by, book, now_s)
        its = self._surroundings.its_promise(asked, need, by.name, book, now_s)
        if its is None or need.criticality.rank > its.criticality.rank:
            return question
        more = self._posed(need, asked, by, book, now_s, before=its)
        return replace(more, owed_wh=its.energy_wh - its.delivered_wh, otherwise=question)

    def _posed(
        self,
        need: Need,
        asked: Asked,
        by: Access,
        book: Book,
        now_s: float,
        *,
        before: Reservation | None = None,
    ) -> _Question:
        """Return a question as it is put to a book, in the place of an open reservation `before`."""
        around, gives_up = self._surroundings, ""
        own = around.own_place(need, by.name)
        if before is not None:
            own, need = own | around.place_of(before), replace(need, replaces=before.id)
            book = without(book, before.id)
            given = " of ".join(kwh_apart(before.delivered_wh, before.energy_wh))
            gives_up = f"it takes the place of the reservation {before.id}, which was given {given}"
        here = around.circumstances(
            book, now_s, holder=by.name, id_token=need.id_token, own=own, gives_up=gives_up
        )
        return _Question(
            book=book,
            need=need,
            asked=asked,
            circumstances=here,
            quote_id=self._new_id(),
            expires_at_s=now_s + QUOTE_VALID_S,
        )

    def _open(self, reservation_id: str, by: Access, book: Book) -> Reservation:
        """Return the reservation that something is asked in the place of.

        Raises:
            UnknownReservationError: `by` has no such reservation.
            WrongStateError: it is closed, or over.
        """
        before = self._find(reservation_id, by)
        if before.id not in book.promises:
            is_now = "over" if before.state.is_open else str(before.state)
            message = f"the reservation {before.id} is {is_now}: ask without replaces"
            raise WrongStateError(message)
        return before

    def _told(self, said: QuoteAnswer, by: Access) -> QuoteAnswer:
        self.shelf.put(said, by.name)
        self._counters[f"quotes {said.verdict}"] += 1
        return said
