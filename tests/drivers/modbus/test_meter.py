"""Meters read through libmodbus: every value with its quality, on the right phase, signed."""

# ruff: noqa: SIM117 - a peer, and on it a bus, are two steps

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from drivers.modbus.bus import Bus
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.frames import crc16
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.profile import load_profile
from drivers.modbus.question import BusTiming
from gateway.adapters.clock import SystemClock
from gateway.domain.circuits import Meter
from gateway.domain.electric import Phase
from gateway.domain.errors import MeterFaultError
from gateway.domain.ids import BusId, MeterId
from gateway.domain.metering import MeterReading, Quality, Sample
from gateway.ports import MeterDriver
from tests.support import meter_images
from tests.support.daemon_process import Iem3000
from tests.support.meter_images import tcp_answer
from tests.support.modbus_peers import Act, HangUp, PtyPeer, Say, TcpPeer, running_bus

PATIENT = BusTiming(timeout_s=10.0)
MAIN = Meter(id=MeterId("main"), bus=BusId("plant"), unit=7, profile="eastron_sdm630_v2")
CASES: dict[str, tuple[str, dict[str, float | None]]] = {
    "eastron_sdm630_v2": (meter_images.SDM630, dict(meter_images.SDM630_VALUES)),
    "schneider_iem3000": (meter_images.IEM3000, dict(meter_images.IEM3000_VALUES)),
    "sunspec_201_204": (meter_images.sunspec(), dict(meter_images.SUNSPEC_VALUES)),
}

Serve = Callable[..., str]


def endpoint(transport: str, where: str) -> Endpoint:
    if transport == "tcp":
        return TcpEndpoint(host="127.0.0.1", port=int(where))
    return SerialEndpoint(port=where, baud=115_200)


class HastyClock(SystemClock):
    """A clock on which a microsecond is more than a minute."""

    def monotonic_s(self) -> float:
        return 1e8 * super().monotonic_s()


def driver(bus: Bus, meter: Meter = MAIN, *, max_current_a: float | None = None) -> ModbusMeter:
    profile = load_profile(meter.profile)
    return ModbusMeter(meter, profile, bus, clock=SystemClock(), max_current_a=max_current_a)


def read(
    where: Endpoint, meter: Meter = MAIN, *, max_current_a: float | None = None
) -> MeterReading:
    async def poll() -> MeterReading:
        async with running_bus(where, PATIENT) as bus:
            port: MeterDriver = driver(bus, meter, max_current_a=max_current_a)
            return await port.read()

    return asyncio.run(poll())


def read_all(where: Endpoint, meter: Meter = MAIN) -> dict[str, Sample]:
    async def poll() -> dict[str, Sample]:
        async with running_bus(where, PATIENT) as bus:
            return await driver(bus, meter).read_all()

    return asyncio.run(poll())


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize("profile", CASES)
def test_every_value_is_what_the_registers_hold(profile: str, transport: str, serve: Serve) -> None:
    image, expected = CASES[profile]
    where = endpoint(transport, serve(transport, 7, image=image))

    samples = read_all(where, replace(MAIN, profile=profile))

    assert list(samples) == list(load_profile(profile).registers)
    for name, value in expected.items():
        assert samples[name].value == (None if value is None else pytest.approx(value, rel=1e-6))
    assert {n: s.unit for n, s in samples.items() if s.value is not None}.items() <= {
        n: r.unit for n, r in load_profile(profile).registers.items()
    }.items()


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize("profile", CASES)
def test_a_reading_holds_the_phases(profile: str, transport: str, serve: Serve) -> None:
    image, expected = CASES[profile]
    where = endpoint(transport, serve(transport, 7, image=image))

    reading = read(where, replace(MAIN, profile=profile))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))
    assert reading.voltage_v == pytest.approx((230.2, 231.5, 229.9))
    assert reading.power_w == pytest.approx(
        tuple(expected[f"power_active_l{n}"] for n in (1, 2, 3))
    )
    assert reading.import_energy_wh == pytest.approx(123_456.0)


@pytest.fixture
def sdm630(serve: Serve) -> Endpoint:
    return endpoint("tcp", serve("tcp", 7, image=meter_images.SDM630))


def test_a_transformer_ratio_scales_currents_and_powers_and_energies(sdm630: Endpoint) -> None:
    reading = read(sdm630, replace(MAIN, ct_ratio=40.0))

    assert reading.current_a == pytest.approx((500.0, 0.0, 290.0))
    assert reading.power_w == pytest.approx((115_000.0, 0.0, -66_660.0))
    assert reading.voltage_v == pytest.approx((230.2, 231.5, 229.9))
    assert reading.import_energy_wh == pytest.approx(4_938_240.0)


