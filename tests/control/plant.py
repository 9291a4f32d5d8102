"""A site as it truly is: what its stations took, what its vehicles draw, what its meters show.

It shares no code with `gateway.control`: what is believed is compared with this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from gateway.domain.charging import ConnectorStatus, OcppVersion, RateUnit, StationCapabilities
from gateway.domain.circuits import Site
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    Event,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitUnanswered,
    MeterRead,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId, TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.metering import MeterReading
from tests.control.outlets import (
    NEVER_S,
    NOMINAL_V,
    SAMPLES,
    Line,
    Outlet,
    Profile,
    Tells,
    Traits,
    Vehicle,
)

MIN_MA = 6_000  # IEC 61851-1: an EV offered less must not draw.
FOLLOWS_S = 10  # A station changes its pilot within 5 s, a vehicle follows within 6 s.
BEGINS_S = 40
UNANSWERED_S = 10
LATE_S = 9
SWITCHES_RATIO = 0.5  # How often a vehicle comes back on other phases after a pause.


@dataclass(frozen=True, slots=True)
class _Due:
    at_s: float
    happen: Callable[[], list[Event]]


class Plant:
    """Everything true of a site, second by second; every act returns what is said of it."""

    def __init__(self, site: Site, traits: dict[StationId, Traits], rng: Random) -> None:
        self.site = site
        self.traits = traits
        self.rng = rng
        self.now_s = 0.0
        self.outlets = {
            connector.ref: Outlet(connector=connector, traits=traits[connector.ref.station])
            for connector in site.connectors
        }
        for outlet in self.outlets.values():
            if outlet.traits.has_fallback:
                outlet.fallback = Profile(limit_ma=outlet.connector.fallback_ma)
        self.lines = {station.id: Line() for station in site.stations}
        self.base_ma: dict[CircuitId, list[int]] = {c.id: [0, 0, 0] for c in site.circuits}
        self.silent_until_s: dict[MeterId, float] = {}
        self.frozen_until_s: dict[MeterId, float] = {}
        self._shown: dict[MeterId, MeterReading] = {}
        self._due: list[_Due] = []
        self._in_flight: dict[int, StationId] = {}
        self._queued: dict[StationId, list[Event]] = {s.id: [] for s in site.stations}
        self._number = 0
        self._above = {c.id: site.path_to_root(c.id) for c in site.circuits}

    def step(self) -> list[Event]:
        """Let a second pass."""
        self.now_s += 1.0
        said: list[Event] = []
        due = [thing for thing in self._due if thing.at_s <= self.now_s]
        self._due = [thing for thing in self._due if thing.at_s > self.now_s]
        for thing in due:
            said += thing.happen()
        for outlet in self.outlets.values():
            self._flow(outlet)
        said += self._meter_readings()
        for at, outlet in enumerate(self.outlets.values()):
            if (self.now_s + 3 * at) % outlet.traits.interval_s == 0:
                said += self._reading(outlet)
        return said

    def after(self, delay_s: float, happen: Callable[[], list[Event]]) -> None:
        """Let something happen later."""
        self._due.append(_Due(self.now_s + delay_s, happen))

    # What the gateway does.

    def may_send(self, station: StationId) -> bool:
        """Return whether the line to a station is free: one call at a time goes out on it."""
        line = self.lines[station]
        return line.is_linked and line.busy_until_s <= self.now_s

    def send(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for_s: float, sequence: int
    ) -> None:
        """Put a limit on the wire; what came of it is said a second later at the earliest."""
        line, traits = self.lines[connector.station], self.traits[connector.station]
        latest_s = LATE_S if self.now_s < line.late_until_s else traits.latest_answer_s
        arrives_after_s = self.rng.randint(0, latest_s)
        answered_after_s = max(1, self.rng.randint(arrives_after_s, latest_s))
        is_mute, is_refused = self.now_s < line.mute_until_s, self.now_s < line.refuses_until_s
        is_lost = is_mute and self.rng.random() < 0.5
        if is_mute:
            answered_after_s = UNANSWERED_S
        until_s = self.now_s + valid_for_s + traits.lease_extra_s
        profile = Profile(limit_ma=limit.limit_ma, phase_count=limit.phase_count, until_s=until_s)
        self._in_flight[sequence] = connector.station
        is_taken = False

        def arrive() -> list[Event]:
            nonlocal is_taken
            if line.is_powered and not (is_lost or is_refused) and sequence in self._in_flight:
                is_taken = self._install(connector, profile)
            return []

        def answer() -> list[Event]:
            if self._in_flight.pop(sequence, None) is None:
                return []
            what = LimitUnanswered if is_mute else LimitAcknowledged if is_taken else LimitRejected
            return [what(at_s=self.now_s, connector=connector, sequence=sequence)]

        self._at_once_or_after(arrives_after_s, arrive)
        self.after(answered_after_s, answer)
        line.busy_until_s = self.now_s + answered_after_s

    def lapse_count(self) -> int:
        """Return how many leases of vehicles that are there ended this second by themselves."""
        return sum(
            outlet.traits.lapses and self.now_s - 1.0 < lease.until_s <= self.now_s
            for outlet in self.outlets.values()
            for lease in (outlet.tx_lease, outlet.default_lease)
            if lease is not None and outlet.vehicle is not None
        )

    def write_fallback(self, connector: ConnectorRef, limit_ma: int) -> None:
        """Write a persistent fallback; the answer comes a second after it was taken."""
        line, outlet = self.lines[connector.station], self.outlets[connector]
        is_deaf = self.now_s < max(line.mute_until_s, line.refuses_until_s)

        def take() -> list[Event]:
            if is_deaf or not (line.is_powered and line.is_linked):
                return []
            outlet.fallback = Profile(limit_ma=limit_ma)
            return [FallbackInstalled(at_s=self.now_s, connector=connector, fallback_ma=limit_ma)]

        self.after(self.traits[connector.station].latest_answer_s, take)

    def ask(self, connector: ConnectorRef) -> None:
        """Ask for a reading, which comes a second later or not at all."""
        outlet, line = self.outlets[connector], self.lines[connector.station]
        if outlet.traits.answers_questions and self.now_s >= line.mute_until_s:
            self.after(1, lambda: self._reading(outlet))

    def greetings(self, station: StationId) -> list[Event]:
        """Return what a station says when it has connected: states first, or what it kept."""
        line, traits, now_s = self.lines[station], self.traits[station], self.now_s
        units = {RateUnit.WATTS} if traits.takes_watts else {RateUnit.AMPERES, RateUnit.WATTS}
        said: list[Event] = [StationConnected(at_s=now_s, station=station)]
        if line.has_booted:
            line.has_booted = False
            said.append(StationBooted(at_s=now_s, station=station, firmware="1"))
        capabilities = StationCapabilities(
            ocpp_version=OcppVersion.V16,
            rate_units=frozenset(units),
            sample_interval_s=float(traits.interval_s),
        )
        said.append(CapabilitiesRead(at_s=now_s, station=station, capabilities=capabilities))
        kept, self._queued[station] = self._queued[station], []
        states: list[Event] = []
        for outlet in self._outlets_of(station):
            states.append(self._status(outlet))
            if outlet.transaction is not None:
                states.append(
                    TransactionStarted(
                        at_s=now_s, connector=outlet.connector.ref, transaction=outlet.transaction
                    )
                )
        return [*said, *kept, *states] if self.rng.random() < 0.5 else [*said, *states, *kept]

    def fallbacks_read_back(self, station: StationId) -> list[Event]:
        """Return the fallbacks a station is found to have."""
        return [
            FallbackInstalled(
                at_s=self.now_s,
                connector=outlet.connector.ref,
                fallback_ma=outlet.fallback.limit_ma,
            )
            for outlet in self._outlets_of(station)
            if outlet.fallback is not None
        ]

    def forget_calls(self) -> None:
        """Let the gateway be gone: nobody waits for an answer."""
        self._in_flight.clear()
        for line in self.lines.values():
            line.busy_until_s = NEVER_S

    # What happens to stations.

    def drop_link(self, station: StationId) -> list[Event]:
        """Lose a connection, and with it what is on its way."""
        line = self.lines[station]
        if not line.is_linked:
            return []
        line.is_linked, line.busy_until_s = False, NEVER_S
        self._in_flight = {n: at for n, at in self._in_flight.items() if at != station}
        return [StationDisconnected(at_s=self.now_s, station=station)]

    def raise_link(self, station: StationId) -> list[Event]:
        """Have a station connect again."""
        line = self.lines[station]
        if line.is_linked or not line.is_powered:
            return []
        line.is_linked = True
        return self.greetings(station)

    def boot(self, station: StationId, *, off_s: int) -> list[Event]:
        """Have a station boot; what it kept in RAM is gone."""
        line = self.lines[station]
        if not line.is_powered:
            return []
        said = self.drop_link(station)
        line.is_powered = False

        def come_up() -> list[Event]:
            line.is_powered = line.has_booted = True
            for outlet in self._outlets_of(station):
                outlet.tx_lease, outlet.obeys_from_s = None, self.now_s
                if outlet.traits.forgets_in_boot:
                    outlet.default_lease = outlet.fallback = None
                if outlet.vehicle is not None:
                    if outlet.transaction is not None and not outlet.traits.resumes_transaction:
                        self._queued[station] += self.end_transaction(outlet)
                    if outlet.transaction is None:
                        self.begin_transaction(outlet)
            return self.raise_link(station)

        if not off_s:
            return said + come_up()
        self.after(off_s, come_up)
        return said

    # What happens to vehicles.

    def plug_in(self, outlet: Outlet, *, phase_count: int, takes_ma: int) -> list[Event]:
        """Have a vehicle come; its transaction begins within seconds."""
        if outlet.vehicle is not None:
            return []
        wired = outlet.connector.phases
        phases = tuple(int(phase) for phase in wired[: min(phase_count, len(wired))])
        vehicle = outlet.vehicle = Vehicle(phases=phases, takes_ma=takes_ma)

        def authorise() -> list[Event]:
            is_powered = self.lines[outlet.connector.ref.station].is_powered
            if outlet.vehicle is not vehicle or outlet.transaction is not None or not is_powered:
                return []
            return self.begin_transaction(outlet)

        said = self._say(outlet, self._status(outlet))
        return said + self._at_once_or_after(self.rng.randint(0, 4), authorise)

    def leave(self, outlet: Outlet) -> list[Event]:
        """Have the vehicle go."""
        if outlet.vehicle is None:
            return []
        outlet.vehicle = None
        ended, status = self.end_transaction(outlet), self._say(outlet, self._status(outlet))
        return ended + status if self.rng.random() < 0.5 else status + ended

    def swap(self, outlet: Outlet, *, after_s: int, phase_count: int, takes_ma: int) -> list[Event]:
        """Have the vehicle go and another come."""
        gone = self.leave(outlet)
        return gone + self._at_once_or_after(
            after_s, lambda: self.plug_in(outlet, phase_count=phase_count, takes_ma=takes_ma)
        )

    def begin_transaction(self, outlet: Outlet) -> list[Event]:
        """Begin a transaction; offline it is said later."""
        self._number += 1
        outlet.transaction = transaction = TransactionId(f"t{self._number}")
        ref = outlet.connector.ref
        started = TransactionStarted(at_s=self.now_s, connector=ref, transaction=transaction)
        return self._say(outlet, started, is_kept=True)

    def end_transaction(self, outlet: Outlet) -> list[Event]:
        """End the transaction, and with it the profile that was for it."""
        transaction, outlet.transaction, outlet.tx_lease = outlet.transaction, None, None
        if transaction is None:
            return []
        ref = outlet.connector.ref
        ended = TransactionEnded(at_s=self.now_s, connector=ref, transaction=transaction)
        return self._say(outlet, ended, is_kept=True)

    def new_transaction(self, outlet: Outlet, *, after_s: int) -> list[Event]:
        """End the transaction and begin another, the vehicle staying."""
        vehicle = outlet.vehicle
        if vehicle is None or outlet.transaction is None:
            return []

        def begin() -> list[Event]:
            if outlet.vehicle is not vehicle or outlet.transaction is not None:
                return []
            return self.begin_transaction(outlet)

        return self.end_transaction(outlet) + self._at_once_or_after(after_s, begin)

    # How it works inside.

    def currents_ma(self) -> dict[CircuitId, list[int]]:
        """Return what flows on each phase of each circuit; export is negative."""
        flows: dict[CircuitId, list[int]] = {c.id: [0, 0, 0] for c in self.site.circuits}
        for circuit, base_ma in self.base_ma.items():
            for above in self._above[circuit]:
                for phase in range(3):
                    flows[above][phase] += base_ma[phase]
        for outlet in self.outlets.values():
            for above in self._above[outlet.connector.circuit]:
                for phase, drawn_ma in enumerate(outlet.draw_ma()):
                    flows[above][phase] += drawn_ma
        return flows

    def _at_once_or_after(self, delay_s: float, happen: Callable[[], list[Event]]) -> list[Event]:
        if not delay_s:
            return happen()
        self.after(delay_s, happen)
        return []

    def _outlets_of(self, station: StationId) -> list[Outlet]:
        return [o for o in self.outlets.values() if o.connector.ref.station == station]

    def _install(self, connector: ConnectorRef, profile: Profile) -> bool:
        outlet = self.outlets[connector]
        if outlet.transaction is not None and outlet.traits.has_tx_profile:
            outlet.tx_lease = profile
        elif outlet.traits.has_default_lease or not outlet.traits.has_tx_profile:
            outlet.default_lease = profile
        else:
            return False
        return True

    def _flow(self, outlet: Outlet) -> None:
        """Let the vehicle follow what its station offers it."""
        vehicle, is_powered = outlet.vehicle, self.lines[outlet.connector.ref.station].is_powered
        if vehicle is not None:
            offered_ma = outlet.limit_ma(self.now_s)
            if self.now_s < outlet.obeys_from_s:
                offered_ma = outlet.connector.max_ma
            if offered_ma < MIN_MA:
                offered_ma = 0
            if outlet.transaction is None or not is_powered:
                vehicle.follows_ma, vehicle.follows_at_s, vehicle.was_paused = 0, None, True
            elif vehicle.follows_at_s is None and offered_ma != vehicle.follows_ma:
                latest_s = FOLLOWS_S
                if not vehicle.follows_ma and self.rng.random() < 0.2:
                    latest_s = BEGINS_S
                vehicle.follows_at_s = self.now_s + self.rng.randint(0, latest_s)
            if vehicle.follows_at_s is not None and vehicle.follows_at_s <= self.now_s:
                vehicle.follows_ma, vehicle.follows_at_s = offered_ma, None
                if offered_ma and vehicle.was_paused and self.rng.random() < SWITCHES_RATIO:
                    self._switch_phases(outlet, vehicle)
                vehicle.was_paused = not offered_ma
        outlet.drawn_ma.append(outlet.draw_ma())

    def _switch_phases(self, outlet: Outlet, vehicle: Vehicle) -> None:
        """Let a vehicle that was paused come back on one phase, or on all."""
        wired = outlet.connector.phases
        count = len(wired) if len(vehicle.phases) == 1 else 1
        vehicle.phases = tuple(int(phase) for phase in wired[:count])

    def _status(self, outlet: Outlet) -> Event:
        is_free = outlet.vehicle is None
        status = ConnectorStatus.AVAILABLE if is_free else ConnectorStatus.OCCUPIED
        return ConnectorStatusChanged(
            at_s=self.now_s, connector=outlet.connector.ref, status=status
        )

    def _say(self, outlet: Outlet, event: Event, *, is_kept: bool = False) -> list[Event]:
        station = outlet.connector.ref.station
        if self.lines[station].is_linked:
            return [event]
        if is_kept:
            self._queued[station].append(event)
        return []

    def _reading(self, outlet: Outlet) -> list[Event]:
        line, traits = self.lines[outlet.connector.ref.station], outlet.traits
        if not (line.is_linked and line.is_powered) or outlet.transaction is None:
            return []
        if traits.tells is Tells.NOTHING or self.now_s < line.silent_until_s:
            return []
        drawn_ma = outlet.drawn_ma[self.rng.randrange(SAMPLES)]
        ref, at_s = outlet.connector.ref, self.now_s
        if traits.tells is Tells.ENERGY:
            return [ConnectorMetered(at_s=at_s, connector=ref, energy_wh=at_s)]
        power_w = sum(drawn_ma) / 1_000 * traits.voltage_v
        if traits.tells is Tells.WATTS:
            return [ConnectorMetered(at_s=at_s, connector=ref, power_w=power_w)]
        wired = outlet.connector.phases
        one, two, three = (
            drawn_ma[wired[at]] / 1_000 if at < len(wired) else None for at in range(3)
        )
        return [
            ConnectorMetered(at_s=at_s, connector=ref, current_a=(one, two, three), power_w=power_w)
        ]

    def energy_reading(self, outlet: Outlet) -> list[Event]:
        """Return a reading that tells of nothing but energy."""
        metered = ConnectorMetered(
            at_s=self.now_s, connector=outlet.connector.ref, energy_wh=self.now_s
        )
        return self._say(outlet, metered)

    def _meter_readings(self) -> list[Event]:
        said: list[Event] = []
        flows = self.currents_ma()
        for circuit in self.site.circuits:
            meter = circuit.meter
            if meter is None or self.now_s < self.silent_until_s.get(meter, NEVER_S):
                continue
            at_s, shown = self.now_s - self.rng.uniform(0.0, 0.4), self._shown.get(meter)
            if shown is not None and self.now_s < self.frozen_until_s.get(meter, NEVER_S):
                current_a, power_w = shown.current_a, shown.power_w
            else:
                one, two, three = (ma / 1_000 for ma in flows[circuit.id])
                noise_a = self.rng.uniform(0.0, 0.03)
                current_a = (abs(one) + noise_a, abs(two) + noise_a, abs(three) + noise_a)
                power_w = (one * NOMINAL_V, two * NOMINAL_V, three * NOMINAL_V)
            reading = self._shown[meter] = MeterReading(
                meter=meter,
                at_s=at_s,
                current_a=current_a,
                power_w=power_w,
                voltage_v=(NOMINAL_V, NOMINAL_V, NOMINAL_V),
            )
            said.append(MeterRead(at_s=self.now_s, reading=reading))
        return said
