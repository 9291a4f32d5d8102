"""Promised vehicles and walk-ups at one building, under the real control law, in virtual time.

What is simplified: recorded loads are hourly, so base is each hour's mean, moving to the next one's
within ten minutes, alike on each phase. One supply, three-phase vehicles that draw what they may, no
faults. Stations are known to obey, and base never to have risen by more than the least reserve. Plans
are the greedy ones, from forecasts by the hour. Leases last ten minutes and readings come each 15 s
at best. For 45 s after a limit moved, or somebody came or went, the law runs each 3 s,
else each 30 s, where the daemon runs it each second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Final

from benchmarks._data import Floats
from drivers.sim.scenario import VehicleTraits
from drivers.sim.vehicle import Vehicle
from gateway.control.decide import Decision, decide
from gateway.control.fold import Decided, PrioritySet, evolve_all
from gateway.control.guard import guard
from gateway.control.parameters import ControlParameters
from gateway.control.state import Priority, RiseHistory, SiteState
from gateway.control.wiring import Wiring
from gateway.domain.charging import (
    ConnectorStatus,
    OcppVersion,
    RateUnit,
    StationCapabilities,
)
from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    Meter,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    DeadManProven,
    Event,
    FallbackInstalled,
    LimitAcknowledged,
    LimitSent,
    MeterRead,
    StationConnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import (
    BusId,
    CircuitId,
    ConnectorRef,
    MeterId,
    StationId,
    TransactionId,
)
from gateway.domain.metering import MeterReading
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.sessions import Statement
from gateway.planning.asking import Places
from gateway.planning.demands import Visit, demands_of, edges_of
from gateway.planning.greedy import greedy
from gateway.planning.grid import HOUR_S, Grid, grid_of
from gateway.planning.problem import Problem
from gateway.planning.standing_plan import Origin, StandingPlan
from gateway.services.priorities import is_alike, priorities_of, turns_of
from gateway.services.visits import Visits

VOLTAGE_V: Final = 230.0
RATING_MA: Final = 200_000
MAX_MA, FALLBACK_MA = 16_000, 6_000
BASE_MOVES_S: Final = 600.0
NOISE_A: Final = 0.3
READS_EVERY_S: Final = 15.0
QUIET_S: Final = 30.0
BUSY_S, BUSY_FOR_S = 3.0, 45.0
TOLD_EVERY_S: Final = 15.0
PLANS_EVERY_S: Final = 900.0
LEASE_S: Final = 600.0
PLANNED_S: Final = 12 * HOUR_S
SUPPLY: Final = CircuitId("supply")
METER: Final = MeterId("supply-meter")
DAY_S: Final = 86_400.0

AvailableOn = Callable[[Grid, float], tuple[tuple[int, ...], ...]]
"""What rows are planned to have on a grid that begins at an epoch second."""


def site_of(connectors: int, *, worst_case_base_ma: int) -> Site:
    """Return a 200 A supply with so many stations of one 16 A connector each."""
    device = OvercurrentDevice.MCCB
    circuit = Circuit(
        id=SUPPLY,
        parent=None,
        rating_ma=(RATING_MA,) * 3,
        device=device,
        set_point_ratio=SET_POINT_RATIO[device],
        curve=FASTEST_CURVE[device],
        meter=METER,
        worst_case_base_ma=(worst_case_base_ma,) * 3,
    )
    stations = []
    for number in range(1, connectors + 1):
        name = StationId(f"CP-{number:02}")
        connector = Connector(
            ref=ConnectorRef(name, 1),
            circuit=SUPPLY,
            phases=(Phase.L1, Phase.L2, Phase.L3),
            max_ma=MAX_MA,
            fallback_ma=FALLBACK_MA,
        )
        stations.append(ChargingStation(id=name, connectors=(connector,)))
    return Site(
        name="A building with vehicles",
        timezone="UTC",
        voltage_v=VOLTAGE_V,
        circuits=(circuit,),
        meters=(Meter(id=METER, bus=BusId("memory"), unit=1, profile="eastron_sdm630_v2"),),
        stations=tuple(stations),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A vehicle at the connector `at` from one epoch second to another, perhaps with a promise."""

    at: int
    from_s: float
    until_s: float
    traits: VehicleTraits
    promise_id: str | None = None
    said: Statement = field(default_factory=Statement)


@dataclass(slots=True, kw_only=True)
class Clock:
    """Virtual time; the monotonic second is that of the epoch."""

    now_s: float

    def monotonic_s(self) -> float:
        """Return the second."""
        return self.now_s

    def now_at(self) -> datetime:
        """Return the instant."""
        return datetime.fromtimestamp(self.now_s, tz=UTC)

    async def sleep_s(self, delay_s: float) -> None:
        """Let nobody wait: nothing here does."""
        raise NotImplementedError(delay_s)


