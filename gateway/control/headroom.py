"""How much current is left on every phase of every circuit: subtract lows, count highs.

For each row (a phase of a circuit), with T the circuit's reading and every connector believed
to draw within [low, high] (design §3):

    base_high = max(0, T - sum of lows)
    available = bound - base_high - reserve
    sum of highs <= available
"""

from dataclasses import dataclass

from gateway.control.attribution import Attribution, Readings
from gateway.control.bounds import (
    counted_draw,
    fallback_ma,
    high_ma,
    is_idle,
    is_overdrawn,
    is_unsteady,
    low_ma,
    mask_of,
    reading_is_current,
)
from gateway.control.rows import Row, row_of
from gateway.control.state import SiteState
from gateway.control.three_phase import within_three_phase_bounds
from gateway.control.wants import Claims
from gateway.control.wiring import Mask
from gateway.domain.electric import NOTHING, PerPhase

ENDLESS_S = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Every row and every connector's part in it, at one instant."""

    rows: list[Row]
    high_ma: list[int]
    """Per connector: the most it may draw, on each of its phases."""
    low_ma: list[PerPhase]
    """Per connector: what it surely draws, on the supply's phases."""
    overdrawn: list[bool]
    """Per connector: whether it draws more than any limit that may be in force."""
    masks: list[Mask]
    """Per connector: the phases that count."""
    claimed_ma: list[int]
    """Per row: the sum of highs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """Every connector's part; the sums are per row, of connectors on the circuit itself."""

    readings: Readings
    overdrawn: list[bool]
    masks: list[Mask]
    claimed_ma: list[int]
    lows_ma: list[int]
    idle_ma: list[int]
    """Per row: the largest fallback of an idle connector anywhere below."""
    told_at_s: list[float]
    """Per circuit: the oldest sample counted on the circuit itself."""


def survey(state: SiteState, now_s: float) -> Survey:
    """Return every row's arithmetic and every connector's claim."""
    wiring, counted = state.wiring, _counted(state, now_s)
    attribution = Attribution(state, counted.readings)
    told_at_s = counted.told_at_s
    for circuit, path in enumerate(wiring.above):
        for higher in path:
            told_at_s[higher] = min(told_at_s[higher], told_at_s[circuit])
    rows = []
    lows_ma = wiring.with_all_below(counted.lows_ma)
    claimed_ma = wiring.with_all_below(counted.claimed_ma)
    for at, (lows, idle) in enumerate(zip(lows_ma, counted.idle_ma, strict=True)):
        changes = state.circuits[at // 3].phases[at % 3].changes
        if changes and changes[-1].at_s >= told_at_s[at // 3]:
            corrected = attribution.corrected(at, told_at_s[at // 3])
            lows = min(lows, corrected.lows_ma) + corrected.given_ma  # noqa: PLW2901
        rows.append(row_of(state, at, lows, idle, now_s))
    claims = Claims(
        high_ma=counted.readings.high_ma,
        masks=counted.masks,
        overdrawn=counted.overdrawn,
        claimed_ma=claimed_ma,
    )
    return Survey(
        rows=within_three_phase_bounds(state, rows, claims, now_s),
        high_ma=counted.readings.high_ma,
        low_ma=counted.readings.low_ma,
        overdrawn=counted.overdrawn,
        masks=counted.masks,
        claimed_ma=claimed_ma,
    )


def _counted(state: SiteState, now_s: float) -> _Counted:
    """Return what is counted of every connector."""
    wiring, parameters, stations = state.wiring, state.parameters, state.stations
    count, circuits_read_at_s = len(wiring.rating_ma), _read_at_s(state, now_s)
    claimed_ma, lows_ma, idle_ma = [0] * count, [0] * count, [0] * count
    told_at_s = [ENDLESS_S] * len(wiring.circuits)
    highs_ma: list[int] = []
    overdrawn: list[bool] = []
    masks: list[Mask] = []
    low_of: list[PerPhase] = []
    read_at_s: list[float] = []
    for at, connector in enumerate(wiring.connectors):
        belief, station = state.connectors[at], stations[connector.ref.station]
        circuit, counted_at_s, low, is_over = wiring.paths[at][0], -ENDLESS_S, NOTHING, False
        if belief.draws:
            is_current = reading_is_current(belief, station, parameters, now_s)
            is_over = is_current and is_overdrawn(connector, belief, station, parameters)
            is_current = is_current and not is_unsteady(station, parameters, now_s)
            draw = counted_draw(belief, circuits_read_at_s[circuit])
            low = low_ma(draw, parameters, is_current=is_current)
            counted_at_s = -ENDLESS_S if draw is None else draw.at_s
        high = high_ma(connector, belief, station, parameters, now_s, is_over=is_over)
        mask = wiring.wired[at]
        if not is_unsteady(station, parameters, now_s):
            mask = mask_of(belief, station, mask)
        highs_ma.append(high)
        overdrawn.append(is_over)
        masks.append(mask)
        low_of.append(low)
        read_at_s.append(counted_at_s)
        if high:
            for row in wiring.own_rows[at][mask]:
                claimed_ma[row] += high
            told_s = counted_at_s - parameters.sample_age_s
            if low is NOTHING:  # Before it began there was nothing to fall.
                told_s = max(belief.started_at_s, told_s)
            told_at_s[circuit] = min(told_at_s[circuit], told_s)
            if low is not NOTHING:
                for row, low_of_phase in enumerate(low, 3 * circuit):
                    lows_ma[row] += min(high, low_of_phase)
        elif is_idle(belief):
            starts_ma = fallback_ma(connector, belief)
            for row in wiring.rows[at][mask]:
                idle_ma[row] = max(idle_ma[row], starts_ma)
    return _Counted(
        readings=Readings(low_ma=low_of, high_ma=highs_ma, read_at_s=read_at_s),
        overdrawn=overdrawn,
        masks=masks,
        claimed_ma=claimed_ma,
        lows_ma=lows_ma,
        idle_ma=idle_ma,
        told_at_s=told_at_s,
    )


def _read_at_s(state: SiteState, now_s: float) -> list[float]:
    """Return, per circuit, when the oldest of the readings of it and of those above is from."""
    wiring = state.wiring
    own_s = [
        now_s if circuit.meter is None else min([phase.read_at_s for phase in measured.phases])
        for circuit, measured in zip(wiring.circuits, state.circuits, strict=True)
    ]
    return [
        min([read_s, *[own_s[higher] for higher in path]])
        for read_s, path in zip(own_s, wiring.above, strict=True)
    ]
