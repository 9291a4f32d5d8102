"""The planner of a real daemon: it plans for who is there, and is killed while control goes on."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.daemon_asking import ask, promised, token
from tests.support.daemon_process import Iem3000, Process, a_building, run, station
from tests.support.exposition import value_of
from tests.support.http_asking import get

CYCLES = "headroom_control_cycles_total"


def planners_of(daemon: int) -> list[int]:
    """Return the processes that plan for a daemon and are alive."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if int(parent) == daemon and "planner_process" in command:
            found.append(int(folder.name))
    return found


async def wait_planner(process: Process, *, other_than: int = 0) -> int:
    """Return the daemon's planner, once there is one."""
    async with asyncio.timeout(40):
        while True:
            for found in planners_of(process.process.pid):
                if found != other_than:
                    return found
            await asyncio.sleep(0.05)


async def asked(process: Process, secret: str, path: str) -> Any:
    """Return what the API answers."""
    _, said = await ask(process, secret, "GET", path)
    return said


async def cycles(process: Process) -> float:
    url = (await process.wait_for_line(r"metrics at (http://127\.0\.0\.1:\d+)$"))[1]
    return value_of((await get(url, "/metrics")).body.decode(), CYCLES)


def test_killed_at_any_moment_control_goes_on_and_the_plan_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process, asyncio.timeout(90):
            secret = await token(process.state, "--role", "operator")
            assert (await asked(process, secret, "/plan"))["made_by"] == "nobody"
            port = await process.ocpp_port()
            async with station(port, "CP-01") as first, station(port, "CP-02") as second:
                await first.boot()
                await first.say_status(1, "Charging")
                await first.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
                killed = await wait_planner(process)
                while (plan := await asked(process, secret, "/plan"))["made_by"] == "nobody":  # noqa: ASYNC110 - it is asked over HTTP
                    await asyncio.sleep(0.1)
                assert [planned["connector"] for planned in plan["planned"]] == ["CP-01/1"]
                assert plan["planned"][0]["energy_wh"] == plan["planned"][0]["wanted_wh"]

                before = await cycles(process)
                os.kill(killed, signal.SIGKILL)
                await second.boot()
                await second.say_status(1, "Charging")
                await second.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
                assert await wait_planner(process, other_than=killed) != killed
                while len((await asked(process, secret, "/plan"))["planned"]) < 2:  # noqa: ASYNC110 - it is asked over HTTP
                    await asyncio.sleep(0.1)
                assert await cycles(process) > before

                now_at = datetime.now(UTC)  # noqa: TID251 - the daemon's clock is the machine's
                later_at = [(now_at + timedelta(hours=hours)).isoformat() for hours in (2, 3, 4)]
                wanted = {"arrive_at": later_at[0], "depart_at": later_at[1], "energy_wh": 20_000}
                kept = await promised(process, secret, wanted)
                party = {"circuit": "supply", "until_at": later_at[2], "extra_a": 60}
                party["from_at"] = now_at.isoformat()
                _, told = await ask(process, secret, "PUT", "/calendar/party", party)
                assert told["effects"][0]["why"].endswith("60.0 A count while it lasts.")
                assert told["at_risk"] == [kept["reservation_id"]]
                await ask(process, secret, "DELETE", "/calendar/party")

                # A target nobody can meet: the best there is, and what is missing, all the same.
                soon_at = (now_at + timedelta(hours=1)).isoformat()
                impossible = {"depart_at": soon_at, "energy_wh": 400_000}
                (session, *_) = (await asked(process, secret, "/sessions"))["sessions"]
                path = f"/sessions/{session['session_id']}"
                await ask(process, secret, "PUT", f"{path}/need", impossible)
                while (await asked(process, secret, path))["short_wh"] in (None, 0):  # noqa: ASYNC110 - it is asked over HTTP
                    await asyncio.sleep(0.1)
                said = await asked(process, secret, path)
                assert 0 < said["planned_wh"] < 33_000
                assert said["planned_wh"] + said["short_wh"] in (399_999, 400_000)
                assert killed not in planners_of(process.process.pid)
            planner = await wait_planner(process)
            assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0
            assert not os.access(f"/proc/{planner}", os.F_OK)

    run(test())
