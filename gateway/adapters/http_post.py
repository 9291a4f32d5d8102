"""Sends a body to somebody's address over HTTP or HTTPS: one request, one connection, one status.

Written on asyncio's streams: the whole exchange has one deadline and ends at once when it is
cancelled. No redirect is followed, no proxy is used, and of the answer only its status is read.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from gateway.domain.webhooks import PostFailedError

WITHIN_S = 10.0
MAX_LINE_BYTES = 8_192
MAX_HEADERS = 100
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |\r?\n)")


class HttpPost:
    """`gateway.ports.Poster`."""

    def __init__(self, *, within_s: float = WITHIN_S, tls: ssl.SSLContext | None = None) -> None:
        """Take the deadline of a whole exchange, and how servers prove who they are (`https`)."""
        self._within_s = within_s
        self._tls = tls

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """See `gateway.ports.Poster`."""
        try:
            async with asyncio.timeout(self._within_s):
                return await self._exchange(urlsplit(url), body, headers)
        except TimeoutError as error:
            message = f"no answer within {self._within_s:g} s"
            raise PostFailedError(message) from error
        except OSError as error:  # ssl.SSLError is one.
            message = f"no connection ({error.strerror or error})"
            raise PostFailedError(message) from error
        except (EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise PostFailedError("what answers speaks no HTTP, or hung up") from error

    async def _exchange(self, url: SplitResult, body: bytes, headers: Mapping[str, str]) -> int:
        is_secure = url.scheme == "https"
        if is_secure and self._tls is None:
            # Reading whom this machine trusts takes tens of milliseconds.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        reader, writer = await asyncio.open_connection(
            url.hostname,
            url.port or (443 if is_secure else 80),
            ssl=self._tls if is_secure else None,
            limit=MAX_LINE_BYTES,
        )
        try:
            writer.write(_head(url, len(body), headers) + body)
            await writer.drain()
            return await _status(reader)
        finally:
            # What else it says is not read: there is nothing to part from in order.
            writer.transport.abort()


def _head(url: SplitResult, length: int, headers: Mapping[str, str]) -> bytes:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    host = url.netloc.rpartition("@")[2]
    said = {"Host": host, **headers, "Content-Length": str(length), "Connection": "close"}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _status(reader: asyncio.StreamReader) -> int:
    """Return the status of the answer, past those that only say it is coming (1xx)."""
    for _ in range(MAX_HEADERS):
        line = await reader.readuntil(b"\n")
        found = _STATUS.match(line)
        if found is None:
            raise ValueError("no status line")
        if int(found[1]) >= 200:  # noqa: PLR2004 - RFC 9110 §15: below it is no answer yet
            return int(found[1])
        for _ in range(MAX_HEADERS):
            if (await reader.readuntil(b"\n")).strip() == b"":
                break
    raise ValueError("no answer after many beginnings of one")
