"""How much current is left on every phase of every circuit: subtract lows, count highs.

For each row (a phase of a circuit), with T the circuit's reading and every connector believed
to draw within [low, high] (design §3):

    base_high = max(0, T - sum of lows)
    available = bound - base_high - reserve - what promised loads may still add to base
    sum of highs <= available
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.control.attribution import Attribution
from gateway.control.bounds import (
    counted_limit_ma,
    draw_before,
    fallback_ma,
    high_ma,
    is_asleep,
    is_idle,
    is_mute,
    is_overdrawn,
    is_unsteady,
    low_ma,
    mask_of,
    may_start_ma,
    reading_is_current,
)
from gateway.control.rows import Row, row_of, with_mute
from gateway.control.state import NEVER_S, Draw, SiteState
from gateway.control.three_phase import within_three_phase_bounds
from gateway.control.wants import Claims
from gateway.control.wiring import Mask, Position
from gateway.domain.electric import NOTHING, PerPhase

ENDLESS_S = float("inf")

Part = tuple[int, PerPhase, bool, Mask, float]
"""What is counted of a connector: high, low, whether it is overdrawn, phases, when it was read."""


class Counted(NamedTuple):
    """What a survey is made of; the sums are of connectors on the circuit itself."""

    parts: list[Part]
    """Per connector."""
    claimed_ma: list[int]
    """Per row: the sum of highs."""
    lows_ma: list[int]
    """Per row: the sum of lows, no low above its high."""
    idle_ma: list[int]
    """Per row: the largest fallback of an idle connector anywhere below."""
    mute: list[Position]
    """Those that tell nothing, at stations not proven: what they may start is in the reserve."""
    asleep: list[Position]
    """Those that draw nothing, at stations not proven: what one of them may start is in it too."""
    told_at_s: list[float]
    """Per circuit: the oldest sample counted."""
    read_at_s: list[float]
    """Per circuit: when the oldest of the readings of it and of those above is from."""
    rows: list[Row]
    """Each by itself: before what joins the phases of a circuit."""


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
    kept_for: list[Position]
    """Those whose start the reserve keeps: they have their minimum out of it."""
    starting: dict[int, list[Position]]
    """Per row whose reserve keeps the start of any: whose that is."""
    counted: Counted
    """What all this was made of."""
    attribution: Attribution = field(compare=False, repr=False)
    """Whose the changes of circuits were taken to be."""


def survey(state: SiteState, now_s: float) -> Survey:
    """Return every row's arithmetic and every connector's claim."""
    count, read_at_s = len(state.circuits), _read_at_s(state, now_s)
    parts = [_part(state, at, read_at_s, now_s) for at in range(len(state.connectors))]
    stations, station_of = state.stations, state.wiring.station_of
    unproven = [at for at, of in enumerate(station_of) if not stations[of].is_proven]
    mute = _mute(state, unproven, now_s)
    counted = Counted(
        parts=parts,
        claimed_ma=[0, 0, 0] * count,
        lows_ma=[0, 0, 0] * count,
        idle_ma=_idle_ma(state, parts),
        mute=mute,
        asleep=_asleep(state, unproven, mute),
        told_at_s=[ENDLESS_S] * count,
        read_at_s=read_at_s,
        rows=[],
    )
    return _surveyed(state, counted, now_s)


def may_raise_by(state: SiteState, seen: Survey, row: int) -> bool:
    """Return whether a row's reading may be raised by: up to the fallbacks, though it is doubted."""
    parameters, of_row = state.parameters, seen.rows[row]
    if of_row.age_s is None or of_row.silent_s is None:
        return True
    is_capped = of_row.doubted_ma > 0 and of_row.age_s > parameters.stale_fallback_s
    age_s = of_row.silent_s if is_capped else of_row.age_s
    return age_s <= parameters.stale_no_raises_s


def survey_again(
    state: SiteState, seen: Survey, changed: Collection[Position], now_s: float
) -> Survey:
    """Return the survey of a state that differs from the one `seen` in limits of `changed` alone.

    Only they, and the circuits above them, are looked at again; nobody is idle who was not.
    """
    before = seen.counted
    counted = before._replace(
        parts=before.parts.copy(),
        claimed_ma=before.claimed_ma.copy(),
        lows_ma=before.lows_ma.copy(),
        told_at_s=before.told_at_s.copy(),
        rows=before.rows.copy(),
    )
    for at in changed:
        counted.parts[at] = _part(state, at, before.read_at_s, now_s)
    return _surveyed(state, counted, now_s, seen, changed)


