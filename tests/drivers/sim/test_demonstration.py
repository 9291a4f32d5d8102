"""What the demo plays: enough of everything, whatever its length and whoever is drawn."""

from pathlib import Path

import pytest

from drivers.sim.demonstration import demonstrate
from drivers.sim.faults import FaultKind
from gateway.control.parameters import ControlParameters
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Site
from gateway.settings import load_site

SITE = load_site(Path(__file__).resolve().parents[3] / "config" / "site.demo.yaml").site
PASSING = {
    FaultKind.STATION_LOST,
    FaultKind.STATION_DISOBEDIENT,
    FaultKind.BASE_STEP,
    FaultKind.METER_LOST,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("duration_s", [30.0, 150.0])
def test_everything_goes_wrong_at_once_and_is_over_before_the_end(
    seed: int, duration_s: float
) -> None:
    faults = demonstrate(SITE, seed=seed, duration_s=duration_s).faults

    passing = [fault for fault in faults if fault.kind in PASSING]
    assert {fault.kind for fault in passing} == PASSING
    assert max(f.at_s for f in passing) < min(f.until_s for f in passing) < duration_s
    assert max(f.until_s for f in passing) < duration_s


@pytest.mark.parametrize("seed", range(5))
def test_in_the_usual_time_a_lease_lapses_and_a_mute_meter_is_stale(seed: int) -> None:
    lengths_s = {
        f.kind: f.until_s - f.at_s for f in demonstrate(SITE, seed=seed, duration_s=150.0).faults
    }

    assert lengths_s[FaultKind.STATION_LOST] > ControlParameters().gone_s + 10.0
    assert lengths_s[FaultKind.METER_LOST] >= 30.0
    assert lengths_s[FaultKind.BASE_STEP] > 45.0


def test_half_the_stations_speak_either_version_and_one_takes_watts() -> None:
    stations = demonstrate(SITE, seed=1, duration_s=150.0).stations

    versions = [station.ocpp_version for station in stations]
    assert min(versions.count(version) for version in OcppVersion) >= 4
    assert sum(station.is_watts_only for station in stations) == 1


def test_a_longer_run_goes_on_to_other_faults_of_meters() -> None:
    kinds = {f.kind for f in demonstrate(SITE, seed=1, duration_s=900.0).faults}

    assert kinds >= {FaultKind.METER_LOST, FaultKind.METER_NAN, FaultKind.METER_FROZEN}


def test_the_same_seed_is_the_same_demo_and_another_is_not() -> None:
    one, again, other = (demonstrate(SITE, seed=s, duration_s=150.0).describe() for s in (1, 1, 2))

    assert one == again != other


def test_an_empty_building_has_no_faults() -> None:
    site = Site(name="Nowhere", timezone="Europe/London", voltage_v=230.0, circuits=())

    assert demonstrate(site, seed=1, duration_s=150.0).faults == ()
