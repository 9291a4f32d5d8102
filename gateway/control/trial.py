"""The trial that proves a station obeys: a small cut, made for the purpose and seen to bite."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from gateway.control.bites import is_covered, shown_on
from gateway.control.bounds import (
    CHARGING_MA,
    counted_limit_ma,
    draw_as_limit_ma,
    reading_is_current,
    reads_within_s,
    tolerance_ma,
)
from gateway.control.state import NEVER_S, SiteState
from gateway.domain.electric import MIN_CHARGING_MA


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What an unproven connector is told next, and since when its trial runs (None: not yet)."""

    limit_ma: int
    since_s: float | None
    unseen_count: int = 0
    """How many cuts to nothing were not seen before that, without the first that was covered."""
    is_spared: bool = False
    """Whether there was such a first one: each later one is in that count."""
    is_held: bool = False
    """Whether it is cut to nothing and must stay there, until that can have been seen."""
    is_covered: bool = False
    """Whether others' cuts covered its last cut to nothing: that was not seen, nor could it be."""


def trials_of(state: SiteState, unproven: Iterable[int], now_s: float) -> dict[int, Trial | None]:
    """Return the next step of each one's trial; of cuts that circuits must show, one on each."""
    trials: dict[int, Trial | None] = {}
    taken: set[int | None] = set()
    for at in unproven:
        trial = trials[at] = trial_of(state, at, now_s, taken)
        if trial is not None and trial.is_held and trial.since_s == now_s:
            taken.add(shown_on(state, at))
    return trials


def trial_of(
    state: SiteState, at: int, now_s: float, taken: Collection[int | None] = ()
) -> Trial | None:
    """Return the next step of the trial, None while the connector has nothing at all.

    Minimum → a little more → seen to follow → minimum again: that cut is seen to bite. A
    vehicle that does not follow the little more, one that draws too little to follow it, or a
    station that sends no readings, is cut to nothing for a moment instead, and again after a
    while where that was not seen, later each time. All of it counts at the old limit meanwhile
    (`high_ma`). Where the circuit must show it, others there do not fall by so much that they would
    cover it, nor is one tried by such a cut (`taken`); and once more soon after it has, as a load
    may have been switched off just then.
    """
    parameters, belief = state.parameters, state.connectors[at]
    since_s, newest = _begun_at_s(state, at), belief.limits[-1]
    unseen_count = 0 if since_s is None else state.memory.trial_unseen_count[at]
    was_covered = since_s is not None and state.memory.trial_covered[at]
    was_spared = since_s is not None and state.memory.trial_spared[at]
    if newest.last_sequence == 0:
        return Trial(limit_ma=MIN_CHARGING_MA, since_s=None)
    if newest.limit_ma == 0:
        if since_s is None:
            return None
        is_held = now_s < _seen_by_s(state, at)
        return Trial(
            limit_ma=0,
            since_s=since_s,
            unseen_count=unseen_count,
            is_spared=was_spared,
            is_held=is_held,
            is_covered=was_covered or (is_held and _is_covered_now(state, at, now_s)),
        )
    hold = Trial(
        limit_ma=min(newest.limit_ma, _raised_ma(state)),
        since_s=since_s,
        unseen_count=unseen_count,
        is_spared=was_spared,
        is_covered=was_covered,
    )
    if newest.acknowledged_at_s is None:
        return hold
    settled_at_s, waits_s = newest.acknowledged_at_s + parameters.settling_s, _waits_s(state, at)
    # Raised or paused so long ago; paused where it has been started since.
    tried_for_s = None if since_s is None else now_s - since_s
    was_paused = since_s is not None and belief.started_at_s > since_s
    again_s, pause = _next_pause(state, at, hold, now_s, was_paused=was_paused)
    is_again = was_paused and tried_for_s is not None and tried_for_s <= again_s
    told_at_s = NEVER_S if belief.draw is None else belief.draw.at_s
    if now_s > told_at_s + waits_s:
        is_silent = now_s > max(settled_at_s, belief.started_at_s) + waits_s
        return pause if is_silent and not is_again and _may_show(state, at, now_s, taken) else hold
    least_ma, drawn_ma = _least_ma(state, at), _drawn_since_ma(state, at, newest.sent_at_s)
    is_begun = now_s > settled_at_s + max(parameters.start_settling_s, waits_s)
    if newest.limit_ma > MIN_CHARGING_MA:
        if drawn_ma is not None and drawn_ma > least_ma:
            return replace(hold, limit_ma=MIN_CHARGING_MA)
        return pause if is_begun else hold
    if now_s < settled_at_s or is_again or drawn_ma is None or drawn_ma > least_ma:
        return hold
    if drawn_ma < CHARGING_MA:
        # It may yet draw more, and one that rests gives way without a trial.
        return pause if is_begun and drawn_ma >= parameters.dormant_draw_ma else hold
    if tried_for_s is not None and tried_for_s > max(parameters.start_settling_s, waits_s):
        return pause  # It was raised before, and no cut was seen.
    raised_ma = min(_raised_ma(state), state.wiring.connectors[at].max_ma)
    return replace(hold, limit_ma=raised_ma, since_s=now_s if since_s is None else since_s)


