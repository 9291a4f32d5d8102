"""Stations that keep fewer charging profiles than their connectors need: an alarm each."""

from gateway.domain.charging import StationCapabilities
from gateway.domain.ids import StationId
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle

PROFILES_A_CONNECTOR = 2  # Its fallback, and the limit above it.


class PlaceAlarms:
    """Sounds and ends the alarms of stations, by what each last said it can keep."""

    def __init__(self, alarms: Alarms) -> None:
        """Begin with nothing heard."""
        self._alarms = alarms
        self._heard: dict[StationId, StationCapabilities] = {}

    def follow(self, cycle: Cycle) -> None:
        """Sound what stations said by this cycle, and end what they say no more."""
        for station, belief in cycle.state.stations.items():
            told = belief.capabilities
            # While a station is asked anew, what it said before stands.
            if told is None or told.profile_count is None or told is self._heard.get(station):
                continue
            self._heard[station] = told
            count = len(cycle.state.wiring.connectors_of[station])
            text = _text(station, told.profile_count, count)
            is_short = told.profile_count < count * PROFILES_A_CONNECTOR
            self._alarms.show(f"profiles of {station}", text if is_short else None)


def _text(station: StationId, kept_count: int, connector_count: int) -> str:
    return (
        f"station {station} keeps {kept_count} of the {connector_count * PROFILES_A_CONNECTOR}"
        " charging profiles that are needed, for each connector a fallback and a limit: a connector whose limit has no place stays at its fallback. Look for a setting or"
        " a firmware with which it keeps more, or set the fallback as high as `headroom check` lets you"
    )
