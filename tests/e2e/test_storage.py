"""The daemon on disks that take nothing, with files that are not what they should be."""

import asyncio
import os
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.history_file import HISTORY_NAME, HistoryReader
from gateway.adapters.ledger_rows import read_memory
from gateway.adapters.ledger_schema import LEDGER_NAME, Seal, open_ledger, write_seal
from gateway.adapters.status_socket import SOCKET_NAME, ask_status
from gateway.services.snapshot import Snapshot
from tests.support.daemon_process import (
    SITE,
    Iem3000,
    Process,
    a_building,
    daemon,
    headroom,
    run,
    station,
    wait_until,
)
from tests.support.modbus_peers import TcpPeer
from tests.support.ocpp16_station import Station16

NOON = "2026-01-05T12:00:00Z"
NO_LIMIT = resource.RLIM_INFINITY


def let_write(process: Process, *, is_let: bool) -> None:
    """Have the kernel refuse the daemon every write to a file, or no longer; sockets go on."""
    hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)[1]
    soft = hard if is_let else 0
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (soft, hard))


async def snapshot_of(process: Process) -> Snapshot:
    return msgspec.json.decode(await ask_status(process.state), type=Snapshot)


async def wait_alarm(process: Process, name: str, *, sounds: bool) -> str:
    """Wait until an alarm sounds, or no longer; return what it says."""
    async with asyncio.timeout(40):
        while True:
            texts = [a.text for a in (await snapshot_of(process)).alarms if a.name == name]
            if bool(texts) is sounds:
                return "".join(texts)
            await asyncio.sleep(0.1)


async def charge(connected: Station16) -> int:
    """Have a vehicle come and its transaction begin; return its number."""
    await connected.boot()
    await connected.say_status(1, "Preparing")
    number = await connected.start_transaction(1, timestamp=NOON)
    await connected.say_status(1, "Charging")
    return number


def limits_a(connected: Station16) -> list[float]:
    """Return the limits of the leases a station heard."""
    return [
        profile["charging_schedule"]["charging_schedule_period"][0]["limit"]
        for profile in connected.profiles("TxProfile")
    ]


def remembered(state: Path) -> set[str]:
    """Return the transactions in a ledger."""
    with closing(sqlite3.connect(state / LEDGER_NAME)) as reading:
        return {str(t.transaction) for t in read_memory(reading).transactions}


