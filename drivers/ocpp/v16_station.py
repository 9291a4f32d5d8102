"""What is known of one OCPP 1.6 station besides what is known of any."""

from drivers.ocpp.adapter import Priority, StationContext
from drivers.ocpp.station import StationRecord
from drivers.ocpp.v16_transactions import TransactionBook


class V16Station(StationRecord):
    """One 1.6 station: its transactions have numbers of ours.

    `unheard` are those that ran before its boot and were not heard of since, `lost` those of them
    that were taken to be over, the last of each connector.
    """

    __slots__ = ("book", "lost", "unheard")

    def __init__(self, context: StationContext) -> None:
        """Know nothing of the station yet."""
        super().__init__(context)
        self.book = TransactionBook(context.numbers, context.past.transactions)
        self.unheard: set[int] = set()
        self.lost: dict[int, int] = {}

    async def trigger(self, message: str, *, number: int | None = None, priority: Priority) -> str:
        """Ask for a message of the station; return the status of the answer."""
        payload: dict[str, object] = {"requestedMessage": message}
        if number is not None:
            payload["connectorId"] = number
        key = f"trigger {message} {number}"
        return await self.ask("TriggerMessage", payload, priority=priority, key=key)
