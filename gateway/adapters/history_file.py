"""The history's file: minutes and seconds by time; whatever is wrong with it, a new one is begun."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from pathlib import Path
from typing import Final

from gateway.adapters.history_blocks import (
    SECONDS,
    BlockDamagedError,
    MinuteFigures,
    pack_figures,
    pack_seconds,
    resolution_of,
    unpack_figures,
    unpack_highs,
    unpack_means,
    unpack_seconds,
)
from gateway.adapters.ledger_schema import BUSY_MS, is_damage, move_aside, split_statements
from gateway.domain.errors import PastUnreadableError

HISTORY_NAME: Final = "history.db"
APPLICATION_ID: Final = 0x48524849  # "HRHI"
SECONDS_KEPT: Final = timedelta(hours=48)
MINUTES_KEPT: Final = timedelta(days=90)
LEAST_FREE_BYTES: Final = 32 * 2**20
"""Below this the disk's room is for the ledger."""

VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE layouts (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE seconds (minute INTEGER PRIMARY KEY, layout INTEGER NOT NULL, block BLOB NOT NULL);
CREATE TABLE minutes (minute INTEGER PRIMARY KEY, layout INTEGER NOT NULL, block BLOB NOT NULL);
"""


class NoRoomError(OSError):
    """The disk has too little room left to write what nothing depends on."""


class NotOursError(ValueError):
    """The file is no history, or of a version that is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute of many series: a column of seconds for each name. `number` counts from 1970."""

    number: int
    names: tuple[str, ...]
    columns: Sequence[Sequence[float]]


class HistoryFile:
    """`history.db` in a state folder. Everything here may wait for the disk."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet."""
        self.path = folder / HISTORY_NAME
        self.damages: list[str] = []
        """What happened to the file since the start, for people."""
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._layouts: dict[tuple[str, ...], int] = {}

    def write(self, minute: Minute, now_at: datetime) -> None:
        """Write a minute, and let go of the seconds that are older than they are kept.

        Raises:
            NoRoomError: the disk is nearly full.
            sqlite3.Error, OSError: it cannot be written now.
        """
        if shutil.disk_usage(self.path.parent).free < LEAST_FREE_BYTES:
            raise NoRoomError(f"less than {LEAST_FREE_BYTES // 2**20} MB are free")
        if self._connection is not None and not self._is_in_place():
            self.close()
        try:
            self._write(minute, now_at)
        except (sqlite3.DatabaseError, NotOursError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            self._begin_anew(error, now_at)
            self._write(minute, now_at)

    def _write(self, minute: Minute, now_at: datetime) -> None:
        connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            layout = self._layout_of(connection, minute.names)
            resolutions = [resolution_of(name) for name in minute.names]
            columns = _with_begun(connection, minute, layout, resolutions)
            seconds = pack_seconds(columns, resolutions)
            for table, block in (("seconds", seconds), ("minutes", pack_figures(columns))):
                connection.execute(
                    f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",  # noqa: S608 - our own names
                    (minute.number, layout, block),
                )
            oldest = int((now_at - SECONDS_KEPT).timestamp()) // SECONDS
            connection.execute(
                # A few at a time: a clock that is wrong for a minute takes little with it.
                "DELETE FROM seconds WHERE minute IN"
                " (SELECT minute FROM seconds WHERE minute < ? ORDER BY minute LIMIT 3)",
                (oldest,),
            )
            connection.execute("COMMIT")
        except BaseException:
            self._layouts.clear()
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def let_go(self, now_at: datetime) -> int:
        """Let go of the minutes that are older than they are kept; return how many.

        Raises:
            sqlite3.Error, OSError: it cannot be written now.
        """
        connection = self._connection or self._open()
        oldest = int((now_at - MINUTES_KEPT).timestamp()) // SECONDS
        return connection.execute("DELETE FROM minutes WHERE minute < ?", (oldest,)).rowcount

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._inode = None
        self._layouts.clear()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            self.path.chmod(0o600)
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            # Small pages: a minute fills its last one less badly, and flash bears few writes.
            connection.execute("PRAGMA page_size = 1024")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cell_size_check = ON")
            _check(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._inode = connection, self.path.stat().st_ino
        return connection

    def _is_in_place(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _layout_of(self, connection: sqlite3.Connection, names: tuple[str, ...]) -> int:
        """Return the number of a set of series."""
        known = self._layouts.get(names)
        if known is None:
            text = "\n".join(names)
            connection.execute("INSERT OR IGNORE INTO layouts (names) VALUES (?)", (text,))
            row = connection.execute("SELECT id FROM layouts WHERE names = ?", (text,)).fetchone()
            known = self._layouts[names] = int(row[0])
        return known

    def _begin_anew(self, error: Exception, now_at: datetime) -> None:
        """Move the file aside, and one that was moved aside before out of the way for good."""
        self.close()
        for old in self.path.parent.glob("history-damaged-*"):
            old.unlink(missing_ok=True)
        aside = move_aside(self.path, now_at, word="damaged")
        self.damages.append(f"{HISTORY_NAME}: {error}; it is now {aside.name}, and a new one begun")


def _with_begun(
    connection: sqlite3.Connection, minute: Minute, layout: int, resolutions: Sequence[float]
) -> Sequence[Sequence[float]]:
    """Return the minute's columns with what a daemon that ended in it had written of it."""
    row = connection.execute(
        "SELECT block FROM seconds WHERE minute = ? AND layout = ?", (minute.number, layout)
    ).fetchone()
    if row is None:
        return minute.columns
    try:
        begun = unpack_seconds(row[0], resolutions)
    except BlockDamagedError:
        return minute.columns
    return [
        [old if isnan(new) else new for old, new in zip(before, column, strict=True)]
        for before, column in zip(begun, minute.columns, strict=True)
    ]


def _check(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, or see that the file is ours and sound.

    Raises:
        NotOursError: it is not.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        connection.execute("BEGIN IMMEDIATE")
        for statement in split_statements(SCHEMA):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        return
    if (application, version) != (APPLICATION_ID, VERSION):
        raise NotOursError(f"no history of version {VERSION}")
    found = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise NotOursError(f"damaged: {found[0]}")


# Reading, with a connection of one's own.


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReader:
    """Reads a history while it is written. A block that is damaged is left out."""

    folder: Path

    def minutes(
        self, name: str, since_at: datetime, until_at: datetime
    ) -> list[tuple[datetime, MinuteFigures]]:
        """Return a series' figures minute by minute, from `since_at` to before `until_at`."""
        found = []
        for minute, names, block in self._blocks("minutes", since_at, until_at):
            if name not in names:
                continue
            try:
                figures = unpack_figures(block, len(names))[names.index(name)]
            except BlockDamagedError:
                continue
            if figures is not None:
                found.append((_instant(minute * SECONDS), figures))
        return found

    def means(
        self, names: Sequence[str], since_at: datetime, until_at: datetime
    ) -> Iterator[tuple[float, list[float]]]:
        """Yield minute by minute its beginning (epoch s) and the means of series, NaN for unknown.

        A day is in memory at once; where there is no file nothing is known.

        Raises:
            PastUnreadableError: the file cannot be read.
        """
        return self._minute_by_minute(names, since_at, until_at, unpack_means)

    def highs(
        self, names: Sequence[str], since_at: datetime, until_at: datetime
    ) -> Iterator[tuple[float, list[float]]]:
        """Yield the same of their highest seconds.

        Raises:
            PastUnreadableError: the file cannot be read.
        """
        return self._minute_by_minute(names, since_at, until_at, unpack_highs)

    def _minute_by_minute(
        self,
        names: Sequence[str],
        since_at: datetime,
        until_at: datetime,
        unpack: Callable[[bytes, int], Sequence[float]],
    ) -> Iterator[tuple[float, list[float]]]:
        if not (self.folder / HISTORY_NAME).exists():
            return
        known: list[str] = []
        places: list[int | None] = []
        begins_at = since_at.replace(second=0, microsecond=0)
        until_at = until_at.replace(second=0, microsecond=0)
        while begins_at < until_at:
            ends_at = min(until_at, begins_at + timedelta(days=1))
            try:
                blocks = self._blocks("minutes", begins_at, ends_at)
            except (sqlite3.Error, OSError) as error:
                raise PastUnreadableError(str(error)) from error
            for minute, found, block in blocks:
                if found != known:
                    known, at = found, {name: position for position, name in enumerate(found)}
                    places = [at.get(name) for name in names]
                try:
                    figures = unpack(block, len(found))
                except BlockDamagedError:
                    continue
                yield minute * SECONDS, [nan if at is None else figures[at] for at in places]
            begins_at = ends_at

    def seconds(
        self, name: str, since_at: datetime, until_at: datetime
    ) -> list[tuple[datetime, float]]:
        """Return a series' values second by second, from `since_at` to before `until_at`."""
        since_s, until_s = since_at.timestamp(), until_at.timestamp()
        found = []
        for minute, names, block in self._blocks("seconds", since_at, until_at):
            if name not in names:
                continue
            try:
                columns = unpack_seconds(block, [resolution_of(n) for n in names])
            except BlockDamagedError:
                continue
            for second, value in enumerate(columns[names.index(name)]):
                at_s = minute * SECONDS + second
                if since_s <= at_s < until_s and not isnan(value):
                    found.append((_instant(at_s), value))
        return found

    def _blocks(
        self, table: str, since_at: datetime, until_at: datetime
    ) -> list[tuple[int, list[str], bytes]]:
        uri = f"{(self.folder / HISTORY_NAME).absolute().as_uri()}?mode=ro"
        first = int(since_at.timestamp()) // SECONDS
        last = -(-int(until_at.timestamp()) // SECONDS)
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reading:
            reading.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if not reading.execute("SELECT 1 FROM sqlite_schema").fetchone():
                return []  # The writer has begun the file this moment.
            rows = reading.execute(
                f"SELECT minute, names, block FROM {table} JOIN layouts ON layouts.id = layout"  # noqa: S608 - our own names
                " WHERE minute >= ? AND minute < ? ORDER BY minute",
                (first, last),
            )
            return [(minute, names.split("\n"), block) for minute, names, block in rows]


def _instant(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
