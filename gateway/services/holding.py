"""What somebody wants held, an offer or an envelope of its own: found, tested, and put into the book."""

from collections.abc import Callable
from dataclasses import replace

from gateway.domain.access import Access
from gateway.domain.needs import Need
from gateway.domain.promises import HOLD_S, Reservation
from gateway.domain.tokens import TokenPolicy
from gateway.planning.answers import OfferAnswer, OwnEnvelope, TooManyError
from gateway.planning.asking import CONFIDENCE_RATIO, Places
from gateway.planning.book import edges_of
from gateway.planning.claiming import check_claim, check_vehicle
from gateway.planning.promising import need_of, of_envelope, of_offer, weighed
from gateway.services.book_keeper import BookKeeper
from gateway.services.quote_shelf import QuoteShelf
from gateway.services.surroundings import Surroundings

MAX_OPEN_A_HOLDER = 200
MAX_CHANGES_A_HOLDER = 2_000
"""At no more instants may the open envelopes of one holder change: the book has an edge at each."""


class Holding:
    """Puts holds into the book; each in one step of the event loop. Instants are epoch seconds."""

    def __init__(
        self,
        places: Places,
        tokens: TokenPolicy,
        *,
        keeper: BookKeeper,
        quotes: QuoteShelf,
        surroundings: Surroundings,
        new_id: Callable[[], str],
    ) -> None:
        """Wire it: `quotes` has what was offered, `tokens` says whose vehicles are."""
        self._places, self._tokens, self._new_id = places, tokens, new_id
        self._keeper, self._quotes, self._around = keeper, quotes, surroundings

    def replaced(self, wanted: str | OwnEnvelope, by: Access, now_s: float) -> str | None:
        """Return the reservation in whose place an offer was made, while that is open."""
        if not isinstance(wanted, str):
            return None
        replaces = self._quotes.find(wanted, by, now_s=now_s)[1].replaces
        return replaces if replaces in self._keeper.book.promises else None

    def wanted(
        self, wanted: str | OwnEnvelope, by: Access, now_s: float
    ) -> tuple[Reservation, Need, OfferAnswer | None]:
        """Return the promise that is to be held, the need behind it, and the offer it is."""
        name, hold_until_at_s = self._new_id(), now_s + HOLD_S
        if isinstance(wanted, str):
            found, need = self._quotes.find(wanted, by, now_s=now_s)
            promise = of_offer(
                found, need, name=name, holder=by.name, hold_until_at_s=hold_until_at_s
            )
            return promise, need, found
        check_claim(wanted.criticality, wanted.id_token, by, self._tokens)
        promise = of_envelope(
            wanted, self._places, name=name, holder=by.name, hold_until_at_s=hold_until_at_s
        )
        need = replace(need_of(promise, self._places), confidence_ratio=wanted.confidence_ratio)
        return promise, need, None

    def held(
        self,
        promise: Reservation,
        need: Need,
        found: OfferAnswer | None,
        by: Access,
        now_s: float,
    ) -> tuple[Reservation, tuple[Reservation, ...]]:
        """Return what is held in the book from now on, and those that are moved for it.

        Raises:
            BookError: it does not fit.
            AskError, NotAllowedError, PromisedAlreadyError, TooManyError.
        """
        promise = weighed(promise, self._keeper.book, self._places)
        its = [p for p in self._keeper.book.promises.values() if p.holder == by.name]
        if len(its) >= MAX_OPEN_A_HOLDER:
            message = f"{by.name} has {len(its)} open reservations: cancel some first"
            raise TooManyError(message)
        changes_s = edges_of((p.envelope for p in (*its, promise)), from_at_s=now_s)
        if len(changes_s) > MAX_CHANGES_A_HOLDER:
            message = (
                f"the envelopes {by.name} has open would change at {len(changes_s)} instants with"
                f" this one, and {MAX_CHANGES_A_HOLDER} are the most: cancel some first"
            )
            raise TooManyError(message)
        own = frozenset({promise.place}) & self._around.place_of(promise)
        check_vehicle(promise, self._around.promised(self._keeper.book, promise.id_token, own=own))
        self._around.check_there(promise, now_s)
        if found is not None:
            return self._keeper.hold_offer(promise, found, need, now_s)
        # Its window is tested as that of a quote.
        asked = self._around.asked(need, self._keeper.book, now_s)
        asked_ratio = need.confidence_ratio or CONFIDENCE_RATIO
        back_ratio = self._around.back_ratio(promise, asked_ratio, now_s)
        here = replace(need, confidence_ratio=asked_ratio / back_ratio)
        beside = self._around.beside_others(promise, self._keeper.book)
        held = self._keeper.hold_own(promise, beside, asked.outlets[0], here, now_s)
        held = replace(held, confidence_ratio=held.confidence_ratio * back_ratio)
        self._keeper.say(held)
        return held, ()
