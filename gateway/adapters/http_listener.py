"""An HTTP server in the daemon's own event loop, which leaves the daemon's signals alone."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.domain.errors import HeadroomError

BACKLOG = 64
MAX_CONNECTIONS = 32
ENDS_WITHIN_S = 2
SAYS_WITHIN_S = 5
"""Who is connected and has asked nothing for so long is let go, so that it keeps no place.

So is who has begun to ask, and so long after the first byte has not said what: what is asked, and its
headers. The body is for whoever reads it to wait for.
"""
TAKES_WITHIN_S = 30
"""Who has taken nothing of what was written for it for so long is let go as well."""

CROWDED = PlainTextResponse(
    "Too many are connected: try again.\n", status_code=503, headers={"Connection": "close"}
)


class CannotListenError(HeadroomError):
    """The address to listen on cannot be had; the message says which and why."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would take SIGTERM and SIGINT over, and the daemon would hear neither.
        yield


def _connection_class(max_connections: int, crowded: ASGIApp) -> type[H11Protocol]:
    """Return what serves a connection: `crowded` where it is one too many, and who came first.

    One address has three quarters of the places at most, so that none shuts out all others.
    """
    max_of_address = max(1, max_connections * 3 // 4)

    class Connection(H11Protocol):
        said_by_s: float | None = None
        """When what is asked has to have been said; None while nobody says anything, or is answered."""
        untaken: asyncio.TimerHandle | None = None
        """Ends the connection if nothing of what was written is taken by then."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # So that it is told of anything that is not taken at once.
            transport.set_write_buffer_limits(high=0)
            self.timeout_keep_alive_task = self.loop.call_later(
                SAYS_WITHIN_S, self.timeout_keep_alive_handler
            )
            address = self.client and self.client[0]
            clients = [c.client for c in self.connections if isinstance(c, H11Protocol)]
            of_address = [client for client in clients if client and client[0] == address]
            if len(clients) > max_connections or len(of_address) > max_of_address:
                self.app = crowded

        def data_received(self, data: bytes) -> None:
            # uvicorn waits for ever once the first byte has come.
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self.said_by_s = None
                return
            if self.said_by_s is None:
                self.said_by_s = self.loop.time() + SAYS_WITHIN_S
            self.timeout_keep_alive_task = self.loop.call_at(
                self.said_by_s, self.timeout_keep_alive_handler
            )

        def pause_writing(self) -> None:
            super().pause_writing()
            self._await_taking()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._taken()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._taken()

        def _await_taking(self) -> None:
            left_bytes = self.transport.get_write_buffer_size()
            self.untaken = self.loop.call_later(TAKES_WITHIN_S, self._see_what_is_left, left_bytes)

        def _see_what_is_left(self, before_bytes: int) -> None:
            if self.transport.get_write_buffer_size() < before_bytes:
                self._await_taking()  # On a slow line an answer takes its time.
            else:
                self.transport.abort()

        def _taken(self) -> None:
            if self.untaken is not None:
                self.untaken.cancel()
                self.untaken = None

    return Connection


class HttpListener:
    """Serves an application on an address; port 0 takes any free one."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        purpose: str,
        max_connections: int = MAX_CONNECTIONS,
        crowded: ASGIApp = CROWDED,
    ) -> None:
        """Open nothing yet: `run` does. `purpose` says in an error what is missing without it.

        Whoever connects beyond `max_connections`, or as one of too many of an address, is
        answered by `crowded`, which closes the connection.
        """
        self._app = app
        self._host = host
        self._port = port
        self._purpose = purpose
        self._connection_class = _connection_class(max_connections, crowded)

    async def run(self, on_listening: Callable[[str], None]) -> None:
        """Serve until cancelled; may be run again after it has failed.

        `on_listening` gets the address once it can be asked, such as `http://127.0.0.1:9464`.

        Raises:
            CannotListenError: the port is in use, or the address is not this machine's.
        """
        listening = await self._bind()
        server = _Server(
            uvicorn.Config(
                self._app,
                http=self._connection_class,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                # Its warnings are of what clients do: a flood would fill log and flash with them.
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=SAYS_WITHIN_S,
                timeout_graceful_shutdown=ENDS_WITHIN_S,
                backlog=BACKLOG,
            )
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(server.serve(sockets=[listening]), name="http")
                on_listening(self._url_of(listening))
                try:
                    await asyncio.shield(serving)
                except asyncio.CancelledError:
                    # Cancelled itself, it would leave its connections open.
                    server.should_exit = True
                    await asyncio.wait([serving])
                    raise
        finally:
            listening.close()

    def _url_of(self, listening: socket.socket) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{listening.getsockname()[1]}"

    async def _bind(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = found[0]
            # asyncio sends small answers at once only where a socket says that it speaks TCP.
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(address)
                # At once: whoever is told the address may ask before the server has begun.
                listening.listen(BACKLOG)
                listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            except OSError:
                listening.close()
                raise
        except OSError as error:
            raise CannotListenError(
                f"cannot listen for {self._purpose} on {self._host}:{self._port}:"
                f" {error.strerror} (does another program have the port?)"
            ) from error
        return listening
