"""A simulated station's side of its connection, whatever OCPP version it speaks."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from ocpp.exceptions import OCPPError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from drivers.sim.faults import FaultKind
from drivers.sim.pace import Pace
from drivers.sim.profiles import ChargingProfile, Purpose
from drivers.sim.station import Station
from drivers.sim.wire import LATE_S, READING_AFTER_S
from gateway.domain.charging import ChargingState
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationEvent,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import TransactionId

ACTS_AFTER_S = (0.05, 0.6)
BACK_OFF_S = (1.0, 30.0)  # The first wait after a lost connection, and the longest.
CONNECT_WITHIN_S = 10.0
DIES_SILENTLY_RATIO = 0.25  # A demo shows oftener what a gateway sees at once.
LEASE_S = 60.0  # Design §3: what a lease lasts, and so when it must have lapsed.

_log = logging.getLogger(__name__)
_KEPT = (TransactionStarted, TransactionEnded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Something to be said, with how its connector was when it came up.

    `context` is a ReadingContext, where it is a reading; `payload` is a message as it is, where
    it is no event.
    """

    event: StationEvent | None = None
    payload: Any = None
    context: str = "Sample.Periodic"
    is_occupied: bool = False
    charging_state: ChargingState | None = None
    transaction: TransactionId | None = None


class Point(Protocol):
    """One connection's charge point, in the words of its version."""

    async def start(self) -> None:
        """Answer what is asked until the connection is gone."""

    async def beat(self) -> None:
        """Send heartbeats until the connection is gone."""

    async def say(self, word: Word) -> None:
        """Say it, and wait for the answer."""


