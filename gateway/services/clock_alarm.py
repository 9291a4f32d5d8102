"""Tells a wall clock that was never set from one that may be believed."""

from datetime import datetime

from gateway.domain.moments import FIRST_BELIEVABLE_YEAR


def clock_problem(now_at: datetime) -> str | None:
    """Return what it means that the wall clock is where it is, and what to do; None if it may be.

    The words stay the same while it goes on.
    """
    if now_at.year >= FIRST_BELIEVABLE_YEAR:
        return None
    return (
        f"the clock shows {now_at.year}: it was never set. Control goes by another; but promises,"
        " copies of the ledger and reports wait for it: give this machine a network that tells the"
        " time, or `sudo timedatectl set-time`, or a battery"
    )
