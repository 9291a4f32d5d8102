"""The trial that proves a station obeys: a small cut, made for the purpose and seen to bite."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gateway.control.bites import is_another_being_cut, shown_on
from gateway.control.bounds import (
    CHARGING_MA,
    counted_limit_ma,
    draw_as_limit_ma,
    interval_of_s,
    tolerance_ma,
)
from gateway.control.state import SiteState
from gateway.domain.electric import MIN_CHARGING_MA


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What an unproven connector is told next, and since when its trial runs (None: not yet)."""

    limit_ma: int
    since_s: float | None
    is_held: bool = False
    """Whether it is cut to nothing and must stay there, until that can have been seen."""


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
    vehicle that does not follow the little more, or a station that sends no readings, is cut to
    nothing for a moment instead. All of it counts at the old limit meanwhile (`high_ma`). Where
    the circuit must show it, nobody else there is being cut, nor tried by such a cut (`taken`).
    """
    parameters, belief = state.parameters, state.connectors[at]
    connector, since_s = state.wiring.connectors[at], state.memory.trial_at_s[at]
    newest = belief.limits[-1]
    if newest.last_sequence == 0:
        return Trial(limit_ma=MIN_CHARGING_MA, since_s=None)
    if newest.limit_ma == 0:
        if since_s is None:
            return None
        is_held = now_s < newest.sent_at_s + parameters.reaction_s
        return Trial(limit_ma=0, since_s=since_s, is_held=is_held)
    hold = Trial(limit_ma=min(newest.limit_ma, _raised_ma(state)), since_s=since_s)
    if newest.acknowledged_at_s is None:
        return hold
    settled_at_s = newest.acknowledged_at_s + parameters.settling_s
    station = state.stations[connector.ref.station]
    least_ma = counted_limit_ma(MIN_CHARGING_MA, belief, station)
    least_ma += tolerance_ma(least_ma, parameters)
    draw = belief.draw
    drawn_ma = None
    if draw is not None and draw.at_s - parameters.sample_age_s >= newest.sent_at_s:
        drawn_ma = draw_as_limit_ma(draw, connector, belief)
    if newest.limit_ma > MIN_CHARGING_MA:
        if drawn_ma is not None and drawn_ma > least_ma:
            return Trial(limit_ma=MIN_CHARGING_MA, since_s=since_s)
        if now_s > settled_at_s + parameters.start_settling_s:
            return Trial(limit_ma=0, since_s=now_s, is_held=True)
        return hold
    if now_s < settled_at_s:
        return hold
    silent_s = interval_of_s(station, parameters) + parameters.interval_grace_s
    is_silent = draw is None and now_s > max(settled_at_s, belief.started_at_s) + silent_s
    if is_silent and (since_s is None or now_s - since_s > parameters.trial_again_s):
        circuit_at = shown_on(state, at)
        if circuit_at is None or circuit_at in taken or is_another_being_cut(state, at, now_s):
            return hold
        return Trial(limit_ma=0, since_s=now_s, is_held=True)
    if drawn_ma is None or not CHARGING_MA <= drawn_ma <= least_ma:
        return hold
    if since_s is not None and now_s - since_s > parameters.start_settling_s:
        # It was raised before, and no cut was seen.
        return Trial(limit_ma=0, since_s=now_s, is_held=True)
    raised_ma = min(_raised_ma(state), connector.max_ma)
    return Trial(limit_ma=raised_ma, since_s=now_s if since_s is None else since_s)


def _raised_ma(state: SiteState) -> int:
    return MIN_CHARGING_MA + state.parameters.trial_ma
