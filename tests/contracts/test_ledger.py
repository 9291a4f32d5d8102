"""What every `Ledger` keeps to: the file on a disk, and the one on paper."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_schema import LEDGER_NAME
from gateway.domain.ids import StationId
from gateway.domain.memory import Act, Entry, Memory, SiteMemory, StationMemory, TransactionMemory
from gateway.ports import Ledger
from tests.support.every_entry import (
    AT,
    CALL,
    ONE_OF_EACH,
    OVER,
    PLUG,
    STATION,
    SUPPLY,
    TRANSACTION,
)
from tests.support.paper_ledger import PaperLedger

PATIENCE_S = 20.0
A_MOMENT_S = 0.2
OLD, NEW = (StationMemory(station=STATION, firmware=said) for said in ("1", "2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A ledger at work: what it would remember after a power cut, and how to keep it from writing."""

    ledger: Ledger
    remembered: Callable[[], Memory]
    cannot_write: Callable[[], AbstractContextManager[None]]


@asynccontextmanager
async def on_disk(folder: Path) -> AsyncIterator[Kept]:
    writing = LedgerDb(folder / "state", site="Dockside", clock=SystemClock(), retry_s=0.1)
    writing.load(run="run")

    def remembered() -> Memory:
        shutil.rmtree(folder / "copy", ignore_errors=True)
        shutil.copytree(folder / "state", folder / "copy")
        reading = LedgerDb(folder / "copy", site="Dockside", clock=SystemClock())
        memory = reading.load(run="reading")
        reading.close()
        return replace(memory, run=None)

    @contextmanager
    def cannot_write() -> Iterator[None]:
        with closing(sqlite3.connect(folder / "state" / LEDGER_NAME)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.rollback()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writing.run(), name="ledger")
        yield Kept(ledger=writing, remembered=remembered, cannot_write=cannot_write)
        running.cancel()


@asynccontextmanager
async def on_paper(_: Path) -> AsyncIterator[Kept]:
    paper, writes = PaperLedger(), asyncio.Event()
    writes.set()

    async def commit_for_ever() -> None:
        while True:
            await writes.wait()
            if paper.is_asked:
                paper.commit()
            await asyncio.sleep(0.005)

    @contextmanager
    def cannot_write() -> Iterator[None]:
        writes.clear()
        yield
        writes.set()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(commit_for_ever(), name="paper")
        yield Kept(ledger=paper, remembered=lambda: paper.memory, cannot_write=cannot_write)
        running.cancel()


Opened = Callable[[Path], AbstractAsyncContextManager[Kept]]
RunWith = Callable[[Callable[[Kept], Awaitable[None]]], None]


