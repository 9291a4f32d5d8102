"""Promises as they are remembered: in memory, in the ledger, and by the keys they were made under."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from gateway.domain.access import Access
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.memory import Act, PromiseKey, PromiseMemory
from gateway.domain.promises import Reservation
from gateway.planning.answers import (
    KeyReusedError,
    NotDurableError,
    UnknownReservationError,
    UsedKey,
)
from gateway.planning.quote_words import place_said
from gateway.ports import Ledger
from gateway.services.fair_shelf import FairShelf
from gateway.services.feed import Feed, News

MAX_KEYS = 20_000
MAX_CLOSED = 2_000
DURABLE_WITHIN_S = 5.0
NOTHING_SAID: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What was answered under an idempotency key."""

    digest: str
    promise: Reservation


class PromiseShelf:
    """Every open promise and each holder's last ones closed, in one event loop."""

    def __init__(self, *, ledger: Ledger | None, feed: Feed) -> None:
        """Begin empty; without a ledger nothing outlives the process."""
        self._ledger, self._feed = ledger, feed
        self._memory: dict[str, PromiseMemory] = {}
        self._closed = FairShelf[None](MAX_CLOSED)
        self._answered = FairShelf[_Answered](MAX_KEYS)
        self._writing: dict[str, asyncio.Future[None]] = {}
        self.counters: Counter[str] = Counter()

    def take_up(self, memory: PromiseMemory) -> None:
        """Take up what an earlier life of the daemon has left."""
        for used in memory.keys:
            answer = replace(memory.promise, state=used.state, closed_at_s=None, cause="")
            self._remember_key(used, answer)
        self.put(memory)

    def put(self, memory: PromiseMemory) -> None:
        """Have this remembered of a promise; of those that are closed only the last."""
        promise = memory.promise
        self._memory[promise.id] = memory
        if not promise.state.is_open:
            gone = self._closed.put(promise.holder, promise.id, None)
            if gone is not None:
                del self._memory[gone]

    def of(self, name: str) -> PromiseMemory:
        """Return what is remembered of a promise that is on the shelf."""
        return self._memory[name]

    def find(self, name: str, by: Access) -> Reservation:
        """Return a promise, if `by` may see it.

        Raises:
            UnknownReservationError: there is none, or it is somebody else's.
        """
        memory = self._memory.get(name)
        if memory is None or not (by.sees_all or memory.promise.holder == by.name):
            message = (
                f"there is no reservation {name} of yours: GET /api/v1/reservations lists those"
                " there are"
            )
            raise UnknownReservationError(message)
        return memory.promise

    def seen_by(self, by: Access) -> tuple[Reservation, ...]:
        """Return every promise `by` may see."""
        kept = [memory.promise for memory in self._memory.values()]
        return tuple(p for p in kept if by.sees_all or p.holder == by.name)

    def answered(self, by: Access, key: UsedKey | None) -> Reservation | None:
        """Return what was answered under a key before, None if it is new.

        Raises:
            KeyReusedError: it was used for another request.
        """
        if key is None:
            return None
        known = self._answered.get(by.name, key.key)
        if known is None:
            return None
        if known.digest != key.digest:
            message = (
                f"the idempotency key {key.key} was used for another request: give each request a"
                " key of its own, and repeat a request word for word"
            )
            raise KeyReusedError(message)
        return known.promise

    async def write(
        self,
        promise: Reservation,
        *,
        by: Access,
        key: UsedKey | None,
        others: Iterable[Reservation] = (),
        why: Mapping[str, str] = NOTHING_SAID,
        drawn_in: tuple[ConnectorRef, TransactionId] | None = None,
    ) -> Reservation:
        """Write down what somebody has made of a promise; return it once it is durable.

        With `others`, which became what they are by it: all or none outlive us. `why` tells by id what
        was done to those that did not become anything. `drawn_in` is the
        transaction of its vehicle, where that is there already when it is held.

        Raises:
            NotDurableError: the ledger cannot be written for now.
        """
        memory = self._memory.get(promise.id) or PromiseMemory(promise=promise, drawn_in=drawn_in)
        keys = memory.keys
        if key is not None:
            used = PromiseKey(holder=by.name, key=key.key, digest=key.digest, state=promise.state)
            keys = (*keys, used)
            self._remember_key(used, promise)
        changed = [replace(self._memory[other.id], promise=other) for other in others]
        self.note(*changed, replace(memory, promise=promise, keys=keys), by=by.name, why=why)
        return await self.durable(promise)

    def note(
        self, *memories: PromiseMemory, by: str = "", why: Mapping[str, str] = NOTHING_SAID
    ) -> None:
        """Write down what has become of promises, all or none; tell it once it stands. Never waits."""
        for memory in memories:
            self.put(memory)
            self.counters[f"reservations {memory.promise.state}"] += 1
        promises = [memory.promise for memory in memories]
        news = [self._news(promise, why.get(promise.id, promise.cause)) for promise in promises]
        if self._ledger is None:
            for each in news:
                self._feed.publish(each)
            return
        acts = [
            Act(
                kind=f"reservation-{p.state}",
                subject=p.id,
                detail=_told(p, why.get(p.id, p.cause)),
                by=by,
            )
            for p in promises
        ]
        # Whom it is told outlives us with it: neither without the other.
        calls = [call for each in news for call in each.calls]
        written = self._ledger.keep_durably(*memories, *acts, *calls)
        for each in news:
            self._writing[each.subject] = written
            written.add_done_callback(partial(self._on_written, each))

    def count(self, memory: PromiseMemory) -> None:
        """Write down within a minute what is now known of a promise. Never waits."""
        self.put(memory)
        if self._ledger is not None:
            self._ledger.keep(memory)

    async def durable(self, promise: Reservation) -> Reservation:
        """Return a promise once nothing about it waits for the ledger.

        Raises:
            NotDurableError: that takes too long.
        """
        written = self._writing.get(promise.id)
        if written is not None:
            await asyncio.wait([written], timeout=DURABLE_WITHIN_S)
            if not written.done():
                message = (
                    "the ledger cannot be written, so nothing is promised yet: ask again with the"
                    " same idempotency key, or look at the reservation, once the alarm is over"
                )
                raise NotDurableError(message)
        return promise

    def _on_written(self, news: News, done: "asyncio.Future[None]") -> None:
        if self._writing.get(news.subject) is done:
            del self._writing[news.subject]
        if not done.cancelled():
            self._feed.publish(news)

    def _news(self, promise: Reservation, why: str) -> News:
        """Return what is told of a promise once it stands, and why."""
        return self._feed.news(
            "reservation",
            promise.id,
            holder=promise.holder,
            state=str(promise.state),
            place=place_said(promise.place),
            energy_wh=promise.energy_wh,
            delivered_wh=round(promise.delivered_wh),
            why=why,
        )

    def _remember_key(self, used: PromiseKey, answer: Reservation) -> None:
        self._answered.put(used.holder, used.key, _Answered(digest=used.digest, promise=answer))


def in_order(memories: Iterable[PromiseMemory]) -> list[PromiseMemory]:
    """Return what is remembered, those closed first and the oldest of them first."""
    endless_s = float("inf")
    return sorted(memories, key=lambda m: m.promise.closed_at_s or endless_s)


def _told(promise: Reservation, why: str) -> dict[str, str]:
    """Return what the audit says of a promise, and why."""
    told = {
        "place": place_said(promise.place),
        "energy_wh": str(promise.energy_wh),
        "from_at_s": f"{promise.opens_at_s:.0f}",
        "until_at_s": f"{promise.closes_at_s:.0f}",
        "confidence_ratio": f"{promise.confidence_ratio:.3f}",
        "criticality": str(promise.criticality),
        "holder": promise.holder,
    }
    if promise.reference is not None:
        told["reference"] = promise.reference
    if promise.arrived_at_s is not None:
        told["delivered_wh"] = f"{promise.delivered_wh:.0f}"
    if why:
        told["cause"] = why
    return told
