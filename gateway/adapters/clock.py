"""The machine's clocks: the only place that asks the operating system for the time."""

import asyncio
import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.adapters.fine_timer import FINE_BELOW_S, sleep_finely_s
from gateway.domain.moments import Moment

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CLOCK_IS_WRONG = 5  # adjtimex(2): TIME_ERROR, the clock is not synchronised.


class SystemClock:
    """`gateway.ports.Clock` and `MomentClock` over the machine's own clocks."""

    def monotonic_s(self) -> float:
        """Return seconds since some fixed instant; they never jump, whatever sets the wall clock."""
        return time.monotonic()

    def now_at(self) -> datetime:
        """Return the aware UTC instant the wall clock shows."""
        return datetime.now(UTC)

    async def sleep_s(self, delay_s: float) -> None:
        """Wait; may wake up to a millisecond early (uvloop), so read the clock again."""
        if 0.0 < delay_s < FINE_BELOW_S:
            await sleep_finely_s(delay_s)
        else:
            await asyncio.sleep(max(0.0, delay_s))

    def moment(self) -> Moment:
        """Return now, by every clock the machine has."""
        return Moment(
            wall_at=self.now_at(),
            boot_id=read_boot_id(),
            boot_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            is_synchronised=is_wall_clock_synchronised(),
        )


def read_boot_id() -> str:
    """Return what tells this start of the machine from all others, "" where it tells nothing."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def is_wall_clock_synchronised() -> bool:
    """Return whether something keeps the wall clock right, as the kernel was told (adjtimex)."""
    timex = ctypes.create_string_buffer(512)  # struct timex, with modes = 0: only read.
    try:
        state = int(ctypes.CDLL(None).adjtimex(timex))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _CLOCK_IS_WRONG
