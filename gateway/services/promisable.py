"""What may be promised of every row: what is left in the worst case, so that forecasts are not needed."""

from collections.abc import Iterable

import numpy as np

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.limits import Constraint
from gateway.planning.room import Ints


def promisable_ma(
    wiring: Wiring, parameters: ControlParameters, constraints: Iterable[Constraint] = ()
) -> Ints:
    """Return per row what is left for connectors when base is at its declared worst.

    Off the set-point, or an outside limit below it, go base and loads at their worst and, where
    a meter tells control what base is, the reserve that control keeps free above it.
    """
    bound_ma = list(wiring.set_point_ma)
    for constraint in constraints:
        for circuit_at, circuit in enumerate(wiring.circuits):
            if constraint.subject == circuit.id:
                for phase, limit_ma in enumerate(constraint.limit_ma):
                    row = 3 * circuit_at + phase
                    bound_ma[row] = min(bound_ma[row], limit_ma)
    left_ma = [
        bound - wiring.worst_case_ma[row] - _reserve_ma(wiring, parameters, row)
        for row, bound in enumerate(bound_ma)
    ]
    return np.array(left_ma, dtype=np.int64)


def _reserve_ma(wiring: Wiring, parameters: ControlParameters, row: int) -> int:
    if wiring.circuits[row // 3].meter is None:
        return 0
    return int(wiring.rating_ma[row] * parameters.reserve_unlearnt_ratio)
