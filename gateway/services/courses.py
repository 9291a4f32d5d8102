"""How much had flowed at a connector by which instant: its readings, in the order in which they were taken."""

from bisect import bisect_right
from typing import NamedTuple

MAX_POINTS = 64
"""So many readings are known one by one; of more, told while what is older may still be, the last alone."""


class Point(NamedTuple):
    """So much had flowed by a monotonic second, and so much its meter showed then, if that is known."""

    at_s: float
    flowed_wh: float = 0.0
    shown_wh: float | None = None


Course = tuple[Point, ...]
"""The points of a connector, sorted by when they were read. Nothing is known before the first."""


def flowed_wh(course: Course, since_s: float, until_s: float) -> float:
    """Return how much flowed in a time, taken to be even from one reading to the next."""
    return _flowed_by(course, until_s) - _flowed_by(course, since_s)


def with_newest(course: Course, point: Point) -> Course:
    """Return a course with what was read last."""
    last_s = course[-1].at_s if course else point.at_s
    return (*course, point._replace(at_s=max(last_s, point.at_s)))


def bounded(course: Course) -> Course:
    """Return a course with the points that what is told late is sorted among, and its end."""
    return course if len(course) <= MAX_POINTS else (*course[: MAX_POINTS - 1], course[-1])


def with_older(course: Course, at_s: float, shown_wh: float) -> Course | None:
    """Return a course with a reading that is told after newer ones; None where it has no place there.

    It tells nothing new of how much has flowed, but when.
    """
    at = bisect_right(course, at_s, key=_at_s)
    if not 0 < at < len(course):
        return None
    before, after = course[at - 1], course[at]
    if before.shown_wh is None or after.shown_wh is None:
        return None
    if before.shown_wh == after.shown_wh or not before.shown_wh <= shown_wh <= after.shown_wh:
        return None
    ratio = (shown_wh - before.shown_wh) / (after.shown_wh - before.shown_wh)
    flowed = before.flowed_wh + ratio * (after.flowed_wh - before.flowed_wh)
    return (*course[:at], Point(at_s, flowed, shown_wh), *course[at:])


def _flowed_by(course: Course, by_s: float) -> float:
    at = bisect_right(course, by_s, key=_at_s)
    before, after = course[max(0, at - 1)], course[min(at, len(course) - 1)]
    if before is after:
        return after.flowed_wh
    ratio = (by_s - before.at_s) / (after.at_s - before.at_s)
    return before.flowed_wh + ratio * (after.flowed_wh - before.flowed_wh)


def _at_s(point: Point) -> float:
    return point.at_s
