"""Frames no station should send: each gets its answer, and nobody else notices."""

import asyncio
import contextlib
import json
import logging
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from drivers.ocpp import connection as connection_module
from drivers.ocpp.connection import MAX_PARTS
from drivers.ocpp.session import MAX_BAD_FRAMES_A_MINUTE
from drivers.ocpp.versions import SUPPORTED
from gateway.domain.charging import OcppVersion
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import (
    PATIENCE_S,
    Hall,
    ask,
    frame_of,
    in_hall,
    read_close,
    wait_until,
)

HEARTBEAT = [2, "alive", "Heartbeat", {}]

DEEP = b"[" * 100_000 + b"]" * 100_000
LESS_DEEP = b"[" * 1_000 + b"]" * 1_000  # The parser takes it; recursion over it must not end us.

# What came, the code of 1.6 and of 2.0.1 (None: no answer), and the id it is answered under.
CALLS = {
    "not JSON": (b"hello", None, "RpcFrameworkError", "-1"),
    "cut off": (b'[2,"id","Heart', "FormationViolation", "RpcFrameworkError", "id"),
    "empty": (b"", None, "RpcFrameworkError", "-1"),
    "an object": (b"{}", None, "RpcFrameworkError", "-1"),
    "an empty array": (b"[]", None, "RpcFrameworkError", "-1"),
    "a number": (b"2", None, "RpcFrameworkError", "-1"),
    "a text for a type": (b'["2","id","Heartbeat",{}]', "FormationViolation", "RpcFrameworkError", "id"),
    "true for a type": (b'[true,"id","Heartbeat",{}]', "FormationViolation", "RpcFrameworkError", "id"),
    "an unknown type": (b'[7,"id","Heartbeat",{}]', None, "MessageTypeNotSupported", "id"),
    "a type beyond 64 bits": (b"[" + b"9" * 5_000 + b',"id","Heartbeat",{}]', None, "RpcFrameworkError", "-1"),
    "too few elements": (b'[2,"id","Heartbeat"]', "FormationViolation", "RpcFrameworkError", "id"),
    "too many elements": (b'[2,"id","Heartbeat",{},{}]', "FormationViolation", "RpcFrameworkError", "id"),
    "an action in an array": (b'[2,"a",["x"],{}]', "FormationViolation", "RpcFrameworkError", "a"),
    "an object for an action": (b'[2,"1",{},{}]', "FormationViolation", "RpcFrameworkError", "1"),
    "a number for an id": (b'[2,17,"Heartbeat",{}]', None, "RpcFrameworkError", "-1"),
    "an id too long": (b'[2,"' + b"x" * 37 + b'","Heartbeat",{}]', None, "RpcFrameworkError", "-1"),
    "an empty id": (b'[2,"","Heartbeat",{}]', None, "RpcFrameworkError", "-1"),
    "NaN": (b'[2,"id","DataTransfer",{"vendorId":NaN}]', "FormationViolation", "RpcFrameworkError", "id"),
    "Infinity": (b'[2,"id","DataTransfer",{"vendorId":-Infinity}]', "FormationViolation", "RpcFrameworkError", "id"),
    "not UTF-8": (b'[2,"id","DataTransfer",{"vendorId":"\xff"}]', "FormationViolation", "FormatViolation", "id"),
    "100,000 deep": (b'[2,"id","DataTransfer",{"vendorId":' + DEEP + b"}]", "FormationViolation", "RpcFrameworkError", "id"),
    "all of it 100,000 deep": (DEEP, None, "RpcFrameworkError", "-1"),
    "1,000 deep": (b'[2,"id","DataTransfer",{"vendorId":' + LESS_DEEP + b"}]", "FormationViolation", "FormatViolation", "id"),
    "an action 1,000 deep": (b'[2,"id",' + LESS_DEEP + b",{}]", "FormationViolation", "RpcFrameworkError", "id"),
    "5,000 digits": (b'[2,"id","DataTransfer",{"vendorId":' + b"9" * 5_000 + b"}]", "FormationViolation", "FormatViolation", "id"),
    "a payload in an array": (b'[2,"id","DataTransfer",[]]', "TypeConstraintViolation", "TypeConstraintViolation", "id"),
    "an unknown action": (b'[2,"id","Frobnicate",{}]', "NotImplemented", "NotImplemented", "id"),
    "an action with a zero byte": (b'[2,"id","Heart\\u0000beat",{}]', "NotImplemented", "NotImplemented", "id"),
}  # fmt: skip


# Deep, and of no consequence: the field is unknown and dropped.
HARMLESS = {
    "an unknown field 1,000 deep": b'[2,"id","Heartbeat",{"x":' + LESS_DEEP + b"}]",
    "an unknown field of 5,000 digits": b'[2,"id","Heartbeat",{"x":' + b"9" * 5_000 + b"}]",
    "an unknown field of a known part 1,000 deep": (
        b'[2,"id","StopTransaction",{"transactionId":1,"meterStop":1,'
        b'"timestamp":"2026-01-01T00:00:00Z","x":{"y":' + LESS_DEEP + b"}}]"
    ),
}


