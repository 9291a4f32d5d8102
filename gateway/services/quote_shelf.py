"""Quotes as they are remembered: whoever one was made for may hold its offers, for a while."""

from gateway.domain.access import Access
from gateway.domain.needs import Need
from gateway.planning.answers import OfferAnswer, QuoteAnswer, UnknownOfferError
from gateway.services.fair_shelf import FairShelf

QUOTE_VALID_S = 300.0
MAX_QUOTES = 5_000


class QuoteShelf:
    """The newest quotes of everybody, in one event loop."""

    def __init__(self) -> None:
        """Begin empty: quotes do not outlive the process."""
        self._quotes = FairShelf[QuoteAnswer](MAX_QUOTES)

    def put(self, quote: QuoteAnswer, holder: str) -> None:
        """Remember a quote that was made for somebody."""
        self._quotes.put(holder, quote.id, quote)

    def find(self, offer_id: str, by: Access, *, now_s: float) -> tuple[OfferAnswer, Need]:
        """Return an offer, and the need it answers.

        Raises:
            UnknownOfferError: there is no such offer of `by`, or it has expired.
        """
        quote = self._quotes.get(by.name, offer_id.rpartition("-")[0])
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
