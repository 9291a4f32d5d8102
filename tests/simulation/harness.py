"""The control law against the plant in memory, second by second in virtual time."""

from collections import Counter
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
    ConnectorMetered,
    ConstraintSet,
    DeadManProven,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import Authority, Constraint
from tests.simulation.acts import Stage
from tests.simulation.known import ShownExcess
from tests.simulation.promised import PromisedLoads
from tests.simulation.stuck import StuckClaims

HARM = frozenset(
    {
        "third_of_thermal_budget",
        "thermal_budget",
        "over_rating_60s",
        "not_switched_off",
        "not_locked_out",
        "beyond_bound_60s",
        "back_under_rating_p95",
        "old_limit",
        "draws_when_stopped",
        "flash_writes",
    }
)
"""What the plant must never say of a run, whatever went wrong in it."""
FALLBACK_GAP_S = 60.0
FALLBACK_WRITES_A_DAY = 10
SLACK_MA = 5_000  # Tolerances of eight readings, and the noise band of the meter.
REACH_SLACK_MA = 1_000
SEEN_S = 20.0  # How long too little may be counted: until a reading that was asked for came.
SEEN_WITH_FAULTS_S = 60.0  # The same where stations lie, disobey or are silent.


@dataclass(slots=True, kw_only=True)
class Run:
    """One scenario under control.

    `unexplained` lists limits that had no reason, `unsound` the rows on which for a while more
    flowed than was counted, and the connectors that might for as long have drawn more than
    they were counted at: what is believed must contain what is true (with faults, up to the
    reserve, which is there for that), and of what flows beyond a limit as much as was `shown`.
    `stuck` is what was counted too high instead. `promised` knows what was said of promised draws,
    `stage` how far a story has come.
    """

    plant: Plant
    parameters: ControlParameters
    state: SiteState
    promised: PromisedLoads
    stage: Stage
    sequence: int = 0
    calls: dict[int, tuple[ConnectorRef, int]] = field(default_factory=dict)
    fallback_at_s: dict[ConnectorRef, float] = field(default_factory=dict)
    fallback_writes: Counter[StationId] = field(default_factory=Counter)
    is_dead: bool = False
    unexplained: list[str] = field(default_factory=list)
    has_faults: bool = False
    seen_s: float | None = None
    unsound: list[str] = field(default_factory=list)
    unsound_since_s: dict[int | ConnectorRef, float] = field(default_factory=dict)
    stuck: StuckClaims = field(default_factory=StuckClaims)
    shown: ShownExcess = field(default_factory=ShownExcess)
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
            state = knowing_base(state)
        stage = Stage.of(scenario)
        return Run(
            plant=Plant(scenario),
            parameters=parameters,
            state=state,
            promised=PromisedLoads(scenario),
            stage=stage,
            has_faults=bool(scenario.faults) or stage.has_faults,
        )

    def to_end(self, duration_s: float) -> Report:
        """Run to the end, or to that of the story; return the plant's report."""
        while self.plant.now_s < duration_s and not self.stage.is_over(self.plant.now_s):
            self.step(self.plant.now_s + self.parameters.period_s)
        return self.plant.report()

    def step(self, to_s: float) -> Decision | None:
        """Let a second pass, learn what came, decide and send."""
        self.stage.look(self.plant, self.state)
        observations = self.plant.advance(to_s)
        facts = [*self._limits_told(to_s), *self.promised.facts(to_s)]
        for observation in observations:
            facts.extend(self._facts_of(observation))
        if self.is_dead:
            return None
        self.state = evolve_all(self.state, facts)
        decision = decide(self.state, to_s)
        learnt: list[ControlEvent] = [Decided(at_s=to_s, memory=decision.memory)]
        if decision.dead_man_proven is not None:
            learnt.append(DeadManProven(at_s=to_s, station=decision.dead_man_proven))
        self.state = evolve_all(self.state, learnt)
        self.promised.note(decision, self.state)
        self._compare_with_truth(decision, to_s)
        self.stuck.look(self.plant, self.state, decision.survey, to_s)
        self._send(decision, to_s)
        for circuit in decision.trips:
            self.plant.switch_off(circuit)
        return decision

    def _limits_told(self, now_s: float) -> list[ControlEvent]:
        """Return the limits from outside that have begun since the last second."""
        begun, self.plant.world.limits = self.plant.world.limits, []
        return [
            ConstraintSet(
                at_s=now_s,
                constraint=Constraint(
                    subject=limit.circuit,
                    limit_ma=(int(limit.limit_a * 1_000),) * 3,
                    source="outside",
                    authority=Authority.GRID,
                ),
            )
            for limit in begun
        ]

    def _compare_with_truth(self, decision: Decision, now_s: float) -> None:
        for row, (base_a, vehicles_a) in enumerate(self.plant.true_currents_a()):
            seen, claimed_ma = decision.survey.rows[row], decision.survey.claimed_ma[row]
            slack_ma = SLACK_MA + (seen.reserve_ma if self.has_faults else 0)
            is_base_low = base_a * 1_000 > seen.base_ma + slack_ma
            is_claim_low = vehicles_a * 1_000 > claimed_ma + slack_ma
            # A vehicle above its limit is in the circuit's reading: what is claimed too low is
            # in base, unless that is too low as well.
            is_sum_low = (base_a + vehicles_a) * 1_000 > (claimed_ma + seen.base_ma + slack_ma)
            self._note(
                row,
                now_s,
                f"row {row}: base {base_a:.1f} A counted {seen.base_ma} mA, "
                f"vehicles {vehicles_a:.1f} A counted {claimed_ma} mA",
                is_unsound=is_base_low or (is_claim_low and is_sum_low),
            )
        self.shown.look(self.plant)
        reach_a = self.plant.true_reach_a(self.shown.beyond_a(self.plant))
        for at, connector in enumerate(self.state.wiring.connectors):
            high_ma, could_a = decision.survey.high_ma[at], reach_a.get(connector.ref, 0.0)
            is_idle = not self.state.connectors[at].is_plugged
            self._note(
                connector.ref,
                now_s,
                f"{connector.ref} may draw {could_a:.1f} A, counted {high_ma} mA",
                is_unsound=not is_idle and could_a * 1_000 > high_ma + REACH_SLACK_MA,
            )

    def _note(
        self, subject: int | ConnectorRef, now_s: float, told: str, *, is_unsound: bool
    ) -> None:
        if not is_unsound:
            self.unsound_since_s.pop(subject, None)
            return
        since_s = self.unsound_since_s.setdefault(subject, now_s)
        is_row = isinstance(subject, int)
        seen_s = SEEN_S if is_row and not self.has_faults else SEEN_WITH_FAULTS_S
        if now_s - since_s == (seen_s if self.seen_s is None else self.seen_s):
            self.unsound.append(f"{now_s:.0f} s: {told}")

    def _facts_of(self, observation: Observation) -> list[ControlEvent]:
        match observation:
            case GatewayKilled():
                self.is_dead = True
                return []
            case GatewayStarted(at_s=at_s):
                self.is_dead = False
                self.state = SiteState.at_start(self.state.wiring, self.parameters, now_s=at_s)
                self.shown.forget()
                self.calls.clear()
                self.fallback_at_s.clear()
                self.promised.restart()
                return []
            case MeterSilent() | WallClockJumped():
                return []
            case Answered(at_s=at_s, call_number=number, outcome=outcome, detail=detail):
                if number not in self.calls:
                    return []
                connector, sequence = self.calls.pop(number)
                return [_answer(at_s, connector, sequence, outcome, detail)]
            case ConnectorMetered():
                self.shown.hear(observation, self.plant)
                return [observation]
            case _:
                return [observation]

    def _send(self, decision: Decision, now_s: float) -> None:
        orders = guard(self.state, decision.orders, now_s)
        for order, asked in zip(
            orders, sorted(decision.orders, key=lambda o: o.limit.limit_ma), strict=True
        ):
            self.guarded += order.limit.limit_ma != asked.limit.limit_ma
        # As the dispatcher has it: a limit may arrive as late as an answer may take.
        outlasts_s = self.parameters.gone_s - self.parameters.lease_s
        for order in sorted(orders, key=lambda o: not o.is_cut):
            self.sequence += 1
            sent = LimitSent(
                at_s=now_s,
                connector=order.connector,
                limit_ma=order.limit.limit_ma,
                phase_count=order.limit.phase_count,
                lease_until_s=now_s + order.valid_for_s + outlasts_s,
                sequence=self.sequence,
            )
            self.state = evolve_all(self.state, [sent])
            number = self.plant.send_limit(
                order.connector, order.limit, valid_for_s=order.valid_for_s, at_s=now_s
            )
            self.calls[number] = (order.connector, self.sequence)
        for fallback in decision.fallbacks:
            last_s = self.fallback_at_s.get(fallback.connector, float("-inf"))
            station = fallback.connector.station
            is_allowed = self.fallback_writes[station] < FALLBACK_WRITES_A_DAY
            if now_s - last_s >= FALLBACK_GAP_S and is_allowed:
                self.fallback_writes[station] += 1
                self.fallback_at_s[fallback.connector] = now_s
                self.plant.set_fallback(fallback.connector, fallback.limit, at_s=now_s)
        for connector in decision.ask:
            self.plant.request_reading(connector, at_s=now_s)
        for connector, reason in decision.reasons.items():
            if not sentence(reason):
                self.unexplained.append(f"{now_s}: {connector}")