def test_a_disk_that_takes_nothing_stops_no_control_and_acknowledges_no_transaction(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = await process.ocpp_port()
            async with station(port, "CP-01") as one, station(port, "CP-02") as two:
                first = await charge(one)
                await two.boot()
                await two.say_status(1, "Preparing")
                await wait_until(lambda: one.profiles("TxProfile"))
                let_write(process, is_let=False)

                two._response_timeout = 3
                with pytest.raises(TimeoutError):  # And so it says it again, later.
                    await two.start_transaction(1, timestamp=NOON)
                said = await wait_alarm(process, "ledger", sounds=True)
                assert "no limit is raised" in said
                assert str(process.state) in said
                cycles = (await snapshot_of(process)).counters["control.cycles"]
                leases = len(one.profiles("TxProfile"))
                await wait_until(lambda: len(one.profiles("TxProfile")) > leases + 1)
                assert set(limits_a(one)) == {6.0}
                assert (await snapshot_of(process)).counters["control.cycles"] > cycles
                assert set(limits_a(two)) <= {6.0}  # As before its transaction began.

                let_write(process, is_let=True)
                await wait_alarm(process, "ledger", sounds=False)
                second = await two.start_transaction(1, timestamp=NOON)
                await wait_until(lambda: two.profiles("TxProfile"))
            process.process.kill()
            await process.process.wait()
            assert {str(first), str(second)} <= remembered(process.state)

    run(test())


@asynccontextmanager
async def started(folder: Path, *, can_write: bool = True) -> AsyncIterator[Process]:
    """Run a daemon on a state folder that is there, from the start allowed to write or not."""
    async with TcpPeer(Iem3000()) as meter:
        config = folder / "site.yaml"
        await asyncio.to_thread(
            config.write_text, SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
        )
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if not can_write:
            # The child inherits it; this process writes no file meanwhile.
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            running = daemon(config, folder / "state")
            process = await running.__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        try:
            yield process
        finally:
            await running.__aexit__(None, None, None)


def test_a_start_without_any_room_remembers_and_says_what_to_do(tmp_path: Path) -> None:
    async def test() -> None:
        async with started(tmp_path) as process:
            async with station(await process.ocpp_port(), "CP-01") as one:
                number = await charge(one)
            process.process.kill()
            await process.process.wait()
        async with started(tmp_path, can_write=False) as process:
            await process.ocpp_port()
            said = await wait_alarm(process, "ledger", sounds=True)
            assert f"see to the disk of {process.state}" in said or "make room" in said
            async with station(await process.ocpp_port(), "CP-01") as one:
                await one.say_status(1, "Charging")
                # Told again, it is the one that is remembered; and answered, for that is safe.
                let_write(process, is_let=True)
                assert await one.start_transaction(1, timestamp=NOON) == number
                await wait_until(lambda: one.profiles("TxProfile"))
            await wait_alarm(process, "ledger", sounds=False)
            assert await process.end(lambda p: p.terminate()) == 0
        assert remembered(tmp_path / "state") == {str(number)}

    run(test())


def test_where_no_socket_can_be_made_control_runs_and_it_is_made_later(tmp_path: Path) -> None:
    in_the_way = tmp_path / "state" / SOCKET_NAME
    in_the_way.mkdir(parents=True)

    async def test() -> None:
        async with started(tmp_path) as process:
            said = await process.wait_for_line(r"ALARM status: (.*)")
            assert str(in_the_way) in said[1]
            assert "give the user" in said[1]
            async with station(await process.ocpp_port(), "CP-01") as one:
                await charge(one)
                await wait_until(lambda: one.profiles("TxProfile"))
            await asyncio.to_thread(in_the_way.rmdir)
            await process.wait_for_line(f"status at {in_the_way}")
            assert (await snapshot_of(process)).alarms == ()
            assert await process.end(lambda p: p.terminate()) == 0
        assert not in_the_way.exists()

    run(test())


def test_a_second_daemon_is_refused_whatever_becomes_of_the_socket(tmp_path: Path) -> None:
    async def test() -> None:
        async with started(tmp_path) as process:
            await process.ocpp_port()
            (process.state / SOCKET_NAME).unlink()
            (process.state / SOCKET_NAME).mkdir()
            words = ("-c", str(tmp_path / "site.yaml"), "--state", str(process.state))
            code, _, err = await headroom("run", *words)
            assert code == 1
            assert f"process {process.process.pid}" in err

    run(test())


def test_a_ledger_that_must_not_be_used_is_refused_with_what_to_do(tmp_path: Path) -> None:
    config, state = tmp_path / "site.yaml", tmp_path / "state"
    config.write_text(SITE.format(meter_port=1, ocpp_port=0, metrics_port=0))
    state.mkdir()
    now_at = SystemClock().now_at()
    open_ledger(state / LEDGER_NAME, site="Elsewhere", now_at=now_at).close()

    code, _, err = asyncio.run(headroom("run", "-c", str(config), "--state", str(state)))
    assert code == 2
    assert "ledger of the site 'Elsewhere'" in err
    assert "--state" in err

    (state / LEDGER_NAME).unlink()
    with closing(open_ledger(state / LEDGER_NAME, site="Dockside", now_at=now_at)) as ledger:
        ledger.execute("PRAGMA user_version = 77")
        write_seal(ledger, Seal(site="Dockside", begun_at="", version=77))
    before = (state / LEDGER_NAME).read_bytes()

    code, _, err = asyncio.run(headroom("run", "-c", str(config), "--state", str(state)))
    assert code == 2
    assert "newer Headroom" in err
    assert str(state / "backups") in err
    assert (state / LEDGER_NAME).read_bytes() == before


def test_files_that_are_garbage_are_moved_aside_with_an_alarm_and_history_goes_on(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / LEDGER_NAME).write_bytes(os.urandom(50_000))
    (state / HISTORY_NAME).write_bytes(os.urandom(50_000))
    meter = Iem3000()

    async def test() -> None:
        async with started(tmp_path) as process:
            await process.ocpp_port()
            said = await wait_alarm(process, "ledger-damaged", sounds=True)
            assert "ledger-damaged-" in said
            async with station(await process.ocpp_port(), "CP-01") as one:
                await charge(one)
                await wait_until(lambda: one.profiles("TxProfile"))
            assert await process.end(lambda p: p.terminate()) == 0

    run(test())
    del meter

    assert len(list(state.glob("ledger-damaged-*.db"))) == 1
    assert len(list(state.glob("history-damaged-*.db"))) == 1
    now_at = datetime.now(UTC)  # noqa: TID251 - the daemon's clock is the machine's
    seconds = HistoryReader(folder=state).seconds(
        "circuit/supply/L1/current_a", now_at - timedelta(minutes=5), now_at
    )
    assert seconds
    assert {round(value) for _, value in seconds} == {20}
