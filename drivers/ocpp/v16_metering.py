"""What a 1.6 MeterValues says in amperes, watts, watt-hours and per cent, whatever its form."""

from collections.abc import Sequence
from math import isfinite
from typing import Final, NamedTuple

from drivers.ocpp.v16_messages import MeterValue, SampledValue

# What one value of a unit is in ours; a unit left out is ours.
_AMPERES: Final = {None: 1.0, "A": 1.0, "mA": 0.001, "kA": 1_000.0, "": 1.0}
_WATTS: Final = {None: 1.0, "W": 1.0, "kW": 1_000.0, "": 1.0, "MW": 1_000_000.0}
_WATT_HOURS: Final = {None: 1.0, "Wh": 1.0, "kWh": 1_000.0, "": 1.0, "MWh": 1_000_000.0}
_PER_CENT: Final = {None: 1.0, "Percent": 1.0, "%": 1.0, "": 1.0}

_PHASES: Final = {"L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2}
_WHOLE: Final = 3  # The place of a value that names no phase.

_QUANTITIES: Final = {
    "Current.Import": (0, _AMPERES),
    "Power.Active.Import": (1, _WATTS),
    "Energy.Active.Import.Register": (2, _WATT_HOURS),
    None: (2, _WATT_HOURS),  # 1.6 §7.31: the default measurand.
    "SoC": (3, _PER_CENT),
}
_ELSEWHERE: Final = frozenset({"EV", "Body"})  # 1.6 §7.30: not what the connector draws.
_LARGEST: Final = (2_000.0, 2_000_000.0, 1e12, 100.0)  # Beyond these no connector is.

Phases = tuple[float | None, float | None, float | None]


class Measured(NamedTuple):
    """The newest value of each kind; `dropped` counts the sampled values that said nothing."""

    current_a: Phases
    power_w: float | None
    energy_wh: float | None
    soc_pct: float | None
    dropped: int

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing in it for us."""
        return self[1:4] == (None, None, None) and self.current_a == (None, None, None)


def measure(values: Sequence[MeterValue]) -> Measured:
    """Return what the values of one connector say.

    Later values of a kind replace earlier ones. Currents go to the connector's own phases; one
    that names no phase is L1's if no other names it. Power and energy are totals, or the sum
    of the phases where no total is given. Signed data, other measurands and other places than
    the outlet are passed over; what should be a number and is none ("", "1,5", "NaN"), is out
    of any range or in an unknown unit is dropped and counted.
    """
    found: list[list[float | None]] = [[None] * 4 for _ in range(4)]
    dropped = 0
    for meter_value in values:
        for sample in meter_value.sampled_value:
            quantity = _QUANTITIES.get(sample.measurand)
            if quantity is None or sample.format == "SignedData":
                continue
            if sample.location in _ELSEWHERE:
                continue
            kind, units = quantity
            phase = sample.phase
            place = _PHASES.get(phase) if phase else _WHOLE
            if place is None:  # Neutral, or between two phases.
                continue
            number = _read_number(sample, units, _LARGEST[kind])
            if number is None:
                dropped += 1
            else:
                found[kind][place] = number
    currents, powers, energies, charge = found
    if currents[0] is None and currents[1] is None and currents[2] is None:
        currents[0] = currents[_WHOLE]
    return Measured(
        (currents[0], currents[1], currents[2]),
        _total(powers),
        _total(energies),
        charge[_WHOLE],
        dropped,
    )


def _read_number(
    sample: SampledValue, units: dict[str | None, float], largest: float
) -> float | None:
    factor = units.get(sample.unit)
    if factor is None:
        return None
    try:
        number = float(sample.value) * factor
    except ValueError:
        return None
    # A fuse feels the size of a current; a clamp the wrong way round does not make it less.
    number = abs(number) if units is _AMPERES else number
    return number if isfinite(number) and -largest <= number <= largest else None


def _total(values: list[float | None]) -> float | None:
    if values[_WHOLE] is not None:
        return values[_WHOLE]
    known = [value for value in values[:_WHOLE] if value is not None]
    return sum(known) if known else None
