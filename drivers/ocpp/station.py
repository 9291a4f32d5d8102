"""What is known of one station, whatever version it speaks, and the plain way to ask it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from drivers.ocpp.adapter import Link, Priority, StationContext
from drivers.ocpp.clockwork import StationClock, read_time, wire_time
from drivers.ocpp.leases import Form
from drivers.ocpp.metering import MeterValue, measure
from drivers.ocpp.quirks import PLAIN, Quirks, find_quirks
from drivers.ocpp.rpc import CallRefusedError, ConnectionLostError
from gateway.domain.charging import (
    ConnectorStatus,
    EndCause,
    RateUnit,
    StationCapabilities,
)
from gateway.domain.errors import LimitRejectedError
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    StationStatusChanged,
    TransactionEnded,
)
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.memory import FlashMemory, TransactionMemory

MAX_CONNECTORS: Final = 64  # A station that counts further is answered and not listened to.
MAX_FLASH_WRITES_A_DAY: Final = 10  # Design §3: profile writes that reach flash.
DAY_S: Final = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ToldConnector:
    """What we have told a connector.

    A lease counts from before it is sent: without an answer it may be in force all the same.
    `leased_to` is the transaction it ends with, None if it is not one's. One for no transaction
    is in force until `default_until_s` whatever ends; `default_ma` is the last that was accepted,
    over or not. `fallback_phase_count` matters where watts are told. `is_alone` is true once what
    others left above the fallback is cleared.
    """

    lease_ma: int | None = None
    lease_until_s: float = 0.0
    leased_to: str | int | None = None
    default_until_s: float = 0.0
    default_ma: int | None = None
    fallback_ma: int | None = None
    fallback_phase_count: int | None = None
    is_alone: bool = False

    def is_leased(self, now_s: float) -> bool:
        """Return whether a lease of ours is in force."""
        return self.lease_ma is not None and now_s < self.lease_until_s

    def note_sending(
        self, lease_ma: int, *, until_s: float, transaction: str | int | None, now_s: float
    ) -> None:
        """Take that a lease is about to be sent: it, or what was in force, is from now on."""
        before_ma = (self.lease_ma or 0) if self.is_leased(now_s) else 0
        self.lease_ma = max(before_ma, lease_ma)
        self.lease_until_s = max(self.lease_until_s, until_s)
        self.leased_to = transaction
        if transaction is None:
            self.default_until_s = max(self.default_until_s, until_s)

    def note_accepted(self, lease_ma: int, *, until_s: float) -> None:
        """Take that the lease that was sent is in force, and no other of its kind."""
        self.lease_ma, self.lease_until_s = lease_ma, until_s
        if self.leased_to is None:
            self.default_until_s, self.default_ma = until_s, lease_ma


class FlashWrites:
    """Profile writes that end up in the station's flash memory, which bears few, over restarts."""

    __slots__ = ("_context", "_recent_s", "total")

    def __init__(self, context: StationContext) -> None:
        """Begin with what an earlier run has written; what seems yet to come was just now."""
        past, clock = context.past.flash, context.clock
        now_s, now_at = clock.monotonic_s(), clock.now_at()
        written_at = () if past is None else past.written_at
        ages_s = [max(0.0, (now_at - at).total_seconds()) for at in written_at]
        self._context = context
        self._recent_s = sorted(now_s - age_s for age_s in ages_s)[-MAX_FLASH_WRITES_A_DAY:]
        self.total = 0

    def is_spent(self) -> bool:
        """Return whether the last day had as many as a day may have."""
        recent, now_s = self._recent_s, self._context.clock.monotonic_s()
        return len(recent) == MAX_FLASH_WRITES_A_DAY and now_s - recent[0] < DAY_S

    def count(self) -> None:
        """Count one that is about to be sent, and have it remembered."""
        clock = self._context.clock
        now_s, now_at = clock.monotonic_s(), clock.now_at()
        self.total += 1
        self._recent_s = [*self._recent_s, now_s][-MAX_FLASH_WRITES_A_DAY:]
        written_at = tuple(now_at - timedelta(seconds=now_s - at_s) for at_s in self._recent_s)
        self._context.ledger.keep(FlashMemory(station=self._context.station, written_at=written_at))


