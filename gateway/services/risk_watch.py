"""Tells whom a promise was made to when it is at risk, and when it is no longer: once for each change."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from math import inf

from gateway.domain.notices import NoticeValue
from gateway.domain.promises import Reservation
from gateway.planning.absence import Away
from gateway.planning.answers import OfferAnswer, QuoteAnswer
from gateway.planning.asking import Places
from gateway.planning.at_risk import Risk, Seen, steps
from gateway.planning.book import Book
from gateway.planning.chance import Standing, floor_ratio
from gateway.planning.quote_words import place_said, row_said
from gateway.planning.risk_words import risk_said
from gateway.services.feed import Feed

_log = logging.getLogger(__name__)

LOOKS_EVERY_S = 20.0
"""Time alone makes promises less sure: vehicles that do not come, or are given too little."""

SAFE_MARGIN_RATIO = 0.05
"""A promise is safe again once it is so much surer than its floor: else it would be told to and fro."""

WORSE_BY_RATIO = 0.25
"""What is at risk is told again once it is less sure by so much."""

SEES_AFTER_S = 60.0
"""So long after a start limits and forecasts may still be missing that put something at risk."""

MOST_QUOTED_AT_ONCE = 20

Quoting = Callable[[Book, Reservation], QuoteAnswer | None]


class RiskWatch:
    """What was told of each promise that is at risk, in one event loop.

    What is worked out is worked out promise by promise, and everything else gets its turn between.
    """

    def __init__(
        self,
        places: Places,
        zone: tzinfo,
        *,
        feed: Feed,
        counters: Counter[str],
        warned: Iterable[str],
        on_told: Callable[[str, float | None], None],
    ) -> None:
        """Take up what was told to be at risk in an earlier life (`warned`).

        That is told anew if it still is, with offers that can be held, or told to be safe again.
        `on_told` hears of each, before anybody else does, how sure it is; None once it is safe.
        """
        self._places, self._zone, self._feed = places, zone, feed
        self._on_told = on_told
        self._told_ratio = dict.fromkeys(warned, float("inf"))
        self._sees_from_s = inf
        self._risks: dict[str, Risk] = {}
        self._next_look_s = float("-inf")
        self._counters = counters

    @property
    def count(self) -> int:
        """Return how many promises are at risk."""
        return len(self._told_ratio)

    def risk(self, promise_id: str) -> Risk | None:
        """Return how a promise stood at the last look; None if it was not looked at."""
        return self._risks.get(promise_id)

    def look_soon(self) -> None:
        """Have it looked at anew at the next chance: what is there to promise has changed."""
        self._next_look_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time to look."""
        # A clock that was set back makes nobody wait for where it was.
        return not self._next_look_s - LOOKS_EVERY_S <= now_s < self._next_look_s

    async def look(
        self,
        book: Book,
        *,
        now_s: float,
        others_until_s: Mapping[str, float],
        away: Mapping[str, Away],
        alternatives: Quoting,
        remember: Callable[[QuoteAnswer, str], None],
        is_open: Callable[[str], bool],
    ) -> None:
        """Look at every open promise of a book, and tell what has changed since it was last told.

        `alternatives` is asked what could be had instead; `remember` makes its offers ones that
        can be held by a holder. Of what is no longer open by then (`is_open`) nothing is told. A fault
        in what could be had instead is raised once all is told, without it.
        """
        self._next_look_s = now_s + LOOKS_EVERY_S
        self._sees_from_s = min(self._sees_from_s, now_s + SEES_AFTER_S)
        sees = now_s >= self._sees_from_s
        found = []
        seen = Seen(
            book=book, places=self._places, now_s=now_s, others_until_s=others_until_s, away=away
        )
        for standing in steps(seen):
            if standing is not None:
                found.append(standing)
            await asyncio.sleep(0)
        self._forget({standing.promise.id for standing in found})
        news = [standing for standing in found if self._is_news(standing, sees=sees)]
        asked = [s.promise for s in news if s.is_at_risk][:MOST_QUOTED_AT_ONCE]
        quotes, faults = dict[str, QuoteAnswer | None](), list[Exception]()
        for promise in asked:
            try:
                quotes[promise.id] = alternatives(book, promise)
            except Exception as fault:  # noqa: BLE001 - whatever it is, the warning comes first
                faults.append(fault)
            await asyncio.sleep(0)
        for standing in news:
            promise = standing.promise
            if not is_open(promise.id):
                continue
            if not standing.is_at_risk:
                del self._told_ratio[promise.id]
                self._on_told(promise.id, None)
                said = _standing_said(standing)
                self._feed.tell("reservation-safe-again", promise.id, holder=promise.holder, **said)
                _log.info("reservation %s of %s is safe again", promise.id, promise.holder)
                continue
            quote = quotes.get(promise.id)
            if quote is not None:
                remember(quote, promise.holder)
            self._counters["warnings"] += 1
            self._told_ratio[promise.id] = standing.confidence_ratio
            self._on_told(promise.id, standing.confidence_ratio)
            why = self._why(standing, now_s)
            said = self._said(standing, quote, why)
            self._feed.tell("reservation-at-risk", promise.id, holder=promise.holder, **said)
            _log.warning("reservation %s of %s is at risk: %s", promise.id, promise.holder, why)
        self._risks = {s.promise.id: self._risk(s, now_s) for s in found}
        if faults:
            raise faults[0]

    def _risk(self, standing: Standing, now_s: float) -> Risk:
        is_told = standing.promise.id in self._told_ratio
        return Risk(
            confidence_ratio=standing.known_ratio,
            is_at_risk=is_told,
            why=self._why(standing, now_s) if is_told else "",
        )

    def _why(self, standing: Standing, now_s: float) -> str:
        return risk_said(standing, self._places, now_s=now_s, zone=self._zone)

    def _forget(self, open_ids: set[str]) -> None:
        """Forget promises that are no longer open: what became of them is told by others."""
        for name in self._told_ratio.keys() - open_ids:
            del self._told_ratio[name]

    def _is_news(self, standing: Standing, *, sees: bool) -> bool:
        told_ratio = self._told_ratio.get(standing.promise.id)
        if told_ratio is None:
            return standing.is_at_risk
        if told_ratio == float("inf") and not sees:
            return standing.is_at_risk
        floor = floor_ratio(standing.promise.confidence_ratio)
        if standing.confidence_ratio >= min(
            standing.promise.confidence_ratio, floor + SAFE_MARGIN_RATIO
        ):
            return True
        return standing.is_at_risk and standing.confidence_ratio <= told_ratio - WORSE_BY_RATIO

    def _said(
        self, standing: Standing, quote: QuoteAnswer | None, why: str
    ) -> dict[str, NoticeValue]:
        shortage = standing.shortage
        said = _standing_said(standing) | {
            "danger": None if standing.danger is None else str(standing.danger),
            "why": why,
        }
        if shortage is not None:
            circuit, phase = row_said(self._places, shortage.row)
            said |= {
                "circuit": circuit,
                "phase": phase,
                "from_at": _instant(shortage.from_at_s),
                "until_at": _instant(shortage.until_at_s),
            }
        if quote is not None:
            said["offers_expire_at"] = _instant(quote.expires_at_s)
            said["offers"] = [_offer_said(offer) for offer in quote.offers]
        return said


def _standing_said(standing: Standing) -> dict[str, NoticeValue]:
    promise = standing.promise
    return {
        "place": place_said(promise.place),
        "reference": promise.reference,
        "state": str(promise.state),
        "start_at": _instant(promise.opens_at_s),
        "end_at": _instant(promise.closes_at_s),
        "energy_wh": promise.energy_wh,
        "can_wh": int(min(standing.can_wh, promise.energy_wh)),
        "promised_confidence": round(promise.confidence_ratio, 4),
        "confidence": standing.known_ratio,
    }


def _offer_said(answer: OfferAnswer) -> dict[str, NoticeValue]:
    return {
        "offer_id": answer.id,
        "way": str(answer.offer.way),
        "place": place_said(answer.outlet.key),
        "energy_wh": int(answer.offer.energy_wh),
        "guaranteed_wh": int(answer.guaranteed_wh),
        "start_at": _instant(answer.start_at_s),
        "finish_at": _instant(answer.finish_at_s),
        "confidence": round(answer.offer.confidence_ratio, 4),
        "why": answer.why,
    }


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat()
