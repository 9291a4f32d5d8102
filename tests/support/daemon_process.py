"""The real daemon as a process, with what a building has at its other end: for whole-daemon tests."""

import asyncio
import re
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.modbus_peers import Act, Say, TcpPeer
from tests.support.ocpp16_station import Station16
from tests.support.ocpp201_station import Station201

S = TypeVar("S", Station16, Station201)

PATIENCE_S = 40.0
HEADROOM = (sys.executable, "-c", "from gateway.cli import main; main()")

SITE = """
site: {{name: Dockside, timezone: Europe/London, voltage_v: 230}}
buses: [{{id: plant, tcp: {{host: 127.0.0.1, port: {meter_port}}}}}]
meters: [{{id: main, bus: plant, unit: 1, profile: schneider_iem3000}}]
circuits:
  - {{id: supply, rating_a: 100, device: mcb, meter: main, worst_case_base_a: 40}}
stations:
  - id: CP-01
    circuit: supply
    auth: none
    connectors: [{{id: 1, phases: [L1, L2, L3], max_a: 32, fallback_a: 6}}]
  - id: CP-02
    circuit: supply
    auth: none
    connectors: [{{id: 1, phases: [L2, L3, L1], max_a: 32, fallback_a: 6}}]
listen: {{ocpp: {{host: 127.0.0.1, port: {ocpp_port}}}, api: {{port: 0}}, metrics: {{port: {metrics_port}}}}}
control: {{renew_s: 5}}
planning: {{min_gap_s: 1}}
"""


class Iem3000:
    """The registers of a Schneider meter, in hexadecimal words: 20 A on each phase, and 4.6 kW.

    The last digit of the currents moves, as it does in every meter that lives.
    """

    def __init__(self) -> None:
        self.polls = 0
        self.current = "41A0"  # The high word of the IEEE 754 number 20.0.

    def __call__(self, question: bytes) -> Sequence[Act]:
        transaction, _, _, unit, code, first, count = struct.unpack(">HHHBBHH", question[:12])
        self.polls += 1
        # By a thousandth of an ampere, the least that is told from nothing.
        moving = f"{self.polls % 8 * 0x0400:04X}"
        words = {2999 + 2 * n: (self.current, moving) for n in range(3)}
        words |= {3027 + 2 * n: ("4366", "0000") for n in range(3)}  # 230.0 V
        words |= {3053 + 2 * n: ("4093", "3333") for n in range(3)}  # 4.6 kW
        said = {at + place: word for at, pair in words.items() for place, word in enumerate(pair)}
        payload = bytes.fromhex("".join(said.get(at, "0000") for at in range(first, first + count)))
        body = bytes([unit, code, len(payload)]) + payload
        return (Say(frame=struct.pack(">HHH", transaction, 0, len(body)) + body),)


@dataclass(kw_only=True)
class Process:
    """A daemon that runs; `lines` is its log so far."""

    process: asyncio.subprocess.Process
    state: Path
    lines: list[str] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Return the first line that has the pattern, once it is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    has_ended = self.is_over.is_set()
                    for line in self.lines:
                        if found := re.search(pattern, line):
                            return found
                    if has_ended:
                        break
                    await asyncio.sleep(0.05)
        raise AssertionError("\n".join([f"{pattern!r} is not in the log:", *self.lines]))

    async def ocpp_port(self) -> int:
        """Return the port once stations can connect."""
        return int((await self.wait_for_line(r"ws://127\.0\.0\.1:(\d+)/"))[1])

    async def end(self, send: Callable[[asyncio.subprocess.Process], None]) -> int:
        """Send a signal; return the exit code."""
        send(self.process)
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def daemon(config: Path, state: Path, *more: str) -> AsyncIterator[Process]:
    """Run `headroom run`, and see that it is gone in the end."""
    words = ("run", "-c", str(config), "--state", str(state), *more)
    async with started(*words, state=state) as running:
        yield running


@asynccontextmanager
async def started(
    *words: str, state: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a command that lasts, and see that it is gone in the end."""
    process = await asyncio.create_subprocess_exec(
        *HEADROOM, *words, env=environment, stderr=asyncio.subprocess.PIPE
    )
    running = Process(process=process, state=state)
    assert process.stderr is not None

    async def read(stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            running.lines.append(line.decode().rstrip("\n"))
        running.is_over.set()

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(process.stderr))
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


@asynccontextmanager
async def a_building(
    tmp_path: Path,
    script: Callable[[bytes], Sequence[Act]],
    *,
    ocpp_port: int = 0,
    metrics_port: int = 0,
) -> AsyncIterator[Process]:
    """Run a daemon on a site whose meter answers as scripted."""
    async with TcpPeer(script) as meter:
        config = tmp_path / "site.yaml"
        text = SITE.format(meter_port=meter.port, ocpp_port=ocpp_port, metrics_port=metrics_port)
        await asyncio.to_thread(config.write_text, text)
        async with daemon(config, tmp_path / "state") as running:
            yield running


@asynccontextmanager
async def station(port: int, identity: str, **options: Any) -> AsyncIterator[Station16]:
    """Connect a station of the `ocpp` library; it hears calls until the block ends."""
    async with _heard(port, identity, "ocpp1.6", partial(Station16, **options)) as hearing:
        yield hearing


@asynccontextmanager
async def station_of_201(port: int, identity: str, **options: Any) -> AsyncIterator[Station201]:
    """Connect one of OCPP 2.0.1, the same."""
    async with _heard(port, identity, "ocpp2.0.1", partial(Station201, **options)) as hearing:
        yield hearing


@asynccontextmanager
async def _heard(
    port: int, identity: str, subprotocol: str, make: Callable[[str, ClientConnection], S]
) -> AsyncIterator[S]:
    async with connect(
        f"ws://127.0.0.1:{port}/{identity}", subprotocols=[Subprotocol(subprotocol)], proxy=None
    ) as connection:
        hearing = make(identity, connection)

        async def listen() -> None:
            with suppress(ConnectionClosed):
                await hearing.start()

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            yield hearing
            listening.cancel()


async def headroom(*words: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it printed to both."""
    process = await asyncio.create_subprocess_exec(
        *HEADROOM, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something holds; fail if it does not in time."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.05)


def run(test: Awaitable[None]) -> None:
    """Run a test in real time."""

    async def main() -> None:
        await test

    asyncio.run(main())
