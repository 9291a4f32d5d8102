"""A plant of one meter and one station that keeps the demo's side of the pipe: `python -m` it.

`TOY_PLANT` in the environment says how it behaves: `violated`, `crash`, `silent`, or well.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from tests.support.daemon_process import Iem3000, station
from tests.support.modbus_peers import TcpPeer


def say(**word: object) -> None:
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--site", type=Path, required=True)
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--for", type=float, dest="duration_s")
    options.add_argument("--seed", type=int, required=True)
    given = options.parse_args()
    order = json.loads(given.site.read_text())
    (bus,) = order["buses"]
    mood = os.environ.get("TOY_PLANT")
    if mood == "crash":
        sys.exit("the roof fell in")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with TcpPeer(Iem3000()) as meter:
        say(buses={bus["id"]: {"tcp": {"host": "127.0.0.1", "port": meter.port}}})
        url = json.loads(await reader.readline())["ocpp"]
        name = order["site"]["stations"][0]["id"]
        async with station(int(url.rpartition(":")[2]), name) as connected:
            await connected.boot()
            await connected.say_status(1, "Preparing")
            await connected.start_transaction(1, timestamp="2026-01-05T12:00:00Z")
            say(said="a vehicle came")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(given.duration_s):
                    await reader.read()
            if mood == "silent":
                return
            report = {
                "circuits": [],
                "faults": [{"kind": "none", "at": 0}],
                "limit_count": len(connected.profiles("TxProfile")),
                "invariants_violated": 1 if mood == "violated" else 0,
            }
            given.report.write_text(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main())
