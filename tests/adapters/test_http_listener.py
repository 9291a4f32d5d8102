"""The listener serves over real sockets, and leaves the daemon's signals and its end to the daemon."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.adapters import http_listener
from gateway.adapters.http_listener import CannotListenError, HttpListener
from tests.support.http_asking import get

PATIENCE_S = 20.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def say_hello(request: Request) -> Response:
    del request
    return PlainTextResponse("hello")


async def say_hello_later(request: Request) -> Response:
    await asyncio.sleep(0.5)
    return await say_hello(request)


MUCH = bytes(16_000_000)
"""More than the kernel keeps of an answer that nobody takes."""


async def say_much(request: Request) -> Response:
    del request
    return Response(MUCH)


APP = Starlette(
    routes=[
        Route("/", say_hello),
        Route("/later", say_hello_later),
        Route("/much", say_much),
    ]
)


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[tuple[str, "asyncio.Task[None]"]]:
    loop = asyncio.get_running_loop()
    address: asyncio.Future[str] = loop.create_future()
    listener = HttpListener(APP, host="127.0.0.1", port=0, purpose="tests", **more)
    async with asyncio.timeout(PATIENCE_S):
        running = loop.create_task(listener.run(address.set_result))
        yield await address, running
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def test_it_answers_at_the_address_it_tells() -> None:
    async def test() -> None:
        async with serving() as (url, _):
            assert (await get(url, "/")).body == b"hello"
            assert (await get(url, "/nothing")).status == 404

    asyncio.run(test())


def test_who_floods_it_writes_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with serving(max_connections=2) as (url, _):
            port = int(url.rpartition(":")[2])
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            assert (await get(url, "/")).status == 503
            idle[0][1].write(b"nonsense\r\n\r\n")
            assert (await idle[0][0].read()).startswith(b"HTTP/1.1 400")
            for _, writer in idle:
                writer.close()

    asyncio.run(test())
    assert [record.message for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_whoever_comes_when_all_places_are_taken_is_told_as_the_listener_says() -> None:
    crowded = PlainTextResponse("come back", status_code=503, headers={"Connection": "close"})

    async def test() -> None:
        async with serving(max_connections=4, crowded=crowded) as (url, _):
            port = int(url.rpartition(":")[2])
            first = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert (await get(url, "/")).body == b"come back"
            # Who was there before goes on being served.
            first[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await first[0].readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            for _, writer in (first, *others):
                writer.close()

    asyncio.run(test())


def test_one_address_never_has_all_places() -> None:
    async def test() -> None:
        async with serving(max_connections=4) as (url, _):
            port = int(url.rpartition(":")[2])
            greedy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            assert (await get(url, "/")).status == 503
            other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            other[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await other[0].readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            for _, writer in (other, *greedy):
                writer.close()

    asyncio.run(test())


def test_who_says_nothing_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "SAYS_WITHIN_S", 0.2)

    async def test() -> None:
        async with serving() as (url, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            assert await reader.read() == b""
            writer.close()

    asyncio.run(test())


BEGUN = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def connected(url: str, count: int, *, said: bytes) -> list[Connection]:
    port = int(url.rpartition(":")[2])
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in made:
        writer.write(said)
    return made


def test_two_hundred_that_never_say_what_they_ask_keep_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_listener, "SAYS_WITHIN_S", 0.5)

    async def test() -> None:
        async with serving(max_connections=256) as (url, _):
            greedy = await connected(url, 200, said=BEGUN)
            assert [await reader.read() for reader, _ in greedy] == [b""] * 200
            for _, writer in greedy:
                writer.close()

            assert (await get(url, "/")).body == b"hello"

    asyncio.run(test())


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        pytest.param(BEGUN, b"X-a: b\r\n", id="a header now and then"),
        pytest.param(BEGUN + b"Content-Length: 1000000\r\n\r\n", b"x", id="a body nobody reads"),
    ],
)
def test_who_says_a_little_now_and_then_keeps_no_place_for_it(
    begun: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_listener, "SAYS_WITHIN_S", 0.2)

    async def test() -> None:
        async with serving() as (url, _):
            ((reader, writer),) = await connected(url, 1, said=begun)
            with suppress(ConnectionResetError):  # More may have been on its way.
                while not reader.at_eof():
                    writer.write(more)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1_024), timeout=0.01)
            writer.close()

    asyncio.run(test())


def test_who_does_not_take_an_answer_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "TAKES_WITHIN_S", 0.2)

    async def test() -> None:
        async with serving(max_connections=1) as (url, _):
            ((_, writer),) = await connected(
                url, 1, said=BEGUN.replace(b"/", b"/much", 1) + b"\r\n"
            )
            while (await get(url, "/")).status != 200:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.05)
            writer.close()

    asyncio.run(test())


def test_who_takes_an_answer_slowly_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "TAKES_WITHIN_S", 1.0)

    async def test() -> None:
        async with serving() as (url, _):
            host, port = url.removeprefix("http://").split(":")
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(BEGUN.replace(b"/", b"/much", 1) + b"\r\n")
            try:
                await reader.readuntil(b"\r\n\r\n")
                for _ in range(16):
                    await reader.readexactly(len(MUCH) // 16)
                    await asyncio.sleep(0.15)
            finally:
                writer.transport.abort()

    asyncio.run(test())


def test_who_said_it_in_time_is_answered_however_long_that_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_listener, "SAYS_WITHIN_S", 0.2)

    async def test() -> None:
        async with serving() as (url, _):
            ((reader, writer),) = await connected(url, 1, said=BEGUN.replace(b"/", b"/later", 1))
            await asyncio.sleep(0)  # Two pieces.
            writer.write(b"\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(test())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stay_with_the_daemon(number: signal.Signals) -> None:
    async def test() -> None:
        heard = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(number, heard.set)
        async with serving() as (url, running):
            os.kill(os.getpid(), number)
            await heard.wait()

            assert (await get(url, "/")).body == b"hello"
            assert not running.done()

    asyncio.run(test())


def test_it_ends_though_somebody_is_connected_and_frees_its_port() -> None:
    async def test() -> None:
        async with serving() as (url, running):
            port = int(url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
            running.cancel()
            await asyncio.wait([running])

            assert await reader.read() == b""
            writer.close()
            with socket.create_server(("127.0.0.1", port)):
                assert running.cancelled()

    asyncio.run(test())


def test_a_port_in_use_is_said_with_the_address_and_what_is_missing() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            listener = HttpListener(APP, host="127.0.0.1", port=port, purpose="metrics")
            await listener.run(lambda address: pytest.fail(f"it listens at {address}"))

    with pytest.raises(
        CannotListenError, match=r"for metrics on 127\.0\.0\.1:\d+: Address already"
    ):
        asyncio.run(test())


def test_an_address_of_another_machine_is_said() -> None:
    listener = HttpListener(APP, host="192.0.2.1", port=0, purpose="metrics")  # RFC 5737.

    with pytest.raises(CannotListenError, match=r"metrics on 192\.0\.2\.1:0: Cannot assign"):
        asyncio.run(listener.run(lambda address: pytest.fail(f"it listens at {address}")))
