"""The one-second decision with its guard and sentences: CPU at 54, 200 and 1,000 connectors.

A busy site: a vehicle everywhere, every station on its way to being proven and then proven,
meters with noise, base that steps now and then, a tenth of the stations reporting each second.
The cold start (everybody plugs in at once) is told apart from the steady state, and so is the
fold of facts. What the garbage collector costs is in the figures: it runs as it does in the daemon.
"""

import gc
import os
import random
import sys
import time

from gateway.cli.serving import collect_seldom
from gateway.control.decide import Decision, decide
from gateway.control.explain import sentence
from gateway.control.fold import ControlEvent, Decided, evolve_all
from gateway.control.guard import guard
from gateway.control.orders import LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.domain.charging import ConnectorStatus
from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
    LimitAcknowledged,
    LimitSent,
    MeterRead,
    StationConnected,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId
from gateway.domain.metering import MeterReading

SIZES = (54, 200, 1_000)
MUST_MS = {54: 1.0, 200: 3.0, 1_000: 15.0}
WARM_UP_CYCLES = 150
CYCLES = 300
CONNECTORS_A_CIRCUIT = 10
SECONDS_BETWEEN_READINGS = 10
STEP_CHANCE = 0.02  # Of a circuit's base stepping, each second.
LEAST_BASE_RATIO, MOST_BASE_RATIO = 0.15, 0.30  # Of the rating.
NOISE_RATIO = 0.0025  # Of the rating: inside the meter's noise band but for a rare reading.
FOLLOWS_RATIO = 0.5  # Of what is left to go: how fast a vehicle follows its limit.
APPETITES_MA = (32_000, 32_000, 16_000)
REFERENCE_STEPS = 100_000
ROTATIONS = (
    (Phase.L1, Phase.L2, Phase.L3),
    (Phase.L2, Phase.L3, Phase.L1),
    (Phase.L3, Phase.L1, Phase.L2),
)


