"""Disks that are full, read-only or damaged: nothing that was safe is lost, and it goes on."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import audit_chain
from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_file import _records_of
from gateway.adapters.ledger_schema import (
    BACKUP_FOLDER,
    LEDGER_NAME,
    MIGRATIONS,
    LedgerRefusedError,
    open_ledger,
    schema_version,
)
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.memory import (
    CircuitMemory,
    ConnectorMemory,
    Entry,
    FlashMemory,
    Memory,
    RememberedLimit,
    SiteMemory,
    StatementMemory,
    StationMemory,
    TransactionMemory,
    TripMemory,
)
from gateway.domain.needs import Criticality
from gateway.domain.sessions import Statement
from tests.support.every_entry import ONE_OF_EACH
from tests.support.small_disk import SmallDisk, can_mount, small_disk

CLOCK = SystemClock()
PATIENCE_S = 20.0
SHM = Path("/dev/shm")  # noqa: S108 - folders of our own are made in it
IN_MEMORY = SHM if SHM.is_dir() else None


def transaction(number: int, *, is_over: bool = False) -> TransactionMemory:
    return TransactionMemory(
        station=StationId("CP-01"),
        transaction=TransactionId(str(number)),
        connector_number=1,
        given_number=number,
        id_token="x" * 20,
        is_over=is_over,
        began_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
    )


def ledger(folder: Path) -> LedgerDb:
    return LedgerDb(folder, site="Dockside", clock=CLOCK, batch_s=0.05, gather_s=0.0, retry_s=0.1)


def live(folder: Path, test: Callable[[LedgerDb], Awaitable[None]]) -> Memory:
    """Run a ledger while `test` lasts; return what it remembered at its start."""
    writing = ledger(folder)
    memory = writing.load(run="run")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(writing.run())
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await test(writing)
            running.cancel()

    asyncio.run(main())
    return memory


async def is_kept(writing: LedgerDb, record: TransactionMemory, *, within_s: float) -> bool:
    """Return whether a record is safe within a time."""
    future = writing.keep_durably(record)
    await asyncio.wait([future], timeout=within_s)
    return future.done()


async def wait_problem(writing: LedgerDb) -> str:
    while (problem := writing.health.problem) is None:  # noqa: ASYNC110 - it knows no events
        await asyncio.sleep(0.02)
    return problem


class NoRoom:
    """What stands in for a full disk where none may be mounted: SQLite itself refuses to grow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connections: list[sqlite3.Connection] = []

    def fill(self, writing: LedgerDb) -> None:
        connection = writing._file._connection
        assert connection is not None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def empty(self, writing: LedgerDb) -> None:
        connection = writing._file._connection
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 1000000")


class RealDisk(NoRoom):
    """A disk of a few megabytes."""

    def __init__(self, disk: SmallDisk) -> None:
        super().__init__(disk.folder)
        self.disk = disk

    def fill(self, writing: LedgerDb) -> None:
        self.disk.fill()

    def empty(self, writing: LedgerDb) -> None:
        self.disk.empty()


@contextmanager
def a_disk(tmp_path: Path) -> Iterator[NoRoom]:
    try:
        with small_disk(tmp_path / "disk") as disk:
            yield RealDisk(disk)
    except PermissionError:
        yield NoRoom(tmp_path)


def test_a_full_disk_is_felt_late_said_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with a_disk(tmp_path) as disk:
        kept: list[TransactionMemory] = []

        async def test(writing: LedgerDb) -> None:
            await writing.keep_durably(transaction(1))
            disk.fill(writing)
            number = 1
            while await is_kept(writing, transaction(number), within_s=2.0):
                kept.append(transaction(number))
                number += 1
            # A megabyte is kept free for such a day.
            assert number > 100
            problem = await wait_problem(writing)
            assert "no limit is raised" in problem
            assert str(disk.folder) in problem
            assert writing.health.waiting_count >= 1

            waiting = writing.keep_durably(transaction(number + 1))
            disk.empty(writing)
            await waiting
            assert writing.health.problem is None
            kept.append(transaction(number))
            kept.append(transaction(number + 1))

        async def nothing(writing: LedgerDb) -> None:
            await writing.keep_durably(transaction(1))

        live(disk.folder, nothing)  # An end in order leaves no log: its room must be kept anew.
        live(disk.folder, test)
        remembered = reread(disk.folder)

        assert set(remembered.transactions) == set(kept)


def test_a_file_that_becomes_read_only_stops_nothing_and_is_taken_up_again(tmp_path: Path) -> None:
    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(transaction(1))
        # What SQLite says of a file system that an error has made read-only; one with open files
        # lets nobody else make it so.
        connection = writing._file._connection
        assert connection is not None
        connection.execute("PRAGMA query_only = 1")
        waiting = writing.keep_durably(transaction(2))
        assert "writable" in await wait_problem(writing)
        assert not waiting.done()
        connection.execute("PRAGMA query_only = 0")
        await waiting
        assert writing.health.problem is None

    live(tmp_path, test)
    assert len(reread(tmp_path).transactions) == 2


