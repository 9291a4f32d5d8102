"""The machine's clock: the only place that asks the operating system for the time."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """`gateway.ports.Clock` over the machine's own clocks."""

    def monotonic_s(self) -> float:
        """Return seconds since some fixed instant; they never jump, whatever sets the wall clock."""
        return time.monotonic()

    def now_at(self) -> datetime:
        """Return the aware UTC instant the wall clock shows."""
        return datetime.now(UTC)

    async def sleep_s(self, delay_s: float) -> None:
        """Wait; may wake up to a millisecond early (uvloop), so read the clock again."""
        await asyncio.sleep(max(0.0, delay_s))
