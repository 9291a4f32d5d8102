"""Messages as they come off the wire: in pieces, too early, too fast, and unread answers."""

import asyncio
import contextlib
import gc
import json
import socket
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection

from drivers.ocpp import connection as connection_module
from drivers.ocpp.connection import COUNTED_TOGETHER, StationConnection
from gateway.domain.charging import OcppVersion
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import PATIENCE_S, Hall, ask, in_hall, wait_until

RunLoop = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run_loop(request: pytest.FixtureRequest) -> RunLoop:
    run: RunLoop = request.param
    return run


def heartbeat(number: int) -> str:
    return json.dumps([2, str(number), "Heartbeat", {}])


def server_side(hall: Hall, station: str = "CP-01") -> StationConnection:
    session = hall.server._stations[StationId(station)].session
    assert session is not None
    return session._connection


def test_a_message_in_pieces_is_one_message(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await station.send(['[2,"pie', 'ces","Heart', 'beat",{}]'])
            assert json.loads(await station.recv())[:2] == [3, "pieces"]
            assert (await ask(station, heartbeat(1)))[:2] == [3, "1"]

    in_hall(scene, run_loop=run_loop)


def test_pieces_that_add_up_to_too_much_end_the_connection(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await station.send(["a" * 100_000] * 3)
            await station.wait_closed()
            assert station.close_code == 1009

    in_hall(scene, run_loop=run_loop)


def test_what_is_said_with_the_handshake_is_answered(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", hall.port)
        # A mask of zeros leaves the text as it is.
        text = heartbeat(1).encode()
        frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
        writer.write(
            b"GET /CP-01 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n" + frame + frame
        )
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(2):
                header = await reader.readexactly(2)
                assert json.loads(await reader.readexactly(header[1]))[:2] == [3, "1"]
        writer.close()
        await writer.wait_closed()

    in_hall(scene, run_loop=run_loop)


def test_who_says_too_much_is_read_more_slowly_and_nobody_else_is(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", max_queue=None) as loud, hall.connect("CP-02") as other:
            for number in range(COUNTED_TOGETHER + 20):
                await loud.send(heartbeat(number))
            await wait_until(lambda: server_side(hall)._backlog is not None)
            assert (await ask(other, heartbeat(1)))[:2] == [3, "1"]
            # Still: the other has not waited for it.
            assert server_side(hall)._backlog is not None
            answers = [json.loads(await loud.recv()) for _ in range(COUNTED_TOGETHER + 20)]

        assert [int(answer[1]) for answer in answers] == list(range(COUNTED_TOGETHER + 20))

    in_hall(scene, run_loop=run_loop, boot_patience_s=1_000)


def meter_values(sample_count: int) -> str:
    """Return a message of samples none of which says anything: all of them are looked at."""
    values = {"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [{"v": 1}] * sample_count}
    return json.dumps([2, "much", "MeterValues", {"connectorId": 1, "meterValue": [values]}])


async def answer_count(station: ClientConnection, *, for_s: float) -> int:
    """Return how many messages come within a time."""
    count = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            while True:
                await station.recv()
                count += 1
    return count


def long_heartbeat(byte_count: int) -> str:
    return json.dumps([2, "much", "Heartbeat", {"x": "x" * byte_count}])


@pytest.mark.parametrize(
    ("name", "version", "frame", "together"),
    [
        # By what it takes to mend them, by their length, sent compressed or not, and by who says it.
        ("CP-01", OcppVersion.V16, meter_values(4_000), 20),
        ("CP-01", OcppVersion.V16, long_heartbeat(100_000), 20),
        ("CP-01", OcppVersion.V201, long_heartbeat(1_000_000), 20),
        ("stranger", OcppVersion.V16, heartbeat(1), 3 * COUNTED_TOGETHER),
    ],
    ids=["mended", "long", "compressed", "stranger"],
)
def test_a_message_is_counted_by_what_it_costs(
    name: str, version: OcppVersion, frame: str, together: int, run_loop: RunLoop
) -> None:
    async def scene(hall: Hall) -> None:
        async with (
            hall.connect(name, version=version, max_queue=None) as loud,
            hall.connect("CP-02") as other,
        ):
            assert (await ask(other, heartbeat(1)))[:2] == [3, "1"]
            for _ in range(together):
                await loud.send(frame)
            assert await answer_count(loud, for_s=0.5) < together
            assert (await ask(other, heartbeat(2)))[:2] == [3, "2"]

    in_hall(scene, run_loop=run_loop, boot_patience_s=1_000)


def test_who_does_not_read_the_answers_is_not_read(
    monkeypatch: pytest.MonkeyPatch, run_loop: RunLoop
) -> None:
    monkeypatch.setattr(connection_module, "MAX_FRAMES_A_S", 1e9)
    count = 5_000

    async def scene(hall: Hall) -> None:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", hall.port))
        async with hall.connect("CP-01", sock=small) as deaf, hall.connect("CP-02") as other:
            await wait_until(lambda: len(hall.server.connected_stations()) == 2)
            side = server_side(hall)
            side.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096
            )

            async def say_all() -> None:
                for number in range(count):
                    await deaf.send(heartbeat(number))

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(say_all())
                await wait_until(lambda: side._held)
                assert side.transport.get_write_buffer_size() < 100_000
                assert (await ask(other, heartbeat(1)))[:2] == [3, "1"]
                for number in range(count):
                    assert json.loads(await deaf.recv())[1] == str(number)

    in_hall(scene, run_loop=run_loop, boot_patience_s=1_000)


@pytest.mark.parametrize("version", [OcppVersion.V16, OcppVersion.V201])
def test_a_frame_of_any_length_arrives_whole(version: OcppVersion, run_loop: RunLoop) -> None:
    """Plain or, in 2.0.1, compressed: the library at the other end reads what was sent."""

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=version) as station:
            await wait_until(hall.server.connected_stations)
            for length in (0, 1, 125, 126, 65_535, 65_536, 300_000):
                assert server_side(hall).transmit(b"x" * length)
                async with asyncio.timeout(PATIENCE_S):
                    assert await station.recv() == "x" * length

    in_hall(scene, run_loop=run_loop, boot_patience_s=1_000)


def test_headers_are_let_go_with_the_credentials_in_them(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", key=b"key") as station:
            assert (await ask(station, heartbeat(1)))[0] == 3
            request = server_side(hall).request
            assert request is not None
            assert len(request.headers) == 0

    in_hall(scene, run_loop=run_loop, credentials={"CP-01": b"key"})


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "dropped"])
def test_a_connection_that_ended_leaves_nothing_in_a_cycle(
    is_closed: bool,
    run_loop: RunLoop,
) -> None:
    async def scene(hall: Hall) -> None:
        gc.disable()
        try:
            async with hall.connect("CP-01") as station:
                assert (await ask(station, heartbeat(1)))[0] == 3
                connection = weakref.ref(server_side(hall))
                if not is_closed:
                    station.transport.abort()
            await wait_until(lambda: not hall.server.connected_stations())
            await wait_until(lambda: connection() is None)
        finally:
            gc.enable()

    in_hall(scene, run_loop=run_loop)
