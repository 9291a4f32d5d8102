"""An HTTP server in the daemon's own event loop, which leaves the daemon's signals alone."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from gateway.domain.errors import HeadroomError

BACKLOG = 64
MAX_CONNECTIONS = 32
ENDS_WITHIN_S = 2


class CannotListenError(HeadroomError):
    """The address to listen on cannot be had; the message says which and why."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would take SIGTERM and SIGINT over, and the daemon would hear neither.
        yield


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
    ) -> None:
        """Open nothing yet: `run` does. `purpose` says in an error what is missing without it.

        Whoever connects beyond `max_connections` is answered with 503.
        """
        self._app = app
        self._host = host
        self._port = port
        self._purpose = purpose
        self._max_connections = max_connections

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
                http="h11",
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                # Its warnings are of what clients do: a flood would fill log and flash with them.
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=self._max_connections,
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