RECORDS: tuple[Entry, ...] = (
    ConnectorMemory(
        connector=ConnectorRef(StationId("CP-01"), 1),
        limits=(RememberedLimit(limit_ma=16_000), RememberedLimit(limit_ma=6_000)),
        max_ma=32_000,
        fallback_ma=6_000,
        excess_ma=2_500,
    ),
    StationMemory(station=StationId("CP-01"), is_proven=True, firmware="1.0"),
    FlashMemory(station=StationId("CP-01"), written_at=(CLOCK.moment().wall_at,)),
    CircuitMemory(circuit=CircuitId("carpark"), noted=CLOCK.moment(), lockout_left_s=600.0),
    SiteMemory(is_stopped=True),
    TripMemory(circuit=CircuitId("carpark"), is_tripped=True),
    CalendarEvent(
        id="party",
        circuit=CircuitId("carpark"),
        from_at_s=7.0,
        until_at_s=9.0,
        extra_ma=(20_000, 0, 0),
        note="at seven",
        by="desk",
    ),
    StatementMemory(
        connector=ConnectorRef(StationId("CP-01"), 1),
        transaction=TransactionId("17"),
        statement=Statement(departs_at_s=5.0, criticality=Criticality.OPPORTUNISTIC),
    ),
    *(transaction(number, is_over=number % 2 == 0) for number in range(1, 60)),
)


def reread(folder: Path) -> Memory:
    """Return what a ledger remembers."""
    reading = ledger(folder)
    memory = reading.load(run="after")
    reading.close()
    return memory


def written(folder: Path) -> Memory:
    """Write every kind of record; return what is then remembered."""

    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(*RECORDS)

    live(folder, test)
    return reread(folder)


def test_a_start_without_any_room_remembers_all_and_writes_when_there_is_room(
    tmp_path: Path,
) -> None:
    if not can_mount(tmp_path / "probe"):
        return  # The daemon's own test has the kernel refuse every write, with no privilege.
    with small_disk(tmp_path / "disk") as disk:
        before = written(disk.folder)
        disk.fill()

        async def test(writing: LedgerDb) -> None:
            waiting = writing.keep_durably(transaction(1_000))
            assert "make room" in await wait_problem(writing)
            assert not waiting.done()
            disk.empty()
            await waiting
            assert writing.health.problem is None

        at_start = live(disk.folder, test)
        assert set(at_start.transactions) == set(before.transactions)
        assert (at_start.connectors, at_start.site) == (before.connectors, before.site)
        after = reread(disk.folder)
        assert set(after.transactions) == {*before.transactions, transaction(1_000)}


def test_a_start_on_a_read_only_disk_remembers_all(tmp_path: Path) -> None:
    if not can_mount(tmp_path / "probe"):
        return
    with small_disk(tmp_path / "disk") as disk:
        before = written(disk.folder)
        disk.set_read_only(True)

        async def test(writing: LedgerDb) -> None:
            assert "takes nothing" in await wait_problem(writing)

        at_start = live(disk.folder, test)
        disk.set_read_only(False)
        assert set(at_start.transactions) == set(before.transactions)
        assert (at_start.connectors, at_start.circuits) == (before.connectors, before.circuits)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Memory]:
    """Return the bytes of a ledger and what it remembers."""
    folder = tmp_path_factory.mktemp("sound")
    memory = written(folder)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as closing_it:
        closing_it.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / LEDGER_NAME).read_bytes(), memory


@settings(max_examples=120)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=4),
    length_ratio=st.one_of(st.just(1.0), st.floats(0, 1)),
    hole=st.one_of(st.none(), st.integers(0, 40)),
)
def test_whatever_is_flipped_nothing_wrong_is_believed_and_the_ledger_goes_on(
    sound: tuple[bytes, Memory],
    flips: list[tuple[float, int]],
    length_ratio: float,
    hole: int | None,
) -> None:
    data, memory = bytearray(sound[0]), sound[1]
    for place, bit in flips:
        # Half of all flips hit the first pages, where the most is at stake.
        span = len(data) if bit % 2 else min(len(data), 8 * 4_096)
        data[int(place * span)] ^= 1 << bit
    if hole is not None:
        data[hole * 4_096 : (hole + 1) * 4_096] = bytes(4_096)
    folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
    (folder / LEDGER_NAME).write_bytes(data[: int(len(data) * length_ratio)])
    try:
        loaded = ledger(folder)
        found = loaded.load(run="after")
        assert set(found.connectors.items()) <= set(memory.connectors.items())
        assert set(found.stations.items()) <= set(memory.stations.items())
        assert set(found.circuits.items()) <= set(memory.circuits.items())
        assert found.site in (memory.site, SiteMemory())
        assert loaded.health.problem is None
        loaded.close()
        assert set(_records_of(found)) - set(_records_of(reread(folder))) <= {found.run}
    finally:
        shutil.rmtree(folder)


