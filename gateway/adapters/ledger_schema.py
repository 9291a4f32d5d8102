"""The ledger's file: its tables, how an older one is brought up to date, and which are refused."""

import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.domain.errors import HeadroomError

LEDGER_NAME = "ledger.db"
BACKUP_FOLDER = "backups"
BESIDE = ("", "-wal", "-shm")
"""What a database's files are called, behind its name."""

APPLICATION_ID = 0x48524C44  # "HRLD": what tells this file from any other SQLite file.
BUSY_MS = 2_000
WAL_PAGES = 1_024
"""How many pages the write-ahead log takes before it is folded in: 1 MB, kept for good."""

PAGE_BYTES = 1_024
"""Small: a commit changes a page or two, and each is written twice."""

RESERVED_PAGES = 1_024
"""1 MB: a hundred vehicles may come and go in it before a full disk is felt."""

MIGRATIONS: tuple[str, ...] = (
    """
    -- Whose ledger this is, and of which version: told from a damaged header by its checksum.
    CREATE TABLE seal (
        site TEXT NOT NULL, begun_at TEXT NOT NULL, version INTEGER NOT NULL, checksum INTEGER NOT NULL
    );

    -- One row for each thing remembered: JSON, with a checksum against flipped bits.
    CREATE TABLE memory (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;

    CREATE TABLE transactions (
        id INTEGER PRIMARY KEY,
        station TEXT NOT NULL,
        transaction_id TEXT NOT NULL,
        connector_number INTEGER,
        given_number INTEGER,
        id_token TEXT,
        told TEXT,
        began_at TEXT,
        ended_at TEXT,
        meter_start_wh REAL,
        meter_stop_wh REAL,
        reason TEXT,
        is_over INTEGER NOT NULL,
        first_noted_at TEXT NOT NULL,
        last_noted_at TEXT NOT NULL,
        UNIQUE (station, transaction_id)
    );
    CREATE INDEX running_transactions ON transactions (station) WHERE is_over = 0;
    CREATE INDEX transactions_by_number ON transactions (given_number);
    CREATE INDEX transactions_by_time ON transactions (last_noted_at);

    -- Each hash covers the row and the hash before it.
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        noted_at TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        hash BLOB NOT NULL
    );
    -- What a shortened chain begins from.
    CREATE TABLE audit_start (number INTEGER NOT NULL, hash BLOB NOT NULL);
    """,
    """
    -- How a vehicle's stay went, as JSON: later ones are planned by it.
    ALTER TABLE transactions ADD COLUMN session TEXT;
    """,
)
"""The schema's versions: number n leads from version n to n + 1. They are added to, never edited."""


class LedgerRefusedError(HeadroomError):
    """There is a ledger, and it must not be used as it is; the message says what to do."""


class LedgerDamagedError(HeadroomError):
    """The file is no longer a sound database."""


def open_ledger(
    path: Path,
    *,
    site: str,
    now_at: datetime,
    migrations: Sequence[str] = MIGRATIONS,
) -> sqlite3.Connection:
    """Return the ledger open for writing, made or brought up to date where needed.

    Raises:
        LedgerRefusedError: it is of a newer version, of another site, or no ledger.
        LedgerDamagedError: its file is damaged.
        sqlite3.Error, OSError: it cannot be read or written now.
    """
    is_new = not path.exists() or path.stat().st_size == 0
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        with damage_told(path):
            if is_new:
                path.chmod(0o600)
            prepare(connection)
            check_is_ours(connection, path, site=site, migrations=migrations)
            check_is_sound(connection, path)
            _migrate(connection, path, site=site, now_at=now_at, migrations=migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Set how the file is written: nothing that was committed is lost by a power cut."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")


class damage_told:  # noqa: N801 - a context manager reads as a phrase
    """Turns SQLite's word for a damaged file into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
            raise LedgerDamagedError(f"{self._path} is damaged: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error means that what is in the file is wrong, not that it is out of reach."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return which version of the schema a file has; 0 before it has any."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_is_ours(
    connection: sqlite3.Connection,
    path: Path,
    *,
    site: str | None,
    migrations: Sequence[str] = MIGRATIONS,
) -> None:
    """Return if the file is a ledger of this site that this version knows; `site` None: of any.

    Raises:
        LedgerRefusedError: it is not.
        LedgerDamagedError: its header says otherwise than its seal.
    """
    version = schema_version(connection)
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        return
    seal = read_seal(connection)
    if seal is not None and (application, version) != (APPLICATION_ID, seal.version):
        raise LedgerDamagedError(f"{path} is damaged: its header is not as it was written")
    if application != APPLICATION_ID:
        raise LedgerRefusedError(
            f"{path} is a database, but no ledger of Headroom: move it away, or choose another"
            " folder with --state"
        )
    if version > len(migrations):
        raise LedgerRefusedError(
            f"{path} was written by a newer Headroom (ledger version {version}; this one knows"
            f" {len(migrations)}): run that version again, or restore the backup it made before it"
            f" changed the ledger, in {path.parent / BACKUP_FOLDER}"
        )
    if seal is None:
        raise LedgerDamagedError(f"{path} is damaged: it does not say whose it is")
    if site not in (None, seal.site):
        raise LedgerRefusedError(
            f"{path} is the ledger of the site {seal.site!r}, and the site file is of {site!r}:"
            " choose that site's own folder with --state, or put the name in the site file right"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Whose ledger a file is, since when, and of which version."""

    site: str
    begun_at: str
    version: int

    @property
    def checksum(self) -> int:
        """Return what its row carries."""
        return zlib.crc32(f"{self.version}/{self.begun_at}/{self.site}".encode())


