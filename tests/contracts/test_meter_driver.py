"""What every `MeterDriver` keeps to: a meter on a Modbus line, and the scripted one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from drivers.modbus.endpoint import TcpEndpoint
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.profile import load_profile
from gateway.adapters.clock import SystemClock
from gateway.domain.circuits import Meter
from gateway.domain.errors import MeterFaultError
from gateway.domain.ids import BusId, MeterId
from gateway.ports import Clock, MeterDriver
from tests.support.meter_images import tcp_answer
from tests.support.modbus_peers import Act, Say, TcpPeer, running_bus
from tests.support.scripted_meter import ScriptedMeter
from tests.support.virtual_time import VirtualClock, run_virtual

MAIN = Meter(id=MeterId("main"), bus=BusId("plant"), unit=1, profile="eastron_sdm630_v2")


@dataclass(slots=True, kw_only=True)
class Meters:
    """A driver, the clock it goes by, and whether its meter answers nothing from now on."""

    driver: MeterDriver
    clock: Clock
    is_mute: bool = False


Test = Callable[[Meters], Awaitable[None]]
RunWith = Callable[[Test], None]


def over_modbus(test: Test) -> None:
    async def main() -> None:
        def script(question: bytes) -> Sequence[Act]:
            return [] if meters.is_mute else [Say(frame=tcp_answer(question))]

        async with (
            TcpPeer(script) as peer,
            running_bus(TcpEndpoint(host="127.0.0.1", port=peer.port)) as bus,
        ):
            clock = SystemClock()
            driver = ModbusMeter(MAIN, load_profile(MAIN.profile), bus, clock=clock)
            meters = Meters(driver=driver, clock=clock)
            await test(meters)

    asyncio.run(main())


def as_scripted(test: Test) -> None:
    async def main() -> None:
        scripted = ScriptedMeter(MAIN.id, is_mute=lambda _: meters.is_mute)
        meters = Meters(driver=scripted, clock=VirtualClock())
        await test(meters)

    run_virtual(main())


@pytest.fixture(params=[over_modbus, as_scripted])
def run_with(request: pytest.FixtureRequest) -> RunWith:
    runner: RunWith = request.param
    return runner


def test_a_reading_is_of_its_meter_and_of_while_it_was_asked_for(run_with: RunWith) -> None:
    async def test(meters: Meters) -> None:
        for _ in range(3):
            asked_s = meters.clock.monotonic_s()
            reading = await meters.driver.read()

            assert reading.meter == MAIN.id
            assert asked_s < reading.at_s < meters.clock.monotonic_s()
            assert None not in reading.current_a

    run_with(test)


def test_silence_is_a_fault_that_names_the_meter_and_is_over_with_an_answer(
    run_with: RunWith,
) -> None:
    async def test(meters: Meters) -> None:
        await meters.driver.read()
        meters.is_mute = True
        with pytest.raises(MeterFaultError, match=r"main.*no answer"):
            await meters.driver.read()

        meters.is_mute = False
        asked_s = meters.clock.monotonic_s()
        assert (await meters.driver.read()).at_s > asked_s  # Nothing of before is told as new.

    run_with(test)
