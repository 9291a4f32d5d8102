"""What may be promised of every row, slot by slot: bounds less base less what control keeps free."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gateway.control.bounds import tolerance_ma
from gateway.control.parameters import ControlParameters
from gateway.control.three_phase import HIGHEST_VOLTAGE_RATIO
from gateway.control.wiring import Wiring
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.limits import Constraint
from gateway.planning.grid import Grid
from gateway.planning.room import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What rows will have for connectors: `available_ma` is (rows, slots).

    `base_paths_ma` tells for the rows whose base is forecast how much more base than was taken
    off each scenario has, (scenarios, slots); less is negative. `unmeasured_ma` is what was taken off
    for base of which too little is known to tell how much of it will be drawn, by row, (slots).
    """

    available_ma: Ints
    base_paths_ma: Mapping[int, Ints] = field(default_factory=dict)
    unmeasured_ma: Mapping[int, Ints] = field(default_factory=dict)


class Prospects(Protocol):
    """Who tells what rows will have."""

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        """Return what rows have in the slots of a grid that begins at the epoch second."""

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        """Return the epoch seconds between two at which what rows have changes by the calendar."""


class WorstCase:
    """What is left when base is at its declared worst, for ever: forecasts are not needed."""

    def __init__(self, wiring: Wiring, parameters: ControlParameters) -> None:
        """Take the site."""
        self._wiring, self._parameters = wiring, parameters

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        """See `Prospects`; the limits that hold now are taken to hold on."""
        del from_at_s
        of_rows_ma = promisable_ma(self._wiring, self._parameters, constraints)
        worst_ma = enumerate(self._wiring.worst_case_ma)
        return Prospect(
            available_ma=np.repeat(of_rows_ma[:, np.newaxis], grid.slot_count, axis=1),
            unmeasured_ma={row: np.full(grid.slot_count, ma) for row, ma in worst_ma},
        )

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        """See `Prospects`; calendars are not looked at."""
        del since_at_s, until_at_s
        return []


def promisable_ma(
    wiring: Wiring, parameters: ControlParameters, constraints: Iterable[Constraint] = ()
) -> Ints:
    """Return per row what is left for connectors when base is at its declared worst.

    Off the set-point, or an outside limit below it, go base and loads at their worst and, where
    a meter tells control what base is, the reserve that control keeps free above it.
    """
    bound_ma = bounded_ma(wiring, constraints)
    reserve_ma = np.array(
        [unlearnt_reserve_ma(wiring, parameters, row) for row in range(len(bound_ma))]
    )
    left_ma: Ints = bound_ma - np.array(wiring.worst_case_ma) - reserve_ma
    return left_ma


def bounded_ma(wiring: Wiring, constraints: Iterable[Constraint]) -> Ints:
    """Return per row the set-point, or an outside limit where one is below it.

    A limit on the power of all phases is a third of it on each, at the highest voltage there may
    be: so whatever phases vehicles use, together they stay within it.
    """
    bound_ma = np.array(wiring.set_point_ma, dtype=np.int64)
    highest_v = HIGHEST_VOLTAGE_RATIO * wiring.site.voltage_v
    for circuit_at, circuit in enumerate(wiring.circuits):
        if circuit.power_limit_va is not None:
            third_ma = int(circuit.power_limit_va * 1_000 / highest_v) // 3
            of_circuit = slice(3 * circuit_at, 3 * circuit_at + 3)
            bound_ma[of_circuit] = np.minimum(bound_ma[of_circuit], third_ma)
    for constraint in constraints:
        for circuit_at, circuit in enumerate(wiring.circuits):
            if constraint.subject == circuit.id:
                of_circuit = slice(3 * circuit_at, 3 * circuit_at + 3)
                bound_ma[of_circuit] = np.minimum(bound_ma[of_circuit], constraint.limit_ma)
    return bound_ma


def unlearnt_reserve_ma(wiring: Wiring, parameters: ControlParameters, row: int) -> int:
    """Return what control keeps free on a row while it has not learnt how fast base rises there."""
    if wiring.circuits[row // 3].meter is None:
        return 0
    return int(wiring.rating_ma[row] * parameters.reserve_at_first_ratio)


def unused_ma(wiring: Wiring, parameters: ControlParameters, row: int, left_ma: Ints) -> Ints:
    """Return what control leaves unused of what a metered row has for connectors, slot by slot.

    Readings of connectors count low, and what they draw within their tolerance counts as base;
    and by less than the dead-band nobody is raised. Everybody who draws takes the minimum at least,
    so where little is left there are few.
    """
    circuit, phase = divmod(row, 3)
    of_all_ma = sum(
        tolerance_ma(wiring.connectors[at].max_ma, parameters)
        for at in wiring.below[circuit]
        if wiring.wired[at][phase]
    )
    of_few_ma = np.maximum(0, left_ma) * tolerance_ma(MIN_CHARGING_MA, parameters)
    unused: Ints = np.minimum(of_all_ma, of_few_ma // MIN_CHARGING_MA) + parameters.dead_band_ma
    return unused
