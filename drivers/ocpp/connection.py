"""A WebSocket connection that hands every message over as it arrives and answers at once."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from drivers.ocpp.lobby import Lobby

MAX_FRAMES_A_S: Final = 200  # Beyond, the station waits: it has no reason to say so much.
MAX_STRANGER_FRAMES_A_S: Final = 10
"""Nothing a station says has an effect before it is adopted, and anybody may say it."""

COUNTED_TOGETHER: Final = 256
SLICE_BYTES: Final = 4_096
"""How much is taken before frames are counted: of the smallest, a few milliseconds' work. So much
of a long one counts as another."""

MAX_PARTS: Final = 1_000
"""A message in more parts than this is no message: empty parts would be bounded by nothing."""

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class StationConnection(ServerConnection):
    """A connection whose messages go to a function that returns the answer, or None.

    `recv` and `send` wake a task for each message and cost more than all we do with it. The
    price is that back-pressure is ours: while the station does not read its answers, or says
    more than `MAX_FRAMES_A_S`, nothing more is read from it. Pings, parts of messages and long
    frames count as well, by what they cost. `recv` must not be used.
    """

    __slots__ = (
        "_backlog",
        "_counted",
        "_counted_since_s",
        "_held",
        "_lobby",
        "_parts",
        "_quiet_looks",
        "_take",
        "_was_heard",
        "is_adopted",
    )

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        lobby: Lobby,
        **options: Any,  # noqa: ANN401 - what websockets passes
    ) -> None:
        """Hold messages until `deliver_to` says where they go; wait in `lobby` till then."""
        super().__init__(protocol, server, **options)
        self._lobby = lobby
        self.is_adopted = False  # Whether the handshake proved a station of ours.
        self._take: Callable[[bytes], bytes | None] | None = None
        self._held: deque[bytes] | None = None
        self._parts: list[bytes] | None = None
        # Bytes whose turn comes later; nothing is read while there is one, empty or not.
        self._backlog: bytes | None = None
        self._counted = 0
        self._counted_since_s = self.loop.time()
        self._was_heard = True
        self._quiet_looks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, for which there is not all the room and time in the world."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self._lobby.enter(self, address=str(address[0]) if address else "", end=self._turn_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """End in whatever state it is, and leave nothing behind for the collector of cycles."""
        self._lobby.leave(self)
        super().connection_lost(exc)
        self._take = None
        # Nothing is parsed any more: the parser, and what it has raised, would keep the protocol.
        self.protocol.parser.close()
        if self.protocol.parser_exc is not None:
            self.protocol.parser_exc.__traceback__ = None

    def _turn_out(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes off the wire: whatever they are, the other end is there."""
        self._was_heard = True
        if self._backlog is not None:  # On its way when reading was paused.
            self._backlog += data
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Take bytes a slice at a time, until there were too many frames in them."""
        for start in range(0, len(data), SLICE_BYTES):
            super().data_received(data[start : start + SLICE_BYTES])
            wait_s = self._wait_s()
            if wait_s > 0:
                self._backlog = data[start + SLICE_BYTES :]
                self._settle_reading()
                self.loop.call_later(wait_s, self._go_on)
                return

    def _go_on(self) -> None:
        rest, self._backlog = self._backlog, None
        if rest and not self.transport.is_closing():
            self._feed(rest)
        self._settle_reading()

    def _settle_reading(self) -> None:
        if self.transport.is_closing():
            return
        if self._held is None and self._backlog is None:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def look(self) -> int:
        """Return at how many looks in a row, this one included, nothing had come."""
        self._quiet_looks = 0 if self._was_heard else self._quiet_looks + 1
        self._was_heard = False
        return self._quiet_looks

    def send_ping(self) -> None:
        """Have the other end say something, if it can; never waits."""
        if self.protocol.state is State.OPEN and not self.paused:
            self.protocol.send_ping(b"")
            self._send_data()

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close; one that has said too much is not listened to till the end."""
        if self._backlog is None or self.protocol.state is not State.OPEN:
            await super().close(code, reason)
            return
        self.protocol.send_close(code, reason)
        self._send_data()
        self.transport.close()

    def abandon(self) -> None:
        """End the connection at once, and with it what the system still holds of it.

        A limit that came through long after it was sent would count its lease from then.
        """
        with suppress(OSError, AttributeError):  # A socket that is gone holds nothing.
            wire: socket.socket = self.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def deliver_to(self, take: Callable[[bytes], bytes | None]) -> None:
        """Deliver every message to `take`, those first that came before."""
        self._take = take
        self._release()

    def forget_handshake(self) -> None:
        """Let go of the headers: a third of a connection's memory, credentials among them."""
        self._lobby.leave(self)
        for message in (self.request, self.response):
            if message is not None:
                message.headers.clear()

    def transmit(self, frame: bytes) -> bool:
        """Return whether a text message went into the socket's buffer; never waits."""
        if self.protocol.state is not State.OPEN:
            return False
        if self.protocol.extensions:
            self.protocol.send_text(frame)
            return self._send_data()
        # Whole, and not masked, as a server's frames are (RFC 6455 §5.1): its head is all there is
        # to add. Through the protocol it costs a tenth of all that is done for a message.
        return self._write(_head_of(frame) + frame)

    def _write(self, data: bytes) -> bool:
        try:
            self.transport.write(data)
        except (OSError, RuntimeError) as error:  # The socket is gone; the loss is on its way.
            self.set_connection_exc(error)
            return False
        return True

    def _send_data(self) -> bool:
        try:
            self.send_data()
        except (OSError, RuntimeError) as error:  # The socket is gone; the loss is on its way.
            self.set_connection_exc(error)
            return False
        return True

    def process_event(self, event: Request | Response | Frame) -> None:
        """Take a message instead of queueing it; websockets sees to all else."""
        self._counted += 1
        if isinstance(event, Frame):  # Inflated already, where it came compressed.
            self._counted += len(event.data) // SLICE_BYTES
        if self.request is None or not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        if self.protocol.close_sent is not None:  # Nothing that comes now is answered.
            return
        if event.fin and event.opcode is not Opcode.CONT:
            message = bytes(event.data)
        else:  # The protocol below has counted the parts against the largest message.
            self._parts = [] if self._parts is None else self._parts
            self._parts.append(bytes(event.data))
            if len(self._parts) > MAX_PARTS:
                self._parts = None
                self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "a message in too many parts")
                self._send_data()
                return
            if not event.fin:
                return
            message, self._parts = b"".join(self._parts), None
        if self._take is None or self._held is not None or self.paused:
            self._hold(message)
        else:
            self._answer(self._take, message)

    def resume_writing(self) -> None:
        """Go on where the station's reading held us up."""
        super().resume_writing()
        self._release()

    def _answer(self, take: Callable[[bytes], bytes | None], message: bytes) -> None:
        answer = take(message)
        if answer is not None:
            self.transmit(answer)

    def count(self, frame_count: int) -> None:
        """Count a message as more frames than it came in: it was that much work."""
        self._counted += frame_count

    def _wait_s(self) -> float:
        """Return how long to wait, for what was counted came too fast; 0 if it did not."""
        if self._counted < COUNTED_TOGETHER:
            return 0.0
        now_s, at_most = self.loop.time(), MAX_FRAMES_A_S
        if not self.is_adopted:
            at_most = MAX_STRANGER_FRAMES_A_S
        wait_s = max(0.0, self._counted_since_s + self._counted / at_most - now_s)
        self._counted, self._counted_since_s = 0, now_s + wait_s
        return wait_s

    def _hold(self, message: bytes) -> None:
        """Keep a message, and read no more until it is answered: what is held stays small."""
        if self._held is None:
            self._held = deque()
            self._settle_reading()
        self._held.append(message)

    def _release(self) -> None:
        while self._held and self._take is not None and not self.paused:
            self._answer(self._take, self._held.popleft())
        if self._held is not None and not self._held:
            self._held = None
            self._settle_reading()


def _head_of(text: bytes) -> bytes:
    """Return what goes before a text in the one frame of its message (RFC 6455 §5.2)."""
    length = len(text)
    if length < 126:
        return bytes((0x81, length))
    if length < 2**16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
