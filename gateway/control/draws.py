"""What a connector's own readings tell: draw, obedience, phases, appetite, rest."""

from dataclasses import replace

from gateway.control.bounds import (
    CHARGING_MA,
    counted_limit_ma,
    draw_as_limit_ma,
    fallback_ma,
    is_overdrawn,
    is_told_too_few,
    overdraw_ma,
    taken_ma,
    tolerance_ma,
)
from gateway.control.excess import with_excess
from gateway.control.fit import with_fit
from gateway.control.obedience import above_told, followed_at, is_above
from gateway.control.parameters import ControlParameters
from gateway.control.standing import without_older
from gateway.control.state import (
    NEVER_S,
    UNFITTED,
    ConnectorBelief,
    Draw,
    Move,
    StationBelief,
)
from gateway.domain.circuits import Connector
from gateway.domain.electric import NOTHING, PerPhase
from gateway.domain.events import ConnectorMetered

USED_PHASE_MA = 1_000  # A phase that carries less is not one the vehicle charges on.
FIT_RATIO = 0.3
KEPT_MOVES = 18  # One each second of a reaction chain, and two more.
FIRST_DRAW_S = 90.0
JITTER_MA = 200  # Two readings that differ by less tell of nothing.


def draw_of(
    event: ConnectorMetered, connector: Connector, voltage_v: float, parameters: ControlParameters
) -> Draw:
    """Return the reading on supply phases, rounded up; what a phase did not tell is nothing.

    A current told for one phase alone, or for none by name, is that of each phase where its
    power is as much as all of them would make.
    """
    power_w, power_ma = event.power_w, None
    if power_w is not None:
        power_ma = -int(-power_w * 1_000 / voltage_v // 1)
    if all(value is None for value in event.current_a):
        return Draw(at_s=event.at_s, current_ma=None, power_w=power_w, power_ma=power_ma)
    wired = len(connector.phases)
    told_ma = [
        None if value is None else -int(-value * 1_000 // 1) for value in event.current_a[:wired]
    ]
    known_ma = [ma for ma in told_ma if ma is not None]
    if len(known_ma) == 1 < wired and _is_of_each(known_ma[0], power_ma, wired):
        told_ma = [known_ma[0]] * wired
    on_supply = [0, 0, 0]
    for phase, ma in zip(connector.phases, told_ma, strict=True):
        on_supply[phase] = ma or 0
    l1, l2, l3 = on_supply
    less_ma = tolerance_ma(max(on_supply), parameters)
    return Draw(
        at_s=event.at_s,
        current_ma=(l1, l2, l3),
        power_w=power_w,
        power_ma=power_ma,
        surely_ma=(max(0, l1 - less_ma), max(0, l2 - less_ma), max(0, l3 - less_ma)),
        tells_phases=None not in told_ma,
    )


def _is_of_each(current_ma: int, power_ma: int | None, phase_count: int) -> bool:
    """Return whether a power is as much as a current on each of so many phases makes."""
    if power_ma is None or current_ma < USED_PHASE_MA:
        return False
    return abs(power_ma / current_ma - phase_count) <= FIT_RATIO


def with_sure_part(
    draw: Draw,
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    *,
    highest_v: float,
) -> Draw:
    """Return the reading with what watts alone tell to be surely drawn on each phase.

    A current is at least its power over the highest voltage (`highest_v`), and of several phases
    one carries at least what the others cannot: more than their limit where the station is proven
    to keep one and it had settled, else more than they are built for.
    """
    if draw.current_ma is not None or draw.power_w is None:
        return draw
    most_ma, oldest = overdraw_ma(connector.max_ma, parameters), belief.limits[0]
    settled_s = oldest.acknowledged_at_s or oldest.sent_at_s
    # All watts of a limit told in watts may flow on one phase.
    if (
        station.is_proven
        and not station.takes_watts
        and (draw.at_s - parameters.sample_age_s >= settled_s + parameters.settling_s)
    ):
        in_force_ma = max(belief.in_force_ma, fallback_ma(connector, belief)) + belief.excess_ma
        most_ma = min(most_ma, overdraw_ma(in_force_ma, parameters))
    on_one_ma = int(draw.power_w * 1_000 / highest_v)
    least_ma = min(draw.power_ma or 0, on_one_ma)
    sure_ma = on_one_ma - (len(connector.phases) - 1) * most_ma
    sure_ma = max(0, sure_ma - tolerance_ma(on_one_ma, parameters))
    return replace(draw, surely_ma=_on_each_wired(connector, sure_ma), power_least_ma=least_ma)


def _on_each_wired(connector: Connector, current_ma: int) -> PerPhase:
    l1, l2, l3 = (current_ma if phase in connector.phases else 0 for phase in range(3))
    return l1, l2, l3


def with_draw(belief: ConnectorBelief, draw: Draw) -> ConnectorBelief:
    """Return the belief with the reading as its newest, and what moved since the one before."""
    before = belief.draw
    if before is None:
        since_s = belief.plugged_at_s
        if since_s is not None and draw.at_s - since_s < FIRST_DRAW_S:
            # The first reading tells of all that was drawn since it was plugged in.
            before = Draw(at_s=since_s, current_ma=NOTHING, surely_ma=NOTHING)
    moves = belief.moves
    if before is not None:
        moved_ma = _moved_ma(before, draw)
        if max(moved_ma) > JITTER_MA or min(moved_ma) < -JITTER_MA:
            move = Move(since_s=before.at_s, at_s=draw.at_s, moved_ma=moved_ma)
            moves = (*moves[1 - KEPT_MOVES :], move)
    return replace(belief, draws=(*belief.draws[-1:], draw), moves=moves)


def _moved_ma(before: Draw, draw: Draw) -> PerPhase:
    """Return how a draw moved on each phase; where only watts tell, what surely flows did."""
    now_ma, was_ma = draw.current_ma, before.current_ma
    if now_ma is None or was_ma is None:
        now_ma, was_ma = draw.surely_ma or NOTHING, before.surely_ma or NOTHING
    (l1, l2, l3), (was1, was2, was3) = now_ma, was_ma
    return l1 - was1, l2 - was2, l3 - was3


def after_reading(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    draw: Draw,
    parameters: ControlParameters,
) -> tuple[ConnectorBelief, bool]:
    """Return the belief after a reading, and whether it proves the station obeys."""
    if draw.current_ma is None and draw.power_ma is None:
        return belief, False  # Energy alone tells nothing of the draw.
    before, newest, was_above = belief.draw, belief.limits[-1], is_above(belief, parameters)
    belief = with_fit(with_draw(belief, draw), connector, draw, parameters)
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    if drawn_ma is None:
        return belief, False
    sampled_at_s = draw.at_s - parameters.sample_age_s
    counted_ma = counted_limit_ma(newest.limit_ma, belief, station)
    threshold_ma = counted_ma + tolerance_ma(counted_ma, parameters)
    drawn_before_ma = None if before is None else draw_as_limit_ma(before, connector, belief)
    bites = (
        len(belief.limits) > 1
        and newest.limit_ma < belief.limits[-2].limit_ma
        and newest.acknowledged_at_s is not None  # It might yet be refused.
        and sampled_at_s > newest.sent_at_s
        and drawn_ma <= threshold_ma
        and drawn_before_ma is not None
        and drawn_before_ma > threshold_ma
        and _falls_as_cut(belief, before, drawn_before_ma - drawn_ma, parameters)
    )
    belief = with_excess(belief, connector, station, parameters)
    if bites:
        only_newest = len(belief.limits) - 1
        belief = without_older(belief, station, parameters, only_newest, draw.at_s)
    is_over = is_overdrawn(connector, belief, station, parameters)
    over_since_s = (belief.over_since_s or draw.at_s) if is_over else None
    above = above_told(connector, belief, station, parameters, was_above=was_above)
    belief = replace(belief, over_since_s=over_since_s, above=above)
    belief = _learn(belief, connector, station, draw, parameters)
    if belief.resting_since_s is not None and station.takes_watts:
        # It may come back on fewer phases, with all its watts on them.
        belief = replace(belief, mask=None, mask_seen=None, fit=UNFITTED)
    return belief, bites


def _falls_as_cut(
    belief: ConnectorBelief, before: Draw | None, fell_ma: int, parameters: ControlParameters
) -> bool:
    """Return whether a draw fell with the newest cut: a vehicle may stop or jitter by itself.

    By most of the smallest cut there is since it was sent, and still above it so late at most as
    one that obeys could be.
    """
    newest = belief.limits[-1]
    if before is None or newest.acknowledged_at_s is None:
        return False
    obeyed_by_s = newest.acknowledged_at_s + parameters.settling_s + parameters.disobedience_s
    if before.at_s - parameters.sample_age_s >= obeyed_by_s:
        return False
    l1, l2, l3, most_ma = 0, 0, 0, fell_ma
    for move in reversed(belief.moves):  # From the highest since: it may still have been raised.
        if move.at_s <= newest.sent_at_s:
            break
        on1, on2, on3 = move.moved_ma
        l1, l2, l3 = l1 - on1, l2 - on2, l3 - on3
        most_ma = max(most_ma, l1, l2, l3)
    return most_ma >= parameters.trial_ma // 2


def is_disobedient(belief: ConnectorBelief, parameters: ControlParameters) -> bool:
    """Return whether readings have been above every limit in force for too long."""
    draw, since_s = belief.draw, belief.over_since_s
    return (
        draw is not None
        and since_s is not None
        and draw.at_s - since_s >= (parameters.disobedience_s)
    )


def _with_all_phases(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    draw: Draw,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with whether its vehicle needs watts for every phase to begin.

    So it may where it draws nothing of those for one. Those for all are of no use where it draws
    nothing of them either, or has all of them on one phase.
    """
    newest, sampled_at_s = belief.limits[-1], draw.at_s - parameters.sample_age_s
    if not newest.limit_ma or sampled_at_s < newest.sent_at_s:
        return belief
    drawn_ma = draw.highest_ma
    if drawn_ma is None:
        drawn_ma = (draw.power_ma or 0) // newest.phase_count
    rests = drawn_ma < parameters.dormant_draw_ma
    if newest.phase_count == 1:
        if belief.asks_all_phases:
            return belief if rests else replace(belief, asks_all_phases=False)
        if not rests or not is_told_too_few(belief, connector, station):
            return belief
        could_s = belief.started_at_s + parameters.start_settling_s
        is_again = draw.at_s - belief.all_phases_at_s < parameters.all_phases_again_s
        if sampled_at_s < could_s or is_again:
            return belief
        return replace(belief, asks_all_phases=True)
    is_on_one = (
        draw.current_ma is not None and sum(ma >= USED_PHASE_MA for ma in draw.current_ma) == 1
    )
    could_s = newest.sent_at_s + parameters.start_settling_s
    if (rests and sampled_at_s >= could_s) or (drawn_ma >= CHARGING_MA and is_on_one):
        return replace(belief, all_phases_at_s=draw.at_s, asks_all_phases=False)
    if drawn_ma >= CHARGING_MA:
        return replace(belief, all_phases_at_s=NEVER_S)
    return belief


def _is_offered(belief: ConnectorBelief, draw: Draw, parameters: ControlParameters) -> bool:
    """Return whether a reading is of a limit above nothing that had time to be followed."""
    followed = followed_at(belief, draw.at_s - parameters.sample_age_s, parameters)
    return followed is not None and all(limit.limit_ma for limit in belief.limits[followed:])


def _learn(
    belief: ConnectorBelief,
    connector: Connector,
    station: StationBelief,
    draw: Draw,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with what the vehicle's draw tells of it: phases, appetite, rest."""
    drawn_ma = taken_ma(draw, belief) or 0
    if draw.current_ma is not None and draw.tells_phases and drawn_ma >= CHARGING_MA:
        used = draw.current_ma
        seen = (used[0] >= USED_PHASE_MA, used[1] >= USED_PHASE_MA, used[2] >= USED_PHASE_MA)
        if belief.mask is not None:
            known = belief.mask
            wider = (seen[0] or known[0], seen[1] or known[1], seen[2] or known[2])
            belief = replace(belief, mask=wider)
        elif belief.mask_seen == seen:
            belief = replace(belief, mask=seen)
        belief = replace(belief, mask_seen=seen)
    belief = _with_all_phases(belief, connector, station, draw, parameters)
    rests = drawn_ma < parameters.dormant_draw_ma
    resting_since_s = (belief.resting_since_s or draw.at_s) if rests else None
    # One that draws nothing of watts too few for its phases tells nothing of what it takes.
    is_told_little = rests and is_told_too_few(belief, connector, station)
    is_asleep = rests and (
        belief.is_asleep or (not is_told_little and _is_offered(belief, draw, parameters))
    )
    if is_asleep is not belief.is_asleep:
        belief = replace(belief, is_asleep=is_asleep)
    offered_ma = belief.limits[-1].limit_ma
    margin_ma = parameters.accepts_margin_ma + int(offered_ma * parameters.accepts_margin_ratio)
    accepts_ma = belief.accepts_ma
    if draw.at_s - belief.accepts_at_s > parameters.accepts_for_s:
        accepts_ma = None
    if drawn_ma + margin_ma >= offered_ma:
        return replace(
            belief, unused_since_s=None, accepts_ma=accepts_ma, resting_since_s=resting_since_s
        )
    settles_at_s = max(
        belief.raised_at_s + parameters.settling_s,
        belief.started_at_s + parameters.start_settling_s,
    )
    if draw.at_s < settles_at_s or is_told_little:
        return replace(belief, unused_since_s=None, resting_since_s=resting_since_s)
    since_s = belief.unused_since_s
    peak_ma = drawn_ma if since_s is None else max(belief.unused_peak_ma, drawn_ma)
    since_s = draw.at_s if since_s is None else since_s
    belief = replace(
        belief,
        unused_since_s=since_s,
        unused_peak_ma=peak_ma,
        accepts_ma=accepts_ma,
        resting_since_s=resting_since_s,
    )
    if draw.at_s - since_s < parameters.accepts_after_s:
        return belief
    margin_ma = parameters.accepts_margin_ma + int(peak_ma * parameters.accepts_margin_ratio)
    return replace(
        belief,
        unused_since_s=draw.at_s,
        unused_peak_ma=drawn_ma,
        accepts_ma=peak_ma + margin_ma,
        accepts_at_s=draw.at_s,
    )
