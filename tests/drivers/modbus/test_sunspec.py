"""A SunSpec meter is found by its chain of models, wherever it is, and found again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from drivers.modbus.endpoint import Endpoint, TcpEndpoint
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.profile import load_profile
from drivers.modbus.question import BusTiming
from gateway.adapters.clock import SystemClock
from gateway.domain.circuits import Meter
from gateway.domain.electric import Phase
from gateway.domain.errors import MeterFaultError
from gateway.domain.ids import BusId, MeterId
from gateway.domain.metering import MeterReading
from tests.support.meter_images import sunspec
from tests.support.modbus_peers import Act, HangUp, Say, TcpPeer, running_bus

PATIENT = BusTiming(timeout_s=10.0)
METER = Meter(id=MeterId("grid"), bus=BusId("net"), unit=200, profile="sunspec_201_204")


def words_of(image: str) -> dict[int, int]:
    return {
        int(line.split()[1]) + index: int(word, 16)
        for line in image.strip().splitlines()
        for index, word in enumerate(line.split()[2:])
    }


class Device:
    """A device whose map may change; refuses what is not in it."""

    def __init__(self, image: str) -> None:
        self.words = words_of(image)
        self.is_dropping = False

    def answer(self, question: bytes) -> Sequence[Act]:
        if self.is_dropping:
            self.is_dropping = False
            return [HangUp()]
        address, count = (
            int.from_bytes(question[8:10], "big"),
            int.from_bytes(question[10:12], "big"),
        )
        wanted = range(address, address + count)
        if any(a not in self.words for a in wanted):
            return [Say(frame=question[:4] + bytes((0, 3, question[6], 0x83, 2)))]
        payload = b"".join(self.words[a].to_bytes(2, "big") for a in wanted)
        head = question[:4] + (3 + len(payload)).to_bytes(2, "big") + question[6:8]
        return [Say(frame=head + bytes((len(payload),)) + payload)]


def where(peer: TcpPeer) -> Endpoint:
    return TcpEndpoint(host="127.0.0.1", port=peer.port)


def read(image: str, meter: Meter = METER) -> MeterReading:
    async def poll() -> MeterReading:
        async with TcpPeer(Device(image).answer) as peer, running_bus(where(peer), PATIENT) as bus:
            profile = load_profile(meter.profile)
            return await ModbusMeter(meter, profile, bus, clock=SystemClock()).read()

    return asyncio.run(poll())


@pytest.mark.parametrize("base", [40_000, 0, 50_000])
@pytest.mark.parametrize("model", [201, 202, 203, 204])
def test_the_map_is_found_at_every_base_and_model(base: int, model: int) -> None:
    reading = read(sunspec(base, model=model))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))
    assert reading.power_w == pytest.approx((2_870.0, 0.0, -1_670.0))
    assert reading.voltage_v == pytest.approx((230.2, 231.5, 229.9))


def test_the_scale_factor_is_the_one_read_with_the_values() -> None:
    assert read(sunspec(current_factor="FFFD")).current_a == pytest.approx((1.25, 0.0, 0.725))
    assert read(sunspec(current_factor="0000")).current_a == pytest.approx((1_250, 0, 725))


def test_a_current_given_with_a_sign_is_read_without() -> None:
    reading = read(sunspec().replace("02D5", "FD2B"))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))


def test_phases_a_single_phase_model_does_not_have_are_none() -> None:
    image = sunspec(model=201).replace("04E2 0000 02D5", "04E2 8000 8000")

    reading = read(image, replace(METER, phases=(Phase.L2,)))

    assert list(reading.current_a) == [None, pytest.approx(12.5), None]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("3 100 0000", "no SunSpec map at 40000, 0, 50000"),
        (sunspec(model=213), "none of the models 201, 202, 203, 204, only 1, 103, 213"),
        (sunspec().replace("00CB 0069", "00CB 006A"), "model 203 has length 106"),
        ("3 40000 5375 6E53 0001 0042 " + "0000 " * 66 + "FFFF 0000", "only 1$"),
    ],
)
def test_a_map_without_a_meter_is_a_fault_that_says_what_is_there(image: str, why: str) -> None:
    with pytest.raises(MeterFaultError, match=why):
        read(image)


def test_a_chain_that_never_ends_is_given_up() -> None:
    chain = "3 40000 5375 6E53 " + "0005 0000 " * 500

    with pytest.raises(MeterFaultError, match="none of the models"):
        read(chain)


async def poll_while(device: Device, peer: TcpPeer, changes: Sequence[str]) -> list[object]:
    """Read once, then once after each change (an image, or `drop` the connection)."""
    outcomes: list[object] = []
    async with running_bus(where(peer), PATIENT) as bus:
        meter = ModbusMeter(METER, load_profile(METER.profile), bus, clock=SystemClock())
        for change in ("", *changes):
            if change == "drop":
                device.is_dropping = True
            elif change:
                device.words = words_of(change)
            try:
                outcomes.append((await meter.read()).current_a)
            except MeterFaultError as fault:
                outcomes.append(fault)
    return outcomes


def outcomes_of(image: str, *changes: str) -> list[object]:
    async def poll() -> list[object]:
        device = Device(image)
        async with TcpPeer(device.answer) as peer:
            return await poll_while(device, peer, changes)

    return asyncio.run(poll())


def test_a_map_that_moves_is_found_again_and_no_value_of_the_old_place_is_used() -> None:
    """An inverter is added: the chain grows, and the old place holds somebody else's registers."""
    words = words_of(sunspec())
    moved = {a + 52 if a >= 40_122 else a: w for a, w in words.items()}
    moved |= {40_122 + i: w for i, w in enumerate([103, 50, *[0] * 50])}
    image = "\n".join(f"3 {a} {w:04X}" for a, w in sorted(moved.items()))

    first, second = outcomes_of(sunspec(), image)

    assert first == second == pytest.approx((12.5, 0.0, 7.25))


def test_after_a_reconnection_the_map_is_looked_for_again() -> None:
    first, lost, again = outcomes_of(sunspec(40_000), "drop", sunspec(0))

    assert first == pytest.approx((12.5, 0.0, 7.25))
    assert isinstance(lost, MeterFaultError)
    assert again == pytest.approx((12.5, 0.0, 7.25))


def test_a_map_that_is_gone_is_a_fault_not_an_old_value() -> None:
    first, gone = outcomes_of(sunspec(), "3 40000 0000 0000")

    assert first == pytest.approx((12.5, 0.0, 7.25))
    assert isinstance(gone, MeterFaultError)
