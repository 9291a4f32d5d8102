"""Thousands of polls of lines that do everything a line can do: no value is ever a wrong one.

Every register holds a number made of its unit, function and address, so that a value of any other
question shows. The peers delay by questions, not by time: a late answer comes when a later
question is asked, so the outcome does not depend on how fast the machine is.
"""

# ruff: noqa: SIM117 - a peer, and on it a bus, are two steps

import asyncio
import contextlib
import random
import struct
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import uvloop

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus
from drivers.modbus.endpoint import SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import ModbusError
from drivers.modbus.frames import crc16
from drivers.modbus.question import ReadRequest
from tests.support.modbus_peers import IMPATIENT, Act, HangUp, PtyPeer, Say, TcpPeer, running_bus

LINES = 10
POLLS_A_LINE = 250
# What was asked and not answered is expected for ever: nothing here may hang on time.
TIMING = replace(IMPATIENT, timeout_s=0.02, drain_s=0.002, answer_life_s=1e9, retry_max_s=0.01)


def value_at(unit: int, function_code: int, address: int) -> int:
    return (unit * 7_919 + function_code * 4_099 + address * 31 + 17) % 65_536


def pdu_answer(unit: int, function_code: int, address: int, count: int) -> bytes:
    words = [value_at(unit, function_code, address + index) for index in range(count)]
    return bytes((function_code, 2 * count)) + struct.pack(f">{count}H", *words)


