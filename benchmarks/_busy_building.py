"""A building with meters and stations at the other end of a daemon, in a process of its own.

Its meters speak Modbus TCP, its stations OCPP 1.6; vehicles draw what their station was told, and
meters show what vehicles draw. It is told what to do on standard input and says what came of it on
standard output, a JSON object a line: see `main`. What it costs is its own; it cuts corners that a
real station would not (frames are masked with zeros, answers hardly read), to cost little.
"""

import asyncio
import base64
import json
import math
import os
import random
import struct
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, Final, cast

import uvloop

BASE_A: Final = 20.0
NOISE_A: Final = 0.2
APPETITES_A: Final = (32.0, 32.0, 16.0)
FOLLOWS_RATIO: Final = 0.5  # Of what is left to go, each second.
TICK_S: Final = 0.01
QUIET_CALLS_A_STATION_S: Final = 0.1
FIRST_REGISTER, REGISTERS = 2999, 600
SUPPLY: Final = 0
CONFIGURATION: Final = {
    "ChargeProfileMaxStackLevel": "8",
    "ChargingScheduleAllowedChargingRateUnit": "Current",
    "ChargingScheduleMaxPeriods": "6",
    "MaxChargingProfilesInstalled": "10",
    "MeterValueSampleInterval": "10",
    "MeterValuesSampledData": "Current.Import,Power.Active.Import",
    "NumberOfConnectors": "1",
}


# Meters.


class Meter(asyncio.Protocol):
    """One line of meters, at as many units as the building has on it."""

    def __init__(self, current_a: Callable[[int], float]) -> None:
        """Show `current_a` of the unit on each phase."""
        self._current_a = current_a
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each question that is whole."""
        self._buffer += data
        while len(self._buffer) >= 12:
            question, self._buffer = self._buffer[:12], self._buffer[12:]
            transaction, _, _, unit, code, first, count = struct.unpack(">HHHBBHH", question)
            at = 2 * (first - FIRST_REGISTER)
            words = self._image(unit)[at : at + 2 * count]
            head = struct.pack(">HHHBBB", transaction, 0, 3 + len(words), unit, code, len(words))
            self._transport.write(head + words)

    def _image(self, unit: int) -> bytes:
        """Return a Schneider iEM3000's registers."""
        image = bytearray(2 * REGISTERS)
        current_a = self._current_a(unit)
        power_kw = current_a * 0.23
        for phase in range(3):
            noisy_a = current_a + random.uniform(-NOISE_A, NOISE_A)
            struct.pack_into(">f", image, 2 * (2999 + 2 * phase - FIRST_REGISTER), noisy_a)
            struct.pack_into(">f", image, 2 * (3019 + 2 * phase - FIRST_REGISTER), 400.0)
            struct.pack_into(">f", image, 2 * (3027 + 2 * phase - FIRST_REGISTER), 230.0)
            struct.pack_into(">f", image, 2 * (3053 + 2 * phase - FIRST_REGISTER), power_kw)
        struct.pack_into(">f", image, 2 * (3059 - FIRST_REGISTER), 3 * power_kw)
        struct.pack_into(">f", image, 2 * (3109 - FIRST_REGISTER), 50.0)
        return bytes(image)


# Stations.


def frame_of(text: str, opcode: int = 0x81) -> bytes:
    """Return a client's WebSocket frame; its mask is zero, so the payload is as it is."""
    payload = text.encode()
    if len(payload) < 126:
        return struct.pack("!BBI", opcode, 0x80 | len(payload), 0) + payload
    return struct.pack("!BBHI", opcode, 0x80 | 126, len(payload), 0) + payload


