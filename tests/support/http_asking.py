"""Asks HTTP servers in a loop of the test's own, with nothing between the test and the wire."""

import asyncio
from typing import NamedTuple


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def get(url: str, path: str = "") -> Reply:
    """Return what the server answers to a GET of `url` and `path`."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    return read_reply(answer)


def read_reply(answer: bytes) -> Reply:
    """Return an answer's parts; it is whole, and neither chunked nor compressed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", maxsplit=1) for line in lines)
    return Reply(status=int(first.split()[1]), headers=headers, body=body)