def site_of(count: int) -> Site:
    """Return a site of `count` connectors: a supply, risers, and metered boards of ten."""
    boards = -(-count // CONNECTORS_A_CIRCUIT)
    risers = -(-boards // CONNECTORS_A_CIRCUIT)
    circuits = [_circuit("supply", None, count * 12_000)]
    circuits += [_circuit(f"riser-{at}", "supply", 1_200_000) for at in range(risers)]
    circuits += [
        _circuit(f"board-{at}", f"riser-{at // CONNECTORS_A_CIRCUIT}", 125_000)
        for at in range(boards)
    ]
    stations = tuple(
        ChargingStation(
            id=StationId(f"CP-{at}"),
            connectors=(
                Connector(
                    ref=ConnectorRef(StationId(f"CP-{at}"), 1),
                    circuit=CircuitId(f"board-{at // CONNECTORS_A_CIRCUIT}"),
                    phases=ROTATIONS[at % 3],
                    max_ma=32_000,
                    fallback_ma=6_000,
                ),
            ),
        )
        for at in range(count)
    )
    return Site(
        name="bench", timezone="UTC", voltage_v=230.0, circuits=tuple(circuits), stations=stations
    )


def _circuit(name: str, parent: str | None, rating_ma: int) -> Circuit:
    return Circuit(
        id=CircuitId(name),
        parent=None if parent is None else CircuitId(parent),
        rating_ma=(rating_ma, rating_ma, rating_ma),
        device=OvercurrentDevice.MCB,
        set_point_ratio=SET_POINT_RATIO[OvercurrentDevice.MCB],
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=MeterId(f"meter-{name}"),
    )


class Bench:
    """A site on which everybody plugs in at once, second by second."""

    def __init__(self, count: int) -> None:
        """Plug a vehicle in everywhere."""
        self.random = random.Random(count)
        self.site = site_of(count)
        self.now_s = 0.0
        self.sequence = 0
        self.drawn_ma = [0.0] * count
        self.base_ratio = [0.25] * len(self.site.circuits)
        self.state = SiteState.at_start(Wiring.of(self.site), ControlParameters(), now_s=0.0)
        facts: list[ControlEvent] = []
        for connector in self.site.connectors:
            facts += [
                StationConnected(at_s=0.0, station=connector.ref.station),
                FallbackInstalled(at_s=0.0, connector=connector.ref, fallback_ma=6_000),
                ConnectorStatusChanged(
                    at_s=0.0, connector=connector.ref, status=ConnectorStatus.OCCUPIED
                ),
            ]
        self.state = evolve_all(self.state, facts)

    @property
    def proven_ratio(self) -> float:
        """Return the part of the stations that has been seen to obey."""
        stations = self.state.stations.values()
        return sum(station.is_proven for station in stations) / len(stations)

    def facts(self) -> list[ControlEvent]:
        """Return a second's facts: every meter, and a tenth of the stations."""
        for at, belief in enumerate(self.state.connectors):
            wanted_ma = min(belief.wanted_ma, APPETITES_MA[at % len(APPETITES_MA)]) * 0.985
            self.drawn_ma[at] += (wanted_ma - self.drawn_ma[at]) * FOLLOWS_RATIO
        return [*self._meters(), *self._stations()]

    def _meters(self) -> list[ControlEvent]:
        facts: list[ControlEvent] = []
        for at, circuit in enumerate(self.site.circuits):
            rating_a = circuit.rating_ma[0] / 1_000
            if self.random.random() < STEP_CHANCE:
                self.base_ratio[at] = self.random.uniform(LEAST_BASE_RATIO, MOST_BASE_RATIO)
            drawn_a = sum(self.drawn_ma[below] for below in self.state.wiring.below[at]) / 1_000
            noise_a = self.random.gauss(0, rating_a * NOISE_RATIO)
            current_a = drawn_a + rating_a * self.base_ratio[at] + noise_a
            reading = MeterReading(
                meter=circuit.meter or MeterId(""),
                at_s=self.now_s,
                current_a=(current_a, current_a, current_a),
                power_w=(current_a * 230, current_a * 230, current_a * 230),
                voltage_v=(230.0, 230.0, 230.0),
            )
            facts.append(MeterRead(at_s=self.now_s, reading=reading))
        return facts

    def _stations(self) -> list[ControlEvent]:
        turn = int(self.now_s) % SECONDS_BETWEEN_READINGS
        facts: list[ControlEvent] = []
        for at, connector in enumerate(self.site.connectors):
            if at % SECONDS_BETWEEN_READINGS == turn:
                amps = self.drawn_ma[at] / 1_000
                facts.append(
                    ConnectorMetered(
                        at_s=self.now_s, connector=connector.ref, current_a=(amps, amps, amps)
                    )
                )
        return facts

    def cycle(self) -> tuple[float, float]:
        """Run one cycle; return the CPU ms of deciding, guarding and explaining, and of folding."""
        self.now_s += 1.0
        facts = self.facts()
        began_s = time.process_time()
        self.state = evolve_all(self.state, facts)
        folded_s = time.process_time()
        decision = decide(self.state, self.now_s)
        orders = guard(self.state, decision.orders, self.now_s)
        for order in orders:
            sentence(decision.reasons[order.connector])
        decided_s = time.process_time()
        self.state = evolve_all(self.state, self._sent(decision, orders))
        sent_s = time.process_time()
        fold_s = folded_s - began_s + sent_s - decided_s
        return (decided_s - folded_s) * 1_000, fold_s * 1_000

    def _sent(self, decision: Decision, orders: tuple[LimitOrder, ...]) -> list[ControlEvent]:
        facts: list[ControlEvent] = [Decided(at_s=self.now_s, memory=decision.memory)]
        for order in orders:
            self.sequence += 1
            facts += [
                LimitSent(
                    at_s=self.now_s,
                    connector=order.connector,
                    limit_ma=order.limit.limit_ma,
                    phase_count=order.limit.phase_count,
                    lease_until_s=self.now_s + order.valid_for_s,
                    sequence=self.sequence,
                ),
                LimitAcknowledged(
                    at_s=self.now_s, connector=order.connector, sequence=self.sequence
                ),
            ]
        return facts


def reference_ms() -> float:
    """Return the CPU of a fixed loop of plain Python: what the figures are to be compared with.

    The best of several, as what else the machine does can only add to it.
    """
    took_s = []
    for _ in range(15):
        total, began_s = 0, time.process_time()
        for step in range(REFERENCE_STEPS):
            total += step if step & 1 else -step
        took_s.append(time.process_time() - began_s)
    return min(took_s) * 1_000


def measure() -> dict[str, object]:
    """Return, per size, the CPU of a decision in steady state and the worst of the cold start.

    All in ms of `time.process_time`, on one core. `p99_to_reference` is the p99 over the fixed
    loop of the same run, for comparing machines.
    """
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {1})
    figures: dict[str, object] = {}
    for count in SIZES:
        print(f"  {count} connectors", file=sys.stderr, flush=True)
        loop_ms = reference_ms()
        bench = Bench(count)
        cold = [bench.cycle() for _ in range(WARM_UP_CYCLES)]
        collect_seldom()
        steady = [bench.cycle() for _ in range(CYCLES)]
        gc.unfreeze()
        loop_ms = min(loop_ms, reference_ms())
        decided_ms = sorted(decision_ms for decision_ms, _ in steady)
        folded_ms = sorted(fold_ms for _, fold_ms in steady)
        p99_ms = _quantile(decided_ms, 0.99)
        figures[str(count)] = {
            "p50_ms": round(_quantile(decided_ms, 0.5), 3),
            "p99_ms": round(p99_ms, 3),
            "must_ms": MUST_MS[count],
            "max_ms": round(decided_ms[-1], 3),
            "cold_start_max_ms": round(max(decision_ms for decision_ms, _ in cold), 3),
            "fold_p50_ms": round(_quantile(folded_ms, 0.5), 3),
            "fold_p99_ms": round(_quantile(folded_ms, 0.99), 3),
            "reference_loop_ms": round(loop_ms, 3),
            "p99_to_reference": round(p99_ms / loop_ms, 3),
            "proven_ratio": round(bench.proven_ratio, 3),
        }
    return {"warm_up_cycles": WARM_UP_CYCLES, "cycles": CYCLES, "connectors": figures}


def _quantile(ordered: list[float], ratio: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * ratio))]