@pytest.fixture(params=[on_disk, on_paper])
def run_with(request: pytest.FixtureRequest, tmp_path: Path) -> RunWith:
    opened: Opened = request.param

    def run(test: Callable[[Kept], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(PATIENCE_S), opened(tmp_path) as kept:
                await test(kept)

        asyncio.run(main())

    return run


def remembered_in(memory: Memory) -> list[object]:
    """Return all that a memory holds, in any order, and not that nothing is known of the site."""
    tables = (
        *(memory.connectors, memory.stations, memory.flash, memory.circuits, memory.learnt),
        *(memory.forecasts, memory.trips, memory.promises, memory.statements, memory.events),
        memory.calls,
    )
    entries: list[object] = [entry for table in tables for entry in table.values()]
    return entries + list(memory.transactions) + [memory.site] * (memory.site != SiteMemory())


def test_an_entry_of_every_kind_is_tried() -> None:
    assert {type(entry) for entry in ONE_OF_EACH} == set(get_args(Entry))


@pytest.mark.parametrize("entry", [*ONE_OF_EACH, OVER], ids=lambda entry: type(entry).__name__)
def test_what_was_waited_for_is_remembered_as_it_was(run_with: RunWith, entry: Entry) -> None:
    async def test(kept: Kept) -> None:
        await kept.ledger.keep_durably(entry)

        # An act is for people: it is in the audit.
        assert remembered_in(kept.remembered()) == ([] if isinstance(entry, Act) else [entry])

    run_with(test)


def test_each_thing_is_found_by_its_own_name(run_with: RunWith) -> None:
    async def test(kept: Kept) -> None:
        await kept.ledger.keep_durably(*ONE_OF_EACH)
        memory = kept.remembered()

        assert list(memory.connectors) == list(memory.statements) == [PLUG]
        assert list(memory.stations) == list(memory.flash) == [STATION]
        for table in (memory.circuits, memory.learnt, memory.forecasts, memory.trips):
            assert list(table) == [SUPPLY]
        assert list(memory.promises) == ["r1"]
        assert list(memory.events) == ["fair"]
        assert list(memory.calls) == ["desk c1"]

    run_with(test)


def test_of_entries_about_one_thing_the_newest_counts(run_with: RunWith) -> None:
    other = replace(OLD, station=StationId("CP-02"))

    async def test(kept: Kept) -> None:
        kept.ledger.keep(OLD, other)
        kept.ledger.keep(NEW)
        await kept.ledger.keep_durably()
        assert list(kept.remembered().stations.values()) == [NEW, other]

        await kept.ledger.keep_durably(OLD)
        assert kept.remembered().stations[STATION] == OLD

    run_with(test)


def test_what_was_kept_before_goes_with_what_is_waited_for(run_with: RunWith) -> None:
    async def test(kept: Kept) -> None:
        kept.ledger.keep(OLD)
        assert kept.remembered() == Memory()

        await kept.ledger.keep_durably(TRANSACTION)
        assert sorted(map(repr, remembered_in(kept.remembered()))) == sorted(
            map(repr, (OLD, TRANSACTION))
        )

    run_with(test)


def test_nobody_is_told_that_it_is_safe_before_it_is(run_with: RunWith) -> None:
    async def test(kept: Kept) -> None:
        with kept.cannot_write():
            waiting = kept.ledger.keep_durably(OLD)
            await asyncio.sleep(A_MOMENT_S)
            assert not waiting.done()
            assert kept.remembered() == Memory()

        await waiting
        assert kept.remembered().stations == {STATION: OLD}

    run_with(test)


def test_who_waits_no_more_keeps_nobody_else_waiting(run_with: RunWith) -> None:
    async def test(kept: Kept) -> None:
        given_up, waiting = kept.ledger.keep_durably(OLD), kept.ledger.keep_durably(TRANSACTION)
        given_up.cancel()
        await waiting

        assert kept.remembered().stations == {STATION: OLD}

    run_with(test)


def test_what_has_been_told_is_forgotten_and_nothing_else_of_that_id(run_with: RunWith) -> None:
    elsewhere = replace(CALL, hook="roof")

    async def test(kept: Kept) -> None:
        await kept.ledger.keep_durably(CALL, elsewhere)
        await kept.ledger.keep_durably(replace(CALL, is_over=True))
        # One that was over before it was ever written leaves nothing either.
        await kept.ledger.keep_durably(replace(CALL, id="c2", is_over=True))

        assert kept.remembered().calls == {"roof c1": elsewhere}

    run_with(test)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_transaction_is_all_that_was_told_of_it(run_with: RunWith, at_once: bool) -> None:
    end = TransactionMemory(
        station=STATION,
        transaction=TRANSACTION.transaction,
        is_over=True,
        ended_at=AT + timedelta(hours=1),
        meter_stop_wh=5_100.0,
    )
    late = replace(end, is_over=False, ended_at=None, meter_stop_wh=None, reason="Local")

    async def test(kept: Kept) -> None:
        for entry in (TRANSACTION, end, late):
            kept.ledger.keep(entry)
            if not at_once:
                await kept.ledger.keep_durably()
        await kept.ledger.keep_durably()

        assert kept.remembered().transactions == (
            replace(
                TRANSACTION,
                is_over=True,
                ended_at=end.ended_at,
                meter_stop_wh=5_100.0,
                reason="Local",
            ),
        )

    run_with(test)


def test_an_id_used_again_after_an_end_is_another_transaction(run_with: RunWith) -> None:
    over = replace(TRANSACTION, is_over=True, ended_at=AT + timedelta(hours=1))
    again = replace(TRANSACTION, began_at=AT + timedelta(days=1), meter_start_wh=7_000.0)

    async def test(kept: Kept) -> None:
        await kept.ledger.keep_durably(over)
        await kept.ledger.keep_durably(again)

        running = [t for t in kept.remembered().transactions if not t.is_over]
        assert running == [again]

    run_with(test)


def test_the_highest_number_given_is_known_when_that_transaction_is_over(run_with: RunWith) -> None:
    async def test(kept: Kept) -> None:
        await kept.ledger.keep_durably(replace(TRANSACTION, given_number=9, is_over=True))
        await kept.ledger.keep_durably(replace(OVER, given_number=None))

        assert kept.remembered().last_given_number == 9

    run_with(test)
