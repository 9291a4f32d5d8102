"""Outputs set through libmodbus, and what becomes of one whose module refuses, is late or lies."""

import asyncio
import struct
from collections.abc import Callable, Sequence

import pytest

from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.frames import crc16
from drivers.modbus.output import ModbusOutput
from drivers.modbus.question import BusTiming
from gateway.domain.errors import OutputFaultError
from gateway.ports import OutputDriver
from tests.support.modbus_peers import (
    IMPATIENT,
    Act,
    HangUp,
    PtyPeer,
    Say,
    Script,
    TcpPeer,
    running_bus,
)

PATIENT = BusTiming(timeout_s=10.0)
IMAGE = """
1 5 0 1 0
3 40 8001 00F0
"""

Serve = Callable[..., str]


def endpoint(transport: str, where: str) -> Endpoint:
    if transport == "tcp":
        return TcpEndpoint(host="127.0.0.1", port=int(where))
    return SerialEndpoint(port=where, baud=115_200)


def output_of(bus: object, address: int, bit: int | None) -> OutputDriver:
    return ModbusOutput("trip", bus, unit=7, address=address, bit=bit, turn=asyncio.Lock())  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize(
    ("address", "bit", "before"),
    [(5, None, False), (6, None, True), (40, 0, True), (40, 3, False), (41, 7, True)],
)
def test_an_output_is_set_and_reads_so_and_its_neighbours_stay(
    transport: str, address: int, bit: int | None, before: bool, serve: Serve
) -> None:
    where = endpoint(transport, serve(transport, 7, image=IMAGE))
    places = [(5, None), (6, None), (7, None), (40, 0), (40, 3), (40, 15), (41, 4), (41, 7)]

    async def test() -> None:
        async with running_bus(where, PATIENT) as bus:
            others = [output_of(bus, *place) for place in places if place != (address, bit)]
            stood = [await other.is_closed() for other in others]
            output = output_of(bus, address, bit)
            assert await output.is_closed() is before
            for is_closed in (not before, not before, before):
                await output.switch(is_closed=is_closed)
                assert await output.is_closed() is is_closed
            assert [await other.is_closed() for other in others] == stood

    asyncio.run(test())


def test_two_bits_of_one_register_set_at_once_are_both_set(serve: Serve) -> None:
    where = endpoint("tcp", serve("tcp", 7, image=IMAGE))

    async def test() -> None:
        async with running_bus(where, PATIENT) as bus:
            turn = asyncio.Lock()
            outputs = [
                ModbusOutput("trip", bus, unit=7, address=40, bit=bit, turn=turn)
                for bit in range(1, 9)
            ]
            await asyncio.gather(*(output.switch(is_closed=True) for output in outputs))
            assert all([await output.is_closed() for output in outputs])

    asyncio.run(test())


class Module:
    """A module with one coil, 5 of unit 7; `echo` makes of a write what it says to it."""

    def __init__(self, echo: Callable[[bytes], Sequence[bytes]], *, obeys: bool = True) -> None:
        self.is_set = False
        self._echo, self._obeys = echo, obeys

    def tell(self, pdu: bytes) -> Sequence[bytes]:
        if pdu[0] == 5:
            if self._obeys:
                self.is_set = pdu[3] == 0xFF
            return self._echo(pdu)
        assert pdu == bytes.fromhex("01 0005 0001")
        return [bytes((1, 1, self.is_set))]

    def on_tcp(self, question: bytes) -> Sequence[Act]:
        def framed(pdu: bytes) -> bytes:
            return question[:4] + struct.pack(">HB", len(pdu) + 1, 7) + pdu

        return [Say(frame=framed(pdu)) for pdu in self.tell(question[7:])]

    def on_line(self, question: bytes) -> Sequence[Act]:
        said = [b"\x07" + pdu for pdu in self.tell(question[1:-2])]
        return [Say(frame=frame + crc16(frame), after_s=0.002) for frame in said]


