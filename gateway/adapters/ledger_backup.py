"""Copies of the ledger: made while it is written, checked, put in its place, and dropped."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from gateway.adapters import audit_chain
from gateway.adapters.audit_chain import AuditHead, detail_text
from gateway.adapters.ledger_rows import read_records, write_record
from gateway.adapters.ledger_schema import (
    BACKUP_FOLDER,
    BESIDE,
    BUSY_MS,
    LEDGER_NAME,
    LedgerDamagedError,
    check_is_ours,
    check_is_sound,
    copy_database,
    damage_told,
    flush_to_disk,
    move_aside,
    read_seal,
    schema_version,
)
from gateway.adapters.wal_image import open_image
from gateway.domain.memory import StationMemory

BACKUPS_KEPT_COUNT = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCopy:
    """What a copy of a ledger holds; `head` is the newest row of its audit."""

    path: Path
    site: str
    version: int
    transaction_count: int
    head: AuditHead


def backup_path(folder: Path, now_at: datetime) -> Path:
    """Return where a backup of a state folder made now belongs."""
    return folder / BACKUP_FOLDER / f"ledger-{now_at:%Y%m%dT%H%M%SZ}.db"


def backup_to(target: Path, *, folder: Path) -> LedgerCopy:
    """Copy the ledger of the state folder `folder` to `target`, daemon running or not; check it.

    The copy is one file, whole or not there at all, and would survive a power cut.

    Raises:
        LedgerDamagedError: the ledger, or the copy, is not sound.
        LedgerRefusedError: what is there is no ledger, or a newer version's.
        OSError, sqlite3.Error: it cannot be read, or the copy cannot be written.
    """
    source = folder / LEDGER_NAME
    if not source.exists():
        raise FileNotFoundError(2, "there is no ledger", str(source))
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with damage_told(source), closing(open_to_read(source)) as reading:
        check_is_ours(reading, source, site=None)
        copy_database(reading, target)
    return check_copy(target)


def check_copy(path: Path, *, site: str | None = None) -> LedgerCopy:
    """Return what a copy holds, if it is sound, of a version known here, and of `site`.

    Raises:
        LedgerDamagedError: its file or its audit is not as it was written.
        LedgerRefusedError: it is no ledger, a newer version's, or another site's.
        OSError, sqlite3.Error: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such file", str(path))
    with damage_told(path), closing(open_to_read(path)) as reading:
        check_is_ours(reading, path, site=site)
        check_is_sound(reading, path)
        seal = read_seal(reading)
        if seal is None:
            raise LedgerDamagedError(f"{path} does not say whose ledger it is")
        fault = audit_chain.verify(reading)
        if fault is not None:
            raise LedgerDamagedError(f"{path}: its audit is not as it was written: {fault}")
        (count,) = reading.execute("SELECT count(*) FROM transactions").fetchone()
        return LedgerCopy(
            path=path,
            site=seal.site,
            version=schema_version(reading),
            transaction_count=count,
            head=audit_chain.read_head(reading),
        )


def restore_from(
    source: Path, *, folder: Path, site: str, now_at: datetime, by: str = ""
) -> Path | None:
    """Put a copy in the place of the ledger of `folder`; return where that one is now, if any.

    The caller holds the state folder (`holding_state`): no daemon may run. What the copy says
    of limits and proofs is no longer true of anything: after it every connector counts its
    maximum until its station is met and proven again. Transactions, lockouts and the stop stay.

    Raises:
        LedgerDamagedError, LedgerRefusedError: as `check_copy`; nothing was changed.
        OSError, sqlite3.Error: it cannot be read or written; nothing was changed.
    """
    check_copy(source, site=site)
    ledger = folder / LEDGER_NAME
    fresh = folder / f"{LEDGER_NAME}.restored"
    with closing(open_to_read(source)) as reading:
        copy_database(reading, fresh)
    with closing(sqlite3.connect(fresh, isolation_level=None)) as writing:
        _forget_what_has_passed(writing, source, now_at=now_at, by=by)
    flush_to_disk(fresh)
    before = None
    # A log that was left alone would be taken for that of the copy, and written over it.
    if any(ledger.with_name(f"{ledger.name}{suffix}").exists() for suffix in BESIDE):
        before = move_aside(ledger, now_at, word="replaced")
    fresh.replace(ledger)
    flush_to_disk(folder)
    return before


def _forget_what_has_passed(
    writing: sqlite3.Connection, source: Path, *, now_at: datetime, by: str
) -> None:
    problems: list[str] = []
    stations = [r for r in read_records(writing, problems) if isinstance(r, StationMemory)]
    writing.execute("BEGIN IMMEDIATE")
    writing.execute("DELETE FROM memory WHERE kind IN ('connector', 'run', 'call')")
    for station in stations:
        write_record(writing, replace(station, is_proven=False, is_dead_man_proven=False))
    audit_chain.append(
        writing,
        audit_chain.read_head(writing),
        noted_at=now_at.isoformat(timespec="milliseconds"),
        kind="ledger-restored",
        subject=source.name,
        detail=detail_text({}, by=by),
    )
    writing.execute("COMMIT")


def drop_old_backups(folder: Path, *, keep: int = BACKUPS_KEPT_COUNT) -> list[Path]:
    """Remove all but the newest backups of a state folder; return those removed.

    Those made before the ledger changed its version stay: they are the way back.
    """
    made = sorted((folder / BACKUP_FOLDER).glob("ledger-2*.db"))
    dropped = made[: max(0, len(made) - keep)]
    for path in dropped:
        path.unlink(missing_ok=True)
    return dropped


def open_to_read(path: Path) -> sqlite3.Connection:
    """Return a ledger, a copy or the one a daemon writes, open for reading alone.

    On a disk that takes nothing it is read from an image in memory, its log included: SQLite
    would write beside it even to read.

    Raises:
        OSError, sqlite3.Error: it cannot be read.
    """
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        connection = open_image(path)
    else:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA query_only = ON")
    return connection
