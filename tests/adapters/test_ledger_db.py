"""The ledger keeps what it was given over any end, and refuses what it must not use."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.adapters import audit_chain
from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_db import GATHER_S, LedgerDb
from gateway.adapters.ledger_rows import KINDS
from gateway.adapters.ledger_schema import LEDGER_NAME, LedgerRefusedError, Seal, write_seal
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import (
    Act,
    ConnectorMemory,
    Memory,
    RememberedLimit,
    SessionMemory,
    SiteMemory,
    StatementMemory,
    StationMemory,
    TransactionMemory,
)
from gateway.domain.needs import Criticality
from gateway.domain.sessions import Statement

CP_01 = StationId("CP-01")
PLUG = ConnectorRef(CP_01, 1)


STATEMENT_BEFORE = (
    b'{"connector":["CP-01",1],"transaction":"17","statement":'
    b'{"departs_at_s":5.0,"energy_wh":null,"full_wh":null,"criticality":"high"}}'
)
"""As it was written before the ledger knew whether an operator had said it."""


def connector(limit_ma: int) -> ConnectorMemory:
    return ConnectorMemory(
        connector=PLUG,
        limits=(RememberedLimit(limit_ma=limit_ma),),
        max_ma=32_000,
        fallback_ma=6_000,
    )


class StoppedClock(SystemClock):
    """One whose seconds pass when it is told so."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def monotonic_s(self) -> float:
        return self.at_s


def ledger(folder: Path, *, site: str = "Dockside", clock: SystemClock | None = None) -> LedgerDb:
    return LedgerDb(folder, site=site, clock=clock or SystemClock(), batch_s=0.05)


def load(folder: Path, *, site: str = "Dockside") -> Memory:
    with closing(ledger(folder, site=site)) as reading:
        return reading.load(run="reading")


def live(
    folder: Path,
    test: Callable[[LedgerDb], Awaitable[None]],
    *,
    clock: SystemClock | None = None,
) -> Memory:
    """Run a ledger while `test` lasts; return what it remembered at its start."""
    writing = ledger(folder, clock=clock)
    memory = writing.load(run="run")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(writing.run())
            await asyncio.sleep(0)
            await test(writing)
            running.cancel()

    asyncio.run(main())
    return memory


def test_what_was_durable_is_there_without_an_end_in_order(tmp_path: Path) -> None:
    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(connector(16_000), StationMemory(station=CP_01, firmware="1"))
        remembered = load(copy_of(tmp_path))

        assert remembered.connectors[PLUG].limits == (RememberedLimit(limit_ma=16_000),)
        assert remembered.stations[CP_01].firmware == "1"
        assert remembered.run is not None
        assert remembered.run.ended is None

    assert live(tmp_path / "state", test) == Memory()


def test_what_is_to_be_durable_soon_after_a_write_shares_the_next(tmp_path: Path) -> None:
    clock = StoppedClock()

    async def test(writing: LedgerDb) -> None:
        clock.at_s += GATHER_S
        await writing.keep_durably(connector(16_000))  # What comes alone waits for nothing.
        commits = writing.counters["commits"]
        waiting = []
        for limit_ma in (15_000, 14_000, 13_000):
            waiting.append(writing.keep_durably(connector(limit_ma)))
            await asyncio.sleep(2 * GATHER_S)
        assert not any(each.done() for each in waiting)

        clock.at_s += GATHER_S
        await asyncio.gather(*waiting)
        assert writing.counters["commits"] == commits + 1

    live(tmp_path, test, clock=clock)
    assert load(tmp_path).connectors[PLUG].limits == (RememberedLimit(limit_ma=13_000),)


def test_when_something_is_written_is_noted_by_the_time_that_is_believed(tmp_path: Path) -> None:
    known_at = datetime(2026, 1, 5, 8, tzinfo=UTC)

    async def test(writing: LedgerDb) -> None:
        writing.note_by(lambda: known_at)
        await writing.keep_durably(connector(16_000))

    def noted_at(memory: Memory) -> datetime | None:
        run = memory.run
        return None if run is None or run.noted is None else run.noted.wall_at

    assert noted_at(live(tmp_path / "state", test)) is None
    # It stays known over a life that learns nothing, such as one that ends at once.
    assert noted_at(load(tmp_path / "state")) == known_at
    assert noted_at(load(tmp_path / "state")) == known_at


