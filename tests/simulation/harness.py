"""The control law against the plant in memory, second by second in virtual time."""

from dataclasses import dataclass, field, replace

from drivers.sim.observations import (
    Answered,
    GatewayKilled,
    GatewayStarted,
    MeterSilent,
    Observation,
    Outcome,
    WallClockJumped,
)
from drivers.sim.plant import Plant
from drivers.sim.report import Report
from drivers.sim.scenario import Scenario
from gateway.control.decide import Decision, decide
from gateway.control.explain import sentence
from gateway.control.fold import ControlEvent, Decided, evolve_all
from gateway.control.guard import guard
from gateway.control.metered import DAY_S, RISE_BINS
from gateway.control.parameters import ControlParameters
from gateway.control.state import RiseHistory, SiteState
from gateway.control.wiring import Wiring
from gateway.domain.events import (
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
)
from gateway.domain.ids import ConnectorRef

FALLBACK_GAP_S = 60.0


@dataclass(slots=True, kw_only=True)
class Run:
    """One scenario under control; `unexplained` lists limits that had no reason."""

    plant: Plant
    parameters: ControlParameters
    state: SiteState
    sequence: int = 0
    calls: dict[int, tuple[ConnectorRef, int]] = field(default_factory=dict)
    fallback_at_s: dict[ConnectorRef, float] = field(default_factory=dict)
    is_dead: bool = False
    unexplained: list[str] = field(default_factory=list)
    guarded: int = 0

    @staticmethod
    def of(
        scenario: Scenario,
        parameters: ControlParameters | None = None,
        *,
        knows_base: bool = False,
    ) -> "Run":
        """Return a run at its first second, at a new site or at one whose base is known."""
        parameters = parameters or ControlParameters()
        state = SiteState.at_start(Wiring.of(scenario.site), parameters, now_s=0.0)
        if knows_base:
            state = _knowing_base(state)
        return Run(plant=Plant(scenario), parameters=parameters, state=state)

    def to_end(self, duration_s: float) -> Report:
        """Run to the end; return the plant's report."""
        while self.plant.now_s < duration_s:
            self.step(self.plant.now_s + self.parameters.period_s)
        return self.plant.report()

    def step(self, to_s: float) -> Decision | None:
        """Let a second pass, learn what came, decide and send."""
        observations = self.plant.advance(to_s)
        facts: list[ControlEvent] = []
        for observation in observations:
            facts.extend(self._facts_of(observation))
        if self.is_dead:
            return None
        self.state = evolve_all(self.state, facts)
        decision = decide(self.state, to_s)
        self.state = evolve_all(self.state, [Decided(at_s=to_s, memory=decision.memory)])
        self._send(decision, to_s)
        return decision

    def _facts_of(self, observation: Observation) -> list[ControlEvent]:
        match observation:
            case GatewayKilled():
                self.is_dead = True
                return []
            case GatewayStarted(at_s=at_s):
                self.is_dead = False
                self.state = SiteState.at_start(self.state.wiring, self.parameters, now_s=at_s)
                self.calls.clear()
                self.fallback_at_s.clear()
                return []
            case MeterSilent() | WallClockJumped():
                return []
            case Answered(at_s=at_s, call_number=number, outcome=outcome, detail=detail):
                if number not in self.calls:
                    return []
                connector, sequence = self.calls.pop(number)
                return [_answer(at_s, connector, sequence, outcome, detail)]
            case _:
                return [observation]

    def _send(self, decision: Decision, now_s: float) -> None:
        orders = guard(self.state, decision.orders, now_s)
        for order, asked in zip(
            orders, sorted(decision.orders, key=lambda o: o.limit.limit_ma), strict=True
        ):
            self.guarded += order.limit.limit_ma != asked.limit.limit_ma
        for order in sorted(orders, key=lambda o: not o.is_cut):
            self.sequence += 1
            sent = LimitSent(
                at_s=now_s,
                connector=order.connector,
                limit_ma=order.limit.limit_ma,
                phase_count=order.limit.phase_count,
                lease_until_s=now_s + order.valid_for_s + self.parameters.lease_margin_s,
                sequence=self.sequence,
            )
            self.state = evolve_all(self.state, [sent])
            number = self.plant.send_limit(
                order.connector, order.limit, valid_for_s=order.valid_for_s, at_s=now_s
            )
            self.calls[number] = (order.connector, self.sequence)
        for fallback in decision.fallbacks:
            last_s = self.fallback_at_s.get(fallback.connector, float("-inf"))
            if now_s - last_s >= FALLBACK_GAP_S:
                self.fallback_at_s[fallback.connector] = now_s
                self.plant.set_fallback(fallback.connector, fallback.limit, at_s=now_s)
        for connector in decision.ask:
            self.plant.request_reading(connector, at_s=now_s)
        for connector, reason in decision.reasons.items():
            if not sentence(reason):
                self.unexplained.append(f"{now_s}: {connector}")


def _knowing_base(state: SiteState) -> SiteState:
    """Return the state after weeks in which base never rose by more than the reserve's floor."""
    circuits = []
    for circuit, seen in zip(state.wiring.circuits, state.circuits, strict=True):
        rises_ma = [int(ma * state.parameters.reserve_floor_ratio) for ma in circuit.rating_ma]
        l1, l2, l3 = (
            replace(
                phase,
                rises=RiseHistory(
                    since_s=-30 * DAY_S,
                    day_since_s=0.0,
                    days=((0,) * RISE_BINS,),
                    quantile_ma=rise_ma,
                ),
            )
            for phase, rise_ma in zip(seen.phases, rises_ma, strict=True)
        )
        circuits.append(replace(seen, phases=(l1, l2, l3)))
    return replace(state, circuits=tuple(circuits))


def _answer(
    at_s: float, connector: ConnectorRef, sequence: int, outcome: Outcome, detail: str
) -> ControlEvent:
    if outcome is Outcome.ACCEPTED:
        return LimitAcknowledged(at_s=at_s, connector=connector, sequence=sequence)
    if outcome is Outcome.UNANSWERED:
        return LimitUnanswered(at_s=at_s, connector=connector, sequence=sequence)
    # Superseded was never sent: what is in force is what was.
    return LimitRejected(at_s=at_s, connector=connector, sequence=sequence, detail=detail)
