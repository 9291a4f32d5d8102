"""A hall of charging stations for tests: the real server, real sockets, every fact kept."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from drivers.ocpp.adapter import VersionSupport
from drivers.ocpp.driver import OcppDriver
from drivers.ocpp.liveness import Patience
from drivers.ocpp.lobby import Lobby
from drivers.ocpp.server import OPEN_TIMEOUT_S, OcppServer
from drivers.ocpp.versions import SUPPORTED
from gateway.adapters.clock import SystemClock
from gateway.domain.charging import OcppVersion
from gateway.domain.events import Event
from gateway.domain.ids import StationId
from gateway.domain.memory import Memory
from gateway.domain.tokens import TokenPolicy
from gateway.ports import Clock, Ledger

PATIENCE_S = 10.0

Fact = TypeVar("Fact")


class JumpingClock(SystemClock):
    """The machine's clock, whose wall clock jumps when a test says so."""

    jumped: timedelta = timedelta(0)

    def now_at(self) -> datetime:
        return super().now_at() + self.jumped


class PassingClock(SystemClock):
    """The machine's clocks, put forward together when a test says so."""

    passed_s: float = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.passed_s

    def now_at(self) -> datetime:
        return super().now_at() + timedelta(seconds=self.passed_s)


@dataclass
class Hall:
    """A running server and what it posted."""

    server: OcppServer
    port: int
    stop: Callable[[], object]
    facts: list[Event] = field(default_factory=list)

    @property
    def driver(self) -> OcppDriver:
        return OcppDriver(self.server)

    def facts_of(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @asynccontextmanager
    async def connect(
        self,
        station: str,
        *,
        version: OcppVersion = OcppVersion.V16,
        key: bytes | None = None,
        **options: Any,
    ) -> AsyncIterator[ClientConnection]:
        """Open a raw connection as a station does."""
        headers: dict[str, str] = {}
        if key is not None:
            pair = base64.b64encode(station.encode() + b":" + key).decode()
            headers["Authorization"] = f"Basic {pair}"
        async with connect(
            f"ws://127.0.0.1:{self.port}/{station}",
            subprotocols=[Subprotocol(version)],
            additional_headers=headers,
            proxy=None,
            **options,
        ) as connection:
            yield connection

    @asynccontextmanager
    async def connect_raw(
        self, station: str, *, version: OcppVersion = OcppVersion.V16, extensions: str = ""
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection without a library: for frames no library would send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        offer = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        writer.write(
            f"GET /{station} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {version}\r\n{offer}\r\n".encode()
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            yield reader, writer
        finally:
            writer.transport.abort()


def frame_of(opcode: int, payload: bytes = b"", *, bits: int = 0x80) -> bytes:
    """Return a client's frame, masked with zeros; `bits` are FIN (0x80) and RSV1 (0x40)."""
    length = len(payload)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 2**16:
        size = bytes((0x80 | 126,)) + length.to_bytes(2, "big")
    else:
        size = bytes((0x80 | 127,)) + length.to_bytes(8, "big")
    return bytes((bits | opcode,)) + size + bytes(4) + payload


async def read_close(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Return the code and the reason of the close frame that comes, whatever comes before it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            first, length = await reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2), "big")
            payload = await reader.readexactly(length)
            if first == 0x88:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()


async def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something holds; fail if it does not within `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.01)


async def ask(connection: ClientConnection, frame: str | bytes | list[Any]) -> Any:
    """Send a frame, as text, and return the next one that is not a CALL of the server."""
    text = json.dumps(frame) if isinstance(frame, list) else frame
    await connection.send(text, text=True if isinstance(text, bytes) else None)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = json.loads(await connection.recv())
            if answer[0] != 2:
                return answer


def in_hall(
    test: Callable[[Hall], Awaitable[None]],
    *,
    credentials: Mapping[str, bytes | None] | None = None,
    versions: Mapping[OcppVersion, VersionSupport] = SUPPORTED,
    boot_patience_s: float = 0.2,
    call_deadline_s: float = PATIENCE_S,
    clock: Clock | None = None,
    patience: Patience | None = None,
    ledger: Ledger | None = None,
    memory: Memory | None = None,
    lobby: Lobby | None = None,
    tokens: TokenPolicy | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    run_loop: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run a test against a server on loopback whose adopted stations are `credentials`.

    Without them CP-01 to CP-03 are adopted and need no key.
    """
    adopted = {StationId(f"CP-0{n}"): None for n in (1, 2, 3)}
    given = {StationId(name): key for name, key in (credentials or adopted).items()}

    async def run() -> None:
        facts: list[Event] = []
        server = OcppServer(
            host="127.0.0.1",
            port=0,
            credentials=given,
            clock=clock or SystemClock(),
            post=facts.append,
            rng=random.Random(1),
            versions=versions,
            boot_patience_s=boot_patience_s,
            call_deadline_s=call_deadline_s,
            patience=patience,
            ledger=ledger,
            memory=memory,
            lobby=lobby,
            tokens=tokens,
            open_timeout_s=open_timeout_s,
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.run())
            port = await server.wait_listening()
            await test(Hall(server=server, port=port, stop=serving.cancel, facts=facts))
            serving.cancel()

    run_loop(run())
