"""What is known of one OCPP 2.0.1 station besides what is known of any."""

from collections.abc import Mapping
from typing import Final

from drivers.ocpp.adapter import Link, Priority, StationContext
from drivers.ocpp.station import Signal, StationRecord
from drivers.ocpp.v201_reports import Reports
from drivers.ocpp.v201_transactions import TransactionBook
from gateway.domain.charging import ConnectorStatus, EndCause

# An EVSE with several connectors is what its most engaged one is: only one can be in use.
_ENGAGEMENT: Final = (
    ConnectorStatus.OCCUPIED,
    ConnectorStatus.RESERVED,
    ConnectorStatus.AVAILABLE,
    ConnectorStatus.UNAVAILABLE,
    ConnectorStatus.FAULTED,
)


class V201Station(StationRecord):
    """One 2.0.1 station: its transactions have ids of its own, and its EVSEs connectors.

    `doubtful` are transactions that may have ended unheard, `unsettled` those of them that ran
    before its boot and of which it could not say; `sought` those of which nobody knows the EVSE;
    `told_free` the EVSEs told to be free since its boot; `met` the EVSEs whose state was asked for on this connection; `asked` the
    EVSE whose transaction was asked for and is about to be told (`answered`).
    """

    __slots__ = (
        "_statuses",
        "answered",
        "asked",
        "book",
        "doubtful",
        "has_booted",
        "met",
        "reports",
        "sought",
        "told_free",
        "unsettled",
    )

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        super().__init__(context)
        self.book = TransactionBook(context.past.transactions)
        self.reports = Reports(self)
        self.doubtful: set[str] = set()
        self.unsettled: set[str] = set()
        self.sought: set[str] = set()
        self.told_free: set[int] = set()
        self.met: set[int] = set()
        self.has_booted = False
        self.asked: int | None = None
        self.answered = Signal()
        self._statuses: dict[int, dict[int, ConnectorStatus]] = {}

    def connect(self, link: Link) -> None:
        """Begin a connection: what was known before may have changed unheard."""
        super().connect(link)
        self.has_booted = False
        self.met.clear()
        self.sought.clear()
        self.doubt_all()

    def disconnect(self) -> None:
        """End a connection."""
        super().disconnect()
        self.reports.lose()

    def doubt_all(self) -> None:
        """Doubt that any transaction known to run still does."""
        self.doubtful = {transaction for transaction, _ in self.book.running()}

    def note_boot(self, *, vendor: str, model: str, firmware: str) -> None:
        """Take what a boot says of the station; what ran before may not have survived it."""
        super().note_boot(vendor=vendor, model=model, firmware=firmware)
        self.has_booted = True
        self.told_free.clear()
        self.unsettled.clear()
        self.doubt_all()

    def believe(self, transaction: str) -> None:
        """Doubt no more that a transaction runs: it was heard of."""
        self.doubtful.discard(transaction)
        self.unsettled.discard(transaction)

    def end_unheard(self, transaction: str, *, cause: EndCause) -> None:
        """Enter the end of a transaction that its station did not tell."""
        self.believe(transaction)
        told = self.book.end(transaction, is_sure=False)
        self.counters["ended-unheard"] += 1
        for ended in told.ended:
            assert told.number is not None  # What was announced has an EVSE.
            self.post_end(told.number, ended, cause=cause)

    def end_lost(self, number: int) -> None:
        """End what ran on an EVSE before a boot, if nobody can say and the EVSE is free since."""
        transaction = self.book.running_on(number)
        if transaction in self.unsettled and number in self.told_free:
            self.end_unheard(transaction, cause=EndCause.LOST_IN_REBOOT)

    def doubt(self, transaction: str) -> None:
        """Doubt a transaction, and have the station asked about it."""
        self.doubtful.add(transaction)
        self.interview_again()

    def note_status(self, number: int, connector: int, status: ConnectorStatus) -> ConnectorStatus:
        """Take the status of a connector; return that of its EVSE."""
        statuses = self._statuses.setdefault(number, {})
        statuses[connector] = status
        of_evse = min(statuses.values(), key=_ENGAGEMENT.index)
        if of_evse is ConnectorStatus.AVAILABLE:
            self.told_free.add(number)
        else:
            self.told_free.discard(number)
        return of_evse

    def numbers(self) -> tuple[int, ...]:
        """Return the EVSEs that are known to be there."""
        running = (number for _, number in self.book.running())
        return tuple(sorted({*self.connectors, *self._statuses, *running}))

    def connectors_of(self, number: int) -> tuple[int, ...]:
        """Return the connectors of an EVSE, as far as they were heard of; there is always one."""
        return tuple(sorted(self._statuses.get(number, {}))) or (1,)

    def status_of(self, answer: Mapping[str, object]) -> str:
        """Return the status of an answer, and the reason beside it where it is not accepted."""
        status, info = super().status_of(answer), answer.get("statusInfo")
        reason = info.get("reasonCode") if isinstance(info, Mapping) else None
        return status if status == "Accepted" or not reason else f"{status} {reason}"

    async def trigger(
        self,
        message: str,
        *,
        number: int | None = None,
        connector: int | None = None,
        priority: Priority,
    ) -> str:
        """Ask for a message of the station; return the status of the answer."""
        payload: dict[str, object] = {"requestedMessage": message}
        if number is not None:
            evse = {"id": number}
            if connector is not None:
                evse["connectorId"] = connector
            payload["evse"] = evse
        key = f"trigger {message} {number} {connector}"
        return await self.ask("TriggerMessage", payload, priority=priority, key=key)
