"""Backups are whole, checked, and put back without making old beliefs new."""

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters import audit_chain
from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_backup import (
    LedgerCopy,
    backup_path,
    backup_to,
    check_copy,
    drop_old_backups,
    restore_from,
)
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_file import Batch, LedgerFile
from gateway.adapters.ledger_retention import AUDIT_KEPT, TRANSACTIONS_KEPT, LetGo
from gateway.adapters.ledger_schema import (
    LEDGER_NAME,
    LedgerDamagedError,
    LedgerRefusedError,
    Seal,
    open_ledger,
    write_seal,
)
from gateway.cli.examination import look_at_ledger
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.memory import (
    Act,
    CircuitMemory,
    ConnectorMemory,
    Memory,
    RememberedLimit,
    SiteMemory,
    StationMemory,
    TransactionMemory,
)
from tests.support.small_disk import can_mount, small_disk

CLOCK = SystemClock()
CP_01 = StationId("CP-01")


class LateClock(SystemClock):
    """The machine's clock, set ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now_at(self) -> datetime:
        return super().now_at() + self.ahead


def transaction(number: int, *, is_over: bool = False) -> TransactionMemory:
    return TransactionMemory(
        station=CP_01,
        transaction=TransactionId(str(number)),
        connector_number=1,
        given_number=number,
        is_over=is_over,
    )


RECORDS = (
    ConnectorMemory(
        connector=ConnectorRef(CP_01, 1),
        limits=(RememberedLimit(limit_ma=16_000),),
        max_ma=32_000,
        fallback_ma=6_000,
    ),
    StationMemory(station=CP_01, is_proven=True, is_dead_man_proven=True, firmware="1.0"),
    CircuitMemory(circuit=CircuitId("carpark"), noted=CLOCK.moment(), lockout_left_s=600.0),
    SiteMemory(is_stopped=True),
    transaction(1, is_over=True),
    transaction(2),
)


def remember(folder: Path) -> Memory:
    reading = LedgerDb(folder, site="Dockside", clock=CLOCK)
    memory = reading.load(run="reading")
    reading.close()
    return memory


async def written(folder: Path, clock: SystemClock = CLOCK, *, ends: bool = True) -> LedgerDb:
    """Write the records, then some more with a backup made meanwhile if it `ends`."""
    writing = LedgerDb(folder, site="Dockside", clock=clock)
    writing.load(run="run")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writing.run())
        await asyncio.sleep(0)
        await writing.keep_durably(*RECORDS)
        if not ends:
            copy = await asyncio.to_thread(
                backup_to, backup_path(folder, clock.now_at()), folder=folder
            )
            assert copy.transaction_count == 2
            await writing.keep_durably(transaction(3))
        running.cancel()
    return writing


@pytest.fixture
def copy(tmp_path: Path) -> LedgerCopy:
    """Return a backup that was made while the ledger was written."""
    asyncio.run(written(tmp_path / "state", ends=False))
    (path,) = (tmp_path / "state" / "backups").iterdir()
    return check_copy(path, site="Dockside")


def test_a_backup_made_while_the_daemon_writes_is_whole_and_one_file(copy: LedgerCopy) -> None:
    assert (copy.site, copy.transaction_count) == ("Dockside", 2)
    assert [path.name for path in copy.path.parent.iterdir()] == [copy.path.name]
    assert copy.path.stat().st_mode & 0o077 == 0


def test_what_is_restored_keeps_promises_and_forgets_what_may_no_longer_be_true(
    tmp_path: Path, copy: LedgerCopy
) -> None:
    folder = tmp_path / "state"
    assert len(remember(folder).transactions) == 3

    before = restore_from(
        copy.path, folder=folder, site="Dockside", now_at=CLOCK.now_at(), by="J. Smith"
    )

    memory = remember(folder)
    assert before is not None
    assert before.exists()
    assert len(memory.transactions) == 2
    assert memory.site.is_stopped
    assert memory.circuits[CircuitId("carpark")].lockout_left_s == 600.0
    assert memory.connectors == {}
    station = memory.stations[CP_01]
    assert (station.is_proven, station.is_dead_man_proven) == (False, False)
    assert station.firmware == "1.0"
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as reading:
        assert audit_chain.verify(reading, known=copy.head) is None
        rows = reading.execute("SELECT kind, detail FROM audit").fetchall()
        assert ("ledger-restored", '{"by":"J. Smith"}') in rows


def spoil_audit(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("UPDATE audit SET subject = 'nobody' WHERE number = 1")


def spoil_file(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5_000:9_000] = bytes(4_000)
    path.write_bytes(data)


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("PRAGMA user_version = 99")
        write_seal(writing, Seal(site="Dockside", begun_at="", version=99))


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("CREATE TABLE recipes (x)")


@pytest.mark.parametrize(
    ("spoil", "site", "error", "words"),
    [
        (spoil_audit, "Dockside", LedgerDamagedError, "audit is not as it was written: row 1"),
        (spoil_file, "Dockside", LedgerDamagedError, "damaged"),
        (make_newer, "Dockside", LedgerRefusedError, "newer Headroom"),
        (make_foreign, "Dockside", LedgerRefusedError, "no ledger of Headroom"),
        (lambda _: None, "Quayside", LedgerRefusedError, "ledger of the site 'Dockside'"),
    ],
)
def test_a_copy_that_is_not_sound_or_not_ours_is_refused_and_nothing_is_changed(
    tmp_path: Path,
    copy: LedgerCopy,
    *,
    spoil: object,
    site: str,
    error: type[Exception],
    words: str,
) -> None:
    assert callable(spoil)
    spoil(copy.path)
    folder = tmp_path / "state"
    before = sorted(path.name for path in folder.iterdir())

    with pytest.raises(error, match=words):
        restore_from(copy.path, folder=folder, site=site, now_at=CLOCK.now_at())

    assert sorted(path.name for path in folder.iterdir()) == before
    assert len(remember(folder).transactions) == 3


def test_a_log_that_was_left_alone_is_not_read_into_the_copy(tmp_path: Path) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    writing = LedgerFile(state, site="Dockside", now_at=CLOCK.now_at)
    writing.load()
    write(writing, transaction(1))
    copy = backup_to(tmp_path / "copy.db", folder=state)
    for number in range(2, 40):
        write(writing, transaction(number))
    shutil.copytree(state, killed)  # As after a kill -9: much of it is in the log alone.
    writing.close()
    (killed / LEDGER_NAME).unlink()  # And somebody thought: away with it, there is a backup.

    before = restore_from(copy.path, folder=killed, site="Dockside", now_at=CLOCK.now_at())

    restored = remember(killed)
    assert [t.transaction for t in restored.transactions] == ["1"]
    assert before is not None
    assert before.with_name(f"{before.name}-wal").exists()


def test_a_fault_in_letting_go_is_told_and_the_ledger_is_written_on(tmp_path: Path) -> None:
    class FirstClock(SystemClock):
        def now_at(self) -> datetime:
            return datetime(1, 1, 1, tzinfo=UTC)  # Nothing is older, and it cannot be reckoned.

    async def live() -> None:
        writing = LedgerDb(tmp_path, site="Dockside", clock=FirstClock())
        writing.load(run="run")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(writing.run())
            async with asyncio.timeout(40):
                with pytest.raises(OverflowError):
                    await writing.let_go()
                await writing.keep_durably(transaction(1))
            running.cancel()

    asyncio.run(live())

    assert [t.transaction for t in remember(tmp_path).transactions] == ["1"]


def write(ledger: LedgerFile, *transactions: TransactionMemory) -> None:
    batch = Batch()
    for record in transactions:
        batch.put_transaction(record)
    ledger.write(batch)


@pytest.mark.parametrize("ends", [True, False])
def test_a_ledger_on_a_disk_that_became_read_only_can_still_be_saved(
    tmp_path: Path, *, ends: bool
) -> None:
    if not can_mount(tmp_path / "probe"):
        return  # It takes a privilege.
    with small_disk(tmp_path / "disk") as disk:
        writing = LedgerFile(disk.folder, site="Dockside", now_at=CLOCK.now_at)
        writing.load()
        write(writing, transaction(1), transaction(2))
        if ends:
            writing.close()
        else:  # As after a kill -9 and a start of the machine: the log is there, its index is not.
            shutil.copytree(disk.folder, tmp_path / "killed")
            writing.close()
            for name in (LEDGER_NAME, f"{LEDGER_NAME}-wal"):
                shutil.copy(tmp_path / "killed" / name, disk.folder)
        disk.set_read_only(True)

        copy = backup_to(tmp_path / "saved.db", folder=disk.folder)

        assert copy.transaction_count == 2
        assert look_at_ledger(disk.folder, site="Dockside").unreadable is None


def test_what_is_old_and_damaged_is_let_go_of_with_its_file(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path, site="Dockside", now_at=CLOCK.now_at)
    ledger.load()
    write(ledger, *(transaction(number, is_over=number > 5) for number in range(1, 2_000)))
    ledger.close()
    path = tmp_path / LEDGER_NAME
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as reading:
        (root,) = reading.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'transactions_by_time'"
        ).fetchone()
    later = LedgerFile(
        tmp_path, site="Dockside", now_at=LateClock(TRANSACTIONS_KEPT + timedelta(days=1)).now_at
    )
    later.load()
    path.write_bytes(content[: 1_024 * (root - 1)] + bytes(1_024) + content[1_024 * root :])
    with closing(sqlite3.connect(path)) as another:  # What was read before is read anew then.
        another.execute("PRAGMA user_version = 1")

    gone = later.let_go()

    assert gone.transaction_count == 0
    assert "damaged" in "".join(later.damages)
    write(later, transaction(3_000))
    later.close()
    kept = remember(tmp_path).transactions
    assert [t.transaction for t in kept] == ["1", "2", "3", "4", "5", "3000"]


def test_there_must_be_something_to_copy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no ledger"):
        backup_to(tmp_path / "copy.db", folder=tmp_path)
    assert not (tmp_path / "copy.db").exists()


def test_what_is_older_than_it_is_kept_is_let_go_of_and_no_number_is_given_twice(
    tmp_path: Path,
) -> None:
    asyncio.run(written(tmp_path))

    async def test() -> LetGo:
        late = LedgerDb(
            tmp_path,
            site="Dockside",
            clock=LateClock(TRANSACTIONS_KEPT + AUDIT_KEPT),
        )
        late.load(run="late")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(late.run())
            await asyncio.sleep(0)
            await late.keep_durably(transaction(2, is_over=True), transaction(3))
            await late.keep_durably(Act(kind="stopped", subject="Dockside"))
            gone = await late.let_go()
            running.cancel()
        return gone

    gone = asyncio.run(test())

    assert gone.transaction_count == 1  # Number 1: the others were noted just now.
    assert gone.audit_count > 0
    memory = remember(tmp_path)
    assert memory.last_given_number == 3
    assert [t.transaction for t in memory.transactions] == ["2", "3"]
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as reading:
        assert audit_chain.verify(reading) is None
        (first,) = reading.execute("SELECT min(number) FROM audit").fetchone()
        assert first == gone.audit_count + 1


def test_what_was_noted_by_a_clock_that_was_not_set_is_not_taken_for_old(tmp_path: Path) -> None:
    unset = LateClock(datetime(1970, 1, 2, tzinfo=UTC) - CLOCK.now_at())
    asyncio.run(written(tmp_path, unset))

    async def let_go() -> LetGo:
        ledger = LedgerDb(tmp_path, site="Dockside", clock=CLOCK)
        ledger.load(run="right")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(ledger.run())
            await asyncio.sleep(0)
            gone = await ledger.let_go()
            running.cancel()
        return gone

    assert asyncio.run(let_go()) == LetGo(transaction_count=0, audit_count=0)
    assert len(remember(tmp_path).transactions) == 2


def test_old_backups_go_and_those_before_a_new_version_stay(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    names = [f"ledger-2026010{day}T000000Z.db" for day in range(1, 6)]
    for name in [*names, "ledger-v1-20260101T000000Z.db"]:
        (backups / name).write_text("")

    dropped = drop_old_backups(tmp_path, keep=2)

    assert [path.name for path in dropped] == names[:3]
    assert len(list(backups.iterdir())) == 3


def test_a_backup_comes_to_an_end_however_busy_the_ledger_is(tmp_path: Path) -> None:
    path, is_over = tmp_path / LEDGER_NAME, threading.Event()

    def write(ledger: sqlite3.Connection, count: int) -> None:
        head = audit_chain.read_head(ledger)
        ledger.execute("BEGIN IMMEDIATE")
        for n in range(count):
            head = audit_chain.append(
                ledger, head, noted_at="2026-01-05", kind="act", subject=str(n), detail="x" * 1_000
            )
        ledger.execute("COMMIT")

    def write_on() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as writing:
            while not is_over.is_set():
                write(writing, 1)

    with closing(open_ledger(path, site="Dockside", now_at=CLOCK.now_at())) as ledger:
        write(ledger, 40_000)
    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        copying = threading.Thread(
            target=lambda: backup_to(tmp_path / "copy.db", folder=tmp_path), daemon=True
        )
        copying.start()
        copying.join(40)
        assert not copying.is_alive()
    finally:
        is_over.set()
        writer.join()
