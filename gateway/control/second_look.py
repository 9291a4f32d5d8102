"""A second look at raises, taken as sent: the law's own arithmetic must still hold.

What is sent becomes part of what is believed, and with it changes what earlier readings and
changes of a circuit are taken to tell. So a raise that fitted may no longer fit once it counts.
"""

from collections.abc import Mapping
from dataclasses import replace

from gateway.control.headroom import Survey, survey_again
from gateway.control.standing import after_sending, is_renewed
from gateway.control.state import ConnectorBelief, SiteState
from gateway.control.wiring import Position
from gateway.domain.events import LimitSent
from gateway.domain.limits import CurrentLimit


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
    pairs = zip(_over_ma(seen), _over_ma(after), strict=True)
    over = {row for row, (was_ma, now_ma) in enumerate(pairs) if now_ma > was_ma}
    return {at for at in raised if not over.isdisjoint(state.wiring.rows[at][after.masks[at]])}


def _is_raise(limit: CurrentLimit, belief: ConnectorBelief) -> bool:
    newest = belief.limits[-1]
    is_for_more = limit.limit_ma > 0 and limit.phase_count > newest.phase_count
    return limit.limit_ma > newest.limit_ma or is_for_more


def _over_ma(seen: Survey) -> list[int]:
    """Return, per row, by how much more is claimed than it has."""
    pairs = zip(seen.claimed_ma, seen.rows, strict=True)
    return [max(0, claimed_ma - row.available_ma) for claimed_ma, row in pairs]
