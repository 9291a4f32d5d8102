"""How much of a serial line is used, and what it costs to turn an answer into values.

The line is a pseudo-terminal behind which a process of its own lets every byte take its time, and
has libmodbus answer. It keeps to Modbus over Serial Line V1.02, 2.5.1.1: a question that comes
before 3.5 characters of silence are over is not heard by anybody.
"""

import asyncio
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from pymodbus.client.mixin import ModbusClientMixin

from drivers.modbus.blocks import LineCost, Span, serial_cost
from drivers.modbus.bus import Bus
from drivers.modbus.codec import BlockDecoder
from drivers.modbus.endpoint import SerialEndpoint
from drivers.modbus.errors import ModbusError
from drivers.modbus.plan import plan_guard
from drivers.modbus.profile import load_profile
from drivers.modbus.question import ReadRequest
from gateway.adapters.clock import SystemClock

SERVER: Final = Path("tests/drivers/modbus/libmodbus_server.c")
HEADER: Final = Path("/usr/include/modbus/modbus.h")
NEEDED: Final = "needs gcc and libmodbus (Debian: apt-get install gcc libmodbus-dev)"
LINES: Final = ((9_600, "8N1", 0.02), (19_200, "8E1", 0.02), (115_200, "8N1", 0.005))
"""Baud rate, format, and the time the meter takes before it begins to answer."""

REGISTERS: Final = 12  # Three currents and three powers, as floats.
POLLS: Final = 60
ROUNDS: Final = 5
QUESTION_BYTES: Final = 8
CHUNK_BYTES: Final = 16  # What a serial port hands on at a time.
MUST_RATIO: Final = 0.95
STANDARD_INPUT: Final = 0


# The wire, in a process of its own.


