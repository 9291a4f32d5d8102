"""The real clock and the virtual one, side by side."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.clock import SystemClock
from gateway.adapters.fine_timer import FINE_BELOW_S
from gateway.ports import Clock
from tests.support.virtual_time import DeadlockError, VirtualClock, run_virtual


def test_the_system_clock_is_a_clock() -> None:
    clock: Clock = SystemClock()

    before_s, before_at = clock.monotonic_s(), clock.now_at()
    asyncio.run(clock.sleep_s(-1.0))

    assert clock.monotonic_s() >= before_s
    assert clock.now_at().tzinfo is UTC
    assert before_at <= clock.now_at()


def test_a_moment_is_told_by_every_clock_of_the_machine() -> None:
    clock = SystemClock()

    first, second = clock.moment(), clock.moment()

    assert first.boot_id == second.boot_id != ""
    assert 0 < first.boot_s <= second.boot_s
    assert first.wall_at <= second.wall_at
    # Suspended time counts in the one and not in the other.
    assert second.boot_s + 0.001 >= clock.monotonic_s() - 1.0


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
@given(delays_s=st.lists(st.floats(-0.001, 0.006), min_size=1, max_size=10))
@settings(max_examples=30, deadline=None)
def test_a_short_wait_of_the_system_clock_is_never_over_early(
    loop: Callable[[], asyncio.AbstractEventLoop], delays_s: list[float]
) -> None:
    """A serial line counts its silences in tenths of milliseconds, event loops in whole ones."""
    clock = SystemClock()

    async def wait(delay_s: float) -> bool:
        until_s = clock.monotonic_s() + delay_s
        await clock.sleep_s(delay_s)
        return clock.monotonic_s() >= until_s

    async def wait_all() -> list[bool]:
        return await asyncio.gather(*map(wait, delays_s))

    with asyncio.Runner(loop_factory=loop) as runner:
        kept = runner.run(wait_all())

    assert all(
        was_kept or delay_s >= FINE_BELOW_S
        for was_kept, delay_s in zip(kept, delays_s, strict=True)
    )


@LOOPS
def test_a_short_wait_that_is_given_up_leaves_nothing_behind(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def give_up() -> tuple[int, int]:
        before = descriptors()
        for _ in range(20):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await SystemClock().sleep_s(0.004)
        return before, descriptors()

    with asyncio.Runner(loop_factory=loop) as runner:
        before, after = runner.run(give_up())

    assert after == before


def test_a_virtual_week_passes_minute_by_minute() -> None:
    async def count_minutes() -> tuple[int, float, datetime]:
        clock: Clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
        minutes = 0
        while clock.monotonic_s() < timedelta(days=7).total_seconds():
            await clock.sleep_s(60)
            minutes += 1
        return minutes, clock.monotonic_s(), clock.now_at()

    minutes, elapsed_s, ended_at = run_virtual(count_minutes())

    assert minutes == 7 * 24 * 60
    assert elapsed_s == pytest.approx(7 * 86_400)
    assert ended_at == datetime(2026, 1, 12, tzinfo=UTC)


def test_virtual_time_does_not_stall_after_years() -> None:
    async def sleep_past_the_precision_of_a_float() -> float:
        await asyncio.sleep(10 * 365 * 86_400.0)
        for _ in range(1_000):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time()

    assert run_virtual(sleep_past_the_precision_of_a_float()) == pytest.approx(315_360_100.0)


def test_timers_of_one_instant_run_in_the_order_they_were_set() -> None:
    order: list[int] = []

    async def set_many() -> None:
        loop = asyncio.get_running_loop()
        for number in range(100):
            loop.call_at(5.0, order.append, number)
        await asyncio.sleep(6.0)

    run_virtual(set_many())

    assert order == list(range(100))


def test_waiting_for_ever_is_a_deadlock_not_a_hang() -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(wait_for_nobody())


def test_a_timeout_ends_a_wait_at_its_virtual_second() -> None:
    async def wait_with_a_limit() -> float:
        try:
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        except TimeoutError:
            return asyncio.get_running_loop().time()
        return -1.0

    assert run_virtual(wait_with_a_limit()) == 2.5


def test_the_wall_clock_jumps_and_monotonic_time_does_not() -> None:
    async def jump() -> tuple[float, timedelta]:
        clock = VirtualClock()
        before_at, before_s = clock.now_at(), clock.monotonic_s()
        clock.jump_wall_clock(timedelta(hours=-1))
        return clock.monotonic_s() - before_s, clock.now_at() - before_at

    assert run_virtual(jump()) == (0.0, timedelta(hours=-1))
