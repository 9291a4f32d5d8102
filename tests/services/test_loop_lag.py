"""A loop that is held up shows in what is noted of its lag."""

import asyncio
import time

from gateway.adapters.clock import SystemClock
from gateway.domain.ids import StationId
from gateway.services.loop_lag import watch_loop_lag

HELD_UP_S = 0.3


class Noted:
    """Keeps every lag it is told."""

    def __init__(self) -> None:
        self.lags_s: list[float] = []
        self.is_told = asyncio.Event()

    def note_lag(self, lag_s: float) -> None:
        self.lags_s.append(lag_s)
        self.is_told.set()

    def note_cycle(self, duration_s: float) -> None:
        raise AssertionError(duration_s)

    def note_call(self, station: StationId, duration_s: float) -> None:
        raise AssertionError(station, duration_s)

    def note_limit(self, latency_s: float) -> None:
        raise AssertionError(latency_s)


def test_what_holds_the_loop_up_is_noted_and_no_lag_is_negative() -> None:
    noted = Noted()

    async def main() -> None:
        watching = asyncio.get_running_loop().create_task(
            watch_loop_lag(noted, clock=SystemClock())
        )
        await noted.is_told.wait()
        noted.is_told.clear()
        time.sleep(HELD_UP_S)  # noqa: ASYNC251, TID251 - it is the fault
        await noted.is_told.wait()
        watching.cancel()

    asyncio.run(main())

    assert max(noted.lags_s) >= HELD_UP_S - 0.1
    assert min(noted.lags_s) >= 0
