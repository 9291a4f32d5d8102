"""Reports: what a 2.0.1 station answers in messages of its own, one or many for one question."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.rpc import CallRefusedError, CallUnansweredError, ConnectionLostError
from drivers.ocpp.station import StationRecord

PART_PATIENCE_S: Final = 15.0
MAX_PARTS: Final = 1_000
MAX_ROWS: Final = 10_000
"""Of a whole report: device models have hundreds or thousands, and each may take kilobytes."""

Report = Mapping[str, Any]
"""A NotifyReport or ReportChargingProfiles that fits its schema."""

_EMPTY: Final = frozenset({"EmptyResultSet", "NoProfiles"})


class _Gathering:
    """The parts of one report that have come and were not taken out yet; None ends them."""

    __slots__ = ("_part_count", "_row_count", "is_too_long", "parts")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.parts: asyncio.Queue[Report | None] = asyncio.Queue()
        self.is_too_long = False
        self._part_count = self._row_count = 0

    def put(self, part: Report) -> None:
        """Put a part; what is beyond the longest report there can be is not kept."""
        self._part_count += 1
        self._row_count += len(part.get("reportData") or part.get("chargingProfile") or ())
        if self.is_too_long:
            return
        self.is_too_long = self._part_count > MAX_PARTS or self._row_count > MAX_ROWS
        self.parts.put_nowait(None if self.is_too_long else part)


class Reports:
    """The reports asked for and not yet whole."""

    __slots__ = ("_last_id", "_open", "_station")

    def __init__(self, station: StationRecord) -> None:
        """Wait for none."""
        self._station = station
        # Ids differ over restarts, so that a late part of an earlier run belongs to nothing.
        self._last_id = int(station.clock.now_at().timestamp()) % 2**30
        self._open: dict[int, _Gathering] = {}

    def new_id(self) -> int:
        """Return a request id that was not used before."""
        self._last_id += 1
        return self._last_id

    def take(self, report: Report) -> bool:
        """Take one part; return whether anybody waits for it."""
        gathering = self._open.get(report["requestId"])
        if gathering is None:
            return False
        gathering.put(report)
        return True

    def lose(self) -> None:
        """Give up on all that is not whole: the connection is gone."""
        for gathering in self._open.values():
            gathering.parts.put_nowait(None)

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
        gathering = self._open[request] = _Gathering()
        try:
            answer = await self._station.call(
                action, {**payload, "requestId": request}, priority=priority
            )
            status = str(answer.get("status", ""))
            if status != "Accepted":
                return [] if status in _EMPTY else None
            return await self._gather(action, gathering, patience_s)
        except CallRefusedError:
            return None
        finally:
            del self._open[request]

    async def _gather(self, action: str, gathering: _Gathering, patience_s: float) -> list[Report]:
        gathered: list[Report] = []
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    part = await gathering.parts.get()
            except TimeoutError as error:
                raise CallUnansweredError(
                    self._station.id, f"{action}: the report did not come whole"
                ) from error
            if part is None and gathering.is_too_long:
                raise CallUnansweredError(self._station.id, f"{action}: the report has no end")
            if part is None:
                raise ConnectionLostError(self._station.id, f"{action}: connection lost")
            gathered.append(part)
            if not part.get("tbc", False):
                return gathered
