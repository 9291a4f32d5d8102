"""The ledger's rows: what is remembered, as JSON with a checksum, and transactions as columns."""

import sqlite3
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec

from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.memory import (
    CallMemory,
    CircuitMemory,
    ConnectorMemory,
    FlashMemory,
    ForecastMemory,
    LearntMemory,
    Memory,
    PromiseMemory,
    RunMemory,
    SessionMemory,
    SiteMemory,
    StatementMemory,
    StationMemory,
    TransactionMemory,
    TripMemory,
)
from gateway.domain.moments import FIRST_BELIEVABLE_YEAR

Record = (
    ConnectorMemory
    | StationMemory
    | FlashMemory
    | CircuitMemory
    | LearntMemory
    | ForecastMemory
    | SiteMemory
    | TripMemory
    | PromiseMemory
    | StatementMemory
    | CalendarEvent
    | CallMemory
    | RunMemory
)
Key = tuple[str, str]

KINDS: Final[dict[str, type[Record]]] = {
    "connector": ConnectorMemory,
    "station": StationMemory,
    "flash": FlashMemory,
    "circuit": CircuitMemory,
    "learnt": LearntMemory,
    "forecast": ForecastMemory,
    "site": SiteMemory,
    "trip": TripMemory,
    "promise": PromiseMemory,
    "statement": StatementMemory,
    "event": CalendarEvent,
    "call": CallMemory,
    "run": RunMemory,
}
REMEMBERED_TRANSACTIONS: Final = 2_000


def keys_of(record: Record) -> tuple[Key, ...]:
    """Return the rows a record is written to."""
    match record:
        case ConnectorMemory():
            return (("connector", str(record.connector)),)
        case StationMemory():
            return (("station", record.station),)
        case FlashMemory():
            return (("flash", record.station),)
        case CircuitMemory():
            return (("circuit", record.circuit),)
        case LearntMemory():
            return (("learnt", record.circuit),)
        case ForecastMemory():
            return (("forecast", record.circuit),)
        case PromiseMemory():
            return (("promise", record.promise.id),)
        case StatementMemory():
            return (("statement", str(record.connector)),)
        case CalendarEvent():
            return (("event", record.id),)
        case CallMemory():
            return (("call", f"{record.hook} {record.id}"),)
        case RunMemory():
            return (("run", "last"),)
        case SiteMemory():
            # Kept twice: of two rows, one flipped bit spoils one.
            return ("site", "1"), ("site", "2")
        case TripMemory():
            return (("trip", record.circuit),)
        case _:
            assert_never(record)


def write_record(connection: sqlite3.Connection, record: Record) -> None:
    """Write a record in the place of the one before; of what is over nothing is left."""
    body = msgspec.json.encode(record)
    for kind, key in keys_of(record):
        if is_done(record):
            connection.execute("DELETE FROM memory WHERE kind = ? AND key = ?", (kind, key))
            continue
        connection.execute(
            "INSERT INTO memory VALUES (?, ?, ?, ?) ON CONFLICT (kind, key)"
            " DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
            (kind, key, body, _checksum(kind, key, body)),
        )


def is_done(record: Record) -> bool:
    """Return whether nothing is to be remembered of what a record is about."""
    return isinstance(record, CallMemory) and record.is_over


def _checksum(kind: str, key: str, body: bytes) -> int:
    return zlib.crc32(f"{kind}/{key}/".encode() + body)


def read_records(connection: sqlite3.Connection, problems: list[str]) -> Iterator[Record]:
    """Yield every record that can be read; of the others add to `problems` what is lost."""
    query = "SELECT kind, key, body, checksum FROM memory ORDER BY kind, key"
    try:
        for kind, key, body, checksum in connection.execute(query):
            record = _read_record(kind, key, body, checksum)
            if record is None:
                problems.append(f"what was remembered of {kind} {key} is damaged")
            else:
                yield record
    except sqlite3.DatabaseError as error:
        problems.append(f"what was remembered cannot be read to its end: {error}")


def _read_record(kind: object, key: object, body: object, checksum: object) -> Record | None:
    if not (isinstance(kind, str) and isinstance(key, str) and isinstance(body, bytes)):
        return None
    if kind not in KINDS or checksum != _checksum(kind, key, body):
        return None
    try:
        return msgspec.json.decode(body, type=KINDS[kind])
    except msgspec.MsgspecError:
        return None


def read_memory(connection: sqlite3.Connection) -> Memory:
    """Return everything the ledger remembers, as far as it can be read."""
    problems: list[str] = []
    connectors: dict[ConnectorRef, ConnectorMemory] = {}
    stations: dict[StationId, StationMemory] = {}
    flash: dict[StationId, FlashMemory] = {}
    circuits: dict[CircuitId, CircuitMemory] = {}
    learnt: dict[CircuitId, LearntMemory] = {}
    forecasts: dict[CircuitId, ForecastMemory] = {}
    promises: dict[str, PromiseMemory] = {}
    statements: dict[ConnectorRef, StatementMemory] = {}
    events: dict[str, CalendarEvent] = {}
    calls: dict[str, CallMemory] = {}
    trips: dict[CircuitId, TripMemory] = {}
    site, run = SiteMemory(), None
    for record in read_records(connection, problems):
        match record:
            case ConnectorMemory():
                connectors[record.connector] = record
            case StationMemory():
                stations[record.station] = record
            case FlashMemory():
                flash[record.station] = record
            case CircuitMemory():
                circuits[record.circuit] = record
            case LearntMemory():
                learnt[record.circuit] = record
            case ForecastMemory():
                forecasts[record.circuit] = record
            case SiteMemory():
                site = record
            case TripMemory():
                trips[record.circuit] = record
            case PromiseMemory():
                promises[record.promise.id] = record
            case StatementMemory():
                statements[record.connector] = record
            case CalendarEvent():
                events[record.id] = record
            case CallMemory():
                calls[f"{record.hook} {record.id}"] = record
            case RunMemory():
                run = record
    transactions, last_number = read_transactions(connection, problems)
    return Memory(
        connectors=connectors,
        stations=stations,
        flash=flash,
        circuits=circuits,
        learnt=learnt,
        forecasts=forecasts,
        site=site,
        trips=trips,
        transactions=transactions,
        last_given_number=last_number,
        promises=promises,
        statements=statements,
        events=events,
        calls=calls,
        run=run,
        problems=tuple(problems),
    )


