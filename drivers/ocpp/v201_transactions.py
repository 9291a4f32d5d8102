"""The transactions of one 2.0.1 station: which runs where, and what is told for the first time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from drivers.ocpp.clockwork import LONGEST_S
from gateway.domain.memory import TransactionMemory

REMEMBERED: Final = 32


class Heard(NamedTuple):
    """What an event says of its transaction.

    `number` is the EVSE where the event names it. `is_present`: it is about now, not about a
    time without connection. `is_start`: it is the first of its transaction, by its own word, and
    `meter_start_wh` is what its EVSE's meter showed then. It was written `waited_s` ago.
    """

    transaction: str
    sequence: int | None
    written_at: datetime | None
    number: int | None
    id_token: str | None
    is_present: bool
    is_start: bool = False
    meter_start_wh: float | None = None
    waited_s: float = 0.0


class Told(NamedTuple):
    """What of an event was not known before.

    `number` is the EVSE, None while nobody knows which. `is_begin`: the transaction is to be
    announced, for the first time or with the token it now has. `ended` are the transactions
    that are over by it, as far as they were announced. `left` is the EVSE it was announced on
    by mistake. It began `age_s` ago, and `meter_start_wh` is what the meter showed then.
    """

    number: int | None
    is_begin: bool = False
    is_repeat: bool = False
    ended: tuple[str, ...] = ()
    id_token: str | None = None
    left: int | None = None
    meter_start_wh: float | None = None
    age_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Running:
    """A transaction that may be running."""

    number: int | None = None
    last_sequence: int = -1
    last_written_at: datetime | None = None
    id_token: str | None = None
    began_at: datetime | None = None
    meter_start_wh: float | None = None
    is_announced: bool = False
    has_told_token: bool = False

    def has_heard(self, event: Heard) -> bool:
        """Return whether an event is no newer than the last, by number and by time."""
        if event.sequence is None or event.sequence > self.last_sequence:
            return False
        # Some stations do not count; what is written later is news all the same.
        return (
            event.written_at is None
            or self.last_written_at is None
            or event.written_at <= self.last_written_at
        )

    def take(self, event: Heard) -> None:
        """Remember what is new in an event."""
        self.id_token = self.id_token or event.id_token
        if event.sequence is not None:
            self.last_sequence = max(self.last_sequence, event.sequence)
        self.last_written_at = event.written_at or self.last_written_at
        if event.is_start:
            self.began_at, self.meter_start_wh = event.written_at, event.meter_start_wh

    def age_s(self, event: Heard) -> float:
        """Return how long ago it began as an event comes, 0 if nobody told or can have."""
        if self.began_at is None or event.written_at is None:
            return 0.0
        age_s = (event.written_at - self.began_at).total_seconds()
        return age_s + event.waited_s if 0.0 <= age_s <= LONGEST_S else 0.0


class TransactionBook:
    """Which transaction runs on which EVSE.

    A station numbers the events of a transaction from 0 and sends one again until it is
    answered (2.0.1 E13), so one that is not newer than the last is no news. Events it kept
    while it had no connection may tell of what is long over: such a transaction is entered,
    and announced only once it is heard of as something present (K02, remarks), or with its end. A
    station that uses an id again begins another transaction with a start later than all that was
    heard of the one before.
    """

    __slots__ = ("_ended", "_running")

    def __init__(self, past: Sequence[TransactionMemory] = ()) -> None:
        """Begin with what an earlier run knew, oldest first; of what ran, all is announced."""
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, datetime | None] = {}  # With when it was heard of last.
        for known in past:
            if known.given_number is not None:
                continue  # It spoke 1.6 then.
            if known.is_over:
                self._note_end(known.transaction, known.ended_at or known.began_at)
            else:
                self._running[known.transaction] = _Running(
                    number=known.connector_number,
                    id_token=known.id_token,
                    is_announced=True,
                    has_told_token=known.id_token is not None,
                )

    def knows(self, transaction: str) -> bool:
        """Return whether a transaction was heard of, that runs or is over."""
        return transaction in self._running or transaction in self._ended

    def running_on(self, number: int) -> str | None:
        """Return the transaction that runs on an EVSE."""
        found = (t for t, entry in self._running.items() if entry.number == number)
        return next(found, None)

    def running(self) -> tuple[tuple[str, int], ...]:
        """Return the transactions whose EVSE is known, with it."""
        return tuple((t, e.number) for t, e in self._running.items() if e.number is not None)

    def enter(self, event: Heard) -> Told:
        """Enter an event that does not end its transaction."""
        if event.transaction in self._ended:
            if not self._is_used_again(event):
                return Told(None, is_repeat=True)
            del self._ended[event.transaction]
        entry = self._running.get(event.transaction)
        if entry is None:
            if len(self._running) >= REMEMBERED:
                self._forget_one()
            entry = self._running[event.transaction] = _Running()
        elif entry.has_heard(event):
            return Told(entry.number, is_repeat=True)
        entry.take(event)
        before = entry.number
        ended = self._place(entry, event)
        left = before if entry.is_announced and entry.number != before else None
        if left is not None:
            entry.is_announced = False
        is_begin = (
            event.is_present
            and entry.number is not None
            and (not entry.is_announced or (not entry.has_told_token and bool(entry.id_token)))
        )
        if is_begin:
            entry.is_announced, entry.has_told_token = True, bool(entry.id_token)
        return Told(
            entry.number,
            is_begin=is_begin,
            ended=ended,
            id_token=entry.id_token,
            left=left,
            meter_start_wh=entry.meter_start_wh,
            age_s=entry.age_s(event),
        )

    def end(self, transaction: str, *, is_sure: bool = True, event: Heard | None = None) -> Told:
        """Enter the end of a transaction, known or not, that an event tells or that is inferred.

        If it is not sure, what is heard of the transaction later begins it anew. One that began
        unheard is announced with the event that ends it.
        """
        if transaction in self._ended:
            return Told(None, is_repeat=True)
        entry = self._running.pop(transaction, None)
        if is_sure:
            heard_at = None if entry is None else entry.last_written_at
            self._note_end(transaction, heard_at if event is None else event.written_at or heard_at)
        if entry is None:
            return Told(None)
        is_unheard = event is not None and not entry.is_announced and entry.number is not None
        return Told(
            entry.number,
            is_begin=is_unheard,
            ended=(transaction,) if entry.is_announced or is_unheard else (),
            id_token=entry.id_token,
            meter_start_wh=entry.meter_start_wh,
            age_s=0.0 if event is None else entry.age_s(event),
        )

    def _is_used_again(self, event: Heard) -> bool:
        """Return whether an event begins another transaction under the id of one that is over."""
        ended_at = self._ended[event.transaction]
        return (
            event.is_start
            and not event.sequence
            and event.written_at is not None
            and ended_at is not None
            and event.written_at > ended_at
        )

    def _note_end(self, transaction: str, heard_at: datetime | None) -> None:
        self._ended[transaction] = heard_at
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _place(self, entry: _Running, event: Heard) -> tuple[str, ...]:
        """Put a transaction on its EVSE; return what ran there, for its end was lost."""
        if event.number is None or event.number == entry.number:
            return ()
        before = self.running_on(event.number)
        if not event.is_present and (before is not None or entry.number is not None):
            return ()  # An old word moves nothing that is heard of now.
        entry.number = event.number
        return () if before is None else self.end(before).ended

    def _forget_one(self) -> None:
        """Forget the oldest, of those whose EVSE is not known if there are any."""
        homeless = (t for t, entry in self._running.items() if entry.number is None)
        del self._running[next(homeless, next(iter(self._running)))]
