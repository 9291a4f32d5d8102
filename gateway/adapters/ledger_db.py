"""The ledger as the daemon uses it: a thread writes it in groups and tells what is safe there."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Final, TypeVar

from gateway.adapters.ledger_file import Batch, LedgerFile
from gateway.adapters.ledger_retention import LetGo
from gateway.adapters.ledger_schema import LEDGER_NAME, LedgerRefusedError
from gateway.domain.memory import Act, Entry, Memory, RunMemory, TransactionMemory
from gateway.ports import MomentClock

BATCH_S: Final = 30.0
GATHER_S: Final = 0.02
"""Writes that are waited for begin no closer together: what comes meanwhile shares the next one."""
RETRY_S: Final = 5.0
MAX_ACTS: Final = 10_000
ENDS_WITHIN_S: Final = 5.0
FULL_BELOW_BYTES: Final = 64 * 1_024

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHealth:
    """How the ledger does: `problem` says what is wrong and what to do, None while it is well.

    `damage` says what was found damaged since the start, and what became of it.
    """

    problem: str | None
    damage: str | None
    since_at: datetime | None
    waiting_count: int


class LedgerDb:
    """`gateway.ports.Ledger` over `ledger.db`. Call `load` once, then `run`.

    While nothing can be written everything waits in memory, and is written as soon as that is
    possible again; what waits for it to be durable waits too.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str,
        clock: MomentClock,
        batch_s: float = BATCH_S,
        gather_s: float = GATHER_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """Touch nothing yet."""
        self._file = LedgerFile(folder, site=site, now_at=clock.now_at)
        self._clock = clock
        self._batch_s, self._gather_s = batch_s, gather_s
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._batch = Batch()
        self._waiters: list[asyncio.Future[None]] = []
        self._letting_go: list[asyncio.Future[LetGo]] = []
        self._batch_since_s: float | None = None
        self._taken_at_s = -inf
        self._is_ending = False
        self._problem: str | None = None
        self._problem_since_at: datetime | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run = RunMemory(run="", began=clock.moment())
        self._known_at: Callable[[], datetime | None] = lambda: None
        self.counters: Counter[str] = Counter()

    def load(self, *, run: str) -> Memory:
        """Return what is remembered, and begin a life of the daemon, named `run`.

        Raises:
            LedgerRefusedError: it is of a newer version, of another site, or no ledger.
        """
        memory = self._file.load()
        noted = None if memory.run is None else memory.run.noted
        self._run = RunMemory(run=run, began=self._clock.moment(), noted=noted)
        self._batch.put_record(self._run)
        self._batch.acts.append((self._clock.now_at(), Act(kind="began", subject="headroom")))
        # Before anything is sent, so that an earlier end in order is not taken for ours.
        self._write(self._take())
        # Written where others keep it, it shows a chain that was made anew.
        _log.info("the audit stands at %s", self.audit_head)
        return memory

    def note_by(self, known_at: Callable[[], datetime | None]) -> None:
        """Note from now on when something is written by what `known_at` tells, in any thread.

        Where it tells nothing, what an earlier life knew stays noted.
        """
        self._known_at = known_at

    # What the event loop calls.

    def keep(self, *entries: Entry) -> None:
        """See `gateway.ports.Ledger`."""
        with self._changed:
            self._put(entries)
            if self._batch_since_s is None:
                self._batch_since_s = self._clock.monotonic_s()
                self._changed.notify()

    def keep_durably(self, *entries: Entry) -> asyncio.Future[None]:
        """See `gateway.ports.Ledger`."""
        waiter = asyncio.get_running_loop().create_future()
        with self._changed:
            self._put(entries)
            self._waiters.append(waiter)
            if len(self._waiters) == 1:  # The writer knows of the others by then.
                self._changed.notify()
        return waiter

    async def let_go(self) -> LetGo:
        """Let go of what is older than it is kept; return how much that was.

        It waits while nothing can be written; any other fault in it is raised here.
        """
        waiter: asyncio.Future[LetGo] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._letting_go.append(waiter)
            self._changed.notify()
        return await waiter

    def _put(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            match entry:
                case TransactionMemory():
                    self._batch.put_transaction(entry)
                case Act():
                    self._batch.acts.append((self._clock.now_at(), entry))
                    if len(self._batch.acts) > MAX_ACTS:
                        del self._batch.acts[0]
                        self.counters["acts lost"] += 1
                case _:
                    self._batch.put_record(entry)

    @property
    def health(self) -> LedgerHealth:
        """Return how the ledger does."""
        with self._changed:
            return LedgerHealth(
                problem=self._problem,
                damage="; ".join(self._file.damages) or None,
                since_at=self._problem_since_at,
                waiting_count=len(self._batch),
            )

    @property
    def audit_head(self) -> str:
        """Return the newest row of the audit, to be written down where others keep it."""
        return str(self._file.head)

    async def run(self) -> None:
        """Write until cancelled; then write what waits, and that this life ended in order."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._write_for_ever, name="ledger", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            with self._changed:
                self._is_ending = True
                self._changed.notify()
            await asyncio.to_thread(thread.join, ENDS_WITHIN_S)

    def close(self) -> None:
        """Let go of the file without an end in order; for who has loaded it and does not run it."""
        self._file.close()

    # The writer's thread.

    def _write_for_ever(self) -> None:
        retry_at_s = None if self._problem is None else self._clock.monotonic_s() + self._retry_s
        while True:
            with self._changed:
                while (wait_s := self._wait_s(retry_at_s)) is None or wait_s > 0:
                    self._changed.wait(wait_s)
                is_ending, taken = self._is_ending, self._take()
            if is_ending:
                self._end(taken)
                return
            is_written = self._write(taken) and self._let_go()
            retry_at_s = None if is_written else self._clock.monotonic_s() + self._retry_s

    def _wait_s(self, retry_at_s: float | None) -> float | None:
        """Return how long nothing is to be written, None for until something changes."""
        if self._is_ending:
            return 0.0
        if retry_at_s is not None:
            return retry_at_s - self._clock.monotonic_s()
        if self._waiters or self._letting_go:
            return self._taken_at_s + self._gather_s - self._clock.monotonic_s()
        if self._batch_since_s is None:
            return None
        return self._batch_since_s + self._batch_s - self._clock.monotonic_s()

    def _take(self) -> tuple[Batch, list[asyncio.Future[None]]]:
        taken = self._batch, self._waiters
        self._batch, self._waiters, self._batch_since_s = Batch(), [], None
        self._taken_at_s = self._clock.monotonic_s()
        return taken

    def _end(self, taken: tuple[Batch, list[asyncio.Future[None]]]) -> None:
        self._run = replace(self._run, ended=self._clock.moment())
        taken[0].put_record(self._run)
        taken[0].acts.append((self._clock.now_at(), Act(kind="ended", subject="headroom")))
        self._write(taken)
        self._file.close()

    def _write(self, taken: tuple[Batch, list[asyncio.Future[None]]]) -> bool:
        """Return whether a batch was written; if not, it is put back."""
        batch, waiters = taken
        try:
            self._file.write(self._noted(batch))
        except (sqlite3.Error, OSError, LedgerRefusedError) as error:
            self._put_back(batch, waiters, self._explain(error))
            return False
        except Exception as error:  # noqa: BLE001 - what waits is kept, whatever the fault
            _log.exception("the ledger's writer has a fault")
            if not self._write_without_the_faulty(batch):
                self._put_back(batch, waiters, repr(error))
                return False
        self.counters["commits"] += 1
        self.counters["damages"] = len(self._file.damages)
        self.counters["entries"] += len(batch)
        if self._problem is not None:
            with self._changed:
                self._problem = self._problem_since_at = None
        if waiters and self._loop is not None:
            _tell(self._loop, waiters, None)
        return True

    def _noted(self, batch: Batch) -> Batch:
        """Return a batch with when it is written: so a later life knows which day it was at least.

        By the time that is believed: a wall clock that is doubted would be knowledge after a restart.
        """
        known_at = self._known_at()
        if known_at is None or not len(batch):
            return batch
        noted = replace(batch, records=dict(batch.records))
        noted.put_record(replace(self._run, noted=replace(self._clock.moment(), wall_at=known_at)))
        return noted

    def _write_without_the_faulty(self, batch: Batch) -> bool:
        """Return whether a batch was written but for entries that cannot be, which are let go of.

        One of them would keep all others from the disk, and every limit from being raised. Where
        none can be written the fault is not theirs.
        """
        faulty: list[Exception] = []
        count = 0
        for entry in batch.apart():
            try:
                self._file.write(entry)
            except (sqlite3.Error, OSError, LedgerRefusedError):
                return False
            except Exception as error:  # noqa: BLE001 - told of below
                faulty.append(error)
            count += 1
        if len(faulty) == count:
            return False
        self.counters["entries lost"] += len(faulty)
        self._file.damages += [f"an entry could not be written and is lost: {e}" for e in faulty]
        return True

    def _let_go(self) -> bool:
        """Return whether what was asked to be let go of is gone."""
        if not self._letting_go:
            return True
        gone: LetGo | Exception
        try:
            gone = self._file.let_go()
        except (sqlite3.Error, OSError) as error:
            self._put_back(Batch(), [], self._explain(error))
            return False
        except Exception as error:  # noqa: BLE001 - who asked gets to know, and the writer goes on
            gone = error
        with self._changed:
            waiters, self._letting_go = self._letting_go, []
        if self._loop is not None:
            _tell(self._loop, waiters, gone)
        return True

    def _put_back(self, batch: Batch, waiters: list[asyncio.Future[None]], problem: str) -> None:
        self.counters["failures"] += 1
        with self._changed:
            self._batch.put_back(batch)
            self._waiters = [*waiters, *self._waiters]
            if self._problem is None:
                self._problem_since_at = self._clock.now_at()
            self._problem = problem

    def _explain(self, error: Exception) -> str:
        """Return what is wrong, and what a person can do."""
        if isinstance(error, LedgerRefusedError):
            return str(error)
        folder = self._file.path.parent
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = f"see to the disk of {folder}"
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            advice = f"make {folder} writable for the user of the daemon"
        # Of such disks SQLite says different things, by what it was about to write.
        if _is_read_only(folder):
            advice = (
                f"the disk of {folder} takes nothing: see to it (`dmesg`), and mount it writable"
            )
        elif code == sqlite3.SQLITE_FULL or _is_full(folder):
            advice = f"make room on the disk of {folder}"
        return f"{LEDGER_NAME} cannot be written, so no limit is raised: {error}: {advice}"


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _is_full(folder: Path) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    # Some file systems make inodes as they need them, and count none.
    has_no_inode = bool(status.f_files) and not status.f_favail
    return status.f_bavail * status.f_frsize < FULL_BELOW_BYTES or has_no_inode


def _tell(
    loop: asyncio.AbstractEventLoop, waiters: list[asyncio.Future[T]], result: T | Exception
) -> None:
    def resolve() -> None:
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(result, Exception):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)

    with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
        loop.call_soon_threadsafe(resolve)
