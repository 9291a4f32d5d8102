"""A clock whose wall time does not follow a jump until that has lasted: promises go by it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.domain.moments import FIRST_BELIEVABLE_YEAR
from gateway.ports import Clock

JUMP_S = 1.0
"""A wall clock that is off by no more from one look to the next is followed."""
LASTS_S = 300.0
"""How long a wall clock must have stayed where it has jumped to before it is believed."""
AWAY_S = 3_600.0
"""How far a wall clock may be from what an earlier life knew and yet be believed after a start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jump:
    """Where the wall clock is ahead of the monotonic one since a monotonic second."""

    since_s: float
    ahead_s: float


class SteadyClock:
    """`gateway.ports.Clock` over another, in one event loop.

    What closes by the clock stays closed: one second of a wall clock that is days ahead would close
    every promise. So where it jumps, time goes on as the monotonic clock has it, until the wall
    clock is back or has stayed there for five minutes. One that was never set, or that nothing had
    kept right and something does now, is believed at once. A start is no different: time goes on
    from when something was last written down by the time believed then, if the wall clock is far
    from that. The machine may have been off for so long: it is later then than time says, if not
    earlier, and until it is known nothing is to be promised by it (`doubt_s`).
    """

    def __init__(
        self,
        clock: Clock,
        *,
        is_kept_right: Callable[[], bool] = lambda: False,
        least_at: datetime | None = None,
    ) -> None:
        """Go by `clock`; `is_kept_right` tells whether something keeps its wall time right.

        `least_at` is the instant it is now at least by what an earlier life knew, if there was one.
        """
        self._clock, self._is_kept_right = clock, is_kept_right
        self._ahead_s: float | None = None
        self._is_guess = False
        if least_at is not None and abs((clock.now_at() - least_at).total_seconds()) > AWAY_S:
            self._ahead_s, self._is_guess = least_at.timestamp() - clock.monotonic_s(), True
        self._jump: _Jump | None = None
        self._was_kept_right = False

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""
        return self._clock.monotonic_s()

    def now_at(self) -> datetime:
        """Return the aware UTC instant, as it is without a jump that has yet to last."""
        wall_at, now_s = self._clock.now_at(), self._clock.monotonic_s()
        ahead_s = wall_at.timestamp() - now_s
        followed_s = self._follow(wall_at, ahead_s, now_s)
        return wall_at + timedelta(seconds=followed_s - ahead_s)

    def known_at(self) -> datetime | None:
        """Return the instant that was believed at the last look and what has passed since.

        None before the first look. It looks at no wall clock, and may be asked in any thread.
        """
        known_s = self._ahead_s
        if known_s is None:
            return None
        return datetime.fromtimestamp(known_s + self._clock.monotonic_s(), tz=UTC)

    def doubt_s(self) -> float:
        """Return in how many seconds the time may be known, 0.0 once it is.

        It is known but after a start with a wall clock far from what an earlier life knew.
        """
        self.now_at()
        if not self._is_guess or self._jump is None:
            return 0.0
        return max(1.0, self._jump.since_s + LASTS_S - self.monotonic_s())

    async def sleep_s(self, delay_s: float) -> None:
        """Wait; may wake up to a millisecond early."""
        await self._clock.sleep_s(delay_s)

    def problem(self) -> str | None:
        """Return in words that the wall clock has jumped, None while it is followed.

        To be asked each cycle: so it is known whether something has kept it right before.
        """
        self.now_at()
        self._was_kept_right = self._was_kept_right or self._is_kept_right()
        if self._jump is None or self._ahead_s is None:
            return None
        by_s = self._jump.ahead_s - self._ahead_s
        by = timedelta(seconds=round(abs(by_s)))
        if self._is_guess:
            way = "ahead of" if by_s > 0 else "behind"
            return (
                f"the wall clock is {by} {way} when the ledger was last written: nothing new is"
                f" promised until it has stayed so for {LASTS_S / 60:.0f} min, and promises end by"
                " it then: set it right if the machine was not off for so long, such as with"
                " `sudo timedatectl set-time`"
            )
        way = "forward" if by_s > 0 else "back"
        return (
            f"the wall clock jumped {way} by {by}: promises go by the time of before until it has"
            f" stayed so for {LASTS_S / 60:.0f} min, and end by it then: set it right if it is"
            " wrong, such as with `sudo timedatectl set-time`"
        )

    def _follow(self, wall_at: datetime, ahead_s: float, now_s: float) -> float:
        """Return how far ahead of the monotonic clock time is taken to be."""
        known_s = self._ahead_s
        if known_s is None or abs(ahead_s - known_s) <= JUMP_S or self._is_set(wall_at, known_s):
            return self._believe(ahead_s)
        jump = self._jump
        if jump is None or abs(ahead_s - jump.ahead_s) > JUMP_S:
            self._jump = _Jump(since_s=now_s, ahead_s=ahead_s)
        elif now_s - jump.since_s >= LASTS_S:
            return self._believe(ahead_s)
        return known_s

    def _believe(self, ahead_s: float) -> float:
        self._ahead_s, self._jump, self._is_guess = ahead_s, None, False
        return ahead_s

    def _is_set(self, wall_at: datetime, known_s: float) -> bool:
        """Return whether a wall clock that was wrong is put right by a jump."""
        before_at = datetime.fromtimestamp(known_s + self.monotonic_s(), tz=wall_at.tzinfo)
        if before_at.year < FIRST_BELIEVABLE_YEAR <= wall_at.year:
            return True
        return not self._was_kept_right and self._is_kept_right()
