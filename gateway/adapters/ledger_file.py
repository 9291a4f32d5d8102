"""The ledger's file over its life: opened, written, salvaged when damaged, begun anew when lost."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path

from gateway.adapters import audit_chain
from gateway.adapters.audit_chain import AuditHead, detail_text
from gateway.adapters.ledger_retention import LetGo, let_go, promises_kept_since_at_s
from gateway.adapters.ledger_rows import (
    Key,
    Record,
    is_done,
    is_over,
    keys_of,
    read_memory,
    write_record,
    write_transaction,
)
from gateway.adapters.ledger_schema import (
    LEDGER_NAME,
    LedgerDamagedError,
    LedgerRefusedError,
    check_is_ours,
    is_damage,
    move_aside,
    open_ledger,
    read_seal,
    reserve_space,
)
from gateway.adapters.wal_image import open_image
from gateway.domain.memory import Act, Memory, PromiseMemory, TransactionMemory

TransactionKey = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is to be written together; of records about the same thing the newest.

    Acts carry the instant they were kept at.
    """

    records: dict[Key, Record] = field(default_factory=dict)
    transactions: dict[TransactionKey, TransactionMemory] = field(default_factory=dict)
    acts: list[tuple[datetime, Act]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many entries wait."""
        return len(self.records) + len(self.transactions) + len(self.acts)

    def apart(self) -> Iterator["Batch"]:
        """Yield its entries one by one, records and transactions before what is told of them."""
        for key, record in self.records.items():
            yield Batch(records={key: record})
        for name, transaction in self.transactions.items():
            yield Batch(transactions={name: transaction})
        for act in self.acts:
            yield Batch(acts=[act])

    def put_record(self, record: Record) -> None:
        """Take a record in the place of the one before."""
        self.records[keys_of(record)[0]] = record

    def put_transaction(self, record: TransactionMemory) -> None:
        """Take what is known of a transaction over what was known before."""
        key = (record.station, record.transaction)
        self.transactions[key] = merged(self.transactions.get(key), record)

    def put_back(self, unwritten: "Batch") -> None:
        """Take back what could not be written: what came since counts more."""
        self.records = {**unwritten.records, **self.records}
        newer = self.transactions
        self.transactions = dict(unwritten.transactions)
        for record in newer.values():
            self.put_transaction(record)
        self.acts = [*unwritten.acts, *self.acts]


def merged(before: TransactionMemory | None, after: TransactionMemory) -> TransactionMemory:
    """Return what both say of a transaction, the later where they differ.

    One that begins after the end of the other is another, under an id used again.
    """
    if before is None:
        return after
    heard_at = before.ended_at or before.began_at
    if before.is_over and heard_at and after.began_at and after.began_at > heard_at:
        return after
    kept = {
        f.name: getattr(before, f.name)
        for f in fields(TransactionMemory)
        if getattr(after, f.name) is None
    }
    return replace(after, **kept, is_over=before.is_over or after.is_over)


class LedgerFile:
    """`ledger.db` in a state folder. Everything here may wait for the disk."""

    def __init__(self, folder: Path, *, site: str, now_at: Callable[[], datetime]) -> None:
        """Touch nothing yet."""
        self.path = folder / LEDGER_NAME
        self.head = AuditHead(number=0, hash=audit_chain.GENESIS)
        self.damages: list[str] = []
        """What happened to the file in this life of the daemon, for people."""
        self._site = site
        self._now_at = now_at
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        # What the file must say, should it have to be written anew.
        self._mirror: dict[Key, Record] = {}
        self._running: dict[TransactionKey, TransactionMemory] = {}

    def load(self) -> Memory:
        """Return what is remembered, at the start. Whether it can also be written shows later.

        A damaged file is moved aside, and what can be read of it is kept.

        Raises:
            LedgerRefusedError: it is of a newer version, of another site, or no ledger.
        """
        try:
            self._open()
            assert self._connection is not None
            memory = read_memory(self._connection)
            self.damages += memory.problems
        except LedgerDamagedError as error:
            memory = self._salvage(error)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and is_damage(error):
                memory = self._salvage(error)
            else:
                self.close()
                memory = self._read_only(error)
        self._mirror = {keys_of(record)[0]: record for record in _records_of(memory)}
        self._running = {
            (t.station, t.transaction): t for t in memory.transactions if not t.is_over
        }
        return memory

    def write(self, batch: Batch) -> None:
        """Write a batch, whole or not at all; it would survive a power cut when this returns.

        Raises:
            LedgerRefusedError: another file has taken the ledger's place.
            sqlite3.Error, OSError: it cannot be written now.
        """
        try:
            if self._connection is not None and not self._is_in_place():
                self.close()
            if self._connection is None:
                before = self.head
                self._open()
                batch = self._with_what_is_missing(batch)
                if self.head.number < before.number:
                    batch.acts.insert(0, self._begun_anew("it was no longer there", before))
            self._commit(batch)
        except (LedgerDamagedError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            self._begin_anew(error)
            batch = self._with_what_is_missing(batch)
            self._commit(batch)
        for key, record in batch.records.items():
            if is_done(record):
                self._mirror.pop(key, None)
            else:
                self._mirror[key] = record
        for name, transaction in batch.transactions.items():
            if transaction.is_over:
                self._running.pop(name, None)
            else:
                self._running[name] = merged(self._running.get(name), transaction)

    def let_go(self) -> LetGo:
        """Let go of what is older than it is kept.

        Raises:
            sqlite3.Error: it cannot be written now.
        """
        try:
            gone = self._let_go()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            # Of what is old nothing is left in a new file.
            self._begin_anew(error)
            self._commit(self._with_what_is_missing(Batch()))
            gone = LetGo(transaction_count=0, audit_count=0)
        before_at_s = promises_kept_since_at_s(self._now_at())
        self._mirror = {
            key: record
            for key, record in self._mirror.items()
            if not (isinstance(record, PromiseMemory) and is_over(record, before_at_s))
        }
        return gone

    def _let_go(self) -> LetGo:
        assert self._connection is not None
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            gone = let_go(self._connection, self._now_at())
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise
        return gone

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._inode = None

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = open_ledger(self.path, site=self._site, now_at=self._now_at())
        self._inode = self.path.stat().st_ino
        with suppress(sqlite3.Error):  # The room may be missing, and yet it can be written.
            reserve_space(self._connection, self.path)
        self.head = audit_chain.read_head(self._connection)

    def _is_in_place(self) -> bool:
        """Return whether the open file is still the one of that name: somebody may have moved it."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _with_what_is_missing(self, batch: Batch) -> Batch:
        """Return the batch with everything remembered that a file just opened may not know."""
        whole = Batch(
            records=self._mirror | batch.records,
            transactions=dict(self._running),
            acts=list(batch.acts),
        )
        for record in batch.transactions.values():
            whole.put_transaction(record)
        return whole

    def _commit(self, batch: Batch) -> None:
        connection, head = self._connection, self.head
        assert connection is not None
        noted_at = self._now_at().isoformat(timespec="milliseconds")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for record in batch.records.values():
                write_record(connection, record)
            acts = [(at.isoformat(timespec="milliseconds"), act) for at, act in batch.acts]
            acts += [
                (noted_at, _act_of(transaction))
                for transaction in batch.transactions.values()
                if write_transaction(connection, transaction, noted_at=noted_at)
            ]
            for at, act in acts:
                head = audit_chain.append(
                    connection,
                    head,
                    noted_at=at,
                    kind=act.kind,
                    subject=act.subject,
                    detail=detail_text(act.detail, by=act.by),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise
        self.head = head

    # When the file is not as it should be.

    def _salvage(self, error: Exception) -> Memory:
        """Return what can be read of a damaged ledger; it is moved aside and a new one begun."""
        self.close()
        memory = Memory()
        with suppress(sqlite3.Error), closing(_open_to_read(self.path)) as damaged:
            seal = read_seal(damaged)
            if seal is not None and seal.site != self._site:
                raise LedgerRefusedError(f"{error}; and it is the ledger of {seal.site!r}")
            memory = read_memory(damaged)
        self._mirror = {keys_of(record)[0]: record for record in _records_of(memory)}
        self._running = {
            (t.station, t.transaction): t for t in memory.transactions if not t.is_over
        }
        self.damages += memory.problems
        try:
            self._begin_anew(error)
            self._commit(self._with_what_is_missing(Batch()))
        except (sqlite3.Error, OSError) as failure:
            self.close()
            self.damages.append(f"{error}; no new one can be begun: {failure}")
        return replace(memory, problems=tuple(self.damages))

    def _begin_anew(self, error: Exception) -> None:
        """Move a damaged file aside and open a new one, whose audit says so."""
        self.close()
        aside = move_aside(self.path, self._now_at(), word="damaged")
        self.damages.append(
            f"{error}; it is now {aside.name}, and a new ledger has begun with what could be read"
        )
        before = self.head
        self._open()
        self._commit(Batch(acts=[self._begun_anew(f"{error}; {aside.name}", before)]))

    def _begun_anew(self, reason: str, before: AuditHead) -> tuple[datetime, Act]:
        """Return what the audit of a new file begins with: why, and where the one before stood."""
        detail = {"because": reason, "head": str(before)}
        act = Act(kind="ledger-begun-anew", subject=self.path.name, detail=detail)
        return self._now_at(), act

    def _read_only(self, error: Exception) -> Memory:
        """Return what is remembered where nothing can be written, not even beside the file.

        Raises:
            LedgerRefusedError: it is of a newer version, of another site, or no ledger.
        """
        if not self.path.exists():
            return Memory(problems=(str(error),))
        try:
            with closing(open_image(self.path)) as reading:
                check_is_ours(reading, self.path, site=self._site)
                memory = read_memory(reading)
        except (LedgerDamagedError, sqlite3.Error) as failure:
            # A file that was made and never written says nothing, and is not damaged.
            if self.path.stat().st_size > 0:
                self.damages.append(f"{self.path} cannot be read: {failure}")
            return Memory(problems=(str(failure),))
        except OSError as failure:  # Out of reach: what is wrong with writing it is told anyway.
            return Memory(problems=(str(failure),))
        self.damages += memory.problems
        return memory


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _records_of(memory: Memory) -> Iterable[Record]:
    yield from memory.connectors.values()
    yield from memory.stations.values()
    yield from memory.flash.values()
    yield from memory.circuits.values()
    yield from memory.learnt.values()
    yield from memory.forecasts.values()
    yield from memory.promises.values()
    yield from memory.statements.values()
    yield from memory.events.values()
    yield from memory.calls.values()
    yield memory.site
    yield from memory.trips.values()
    if memory.run is not None:
        yield memory.run


def _act_of(transaction: TransactionMemory) -> Act:
    """Return what the audit says of a transaction that is news."""
    known = {
        "connector": transaction.connector_number,
        "began_at": transaction.began_at,
        "ended_at": transaction.ended_at,
        "meter_start_wh": transaction.meter_start_wh,
        "meter_stop_wh": transaction.meter_stop_wh,
        "reason": transaction.reason,
    }
    return Act(
        kind="transaction-over" if transaction.is_over else "transaction-begun",
        subject=f"{transaction.station} {transaction.transaction}",
        detail={name: str(value) for name, value in known.items() if value is not None},
    )
