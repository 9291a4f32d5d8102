"""Virtual time: an event loop whose clock jumps to the next timer when nothing else is to do.

`asyncio.sleep`, `asyncio.timeout` and every real protocol on top of them work unchanged; a
simulated hour takes as long as the work in it. Threads and sockets do not belong here.
"""

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class DeadlockError(RuntimeError):
    """Every task waits for something that no timer will bring."""


class _Timer(asyncio.TimerHandle):
    """A timer that yields to those set before it for the same instant."""

    _numbers = itertools.count()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._number = next(self._numbers)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self.when(), self._number) < (other.when(), other._number)


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: what it was asked to wait is added to the time."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set: every task waits for ever")
        self.now_s += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time; it begins at 0 s. Timers of one instant run in the order set.

    Raises:
        DeadlockError: out of the run, when nothing can ever happen again.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # A nanosecond, asyncio's own choice, is lost in a float after 2^24 s and the loop would
        # spin for ever on a timer that is due but never past.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.now_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer


class VirtualClock:
    """`gateway.ports.Clock` on the running virtual loop; the wall clock can be made to jump."""

    def __init__(self, start_at: datetime = datetime(2026, 1, 5, 8, tzinfo=UTC)) -> None:
        self._start_at = start_at

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_at(self) -> datetime:
        return self._start_at + timedelta(seconds=self.monotonic_s())

    async def sleep_s(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))

    def jump_wall_clock(self, by: timedelta) -> None:
        """Set the wall clock forward (or back); monotonic time does not notice."""
        self._start_at += by


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end in virtual time, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
