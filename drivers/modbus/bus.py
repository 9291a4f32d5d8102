"""The strict Modbus bus: one line, one question at a time, and no answer that is not its own.

pymodbus, used plainly, hands a late answer to the next question, does not look at function and
length, and leaves the caller of a lost connection waiting. Here it carries bytes; which frame
answers is decided in `frames`, how units are asked in `roster`. The only importer of pymodbus.
"""

import asyncio
import heapq
import itertools
import logging
import os
import termios
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.transport.serialtransport import SerialTransport

from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import (
    BadAnswerError,
    BusDownError,
    DeviceExceptionError,
    ModbusError,
    NoAnswerError,
)
from drivers.modbus.frames import (
    EXCEPTION_BIT,
    Ask,
    NotModbusError,
    find_rtu_answer,
    find_tcp_answer,
    shown,
)
from drivers.modbus.question import Answer, BusStatistics, BusTiming, Outcome, ReadRequest
from drivers.modbus.roster import Roster
from drivers.modbus.unit import Health
from gateway.ports import Clock

_log = logging.getLogger(__name__)
# What pymodbus would say of each lost frame, the bus says once, and in words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

MAX_WAITING_COUNT = 1_000
LIBRARY_TIMEOUT_S = 3_600.0  # Out of the way: the bus keeps the time.
REFUSAL_PACE_S = 0.05
LONGEST_HOLD_S = 1.0
FIRST_RETRY_S = 0.25
PTY_MAJORS = range(136, 144)  # Linux, Documentation/admin-guide/devices.txt: Unix98 PTY slaves.

_Opened = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]


@dataclass(slots=True, order=True)
class _Job:
    """Questions in the queue, to one unit, to be asked one straight after the other."""

    priority: int
    number: int
    requests: tuple[ReadRequest, ...] = field(compare=False)
    outcomes: asyncio.Future[tuple[Outcome, ...]] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """A frame that answers, cut down to its payload, and when it was asked and heard."""

    payload: bytes
    sent_s: float
    heard_s: float