def is_cancelled() -> bool:
    """Return whether the present task has been cancelled, though the library may not have heard.

    It waits for answers with `asyncio.wait_for`, which before Python 3.12 loses a cancellation
    that comes in the same instant as the answer.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _HungUpError(Exception):
    """The plant has taken the connection away."""


class StationLink:
    """Keeps a station connected, says in order what it has to say, and does what it is asked.

    What says where transactions begin and end is kept until it has been answered; all else that
    is unsaid when the connection goes is forgotten.
    """

    def __init__(
        self,
        station: Station,
        pace: Pace,
        *,
        make_point: Callable[["StationLink", ClientConnection], Point],
        rng: Random,
        answer_times_s: list[float],
    ) -> None:
        """Wait for `run`; `answer_times_s` gets how long each limit took here."""
        self.station = station
        self.pace = pace
        self.rng = rng
        self.told: dict[TransactionId, int] = {}  # 1.6: the number each transaction was given.
        self.sequences: dict[TransactionId, int] = {}  # 2.0.1: of the next event of each.
        self.settings: dict[str, str] = {}  # What has been changed; see the versions' own.
        self.is_accepted = False
        self._make_point = make_point
        self._answer_times_s = answer_times_s
        self._outbox: list[Word] = []
        self._has_words = asyncio.Event()
        self._dials = asyncio.Event()
        self._hangs_up = asyncio.Event()
        self._dead: ClientConnection | None = None
        self._back_off_s = BACK_OFF_S[0]
        self._aligned_s = 0
        self._is_new = True
        self._is_over = False

    # What the plant has it say.

    def hear(self, event: StationEvent) -> None:
        """Take note of what the station says, or that it comes or goes."""
        match event:
            case StationConnected():
                self._hangs_up.clear()
                self._dials.set()
                if self._is_new:  # Somebody has just switched it on.
                    self._is_new = False
                    self.put(Word(event=self.booted(event.at_s)))
            case StationDisconnected():
                self._dials.clear()
                self._hangs_up.set()
                self._outbox = [w for w in self._outbox if isinstance(w.event, _KEPT)]
            case CapabilitiesRead():
                pass  # It is asked for them.
            case _:
                self.put(self.word(event))

    def booted(self, at_s: float) -> StationBooted:
        """Return that the station has booted."""
        return StationBooted(at_s=at_s, station=self.station.id, vendor="Sim", model="S1")

    def word(self, event: StationEvent, context: str = "Sample.Periodic") -> Word:
        """Return an event as a word, with how its connector is now."""
        match event:
            case TransactionStarted() | TransactionEnded():
                transaction: TransactionId | None = event.transaction
            case ConnectorStatusChanged() | ConnectorMetered():
                transaction = self.station.evses[event.connector.number].transaction
            case _:
                return Word(event=event)
        evse = self.station.evses[event.connector.number]
        return Word(
            event=event,
            context=context,
            is_occupied=evse.vehicle is not None,
            charging_state=evse.charging_state,
            transaction=transaction,
        )

    def put(self, word: Word) -> None:
        """Have a word said when its turn comes; a boot comes before all else."""
        is_boot = isinstance(word.event, StationBooted)
        self._outbox.insert(0 if is_boot else len(self._outbox), word)
        self._has_words.set()

    def put_later(
        self, word: Callable[[float], Word | None], *, after_s: float | None = None
    ) -> None:
        """Have a word said a little later, if there is still a connection then."""

        def act(at_s: float) -> None:
            if self.station.is_linked and (found := word(at_s)) is not None:
                self.put(found)

        if after_s is None:
            after_s = self.rng.uniform(*READING_AFTER_S)
        self.pace.world.agenda.add(self.pace.catch_up() + after_s, act)

    # What the gateway has it do.

    async def act(self) -> float:
        """Take the time a station takes before it acts; return the world's second then."""
        is_late = self.station.has(FaultKind.STATION_LATE)
        await asyncio.sleep(self.rng.uniform(*(LATE_S if is_late else ACTS_AFTER_S)))
        return self.pace.catch_up()

    def install(self, number: int, profile: ChargingProfile, *, came_s: float, at_s: float) -> str:
        """Store a profile that came at one second and is acted on at another; return "" or why not."""
        reason = self.station.install(number, profile, at_s)
        if not reason and profile.purpose is Purpose.TX:
            # By the length of a lease as designed, never by what the message says of it.
            self.station.evses[number].lease_until_s = came_s + LEASE_S
            self._answer_times_s.append(at_s - came_s)
        return reason

    def is_asked_for_reading(self, number: int | None) -> bool:
        """Return whether a reading was asked for that it can give, and give it soon."""
        numbers = [number] if number else list(self.station.evses)
        at_s = self.pace.catch_up()
        able = [n for n in numbers if n in self.station.evses and self.station.reading(n, at_s)]
        for connector in able:
            self.put_later(lambda then_s, n=connector: self._reading(n, then_s, "Trigger"))  # type: ignore[misc]
        return bool(able)

    def tell_states(self, number: int | None) -> bool:
        """Say soon how a connector is, or all of them; return whether there is such a one."""
        evses = [e for n, e in self.station.evses.items() if number in (None, 0, n)]
        for evse in evses:
            self.put_later(
                lambda at_s, evse=evse: self.word(  # type: ignore[misc]
                    ConnectorStatusChanged(at_s=at_s, connector=evse.connector.ref)
                )
            )
        return bool(evses)

    def reset_later(self) -> None:
        """Reboot, once the answer is on its way."""
        self.pace.world.agenda.add(self.pace.catch_up() + ACTS_AFTER_S[1], self.station.reset)

    def set_interval(self, interval_s: int) -> None:
        """Send meter values this often from now on, in a transaction."""
        self.station.traits = replace(self.station.traits, sample_interval_s=float(interval_s))

    def set_aligned(self, interval_s: int) -> None:
        """Send meter values at whole multiples of this by the station's clock; 0: not at all."""
        was_s, self._aligned_s = self._aligned_s, interval_s
        if not was_s and interval_s:
            self._plan_aligned(self.pace.catch_up())

    def _plan_aligned(self, at_s: float) -> None:
        shown_s = self.pace.clock_of(self.station, at_s)
        wait_s = self._aligned_s - shown_s % self._aligned_s
        self.pace.world.agenda.add(at_s + wait_s, self._sample_aligned)

    def _sample_aligned(self, at_s: float) -> None:
        if self.station.is_linked and self.station.is_powered:
            for number in self.station.evses:
                word = self._reading(number, at_s, "Sample.Clock")
                if word is not None:
                    self.put(word)
        if self._aligned_s:
            self._plan_aligned(at_s)

    def _reading(self, number: int, at_s: float, context: str) -> Word | None:
        metered = self.station.reading(number, at_s)
        return None if metered is None else self.word(metered, context)

    # The connection.

    async def run(self, url: str) -> None:
        """Be connected whenever the station is, until `close`."""
        try:
            while not self._is_over:
                await self._dials.wait()
                if not self._is_over:
                    await self._connect(url)
        finally:
            self._bury()

    def close(self) -> None:
        """Let `run` come to its end; a cancellation alone may be lost (`is_cancelled`)."""
        self._is_over = True
        self._hangs_up.set()
        self._dials.set()

    async def _connect(self, url: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                connection = await connect(
                    f"{url}/{self.station.id}",
                    subprotocols=[Subprotocol(self.station.traits.ocpp_version.value)],
                    compression=None,
                    ping_interval=None,
                    proxy=None,
                )
        except (OSError, TimeoutError, WebSocketException) as error:
            _log.info("%s cannot connect: %s", self.station.id, error)
            self._retry_later()
            return
        self._bury()
        try:
            await self._converse(connection)
        finally:
            if connection is not self._dead:
                connection.transport.abort()

    async def _converse(self, connection: ClientConnection) -> None:
        point = self._make_point(self, connection)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(point.start(), name="listen")
                tasks.create_task(self._speak(point), name="speak")
                tasks.create_task(self._watch(), name="watch")
        except* _HungUpError:
            if self.rng.random() < DIES_SILENTLY_RATIO:
                # A link that dies without a word: nothing is read, not even a ping answered.
                with suppress(RuntimeError):
                    connection.transport.pause_reading()
                self._dead = connection
        except* (ConnectionClosed, TimeoutError) as group:
            _log.info("%s has lost its connection: %s", self.station.id, group.exceptions[0])
            if not self._hangs_up.is_set():
                self._retry_later()

    async def _watch(self) -> None:
        await self._hangs_up.wait()
        raise _HungUpError

    def _retry_later(self) -> None:
        """Be without a connection for a while, twice as long each time."""
        at_s = self.pace.catch_up()
        wait_s = self._back_off_s * self.rng.uniform(0.8, 1.2)
        self._back_off_s = min(BACK_OFF_S[1], 2 * self._back_off_s)
        self._dials.clear()
        self.station.drop_link(at_s)
        self.pace.world.agenda.add(at_s + wait_s, self.station.raise_link)

    def _bury(self) -> None:
        """End the connection that died without a word: the far end has found out by now."""
        if self._dead is not None:
            self._dead.transport.abort()
            self._dead = None

    async def _speak(self, point: Point) -> None:
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(point.beat(), name="beat")
            while not self._hangs_up.is_set() and not is_cancelled():
                while not self._outbox:
                    self._has_words.clear()
                    await self._has_words.wait()
                word = self._outbox[0]
                try:
                    await point.say(word)
                except OCPPError as error:
                    _log.warning("%s: %s refused: %s", self.station.id, word, error)
                self._back_off_s = BACK_OFF_S[0]
                if self._outbox and self._outbox[0] is word:
                    del self._outbox[0]
            beating.cancel()
