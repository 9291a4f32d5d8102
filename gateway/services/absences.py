"""Which connectors can serve nobody: their station is out of reach, or they are faulted or unavailable."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.control.condition import Condition, condition_of
from gateway.control.state import SiteState
from gateway.domain.ids import ConnectorRef
from gateway.planning.absence import Away

MISSED_AFTER_S = 30.0
"""What is away for less is not missed: each restart of ours loses every station for seconds."""

AWAY = frozenset({Condition.OUT_OF_REACH, Condition.FAULTED, Condition.UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absence:
    """Since when (monotonic s) a connector can serve nobody, and how it is now."""

    began_s: float
    condition: Condition
    away: Away


class Absences:
    """How connectors that can serve nobody were in the last cycle, in one event loop."""

    def __init__(self) -> None:
        """Miss nobody yet."""
        self._absences: dict[ConnectorRef, _Absence] = {}

    def note(self, state: SiteState, at_s: float, *, now_s: float) -> Mapping[str, Away]:
        """Take note of how connectors are at a monotonic and an epoch second; return who is missed."""
        for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True):
            ref = connector.ref
            condition = condition_of(belief, state.stations[ref.station], limit_ma=0)
            if condition not in AWAY:
                self._absences.pop(ref, None)
                continue
            known = self._absences.get(ref)
            if known is None or known.condition is not condition:
                # Faulted, then out of reach: it was of no use all the time.
                began_s = at_s if known is None else known.began_s
                began_at_s = now_s if known is None else known.away.began_at_s
                what = f"station {ref.station}" if condition is Condition.OUT_OF_REACH else f"{ref}"
                away = Away(what=what, how=str(condition), since_at_s=now_s, began_at_s=began_at_s)
                self._absences[ref] = _Absence(began_s=began_s, condition=condition, away=away)
        return {
            str(ref): absence.away
            for ref, absence in self._absences.items()
            if at_s - absence.began_s > MISSED_AFTER_S
        }
