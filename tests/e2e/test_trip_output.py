"""A circuit that stays over its rating is opened, through a kill of the daemon, until released."""

import asyncio
import json
import signal
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.support.daemon_process import (
    SITE,
    Iem3000,
    Process,
    daemon,
    headroom,
    run,
    wait_until,
)
from tests.support.modbus_peers import Act, Say, TcpPeer

OVERLOAD = "42F0"  # The high word of the IEEE 754 number 120.0.
NOTHING = "0000"
WITH_TRIP = SITE.replace(
    "worst_case_base_a: 40}}",
    "worst_case_base_a: 40, trip_output: {{bus: plant, unit: 10, address: 3}}}}",
).replace("renew_s: 5", "renew_s: 5, over_rating_pause_s: 5, over_rating_trip_s: 10")


class SwitchRoom:
    """A meter as unit 1, and as unit 10 a module whose coil 3 holds the contactor in."""

    def __init__(self) -> None:
        self.meter = Iem3000()
        self.is_closed = True
        self.load = "41A0"
        self.writes: list[int] = []

    def __call__(self, question: bytes) -> Sequence[Act]:
        transaction, _, _, unit, function, first, word = struct.unpack(">HHHBBHH", question[:12])
        self.meter.current = self.load if self.is_closed else NOTHING
        if unit != 10:
            return self.meter(question)
        assert first == 3
        if function == 5:
            self.writes.append(word)
            self.is_closed = word == 0xFF00
            return [Say(frame=question)]
        body = bytes((unit, function, 1, self.is_closed))
        return [Say(frame=struct.pack(">HHH", transaction, 0, len(body)) + body)]


def audited(state: Path) -> list[str]:
    """Return what the audit has, by its kinds."""
    with closing(sqlite3.connect(state / "ledger.db")) as ledger:
        return [kind for (kind,) in ledger.execute("SELECT kind FROM audit ORDER BY number")]


async def release(process: Process, *more: str) -> tuple[int, str, str]:
    return await headroom("release", "supply", "--state", str(process.state), *more)


def test_a_circuit_that_stays_over_its_rating_is_opened_until_a_person_releases_it(
    tmp_path: Path,
) -> None:
    room, state, config = SwitchRoom(), tmp_path / "state", tmp_path / "site.yaml"

    async def trip(process: Process) -> None:
        await process.ocpp_port()
        code, _, error = await release(process)
        assert code == 1
        assert error.endswith("nor is it locked out, nor its meter doubted\n")
        room.load = OVERLOAD
        await process.wait_for_line(r"ALARM overload of supply: .*its trip output opens")
        await process.wait_for_line(r"ALARM trip output of supply: .* has opened")
        await process.wait_for_line(r"ALARM lockout of supply")
        assert (room.is_closed, room.writes) == (False, [0])
        await wait_until(lambda: "lockout" in audited(state))  # The alarm sounds before it is safe.
        process.process.kill()

    async def go_on(process: Process) -> None:
        room.load = "41A0"
        await process.wait_for_line(r"ALARM trip output of supply: .* has opened")
        await process.wait_for_line(r"ALARM lockout of supply")
        assert (room.is_closed, room.writes) == (False, [0])
        code, said, _ = await release(process, "--json", "--by", "J. Smith")
        done = json.loads(said)
        assert (code, done["released"], done["closes"]) == (0, True, True)
        assert done["lockout_left_s"] > 3 * 3_600
        await process.wait_for_line(r"trip output of circuit supply is released by J\. Smith")
        await process.wait_for_line(r"alarm trip output of supply is over")
        await process.wait_for_line(r"alarm lockout of supply is over")
        await wait_until(lambda: "lockout-release" in audited(state))
        assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0
        assert (room.is_closed, room.writes) == (True, [0, 0xFF00])

    async def test() -> None:
        async with TcpPeer(room) as peer:
            text = WITH_TRIP.format(meter_port=peer.port, ocpp_port=0, metrics_port=0)
            await asyncio.to_thread(config.write_text, text)
            async with daemon(config, state) as process:
                await trip(process)
            async with daemon(config, state) as again:
                await go_on(again)

    run(test())
    assert [k for k in audited(state) if k.startswith("trip")] == ["trip", "trip-release"]
