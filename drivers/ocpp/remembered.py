"""What of a station outlives the process: its transactions, its numbers, who it is."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway.domain.ids import StationId
from gateway.domain.memory import Entry, FlashMemory, Memory, StationMemory, TransactionMemory

# Numbers count seconds from here: above any of an earlier run, below 2³¹ until 2092.
FIRST_NUMBER_AT: Final = datetime(2024, 1, 1, tzinfo=UTC)
PATIENCE_S: Final = 5.0


class TransactionNumbers:
    """Numbers for the transactions of all 1.6 stations: none is given twice, over any restart."""

    __slots__ = ("_last",)

    def __init__(self, now_at: datetime, *, last_number: int = 0) -> None:
        """Begin above `last_number` and what an earlier run can have given out before `now_at`.

        Either alone would do: the ledger may have been lost, and the clock may begin in 1970.
        """
        self._last = max(0, last_number, int((now_at - FIRST_NUMBER_AT).total_seconds()))

    def new(self) -> int:
        """Return a number no transaction has."""
        self._last += 1
        return self._last


@dataclass(frozen=True, slots=True, kw_only=True)
class StationPast:
    """What an earlier run knew of a station; `who` is None if it had never met it."""

    who: StationMemory | None = None
    flash: FlashMemory | None = None
    transactions: tuple[TransactionMemory, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What an earlier run knew of all stations."""

    stations: Mapping[StationId, StationPast] = field(default_factory=dict)
    last_number: int = 0

    @staticmethod
    def of(memory: Memory) -> "Past":
        """Return what of a memory concerns stations."""
        transactions: dict[StationId, list[TransactionMemory]] = {}
        for transaction in memory.transactions:
            transactions.setdefault(transaction.station, []).append(transaction)
        return Past(
            stations={
                station: StationPast(
                    who=memory.stations.get(station),
                    flash=memory.flash.get(station),
                    transactions=tuple(transactions.get(station, ())),
                )
                for station in {*memory.stations, *memory.flash, *transactions}
            },
            last_number=memory.last_given_number,
        )


class Forgetful:
    """A `gateway.ports.Ledger` that keeps nothing: for where nothing is to outlive the process."""

    def keep(self, *entries: Entry) -> None:
        """Forget them."""

    def keep_durably(self, *entries: Entry) -> asyncio.Future[None]:
        """Forget them at once."""
        del entries
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def within_patience(after: asyncio.Future[None]) -> asyncio.Future[None]:
    """Return a future that is done when the other is, and after `PATIENCE_S` in any case."""
    if after.done():
        return after
    loop = asyncio.get_running_loop()
    either = loop.create_future()

    def end(_: object = None) -> None:
        if not either.done():
            either.set_result(None)

    timer = loop.call_later(PATIENCE_S, end)
    after.add_done_callback(end)
    either.add_done_callback(lambda _: timer.cancel())
    return either
