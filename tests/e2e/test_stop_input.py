"""A stop contact that opens takes a real station to 0 A, through a kill of the daemon, until released."""

import asyncio
import json
import signal
import sqlite3
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from tests.support.daemon_process import (
    PATIENCE_S,
    SITE,
    Iem3000,
    Process,
    daemon,
    headroom,
    run,
    station,
    wait_until,
)
from tests.support.modbus_peers import Act, Say, TcpPeer
from tests.support.ocpp16_station import Station16

STOP = "stop_input: {bus: plant, unit: 10, address: 3}\n"


class PlantRoom:
    """A meter as unit 1, and as unit 10 a module whose discrete input 3 is the stop contact."""

    def __init__(self) -> None:
        self.meter = Iem3000()
        self.is_closed = True

    def __call__(self, question: bytes) -> Sequence[Act]:
        transaction, _, _, unit, function, first, count = struct.unpack(">HHHBBHH", question[:12])
        if unit != 10:
            return self.meter(question)
        assert (function, first, count) == (2, 3, 1)
        body = bytes((unit, function, 1, self.is_closed))
        return [Say(frame=struct.pack(">HHH", transaction, 0, len(body)) + body)]


@asynccontextmanager
async def a_plant_room(tmp_path: Path) -> AsyncIterator[tuple[PlantRoom, Path, Path]]:
    """Serve a plant room; return it, a site file for it, and a state folder."""
    room = PlantRoom()
    async with TcpPeer(room) as peer:
        config = tmp_path / "site.yaml"
        text = SITE.format(meter_port=peer.port, ocpp_port=0, metrics_port=0) + STOP
        await asyncio.to_thread(config.write_text, text)
        yield room, config, tmp_path / "state"


async def plug_in(connected: Station16) -> None:
    await connected.boot()
    await connected.say_status(1, "Preparing")
    await connected.start_transaction(1, timestamp="2026-01-05T12:00:00Z")
    await connected.say_status(1, "Charging")


def told_a(connected: Station16, purpose: str) -> list[float]:
    """Return the limits of the profiles of a purpose that a station was sent."""
    return [
        profile["charging_schedule"]["charging_schedule_period"][0]["limit"]
        for profile in connected.profiles(purpose)
    ]


async def why(process: Process) -> str:
    _, said, _ = await headroom("why", "CP-01/1", "--state", str(process.state))
    return said.strip()


async def release(process: Process, *more: str) -> tuple[int, str, str]:
    return await headroom("release", "--state", str(process.state), *more)


def test_a_stop_takes_a_station_to_nothing_until_a_person_releases_it(tmp_path: Path) -> None:
    async def stop(room: PlantRoom, process: Process) -> None:
        async with station(await process.ocpp_port(), "CP-01") as connected:
            await plug_in(connected)
            await wait_until(lambda: 6.0 in told_a(connected, "TxProfile"))
            code, _, error = await release(process)
            assert (code, error) == (1, "Error: nothing is stopped\n")

            room.is_closed = False
            await wait_until(lambda: told_a(connected, "TxProfile")[-1] == 0.0)
            # And silence does not undo it: the fallback is 0 A too.
            await wait_until(lambda: told_a(connected, "TxDefaultProfile")[-1] == 0.0)
            assert await why(process) == "CP-01/1: 0.0 A: the stop input asks for a stop."
            code, _, error = await release(process)
            assert code == 1
            assert "still asks for a stop" in error

            room.is_closed = True
            await process.wait_for_line(r"ALARM stop input: .*release it with `headroom release`")
            process.process.kill()

    async def go_on(process: Process) -> None:
        async with station(await process.ocpp_port(), "CP-01") as connected:
            await plug_in(connected)
            await wait_until(lambda: told_a(connected, "TxDefaultProfile"))
            await process.wait_for_line(r"ALARM stop input: ")
            assert "nobody has released it yet" in await why(process)
            assert set(told_a(connected, "TxProfile")) <= {0.0}

            code, said, _ = await release(process, "--json", "--by", "J. Smith")
            assert (code, json.loads(said)) == (0, {"released": True})
            await process.wait_for_line(r"the stop is released by J\. Smith")
            await process.wait_for_line(r"alarm stop input is over")
            async with asyncio.timeout(PATIENCE_S):
                while "stop input" in await why(process):
                    pass
        assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0

    async def test() -> None:
        async with a_plant_room(tmp_path) as (room, config, state):
            async with daemon(config, state) as process:
                await stop(room, process)
            async with daemon(config, state) as again:
                await go_on(again)

    run(test())
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as ledger:
        acts = [kind for (kind,) in ledger.execute("SELECT kind FROM audit ORDER BY number")]
    assert [kind for kind in acts if kind.startswith("stop")] == [
        "stopped",
        "stop-release",
        "stop-released",
    ]
