"""A circuit's power meter, as true as its class and as wrong as its faults."""

from random import Random
from typing import Protocol

from drivers.sim.faults import Fault, FaultKind
from gateway.domain.circuits import Meter
from gateway.domain.metering import MeterReading

AVERAGED_OVER_S = 0.5
LATENCY_S = (0.05, 0.4)
TIMEOUT_S = 0.5
NOISE_RATIO = 0.001  # Standard deviation, of the rating: a band of about ±0.3 %.


class Metered(Protocol):
    """The wires a meter is clamped on."""

    rating_a: list[float]

    def charge_as(self, at_s: float) -> tuple[float, float, float]:
        """Return the ampere-seconds that have flowed on each phase until `at_s`."""

    def energy_wh(self, at_s: float) -> float:
        """Return the energy imported until `at_s`."""

    def power_factor(self, phase: int) -> float:
        """Return real over apparent power on a phase now."""


class CircuitMeter:
    """A meter that averages over `AVERAGED_OVER_S`: `open_window`, and half a second later `read`.

    While lost it gives no answer; while frozen it repeats its last values to the last bit; while
    NaN it answers without values; while miswired it shows a part of what flows, or its reverse.
    """

    def __init__(
        self,
        declared: Meter,
        wires: Metered,
        *,
        voltage_v: tuple[float, float, float],
        rng: Random,
    ) -> None:
        """Clamp it on `wires`."""
        self.declared = declared
        self.faults: list[Fault] = []
        self.rng = rng
        self._wires = wires
        self._voltage_v = voltage_v
        self._opened_s = 0.0
        self._opened_as = (0.0, 0.0, 0.0)
        self._last: MeterReading | None = None

    def has(self, kind: FaultKind) -> bool:
        """Return whether a fault of this kind is on."""
        return any(fault.kind is kind for fault in self.faults)

    @property
    def is_answering(self) -> bool:
        """Return whether a poll gets an answer at all."""
        return not self.has(FaultKind.METER_LOST)

    def open_window(self, at_s: float) -> None:
        """Begin to average."""
        self._opened_s = at_s
        self._opened_as = self._wires.charge_as(at_s)

    def read(self, at_s: float) -> MeterReading:
        """Return what the meter shows at `at_s`: the mean since `open_window`, and its noise."""
        last = self._last
        if last is not None and self.has(FaultKind.METER_FROZEN):
            return MeterReading(
                meter=last.meter,
                at_s=at_s,
                current_a=last.current_a,
                power_w=last.power_w,
                voltage_v=last.voltage_v,
                import_energy_wh=last.import_energy_wh,
            )
        if self.has(FaultKind.METER_NAN):
            nothing = (None, None, None)
            return MeterReading(
                meter=self.declared.id,
                at_s=at_s,
                current_a=nothing,
                power_w=nothing,
                voltage_v=nothing,
            )
        lasts_s = at_s - self._opened_s
        if last is not None and lasts_s <= 0.0:
            return last
        charge_as = self._wires.charge_as(at_s)
        gauss = self.rng.gauss
        one_a, two_a, three_a = (
            max(
                0.0,
                (charge_as[p] - self._opened_as[p]) / lasts_s
                + gauss(0.0, NOISE_RATIO * self._wires.rating_a[p]),
            )
            for p in (0, 1, 2)
        )
        shown = self._shown_ratio()
        one_w, two_w, three_w = (
            amps * shown * self._voltage_v[p] * self._wires.power_factor(p)
            for p, amps in enumerate((one_a, two_a, three_a))
        )
        self._last = MeterReading(
            meter=self.declared.id,
            at_s=at_s,
            current_a=(one_a * abs(shown), two_a * abs(shown), three_a * abs(shown)),
            power_w=(one_w, two_w, three_w),
            voltage_v=self._voltage_v,
            import_energy_wh=self._wires.energy_wh(at_s),
        )
        return self._last

    def _shown_ratio(self) -> float:
        """Return what its clamps show of what flows: 1 as they should be, -1 the wrong way round."""
        wrong = [f.value for f in self.faults if f.kind is FaultKind.METER_MISWIRED]
        return wrong[-1] if wrong else 1.0
