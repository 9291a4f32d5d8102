"""Waits of a few milliseconds that are over when they are over: event loops count in whole ones."""

import asyncio
import ctypes
import os
from typing import Final

FINE_BELOW_S: Final = 0.005
"""A wait shorter than this is worth a timer of its own."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_NON_BLOCKING = os.O_NONBLOCK | os.O_CLOEXEC  # timerfd_create(2): TFD_NONBLOCK, TFD_CLOEXEC.


class _TimerSettings(ctypes.Structure):
    """`struct itimerspec`: the interval, which is none, and the first expiry."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


async def sleep_finely_s(delay_s: float) -> None:
    """Wait for `delay_s` by the kernel's own timer: never less, and some 0.1 ms more.

    Raises:
        OSError: the system has no more file descriptors.
    """
    # Python 3.13 has it as os.timerfd_create.
    timer = _LIBC.timerfd_create(1, _NON_BLOCKING)  # CLOCK_MONOTONIC
    if timer < 0:
        raise OSError(ctypes.get_errno(), "no timer")
    loop = asyncio.get_running_loop()
    expired: asyncio.Future[None] = loop.create_future()

    def expire() -> None:
        if not expired.done():
            expired.set_result(None)

    try:
        # Nothing at all would switch it off.
        settings = _TimerSettings(value_ns=max(0, int(delay_s * 1e9)) + 1)
        settings.value_s, settings.value_ns = divmod(settings.value_ns, 1_000_000_000)
        _LIBC.timerfd_settime(timer, 0, ctypes.byref(settings), None)
        loop.add_reader(timer, expire)
        try:
            await expired
        finally:
            loop.remove_reader(timer)
    finally:
        os.close(timer)
