"""The plant in memory: a gateway's meters and stations, stepped in simulated time."""

from collections.abc import Mapping

from drivers.sim.kept import counted_a, hidden_a
from drivers.sim.observations import Observation
from drivers.sim.report import Report, report_of
from drivers.sim.scenario import Scenario
from drivers.sim.watched import TROUBLE_LASTS_S
from drivers.sim.wire import Wire
from drivers.sim.world import World
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit


class Plant:
    """A building as its gateway meets it: what `MeterDriver` and `StationDriver` would show.

    A plain object without threads or a clock of its own: `advance` moves it, and everything in
    it follows from the scenario, so the same scenario and the same calls give the same answers
    to the last bit. All times are the simulation's monotonic seconds, from 0.

    The meters are polled by the plant (each at its `interval_s`, as the metering service would
    do), limits are carried to the stations one call at a time for each station, the newest limit
    of a connector taking the place of one that still waits, with the answer deadline counted
    from the call.

    A commissioned station's `FallbackInstalled` and `DeadManProven` come once, after its first
    connection: a gateway that restarts is expected to have made them durable. Transactions that
    run are told again at each connection.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Build the plant of `scenario`; nothing has happened yet."""
        self._wire = Wire(scenario)

    @property
    def now_s(self) -> float:
        """Return the second up to which the plant has been advanced."""
        return self._wire.world.agenda.now_s

    @property
    def world(self) -> World:
        """Return the truth, for those who judge; a gateway never looks here."""
        return self._wire.world

    @property
    def is_gateway_up(self) -> bool:
        """Return whether there is a gateway: not between `GatewayKilled` and `GatewayStarted`."""
        return self._wire.world.is_gateway_up

    def connected_stations(self) -> frozenset[StationId]:
        """Return the stations whose connection is up, as far as the gateway has noticed."""
        return self._wire.connected_stations()

    def advance(self, to_s: float) -> list[Observation]:
        """Let time pass to `to_s`; return what reached the gateway meanwhile, in order.

        What would have arrived while the gateway is dead (between `GatewayKilled` and
        `GatewayStarted`) is lost.
        """
        self._wire.world.agenda.run(to_s)
        arrived, self._wire.arrived = self._wire.arrived, []
        return arrived

    def send_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for_s: float, at_s: float
    ) -> int:
        """Send a limit that lapses to the fallback after `valid_for_s`; return the call's number.

        It goes as a TxProfile with a duration, so a connector without a transaction rejects it.
        `at_s` is when it leaves the gateway, not before `now_s`. The end of the call comes out of
        `advance` as `Answered`.
        """
        return self._wire.send_limit(connector, limit, valid_for_s=valid_for_s, at_s=at_s)

    def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit, *, at_s: float) -> int:
        """Write the persistent limit that holds whenever no lease does; return the call's number.

        When it is accepted, `FallbackInstalled` comes out of `advance` just before the answer.
        """
        return self._wire.set_fallback(connector, limit, at_s=at_s)

    def request_reading(self, connector: ConnectorRef, *, at_s: float) -> int:
        """Ask for meter values at once (TriggerMessage); return the call's number.

        They arrive as facts a little after the answer, or do not; a station that does not know
        how rejects it.
        """
        return self._wire.request_reading(connector, at_s=at_s)

    def switch_off(self, circuit: CircuitId) -> None:
        """Open the trip output of a circuit: what is below it is dead from now on."""
        self.world.switch_off(circuit)

    def true_currents_a(self) -> list[tuple[float, float]]:
        """Return what truly flows: per row (a phase of a circuit) base and vehicles, amperes."""
        return [
            (wires.base_a[phase], wires.current_a[phase] - wires.base_a[phase])
            for wires in self._wire.world.wires.values()
            for phase in range(3)
        ]

    def true_reach_a(
        self, beyond_a: Mapping[ConnectorRef, float] | None = None
    ) -> dict[ConnectorRef, float]:
        """Return how much each connector with a vehicle might draw per phase, for all one can know.

        What its stored profiles allow and what flows beyond that, or what it offers instead where it
        is seen to draw more. Of what flows beyond a limit no more is known than `beyond_a`, none of
        a connector that is not in it; all of it where that is not given. A station whose clock
        jumped is left out: its leases end when nobody can know.
        """
        reach_a = {}
        for station in self._wire.world.stations.values():
            if station.has_clock_jumped:
                continue
            for evse in station.evses.values():
                if evse.vehicle is None:
                    continue
                reach_a[evse.connector.ref] = evse.reach_a
                if beyond_a is not None:
                    known_a = evse.limit_a + beyond_a.get(evse.connector.ref, 0.0)
                    reach_a[evse.connector.ref] = min(evse.reach_a, known_a)
                is_seen_above = evse.draw_a > evse.reach_a + 2.0 and not station.hides_its_draw
                if evse.held_a is not None and is_seen_above:
                    reach_a[evse.connector.ref] = evse.held_a
        return reach_a

    def rightly_counted_a(self) -> dict[ConnectorRef, float]:
        """Return the most each connector is to be counted at by now, where nothing is in doubt."""
        counts_a = {}
        for ref, watch in self.world.judge.connectors.items():
            most_a = counted_a(watch, self.now_s)
            if most_a is not None:
                counts_a[ref] = most_a
        return counts_a

    def rightly_taken_for_base_a(self) -> list[float | None]:
        """Return, per row, the base and what of the vehicles' draw nobody tells, amperes.

        None where the row's meter was lost a moment ago.
        """
        judge = self.world.judge
        taken_a: list[float | None] = []
        for circuit in judge.circuits.values():
            is_blind = self.now_s - circuit.blind_until_s < TROUBLE_LASTS_S
            for phase in range(3):
                hidden = sum(
                    hidden_a(watch, self.now_s)
                    for watch in judge.connectors.values()
                    if watch.record is not None and (circuit, phase) in watch.rows
                )
                taken_a.append(None if is_blind else circuit.wires.base_a[phase] + hidden)
        return taken_a

    def report(self) -> Report:
        """Return what the plant itself saw up to `now_s`, judged by its own currents."""
        return report_of(self._wire.world, answer_times_s=self._wire.answer_times_s)
