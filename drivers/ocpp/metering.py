"""What meter values say in amperes, watts, watt-hours and per cent, whatever its form."""

from collections.abc import Sequence
from functools import lru_cache
from math import nan
from typing import Final, NamedTuple, Protocol

REGISTER: Final = "Energy.Active.Import.Register"
"""What a connector has given in all, as its meter shows it."""

# What one of a unit is in ours; a unit left out is ours.
_AMPERES: Final = {None: 1.0, "": 1.0, "A": 1.0, "mA": 0.001, "kA": 1_000.0}
_WATTS: Final = {None: 1.0, "": 1.0, "W": 1.0, "kW": 1_000.0, "MW": 1_000_000.0}
_WATT_HOURS: Final = {None: 1.0, "": 1.0, "Wh": 1.0, "kWh": 1_000.0, "MWh": 1_000_000.0}
_PER_CENT: Final = {None: 1.0, "": 1.0, "Percent": 1.0, "%": 1.0}

# Four places a quantity: its three phases, and the whole where no phase is named.
_PHASES: Final = {"L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2, "": 3, None: 3}
_CURRENT, _POWER, _ENERGY, _CHARGE = 0, 4, 8, 12
_PLACES: Final = 16

# The first place, the units, and beyond what no connector is.
_QUANTITIES: Final = {
    "Current.Import": (_CURRENT, _AMPERES, 2_000.0),
    "Power.Active.Import": (_POWER, _WATTS, 2_000_000.0),
    REGISTER: (_ENERGY, _WATT_HOURS, 1e12),
    None: (_ENERGY, _WATT_HOURS, 1e12),  # 1.6 §7.31: the default measurand.
    "SoC": (_CHARGE, _PER_CENT, 100.0),
}
# 1.6 §7.30: what is measured there is not what the connector draws.
_ELSEWHERE: Final = frozenset({"EV", "Body"})

# What we want of every station, the most needed first: what has no room is left off the end.
MEASURANDS: Final = (
    "Current.Import",
    "Power.Active.Import",
    REGISTER,
    "SoC",
)

Phases = tuple[float | None, float | None, float | None]


class SampledValue(Protocol):
    """One value: 1.6 §7.43, or 2.0.1 §2.41 once its multiplier is in it."""

    @property
    def value(self) -> str | float:
        """Return the value; it may be no number."""

    @property
    def measurand(self) -> str | None:
        """Return what was measured."""

    @property
    def phase(self) -> str | None:
        """Return the phase it was measured on."""

    @property
    def unit(self) -> str | None:
        """Return the unit of the value."""

    @property
    def location(self) -> str | None:
        """Return where it was measured."""

    @property
    def format(self) -> str | None:
        """Return how the value is written."""


class MeterValue(Protocol):
    """Values taken at one time."""

    @property
    def sampled_value(self) -> Sequence[SampledValue]:
        """Return the values."""


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

    A fuse feels the size of a current: a clamp the wrong way round makes it no less.

    Later values of a kind replace earlier ones. Currents go to the connector's own phases; one
    that names no phase is L1's if no other names it. Power and energy are totals, or the sum
    of the phases where no total is given. Signed data, other measurands and other places than
    the outlet are passed over; what should be a number and is none ("", "1,5", "NaN"), is out
    of any range or in an unknown unit is dropped and counted.
    """
    found: list[float | None] = [None] * _PLACES
    dropped = 0
    for meter_value in values:
        for sample in meter_value.sampled_value:
            place = _find_place(
                sample.measurand, sample.phase, sample.unit, sample.location, sample.format
            )
            if place is None:
                continue
            try:
                number = float(sample.value) * place.factor
            except ValueError:
                number = nan
            if -place.largest <= number <= place.largest:  # Not so if it is no number.
                found[place.slot] = number
            else:
                dropped += 1
    l1, l2, l3, whole = (None if a is None else abs(a) for a in found[_CURRENT:_POWER])
    if l1 is None and l2 is None and l3 is None:
        l1 = whole
    return Measured(
        (l1, l2, l3),
        _total(found[_POWER:_ENERGY]),
        _total(found[_ENERGY:_CHARGE]),
        found[_PLACES - 1],
        dropped,
    )


class _Place(NamedTuple):
    """Where a value goes, what one of its unit is in ours, and the largest that can be."""

    slot: int
    factor: float
    largest: float


@lru_cache(maxsize=1_024)
def _find_place(
    measurand: str | None,
    phase: str | None,
    unit: str | None,
    location: str | None,
    form: str | None,
) -> _Place | None:
    """Return the place of a kind of value, None if it is not for us."""
    quantity = _QUANTITIES.get(measurand)
    offset = _PHASES.get(phase)  # None for the neutral, or between two phases.
    if quantity is None or offset is None or form == "SignedData":
        return None
    first, units, largest = quantity
    # A vehicle knows its own state of charge best; what it draws is measured at the outlet.
    if location in _ELSEWHERE and first != _CHARGE:
        return None
    return _Place(first + offset, units.get(unit, nan), largest)


def _total(places: list[float | None]) -> float | None:
    *phases, whole = places
    if whole is not None:
        return whole
    known = [value for value in phases if value is not None]
    return sum(known) if known else None


def offer_measurands(told: str, *, room_count: int) -> tuple[str, ...]:
    """Return the lists of measurands to offer a station until it takes one, the best first.

    `told` is the list it has now: when that says enough, nothing is offered.
    """
    wanted = MEASURANDS[: max(0, room_count)]
    if {word.strip() for word in told.split(",")}.issuperset(wanted):
        return ()
    return tuple(",".join(wanted[:n]) for n in range(len(wanted), 0, -1))
