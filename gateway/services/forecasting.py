"""Learns base while the daemon runs and keeps a forecast of it, from which promises are made."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from math import isnan
from typing import Protocol

import numpy as np

from gateway.control.parameters import ControlParameters
from gateway.control.rows import Row
from gateway.control.wiring import Wiring
from gateway.domain.calendar_events import CalendarEvent, EventEffect
from gateway.domain.electric import Phase
from gateway.domain.errors import PastUnreadableError
from gateway.domain.ids import CircuitId
from gateway.domain.limits import Constraint
from gateway.domain.memory import ForecastMemory
from gateway.planning.forecast import Floats, LoadHistory
from gateway.planning.grid import Grid
from gateway.planning.room import Ints
from gateway.ports import Clock
from gateway.services.base_load import STEP_S, BaseLoad, Gathered, base_now_a
from gateway.services.calendar_book import KnownEvents
from gateway.services.calendar_ratings import SOURCE, calendar_bounds_ma, rating_edges
from gateway.services.control_loop import Cycle
from gateway.services.foresight import (
    HORIZON_STEPS,
    Foresight,
    Watched,
    Words,
    foresee,
    on_slots,
    slots_of,
)
from gateway.services.learnt_offsets import LearntOffsets
from gateway.services.promisable import Prospect, bounded_ma, unlearnt_reserve_ma, unused_ma
from gateway.services.recording import base_names

_log = logging.getLogger(__name__)

SAMPLES_EVERY_S = 5.0
LONGEST_SAMPLE_S = 60.0
LOOKS_EVERY_S = 30.0
DRIFTS_NO_SOONER_S = 300.0
DRIFT_RATIO = 0.05
"""Base is otherwise than forecast when it is off all scenarios by more than this part of rating."""

RECALLED = timedelta(days=84)
CLOCK_SET_S = 1_800.0
"""A wall clock that moves by more was wrong before, and so are the hours base was noted under."""


class Past(Protocol):
    """What was recorded before this run."""

    def means(
        self, names: Sequence[str], since_at: datetime, until_at: datetime
    ) -> Iterator[tuple[float, list[float]]]:
        """Yield minute by minute its beginning (epoch s) and the mean of each series.

        Raises:
            PastUnreadableError: it cannot be read.
        """


class Forecasting:
    """Learns base and tells what rows will have (`Prospects`).

    Where nothing is learnt yet the declared worst case counts. `on_seen` is called when base is
    seen otherwise than before.
    """

    def __init__(
        self,
        wiring: Wiring,
        parameters: ControlParameters,
        *,
        zone: tzinfo,
        clock: Clock,
        past: Past | None = None,
        on_seen: Callable[[], None] = lambda: None,
        events: Callable[[], Iterable[CalendarEvent]] = tuple,
        remembered: Mapping[CircuitId, ForecastMemory] | None = None,
        keep: Callable[[ForecastMemory], None] = lambda _: None,
    ) -> None:
        """Know of nothing yet; `past` is read once it runs.

        `events` are what people know of: they are on top of what is learnt, and of the most that was
        seen where nothing is learnt yet; and they are not learnt from. How far off forecasts were
        is `remembered`, and what is learnt of that is `keep`t.
        """
        self._wiring, self._parameters, self._clock = wiring, parameters, clock
        self._zone = zone
        self._past, self._on_seen, self._events = past, on_seen, events
        self._base = BaseLoad(wiring, zone)
        self._keep, known = keep, remembered or {}
        self._offsets = LearntOffsets(
            {
                row: 0.0 if memory is None else memory.offsets_ratio[row % 3]
                for row in self._base.rows
                for memory in (known.get(wiring.circuits[row // 3].id),)
            }
        )
        self._seen = Foresight(from_step=0)
        self._rows: list[Row] = []
        self._noted_s = self._looked_s = float("-inf")
        self._looked_step: int | None = None
        self._wall_less_monotonic_s = self._wall_s() - clock.monotonic_s()

    @property
    def foresight(self) -> Foresight:
        """Return what base will be as it was last seen."""
        return self._seen

    def note(self, cycle: Cycle) -> None:
        """Take note of a complete cycle. Never waits."""
        now_s = self._clock.monotonic_s()
        lasted_s = now_s - self._noted_s
        if lasted_s < SAMPLES_EVERY_S:
            return
        self._rows = cycle.decision.survey.rows
        lasted_s = min(lasted_s, LONGEST_SAMPLE_S)
        self._base.note(base_now_a(cycle), self._wall_s(), lasted_s=lasted_s)
        self._noted_s = now_s

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        """See `gateway.services.promisable.Prospects`."""
        # What the calendar asks for now is over at times: it has a bound for each slot.
        lasting = [constraint for constraint in constraints if constraint.source != SOURCE]
        bound_ma = bounded_ma(self._wiring, lasting)
        available_ma: Ints = np.repeat(bound_ma[:, np.newaxis], grid.slot_count, axis=1)
        by_calendar_ma = calendar_bounds_ma(self._wiring, self._zone, grid, from_at_s)
        if by_calendar_ma is not None:
            available_ma = np.minimum(available_ma, by_calendar_ma)
        base_paths_ma, unmeasured_ma = dict[int, Ints](), dict[int, Ints]()
        spans = slots_of(grid, self._base, self._seen.from_step, from_at_s)
        events = self._events_from(tuple(self._events()), from_at_s)
        from_now = slots_of(grid, self._base, events.from_step, from_at_s)
        for row in range(len(bound_ma)):
            available_ma[row] -= self._reserve_ma(row)
            seen, added_ma = self._seen.rows.get(row), events.added_ma(row)
            if seen is None:
                unmeasured_ma[row] = on_slots(self._unlearnt_ma(row, added_ma), from_now)
                available_ma[row] -= unmeasured_ma[row]
                continue
            if not seen.is_known.all():
                worst_ma = np.where(seen.is_known, 0, self._worst_ma(row)).astype(np.int32)
                unmeasured_ma[row] = on_slots(worst_ma, spans)
            planned_ma = on_slots(seen.planned_ma, spans)
            base_paths_ma[row] = on_slots(seen.paths_ma, spans) - planned_ma
            available_ma[row] -= planned_ma + on_slots(added_ma, from_now)
            available_ma[row] -= unused_ma(self._wiring, self._parameters, row, available_ma[row])
        return Prospect(
            available_ma=available_ma, base_paths_ma=base_paths_ma, unmeasured_ma=unmeasured_ma
        )

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        """Return the epoch seconds between two at which what rows have changes by the calendar."""
        return rating_edges(self._wiring, self._zone, since_at_s, until_at_s)

    def effects_of(self, event: CalendarEvent) -> tuple[EventEffect, ...]:
        """Return what an event changes on its circuit and those above, on the phase it is most on."""
        at = self._wiring.circuit_at.get(event.circuit)
        if at is None or event.is_cancelled or not any(event.extra_ma):
            return ()
        found = []
        for above in (at, *self._wiring.above[at]):
            of_phases = [
                self._effect(event, 3 * above + phase) for phase in Phase if event.extra_ma[phase]
            ]
            found.append(max(of_phases, key=lambda effect: effect.after_ma or 0))
        return tuple(found)

    def _effect(self, event: CalendarEvent, row: int) -> EventEffect:
        now_s, seen = self._wall_s(), self._seen.rows.get(row)
        others = tuple(known for known in self._events() if known.id != event.id)
        before, after = (self._events_from(of, now_s) for of in (others, (*others, event)))
        own_ma = self._events_from((event,), now_s).added_ma(row)
        is_on, highest_a = own_ma > 0, self._highest_a(row)
        before_ma = after_ma = None
        if is_on.any():
            steps = before.from_step - self._seen.from_step + np.arange(HORIZON_STEPS)
            before_ma, after_ma = (
                int(base_ma[is_on].max())
                for added_ma in (before.added_ma(row), after.added_ma(row))
                for base_ma in (
                    self._unlearnt_ma(row, added_ma)
                    if seen is None
                    else seen.planned_ma[np.clip(steps, 0, HORIZON_STEPS - 1)] + added_ma,
                )
            )
        return EventEffect(
            circuit=self._wiring.circuits[row // 3].id,
            phase=Phase(row % 3),
            is_learnt=seen is not None,
            before_ma=before_ma,
            after_ma=after_ma,
            worst_ma=self._worst_ma(row),
            highest_ma=None if highest_a is None else int(highest_a * 1_000),
        )

    def _events_from(self, events: tuple[CalendarEvent, ...], from_at_s: float) -> KnownEvents:
        """Return events as they add to base from an instant (epoch s) on."""
        return KnownEvents(
            events=events,
            wiring=self._wiring,
            from_step=self._base.steps_within(from_at_s, from_at_s + HORIZON_STEPS * STEP_S).start,
            steps=HORIZON_STEPS,
            steps_within=self._base.steps_within,
        )

    def _unlearnt_ma(self, row: int, added_ma: Words) -> Words:
        """Return base per step where nothing is learnt: the worst case, or what is known to be more.

        That is what people know will be drawn on top of the most that was seen.
        """
        base_ma = np.full(len(added_ma), self._worst_ma(row), np.int32)
        if added_ma.any():
            known_ma = added_ma + int((self._highest_a(row) or 0.0) * 1_000)
            np.maximum(base_ma, known_ma, out=base_ma, where=added_ma > 0)
        return base_ma

    def _highest_a(self, row: int) -> float | None:
        """Return the most that was seen of base without events, None where nobody looked."""
        if row not in self._base.rows:
            return None
        until_step = self._base.step_of(self._wall_s()) + 1
        seen_a = self._base.history(until_step)[self._base.rows.index(row)].loads
        usual_a = seen_a - self._added_a(row, until_step - len(seen_a), len(seen_a))
        return None if np.isnan(usual_a).all() else float(np.nanmax(usual_a))

    def _worst_ma(self, row: int) -> int:
        """Return what base and loads draw at worst: as declared, or as seen where that was more."""
        return self._rows[row].worst_case_ma if self._rows else self._wiring.worst_case_ma[row]

    def _reserve_ma(self, row: int) -> int:
        """Return what control keeps free above base, as it does now if its meter is read."""
        seen = self._rows[row] if self._rows else None
        if seen is None or seen.current_ma is None or seen.doubted_ma:
            return unlearnt_reserve_ma(self._wiring, self._parameters, row)
        return seen.reserve_ma

    # What it does by itself.

    async def run(self) -> None:
        """Recall, then look ahead each quarter of an hour and whenever base drifts, for ever."""
        if self._past is not None:
            self._base.forget()  # What was noted so far is recorded too, and counts once.
        await self._recall()
        while True:
            if self._is_clock_set():
                self._base.forget()
                await self._recall()
            await self._look()
            await self._clock.sleep_s(LOOKS_EVERY_S)

    def _is_clock_set(self) -> bool:
        """Return whether the wall clock was set since this was asked last."""
        ahead_s = self._wall_s() - self._clock.monotonic_s()
        moved_s, self._wall_less_monotonic_s = ahead_s - self._wall_less_monotonic_s, ahead_s
        return abs(moved_s) > CLOCK_SET_S

    async def _recall(self) -> None:
        """Take in what was recorded before now, a day at a time."""
        if self._past is None or not self._base.rows:
            return
        until_at = self._clock.now_at().replace(second=0, microsecond=0)
        since_at = until_at - RECALLED
        while since_at < until_at:
            next_at = min(until_at, since_at + timedelta(days=1))
            try:
                day = await asyncio.to_thread(self._gathered, self._past, since_at, next_at)
            except PastUnreadableError as error:
                _log.warning("what base was before cannot be read: %s", error)
                return
            self._base.recall(day)
            since_at = next_at

    def _gathered(self, past: Past, since_at: datetime, until_at: datetime) -> tuple[Gathered, ...]:
        return self._base.gathered(past.means(base_names(self._wiring), since_at, until_at))

    async def _look(self) -> None:
        """Look ahead anew where a step is over or base is not what was forecast."""
        step = self._base.step_of(self._wall_s())
        is_over = step != self._looked_step
        if not is_over and not self._drifts(step):
            return
        if is_over:
            self._score(step - 1)
            self._keep_offsets()
        self._looked_step, self._looked_s = step, self._clock.monotonic_s()
        # What has begun counts as the newest that is known, once enough of it is.
        begun = self._base.mean_a(step)
        from_step = step if np.isnan(begun).all() else step + 1
        watched = [
            self._watched(row, history, from_step)
            for row, history in zip(self._base.rows, self._base.history(from_step), strict=True)
        ]
        known_before = len(self._seen.rows)
        self._seen = await asyncio.to_thread(foresee, watched, from_step)
        self._offsets.say(self._seen)
        if len(self._seen.rows) != known_before:
            _log.info(
                "base is forecast on %d of %d measured phases; on the others its worst case counts",
                len(self._seen.rows),
                len(watched),
            )
        self._on_seen()

    def _watched(self, row: int, history: LoadHistory, from_step: int) -> Watched:
        """Return a row as it would be without events."""
        known = len(history.loads)
        usual_a = np.maximum(0.0, history.loads - self._added_a(row, from_step - known, known))
        return Watched(
            row=row,
            history=LoadHistory(loads=usual_a, steps_a_day=history.steps_a_day),
            worst_a=self._worst_ma(row) / 1_000,
            offset=self._offsets.of_rows[row],
        )

    def _added_a(self, row: int, from_step: int, steps: int) -> Floats:
        """Return what events add to a row per step, A."""
        known = KnownEvents(
            events=tuple(self._events()),
            wiring=self._wiring,
            from_step=from_step,
            steps=steps,
            steps_within=self._base.steps_within,
        )
        return known.added_ma(row) / 1_000

    def _drifts(self, step: int) -> bool:
        """Return whether base is now off all that was thought possible, and was not just looked at."""
        if self._clock.monotonic_s() - self._looked_s < DRIFTS_NO_SOONER_S:
            return False
        at = max(0, step - self._seen.from_step)
        for row, now_a in zip(self._base.rows, self._base.now_a.tolist(), strict=True):
            seen = self._seen.rows.get(row)
            if seen is None or isnan(now_a):
                continue
            usual_a = now_a - float(self._added_a(row, step, 1)[0])
            margin_a = DRIFT_RATIO * self._wiring.rating_ma[row] / 1_000
            of_step_a = seen.paths_ma[:, min(at, seen.paths_ma.shape[1] - 1)] / 1_000
            if not of_step_a.min() - margin_a <= usual_a <= of_step_a.max() + margin_a:
                return True
        return False

    def _score(self, step: int) -> None:
        """Compare a step that is over with what was said of it, and learn how far to go."""
        came_ma = {
            row: (value_a - float(self._added_a(row, step, 1)[0])) * 1_000
            for row, value_a in zip(self._base.rows, self._base.mean_a(step).tolist(), strict=True)
            if not isnan(value_a)
        }
        self._offsets.learn(step, came_ma)

    def _keep_offsets(self) -> None:
        """Have remembered what was learnt of how far off forecasts are."""
        for at in sorted({row // 3 for row, offset in self._offsets.of_rows.items() if offset}):
            l1, l2, l3 = (self._offsets.of_rows.get(3 * at + phase, 0.0) for phase in Phase)
            circuit = self._wiring.circuits[at].id
            self._keep(ForecastMemory(circuit=circuit, offsets_ratio=(l1, l2, l3)))

    def _wall_s(self) -> float:
        return self._clock.now_at().timestamp()
