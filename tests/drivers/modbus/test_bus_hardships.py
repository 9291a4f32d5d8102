"""The bus on lines that stall, are slow, or are chatty before anything was asked."""

# ruff: noqa: SIM117 - a peer, and on it a bus, are two steps

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import ModbusError, NoAnswerError
from drivers.modbus.frames import crc16
from drivers.modbus.question import Answer, BusTiming, ReadRequest
from gateway.adapters.clock import SystemClock
from tests.support.modbus_peers import IMPATIENT, PtyPeer, Say, TcpPeer, running_bus


def ask(address: int = 0, count: int = 2, *spare: int, unit: int = 1) -> ReadRequest:
    windows = tuple(Span(address=address, count=n) for n in (count, *spare))
    return ReadRequest(unit=unit, function_code=4, windows=windows)


def serial(peer: PtyPeer, baud: int = 115_200) -> SerialEndpoint:
    return SerialEndpoint(port=peer.path, baud=baud)


def echo_addresses(question: bytes) -> bytes:
    """Return the serial answer of a device each of whose registers holds its own address."""
    address, count = struct.unpack(">HH", question[2:6])
    body = question[:2] + bytes((2 * count,))
    body += b"".join(struct.pack(">H", address + i) for i in range(count))
    return body + crc16(body)


def as_tcp(question: bytes, frame: bytes) -> bytes:
    """Return a serial frame as the network answer to `question`."""
    return question[:4] + struct.pack(">H", len(frame) - 2) + frame[:-2]


def addresses(answer: Answer) -> list[int]:
    return [word for (word,) in struct.iter_unpack(">H", answer.payload)]


def test_a_slow_line_is_given_the_time_its_characters_take() -> None:
    """100 registers take 1.8 s at 1200 baud: that is no silence of the meter."""

    async def poll() -> Answer:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), after_s=0.5)]) as peer:
            async with running_bus(serial(peer, 1_200)) as bus:
                return await bus.read(ask(0, 100))

    assert addresses(asyncio.run(poll())) == list(range(100))


def test_a_question_that_could_not_be_sent_in_time_is_never_sent() -> None:
    """A stalled adapter would let all of them go at once, and their answers be anybody's."""

    async def poll() -> tuple[list[bytes], list[int]]:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q))]) as peer:
            peer.stall()
            async with running_bus(serial(peer)) as bus:
                for count in (2, 3, 4):
                    with pytest.raises(NoAnswerError):
                        await bus.read(ask(100 * count, count))
                peer.resume()
                await asyncio.sleep(0.05)
                meanwhile = list(peer.asked)
                while True:
                    try:
                        return meanwhile, addresses(await bus.read(ask(500, 5, unit=2)))
                    except ModbusError:
                        await asyncio.sleep(0.02)

    meanwhile, words = asyncio.run(poll())

    assert meanwhile == []
    assert words == list(range(500, 505))


class SleepsAtOnce(SystemClock):
    """A clock whose sleeps take no time; once `until_s` have been slept, something is done."""

    def __init__(self, until_s: float, then: Callable[[], Awaitable[None]]) -> None:
        self._until_s, self._then = until_s, then
        self._slept_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._slept_s

    async def sleep_s(self, delay_s: float) -> None:
        if self._slept_s < self._until_s <= self._slept_s + delay_s:
            await self._then()
        self._slept_s += delay_s


def test_what_is_still_in_the_air_when_a_line_is_opened_answers_nothing() -> None:
    """The process before this one may have asked, in the same shape, and ended."""

    async def poll() -> Answer:
        owed = [echo_addresses(bytes.fromhex("01 04 00 00 00 02"))]

        async def say_what_is_owed() -> None:
            link = bus._link
            assert link is not None
            heard_s = link.active_s
            peer.say(owed.pop())
            while link.active_s == heard_s:  # noqa: ASYNC110 - the link tells nobody
                await asyncio.sleep(0.001)

        def answer(question: bytes) -> list[Say]:
            # A device says what it owes before it answers again.
            return [Say(frame=b"".join((*owed, echo_addresses(question))))]

        async with PtyPeer(answer) as peer, asyncio.TaskGroup() as tasks:
            clock = SleepsAtOnce(2.9, say_what_is_owed)
            bus = Bus("b", serial(peer), clock=clock, timing=BusTiming(timeout_s=10.0))
            serving = tasks.create_task(bus.run(), name="bus")
            heard = await bus.read(ask(100))
            serving.cancel()
            return heard

    assert addresses(asyncio.run(poll())) == [100, 101]


@pytest.mark.parametrize("kind", ["serial", "network"])
def test_a_device_that_needs_a_pause_gets_it_before_every_question(kind: str) -> None:
    async def poll() -> list[float]:
        loop, heard_s, said_s = asyncio.get_running_loop(), list[float](), list[float]()

        def answer(question: bytes) -> list[Say]:
            heard_s.append(loop.time())
            is_serial = kind == "serial"
            frame = echo_addresses(question if is_serial else question[6:])
            said_s.append(loop.time())
            return [Say(frame=frame if is_serial else as_tcp(question, frame))]

        timing = replace(IMPATIENT, timeout_s=10.0, min_gap_s=0.03)
        async with PtyPeer(answer) as on_pty, TcpPeer(answer) as on_tcp:
            endpoint: Endpoint = TcpEndpoint(host="127.0.0.1", port=on_tcp.port)
            if kind == "serial":
                endpoint = serial(on_pty)
            async with running_bus(endpoint, timing) as bus:
                for address in range(4):
                    await bus.read(ask(address, 2, 3))
        return [later - before for before, later in zip(said_s, heard_s[1:], strict=False)]

    assert min(asyncio.run(poll())) >= 0.03


def test_without_a_pause_asked_for_the_silence_is_that_of_the_standard() -> None:
    """Modbus over Serial Line V1.02, 2.5.1.1: 3.5 characters, above 19,200 baud 1.75 ms."""

    async def poll() -> list[float]:
        loop, heard_s, said_s = asyncio.get_running_loop(), list[float](), list[float]()

        def answer(question: bytes) -> list[Say]:
            heard_s.append(loop.time())
            said_s.append(loop.time())
            return [Say(frame=echo_addresses(question))]

        async with PtyPeer(answer) as peer:
            async with running_bus(serial(peer), replace(IMPATIENT, timeout_s=10.0)) as bus:
                for address in range(20):
                    await bus.read(ask(address, 2, 3))
        return [later - before for before, later in zip(said_s, heard_s[1:], strict=False)]

    assert min(asyncio.run(poll())) >= 0.001_75