def _surveyed(
    state: SiteState,
    counted: Counted,
    now_s: float,
    seen: Survey | None = None,
    changed: Collection[Position] = (),
) -> Survey:
    """Return the survey of what is counted, all of it; or only what `changed` since it was `seen`."""
    wiring = state.wiring
    nearest: Iterable[Position] = range(len(state.circuits))
    circuits = nearest
    if seen is not None:
        nearest = {wiring.paths[at][0] for at in changed}
        circuits = {circuit for at in changed for circuit in wiring.paths[at]}
    _sum_up(state, counted, nearest)
    told_at_s, rows = counted.told_at_s.copy(), counted.rows
    claimed_ma = wiring.with_all_below(counted.claimed_ma)
    lows_ma = wiring.with_all_below(counted.lows_ma)
    for told_s, path in zip(counted.told_at_s, wiring.above, strict=True):
        for higher in path:
            told_at_s[higher] = min(told_at_s[higher], told_s)
    of_parts = list(zip(*counted.parts, strict=True)) or [()] * 5
    highs_ma, low_of, overdrawn, masks, read_at_s = map(list, of_parts)
    unproven_ma, kept_for, starting = _unproven_ma(state, counted, now_s)
    attribution = Attribution(state, low_ma=low_of, high_ma=highs_ma, read_at_s=read_at_s)
    if seen is not None:
        attribution = seen.attribution.once_sent(state, highs_ma, changed)
    for circuit in circuits:
        for at, measured in enumerate(state.circuits[circuit].phases, 3 * circuit):
            given_ma = 0
            if measured.changes and measured.changes[-1].at_s >= told_at_s[circuit]:
                lows_ma[at], given_ma = attribution.corrected(
                    circuit, at % 3, told_at_s[circuit], lows_ma[at]
                )
            idle_ma = counted.idle_ma[at]
            row = row_of(state, at, now_s, lows_ma=lows_ma[at], given_ma=given_ma, idle_ma=idle_ma)
            starts_ma = unproven_ma.get(at, 0)
            rows[at : at + 1] = [with_mute(state, at, row, starts_ma) if starts_ma else row]
    claims = Claims(high_ma=highs_ma, masks=masks, overdrawn=overdrawn, claimed_ma=claimed_ma)
    return Survey(
        rows=within_three_phase_bounds(state, rows.copy(), claims, now_s),
        high_ma=highs_ma,
        low_ma=low_of,
        overdrawn=overdrawn,
        masks=masks,
        claimed_ma=claimed_ma,
        kept_for=kept_for,
        starting=starting,
        counted=counted,
        attribution=attribution,
    )


def _part(state: SiteState, at: Position, circuits_read_at_s: list[float], now_s: float) -> Part:
    """Return what is counted of a connector."""
    wiring, parameters, belief = state.wiring, state.parameters, state.connectors[at]
    connector, station = wiring.connectors[at], state.stations[wiring.station_of[at]]
    read_at_s, low, is_over = -ENDLESS_S, NOTHING, False
    is_doubted = station.is_unsteady and is_unsteady(station, parameters, now_s)
    if belief.draws:
        is_current = reading_is_current(belief, station, parameters, now_s)
        # A limit that settles since does not excuse a reading that was above all of them.
        is_over = is_current and belief.over_since_s is not None
        highest_ma = belief.draws[-1].highest_ma
        # Nearly always within the highest limit that may be in force, and told at once.
        if is_current and not is_over and (highest_ma is None or highest_ma > belief.in_force_ma):
            is_over = is_overdrawn(connector, belief, station, parameters)
        draw: Draw | None = belief.draws[-1]
        if belief.draws[-1].at_s > circuits_read_at_s[wiring.paths[at][0]]:
            draw = draw_before(belief)
        if draw is not None:
            low = low_ma(draw, is_current=is_current and not is_doubted)
            read_at_s = draw.at_s
    high = high_ma(connector, belief, station, parameters, now_s, is_over=is_over)
    mask = wiring.wired[at]
    if not is_doubted:
        mask = mask_of(belief, station, mask)
    return high, low, is_over, mask, read_at_s


