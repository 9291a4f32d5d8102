"""A ledger on paper: what was written, what waits, and what is left after a crash."""

import asyncio
from dataclasses import replace

from gateway.adapters.ledger_file import merged
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.memory import (
    Act,
    CallMemory,
    CircuitMemory,
    ConnectorMemory,
    Entry,
    FlashMemory,
    ForecastMemory,
    LearntMemory,
    Memory,
    PromiseMemory,
    SiteMemory,
    StatementMemory,
    StationMemory,
    TransactionMemory,
    TripMemory,
)


class PaperLedger:
    """`gateway.ports.Ledger` whose disk takes what waits when the test says so.

    Futures are `loop`'s, or the running one's: their callbacks run when it does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._waiting: list[Entry] = []
        self._futures: list[asyncio.Future[None]] = []
        self._memory = Memory()
        # Of promises there are many: they are copied when somebody looks, not with each that is written.
        self._promises: dict[str, PromiseMemory] = {}
        self.acts: list[Act] = []
        self.commits = 0
        self.together: list[tuple[Entry, ...]] = []
        """What was to be written durably, each time all of it or nothing."""

    @property
    def memory(self) -> Memory:
        """Return what is on the disk."""
        return replace(self._memory, promises=dict(self._promises))

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self._memory, self._promises = memory, dict(memory.promises)

    def keep(self, *entries: Entry) -> None:
        self._waiting += entries

    def keep_durably(self, *entries: Entry) -> asyncio.Future[None]:
        self._waiting += entries
        self.together.append(entries)
        loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._futures.append(future)
        return future

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """Return what waits for the disk."""
        return tuple(self._waiting)

    @property
    def is_asked(self) -> bool:
        """Return whether somebody waits for the disk."""
        return bool(self._futures)

    def commit(self) -> None:
        """Write everything that waits, and tell who waited."""
        for entry in self._waiting:
            self._write(entry)
        self._waiting.clear()
        self.commits += 1
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)

    def _write(self, entry: Entry) -> None:
        known = self._memory
        match entry:
            case ConnectorMemory():
                connectors = {**known.connectors, entry.connector: entry}
                self._memory = replace(known, connectors=connectors)
            case StationMemory():
                self._memory = replace(known, stations={**known.stations, entry.station: entry})
            case FlashMemory():
                self._memory = replace(known, flash={**known.flash, entry.station: entry})
            case CircuitMemory():
                self._memory = replace(known, circuits={**known.circuits, entry.circuit: entry})
            case LearntMemory():
                self._memory = replace(known, learnt={**known.learnt, entry.circuit: entry})
            case ForecastMemory():
                forecasts = {**known.forecasts, entry.circuit: entry}
                self._memory = replace(known, forecasts=forecasts)
            case SiteMemory():
                self._memory = replace(known, site=entry)
            case StatementMemory():
                statements = {**known.statements, entry.connector: entry}
                self._memory = replace(known, statements=statements)
            case CalendarEvent():
                events = {**known.events, entry.id: entry}
                self._memory = replace(known, events=events)
            case CallMemory():
                calls = {**known.calls, f"{entry.hook} {entry.id}": entry}
                if entry.is_over:
                    del calls[f"{entry.hook} {entry.id}"]
                self._memory = replace(known, calls=calls)
            case TripMemory():
                self._memory = replace(known, trips={**known.trips, entry.circuit: entry})
            case TransactionMemory():
                key = (entry.station, entry.transaction)
                by_key = {(t.station, t.transaction): t for t in known.transactions}
                by_key[key] = merged(by_key.get(key), entry)
                self._memory = replace(
                    known,
                    transactions=tuple(by_key.values()),
                    last_given_number=max(known.last_given_number, entry.given_number or 0),
                )
            case PromiseMemory():
                self._promises[entry.promise.id] = entry
            case Act():
                self.acts.append(entry)
