"""Eyes on the plant: what went wrong and how well it was shared, by the plant's own truth."""

from collections.abc import Iterable, Sequence

from drivers.sim.evse import Evse
from drivers.sim.faults import Fault
from drivers.sim.kept import KeptRoom
from drivers.sim.omniscient import Guest, OmniscientSharer
from drivers.sim.scenario import Scenario
from drivers.sim.station import Station
from drivers.sim.vehicle import MIN_OFFER_A
from drivers.sim.watched import (
    TROUBLE_LASTS_S,
    CircuitWatch,
    ConnectorWatch,
    Pause,
    StationWatch,
    StepRecord,
    Violation,
    VisitRecord,
)
from drivers.sim.wires import Wires
from gateway.domain.ids import CircuitId, ConnectorRef, StationId

REACTION_S = 16.0  # Design §3: reading, decision, acknowledgement, vehicle.
METER_BLIND_S = 45.0  # A gateway that has lost a meter has the circuit at its fallback by then.
GATEWAY_BLIND_S = 90.0  # The leases of a dead gateway have lapsed and were obeyed by then.
AFTERMATH_S = 60.0  # How long a rise beyond reserve explains a warm breaker.
LOOK_EVERY_S = 5.0  # At connectors, which change more slowly than circuits.
BUDGET_SHARE = 1.0 / 3.0
LONGEST_EXCURSION_S = 60.0
SWITCHED_OFF_WITHIN_S = 75.0  # A trip output opens after 60 s over the rating, and a contactor.
USUAL_EXCURSION_S = 15.0
FORGOTTEN_AFTER_S = 2_700.0  # Three turns of a quarter of an hour.
UNUSED_AFTER_S = 900.0
LEASE_GRACE_S = 20.0
# A decision, an acknowledgement at its slowest of a hundred, a station and a vehicle.
STOPPED_WITHIN_S = 17.0
LOCKOUT_EXCURSIONS = 3
SURE_EXCURSION_S = 20.0  # Whatever the meter has seen of it, it has seen more than 15 s.
LOCKED_WITHIN_S = 60.0
LOCKOUT_S = 4 * 3_600.0
DAY_S = 86_400.0


