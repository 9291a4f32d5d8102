"""The ledger is copied each night and old things are let go of, if the clock can be believed."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.calendar import Calendar
from gateway.adapters.clock import SystemClock
from gateway.adapters.history_db import HistoryDb
from gateway.adapters.ledger_backup import BACKUPS_KEPT_COUNT, backup_path, check_copy
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_schema import BACKUP_FOLDER, LEDGER_NAME, open_ledger
from gateway.adapters.upkeep import (
    BACKUP,
    OVERDUE,
    UpkeepError,
    back_up,
    errands_of,
    is_backup_overdue,
)
from gateway.domain.errors import HeadroomError
from gateway.domain.moments import Moment

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class KeptClock(SystemClock):
    """The machine's clock, which something keeps right, or not."""

    def __init__(self, *, is_synchronised: bool) -> None:
        self.is_synchronised = is_synchronised

    def moment(self) -> Moment:
        return replace(super().moment(), is_synchronised=self.is_synchronised)


def a_ledger(folder: Path) -> None:
    open_ledger(folder / LEDGER_NAME, site="Dockside", now_at=NOON).close()


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / BACKUP_FOLDER).iterdir())


def test_a_copy_is_made_and_the_oldest_of_many_goes(tmp_path: Path) -> None:
    a_ledger(tmp_path)
    days = [NOON + timedelta(days=n) for n in range(BACKUPS_KEPT_COUNT + 1)]
    said = [back_up(tmp_path, now_at=partial(next, iter([day]))) for day in days]

    assert len(copies(tmp_path)) == BACKUPS_KEPT_COUNT
    assert "1 old ones dropped" in said[-1]
    assert backup_path(tmp_path, NOON).name not in copies(tmp_path)
    newest = backup_path(tmp_path, NOON + timedelta(days=BACKUPS_KEPT_COUNT))
    assert check_copy(newest, site="Dockside").transaction_count == 0


def test_a_copy_is_overdue_when_the_newest_is_older_than_a_day(tmp_path: Path) -> None:
    assert not is_backup_overdue(tmp_path, NOON)  # There is nothing to copy.
    a_ledger(tmp_path)
    assert is_backup_overdue(tmp_path, NOON)
    back_up(tmp_path, now_at=lambda: NOON)
    assert not is_backup_overdue(tmp_path, NOON + OVERDUE - timedelta(minutes=1))
    assert is_backup_overdue(tmp_path, NOON + OVERDUE + timedelta(minutes=1))


def test_with_a_clock_that_was_never_set_no_copy_is_made(tmp_path: Path) -> None:
    a_ledger(tmp_path)
    at_first = datetime(1970, 1, 1, tzinfo=UTC)

    assert not is_backup_overdue(tmp_path, at_first)
    assert "until the clock is set" in back_up(tmp_path, now_at=lambda: at_first)
    assert not (tmp_path / BACKUP_FOLDER).exists()


ON_A_FULL_DISK = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gateway.adapters.upkeep import UpkeepError, back_up
try:
    back_up(Path(sys.argv[1]), now_at=lambda: datetime(2026, 1, 5, tzinfo=UTC))
except UpkeepError as error:
    print(error)
"""


def test_a_copy_never_takes_the_room_the_ledger_needs(tmp_path: Path) -> None:
    a_ledger(tmp_path)
    small = tmp_path / "small"
    small.mkdir()
    script = """
        mount -t tmpfs -o size=50m none "$1" && cp "$2" "$1" && exec "$3" -c "$4" "$1"
    """
    shell = ("unshare", "--map-root-user", "--mount", "sh", "-ec", script, "sh")
    done = subprocess.run(
        [*shell, small, tmp_path / LEDGER_NAME, sys.executable, ON_A_FULL_DISK],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "was not copied: 50 MB are free" in done.stdout
    assert "make room" in done.stdout


def test_a_ledger_that_cannot_be_copied_is_told_of_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UpkeepError, match="was not copied"):
        back_up(tmp_path, now_at=lambda: NOON)
    (tmp_path / LEDGER_NAME).write_bytes(b"no ledger " * 1_000)
    with pytest.raises(HeadroomError, match="damaged"):
        back_up(tmp_path, now_at=lambda: NOON)


def with_both(
    folder: Path,
    clock: KeptClock,
    scene: Callable[[LedgerDb, HistoryDb], Coroutine[Any, Any, None]],
) -> None:
    """Play a scene while ledger and history are written."""

    async def main() -> None:
        ledger = LedgerDb(folder, site="Dockside", clock=clock)
        ledger.load(run="test")
        history = HistoryDb(folder, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(ledger.run()), tasks.create_task(history.run())]
            await asyncio.sleep(0)  # Who was never begun lets go of no file.
            await scene(ledger, history)
            for task in running:
                task.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("is_synchronised", "said"), [(True, "0 transactions, "), (False, "left for a day")]
)
def test_old_things_are_let_go_of_only_by_a_clock_that_is_kept_right(
    tmp_path: Path, said: str, *, is_synchronised: bool
) -> None:
    clock = KeptClock(is_synchronised=is_synchronised)

    async def scene(ledger: LedgerDb, history: HistoryDb) -> None:
        _, retention = errands_of(tmp_path, ledger=ledger, history=history, clock=clock)
        work = retention.work()
        assert not isinstance(work, str)
        assert said in await work

    with_both(tmp_path, clock, scene)


def test_a_calendar_makes_the_copy_that_is_overdue_beside_a_ledger_in_use(tmp_path: Path) -> None:
    clock, told = KeptClock(is_synchronised=True), asyncio.Event()

    def on_outcome(name: str, problem: str | None) -> None:
        assert (name, problem) == (BACKUP, None)
        told.set()

    async def scene(ledger: LedgerDb, history: HistoryDb) -> None:
        calendar = Calendar(
            errands_of(tmp_path, ledger=ledger, history=history, clock=clock),
            timezone="Europe/London",
            clock=clock,
            on_outcome=on_outcome,
            catch_up_s=0.1,
        )
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(40):
            running = tasks.create_task(calendar.run())
            await told.wait()
            running.cancel()

    with_both(tmp_path, clock, scene)

    assert len(copies(tmp_path)) == 1
