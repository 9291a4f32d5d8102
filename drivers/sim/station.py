"""A charging station: it keeps to the profiles it stores, and says what it sees."""

from math import inf
from random import Random

from drivers.sim.agenda import Agenda
from drivers.sim.evse import Evse
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.profiles import ChargingProfile, ProfileStore, Purpose, unending_default
from drivers.sim.scenario import StationTraits, Visit
from drivers.sim.station_meter import StationMeter
from drivers.sim.surroundings import Surroundings
from drivers.sim.vehicle import Vehicle
from drivers.sim.voice import CHARGING_ABOVE_A, Voice
from gateway.domain.charging import RateUnit
from gateway.domain.circuits import ChargingStation
from gateway.domain.events import ConnectorMetered
from gateway.domain.ids import TransactionId

PILOT_WITHIN_S = 5.0  # IEC 61851-1: an EVSE changes its pilot at most this long after a limit.
AUTHORISED_AFTER_S = (1.0, 4.0)
_UNTRUE = frozenset(
    {FaultKind.STATION_SILENT, FaultKind.STATION_LYING, FaultKind.STATION_METER_FROZEN}
)
FALLBACK_NUMBER = 1  # The profile number the fallback is written under.


class Station:
    """A charging station as a physical thing; whoever speaks for a network calls it.

    The limit of each connector follows from the stored profiles at each instant, never from the
    last message. Its clock is its own: `clock_s`.
    """

    def __init__(
        self,
        declared: ChargingStation,
        traits: StationTraits,
        *,
        voltage_v: tuple[float, float, float],
        agenda: Agenda,
        rng: Random,
        surroundings: Surroundings,
    ) -> None:
        """Stand there from second 0, not linked yet, with nothing plugged in."""
        self.id = declared.id
        self.traits = traits
        self.is_powered = True
        self.faults: list[Fault] = []
        units = {RateUnit.WATTS} if traits.is_watts_only else {RateUnit.AMPERES, RateUnit.WATTS}
        self.store = ProfileStore(
            version=traits.ocpp_version,
            rate_units=frozenset(units),
            keeps_tx_profiles=traits.keeps_tx_profiles,
            lapses=traits.lapses,
        )
        self.evses = {
            c.ref.number: Evse(
                c, offset_a=traits.offset_a, offers_whole_amps=traits.offers_whole_amps
            )
            for c in declared.connectors
        }
        self._agenda = agenda
        self._rng = rng
        self._world = surroundings
        self._voltage_v = voltage_v
        self._ahead_s = traits.clock_skew_s
        self._transaction_count = 0
        self._voice = Voice(self.id, traits, self.store, surroundings=surroundings)
        self._meter = StationMeter(traits, self.store, voltage_v=voltage_v, faults=self.faults)
        if traits.is_commissioned:
            for evse in self.evses.values():
                fallback_a = evse.connector.fallback_ma / 1_000
                reason = self.install(
                    evse.connector.ref.number, self.fallback_profile(evse, fallback_a), 0.0
                )
                assert not reason, reason
            self.store.write_count = 0
        agenda.add(traits.sample_phase_s, self._sample)

    @property
    def is_linked(self) -> bool:
        """Return whether it has a connection."""
        return self._voice.is_linked

    @property
    def connection_number(self) -> int:
        """Return how often it has connected."""
        return self._voice.connection_number

    def clock_s(self, at_s: float) -> float:
        """Return what the station's own clock shows, in seconds from the simulation's start."""
        return at_s + self._ahead_s

    def has(self, kind: FaultKind) -> bool:
        """Return whether a fault of this kind is on."""
        return any(fault.kind is kind for fault in self.faults)

    @property
    def has_clock_jumped(self) -> bool:
        """Return whether its clock is no longer ahead by what it was at first."""
        return self._ahead_s != self.traits.clock_skew_s

    @property
    def hides_its_draw(self) -> bool:
        """Return whether its meter values do not say what it gives."""
        return (
            not self.traits.sends_meter_values
            or not self.is_linked
            or any(fault.kind in _UNTRUE for fault in self.faults)
        )

    def fallback_profile(self, evse: Evse, limit_a: float) -> ChargingProfile:
        """Return the profile that writes a persistent fallback, in the unit the station takes."""
        phase_count = len(evse.connector.phases)
        in_watts = self.store.rate_units == {RateUnit.WATTS}
        watts = limit_a * self.store.nominal_v * phase_count
        return unending_default(
            FALLBACK_NUMBER + 10 * evse.connector.ref.number,
            watts if in_watts else limit_a,
            rate_unit=RateUnit.WATTS if in_watts else RateUnit.AMPERES,
            phase_count=phase_count,
        )

    # What the network may ask.

    def install(self, number: int, profile: ChargingProfile, at_s: float) -> str:
        """Take a SetChargingProfile; return "" if accepted, else the reason of the rejection."""
        evse = self.evses.get(number)
        if evse is None and number != 0:
            return "UnknownEVSE"
        if self.has(FaultKind.STATION_REJECTS):
            return "InternalError"
        reason = self.store.install(
            number,
            profile,
            transaction=None if evse is None else evse.transaction,
            clock_s=self.clock_s(at_s),
        )
        if not reason:
            if evse is not None and profile.purpose is Purpose.TX:
                evse.leased_at_s = at_s
            self.refresh(at_s, was_sent=True)
        return reason

    def clear(
        self,
        at_s: float,
        *,
        number: int | None = None,
        connector_number: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Take a ClearChargingProfile; return whether there was anything to clear."""
        found = self.store.clear(
            number=number,
            connector_number=connector_number,
            purpose=purpose,
            stack_level=stack_level,
        )
        self.refresh(at_s, was_sent=True)
        return found

    def reading(self, number: int, at_s: float) -> ConnectorMetered | None:
        """Return the meter values of a connector as the station would tell them, lies included.

        None when the station tells none: it has no transaction there, or never does.
        """
        return self._meter.read(self.evses[number], at_s)

    def begin_transaction(self, number: int, at_s: float) -> bool:
        """Take a remote start; return whether there was a vehicle waiting for one."""
        evse = self.evses.get(number)
        if evse is None or evse.vehicle is None or evse.transaction or not self.is_powered:
            return False
        self._start_transaction(evse, at_s)
        return True

    def stop_transaction(self, transaction: TransactionId, at_s: float) -> bool:
        """Take a remote stop; return whether that transaction ran."""
        for evse in self.evses.values():
            if evse.transaction == transaction and self.is_powered:
                self._cut_off(evse, at_s)
                self._end_transaction(evse, at_s)
                return True
        return False

    def reset(self, at_s: float) -> None:
        """Take a reset: it reboots."""
        if self.is_powered:
            self._reboot(at_s)

    # What happens to it.

    def plug_in(self, at_s: float, visit: Visit) -> None:
        """Have a vehicle plugged in; it is authorised a few seconds later."""
        evse = self.evses[visit.connector.number]
        assert evse.vehicle is None, f"{visit.connector} is taken"
        used_count = min(visit.vehicle.phase_count, len(evse.connector.phases))
        evse.used_phases = tuple(int(phase) for phase in evse.connector.phases[:used_count])
        evse.visit = visit
        evse.vehicle = Vehicle(
            visit.vehicle,
            voltage_v=sum(self._voltage_v[p] for p in evse.used_phases),
            at_s=at_s,
            rng=self._rng,
        )
        self._world.watch_visit(evse, at_s, arrives=True)
        self._voice.say_status(evse, at_s)
        self._agenda.add(at_s + self._rng.uniform(*AUTHORISED_AFTER_S), self._authorise, visit)

    def unplug(self, at_s: float, visit: Visit) -> None:
        """Have the vehicle of `visit` leave."""
        evse = self.evses[visit.connector.number]
        if evse.visit is not visit or evse.vehicle is None:
            return
        evse.vehicle.accrue(at_s)
        self._world.watch_visit(evse, at_s, arrives=False)
        self._cut_off(evse, at_s)
        evse.energy_wh += evse.vehicle.delivered_wh
        self._end_transaction(evse, at_s)
        evse.vehicle = evse.visit = None
        evse.wake_s = inf
        self._voice.say_status(evse, at_s)

    def begin_fault(self, at_s: float, fault: Fault) -> None:
        """Have something go wrong, until `end_fault`."""
        self.faults.append(fault)
        match fault.kind:
            case FaultKind.STATION_DISOBEDIENT | FaultKind.STATION_RUNAWAY:
                for evse in self.evses.values():
                    evse.held_a = evse.max_a
                    if fault.kind is FaultKind.STATION_DISOBEDIENT:
                        is_used = evse.transaction is not None
                        evse.held_a = evse.pilot_a if is_used else evse.limit_a
                    self._plan_pilot(evse, at_s)
            case FaultKind.STATION_LOST:
                self.drop_link(at_s)
            case FaultKind.STATION_REBOOT:
                self._reboot(at_s)
            case FaultKind.STATION_CLOCK_JUMP:
                self._ahead_s += fault.value
                self.refresh(at_s, was_sent=False)
            case FaultKind.STATION_WATTS_ONLY:
                self.store.rate_units = frozenset({RateUnit.WATTS})
                self._voice.say_capabilities(at_s)
            case _:
                pass

    def end_fault(self, at_s: float, fault: Fault) -> None:
        """Have the fault be over."""
        self.faults.remove(fault)
        if fault.kind is FaultKind.STATION_WATTS_ONLY and not self.traits.is_watts_only:
            self.store.rate_units = frozenset(RateUnit)
            self._voice.say_capabilities(at_s)
        if not (self.has(FaultKind.STATION_DISOBEDIENT) or self.has(FaultKind.STATION_RUNAWAY)):
            for evse in self.evses.values():
                if evse.held_a is not None:
                    evse.held_a = None
                    self._plan_pilot(evse, at_s)

    def drop_link(self, at_s: float) -> None:
        """Lose the connection; what is stored stays in force."""
        self._voice.drop(at_s)

    def raise_link(self, at_s: float) -> None:
        """Connect, if it can, and say what a station says then."""
        if self.is_linked or not self.is_powered or self.has(FaultKind.STATION_LOST):
            return
        if self._world.may_link():
            self._voice.link(at_s, self.evses.values())

    def refresh(self, at_s: float, *, was_sent: bool) -> None:
        """Work out the limits in force anew from what is stored."""
        clock_s = self.clock_s(at_s)
        whole = self.store.station_max(clock_s)
        running_count = sum(e.transaction is not None for e in self.evses.values())
        for number, evse in self.evses.items():
            found = self.store.in_force(
                number,
                transaction=evse.transaction,
                started_s=None if evse.transaction is None else self.clock_s(evse.started_s),
                clock_s=clock_s,
            )
            before_a = evse.limit_a
            evse.is_leased = found.profile is not None and found.profile.purpose is Purpose.TX
            evse.limit_a = evse.max_a if found.limit_a is None else min(found.limit_a, evse.max_a)
            if whole.limit_a is not None:
                evse.limit_a = min(evse.limit_a, whole.limit_a / max(1, running_count))
            until_s = at_s + min(found.until_s, whole.until_s) - clock_s
            if until_s < inf and until_s != evse.boundary_s:
                # Never at this very instant again, whatever the clocks' rounding.
                self._agenda.add(max(until_s, at_s + 1e-6), self._reach_boundary, evse, until_s)
            evse.boundary_s = until_s
            if evse.limit_a != before_a:
                self._world.watch_limit(evse, before_a, at_s, was_sent=was_sent)
                self._plan_pilot(evse, at_s)

    # How it works inside.

    def _reach_boundary(self, at_s: float, evse: Evse, boundary_s: float) -> None:
        if evse.boundary_s == boundary_s:
            evse.boundary_s = inf
            self.refresh(at_s, was_sent=False)

    def _plan_pilot(self, evse: Evse, at_s: float) -> None:
        if evse.transaction is not None and self.is_powered and not evse.is_pilot_due:
            evse.is_pilot_due = True
            self._agenda.add(
                at_s + self._rng.uniform(0.0, PILOT_WITHIN_S), self._change_pilot, evse
            )

    def _change_pilot(self, at_s: float, evse: Evse) -> None:
        evse.is_pilot_due = False
        if evse.vehicle is None or evse.transaction is None or not self.is_powered:
            return
        evse.pilot_a = evse.offered_a(evse.limit_a if evse.held_a is None else evse.held_a)
        evse.vehicle.offer(evse.pilot_a, at_s)
        self._plan_wake(evse)
        self._voice.say_charging_state(evse, at_s)

    def _plan_wake(self, evse: Evse) -> None:
        vehicle = evse.vehicle
        if vehicle is not None and vehicle.next_s != evse.wake_s:
            evse.wake_s = vehicle.next_s
            if vehicle.next_s < inf:
                self._agenda.add(vehicle.next_s, self._wake, evse)

    def _wake(self, at_s: float, evse: Evse) -> None:
        vehicle = evse.vehicle
        if vehicle is None or evse.wake_s != at_s:
            return
        before_a = vehicle.draw_a
        after_a = vehicle.advance(at_s)
        if after_a != before_a:
            self._world.shift(evse, after_a - before_a, at_s)
            if (after_a > CHARGING_ABOVE_A) != (before_a > CHARGING_ABOVE_A):
                self._voice.say_charging_state(evse, at_s)
        evse.wake_s = inf
        self._plan_wake(evse)

    def _authorise(self, at_s: float, visit: Visit) -> None:
        evse = self.evses[visit.connector.number]
        if evse.visit is visit and evse.transaction is None and self.is_powered:
            self._start_transaction(evse, at_s)

    def _start_transaction(self, evse: Evse, at_s: float) -> None:
        self._transaction_count += 1
        name = f"{self.id}-{evse.connector.ref.number}-{self._transaction_count}"
        evse.transaction = TransactionId(name)
        evse.started_s = at_s
        self._voice.say_transaction(evse, at_s)
        self.refresh(at_s, was_sent=False)
        self._change_pilot(at_s, evse)

    def _end_transaction(self, evse: Evse, at_s: float) -> None:
        transaction = evse.transaction
        if transaction is None:
            return
        evse.transaction = None
        evse.charging_state = None
        self._meter.forget(evse)
        self.store.end_transaction(transaction)
        self._voice.say_end(evse, transaction, at_s)
        self.refresh(at_s, was_sent=False)

    def _cut_off(self, evse: Evse, at_s: float) -> None:
        evse.pilot_a = 0.0
        vehicle = evse.vehicle
        if vehicle is not None:
            before_a = vehicle.draw_a
            vehicle.cut_off(at_s)
            if before_a:
                self._world.shift(evse, -before_a, at_s)
        evse.wake_s = inf

    def lose_power(self, at_s: float) -> None:
        """Be fed no more."""
        self.is_powered = False
        self.drop_link(at_s)
        for evse in self.evses.values():
            self._cut_off(evse, at_s)

    def _reboot(self, at_s: float) -> None:
        self.lose_power(at_s)
        self._agenda.add(at_s + self.traits.boot_s, self._come_up)

    def _come_up(self, at_s: float) -> None:
        self.is_powered = True
        self.store.reboot()
        for evse in self.evses.values():
            evse.charging_state = None
            if evse.transaction is not None and not self.traits.resumes_transaction:
                self._end_transaction(evse, at_s)
        self.refresh(at_s, was_sent=False)
        self._voice.has_booted = True
        self.raise_link(at_s)
        for evse in self.evses.values():
            if evse.transaction is not None:
                self._change_pilot(at_s, evse)
            elif evse.vehicle is not None:
                self._start_transaction(evse, at_s)

    def _sample(self, at_s: float) -> None:
        if self.is_linked and self.is_powered:
            for number in self.evses:
                metered = self.reading(number, at_s)
                if metered is not None:
                    self._voice.say_reading(metered)
        self._agenda.add(at_s + self.traits.sample_interval_s, self._sample)
