"""Stations behind a `StationDriver` that answer as a test scripts them, in any event loop."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.domain.errors import LimitRejectedError, NoPlaceError, StationUnreachableError
from gateway.domain.events import FallbackInstalled
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.ports import Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A call that reached a station: when it began, and what it said (None: a question)."""

    at_s: float
    connector: ConnectorRef
    what: str
    limit_ma: int | None = None
    valid_for: timedelta | None = None


@dataclass(kw_only=True)
class Temper:
    """How a station answers. `takes_s` passes before any answer; infinity is silence."""

    takes_s: float = 0.05
    is_refusing: bool = False
    has_no_place: bool = False
    has_bug: bool = False
    is_connected: bool = True
    is_unable_to_report: bool = False


@dataclass(kw_only=True)
class ScriptedStations:
    """`gateway.ports.StationDriver`; keeps what it heard. Its contract is tested with the real one."""

    tempers: dict[StationId, Temper]
    post: Post
    deadline_s: float = 10.0
    heard: list[Heard] = field(default_factory=list)

    def heard_of(self, what: str, station: str | None = None) -> list[Heard]:
        return [h for h in self.heard if h.what == what and station in (None, h.connector.station)]

    async def set_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for: timedelta
    ) -> None:
        await self._hear("limit", connector, limit, valid_for)

    async def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit) -> None:
        await self._hear("fallback", connector, limit)
        self.post(FallbackInstalled(at_s=_now_s(), connector=connector, fallback_ma=limit.limit_ma))

    async def request_reading(self, connector: ConnectorRef) -> None:
        if self.tempers[connector.station].is_unable_to_report:
            raise StationUnreachableError(connector.station, "does not know how")
        try:
            await self._hear("question", connector)
        except LimitRejectedError as error:
            raise StationUnreachableError(connector.station, error.detail) from error

    def connected_stations(self) -> frozenset[StationId]:
        return frozenset(s for s, temper in self.tempers.items() if temper.is_connected)

    async def _hear(
        self,
        what: str,
        connector: ConnectorRef,
        limit: CurrentLimit | None = None,
        valid_for: timedelta | None = None,
    ) -> None:
        temper = self.tempers.get(connector.station)
        if temper is None or not temper.is_connected:
            raise StationUnreachableError(connector.station, "not connected")
        self.heard.append(
            Heard(
                at_s=_now_s(),
                connector=connector,
                what=what,
                limit_ma=None if limit is None else limit.limit_ma,
                valid_for=valid_for,
            )
        )
        await asyncio.sleep(min(temper.takes_s, self.deadline_s))
        if temper.has_bug:
            raise ZeroDivisionError("a bug of the driver")
        if temper.takes_s > self.deadline_s:
            raise StationUnreachableError(connector.station, "no answer in time")
        if temper.has_no_place:
            raise NoPlaceError(connector.station, "4 are needed, and it keeps 3")
        if temper.is_refusing:
            raise LimitRejectedError(connector.station, "Rejected")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