async def is_alive(connection: ClientConnection) -> bool:
    answer = await ask(connection, HEARTBEAT)
    return bool(answer[:2] == [3, "alive"])


async def answer_to(connection: ClientConnection, frame: bytes) -> Any:
    """Return the answer to a frame, None if there is none before that to a heartbeat."""
    await connection.send(frame, text=True)
    answer = await ask(connection, HEARTBEAT)
    if answer[1] == "alive":
        return None
    assert json.loads(await connection.recv())[1] == "alive"
    return answer


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("version", SUPPORTED)
def test_a_malformed_frame_gets_the_answer_of_its_version(
    name: str, version: OcppVersion, caplog: pytest.LogCaptureFixture
) -> None:
    frame, of_16, of_201, answered_id = CALLS[name]
    code = of_16 if version is OcppVersion.V16 else of_201

    async def scene(hall: Hall) -> None:
        async with (
            hall.connect("CP-01", version=version) as bad,
            hall.connect("CP-02", version=version) as good,
        ):
            answer = await answer_to(bad, frame)

            assert (answer and answer[:3]) == (code and [4, answered_id, code])
            assert await is_alive(good)
            assert await is_alive(bad)

    with caplog.at_level(logging.WARNING):
        in_hall(scene)

    assert not [r for r in caplog.records if r.exc_info], "a fault of ours"
    assert max(len(record.getMessage()) for record in caplog.records) < 2_000


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_deep_and_of_no_consequence_is_answered(name: str) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            answer = await answer_to(station, HARMLESS[name])
            assert answer[:2] == [3, "id"]

    in_hall(scene)


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize(
    "frame",
    [
        b'[3,"id"]',
        b'[3,"id",[]]',
        b"[3,5,{}]",
        b"[4]",
        b'[4,"id"]',
        b'[3,"nobody asked",{}]',
        b'[4,"nobody asked","GenericError","",{}]',
        b'[3,"id",' + LESS_DEEP + b"]",
    ],
)
def test_an_answer_to_nothing_is_not_answered(version: OcppVersion, frame: bytes) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", version=version) as station:
            assert await answer_to(station, frame) is None

    in_hall(scene)


def test_a_binary_frame_is_read_as_what_it_says() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await station.send(json.dumps(HEARTBEAT).encode())
            assert json.loads(await station.recv())[:2] == [3, "alive"]
            await station.send(b"\x00\x01\x02")
            assert await is_alive(station)

    in_hall(scene)