def knowing_base(state: SiteState, *, lease_rise_ratio: float | None = None) -> SiteState:
    """Return the state after weeks in which base never rose by more than the reserve's floor.

    `lease_rise_ratio` is by how much of the rating it rose while a lease ran, if that is known.
    """
    rise_ratio = state.parameters.reserve_floor_ratio
    circuits = []
    for circuit, seen in zip(state.wiring.circuits, state.circuits, strict=True):
        l1, l2, l3 = (
            replace(
                phase,
                rises=_learnt(int(ma * rise_ratio)),
                lease_rises=phase.lease_rises
                if lease_rise_ratio is None
                else _learnt(int(ma * lease_rise_ratio)),
            )
            for phase, ma in zip(seen.phases, circuit.rating_ma, strict=True)
        )
        circuits.append(replace(seen, phases=(l1, l2, l3)))
    return replace(state, circuits=tuple(circuits))


def _learnt(quantile_ma: int) -> RiseHistory:
    return RiseHistory(
        since_s=-30 * DAY_S, day_since_s=0.0, days=((0,) * RISE_BINS,), quantile_ma=quantile_ma
    )


def _answer(
    at_s: float, connector: ConnectorRef, sequence: int, outcome: Outcome, detail: str
) -> ControlEvent:
    if outcome is Outcome.ACCEPTED:
        return LimitAcknowledged(at_s=at_s, connector=connector, sequence=sequence)
    if outcome is Outcome.UNANSWERED:
        return LimitUnanswered(at_s=at_s, connector=connector, sequence=sequence)
    # Superseded was never sent: what is in force is what was.
    return LimitRejected(at_s=at_s, connector=connector, sequence=sequence, detail=detail)