def test_an_inverted_meter_swaps_import_and_export(sdm630: Endpoint) -> None:
    reading = read(sdm630, replace(MAIN, invert=True))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))
    assert reading.power_w == pytest.approx((-2_875.0, 0.0, 1_666.5))
    assert reading.import_energy_wh == 0.0


def test_rotated_clamps_are_put_on_the_supply_phases(sdm630: Endpoint) -> None:
    reading = read(sdm630, replace(MAIN, phases=(Phase.L3, Phase.L1, Phase.L2)))

    assert reading.current_a == pytest.approx((0.0, 7.25, 12.5))
    assert reading.power_w == pytest.approx((0.0, -1_666.5, 2_875.0))
    assert reading.voltage_v == pytest.approx((231.5, 229.9, 230.2))


def test_a_phase_that_is_not_metered_is_none(sdm630: Endpoint) -> None:
    reading = read(sdm630, replace(MAIN, phases=(Phase.L2,)))

    assert list(reading.current_a) == [None, pytest.approx(12.5), None]
    assert list(reading.power_w) == [None, pytest.approx(2_875.0), None]


def test_more_current_than_there_can_be_is_none(sdm630: Endpoint) -> None:
    reading = read(sdm630, replace(MAIN, ct_ratio=40.0), max_current_a=300.0)

    assert list(reading.current_a) == [None, pytest.approx(0.0), pytest.approx(290.0)]


@pytest.mark.parametrize("words", ["7FC0 0000", "FFC0 0000", "7F80 0000", "BF80 0000", "4E6E 6B28"])
def test_a_current_that_cannot_be_is_none_and_the_others_stand(words: str, serve: Serve) -> None:
    image = meter_images.SDM630.replace("4148 0000", words, 1)

    reading = read(endpoint("tcp", serve("tcp", 7, image=image)))

    assert list(reading.current_a) == [None, pytest.approx(0.0), pytest.approx(7.25)]
    assert reading.power_w == pytest.approx((2_875.0, 0.0, -1_666.5))


def test_what_cannot_be_trusted_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    image = meter_images.SDM630.replace("4148 0000", "7FC0 0000", 1)
    where = endpoint("tcp", serve("tcp", 7, image=image))

    async def poll() -> None:
        async with running_bus(where, PATIENT) as bus:
            meter = driver(bus)
            for _ in range(5):
                await meter.read()

    asyncio.run(poll())

    assert [record.getMessage() for record in caplog.records] == [
        "meter main: not trusted: current_l1 (sentinel)"
    ]


def test_a_phase_whose_voltage_cannot_be_is_not_measured(serve: Serve) -> None:
    image = meter_images.SDM630.replace("4366 3333", "0000 0000", 1)

    reading = read(endpoint("tcp", serve("tcp", 7, image=image)))

    assert list(reading.current_a) == [None, pytest.approx(0.0), pytest.approx(7.25)]


@pytest.mark.parametrize("word", ["0000", "4148", "FFFF"])
def test_a_meter_that_starts_or_has_another_map_is_not_believed(word: str, serve: Serve) -> None:
    """Zeros would be a building that draws nothing, with all its supply to give away."""
    image = "4 0 " + f"{word} 0000 " * 40

    with pytest.raises(MeterFaultError, match="no current can be trusted"):
        read(endpoint("tcp", serve("tcp", 7, image=image)))


def test_a_voltage_that_the_meter_does_not_have_says_nothing_of_its_currents(
    serve: Serve,
) -> None:
    image = meter_images.SDM630.replace("4366 3333", "7FC0 0000", 1)

    reading = read(endpoint("tcp", serve("tcp", 7, image=image)))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))
    assert reading.voltage_v[0] is None


def test_a_reading_without_any_current_is_a_fault(serve: Serve) -> None:
    image = "4 0 " + "7FC0 0000 " * 40

    with pytest.raises(MeterFaultError, match=r"no current can be trusted: current_l1 sentinel"):
        read(endpoint("tcp", serve("tcp", 7, image=image)))


def test_a_meter_that_refuses_long_reads_is_read_piece_by_piece(serve: Serve) -> None:
    kept = [
        line
        for line in meter_images.IEM3000.splitlines()
        if line.startswith(("3 2999", "3 3049", "3 3203"))
    ]
    image = "\n".join(kept).replace("3 3049 FFC0 0000 FFC0 0000", "3 3053")

    where = endpoint("tcp", serve("tcp", 7, image=image))
    reading = read(where, replace(MAIN, profile="schneider_iem3000"))
    samples = read_all(where, replace(MAIN, profile="schneider_iem3000"))

    assert reading.current_a == pytest.approx((12.5, 0.0, 7.25))
    assert reading.power_w == pytest.approx((2_875.0, 0.0, -1_666.5))
    assert reading.voltage_v == (None, None, None)
    assert samples["current_l1"].value == 12.5
    assert samples["voltage_l1"].quality is Quality.MISSING
    assert samples["power_active_total"].value == pytest.approx(1_209.0)


