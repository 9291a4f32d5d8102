"""A trip output's latch: an overload that nothing else ends opens it, a person lets it be closed."""

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.control.stop_latch import ReleaseRefusedError

SILENT_AFTER_S = 15.0
"""An output unheard for longer may not be there when it is needed."""

CLOSES_WITHIN_S = 10.0
"""A release that was not seen to be done by then is void: nobody waits beside it any more."""


SEEN_AFTER_S = 5.0
"""By then a reading tells that the circuit is open: a meter read less often is always stale."""


class TripState(StrEnum):
    """What is so of a trip output and wants a person."""

    OPENING = "opening"  # It must open, and was not seen to be.
    OPEN = "open"  # It has opened, and nobody has released it.
    POWERLESS = "powerless"  # It is open, and the circuit is over its rating all the same.
    CLOSING = "closing"  # It is released, and was not seen to be closed.
    FOUND_OPEN = "found open"  # It is open, and nothing is known of a trip.
    SILENT = "silent"  # It cannot be read: it might not open.


@dataclass(frozen=True, slots=True, kw_only=True)
class TripLatch:
    """What is known of a trip output and of the trip it was opened for.

    `is_tripped`: there was an overload that nothing else ended, and nobody has released it.
    `is_over`: it goes on. `is_open` is how the output was seen last, at `heard_s`, monotonic; None
    and the time of the start before its first answer. It has been so since `open_since_s`.
    `closing_until_s` is set by a release.
    """

    is_tripped: bool
    heard_s: float
    is_over: bool = False
    is_open: bool | None = None
    open_since_s: float | None = None
    closing_until_s: float | None = None

    @classmethod
    def after_restart(cls, *, is_tripped: bool, now_s: float) -> "TripLatch":
        """Return what is known at the start: a trip that was not released has left it open."""
        if not is_tripped:
            return cls(is_tripped=False, heard_s=now_s)
        return cls(is_tripped=True, is_open=True, open_since_s=now_s, heard_s=now_s)

    def judged(self, *, is_over: bool) -> "TripLatch":
        """Return what is known once control has said whether the circuit must be opened."""
        closing_until_s = None if is_over else self.closing_until_s
        return replace(
            self,
            is_over=is_over,
            is_tripped=self.is_tripped or is_over,
            closing_until_s=closing_until_s,
        )

    def heard(self, *, is_open: bool, now_s: float) -> "TripLatch":
        """Return what is known once the output was read."""
        since_s = self.open_since_s if self.is_open else now_s
        seen = replace(
            self, is_open=is_open, heard_s=now_s, open_since_s=since_s if is_open else None
        )
        if self._is_closing(now_s) and not is_open:
            return replace(seen, is_tripped=False, closing_until_s=None)
        return seen

    def unconfirmed(self) -> "TripLatch":
        """Return what is known once an order to it was not confirmed: not how it is."""
        return replace(self, is_open=None)

    def released(self, now_s: float) -> "TripLatch":
        """Return what is known once a person has released it.

        Raises:
            ReleaseRefusedError: the overload goes on, the output cannot be read, or it is not open.
        """
        if self.is_over:
            message = "the circuit is still over its rating: find what draws there first"
            raise ReleaseRefusedError(message)
        if self._is_silent(now_s) or self.is_open is None:
            message = "its trip output does not answer: it must be heard first"
            raise ReleaseRefusedError(message)
        if not self.is_tripped and not self.is_open:
            raise ReleaseRefusedError("its trip output is not open")
        return replace(self, closing_until_s=now_s + CLOSES_WITHIN_S)

    def wants_open(self, now_s: float) -> bool | None:
        """Return whether it must be open (True), closed (False), or be left as it is (None)."""
        if self._is_closing(now_s):
            return False
        return True if self.is_tripped else None

    def is_as_wanted(self, now_s: float) -> bool:
        """Return whether it was last seen as it must be."""
        wanted = self.wants_open(now_s)
        return wanted is None or self.is_open is wanted

    def state(self, now_s: float) -> TripState | None:
        """Return what wants a person, None if nothing does."""
        if self._is_closing(now_s):
            return TripState.CLOSING
        if self.is_tripped and not self.is_open:
            return TripState.OPENING
        if self._is_silent(now_s):
            return TripState.SILENT
        if self.is_tripped:
            is_seen = now_s - (self.open_since_s or now_s) > SEEN_AFTER_S
            return TripState.POWERLESS if self.is_over and is_seen else TripState.OPEN
        return TripState.FOUND_OPEN if self.is_open else None

    def _is_closing(self, now_s: float) -> bool:
        return self.closing_until_s is not None and now_s < self.closing_until_s

    def _is_silent(self, now_s: float) -> bool:
        return now_s - self.heard_s > SILENT_AFTER_S
