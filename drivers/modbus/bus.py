"""The strict Modbus bus: one line, one question at a time, and no answer that is not its own.

pymodbus, used plainly, hands a late answer to the next question, does not look at function and
length, and leaves the caller of a lost connection waiting. Here it carries bytes (`link`); which
frame answers is decided in `frames`, how units are asked in `roster`.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from drivers.modbus.blocks import Span
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import (
    BusDownError,
    DeviceExceptionError,
    ModbusError,
    NoAnswerError,
)
from drivers.modbus.frames import Ask
from drivers.modbus.link import Link
from drivers.modbus.question import (
    Answer,
    BusTiming,
    Outcome,
    ReadRequest,
    Request,
    WriteRequest,
)
from drivers.modbus.roster import Roster
from drivers.modbus.unit import Health
from drivers.modbus.waiting import Job, WaitingRoom
from gateway.ports import Clock

_log = logging.getLogger(__name__)

MAX_WAITING_COUNT = 1_000
REFUSAL_PACE_S = 0.05
LONGEST_HOLD_S = 1.0
FIRST_RETRY_S = 0.25


def retry_pause_s(attempt_count: int, *, max_s: float) -> float:
    """Return the pause after so many attempts to connect in a row that brought nothing."""
    doublings = min(attempt_count - 1, 32)  # A bus may be down for years.
    return min(max_s, FIRST_RETRY_S * 2.0**doublings)


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
        self._link: Link | None = None
        self._waiting = WaitingRoom()
        self._roster = Roster(self._timing, is_serial=isinstance(endpoint, SerialEndpoint))
        self._fruitless_count = 0
        self._retry_at_s = 0.0
        self._stuck: Link | None = None
        self._gap_s = max(self._timing.min_gap_s, endpoint.cost.silence_s)
        self._is_running = False
        self._is_closed = False
        self._is_down = False

    def health(self, unit: int) -> Health:
        """Return how a unit answers."""
        return self._roster.health(unit)

    async def read(self, request: ReadRequest) -> Answer:
        """Ask for registers and return them.

        Cancelling the caller never touches the wire: the answer is awaited and dropped.

        Raises:
            NoAnswerError: no answer in time, or the unit is mute and its next probe not due.
            BadAnswerError: the answer was not to this question.
            DeviceExceptionError: the unit refused.
            BusDownError: there is no connection, or it was lost.
        """
        (outcome,) = await self._ask_together((request,))
        if isinstance(outcome, DeviceExceptionError):
            raise outcome
        return outcome

    async def write(self, request: WriteRequest) -> None:
        """Set a coil or a register; return once the unit has repeated place and value.

        That is no proof that it has done so: read it back. After a failure it may have, too.

        Raises:
            NoAnswerError, BadAnswerError, DeviceExceptionError, BusDownError: as `read`.
        """
        (outcome,) = await self._ask_together((request,))
        if isinstance(outcome, DeviceExceptionError):
            raise outcome

    async def read_together(self, requests: Sequence[ReadRequest]) -> tuple[Outcome, ...]:
        """Ask one unit several questions with nobody's in between, and return what it said.

        A refusal is an outcome like another: it tells of those registers only.

        Raises:
            NoAnswerError, BadAnswerError, BusDownError: as `read`; the rest is not asked.
        """
        return await self._ask_together(requests)

    async def _ask_together(self, requests: Sequence[Request]) -> tuple[Outcome, ...]:
        try:
            if self._is_closed:
                raise BusDownError(f"{self.name}: the bus is closed")
            if len(self._waiting) >= MAX_WAITING_COUNT:
                raise NoAnswerError(f"{self.name}: {MAX_WAITING_COUNT} questions wait already")
            self._roster.refuse_early(requests[0].unit, now_s=self._clock.monotonic_s())
        except ModbusError:
            # A caller that tries again at once must not keep the others from running.
            await self._clock.sleep_s(REFUSAL_PACE_S)
            raise
        return await self._waiting.enter(requests)

    async def run(self) -> None:
        """Serve the questions, in order of priority and arrival, until cancelled."""
        if self._is_running:
            raise RuntimeError(f"{self.name}: the bus is running already")
        self._is_running = True
        job: Job | None = None
        try:
            while True:
                job = await self._waiting.call_next()
                await self._serve(job)
                _raise_if_cancelled()
        finally:
            self._is_closed = True
            self._drop_link()
            closed = BusDownError(f"{self.name}: the bus is closed")
            if job is not None:
                job.fail(closed)
            self._waiting.send_away(closed)

    async def _serve(self, job: Job) -> None:
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
            job.fail(error)
        else:
            job.settle(outcomes)

    async def _connected_link(self) -> Link:
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
            self._waiting.send_away(BusDownError(str(error)))
            raise
        finally:
            # A connection that brings an answer is forgiven.
            self._retry_at_s = self._clock.monotonic_s() + pause_s
        if self._is_down:
            _log.info("bus %s is up again: %s", self.name, self.endpoint)
        self._is_down = False
        self._link = link
        if isinstance(self.endpoint, SerialEndpoint):
            # Whoever had the line before us may have asked, and not waited for the answer: in a
            # shape that is ours it would pass for the answer to our first question.
            await self._wait_until(self._clock.monotonic_s() + self._timing.opening_s)
            await self._hold(link)
        self.connection += 1
        return link

    async def _open_link(self) -> Link:
        if self._stuck is not None and self._stuck.is_stuck:
            raise BusDownError(self.endpoint.explain(TimeoutError()))
        link = self._stuck = Link(self.endpoint, self._clock)
        await link.open(self._timing.connect_timeout_s)
        return link

    async def _exchange(self, link: Link, request: Request) -> Answer:
        window = self._roster.choose_window(request, now_s=self._clock.monotonic_s())
        if self._roster.is_repeat(request, window):
            await self._hold(link)
        await self._wait_for_silence(link)
        ask = _ask_of(request, window)
        # What the characters take is no silence of the unit.
        frames_s = self.endpoint.cost.frames_s(ask.byte_count)
        limit_s = self._roster.timeout_s(request.unit) + frames_s
        try:
            heard = await link.ask(ask, window.address, limit_s=limit_s)
        except ModbusError as error:
            await self._recover(link, error)
            now_s = self._clock.monotonic_s()
            self._roster.note_failure(request, window, error, now_s=now_s, frames_s=frames_s)
            raise
        self._retry_at_s = self._fruitless_count = 0
        took_s = heard.heard_s - heard.sent_s
        self._roster.note_answer(request, window, now_s=heard.heard_s, took_s=took_s)
        if isinstance(request, WriteRequest) and isinstance(self.endpoint, SerialEndpoint):
            # An adapter may repeat what it sends: then the unit's own answer is still to come.
            await self._hold(link)
        return Answer(
            window=window,
            payload=heard.payload,
            at_s=(heard.sent_s + heard.heard_s) / 2,
            connection=self.connection,
        )

    async def _recover(self, link: Link, error: ModbusError) -> None:
        """Make the line fit for the next question after one that failed."""
        if isinstance(error, DeviceExceptionError):
            self._retry_at_s = self._fruitless_count = 0  # Somebody is there.
        elif isinstance(self.endpoint, TcpEndpoint) or not link.is_up:
            self._drop_link()
        else:
            link.withdraw()
            await self._hold(link)

    async def _hold(self, link: Link) -> None:
        """Wait until a late answer has passed and the line is quiet, but not for ever."""
        give_up_s = self._clock.monotonic_s() + LONGEST_HOLD_S
        held_from_s = self._clock.monotonic_s()
        while (now_s := self._clock.monotonic_s()) < give_up_s:
            quiet_at_s = max(held_from_s, link.active_s) + self._timing.drain_s
            if quiet_at_s <= now_s:
                return
            await self._clock.sleep_s(quiet_at_s - now_s)

    async def _wait_for_silence(self, link: Link) -> None:
        """Keep the silence between frames that a serial unit needs to find their beginning.

        On the network there is none, unless somebody asked for a pause.
        """
        await self._wait_until(link.active_s + self._gap_s)

    async def _wait_until(self, at_s: float) -> None:
        # A sleep may end a millisecond early.
        while (delay_s := at_s - self._clock.monotonic_s()) > 0:
            await self._clock.sleep_s(delay_s)

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _ask_of(request: Request, window: Span) -> Ask:
    """Return what an answer must match."""
    echo = request.echo if isinstance(request, WriteRequest) else b""
    return Ask(
        unit=request.unit, function_code=request.function_code, count=window.count, echo=echo
    )


def _raise_if_cancelled() -> None:
    """Raise the cancellation that got lost on the way.

    `asyncio.wait_for`, which pymodbus uses, drops it before Python 3.12 if what it waits for is
    done at the same moment; the bus would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
