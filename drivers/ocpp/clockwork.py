"""Times as OCPP writes them, and how far a station's clock is from ours."""

from datetime import UTC, datetime
from typing import Final

OBSERVATIONS: Final = 8


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


class ClockSkew:
    """How far a station's clock is ahead of ours, from the timestamps of its messages.

    A message takes time to arrive and may have waited for a connection first, so every
    observation is too low; the highest of the last few is the nearest.
    """

    __slots__ = ("_ahead_s",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._ahead_s: list[float] = []

    def observe_age_s(self, written_at: datetime, *, arrived_at: datetime) -> float:
        """Take a message's timestamp; return how old it is by the station's own clock."""
        ahead_s = (written_at - arrived_at).total_seconds()
        observed = self._ahead_s
        observed.append(ahead_s)
        if len(observed) > OBSERVATIONS:
            del observed[0]
        return max(observed) - ahead_s

    def forget(self) -> None:
        """Begin anew: the station has just been told the time."""
        self._ahead_s.clear()

    @property
    def ahead_s(self) -> float | None:
        """Return the seconds the station is ahead, negative if behind, None if not known."""
        return max(self._ahead_s, default=None)
