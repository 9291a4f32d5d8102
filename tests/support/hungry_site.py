"""A site whose vehicles draw what they are told, six seconds later, and want all they can get.

Every station has proven that it obeys; base is what a test says. What is told is looked at each
second: nothing is raised into what is not there.
"""

from collections import Counter
from dataclasses import dataclass, replace

from gateway.control.decide import Decision, decide, with_settled
from gateway.control.fold import ControlEvent, Decided, PrioritySet, evolve_all
from gateway.control.guard import guard
from gateway.control.headroom import Survey, survey
from gateway.control.parameters import ControlParameters
from gateway.control.state import Priority, SiteState
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
from gateway.domain.electric import MIN_CHARGING_MA, Phase
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
    LimitAcknowledged,
    LimitSent,
    MeterRead,
    StationConnected,
    StationDisconnected,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId
from gateway.domain.metering import MeterReading
from gateway.domain.reasons import Reason

EVERY_PHASE = (Phase.L1, Phase.L2, Phase.L3)
FOLLOWS_S = 6
READING_EVERY_S = 10
NOISE_MA = (0, 7, -5, 3, -8, 6, -2)  # A live meter never repeats itself to the last bit.
BELOW_LIMIT_RATIO = 0.985  # What vehicles draw of what they are offered.


@dataclass(slots=True)
class Guest:
    """A vehicle: what it would take, on which supply phases, and the limits it follows."""

    takes_ma: int
    phases: tuple[Phase, ...]
    told: list[tuple[float, int]]

    def draw_ma(self, now_s: float) -> int:
        heard = [limit_ma for at_s, limit_ma in self.told if at_s <= now_s - FOLLOWS_S]
        offered_ma = int(heard[-1] * BELOW_LIMIT_RATIO) if heard else 0
        return min(offered_ma, self.takes_ma) if offered_ma >= MIN_CHARGING_MA * 0.9 else 0


def circuit(name: str, rating_a: int, parent: str | None = None) -> Circuit:
    """Return a metered circuit."""
    return Circuit(
        id=CircuitId(name),
        parent=None if parent is None else CircuitId(parent),
        rating_ma=(rating_a * 1_000,) * 3,
        device=OvercurrentDevice.MCB,
        set_point_ratio=SET_POINT_RATIO[OvercurrentDevice.MCB],
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=MeterId(f"meter-{name}"),
        worst_case_base_ma=(rating_a * 500,) * 3,
    )


def ref(number: int) -> ConnectorRef:
    """Return the connector of station `CP-number`."""
    return ConnectorRef(StationId(f"CP-{number}"), 1)


