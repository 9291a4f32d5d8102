"""Promises in the ledger: they come back as they were written, and leave when they are long over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.adapters.ledger_file import Batch, LedgerFile
from gateway.adapters.ledger_retention import PROMISES_KEPT
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import CallMemory, PromiseKey, PromiseMemory
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
NOW_S = NOW.timestamp()


def remembered(name: str, *, closed_ago: timedelta | None = None) -> PromiseMemory:
    promise = Reservation(
        id=name,
        place="CP-01/1",
        rows=(0, 1, 2),
        envelope=(Stretch(from_at_s=NOW_S, until_at_s=NOW_S + 3_600.5, current_ma=16_000),),
        energy_wh=11_000,
        guaranteed_wh=11_000,
        confidence_ratio=0.95,
        criticality=Criticality.CRITICAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=NOW_S + 120,
        holder="drones",
        id_token="04A1",
        taper=((9_000.0, 6_000),),
    )
    key = PromiseKey(holder="drones", key="k", digest="d", state=PromiseState.HELD)
    if closed_ago is not None:
        closed_at_s = (NOW - closed_ago).timestamp()
        promise = replace(promise, state=PromiseState.NO_SHOW, closed_at_s=closed_at_s)
    drawn_in = (ConnectorRef(StationId("CP-01"), 1), TransactionId("7"))
    return PromiseMemory(
        promise=promise,
        keys=(key,),
        register_wh=17.5,
        counted_at_s=NOW_S - 90.5,
        drawn_in=drawn_in,
    )


def opened(folder: Path) -> LedgerFile:
    return LedgerFile(folder, site="Dockside", now_at=lambda: NOW)


def test_promises_come_back_as_they_were_and_leave_when_they_are_long_over(tmp_path: Path) -> None:
    open_one = remembered("open")
    late, old = (
        remembered(name, closed_ago=PROMISES_KEPT + timedelta(days=more))
        for name, more in (("late", -1), ("old", 1))
    )
    file = opened(tmp_path)
    file.load()
    batch = Batch()
    for record in (open_one, late, old):
        batch.put_record(record)
    file.write(batch)
    assert file.let_go().promise_count == 1
    file.close()

    again = opened(tmp_path)
    assert again.load().promises == {"open": open_one, "late": late}
    again.close()


def test_what_was_let_go_of_does_not_come_back_with_a_new_file(tmp_path: Path) -> None:
    old = remembered("old", closed_ago=PROMISES_KEPT + timedelta(days=1))
    file = opened(tmp_path)
    file.load()
    batch = Batch()
    batch.put_record(old)
    file.write(batch)
    file.let_go()
    file.path.rename(tmp_path / "taken-away.db")
    second = Batch()
    second.put_record(remembered("open"))
    file.write(second)
    file.close()

    again = opened(tmp_path)
    assert set(again.load().promises) == {"open"}
    again.close()


def test_what_is_to_be_told_comes_back_until_it_has_been_in_a_new_file_too(tmp_path: Path) -> None:
    calls = [
        CallMemory(
            id=f"c{number}",
            hook="desk",
            kind="reservation",
            subject="r1",
            body='{"data":{}}',
            told_at=NOW,
            sequence=number,
        )
        for number in range(3)
    ]
    file = opened(tmp_path)
    file.load()

    def written(*records: CallMemory) -> set[str]:
        batch = Batch()
        for record in records:
            batch.put_record(record)
        file.write(batch)
        looking = opened(tmp_path)
        known = looking.load().calls
        looking.close()
        assert set(known.values()) <= set(calls)
        return {call.id for call in known.values()}

    assert written(*calls) == {"c0", "c1", "c2"}
    assert written(replace(calls[0], is_over=True)) == {"c1", "c2"}
    file.path.unlink()
    assert written(replace(calls[1], is_over=True)) == {"c2"}
    file.close()