def copy_of(tmp_path: Path) -> Path:
    """Copy the files as a power cut would leave them."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (tmp_path / "state").glob("ledger.db*"):
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def test_an_entry_that_cannot_be_written_keeps_no_other_from_the_disk(tmp_path: Path) -> None:
    bad = TransactionMemory(
        station=CP_01, transaction=TransactionId("8"), connector_number=2**63, is_over=True
    )

    async def test(writing: LedgerDb) -> None:
        hopeless = writing.keep_durably(bad)
        while not writing.counters["failures"]:  # noqa: ASYNC110 - a thread sets no event
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10.0):
            await writing.keep_durably(connector(16_000))
            await hopeless  # Who waited for it is not left waiting for ever.

        assert writing.counters["entries lost"] == 1
        assert "could not be written and is lost" in (writing.health.damage or "")
        assert writing.health.problem is None

    live(tmp_path, test)
    assert load(tmp_path).connectors[PLUG].limits == (RememberedLimit(limit_ma=16_000),)


def test_what_a_session_taught_is_lost_alone_if_it_cannot_be_read(tmp_path: Path) -> None:
    stay = SessionMemory(began_at_s=0.0, left_at_s=60.0, delivered_wh=500.0)
    over = TransactionMemory(
        station=CP_01, transaction=TransactionId("7"), is_over=True, session=stay
    )

    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(over)

    live(tmp_path, test)
    assert load(tmp_path).transactions[0].session == stay
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as spoiling, spoiling:
        spoiling.execute("UPDATE transactions SET session = '{\"began_at_s\": tr'")
    (kept,) = load(tmp_path).transactions
    assert (kept.transaction, kept.session) == ("7", None)


def test_an_end_in_order_writes_what_waits_and_says_so(tmp_path: Path) -> None:
    async def test(writing: LedgerDb) -> None:
        writing.keep(SiteMemory(is_stopped=True))

    live(tmp_path, test)
    remembered = load(tmp_path)

    assert remembered.site.is_stopped
    assert remembered.run is not None
    assert remembered.run.ended is not None


def test_a_transaction_is_put_together_from_what_was_told(tmp_path: Path) -> None:
    begun = TransactionMemory(
        station=CP_01,
        transaction=TransactionId("7"),
        connector_number=1,
        given_number=7,
        told="a",
        meter_start_wh=100.0,
    )
    over = TransactionMemory(
        station=CP_01, transaction=TransactionId("7"), is_over=True, meter_stop_wh=900.0
    )

    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(begun)
        await writing.keep_durably(over)
        await writing.keep_durably(begun)  # Told once more, late.

    live(tmp_path, test)
    remembered = load(tmp_path)

    (kept,) = remembered.transactions
    assert (kept.is_over, kept.meter_start_wh, kept.meter_stop_wh) == (True, 100.0, 900.0)
    assert remembered.last_given_number == 7
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as reading:
        kinds = [row[0] for row in reading.execute("SELECT kind FROM audit ORDER BY number")]
        assert kinds == ["began", "transaction-begun", "transaction-over", "ended", "began"]
        assert audit_chain.verify(reading) is None


@pytest.mark.parametrize("said_at", [None, datetime(1970, 1, 1, 0, 3, tzinfo=UTC)])
@pytest.mark.parametrize("is_over", [False, True])
def test_a_transaction_began_when_it_was_heard_of_where_its_station_does_not_know_when(
    tmp_path: Path, said_at: datetime | None, *, is_over: bool
) -> None:
    found = TransactionMemory(
        station=CP_01,
        transaction=TransactionId("7"),
        connector_number=1,
        is_over=is_over,
        began_at=said_at,
    )

    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(found)

    before_at = SystemClock().now_at()
    live(tmp_path, test)
    (kept,) = load(tmp_path).transactions
    if is_over:
        assert kept.began_at == said_at
        return
    assert kept.began_at is not None
    assert abs(kept.began_at - before_at) < timedelta(minutes=5)


def test_an_id_used_again_leaves_the_transaction_before_as_it_was(tmp_path: Path) -> None:
    begun = TransactionMemory(
        station=CP_01,
        transaction=TransactionId("T1"),
        connector_number=1,
        began_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
    )
    over = replace(
        begun, is_over=True, began_at=None, ended_at=datetime(2026, 1, 5, 13, tzinfo=UTC)
    )
    again = replace(begun, began_at=datetime(2026, 1, 5, 13, 30, tzinfo=UTC))

    async def test(writing: LedgerDb) -> None:
        for record in (begun, over, begun, replace(begun, began_at=None), again):
            await writing.keep_durably(record)

    live(tmp_path, test)
    first, second = load(tmp_path).transactions

    assert (first.is_over, first.began_at, first.ended_at) == (
        True,
        begun.began_at,
        over.ended_at,
    )
    assert second == again


def test_another_sites_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    load(tmp_path)
    before = (tmp_path / LEDGER_NAME).read_bytes()

    with pytest.raises(LedgerRefusedError, match=r"the ledger of the site 'Dockside'.*--state"):
        load(tmp_path, site="Elsewhere")

    assert (tmp_path / LEDGER_NAME).read_bytes() == before


def test_a_ledger_from_the_future_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    load(tmp_path)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME, isolation_level=None)) as writing:
        writing.execute("PRAGMA user_version = 99")
        write_seal(writing, Seal(site="Dockside", begun_at="", version=99))

    with pytest.raises(LedgerRefusedError, match=r"newer Headroom.*version 99.*backups"):
        load(tmp_path)

    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as reading:
        assert reading.execute("PRAGMA user_version").fetchone() == (99,)


def test_the_audit_shows_what_was_changed_behind_its_back(tmp_path: Path) -> None:
    async def test(writing: LedgerDb) -> None:
        await writing.keep_durably(Act(kind="lockout", subject="carpark"))
        await writing.keep_durably(Act(kind="stopped", subject="Dockside", by="J. Smith"))

    live(tmp_path, test)
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as database:
        head = audit_chain.read_head(database)
        assert audit_chain.verify(database, known=head) is None
        database.execute("UPDATE audit SET subject = 'roof' WHERE number = 1")
        assert "row 1 " in (audit_chain.verify(database) or "")
        database.rollback()
        database.execute("DELETE FROM audit WHERE number = ?", (head.number,))
        assert audit_chain.verify(database) is None
        missing = f"row {head.number} is missing at the end"
        assert audit_chain.verify(database, known=head) == missing


def test_what_was_said_before_it_was_known_who_said_it_is_remembered() -> None:
    assert msgspec.json.decode(STATEMENT_BEFORE, type=KINDS["statement"]) == StatementMemory(
        connector=PLUG,
        transaction=TransactionId("17"),
        statement=Statement(departs_at_s=5.0, criticality=Criticality.HIGH, is_by_operator=False),
    )