def test_what_was_damaged_is_moved_aside_and_told(tmp_path: Path) -> None:
    before = written(tmp_path)
    path = tmp_path / LEDGER_NAME
    data = bytearray(path.read_bytes())
    data[100:4_096] = os.urandom(3_996)  # The schema itself.
    path.write_bytes(data)

    with closing(ledger(tmp_path)) as loaded:
        found = loaded.load(run="after")

    assert found.connectors == {}
    assert "damaged" in (loaded.health.damage or "")
    (aside,) = tmp_path.glob("ledger-damaged-*.db")
    assert aside.read_bytes() == data
    with closing(sqlite3.connect(path)) as reading:
        kinds = [row[0] for row in reading.execute("SELECT kind FROM audit")]
        assert kinds[0] == "ledger-begun-anew"
        assert audit_chain.verify(reading) is None
    assert before.connectors


def test_a_damaged_ledger_of_another_site_lends_nothing_to_this_one(tmp_path: Path) -> None:
    written(tmp_path)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as writing:
        writing.execute("PRAGMA user_version = 9")  # Otherwise than its seal.

    with pytest.raises(LedgerRefusedError, match="ledger of 'Dockside'"):
        LedgerDb(tmp_path, site="Quayside", clock=CLOCK).load(run="other")

    assert len(reread(tmp_path).connectors) == 1  # Dockside itself gets back what can be read.


def list_ledger(folder: Path) -> list[Path]:
    return list(folder.glob(f"{LEDGER_NAME}*"))


def test_a_ledger_that_is_moved_away_while_it_is_written_is_written_anew(tmp_path: Path) -> None:
    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(*RECORDS)
        for path in list_ledger(tmp_path):
            path.rename(path.with_name(f"elsewhere-{path.name}"))
        await writing.keep_durably(transaction(1_000))

    live(tmp_path, test)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as reading:
        kinds = [row[0] for row in reading.execute("SELECT kind FROM audit ORDER BY number")]
        assert kinds[0] == "ledger-begun-anew"
    remembered = reread(tmp_path)

    assert remembered.site == SiteMemory(is_stopped=True)
    assert len(remembered.connectors) == 1
    running = {t for t in remembered.transactions if not t.is_over}
    assert running == {t for t in RECORDS if isinstance(t, TransactionMemory) and not t.is_over} | {
        transaction(1_000)
    }


def test_all_that_an_earlier_life_wrote_is_in_a_file_written_anew(tmp_path: Path) -> None:
    async def earlier(writing: LedgerDb) -> None:
        await writing.keep_durably(*ONE_OF_EACH)

    live(tmp_path, earlier)
    before = reread(tmp_path)

    async def test(writing: LedgerDb) -> None:
        for path in list_ledger(tmp_path):
            path.rename(path.with_name(f"elsewhere-{path.name}"))
        await writing.keep_durably()

    live(tmp_path, test)

    assert replace(reread(tmp_path), run=before.run) == before


def test_a_new_schema_is_reached_over_a_backup_and_not_by_halves(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / LEDGER_NAME
    good = "ALTER TABLE transactions ADD COLUMN vehicle TEXT;"
    broken = "CREATE TABLE extra (x); ALTER TABLE nowhere ADD COLUMN y;"

    with pytest.raises(sqlite3.OperationalError):
        open_ledger(path, site="Dockside", now_at=CLOCK.now_at(), migrations=(*MIGRATIONS, broken))
    with closing(sqlite3.connect(path)) as reading:
        assert schema_version(reading) == len(MIGRATIONS)
        assert reading.execute("SELECT * FROM sqlite_schema WHERE name = 'extra'").fetchall() == []
    for backup in (tmp_path / BACKUP_FOLDER).iterdir():
        backup.unlink()

    migrations = (*MIGRATIONS, good)
    open_ledger(path, site="Dockside", now_at=CLOCK.now_at(), migrations=migrations).close()
    (backup,) = (tmp_path / BACKUP_FOLDER).iterdir()
    assert backup.name.startswith(f"ledger-v{len(MIGRATIONS)}-")
    with closing(sqlite3.connect(backup)) as reading:
        assert schema_version(reading) == len(MIGRATIONS)
        assert reading.execute("SELECT count(*) FROM transactions").fetchone() == (59,)
    with pytest.raises(LedgerRefusedError, match="newer Headroom"):
        ledger(tmp_path).load(run="older")
