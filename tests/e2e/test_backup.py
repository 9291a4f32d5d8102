"""A copy of a running daemon's ledger, and the way back from it."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.daemon_process import (
    Iem3000,
    Process,
    a_building,
    daemon,
    headroom,
    run,
    station,
    wait_until,
)

NOON = "2026-01-05T12:00:00Z"


async def charge(process: Process) -> None:
    """Have a vehicle charge, so that there is something to remember."""
    async with station(await process.ocpp_port(), "CP-01") as connected:
        await connected.boot()
        await connected.say_status(1, "Preparing")
        await connected.start_transaction(1, timestamp=NOON)
        await connected.say_status(1, "Charging")
        await wait_until(lambda: connected.profiles("TxProfile"))


def test_a_ledger_is_copied_while_it_is_written_and_put_back_when_nobody_writes(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await charge(process)
            state = ("--state", str(process.state))
            config = ("-c", str(tmp_path / "site.yaml"))

            code, out, _ = await headroom("backup", *state, "--json")
            assert code == 0
            made = json.loads(out)
            assert (made["site"], made["transactions"]) == ("Dockside", 1)
            copy = Path(made["path"])
            assert copy.parent == process.state / "backups"
            assert _owner(copy) == _owner(process.state)

            code, out, _ = await headroom("restore", str(copy), *config, *state, "--check")
            assert (code, out.splitlines()[0]) == (0, "Sound.")
            code, _, err = await headroom("restore", str(copy), *config, *state)
            assert code == 1
            assert f"(process {process.process.pid})" in err
            assert await process.end(lambda p: p.terminate()) == 0

            code, out, _ = await headroom("restore", str(copy), *config, *state)
            assert code == 0
            assert "the ledger of before is " in out
            assert list(process.state.glob("ledger-replaced-*.db"))
            async with daemon(tmp_path / "site.yaml", process.state) as again:
                await again.ocpp_port()
                assert await again.end(lambda p: p.terminate()) == 0
            with closing(sqlite3.connect(process.state / "ledger.db")) as ledger:
                acts = [row[0] for row in ledger.execute("SELECT kind FROM audit")]
                (count,) = ledger.execute("SELECT count(*) FROM transactions").fetchone()
            assert "ledger-restored" in acts
            assert count == 1

    run(test())


def test_what_is_no_copy_of_this_ledger_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await process.ocpp_port()
            state = ("--state", str(process.state))
            code, _, _ = await headroom("backup", str(tmp_path / "copy.db"), *state)
            assert code == 0
            code, _, err = await headroom("backup", str(tmp_path / "copy.db"), *state)
            assert code == 1
            assert "there is a file of that name already" in err
            assert await process.end(lambda p: p.terminate()) == 0
            before = await asyncio.to_thread((process.state / "ledger.db").read_bytes)

            async def refusal(copy: Path) -> str:
                config = ("-c", str(tmp_path / "site.yaml"))
                code, _, err = await headroom("restore", str(copy), *config, *state)
                assert code == 1
                return err

            assert "there is no such file" in await refusal(tmp_path / "none.db")
            await asyncio.to_thread(_change, tmp_path / "copy.db", "PRAGMA user_version = 99")
            assert "copy.db is damaged" in await refusal(tmp_path / "copy.db")
            await asyncio.to_thread((tmp_path / "copy.db").write_bytes, b"x" * 10_000)
            assert "damaged" in await refusal(tmp_path / "copy.db")
            assert await asyncio.to_thread((process.state / "ledger.db").read_bytes) == before

    run(test())


def _owner(path: Path) -> int:
    return path.stat().st_uid


def _change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as changing:
        changing.execute(statement)


def test_there_is_nothing_to_copy_where_no_daemon_ever_ran(tmp_path: Path) -> None:
    code, out, _ = asyncio.run(headroom("backup", "--state", str(tmp_path), "--json"))

    assert code == 1
    assert "there is no ledger" in json.loads(out)["error"]
