"""A second look at raises, taken as sent: the law's own arithmetic must still hold.

What is sent becomes part of what is believed, and with it changes what earlier readings and
changes of a circuit are taken to tell. So a raise that fitted may no longer fit once it counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain

from gateway.control.headroom import Survey, survey_again
from gateway.control.standing import after_sending, is_renewed
from gateway.control.state import ConnectorBelief, SiteState
from gateway.control.wiring import Position
from gateway.domain.events import LimitSent
from gateway.domain.limits import CurrentLimit

MOST_LOOKS = 4  # Each counts a good part of a decision again.


def held_back(
    state: SiteState,
    seen: Survey,
    limits: Mapping[Position, CurrentLimit],
    in_order: Callable[[Position], object],
    now_s: float,
) -> set[Position]:
    """Return the raises to leave out, so that all the rest fits: as few as some looks can tell.

    Of two that do not fit together the first `in_order` goes out. Where they are more the looks
    begin elsewhere each second, or those that never fit would hold others with them for ever.
    """
    held = misfits(state, seen, limits, now_s)
    if len(held) <= 1:
        return held
    passed = {at: limit for at, limit in limits.items() if at not in held}
    raised, back = sorted(held, key=in_order), set[Position]()  # type: ignore[arg-type]
    first = int(now_s) % len(raised) if len(raised) > MOST_LOOKS // 2 else 0
    groups = _halves(raised[first:] + raised[:first])
    for _ in range(MOST_LOOKS):
        if not groups:
            break
        group = groups.pop(0)
        tried = passed | {at: limits[at] for at in group}
        if not misfits(state, seen, tried, now_s):
            passed = tried
        elif len(group) == 1:
            back.update(group)
        else:
            groups[:0] = _halves(group)
    return back.union(*groups)


def _halves(group: list[Position]) -> list[list[Position]]:
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def misfits(
    state: SiteState, seen: Survey, limits: Mapping[Position, CurrentLimit], now_s: float
) -> set[Position]:
    """Return the connectors whose raise would take a row further above what it has than it is.

    `limits` are those about to be sent; `seen` is what they were decided on.
    """
    beliefs = state.connectors
    raised = {at for at, limit in limits.items() if _is_raise(limit, beliefs[at])}
    if not raised:
        return raised
    connectors, changed = list(beliefs), list[Position]()
    for at, limit in limits.items():
        newest = beliefs[at].limits[-1]
        if is_renewed(newest, limit_ma=limit.limit_ma, phase_count=limit.phase_count):
            continue  # A renewal changes nothing that is counted.
        ref = state.wiring.connectors[at].ref
        sent = LimitSent(
            at_s=now_s,
            connector=ref,
            limit_ma=limit.limit_ma,
            phase_count=limit.phase_count,
            lease_until_s=now_s + state.parameters.lease_s,
            sequence=newest.last_sequence + 1,
        )
        station = state.stations[ref.station]
        connectors[at] = after_sending(beliefs[at], sent, station, state.parameters)
        changed.append(at)
    after = survey_again(replace(state, connectors=tuple(connectors)), seen, changed, now_s)
    rows_of = {at: state.wiring.rows[at][after.masks[at]] for at in raised}
    over = {row for row in set(chain(*rows_of.values())) if _fits_less(seen, after, row)}
    return {at for at, rows in rows_of.items() if not over.isdisjoint(rows)}


def _is_raise(limit: CurrentLimit, belief: ConnectorBelief) -> bool:
    newest = belief.limits[-1]
    is_for_more = limit.limit_ma > 0 and limit.phase_count > newest.phase_count
    return limit.limit_ma > newest.limit_ma or is_for_more


def _fits_less(seen: Survey, after: Survey, row: int) -> bool:
    """Return whether a row does not fit after, though it did, or not by as little."""
    if after.claimed_ma[row] <= after.rows[row].available_ma:
        return False
    return seen.claimed_ma[row] <= seen.rows[row].available_ma or _carries_more(seen, after, row)


def _carries_more(seen: Survey, after: Survey, row: int) -> bool:
    """Return whether more is claimed, or kept, of a row that does not fit as it is.

    Not by its base: the last bits of a reading would hold a raise that costs nothing for ever.
    """
    was_ma = seen.claimed_ma[row] + seen.rows[row].reserve_ma
    return after.claimed_ma[row] + after.rows[row].reserve_ma > was_ma
