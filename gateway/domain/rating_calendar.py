"""Ratings that are lower at times, by the days of the week and the hours of local time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from math import ceil, floor

from gateway.domain.electric import PerPhase

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_S = 24 * 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRating:
    """A rating per phase that holds on some days (0 is Monday) from one second of the day to another.

    Where it ends before it starts it goes on into the next day; where both are one it holds all
    day.
    """

    rating_ma: PerPhase
    starts_s: int
    ends_s: int
    days: frozenset[int] = frozenset(range(7))

    @property
    def lasts_s(self) -> int:
        """Return for how many seconds it holds each time."""
        return (self.ends_s - self.starts_s - 1) % DAY_S + 1

    def holds_at(self, local: datetime) -> bool:
        """Return whether it holds at a local time."""
        since_s = local.hour * 3_600 + local.minute * 60 + local.second - self.starts_s
        if since_s >= 0:
            return local.weekday() in self.days and since_s < self.lasts_s
        # Since yesterday, if at all.
        return (local.weekday() - 1) % 7 in self.days and since_s + DAY_S < self.lasts_s

    def __str__(self) -> str:
        """Return when it holds, for people: `mon to fri 16:00 to 20:00`."""
        hours = f"{_time(self.starts_s):%H:%M} to {_time(self.ends_s):%H:%M}"
        days = sorted(self.days)
        if len(days) == len(DAYS):
            return hours
        is_run = len(days) > 2 and days[-1] - days[0] == len(days) - 1  # noqa: PLR2004 - two are told by name
        named = (
            f"{DAYS[days[0]]} to {DAYS[days[-1]]}" if is_run else ", ".join(DAYS[d] for d in days)
        )
        return f"{named} {hours}"


def rating_at(
    rating_ma: PerPhase, ratings: Iterable[CalendarRating], local: datetime
) -> tuple[PerPhase, CalendarRating | None]:
    """Return the rating at a local time, the lowest of each phase, and by whom: None is itself."""
    whose: CalendarRating | None = None
    for one in ratings:
        if one.holds_at(local):
            lower = lower_of(rating_ma, one.rating_ma)
            if lower != rating_ma:
                rating_ma, whose = lower, one
    return rating_ma, whose


def lowest_rating(rating_ma: PerPhase, ratings: Iterable[CalendarRating]) -> PerPhase:
    """Return the lowest rating each phase ever has."""
    for one in ratings:
        rating_ma = lower_of(rating_ma, one.rating_ma)
    return rating_ma


def edges_between(
    ratings: Iterable[CalendarRating], zone: tzinfo, since_at_s: float, until_at_s: float
) -> tuple[float, ...]:
    """Return the epoch seconds between two at which some rating may begin or end, in order.

    That is at its own hours, and where clocks are put forward or back over them.
    """
    edges_s: set[float] = set(_clock_changes(zone, since_at_s, until_at_s))
    day = datetime.fromtimestamp(since_at_s, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(until_at_s, zone).date()
    of_day_s = {at_s for one in ratings for at_s in (one.starts_s, one.ends_s)}
    while day <= last:
        for at_s in of_day_s:
            at = datetime.combine(day, _time(at_s), tzinfo=zone)
            # Where the clocks are put back it comes twice.
            edges_s |= {at.timestamp(), at.replace(fold=1).timestamp()}
        day += timedelta(days=1)
    return tuple(sorted(edge_s for edge_s in edges_s if since_at_s < edge_s < until_at_s))


def _clock_changes(zone: tzinfo, since_at_s: float, until_at_s: float) -> Iterator[float]:
    """Yield the epoch seconds between two at which clocks are put forward or back."""
    begins_s, last_s = floor(since_at_s), ceil(until_at_s)
    while begins_s < last_s:
        before_s, after_s = begins_s, min(begins_s + DAY_S, last_s)
        begins_s, is_changed = after_s, _offset(zone, before_s) != _offset(zone, after_s)
        while is_changed and after_s - before_s > 1:
            middle_s = (before_s + after_s) // 2
            if _offset(zone, middle_s) == _offset(zone, before_s):
                before_s = middle_s
            else:
                after_s = middle_s
        if is_changed:
            yield float(after_s)


def _offset(zone: tzinfo, at_s: float) -> timedelta | None:
    return datetime.fromtimestamp(at_s, zone).utcoffset()


def lower_of(one: PerPhase, other: PerPhase) -> PerPhase:
    """Return the lower of two on each phase."""
    l1, l2, l3 = (min(pair) for pair in zip(one, other, strict=True))
    return l1, l2, l3


def _time(of_day_s: int) -> time:
    return time(of_day_s // 3_600 % 24, of_day_s // 60 % 60, of_day_s % 60)