class Judge:
    """Watches a world second by second and remembers what the report needs."""

    def __init__(self, scenario: Scenario) -> None:
        """Nothing has been seen yet; `see` each circuit (parents first) and connector next."""
        self.violations: list[Violation] = []
        self.pauses: list[Pause] = []
        self.steps: list[StepRecord] = []
        self.visits: list[VisitRecord] = []
        self.circuits: dict[CircuitId, CircuitWatch] = {}
        self.stations: dict[StationId, StationWatch] = {}
        self.connectors: dict[ConnectorRef, ConnectorWatch] = {}
        self.omniscient = OmniscientSharer()
        self.stopped_s: float | None = None  # Since when the stop input is closed.
        self._scenario = scenario
        self._reserve_a = dict(scenario.reserve_a)
        self._faults: list[Fault] = []  # That have begun.
        self._rogues: list[ConnectorWatch] = []
        self._next_look_s = 0.0
        self._draws_when_stopped: set[ConnectorRef] = set()

    def see_circuit(self, wires: Wires) -> None:
        """Watch a circuit."""
        circuit = wires.circuit.id
        self.circuits[circuit] = CircuitWatch(wires, self._reserve_a[circuit])

    def see_connector(self, evse: Evse, station: Station) -> None:
        """Watch a connector."""
        path = self._scenario.site.path_to_root(evse.connector.circuit)
        circuits = tuple(self.circuits[circuit] for circuit in path)
        self.connectors[evse.connector.ref] = ConnectorWatch(
            evse,
            self.stations.setdefault(station.id, StationWatch(station)),
            circuits,
            wired_rows=tuple((c, int(p)) for c in circuits for p in evse.connector.phases),
        )

    # What the world tells.

    def watch_arrival(self, evse: Evse, at_s: float) -> None:
        """A vehicle has been plugged in."""
        watch = self.connectors[evse.connector.ref]
        assert evse.visit is not None
        watch.rows = tuple((c, p) for c in watch.circuits for p in evse.used_phases)
        watch.starved_s = watch.unused_s = 0.0
        voltage_v = sum(self._scenario.voltage_v[p] for p in evse.used_phases)
        guest = Guest(
            evse.visit,
            rows=tuple(circuit.wires.row + phase for circuit, phase in watch.rows),
            voltage_v=voltage_v,
        )
        watch.record = VisitRecord(visit=evse.visit, guest=guest)
        self.visits.append(watch.record)
        self.omniscient.deliver(at_s)
        self.omniscient.guests.append(guest)

    def watch_departure(self, evse: Evse, at_s: float) -> None:
        """A vehicle is about to be unplugged; its energy is counted up to now."""
        watch = self.connectors[evse.connector.ref]
        record = watch.record
        assert record is not None
        assert evse.vehicle is not None
        record.delivered_wh = evse.vehicle.delivered_wh
        _note_finish(record, record.delivered_wh, at_s)
        record.left_s = at_s
        self.omniscient.deliver(at_s)
        self.omniscient.guests.remove(record.guest)
        watch.record = None

    def watch_limit(self, evse: Evse, before_a: float, at_s: float, *, was_sent: bool) -> None:
        """The limit in force on a connector has changed."""
        if evse.transaction is None:
            return
        watch = self.connectors[evse.connector.ref]
        watch.limit_change_count += was_sent
        if before_a >= MIN_OFFER_A and not evse.is_served and evse.is_hungry:
            self.pauses.append(
                Pause(
                    at_s=at_s,
                    connector=evse.connector.ref,
                    is_needless=all(
                        room_a >= MIN_OFFER_A * min(waiting_count, 2)
                        for room_a, waiting_count in self._rooms(watch)
                    ),
                )
            )

    def watch_step(self, circuit: CircuitId, at_s: float) -> None:
        """The base of a circuit has just stepped: note what it has risen in one reaction."""
        watch = self.circuits[circuit]
        rise_a = max(
            base_a - min(history, default=base_a)
            for base_a, history in zip(watch.wires.base_a, watch.history, strict=True)
        )
        self.steps.append(
            StepRecord(
                at_s=at_s,
                circuit=circuit,
                is_inside_reserve=rise_a <= watch.reserve_a,
            )
        )

    def watch_fault(self, fault: Fault) -> None:
        """Something has gone wrong."""
        self._faults.append(fault)

    def watch_rogues(self) -> None:
        """Some station has begun or ceased to disobey."""
        self._rogues = [
            watch for watch in self.connectors.values() if watch.evse.held_a is not None
        ]

    # What it sees for itself.

    def tick(self, at_s: float, *, is_gateway_dead: bool) -> None:
        """Look at every circuit, once a second, and at times at every connector."""
        for circuit in self.circuits.values():
            self._watch_base(circuit, at_s)
            self._watch_breaker(circuit, at_s)
            self._watch_bounds(circuit, at_s)
        if at_s >= self._next_look_s:
            self._next_look_s = at_s + LOOK_EVERY_S
            for station in self.stations.values():
                station.look(at_s, is_gateway_dead=is_gateway_dead, every_s=LOOK_EVERY_S)
            self._watch_stop(at_s)
            kept = KeptRoom(self.connectors.values(), at_s)
            for watch in self.connectors.values():
                if watch.record is not None:
                    self._watch_connector(watch, kept, at_s)
            rooms_a = [
                circuit.room_a(phase) for circuit in self.circuits.values() for phase in (0, 1, 2)
            ]
            self.omniscient.share(at_s, rooms_a)

    def forget_excursions(self) -> None:
        """Take note that a gateway begins that may know nothing of what has been."""
        for watch in self.circuits.values():
            watch.long_s.clear()

    def blind(self, circuits: Iterable[CircuitId], from_s: float, *, lasts_s: float) -> None:
        """Take note that the gateway cannot see or act on these circuits for a while."""
        for circuit in circuits:
            watch = self.circuits[circuit]
            if watch.blind_until_s < from_s:
                watch.blind_from_s = from_s
            watch.blind_until_s = max(watch.blind_until_s, from_s + lasts_s)

    def _watch_base(self, watch: CircuitWatch, at_s: float) -> None:
        base_a: Sequence[float] = watch.wires.base_a
        if self._rogues:
            base_a = self._with_rogues(watch, base_a)
        is_blind = watch.blind_from_s <= at_s <= watch.blind_until_s + REACTION_S
        rise_a = 0.0
        for phase in (0, 1, 2):
            history = watch.history[phase]
            history.append(base_a[phase])
            if not is_blind:
                while len(history) > REACTION_S + 1:
                    history.popleft()
            rise_a = max(rise_a, base_a[phase] - min(history))
        if rise_a > watch.reserve_a:
            watch.beyond_until_s = at_s + AFTERMATH_S

    def _with_rogues(self, watch: CircuitWatch, base_a: Sequence[float]) -> list[float]:
        """Return the base with what disobedient stations draw beyond their limits."""
        with_rogues_a = list(base_a)
        for rogue in self._rogues:
            excess_a = rogue.evse.draw_a - rogue.evse.limit_a
            if excess_a > 0.0 and watch in rogue.circuits:
                for phase in rogue.evse.used_phases:
                    with_rogues_a[phase] += excess_a
        return with_rogues_a

    def _watch_breaker(self, watch: CircuitWatch, at_s: float) -> None:
        breaker = watch.wires.breaker
        peak = breaker.take_recent_peak()
        circuit = watch.wires.circuit.id
        if at_s > watch.beyond_until_s:
            watch.spent_inside_ratio = max(watch.spent_inside_ratio, peak)
            if peak > BUDGET_SHARE and not watch.is_third_spent:
                self._tell("third_of_thermal_budget", at_s, f"{circuit}: {peak:.0%} spent")
            watch.is_third_spent = peak > BUDGET_SHARE
        if peak >= 1.0 and not watch.is_all_spent:
            self._tell("thermal_budget", at_s, f"{circuit}: all of it spent, the device trips")
        watch.is_all_spent = peak >= 1.0
        since_s = breaker.is_over_since_s
        is_long = since_s is not None and at_s - since_s > LONGEST_EXCURSION_S
        if is_long and not watch.is_long:
            self._tell("over_rating_60s", at_s, f"{circuit}: over its rating since {since_s:.1f} s")
        watch.is_long = is_long
        is_left_on = since_s is not None and at_s - since_s > SWITCHED_OFF_WITHIN_S
        if is_left_on and not watch.is_left_on:
            self._tell("not_switched_off", at_s, f"{circuit}: over its rating, and nothing opened")
        watch.is_left_on = is_left_on
        is_in_long = since_s is not None and at_s - since_s > SURE_EXCURSION_S
        if is_in_long and not watch.is_in_long:
            watch.long_s.append(at_s)
        watch.is_in_long = is_in_long

    def _watch_bounds(self, watch: CircuitWatch, at_s: float) -> None:
        """See that nothing is long beyond what bounds a circuit besides its rating."""
        beyond = watch.exceeded()
        if beyond is None:
            watch.beyond_since_s, watch.is_beyond_told = None, False
            return
        if watch.beyond_since_s is None:
            watch.beyond_since_s = at_s
        if at_s - watch.beyond_since_s > LONGEST_EXCURSION_S and not watch.is_beyond_told:
            self._tell("beyond_bound_60s", at_s, f"{watch.wires.circuit.id}: {beyond}")
            watch.is_beyond_told = True

    def _watch_stop(self, at_s: float) -> None:
        """See that nothing draws once everybody had the time to hear that it must not."""
        drawing: set[ConnectorRef] = set()
        if self.stopped_s is not None and at_s - self.stopped_s > STOPPED_WITHIN_S:
            drawing = {
                ref
                for ref, watch in self.connectors.items()
                if watch.evse.draw_a and at_s - watch.of_station.deaf_s > AFTERMATH_S
            }
        for ref in sorted(drawing - self._draws_when_stopped):
            amps = self.connectors[ref].evse.draw_a
            self._tell("draws_when_stopped", at_s, f"{ref}: {amps:.1f} A")
        self._draws_when_stopped = drawing

    def _watch_connector(self, watch: ConnectorWatch, kept: KeptRoom, at_s: float) -> None:
        evse = watch.evse
        record = watch.record
        vehicle = evse.vehicle
        assert record is not None
        assert vehicle is not None
        _note_finish(record, vehicle.delivered_wh, at_s)
        if evse.transaction is None:
            return
        watch.occupied_s += LOOK_EVERY_S
        self._watch_lockout(watch, at_s)
        if evse.is_leased and at_s > evse.lease_until_s + LEASE_GRACE_S:
            # A clock set back makes a lease longer; a station that disobeys is another matter.
            if not watch.of_station.is_in_trouble(at_s) and not watch.is_old_limit_told:
                late_s = at_s - evse.lease_until_s
                self._tell("old_limit", at_s, f"{evse.connector.ref}: {late_s:.0f} s overdue")
                watch.is_old_limit_told = True
        else:
            watch.is_old_limit_told = False
        if evse.pilot_a >= MIN_OFFER_A:
            watch.starved_s = 0.0
            if evse.pilot_a >= vehicle.accepts_a - 2.0:
                watch.unused_s = 0.0
                return
        if not vehicle.is_hungry or not self._could_be_served(watch, at_s):
            watch.unused_s = 0.0
            return
        self._watch_wait(watch, kept, at_s)

    def _watch_lockout(self, watch: ConnectorWatch, at_s: float) -> None:
        """See that nobody has more than its fallback on a circuit too often over its rating."""
        evse = watch.evse
        is_above = evse.limit_a > evse.connector.fallback_ma / 1_000 + 0.1
        is_unlocked = (
            is_above
            and not watch.of_station.is_in_trouble(at_s)
            and any(_must_be_locked_out(circuit, at_s) for circuit in watch.circuits)
        )
        if is_unlocked and not watch.is_unlocked_told:
            self._tell("not_locked_out", at_s, f"{evse.connector.ref}: {evse.limit_a:.1f} A")
        watch.is_unlocked_told = is_unlocked

    def _could_be_served(self, watch: ConnectorWatch, at_s: float) -> bool:
        """Return whether nothing but the gateway stands between the vehicle and its minimum."""
        if self.stopped_s is not None or watch.of_station.is_in_trouble(at_s):
            return False
        for circuit in watch.circuits:
            if at_s - circuit.blind_until_s < TROUBLE_LASTS_S or _may_be_locked_out(circuit, at_s):
                return False
        return all(
            circuit.room_a(phase) - circuit.reserve_a >= MIN_OFFER_A + 0.5
            for circuit, phase in watch.rows
        )

    def _watch_wait(self, watch: ConnectorWatch, kept: KeptRoom, at_s: float) -> None:
        evse = watch.evse
        if evse.pilot_a < MIN_OFFER_A:
            watch.starved_s += LOOK_EVERY_S
            if watch.starved_s == FORGOTTEN_AFTER_S:
                self._tell(
                    "connector_forgotten", at_s, f"{evse.connector.ref}: hungry and unserved"
                )
        if kept.is_unused_for(watch):
            watch.unused_s += LOOK_EVERY_S
            if watch.unused_s == UNUSED_AFTER_S:
                self._tell(
                    "headroom_never_came_back",
                    at_s,
                    f"{evse.connector.ref}: limit {evse.limit_a:.1f} A with room to spare",
                )
        else:
            watch.unused_s = 0.0

    def _rooms(self, watch: ConnectorWatch) -> list[tuple[float, int]]:
        """Return, for each row of a connector just paused, the true room and who waits for it.

        The room is what the set-point leaves when each vehicle that is served has its minimum,
        and one that cannot be reached or does not obey what it draws.
        """
        rooms: list[tuple[float, int]] = []
        for circuit, phase in watch.rows:
            room_a = circuit.room_a(phase)
            waiting_count = 0
            for other in self.connectors.values():
                evse = other.evse
                vehicle = evse.vehicle
                if vehicle is None or (circuit, phase) not in other.rows:
                    continue
                if not other.station.is_linked or evse.held_a is not None:
                    room_a -= vehicle.draw_a
                elif evse.is_served:
                    room_a -= min(MIN_OFFER_A, vehicle.accepts_a)
                elif evse.is_hungry:
                    waiting_count += 1
            rooms.append((room_a, waiting_count))
        return rooms

    def _tell(self, what: str, at_s: float, detail: str) -> None:
        on = [
            f"{fault.kind} {fault.subject}".strip()
            for fault in self._faults
            if at_s <= fault.until_s + AFTERMATH_S
        ]
        if on:
            detail = f"{detail} (during {', '.join(on)})"
        self.violations.append(Violation(what=what, at_s=at_s, detail=detail))


def _note_finish(record: VisitRecord, delivered_wh: float, at_s: float) -> None:
    if record.finished_s is None and delivered_wh >= record.visit.vehicle.need_wh:
        record.finished_s = at_s


def _must_be_locked_out(circuit: CircuitWatch, at_s: float) -> bool:
    """Return whether a gateway surely has had cause, and time, to hold a circuit at its fallback.

    Half a day of excursions is enough to ask for: nobody disputes then which day they were in.
    """
    recent_s = [s for s in circuit.long_s if at_s - s < DAY_S / 2]
    if len(recent_s) < LOCKOUT_EXCURSIONS:
        return False
    return LOCKED_WITHIN_S < at_s - recent_s[-1] < LOCKOUT_S - LOCKED_WITHIN_S


def _may_be_locked_out(circuit: CircuitWatch, at_s: float) -> bool:
    """Return whether three long excursions justify a circuit held at its fallback (design §3)."""
    long_s = [e.at_s for e in circuit.wires.breaker.excursions if e.length_s > USUAL_EXCURSION_S]
    return len(long_s) >= LOCKOUT_EXCURSIONS and at_s - long_s[-1] < LOCKOUT_S
