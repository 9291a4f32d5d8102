"""What every `ContactDriver` and `OutputDriver` keeps to: on a Modbus module, and scripted."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from drivers.modbus.contact import ModbusContact
from drivers.modbus.endpoint import TcpEndpoint
from drivers.modbus.output import WRITE_COIL, ModbusOutput
from gateway.domain.errors import ContactFaultError, OutputFaultError
from gateway.ports import ContactDriver, OutputDriver
from tests.support.modbus_peers import Act, Say, TcpPeer, running_bus
from tests.support.scripted_contacts import ScriptedContact, ScriptedOutput
from tests.support.virtual_time import run_virtual


@dataclass(slots=True, kw_only=True)
class Cabinet:
    """A contact and an output, whether they are closed, and whether their module answers."""

    contact: ContactDriver = field(init=False)
    output: OutputDriver = field(init=False)
    is_contact_closed: bool = False
    is_mute: bool = False


Test = Callable[[Cabinet], Awaitable[None]]
RunWith = Callable[[Test], None]
CONTACT, OUTPUT = 5, 6


def over_modbus(test: Test) -> None:
    cabinet, is_output_closed = Cabinet(), True

    def script(question: bytes) -> Sequence[Act]:
        nonlocal is_output_closed
        function_code, address = question[7], question[9]
        if cabinet.is_mute:
            return []
        if function_code == WRITE_COIL:
            is_output_closed = question[10] == 0xFF
            return [Say(frame=question)]
        is_set = cabinet.is_contact_closed if address == CONTACT else is_output_closed
        return [Say(frame=question[:4] + bytes((0, 4, question[6], function_code, 1, is_set)))]

    async def main() -> None:
        async with (
            TcpPeer(script) as peer,
            running_bus(TcpEndpoint(host="127.0.0.1", port=peer.port)) as bus,
        ):
            cabinet.contact = ModbusContact(
                "stop input", bus, unit=7, kind="discrete_input", address=CONTACT
            )
            cabinet.output = ModbusOutput(
                "output", bus, unit=7, address=OUTPUT, bit=None, turn=asyncio.Lock()
            )
            await test(cabinet)

    asyncio.run(main())


def as_scripted(test: Test) -> None:
    async def main() -> None:
        cabinet = Cabinet()
        cabinet.contact = ScriptedContact(
            lambda _: None if cabinet.is_mute else cabinet.is_contact_closed
        )
        cabinet.output = ScriptedOutput(is_closed=True, answers=lambda _: not cabinet.is_mute)
        await test(cabinet)

    run_virtual(main())


@pytest.fixture(params=[over_modbus, as_scripted])
def run_with(request: pytest.FixtureRequest) -> RunWith:
    runner: RunWith = request.param
    return runner


def test_a_contact_is_read_as_it_is_each_time(run_with: RunWith) -> None:
    async def test(cabinet: Cabinet) -> None:
        for is_closed in (False, True, False):
            cabinet.is_contact_closed = is_closed
            assert await cabinet.contact.is_closed() is is_closed

    run_with(test)


def test_a_silent_contact_is_a_fault_that_names_it_and_neither_open_nor_closed(
    run_with: RunWith,
) -> None:
    async def test(cabinet: Cabinet) -> None:
        cabinet.is_contact_closed = cabinet.is_mute = True
        with pytest.raises(ContactFaultError, match="stop input"):
            await cabinet.contact.is_closed()
        cabinet.is_mute = False
        assert await cabinet.contact.is_closed()

    run_with(test)


def test_an_output_is_as_it_was_told(run_with: RunWith) -> None:
    async def test(cabinet: Cabinet) -> None:
        assert await cabinet.output.is_closed()
        for is_closed in (False, False, True):
            await cabinet.output.switch(is_closed=is_closed)
            assert await cabinet.output.is_closed() is is_closed

    run_with(test)


def test_a_silent_output_is_a_fault_that_names_it_and_confirms_nothing(run_with: RunWith) -> None:
    async def test(cabinet: Cabinet) -> None:
        cabinet.is_mute = True
        with pytest.raises(OutputFaultError, match="output"):
            await cabinet.output.is_closed()
        with pytest.raises(OutputFaultError, match="output"):
            await cabinet.output.switch(is_closed=False)
        cabinet.is_mute = False
        await cabinet.output.switch(is_closed=False)
        assert not await cabinet.output.is_closed()

    run_with(test)
