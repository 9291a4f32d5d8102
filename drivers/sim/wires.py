"""The wires of a circuit: what flows in them, from which the meter and the breaker take theirs."""

from math import sqrt

from drivers.sim.breaker import Breaker
from gateway.domain.circuits import Circuit

BASE_POWER_FACTOR = 0.95  # Of the base load; vehicles draw at unity.


class Wires:
    """One circuit's true currents, constant from change to change.

    `current_a` is all that flows on each phase, `base_a` the part that is not vehicles; both
    include the circuits below. `row` is the index of its first phase among all rows.
    """

    __slots__ = (
        "_at_s",
        "_charge_as",
        "_energy_ws",
        "_voltage_v",
        "base_a",
        "breaker",
        "circuit",
        "current_a",
        "rating_a",
        "row",
        "set_point_a",
    )

    def __init__(
        self, circuit: Circuit, *, row: int, voltage_v: tuple[float, float, float]
    ) -> None:
        self.circuit = circuit
        self.row = row
        self.rating_a = [rating / 1_000 for rating in circuit.rating_ma]
        self.set_point_a = [rating * circuit.set_point_ratio for rating in self.rating_a]
        self.breaker = Breaker.of(circuit)
        self.current_a = [0.0, 0.0, 0.0]
        self.base_a = [0.0, 0.0, 0.0]
        self._voltage_v = voltage_v
        self._at_s = 0.0
        self._charge_as = [0.0, 0.0, 0.0]
        self._energy_ws = 0.0

    def carry(self, to_s: float) -> None:
        """Let the present currents flow until `to_s`."""
        lasts_s = to_s - self._at_s
        if lasts_s <= 0.0:
            return
        current_a = self.current_a
        base_a = self.base_a
        charge_as = self._charge_as
        voltage_v = self._voltage_v
        power_w = 0.0
        for phase in (0, 1, 2):
            amps = current_a[phase]
            charge_as[phase] += amps * lasts_s
            power_w += voltage_v[phase] * (amps - (1.0 - BASE_POWER_FACTOR) * base_a[phase])
        self._energy_ws += power_w * lasts_s
        self.breaker.carry(current_a, to_s)
        self._at_s = to_s

    def shift_vehicle(self, phases: tuple[int, ...], delta_a: float, at_s: float) -> None:
        """Change what vehicles draw, on each of `phases`, from `at_s` on."""
        self.carry(at_s)
        for phase in phases:
            self.current_a[phase] += delta_a

    def set_base(self, base_a: list[float], at_s: float) -> None:
        """Change the base, the circuits below included, from `at_s` on."""
        self.carry(at_s)
        for phase in (0, 1, 2):
            self.current_a[phase] += base_a[phase] - self.base_a[phase]
            self.base_a[phase] = base_a[phase]

    def charge_as(self, at_s: float) -> tuple[float, float, float]:
        """Return the ampere-seconds that have flowed on each phase until `at_s`."""
        self.carry(at_s)
        one, two, three = self._charge_as
        return one, two, three

    def energy_wh(self, at_s: float) -> float:
        """Return the energy imported until `at_s`."""
        self.carry(at_s)
        return self._energy_ws / 3_600.0

    def apparent_va(self) -> float:
        """Return the apparent power of the three phases now."""
        return sum(v * abs(a) for v, a in zip(self._voltage_v, self.current_a, strict=True))

    def neutral_a(self) -> float:
        """Return what the neutral carries now, with phasors at 120° and no harmonics."""
        a, b, c = self.current_a
        return sqrt(max(0.0, a * a + b * b + c * c - a * b - b * c - c * a))

    def imbalance_a(self) -> float:
        """Return how much more the most loaded phase carries than the least."""
        return max(self.current_a) - min(self.current_a)

    def spare_a(self, phase: int) -> float:
        """Return how far a phase is below its set-point now."""
        return self.set_point_a[phase] - self.current_a[phase]

    def power_factor(self, phase: int) -> float:
        """Return real over apparent power on a phase now."""
        amps = self.current_a[phase]
        return 1.0 - (1.0 - BASE_POWER_FACTOR) * self.base_a[phase] / amps if amps else 1.0