FLOODS = {
    "pings": frame_of(9) * 5_000,
    "pongs": frame_of(10) * 5_000,
    "parts of a message": frame_of(0, bits=0) * 5_000,
    "messages": frame_of(1, b'[2,"1","Heartbeat",{}]') * 2_000,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_flood_on_one_connection_keeps_no_other_waiting(
    flood: str, run_loop: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """What one station can have done in a second is bounded, whatever it sends."""
    chunk = FLOODS[flood]

    async def scene(hall: Hall) -> None:
        async with (
            hall.connect_raw("CP-01") as (reader, writer),
            hall.connect("CP-02") as good,
            asyncio.TaskGroup() as tasks,
        ):
            sent_bytes = 0

            async def pour() -> None:
                nonlocal sent_bytes
                if flood == "parts of a message":
                    writer.write(frame_of(1, bits=0))
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(chunk)
                        await writer.drain()
                        sent_bytes += len(chunk)
                        await asyncio.sleep(0)

            async def drain() -> None:
                with contextlib.suppress(ConnectionError):
                    while await reader.read(65_536):
                        pass

            running = [tasks.create_task(pour()), tasks.create_task(drain())]
            for _ in range(50):
                assert await is_alive(good)
            # Unread, it is still in the socket's buffers: far less than was there to be read.
            assert sent_bytes < 20_000_000
            for task in running:
                task.cancel()

    in_hall(scene, run_loop=run_loop, boot_patience_s=1_000)


@pytest.mark.parametrize("bits", [0, 0x40])
def test_a_message_in_parts_without_end_ends_its_connection(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty parts add up to no size, and so to no largest size."""
    monkeypatch.setattr(connection_module, "MAX_FRAMES_A_S", 1e9)

    async def scene(hall: Hall) -> None:
        version = OcppVersion.V201 if bits else OcppVersion.V16
        extensions = "permessage-deflate" if bits else ""
        async with (
            hall.connect_raw("CP-01", version=version, extensions=extensions) as (reader, writer),
            hall.connect("CP-02") as good,
        ):
            writer.write(frame_of(1, bits=bits) + frame_of(0, bits=0) * (MAX_PARTS + 10))
            code, reason = await read_close(reader)
            assert (code, reason) == (CloseCode.MESSAGE_TOO_BIG, "a message in too many parts")
            assert await is_alive(good)

    in_hall(scene, boot_patience_s=1_000)


def test_a_few_bytes_that_inflate_to_much_end_their_own_connection() -> None:
    deflating = zlib.compressobj(wbits=-15)
    bomb = deflating.compress(b'"' + b" " * 200_000_000) + deflating.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 1024 * 1024

    async def scene(hall: Hall) -> None:
        async with (
            hall.connect_raw(
                "CP-01", version=OcppVersion.V201, extensions="permessage-deflate"
            ) as (reader, writer),
            hall.connect("CP-02") as good,
        ):
            writer.write(frame_of(1, bomb[:-4], bits=0xC0))
            assert (await read_close(reader))[0] == CloseCode.MESSAGE_TOO_BIG
            assert await is_alive(good)

    in_hall(scene, boot_patience_s=1_000)


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_frame_too_large_ends_its_own_connection_only_and_is_told(
    version: OcppVersion, caplog: pytest.LogCaptureFixture
) -> None:
    max_bytes = {OcppVersion.V16: 256 * 1024, OcppVersion.V201: 1024 * 1024}[version]

    def padded(length: int) -> bytes:
        frame = b'[2,"big","DataTransfer",{"vendorId":"x","data":"%s"}]'
        return frame % (b"a" * (length - len(frame) + 2))

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-03", version=version) as large:
            await large.send(padded(max_bytes), text=True)
            assert json.loads(await large.recv())[1] == "big"
        async with (
            hall.connect_raw("CP-01", version=version) as (reader, writer),
            hall.connect("CP-02", version=version) as good,
        ):
            writer.write(frame_of(1, padded(5_000_000)))
            assert (await read_close(reader))[0] == CloseCode.MESSAGE_TOO_BIG
            assert await is_alive(good)
        await wait_until(lambda: hall.server.connected_stations() == frozenset())

    in_hall(scene)
    (told,) = [r.getMessage() for r in caplog.records if "connection ended" in r.getMessage()]
    assert told.startswith("CP-01: connection ended: frame ")
    assert told.endswith(f"exceeds limit of {max_bytes} bytes")


def test_a_frame_of_which_every_part_is_wrong_keeps_nobody_waiting() -> None:
    """To list all that is wrong takes minutes: only the first is told."""
    events: list[object] = [{}] * 250_000
    frame = [2, "id", "NotifyEvent", {"generatedAt": "x", "seqNo": 0, "eventData": events}]

    async def scene(hall: Hall) -> None:
        async with (
            hall.connect("CP-01", version=OcppVersion.V201) as bad,
            hall.connect("CP-02") as good,
        ):
            assert await is_alive(good)
            answer = await ask(bad, frame)
            assert answer[2:4] == [
                "OccurrenceConstraintViolation",
                'eventData/0: "eventId" is a required property',
            ]
            assert await is_alive(good)

    in_hall(scene, boot_patience_s=1_000)


@pytest.mark.parametrize("name", ["CP-01", "stranger"])
def test_bytes_that_are_no_websocket_end_their_own_connection_only_and_are_told(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect(name) as bad, hall.connect("CP-02") as good:
            bad.transport.write(b"\xff" * 100)
            await bad.wait_closed()
            assert await is_alive(good)

    in_hall(scene)
    assert f"{name}: connection ended: " in caplog.text


async def flood(connection: ClientConnection, frame: bytes) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await connection.send(frame, text=True)
            await asyncio.sleep(0)


@pytest.mark.parametrize("frame", [b"nonsense", b'[3,"unsolicited",{}]'])
def test_who_sends_nothing_but_bad_frames_loses_the_connection(frame: bytes) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as bad, hall.connect("CP-02") as good:
            with pytest.raises(ConnectionClosed) as caught:
                await flood(bad, frame)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == CloseCode.POLICY_VIOLATION
            assert await is_alive(good)
        assert hall.server.counters["abusive"] == 1

    in_hall(scene)


@pytest.mark.parametrize("name", ["CP-01", "stranger"])
def test_who_comes_back_with_bad_frames_fills_no_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(hall: Hall) -> None:
        for _ in range(4):
            async with hall.connect(name) as bad:
                with pytest.raises(ConnectionClosed):
                    await flood(bad, b"nonsense")
        assert hall.server.counters["abusive"] == 4

    in_hall(scene)
    assert sum("nonsense" in line for line in caplog.messages) in range(1, 11)


def test_some_bad_frames_are_forgiven() -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            for _ in range(MAX_BAD_FRAMES_A_MINUTE):
                await station.send("nonsense")
            assert await is_alive(station)

    in_hall(scene)


def test_a_call_sent_twice_under_one_id_is_answered_once_and_repeated() -> None:
    start = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"}

    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            first = await ask(station, [2, "7", "StartTransaction", start])
            again = await ask(station, [2, "7", "StartTransaction", start])
            # The same id on something else is something else: some stations count to one.
            other = await ask(station, [2, "7", "StartTransaction", {**start, "idTag": "U"}])

        assert again == first
        assert other[2]["transactionId"] != first[2]["transactionId"]
        assert hall.server.counters["duplicate"] == 1

    in_hall(scene)


def test_a_fault_of_ours_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01") as station:
            await wait_until(hall.server.connected_stations)
            hall.server.station(StationId("CP-01"))._station.clock = None  # type: ignore[attr-defined]

            answer = await ask(station, HEARTBEAT)
            assert answer[:3] == [4, "alive", "InternalError"]

    in_hall(scene)
    assert "cannot answer" in caplog.text