def switched(script: Script, *, on_line: bool, timing: BusTiming = IMPATIENT) -> str:
    """Return what came of closing coil 5: nothing, or what went wrong."""

    async def test() -> str:
        async with PtyPeer(script) if on_line else TcpPeer(script) as peer:
            where = (
                SerialEndpoint(port=peer.path, baud=115_200)
                if isinstance(peer, PtyPeer)
                else TcpEndpoint(host="127.0.0.1", port=peer.port)
            )
            async with running_bus(where, timing) as bus:
                try:
                    await output_of(bus, 5, None).switch(is_closed=True)
                except OutputFaultError as fault:
                    return fault.detail
                return ""

    return asyncio.run(test())


@pytest.mark.parametrize("on_line", [False, True])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"\x85\x02", "refused with exception 2 (illegal data address)"),
        (b"\x85\x06", "refused with exception 6 (server device busy)"),
        (b"\x05\x00\x05\x00\x00", ""),  # The other value.
        (b"\x05\x00\x06\xff\x00", ""),  # Another coil.
        (b"\x06\x00\x05\xff\x00", ""),  # Another function.
        (b"\x05\x00\x05\xff", ""),  # Cut short.
    ],
)
def test_a_module_that_does_not_repeat_what_it_was_told_has_not_been_heard(
    answer: bytes, why: str, on_line: bool
) -> None:
    module = Module(lambda _: [answer])

    said = switched(module.on_line if on_line else module.on_tcp, on_line=on_line)

    assert "unit 7, coil 5 to be set" in said
    assert why in said


@pytest.mark.parametrize("on_line", [False, True])
def test_a_module_that_says_yes_and_does_nothing_is_found_out(on_line: bool) -> None:
    module = Module(lambda pdu: [pdu], obeys=False)

    said = switched(module.on_line if on_line else module.on_tcp, on_line=on_line)

    assert said == "it was set to 1 and reads 0"


@pytest.mark.parametrize("on_line", [False, True])
def test_a_module_that_says_nothing_is_no_module_that_did_it(on_line: bool) -> None:
    module = Module(lambda _: [])

    said = switched(module.on_line if on_line else module.on_tcp, on_line=on_line)

    assert "no answer within" in said


def test_an_adapter_that_repeats_what_it_sends_confirms_nothing() -> None:
    """The echo of the wire is, bit by bit, the answer to a write: only reading back tells."""
    deaf = Module(lambda _: [], obeys=False)
    obedient = Module(lambda pdu: [pdu])

    def wired_to(module: Module) -> Script:
        return lambda question: [Say(frame=question), *module.on_line(question)]

    patient = BusTiming(timeout_s=1.0, drain_s=0.05)
    assert switched(wired_to(deaf), on_line=True, timing=patient) == "it was set to 1 and reads 0"
    assert switched(wired_to(obedient), on_line=True, timing=patient) == ""


@pytest.mark.parametrize("on_line", [False, True])
def test_a_late_echo_of_the_order_before_is_no_answer_to_this_one(on_line: bool) -> None:
    """Told to close, answered too late; told to open, the old echo arrives at once."""
    module = Module(lambda pdu: [pdu])
    late: list[Act] = []

    def script(question: bytes) -> Sequence[Act]:
        acts = list(module.on_line(question) if on_line else module.on_tcp(question))
        pdu = question[1:-2] if on_line else question[7:]
        if pdu == bytes.fromhex("05 0005 FF00"):
            late.extend(acts)
            return []
        if pdu == bytes.fromhex("05 0005 0000"):
            return late
        return acts

    async def test() -> str:
        async with PtyPeer(script) if on_line else TcpPeer(script) as peer:
            where = (
                SerialEndpoint(port=peer.path, baud=115_200)
                if isinstance(peer, PtyPeer)
                else TcpEndpoint(host="127.0.0.1", port=peer.port)
            )
            async with running_bus(where) as bus:
                output = output_of(bus, 5, None)
                with pytest.raises(OutputFaultError):
                    await output.switch(is_closed=True)
                with pytest.raises(OutputFaultError) as caught:
                    await output.switch(is_closed=False)
                return caught.value.detail

    assert "coil 5 to be set" in asyncio.run(test())


def test_a_connection_lost_after_the_order_confirms_nothing() -> None:
    module = Module(lambda pdu: [pdu])

    def script(question: bytes) -> Sequence[Act]:
        return [HangUp()] if question[7] == 5 else module.on_tcp(question)

    assert "the connection was lost" in switched(script, on_line=False)