@dataclass
class Line:
    """A line on which each question meets a fault, or none, as the dice will."""

    dice: random.Random
    frame: Callable[[bytes, int, bytes], bytes]
    parse: Callable[[bytes], tuple[int, int, int, int]]
    faults: Sequence[str]
    seen: Counter[str] = field(default_factory=Counter)
    held_back: deque[tuple[int, bytes]] = field(default_factory=deque)

    def script(self, question: bytes) -> Sequence[Act]:
        acts: list[Act] = []
        # What was held back comes before the answer to this question.
        for _ in range(len(self.held_back)):
            waits, frame = self.held_back.popleft()
            if waits:
                self.held_back.append((waits - 1, frame))
            else:
                acts.append(Say(frame=frame))
        fault = self.dice.choice(["none"] * len(self.faults) + list(self.faults))
        self.seen[fault] += 1
        return [*acts, *self._acts(fault, question)]

    def _acts(self, fault: str, question: bytes) -> Sequence[Act]:
        unit, function_code, address, count = self.parse(question)
        right = self.frame(question, unit, pdu_answer(unit, function_code, address, count))
        wrong = self._wrong_frame(fault, question)
        match fault:
            case "mute":
                return []
            case "late":
                self.held_back.append((self.dice.randrange(4), right))
                return []
            case "refused late":
                self.held_back.append((self.dice.randrange(2), wrong))
                return []
            case "twice":
                self.held_back.append((0, right))
                return [Say(frame=right)]
            case "twice at once":
                return [Say(frame=right + right)]
            case "in pieces":
                return [Say(frame=right, piece=self.dice.choice([1, 2, 7]))]
            case "cut off":
                return [Say(frame=right[: self.dice.randrange(1, len(right))])]
            case "noise before":
                return [Say(frame=self.dice.randbytes(self.dice.randrange(1, 6)) + right)]
            case "noise behind":
                return [Say(frame=right + self.dice.randbytes(self.dice.randrange(1, 6)))]
            case "noise":
                return [Say(frame=self.dice.randbytes(self.dice.randrange(1, 40)))]
            case "reset":
                return [HangUp()]
            case "reset halfway":
                return [Say(frame=right[: len(right) // 2]), HangUp(after_s=0.001)]
            case "wrong and then right":
                return [Say(frame=wrong + right)]
            case "none":
                return [Say(frame=right)]
            case _:
                return [Say(frame=wrong)]

    def _wrong_frame(self, fault: str, question: bytes) -> bytes:
        """Return a frame that is in order, but answers another question."""
        unit, function_code, address, count = self.parse(question)
        match fault:
            case "refused" | "refused late":
                return self.frame(
                    question,
                    unit,
                    bytes((function_code | 0x80, self.dice.choice([1, 2, 4, 6, 11]))),
                )
            case "wrong unit":
                other = unit % 247 + 1
                return self.frame(question, other, pdu_answer(other, function_code, address, count))
            case "wrong function":
                return self.frame(
                    question, unit, pdu_answer(unit, 7 - function_code, address, count)
                )
            case "unknown function":
                return self.frame(
                    question, unit, b"\x2b" + pdu_answer(unit, function_code, address, count)[1:]
                )
            case "a bit turned":
                frame = bytearray(
                    self.frame(question, unit, pdu_answer(unit, function_code, address, count))
                )
                frame[self.dice.randrange(len(frame))] ^= 1 << self.dice.randrange(8)
                return bytes(frame)
            case "old transaction":
                old = bytes((question[0], question[1] ^ 0x55)) + question[2:]
                return self.frame(old, unit, pdu_answer(unit, function_code, address + 1, count))
            case _:
                shorter = max(1, count - self.dice.randrange(1, 3))
                if shorter == count:
                    shorter += 1
                return self.frame(
                    question, unit, pdu_answer(unit, function_code, address + 1, shorter)
                )


SERIAL_FAULTS = (
    "mute late twice refused noise short",
    "wrong unit|wrong function|unknown function|a bit turned|cut off|in pieces|refused late",
    "noise before|noise behind|twice at once|wrong and then right",
)
NETWORK_FAULTS = (
    "mute late twice refused short reset",
    "wrong unit|wrong function|unknown function|old transaction|cut off|in pieces|refused late",
    "twice at once|reset halfway",
)


def names(faults: tuple[str, str, str]) -> list[str]:
    return [*faults[0].split(), *faults[1].split("|"), *faults[2].split("|")]


def rtu_frame(question: bytes, unit: int, pdu: bytes) -> bytes:
    body = bytes((unit,)) + pdu
    return body + crc16(body)


def tcp_frame(question: bytes, unit: int, pdu: bytes) -> bytes:
    return question[:4] + struct.pack(">HB", 1 + len(pdu), unit) + pdu


def parse_rtu(question: bytes) -> tuple[int, int, int, int]:
    assert crc16(question[:-2]) == question[-2:], question.hex(" ")
    unit, function_code, address, count = struct.unpack(">BBHH", question[:-2])
    return unit, function_code, address, count


def parse_tcp(question: bytes) -> tuple[int, int, int, int]:
    assert len(question) == 12, question.hex(" ")
    unit, function_code, address, count = struct.unpack(">BBHH", question[6:])
    return unit, function_code, address, count


async def poll_often(
    bus: Bus, dice: random.Random, outcomes: Counter[str], poll_count: int
) -> None:
    """Ask as a restless site would, now and then walking away, and judge every answer."""
    for poll in range(poll_count):
        # A few polls in a row to each unit, so that its late answers meet questions to itself.
        first = Span(address=dice.randrange(1_000), count=dice.choice([2, 2, 2, 4]))
        request = ReadRequest(
            unit=poll // 6 % 247 + 1,
            function_code=dice.choice([3, 4, 4, 4]),
            windows=tuple(replace(first, count=first.count + n) for n in range(6)),
        )
        try:
            if dice.random() < 0.05:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await bus.read(request)
                continue
            answer = await bus.read(request)
        except ModbusError as error:
            outcomes[type(error).__name__] += 1
            continue
        expected = [
            value_at(request.unit, request.function_code, answer.window.address + index)
            for index in range(answer.window.count)
        ]
        got = list(struct.unpack(f">{len(answer.payload) // 2}H", answer.payload))
        outcomes["right" if got == expected else "WRONG"] += 1
        assert answer.window.covers(first)


async def poll_serial_line(seed: int, poll_count: int) -> tuple[Counter[str], Counter[str]]:
    dice, outcomes = random.Random(seed), Counter[str]()
    line = Line(dice=dice, frame=rtu_frame, parse=parse_rtu, faults=names(SERIAL_FAULTS))
    async with PtyPeer(line.script) as peer:
        async with running_bus(SerialEndpoint(port=peer.path, baud=115_200), TIMING) as bus:
            await poll_often(bus, random.Random(-seed), outcomes, poll_count)
    return line.seen, outcomes


async def poll_network_line(seed: int, poll_count: int) -> tuple[Counter[str], Counter[str]]:
    dice, outcomes = random.Random(seed), Counter[str]()
    line = Line(dice=dice, frame=tcp_frame, parse=parse_tcp, faults=names(NETWORK_FAULTS))
    async with TcpPeer(line.script) as peer:
        async with running_bus(TcpEndpoint(host="127.0.0.1", port=peer.port), TIMING) as bus:
            await poll_often(bus, random.Random(-seed), outcomes, poll_count)
    return line.seen, outcomes


PollLine = Callable[[int, int], Awaitable[tuple[Counter[str], Counter[str]]]]


async def poll_lines(
    poll_line: PollLine, seeds: range, poll_count: int
) -> tuple[Counter[str], Counter[str]]:
    """Poll one line for each seed, all at once; return the faults met and the outcomes."""
    both = await asyncio.gather(*(poll_line(seed, poll_count) for seed in seeds))
    return sum((seen for seen, _ in both), Counter()), sum((out for _, out in both), Counter())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("poll_line", "faults"),
    [(poll_serial_line, SERIAL_FAULTS), (poll_network_line, NETWORK_FAULTS)],
)
def test_no_reading_is_ever_wrong(
    poll_line: PollLine,
    faults: tuple[str, str, str],
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        seen, outcomes = runner.run(poll_lines(poll_line, range(1, LINES + 1), POLLS_A_LINE))

    assert outcomes["WRONG"] == 0
    assert outcomes["right"] > LINES * POLLS_A_LINE / 4
    assert set(seen) == {"none", *names(faults)}
    assert {"NoAnswerError", "BadAnswerError", "DeviceExceptionError"} <= set(outcomes)


@pytest.mark.soak
@pytest.mark.parametrize("poll_line", [poll_serial_line, poll_network_line])
def test_no_reading_of_half_a_million_is_wrong(poll_line: PollLine) -> None:
    polls_a_line, lines = 1_250, 40  # So that no unit is asked more often than it has windows.
    for seed in range(1, 401, lines):
        seeds = range(1_000 + seed, 1_000 + seed + lines)
        _, outcomes = asyncio.run(poll_lines(poll_line, seeds, polls_a_line))

        assert outcomes["WRONG"] == 0, f"seeds {seeds}"
        assert outcomes["right"] > lines * polls_a_line / 4
