"""The history: what goes in comes out, its file may be anything, and nobody waits for it."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters import history_file
from gateway.adapters.clock import SystemClock
from gateway.adapters.history_blocks import (
    SECONDS,
    BlockDamagedError,
    pack_figures,
    pack_seconds,
    unpack_figures,
    unpack_seconds,
)
from gateway.adapters.history_db import WAITING_MINUTES, HistoryDb
from gateway.adapters.history_file import (
    HISTORY_NAME,
    MINUTES_KEPT,
    SECONDS_KEPT,
    HistoryReader,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = ("circuit/carpark/L1/current_a", "connector/CP-01/1/power_w")


class SetClock(SystemClock):
    """A wall clock that shows what the test says."""

    def __init__(self) -> None:
        self.at = NOON

    def now_at(self) -> datetime:
        return self.at


COLUMNS = st.lists(
    st.one_of(st.just(nan), st.floats(-2_000, 2_000)), min_size=SECONDS, max_size=SECONDS
)


@given(columns=st.lists(COLUMNS, max_size=5))
def test_a_minute_comes_out_as_it_went_in_to_a_hundredth(columns: list[list[float]]) -> None:
    resolutions = [0.01] * len(columns)

    unpacked = unpack_seconds(pack_seconds(columns, resolutions), resolutions)
    figures = unpack_figures(pack_figures(columns), len(columns))

    for before, after, figure in zip(columns, unpacked, figures, strict=True):
        for was, is_ in zip(before, after, strict=True):
            assert (isnan(was) and isnan(is_)) or abs(was - is_) <= 0.006
        known = [value for value in before if not isnan(value)]
        assert (figure is None) is (not known)
        if figure is not None:
            assert figure.low == pytest.approx(min(known), rel=1e-6)
            assert figure.high == pytest.approx(max(known), rel=1e-6)
            assert figure.low - 1e-3 <= figure.mean <= figure.high + 1e-3


@given(block=st.binary(max_size=400), count=st.integers(0, 3))
def test_what_is_no_block_is_told(block: bytes, count: int) -> None:
    for unpack in (
        lambda: unpack_seconds(block, [0.01] * count),
        lambda: unpack_figures(block, count),
    ):
        with pytest.raises(BlockDamagedError):
            unpack()


def record(folder: Path, minutes: int, *, clock: SetClock | None = None) -> HistoryDb:
    """Record a current that rises by 0.1 A a second in each minute, and a power by 100 W a minute."""
    clock = clock or SetClock()
    history = HistoryDb(folder, clock=clock)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(history.run())
            for minute in range(minutes):
                for second in range(SECONDS):
                    history.sample(NAMES, (minute + second / 10, 100.0 * minute))
                    clock.at += timedelta(seconds=1)
                await until(history._work.empty)
            running.cancel()

    asyncio.run(main())
    return history


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the writer's thread knows no events
            await asyncio.sleep(0.002)


def test_minutes_and_seconds_are_there_for_reports_and_people(tmp_path: Path) -> None:
    history = record(tmp_path, 3)

    reader = HistoryReader(folder=tmp_path)
    minutes = reader.minutes(NAMES[0], NOON, NOON + timedelta(hours=1))
    assert [at for at, _ in minutes] == [NOON + timedelta(minutes=m) for m in range(3)]
    assert (minutes[1][1].low, round(minutes[1][1].high, 3)) == (1.0, 6.9)
    since_at = NOON + timedelta(seconds=90)
    seconds = reader.seconds(NAMES[0], since_at, since_at + timedelta(seconds=3))
    assert [(at, round(value, 2)) for at, value in seconds] == [
        (since_at + timedelta(seconds=n), round(4.0 + n / 10, 2)) for n in range(3)
    ]
    assert reader.seconds(NAMES[1], since_at, since_at + timedelta(seconds=1))[0][1] == 100.0
    wanted = (NAMES[1], "no such series_a", NAMES[0])
    means = list(reader.means(wanted, since_at, NOON + timedelta(days=2)))
    assert [at_s - NOON.timestamp() for at_s, _ in means] == [60.0, 120.0]
    assert [(of[0], round(of[2], 2)) for _, of in means] == [(100.0, 3.95), (200.0, 4.95)]
    assert all(isnan(of[1]) for _, of in means)
    assert reader.minutes("no such series_a", NOON, NOON + timedelta(hours=1)) == []
    assert (history.problem, history.damage) == (None, None)
    assert history.counters["minutes"] == 3


def test_a_restart_within_a_minute_keeps_its_first_half(tmp_path: Path) -> None:
    clock = SetClock()
    history = HistoryDb(tmp_path, clock=clock)

    async def half(second: int) -> None:
        clock.at = NOON + timedelta(seconds=second)
        history = HistoryDb(tmp_path, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(history.run())
            await asyncio.sleep(0)
            history.sample(NAMES, (1.0, 2.0))
            running.cancel()

    asyncio.run(half(10))
    asyncio.run(half(40))
    del history

    seconds = HistoryReader(folder=tmp_path).seconds(NAMES[0], NOON, NOON + timedelta(minutes=1))
    assert [at.second for at, _ in seconds] == [10, 40]


def test_seconds_are_let_go_of_after_two_days_and_minutes_when_asked(tmp_path: Path) -> None:
    clock = SetClock()
    record(tmp_path, 2, clock=clock)
    clock.at = NOON + SECONDS_KEPT + timedelta(seconds=30)
    record(tmp_path, 1, clock=clock)

    reader = HistoryReader(folder=tmp_path)
    assert len(reader.seconds(NAMES[0], NOON, NOON + timedelta(minutes=2))) == SECONDS
    assert len(reader.minutes(NAMES[0], NOON, NOON + timedelta(minutes=2))) == 2

    async def let_go() -> int:
        history = HistoryDb(tmp_path, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(history.run())
            await asyncio.sleep(0)
            gone = await history.let_go()
            running.cancel()
        return gone

    clock.at = NOON + MINUTES_KEPT + timedelta(minutes=1)
    assert asyncio.run(let_go()) == 1


def garble(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def flip_a_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096:8_192] = os.urandom(4_096)
    path.write_bytes(data)


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as writing:
        writing.execute("PRAGMA user_version = 9")


@pytest.mark.parametrize("spoil", [garble, flip_a_page, make_newer])
def test_a_file_that_cannot_be_used_is_moved_aside_once_and_told(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    record(tmp_path, 2)
    spoil(tmp_path / HISTORY_NAME)
    (tmp_path / "history-damaged-of-last-year.db").write_text("")

    history = record(tmp_path, 2)

    assert history.counters["minutes"] == 2
    assert history.problem is None
    assert "moved" in (history.damage or "") or "is now" in (history.damage or "")
    assert len([p for p in tmp_path.glob("history-damaged-*") if p.suffix == ".db"]) == 1
    minutes = HistoryReader(folder=tmp_path).minutes(NAMES[0], NOON, NOON + timedelta(hours=1))
    assert len(minutes) == 2


def test_a_file_that_was_begun_this_moment_tells_of_nothing(tmp_path: Path) -> None:
    (tmp_path / HISTORY_NAME).touch()

    past = HistoryReader(folder=tmp_path).means(NAMES, NOON - timedelta(hours=1), NOON)

    assert list(past) == []


def take_away(folder: Path) -> None:
    """Remove a history and all that belongs to it."""
    for file in folder.glob(f"{HISTORY_NAME}*"):
        file.unlink()


def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path) -> None:
    clock = SetClock()
    history = HistoryDb(tmp_path, clock=clock)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(history.run())
            await asyncio.sleep(0)
            for minute in range(4):
                history.sample(NAMES, (1.0, 2.0))
                clock.at += timedelta(minutes=1)
                await until(history._work.empty)
                if minute == 1:
                    await until(lambda: history.counters["minutes"] == 1)
                    take_away(tmp_path)
            running.cancel()

    asyncio.run(main())

    minutes = HistoryReader(folder=tmp_path).minutes(NAMES[0], NOON, NOON + timedelta(hours=1))
    assert len(minutes) == 3


def test_a_disk_that_is_nearly_full_is_left_to_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_file, "LEAST_FREE_BYTES", 2**60)

    history = record(tmp_path, 2)

    assert history.counters["minutes lost"] == 2
    assert "see to the disk" in (history.problem or "")
    assert not (tmp_path / HISTORY_NAME).exists()


def test_a_writer_that_is_stuck_holds_up_nobody(tmp_path: Path) -> None:
    clock = SetClock()
    history = HistoryDb(tmp_path, clock=clock)  # It does not run at all.

    for _ in range(WAITING_MINUTES + 10):
        history.sample(NAMES, (1.0, 2.0))
        clock.at += timedelta(minutes=1)

    assert history.counters["minutes lost"] == 9
    with pytest.raises(OSError, match="holds up"):  # Who keeps it up gets to know why.
        asyncio.run(history.let_go())