@dataclass(slots=True, kw_only=True)
class _Connector:
    """A station's one connector, and the vehicle that is there."""

    ref: ConnectorRef
    vehicle: Vehicle | None = None
    promise_id: str | None = None
    """What the vehicle was promised."""
    allowed_wh: float = 0.0
    """What its limits would have carried."""
    read_at_s: float = float("-inf")
    is_asked: bool = False


class PromisedBuilding:
    """Lives through the hours of some promises; `promises` tells afterwards what was delivered."""

    def __init__(
        self,
        site: Site,
        load_a: Floats,
        stays: Sequence[Stay],
        promises: Mapping[str, Reservation],
        *,
        available: AvailableOn,
        from_s: float,
        seed: str,
        busy_s: float = BUSY_S,
        quiet_s: float = QUIET_S,
    ) -> None:
        """Begin at `from_s` with nobody there; hour h of `load_a` begins at the epoch second 3,600 h."""
        self.promises = dict(promises)
        self.decisions = 0
        self._load_a, self._available = load_a, available
        self._busy_s, self._quiet_s = busy_s, quiet_s
        self._places = Places.of(site)
        self._rng = Random(seed)
        self._clock = Clock(now_s=from_s)
        self._visits = Visits(self._clock)
        self._connectors = [_Connector(ref=connector.ref) for connector in site.connectors]
        self._coming = sorted(stays, key=lambda stay: stay.from_s)
        self._leaving: list[Stay] = []
        self._busy_until_s = from_s + BUSY_FOR_S
        self._sent: list[LimitSent] = []
        self._sequence = 0
        self._plan: StandingPlan | None = None
        self._planned_s = self._prioritised_s = float("-inf")
        self._told: dict[ConnectorRef, Priority] = {}
        parameters = replace(ControlParameters(), lease_s=LEASE_S, renew_s=LEASE_S / 3)
        state = SiteState.at_start(Wiring.of(site), parameters, now_s=from_s)
        self._state = _as_after_weeks(evolve_all(state, _commissioned(site, from_s)), from_s)

    def run(self, until_s: float) -> None:
        """Live on to an epoch second."""
        while self._clock.now_s < until_s:
            self._step(until_s)

    def _step(self, until_s: float) -> None:
        before_s = self._clock.now_s
        now_s = before_s + (self._busy_s if before_s < self._busy_until_s else self._quiet_s)
        ends_s = [until_s, *(stay.until_s for stay in self._leaving)]
        begins_s = [stay.from_s for stay in self._coming[:1]]
        now_s = self._clock.now_s = min(now_s, *ends_s, *begins_s)
        self._allow(now_s - before_s)
        facts = self._facts(now_s)
        for fact in facts:
            self._visits.hear(fact)
        self._state = evolve_all(self._state, facts)
        decision = decide(self._state, now_s)
        self._state = evolve_all(self._state, [Decided(at_s=now_s, memory=decision.memory)])
        self.decisions += 1
        self._send(decision, now_s)
        if now_s - self._prioritised_s >= TOLD_EVERY_S:
            self._prioritise(now_s)

    # What vehicles, stations and meters do.

    def _facts(self, now_s: float) -> list[Event]:
        """Let time pass; return what is heard of it."""
        facts: list[Event] = []
        for sent in self._sent:
            # A station answers and obeys a second after it was told.
            at_s = min(now_s, sent.at_s + 1.0)
            connector = self._connectors[self._state.wiring.connector_at[sent.connector]]
            if connector.vehicle is not None:
                _advance(connector.vehicle, at_s)
                connector.vehicle.offer(sent.limit_ma / 1_000, at_s)
            facts.append(
                LimitAcknowledged(at_s=at_s, connector=sent.connector, sequence=sent.sequence)
            )
        self._sent.clear()
        flows_a = self._base_a(now_s)
        for connector in self._connectors:
            if connector.vehicle is not None:
                _advance(connector.vehicle, now_s)
                flows_a += connector.vehicle.draw_a
        facts.append(_reading(flows_a, self._rng, now_s))
        for connector in self._connectors:
            is_due = now_s - connector.read_at_s >= READS_EVERY_S
            if connector.vehicle is not None and (is_due or connector.is_asked):
                facts.append(self._metered(connector, connector.vehicle, now_s))
        while self._leaving and min(self._leaving, key=lambda s: s.until_s).until_s <= now_s:
            facts += self._leave(min(self._leaving, key=lambda s: s.until_s), now_s)
        while self._coming and self._coming[0].from_s <= now_s:
            facts += self._arrive(self._coming.pop(0), now_s)
        return facts

    def _base_a(self, at_s: float) -> float:
        hour, into_s = int(at_s // HOUR_S), at_s % HOUR_S
        now_a, half_s = float(self._load_a[hour]), BASE_MOVES_S / 2
        if into_s < half_s:
            before_a = float(self._load_a[hour - 1])
            return now_a - (now_a - before_a) * (half_s - into_s) / BASE_MOVES_S
        if into_s > HOUR_S - half_s:
            after_a = float(self._load_a[min(hour + 1, len(self._load_a) - 1)])
            return now_a + (after_a - now_a) * (into_s - HOUR_S + half_s) / BASE_MOVES_S
        return now_a

    def _metered(self, connector: _Connector, vehicle: Vehicle, now_s: float) -> ConnectorMetered:
        connector.read_at_s, connector.is_asked = now_s, False
        self._note(connector, delivered_wh=vehicle.delivered_wh)
        draw_a = round(vehicle.draw_a, 2)
        return ConnectorMetered(
            at_s=now_s,
            connector=connector.ref,
            current_a=(draw_a, draw_a, draw_a),
            power_w=draw_a * 3 * VOLTAGE_V,
            energy_wh=round(vehicle.delivered_wh, 1),
        )

    def _arrive(self, stay: Stay, now_s: float) -> list[Event]:
        connector = self._connectors[stay.at]
        connector.promise_id, connector.read_at_s = stay.promise_id, now_s
        connector.vehicle = Vehicle(
            stay.traits, voltage_v=3 * VOLTAGE_V, at_s=now_s, rng=Random(self._rng.random())
        )
        connector.vehicle.offer(FALLBACK_MA / 1_000, now_s)
        self._leaving.append(stay)
        self._note(connector, state=PromiseState.ARRIVED, arrived_at_s=now_s)
        self._disturb(now_s)
        transaction = TransactionId(f"{stay.at}/{stay.from_s:.0f}")
        started = TransactionStarted(at_s=now_s, connector=connector.ref, transaction=transaction)
        self._visits.hear(started)
        self._visits.say(connector.ref, stay.said)
        return [
            ConnectorStatusChanged(
                at_s=now_s, connector=connector.ref, status=ConnectorStatus.OCCUPIED
            ),
            started,
        ]

    def _leave(self, stay: Stay, now_s: float) -> list[Event]:
        self._leaving.remove(stay)
        connector = self._connectors[stay.at]
        assert connector.vehicle is not None
        self._note(
            connector,
            state=PromiseState.FULFILLED,
            delivered_wh=connector.vehicle.delivered_wh,
            allowed_wh=connector.allowed_wh,
        )
        connector.vehicle = connector.promise_id = None
        self._disturb(now_s)
        transaction = TransactionId(f"{stay.at}/{stay.from_s:.0f}")
        return [
            TransactionEnded(at_s=now_s, connector=connector.ref, transaction=transaction),
            ConnectorStatusChanged(
                at_s=now_s, connector=connector.ref, status=ConnectorStatus.AVAILABLE
            ),
        ]

    def _note(self, connector: _Connector, **what: object) -> None:
        """Note what has become of the promise at a connector, if there is one."""
        name = connector.promise_id
        if name is not None:
            self.promises[name] = replace(self.promises[name], **what)  # type: ignore[arg-type]

    def _allow(self, lasted_s: float) -> None:
        """Note what the limits told would have carried."""
        for connector, belief in zip(self._connectors, self._state.connectors, strict=True):
            if connector.promise_id is not None:
                allowed_w = belief.wanted_ma / 1_000 * 3 * VOLTAGE_V
                connector.allowed_wh += allowed_w * lasted_s / HOUR_S

    def _disturb(self, now_s: float) -> None:
        """Note that somebody came or went: limits will move, and a plan is due."""
        self._busy_until_s = now_s + BUSY_FOR_S
        self._planned_s = float("-inf")

    # What is told to whom.

    def _send(self, decision: Decision, now_s: float) -> None:
        for order in guard(self._state, decision.orders, now_s):
            at = self._state.wiring.connector_at[order.connector]
            if order.limit.limit_ma != self._state.connectors[at].wanted_ma:
                self._busy_until_s = now_s + BUSY_FOR_S
            self._sequence += 1
            self._sent.append(
                LimitSent(
                    at_s=now_s,
                    connector=order.connector,
                    limit_ma=order.limit.limit_ma,
                    phase_count=order.limit.phase_count,
                    lease_until_s=now_s + order.valid_for_s + self._state.parameters.lease_margin_s,
                    sequence=self._sequence,
                )
            )
        self._state = evolve_all(self._state, self._sent)
        for ref in decision.ask:
            self._connectors[self._state.wiring.connector_at[ref]].is_asked = True

    def _prioritise(self, now_s: float) -> None:
        """Tell control who goes first, as `Replanning` does."""
        self._prioritised_s = now_s
        visits = self._visits.seen(self._state, now_s)
        if now_s - self._planned_s >= PLANS_EVERY_S:
            self._replan(visits, now_s)
        priorities = priorities_of(
            visits,
            self.promises.values(),
            self._places,
            turns_of(self._plan, now_s),
            now_s=now_s,
        )
        facts: list[PrioritySet] = []
        for ref, priority in priorities.items():
            known = self._told.get(ref)
            if known is None or not is_alike(known, priority):
                self._told[ref] = priority
                facts.append(PrioritySet(at_s=now_s, connector=ref, priority=priority))
        for ref in self._told.keys() - priorities.keys():
            del self._told[ref]
            facts.append(PrioritySet(at_s=now_s, connector=ref, priority=None))
        if facts:
            self._state = evolve_all(self._state, facts)
            self._busy_until_s = max(self._busy_until_s, now_s + 1.0)

    def _replan(self, visits: tuple[Visit, ...], now_s: float) -> None:
        self._planned_s = now_s
        promises = self.promises.values()
        grid = grid_of(PLANNED_S, events_s=edges_of(visits, promises, now_s=now_s))
        problem = Problem(
            grid=grid,
            available_ma=self._available(grid, now_s),
            demands=demands_of(visits, promises, self._places, grid, now_s=now_s),
        )
        self._plan = StandingPlan(
            origin=Origin.GREEDY,
            from_at_s=now_s,
            problem=problem,
            plan=greedy(problem),
            promises=dict(self.promises),
            short_wh={},
        )


def _advance(vehicle: Vehicle, to_s: float) -> None:
    while vehicle.next_s <= to_s:
        vehicle.advance(vehicle.next_s)
    vehicle.accrue(to_s)


def _reading(flows_a: float, rng: Random, now_s: float) -> MeterRead:
    l1, l2, l3 = (flows_a + rng.uniform(-NOISE_A, NOISE_A) for _ in range(3))
    volts = (VOLTAGE_V, VOLTAGE_V, VOLTAGE_V)
    return MeterRead(
        at_s=now_s,
        reading=MeterReading(
            meter=METER,
            at_s=now_s,
            current_a=(l1, l2, l3),
            power_w=(l1 * VOLTAGE_V, l2 * VOLTAGE_V, l3 * VOLTAGE_V),
            voltage_v=volts,
        ),
    )


def _commissioned(site: Site, at_s: float) -> list[Event]:
    """Return what is known of stations that have been there for weeks, all of them free."""
    facts: list[Event] = []
    told = StationCapabilities(
        ocpp_version=OcppVersion.V16,
        rate_units=frozenset({RateUnit.AMPERES}),
        sample_interval_s=READS_EVERY_S,
    )
    for connector in site.connectors:
        ref, station = connector.ref, connector.ref.station
        facts += [
            StationConnected(at_s=at_s, station=station),
            CapabilitiesRead(at_s=at_s, station=station, capabilities=told),
            FallbackInstalled(at_s=at_s, connector=ref, fallback_ma=connector.fallback_ma),
            ConnectorStatusChanged(at_s=at_s, connector=ref, status=ConnectorStatus.AVAILABLE),
            DeadManProven(at_s=at_s, station=station),
        ]
    return facts


def _as_after_weeks(state: SiteState, now_s: float) -> SiteState:
    """Return the state of a site whose stations were seen to obey, and whose base is known."""
    rise_ma = int(RATING_MA * state.parameters.reserve_floor_ratio)
    rises = RiseHistory(
        since_s=now_s - 30 * DAY_S, day_since_s=now_s, days=((0,) * 100,), quantile_ma=rise_ma
    )
    circuits = []
    for circuit in state.circuits:
        l1, l2, l3 = (replace(phase, rises=rises) for phase in circuit.phases)
        circuits.append(replace(circuit, phases=(l1, l2, l3)))
    return replace(
        state,
        circuits=tuple(circuits),
        stations={
            name: replace(station, is_proven=True) for name, station in state.stations.items()
        },
    )
