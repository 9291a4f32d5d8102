"""What the server and an OCPP version's adapter are to each other.

An adapter translates one station's words, units and errors and decides nothing. It is made
once per station and version and outlives connections: the server calls `opened` with the link
of each new one. Everything runs in one event loop; nothing here is for threads.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from drivers.ocpp.remembered import Forgetful, StationPast, TransactionNumbers
from gateway.domain.charging import CompositePeriod, OcppVersion, StationCapabilities
from gateway.domain.ids import StationId, TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.tokens import TokenPolicy
from gateway.ports import Clock, Ledger, Post

CALL_DEADLINE_S: Final = 10.0  # Design §3: no acknowledgement in 10 s, and others are cut.
SAMPLE_INTERVAL_S: Final = 10
HEARTBEAT_INTERVAL_S: Final = 60
BOOT_PATIENCE_S: Final = 5.0


class Priority(IntEnum):
    """Which of the calls that wait for one station goes first."""

    SAFETY = 0  # A limit lower than the one before.
    ALLOCATION = 1  # Any other limit, and the fallback.
    TRANSACTION = 2
    INTERVIEW = 3
    DIAGNOSTICS = 4


class Link(Protocol):
    """The way to the station while one connection lasts."""

    async def call(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        key: str | None = None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> Mapping[str, object]:
        """Send a CALL when its turn comes and return the answer, checked against its schema.

        At most one call is in flight to a station. A call with a `key` takes the place of one
        that still waits under the same key. The deadline covers waiting and flight: what limits
        nothing is not sent any more when little of it is left. Cancelling the caller withdraws a call that waits; one in flight runs on, its answer unheard.

        Raises:
            CallRefusedError: the station answered with a CALLERROR.
            SupersededError: a newer call with the same key took its place.
            CallNotSentError: the deadline passed, or the queue was full, before it was sent.
            ConnectionLostError: the connection ended.
            CallUnansweredError: no readable answer by the deadline; the outcome is unknown.
            ValueError: the payload breaks its schema; nothing was sent.
        """

    def interview_again(self) -> None:
        """Have `Conversation.interview` run once more, after the present run if there is one.

        This is for handlers: it returns at once and calls nobody.
        """


Answer = Mapping[str, object] | bytes
"""The payload of a CALLRESULT: checked before it is sent, or bytes known to be valid."""


class Later(NamedTuple):
    """An answer that may be given only once something is done: the future ends it, or never does.

    A call that is sent again may wait for the same future as the one before.
    """

    answer: Answer
    after: asyncio.Future[None]


class Conversation(Protocol):
    """What a session needs of whoever speaks with its station."""

    def answer(self, action: str, payload: object) -> Answer | Later:
        """Return the answer to a CALL and post the facts in it. Calls nobody, never waits.

        `payload` is the struct of `payload_types` where the action is listed there, else a
        dict that fits the schema. Actions the version does not know never come here.

        Raises:
            RefusedError: the station gets this CALLERROR.
        """

    async def interview(self) -> None:
        """Learn and set up the station, as a task of each connection.

        Waits `boot_patience_s` for a boot and asks for one if none came, reads capabilities,
        posts them, asks for meter values. It returns when there is nothing more to do (a task
        that waits costs memory on every connection; `Link.interview_again` starts a new one)
        or ends by cancellation. Failures of the station are expected: any `StationError` ends
        it quietly.
        """


class StationAdapter(Conversation, Protocol):
    """One station in one OCPP version."""

    def opened(self, link: Link) -> None:
        """Take the link of a new connection; the one before, if any, is already closed."""

    def closed(self) -> None:
        """Forget the link: the connection is gone."""

    async def set_limit(self, number: int, limit: CurrentLimit, *, valid_for: timedelta) -> None:
        """Do as `gateway.ports.StationDriver.set_limit`; `number` is the connector's.

        A `CallRefusedError` may pass through: the server makes a `LimitRejectedError` of it.
        So for all that follow.
        """

    async def set_fallback(self, number: int, limit: CurrentLimit) -> None:
        """Do as `gateway.ports.StationDriver.set_fallback`."""

    async def request_reading(self, number: int) -> None:
        """Do as `gateway.ports.StationDriver.request_reading`."""

    async def start_transaction(self, number: int, id_token: str) -> None:
        """Ask the station to start (RemoteStart / RequestStart).

        Raises:
            LimitRejectedError: the station answered and refused.
            StationUnreachableError: no answer in time.
        """

    async def stop_transaction(self, transaction: TransactionId) -> None:
        """Ask the station to stop; raises as `start_transaction` does."""

    async def reset(self, *, is_hard: bool) -> None:
        """Ask the station to restart; raises as `start_transaction` does."""

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """Do as `gateway.ports.StationErrands.composite_schedule`."""

    @property
    def capabilities(self) -> StationCapabilities | None:
        """Return what the last interview read, None before the first."""

    @property
    def flash_writes(self) -> int:
        """Return how many profile writes went to this station's persistent memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationContext:
    """What an adapter is given for life.

    Calls of an interview are made inside `async with interview_slots`, so that a hall full of
    stations coming back does not stand in the way of limits. `past` is what an earlier run knew
    of the station, `ledger` where what must outlive this one goes; `numbers` are for all stations.
    """

    station: StationId
    clock: Clock
    post: Post
    random: random.Random
    counters: Counter[str] = field(default_factory=Counter)
    interview_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(20))
    sample_interval_s: int = SAMPLE_INTERVAL_S
    heartbeat_interval_s: int = HEARTBEAT_INTERVAL_S
    boot_patience_s: float = BOOT_PATIENCE_S
    call_deadline_s: float = CALL_DEADLINE_S
    numbers: TransactionNumbers
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    past: StationPast = field(default_factory=StationPast)
    ledger: Ledger = field(default_factory=Forgetful)


AdapterFactory = Callable[[StationContext], StationAdapter]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSupport:
    """All the server needs to know of a version it speaks.

    Actions in `payload_types` reach the adapter decoded into that struct (fields named in
    camel case on the wire; unknown fields ignored). `from_station` are the actions a station
    may send: any other known action is answered NotSupported. `never_refused` are the
    actions which must be answered however odd their payload (transaction messages): when
    mending does not help, the adapter gets what could be read. `answered_once` are the actions
    that do harm twice: one sent again in the same words under the same id gets the answer it
    got before, without reaching the adapter.
    """

    version: OcppVersion
    make_adapter: AdapterFactory
    from_station: frozenset[str]
    never_refused: frozenset[str]
    payload_types: Mapping[str, type[msgspec.Struct]]
    max_frame_bytes: int
    answered_once: frozenset[str] = frozenset()
