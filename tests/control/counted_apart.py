"""What those take and give of a row whose stations tell power alone, or nothing at all."""

from gateway.control.headroom import Survey
from gateway.control.state import ConnectorBelief
from gateway.domain.electric import MIN_CHARGING_MA


def gives_nothing(survey: Survey, at: int, row: int) -> bool:
    """Return whether a cut of one that is mute gives nothing: the reserve keeps it all the same."""
    of_row = survey.rows[row]
    has_ma = of_row.available_ma + of_row.unproven_ma
    return at in survey.counted.mute and survey.claimed_ma[row] <= has_ma


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
