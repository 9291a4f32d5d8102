"""Watts told for every phase while it is not known which are used: where one alone has too few.

A vehicle that charges on three phases only needs three times the minimum to begin, where its
station divides watts by the phases in use, and three times the maximum to have all it can. Until
it is known which phases those are, all the watts may flow on any of them, and are counted so.
"""

from gateway.control.bounds import is_told_too_few
from gateway.control.state import SiteState
from gateway.domain.reasons import Reason, ReasonKind

_COUNTED_BESIDES = frozenset({ReasonKind.STATION_UNPROVEN, ReasonKind.DRAWS_MORE})


def tells_all_phases(state: SiteState, at: int, cap: Reason | None) -> bool:
    """Return whether a connector's watts go on being told for every phase: till these are known.

    Not under a `cap`, which one phase with all the watts may exceed.
    """
    if not state.memory.tells_all_phases[at] or _is_capped(cap):
        return False
    belief = state.connectors[at]
    return belief.mask is None and belief.wanted_ma > 0


def asks_all_phases(state: SiteState, at: int, cap: Reason | None) -> bool:
    """Return whether a vehicle that may begin with watts for all phases alone has not been told them.

    It drew nothing of those for one when it had them last.
    """
    belief, connector = state.connectors[at], state.wiring.connectors[at]
    if not belief.asks_all_phases or _is_capped(cap):
        return False
    station = state.stations[connector.ref.station]
    if not belief.wanted_ma:
        return station.takes_watts
    return is_told_too_few(belief, connector, station)


def counts_no_more(state: SiteState, at: int, limit_ma: int, cap: Reason | None) -> bool:
    """Return whether a limit told for every phase counts no more than the same told for one.

    So it is at the installed maximum: no phase carries more, however the station divides watts.
    """
    connector = state.wiring.connectors[at]
    if not state.stations[connector.ref.station].takes_watts or _is_capped(cap):
        return False
    return state.connectors[at].mask is None and limit_ma == connector.max_ma


def _is_capped(cap: Reason | None) -> bool:
    """Return whether safety narrows a connector, other than to prove its station.

    One not proven is counted at its installed maximum, and all of this is inside that. Nor is what
    is drawn beyond any limit a ground: that is counted besides.
    """
    return cap is not None and cap.kind not in _COUNTED_BESIDES
