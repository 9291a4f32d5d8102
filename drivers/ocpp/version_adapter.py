"""What the adapters of both versions do alike: boots, ages, facts, and the way to limits."""

import asyncio
from collections.abc import Hashable, Sequence
from datetime import timedelta
from typing import Final, Generic, Protocol, TypeVar

from drivers.ocpp.adapter import Answer, Later, Link, StationContext
from drivers.ocpp.clockwork import LONGEST_S, read_time
from drivers.ocpp.interview import Interview, Questions
from drivers.ocpp.limits import Limits, Words
from drivers.ocpp.metering import MeterValue
from drivers.ocpp.remembered import within_patience
from drivers.ocpp.rpc import plain_text
from drivers.ocpp.station import StationRecord
from gateway.domain.charging import CompositePeriod, EndCause, StationCapabilities
from gateway.domain.events import StationBooted, TransactionStarted
from gateway.domain.ids import TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.memory import Entry, TransactionMemory
from gateway.domain.tokens import Judgement, TokenStatus

STALE_AFTER_S: Final = 60.0  # What waited longer for a connection says nothing of now.
WAITED_AT_MOST_S: Final = 300.0  # After a connection opened, what waited for it has come.
ACKNOWLEDGED: Final = b"{}"

# 1.6 Reason and 2.0.1 ReasonEnumType: who charged has not ended it.
_STOPPED: Final = frozenset(
    {
        *("EmergencyStop", "GroundFault", "OvercurrentFault", "PowerLoss", "PowerQuality"),
        *("HardReset", "ImmediateReset", "Reboot", "SoftReset", "Remote", "UnlockCommand"),
    }
)


def cause_of(reason: str | None) -> EndCause:
    """Return how it is known that a transaction is over whose station says so, with its reason."""
    return EndCause.STOPPED if reason in _STOPPED else EndCause.TOLD


StationT = TypeVar("StationT", bound=StationRecord)


class TimedValue(MeterValue, Protocol):
    """Values taken at one time, which the station wrote with them."""

    @property
    def timestamp(self) -> str | None:
        """Return when, by the station's clock."""


ValueT = TypeVar("ValueT", bound=TimedValue)


