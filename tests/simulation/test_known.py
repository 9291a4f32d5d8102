"""What is asked of the law: to count what readings have shown, for as long as that holds, and no more."""

from dataclasses import replace

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.scenario import Scenario, StationTraits, VehicleTraits
from gateway.control import bounds, headroom
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, StationBelief
from gateway.domain.circuits import Connector
from tests.simulation.harness import Run
from tests.support.sim_scenarios import CP1, CP2, ONE, PLAIN, small_scenario, traits_of, visit

HIGH_MINIMUM = replace(PLAIN, least_a=8.0)
GIVES_MORE = replace(traits_of(CP1), offset_a=3.0)
SILENT_FROM_S, SECOND_FROM_S = 300.0, 600.0


def two_visits(station: StationTraits, first: VehicleTraits) -> Scenario:
    """Return a vehicle and a plain one after it, at a station that falls silent before the first leaves."""
    silent = Fault(kind=FaultKind.STATION_SILENT, at_s=SILENT_FROM_S, until_s=1_000.0, subject=CP1)
    return small_scenario(
        stations=(station, traits_of(CP2)),
        visits=(visit(vehicle=first, leave_s=SECOND_FROM_S - 20.0), visit(at_s=SECOND_FROM_S)),
        faults=(silent,),
        duration_s=SECOND_FROM_S + 60.0,
    )


def known_beyond_a(run: Run, at_s: float) -> float:
    """Return how far above its limit the first connector is known to draw, at a second."""
    run.to_end(at_s)
    return round(run.shown.beyond_a(run.plant)[ONE], 1)


def test_what_no_reading_tells_nobody_knows() -> None:
    run = Run.of(two_visits(replace(traits_of(CP1), sends_meter_values=False), HIGH_MINIMUM))
    run.seen_s, flows_beyond_s = 10.0, 0
    while run.plant.now_s < SILENT_FROM_S:
        run.step(run.plant.now_s + 1.0)
        told_ma = run.state.connectors[0].wanted_ma
        _, vehicles_a = run.plant.true_currents_a()[0]
        flows_beyond_s += told_ma == 6_000 and vehicles_a == 8.0

    assert flows_beyond_s > run.seen_s
    assert known_beyond_a(run, SILENT_FROM_S) == 0.0
    assert run.unsound == []


@pytest.mark.parametrize(
    ("station", "vehicle", "beyond_a", "later_a"),
    [(traits_of(CP1), HIGH_MINIMUM, 2.0, 0.0), (GIVES_MORE, PLAIN, 3.0, 3.0)],
    ids=["its vehicle", "its station"],
)
def test_what_readings_have_shown_holds_for_as_long_as_what_shows_it_is_there(
    station: StationTraits, vehicle: VehicleTraits, beyond_a: float, later_a: float
) -> None:
    run = Run.of(two_visits(station, vehicle))

    assert known_beyond_a(run, 10.0) == 0.0
    assert known_beyond_a(run, SILENT_FROM_S) == beyond_a
    assert known_beyond_a(run, SECOND_FROM_S - 30.0) == beyond_a
    assert known_beyond_a(run, SECOND_FROM_S + 30.0) == later_a
    assert run.unsound == []


def test_what_was_shown_and_is_forgotten_once_its_station_is_silent_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = bounds.high_ma

    def forgetful_high_ma(
        connector: Connector,
        belief: ConnectorBelief,
        station: StationBelief,
        parameters: ControlParameters,
        now_s: float,
        *,
        is_over: bool,
    ) -> int:
        if not bounds.reading_is_current(belief, station, parameters, now_s):
            belief = replace(belief, excess_ma=0)
        return original(connector, belief, station, parameters, now_s, is_over=is_over)

    monkeypatch.setattr(headroom, "high_ma", forgetful_high_ma)
    run = Run.of(two_visits(GIVES_MORE, PLAIN))
    run.to_end(SECOND_FROM_S - 30.0)

    assert any("CP-1/1 may draw" in told for told in run.unsound)
