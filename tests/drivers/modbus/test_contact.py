"""Contacts read through libmodbus, and what becomes of one on a line that fails."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from drivers.modbus.blocks import Span
from drivers.modbus.contact import ModbusContact
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.frames import crc16
from drivers.modbus.question import BusTiming, Priority, ReadRequest
from gateway.domain.errors import ContactFaultError
from gateway.ports import ContactDriver
from tests.support.modbus_peers import IMPATIENT, Act, PtyPeer, Say, running_bus

PATIENT = BusTiming(timeout_s=10.0)
IMAGE = """
1 5 1 0
2 5 0 1 0 0 0 0 0 1 1
3 40 0000 8001
4 40 FFFE 0010
"""

Serve = Callable[..., str]


def endpoint(transport: str, where: str) -> Endpoint:
    if transport == "tcp":
        return TcpEndpoint(host="127.0.0.1", port=int(where))
    return SerialEndpoint(port=where, baud=115_200)


def is_closed(where: Endpoint, kind: str, address: int, bit: int) -> bool:
    async def look() -> bool:
        async with running_bus(where, PATIENT) as bus:
            contact: ContactDriver = ModbusContact(
                "alarm", bus, unit=7, kind=kind, address=address, bit=bit
            )
            return await contact.is_closed()

    return asyncio.run(look())


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize(
    ("place", "closed"),
    [
        (("coil", 5, 0), True),
        (("coil", 6, 0), False),
        (("discrete_input", 5, 0), False),
        (("discrete_input", 6, 0), True),
        (("discrete_input", 12, 0), True),
        (("holding_register", 40, 0), False),
        (("holding_register", 41, 0), True),
        (("holding_register", 41, 1), False),
        (("holding_register", 41, 15), True),
        (("input_register", 40, 0), False),
        (("input_register", 40, 1), True),
        (("input_register", 41, 4), True),
    ],
)
def test_a_contact_is_what_its_module_says(
    transport: str, place: tuple[str, int, int], closed: bool, serve: Serve
) -> None:
    where = endpoint(transport, serve(transport, 7, image=IMAGE))

    assert is_closed(where, *place) is closed


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ("", "no answer"),
        ("07 02 02 00 01 ed f8", "does not answer"),  # Two bytes of bits.
        ("07 01 01 01 91 f0", "does not answer"),  # Coils.
        ("07 82 02 61 61", "illegal data address"),
    ],
)
def test_what_does_not_answer_is_no_contact_at_rest(frame: str, why: str) -> None:
    heard = bytes.fromhex(frame)
    if heard:
        heard = heard[:-2] + crc16(heard[:-2])

    async def look() -> None:
        async with PtyPeer(lambda _: [Say(frame=heard)]) as peer:
            where = SerialEndpoint(port=peer.path, baud=115_200)
            async with running_bus(where, IMPATIENT) as bus:
                contact = ModbusContact("alarm", bus, unit=7, kind="discrete_input", address=5)
                with pytest.raises(ContactFaultError, match=f"alarm: unit 7, bits 5-5: .*{why}"):
                    await contact.is_closed()

    asyncio.run(look())


def test_the_stop_contact_is_asked_before_any_meter() -> None:
    def answer(question: bytes) -> Sequence[Act]:
        count = 1 if question[1] == 2 else 2 * question[5]
        body = question[:2] + bytes((count,)) + bytes(count)
        return [Say(frame=body + crc16(body), after_s=0.005)]

    async def look() -> list[int]:
        async with PtyPeer(answer) as peer:
            where = SerialEndpoint(port=peer.path, baud=115_200)
            async with running_bus(where, PATIENT) as bus:
                contact = ModbusContact("alarm", bus, unit=7, kind="discrete_input", address=5)
                async with asyncio.TaskGroup() as tasks:
                    for unit in range(1, 6):
                        request = ReadRequest(
                            unit=unit,
                            function_code=4,
                            windows=(Span(address=0, count=2),),
                            priority=Priority.GUARD,
                        )
                        tasks.create_task(bus.read(request))
                    await asyncio.sleep(0)
                    tasks.create_task(contact.is_closed())
                return [question[0] for question in peer.asked]

    # Whoever is on the line when it comes has to be let finish.
    assert 7 in asyncio.run(look())[:2]


def test_a_contact_that_was_mute_is_asked_again_each_few_seconds() -> None:
    """27 s, as a dead meter on a shared line, would be too long for what stops a fire."""

    async def look() -> tuple[str, str]:
        async with PtyPeer(lambda _: []) as peer:
            where = SerialEndpoint(port=peer.path, baud=115_200)
            timing = BusTiming(timeout_s=0.5, answer_life_s=0.0)
            async with running_bus(where, timing) as bus:
                contact = ModbusContact("alarm", bus, unit=7, kind="discrete_input", address=5)
                for _ in range(3):
                    with pytest.raises(ContactFaultError):
                        await contact.is_closed()
                with pytest.raises(ContactFaultError) as dead:
                    await contact.is_closed()
                return str(dead.value).split("asked again in ")[0], str(dead.value)[-5:]

    said, in_s = asyncio.run(look())

    assert said.endswith("mute 3 times, ")
    assert float(in_s.removesuffix(" s")) <= 3.0
