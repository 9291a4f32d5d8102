"""What the bus relies on in pymodbus, and what it guards against: a new version shows here first."""

# ruff: noqa: SIM117 - a peer, and on it a client, are two steps

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.transport.serialtransport import SerialTransport

from tests.support.modbus_peers import Act, HangUp, PtyPeer, Say, TcpPeer, hexed

ANSWER = hexed("01 04 04 43 66 33 34 1b 38")


@asynccontextmanager
async def serial_client(peer: PtyPeer, **hooks: Any) -> AsyncGenerator[AsyncModbusSerialClient]:
    client = AsyncModbusSerialClient(
        peer.path, framer=FramerType.RTU, retries=0, reconnect_delay=0, timeout=0.05, **hooks
    )
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def tcp_client(peer: TcpPeer, **hooks: Any) -> AsyncGenerator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient(
        "127.0.0.1", port=peer.port, retries=0, reconnect_delay=0, timeout=0.05, **hooks
    )
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def test_the_hooks_see_the_question_and_may_withhold_an_answer() -> None:
    seen: list[tuple[bool, bytes]] = []

    def hook(is_sent: bool, data: bytes) -> bytes:
        seen.append((is_sent, data))
        return data if is_sent else b""

    async def ask() -> None:
        async with PtyPeer(lambda _: [Say(frame=ANSWER)]) as peer:
            async with serial_client(peer, trace_packet=hook) as client:
                with pytest.raises(ModbusIOException):
                    await client.read_input_registers(0, count=2, device_id=1)

    asyncio.run(ask())

    assert seen[0] == (True, hexed("01 04 00 00 00 02 71 cb"))
    assert seen[-1] == (False, ANSWER)


def test_the_receiving_hook_sees_a_growing_buffer() -> None:
    seen: list[bytes] = []

    def hook(is_sent: bool, data: bytes) -> bytes:
        if not is_sent:
            seen.append(data)
        return data

    async def ask() -> Sequence[int]:
        async with PtyPeer(lambda _: [Say(frame=ANSWER, piece=4)]) as peer:
            async with serial_client(peer, trace_packet=hook) as client:
                client.ctx.comm_params.timeout_connect = 10.0
                return (await client.read_input_registers(0, count=2, device_id=1)).registers

    assert asyncio.run(ask()) == [0x4366, 0x3334]
    assert seen[-1] == ANSWER
    assert all(ANSWER.startswith(part) for part in seen)


def test_a_loss_is_told_to_the_hook_and_a_close_of_ours_is_not() -> None:
    async def watch(script: Callable[[bytes], Sequence[Act]]) -> list[bool]:
        told: list[bool] = []
        async with TcpPeer(script) as peer:
            async with tcp_client(peer, trace_connect=told.append) as client:
                with pytest.raises(ModbusException):
                    await client.read_input_registers(0, count=2, device_id=1)
        await asyncio.sleep(0.02)
        return told

    assert asyncio.run(watch(lambda _: [HangUp()])) == [True, False]
    assert asyncio.run(watch(lambda _: [])) == [True]


def test_a_failed_connection_is_false_without_a_word_and_not_tried_again() -> None:
    async def connect() -> tuple[bool, bool]:
        async with TcpPeer(lambda _: []) as peer:
            port = peer.port
        client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, reconnect_delay=0)
        is_open = await client.connect()
        late = TcpPeer(lambda _: [])
        late.port = port
        async with late:
            await asyncio.sleep(0.05)
            return is_open, client.connected

    assert asyncio.run(connect()) == (False, False)


def test_a_disconnected_client_raises_before_it_waits() -> None:
    async def ask() -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=1, retries=0, reconnect_delay=0)
        with pytest.raises(ConnectionException):
            client.read_input_registers(0, count=2, device_id=1)

    asyncio.run(ask())


def test_plainly_used_it_hands_a_late_serial_answer_to_the_next_question() -> None:
    """The reason for `frames` and `unit`; when this fails, pymodbus has learnt to tell them apart."""

    async def ask() -> Sequence[int]:
        def script(question: bytes) -> Sequence[Act]:
            return [Say(frame=ANSWER)] if len(peer.asked) == 2 else []

        async with PtyPeer(script) as peer:
            async with serial_client(peer) as client:
                with pytest.raises(ModbusIOException):
                    await client.read_input_registers(0, count=2, device_id=1)
                # Asked for four other registers, given two of the first question's.
                return (await client.read_input_registers(100, count=4, device_id=1)).registers

    assert asyncio.run(ask()) == [0x4366, 0x3334]


def test_a_cancelled_request_leaves_the_client_usable() -> None:
    async def ask() -> Sequence[int]:
        def script(question: bytes) -> Sequence[Act]:
            return [Say(frame=ANSWER)] if len(peer.asked) > 1 else []

        async with PtyPeer(script) as peer:
            async with serial_client(peer) as client:
                client.ctx.comm_params.timeout_connect = 10.0
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await client.read_input_registers(0, count=2, device_id=1)
                return (await client.read_input_registers(0, count=2, device_id=1)).registers

    assert asyncio.run(ask()) == [0x4366, 0x3334]


def test_the_parts_that_are_not_public_are_where_the_bus_takes_them() -> None:
    names = [
        name for name in inspect.signature(SerialTransport.__init__).parameters if name != "self"
    ]
    assert names == [
        *("loop", "protocol", "url", "baudrate", "bytesize", "parity", "stopbits", "timeout")
    ]

    async def look() -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=1)
        assert callable(client.ctx.call_create)
        assert hasattr(client.ctx, "transport")
        assert inspect.iscoroutinefunction(client.connect)

    asyncio.run(look())
