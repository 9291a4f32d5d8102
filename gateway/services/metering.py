"""Reads every meter at its own pace and posts what it says as facts."""

import asyncio
import logging
from collections.abc import Iterable

from gateway.domain.circuits import Meter
from gateway.domain.errors import MeterFaultError
from gateway.domain.events import MeterRead
from gateway.ports import Clock, MeterDriver, Post

_log = logging.getLogger(__name__)

LOST_AFTER_S = 5.0
"""A meter is called lost when control stops raising on its word (design §3)."""


async def poll_meters(
    meters: Iterable[tuple[Meter, MeterDriver]], *, clock: Clock, post: Post
) -> None:
    """Read each meter every `Meter.interval_s`, for ever; end by cancelling.

    A lost meter posts nothing: its last reading is left to age. Any other failure of a driver
    is a bug and ends all of them.
    """
    async with asyncio.TaskGroup() as tasks:
        for meter, driver in meters:
            tasks.create_task(
                poll_meter(meter, driver, clock=clock, post=post), name=f"meter {meter.id}"
            )


async def poll_meter(meter: Meter, driver: MeterDriver, *, clock: Clock, post: Post) -> None:
    """Read one meter every `Meter.interval_s`, never sooner, for ever."""
    good_s, is_lost = clock.monotonic_s(), False
    due_s = good_s
    while True:
        # A sleep may end early, and a reading must never come before its time.
        while (delay_s := due_s - clock.monotonic_s()) > 0:
            await clock.sleep_s(delay_s)
        begun_s = clock.monotonic_s()
        try:
            reading = await driver.read()
        except MeterFaultError as fault:
            silent_s = clock.monotonic_s() - good_s
            if not is_lost and silent_s >= LOST_AFTER_S:
                is_lost = True
                _log.warning("meter %s is lost for %.0f s: %s", meter.id, silent_s, fault.detail)
        else:
            now_s = clock.monotonic_s()
            post(MeterRead(at_s=now_s, reading=reading))
            if is_lost:
                is_lost = False
                _log.warning("meter %s is back after %.0f s", meter.id, now_s - good_s)
            good_s = now_s
        # From the time begun: what is missed is not made up for by reading faster.
        due_s = max(begun_s + meter.interval_s, clock.monotonic_s())
