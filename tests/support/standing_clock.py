"""A clock whose wall clock stands, so that slots lie alike at every run, while real time goes on."""

import asyncio
from datetime import UTC, datetime, timedelta


class StandingClock:
    """`gateway.ports.Clock` on a real loop; the wall clock moves when `ahead` is set."""

    def __init__(self, start_at: datetime = datetime(2026, 1, 5, 12, tzinfo=UTC)) -> None:
        self._start_at, self.ahead = start_at, timedelta()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_at(self) -> datetime:
        return self._start_at + self.ahead

    async def sleep_s(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
