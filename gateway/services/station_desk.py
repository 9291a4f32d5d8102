"""A person at a station has it start, stop or restart, or asks what it says its limits are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from gateway.domain.charging import CompositePeriod, OcppVersion
from gateway.domain.errors import (
    HeadroomError,
    LimitRejectedError,
    NeverAskedError,
    StationError,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.memory import Act
from gateway.ports import Clock, Ledger, StationErrands
from gateway.services.control_loop import Cycle
from gateway.services.promise_shelf import DURABLE_WITHIN_S

LOOKS_AHEAD_S = 600
"""Of a schedule: a lease is over by then."""

LONGEST_TOKEN = {OcppVersion.V16: 20, OcppVersion.V201: 36}  # IdToken, IdTokenType: characters.

ERRANDS_AT_ONCE = 4
"""Of those that wait for an answer: the daemon's own socket has places left for whoever else asks."""

AGAIN = "what was asked before: ask again in a few seconds"

_log = logging.getLogger(__name__)


class Wish(StrEnum):
    """What a person may want of a station."""

    SCHEDULE = "schedule"
    START = "start"
    STOP = "stop"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRequest:
    """What is wanted of which connector; `number` is 0 for the station as a whole."""

    wish: Wish
    station: StationId
    number: int = 0
    id_token: str = ""
    is_hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The station accepted what was asked of it; of a stop, which transaction ends."""

    wish: Wish
    of: str
    transaction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What a station says a connector's limits add up to, and what it was told last.

    `told_ma` is None where it was told nothing yet, `lease_s` where that does not lapse,
    `fallback_ma` where none is written.
    """

    connector: str
    periods: tuple[CompositePeriod, ...]
    told_ma: int | None
    lease_s: float | None
    fallback_ma: int | None


class StationRefusedError(HeadroomError):
    """It was not done, or nobody knows whether; the message says why."""


class StationDesk:
    """Hands what people want of stations to their queues of calls, and writes down who wanted it.

    `latest` is the last cycle of control, None before the first.
    """

    def __init__(
        self,
        stations: StationErrands,
        *,
        latest: Callable[[], Cycle | None],
        clock: Clock,
        ledger: Ledger | None,
    ) -> None:
        self._stations = stations
        self._latest = latest
        self._clock = clock
        self._ledger = ledger
        self._asked: set[StationId] = set()

    async def see_to(self, request: StationRequest, by: str) -> Accepted | Schedule:
        """Have a station do what is wanted; `by` is who wants it.

        Raises:
            StationRefusedError: it is not there, refuses, or does not answer in time; or it has
                yet to answer somebody else, or as many others as may be asked at once have.
        """
        if request.station in self._asked:
            raise StationRefusedError(f"{request.station} has yet to answer {AGAIN}")
        if len(self._asked) >= ERRANDS_AT_ONCE:
            raise StationRefusedError(f"{ERRANDS_AT_ONCE} stations have yet to answer {AGAIN}")
        self._asked.add(request.station)
        try:
            return await self._see_to(request, by)
        finally:
            self._asked.remove(request.station)

    async def _see_to(self, request: StationRequest, by: str) -> Accepted | Schedule:
        cycle, station = self._latest(), request.station
        if cycle is None or station not in cycle.state.stations:
            raise StationRefusedError(f"there is no station {station!r}, or none is known yet")
        connector = ConnectorRef(station, request.number)
        at = cycle.state.wiring.connector_at.get(connector)
        if at is None and request.wish is not Wish.RESET:
            raise StationRefusedError(f"there is no connector {connector}")
        if not cycle.state.stations[station].is_connected:
            raise StationRefusedError(f"{station} is not connected")
        if request.wish is Wish.RESET:
            act = partial(self._stations.reset, station, is_hard=request.is_hard)
            return await self._done(request, station, act, by)
        assert at is not None
        if request.wish is Wish.SCHEDULE:
            return await self._schedule(connector, cycle)
        if request.wish is Wish.START:
            self._check_token(cycle, request)
            act = partial(self._stations.start_transaction, connector, request.id_token)
            return await self._done(request, str(connector), act, by)
        transaction = cycle.state.connectors[at].transaction
        if transaction is None:
            raise StationRefusedError(f"no transaction is known to run on {connector}")
        act = partial(self._stations.stop_transaction, station, transaction)
        return await self._done(request, str(connector), act, by, transaction=transaction)

    async def _schedule(self, connector: ConnectorRef, cycle: Cycle) -> Schedule:
        try:
            periods = await self._stations.composite_schedule(connector, duration_s=LOOKS_AHEAD_S)
        except StationError as error:
            raise StationRefusedError(_in_words(error)) from error
        # It waited behind limits: what it was told is what it has heard by now.
        state = (self._latest() or cycle).state
        belief = state.connectors[state.wiring.connector_at[connector]]
        newest, now_s = belief.limits[-1], self._clock.monotonic_s()
        until_s = newest.lease_until_s
        return Schedule(
            connector=str(connector),
            periods=periods,
            told_ma=newest.limit_ma if newest.last_sequence else None,
            lease_s=None if until_s is None else max(0.0, until_s - now_s),
            fallback_ma=belief.fallback_ma,
        )

    async def _done(
        self,
        request: StationRequest,
        of: str,
        act: Callable[[], Awaitable[None]],
        by: str,
        transaction: str | None = None,
    ) -> Accepted:
        """Write down who asks for what, ask, and write down what came of it, whatever that is."""
        detail: dict[str, str] = {}
        if request.is_hard:
            detail["type"] = "hard"
        if transaction is not None:
            detail["transaction"] = transaction
        asked = Act(kind=f"station-{request.wish}", subject=of, detail=detail, by=by)
        written = self._write(asked, "asked")
        if written is not None:
            # It outlives an end of ours; a disk that takes nothing must not be in the way of a stop.
            await asyncio.wait([written], timeout=DURABLE_WITHIN_S)
        outcome = "not known"  # As it stays where the daemon ends before the answer.
        try:
            await act()
            outcome = "accepted"
        except StationError as error:
            outcome = error.detail
            words = _in_words(error)
            if not isinstance(error, LimitRejectedError | NeverAskedError):
                words += ": look whether it did it before you ask again"
            raise StationRefusedError(words) from error
        finally:
            self._write(asked, outcome)
        return Accepted(wish=request.wish, of=of, transaction=transaction)

    def _write(self, asked: Act, outcome: str) -> asyncio.Future[None] | None:
        _log.warning("%s of %s, asked for by %s: %s", asked.kind, asked.subject, asked.by, outcome)
        if self._ledger is None:
            return None
        detail = {"outcome": outcome, **asked.detail}
        return self._ledger.keep_durably(replace(asked, detail=detail))

    def _check_token(self, cycle: Cycle, request: StationRequest) -> None:
        known = cycle.state.stations[request.station].capabilities
        version = OcppVersion.V201 if known is None else known.ocpp_version
        longest = LONGEST_TOKEN[version]
        if not 0 < len(request.id_token) <= longest:
            raise StationRefusedError(f"a token has 1 to {longest} characters in {version}")


def _in_words(error: StationError) -> str:
    if isinstance(error, LimitRejectedError):
        return f"{error.station} refuses: {error.detail}"
    return str(error)
