"""The law at a plant, second by second, with everything it promises looked at after each decision."""

from collections import Counter, deque
from dataclasses import replace
from random import Random

from gateway.control.appetite import is_at_rest
from gateway.control.bounds import is_idle
from gateway.control.decide import Decision, decide, with_settled
from gateway.control.fold import ControlEvent, Decided, PrioritySet, evolve_all
from gateway.control.guard import guard
from gateway.control.headroom import Survey, survey, survey_again
from gateway.control.metered import DAY_S, RISE_BINS
from gateway.control.orders import LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.standing import is_renewed
from gateway.control.state import Priority, RiseHistory, SiteState
from gateway.control.trusted import is_confirmable
from gateway.control.wiring import Wiring
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA
from gateway.domain.events import (
    ConstraintLifted,
    ConstraintSet,
    DeadManProven,
    LimitRejected,
    LimitSent,
    MeterRead,
    StopInputChanged,
)
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import Authority, Constraint
from gateway.domain.reasons import ReasonKind
from tests.control.counted_apart import gives_nothing, leaves_base_ma, minimum_ma
from tests.control.drawn import Happening, Kind, Script
from tests.control.happened import at_station, at_vehicle
from tests.control.outlets import NEVER_S, NOMINAL_V, Outlet, Tells
from tests.control.plant import Plant

FALLBACK_GAP_S = 60.0
LOWEST_V, HIGHEST_V = 207.0, 253.0
LATEST_LEASE_S = 15.0  # A limit may arrive as late as an answer is waited for, and clocks differ.
WAITS_AT_MOST_S = 120
ARRIVES_WITHIN_S = 10  # Who is on the way by then has come.
SPARE_MA = 2_000
SLOW_S = 30
TOLERANCE_MA = 650  # A cut counts as followed from 2 % above it.


class BrokenError(AssertionError):
    """A promise of the law was broken; `rule` says which."""

    def __init__(self, rule: str, told: str) -> None:
        super().__init__(f"{rule}: {told}")
        self.rule = rule


def _told(fact: ControlEvent) -> str:
    """Return a fact in a line, for the story of a run that broke a promise."""
    parts = {name: getattr(fact, name) for name in fact.__slots__ if name != "at_s"}
    words = (f"{name}={value}" for name, value in parts.items() if value not in (None, ""))
    return f"{fact.at_s:.0f} {type(fact).__name__} {' '.join(words)}"


