"""The bus against peers that answer late, short, twice, wrongly, in pieces or not at all."""

# ruff: noqa: SIM117 - a peer, and on it a bus, are two steps

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus, retry_pause_s
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import (
    BadAnswerError,
    BusDownError,
    DeviceExceptionError,
    ModbusError,
    NoAnswerError,
)
from drivers.modbus.frames import crc16
from drivers.modbus.question import Answer, BusTiming, Priority, ReadRequest
from drivers.modbus.unit import Health
from gateway.adapters.clock import SystemClock
from tests.support.modbus_peers import (
    IMPATIENT,
    Act,
    HangUp,
    PtyPeer,
    Say,
    TcpPeer,
    hexed,
    running_bus,
)

# An SDM630 on unit 1: registers 0-1 hold 230.2 V as a float. Literal frames, made with other tools.
QUESTION_RTU = hexed("01 04 00 00 00 02 71 cb")
ANSWER_RTU = hexed("01 04 04 43 66 33 34 1b 38")
ANSWER_TCP = hexed("00 01 00 00 00 07 01 04 04 43 66 33 34")
VOLTAGE = hexed("43 66 33 34")


def ask(address: int = 0, count: int = 2, *spare: int, unit: int = 1) -> ReadRequest:
    windows = tuple(Span(address=address, count=n) for n in (count, *spare))
    return ReadRequest(unit=unit, function_code=4, windows=windows)


def serial(peer: PtyPeer) -> SerialEndpoint:
    return SerialEndpoint(port=peer.path, baud=115_200)


def network(peer: TcpPeer) -> TcpEndpoint:
    return TcpEndpoint(host="127.0.0.1", port=peer.port)


def echo_addresses(question: bytes) -> bytes:
    """Return the serial answer of a device each of whose registers holds its own address."""
    address, count = struct.unpack(">HH", question[2:6])
    body = question[:2] + bytes((2 * count,))
    body += b"".join(struct.pack(">H", address + i) for i in range(count))
    return body + crc16(body)


def as_tcp(question: bytes, frame: bytes) -> bytes:
    """Return a serial frame as the network answer to `question`."""
    return question[:4] + struct.pack(">H", len(frame) - 2) + frame[:-2]


def addresses(answer: Answer) -> list[int]:
    return [word for (word,) in struct.iter_unpack(">H", answer.payload)]


def test_a_serial_question_and_answer_are_those_of_the_standard() -> None:
    async def poll() -> tuple[Answer, list[bytes]]:
        async with PtyPeer(lambda _: [Say(frame=ANSWER_RTU)]) as peer:
            async with running_bus(serial(peer)) as bus:
                return await bus.read(ask()), peer.asked

    answer, asked = asyncio.run(poll())

    assert asked == [QUESTION_RTU]
    assert answer.payload == VOLTAGE


def test_a_network_question_and_answer_are_those_of_the_standard() -> None:
    async def poll() -> tuple[Answer, list[bytes]]:
        async with TcpPeer(lambda _: [Say(frame=ANSWER_TCP)]) as peer:
            async with running_bus(network(peer)) as bus:
                return await bus.read(ask()), peer.asked

    answer, asked = asyncio.run(poll())

    assert asked == [hexed("00 01 00 00 00 06 01 04 00 00 00 02")]
    assert answer.payload == VOLTAGE


def test_an_answer_is_dated_between_question_and_answer() -> None:
    async def poll() -> tuple[float, Answer, float]:
        clock = SystemClock()
        async with PtyPeer(lambda _: [Say(frame=ANSWER_RTU, after_s=0.03)]) as peer:
            async with running_bus(serial(peer)) as bus:
                before_s = clock.monotonic_s()
                return before_s, await bus.read(ask()), clock.monotonic_s()

    before_s, answer, after_s = asyncio.run(poll())

    assert before_s < answer.at_s < after_s - 0.01


