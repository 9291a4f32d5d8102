"""Bounds that join the three phases of a circuit: apparent power, neutral, imbalance (design §3).

Each is told to the phases as a bound of their own, so that everything else stays a matter of
rows. RMS currents add as scalars, which errs upwards.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.control.levels import Filling
from gateway.control.rows import Row
from gateway.control.state import SiteState
from gateway.control.wants import Claims, wants_of
from gateway.domain.circuits import Circuit

HIGHEST_VOLTAGE_RATIO = 1.1  # EN 50160: the nominal voltage and 10 %.


class JoinedBy(StrEnum):
    """What joins the phases of a circuit, as it is named to people."""

    POWER = "the limit on power"
    NEUTRAL = "the neutral"
    IMBALANCE = "the limit on imbalance"


def within_three_phase_bounds(
    state: SiteState, rows: list[Row], claims: Claims, now_s: float
) -> list[Row]:
    """Return the rows, narrowed on circuits that declare such bounds."""
    total_ma: dict[int, int] = {}
    for at, circuit in enumerate(state.wiring.circuits):
        phases = slice(3 * at, 3 * at + 3)
        if circuit.neutral_ma is not None or circuit.imbalance_ma is not None:
            rows[phases] = _within_difference(circuit, rows[phases])
        if circuit.power_limit_va is not None:
            total_ma[at] = int(circuit.power_limit_va * 1_000 / _highest_voltage_v(state, at))
    if total_ma:
        levels = _Levels.of(state, rows, claims, total_ma, now_s)
        for at, ma in total_ma.items():
            phases = slice(3 * at, 3 * at + 3)
            bounds_ma = levels.split_ma(at, ma)
            rows[phases] = [
                _bound(row, bound_ma, JoinedBy.POWER)
                for row, bound_ma in zip(rows[phases], bounds_ma, strict=True)
            ]
    return rows


def _highest_voltage_v(state: SiteState, circuit: int) -> float:
    """Return the highest voltage measured on the circuit, else the highest it may be."""
    told_v = [phase.voltage_v for phase in state.circuits[circuit].phases]
    known_v = [voltage_v for voltage_v in told_v if voltage_v is not None]
    if len(known_v) == len(told_v):
        return max(known_v)
    return state.wiring.site.voltage_v * HIGHEST_VOLTAGE_RATIO


@dataclass(slots=True, kw_only=True)
class _Levels:
    """What flows at most on each row, and what would, were everything shared out anew.

    Both are per row, with base and reserve. `is_owed` are the circuits below which somebody has so
    much less than it would have that others are cut for it.
    """

    needs_ma: list[int]
    would_ma: list[int]
    is_owed: set[int]

    @staticmethod
    def of(
        state: SiteState, rows: list[Row], claims: Claims, total_ma: dict[int, int], now_s: float
    ) -> "_Levels":
        wiring, least_owed_ma = state.wiring, state.parameters.due_gap_ma
        kept_ma = [row.base_ma + row.reserve_ma + row.draw_ma for row in rows]
        needs_ma = [kept + ma for kept, ma in zip(kept_ma, claims.claimed_ma, strict=True)]
        wants = wants_of(state, claims, total_ma, now_s)
        would_ma = needs_ma.copy()
        for at in wants:
            for row in wiring.rows[at][claims.masks[at]]:
                would_ma[row] -= claims.high_ma[at]
        left_ma = [row.bound_ma - ma for row, ma in zip(rows, would_ma, strict=True)]
        for circuit, ma in total_ma.items():
            left_ma.append(ma - sum(would_ma[3 * circuit : 3 * circuit + 3]))
        filling = Filling(wants, left_ma, slack_ma=state.parameters.dead_band_ma)
        is_owed = set[int]()
        for at, level_ma in filling.fill().items():
            for row in wiring.rows[at][claims.masks[at]]:
                would_ma[row] += level_ma
            lacks_ma = level_ma - claims.high_ma[at]
            if lacks_ma >= (least_owed_ma if claims.high_ma[at] else wants[at].least_ma):
                is_owed.update(wiring.paths[at])
        return _Levels(needs_ma=needs_ma, would_ma=would_ma, is_owed=is_owed)

    def split_ma(self, circuit: int, total_ma: int) -> list[int]:
        """Return what each phase of a circuit may carry of its power: no more than that in all.

        What is left goes where it would be taken up. A phase that has more than it would have
        gives it up where that is owed, and where there is too little.
        """
        phases = slice(3 * circuit, 3 * circuit + 3)
        needs_ma, would_ma = self.needs_ma[phases], self.would_ma[phases]
        over_ma = sum(would_ma) - total_ma
        if over_ma > 0:
            return [ma + -over_ma // 3 for ma in would_ma]
        spare_ma = total_ma - sum(needs_ma)
        bounds_ma = needs_ma
        if spare_ma < 0 or circuit in self.is_owed:
            bounds_ma = [min(pair) for pair in zip(needs_ma, would_ma, strict=True)]
        more_ma = [max(0, ma - need) for ma, need in zip(would_ma, needs_ma, strict=True)]
        given_ma = min(max(0, spare_ma), sum(more_ma))
        rest_ma = max(0, spare_ma - given_ma) // 3
        return [
            bound + rest_ma + (more * given_ma // sum(more_ma) if more else 0)
            for bound, more in zip(bounds_ma, more_ma, strict=True)
        ]


def _within_difference(circuit: Circuit, rows: list[Row]) -> list[Row]:
    """Return the rows bound to what surely flows on the least loaded other phase, and a bit more.

    The neutral carries no more than the largest difference between two phases: with phasors at
    120° its square is a² + b² + c² - ab - bc - ca, at most (max - min)². Currents that harmonics
    or different power factors send down the neutral are not in that.
    """
    bounds = [
        (circuit.neutral_ma, JoinedBy.NEUTRAL),
        (circuit.imbalance_ma, JoinedBy.IMBALANCE),
    ]
    difference_ma, source = min((ma, name) for ma, name in bounds if ma is not None)
    flows_ma = [max(0, row.current_ma or 0) for row in rows]
    return [
        _bound(row, difference_ma + min(flows_ma[:phase] + flows_ma[phase + 1 :]), source)
        for phase, row in enumerate(rows)
    ]


def _bound(row: Row, bound_ma: int, source: str) -> Row:
    """Return the row with a bound, where that is tighter than what binds it."""
    if bound_ma >= row.bound_ma:
        return row
    available_ma = row.available_ma - row.bound_ma + bound_ma
    return row._replace(bound_ma=bound_ma, bound_source=source, available_ma=available_ma)
