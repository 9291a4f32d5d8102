"""The line between a gateway and its devices, in memory: who answers what, and when."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from drivers.sim.evse import Evse
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.meter import AVERAGED_OVER_S, LATENCY_S, TIMEOUT_S, CircuitMeter
from drivers.sim.observations import (
    Answered,
    GatewayKilled,
    GatewayStarted,
    MeterSilent,
    Observation,
    Outcome,
    WallClockJumped,
)
from drivers.sim.profiles import ChargingProfile, Kind, Period, Purpose
from drivers.sim.scenario import Scenario
from drivers.sim.station import Station
from drivers.sim.world import World
from gateway.domain.charging import RateUnit
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    DeadManProven,
    FallbackInstalled,
    MeterRead,
    StationConnected,
    StationDisconnected,
    StationEvent,
    StopInputChanged,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import CurrentLimit

ANSWER_DEADLINE_S = 10.0  # From the call, waiting its turn included.
ROUND_TRIP_S = (0.1, 1.5)
LATE_S = (5.0, 20.0)
WORD_LATENCY_S = (0.02, 0.3)
METER_VALUES_LATENCY_S = (0.1, 2.0)
READING_AFTER_S = (0.2, 1.2)
NOTICED_DEAD_AFTER_S = (20.0, 40.0)  # A link that dies without a word is missed by its pings.
DIES_SILENTLY_RATIO = 0.6
LEASE_NUMBER = 2  # The profile number a lease is written under.
LEASE_STACK_LEVEL = 1
BACKDATED_S = 60.0  # A schedule begins in the past, so that a small skew leaves no gap.
# The messages that carry a station's own time; the gateway learns its clock from them.
_TIMESTAMPED = (ConnectorMetered, ConnectorStatusChanged, TransactionStarted, TransactionEnded)


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    number: int
    connector: ConnectorRef
    prepare: Callable[[], Callable[[float], str]]
    deadline_s: float
    is_limit: bool = False
    is_done: bool = False
    connection_number: int = 0
    installs_ma: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class _Link:
    """What the gateway has of one station: its connection, its queue, and what it learnt."""

    station: Station
    rng: Random
    connection_number: int = 0  # The station's count of connections, as the gateway knows it.
    is_known_up: bool = False
    is_adopted: bool = False
    waiting: deque[_Call] = field(default_factory=deque)
    in_flight: _Call | None = None
    last_arrival_s: float = 0.0
    last_act_s: float = 0.0
    ahead_s: float = 0.0  # Of the station's clock, as its messages show.
    rate_units: frozenset[RateUnit] = frozenset({RateUnit.AMPERES})
    transactions: dict[int, TransactionId] = field(default_factory=dict)

    def carries(self, call: _Call) -> bool:
        """Return whether the connection the call went out on is still there, at both ends."""
        station = self.station
        return (
            self.is_known_up
            and station.is_linked
            and call.connection_number == self.connection_number == station.connection_number
        )


class Wire:
    """Carries limits and readings with the delays and the losses of a network.

    A station gets one call at a time; the newest limit of a connector takes the place of one that
    still waits; what has no answer in `ANSWER_DEADLINE_S` is unanswered, and a lost connection
    leaves everything under way unanswered at once. What arrives is appended to `arrived`.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Build the world of `scenario` and listen to it."""
        self.world = World(scenario, on_word=self._hear, on_gateway_fault=self._hear_gateway_fault)
        self.arrived: list[Observation] = []
        self.answer_times_s: list[float] = []
        self._agenda = self.world.agenda
        self._call_count = 0
        self._links: dict[StationId, _Link] = {
            station.id: _Link(station=station, rng=self.world.stream(f"wire/{station.id}"))
            for station in self.world.stations.values()
        }
        self._lives_count = 0  # How often the gateway has started.
        self._is_stopped = False
        self._start_polling(0.0)

    def connected_stations(self) -> frozenset[StationId]:
        """Return the stations whose connection is up, as far as the gateway has noticed."""
        return frozenset(name for name, link in self._links.items() if link.is_known_up)

    # What the gateway asks.

    def send_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for_s: float, at_s: float
    ) -> int:
        """Send a lease; see `Plant.send_limit`."""
        link = self._links[connector.station]
        evse = link.station.evses[connector.number]

        def act(now_s: float, profile: ChargingProfile | None) -> str:
            if profile is None:
                return "no transaction is known"
            reason = link.station.install(connector.number, profile, now_s)
            if not reason:
                evse.lease_until_s = at_s + valid_for_s
            return reason

        def prepare() -> Callable[[float], str]:
            # The transaction and the clock are those known when it goes out.
            profile = _lease(link, evse, limit, valid_for_s, at_s=at_s)
            return lambda now_s: act(now_s, profile)

        return self._call(link, connector, prepare, at_s=at_s, is_limit=True)

    def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit, *, at_s: float) -> int:
        """Write the persistent fallback; see `Plant.set_fallback`."""
        link = self._links[connector.station]
        station = link.station
        evse = station.evses[connector.number]

        def act(now_s: float) -> str:
            profile = station.fallback_profile(evse, limit.limit_ma / 1_000)
            return station.install(connector.number, profile, now_s)

        return self._call(link, connector, lambda: act, at_s=at_s, installs_ma=limit.limit_ma)

    def request_reading(self, connector: ConnectorRef, *, at_s: float) -> int:
        """Ask for meter values; see `Plant.request_reading`."""
        link = self._links[connector.station]

        def act(now_s: float) -> str:
            if not link.station.traits.sends_meter_values:
                return "NotImplemented"
            after_s = link.rng.uniform(*READING_AFTER_S)
            self._agenda.add(now_s + after_s, self._read_connector, link, connector)
            return ""

        return self._call(link, connector, lambda: act, at_s=at_s)

    # How a call goes.

    def _call(
        self,
        link: _Link,
        connector: ConnectorRef,
        prepare: Callable[[], Callable[[float], str]],
        *,
        at_s: float,
        is_limit: bool = False,
        installs_ma: int | None = None,
    ) -> int:
        assert self.world.is_gateway_up, "a gateway that is not running asks nothing"
        self._call_count += 1
        call = _Call(
            number=self._call_count,
            connector=connector,
            prepare=prepare,
            deadline_s=at_s + ANSWER_DEADLINE_S,
            is_limit=is_limit,
            installs_ma=installs_ma,
        )
        self._agenda.add(at_s, self._enqueue, link, call)
        return call.number

    def _enqueue(self, at_s: float, link: _Link, call: _Call) -> None:
        if not self.world.is_gateway_up:
            return
        if not link.is_known_up:
            self._finish(at_s, call, Outcome.UNANSWERED, "not connected")
            return
        if call.is_limit:
            for waiting in [w for w in link.waiting if w.is_limit]:
                if waiting.connector == call.connector:
                    link.waiting.remove(waiting)
                    self._finish(at_s, waiting, Outcome.SUPERSEDED, "")
        link.waiting.append(call)
        self._agenda.add(call.deadline_s, self._expire, link, call)
        self._pump(at_s, link)

    def _expire(self, at_s: float, link: _Link, call: _Call) -> None:
        if call.is_done:
            return
        if call in link.waiting:
            link.waiting.remove(call)
        self._finish(at_s, call, Outcome.UNANSWERED, "no answer in time")
        if link.in_flight is call:
            link.in_flight = None
            self._pump(at_s, link)

    def _pump(self, at_s: float, link: _Link) -> None:
        if link.in_flight is not None or not link.waiting:
            return
        call = link.in_flight = link.waiting.popleft()
        call.connection_number = link.connection_number
        is_late = link.station.has(FaultKind.STATION_LATE)
        trip_s = link.rng.uniform(*(LATE_S if is_late else ROUND_TRIP_S))
        # Whether a slow station acts soon and answers late, or does both late, is its own affair.
        acts_s = at_s + trip_s * link.rng.uniform(0.05, 0.95)
        # It takes its calls in order, also one that was given up while it was slow.
        link.last_act_s = max(link.last_act_s, acts_s)
        answers_s = max(link.last_act_s, at_s + trip_s)
        self._agenda.add(link.last_act_s, self._deliver, link, call, call.prepare(), answers_s)

    def _deliver(
        self,
        at_s: float,
        link: _Link,
        call: _Call,
        act: Callable[[float], str],
        answers_s: float,
    ) -> None:
        if link.carries(call):
            self._agenda.add(answers_s, self._answer, link, call, act(at_s))

    def _answer(self, at_s: float, link: _Link, call: _Call, reason: str) -> None:
        if call.is_done or not link.carries(call):
            return
        link.in_flight = None
        if reason:
            self._finish(at_s, call, Outcome.REJECTED, reason)
        else:
            if call.installs_ma is not None:
                self.arrived.append(
                    FallbackInstalled(
                        at_s=at_s, connector=call.connector, fallback_ma=call.installs_ma
                    )
                )
            if call.is_limit:
                self.answer_times_s.append(at_s - (call.deadline_s - ANSWER_DEADLINE_S))
            self._finish(at_s, call, Outcome.ACCEPTED, "")
        self._pump(at_s, link)

    def _finish(self, at_s: float, call: _Call, outcome: Outcome, detail: str) -> None:
        call.is_done = True
        self.arrived.append(
            Answered(at_s=at_s, call_number=call.number, outcome=outcome, detail=detail)
        )

    def _abandon(self, at_s: float, link: _Link, *, tells: bool) -> None:
        """End every call of a connection that is gone."""
        calls = [*([link.in_flight] if link.in_flight else []), *link.waiting]
        link.in_flight = None
        link.last_act_s = at_s
        link.waiting.clear()
        for call in calls:
            if tells:
                self._finish(at_s, call, Outcome.UNANSWERED, "connection lost")
            call.is_done = True

    def _read_connector(self, at_s: float, link: _Link, connector: ConnectorRef) -> None:
        if link.station.is_linked:
            metered = link.station.reading(connector.number, at_s)
            if metered is not None:
                self._carry(at_s, link, metered, 0.1)

    # What the stations say.

    def _hear(self, station: Station, event: StationEvent) -> None:
        link = self._links[station.id]
        at_s = event.at_s
        latency_s = link.rng.uniform(*WORD_LATENCY_S)
        if isinstance(event, StationDisconnected):
            if not self.world.is_gateway_up:
                return
            if link.rng.random() < DIES_SILENTLY_RATIO:
                latency_s = link.rng.uniform(*NOTICED_DEAD_AFTER_S)
            self._agenda.add(at_s + latency_s, self._lose, link, station.connection_number)
            return
        if isinstance(event, ConnectorMetered):
            latency_s = link.rng.uniform(*METER_VALUES_LATENCY_S)
        self._carry(at_s, link, event, latency_s)

    def _carry(self, at_s: float, link: _Link, event: StationEvent, latency_s: float) -> None:
        # One connection keeps the order of what is said on it.
        link.last_arrival_s = max(link.last_arrival_s, at_s + latency_s)
        station = link.station
        self._agenda.add(
            link.last_arrival_s,
            self._arrive,
            link,
            event,
            station.connection_number,
            station.clock_s(at_s),
        )

    def _arrive(
        self,
        at_s: float,
        link: _Link,
        event: StationEvent,
        connection_number: int,
        said_s: float,
    ) -> None:
        if not self.world.is_gateway_up:
            return
        if isinstance(event, StationConnected):
            self._connect(at_s, link, connection_number)
        elif not link.is_known_up or connection_number != link.connection_number:
            return  # It was said on a connection that is gone.
        if isinstance(event, _TIMESTAMPED):
            link.ahead_s = said_s - at_s
        if isinstance(event, CapabilitiesRead):
            link.rate_units = event.capabilities.rate_units
        elif isinstance(event, TransactionStarted):
            link.transactions[event.connector.number] = event.transaction
        elif isinstance(event, TransactionEnded):
            number = event.connector.number
            running = link.transactions.get(number)
            if running == event.transaction:
                del link.transactions[number]
        self.arrived.append(replace(event, at_s=at_s))
        if isinstance(event, CapabilitiesRead) and not link.is_adopted:
            link.is_adopted = True
            self._tell_commissioning(at_s, link)

    def _connect(self, at_s: float, link: _Link, connection_number: int) -> None:
        # The newest connection wins; the old one is closed.
        self._lose(at_s, link, link.connection_number)
        link.is_known_up = True
        link.connection_number = connection_number

    def _lose(self, at_s: float, link: _Link, connection_number: int) -> None:
        if link.is_known_up and connection_number == link.connection_number:
            link.is_known_up = False
            self.arrived.append(StationDisconnected(at_s=at_s, station=link.station.id))
            self._abandon(at_s, link, tells=True)

    def _tell_commissioning(self, at_s: float, link: _Link) -> None:
        station = link.station
        if not station.traits.is_commissioned:
            return
        for evse in station.evses.values():
            connector = evse.connector
            self.arrived.append(
                FallbackInstalled(
                    at_s=at_s, connector=connector.ref, fallback_ma=connector.fallback_ma
                )
            )
        self.arrived.append(DeadManProven(at_s=at_s, station=station.id))

    # What the gateway's own life brings.

    def _hear_gateway_fault(self, fault: Fault, begins: bool) -> None:  # noqa: FBT001 - a callback has no keywords
        at_s = self._agenda.now_s
        if fault.kind is FaultKind.WALL_CLOCK_JUMP:
            if begins and self.world.is_gateway_up:
                self.arrived.append(WallClockJumped(at_s=at_s, by_s=fault.value))
        elif fault.kind is FaultKind.STOP_PRESSED:
            self._is_stopped = begins
            if self.world.is_gateway_up:
                self.arrived.append(StopInputChanged(at_s=at_s, is_stopped=begins))
        elif begins:
            self.arrived.append(GatewayKilled(at_s=at_s))
            for link in self._links.values():
                link.is_known_up = False
                link.transactions.clear()
                self._abandon(at_s, link, tells=False)
        else:
            self.arrived.append(GatewayStarted(at_s=at_s))
            if self._is_stopped:
                self.arrived.append(StopInputChanged(at_s=at_s, is_stopped=True))
            self._start_polling(at_s)

    def _start_polling(self, at_s: float) -> None:
        self._lives_count += 1
        for meter in self.world.meters.values():
            wait_s = AVERAGED_OVER_S + meter.rng.uniform(0.0, meter.declared.interval_s)
            self._plan_poll(at_s, meter, at_s + wait_s, self._lives_count)

    def _plan_poll(
        self, at_s: float, meter: CircuitMeter, asked_s: float, life_number: int
    ) -> None:
        latency_s = meter.rng.uniform(*LATENCY_S)
        # What the meter shows in the middle of the request began to be averaged before it.
        opens_s = max(at_s, asked_s + latency_s / 2 - AVERAGED_OVER_S)
        self._agenda.add(opens_s, self._open_window, meter, asked_s, latency_s, life_number)

    def _open_window(
        self, at_s: float, meter: CircuitMeter, asked_s: float, latency_s: float, life_number: int
    ) -> None:
        if life_number == self._lives_count and self.world.is_gateway_up:
            meter.open_window(at_s)
            middle_s = asked_s + latency_s / 2
            self._agenda.add(middle_s, self._poll, meter, asked_s, latency_s, life_number)

    def _poll(
        self, at_s: float, meter: CircuitMeter, asked_s: float, latency_s: float, life_number: int
    ) -> None:
        if meter.is_answering:
            arrives_s = asked_s + latency_s
            read = MeterRead(at_s=arrives_s, reading=meter.read(at_s))
            self._agenda.add(arrives_s, self._take_reading, read)
        else:
            self._agenda.add(asked_s + TIMEOUT_S, self._miss_meter, meter)
        self._plan_poll(at_s, meter, asked_s + meter.declared.interval_s, life_number)

    def _take_reading(self, at_s: float, read: MeterRead) -> None:
        assert read.at_s == at_s
        if self.world.is_gateway_up:
            self.arrived.append(read)

    def _miss_meter(self, at_s: float, meter: CircuitMeter) -> None:
        if self.world.is_gateway_up:
            silent = MeterSilent(at_s=at_s, meter=meter.declared.id, detail="no answer in time")
            self.arrived.append(silent)


def _lease(
    link: _Link, evse: Evse, limit: CurrentLimit, valid_for_s: float, *, at_s: float
) -> ChargingProfile | None:
    """Return the profile of a lease as a driver would write it, None without a transaction.

    It lapses `valid_for_s` after it was sent, by the station's clock as its messages show it.
    """
    number = evse.connector.ref.number
    transaction = link.transactions.get(number)
    if transaction is None:
        return None
    amps = limit.limit_ma / 1_000
    in_watts = RateUnit.AMPERES not in link.rate_units
    watts = amps * limit.voltage_v * limit.phase_count
    return ChargingProfile(
        number=LEASE_NUMBER + 10 * number,
        stack_level=LEASE_STACK_LEVEL,
        purpose=Purpose.TX,
        kind=Kind.ABSOLUTE,
        rate_unit=RateUnit.WATTS if in_watts else RateUnit.AMPERES,
        periods=(
            Period(
                start_s=0.0,
                limit=watts if in_watts else amps,
                phase_count=limit.phase_count,
            ),
        ),
        start_s=at_s + link.ahead_s - BACKDATED_S,
        duration_s=BACKDATED_S + valid_for_s,
        transaction=transaction,
    )
