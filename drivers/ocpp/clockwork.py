"""Times as OCPP writes them, and what a station's clock shows."""

from datetime import UTC, datetime
from typing import Final

OBSERVATIONS: Final = 8
TOGETHER_S: Final = 1.0  # What comes within so long is one observation.
SEVERAL: Final = 3  # So many in a row tell that a clock was set back,
FAR_S: Final = 60.0  # by more than so much,
STEADY_S: Final = 5.0  # where they agree as well as this
LASTING_S: Final = 20.0  # for so long.
LONGEST_S: Final = 7 * 86_400.0  # What seems to have waited longer was written by a lost clock.
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
    observation is too low; the highest of the last few is the nearest. Where several in a row
    agree, for longer than what waited takes to arrive, the clock itself was set back.
    """

    __slots__ = ("_observed",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._observed: list[tuple[float, float]] = []  # How far ahead, and when that was seen.

    def observe_age_s(self, written_at: datetime, *, now_s: float) -> float:
        """Take the timestamp of a message that came now; return its age by the same clock.

        One that no clock shows says nothing: of that message the age is 0.
        """
        if written_at.year not in YEARS:
            return 0.0
        ahead_s = written_at.timestamp() - now_s
        observed = self._observed
        if observed and now_s - observed[-1][1] < TOGETHER_S:
            last_s, at_s = observed[-1]
            observed[-1] = (max(last_s, ahead_s), at_s)
        else:
            observed.append((ahead_s, now_s))
            if len(observed) > OBSERVATIONS:
                del observed[0]
            self._follow_back()
        return max(observed)[0] - ahead_s

    def _follow_back(self) -> None:
        """Forget what was observed before the clock was set back, if it was.

        What waited for a connection comes faster than it was written.
        """
        observed = self._observed
        least_s = max(observed)[0] - FAR_S
        first = len(observed)
        while first and observed[first - 1][0] < least_s:
            first -= 1
        since = observed[first:]
        if len(since) < SEVERAL or since[-1][1] - since[0][1] < LASTING_S:
            return
        if max(since)[0] - min(since)[0] <= STEADY_S:
            del observed[:first]

    def note_told(self, told_at: datetime, *, now_s: float) -> None:
        """Take that the station is being told the time, which it may set its clock by or not.

        Until it writes again the earlier of both counts: what ends by that ends in time. It is
        no observation: what is no longer observed is forgotten, however often it is told.
        """
        told_s = told_at.timestamp() - now_s
        self._observed = [(min(ahead_s, told_s), at_s) for ahead_s, at_s in self._observed]

    def is_known(self, now_s: float) -> bool:
        """Return whether what was written a while ago and what was written last show the same.

        What waited for a connection comes faster than it was written, and shows less than the clock.
        """
        newest_s = max(self._observed, default=(0.0, 0.0))[0]
        return any(
            now_s - at_s >= LASTING_S and newest_s - ahead_s <= STEADY_S
            for ahead_s, at_s in self._observed
        )

    def forget(self) -> None:
        """Begin anew: the station booted, and its clock may show anything."""
        self._observed.clear()

    def shows_at(self, now_s: float) -> datetime | None:
        """Return the instant it shows now, None if not known."""
        if not self._observed:
            return None
        return datetime.fromtimestamp(now_s + max(self._observed)[0], UTC)
