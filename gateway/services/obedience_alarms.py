"""Connectors that draw more than they were told: an alarm each, for as long as it lasts."""

from gateway.control.explain import amps
from gateway.control.obedience import excess_of
from gateway.domain.ids import ConnectorRef
from gateway.domain.reasons import Excess
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle

TOLD_ANEW_MA = 1_000  # What a reading differs by from the one before is no news.


class ObedienceAlarms:
    """Sounds and ends the alarms of connectors, by what their own readings say."""

    def __init__(self, alarms: Alarms) -> None:
        """Begin with nothing said."""
        self._alarms = alarms
        self._said: dict[ConnectorRef, Excess] = {}

    def follow(self, cycle: Cycle) -> None:
        """Sound what the readings show after this cycle, and end what they show no more."""
        state, now_s = cycle.state, cycle.decision.at_s
        for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True):
            station = state.stations[connector.ref.station]
            excess = excess_of(belief, station, state.parameters, now_s)
            said = self._said.get(connector.ref)
            if excess is None:
                if said is not None:
                    del self._said[connector.ref]
                    self._alarms.end(_name(connector.ref))
            elif said is None or _is_news(said, excess):
                self._said[connector.ref] = excess
                self._alarms.sound(_name(connector.ref), _text(connector.ref, excess))


def _name(connector: ConnectorRef) -> str:
    return f"obedience of {connector}"


def _is_news(said: Excess, now: Excess) -> bool:
    moved_ma = abs(now.drawn_ma - said.drawn_ma), abs(now.told_ma - said.told_ma)
    return max(moved_ma) >= TOLD_ANEW_MA


def _text(connector: ConnectorRef, excess: Excess) -> str:
    return (
        f"connector {connector} draws {amps(excess.drawn_ma)} where {amps(excess.told_ma)} was told:"
        " the station does not do as it is told, and what it may draw is kept free for it."
        " Restart the station; if this lasts, switch it off"
    )
