"""The audit: rows that each carry a hash of themselves and all before them, so that none can change."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """The newest row of the audit; whoever knows this knows whether anything before it changed."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        """Return it in the words of the log."""
        return f"{self.number}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One row, as it is hashed."""

    number: int
    noted_at: str
    kind: str
    subject: str
    detail: str


def detail_text(detail: Mapping[str, str], *, by: str) -> str:
    """Return the detail of a row as it is stored: JSON with its keys in order."""
    whole = {**detail, "by": by} if by else dict(detail)
    return json.dumps(whole, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def hash_of(row: AuditRow, before: bytes) -> bytes:
    """Return the hash of a row that follows the hash `before`."""
    fields = [row.number, row.noted_at, row.kind, row.subject, row.detail]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def read_head(connection: sqlite3.Connection) -> AuditHead:
    """Return the newest row's number and hash."""
    newest = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
    row = connection.execute(newest).fetchone() or _read_start(connection)
    return AuditHead(number=row[0], hash=bytes(row[1]))


def append(
    connection: sqlite3.Connection,
    head: AuditHead,
    *,
    noted_at: str,
    kind: str,
    subject: str,
    detail: str,
) -> AuditHead:
    """Write a row behind `head`; return the new head."""
    row = AuditRow(
        number=head.number + 1, noted_at=noted_at, kind=kind, subject=subject, detail=detail
    )
    after = AuditHead(number=row.number, hash=hash_of(row, head.hash))
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)",
        (row.number, noted_at, kind, subject, detail, after.hash),
    )
    return after


def verify(connection: sqlite3.Connection, *, known: AuditHead | None = None) -> str | None:
    """Return what is wrong with the audit, None if nothing is.

    `known` is a head seen before, in the log for instance: who can write the file can make a
    new chain of it, but not one that has this row.
    """
    number, before = _read_start(connection)
    is_known = known is None or (known.number, known.hash) == (number, bytes(before))
    if known is not None and known.number < number:
        is_known = True  # That part has been let go since.
    for row in connection.execute(
        "SELECT number, noted_at, kind, subject, detail, hash FROM audit ORDER BY number"
    ):
        number += 1
        if row[0] != number:
            return f"row {number} is missing"
        said = AuditRow(number=row[0], noted_at=row[1], kind=row[2], subject=row[3], detail=row[4])
        before = hash_of(said, bytes(before))
        if before != bytes(row[5]):
            return f"row {number} ({row[1]}, {row[2]} {row[3]}) is not as it was written"
        if known is not None and known.number == number:
            if known.hash != before:
                return f"row {number} is not the one that was seen before"
            is_known = True
    return None if is_known else f"row {known.number if known else 0} is missing at the end"


def shorten(connection: sqlite3.Connection, *, since_at: str, before_at: str) -> int:
    """Let go of the rows noted before an instant (ISO, UTC); return how many.

    One noted before `since_at` was noted by a clock that had not been set: it goes with the rows
    behind it. The newest row stays. The chain then begins from the hash of the last that went.
    """
    row = connection.execute(
        "SELECT number, hash FROM audit WHERE noted_at >= ? AND noted_at < ?"
        " AND number < (SELECT max(number) FROM audit) ORDER BY number DESC LIMIT 1",
        (since_at, before_at),
    ).fetchone()
    if row is None:
        return 0
    connection.execute("DELETE FROM audit_start")
    connection.execute("INSERT INTO audit_start VALUES (?, ?)", row)
    return connection.execute("DELETE FROM audit WHERE number <= ?", (row[0],)).rowcount


def _read_start(connection: sqlite3.Connection) -> tuple[int, bytes]:
    row = connection.execute("SELECT number, hash FROM audit_start").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))
