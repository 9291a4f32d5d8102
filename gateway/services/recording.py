"""What of every cycle goes into the history: currents, limits and what was counted."""

from math import nan

from gateway.control.state import ConnectorBelief
from gateway.control.wiring import Wiring
from gateway.domain.electric import Phase
from gateway.ports import History
from gateway.services.base_load import base_now_a, metered_rows
from gateway.services.control_loop import Cycle

OF_A_PHASE = ("current_a", "available_a", "claimed_a")
BASE = "base_a"
OF_A_CONNECTOR = ("limit_a", "draw_l1_a", "draw_l2_a", "draw_l3_a", "power_w")


class Recorder:
    """Gives the history one value for each series a cycle, in amperes and watts.

    Series are named `circuit/ID/L1/current_a` and `connector/CP-01/1/limit_a`; `current_a` is
    signed as the meter has it, import positive. `base_a`, of circuits with a meter, is what the
    forecast learns from.
    """

    def __init__(self, history: History, wiring: Wiring) -> None:
        """Name the series: phases that a circuit does not have are left out."""
        self._history = history
        self._rows = [
            (3 * at + phase, at, int(phase))
            for at, circuit in enumerate(wiring.circuits)
            for phase in Phase
            if circuit.rating_ma[phase]
        ]
        self._metered = metered_rows(wiring)
        self.names = (
            *(
                f"circuit/{wiring.circuits[at].id}/{Phase(phase).name}/{what}"
                for _, at, phase in self._rows
                for what in OF_A_PHASE
            ),
            *base_names(wiring),
            *(
                f"connector/{connector.ref}/{what}"
                for connector in wiring.connectors
                for what in OF_A_CONNECTOR
            ),
        )

    def note(self, cycle: Cycle) -> None:
        """Take what a complete cycle says."""
        survey, values = cycle.decision.survey, list[float]()
        for row, _, _ in self._rows:
            measured = survey.rows[row]
            current_ma = measured.current_ma
            values += (
                nan if current_ma is None else current_ma / 1_000,
                measured.available_ma / 1_000,
                survey.claimed_ma[row] / 1_000,
            )
        base_a = base_now_a(cycle)
        values += [base_a[row] for row in self._metered]
        reasons = cycle.decision.reasons
        for connector, belief in zip(
            cycle.state.wiring.connectors, cycle.state.connectors, strict=True
        ):
            values.append(reasons[connector.ref].limit_ma / 1_000)
            values += _draw_of(belief)
        self._history.sample(self.names, values)


def base_names(wiring: Wiring) -> tuple[str, ...]:
    """Return the names under which base is kept, in the order of `metered_rows`."""
    return tuple(
        f"circuit/{wiring.circuits[row // 3].id}/{Phase(row % 3).name}/{BASE}"
        for row in metered_rows(wiring)
    )


def _draw_of(belief: ConnectorBelief) -> tuple[float, float, float, float]:
    """Return a connector's last reading, as far as it told: amperes for each phase, and watts."""
    if not belief.draws:
        return nan, nan, nan, nan
    draw = belief.draws[-1]
    power_w = nan if draw.power_w is None else draw.power_w
    if draw.current_ma is None:
        return nan, nan, nan, power_w
    l1, l2, l3 = draw.current_ma
    return l1 / 1_000, l2 / 1_000, l3 / 1_000, power_w