def read_seal(connection: sqlite3.Connection) -> Seal | None:
    """Return the seal, None where there is none that is whole."""
    try:
        row = connection.execute("SELECT site, begun_at, version, checksum FROM seal").fetchone()
    except sqlite3.OperationalError:  # No such table.
        return None
    if row is None:
        return None
    seal = Seal(site=row[0], begun_at=row[1], version=row[2])
    return seal if seal.checksum == row[3] else None


def write_seal(connection: sqlite3.Connection, seal: Seal) -> None:
    """Put a seal in the place of the one before."""
    connection.execute("DELETE FROM seal")
    connection.execute(
        "INSERT INTO seal VALUES (?, ?, ?, ?)",
        (seal.site, seal.begun_at, seal.version, seal.checksum),
    )


def check_is_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Return if SQLite finds nothing wrong with the file.

    Raises:
        LedgerDamagedError: it does.
    """
    found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise LedgerDamagedError(f"{path} is damaged: {'; '.join(found)}")


def reserve_space(connection: sqlite3.Connection, path: Path) -> None:
    """Keep room inside the files, so that a disk which others have filled stops nothing at once.

    Pages that are free in the file are used before it grows, and a write-ahead log that has once
    been so long is written over and over.

    Raises:
        sqlite3.Error: there is no room to reserve.
    """
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    log = path.with_name(f"{path.name}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    if free >= RESERVED_PAGES // 2 and log_bytes >= RESERVED_PAGES * PAGE_BYTES // 2:
        return
    connection.execute("CREATE TABLE IF NOT EXISTS ballast (x)")
    connection.execute("INSERT INTO ballast VALUES (zeroblob(?))", (RESERVED_PAGES * PAGE_BYTES,))
    connection.execute("DROP TABLE ballast")


def _migrate(
    connection: sqlite3.Connection,
    path: Path,
    *,
    site: str,
    now_at: datetime,
    migrations: Sequence[str],
) -> None:
    """Bring the schema up to date, one version after the other, each whole or not at all."""
    found = schema_version(connection)
    for version in range(found, len(migrations)):
        if found > 0:  # In one that is only just begun there is nothing to lose.
            back_up_before_migration(connection, path, version=version, now_at=now_at)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in split_statements(migrations[version]):
                connection.execute(statement)
            before = read_seal(connection)
            begun_at = now_at.isoformat() if before is None else before.begun_at
            write_seal(connection, Seal(site=site, begun_at=begun_at, version=version + 1))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def split_statements(script: str) -> list[str]:
    """Return the statements of a script: `executescript` would commit what is open before them."""
    statements, pending = [], ""
    for part in script.split(";"):
        pending += part + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n;"):
                statements.append(pending)
            pending = ""
    return statements


def back_up_before_migration(
    connection: sqlite3.Connection, path: Path, *, version: int, now_at: datetime
) -> Path:
    """Copy the ledger as it is into the folder of backups; return where."""
    folder = path.parent / BACKUP_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"ledger-v{version}-{now_at:%Y%m%dT%H%M%SZ}.db"
    copy_database(connection, target)
    return target


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy an open database into a file of its own, whole or not at all, and on the disk."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as copying:
            part.chmod(0o600)
            # Read as of one instant: else each write of the daemon would begin the copy anew.
            source.execute("BEGIN")
            try:
                source.execute("SELECT 1 FROM sqlite_schema").fetchone()
                source.backup(copying, pages=256, sleep=0.0)
            finally:
                source.execute("ROLLBACK")
            # A backup is one file: a write-ahead log beside it would be left behind.
            copying.execute("PRAGMA journal_mode = DELETE")
        flush_to_disk(part)
        part.replace(target)
        flush_to_disk(target.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def flush_to_disk(path: Path) -> None:
    """Have what is known of a file or a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_aside(path: Path, now_at: datetime, *, word: str) -> Path:
    """Give a database and what belongs to it another name; return it."""
    stem = f"{path.stem}-{word}-{now_at:%Y%m%dT%H%M%SZ}"
    target, number = path.with_name(f"{stem}{path.suffix}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{stem}-{number}{path.suffix}")
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target
