"""What one whose station tells power alone takes of a row: on phases not known it is base, too."""

from gateway.control.state import ConnectorBelief
from gateway.domain.electric import MIN_CHARGING_MA


def leaves_base_ma(belief: ConnectorBelief, limit_ma: int) -> int:
    """Return what a connector draws beyond a limit, where that counts as base."""
    draw = belief.draw
    if draw is None or draw.power_ma is None or not _is_in_base(belief):
        return 0
    return max(0, draw.power_ma // belief.limits[-1].phase_count - limit_ma)


def minimum_ma(belief: ConnectorBelief, *, in_watts: bool) -> int:
    """Return what a minimum takes of a row."""
    return MIN_CHARGING_MA * (2 if in_watts and _is_in_base(belief) else 1)


def _is_in_base(belief: ConnectorBelief) -> bool:
    return belief.mask is None and belief.draw is not None and belief.draw.current_ma is None
