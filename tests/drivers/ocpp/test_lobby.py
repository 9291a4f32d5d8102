"""Handshakes that are never finished: real sockets, and stations that come in all the same."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from drivers.ocpp.lobby import Lobby
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import PATIENCE_S, Hall, in_hall, wait_until

RunLoop = Callable[[Coroutine[Any, Any, None]], None]
FILLER = "127.0.0.2"  # All of 127/8 is this machine (RFC 6890).


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run_loop(request: pytest.FixtureRequest) -> RunLoop:
    run: RunLoop = request.param
    return run


@asynccontextmanager
async def unfinished(
    hall: Hall, count: int, *, address: str = FILLER, say: bytes = b"GET /CP-01 HTTP/1.1\r\n"
) -> AsyncIterator[list[socket.socket]]:
    """Open sockets that begin a handshake and never end it."""
    sockets: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    try:
        for _ in range(count):
            opened = socket.socket()
            sockets.append(opened)
            opened.setblocking(False)
            opened.bind((address, 0))
            await loop.sock_connect(opened, ("127.0.0.1", hall.port))
            await loop.sock_sendall(opened, say)
        yield sockets
    finally:
        for opened in sockets:
            opened.close()


async def is_ended(opened: socket.socket) -> bool:
    """Return whether the other end has ended a connection."""
    try:
        return await asyncio.get_running_loop().sock_recv(opened, 1) == b""
    except ConnectionResetError:
        return True


async def wait_ended(opened: socket.socket) -> None:
    async with asyncio.timeout(PATIENCE_S):
        assert await is_ended(opened)


async def come_in(hall: Hall, count: int, stack: AsyncExitStack) -> None:
    """Have stations connect, all in the same moment and from one address."""
    await asyncio.gather(
        *(
            stack.enter_async_context(hall.connect(f"S-{number}", open_timeout=PATIENCE_S))
            for number in range(count)
        )
    )
    await wait_until(lambda: len(hall.server.connected_stations()) == count)


def test_one_that_never_finishes_is_given_up_in_time(run_loop: RunLoop) -> None:
    lobby = Lobby(most=100, most_of_one=100)

    async def scene(hall: Hall) -> None:
        async with unfinished(hall, 2) as sockets, unfinished(hall, 1, say=b"") as silent:
            for opened in (*sockets, *silent):
                await wait_ended(opened)
        assert len(lobby) == 0

    in_hall(scene, lobby=lobby, open_timeout_s=0.3, run_loop=run_loop)


def test_a_drip_of_bytes_buys_no_time() -> None:
    lobby = Lobby(most=100, most_of_one=100)

    async def scene(hall: Hall) -> None:
        async with unfinished(hall, 1) as (opened,):
            drips = 0
            with suppress(ConnectionResetError, BrokenPipeError):
                while drips < 1_000:
                    await asyncio.get_running_loop().sock_sendall(opened, b"X: y\r\n")
                    await asyncio.sleep(0.02)
                    drips += 1
            assert 0 < drips < 1_000

    in_hall(scene, lobby=lobby, open_timeout_s=0.3)


def test_a_station_behind_the_same_router_gets_in_past_a_crowd_of_idle_sockets(
    run_loop: RunLoop,
) -> None:
    lobby = Lobby(most=40, most_of_one=20)
    stations: dict[str, bytes | None] = {f"S-{number}": None for number in range(10)}

    async def scene(hall: Hall) -> None:
        async with unfinished(hall, 60, address="127.0.0.1") as sockets, AsyncExitStack() as stack:
            await wait_until(lambda: hall.server.counters["crowded-out"] == 40)
            assert len(lobby) == 20
            await wait_ended(sockets[0])  # The oldest has left.
            await come_in(hall, 10, stack)
            assert len(lobby) < 20  # Others have left for them.

    in_hall(scene, credentials=stations, lobby=lobby, run_loop=run_loop)


def test_one_address_does_not_crowd_out_the_others() -> None:
    lobby = Lobby(most=40, most_of_one=20)

    async def scene(hall: Hall) -> None:
        async with (
            unfinished(hall, 5, address="127.0.0.3") as few,
            unfinished(hall, 60) as many,
            unfinished(hall, 19, address="127.0.0.4"),
        ):
            await wait_until(lambda: len(lobby) == 40)
            await wait_ended(many[0])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await is_ended(few[0])

    in_hall(scene, lobby=lobby)


def test_a_car_park_that_comes_back_in_one_second_behind_one_router_gets_in(
    run_loop: RunLoop,
) -> None:
    stations: dict[str, bytes | None] = {f"S-{number}": None for number in range(150)}

    async def scene(hall: Hall) -> None:
        async with AsyncExitStack() as stack:
            await come_in(hall, 150, stack)
            assert hall.server.counters["crowded-out"] == 0

    in_hall(scene, credentials=stations, run_loop=run_loop)


def test_a_handshake_that_is_done_or_turned_away_leaves_its_place() -> None:
    lobby = Lobby(most=100, most_of_one=100)

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01"):
            await wait_until(lambda: StationId("CP-01") in hall.server.connected_stations())
            assert len(lobby) == 0
        request = (
            b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        async with unfinished(hall, 3, say=request) as sockets:
            for opened in sockets:
                async with asyncio.timeout(PATIENCE_S):
                    said = await asyncio.get_running_loop().sock_recv(opened, 100)
                assert said.startswith(b"HTTP/1.1 4")
            # It has some seconds to hang up by itself, and its place meanwhile.
            assert len(lobby) == 3
        await wait_until(lambda: len(lobby) == 0)

    in_hall(scene, lobby=lobby)


def test_a_server_that_stops_does_not_wait_for_who_never_finishes(run_loop: RunLoop) -> None:
    """A handshake has an hour here, and the whole test ten seconds."""
    lobby = Lobby(most=100, most_of_one=100)

    def run_in_time(main: Coroutine[Any, Any, None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await main

        run_loop(limited())

    async def scene(hall: Hall) -> None:
        stack = AsyncExitStack()
        sockets = await stack.enter_async_context(unfinished(hall, 3))
        await wait_until(lambda: len(lobby) == 3)
        hall.stop()
        for opened in sockets:
            await wait_ended(opened)
        await stack.aclose()

    in_hall(scene, lobby=lobby, open_timeout_s=3_600.0, run_loop=run_in_time)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_what_one_peer_can_choose_of_its_address_gives_it_no_more_places(
    one: str, other: str, is_same: bool
) -> None:
    left: list[int] = []
    lobby = Lobby(most=100, most_of_one=1)
    lobby.enter(1, address=one, end=lambda: left.append(1))
    lobby.enter(2, address=other, end=lambda: left.append(2))

    assert left == ([1] if is_same else [])


def test_one_for_this_process_has_room_for_a_car_park() -> None:
    lobby = Lobby.for_this_process()
    left: list[int] = []
    for number in range(128):
        lobby.enter(number, address="10.0.0.1", end=lambda: left.append(1))

    assert left == []