def drop_promises(connection: sqlite3.Connection, *, closed_before_at_s: float) -> int:
    """Remove promises that were closed before an epoch second; return how many those were."""
    closed = [
        record.promise.id
        for record in read_records(connection, [])
        if isinstance(record, PromiseMemory) and is_over(record, closed_before_at_s)
    ]
    connection.executemany(
        "DELETE FROM memory WHERE kind = 'promise' AND key = ?", [(name,) for name in closed]
    )
    return len(closed)


def is_over(record: PromiseMemory, closed_before_at_s: float) -> bool:
    """Return whether a promise was closed before an epoch second."""
    closed_at_s = record.promise.closed_at_s
    return closed_at_s is not None and closed_at_s < closed_before_at_s


_COLUMNS: Final = (
    *("station", "transaction_id", "connector_number", "given_number", "id_token", "told"),
    *("began_at", "ended_at", "meter_start_wh", "meter_stop_wh", "reason", "session", "is_over"),
)
_MERGED: Final = _COLUMNS[2:-1]


def write_transaction(
    connection: sqlite3.Connection, record: TransactionMemory, *, noted_at: str
) -> bool:
    """Write what is known of a transaction over what was; return whether it was news.

    One that begins under the id of one that is over has a row of its own (`merged` says the same).
    """
    connection.execute(
        "UPDATE OR REPLACE transactions"
        " SET transaction_id = transaction_id || ' until ' || coalesce(ended_at, began_at)"
        " WHERE station = ? AND transaction_id = ? AND is_over AND ? > coalesce(ended_at, began_at)",
        (record.station, record.transaction, _text(record.began_at)),
    )
    before = connection.execute(
        "SELECT is_over FROM transactions WHERE station = ? AND transaction_id = ?",
        (record.station, record.transaction),
    ).fetchone()
    columns = ", ".join(_COLUMNS)
    merged = ", ".join(f"{name} = coalesce(excluded.{name}, {name})" for name in _MERGED)
    connection.execute(
        f"INSERT INTO transactions ({columns}, first_noted_at, last_noted_at)"  # noqa: S608 - names of our own columns
        f" VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})"
        f" ON CONFLICT (station, transaction_id) DO UPDATE SET {merged},"
        " is_over = max(is_over, excluded.is_over), last_noted_at = excluded.last_noted_at",
        (
            record.station,
            record.transaction,
            record.connector_number,
            record.given_number,
            record.id_token,
            record.told,
            _text(record.began_at),
            _text(record.ended_at),
            record.meter_start_wh,
            record.meter_stop_wh,
            record.reason,
            None if record.session is None else msgspec.json.encode(record.session).decode(),
            int(record.is_over),
            noted_at,
            noted_at,
        ),
    )
    return before is None or (record.is_over and not before[0])


def read_transactions(
    connection: sqlite3.Connection, problems: list[str]
) -> tuple[tuple[TransactionMemory, ...], int]:
    """Return the transactions that run and the newest of those that are over, and the last number."""
    columns = ", ".join((*_COLUMNS, "first_noted_at"))
    query = (
        f"SELECT {columns} FROM (SELECT * FROM transactions WHERE is_over = 0 UNION"  # noqa: S608 - names of our own columns
        " SELECT * FROM (SELECT * FROM transactions WHERE is_over = 1"
        f" ORDER BY last_noted_at DESC LIMIT {REMEMBERED_TRANSACTIONS})) ORDER BY id"
    )
    found: list[TransactionMemory] = []
    last_number = 0
    try:
        row = connection.execute("SELECT max(given_number) FROM transactions").fetchone()
        last_number = row[0] or 0
        found.extend(_transaction_of(row) for row in connection.execute(query))
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        problems.append(f"transactions cannot be read to their end: {error}")
    return tuple(found), last_number


def _transaction_of(row: tuple[Any, ...]) -> TransactionMemory:
    said = dict(zip((*_COLUMNS, "first_noted_at"), row, strict=True))
    began_at = _instant(said["began_at"])
    if not said["is_over"] and (began_at is None or began_at.year < FIRST_BELIEVABLE_YEAR):
        # It was found running, or the clock of its station was never set.
        began_at = _instant(said["first_noted_at"])
    return TransactionMemory(
        station=StationId(said["station"]),
        transaction=TransactionId(said["transaction_id"]),
        connector_number=said["connector_number"],
        given_number=said["given_number"],
        is_over=bool(said["is_over"]),
        id_token=said["id_token"],
        told=said["told"],
        began_at=began_at,
        ended_at=_instant(said["ended_at"]),
        meter_start_wh=said["meter_start_wh"],
        meter_stop_wh=said["meter_stop_wh"],
        reason=said["reason"],
        session=_session(said["session"]),
    )


def _session(text: str | None) -> SessionMemory | None:
    """Return how a stay went, None where that is not known or cannot be read any more."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=SessionMemory)
    except msgspec.MsgspecError:
        return None


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
