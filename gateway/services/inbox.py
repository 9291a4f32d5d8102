"""Where drivers put their facts until the control loop takes them: bounded, in order."""

from collections import deque
from collections.abc import Callable
from itertools import islice

from gateway.control.fold import DrawsPromised, PrioritySet
from gateway.domain.errors import HeadroomError
from gateway.domain.events import ConnectorMetered, Event, MeterRead
from gateway.domain.ids import ConnectorRef, MeterId

WAITING_A_SOURCE = 16
"""Readings of one meter or connector that may wait; of more the newest count."""

MANY = 50
"""So many facts that wait are worth telling the reader of: they take some milliseconds to fold."""

MAX_WAITING = 100_000
"""Facts that may wait at all: more than stations can send while control misses several cycles."""


Fact = Event | PrioritySet | DrawsPromised
"""What drivers and people tell, and what planning says of who goes first, and what it promised."""


class InboxOverflowError(HeadroomError):
    """So many facts wait that one had to be lost: what is believed can no longer be trusted."""


class Inbox:
    """Facts in the order they were posted, for one reader in the same event loop.

    Readings are bounded for each source, so a chatty station never pushes out a meter: of one
    source the oldest is dropped and counted. Everything else is kept whatever happens; if that
    is no longer possible, `take` says so.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        """Begin empty."""
        self._max_waiting = max_waiting
        self._waiting: dict[int, Fact] = {}
        self._readings: dict[MeterId | ConnectorRef, deque[int]] = {}
        self._number = 0
        self._is_overflown = False
        self.dropped_count = 0
        """Readings that were dropped because newer ones of their source came."""
        self.on_many: Callable[[], None] | None = None
        """Told at each fact while `MANY` or more wait; it must take nothing there and then."""

    def __len__(self) -> int:
        """Return how many facts wait."""
        return len(self._waiting)

    def post(self, fact: Fact) -> None:
        """Keep a fact until it is taken. Never waits, never raises."""
        source = _source_of(fact)
        if len(self._waiting) >= self._max_waiting:
            if source is None:
                self._is_overflown = True
            else:
                self.dropped_count += 1
            return
        self._number += 1
        if source is not None:
            numbers = self._readings.setdefault(source, deque())
            if len(numbers) >= WAITING_A_SOURCE:
                del self._waiting[numbers.popleft()]
                self.dropped_count += 1
            numbers.append(self._number)
        self._waiting[self._number] = fact
        if self.on_many is not None and len(self._waiting) >= MANY:
            self.on_many()

    def take(self, *, limit: int) -> list[Fact]:
        """Return at most `limit` facts, oldest first, and forget them.

        Raises:
            InboxOverflowError: a fact that must not be lost was lost.
        """
        if self._is_overflown:
            message = f"{len(self._waiting)} facts wait and one was lost: control has fallen behind"
            raise InboxOverflowError(message)
        numbers = list(islice(self._waiting, limit))
        taken: list[Fact] = []
        for number in numbers:
            fact = self._waiting.pop(number)
            taken.append(fact)
            source = _source_of(fact)
            if source is not None:
                readings = self._readings[source]
                readings.popleft()  # Of one source the oldest is always taken first.
                if not readings:
                    del self._readings[source]
        return taken


def _source_of(fact: Fact) -> MeterId | ConnectorRef | None:
    """Return whose reading a fact is; None for all that must never be dropped."""
    if isinstance(fact, MeterRead):
        return fact.reading.meter
    if isinstance(fact, ConnectorMetered):
        return fact.connector
    return None
