"""Has plans made in a process of their own, at every event that matters, and checks each of them.

What makes a plan may crash, hang or be killed: then the greedy plan, made here, stands in.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.planning.check import Violation, check
from gateway.planning.greedy import greedy
from gateway.planning.problem import Plan, Problem
from gateway.planning.standing_plan import Origin
from gateway.ports import Clock
from gateway.services.planner_pipe import PlannerFailedError, PlannerPipe, Rest
from gateway.services.planner_words import ToPlan, plan_in

_log = logging.getLogger(__name__)

MIN_GAP_S = 10.0
TIME_LIMIT_S = 5.0
ANSWERS_WITHIN_S = 20.0
"""What a process may take beyond the solver's limit: to begin, read, build, place and write."""


class Cause(StrEnum):
    """Why a plan is made anew."""

    ARRIVAL = "arrival"
    DEPARTURE = "departure"
    OVERSTAY = "overstay"
    """A vehicle is still there after the time until which it was planned for."""
    LIMIT = "limit"
    PROMISE = "promise"
    DRIFT = "drift"
    """Base is not what was forecast, or time has gone by."""
    RECOVERY = "recovery"
    """The process may be tried again after a failure."""


VOIDING = frozenset({Cause.LIMIT, Cause.PROMISE})
"""After these a plan of what was before may break a limit or a promise: it is not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan that was checked, the problem it answers, and when that was asked (monotonic s).

    The plan's slots begin at `from_s`.
    """

    problem: Problem
    plan: Plan
    origin: Origin
    from_s: float


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    by_worker: int = 0
    by_greedy: int = 0
    refused: int = 0
    """Plans not taken because something was wrong with them."""
    overtaken: int = 0
    """Plans not taken because a limit or a promise changed meanwhile."""
    failures: int = 0
    """Processes that ended, hung, or answered what is no plan."""


class PlannerWorker:
    """Keeps a plan up to date: `ask` at events, and `take` is given what comes of it.

    Every plan taken has passed `check`. Of events within `min_gap_s` one plan is made, of the
    problem as it is when planning begins.
    """

    def __init__(
        self,
        *,
        pipe: PlannerPipe,
        clock: Clock,
        problem_now: Callable[[], Problem | None],
        take: Callable[[Planned], None],
        refuse: Callable[[Problem, Plan, tuple[Violation, ...]], None],
        min_gap_s: float = MIN_GAP_S,
        time_limit_s: float = TIME_LIMIT_S,
        answers_within_s: float = ANSWERS_WITHIN_S,
    ) -> None:
        """Wire it.

        `problem_now` is asked when planning begins; None is nothing to plan. `refuse` is told
        when even the greedy plan must not be taken, with that plan: which promise the rows no
        longer carry. The plan before stands until that promise is dealt with and a plan asked for
        again.
        """
        self._clock, self._problem_now = clock, problem_now
        self._take, self._refuse = take, refuse
        self._min_gap_s, self._time_limit_s = min_gap_s, time_limit_s
        self._answers_within_s = answers_within_s
        self._asked, self._is_void, self._owes_better = asyncio.Event(), False, False
        self._begun_s = float("-inf")
        self._pipe, self._rest = pipe, Rest(clock)
        self.counts = Counts()

    def ask(self, cause: Cause) -> None:
        """Have a plan made soon. Never waits."""
        self._is_void = self._is_void or cause in VOIDING
        self._asked.set()

    async def run(self) -> None:
        """Make plans until cancelled; the process ends with it."""
        try:
            while True:
                await self._wait_until_due()
                self._asked.clear()
                self._is_void = self._owes_better = False
                self._begun_s = self._clock.monotonic_s()
                problem = self._problem_now()
                if problem is not None:
                    await self._plan(problem)
        finally:
            await self._pipe.end()

    async def _wait_until_due(self) -> None:
        if self._owes_better:
            try:
                async with asyncio.timeout(self._rest.left_s):
                    await self._asked.wait()
            except TimeoutError:
                self._rest.cut_short()  # A timer may be early by a millisecond.
                self.ask(Cause.RECOVERY)
        else:
            await self._asked.wait()
        gap_s = self._begun_s + self._min_gap_s - self._clock.monotonic_s()
        if gap_s > 0:
            await self._clock.sleep_s(gap_s)

    async def _plan(self, problem: Problem) -> None:
        from_s = self._begun_s
        plan = await self._by_worker(problem)
        if plan is not None and await self._violations(problem, plan):
            plan = None
        if self._is_void:
            self.counts.overtaken += plan is not None
            plan = None
            renewed = self._problem_now()
            if renewed is None:
                return
            problem, from_s = renewed, self._clock.monotonic_s()
            # What comes from here on answers the newest; a better plan of it is still asked for.
            self._is_void = False
        if plan is not None:
            self.counts.by_worker += 1
            self._take(Planned(problem=problem, plan=plan, origin=Origin.WORKER, from_s=from_s))
            return
        plan = await asyncio.to_thread(greedy, problem)
        violations = await self._violations(problem, plan)
        if violations:
            self._refuse(problem, plan, violations)
            return
        self.counts.by_greedy += 1
        self._take(Planned(problem=problem, plan=plan, origin=Origin.GREEDY, from_s=from_s))

    async def _violations(self, problem: Problem, plan: Plan) -> tuple[Violation, ...]:
        """Return what is wrong with a plan; it is counted and said."""
        violations = await asyncio.to_thread(check, problem, plan)
        if violations:
            self.counts.refused += 1
            first = violations[0]
            _log.error(
                "a plan is not taken, %d things are wrong with it, the first: %s, %s: %s",
                len(violations),
                first.subject,
                first.fault,
                first.detail,
            )
        return violations

    async def _by_worker(self, problem: Problem) -> Plan | None:
        """Return the plan of the process, None when it failed or rests after a failure."""
        if self._rest.left_s:
            self._owes_better = True
            return None
        question = ToPlan(problem=problem, time_limit_s=self._time_limit_s)
        within_s = self._time_limit_s + self._answers_within_s
        try:
            plan = await self._pipe.answer(question, plan_in, within_s=within_s)
        except PlannerFailedError as error:
            self.counts.failures += 1
            self._owes_better = True
            _log.warning("the planner failed, rests %.0f s: %s", self._rest.begin(), error)
            return None
        self._rest.forget()
        return plan
