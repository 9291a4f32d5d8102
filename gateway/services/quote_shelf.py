"""Quotes as they are remembered: whoever one was made for may hold its offers, for a while."""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.domain.access import Access
from gateway.domain.needs import Need
from gateway.planning.answers import OfferAnswer, QuoteAnswer, UnknownOfferError

QUOTE_VALID_S = 300.0
MAX_QUOTES = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """A quote, and who it was made for."""

    quote: QuoteAnswer
    holder: str


class QuoteShelf:
    """The newest quotes, in one event loop."""

    def __init__(self) -> None:
        """Begin empty: quotes do not outlive the process."""
        self._quotes: OrderedDict[str, _Remembered] = OrderedDict()

    def put(self, quote: QuoteAnswer, holder: str) -> None:
        """Remember a quote that was made for somebody."""
        self._quotes[quote.id] = _Remembered(quote=quote, holder=holder)
        while len(self._quotes) > MAX_QUOTES:
            self._quotes.popitem(last=False)

    def find(self, offer_id: str, by: Access, *, now_s: float) -> tuple[OfferAnswer, Need]:
        """Return an offer, and the need it answers.

        Raises:
            UnknownOfferError: there is no such offer of `by`, or it has expired.
        """
        remembered = self._quotes.get(offer_id.rpartition("-")[0])
        found = None
        if remembered is not None and remembered.holder == by.name:
            found = next((o for o in remembered.quote.offers if o.id == offer_id), None)
        if remembered is None or found is None or now_s >= remembered.quote.expires_at_s:
            message = (
                f"there is no offer {offer_id}, or it has expired: ask for a fresh quote and hold"
                f" one of its offers within {QUOTE_VALID_S:.0f} s"
            )
            raise UnknownOfferError(message)
        return found, remembered.quote.need
