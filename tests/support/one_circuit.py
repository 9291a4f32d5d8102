"""A circuit of 100 A with three connectors, told facts second by second."""

from gateway.control.decide import Decision, decide
from gateway.control.fold import ControlEvent, Decided, evolve_all
from gateway.control.guard import guard
from gateway.control.headroom import Survey, survey
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

BOARD = CircuitId("board")
METER = MeterId("board-meter")
THREE_PHASE = (Phase.L1, Phase.L2, Phase.L3)


def ref(number: int) -> ConnectorRef:
    """Return the connector of station `CP-number`."""
    return ConnectorRef(StationId(f"CP-{number}"), 1)


def site() -> Site:
    """Return the board with its three stations."""
    circuit = Circuit(
        id=BOARD,
        parent=None,
        rating_ma=(100_000, 100_000, 100_000),
        device=OvercurrentDevice.MCB,
        set_point_ratio=SET_POINT_RATIO[OvercurrentDevice.MCB],
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=METER,
        worst_case_base_ma=(70_000, 70_000, 70_000),
    )
    stations = tuple(
        ChargingStation(
            id=StationId(f"CP-{number}"),
            connectors=(
                Connector(
                    ref=ref(number),
                    circuit=BOARD,
                    phases=THREE_PHASE,
                    max_ma=32_000,
                    fallback_ma=6_000,
                ),
            ),
        )
        for number in (1, 2, 3)
    )
    return Site(name="one", timezone="UTC", voltage_v=230.0, circuits=(circuit,), stations=stations)


class OneCircuit:
    """The board under control; stations answer at once unless told not to."""

    def __init__(self, *, answers: bool = True, has_fallbacks: bool = True) -> None:
        """Connect every station, with its fallback written unless told not to."""
        self.now_s = 1_000.0
        self.answers = answers
        self.sequence = 0
        self.state = SiteState.at_start(Wiring.of(site()), ControlParameters(), now_s=self.now_s)
        for number in (1, 2, 3):
            connector = ref(number)
            self.learn(
                StationConnected(at_s=self.now_s, station=connector.station),
                ConnectorStatusChanged(
                    at_s=self.now_s, connector=connector, status=ConnectorStatus.AVAILABLE
                ),
            )
            if has_fallbacks:
                written = FallbackInstalled(at_s=self.now_s, connector=connector, fallback_ma=6_000)
                self.learn(written)

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

    def plug_in(self, number: int) -> None:
        """Let a vehicle come."""
        self.learn(
            ConnectorStatusChanged(
                at_s=self.now_s, connector=ref(number), status=ConnectorStatus.OCCUPIED
            )
        )

    def draw(self, number: int, current_a: float) -> None:
        """Let a station report a draw, the same on each phase."""
        self.learn(
            ConnectorMetered(at_s=self.now_s, connector=ref(number), current_a=(current_a,) * 3)
        )

    def flow(self, current_a: float) -> None:
        """Let the circuit's meter report a current, the same on each phase."""
        reading = MeterReading(
            meter=METER,
            at_s=self.now_s,
            current_a=(current_a, current_a, current_a),
            power_w=(current_a * 230, current_a * 230, current_a * 230),
            voltage_v=(230.0, 230.0, 230.0),
        )
        self.learn(MeterRead(at_s=self.now_s, reading=reading))

    def send(self, number: int, limit_ma: int) -> None:
        """Tell a station a limit."""
        self.sequence += 1
        self.learn(
            LimitSent(
                at_s=self.now_s,
                connector=ref(number),
                limit_ma=limit_ma,
                phase_count=1,
                lease_until_s=self.now_s + 65.0,
                sequence=self.sequence,
            )
        )
        if self.answers:
            self.learn(
                LimitAcknowledged(at_s=self.now_s, connector=ref(number), sequence=self.sequence)
            )

    def decide(self) -> Decision:
        """Decide, let the guard look, and send."""
        decision = decide(self.state, self.now_s)
        self.learn(Decided(at_s=self.now_s, memory=decision.memory))
        for order in guard(self.state, decision.orders, self.now_s):
            self.send(int(order.connector.station[3:]), order.limit.limit_ma)
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
        return survey(self.state, self.now_s)