SERIAL_FAULTS: dict[str, tuple[str, type[ModbusError]]] = {
    "mute": ("", NoAnswerError),
    "short: one register of two": ("01 04 02 43 66 08 2a", BadAnswerError),
    "cut off": ("01 04 04 43 66", BadAnswerError),
    "wrong function": ("01 03 04 43 66 33 34 1a 8f", BadAnswerError),
    "unknown function": ("01 2b 04 43 66 33 34 1a 8f", BadAnswerError),
    "wrong unit": ("02 04 04 43 66 33 34 28 38", BadAnswerError),
    "a bit turned": ("01 04 04 43 66 33 35 1b 38", BadAnswerError),
    "only its own echo": ("01 04 00 00 00 02 71 cb", BadAnswerError),
    "noise": ("00 ff ff 00 55 aa", BadAnswerError),
    "refused": ("01 84 02 c2 c1", DeviceExceptionError),
}


@pytest.mark.parametrize("fault", SERIAL_FAULTS)
def test_on_a_serial_line_a_fault_is_an_error_and_the_next_poll_is_right(fault: str) -> None:
    frame, error = SERIAL_FAULTS[fault]

    async def poll() -> Answer:
        answers = iter([hexed(frame), ANSWER_RTU])
        async with PtyPeer(lambda _: [Say(frame=next(answers))]) as peer:
            async with running_bus(serial(peer)) as bus:
                with pytest.raises(error):
                    await bus.read(ask())
                # The same shape is in doubt until the late answer can no longer come.
                while True:
                    try:
                        return await bus.read(ask())
                    except NoAnswerError as doubt:
                        assert "late answers" in str(doubt)  # noqa: PT017 - nothing else may fail
                        await asyncio.sleep(0.02)

    assert asyncio.run(poll()).payload == VOLTAGE


NETWORK_FAULTS: dict[str, tuple[list[Act], type[ModbusError]]] = {
    "mute": ([], NoAnswerError),
    "short: one register of two": (
        [Say(frame=hexed("0001 0000 0005 01 04 02 4366"))],
        BadAnswerError,
    ),
    "cut off": ([Say(frame=ANSWER_TCP[:-1])], BadAnswerError),
    "wrong function": ([Say(frame=hexed("0001 0000 0007 01 03 04 43663334"))], BadAnswerError),
    "unknown function": ([Say(frame=hexed("0001 0000 0007 01 2b 04 43663334"))], BadAnswerError),
    "wrong unit": ([Say(frame=hexed("0001 0000 0007 02 04 04 43663334"))], BadAnswerError),
    "wrong transaction": ([Say(frame=hexed("0002 0000 0007 01 04 04 43663334"))], BadAnswerError),
    "transaction 0": ([Say(frame=hexed("0000 0000 0007 01 04 04 43663334"))], BadAnswerError),
    "not Modbus": ([Say(frame=b"HTTP/1.1 400 Bad Request\r\n\r\n")], BadAnswerError),
    "reset": ([HangUp()], BusDownError),
    "reset halfway": ([Say(frame=ANSWER_TCP[:6]), HangUp(after_s=0.01)], BusDownError),
    "refused": ([Say(frame=hexed("0001 0000 0003 01 84 06"))], DeviceExceptionError),
}


@pytest.mark.parametrize("fault", NETWORK_FAULTS)
def test_on_the_network_a_fault_is_an_error_and_the_next_poll_is_right(fault: str) -> None:
    acts, error = NETWORK_FAULTS[fault]

    async def poll() -> Answer:
        def script(question: bytes) -> Sequence[Act]:
            right = [Say(frame=question[:2] + ANSWER_TCP[2:])]
            return acts if len(peer.asked) == 1 else right

        async with TcpPeer(script) as peer:
            async with running_bus(network(peer)) as bus:
                with pytest.raises(error):
                    await bus.read(ask())
                return await bus.read(ask())

    assert asyncio.run(poll()).payload == VOLTAGE


def test_a_lost_connection_is_told_at_once_not_after_the_timeout() -> None:
    async def poll() -> None:
        async with TcpPeer(lambda _: [HangUp()]) as peer:
            async with running_bus(network(peer), BusTiming(timeout_s=3_000.0)) as bus:
                with pytest.raises(BusDownError, match="lost"):
                    await bus.read(ask())

    asyncio.run(poll())


def test_a_vanished_serial_device_is_told_at_once() -> None:
    async def poll() -> None:
        async with PtyPeer(lambda _: [HangUp()]) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=3_000.0)) as bus:
                with pytest.raises(BusDownError, match="lost"):
                    await bus.read(ask())
                with pytest.raises(BusDownError, match="does not exist"):
                    await bus.read(ask())

    asyncio.run(poll())


