"""What readings have shown of how far above its limit a connector settles: more of that nobody can know."""

from dataclasses import dataclass, field

from drivers.sim.kept import WATTS_COUNT_RATIO
from drivers.sim.plant import Plant
from drivers.sim.scenario import Visit
from drivers.sim.station import Station
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered
from gateway.domain.ids import ConnectorRef

SETTLED_S = 13.0  # A station 5 s, a vehicle 6 s (IEC 61851-1), a sample that is 2 s old.
OVER_A, OVER_RATIO = 1.0, 0.05  # What is nearer to its limit than this is imprecise (design §3).
CHARGING_A = 4.5  # What a phase carries that is charged on, offered 6 A (IEC 61851-1).
METER_RATIO = 1.01  # A voltage may be 1 % more than its meter tells,
HIGHEST_RATIO = 1.1  # and without one a tenth above the nominal one (EN 50160).
USED_RATIO, USED_A = 0.95, 1.0  # Who draws so much less than it may does not tell what it would.
APART_A = 2.0


@dataclass(slots=True)
class ShownExcess:
    """Goes by what stations truly tell.

    A vehicle that has not begun yet, or whose station tells nothing of its draw, shows nothing: what
    that draws beyond its limit is in the reserve until it flows, and in base then. What was shown
    holds for the vehicle's stay, though its station fall silent; of a station that gives more than
    it is told, for later vehicles as well, until one keeps to two limits 2 A apart (ADR 0037).
    """

    _shown_a: dict[ConnectorRef, float] = field(default_factory=dict)
    _visits: dict[ConnectorRef, Visit] = field(default_factory=dict)
    _limits: dict[ConnectorRef, tuple[float, float]] = field(default_factory=dict)
    """Per connector: its limit in force, and since when it is kept to."""
    _kept_to_a: dict[ConnectorRef, float | None] = field(default_factory=dict)
    """Per connector: what its vehicle kept to first; None once it has shown more."""

    def hear(self, metered: ConnectorMetered, plant: Plant) -> None:
        """Take note of a reading that has reached the gateway."""
        ref, station = metered.connector, plant.world.stations[metered.connector.station]
        if station.hides_its_draw or not station.evses[ref.number].is_served:
            return
        limit_a, since_s = self._limits.get(ref, (0.0, metered.at_s))
        if metered.at_s - since_s < SETTLED_S:
            return
        allowed_a, told_a = _allowed_a(limit_a, station), _told_a(metered, plant, station)
        if told_a - allowed_a > max(OVER_A, OVER_RATIO * allowed_a):
            self._shown_a[ref] = max(self._shown_a.get(ref, 0.0), told_a - allowed_a)
            self._kept_to_a[ref] = None
        elif told_a >= allowed_a * USED_RATIO - USED_A:
            kept_to_a = self._kept_to_a.setdefault(ref, allowed_a)
            if kept_to_a is not None and abs(allowed_a - kept_to_a) >= APART_A:
                self._shown_a[ref] = 0.0

    def look(self, plant: Plant) -> None:
        """Take note, each second, of the limits in force and of who has come."""
        for station in plant.world.stations.values():
            for evse in station.evses.values():
                ref = evse.connector.ref
                is_same = ref in self._limits and self._limits[ref][0] == evse.limit_a
                if evse.held_a is not None or not is_same:
                    self._limits[ref] = evse.limit_a, plant.now_s
                if evse.visit is not None and self._visits.get(ref) is not evse.visit:
                    self._visits[ref] = evse.visit
                    self._kept_to_a.pop(ref, None)
                    self._shown_a[ref] = min(self._shown_a.get(ref, 0.0), evse.offset_a)

    def beyond_a(self, plant: Plant) -> dict[ConnectorRef, float]:
        """Return how far above its limit in force each connector may be known to draw."""
        return {
            ref: _allowed_a(limit_a, plant.world.stations[ref.station])
            - limit_a
            + self._shown_a.get(ref, 0.0)
            for ref, (limit_a, _) in self._limits.items()
        }

    def forget(self) -> None:
        """Begin anew with a gateway that remembers nothing."""
        self._shown_a.clear()
        self._kept_to_a.clear()


def _allowed_a(limit_a: float, station: Station) -> float:
    """Return what a limit may allow; of one in watts, at the lowest voltage."""
    in_watts = RateUnit.AMPERES not in station.store.rate_units
    return limit_a * WATTS_COUNT_RATIO if in_watts else limit_a


def _told_a(metered: ConnectorMetered, plant: Plant, station: Station) -> float:
    """Return the current per phase that a reading tells; of power alone, the least it may be.

    That is at the highest voltage, on the most phases it may be of (ADR 0042).
    """
    told_a = [amps for amps in metered.current_a if amps is not None]
    if told_a:
        return max(told_a)
    scenario, evse = plant.world.scenario, station.evses[metered.connector.number]
    nominal_v, phases = scenario.site.voltage_v, evse.connector.phases
    power_w = metered.power_w or 0.0
    # The next reading may be a little more, and of one phase more by that.
    may_be_w = power_w * (1.0 + OVER_RATIO)
    most_count = min(len(phases), max(1, int(may_be_w / nominal_v // CHARGING_A)))
    metered_v = max(scenario.voltage_v[phase] for phase in phases) * METER_RATIO
    above = plant.world.judge.connectors[metered.connector].circuits
    meters = [watch.wires.circuit.meter for watch in above]
    is_blind = any(plant.world.meters[meter].faults for meter in meters if meter is not None)
    highest_v = nominal_v * HIGHEST_RATIO if is_blind else max(metered_v, nominal_v)
    return power_w / (highest_v * most_count)