def be_wire(device: str, cost: LineCost) -> None:
    """Carry questions and answers at the line's pace until killed; say where at once.

    For each line on standard input, print how many questions came too soon, and the silences
    before the others.
    """
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    ours, kept = os.openpty()
    tty.setraw(kept)
    meter = os.open(device, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(meter)
    print(os.ttyname(kept), flush=True)
    quiet_from_s, silences_s, too_soon = 0.0, list[float](), 0
    while True:
        for ready in select.select([ours, STANDARD_INPUT], [], [])[0]:
            if ready == STANDARD_INPUT:
                if not os.read(STANDARD_INPUT, 1):
                    return
                print(json.dumps([too_soon, silences_s]), flush=True)
                silences_s, too_soon = [], 0
                continue
            question, asked_s = os.read(ours, QUESTION_BYTES), time.monotonic()
            silence_s = asked_s - quiet_from_s
            if silence_s < cost.silence_s or len(question) != QUESTION_BYTES:
                too_soon += 1
                continue
            silences_s.append(silence_s)
            os.write(meter, question)
            # Meanwhile the question is still on its way, and the meter takes its time.
            answer = _whole_answer(meter, question)
            began_s = asked_s + cost.wire_s(0) - cost.silence_s - 5 * cost.character_s
            for end in [*range(CHUNK_BYTES, len(answer), CHUNK_BYTES), len(answer)]:
                _wait_until(began_s + end * cost.character_s)
                quiet_from_s = time.monotonic()
                os.write(ours, answer[(end - 1) // CHUNK_BYTES * CHUNK_BYTES : end])


def _whole_answer(meter: int, question: bytes) -> bytes:
    length = 5 + 2 * int.from_bytes(question[4:6], "big")
    answer = b""
    while len(answer) < length:
        answer += os.read(meter, length - len(answer))
    return answer


def _wait_until(at_s: float) -> None:
    # A sleep is some 0.1 ms late: the rest is waited for awake.
    if (delay_s := at_s - time.monotonic() - 0.000_3) > 0:
        time.sleep(delay_s)
    while time.monotonic() < at_s:
        pass


# Our side.


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of polls took, and what the other end has seen of it."""

    took_s: float
    wire_s: float
    cpu_s: float
    used_ratio: float
    silences_s: list[float]
    too_soon: int
    lost: int


@contextmanager
def serving(program: Path, cost: LineCost) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the path of a line with libmodbus behind it, and the process that is the wire."""
    with subprocess.Popen([program, "rtu", "1"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            words = [server.stdout.readline().strip(), *map(str, _figures_of(cost))]
            with subprocess.Popen(
                [sys.executable, "-m", "benchmarks.modbus", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as wire:
                try:
                    assert wire.stdout is not None
                    yield wire.stdout.readline().strip(), wire
                finally:
                    wire.kill()
        finally:
            server.kill()


def _figures_of(cost: LineCost) -> tuple[float, float, float]:
    return cost.character_s, cost.silence_s, cost.turnaround_s


async def poll_line(endpoint: SerialEndpoint, cost: LineCost) -> tuple[float, float, int]:
    """Return how long so many polls took, how long the wire alone would have, and the lost ones."""
    bus = Bus("measured", endpoint, clock=SystemClock())
    windows = tuple(Span(address=100, count=REGISTERS + n) for n in range(4))
    request, wire_s, lost = ReadRequest(unit=1, function_code=4, windows=windows), 0.0, 0

    async def poll(count: int) -> None:
        nonlocal wire_s, lost
        for _ in range(count):
            try:
                answer = await bus.read(request)
            except ModbusError:
                lost += 1
            else:
                wire_s += cost.wire_s(answer.window.count)

    async with asyncio.TaskGroup() as tasks:
        serving_bus = tasks.create_task(bus.run())
        await poll(3)
        wire_s, begun_s = 0.0, time.perf_counter()
        async with asyncio.TaskGroup() as pollers:
            for _ in range(3):  # As several meters would: there is always a question waiting.
                pollers.create_task(poll(POLLS // 3))
        took_s = time.perf_counter() - begun_s
        serving_bus.cancel()
    return took_s, wire_s, lost


def measure_line(program: Path, baud: int, form: str, turnaround_s: float) -> dict[str, object]:
    """Return how much of a line is used: the best of some rounds, and what was lost in all.

    `used_ratio` is the time the wire takes against that and every pause of ours that was longer
    than the silence the standard asks for; `by_the_clock_ratio` has the other end's own lateness
    in it too.
    """
    bits = 1 + 8 + (form[1] != "N") + int(form[2])
    cost = serial_cost(baud=baud, character_bits=bits, turnaround_s=turnaround_s)
    rounds = [measure_round(program, baud, form, cost) for _ in range(ROUNDS)]
    best = max(rounds, key=lambda round_: round_.used_ratio)
    return {
        "used_ratio": round(best.used_ratio, 3),
        "must_ratio": MUST_RATIO,
        "by_the_clock_ratio": round(best.wire_s / best.took_s, 3),
        "polls_per_s": round(POLLS / best.took_s, 1),
        "cpu_ms_per_poll": round(best.cpu_s / POLLS * 1_000, 2),
        "silence_ms": {
            "needed": round(cost.silence_s * 1_000, 2),
            "least": round(min(min(r.silences_s) for r in rounds) * 1_000, 2),
            "median": round(statistics.median(best.silences_s) * 1_000, 2),
        },
        "questions_too_soon": sum(r.too_soon for r in rounds),
        "answers_lost": sum(r.lost for r in rounds),
    }


def measure_round(program: Path, baud: int, form: str, cost: LineCost) -> Round:
    """Poll a line as fast as it lets us."""
    with serving(program, cost) as (path, wire):
        endpoint = SerialEndpoint(port=path, baud=baud, format=form)
        cpu_s = time.process_time()
        took_s, wire_s, lost = uvloop.run(poll_line(endpoint, cost))
        cpu_s = time.process_time() - cpu_s
        assert wire.stdin is not None
        assert wire.stdout is not None
        wire.stdin.write("\n")
        wire.stdin.flush()
        too_soon, silences_s = json.loads(wire.stdout.readline())
    silences_s = silences_s[-POLLS:]  # Before the first question there is a long one.
    wasted_s = sum(silences_s) - POLLS * cost.silence_s
    return Round(
        took_s=took_s,
        wire_s=wire_s,
        cpu_s=cpu_s,
        used_ratio=wire_s / (wire_s + wasted_s),
        silences_s=silences_s,
        too_soon=too_soon,
        lost=lost,
    )


def measure_decoding() -> dict[str, object]:
    """Return what a block costs, in microseconds: a meter's guard values, and 40 floats."""
    profile = load_profile("eastron_sdm630_v2")
    cost = serial_cost(baud=9_600, character_bits=10)
    (guard,) = plan_guard(profile, cost)
    floats = [r for r in profile.registers.values() if r.address < 80][:40]
    whole = Span(address=0, count=80)
    forty = BlockDecoder(floats, block=whole)
    words = [0x4366, 0x3333] * 40
    payload = b"".join(word.to_bytes(2, "big") for word in words)
    library = ModbusClientMixin.DATATYPE.FLOAT32
    count = len(floats)
    ours_us = _best_us(lambda: forty.decode(payload))
    theirs_us = _best_us(
        lambda: ModbusClientMixin.convert_from_registers(words[: 2 * count], library)
    )
    return {
        "guard_values": len(guard.decoder.registers),
        "guard_us": round(_best_us(lambda: guard.decoder.decode(payload)), 2),
        "floats": count,
        "floats_us": round(ours_us, 2),
        "floats_against_pymodbus": round(ours_us / theirs_us, 2),
    }


def _best_us(call: object, *, number: int = 5_000) -> float:
    timer = timeit.Timer(call)  # type: ignore[arg-type]
    return min(timer.repeat(repeat=7, number=number)) / number * 1e6


def measure() -> dict[str, object]:
    """Return the figures of design §9's row of serial lines, and of decoding."""
    gcc = shutil.which("gcc")
    if gcc is None or not HEADER.exists():
        return {"decoding": measure_decoding(), "lines": NEEDED}
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "libmodbus_server"
        subprocess.run([gcc, "-O1", "-o", program, SERVER, "-lmodbus"], check=True)
        lines = {f"{baud} {form}": measure_line(program, baud, form, s) for baud, form, s in LINES}
    return {"lines": lines, "decoding": measure_decoding()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        character_s, silence_s, turnaround_s = map(float, sys.argv[2:])
        be_wire(
            sys.argv[1],
            LineCost(character_s=character_s, silence_s=silence_s, turnaround_s=turnaround_s),
        )
    else:
        print(json.dumps(measure(), indent=2))
