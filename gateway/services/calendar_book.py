"""The events people know of, durable before they are said to be known, and what they add to base."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gateway.control.wiring import Wiring
from gateway.domain.access import Access
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.memory import Act
from gateway.planning.answers import NotDurableError, TooManyEventsError, UnknownEventError
from gateway.ports import Clock, Ledger
from gateway.services.foresight import Words
from gateway.services.promise_shelf import DURABLE_WITHIN_S

MAX_TO_COME = 500
KEPT_S = 84 * 86_400.0
"""How long an event that is over is known: what was drawn then says nothing of other weeks."""


class CalendarBook:
    """`gateway.ports.EventCalendar`, in one event loop; `on_changed` is told of every change."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger | None,
        remembered: Mapping[str, CalendarEvent],
        on_changed: Callable[[], None],
    ) -> None:
        """Take up the events that are remembered; without a ledger none outlive us."""
        self._clock, self._ledger, self._on_changed = clock, ledger, on_changed
        self._events = dict(remembered)

    def to_come(self) -> tuple[CalendarEvent, ...]:
        """Return the events that are not over, the soonest first."""
        now_s = self._now_s()
        found = [event for event in self.known() if event.until_at_s > now_s]
        return tuple(sorted(found, key=lambda event: (event.from_at_s, event.id)))

    def known(self) -> tuple[CalendarEvent, ...]:
        """Return the events that are to come, and those of the last weeks."""
        since_s = self._now_s() - KEPT_S
        return tuple(
            event
            for event in self._events.values()
            if not event.is_cancelled and event.until_at_s > since_s
        )

    async def put(self, event: CalendarEvent, by: Access) -> CalendarEvent:
        """Know of an event, in the place of the one of that id.

        Raises:
            TooManyEventsError: there are as many to come as there may be.
            NotDurableError: the ledger cannot be written.
        """
        others = [known for known in self.to_come() if known.id != event.id]
        if len(others) >= MAX_TO_COME:
            message = f"{len(others)} events are to come: cancel some first"
            raise TooManyEventsError(message)
        return await self._keep(replace(event, by=by.name), "calendar-event", by)

    async def cancel(self, event_id: str, by: Access) -> CalendarEvent:
        """Know no more of an event; done again it changes nothing.

        Raises:
            UnknownEventError: there is no event of that id.
            NotDurableError: the ledger cannot be written.
        """
        event = self._events.get(event_id)
        if event is None:
            message = f"the calendar has no event {event_id}: GET /calendar lists those to come"
            raise UnknownEventError(message)
        return await self._keep(replace(event, is_cancelled=True), "calendar-event-cancelled", by)

    async def _keep(self, event: CalendarEvent, act: str, by: Access) -> CalendarEvent:
        if event == self._events.get(event.id):
            return event
        self._events[event.id] = event
        self._on_changed()
        if self._ledger is not None:
            detail = {"circuit": event.circuit, "note": event.note}
            done = Act(kind=act, subject=event.id, detail=detail, by=by.name)
            written = self._ledger.keep_durably(event, done)
            await asyncio.wait([written], timeout=DURABLE_WITHIN_S)
            if not written.done():
                message = "it is known, but the ledger cannot be written: a restart may forget it"
                raise NotDurableError(message)
        return event

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvents:
    """What events add to base, step by step, from a step on."""

    events: tuple[CalendarEvent, ...]
    wiring: Wiring
    from_step: int
    steps: int
    steps_within: Callable[[float, float], range]
    """The steps from one epoch second to another, as `gateway.services.base_load.BaseLoad` says."""

    def added_ma(self, row: int) -> Words:
        """Return what is added to a row per step.

        What is drawn on a circuit is drawn on those above it too; an event counts in every step
        it touches.
        """
        added_ma, above = np.zeros(self.steps, np.int32), row // 3
        for event in self.events:
            at, extra_ma = self.wiring.circuit_at.get(event.circuit), event.extra_ma[row % 3]
            if at is None or above not in (at, *self.wiring.above[at]) or not extra_ma:
                continue
            touched = self.steps_within(event.from_at_s, event.until_at_s)
            first = max(0, touched.start - self.from_step)
            last = min(self.steps, touched.stop - self.from_step)
            added_ma[first : max(first, last)] += extra_ma
        return added_ma