class Signal:
    """A flag that tasks can wait for; an `asyncio.Event` weighs ten times as much."""

    __slots__ = ("_waiter", "is_given")

    def __init__(self) -> None:
        """Begin ungiven."""
        self.is_given = False
        self._waiter: asyncio.Future[None] | None = None

    def give(self) -> None:
        """Let everyone pass who waits or comes later."""
        self.is_given = True
        if self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def take_back(self) -> None:
        """Make those who come later wait again."""
        self.is_given = False

    async def wait_given(self) -> None:
        """Wait until it is given."""
        if not self.is_given:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)


class StationRecord:
    """One station over all its connections: the parts of its adapter share it."""

    __slots__ = (
        "answering",
        "booted",
        "capabilities",
        "clock",
        "connected_at_s",
        "connectors",
        "context",
        "counters",
        "firmware",
        "flash",
        "id",
        "is_cleared",
        "is_learnt",
        "is_remembered",
        "known",
        "lacks_tx_profile",
        "link",
        "model",
        "quirks",
        "time",
        "vendor",
    )

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        self.context = context
        self.id = context.station
        self.clock = context.clock
        self.counters = context.counters
        self.time = StationClock()
        self.link: Link | None = None
        self.connected_at_s = self.clock.monotonic_s()
        self.capabilities: StationCapabilities | None = None
        self.vendor = self.model = self.firmware = ""
        self.quirks: Quirks = PLAIN
        self.lacks_tx_profile = False
        self.connectors: dict[int, ToldConnector] = {}
        self.flash = FlashWrites(context)
        self.is_cleared = False  # Since its boot, of what others left for the whole of it.
        self.is_learnt = False
        self.known = Signal()
        self.booted = Signal()
        self.answering: asyncio.Future[None] | None = None
        """What the newest answer to the station waits for."""
        who = context.past.who
        self.is_remembered = who is not None  # What it was told is ours, with the ids of today.
        if who is not None:
            self._take_make(who.vendor, who.model, who.firmware or "")

    def connect(self, link: Link) -> None:
        """Begin a connection."""
        self.link = link
        self.connected_at_s = self.clock.monotonic_s()
        self.booted.take_back()

    def disconnect(self) -> None:
        """End a connection."""
        self.link = None

    def publish(self, capabilities: StationCapabilities) -> None:
        """Post what the station can do; limits may go out from now on."""
        self.capabilities = capabilities
        self.known.give()
        self.context.post(
            CapabilitiesRead(
                at_s=self.clock.monotonic_s(), station=self.id, capabilities=capabilities
            )
        )

    def post_status(self, status: ConnectorStatus) -> None:
        """Post how the station is as a whole."""
        self.context.post(
            StationStatusChanged(at_s=self.clock.monotonic_s(), station=self.id, status=status)
        )

    def ref(self, number: int) -> ConnectorRef:
        """Return the name of a connector."""
        return ConnectorRef(self.id, number)

    def observe_age_s(self, timestamp: str | None) -> float:
        """Return how old a timestamp is by the station's own clock, 0 if it says nothing."""
        written_at = read_time(timestamp)
        if written_at is None:
            return 0.0
        return self.time.observe_age_s(written_at, now_s=self.clock.monotonic_s())

    def tell_time(self) -> str:
        """Return our time as the station is told it, which it may set its clock by."""
        told_at = self.clock.now_at()
        self.time.note_told(told_at, now_s=self.clock.monotonic_s())
        return wire_time(told_at)

    def post_measured(self, number: int, values: Sequence[MeterValue]) -> None:
        """Post what a connector's meter values say, if anything."""
        measured = measure(values)
        if measured.dropped:
            self.counters["dropped-sample"] += measured.dropped
        if not measured.is_empty:
            self.context.post(
                ConnectorMetered(
                    at_s=self.clock.monotonic_s(),
                    connector=self.ref(number),
                    current_a=measured.current_a,
                    power_w=measured.power_w,
                    energy_wh=measured.energy_wh,
                    soc_pct=measured.soc_pct,
                )
            )

    def post_energy(self, number: int, energy_wh: float | None, *, age_s: float) -> None:
        """Post what a connector's meter showed when a transaction ended, if that was told."""
        if energy_wh is not None:
            self.context.post(
                ConnectorMetered(
                    at_s=self.clock.monotonic_s(),
                    connector=self.ref(number),
                    energy_wh=float(energy_wh),
                    age_s=age_s,
                )
            )

    def post_end(
        self, number: int, transaction: str, *, cause: EndCause, age_s: float = 0.0
    ) -> None:
        """Post that a transaction is over since then, and have it remembered with how that is known."""
        is_told = cause in (EndCause.TOLD, EndCause.STOPPED)
        if not is_told:
            _log.info("%s: transaction %s is over: %s", self.ref(number), transaction, cause)
        self.context.ledger.keep(
            TransactionMemory(
                station=self.id,
                transaction=TransactionId(transaction),
                connector_number=number,
                is_over=True,
                reason=None if is_told else str(cause),
            )
        )
        self.context.post(
            TransactionEnded(
                at_s=self.clock.monotonic_s(),
                connector=self.ref(number),
                transaction=TransactionId(transaction),
                cause=cause,
                age_s=age_s,
            )
        )

    def told(self, number: int) -> ToldConnector:
        """Return what a connector was told."""
        return self.connectors.setdefault(number, ToldConnector())

    @property
    def has_make(self) -> bool:
        """Return whether it has said who it is, to us or to a run before."""
        return bool(self.vendor or self.model)

    @property
    def form(self) -> Form:
        """Return the form its profiles take: amperes wherever it takes them."""
        known = self.capabilities
        units = known.rate_units if known is not None else frozenset({RateUnit.AMPERES})
        level = (known.stack_level if known is not None else None) or 0
        return Form(
            unit=RateUnit.WATTS if units == {RateUnit.WATTS} else RateUnit.AMPERES,
            step_ma=self.quirks.step_ma,
            stack_level=0 if self.quirks.only_level_zero else level,
        )

    def note_boot(self, *, vendor: str, model: str, firmware: str) -> None:
        """Take what a boot says of the station: all we set up may be gone."""
        self._take_make(vendor, model, firmware)
        for connector in self.connectors.values():
            connector.fallback_ma = None
            connector.is_alone = False
        self.is_cleared = self.is_learnt = False

    def welcome(self) -> None:
        """Begin to ask, now that the answer to its boot is on its way."""
        self.booted.give()
        self.interview_again()

    def _take_make(self, vendor: str, model: str, firmware: str) -> None:
        self.vendor, self.model, self.firmware = vendor, model, firmware
        self.quirks = find_quirks(vendor, model)
        self.lacks_tx_profile = not self.quirks.has_tx_profile

    def interview_again(self) -> None:
        """Have the interview run once more: there is work for it."""
        if self.link is not None:
            self.link.interview_again()

    async def call(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        key: str | None = None,
    ) -> Mapping[str, object]:
        """Do as `Link.call` on the connection there is."""
        if self.link is None:
            raise ConnectionLostError(self.id, "not connected")
        return await self.link.call(
            action, payload, priority=priority, key=key, deadline_s=self.context.call_deadline_s
        )

    async def ask(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        key: str | None = None,
    ) -> str:
        """Return what the answer says of itself, or the code of the CALLERROR."""
        try:
            answer = await self.call(action, payload, priority=priority, key=key)
        except CallRefusedError as error:
            return error.code
        return self.status_of(answer)

    def status_of(self, answer: Mapping[str, object]) -> str:
        """Return the status of an answer."""
        return str(answer.get("status", ""))

    async def demand(
        self, action: str, payload: Mapping[str, object], *, priority: Priority
    ) -> None:
        """Ask for something, and raise `LimitRejectedError` when it is not accepted."""
        status = await self.ask(action, payload, priority=priority)
        if status != "Accepted":
            raise LimitRejectedError(self.id, f"{action}: {status}")
