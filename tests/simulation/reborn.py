"""A run whose gateway is killed and begins anew with what its ledger would remember."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drivers.sim.observations import GatewayKilled, GatewayStarted, Observation
from drivers.sim.plant import Plant
from drivers.sim.scenario import Scenario
from gateway.control import restore
from gateway.control.decide import Decision
from gateway.control.fold import ControlEvent
from gateway.control.guard import guard
from gateway.control.orders import LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.restore import last_alive, unaccounted
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.domain.events import StationBooted
from gateway.domain.ids import StationId
from gateway.domain.memory import RunMemory
from gateway.domain.moments import Moment
from gateway.services.remembrance import Remembrance
from tests.simulation.acts import Stage
from tests.simulation.harness import REACH_SLACK_MA, Run
from tests.simulation.promised import PromisedLoads
from tests.support.paper_ledger import PaperLedger

BATCH_S = 30.0


@dataclass(slots=True, kw_only=True)
class WorldClock:
    """The world's second as every clock of the machine shows it."""

    now_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_at(self) -> datetime:
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.now_s)

    async def sleep_s(self, delay_s: float) -> None:
        raise NotImplementedError

    def moment(self) -> Moment:
        return Moment(
            wall_at=self.now_at(), boot_id="boot", boot_s=self.now_s, is_synchronised=False
        )


@dataclass(slots=True, kw_only=True)
class Reborn(Run):
    """A run whose gateway remembers what its ledger had, as the daemon does.

    `remembers` off, it knows nothing after each kill. `too_low` lists the connectors that might
    draw more than they were counted at, at the very second it began anew; `too_early` what was
    raised while a station that had a lease was still out of reach.
    """

    loop: asyncio.AbstractEventLoop
    clock: WorldClock = field(default_factory=WorldClock)
    ledger: PaperLedger = field(init=False)
    remembrance: Remembrance = field(init=False)
    awaited: dict[StationId, float] = field(default_factory=dict)
    remembers: bool = True
    disk_s: float = 1.0
    """How often the disk takes what is asked to be safe."""
    too_low: list[str] = field(default_factory=list)
    too_early: list[str] = field(default_factory=list)
    leased_until_s: dict[StationId, float] = field(default_factory=dict)
    """Until when stations truly keep a lease of the life before, as far as they have not come back."""

    @staticmethod
    def life(scenario: Scenario, *, remembers: bool = True, disk_s: float = 1.0) -> "Reborn":
        """Return a scenario lived to its end."""
        parameters = ControlParameters()
        loop = asyncio.new_event_loop()
        run = Reborn(
            plant=Plant(scenario),
            parameters=parameters,
            state=SiteState.at_start(Wiring.of(scenario.site), parameters, now_s=0.0),
            promised=PromisedLoads(scenario),
            stage=Stage.of(scenario),
            has_faults=True,
            loop=loop,
            remembers=remembers,
            disk_s=disk_s,
        )
        try:
            run.to_end(scenario.duration_s)
        finally:
            loop.close()
        return run

    def __post_init__(self) -> None:
        self.ledger = PaperLedger(self.loop)
        self._begin_life()

    def _begin_life(self) -> None:
        run = RunMemory(run="life", began=self.clock.moment())
        self.ledger.memory = replace(self.ledger.memory, run=run)
        self.remembrance = Remembrance(self.ledger, self.state, clock=self.clock)
        self.ledger.commit()
        self.loop.run_until_complete(asyncio.sleep(0))

    def step(self, to_s: float) -> Decision | None:
        """Let a second pass; what was asked to be safe is, and everything else every half minute."""
        self.clock.now_s = to_s
        decision = super(Reborn, self).step(to_s)
        if decision is not None:
            self.remembrance.note(self.state)
            is_urgent = self.ledger.is_asked and to_s % self.disk_s == 0
            if is_urgent or to_s % BATCH_S == 0:
                self.ledger.commit()
                self.loop.run_until_complete(asyncio.sleep(0))
        return decision

    def _facts_of(self, observation: Observation) -> list[ControlEvent]:
        match observation:
            case GatewayKilled():
                self.is_dead = True
                # What was not written is lost.
                memory, self.ledger = self.ledger.memory, PaperLedger(self.loop)
                self.ledger.memory = memory
                return []
            case GatewayStarted(at_s=at_s):
                self.is_dead = False
                self.calls.clear()
                self.fallback_at_s.clear()
                self.promised.restart()
                self._restore(at_s)
                return []
            case StationBooted():
                self.remembrance.hear(observation)
            case _:
                pass
        return super(Reborn, self)._facts_of(observation)

    def _restore(self, at_s: float) -> None:
        wiring = self.state.wiring
        self.leased_until_s = {
            station.id: max(evse.lease_until_s for evse in station.evses.values() if evse.is_leased)
            for station in self.plant.world.stations.values()
            if any(evse.is_leased for evse in station.evses.values())
        }
        if not self.remembers:
            self.shown.forget()
            self.state = SiteState.at_start(wiring, self.parameters, now_s=at_s)
            return
        self.clock.now_s = at_s
        now, memory = self.clock.moment(), self.ledger.memory
        found = restore.restore(
            wiring,
            self.parameters,
            memory,
            alive=last_alive(memory.run, now),
            now=now,
            now_s=at_s,
        )
        self.state, self.awaited = found.state, found.awaited
        self._begin_life()

    def _send(self, decision: Decision, now_s: float) -> None:
        """Send what may go: of raises those that were safe, and none while a station is awaited."""
        if not self.remembers:
            super(Reborn, self)._send(decision, now_s)
            return
        self.awaited = {s: until_s for s, until_s in self.awaited.items() if now_s < until_s}
        orders = guard(self.state, decision.orders, now_s)
        if unaccounted(self.state, self.awaited):
            orders = restore.hold_raises(orders, self.state)
        going = tuple(
            order
            for order in orders
            if self.remembrance.may_send(order.connector, order.limit, lambda: None)
        )
        fallbacks = tuple(
            order
            for order in decision.fallbacks
            if self.remembrance.may_write_fallback(
                order.connector, order.limit.limit_ma, lambda: None
            )
        )
        self._watch_raises(going, now_s)
        super(Reborn, self)._send(replace(decision, orders=going, fallbacks=fallbacks), now_s)

    def _watch_raises(self, orders: tuple[LimitOrder, ...], now_s: float) -> None:
        here = self.plant.connected_stations()
        self.leased_until_s = {
            s: until_s
            for s, until_s in self.leased_until_s.items()
            if now_s < until_s and s not in here
        }
        for order in orders if self.leased_until_s else ():
            told_ma = self.state.connectors[
                self.state.wiring.connector_at[order.connector]
            ].wanted_ma
            if order.limit.limit_ma > told_ma:
                away = ", ".join(sorted(self.leased_until_s))
                self.too_early.append(f"{now_s}: {order.connector} raised, {away} away")

    def _compare_with_truth(self, decision: Decision, now_s: float) -> None:
        super(Reborn, self)._compare_with_truth(decision, now_s)
        if decision.at_s - self.state.started_at_s > self.parameters.period_s:
            return
        reach_a = self.plant.true_reach_a()
        for at, connector in enumerate(self.state.wiring.connectors):
            could_ma = reach_a.get(connector.ref, 0.0) * 1_000
            if could_ma > decision.survey.high_ma[at] + REACH_SLACK_MA:
                self.too_low.append(f"{now_s}: {connector.ref} {could_ma} mA")
