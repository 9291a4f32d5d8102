"""One connector of a simulated station, as the plant sees it."""

from math import floor, inf

from drivers.sim.scenario import Visit
from drivers.sim.vehicle import MIN_OFFER_A, Vehicle
from gateway.domain.charging import ChargingState
from gateway.domain.circuits import Connector
from gateway.domain.ids import TransactionId


class Evse:
    """One connector of a station: its limit, its pilot, and the vehicle on it, if any."""

    __slots__ = (
        "boundary_s",
        "charging_state",
        "connector",
        "energy_wh",
        "held_a",
        "is_leased",
        "is_pilot_due",
        "lease_until_s",
        "leased_at_s",
        "limit_a",
        "max_a",
        "offers_whole_amps",
        "offset_a",
        "pilot_a",
        "started_s",
        "transaction",
        "used_phases",
        "vehicle",
        "visit",
        "wake_s",
    )

    def __init__(
        self, connector: Connector, *, offset_a: float = 0.0, offers_whole_amps: bool = False
    ) -> None:
        self.connector = connector
        self.offset_a = offset_a  # What it lets flow beyond its limit.
        self.offers_whole_amps = offers_whole_amps
        self.max_a = connector.max_ma / 1_000
        self.limit_a = self.max_a  # In force by the stored profiles.
        self.pilot_a = 0.0
        self.held_a: float | None = None  # What a disobedient station offers instead.
        self.is_leased = False  # The limit in force is a TxProfile's.
        self.leased_at_s = -inf  # When a TxProfile was last accepted,
        self.lease_until_s = inf  # and when it should lapse, if its sender said.
        self.is_pilot_due = False
        self.boundary_s = inf  # When the stored profiles may next change the limit.
        self.wake_s = inf  # When the vehicle is next looked at.
        self.vehicle: Vehicle | None = None
        self.visit: Visit | None = None
        self.transaction: TransactionId | None = None
        self.started_s = -inf
        self.charging_state: ChargingState | None = None
        self.used_phases: tuple[int, ...] = ()
        self.energy_wh = 0.0  # Of the vehicles gone; the register is this plus the present one's.

    @property
    def draw_a(self) -> float:
        """Return the current on each of `used_phases`."""
        return 0.0 if self.vehicle is None else self.vehicle.draw_a

    @property
    def excess_a(self) -> float:
        """Return how far above its limit the vehicle there may settle, whatever the limit."""
        least_a = 0.0 if self.vehicle is None else self.vehicle.traits.least_a
        return max(self.offset_a, least_a - MIN_OFFER_A)

    @property
    def reach_a(self) -> float:
        """Return what may flow by the limit in force: beyond that, no more than its vehicle would take."""
        if self.vehicle is None or not self.is_served:
            return self.limit_a
        return max(self.limit_a, self.vehicle.most_of_a(self.offered_a(self.limit_a)))

    def offered_a(self, limit_a: float) -> float:
        """Return what a vehicle is offered under a limit."""
        within_a = float(floor(limit_a + 1e-9)) if self.offers_whole_amps else limit_a
        return within_a + self.offset_a if within_a >= MIN_OFFER_A else 0.0

    @property
    def is_served(self) -> bool:
        """Return whether the limit in force lets a vehicle charge."""
        return self.limit_a >= MIN_OFFER_A

    @property
    def is_hungry(self) -> bool:
        """Return whether a vehicle is here, authorised, and would take at least the minimum."""
        return self.transaction is not None and self.vehicle is not None and self.vehicle.is_hungry
