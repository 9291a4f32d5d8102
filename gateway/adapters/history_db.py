"""The history as the daemon uses it: seconds are gathered to minutes, and a thread writes them."""

import asyncio
import logging
import queue
import sqlite3
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from math import nan
from pathlib import Path
from typing import Final

from gateway.adapters.history_blocks import SECONDS
from gateway.adapters.history_file import HistoryFile, Minute
from gateway.ports import Clock

WAITING_MINUTES: Final = 5
ENDS_WITHIN_S: Final = 5.0

_log = logging.getLogger(__name__)
_EMPTY: Final = array("f", [nan] * SECONDS)


class HistoryDb:
    """`gateway.ports.History` over `history.db`.

    Whatever becomes of the file or the disk, `sample` is never held up: minutes that cannot be
    written are lost and counted, and a file that cannot be used is moved aside.
    """

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        """Touch nothing yet."""
        self._file = HistoryFile(folder)
        self._clock = clock
        self._names: tuple[str, ...] = ()
        self._columns: list[array[float]] = []
        self._number: int | None = None
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue(WAITING_MINUTES)
        self._problem: str | None = None
        self.counters: Counter[str] = Counter()

    @property
    def problem(self) -> str | None:
        """Return what is wrong with it for people, None if it is written as it should be."""
        return self._problem

    @property
    def damage(self) -> str | None:
        """Return what was moved aside since the start, None if nothing was."""
        return "; ".join(self._file.damages) or None

    def sample(self, names: tuple[str, ...], values: Sequence[float]) -> None:
        """See `gateway.ports.History`."""
        at_s = int(self._clock.now_at().timestamp())
        number, second = divmod(at_s, SECONDS)
        if number != self._number or (names is not self._names and names != self._names):
            self._hand_over()
            self._number, self._names = number, names
            self._columns = [_EMPTY[:] for _ in names]
        for column, value in zip(self._columns, values, strict=True):
            column[second] = value

    def _hand_over(self) -> None:
        """Give the minute that is over to the writer."""
        if self._number is None or not self._columns:
            return
        minute = Minute(number=self._number, names=self._names, columns=self._columns)
        self._number, self._columns = None, []
        try:
            self._work.put_nowait(lambda: self._write(minute))
        except queue.Full:
            self.counters["minutes lost"] += 1

    async def let_go(self) -> int:
        """Let go of the minutes that are older than they are kept; return how many.

        Raises:
            sqlite3.Error, OSError: it cannot be written now.
        """
        gone: Future[int] = Future()

        def chore() -> None:
            try:
                gone.set_result(self._file.let_go(self._clock.now_at()))
            except Exception as error:  # noqa: BLE001 - who asked gets to know
                gone.set_exception(error)

        try:
            self._work.put_nowait(chore)
        except queue.Full as error:
            raise OSError("the disk holds up the history's writer for minutes") from error
        return await asyncio.wrap_future(gone)

    async def run(self) -> None:
        """Write until cancelled; then write the minute that has begun."""
        thread = threading.Thread(target=self._work_for_ever, name="history", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._hand_over()
            try:
                self._work.put_nowait(None)
            except queue.Full:
                self.counters["minutes lost"] += 1
            await asyncio.to_thread(thread.join, ENDS_WITHIN_S)

    # The writer's thread.

    def _work_for_ever(self) -> None:
        while (chore := self._work.get()) is not None:
            chore()
        self._file.close()

    def _write(self, minute: Minute) -> None:
        try:
            self._file.write(minute, self._clock.now_at())
        except (sqlite3.Error, OSError) as error:
            self.counters["minutes lost"] += 1
            folder = self._file.path.parent
            self._problem = f"no history is written: {error}: see to the disk of {folder}"
        except Exception:  # noqa: BLE001 - nothing depends on the history
            self.counters["minutes lost"] += 1
            self._problem = "no history is written, by a fault of ours"
            _log.exception("the history's writer has a fault")
        else:
            self.counters["minutes"] += 1
            self._problem = None