@pytest.mark.parametrize("piece", [1, 3])
def test_an_answer_in_pieces_is_whole(piece: int) -> None:
    async def poll() -> list[Answer]:
        patient = BusTiming(timeout_s=30.0)
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), piece=piece)]) as on_pty:
            async with running_bus(serial(on_pty), patient) as bus:
                first = await bus.read(ask(100, 40))
        async with TcpPeer(
            lambda q: [Say(frame=as_tcp(q, echo_addresses(q[6:])), piece=piece)]
        ) as on_tcp:
            async with running_bus(network(on_tcp), patient) as bus:
                return [first, await bus.read(ask(100, 40))]

    for answer in asyncio.run(poll()):
        assert addresses(answer) == list(range(100, 140))


def test_a_late_serial_answer_is_never_taken_for_a_later_question() -> None:
    """pymodbus alone hands out every answer but one to the wrong question here."""

    async def poll() -> tuple[list[tuple[int, list[int]]], int]:
        right, lost = [], 0

        def script(question: bytes) -> Sequence[Act]:
            # Every third answer comes while the next questions are asked.
            after_s = IMPATIENT.timeout_s + 0.04 if len(peer.asked) % 3 == 0 else 0.0
            return [Say(frame=echo_addresses(question), after_s=after_s)]

        async with PtyPeer(script) as peer:
            async with running_bus(serial(peer)) as bus:
                for address in range(0, 300, 10):
                    try:
                        answer = await bus.read(ask(address, 2, 3, 4, 5))
                    except ModbusError:
                        lost += 1
                        await asyncio.sleep(0.02)
                    else:
                        right.append((answer.window.address, addresses(answer)))
        return right, lost

    right, lost = asyncio.run(poll())

    assert lost > 0
    assert right
    for address, words in right:
        assert words == list(range(address, address + len(words)))


def test_an_answer_sent_twice_is_taken_once() -> None:
    async def poll() -> list[Answer]:
        def script(question: bytes) -> Sequence[Act]:
            frame = echo_addresses(question)
            # The copy comes before the answer to the next question does.
            return [Say(frame=frame, after_s=0.01), Say(frame=frame, after_s=0.018)]

        async with PtyPeer(script) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=10.0)) as bus:
                return [await bus.read(ask(address, 2, 3, 4)) for address in range(0, 100, 10)]

    for address, answer in zip(range(0, 100, 10), asyncio.run(poll()), strict=True):
        assert addresses(answer)[:2] == [address, address + 1]


def test_a_cancelled_caller_does_not_touch_the_line() -> None:
    async def poll() -> tuple[Answer, list[bytes]]:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), after_s=0.03)]) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=10.0)) as bus:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await bus.read(ask(10))
                return await bus.read(ask(20)), peer.asked

    answer, asked = asyncio.run(poll())

    assert addresses(answer) == [20, 21]
    assert len(asked) == 2


def test_who_gave_up_waiting_is_not_asked_for() -> None:
    async def poll() -> list[bytes]:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), after_s=0.05)]) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=10.0)) as bus:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(bus.read(ask(10)))
                    impatient = tasks.create_task(bus.read(ask(20)))
                    await asyncio.sleep(0.01)
                    impatient.cancel()
                    tasks.create_task(bus.read(ask(30)))
                return peer.asked

    assert [question[3] for question in asyncio.run(poll())] == [10, 30]


def test_what_guards_goes_before_what_only_counts() -> None:
    async def poll() -> list[int]:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), after_s=0.005)]) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=10.0)) as bus:
                async with asyncio.TaskGroup() as tasks:
                    for address in range(10, 20):
                        slow = ReadRequest(
                            unit=1,
                            function_code=4,
                            windows=(Span(address=address, count=2),),
                            priority=Priority.SLOW,
                        )
                        tasks.create_task(bus.read(slow))
                    await asyncio.sleep(0)
                    tasks.create_task(bus.read(ask(1)))
                return [question[3] for question in peer.asked]

    assert asyncio.run(poll()) == [10, 1, *range(11, 20)]


