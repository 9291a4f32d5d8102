"""From beliefs to the board of one decision: who can be moved, and what everyone is counted at."""

from dataclasses import dataclass

from gateway.control.all_phases import tells_all_phases
from gateway.control.appetite import is_at_rest
from gateway.control.bounds import (
    counted_in_force_ma,
    is_idle,
    is_pause_seen,
    on_one_phase_ma,
    phases_to_tell,
    takes_watts,
)
from gateway.control.caps import connector_cap, row_caps
from gateway.control.headroom import Survey, survey
from gateway.control.share import Board, Rank
from gateway.control.state import ConnectorBelief, Priority, SiteState
from gateway.control.trial import Trial, trial_of
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.reasons import Reason

ORDINARY = Priority()
AT_REST_RANK = 9
ENDLESS_S = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What one decision looks at. All lists are per connector."""

    now_s: float
    state: SiteState
    seen: Survey
    controlled: list[bool]
    caps: list[Reason | None]
    trials: list[Trial | None]


def moment_of(state: SiteState, now_s: float) -> Moment:
    """Return what is seen, who can be moved, and what safety and trials narrow them to."""
    seen = survey(state, now_s)
    narrowed = row_caps(state, seen, now_s)
    positions = range(len(state.connectors))
    controlled = [is_controlled(state, at) for at in positions]
    trials = [
        trial_of(state, at, now_s) if controlled[at] and not is_proven(state, at) else None
        for at in positions
    ]
    return Moment(
        now_s=now_s,
        state=state,
        seen=seen,
        controlled=controlled,
        caps=[
            connector_cap(
                state,
                seen,
                at,
                narrowed,
                tried_ma=0 if trial is None else trial.limit_ma,
                now_s=now_s,
            )
            if controlled[at]
            else None
            for at, trial in enumerate(trials)
        ],
        trials=trials,
    )


def is_controlled(state: SiteState, at: int) -> bool:
    """Return whether the connector has a vehicle and its station can be told a limit."""
    belief = state.connectors[at]
    station = state.stations[state.wiring.connectors[at].ref.station]
    return station.is_connected and belief.is_plugged and not is_idle(belief)


def is_proven(state: SiteState, at: int) -> bool:
    """Return whether the connector's station has been seen to obey."""
    return state.stations[state.wiring.connectors[at].ref.station].is_proven


def told_ma(state: SiteState, at: int) -> int:
    """Return the limit the connector works to: the newest told, or what it starts with."""
    belief = state.connectors[at]
    newest = belief.limits[-1]
    if newest.last_sequence or is_proven(state, at):
        return newest.limit_ma
    return MIN_CHARGING_MA


def is_confirmable(state: SiteState, seen: Survey, at: int, now_s: float) -> bool:
    """Return whether the newest limit may still be counted on to come into force in time.

    What is not confirmed in time is taken from those that do answer (design §3).
    """
    if seen.overdrawn[at]:
        return False
    parameters, belief = state.parameters, state.connectors[at]
    newest = belief.limits[-1]
    if newest.last_sequence == 0:
        return True
    if seen.high_ma[at] <= newest.limit_ma:
        return True  # It rests, or what was before is out of force.
    if newest.confirmed_at_s is None or newest.confirmed_at_s < newest.renewed_at_s:
        return now_s - newest.renewed_at_s < parameters.acknowledgement_s
    if len(belief.limits) == 1 or newest.acknowledged_at_s is None:
        return True
    seen_by_s = parameters.settling_s + parameters.interval_grace_s
    return now_s - newest.acknowledged_at_s < seen_by_s


