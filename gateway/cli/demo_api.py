"""The daemon's own HTTP API, as the demo asks it: like any program, over a socket."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec

from gateway.domain.errors import HeadroomError

ANSWERS_WITHIN_S = 20.0
LINE_BYTES = 2**20


class ApiRefusedError(HeadroomError):
    """The API did not do what it was asked; the message says why."""


class Offer(msgspec.Struct):
    """What can be held, and why it is what it is."""

    offer_id: str
    why: str


class Quote(msgspec.Struct):
    """The answer to a need: the best offer first."""

    reason: str
    offers: list[Offer]


class Promise(msgspec.Struct):
    """A reservation as it stands."""

    reservation_id: str
    state: str
    energy_wh: int
    confidence: float


class Told(msgspec.Struct):
    """What a notice says, as far as the story goes."""

    why: str | None = None


class Notice(msgspec.Struct):
    """What is told to those who follow: of which kind, and whose it is."""

    kind: str
    holder: str | None
    data: Told


class Api:
    """The daemon's API, asked as any program would: a connection for each request."""

    def __init__(self, url: str, token: str) -> None:
        """Ask at an address, such as `http://127.0.0.1:8080`, with a token."""
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._token = token

    async def ask(self, method: str, path: str, body: object = None) -> bytes:
        """Return the answer's body.

        Raises:
            ApiRefusedError: it is a refusal.
        """
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            reader, writer = await self._open(method, path, body)
            try:
                status, content = await _head(reader), await reader.read()
            finally:
                writer.close()
        if status >= 400:  # noqa: PLR2004 - RFC 9110, 15.5
            raise ApiRefusedError(
                f"the API answers {method} {path} with {status}: {content[:300]!r}"
            )
        return content

    async def notices(self) -> AsyncIterator[Notice]:
        """Yield what the API tells those who follow."""
        reader, writer = await self._open("GET", "/events", None)
        try:
            await _head(reader)
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    yield msgspec.json.decode(line.removeprefix(b"data: "), type=Notice)
        finally:
            writer.close()

    async def _open(
        self, method: str, path: str, body: object
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_BYTES)
        content = b"" if body is None else msgspec.json.encode(body)
        # HTTP/1.0: an answer ends with its connection, and comes in no chunks.
        head = (
            f"{method} /api/v1{path} HTTP/1.0\r\nHost: {self._host}:{self._port}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        return reader, writer


async def _head(reader: asyncio.StreamReader) -> int:
    """Return the status of an answer whose head is read over."""
    status = await reader.readline()
    while (await reader.readline()).strip():
        pass
    words = status.split()
    if len(words) < 2:  # noqa: PLR2004 - the version and the status
        raise ApiRefusedError("the API ends the connection without an answer")
    return int(words[1])