class Watched:
    """A plant under the law; `count` counts what the law was seen to do.

    With `judged` it is held to these promises alone.
    """

    def __init__(self, script: Script, *, judged: frozenset[str] | None = None) -> None:
        self.script = script
        self.judged = judged
        self.plant = Plant(script.site, script.traits, Random(script.seed))
        self.parameters = ControlParameters(
            rotation_s=script.rotation_s, trial_again_s=script.rotation_s
        )
        self.wiring = Wiring.of(script.site)
        self.count: Counter[str] = Counter()
        self.story: deque[str] = deque(maxlen=40)
        self.sequence = 0
        self.fallback_at_s: dict[object, float] = {}
        self.constraints: list[Constraint] = []
        self.refused: dict[tuple[ConnectorRef, int], float] = {}
        self.waits_since_s: dict[int, float] = {}
        self.served_at_s: dict[int, float] = {}
        self.plant.now_s = 1_000.0
        self.state = self._at_start()
        self._greet(is_proven=script.is_proven)

    def run(self) -> Counter[str]:
        """Let everything happen, and then nothing for a while."""
        for happening in self.script.happenings:
            self.learn(*self._happen(happening))
            for _ in range(happening.wait_s):
                self.step()
        if self.script.calm_s:
            for _ in range(ARRIVES_WITHIN_S):
                self.step()
            self._calm_down()
            for _ in range(self._calm_s()):
                self.step()
            self._check_all_is_well()
        return self.count

    def learn(self, *facts: ControlEvent) -> None:
        """Fold facts in."""
        for fact in facts:
            if not isinstance(fact, MeterRead):
                self.story.append(_told(fact))
                self.count[type(fact).__name__] += 1
            if isinstance(fact, LimitRejected):
                at = self.wiring.connector_at[fact.connector]
                told_ma = self.state.connectors[at].wanted_ma
                self.refused[fact.connector, told_ma] = fact.at_s + self.parameters.resend_s
        self.state = evolve_all(self.state, facts)

    def step(self) -> None:
        """Let a second pass, decide, send, and look at what is promised."""
        facts = self.plant.step()
        now_s = self.plant.now_s
        self.learn(*facts)
        decision = decide(self.state, now_s)
        self.state = evolve_all(self.state, [Decided(at_s=now_s, memory=decision.memory)])
        before = decision.survey
        self._check_truth(before, "before sending")
        orders = guard(self.state, decision.orders, now_s)
        self._check_orders(decision, orders)
        self._check_cuts(decision)
        was_told_ma = [self._told_ma(at) for at in range(len(self.state.connectors))]
        unsent = with_settled(self.state, now_s)
        sent = self._send(orders)
        self._check_looked_at_again(unsent, sent)
        self._tally(decision)
        for fallback in decision.fallbacks:
            last_s = self.fallback_at_s.get(fallback.connector, NEVER_S)
            if now_s - last_s >= FALLBACK_GAP_S or fallback.limit.limit_ma == 0:
                self.fallback_at_s[fallback.connector] = now_s
                self.plant.write_fallback(fallback.connector, fallback.limit.limit_ma)
        for connector in decision.ask:
            self.plant.ask(connector)
        after = survey(with_settled(self.state, now_s), now_s)
        self._check_claims(before, after, sent, was_told_ma)
        self._check_truth(after, "after sending")
        self._check_waiting(decision, after)

    def _send(self, orders: tuple[LimitOrder, ...]) -> list[LimitOrder]:
        """Send what the lines take, cuts first; each counts as sent before it is."""
        now_s, sent = self.plant.now_s, []
        for order in sorted(orders, key=lambda o: (not o.is_cut, o.limit.limit_ma)):
            again_s = self.refused.get((order.connector, order.limit.limit_ma), NEVER_S)
            if not self.plant.may_send(order.connector.station) or now_s < again_s:
                continue
            self.sequence += 1
            sent.append(order)
            self._count_order(order)
            told = LimitSent(
                at_s=now_s,
                connector=order.connector,
                limit_ma=order.limit.limit_ma,
                phase_count=order.limit.phase_count,
                lease_until_s=now_s + order.valid_for_s + LATEST_LEASE_S,
                sequence=self.sequence,
            )
            self.learn(told)
            self.plant.send(
                order.connector,
                order.limit,
                valid_for_s=order.valid_for_s,
                sequence=self.sequence,
            )
        return sent

    def _count_order(self, order: LimitOrder) -> None:
        belief = self.state.connectors[self.wiring.connector_at[order.connector]]
        was_ma, limit_ma = belief.wanted_ma, order.limit.limit_ma
        self.count["orders"] += 1
        if not belief.limits[-1].last_sequence:
            self.count["first orders"] += 1
        elif limit_ma > was_ma:
            self.count["raises" if was_ma else "starts"] += 1
        elif limit_ma < was_ma:
            self.count["cuts" if limit_ma else "pauses"] += 1

    def _tally(self, decision: Decision) -> None:
        """Count what the run has been through, so that it cannot become empty unseen."""
        self.count["decisions"] += 1
        self.count["rotations"] += decision.memory.rotated_at_s == decision.at_s
        kinds = {reason.kind for reason in decision.reasons.values()}
        for kind in kinds:
            self.count[kind.value] += 1
        is_proven = any(station.is_proven for station in self.state.stations.values())
        self.count["seconds proven"] += is_proven
        self.count["seconds masked"] += any(
            b.mask not in (None, w)
            for b, w in zip(self.state.connectors, self.wiring.wired, strict=True)
        )
        self.count["seconds overdrawn"] += any(decision.survey.overdrawn)
        self.count["seconds stopped"] += self.state.is_stopped
        self.count["leases lapsed"] += self.plant.lapse_count()

    # What is promised.

    def _break(self, rule: str, told: object) -> None:
        if self.judged is not None and rule not in self.judged:
            return
        story = "\n".join(self.story)
        raise BrokenError(rule, f"at {self.plant.now_s:.0f} s: {told}\n{story}")

    def _told_ma(self, at: int) -> int:
        """Return the limit told last; of watts all, while it is not known on which phases."""
        belief, station = self.state.connectors[at], self.wiring.connectors[at].ref.station
        in_watts = self.script.traits[station].takes_watts and belief.mask is None
        return belief.wanted_ma * (belief.limits[-1].phase_count if in_watts else 1)

    def _check_claims(
        self, before: Survey, after: Survey, sent: list[LimitOrder], was_told_ma: list[int]
    ) -> None:
        """What fits a row still does once it is sent, and nothing is added to what does not.

        Where only cuts are sent nothing is judged: one may show earlier changes of a circuit in
        another light, and so leave less available. It is sent all the same.
        """
        raised = {
            row
            for at in (self.wiring.connector_at[order.connector] for order in sent)
            if self._told_ma(at) > was_told_ma[at]
            for row in self.wiring.rows[at][after.masks[at]]
        }
        orders = ", ".join(f"{order.connector} {order.limit.limit_ma}" for order in sent)
        for row, (was, now) in enumerate(zip(before.rows, after.rows, strict=True)):
            if row not in raised:
                continue
            does_fit = after.claimed_ma[row] <= now.available_ma
            if before.claimed_ma[row] > was.available_ma:
                was_kept_ma = before.claimed_ma[row] + was.reserve_ma
                does_fit = after.claimed_ma[row] + now.reserve_ma <= was_kept_ma
            if not does_fit:
                told = (
                    f"row {row}: claimed {before.claimed_ma[row]} -> {after.claimed_ma[row]} of "
                    f"{was.available_ma} -> {now.available_ma}; highs {before.high_ma} -> "
                    f"{after.high_ma}; sent {orders}"
                )
                self._break("what we send fits", told)

    def _check_looked_at_again(self, unsent: SiteState, sent: list[LimitOrder]) -> None:
        """Surveyed again for limits that changed, renewals aside, is as surveyed altogether."""
        if not sent:
            return
        now_s, state = self.plant.now_s, with_settled(self.state, self.plant.now_s)
        changed = []
        for order in sent:
            at, limit = self.wiring.connector_at[order.connector], order.limit
            newest = unsent.connectors[at].limits[-1]
            if not is_renewed(newest, limit_ma=limit.limit_ma, phase_count=limit.phase_count):
                changed.append(at)
        again = survey_again(state, survey(unsent, now_s), changed, now_s)
        if again != survey(state, now_s):
            self._break("a second look sees what there is", f"sent {sent}")

    def _check_truth(self, seen: Survey, when: str) -> None:
        """Nobody is counted at less than it may draw, nor on fewer phases."""
        now_s = self.plant.now_s
        for at, (ref, outlet) in enumerate(self.plant.outlets.items()):
            vehicle, line = outlet.vehicle, self.plant.lines[ref.station]
            if vehicle is None:
                is_told = line.is_linked and outlet.transaction is None
                if is_told and seen.high_ma[at] and not seen.overdrawn[at]:
                    self._break("a free connector counts nothing", f"{ref} {seen.high_ma[at]}")
                continue
            if now_s < outlet.obeys_from_s + 15:
                self.count["seconds disobedient"] += 1
                continue
            limit_ma = outlet.limit_ma(now_s)
            if limit_ma >= MIN_CHARGING_MA and limit_ma > seen.high_ma[at]:
                told = f"{ref} has {limit_ma} in force, counted {seen.high_ma[at]} {when}"
                self._break(
                    "no limit in force is forgotten",
                    f"{told}: {outlet}, {self.state.connectors[at]}",
                )
            if not vehicle.draws_ma:
                continue
            if vehicle.draws_ma > seen.high_ma[at] + TOLERANCE_MA:
                told = f"{ref} draws {vehicle.draws_ma}, counted {seen.high_ma[at]} {when}"
                self._break(
                    "nobody draws more than is counted",
                    f"{told}: {outlet}, {self.state.connectors[at]}",
                )
            if any(not seen.masks[at][phase] for phase in vehicle.phases):
                told = f"{ref} draws on {vehicle.phases}, counted on {seen.masks[at]} {when}"
                self._break("no phase in use is forgotten", f"{told}: {self.state.connectors[at]}")

    def _check_orders(self, decision: Decision, passed: tuple[LimitOrder, ...]) -> None:
        """Every limit is one a station can be told, and the guard only lowers."""
        decided = {order.connector: order for order in decision.orders}
        for order in passed:
            ref, limit_ma = order.connector, order.limit.limit_ma
            at = self.wiring.connector_at[ref]
            connector, told_ma = self.wiring.connectors[at], self.state.connectors[at].wanted_ma
            wanted_ma = decided[ref].limit.limit_ma
            if wanted_ma % STEP_MA or not (
                wanted_ma == 0 or MIN_CHARGING_MA <= wanted_ma <= connector.max_ma
            ):
                self._break("a limit can be told", f"{ref} {wanted_ma}")
            if wanted_ma and self.state.is_stopped:
                self._break("a stop is a stop", f"{ref} {wanted_ma}")
            if limit_ma > wanted_ma or (wanted_ma <= told_ma and limit_ma != wanted_ma):
                self._break("the guard lowers raises alone", f"{ref} {wanted_ma} -> {limit_ma}")
            if decision.reasons[ref].limit_ma != wanted_ma:
                self._break("a limit has its reason", f"{ref} {decision.reasons[ref]}")
            self.count["guarded"] += limit_ma < wanted_ma
            lowest_v = LOWEST_V if self.script.traits[ref.station].takes_watts else NOMINAL_V
            for constraint in self.constraints:
                if constraint.subject == ref and wanted_ma * NOMINAL_V > lowest_v * min(
                    constraint.limit_ma[phase] for phase in connector.phases
                ):
                    self._break("a limit from outside narrows", f"{ref} {wanted_ma}")

    def _check_cuts(self, decision: Decision) -> None:
        """What is told fits wherever somebody who follows could be told less.

        What comes first is not told less before it is known who must be paused for it. What one
        not yet seen to obey is started with comes out of what the reserve keeps for it (ADR 0041),
        what it gives back goes there again; and what a cut takes of watts whose phases are not known
        was in base, too.
        """
        starts_ma = [0] * len(decision.survey.rows)
        told_ma = [0] * len(decision.survey.rows)
        can_give: list[set[int]] = [set() for _ in told_ma]
        gives_last: list[set[int]] = [set() for _ in told_ma]
        may_be_paused = [False] * len(told_ma)
        settled = with_settled(self.state, decision.at_s)
        for at, connector in enumerate(self.wiring.connectors):
            high_ma = decision.survey.high_ma[at]
            limit_ma, is_movable = decision.reasons[connector.ref].limit_ma, False
            belief = self.state.connectors[at]
            station = self.state.stations[connector.ref.station]
            if station.is_connected and belief.is_plugged and not is_idle(belief):
                is_movable = is_confirmable(settled, decision.survey, at, decision.at_s)
            priority = self.state.priorities.get(connector.ref, Priority())
            is_first = priority.rank == 0 or priority.floor_ma > 0
            counted_ma = (
                limit_ma if is_movable else max(high_ma, limit_ma if belief.is_plugged else 0)
            )
            for row in self.wiring.rows[at][decision.survey.masks[at]]:
                told_ma[row] += counted_ma
                starts_ma[row] += 0 if station.is_proven else max(0, counted_ma - high_ma)
                told_ma[row] -= leaves_base_ma(belief, limit_ma) if is_movable else 0
                may_be_paused[row] |= is_movable and limit_ma > 0 and not is_first
                is_least = limit_ma <= max(MIN_CHARGING_MA, priority.floor_ma)
                if is_movable and not is_least and not gives_nothing(decision.survey, at, row):
                    (gives_last if is_first else can_give)[row].add(at)
        for row, seen in enumerate(decision.survey.rows):
            over_ma = told_ma[row] - seen.available_ma
            over_ma -= min(starts_ma[row], seen.unproven_ma)
            if not may_be_paused[row]:
                can_give[row] |= gives_last[row]
            if over_ma > self.parameters.dead_band_ma and can_give[row]:
                self._break(
                    "what does not fit is cut", f"row {row} over by {over_ma}: {can_give[row]}"
                )

    def _check_waiting(self, decision: Decision, seen: Survey) -> None:
        """Nobody who could be given the minimum waits for long without it."""
        waits = {}
        for at, connector in enumerate(self.wiring.connectors):
            if self.state.connectors[at].wanted_ma >= MIN_CHARGING_MA:
                self.served_at_s[at] = decision.at_s
            belief, reason = self.state.connectors[at], decision.reasons[connector.ref]
            kinds = (
                ReasonKind.CIRCUIT_AT_SET_POINT,
                ReasonKind.WAITS_FOR_TURN,
                ReasonKind.WAITS_FOR_HEADROOM,
                ReasonKind.MAKES_ROOM,
                ReasonKind.RAISED_IN_STEPS,
                ReasonKind.OTHERS_COME_FIRST,
                ReasonKind.RAISE_HELD,
            )
            station = self.state.stations[connector.ref.station]
            if not (station.is_connected and belief.is_plugged) or belief.wanted_ma:
                continue
            if reason.kind is ReasonKind.RAISED_IN_STEPS and not reason.limit_ma:
                self._break("a limit has its reason", f"{connector.ref} {reason}")
            if reason.kind not in kinds or is_at_rest(self.state, belief, decision.at_s):
                continue
            if not (station.is_proven or belief.draws):
                continue  # What rose may be its own or base: it may wait until that is known.
            in_watts = self.script.traits[connector.ref.station].takes_watts
            more_ma = max(0, minimum_ma(belief, in_watts=in_watts) - seen.high_ma[at])
            rows = self.wiring.rows[at][seen.masks[at]]
            if all(
                seen.rows[row].available_ma - seen.claimed_ma[row]
                >= more_ma + self.parameters.dead_band_ma
                and (seen.rows[row].age_s or 0.0) <= self.parameters.stale_no_raises_s
                for row in rows
            ):
                waits[at] = self.waits_since_s.get(at, decision.at_s)
        self.waits_since_s = waits
        for at, since_s in waits.items():
            if decision.at_s - since_s > WAITS_AT_MOST_S:
                ref = self.wiring.connectors[at].ref
                self._break(
                    "nobody waits where there is room",
                    f"{ref} {decision.reasons[ref]} {self.state.connectors[at]}",
                )

    def _check_all_is_well(self) -> None:
        """After minutes with nothing amiss all are served, and who tells what it draws proven."""
        decision = decide(self.state, self.plant.now_s)
        for at, (ref, outlet) in enumerate(self.plant.outlets.items()):
            belief, reason = self.state.connectors[at], decision.reasons[ref]
            if outlet.vehicle is None or reason.kind is ReasonKind.LOCKOUT:
                continue
            self.count["served at the end"] += 1
            since_s = decision.at_s - self.served_at_s.get(at, NEVER_S)
            if since_s > WAITS_AT_MOST_S and not is_at_rest(self.state, belief, decision.at_s):
                self._break("whoever can be served is served", f"{ref} {reason} {belief}")
            if outlet.traits.tells is not Tells.AMPERES:
                continue
            if outlet.traits.divides_by_use and not outlet.vehicle.draws_ma:
                continue  # Where watts for all its phases do not fit, it cannot begin.
            self.count["proven at the end"] += 1
            if not self.state.stations[ref.station].is_proven:
                self._break("who obeys is proven", f"{ref} {reason} {belief}")

    def _calm_s(self) -> int:
        """Return how long all is well at the end: readings that come seldom show a cut later."""
        slow = [trait for trait in self.script.traits.values() if trait.interval_s > SLOW_S]
        return self.script.calm_s * (2 if slow else 1)

    def _is_room_for(self, vehicles: list[Outlet]) -> bool:
        """Return whether every row can carry a minimum of all, and all of who tells nothing."""
        plant, parameters = self.plant, self.parameters
        need_ma = [0] * len(self.wiring.rating_ma)
        for outlet in vehicles:
            at = self.wiring.connector_at[outlet.connector.ref]
            most_ma = outlet.connector.max_ma
            if outlet.traits.tells is Tells.AMPERES:
                most_ma = MIN_CHARGING_MA
            elif outlet.traits.tells is Tells.WATTS:
                most_ma = 2 * MIN_CHARGING_MA  # Its draw, on phases unknown, is base's as well.
            for row in self.wiring.rows[at][self.wiring.wired[at]]:
                need_ma[row] += most_ma * 10 // 9
        flows_ma = [0] * len(need_ma)
        for circuit, base_ma in plant.base_ma.items():
            for above in plant.site.path_to_root(circuit):
                for phase in range(3):
                    flows_ma[3 * self.wiring.circuit_at[above] + phase] += base_ma[phase]
        for row, set_point_ma in enumerate(self.wiring.set_point_ma):
            reserve_ma = int(self.wiring.rating_ma[row] * parameters.reserve_at_first_ratio)
            taken_ma = flows_ma[row] + max(reserve_ma, MIN_CHARGING_MA)
            if self.wiring.circuits[row // 3].meter is None:
                taken_ma = self.wiring.worst_case_ma[row]
            if need_ma[row] and need_ma[row] + taken_ma + SPARE_MA > set_point_ma:
                return False
            need_ma[row] += taken_ma + SPARE_MA
        for at, joined in enumerate(self.wiring.circuits):
            if joined.imbalance_ma is not None:
                return False  # What flows on other phases is nobody's to say beforehand.
            power_va = sum(need_ma[3 * at : 3 * at + 3]) * HIGHEST_V / 1_000
            if joined.power_limit_va is not None and power_va > joined.power_limit_va:
                return False
        return True

    # What happens.

    def _at_start(self) -> SiteState:
        """Return what the gateway knows when it starts; base may be known from weeks before."""
        state = SiteState.at_start(self.wiring, self.parameters, now_s=self.plant.now_s)
        if not self.script.knows_base:
            return state
        circuits = []
        for circuit, seen in zip(self.wiring.circuits, state.circuits, strict=True):
            one, two, three = (
                replace(
                    phase,
                    rises=RiseHistory(
                        since_s=-30 * DAY_S,
                        day_since_s=0.0,
                        days=((0,) * RISE_BINS,),
                        quantile_ma=int(ma * self.parameters.reserve_floor_ratio),
                    ),
                )
                for phase, ma in zip(seen.phases, circuit.rating_ma, strict=True)
            )
            circuits.append(replace(seen, phases=(one, two, three)))
        return replace(state, circuits=tuple(circuits))

    def _greet(self, *, is_proven: bool) -> None:
        """Let every station that is linked be known, and perhaps be proven from before."""
        for station, line in self.plant.lines.items():
            if not line.is_linked:
                continue
            said = self.plant.greetings(station)
            self.learn(said[0], *self.plant.fallbacks_read_back(station))
            if is_proven:
                known = replace(self.state.stations[station], is_proven=True)
                stations = {**self.state.stations, station: known}
                self.state = replace(self.state, stations=stations)
            if is_proven and self.plant.traits[station].lapses:
                self.learn(DeadManProven(at_s=self.plant.now_s, station=station))
            self.learn(*said[1:])

    def _calm_down(self) -> None:
        """Let all be well: every fault is over, base is low, and who stays is hungry."""
        plant = self.plant
        self.learn(StopInputChanged(at_s=plant.now_s, is_stopped=False), *self._lifted())
        for ref in plant.outlets:
            self.learn(PrioritySet(at_s=plant.now_s, connector=ref, priority=None))
        for line in plant.lines.values():
            line.mute_until_s = line.refuses_until_s = line.late_until_s = NEVER_S
            line.silent_until_s = NEVER_S
        plant.silent_until_s.clear()
        plant.frozen_until_s.clear()
        for circuit in plant.site.circuits:
            plant.base_ma[circuit.id] = [ma // 20 for ma in circuit.rating_ma]
        for outlet in plant.outlets.values():
            outlet.obeys_from_s = min(outlet.obeys_from_s, plant.now_s)
            if outlet.vehicle is not None:
                outlet.vehicle.rests, outlet.vehicle.takes_ma = False, 32_000
        staying: list[Outlet] = []
        for outlet in plant.outlets.values():
            if outlet.vehicle is None:
                continue
            if self._is_room_for([*staying, outlet]):
                staying.append(outlet)
            else:
                self.learn(*plant.leave(outlet))
        for station in plant.lines:
            self.learn(*plant.raise_link(station))

    def _lifted(self) -> list[ControlEvent]:
        lifted, self.constraints = self.constraints, []
        return [ConstraintLifted(at_s=self.plant.now_s, constraint=c) for c in lifted]

    def _happen(self, happening: Happening) -> list[ControlEvent]:
        outlets = list(self.plant.outlets.values())
        outlet = outlets[happening.at % len(outlets)]
        if happening.kind is Kind.BOOT and outlet.vehicle is not None:
            self.count["boots while charging"] += outlet.vehicle.draws_ma > 0
        self.story.append(f"{self.plant.now_s:.0f} {happening}")
        return [
            *at_vehicle(self.plant, happening, outlet),
            *at_station(self.plant, happening, outlet),
            *self._to_site(happening, outlet),
        ]

    def _to_site(self, happening: Happening, outlet: Outlet) -> list[ControlEvent]:
        """Let something happen to circuits, meters, people's wishes or the gateway itself."""
        plant, amount, now_s = self.plant, happening.amount, self.plant.now_s
        circuit = plant.site.circuits[happening.at % len(plant.site.circuits)]
        ref = outlet.connector.ref
        match happening.kind:
            case Kind.BASE | Kind.EXPORT:
                part = amount * (3 if happening.kind is Kind.BASE else -2)
                phases = (0, 1, 2) if amount % 2 else (happening.at % 3,)
                for phase in phases:
                    plant.base_ma[circuit.id][phase] = circuit.rating_ma[phase] * part // 1_000
            case Kind.METER_SILENT | Kind.METER_FROZEN if circuit.meter is not None:
                is_silent = happening.kind is Kind.METER_SILENT
                until_s = plant.silent_until_s if is_silent else plant.frozen_until_s
                until_s[circuit.meter] = now_s + amount
            case Kind.STOP | Kind.RELEASE:
                is_stopped = happening.kind is Kind.STOP
                return [StopInputChanged(at_s=now_s, is_stopped=is_stopped)]
            case Kind.LIMIT_CIRCUIT | Kind.LIMIT_CONNECTOR:
                is_circuit = happening.kind is Kind.LIMIT_CIRCUIT
                ma = amount * 1_001 if is_circuit else amount * 207
                constraint = Constraint(
                    subject=circuit.id if is_circuit else ref,
                    limit_ma=(ma, ma + 1_000, max(0, ma - 1_000)),
                    authority=Authority.GRID,
                    source="outside",
                )
                others = [c for c in self.constraints if c.subject != constraint.subject]
                self.constraints = [*others, constraint]
                return [ConstraintSet(at_s=now_s, constraint=constraint)]
            case Kind.LIFT:
                return self._lifted()
            case Kind.PRIORITY:
                floor_ma = 6_000 + 100 * (amount % 60) if amount % 2 else 0
                laxity_s = None if amount % 3 else amount * 60.0
                priority = Priority(rank=amount % 4, laxity_s=laxity_s, floor_ma=floor_ma)
                return [PrioritySet(at_s=now_s, connector=ref, priority=priority)]
            case Kind.RESTART:
                self._restart()
            case _:
                pass
        return []

    def _restart(self) -> None:
        """Let the gateway start anew: it knows nothing of what it told whom."""
        self.plant.forget_calls()
        self.state = self._at_start()
        self.fallback_at_s.clear()
        for constraint in self.constraints:
            self.learn(ConstraintSet(at_s=self.plant.now_s, constraint=constraint))
        self._greet(is_proven=False)
        self.count["restarts"] += 1