def _sum_up(state: SiteState, counted: Counted, circuits: Iterable[Position]) -> None:
    """Sum anew what the connectors on each of these circuits itself add up to."""
    wiring, age_s, parts = state.wiring, state.parameters.sample_age_s, counted.parts
    claimed_ma, lows_ma = counted.claimed_ma, counted.lows_ma
    for circuit in circuits:
        row, oldest_s = 3 * circuit, ENDLESS_S
        claimed_ma[row : row + 3] = lows_ma[row : row + 3] = 0, 0, 0
        for at in wiring.own[circuit]:
            high, low, _, mask, read_at_s = parts[at]
            if not high:
                continue
            for of_phase in wiring.own_rows[at][mask]:
                claimed_ma[of_phase] += high
            told_s = read_at_s - age_s
            if low is NOTHING:  # Before it began there was nothing to fall.
                told_s = max(state.connectors[at].started_at_s, told_s)
            else:
                l1, l2, l3 = low
                if l1 > high or l2 > high or l3 > high:
                    l1, l2, l3 = min(l1, high), min(l2, high), min(l3, high)
                lows_ma[row] += l1
                lows_ma[row + 1] += l2
                lows_ma[row + 2] += l3
            oldest_s = min(oldest_s, told_s)
        counted.told_at_s[circuit] = oldest_s


def _idle_ma(state: SiteState, parts: list[Part]) -> list[int]:
    """Return, per row, the largest fallback of an idle connector anywhere below."""
    wiring, idle_ma = state.wiring, [0] * len(state.wiring.rating_ma)
    for at, (high, _, _, mask, _) in enumerate(parts):
        if not high and is_idle(state.connectors[at]):
            station = state.stations[wiring.station_of[at]]
            belief = state.connectors[at]
            starts_ma = fallback_ma(wiring.connectors[at], belief)
            starts_ma = counted_limit_ma(starts_ma, belief, station)
            for row in wiring.rows[at][mask]:
                idle_ma[row] = max(idle_ma[row], starts_ma)
    return idle_ma


def _mute(state: SiteState, unproven: list[Position], now_s: float) -> list[Position]:
    """Return the connectors that tell nothing, at stations not yet proven."""
    stations, parameters, station_of = state.stations, state.parameters, state.wiring.station_of
    return [
        at
        for at in unproven
        if is_mute(state.connectors[at], stations[station_of[at]], parameters, now_s)
    ]


def _asleep(state: SiteState, unproven: list[Position], mute: list[Position]) -> list[Position]:
    """Return the connectors whose stations tell that their vehicles sleep, and are not yet proven."""
    stations, station_of, silent = state.stations, state.wiring.station_of, set(mute)
    return [
        at
        for at in unproven
        if state.connectors[at].is_asleep
        and is_asleep(state.connectors[at], stations[station_of[at]])
        and at not in silent
    ]


def _unproven_ma(
    state: SiteState, counted: Counted, now_s: float
) -> tuple[dict[int, int], list[Position], dict[int, list[Position]]]:
    """Return, per row, what may start where stations do not obey; who is kept all of it; whose it is.

    All that are mute at once, as nothing tells them apart; and of those asleep the largest. One
    that is the largest on some of its rows alone is not kept all that it may start.
    """
    wiring, starts_ma, kept_for = state.wiring, dict[int, int](), counted.mute.copy()
    starting = dict[int, list[Position]]()
    asleep, largest = set(counted.asleep), dict[int, tuple[int, Position]]()
    for at in counted.mute + counted.asleep:
        station, belief = state.stations[wiring.station_of[at]], state.connectors[at]
        connector, mask = wiring.connectors[at], counted.parts[at][3]
        ma = may_start_ma(connector, belief, station, state.parameters, now_s)
        for row in wiring.rows[at][mask]:
            if at not in asleep:
                starts_ma[row] = starts_ma.get(row, 0) + ma
                starting.setdefault(row, []).append(at)
            elif row not in largest or ma > largest[row][0]:
                largest[row] = (ma, at)
    for row, (ma, at) in largest.items():
        starts_ma[row] = starts_ma.get(row, 0) + ma
        starting.setdefault(row, []).append(at)
    if largest:
        first = {at for _, at in largest.values()}
        kept_for += [
            at
            for at in sorted(first)
            if all(largest[row][1] == at for row in wiring.rows[at][counted.parts[at][3]])
        ]
    return starts_ma, kept_for, starting


def _read_at_s(state: SiteState, now_s: float) -> list[float]:
    """Return, per circuit, when the oldest of the readings of it and of those above is from.

    A phase that was never read is none of them: its worst case counts, and no low is taken off.
    """
    wiring = state.wiring
    own_s = [
        now_s
        if circuit.meter is None
        else min(
            [phase.read_at_s for phase in measured.phases if phase.read_at_s > NEVER_S],
            default=NEVER_S,
        )
        for circuit, measured in zip(wiring.circuits, state.circuits, strict=True)
    ]
    return [
        min([read_s, *[own_s[higher] for higher in path]])
        for read_s, path in zip(own_s, wiring.above, strict=True)
    ]
