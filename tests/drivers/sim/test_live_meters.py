"""The plant's meters as somebody else's Modbus client finds them, on both kinds of line."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusIOException

from drivers.sim.demonstration import demonstrate
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.live_meters import ServedMeter, serving_rtu, serving_tcp
from drivers.sim.pace import Pace
from drivers.sim.register_map import RegisterMap, UnservableMeterError
from drivers.sim.sites import CARPARK, one_circuit
from drivers.sim.world import World
from gateway.domain.circuits import Site
from gateway.domain.electric import Phase

PROFILES = {"tcp": "schneider_iem3000", "rtu": "eastron_sdm630_v2"}
UNIT = 7


def site(transport: str) -> Site:
    whole = one_circuit()
    (meter,) = whole.meters
    profile = PROFILES[transport]
    return replace(whole, meters=(replace(meter, unit=UNIT, profile=profile),))


@asynccontextmanager
async def meter_on(transport: str, world: World) -> AsyncIterator[ModbusBaseClient]:
    """Serve the one meter of a world; yield a client connected to it."""
    pace = Pace(world)
    (meter,) = world.meters.values()
    served = [ServedMeter(meter, pace)]
    pace.warm_up()
    async with AsyncExitStack() as stack:
        client: ModbusBaseClient
        if transport == "tcp":
            port = await stack.enter_async_context(serving_tcp(served, Random(1)))
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0)
        else:
            path = await stack.enter_async_context(serving_rtu(served, Random(1)))
            client = AsyncModbusSerialClient(path, baudrate=19_200, timeout=1, retries=0)
        await client.connect()
        stack.callback(client.close)
        yield client


def world_of(transport: str) -> World:
    return World(
        demonstrate(site(transport), seed=1, duration_s=60.0),
        on_word=lambda _station, _event: None,
        on_gateway_fault=lambda _fault, _begins: None,
    )


async def read(client: ModbusBaseClient, transport: str, first: int, count: int) -> list[int]:
    ask = client.read_holding_registers if transport == "tcp" else client.read_input_registers
    answer = await ask(first, count=count, device_id=UNIT)
    assert not answer.isError(), answer
    return list(answer.registers)


def floats(words: list[int]) -> tuple[float, ...]:
    return struct.unpack(f">{len(words) // 2}f", struct.pack(f">{len(words)}H", *words))


CURRENTS = {"tcp": 2999, "rtu": 6}


@pytest.mark.parametrize("transport", PROFILES)
def test_a_meter_tells_the_currents_that_flow(transport: str) -> None:
    async def test() -> None:
        world = world_of(transport)
        async with meter_on(transport, world) as client:
            said_a = floats(await read(client, transport, CURRENTS[transport], 6))

        assert said_a == pytest.approx(world.wires[CARPARK].current_a, abs=1.0)
        assert min(said_a) > 5.0

    asyncio.run(test())


@pytest.mark.parametrize("transport", PROFILES)
def test_a_lost_meter_is_mute_and_one_without_values_says_so(transport: str) -> None:
    async def test() -> None:
        world = world_of(transport)
        (meter,) = world.meters.values()
        async with meter_on(transport, world) as client:
            nan = Fault(kind=FaultKind.METER_NAN, at_s=0.0, until_s=1.0)
            meter.faults.append(nan)
            world.agenda.run(world.agenda.now_s + 1.0)
            said_a = floats(await read(client, transport, CURRENTS[transport], 6))
            assert all(math.isnan(amps) for amps in said_a)
            meter.faults.append(Fault(kind=FaultKind.METER_LOST, at_s=0.0, until_s=1.0))
            with pytest.raises((AssertionError, ModbusIOException)):
                await read(client, transport, CURRENTS[transport], 6)
            meter.faults.clear()
            world.agenda.run(world.agenda.now_s + 1.0)
            said_a = floats(await read(client, transport, CURRENTS[transport], 6))
            assert min(said_a) > 5.0

    asyncio.run(test())


def test_a_frozen_meter_repeats_itself_to_the_last_bit() -> None:
    async def test() -> None:
        world = world_of("tcp")
        (meter,) = world.meters.values()
        async with meter_on("tcp", world) as client:
            meter.faults.append(Fault(kind=FaultKind.METER_FROZEN, at_s=0.0, until_s=1.0))
            before = await read(client, "tcp", 2999, 6)
            world.agenda.run(world.agenda.now_s + 5.0)
            assert await read(client, "tcp", 2999, 6) == before
            meter.faults.clear()
            world.agenda.run(world.agenda.now_s + 5.0)
            assert await read(client, "tcp", 2999, 6) != before

    asyncio.run(test())


def test_a_meter_clamped_on_other_phases_and_a_ratio_shows_what_it_sees() -> None:
    world = world_of("tcp")
    (meter,) = world.meters.values()
    meter.declared = replace(
        meter.declared, phases=(Phase.L3, Phase.L1, Phase.L2), ct_ratio=10.0, invert=True
    )
    served = ServedMeter(meter, Pace(world))
    world.wires[CARPARK].set_base([10.0, 20.0, 30.0], world.agenda.now_s)

    world.agenda.run(2.0)
    pdu = served.answer(struct.pack(">BHH", 3, 2999, 6))
    powers = served.answer(struct.pack(">BHH", 3, 3053, 2))

    assert pdu is not None
    assert powers is not None
    l1_a, l2_a, l3_a = struct.unpack(">3f", pdu[2:])
    assert l1_a == pytest.approx(world.wires[CARPARK].current_a[2] / 10.0, rel=0.2)
    assert l2_a < l3_a + 5.0
    assert struct.unpack(">f", powers[2:])[0] < 0.0  # The other way round it exports.


EXCEPTIONS: dict[str, tuple[Callable[[], bytes], int]] = {
    "another function": (lambda: struct.pack(">BHH", 4, 2999, 6), 1),
    "another address": (lambda: struct.pack(">BHH", 3, 100, 2), 2),
    "beyond a stretch": (lambda: struct.pack(">BHH", 3, 3059, 4), 2),
    "nothing": (lambda: struct.pack(">BHH", 3, 2999, 0), 2),
}


@pytest.mark.parametrize("what", EXCEPTIONS)
def test_what_a_meter_does_not_have_is_an_exception(what: str) -> None:
    make, code = EXCEPTIONS[what]
    pdu = make()

    assert RegisterMap("schneider_iem3000").answer(pdu, {}) == bytes([pdu[0] | 0x80, code])


def test_a_meter_the_plant_cannot_be_is_refused() -> None:
    with pytest.raises(UnservableMeterError, match="sunspec_201_204"):
        RegisterMap("sunspec_201_204")
