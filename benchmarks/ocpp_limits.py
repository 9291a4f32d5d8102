"""How long 1,000 limits take to be sent and acknowledged, through the whole driver.

500 stations of OCPP 1.6 with two running transactions each get a lease on both connectors at
once, as the dispatcher does; the time runs until the last is acknowledged. The stations live
in a process of their own and answer at once, so the figure is ours and the loop-back's.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, cast

import uvloop

from benchmarks.ocpp_inbound import BOOT, masked
from drivers.ocpp.driver import OcppDriver
from drivers.ocpp.server import OcppServer
from gateway.adapters.clock import SystemClock
from gateway.domain.events import CapabilitiesRead, Event, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit

STATIONS: Final = 500
CONNECTORS: Final = (1, 2)
ROUNDS: Final = 7
LEASE: Final = timedelta(seconds=60)
SETTINGS: Final = (
    '{"configurationKey":[{"key":"ChargeProfileMaxStackLevel","readonly":true,"value":"5"}]}'
)


class Station(asyncio.Protocol):
    """Boots, starts a transaction on each connector, and accepts whatever it is asked."""

    def __init__(self, number: int) -> None:
        """Say nothing yet."""
        self._number = number
        self._buffer = b""
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"GET /CP-{self._number} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Answer the calls in what came."""
        self._buffer += data
        if not self._is_open:
            _, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._is_open, self._buffer = True, rest
            self._begin()
        while len(self._buffer) >= 4:
            length, start = self._buffer[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + length:
                return
            message = self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            if message.startswith(b"[2,"):
                call_id = message.split(b'"', 2)[1].decode()
                answer = SETTINGS if b'"GetConfiguration"' in message else '{"status":"Accepted"}'
                self._transport.write(masked(f'[3,"{call_id}",{answer}]'))

    def _begin(self) -> None:
        self._transport.write(BOOT)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for number in CONNECTORS:
            start = {"connectorId": number, "idTag": "T", "meterStart": 0, "timestamp": now}
            frame = json.dumps([2, f"start-{number}", "StartTransaction", start])
            self._transport.write(masked(frame))


async def be_stations(port: int) -> None:
    """Connect every station, and answer until killed."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    loop = asyncio.get_running_loop()
    for number in range(STATIONS):
        await loop.create_connection(partial(Station, number), "127.0.0.1", port)
    await asyncio.Event().wait()


async def time_rounds(driver: OcppDriver, facts: deque[Event]) -> list[tuple[float, float]]:
    """Return wall and processor seconds of each round, once every station is known."""
    wanted = {CapabilitiesRead: STATIONS, TransactionStarted: STATIONS * len(CONNECTORS)}
    async with asyncio.timeout(60):
        while any(sum(type(f) is kind for f in facts) < n for kind, n in wanted.items()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    rounds = []
    for turn in range(ROUNDS):
        limit = CurrentLimit(limit_ma=10_000 + 100 * turn)
        wall_s, used_s = time.perf_counter(), time.process_time()
        await asyncio.gather(
            *(
                driver.set_limit(
                    ConnectorRef(StationId(f"CP-{number}"), connector), limit, valid_for=LEASE
                )
                for number in range(STATIONS)
                for connector in CONNECTORS
            )
        )
        rounds.append((time.perf_counter() - wall_s, time.process_time() - used_s))
    return rounds


async def measure_here() -> dict[str, object]:
    """Serve, let the stations come, and time the rounds."""
    facts: deque[Event] = deque(maxlen=20_000)
    server = OcppServer(
        host="127.0.0.1",
        port=0,
        credentials={StationId(f"CP-{n}"): None for n in range(STATIONS)},
        clock=SystemClock(),
        post=facts.append,
        rng=random.Random(1),
    )
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run())
        port = await server.wait_listening()
        with subprocess.Popen(  # noqa: ASYNC220 - it starts once, before anything is timed
            [sys.executable, "-m", "benchmarks.ocpp_limits", str(port)]
        ) as stations:
            try:
                rounds = await time_rounds(OcppDriver(server), facts)
            finally:
                stations.kill()
        serving.cancel()
    wall_s, used_s = min(rounds)
    return {
        "limits": STATIONS * len(CONNECTORS),
        "acknowledged_in_s": round(wall_s, 3),
        "cpu_s": round(used_s, 3),
        "median_s": round(sorted(rounds)[ROUNDS // 2][0], 3),
        "must_s": 0.3,
    }


def measure() -> dict[str, object]:
    """Return the figures of design §9's row of limits."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {0})
    return uvloop.run(measure_here())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(be_stations(int(sys.argv[1])))
    else:
        print(json.dumps(measure(), indent=2))
