"""Tells who follows along what changed; who is slow misses the oldest, and is told so."""

import asyncio
from collections import deque
from contextlib import suppress

from gateway.domain.notices import Notice, NoticeValue
from gateway.ports import Clock

REMEMBERED = 1_000


class Feed:
    """The newest notices, for any number of followers in one event loop."""

    def __init__(self, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        """Begin with nothing told."""
        self._clock = clock
        self._told: deque[Notice] = deque(maxlen=remembered)
        self._number = 0
        self._changed = asyncio.Event()

    @property
    def newest_number(self) -> int:
        """Return the number of the newest notice, 0 before the first."""
        return self._number

    def tell(
        self, kind: str, subject: str, *, holder: str | None = None, **data: NoticeValue
    ) -> None:
        """Tell a change. Never waits, never raises."""
        self._number += 1
        self._told.append(
            Notice(
                number=self._number,
                at=self._clock.now_at(),
                kind=kind,
                subject=subject,
                holder=holder,
                data=data,
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
