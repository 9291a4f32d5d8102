"""A circuit of 100 A with three connectors, told facts second by second."""

from gateway.control.decide import Decision, decide, with_settled
from gateway.control.fold import ControlEvent, Decided, evolve_all
from gateway.control.guard import guard
from gateway.control.headroom import Survey, survey
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
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
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import PerPhase, Phase
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    MeterRead,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId, TransactionId
from gateway.domain.metering import MeterReading

BOARD = CircuitId("board")
METER = MeterId("board-meter")
THREE_PHASE = (Phase.L1, Phase.L2, Phase.L3)


def ref(number: int, outlet: int = 1) -> ConnectorRef:
    """Return a connector of station `CP-number`."""
    return ConnectorRef(StationId(f"CP-{number}"), outlet)


def site(
    *,
    rating_ma: PerPhase = (100_000, 100_000, 100_000),
    phases: tuple[Phase, ...] = THREE_PHASE,
    fallback_ma: int = 6_000,
    outlet_count: int = 1,
    station_count: int = 3,
) -> Site:
    """Return the board with its stations, each with so many connectors."""
    one, two, three = (ma * 7 // 10 for ma in rating_ma)
    circuit = Circuit(
        id=BOARD,
        parent=None,
        rating_ma=rating_ma,
        device=OvercurrentDevice.MCB,
        set_point_ratio=SET_POINT_RATIO[OvercurrentDevice.MCB],
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=METER,
        worst_case_base_ma=(one, two, three),
    )
    stations = tuple(
        ChargingStation(
            id=StationId(f"CP-{number}"),
            connectors=tuple(
                Connector(
                    ref=ref(number, outlet),
                    circuit=BOARD,
                    phases=phases,
                    max_ma=32_000,
                    fallback_ma=fallback_ma,
                )
                for outlet in range(1, outlet_count + 1)
            ),
        )
        for number in range(1, station_count + 1)
    )
    return Site(name="one", timezone="UTC", voltage_v=230.0, circuits=(circuit,), stations=stations)


class OneCircuit:
    """The board under control; stations answer at once unless told not to."""

    def __init__(
        self, *, answers: bool = True, has_fallbacks: bool = True, of: Site | None = None
    ) -> None:
        """Connect every station, with its fallback written unless told not to."""
        self.now_s = 1_000.0
        self.answers = answers
        self.sequence = 0
        whole = site() if of is None else of
        self.state = SiteState.at_start(Wiring.of(whole), ControlParameters(), now_s=self.now_s)
        for connector in whole.connectors:
            self.learn(
                StationConnected(at_s=self.now_s, station=connector.ref.station),
                ConnectorStatusChanged(
                    at_s=self.now_s, connector=connector.ref, status=ConnectorStatus.AVAILABLE
                ),
            )
            if has_fallbacks:
                self.learn(
                    FallbackInstalled(
                        at_s=self.now_s,
                        connector=connector.ref,
                        fallback_ma=connector.fallback_ma,
                    )
                )

    def learn(self, *facts: ControlEvent) -> None:
        """Fold facts in."""
        self.state = evolve_all(self.state, facts)

    def prove(self, *numbers: int) -> None:
        """Plug in and let the station be seen to obey a cut."""
        for number in numbers:
            self.plug_in(number)
            self.draw(number, 20.0)
            self.send(number, 6_000)
            self.now_s += 3.0
            self.draw(number, 6.0)

    def plug_in(self, number: int, outlet: int = 1) -> None:
        """Let a vehicle come."""
        self._say_status(ref(number, outlet), ConnectorStatus.OCCUPIED)

    def leave(self, number: int, outlet: int = 1) -> None:
        """Let the vehicle go."""
        self._say_status(ref(number, outlet), ConnectorStatus.AVAILABLE)

    def _say_status(self, connector: ConnectorRef, status: ConnectorStatus) -> None:
        self.learn(ConnectorStatusChanged(at_s=self.now_s, connector=connector, status=status))

    def begin(self, number: int, transaction: str) -> None:
        """Let a transaction begin."""
        name = TransactionId(transaction)
        self.learn(TransactionStarted(at_s=self.now_s, connector=ref(number), transaction=name))

    def end(self, number: int, transaction: str) -> None:
        """Let a transaction end."""
        name = TransactionId(transaction)
        self.learn(TransactionEnded(at_s=self.now_s, connector=ref(number), transaction=name))

    def lose(self, number: int) -> None:
        """Let a station's connection be gone."""
        self.learn(StationDisconnected(at_s=self.now_s, station=ref(number).station))

    def boot(self, number: int) -> None:
        """Let a station say that it has booted."""
        self.learn(StationBooted(at_s=self.now_s, station=ref(number).station, firmware="1"))

    def is_capable(
        self, number: int, *, unit: RateUnit = RateUnit.AMPERES, interval_s: float = 10.0
    ) -> None:
        """Let a station tell the unit it takes and how often it sends readings."""
        capabilities = StationCapabilities(
            ocpp_version=OcppVersion.V16,
            rate_units=frozenset({unit}),
            sample_interval_s=interval_s,
        )
        station = ref(number).station
        self.learn(CapabilitiesRead(at_s=self.now_s, station=station, capabilities=capabilities))

    def draw(self, number: int, current_a: float, outlet: int = 1) -> None:
        """Let a station report a draw, the same on each phase."""
        self.draw_on_phases(number, (current_a, current_a, current_a), outlet)

    def draw_on_phases(
        self,
        number: int,
        current_a: tuple[float | None, float | None, float | None],
        outlet: int = 1,
    ) -> None:
        """Let a station report a draw on each of its connector's own phases."""
        connector = ref(number, outlet)
        self.learn(ConnectorMetered(at_s=self.now_s, connector=connector, current_a=current_a))

    def flow(
        self, current_a: float, *, power_w: float | None = None, voltage_v: float = 230.0
    ) -> None:
        """Let the circuit's meter report a current, the same on each phase."""
        on_each = (current_a, current_a, current_a)
        self.flow_on_phases(on_each, power_w=power_w, voltage_v=voltage_v)

    def flow_on_phases(
        self,
        current_a: tuple[float | None, float | None, float | None],
        *,
        power_w: float | None = None,
        voltage_v: float = 230.0,
    ) -> None:
        """Let the circuit's meter report a current of each phase it has, and the power it makes."""
        one, two, three = (
            a * 230 if power_w is None and a is not None else power_w for a in current_a
        )
        reading = MeterReading(
            meter=METER,
            at_s=self.now_s,
            current_a=current_a,
            power_w=(one, two, three),
            voltage_v=(voltage_v, voltage_v, voltage_v),
        )
        self.learn(MeterRead(at_s=self.now_s, reading=reading))

    def send(self, number: int, limit_ma: int, outlet: int = 1, phase_count: int = 1) -> int:
        """Tell a station a limit; return the number it was sent under."""
        self.sequence += 1
        connector = ref(number, outlet)
        self.learn(
            LimitSent(
                at_s=self.now_s,
                connector=connector,
                limit_ma=limit_ma,
                phase_count=phase_count,
                lease_until_s=self.now_s + 65.0,
                sequence=self.sequence,
            )
        )
        if self.answers:
            self.acknowledge(number, self.sequence, outlet)
        return self.sequence

    def acknowledge(self, number: int, sequence: int, outlet: int = 1) -> None:
        """Let a station accept what was sent under a number."""
        connector = ref(number, outlet)
        self.learn(LimitAcknowledged(at_s=self.now_s, connector=connector, sequence=sequence))

    def refuse(self, number: int, sequence: int) -> None:
        """Let a station refuse what was sent under a number."""
        self.learn(LimitRejected(at_s=self.now_s, connector=ref(number), sequence=sequence))

    def decide(self) -> Decision:
        """Decide, let the guard look, and send."""
        decision = decide(self.state, self.now_s)
        self.learn(Decided(at_s=self.now_s, memory=decision.memory))
        for order in guard(self.state, decision.orders, self.now_s):
            number, outlet = int(order.connector.station[3:]), order.connector.number
            in_watts = self.state.stations[order.connector.station].takes_watts
            phase_count = order.limit.phase_count if in_watts else 1
            self.send(number, order.limit.limit_ma, outlet, phase_count)
        return decision

    def run(self, seconds: int, *, base_a: float, draws_a: dict[int, float]) -> Decision:
        """Let seconds pass with a steady base and steady draws; return the last decision."""
        decision = self.decide()
        for second in range(seconds):
            self.now_s += 1.0
            # A live meter never repeats itself to the last bit.
            self.flow(base_a + sum(draws_a.values()) + 0.001 * (second % 7))
            if second % 10 == 0:
                for number, current_a in draws_a.items():
                    self.draw(number, current_a)
            decision = self.decide()
        return decision

    def seen(self) -> Survey:
        """Return the rows and claims as they stand."""
        return survey(with_settled(self.state, self.now_s), self.now_s)

    def high_ma(self, number: int) -> int:
        """Return what the first connector of a station is counted at."""
        return self.seen().high_ma[self.state.wiring.connector_at[ref(number)]]

    def told_ma(self, number: int) -> int:
        """Return what the first connector of a station was told last."""
        return self.state.connectors[self.state.wiring.connector_at[ref(number)]].wanted_ma
