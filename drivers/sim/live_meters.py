"""The plant's meters on real Modbus lines: TCP on loopback, and RTU on a pty."""

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from math import sqrt
from random import Random

from drivers.sim.meter import AVERAGED_OVER_S, LATENCY_S, CircuitMeter
from drivers.sim.pace import Pace
from drivers.sim.register_map import RegisterMap
from gateway.domain.metering import MeterReading

FREQUENCY_HZ = 50.0
MAX_REQUEST_BYTES = 260
RTU_REQUEST_BYTES = 8  # A read: unit, function, address, count, check.
MBAP = struct.Struct(">HHHB")


class ServedMeter:
    """One meter behind its registers: it renews them by itself, and answers from them.

    While lost it answers nothing at all; while frozen it repeats itself; while it has no values
    it answers with NaN.
    """

    def __init__(self, meter: CircuitMeter, pace: Pace) -> None:
        """Have the registers renewed from second 0 on.

        Raises:
            UnservableMeterError: the plant has no such meter.
        """
        self.unit = meter.declared.unit
        self._meter = meter
        self._pace = pace
        self._map = RegisterMap(meter.declared.profile)
        self._values: Mapping[str, float | None] = {}
        meter.open_window(0.0)
        pace.world.agenda.add(AVERAGED_OVER_S, self._renew)

    def _renew(self, at_s: float) -> None:
        self._values = self._as_seen_by_meter(self._meter.read(at_s))
        self._meter.open_window(at_s)
        self._pace.world.agenda.add(at_s + AVERAGED_OVER_S, self._renew)

    def answer(self, pdu: bytes) -> bytes | None:
        """Return the response to a request, None if there is none."""
        self._pace.catch_up()
        return self._map.answer(pdu, self._values) if self._meter.is_answering else None

    def latency_s(self, rng: Random) -> float:
        """Return how long the next answer takes."""
        return rng.uniform(*LATENCY_S)

    def _as_seen_by_meter(self, reading: MeterReading) -> Mapping[str, float | None]:
        """Return the values by their names, on the meter's own phases and its own side."""
        declared = self._meter.declared
        ratio = 1.0 / declared.ct_ratio
        sign = -1.0 if declared.invert else 1.0
        values: dict[str, float | None] = {"frequency": FREQUENCY_HZ}
        total_w: float | None = 0.0
        for own, phase in enumerate(declared.phases, start=1):
            volts = reading.voltage_v[phase]
            amps = _times(reading.current_a[phase], ratio)
            watts = _times(reading.power_w[phase], ratio * sign)
            apparent_va = None if volts is None or amps is None else volts * amps
            values[f"current_l{own}"] = amps
            values[f"voltage_l{own}"] = volts
            values[f"power_active_l{own}"] = watts
            values[f"power_apparent_l{own}"] = apparent_va
            if watts is not None and apparent_va:
                values[f"power_factor_l{own}"] = max(-1.0, min(1.0, watts / apparent_va))
            total_w = None if watts is None or total_w is None else total_w + watts
        values["power_active_total"] = total_w
        for pair in ("l12", "l23", "l31"):
            values[f"voltage_{pair}"] = _times(reading.voltage_v[0], sqrt(3.0))
        way = "export" if declared.invert else "import"
        values[f"energy_active_{way}"] = _times(reading.import_energy_wh, ratio)
        return values


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


@asynccontextmanager
async def serving_tcp(meters: list[ServedMeter], rng: Random) -> AsyncIterator[int]:
    """Serve meters over Modbus TCP on loopback; yield the port."""
    by_unit = {meter.unit: meter for meter in meters}
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(MBAP.size)
                number, protocol, length, unit = MBAP.unpack(head)
                if protocol != 0 or not 2 <= length <= MAX_REQUEST_BYTES:
                    break
                pdu = await reader.readexactly(length - 1)
                meter = by_unit.get(unit)
                if meter is None:
                    continue
                await asyncio.sleep(meter.latency_s(rng))
                answer = meter.answer(pdu)
                if answer is not None:
                    writer.write(MBAP.pack(number, 0, len(answer) + 1, unit) + answer)
        writers.discard(writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in tuple(writers):
            writer.transport.abort()


@asynccontextmanager
async def serving_rtu(meters: list[ServedMeter], rng: Random) -> AsyncIterator[str]:
    """Serve meters over Modbus RTU on a pty; yield the path of the end to open."""
    loop = asyncio.get_running_loop()
    # The far end is kept open, so that a client may come and go; both are gone with us.
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    by_unit = {meter.unit: meter for meter in meters}
    timers: set[asyncio.TimerHandle] = set()
    waiting = bytearray()

    def reply(request: bytes) -> None:
        answer = by_unit[request[0]].answer(request[1:-2])
        if answer is not None:
            frame = request[:1] + answer
            with suppress(OSError):
                os.write(ours, frame + _check(frame))

    def hear() -> None:
        with suppress(OSError):
            waiting.extend(os.read(ours, MAX_REQUEST_BYTES))
        while len(waiting) >= RTU_REQUEST_BYTES:
            request = bytes(waiting[:RTU_REQUEST_BYTES])
            if _check(request[:-2]) != request[-2:]:
                del waiting[0]  # No frame begins here.
                continue
            del waiting[:RTU_REQUEST_BYTES]
            meter = by_unit.get(request[0])
            if meter is not None:
                timers.difference_update({t for t in timers if t.when() < loop.time()})
                timers.add(loop.call_later(meter.latency_s(rng), reply, request))

    loop.add_reader(ours, hear)
    try:
        yield os.ttyname(theirs)
    finally:
        loop.remove_reader(ours)
        for timer in timers:
            timer.cancel()
        os.close(ours)
        os.close(theirs)


def _check(frame: bytes) -> bytes:
    """Return the CRC-16 of Modbus over serial line 2.5.1.2, low byte first."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)
