"""Carries what was decided to the stations: the only service that talks to station drivers."""

import asyncio
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol, assert_never

from gateway.control.decide import Decision
from gateway.control.orders import FallbackOrder, LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.domain.circuits import ChargingStation
from gateway.domain.errors import LimitRejectedError, NoPlaceError, StationUnreachableError
from gateway.domain.events import (
    LimitAcknowledged,
    LimitEvent,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.ports import Clock, Metrics, Post, StationDriver
from gateway.services.fallback_pace import FallbackPace

_log = logging.getLogger(__name__)

LATENCIES_KEPT = 2_000
NO_PLACE_AGAIN_S = 60.0
"""A place becomes free when a transaction ends or a lease lapses, not sooner for being asked."""


class ProfileKind(StrEnum):
    """What a charging profile is for: one that lapses, or one that stays."""

    LEASE = "lease"
    FALLBACK = "fallback"


class Gate(Protocol):
    """Says whether what is higher than before may go out already: it must outlive us first.

    What may not go yet is asked for again after `wake`, which is called once it may.
    """

    def may_send(
        self, connector: ConnectorRef, limit: CurrentLimit, wake: Callable[[], None]
    ) -> bool:
        """Return whether a limit may be sent."""

    def may_write_fallback(
        self, connector: ConnectorRef, fallback_ma: int, wake: Callable[[], None]
    ) -> bool:
        """Return whether a persistent fallback may be written."""


class OpenGate:
    """Lets everything pass: for where nothing is to outlive the process."""

    def may_send(
        self, connector: ConnectorRef, limit: CurrentLimit, wake: Callable[[], None]
    ) -> bool:
        """Return that it may."""
        del connector, limit, wake
        return True

    def may_write_fallback(
        self, connector: ConnectorRef, fallback_ma: int, wake: Callable[[], None]
    ) -> bool:
        """Return that it may."""
        del connector, fallback_ma, wake
        return True


class Dispatcher:
    """Sends the newest decision, and only that, to every station at the station's own pace.

    Each station has a task of its own, so none waits for another. To one station goes one
    limit at a time: cuts, then fallbacks, then everything else. What is not yet sent when the
    next decision comes is forgotten: that decision says it anew, or no longer means it. What the
    `gate` holds back lets all else pass: a cut waits for nothing.
    """

    def __init__(
        self,
        stations: Iterable[ChargingStation],
        driver: StationDriver,
        *,
        clock: Clock,
        post: Post,
        parameters: ControlParameters,
        gate: Gate | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Send nothing yet: `run` does."""
        self._clock = clock
        self._shared = _Shared(
            driver=driver,
            clock=clock,
            post=post,
            parameters=parameters,
            counters=Counter(),
            latencies_s=deque(maxlen=LATENCIES_KEPT),
            pace=FallbackPace(),
            gate=gate or OpenGate(),
            profile_writes=Counter(),
            metrics=metrics,
        )
        self._offered: set[StationId] = set()
        self._lines = {station.id: _Line(self._shared) for station in stations}

    def offer(self, decision: Decision) -> None:
        """Take a decision in the place of the one before; never waits."""
        outgoing: defaultdict[StationId, _Outgoing] = defaultdict(_Outgoing)
        # To whom nothing can go on the wire, nothing may be believed to be sent.
        connected = self._shared.driver.connected_stations()
        for order in decision.orders:
            if order.connector.station in connected:
                outgoing[order.connector.station].limits.append(order)
        for fallback in decision.fallbacks:
            if fallback.connector.station in connected:
                outgoing[fallback.connector.station].fallbacks.append(fallback)
        for connector in decision.ask:
            if connector.station in connected:
                outgoing[connector.station].questions.append(connector)
        for station in self._offered - outgoing.keys():
            self._lines[station].offer(_Outgoing(), decided_at_s=decision.at_s)
        self._offered = set(outgoing)
        # Who is to be cut is woken first.
        for station in sorted(
            outgoing, key=lambda s: not any(o.is_cut for o in outgoing[s].limits)
        ):
            self._lines[station].offer(outgoing[station], decided_at_s=decision.at_s)

    async def run(self) -> None:
        """Send until cancelled; what is in flight then is left to its lease."""
        async with asyncio.TaskGroup() as tasks:
            for station, line in self._lines.items():
                tasks.create_task(line.carry(), name=f"dispatch {station}")
                tasks.create_task(line.ask(), name=f"ask {station}")
            # A site whose stations are not declared yet is served like any other.
            await asyncio.Event().wait()

    @property
    def counters(self) -> Counter[str]:
        """Return how often what came of a call, as in `limit accepted`, `question unanswered`."""
        return self._shared.counters

    @property
    def profile_writes(self) -> Mapping[tuple[StationId, ProfileKind], int]:
        """Return how many charging profiles were sent to each station, whatever came of them."""
        return self._shared.profile_writes

    def limit_latencies_s(self) -> list[float]:
        """Return the last times from a decision to its acknowledgement, in order."""
        return list(self._shared.latencies_s)


class _Outcome(StrEnum):
    """What came of a call."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NO_PLACE = "without a place"
    UNANSWERED = "unanswered"

    @property
    def counted(self) -> str:
        """Return what it is counted as: that there is no place is a refusal like any other."""
        return self.REJECTED if self is _Outcome.NO_PLACE else self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the lines to all stations have in common."""

    driver: StationDriver
    clock: Clock
    post: Post
    parameters: ControlParameters
    counters: Counter[str]
    latencies_s: deque[float]
    pace: FallbackPace
    gate: Gate
    profile_writes: Counter[tuple[StationId, ProfileKind]]
    metrics: Metrics | None


class _Outgoing:
    """What one decision has for one station."""

    __slots__ = ("fallbacks", "limits", "questions")

    def __init__(self) -> None:
        self.limits: list[LimitOrder] = []
        self.fallbacks: list[FallbackOrder] = []
        self.questions: list[ConnectorRef] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A limit that did not get through, and when; since when none did, and whether it was told.

    Where there was no place for it, there is none for another raise either.
    """

    at_s: float
    limit: CurrentLimit
    since_s: float
    is_told: bool
    has_no_place: bool

    def holds_back(self, order: LimitOrder, parameters: ControlParameters, now_s: float) -> bool:
        """Return whether it is too soon for an order."""
        again_s = NO_PLACE_AGAIN_S if self.has_no_place else parameters.resend_s
        is_alike = order.limit == self.limit or (self.has_no_place and not order.is_cut)
        return is_alike and now_s - self.at_s < again_s


class _Line:
    """The way to one station."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._outgoing = _Outgoing()
        self._decided_at_s = 0.0
        self._has_limits = asyncio.Event()
        self._has_questions = asyncio.Event()
        self._sequence: Counter[ConnectorRef] = Counter()
        self._refused: dict[ConnectorRef, _Refused] = {}
        self._without_fallback: set[ConnectorRef] = set()

    def offer(self, outgoing: _Outgoing, *, decided_at_s: float) -> None:
        """Forget what was not sent, and have this instead."""
        outgoing.limits.sort(key=lambda order: (not order.is_cut, order.limit.limit_ma))
        self._outgoing, self._decided_at_s = outgoing, decided_at_s
        for order in outgoing.limits:
            self._may_send(order)  # All raises of one decision are made durable together.
        if outgoing.limits or outgoing.fallbacks:
            self._has_limits.set()
        if outgoing.questions:
            self._has_questions.set()

    async def carry(self) -> None:
        """Send limits and fallbacks, one at a time, for ever."""
        while True:
            await self._has_limits.wait()
            limit, fallback = self._next_limit(), self._next_fallback()
            if limit is not None and (limit.is_cut or fallback is None):
                self._outgoing.limits.remove(limit)
                await self._send_limit(limit)
            elif fallback is not None:
                self._outgoing.fallbacks.remove(fallback)
                await self._send_fallback(fallback)
            else:
                self._has_limits.clear()

    def _next_limit(self) -> LimitOrder | None:
        """Return the first limit that may go."""
        return next((order for order in self._outgoing.limits if self._may_send(order)), None)

    def _may_send(self, order: LimitOrder) -> bool:
        return self._shared.gate.may_send(order.connector, order.limit, self._has_limits.set)

    def _next_fallback(self) -> FallbackOrder | None:
        """Return the first fallback that may be written."""
        return next(
            (
                order
                for order in self._outgoing.fallbacks
                if self._shared.gate.may_write_fallback(
                    order.connector, order.limit.limit_ma, self._has_limits.set
                )
            ),
            None,
        )

    async def ask(self) -> None:
        """Ask for readings, one at a time, for ever; whether they come shows in the facts."""
        while True:
            await self._has_questions.wait()
            if not self._outgoing.questions:
                self._has_questions.clear()
                continue
            connector = self._outgoing.questions.pop(0)
            outcome, _ = await self._try(self._shared.driver.request_reading(connector), connector)
            self._shared.counters[f"question {outcome}"] += 1

    async def _send_limit(self, order: LimitOrder) -> None:
        clock, parameters = self._shared.clock, self._shared.parameters
        connector, sent_at_s = order.connector, clock.monotonic_s()
        refused = self._refused.get(connector)
        if refused is not None and refused.holds_back(order, parameters, sent_at_s):
            return
        self._sequence[connector] += 1
        sequence, decided_at_s = self._sequence[connector], self._decided_at_s
        # It may reach the station as late as the deadline, and its lease begins there.
        latest_s = sent_at_s + parameters.acknowledgement_s + parameters.lease_margin_s
        self._shared.post(
            LimitSent(
                at_s=sent_at_s,
                connector=connector,
                limit_ma=order.limit.limit_ma,
                phase_count=order.limit.phase_count,
                lease_until_s=latest_s + order.valid_for_s,
                sequence=sequence,
            )
        )
        self._shared.profile_writes[connector.station, ProfileKind.LEASE] += 1
        outcome, detail = await self._try(
            self._shared.driver.set_limit(
                connector, order.limit, valid_for=timedelta(seconds=order.valid_for_s)
            ),
            connector,
        )
        now_s = clock.monotonic_s()
        self._shared.counters[f"limit {outcome.counted}"] += 1
        self._note(connector, order.limit, outcome, detail, sent_at_s=sent_at_s)
        answer: LimitEvent
        match outcome:
            case _Outcome.ACCEPTED:
                answer = LimitAcknowledged(at_s=now_s, connector=connector, sequence=sequence)
                self._shared.latencies_s.append(now_s - decided_at_s)
                if self._shared.metrics is not None:
                    self._shared.metrics.note_limit(now_s - decided_at_s)
                # A decision made while this was on its way may have asked for it once more.
                self._outgoing.limits = [
                    o
                    for o in self._outgoing.limits
                    if (o.connector, o.limit) != (connector, order.limit)
                ]
            case _Outcome.REJECTED | _Outcome.NO_PLACE:
                answer = LimitRejected(
                    at_s=now_s, connector=connector, sequence=sequence, detail=detail
                )
            case _Outcome.UNANSWERED:
                answer = LimitUnanswered(at_s=now_s, connector=connector, sequence=sequence)
            case _:
                assert_never(outcome)
        self._shared.post(answer)

    async def _try(
        self, call: Coroutine[None, None, None], connector: ConnectorRef
    ) -> tuple[_Outcome, str]:
        """Make a call of the driver, and return what came of it and what was said."""
        clock, metrics = self._shared.clock, self._shared.metrics
        begun_s = clock.monotonic_s()
        outcome, detail = await self._outcome_of(call, connector)
        if metrics is not None and outcome is not _Outcome.UNANSWERED:
            metrics.note_call(connector.station, clock.monotonic_s() - begun_s)
        return outcome, detail

    async def _outcome_of(
        self, call: Coroutine[None, None, None], connector: ConnectorRef
    ) -> tuple[_Outcome, str]:
        try:
            async with asyncio.timeout(self._shared.parameters.acknowledgement_s):
                await call
        except NoPlaceError as error:
            return _Outcome.NO_PLACE, error.detail
        except LimitRejectedError as error:
            return _Outcome.REJECTED, error.detail
        except StationUnreachableError as error:
            return _Outcome.UNANSWERED, error.detail
        except TimeoutError:
            return _Outcome.UNANSWERED, "no answer in time"
        except Exception:  # noqa: BLE001 - one station's oddity must not stop the others
            _log.exception("a call to %s failed by a fault of ours", connector)
            self._shared.counters["fault"] += 1
            return _Outcome.UNANSWERED, "a fault of ours"
        return _Outcome.ACCEPTED, ""

    def _note(
        self,
        connector: ConnectorRef,
        limit: CurrentLimit,
        outcome: _Outcome,
        detail: str,
        *,
        sent_at_s: float,
    ) -> None:
        """Remember a failure; tell once of those that last, and once when they are over.

        Just after plugging in a refusal is usual: there is no transaction yet to be limited. That
        a station has no place lasts.
        """
        before = self._refused.pop(connector, None)
        if outcome is _Outcome.ACCEPTED:
            if before is not None and before.is_told:
                _log.info("%s takes limits again", connector)
            return
        now_s = self._shared.clock.monotonic_s()
        since_s = sent_at_s if before is None else before.since_s
        is_told = before is not None and before.is_told
        has_no_place = outcome is _Outcome.NO_PLACE
        lasts = has_no_place or now_s - since_s >= self._shared.parameters.acknowledgement_s
        if not is_told and lasts:
            is_told = True
            _log.warning("%s: limit %s: %s", connector, outcome, detail)
        self._refused[connector] = _Refused(
            at_s=now_s,
            limit=limit,
            since_s=since_s,
            is_told=is_told,
            has_no_place=has_no_place,
        )

    async def _send_fallback(self, order: FallbackOrder) -> None:
        now_s, limit_ma = self._shared.clock.monotonic_s(), order.limit.limit_ma
        connector, pace = order.connector, self._shared.pace
        if not pace.may_write(connector, limit_ma, now_s=now_s):
            return
        pace.note_write(connector, limit_ma, now_s=now_s)
        self._shared.profile_writes[connector.station, ProfileKind.FALLBACK] += 1
        outcome, detail = await self._try(
            self._shared.driver.set_fallback(connector, order.limit), connector
        )
        self._shared.counters[f"fallback {outcome.counted}"] += 1
        if outcome is _Outcome.ACCEPTED:
            pace.note_accepted(connector, limit_ma)
            self._without_fallback.discard(connector)
            _log.info("%s: fallback %.1f A written", connector, limit_ma / 1_000)
            return
        if outcome is _Outcome.NO_PLACE:
            pace.note_not_sent(connector)
            if connector in self._without_fallback:
                return
            self._without_fallback.add(connector)
        _log.warning("%s: fallback %s: %s", connector, outcome, detail)