def test_questions_asked_together_have_nobody_in_between() -> None:
    async def poll() -> list[tuple[int, int]]:
        async with PtyPeer(lambda q: [Say(frame=echo_addresses(q), after_s=0.002)]) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=10.0)) as bus:
                async with asyncio.TaskGroup() as tasks:
                    for unit in (1, 2, 3):
                        both = (ask(10, 2, unit=unit), ask(20, 3, unit=unit))
                        tasks.create_task(bus.read_together(both))
                return [(question[0], question[3]) for question in peer.asked]

    assert asyncio.run(poll()) == [(1, 10), (1, 20), (2, 10), (2, 20), (3, 10), (3, 20)]


def test_there_is_one_connection_however_many_ask() -> None:
    async def poll() -> tuple[int, int]:
        async with TcpPeer(lambda q: [Say(frame=as_tcp(q, echo_addresses(q[6:])))]) as peer:
            async with running_bus(network(peer), BusTiming(timeout_s=10.0)) as bus:
                async with asyncio.TaskGroup() as tasks:
                    for address in range(200):
                        tasks.create_task(bus.read(ask(address)))
                return peer.connections, peer.most_open_connections

    assert asyncio.run(poll()) == (1, 1)


def test_after_a_mute_answer_the_old_socket_is_dropped_before_a_new_one_is_opened() -> None:
    async def poll() -> tuple[int, int]:
        async with TcpPeer(lambda _: []) as peer:
            async with running_bus(network(peer)) as bus:
                for unit in (1, 2, 3):
                    with pytest.raises(NoAnswerError):
                        await bus.read(ask(unit=unit))
            await asyncio.sleep(0.05)
            return peer.connections, peer.most_open_connections

    assert asyncio.run(poll()) == (3, 1)


async def _unused_port() -> int:
    async with TcpPeer(lambda _: []) as peer:
        return peer.port


@pytest.mark.parametrize("kind", ["tcp", "serial", "mute unit"])
def test_a_caller_in_a_tight_loop_does_not_starve_the_others(kind: str, tmp_path: Path) -> None:
    """pymodbus alone makes 37,000 calls here, and nobody else runs."""

    async def poll() -> tuple[int, int]:
        calls = ticks = 0

        async def hammer(bus: Bus) -> None:
            nonlocal calls
            while True:
                with contextlib.suppress(ModbusError):
                    await bus.read(ask())
                calls += 1

        async with PtyPeer(lambda _: []) as mute:
            endpoint: Endpoint = serial(mute)
            if kind == "tcp":
                endpoint = TcpEndpoint(host="127.0.0.1", port=await _unused_port())
            elif kind == "serial":
                endpoint = SerialEndpoint(port=str(tmp_path / "ttyUSB9"))
            async with running_bus(endpoint) as bus, asyncio.TaskGroup() as tasks:
                hammering = tasks.create_task(hammer(bus))
                for _ in range(50):
                    await asyncio.sleep(0.01)
                    ticks += 1
                hammering.cancel()
        return calls, ticks

    calls, ticks = asyncio.run(poll())

    assert ticks == 50
    assert 0 < calls < 100


def test_attempts_to_connect_slow_down_and_never_end() -> None:
    pauses_s = [retry_pause_s(attempt, max_s=5.0) for attempt in (1, 2, 3, 4, 5, 6, 100_000)]

    assert pauses_s == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_peer_that_comes_up_later_is_found() -> None:
    async def poll() -> Answer:
        port = await _unused_port()
        async with running_bus(TcpEndpoint(host="127.0.0.1", port=port)) as bus:
            with pytest.raises(BusDownError, match="refuses the connection"):
                await bus.read(ask())
            late = TcpPeer(lambda q: [Say(frame=as_tcp(q, echo_addresses(q[6:])))])
            late.port = port
            async with late:
                return await bus.read(ask(7))

    assert addresses(asyncio.run(poll())) == [7, 8]


def test_a_mute_unit_is_asked_ever_more_rarely_and_its_neighbours_are_not_delayed() -> None:
    async def poll() -> tuple[int, int, Health, Health]:
        def script(question: bytes) -> Sequence[Act]:
            return [Say(frame=echo_addresses(question))] if question[0] != 9 else []

        async with PtyPeer(script) as peer:
            async with running_bus(serial(peer), BusTiming(timeout_s=0.1)) as bus:
                for _ in range(40):
                    with contextlib.suppress(NoAnswerError):
                        await bus.read(ask(0, 2, 3, 4, 5, unit=9))
                    await bus.read(ask(0, 2, 3, 4, 5, unit=1))
                asked = [question[0] for question in peer.asked]
                return asked.count(9), asked.count(1), bus.health(9), bus.health(1)

    mute_count, good_count, mute, good = asyncio.run(poll())

    # Three misses make it dead; the next probe is not due before two seconds.
    assert 3 <= mute_count <= 5
    assert good_count == 40
    assert (mute, good) == (Health.DEAD, Health.OK)


