"""Quotes as they are remembered: whoever one was made for may hold its offers, for a while."""

from gateway.domain.access import Access
from gateway.domain.needs import Need
from gateway.planning.answers import OfferAnswer, QuoteAnswer, UnknownOfferError
from gateway.services.fair_shelf import FairShelf

QUOTE_VALID_S = 300.0
MAX_QUOTES = 5_000
MAX_MOVING = 50
"""Of quotes that move promises: with the envelopes of all of a large site one has a megabyte."""


class QuoteShelf:
    """The newest quotes of everybody, in one event loop."""

    def __init__(self) -> None:
        """Begin empty: quotes do not outlive the process."""
        self._still, self._moving = (
            FairShelf[QuoteAnswer](max_count) for max_count in (MAX_QUOTES, MAX_MOVING)
        )

    def put(self, quote: QuoteAnswer, holder: str) -> None:
        """Remember a quote that was made for somebody."""
        is_moving = any(offer.gives_way.envelopes for offer in quote.offers)
        (self._moving if is_moving else self._still).put(holder, quote.id, quote)

    def find(self, offer_id: str, by: Access, *, now_s: float) -> tuple[OfferAnswer, Need]:
        """Return an offer, and the need it answers.

        Raises:
            UnknownOfferError: there is no such offer of `by`, or it has expired.
        """
        name = offer_id.rpartition("-")[0]
        quote = self._moving.get(by.name, name) or self._still.get(by.name, name)
        found = None
        if quote is not None:
            found = next((o for o in quote.offers if o.id == offer_id), None)
        if quote is None or found is None or now_s >= quote.expires_at_s:
            message = (
                f"there is no offer {offer_id}, or it has expired: ask for a fresh quote and hold"
                f" one of its offers within {QUOTE_VALID_S:.0f} s"
            )
            raise UnknownOfferError(message)
        return found, quote.need
