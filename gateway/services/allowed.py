"""What a vehicle may surely draw at a connector: what its station has accepted, and can give."""

from gateway.control.condition import condition_of
from gateway.control.state import SiteState
from gateway.domain.ids import ConnectorRef
from gateway.services.absences import AWAY


def surely_allowed_ma(state: SiteState, connector: ConnectorRef, *, now_s: float) -> int | None:
    """Return the least that a connector's station may hold it to at a monotonic second.

    None where that is not known, or nothing can be had: the station is out of reach or says that it
    serves nobody, or it has accepted no limit whose lease still runs, as of one that refuses them.
    """
    belief = state.connectors[state.wiring.connector_at[connector]]
    station = state.stations[connector.station]
    if condition_of(belief, station, limit_ma=0) in AWAY:
        return None
    least_ma: int | None = None
    for limit in reversed(belief.limits):
        # One that was sent since may be in force already, or not yet.
        least_ma = limit.limit_ma if least_ma is None else min(least_ma, limit.limit_ma)
        if limit.holds_from_s is not None:
            is_running = now_s <= limit.holds_from_s + state.parameters.lease_s
            return least_ma if is_running else None
    return None
