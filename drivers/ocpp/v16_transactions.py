"""The transactions of one 1.6 station: numbered by us, told apart from what is sent twice."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from drivers.ocpp.remembered import TransactionNumbers
from gateway.domain.memory import TransactionMemory

REMEMBERED: Final = 32
NO_TRANSACTION: Final = frozenset({None, 0, -1})  # 1.6 errata v4.0: -1 when none was given.


class StartKey(NamedTuple):
    """What makes two StartTransaction the same one."""

    number: int
    id_tag: str | None
    timestamp: str | None
    meter_start: int | None

    @property
    def meter_start_wh(self) -> float | None:
        """Return what the meter showed, in Wh as 1.6 §6.45 has it; None if that was not told."""
        return None if self.meter_start is None else float(self.meter_start)

    def as_text(self) -> str:
        """Return it as the ledger keeps it."""
        return msgspec.json.encode(self).decode()


class Started(NamedTuple):
    """The answer to a start: its number, whether it is news, and the one it ends unsaid."""

    transaction: int
    is_new: bool
    replaced: int | None = None


class TransactionBook:
    """Which transaction runs on which connector."""

    __slots__ = ("_ended", "_numbers", "_running", "_starts")

    def __init__(self, numbers: TransactionNumbers, past: Sequence[TransactionMemory] = ()) -> None:
        """Begin with what an earlier run knew, oldest first."""
        self._numbers = numbers
        self._running: dict[int, int] = {}
        self._starts: dict[StartKey, int] = {}
        self._ended: list[int] = []
        for transaction in past:
            if transaction.transaction.isdecimal():
                self._recall(transaction, int(transaction.transaction))

    def _recall(self, past: TransactionMemory, transaction: int) -> None:
        if past.told is not None and (key := _key_of(past.told)) is not None:
            self._enter_start(key, transaction)
            if past.is_over:
                self._note_end(transaction, past.meter_stop_wh)
        if past.is_over:
            self._ended = [*self._ended, transaction][-REMEMBERED:]
        elif past.connector_number:
            self._begin(past.connector_number, transaction)

    def running_on(self, number: int) -> int | None:
        """Return the transaction that runs on a connector."""
        return self._running.get(number)

    def connector_of(self, transaction: int) -> int | None:
        """Return the connector a transaction runs on."""
        return next((n for n, t in self._running.items() if t == transaction), None)

    def start(self, key: StartKey, *, runs: bool = True) -> Started:
        """Enter a start, or find the one it repeats; one that does not run is only numbered."""
        known = self._starts.get(key)
        if known is not None:
            return Started(known, is_new=False)
        transaction = self._numbers.new()
        self._enter_start(key, transaction)
        replaced = self._begin(key.number, transaction) if runs else None
        return Started(transaction, is_new=True, replaced=replaced)

    def _enter_start(self, key: StartKey, transaction: int) -> None:
        self._starts[key] = transaction
        if len(self._starts) > REMEMBERED:
            del self._starts[next(iter(self._starts))]

    def adopt(self, number: int, transaction: int | None) -> bool:
        """Return whether a transaction mentioned in passing is one we did not know to run."""
        if transaction is None or transaction in NO_TRANSACTION or number in self._running:
            return False
        if transaction in self._ended or self.connector_of(transaction) is not None:
            return False
        self._begin(number, transaction)
        return True

    def stop(self, transaction: int | None, meter_stop: int | None = None) -> int | None:
        """Enter an end; return the connector it ran on, None if we did not know it."""
        if transaction is None:
            return None
        self._note_end(transaction, meter_stop)
        number = self.connector_of(transaction)
        if number is not None:
            self._end(number)
        else:
            self._ended = [*self._ended, transaction][-REMEMBERED:]
        return number

    def running(self) -> frozenset[int]:
        """Return the transactions that run."""
        return frozenset(self._running.values())

    def drop(self, number: int) -> int | None:
        """Forget what runs on a connector, and return it; heard of again, it is adopted anew."""
        return self._running.pop(number, None)

    def _note_end(self, transaction: int, meter_stop: float | None) -> None:
        """Forget the start of a transaction in which nothing was given.

        By its words the next one may be the same: a station whose clock stands writes the same
        time, and its meter has not moved. Where it has, the same words are the same start.
        """
        key = next((k for k, t in self._starts.items() if t == transaction), None)
        if key is not None and meter_stop in (None, key.meter_start):
            del self._starts[key]

    def _begin(self, number: int, transaction: int) -> int | None:
        replaced = self._end(number)
        self._running[number] = transaction
        return replaced

    def _end(self, number: int) -> int | None:
        transaction = self._running.pop(number, None)
        if transaction is not None:
            self._ended = [*self._ended, transaction][-REMEMBERED:]
        return transaction


def _key_of(text: str) -> StartKey | None:
    """Return the start that was kept as text, None if that cannot be read."""
    try:
        return msgspec.json.decode(text, type=StartKey)
    except msgspec.MsgspecError:
        return None
