"""Tells who follows along what changed, and has addresses told; who is slow to follow is told so."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from gateway.domain.memory import CallMemory
from gateway.domain.notices import Notice, NoticeValue
from gateway.ports import Clock
from gateway.services.outbox import Outbox

REMEMBERED = 1_000
KNOWN_WHOSE = 50_000
"""Of so many notices it is remembered at least whose they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A change that is not told yet, and the calls by which addresses will be."""

    kind: str
    subject: str
    holder: str | None
    data: dict[str, NoticeValue]
    calls: tuple[CallMemory, ...]


class Feed:
    """The newest notices, for any number of followers in one event loop."""

    def __init__(
        self, clock: Clock, *, outbox: Outbox | None = None, remembered: int = REMEMBERED
    ) -> None:
        """Begin with nothing told; `outbox` has addresses told as well."""
        self._clock, self._outbox = clock, outbox
        self._told: deque[Notice] = deque(maxlen=remembered)
        self._whose: deque[str | None] = deque(maxlen=KNOWN_WHOSE)
        self._number = 0
        self._life = format(int(clock.now_at().timestamp() * 1_000), "x")
        self._changed = asyncio.Event()

    @property
    def life(self) -> str:
        """Return a name that no other life of the daemon has: the instant it began."""
        return self._life

    @property
    def newest_number(self) -> int:
        """Return the number of the newest notice, 0 before the first."""
        return self._number

    def tell(
        self, kind: str, subject: str, *, holder: str | None = None, **data: NoticeValue
    ) -> None:
        """Tell a change. Never waits, never raises."""
        news = self.news(kind, subject, holder=holder, **data)
        if self._outbox is not None:
            self._outbox.keep(news.calls)
        self.publish(news)

    def news(
        self, kind: str, subject: str, *, holder: str | None = None, **data: NoticeValue
    ) -> News:
        """Return a change that is to be told once the ledger has it, together with its calls."""
        calls: tuple[CallMemory, ...] = ()
        if self._outbox is not None:
            calls = self._outbox.calls(kind, subject, holder=holder, data=data)
        return News(kind=kind, subject=subject, holder=holder, data=data, calls=calls)

    def publish(self, news: News) -> None:
        """Tell a change whose calls the ledger has. Never waits, never raises."""
        if self._outbox is not None:
            self._outbox.post(news.calls)
        self._number += 1
        self._whose.append(news.holder)
        self._told.append(
            Notice(
                number=self._number,
                at=self._clock.now_at(),
                kind=news.kind,
                subject=news.subject,
                holder=news.holder,
                data=news.data,
            )
        )
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_newer(self, after_number: int, *, within_s: float) -> tuple[Notice, ...]:
        """Return the notices after a number, once there are any; none when there are none in time.

        What is no longer remembered is missing: the numbers have a gap then.
        """
        # Numbers of an earlier life of the daemon may be higher than ours.
        after_number = min(after_number, self._number)
        if after_number == self._number:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._changed.wait()
        return tuple(notice for notice in self._told if notice.number > after_number)

    def forgotten(self, after_number: int) -> tuple[str | None, ...] | None:
        """See `gateway.ports.Notices`."""
        first_known = self._number - len(self._whose) + 1
        first_told = self._told[0].number if self._told else self._number + 1
        if after_number + 1 < first_known:
            return None
        begin, end = after_number + 1 - first_known, first_told - first_known
        return tuple(islice(self._whose, begin, max(begin, end)))