class Station(asyncio.Protocol):
    """A station with one vehicle that charges all the time."""

    def __init__(self, number: int, building: "Building") -> None:
        """Connect as `CP-<number>`."""
        self.draw_a = 0.0
        self.is_charging = False
        self.is_free = False
        """Whether the last call was answered: a station has one call out at a time."""
        self._number = number
        self._building = building
        self._appetite_a = APPETITES_A[number % len(APPETITES_A)]
        self._limit_a = self._fallback_a = 6.0
        self._buffer = b""
        self._is_open = False
        self._calls = 0
        self._sent_at_s = 0.0
        self._transaction = 0
        self._opening = deque(["BootNotification", "Preparing", "StartTransaction", "Charging"])
        self._turn = number
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /CP-{self._number} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it show: a building whose stations go is not the one that was to be measured."""
        self._building.lost += 1
        self.is_free = self.is_charging = False
        del exc

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what came."""
        buffer = self._buffer + data
        if not self._is_open:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_open = True
            self._open_next()
        while len(buffer) >= 2:
            length, start = buffer[1] & 0x7F, 2
            if length == 126:
                if len(buffer) < 4:
                    break
                length, start = struct.unpack_from("!H", buffer, 2)[0], 4
            if len(buffer) < start + length:
                break
            self._take(buffer[0], buffer[start : start + length])
            buffer = buffer[start + length :]
        self._buffer = buffer

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 0x89:
            self._transport.write(frame_of(payload.decode(), 0x8A))
        elif opcode == 0x81 and payload.startswith(b"[2"):
            _, call_id, action, said = json.loads(payload)
            answer = json.dumps([3, call_id, self._answer(action, said)])
            self._transport.write(frame_of(answer))
        elif opcode == 0x81:
            if payload.startswith(b"[4"):
                self._building.refused += 1
            self._settle(payload)

    def _answer(self, action: str, said: dict[str, Any]) -> dict[str, object]:
        if action == "SetChargingProfile":
            profile = said["csChargingProfiles"]
            limit_a = profile["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]
            if profile["chargingProfilePurpose"] == "TxProfile":
                self._limit_a = limit_a
            elif profile["stackLevel"] == 0:
                self._fallback_a = limit_a
        if action == "GetConfiguration":
            known = [
                {"key": key, "readonly": False, "value": CONFIGURATION[key]}
                for key in said.get("key") or CONFIGURATION
                if key in CONFIGURATION
            ]
            return {"configurationKey": known}
        return {"status": "Rejected" if action == "GetCompositeSchedule" else "Accepted"}

    def _settle(self, payload: bytes) -> None:
        self._building.note_answer(monotonic() - self._sent_at_s)
        self.is_free = True
        if not self.is_charging:
            if b'"transactionId"' in payload:
                self._transaction = json.loads(payload)[2]["transactionId"]
            self._open_next()

    def _open_next(self) -> None:
        if not self._opening:
            self.is_charging = True
            return
        step, now = self._opening.popleft(), datetime.now(UTC).isoformat()
        if step == "BootNotification":
            self._call(step, {"chargePointVendor": "V", "chargePointModel": "M"})
        elif step == "StartTransaction":
            started = {"connectorId": 1, "idTag": f"T{self._number}", "meterStart": 0}
            self._call(step, {**started, "timestamp": now})
        else:
            status = {"connectorId": 1, "errorCode": "NoError", "status": step, "timestamp": now}
            self._call("StatusNotification", status)

    def _call(self, action: str, payload: dict[str, object]) -> None:
        self._calls += 1
        self._sent_at_s = monotonic()
        self.is_free = False
        text = json.dumps([2, f"{self._number}-{self._calls}", action, payload])
        self._transport.write(frame_of(text))

    def drive(self, elapsed_s: float) -> None:
        """Let the vehicle follow its limit."""
        wanted_a = min(self._limit_a, self._appetite_a) if self.is_charging else 0.0
        self.draw_a += (wanted_a - self.draw_a) * (1 - (1 - FOLLOWS_RATIO) ** elapsed_s)

    def call_of_mix(self) -> None:
        """Send the next call of the mix: seven of ten are MeterValues of 1.3 kB."""
        self._turn += 1
        kind, now = self._turn % 10, datetime.now(UTC).isoformat()
        if kind < 7:
            self.send_meter_values()
        elif kind < 9:
            self._call("Heartbeat", {})
        else:
            said = {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}
            self._call("StatusNotification", {**said, "timestamp": now})

    def send_meter_values(self) -> None:
        """Send ten values, as stations do."""
        text = f"{self.draw_a:.2f}"
        plain = {"context": "Sample.Periodic", "format": "Raw", "location": "Outlet"}
        samples = [
            {"value": text, "measurand": "Current.Import", "unit": "A", "phase": f"L{n}", **plain}
            for n in (1, 2, 3)
        ]
        samples += [
            {"value": "230.1", "measurand": "Voltage", "unit": "V", "phase": f"L{n}-N", **plain}
            for n in (1, 2, 3)
        ]
        for measurand, unit, value in (
            ("Power.Active.Import", "W", f"{self.draw_a * 690.3:.1f}"),
            ("Energy.Active.Import.Register", "Wh", "1234567.8"),
            ("SoC", "Percent", "54"),
            ("Current.Offered", "A", f"{self._limit_a:.1f}"),
        ):
            samples.append({"value": value, "measurand": measurand, "unit": unit, **plain})
        at = datetime.now(UTC).isoformat()
        self._call(
            "MeterValues",
            {
                "connectorId": 1,
                "transactionId": self._transaction,
                "meterValue": [{"timestamp": at, "sampledValue": samples}],
            },
        )


class Building:
    """All of it, and what its stations count together."""

    def __init__(self, *, stations: int, meters: int) -> None:
        """Meter 0 is the supply's; stations hang below the others in turn."""
        self.lost = 0
        self.refused = 0
        self._meters = meters
        self._stations = [Station(number, self) for number in range(stations)]
        self._answers_s: list[float] = []

    def note_answer(self, duration_s: float) -> None:
        """Keep how long an answer took."""
        self._answers_s.append(duration_s)

    def current_a(self, meter: int) -> float:
        """Return what flows on each phase at a meter."""
        boards = self._meters - 1
        if meter == SUPPLY:
            return BASE_A * self._meters + sum(station.draw_a for station in self._stations)
        below = self._stations[meter - 1 :: boards]
        return BASE_A + sum(station.draw_a for station in below)

    async def serve_meters(self, lines: int) -> list[int]:
        """Return the ports of as many lines; meter n is unit n // lines + 1 on line n % lines."""
        loop, ports = asyncio.get_running_loop(), []
        for line in range(lines):

            def current_a(unit: int, line: int = line) -> float:
                return self.current_a((unit - 1) * lines + line)

            server = await loop.create_server(partial(Meter, current_a), "127.0.0.1", 0)
            ports.append(server.sockets[0].getsockname()[1])
        return ports

    async def connect(self, port: int) -> None:
        """Connect every station, and wait until a vehicle charges at each."""
        loop = asyncio.get_running_loop()
        for station in self._stations:
            await loop.create_connection(partial(_same, station), "127.0.0.1", port)
        while not all(station.is_charging for station in self._stations):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def load(self, *, calls_a_s: float | None, for_s: float) -> dict[str, float]:
        """Call at this rate in all, or quietly; return what came of it.

        A call whose turn it is while no station is free waits: `most_calls_behind` is how many did.
        """
        self._answers_s.clear()
        rate = calls_a_s or QUIET_CALLS_A_STATION_S * len(self._stations)
        waiting, sent, behind = deque(self._stations), 0, 0
        begun_s = at_s = monotonic()
        while at_s - begun_s < for_s:
            await asyncio.sleep(TICK_S)
            before_s, at_s = at_s, monotonic()
            for station in self._stations:
                station.drive(at_s - before_s)
            due = int((at_s - begun_s) * rate) - sent
            for _ in range(len(waiting)):
                if due <= 0:
                    break
                station = waiting[0]
                waiting.rotate(-1)
                if station.is_free:
                    station.send_meter_values() if calls_a_s is None else station.call_of_mix()
                    due, sent = due - 1, sent + 1
            behind = max(behind, due)
        answers_s = sorted(self._answers_s) or [math.nan]
        return {
            "calls_per_s": round(len(self._answers_s) / (at_s - begun_s), 1),
            "answer_p50_ms": round(1_000 * answers_s[len(answers_s) // 2], 2),
            "answer_p99_ms": round(1_000 * answers_s[int(len(answers_s) * 0.99)], 2),
            "most_calls_behind": behind,
            "refused_calls": self.refused,
            "stations_lost": self.lost,
            "draw_a": round(sum(station.draw_a for station in self._stations), 1),
        }


def _same(station: Station) -> Station:
    return station


async def main() -> None:
    """Do as told: `{"ocpp": PORT}` connects, `{"calls_per_s": N, "for_s": S}` calls.

    At first it says `{"modbus": [PORT, …]}`, then `{}` once every station is connected, then what
    came of each load. It ends with its standard input.
    """
    stations, meters, lines = (int(word) for word in sys.argv[1:])
    building = Building(stations=stations, meters=meters)
    loop = asyncio.get_running_loop()
    said: dict[str, Any] = {"modbus": await building.serve_meters(lines)}
    while True:
        print(json.dumps(said), flush=True)
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        told, said = json.loads(line), {}
        if "ocpp" in told:
            await building.connect(told["ocpp"])
        else:
            said = await building.load(calls_a_s=told["calls_per_s"], for_s=told["for_s"])


if __name__ == "__main__":
    uvloop.run(main())
