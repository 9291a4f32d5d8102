"""Peers on a raw socket or a raw pty that answer Modbus questions with scripted bytes, or not."""

import asyncio
import os
import socket
import struct
import tty
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from drivers.modbus.bus import Bus
from drivers.modbus.endpoint import Endpoint
from drivers.modbus.question import BusTiming
from gateway.adapters.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Bytes to send, `after_s` after the question; in pieces of `piece` bytes if given."""

    frame: bytes
    after_s: float = 0.0
    piece: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the connection, by a reset."""

    after_s: float = 0.0


Act = Say | HangUp
Script = Callable[[bytes], Sequence[Act]]
"""What to do on a question, given as it came over the wire."""


IMPATIENT = BusTiming(timeout_s=0.25, connect_timeout_s=1.0, drain_s=0.01, answer_life_s=0.4)
"""For peers that answer at once, or never: a test must not wait long for nothing, nor fail for a busy core."""


@asynccontextmanager
async def running_bus(
    endpoint: Endpoint, timing: BusTiming = IMPATIENT
) -> AsyncGenerator[Bus, None]:
    """Run a bus on real time, and close it; nobody had its line before."""
    bus = Bus("under-test", endpoint, clock=SystemClock(), timing=replace(timing, opening_s=0.0))
    # Not a TaskGroup: it would wrap what the test expects to be raised.
    serving = asyncio.get_running_loop().create_task(bus.run(), name="bus")
    try:
        yield bus
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def hexed(text: str) -> bytes:
    """Return the bytes of a frame written in hex."""
    return bytes.fromhex(text)


@dataclass
class Stream:
    """One way of a connection: what is sent on it is sent one frame after the other."""

    free_s: float = 0.0


@dataclass
class Peer:
    """What both kinds share: the script, and what was asked."""

    script: Script
    asked: list[bytes] = field(default_factory=list)
    _timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def _on_question(
        self,
        question: bytes,
        send: Callable[[bytes], None],
        hang_up: Callable[[], None],
        stream: Stream,
    ) -> None:
        self.asked.append(question)
        loop = asyncio.get_running_loop()
        for act in self.script(question):
            begin_s = loop.time() + act.after_s
            if isinstance(act, HangUp):
                self._timers.append(loop.call_at(begin_s, hang_up))
                continue
            piece = act.piece or len(act.frame) or 1
            begin_s = max(begin_s, stream.free_s)
            for start in range(0, len(act.frame), piece):
                part = act.frame[start : start + piece]
                at_s = begin_s + start / piece * 0.0005
                self._timers.append(loop.call_at(at_s, send, part))
                stream.free_s = at_s + 1e-6  # Timers of one instant have no order.

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()


class TcpPeer(Peer):
    """A host on loopback; every connection is counted."""

    connections = 0
    open_connections = 0
    most_open_connections = 0
    port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._writers: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)
        self._writers.add(writer)
        stream = Stream()

        def send(frame: bytes) -> None:
            if not writer.is_closing():
                writer.write(frame)

        def hang_up() -> None:
            if writer.is_closing():
                return
            # Lingering for zero seconds makes it a reset.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        try:
            while question := await reader.read(1024):
                self._on_question(question, send, hang_up, stream)
        except ConnectionError:
            pass
        finally:
            self.open_connections -= 1
            self._writers.discard(writer)
            writer.transport.abort()


class PtyPeer(Peer):
    """A serial device: `path` is what to open."""

    path = ""

    async def __aenter__(self) -> Self:
        # The far end is kept open, so that a client may come and go.
        self._ours, self._kept = os.openpty()
        tty.setraw(self._kept)
        os.set_blocking(self._ours, False)
        self.path = os.ttyname(self._kept)
        asyncio.get_running_loop().add_reader(self._ours, self._on_bytes)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.vanish()

    def stall(self) -> None:
        """Take nothing in any more, as an adapter whose buffers are full: nothing can be sent."""
        asyncio.get_running_loop().remove_reader(self._ours)
        os.set_blocking(self._kept, False)
        with suppress(BlockingIOError):
            while os.write(self._kept, bytes(1024)):
                pass

    def resume(self) -> None:
        """Take in again what is sent."""
        with suppress(BlockingIOError):
            while os.read(self._ours, 1024).endswith(b"\0"):
                pass
        asyncio.get_running_loop().add_reader(self._ours, self._on_bytes)

    def say(self, frame: bytes) -> None:
        """Put bytes on the line, unasked."""
        self._send(frame)

    def vanish(self) -> None:
        """Unplug the device."""
        if self._ours >= 0:
            self._stop()
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            os.close(self._kept)
            self._ours = -1

    def _on_bytes(self) -> None:
        # A new stream each time: on a serial line, frames may collide.
        self._on_question(os.read(self._ours, 1024), self._send, self.vanish, Stream())

    def _send(self, frame: bytes) -> None:
        if self._ours >= 0:
            os.write(self._ours, frame)