class _Link:
    """One connection, from its opening to its end; it is never opened again."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._is_up = False
        self._ask: Ask | None = None
        self._wait: asyncio.Timeout | None = None
        self._transaction = b""
        self._frame = b""
        self._fault: ModbusError | None = None
        self._stray = b""
        self._sent_s = self.active_s = clock.monotonic_s()
        self._client = self._make_client()
        self._connect_socket: Callable[[], Coroutine[Any, Any, _Opened]] = (
            self._client.ctx.call_create
        )
        # pymodbus logs why a connection failed and returns False: listen in.
        self._client.ctx.call_create = self._create
        self._why: BaseException = TimeoutError()
        self._opening: asyncio.Future[SerialTransport] | None = None

    @property
    def is_up(self) -> bool:
        """Say whether the connection stands, as far as the machine knows."""
        return self._is_up and self._client.connected

    @property
    def is_stuck(self) -> bool:
        """Say whether the thread that opens the device has still not come back."""
        return self._opening is not None and not self._opening.done()

    def _make_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        hooks: dict[str, Any] = {
            "retries": 0,
            "reconnect_delay": 0,
            "timeout": LIBRARY_TIMEOUT_S,
            "trace_packet": self._on_packet,
            "trace_connect": self._on_connect,
        }
        match self._endpoint:
            case TcpEndpoint(host=host, port=port):
                return AsyncModbusTcpClient(host, port=port, framer=FramerType.SOCKET, **hooks)
            case SerialEndpoint() as line:
                return AsyncModbusSerialClient(
                    line.port,
                    framer=FramerType.RTU,
                    baudrate=line.baud,
                    bytesize=line.data_bits,
                    parity=line.parity,
                    stopbits=line.stop_bits,
                    **hooks,
                )

    async def _create(self) -> _Opened:
        try:
            if isinstance(self._endpoint, SerialEndpoint):
                return await self._open_serial(self._endpoint)
            return await self._connect_socket()
        except OSError as error:
            self._why = error
            raise

    async def _open_serial(self, line: SerialEndpoint) -> _Opened:
        """Open the device in a thread: an adapter may take its time, the loop may not."""
        loop = asyncio.get_running_loop()
        self._opening = opening = loop.run_in_executor(
            None,
            partial(
                SerialTransport,
                loop,
                self._client.ctx,
                line.port,
                line.baud,
                line.data_bits,
                "N" if _is_pseudo_terminal(line.port) else line.parity,
                line.stop_bits,
                LIBRARY_TIMEOUT_S,
            ),
        )
        try:
            transport = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except (termios.error, ValueError) as error:
            raise OSError(*error.args) from error
        transport.setup()
        return transport, self._client.ctx

    async def open(self, limit_s: float) -> None:
        """Connect.

        Raises:
            BusDownError: with the reason in words.
        """
        try:
            async with asyncio.timeout(limit_s):
                is_open = await self._client.connect()
        except TimeoutError:
            is_open = False
        except BaseException:
            self._client.close()
            raise
        if not is_open:
            self._client.close()
            raise BusDownError(self._endpoint.explain(self._why))
        self._is_up = True

    def close(self) -> None:
        """Drop the connection at once."""
        self._is_up = False
        transport = cast("asyncio.Transport | None", self._client.ctx.transport)
        self._client.close()
        if transport is not None:
            transport.abort()

    async def ask(self, ask: Ask, address: int, *, limit_s: float) -> _Heard:
        """Ask one question and wait for its answer.

        Raises:
            NoAnswerError: nothing that answers was heard in time.
            BadAnswerError: what was heard can not be the answer.
            BusDownError: the connection was lost meanwhile.
            DeviceExceptionError: the unit, or a gateway for it, refused.
        """
        what = f"unit {ask.unit}, registers {address}-{address + ask.count - 1}"
        call = {
            3: self._client.read_holding_registers,
            4: self._client.read_input_registers,
        }[ask.function_code]
        self._ask, self._frame, self._fault, self._stray = ask, b"", None, b""
        try:
            async with asyncio.timeout(limit_s) as self._wait:
                await call(address, count=ask.count, device_id=ask.unit)
        except TimeoutError:
            pass
        except (ModbusException, OSError) as error:
            self._fault = self._fault or BusDownError(f"{self._endpoint}: {error}")
        finally:
            self._ask = self._wait = None
        if self._fault is not None:
            raise type(self._fault)(f"{what}: {self._fault}")
        if not self._frame and self._stray:
            raise BadAnswerError(f"{what}: heard {shown(self._stray)}, which does not answer")
        if not self._frame:
            raise NoAnswerError(f"{what}: no answer within {limit_s:.2g} s")
        return self._judge(what, ask)

    def _judge(self, what: str, ask: Ask) -> _Heard:
        start = 0 if isinstance(self._endpoint, SerialEndpoint) else 6
        code = self._frame[start + 1]
        if code & EXCEPTION_BIT:
            raise DeviceExceptionError(what, self._frame[start + 2])
        payload = self._frame[start + 3 : start + 3 + 2 * ask.count]
        return _Heard(payload=payload, sent_s=self._sent_s, heard_s=self.active_s)

    def _on_connect(self, is_connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not is_connected:
            self._is_up = False
            self._give_up(BusDownError(f"{self._endpoint}: the connection was lost"))

    def _on_packet(self, is_sent: bool, data: bytes) -> bytes:  # noqa: FBT001 - the same
        """Let pymodbus have the one frame that answers, and nothing else."""
        self.active_s = self._clock.monotonic_s()
        if is_sent:
            self._transaction, self._sent_s = data[:2], self.active_s
            return data
        if self._ask is None or self._frame or self._fault:
            return b""
        self._stray = data
        try:
            if isinstance(self._endpoint, SerialEndpoint):
                frame = find_rtu_answer(data, self._ask)
            else:
                frame = find_tcp_answer(data, self._ask, self._transaction)
        except NotModbusError as error:
            self._give_up(BadAnswerError(str(error)))
            return b""
        self._frame = frame or b""
        return self._frame

    def _give_up(self, fault: ModbusError) -> None:
        """End the wait in `ask` now."""
        if self._ask is not None and self._fault is None:
            self._fault = fault
            if self._wait is not None and not self._wait.expired():
                self._wait.reschedule(asyncio.get_running_loop().time())


def retry_pause_s(attempt_count: int, *, max_s: float) -> float:
    """Return the pause after so many attempts to connect in a row that brought nothing."""
    doublings = min(attempt_count - 1, 32)  # A bus may be down for years.
    return min(max_s, FIRST_RETRY_S * 2.0**doublings)


def _is_pseudo_terminal(port: str) -> bool:
    """Say whether a device has no wire, and so no parity: Linux refuses to set one."""
    try:
        return os.major(os.stat(port).st_rdev) in PTY_MAJORS  # noqa: PTH116 - a device, not a file
    except OSError:
        return False


def _close_unwanted(opening: asyncio.Future[SerialTransport]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().sync_serial.close()


class Bus:
    """A Modbus line and everything that is asked over it.

    `run` must run, as a task, for `read` to get answers. There is never more than one
    connection, and never more than one question on it.
    """

    def __init__(
        self, name: str, endpoint: Endpoint, *, clock: Clock, timing: BusTiming | None = None
    ) -> None:
        self.name: Final = name
        self.endpoint: Final = endpoint
        self.connection = 0
        self._clock = clock
        self._timing = timing or BusTiming()
        self._link: _Link | None = None
        self._jobs: list[_Job] = []
        self._numbers = itertools.count()
        self._has_work = asyncio.Event()
        self._roster = Roster(self._timing, is_serial=isinstance(endpoint, SerialEndpoint))
        self._statistics = BusStatistics()
        self._fruitless_count = 0
        self._retry_at_s = 0.0
        self._stuck: _Link | None = None
        self._gap_s = max(self._timing.min_gap_s, endpoint.cost.silence_s)
        self._is_running = False
        self._is_closed = False
        self._is_down = False

    def health(self, unit: int) -> Health:
        """Return how a unit answers."""
        return self._roster.health(unit)

    def statistics(self) -> BusStatistics:
        """Return what the bus has done so far."""
        return self._statistics

    async def read(self, request: ReadRequest) -> Answer:
        """Ask for registers and return them.

        Cancelling the caller never touches the wire: the answer is awaited and dropped.

        Raises:
            NoAnswerError: no answer in time, or the unit is mute and its next probe not due.
            BadAnswerError: the answer was not to this question.
            DeviceExceptionError: the unit refused.
            BusDownError: there is no connection, or it was lost.
        """
        (outcome,) = await self.read_together((request,))
        if isinstance(outcome, DeviceExceptionError):
            raise outcome
        return outcome

    async def read_together(self, requests: Sequence[ReadRequest]) -> tuple[Outcome, ...]:
        """Ask one unit several questions with nobody's in between, and return what it said.

        A refusal is an outcome like another: it tells of those registers only.

        Raises:
            NoAnswerError, BadAnswerError, BusDownError: as `read`; the rest is not asked.
        """
        try:
            if self._is_closed:
                raise BusDownError(f"{self.name}: the bus is closed")
            if len(self._jobs) >= MAX_WAITING_COUNT:
                raise NoAnswerError(f"{self.name}: {MAX_WAITING_COUNT} questions wait already")
            self._roster.refuse_early(requests[0].unit, now_s=self._clock.monotonic_s())
        except ModbusError:
            # A caller that tries again at once must not keep the others from running.
            await self._clock.sleep_s(REFUSAL_PACE_S)
            raise
        outcomes: asyncio.Future[tuple[Outcome, ...]] = asyncio.get_running_loop().create_future()
        job = _Job(requests[0].priority, next(self._numbers), tuple(requests), outcomes)
        heapq.heappush(self._jobs, job)
        self._has_work.set()
        return await outcomes

    async def run(self) -> None:
        """Serve the questions, in order of priority and arrival, until cancelled."""
        if self._is_running:
            raise RuntimeError(f"{self.name}: the bus is running already")
        self._is_running = True
        job: _Job | None = None
        try:
            while True:
                job = await self._next_job()
                await self._serve(job)
                _raise_if_cancelled()
        finally:
            self._is_closed = True
            self._drop_link()
            closed = BusDownError(f"{self.name}: the bus is closed")
            for waiting in [*self._jobs, *([job] if job else [])]:
                _fail(waiting, closed)
            self._jobs.clear()

    async def _next_job(self) -> _Job:
        while True:
            while self._jobs:
                job = heapq.heappop(self._jobs)
                if not job.outcomes.done():
                    return job
            self._has_work.clear()
            await self._has_work.wait()

    async def _serve(self, job: _Job) -> None:
        outcomes: list[Outcome] = []
        try:
            for request in job.requests:
                self._roster.refuse_early(request.unit, now_s=self._clock.monotonic_s())
                link = await self._connected_link()
                try:
                    outcomes.append(await self._exchange(link, request))
                except DeviceExceptionError as error:
                    outcomes.append(error)
        except ModbusError as error:
            _fail(job, error)
        else:
            if not job.outcomes.done():
                job.outcomes.set_result(tuple(outcomes))

    async def _connected_link(self) -> _Link:
        """Return a link that stands; if there is none, wait for the time to try and try once.

        Raises:
            BusDownError: the attempt failed; whoever waits is told so at the same time.
        """
        if self._link is not None and self._link.is_up:
            return self._link
        self._drop_link()
        await self._wait_until(self._retry_at_s)
        self._fruitless_count += 1
        pause_s = retry_pause_s(self._fruitless_count, max_s=self._timing.retry_max_s)
        try:
            link = await self._open_link()
        except BusDownError as error:
            if not self._is_down:
                _log.warning("bus %s is down: %s", self.name, error)
            self._is_down = True
            for job in self._jobs:
                _fail(job, BusDownError(str(error)))
            raise
        finally:
            # A connection that brings an answer is forgiven.
            self._retry_at_s = self._clock.monotonic_s() + pause_s
        if self._is_down:
            _log.info("bus %s is up again: %s", self.name, self.endpoint)
        self._is_down = False
        self._link = link
        self.connection += 1
        self._count(connections=1)
        return link

    async def _open_link(self) -> _Link:
        if self._stuck is not None and self._stuck.is_stuck:
            raise BusDownError(self.endpoint.explain(TimeoutError()))
        link = self._stuck = _Link(self.endpoint, self._clock)
        await link.open(self._timing.connect_timeout_s)
        return link

    async def _exchange(self, link: _Link, request: ReadRequest) -> Answer:
        window = self._roster.choose_window(request, now_s=self._clock.monotonic_s())
        if self._roster.is_repeat(request, window):
            await self._hold(link)
        await self._wait_for_silence(link)
        ask = Ask(unit=request.unit, function_code=request.function_code, count=window.count)
        limit_s = self._roster.timeout_s(request.unit)
        started_s = self._clock.monotonic_s()
        try:
            heard = await link.ask(ask, window.address, limit_s=limit_s)
        except ModbusError as error:
            await self._recover(link, error)
            now_s = self._clock.monotonic_s()
            self._roster.note_failure(request, window, error, now_s=now_s)
            self._count_failure(error, busy_s=now_s - started_s)
            raise
        self._retry_at_s = self._fruitless_count = 0
        took_s = heard.heard_s - heard.sent_s
        self._roster.note_answer(request, window, now_s=heard.heard_s, took_s=took_s)
        self._count(asked=1, answered=1, busy_s=took_s)
        return Answer(
            window=window,
            payload=heard.payload,
            at_s=(heard.sent_s + heard.heard_s) / 2,
            connection=self.connection,
        )

    async def _recover(self, link: _Link, error: ModbusError) -> None:
        """Make the line fit for the next question after one that failed."""
        if isinstance(error, DeviceExceptionError):
            self._retry_at_s = self._fruitless_count = 0  # Somebody is there.
        elif isinstance(self.endpoint, TcpEndpoint) or not link.is_up:
            self._drop_link()
        else:
            await self._hold(link)

    async def _hold(self, link: _Link) -> None:
        """Wait until a late answer has passed and the line is quiet, but not for ever."""
        give_up_s = self._clock.monotonic_s() + LONGEST_HOLD_S
        held_from_s = self._clock.monotonic_s()
        while (now_s := self._clock.monotonic_s()) < give_up_s:
            quiet_at_s = max(held_from_s, link.active_s) + self._timing.drain_s
            if quiet_at_s <= now_s:
                return
            await self._clock.sleep_s(quiet_at_s - now_s)

    async def _wait_for_silence(self, link: _Link) -> None:
        """Keep the silence between frames that a serial unit needs to find their beginning."""
        if isinstance(self.endpoint, TcpEndpoint):
            return
        await self._wait_until(link.active_s + self._gap_s)

    async def _wait_until(self, at_s: float) -> None:
        # A sleep may end a millisecond early.
        while (delay_s := at_s - self._clock.monotonic_s()) > 0:
            await self._clock.sleep_s(delay_s)

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _count_failure(self, error: ModbusError, *, busy_s: float) -> None:
        match error:
            case DeviceExceptionError():
                self._count(asked=1, refused=1, busy_s=busy_s)
            case BadAnswerError():
                self._count(asked=1, bad=1, busy_s=busy_s)
            case _:
                self._count(asked=1, unanswered=1, busy_s=busy_s)

    def _count(self, *, busy_s: float = 0.0, **more: int) -> None:
        before = self._statistics
        counted = {name: getattr(before, name) + count for name, count in more.items()}
        self._statistics = replace(before, busy_s=before.busy_s + busy_s, **counted)


def _raise_if_cancelled() -> None:
    """Raise the cancellation that got lost on the way.

    `asyncio.wait_for`, which pymodbus uses, drops it before Python 3.12 if what it waits for is
    done at the same moment; the bus would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _fail(job: _Job, error: ModbusError) -> None:
    if not job.outcomes.done():
        job.outcomes.set_exception(error)
