"""Times as OCPP writes them, and what a station's clock shows."""

from datetime import UTC, datetime
from typing import Final

OBSERVATIONS: Final = 8
YEARS: Final = range(1970, 2200)  # What a clock may show, lost or not; sums with it stay dates.


def wire_time(instant: datetime) -> str:
    """Return an instant as OCPP wants it: UTC, whole seconds, rounded down."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def read_time(text: str | None) -> datetime | None:
    """Return the instant a station wrote, None if it cannot be read; without a zone it is UTC."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        return None


class StationClock:
    """What a station's clock shows, from the timestamps of its messages.

    It is told in seconds ahead of our monotonic clock: a jump of our own wall clock moves nothing
    of it. A message takes time to arrive and may have waited for a connection first, so every
    observation is too low; the highest of the last few is the nearest.
    """

    __slots__ = ("_ahead_s",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._ahead_s: list[float] = []

    def observe_age_s(self, written_at: datetime, *, now_s: float) -> float:
        """Take the timestamp of a message that came now; return its age by the same clock.

        One that no clock shows says nothing: of that message the age is 0.
        """
        if written_at.year not in YEARS:
            return 0.0
        ahead_s = written_at.timestamp() - now_s
        observed = self._ahead_s
        observed.append(ahead_s)
        if len(observed) > OBSERVATIONS:
            del observed[0]
        return max(observed) - ahead_s

    def note_told(self, told_at: datetime, *, now_s: float) -> None:
        """Take that the station is being told the time, which it may set its clock by or not.

        Until it writes again the earlier of both counts: what ends by that ends in time.
        """
        if self._ahead_s:
            self._ahead_s = [min(max(self._ahead_s), told_at.timestamp() - now_s)]

    def forget(self) -> None:
        """Begin anew: the station booted, and its clock may show anything."""
        self._ahead_s.clear()

    def shows_at(self, now_s: float) -> datetime | None:
        """Return the instant it shows now, None if not known."""
        if not self._ahead_s:
            return None
        return datetime.fromtimestamp(now_s + max(self._ahead_s), UTC)
