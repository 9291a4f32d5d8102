"""What the calendar keeps up: nightly copies of the ledger, and letting go of what is kept no longer."""

import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

from gateway.adapters.calendar import Errand
from gateway.adapters.history_db import HistoryDb
from gateway.adapters.ledger_backup import backup_path, backup_to, drop_old_backups
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_schema import BACKUP_FOLDER, LEDGER_NAME
from gateway.domain.errors import HeadroomError
from gateway.domain.moments import FIRST_BELIEVABLE_YEAR
from gateway.ports import MomentClock

BACKUP = "backup"
RETENTION = "retention"

BACKUP_AT = time(4, 20)
"""By the site's clock. No zone changes its hour then, and few vehicles are plugged in."""

RETENTION_AT = time(4, 40)
OVERDUE = timedelta(hours=26)

SPARE_BYTES = 100 * 2**20
"""What a backup leaves free: the ledger itself needs room before its copies do."""


class UpkeepError(HeadroomError):
    """Upkeep could not be done; the message says what to do."""


def errands_of(
    folder: Path, *, ledger: LedgerDb, history: HistoryDb, clock: MomentClock
) -> list[Errand]:
    """Return the errands that keep up a state folder."""

    def overdue() -> bool:
        return is_backup_overdue(folder, clock.now_at())

    async def let_go() -> str:
        return await _let_go(ledger, history, clock)

    return [
        Errand(
            name=BACKUP,
            at=BACKUP_AT,
            work=lambda: back_up(folder, now_at=clock.now_at),
            is_overdue=overdue,
        ),
        Errand(name=RETENTION, at=RETENTION_AT, work=let_go),
    ]


def is_backup_overdue(folder: Path, now_at: datetime) -> bool:
    """Return whether there is a ledger whose newest copy was made more than a day ago, or never."""
    if not (folder / LEDGER_NAME).exists() or now_at.year < FIRST_BELIEVABLE_YEAR:
        return False
    made = sorted((folder / BACKUP_FOLDER).glob("ledger-2*.db"))
    return not made or made[-1].name <= backup_path(folder, now_at - OVERDUE).name


def back_up(folder: Path, *, now_at: Callable[[], datetime]) -> str:
    """Copy the ledger into its folder of backups, check the copy, and drop the oldest; say so.

    Raises:
        UpkeepError: there is no room, or it cannot be read or written.
        LedgerDamagedError, LedgerRefusedError: as `backup_to`.
    """
    at = now_at()
    if at.year < FIRST_BELIEVABLE_YEAR:
        return "left until the clock is set: a copy is named after its day"
    try:
        need_bytes = (folder / LEDGER_NAME).stat().st_size + SPARE_BYTES
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < need_bytes:
            raise UpkeepError(
                f"the ledger was not copied: {free_bytes / 2**20:.0f} MB are free at {folder}, and"
                f" {need_bytes / 2**20:.0f} MB are wanted; make room"
            )
        copy = backup_to(backup_path(folder, at), folder=folder)
        dropped = drop_old_backups(folder)
    except (OSError, sqlite3.Error) as error:
        raise UpkeepError(f"the ledger was not copied: {error}; check the disk") from error
    return f"{copy.path}, {copy.transaction_count} transactions; {len(dropped)} old ones dropped"


async def _let_go(ledger: LedgerDb, history: HistoryDb, clock: MomentClock) -> str:
    if not clock.moment().is_synchronised:
        # A clock that is years ahead would let go of everything.
        return "left for a day on which something keeps the clock right"
    try:
        gone = await ledger.let_go()
        minute_count = await history.let_go()
    except (OSError, sqlite3.Error) as error:
        message = f"what is old could not be let go of: {error}; check the disk"
        raise UpkeepError(message) from error
    return (
        f"{gone.transaction_count} transactions, {gone.promise_count} promises,"
        f" {gone.audit_count} rows of the audit and {minute_count} minutes let go of"
    )
