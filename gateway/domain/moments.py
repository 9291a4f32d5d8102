"""An instant by every clock a machine has, and how much time has passed since, at least and at most."""

from dataclasses import dataclass
from datetime import datetime, timedelta

WALL_SLACK_S = 2.0
"""How far two readings of a synchronised wall clock may be off from one another."""

FIRST_BELIEVABLE_YEAR = 2024
"""A wall clock that shows an earlier one was never set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was, for whoever reads it after the process or the machine has restarted.

    `boot_s` are the seconds since the machine was started, those it slept included
    (CLOCK_BOOTTIME); they compare only within one `boot_id` (empty: the machine tells none).
    `wall_at` is believed only if something keeps that clock right (`is_synchronised`): a machine
    without a battery begins in 1970.
    """

    wall_at: datetime
    boot_id: str
    boot_s: float
    is_synchronised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Elapsed:
    """How much time has passed: surely `at_least_s`, and no more than `at_most_s` (None: unknown)."""

    at_least_s: float
    at_most_s: float | None


def least_at(since: Moment, now: Moment) -> datetime:
    """Return the instant it is at least, by what the wall clock said at an earlier moment."""
    return since.wall_at + timedelta(seconds=elapsed(since, now).at_least_s)


def elapsed(since: Moment, now: Moment) -> Elapsed:
    """Return how much time has passed from `since` to `now`, whatever was done to the wall clock.

    Within one boot that is known. Over a restart of the machine at least its uptime has passed,
    and what the wall clock says counts only if it was right at both ends.
    """
    if since.boot_id and since.boot_id == now.boot_id:
        passed_s = max(0.0, now.boot_s - since.boot_s)
        return Elapsed(at_least_s=passed_s, at_most_s=passed_s)
    at_least_s = max(0.0, now.boot_s) if since.boot_id and now.boot_id else 0.0
    if since.is_synchronised and now.is_synchronised:
        by_wall_s = (now.wall_at - since.wall_at).total_seconds()
        if by_wall_s >= at_least_s - WALL_SLACK_S:
            return Elapsed(
                at_least_s=max(at_least_s, by_wall_s - WALL_SLACK_S),
                at_most_s=max(at_least_s, by_wall_s + WALL_SLACK_S),
            )
    return Elapsed(at_least_s=at_least_s, at_most_s=None)
