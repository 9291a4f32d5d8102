"""Reports: what a 2.0.1 station answers in messages of its own, one or many for one question."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.rpc import CallRefusedError, CallUnansweredError, ConnectionLostError
from drivers.ocpp.station import StationRecord

PART_PATIENCE_S: Final = 15.0
MAX_PARTS: Final = 1_000

Report = Mapping[str, Any]
"""A NotifyReport or ReportChargingProfiles that fits its schema."""

_EMPTY: Final = frozenset({"EmptyResultSet", "NoProfiles"})


class Reports:
    """The reports asked for and not yet whole."""

    __slots__ = ("_last_id", "_open", "_station")

    def __init__(self, station: StationRecord) -> None:
        """Wait for none."""
        self._station = station
        # Ids differ over restarts, so that a late part of an earlier run belongs to nothing.
        self._last_id = int(station.clock.now_at().timestamp()) % 2**30
        self._open: dict[int, asyncio.Queue[Report | None]] = {}

    def new_id(self) -> int:
        """Return a request id that was not used before."""
        self._last_id += 1
        return self._last_id

    def take(self, report: Report) -> bool:
        """Take one part; return whether anybody waits for it."""
        parts = self._open.get(report["requestId"])
        if parts is None:
            return False
        parts.put_nowait(report)
        return True

    def lose(self) -> None:
        """Give up on all that is not whole: the connection is gone."""
        for parts in self._open.values():
            parts.put_nowait(None)

    async def collect(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        patience_s: float = PART_PATIENCE_S,
    ) -> list[Report] | None:
        """Ask for a report and return its parts, None if the station does not give it.

        Raises:
            StationUnreachableError: no answer in time, or a part did not come.
        """
        request = self.new_id()
        parts = self._open[request] = asyncio.Queue()
        try:
            answer = await self._station.call(
                action, {**payload, "requestId": request}, priority=priority
            )
            status = str(answer.get("status", ""))
            if status != "Accepted":
                return [] if status in _EMPTY else None
            return await self._gather(action, parts, patience_s)
        except CallRefusedError:
            return None
        finally:
            del self._open[request]

    async def _gather(
        self, action: str, parts: asyncio.Queue[Report | None], patience_s: float
    ) -> list[Report]:
        gathered: list[Report] = []
        while len(gathered) < MAX_PARTS:
            try:
                async with asyncio.timeout(patience_s):
                    part = await parts.get()
            except TimeoutError as error:
                raise CallUnansweredError(
                    self._station.id, f"{action}: the report did not come whole"
                ) from error
            if part is None:
                raise ConnectionLostError(self._station.id, f"{action}: connection lost")
            gathered.append(part)
            if not part.get("tbc", False):
                return gathered
        raise CallUnansweredError(self._station.id, f"{action}: the report has no end")
