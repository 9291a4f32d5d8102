"""Inbound OCPP 1.6: our whole server against a bare WebSocket echo, in CPU time per message.

500 stations hold one connection each and always have one CALL outstanding: 70 % MeterValues
(1.3 kB, ten values), 20 % Heartbeat, 10 % StatusNotification. Each server runs in a process
of its own on core 0, the stations run on core 1, and what counts is the processor time of the
server's process (user and system, from /proc) divided by the messages answered meanwhile: wall
time would measure the neighbours. The servers are measured in turn, several times over, and
the best round of each is taken, for noise only ever adds.
"""

import asyncio
import base64
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections import deque
from datetime import UTC, datetime
from functools import partial
from typing import Final, cast

import uvloop
from websockets.asyncio.server import ServerConnection, serve

STATIONS: Final = 500
ROUNDS: Final = 4
WARM_UP_S: Final = 1.5
QUIET_S: Final = 1.0
MEASURED_S: Final = 4.0
SERVERS: Final = ("headroom", "echo", "fixed_answer")
CLOCK_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")


# The servers, each in a child process.


async def serve_headroom() -> None:
    """Run the real server with every station adopted; its facts go to a bounded inbox."""
    from drivers.ocpp.server import OcppServer  # noqa: PLC0415 - the echo must not pay for it
    from gateway.adapters.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.events import Event  # noqa: PLC0415
    from gateway.domain.ids import StationId  # noqa: PLC0415

    inbox: deque[Event] = deque(maxlen=10_000)
    server = OcppServer(
        host="127.0.0.1",
        port=0,
        credentials={StationId(f"CP-{n}"): None for n in range(STATIONS)},
        clock=SystemClock(),
        post=inbox.append,
        rng=random.Random(1),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        print(await server.wait_listening(), flush=True)


async def serve_plainly(answer: bytes | None) -> None:
    """Answer each message with `answer`, or with itself: the least websockets can do."""

    async def talk(connection: ServerConnection) -> None:
        while True:
            message = await connection.recv(decode=False)
            await connection.send(message if answer is None else answer, text=True)

    async with serve(
        talk,
        "127.0.0.1",
        0,
        subprotocols=["ocpp1.6"],  # type: ignore[list-item]
        compression=None,
        ping_interval=30,
        ping_timeout=60,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


def run_server(kind: str) -> None:
    """Serve until killed."""
    os.sched_setaffinity(0, {0})
    match kind:
        case "headroom":
            uvloop.run(serve_headroom())
        case "echo":
            uvloop.run(serve_plainly(None))
        case _:
            uvloop.run(serve_plainly(b'[3,"12345678",{}]'))


# The stations, in this process: frames are made beforehand, answers hardly looked at.


def masked(text: str) -> bytes:
    """Return a client's WebSocket text frame."""
    payload = text.encode()
    mask = b"\x12\x34\x56\x78"
    header = b"\x81"
    if len(payload) < 126:
        header += struct.pack("!B", 0x80 | len(payload))
    else:
        header += struct.pack("!BH", 0x80 | 126, len(payload))
    keyed = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return header + mask + keyed


def make_mix(number: int) -> list[bytes]:
    """Return the frames a station sends in turn, 7 : 2 : 1."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    samples = [
        {"value": f"{15.3 + phase}", "measurand": "Current.Import", "unit": "A",
         "context": "Sample.Periodic", "phase": f"L{phase}"}
        for phase in (1, 2, 3)
    ] + [
        {"value": f"{229.1 + phase}", "measurand": "Voltage", "unit": "V",
         "context": "Sample.Periodic", "phase": f"L{phase}-N"}
        for phase in (1, 2, 3)
    ] + [
        {"value": "10714.2", "measurand": "Power.Active.Import", "unit": "W",
         "context": "Sample.Periodic", "location": "Outlet", "format": "Raw"},
        {"value": "1234567.8", "measurand": "Energy.Active.Import.Register", "unit": "Wh",
         "context": "Sample.Periodic", "location": "Outlet", "format": "Raw"},
        {"value": "54", "measurand": "SoC", "unit": "Percent", "context": "Sample.Periodic",
         "location": "EV", "format": "Raw"},
        {"value": "16.0", "measurand": "Current.Offered", "unit": "A",
         "context": "Sample.Periodic", "location": "Outlet", "format": "Raw"},
    ]  # fmt: skip
    values = {
        "connectorId": 1,
        "transactionId": 100_000 + number,
        "meterValue": [{"timestamp": now, "sampledValue": samples}],
    }
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": now}
    kinds = [("MeterValues", values)] * 7 + [("Heartbeat", {})] * 2
    kinds += [("StatusNotification", status)]
    random.Random(number).shuffle(kinds)
    return [
        masked(json.dumps([2, f"{number:04d}{turn:04d}", action, payload]))
        for turn, (action, payload) in enumerate(kinds)
    ]


BOOT: Final = masked(
    '[2,"00000000","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'
)


class Stations:
    """What all stations count together."""

    def __init__(self) -> None:
        """Begin with none."""
        self.answered = 0
        self.connected = 0
        self.called = 0
        self.refused = 0
        self.is_running = False


class Station(asyncio.Protocol):
    """A closed loop: each answer sends the next frame. Calls of the server are refused."""

    def __init__(self, number: int, stations: Stations) -> None:
        """Prepare the frames."""
        self._number = number
        self._stations = stations
        self._frames = make_mix(number)
        self._turn = number % len(self._frames)
        self._buffer = b""
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by birth.
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /CP-{self._number} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def start(self) -> None:
        """Send the first frame."""
        self._send_next()

    def _send_next(self) -> None:
        self._turn = (self._turn + 1) % len(self._frames)
        self._transport.write(self._frames[self._turn])

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what came."""
        buffer = self._buffer + data
        if not self._is_open:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_open = True
            self._stations.connected += 1
            self._transport.write(BOOT)
        while len(buffer) >= 2:
            length, start = buffer[1] & 0x7F, 2
            if length == 126:
                if len(buffer) < 4:
                    break
                length, start = struct.unpack_from("!H", buffer, 2)[0], 4
            if len(buffer) < start + length:
                break
            self._take(buffer[0], buffer[start : start + length])
            buffer = buffer[start + length :]
        self._buffer = buffer

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode != 0x81:  # A ping, in a run this short, is not answered in time anyway.
            return
        if payload.startswith(b"[2,") and b'"MeterValues"' not in payload[:40]:
            call_id = payload.split(b'"', 2)[1].decode()
            if not call_id.isdigit():  # Not our own frame coming back from the echo.
                self._transport.write(masked(f'[4,"{call_id}","NotSupported","",{{}}]'))
                self._stations.called += 1
                return
        self._stations.answered += 1
        if payload.startswith(b"[4,"):
            self._stations.refused += 1
        if self._stations.is_running:
            self._send_next()


def cpu_s(pid: int) -> float:
    """Return the processor seconds a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_A_S


def pss_kib(pid: int) -> int:
    """Return the memory a process has to itself, and its share of the rest."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:  # noqa: PTH123
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


async def spin() -> None:
    """Keep this core awake.

    Waking a sleeping core costs the one who writes to the socket several microseconds, more in
    a virtual machine, and only the slower server would pay it: the faster keeps us busy.
    """
    while True:  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(0)


async def load(port: int, pid: int) -> dict[str, float]:
    """Return what one server used for a message, and for a connection."""
    loop = asyncio.get_running_loop()
    stations = Stations()
    before_kib = pss_kib(pid)
    protocols: list[Station] = []
    for number in range(STATIONS):
        _, protocol = await loop.create_connection(
            partial(Station, number, stations),
            "127.0.0.1",
            port,
        )
        protocols.append(protocol)
    async with asyncio.timeout(60):
        while stations.connected < STATIONS:  # noqa: ASYNC110 - protocols set no events
            await asyncio.sleep(0.01)
    called = -1
    while called != stations.called:  # The interviews of a new connection are not the steady state.
        called = stations.called
        await asyncio.sleep(QUIET_S)
    memory_kib = pss_kib(pid) - before_kib
    stations.is_running = True
    spinning = loop.create_task(spin())
    for protocol in protocols:
        protocol.start()
    await asyncio.sleep(WARM_UP_S)
    used_s, answered, begun_s = cpu_s(pid), stations.answered, time.monotonic()
    await asyncio.sleep(MEASURED_S)
    used_s, answered = cpu_s(pid) - used_s, stations.answered - answered
    elapsed_s = time.monotonic() - begun_s
    stations.is_running = False
    spinning.cancel()
    assert stations.refused == 0, "a refusal is no answer"
    return {
        "cpu_us_per_message": used_s / answered * 1e6,
        "messages_per_s": answered / elapsed_s,
        "memory_kib_per_station": memory_kib / STATIONS,
    }


def measure_server(kind: str) -> dict[str, float]:
    """Start a server, load it, stop it."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ocpp_inbound", kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            return uvloop.run(load(port, server.pid))
        finally:
            server.kill()


def measure() -> dict[str, object]:
    """Return the figures of design §9's inbound row; the ratio must be at least 0.50."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {1})
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in SERVERS}
    for turn in range(ROUNDS):
        for kind in SERVERS:
            rounds[kind].append(measure_server(kind))
            used = rounds[kind][-1]["cpu_us_per_message"]
            print(f"  round {turn + 1}: {kind} {used:.1f} us", file=sys.stderr, flush=True)
    best = {kind: min(rounds[kind], key=lambda row: row["cpu_us_per_message"]) for kind in SERVERS}
    ours = best["headroom"]["cpu_us_per_message"]
    return {
        "stations": STATIONS,
        "mix": {"MeterValues": 0.7, "Heartbeat": 0.2, "StatusNotification": 0.1},
        "servers": {
            kind: {name: round(value, 1) for name, value in best[kind].items()} for kind in SERVERS
        },
        "ratio_to_echo": round(best["echo"]["cpu_us_per_message"] / ours, 3),
        "ratio_to_fixed_answer": round(best["fixed_answer"]["cpu_us_per_message"] / ours, 3),
        "must": 0.50,
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_server(sys.argv[1])
    else:
        print(json.dumps(measure(), indent=2))
