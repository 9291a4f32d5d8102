"""Keeps a plan of everybody's charging, and tells control who goes first by it, never how much."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from gateway.control.state import Priority, SiteState
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import Constraint
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.asking import Places
from gateway.planning.book import Book
from gateway.planning.check import Fault, Violation
from gateway.planning.demands import beside_slots_wh, demands_of, edges_of
from gateway.planning.grid import Grid, grid_of
from gateway.planning.problem import Demand, Plan, Problem
from gateway.planning.standing_plan import StandingPlan
from gateway.ports import Clock
from gateway.services.control_loop import Cycle
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.planner_worker import MIN_GAP_S, Cause, Planned, PlannerWorker
from gateway.services.priorities import (
    SHORT_RATIO,
    SHORT_WH,
    is_alike,
    priorities_of,
    turns_of,
)
from gateway.services.promisable import Prospects
from gateway.services.visits import Visits

_log = logging.getLogger(__name__)

EDGES_AT_LEAST, MOST_EDGES_OF_ALL = 120, 400_000
"""Slots are cut at the next events: at so many, and at more where demands times events are few."""

PRIORITISES_EVERY_S = 5.0
HORIZON_S = 48 * 3_600.0

PrioritySink = Callable[[ConnectorRef, Priority | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a problem was made of."""

    problem: Problem
    from_at_s: float
    promises: Mapping[str, Reservation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """When a plan was asked for, and when it was taken (monotonic s)."""

    asked_s: float
    taken_s: float


class Replanning:
    """What is planned for, when it is planned anew, and what becomes of the plan.

    Control goes by what it is told here only in who goes first; that it is told nothing, or told
    it late, costs energy and never safety.
    """

    def __init__(
        self,
        *,
        pipe: PlannerPipe,
        places: Places,
        prospects: Prospects,
        visits: Visits,
        book: Callable[[], Book],
        prioritise: PrioritySink,
        clock: Clock,
        min_gap_s: float = MIN_GAP_S,
    ) -> None:
        """Wire it; `prioritise` takes what control is to be told."""
        self._places, self._prospects, self._visits = places, prospects, visits
        self._book, self._prioritise = book, prioritise
        self._clock = clock
        self._state: SiteState | None = None
        self._constraints: tuple[Constraint, ...] = ()
        self._promised: dict[str, tuple[PromiseState, str, tuple[Stretch, ...]]] = {}
        self._asked: _Asked | None = None
        self._plan: StandingPlan | None = None
        self._planned = _Times(asked_s=0.0, taken_s=0.0)
        self._conceded_wh: dict[str, float] = {}
        self._noted_short_wh: dict[str, float] = {}
        self._told: dict[ConnectorRef, Priority] = {}
        self._outstaying: set[str] = set()
        self._prioritised_s = float("-inf")
        self._pipe = pipe
        self.worker = PlannerWorker(
            pipe=pipe,
            clock=clock,
            problem_now=self._problem_now,
            take=self._take,
            refuse=self._refuse,
            min_gap_s=min_gap_s,
        )

    @property
    def plan(self) -> StandingPlan | None:
        """Return the plan that is gone by; None while nobody wants anything."""
        return self._plan

    @property
    def age_s(self) -> float | None:
        """Return for how long the plan has been that is gone by, None while there is none."""
        return None if self._plan is None else self._clock.monotonic_s() - self._planned.taken_s

    @property
    def took_s(self) -> float | None:
        """Return how long that plan took from its question on, None while there is none."""
        return None if self._plan is None else self._planned.taken_s - self._planned.asked_s

    @property
    def counters(self) -> Counter[str]:
        """Return what was counted of plans and of the process that makes them."""
        return Counter(asdict(self.worker.counts) | {"spawned": self._pipe.spawned_count})

    async def run(self) -> None:
        """Make plans until cancelled."""
        await self.worker.run()

    def ask(self, cause: Cause) -> None:
        """Have a plan made soon. Never waits."""
        self.worker.ask(cause)

    def note(self, cycle: Cycle) -> None:
        """Take note of a complete cycle: of limits and promises that are others than before."""
        self._state = cycle.state
        self._visits.note(cycle.state)
        constraints = tuple(cycle.state.constraints.values())
        if constraints != self._constraints:
            self._constraints = constraints
            self._begin_anew(Cause.LIMIT)
        promised = {
            promise.id: (promise.state, promise.place, promise.envelope)
            for promise in self._book().promises.values()
            if promise.state.is_open
        }
        if promised != self._promised:
            self._promised = promised
            self._begin_anew(Cause.PROMISE)
        if cycle.decision.at_s - self._prioritised_s >= PRIORITISES_EVERY_S:
            self._prioritise_all(cycle.decision.at_s)

    def look_again(self) -> None:
        """Have a plan made: base is seen otherwise than before."""
        self._begin_anew(Cause.DRIFT)

    def _begin_anew(self, cause: Cause) -> None:
        # What could not be kept before is tried in full again.
        self._conceded_wh.clear()
        self.worker.ask(cause)

    # What is planned.

    def _problem_now(self) -> Problem | None:
        if self._state is None:
            return None
        now_s = self._now_s()
        visits = self._visits.seen(self._state, self._clock.monotonic_s())
        promises = self._book().promises
        most_edges = max(EDGES_AT_LEAST, MOST_EDGES_OF_ALL // max(1, len(visits) + len(promises)))
        events_s = edges_of(visits, promises.values(), now_s=now_s)[:most_edges]
        by_calendar_s = self._prospects.edges_s(now_s, now_s + HORIZON_S)
        grid = grid_of(events_s=(*events_s, *(edge_s - now_s for edge_s in by_calendar_s)))
        demands = demands_of(
            visits,
            promises.values(),
            self._places,
            grid,
            now_s=now_s,
            conceded_wh=self._conceded_wh,
        )
        if not demands:
            self._plan = self._asked = None
            return None
        problem = self._problem_of(grid, demands, now_s)
        self._asked = _Asked(problem=problem, from_at_s=now_s, promises=dict(promises))
        return problem

    def _problem_of(self, grid: Grid, demands: tuple[Demand, ...], now_s: float) -> Problem:
        seen = self._prospects.prospect(grid, from_at_s=now_s, constraints=self._constraints)
        rows = seen.available_ma.tolist()
        return Problem(
            grid=grid, available_ma=tuple(tuple(of_slots) for of_slots in rows), demands=demands
        )

    def _take(self, planned: Planned) -> None:
        asked = self._asked
        if asked is None or asked.problem is not planned.problem:
            return
        short_wh = _short_wh(planned.problem, planned.plan, asked.promises)
        self._plan = StandingPlan(
            origin=planned.origin,
            from_at_s=asked.from_at_s,
            problem=planned.problem,
            plan=planned.plan,
            promises=asked.promises,
            short_wh=short_wh,
        )
        self._planned = _Times(asked_s=planned.from_s, taken_s=self._clock.monotonic_s())
        self._note_short(short_wh)
        if self._state is not None:
            self._prioritise_all(self._clock.monotonic_s())

    def _refuse(self, problem: Problem, plan: Plan, violations: tuple[Violation, ...]) -> None:
        """Concede what rows no longer carry of promises, and say so; the rest is planned again."""
        broken = {v.subject for v in violations if v.fault is Fault.PROMISE}
        for demand, delivered_wh in zip(problem.demands, plan.delivered_wh, strict=True):
            if demand.key in broken:
                self._conceded_wh[demand.key] = max(0.0, delivered_wh - 1.0)
        if broken:
            # It is not the promise that is new: a plan under way is as good as before.
            self.worker.ask(Cause.DRIFT)

    def _note_short(self, short_wh: Mapping[str, float]) -> None:
        """Log once of each promise that the plan cannot give in full, and when it can again.

        Whom it was promised to is told by who watches over promises (`services/risk_watch`).
        """
        for name, short in short_wh.items():
            if short > self._noted_short_wh.get(name, 0.0) + SHORT_WH:
                self._noted_short_wh[name] = short
                _log.warning(
                    "the plan gives reservation %s %.0f Wh less than promised", name, short
                )
        for name in self._noted_short_wh.keys() - short_wh.keys():
            del self._noted_short_wh[name]
            _log.info("the plan gives reservation %s all that was promised", name)

    # What control is told.

    def _prioritise_all(self, at_s: float) -> None:
        assert self._state is not None
        self._prioritised_s = at_s
        now_s = self._now_s()
        visits = self._visits.seen(self._state, at_s)
        self._note_outstaying({visit.place for visit in visits}, now_s)
        priorities = priorities_of(
            visits,
            self._book().promises.values(),
            self._places,
            turns_of(self._plan, now_s),
            now_s=now_s,
        )
        for ref, priority in priorities.items():
            self._tell(ref, priority)
        for ref in self._told.keys() - priorities.keys():
            del self._told[ref]
            self._prioritise(ref, None)

    def _note_outstaying(self, there: set[str], now_s: float) -> None:
        """Have a plan made for vehicles that are there still, though the plan is not for them any more."""
        known = self._outstaying
        self._outstaying = set() if self._plan is None else there & self._plan.over_at(now_s)
        if self._outstaying - known:
            self.worker.ask(Cause.OVERSTAY)

    def _tell(self, ref: ConnectorRef, priority: Priority) -> None:
        known = self._told.get(ref)
        if known is not None and is_alike(known, priority):
            return
        self._told[ref] = priority
        self._prioritise(ref, priority)

    def _now_s(self) -> float:
        return self._clock.now_at().timestamp()


def _short_wh(
    problem: Problem, plan: Plan, promises: Mapping[str, Reservation]
) -> dict[str, float]:
    """Return what the plan gives promises less than is still owed them, where it is something.

    What they are owed in parts of slots is not missing: it is planned once slots are cut there.
    """
    short: dict[str, float] = {}
    for demand, delivered_wh in zip(problem.demands, plan.delivered_wh, strict=True):
        promise = promises.get(demand.key)
        if promise is None:
            continue
        missing_wh = promise.guaranteed_wh - promise.delivered_wh - delivered_wh
        missing_wh -= beside_slots_wh(demand, problem.grid)
        if missing_wh > max(SHORT_WH, SHORT_RATIO * promise.guaranteed_wh):
            short[demand.key] = missing_wh
    return short
