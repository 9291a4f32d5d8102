"""A station that keeps fewer charging profiles than its connectors need sounds as an alarm."""

from gateway.adapters.clock import SystemClock
from gateway.domain.charging import OcppVersion, RateUnit, StationCapabilities
from gateway.domain.events import CapabilitiesRead
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle
from gateway.services.place_alarms import PlaceAlarms
from tests.support.one_circuit import OneCircuit, ref


def test_it_names_what_is_needed_and_what_there_is_until_the_station_says_otherwise() -> None:
    board, alarms = OneCircuit(), Alarms(SystemClock())
    of_stations, station = PlaceAlarms(alarms), ref(1).station

    def after(profile_count: int | None) -> list[str]:
        board.now_s += 1.0
        capabilities = StationCapabilities(
            ocpp_version=OcppVersion.V16,
            rate_units=frozenset({RateUnit.AMPERES}),
            profile_count=profile_count,
        )
        board.learn(CapabilitiesRead(at_s=board.now_s, station=station, capabilities=capabilities))
        of_stations.follow(Cycle(state=board.state, decision=board.decide()))
        return [f"{alarm.name}: {alarm.text}" for alarm in alarms.sounding()]

    assert after(None) == []
    (text,) = after(1)
    name = f"profiles of {station}"
    assert text.startswith(f"{name}: station {station} keeps 1 of the 2 charging profiles that are")
    assert after(None) == [text]  # Asked anew, it has not said yet.
    assert after(2) == []
    assert alarms.counters == {name: 1}