def board_of(moment: Moment) -> Board:
    """Return the board before anything is moved for others: limits told, caps applied."""
    state, seen, now_s = moment.state, moment.seen, moment.now_s
    controlled, caps, trials, wiring = moment.controlled, moment.caps, moment.trials, state.wiring
    # Summed on each connector's own circuit first: what is above is summed from circuits.
    claims_ma, raises_ma = [0] * len(seen.rows), [0] * len(seen.rows)
    count = len(state.connectors)
    may_move, in_watts = [False] * count, [False] * count
    known_counts, phase_counts = _phase_counts(moment)
    highs_ma, awake_ma = seen.high_ma.copy(), seen.high_ma.copy()
    rows = [of_mask[mask] for of_mask, mask in zip(wiring.rows, seen.masks, strict=True)]
    limits_ma, caps_ma, floors_ma = [0] * count, [0] * count, [0] * count
    ranks: list[Rank] = [(AT_REST_RANK, ENDLESS_S)] * count
    for at, belief in enumerate(state.connectors):
        if not controlled[at]:
            for row in wiring.own_rows[at][seen.masks[at]]:
                claims_ma[row] += highs_ma[at]
            continue
        connector, priority = wiring.connectors[at], ORDINARY
        station = state.stations[connector.ref.station]
        if state.priorities:
            priority = state.priorities.get(connector.ref, ORDINARY)
        cap_ma = _cap_ma(state, at, caps[at])
        trial = trials[at]
        limit_ma = min(cap_ma, told_ma(state, at) if trial is None else trial.limit_ma)
        confirmable = is_confirmable(state, seen, at, now_s)
        in_watts[at], counted_ma = takes_watts(station), limit_ma
        if in_watts[at]:
            times = phase_counts[at] // known_counts[at]
            counted_ma = on_one_phase_ma(limit_ma, times=times, max_ma=connector.max_ma)
        claim_ma = counted_ma if confirmable else max(counted_ma, seen.high_ma[at])
        raise_ma = max(0, counted_ma - seen.high_ma[at])
        for row in wiring.own_rows[at][seen.masks[at]]:
            claims_ma[row] += claim_ma
            raises_ma[row] += raise_ma
        awake_ma[at] = max(highs_ma[at], _awake_ma(state, at, now_s))
        may_move[at], limits_ma[at], caps_ma[at] = confirmable, limit_ma, cap_ma
        ranks[at] = _rank(state, belief, priority, now_s)
        floors_ma[at] = _floor_ma(ranks[at], priority, cap_ma)
    claims_ma, raises_ma = wiring.with_all_below(claims_ma), wiring.with_all_below(raises_ma)
    return Board(
        rows=rows,
        below=wiring.below,
        may_move=may_move,
        limit_ma=limits_ma,
        high_ma=highs_ma,
        awake_ma=awake_ma,
        max_ma=[connector.max_ma for connector in wiring.connectors],
        cap_ma=caps_ma,
        floor_ma=floors_ma,
        rank=ranks,
        takes_watts=in_watts,
        phase_count=phase_counts,
        known_count=known_counts,
        started_at_s=[belief.started_at_s for belief in state.connectors],
        room_ma=[
            row.available_ma - claim_ma for row, claim_ma in zip(seen.rows, claims_ma, strict=True)
        ],
        proven_room_ma=[
            row.available_ma - claimed_ma - raise_ma
            for row, claimed_ma, raise_ma in zip(seen.rows, seen.claimed_ma, raises_ma, strict=True)
        ],
    )


def _awake_ma(state: SiteState, at: int, now_s: float) -> int:
    """Return what one that is told more is counted at, though it counts less while it rests.

    Its old limits are then in force again, until its station is proven to obey.
    """
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    if len(belief.limits) == 1 or station.is_proven:
        return 0
    if is_pause_seen(belief, station, state.parameters, now_s):
        return 0
    return counted_in_force_ma(connector, belief, station, belief.limits)


def _phase_counts(moment: Moment) -> tuple[list[int], list[int]]:
    """Return how many phases each vehicle is known to use, and for how many its limit is told."""
    state = moment.state
    known = [phases_to_tell(belief) if belief.wanted_ma else 1 for belief in state.connectors]
    told = known.copy()
    for at, is_moved in enumerate(moment.controlled):
        if is_moved and tells_all_phases(state, at, moment.caps[at]):
            told[at] = len(state.wiring.connectors[at].phases)
    return known, told


def _cap_ma(state: SiteState, at: int, cap: Reason | None) -> int:
    """Return the most the connector may be told: its own maximum, and what safety leaves."""
    max_ma = state.wiring.connectors[at].max_ma
    return max_ma if cap is None else min(max_ma, cap.limit_ma)


def _floor_ma(rank: Rank, priority: Priority, cap_ma: int) -> int:
    """Return what a cut for others leaves: its minimum at least, unless its vehicle rests."""
    if rank[0] == AT_REST_RANK:
        return min(cap_ma, priority.floor_ma)
    return min(cap_ma, max(MIN_CHARGING_MA, priority.floor_ma))


def _rank(state: SiteState, belief: ConnectorBelief, priority: Priority, now_s: float) -> Rank:
    if is_at_rest(state, belief, now_s):
        return (AT_REST_RANK, ENDLESS_S)
    if priority.laxity_s is None:
        return (priority.rank, ENDLESS_S)
    return (priority.rank, priority.laxity_s // state.parameters.laxity_band_s)