def _next_pause(
    state: SiteState, at: int, last: Trial, now_s: float, *, was_paused: bool
) -> tuple[float, Trial]:
    """Return how long after the last cut to nothing, if any, the next may be made; and the next."""
    parameters, unseen_count, is_spared = state.parameters, last.unseen_count, last.is_spared
    again_s = min(parameters.trial_again_s * 2**unseen_count, parameters.trial_again_most_s)
    if was_paused and last.since_s is not None:
        if state.connectors[at].cut_shown_at_s >= last.since_s:
            # Long enough since it began for a load that goes on and off to show that by itself.
            again_s = parameters.reaction_s + 2 * parameters.start_settling_s
        elif again_s < parameters.trial_again_most_s:
            unseen_count += not last.is_covered or is_spared
            is_spared = is_spared or last.is_covered
    pause = Trial(
        limit_ma=0, since_s=now_s, unseen_count=unseen_count, is_spared=is_spared, is_held=True
    )
    return again_s, pause


def _begun_at_s(state: SiteState, at: int) -> float | None:
    """Return since when a trial runs; what was tried with the vehicle before tells nothing."""
    since_s, plugged_at_s = state.memory.trial_at_s[at], state.connectors[at].plugged_at_s
    if since_s is None or plugged_at_s is None or plugged_at_s <= since_s:
        return since_s
    return None


def _raised_ma(state: SiteState) -> int:
    return MIN_CHARGING_MA + state.parameters.trial_ma


def _waits_s(state: SiteState, at: int) -> float:
    station = state.stations[state.wiring.station_of[at]]
    return reads_within_s(state.connectors[at], station, state.parameters)


def _seen_by_s(state: SiteState, at: int) -> float:
    """Return until when it may take to see a cut: until its station's own reading, if it sends any."""
    parameters, belief = state.parameters, state.connectors[at]
    newest = belief.limits[-1]
    by_s, draw = newest.sent_at_s + parameters.reaction_s, belief.draw
    if draw is None or newest.acknowledged_at_s is None:
        return by_s
    settled_at_s = newest.acknowledged_at_s + parameters.settling_s
    if draw.at_s - parameters.sample_age_s >= settled_at_s:
        return by_s
    return max(by_s, settled_at_s + parameters.sample_age_s + _waits_s(state, at))


def _may_show(state: SiteState, at: int, now_s: float, taken: Collection[int | None]) -> bool:
    """Return whether a circuit would show a cut made now, and nobody else's could be taken for it."""
    circuit_at = shown_on(state, at)
    if circuit_at is None or circuit_at in taken:
        return False
    return not is_covered(state, at, state.connectors[at].wanted_ma, now_s)


def _is_covered_now(state: SiteState, at: int, now_s: float) -> bool:
    """Return whether others cover a cut to nothing where the circuit alone can show it."""
    belief, station = state.connectors[at], state.stations[state.wiring.station_of[at]]
    shows_until_s = belief.limits[-1].sent_at_s + state.parameters.reaction_s
    if len(belief.limits) == 1 or now_s > shows_until_s:
        return False
    if reading_is_current(belief, station, state.parameters, now_s):
        return False
    return is_covered(state, at, belief.limits[-2].limit_ma, now_s)


def _least_ma(state: SiteState, at: int) -> int:
    """Return what a vehicle at its minimum draws at most."""
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    least_ma = counted_limit_ma(MIN_CHARGING_MA, belief, station)
    return least_ma + tolerance_ma(least_ma, state.parameters)


def _drawn_since_ma(state: SiteState, at: int, since_s: float) -> int | None:
    """Return what a connector's reading shows, None where it may be of before."""
    belief = state.connectors[at]
    draw = belief.draw
    if draw is None or draw.at_s - state.parameters.sample_age_s < since_s:
        return None
    return draw_as_limit_ma(draw, state.wiring.connectors[at], belief)