def test_a_reading_of_several_answers_is_as_old_as_the_oldest_of_them() -> None:
    clock, answer, asked_s = SystemClock(), Iem3000(), list[float]()

    def script(question: bytes) -> Sequence[Act]:
        asked_s.append(clock.monotonic_s())
        (count,) = struct.unpack(">H", question[10:12])
        if count > 12:
            return [Say(frame=question[:4] + bytes.fromhex("0003 07 83 02"))]
        (said,) = answer(question)
        assert isinstance(said, Say)
        return [replace(said, after_s=0.05)]

    async def poll() -> tuple[MeterReading, float]:
        async with TcpPeer(script) as peer:
            where = TcpEndpoint(host="127.0.0.1", port=peer.port)
            async with running_bus(where, PATIENT) as bus:
                meter = driver(bus, replace(MAIN, profile="schneider_iem3000"))
                await meter.read()
                asked_s.clear()
                return await meter.read(), asked_s[1]

    reading, asked_again_s = asyncio.run(poll())

    assert reading.current_a == pytest.approx((20.0, 20.0, 20.0), rel=1e-3)
    assert reading.at_s < asked_again_s


@pytest.mark.parametrize(
    ("code", "asked"),
    [(1, 4), (2, 4), (3, 4), (6, 6), (11, 6)],  # It has none; it is busy; it was not reached.
)
def test_a_meter_without_energy_is_not_asked_for_it_again(code: int, asked: int) -> None:
    def script(question: bytes) -> Sequence[Act]:
        address, count = struct.unpack(">HH", question[8:12])
        if address <= 72 < address + count <= 80:
            return [Say(frame=question[:4] + bytes.fromhex("0003 07 84") + bytes((code,)))]
        return [Say(frame=tcp_answer(question))]

    async def poll() -> tuple[float | None, int]:
        async with TcpPeer(script) as peer:
            where = TcpEndpoint(host="127.0.0.1", port=peer.port)
            async with running_bus(where, PATIENT) as bus:
                profile = load_profile(MAIN.profile)
                meter = ModbusMeter(MAIN, profile, bus, clock=HastyClock())
                readings = [await meter.read() for _ in range(3)]
                return readings[0].import_energy_wh, len(peer.asked)

    assert asyncio.run(poll()) == (None, asked)


def rtu_answer(question: bytes) -> bytes:
    """Return a serial answer out of the SDM630's words."""
    frame = tcp_answer(b"\0\0\0\0\0\0" + question[:6])[6:]
    return frame + crc16(frame)


def test_a_mute_meter_is_a_fault_that_says_so() -> None:
    async def poll() -> None:
        async with (
            PtyPeer(lambda _: []) as peer,
            running_bus(SerialEndpoint(port=peer.path)) as bus,
        ):
            with pytest.raises(MeterFaultError, match=r"main: unit 7.*no answer"):
                await driver(bus).read()

    asyncio.run(poll())


def test_readings_after_a_lost_connection_are_right_again() -> None:
    async def poll() -> list[MeterReading | MeterFaultError]:
        def script(question: bytes) -> Sequence[Act]:
            return [HangUp()] if len(peer.asked) == 3 else [Say(frame=tcp_answer(question))]

        outcomes: list[MeterReading | MeterFaultError] = []
        async with TcpPeer(script) as peer:
            where = TcpEndpoint(host="127.0.0.1", port=peer.port)
            async with running_bus(where, PATIENT) as bus:
                meter = driver(bus)
                for _ in range(3):
                    try:
                        outcomes.append(await meter.read())
                    except MeterFaultError as fault:
                        outcomes.append(fault)
        return outcomes

    first, lost, again = asyncio.run(poll())

    assert isinstance(first, MeterReading)
    assert isinstance(lost, MeterFaultError)
    assert isinstance(again, MeterReading)
    assert again.current_a == first.current_a


def test_eight_meters_share_a_line_and_none_starves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def poll() -> list[int]:
        def script(question: bytes) -> Sequence[Act]:
            return [Say(frame=rtu_answer(question))] if question[0] != 3 else []

        counts = [0] * 8

        async def read_often(index: int, meter: ModbusMeter) -> None:
            for _ in range(25):
                try:
                    await meter.read()
                except MeterFaultError:
                    continue
                counts[index] += 1

        async with PtyPeer(script) as peer:
            timing = BusTiming(timeout_s=0.2)
            async with running_bus(SerialEndpoint(port=peer.path, baud=115_200), timing) as bus:
                async with asyncio.TaskGroup() as tasks:
                    for index in range(8):
                        meter = driver(bus, replace(MAIN, unit=index + 1))
                        tasks.create_task(read_often(index, meter))
        return counts

    counts = asyncio.run(poll())

    assert counts[2] == 0
    assert [count for index, count in enumerate(counts) if index != 2] == [25] * 7