class HungrySite:
    """Circuits and stations under control; time passes with `run`."""

    def __init__(
        self,
        circuits: tuple[Circuit, ...],
        on: tuple[str, ...],
        *,
        base_a: dict[str, float],
        parameters: ControlParameters | None = None,
        are_told: bool = True,
        reads_each_s: int = READING_EVERY_S,
    ) -> None:
        """Connect stations CP-1, CP-2, ... to the circuits named in `on`, without vehicles.

        Unless `are_told` they have not said so yet. None says how often it sends readings.
        """
        stations = tuple(
            ChargingStation(
                id=ref(number).station,
                connectors=(
                    Connector(
                        ref=ref(number),
                        circuit=CircuitId(name),
                        phases=EVERY_PHASE,
                        max_ma=32_000,
                        fallback_ma=0,
                    ),
                ),
            )
            for number, name in enumerate(on, 1)
        )
        site = Site(
            name="hungry", timezone="UTC", voltage_v=230.0, circuits=circuits, stations=stations
        )
        self.now_s = 10_000.0
        self.silent_meters: set[str] = set()
        self.base_a = base_a
        self.parameters = parameters or ControlParameters()
        self.reads_each_s = reads_each_s
        self.guests: dict[int, Guest] = {}
        self.changes: Counter[int] = Counter()
        self.pauses: Counter[int] = Counter()
        self.changed_at_s = self.now_s
        self.overclaimed: list[str] = []
        self._sequence = 0
        state = SiteState.at_start(Wiring.of(site), self.parameters, now_s=self.now_s)
        stations_now = {
            name: replace(belief, is_proven=True) for name, belief in state.stations.items()
        }
        self.state = replace(state, stations=stations_now)
        for connector in site.connectors:
            self.learn(
                StationConnected(at_s=self.now_s, station=connector.ref.station),
                FallbackInstalled(at_s=self.now_s, connector=connector.ref, fallback_ma=0),
            )
            if are_told:
                self._say(int(connector.ref.station[3:]), ConnectorStatus.AVAILABLE)

    def learn(self, *facts: ControlEvent) -> None:
        """Fold facts in."""
        self.state = evolve_all(self.state, facts)

    def plug_in(
        self, number: int, *, takes_a: float = 32.0, phases: tuple[Phase, ...] = EVERY_PHASE
    ) -> None:
        """Let a vehicle come."""
        self.guests[number] = Guest(int(takes_a * 1_000), phases, [])
        self._say(number, ConnectorStatus.OCCUPIED)

    def leave(self, number: int) -> None:
        """Let a vehicle go."""
        del self.guests[number]
        self._say(number, ConnectorStatus.AVAILABLE)

    def _say(self, number: int, status: ConnectorStatus) -> None:
        self.learn(ConnectorStatusChanged(at_s=self.now_s, connector=ref(number), status=status))

    def matters(
        self, number: int, rank: int, *, laxity_s: float | None = None, floor_ma: int = 0
    ) -> None:
        """Let a need become known: 0 is critical, 3 opportunistic."""
        priority = Priority(rank=rank, laxity_s=laxity_s, floor_ma=floor_ma)
        self.learn(PrioritySet(at_s=self.now_s, connector=ref(number), priority=priority))

    @staticmethod
    def ref(number: int) -> ConnectorRef:
        """Return the connector of station `CP-number`."""
        return ref(number)

    def limits_a(self) -> dict[int, float]:
        """Return what each vehicle's connector was told last."""
        wiring = self.state.wiring
        return {
            number: self.state.connectors[wiring.connector_at[ref(number)]].wanted_ma / 1_000
            for number in self.guests
        }

    def room_a(self, name: str = "board") -> list[float]:
        """Return what is left on each phase of a circuit with every claim counted high."""
        seen = self._seen()
        row = 3 * self.state.wiring.circuit_at[CircuitId(name)]
        return [
            (seen.rows[at].available_ma - seen.claimed_ma[at]) / 1_000 for at in range(row, row + 3)
        ]

    def _seen(self) -> Survey:
        return survey(with_settled(self.state, self.now_s), self.now_s)

    def reasons(self) -> dict[int, Reason]:
        """Return why each vehicle's limit is what it is."""
        decision = decide(self.state, self.now_s)
        return {number: decision.reasons[ref(number)] for number in self.guests}

    def comes_and_goes(self, number: int, *, times: int, each_s: int = 45) -> None:
        """Let a station's connection be lost and come back, again and again."""
        station = ref(number).station
        for _ in range(times):
            self.learn(StationDisconnected(at_s=self.now_s, station=station))
            self.run(each_s)
            self.learn(StationConnected(at_s=self.now_s, station=station))
            self.run(each_s)

    def run(self, seconds: int) -> Decision:
        """Let seconds pass; return the last decision."""
        return [self.step() for _ in range(seconds)][-1]

    def step(self) -> Decision:
        """Let a second pass, decide and send."""
        self.now_s += 1.0
        self.learn(*self._meters(), *self._readings())
        decision = decide(self.state, self.now_s)
        self.learn(Decided(at_s=self.now_s, memory=decision.memory))
        before = self._seen()
        for order in guard(self.state, decision.orders, self.now_s):
            self._send(order.connector, order.limit.limit_ma)
        self._look_at_claims(before.claimed_ma)
        return decision

    def _send(self, connector: ConnectorRef, limit_ma: int) -> None:
        number = int(connector.station[3:])
        newest = self.state.connectors[self.state.wiring.connector_at[connector]].limits[-1]
        if newest.last_sequence and limit_ma != newest.limit_ma:
            self.changes[number] += 1
            self.pauses[number] += limit_ma == 0
            self.changed_at_s = self.now_s
        self._sequence += 1
        self.learn(
            LimitSent(
                at_s=self.now_s,
                connector=connector,
                limit_ma=limit_ma,
                phase_count=1,
                lease_until_s=self.now_s + self.parameters.lease_s + 15.0,
                sequence=self._sequence,
            ),
            LimitAcknowledged(at_s=self.now_s, connector=connector, sequence=self._sequence),
        )
        if number in self.guests:
            self.guests[number].told.append((self.now_s, limit_ma))

    def _look_at_claims(self, claimed_before_ma: list[int]) -> None:
        after = self._seen()
        for row, seen in enumerate(after.rows):
            rose_ma = after.claimed_ma[row] - claimed_before_ma[row]
            if rose_ma > 0 and after.claimed_ma[row] > seen.available_ma:
                self.overclaimed.append(f"{self.now_s:.0f} s: row {row}")

    def _drawn_ma(self, number: int) -> list[int]:
        guest = self.guests[number]
        draw_ma = guest.draw_ma(self.now_s)
        return [draw_ma if phase in guest.phases else 0 for phase in Phase]

    def _meters(self) -> list[ControlEvent]:
        wiring, facts = self.state.wiring, list[ControlEvent]()
        noise_ma = NOISE_MA[int(self.now_s) % len(NOISE_MA)]
        for at, of_circuit in enumerate(wiring.circuits):
            if of_circuit.meter in self.silent_meters:
                continue
            below = {wiring.connectors[c].ref for c in wiring.below[at]}
            base_ma = sum(
                int(base_a * 1_000)
                for name, base_a in self.base_a.items()
                if of_circuit.id in wiring.site.path_to_root(CircuitId(name))
            )
            flows_ma = [base_ma + noise_ma] * 3
            for number in self.guests:
                if ref(number) in below:
                    drawn_ma = self._drawn_ma(number)
                    flows_ma = [a + b for a, b in zip(flows_ma, drawn_ma, strict=True)]
            one, two, three = (ma / 1_000 for ma in flows_ma)
            reading = MeterReading(
                meter=of_circuit.meter or MeterId(""),
                at_s=self.now_s,
                current_a=(one, two, three),
                power_w=(one * 230, two * 230, three * 230),
                voltage_v=(230.0, 230.0, 230.0),
            )
            facts.append(MeterRead(at_s=self.now_s, reading=reading))
        return facts

    def _readings(self) -> list[ControlEvent]:
        facts: list[ControlEvent] = []
        for number in self.guests:
            if (int(self.now_s) + 3 * number) % self.reads_each_s == 0:
                one, two, three = (ma / 1_000 for ma in self._drawn_ma(number))
                facts.append(
                    ConnectorMetered(
                        at_s=self.now_s, connector=ref(number), current_a=(one, two, three)
                    )
                )
        return facts
