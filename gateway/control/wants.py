"""What connectors that can be moved could take, and in what order, were it all shared out anew."""

from dataclasses import dataclass

from gateway.control.appetite import is_at_rest
from gateway.control.bounds import counted_limit_ma
from gateway.control.levels import Turn, Want
from gateway.control.state import ConnectorBelief, Priority, SiteState
from gateway.control.wiring import Mask
from gateway.domain.electric import MIN_CHARGING_MA

ORDINARY = Priority()
ENDLESS_S = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What connectors are counted at, and on which phases; the sums are per row."""

    high_ma: list[int]
    masks: list[Mask]
    overdrawn: list[bool]
    claimed_ma: list[int]


def wants_of(
    state: SiteState, claims: Claims, with_power: dict[int, int], now_s: float
) -> dict[int, Want]:
    """Return the wants of connectors below circuits `with_power`, by their positions.

    The bounds they load are the rows, and after those the power of each such circuit in turn.
    """
    wiring = state.wiring
    bound_of = {circuit: len(wiring.rating_ma) + nth for nth, circuit in enumerate(with_power)}
    below = sorted({at for circuit in with_power for at in wiring.below[circuit]})
    wants: dict[int, Want] = {}
    for at in below:
        connector, belief = wiring.connectors[at], state.connectors[at]
        station = state.stations[connector.ref.station]
        is_movable = station.is_connected and station.is_proven and belief.is_plugged
        if not is_movable or claims.overdrawn[at] or is_at_rest(state, belief, now_s):
            continue
        rows = wiring.rows[at][claims.masks[at]]
        weights = dict.fromkeys(rows, 1)
        for row in rows:
            bound = bound_of.get(row // 3)
            if bound is not None:
                weights[bound] = weights.get(bound, 0) + 1
        priority = state.priorities.get(connector.ref, ORDINARY)
        band_s = state.parameters.laxity_band_s
        wants[at] = Want(
            least_ma=counted_limit_ma(MIN_CHARGING_MA, belief, station),
            most_ma=counted_limit_ma(_takes_ma(state, at, now_s), belief, station),
            floor_ma=counted_limit_ma(priority.floor_ma, belief, station),
            rank=(
                priority.rank,
                ENDLESS_S if priority.laxity_s is None else priority.laxity_s // band_s,
            ),
            turn=_turn(state, at, belief, now_s),
            is_served=belief.wanted_ma > 0,
            weights=weights,
        )
    return wants


def _takes_ma(state: SiteState, at: int, now_s: float) -> int:
    """Return the most a vehicle may be told for long: what it was seen to take, under its caps."""
    connector, accepts_ma = state.wiring.connectors[at], state.connectors[at].accepts_ma
    takes_ma = max(MIN_CHARGING_MA, connector.max_ma - state.connectors[at].excess_ma)
    if accepts_ma is not None:
        takes_ma = min(takes_ma, max(MIN_CHARGING_MA, accepts_ma))
    if any(state.circuits[c].lockout_until_s > now_s for c in state.wiring.paths[at]):
        takes_ma = min(takes_ma, connector.fallback_ma)
    for constraint in state.constraints.values():
        if constraint.subject == connector.ref:
            takes_ma = min(takes_ma, *[constraint.limit_ma[phase] for phase in connector.phases])
    return takes_ma if takes_ma >= MIN_CHARGING_MA else 0


def _turn(state: SiteState, at: int, belief: ConnectorBelief, now_s: float) -> Turn:
    """Return who has the minimum first where not everyone has: who has had it for long goes last."""
    rotation_s, since_s = state.parameters.rotation_s, state.memory.waiting_since_s[at]
    if belief.wanted_ma:
        is_long = now_s - belief.started_at_s >= rotation_s
        return 2 if is_long else 0, -belief.started_at_s
    if since_s is None:
        return 3, ENDLESS_S
    return 1 if now_s - since_s >= rotation_s else 3, since_s
