"""The one-second cycle: take in facts, decide, guard, hand over; the only writer of `SiteState`."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from gateway.control.decide import Decision, decide
from gateway.control.fold import ControlEvent, Decided, evolve
from gateway.control.guard import guard
from gateway.control.restore import hold_raises, unaccounted
from gateway.control.state import SiteState
from gateway.domain.events import DeadManProven
from gateway.domain.ids import StationId
from gateway.domain.reasons import Reason, ReasonKind
from gateway.ports import Clock, Metrics
from gateway.services.chronicle import Chronicle
from gateway.services.inbox import MANY, Inbox

_log = logging.getLogger(__name__)

MAX_FACTS_A_CYCLE = 10_000
CLOCK_JUMP = timedelta(seconds=1)
BREATH_RATIO = 0.1  # Of the period: what a late cycle still leaves to everything else.


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What one cycle left behind, for whoever shows it."""

    state: SiteState
    decision: Decision


class ControlLoop:
    """Folds what came, decides and hands over, every period, whatever the wall clock does.

    Where facts come by the hundred they are folded as they come, a few at a time, in the same
    order: folded all at once in the cycle, they would keep limits and answers waiting. What is
    decided is the same, for a fact carries the second it was learnt at.

    `is_forgiving` makes it survive a fact that cannot be folded: it is logged once for each
    kind, counted, and left out. A test leaves it off and sees the fault.
    """

    def __init__(
        self,
        state: SiteState,
        inbox: Inbox,
        offer: Callable[[Decision], None],
        *,
        clock: Clock,
        on_cycle: Callable[[Cycle], None] | None = None,
        awaited: Mapping[StationId, float] | None = None,
        metrics: Metrics | None = None,
        is_forgiving: bool = False,
    ) -> None:
        """Begin with `state`; `offer` takes every decision, guarded, and never waits.

        `on_cycle` is told of each cycle once it is complete, and never waits either. Nothing is
        raised while one of `awaited` may still hold a lease of the run before (see `restore`).
        """
        self._state = state
        self._inbox = inbox
        self._offer = offer
        self._clock = clock
        self._on_cycle = on_cycle
        self._awaited = dict(awaited or {})
        self._metrics = metrics
        self._is_forgiving = is_forgiving
        self._chronicle = Chronicle()
        self._wall_at = clock.now_at()
        self._wall_read_at_s = clock.monotonic_s()
        self._unfoldable: set[tuple[type, type]] = set()
        self._is_folding_soon = False
        self._folded_count = 0  # Since the last cycle.
        self._fault: Exception | None = None
        self.latest: Cycle | None = None
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Run a cycle each period until cancelled.

        Raises:
            InboxOverflowError: facts that must not be lost were lost.
        """
        loop = asyncio.get_running_loop()

        def fold_soon() -> None:
            if not self._is_folding_soon:
                self._is_folding_soon = True
                loop.call_soon(self._fold_some, fold_soon)

        self._inbox.on_many = fold_soon
        try:
            await self._run_cycles()
        finally:
            self._inbox.on_many = None

    async def _run_cycles(self) -> NoReturn:
        period_s = self._state.parameters.period_s
        due_s = self._clock.monotonic_s()
        while True:
            # A sleep may end early (uvloop), and a cycle must never come before its time.
            while (delay_s := due_s - self._clock.monotonic_s()) > 0:
                await self._clock.sleep_s(delay_s)
            begun_s = self._clock.monotonic_s()
            if begun_s - due_s > period_s:
                self.counters["late"] += 1
            self.run_cycle()
            # What was missed is not made up for: a burst of cycles would decide nothing new.
            soonest_s = self._clock.monotonic_s() + BREATH_RATIO * period_s
            due_s = max(due_s + period_s, soonest_s)
            if self._inbox.on_many is not None and len(self._inbox) >= MANY:
                self._inbox.on_many()

    def run_cycle(self) -> Decision:
        """Take what waits, decide, and hand over; return the decision as handed over."""
        now_s = self._clock.monotonic_s()
        if self._fault is not None:
            raise self._fault
        self._watch_wall_clock(now_s)
        # What arrives now waits a cycle.
        for fact in self._inbox.take(limit=MAX_FACTS_A_CYCLE - self._folded_count):
            self._fold(fact)
        self._folded_count = 0
        decision = decide(self._state, now_s)
        decision = self._guarded(decision)
        self._state = evolve(self._state, Decided(at_s=now_s, memory=decision.memory))
        if decision.dead_man_proven is not None:
            self._inbox.post(DeadManProven(at_s=now_s, station=decision.dead_man_proven))
        self._offer(decision)
        self._chronicle.tell(self._state, decision)
        self.latest = Cycle(state=self._state, decision=decision)
        self.counters["cycles"] += 1
        if self._on_cycle is not None:
            self._on_cycle(self.latest)
        if self._metrics is not None:
            self._metrics.note_cycle(self._clock.monotonic_s() - now_s)
        return decision

    def _guarded(self, decision: Decision) -> Decision:
        """Return the decision as the guard lets it pass; what is said of a limit stays true."""
        orders = guard(self._state, decision.orders, decision.at_s)
        reasons = dict(decision.reasons)
        for order in orders:
            connector, limit_ma = order.connector, order.limit.limit_ma
            reason = reasons[connector]
            if limit_ma < reason.limit_ma:
                self.counters["guarded"] += 1
                # Only raises are held: cuts always pass.
                reasons[connector] = Reason(
                    kind=ReasonKind.RAISE_HELD,
                    limit_ma=limit_ma,
                    current_ma=reason.limit_ma,
                    row=reason.row,
                    excess=reason.excess,
                )
        return self._held(replace(decision, orders=orders, reasons=reasons))

    def _held(self, decision: Decision) -> Decision:
        """Return the decision with no raise in it while a lease of before may be in force."""
        now_s = decision.at_s
        self._awaited = {s: until_s for s, until_s in self._awaited.items() if now_s < until_s}
        awaited = sorted(unaccounted(self._state, self._awaited))
        if not awaited:
            return decision
        orders = hold_raises(decision.orders, self._state)
        reasons, others = dict(decision.reasons), len(awaited) - 1
        for order, wanted in zip(orders, decision.orders, strict=True):
            if order.limit.limit_ma < wanted.limit.limit_ma:
                reasons[order.connector] = Reason(
                    kind=ReasonKind.AWAITS_STATIONS,
                    limit_ma=order.limit.limit_ma,
                    name=f"{awaited[0]} and {others} more" if others else awaited[0],
                    remaining_s=max(self._awaited[station] for station in awaited) - now_s,
                    excess=reasons[order.connector].excess,
                )
        return replace(decision, orders=orders, reasons=reasons)

    def _fold_some(self, again: Callable[[], None]) -> None:
        """Fold a few of the facts that wait before their cycle; have it done again for the rest."""
        self._is_folding_soon = False
        if self._inbox.on_many is None or self._fault is not None:
            return  # The end has come meanwhile.
        try:
            taken = self._inbox.take(limit=min(MANY, MAX_FACTS_A_CYCLE - self._folded_count))
            self._folded_count += len(taken)
            for fact in taken:
                self._fold(fact)
        except Exception as error:  # noqa: BLE001 - it ends the next cycle, as it would have there
            self._fault = error
            return
        if taken and len(self._inbox) >= MANY:
            again()

    def _fold(self, fact: ControlEvent) -> None:
        try:
            self._state = evolve(self._state, fact)
        except Exception as error:
            if not self._is_forgiving:
                raise
            # What a meter or a station says must never end control for the others.
            self.counters["unfoldable"] += 1
            kind = (type(fact), type(error))
            if kind not in self._unfoldable:
                self._unfoldable.add(kind)
                _log.exception("a fact was left out, as it cannot be folded: %.500r", fact)

    def _watch_wall_clock(self, now_s: float) -> None:
        wall_at = self._clock.now_at()
        passed = timedelta(seconds=now_s - self._wall_read_at_s)
        jump = wall_at - self._wall_at - passed
        self._wall_at, self._wall_read_at_s = wall_at, now_s
        if abs(jump) > CLOCK_JUMP:
            self.counters["clock_jumps"] += 1
            self._chronicle.tell_clock_jump(jump)