class VersionAdapter(Generic[StationT]):
    """One station, as far as its version does not matter. Makes a `StationAdapter` of its heirs.

    They say how a message is answered (`answer`) and how a station is asked to start, to stop,
    to restart and to tell what it measures.
    """

    __slots__ = (
        "_clock",
        "_context",
        "_counters",
        "_interview",
        "_limits",
        "_post",
        "_station",
        "_status_at_s",
        "_words",
        "_writing",
    )

    def __init__(
        self, context: StationContext, station: StationT, words: Words, questions: Questions
    ) -> None:
        """Know nothing of the station yet."""
        self._context = context
        self._station = station
        self._words = words
        self._limits = Limits(station, words)
        self._interview = Interview(station, questions)
        self._clock = context.clock
        self._post = context.post
        self._counters = context.counters
        self._status_at_s: dict[Hashable, float] = {}
        self._writing: dict[TransactionMemory, asyncio.Future[None]] = {}
        """By what the ledger is asked to keep, and has not yet: when it has."""

    # Inward: synchronous, and no calls out.

    def _accept_boot(self, *, vendor: str, model: str, firmware: str) -> Answer | Later:
        """Take a boot and post it; return the answer.

        It is given once it is safe that the station's proofs are open again: were we to end
        before, the station would come back and not say once more that it booted. It is given in
        the end whatever the ledger does: a station is not left without limits.
        """
        vendor, model, firmware = (plain_text(word) for word in (vendor, model, firmware))
        self._station.time.forget()
        self._status_at_s.clear()
        self._station.note_boot(vendor=vendor, model=model, firmware=firmware)
        self._post(
            StationBooted(
                at_s=self._clock.monotonic_s(),
                station=self._station.id,
                vendor=vendor,
                model=model,
                firmware=firmware,
            )
        )
        # Spread, so that a hall of stations switched on at once does not beat as one.
        interval_s = self._context.heartbeat_interval_s * self._context.random.uniform(0.8, 1.2)
        answer = {
            "currentTime": self._station.tell_time(),
            "interval": max(1, int(interval_s)),
            "status": "Accepted",
        }
        after = within_patience(self._context.ledger.keep_durably())
        if after.done():
            self._station.welcome()
            return answer
        after.add_done_callback(lambda _: self._station.welcome())
        return Later(answer, after)

    def _answer_after(self, answer: Answer, entry: Entry | None = None) -> Later:
        """Return the answer, to be given once what it acknowledges is safe.

        What is told again of a transaction while it is being made safe is not written twice.
        """
        told = entry if isinstance(entry, TransactionMemory) else None
        after = None if told is None else self._writing.get(told)
        if after is None:
            after = self._context.ledger.keep_durably(*([] if entry is None else [entry]))
            if told is not None:
                self._writing[told] = after
                after.add_done_callback(lambda _: self._writing.pop(told, None))
        self._station.answering = after
        return Later(answer, after)

    def _judge(self, id_token: str | None, *, has_begun: bool) -> Judgement:
        """Return what the station is told of a token; what is refused is counted."""
        judgement = self._context.tokens.judge(
            id_token, now_at=self._clock.now_at(), has_begun=has_begun
        )
        if judgement.status is not TokenStatus.ACCEPTED:
            self._counters[f"token.{judgement.status}"] += 1
        return judgement

    def _answer_heartbeat(self) -> bytes:
        return b'{"currentTime":"' + self._station.tell_time().encode() + b'"}'

    def _is_news(self, place: Hashable, age_s: float) -> bool:
        """Return whether the status of a place is not one that a newer one has overtaken.

        On a connection that has stood for minutes nothing waits for one: the clock is wrong.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._station.connected_at_s > WAITED_AT_MOST_S:
            age_s = 0.0
        said_at_s = now_s - age_s
        if age_s > STALE_AFTER_S and said_at_s < self._status_at_s.get(place, said_at_s):
            self._counters["stale.StatusNotification"] += 1
            return False
        self._status_at_s[place] = said_at_s
        return True

    def _waited_s(self, timestamp: str | None, *, tells_clock: bool = True) -> float:
        """Return how long what was written then has waited for a connection.

        By our clock as well while the station's is not known: what comes first may have waited, too.
        On a connection that has stood for minutes nothing waits for one.
        """
        time, written_at, now_s = (
            self._station.time,
            read_time(timestamp),
            self._clock.monotonic_s(),
        )
        now_at = None if time.is_known(now_s) else self._clock.now_at()
        if tells_clock:
            self._station.observe_age_s(timestamp)
        if written_at is None or now_s - self._station.connected_at_s > WAITED_AT_MOST_S:
            return 0.0
        shown = [at for at in (time.shows_at(now_s), now_at) if at is not None]
        age_s = max((at - written_at).total_seconds() for at in shown)
        return age_s if 0.0 <= age_s <= LONGEST_S else 0.0

    def _of_now(self, values: Sequence[ValueT]) -> Sequence[ValueT]:
        """Return the values that say something of now, by the station's own clock."""
        ages_s = [self._station.observe_age_s(value.timestamp) for value in values]
        if len(ages_s) > 1:  # A later one may have told that an earlier one is old.
            ages_s = [self._station.observe_age_s(value.timestamp) for value in values]
        if not ages_s or max(ages_s) <= STALE_AFTER_S:
            return values
        self._counters["stale.MeterValues"] += 1
        return [v for v, age_s in zip(values, ages_s, strict=True) if age_s <= STALE_AFTER_S]

    def _transaction(self, transaction: str, number: int | None = None) -> TransactionMemory:
        """Return a record of a transaction that says nothing of it yet but where it runs."""
        return TransactionMemory(
            station=self._station.id,
            transaction=TransactionId(transaction),
            connector_number=number,
        )

    def _post_begin(
        self,
        number: int,
        transaction: str,
        id_token: str | None = None,
        *,
        meter_start_wh: float | None = None,
        age_s: float = 0.0,
    ) -> None:
        self._context.ledger.keep(self._transaction(transaction, number))
        self._post(
            TransactionStarted(
                at_s=self._clock.monotonic_s(),
                connector=self._station.ref(number),
                transaction=TransactionId(transaction),
                id_token=id_token,
                meter_start_wh=meter_start_wh,
                age_s=age_s,
            )
        )

    def _post_end(
        self, number: int, transaction: str, *, cause: EndCause, age_s: float = 0.0
    ) -> None:
        self._station.post_end(number, transaction, cause=cause, age_s=age_s)

    # Outward.

    def opened(self, link: Link) -> None:
        """See `StationAdapter`."""
        self._station.connect(link)
        self._interview.is_greeted = False

    def closed(self) -> None:
        """See `StationAdapter`."""
        self._station.disconnect()

    async def interview(self) -> None:
        """See `StationAdapter`."""
        await self._interview.run()

    async def set_limit(self, number: int, limit: CurrentLimit, *, valid_for: timedelta) -> None:
        """See `StationAdapter`."""
        await self._limits.set_limit(number, limit, valid_for=valid_for)

    async def set_fallback(self, number: int, limit: CurrentLimit) -> None:
        """See `StationAdapter`."""
        await self._limits.set_fallback(number, limit)

    async def clear_lease(self, number: int) -> None:
        """See `Limits.clear_lease`."""
        await self._limits.clear_lease(number)

    async def composite_schedule(
        self, number: int, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """See `Words.composite_schedule`."""
        return await self._words.composite_schedule(number, duration_s=duration_s)

    @property
    def capabilities(self) -> StationCapabilities | None:
        """See `StationAdapter`."""
        return self._station.capabilities

    @property
    def flash_writes(self) -> int:
        """See `StationAdapter`."""
        return self._station.flash.total
