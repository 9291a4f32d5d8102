"""The transactions of one 1.6 station: numbered by us, told apart from what is sent twice."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

REMEMBERED: Final = 32
# Numbers count seconds from here: above any of an earlier run, below 2³¹ until 2092.
FIRST_NUMBER_AT: Final = datetime(2024, 1, 1, tzinfo=UTC)
NO_TRANSACTION: Final = frozenset({None, 0, -1})  # 1.6 errata v4.0: -1 when none was given.


class StartKey(NamedTuple):
    """What makes two StartTransaction the same one."""

    number: int
    id_tag: str | None
    timestamp: str | None
    meter_start: int | None


class Started(NamedTuple):
    """The answer to a start: its number, whether it is news, and the one it ends unsaid."""

    transaction: int
    is_new: bool
    replaced: int | None = None


class TransactionBook:
    """Which transaction runs on which connector."""

    __slots__ = ("_ended", "_last", "_running", "_starts")

    def __init__(self, now_at: datetime) -> None:
        """Begin numbering above what any earlier run can have given out before `now_at`."""
        self._last = max(0, int((now_at - FIRST_NUMBER_AT).total_seconds()))
        self._running: dict[int, int] = {}
        self._starts: dict[StartKey, int] = {}
        self._ended: list[int] = []

    def running_on(self, number: int) -> int | None:
        """Return the transaction that runs on a connector."""
        return self._running.get(number)

    def connector_of(self, transaction: int) -> int | None:
        """Return the connector a transaction runs on."""
        return next((n for n, t in self._running.items() if t == transaction), None)

    def new_number(self) -> int:
        """Return a number no transaction has."""
        self._last += 1
        return self._last

    def start(self, key: StartKey) -> Started:
        """Enter a start, or find the one it repeats."""
        known = self._starts.get(key)
        if known is not None:
            return Started(known, is_new=False)
        transaction = self.new_number()
        self._starts[key] = transaction
        if len(self._starts) > REMEMBERED:
            del self._starts[next(iter(self._starts))]
        return Started(transaction, is_new=True, replaced=self._begin(key.number, transaction))

    def adopt(self, number: int, transaction: int | None) -> bool:
        """Return whether a transaction mentioned in passing is one we did not know to run."""
        if transaction is None or transaction in NO_TRANSACTION or number in self._running:
            return False
        if transaction in self._ended or self.connector_of(transaction) is not None:
            return False
        self._begin(number, transaction)
        return True

    def stop(self, transaction: int | None) -> int | None:
        """Enter an end; return the connector it ran on, None if we did not know it."""
        if transaction is None:
            return None
        number = self.connector_of(transaction)
        if number is not None:
            self._end(number)
        return number

    def _begin(self, number: int, transaction: int) -> int | None:
        replaced = self._end(number)
        self._running[number] = transaction
        return replaced

    def _end(self, number: int) -> int | None:
        transaction = self._running.pop(number, None)
        if transaction is not None:
            self._ended = [*self._ended, transaction][-REMEMBERED:]
        return transaction