def test_a_unit_that_comes_back_is_well_at_once() -> None:
    async def poll() -> list[Health]:
        def script(question: bytes) -> Sequence[Act]:
            return [Say(frame=echo_addresses(question))] if len(peer.asked) > 2 else []

        async with PtyPeer(script) as peer:
            async with running_bus(serial(peer)) as bus:
                seen = []
                for _ in range(3):
                    with contextlib.suppress(NoAnswerError):
                        await bus.read(ask(0, 2, 3, 4, 5))
                    seen.append(bus.health(1))
                return seen

    assert asyncio.run(poll()) == [Health.SUSPECT, Health.SUSPECT, Health.OK]


def test_closing_the_bus_answers_whoever_waits_and_frees_the_port() -> None:
    async def poll() -> list[BaseException | None]:
        async with PtyPeer(lambda _: []) as peer:
            timing = BusTiming(timeout_s=3_000, opening_s=0.0)
            bus = Bus("b", serial(peer), clock=SystemClock(), timing=timing)
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(bus.run(), name="bus")
                waiting = [asyncio.ensure_future(bus.read(ask(unit=u))) for u in (1, 2)]  # noqa: TID251
                await asyncio.sleep(0.05)
                serving.cancel()
            closed = await asyncio.gather(*waiting, bus.read(ask()), return_exceptions=True)
            async with running_bus(serial(peer)) as again:
                with pytest.raises(NoAnswerError):
                    await again.read(ask())
            return [error if isinstance(error, BaseException) else None for error in closed]

    errors = asyncio.run(poll())

    assert [type(error) for error in errors] == [BusDownError] * 3


def test_a_bus_ends_even_if_it_is_cancelled_at_the_moment_an_answer_comes() -> None:
    async def cancel_with_the_answer() -> bool:
        is_asked = asyncio.Event()

        def script(question: bytes) -> Sequence[Act]:
            is_asked.set()
            return [Say(frame=echo_addresses(question), after_s=0.02)]

        async with PtyPeer(script) as peer:
            timing = BusTiming(timeout_s=30.0, opening_s=0.0)
            bus = Bus("b", serial(peer), clock=SystemClock(), timing=timing)
            loop = asyncio.get_running_loop()
            serving = loop.create_task(bus.run(), name="bus")
            reading = loop.create_task(bus.read(ask()), name="reader")
            await is_asked.wait()
            assert bus._link is not None
            awaited = bus._link._client.ctx.response_future
            awaited.add_done_callback(lambda _: serving.cancel())
            await asyncio.wait({serving, reading}, timeout=10)
            return serving.cancelled() and reading.done()

    assert asyncio.run(cancel_with_the_answer())


def test_a_bus_runs_once() -> None:
    async def run_twice() -> None:
        async with PtyPeer(lambda _: []) as peer, running_bus(serial(peer)) as bus:
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="running already"):
                await bus.run()

    asyncio.run(run_twice())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: folder / "ttyUSB9", "does not exist: is the adapter plugged in"),
        (lambda folder: folder, "cannot be opened as a serial port|may not be opened"),
    ],
)
def test_a_port_that_cannot_be_opened_says_why(make: object, why: str, tmp_path: Path) -> None:
    async def poll() -> None:
        port = str(make(tmp_path))  # type: ignore[operator]
        async with running_bus(SerialEndpoint(port=port)) as bus:
            with pytest.raises(BusDownError, match=why):
                await bus.read(ask())

    asyncio.run(poll())


def test_a_serial_port_another_program_holds_says_so() -> None:
    async def poll() -> None:
        async with PtyPeer(lambda _: []) as peer:
            async with running_bus(serial(peer)) as first, running_bus(serial(peer)) as second:
                with pytest.raises(NoAnswerError):
                    await first.read(ask())
                with pytest.raises(BusDownError, match="in use by another program"):
                    await second.read(ask())

    asyncio.run(poll())
