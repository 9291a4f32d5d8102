"""Weeks and hundreds of seeds under control: `make soak`, for hours.

`HEADROOM_SOAK_SEEDS=100-149` runs those seeds of each kind only, so that a soak can be spread over
machines or gone on with after a stop; `HEADROOM_SOAK_HOURS` is how long each day is. Odd days are
of two hours, and fewer, where nothing else is said. Every test is one seed. The last lines tell the
mean and the worst of what was run.
"""

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from drivers.sim.report import Report
from drivers.sim.scenario import Scenario
from tests.simulation.figures import ODD, Day, day_of, summary_of
from tests.simulation.halls import ROGUES_FROM_S, busy_hall
from tests.simulation.harness import HARM, SEEN_WITH_FAULTS_S, Run
from tests.simulation.loads import lived, promised_loads
from tests.simulation.odd import odd
from tests.simulation.test_promised_loads import told_wrongly
from tests.simulation.test_unasked import told_against
from tests.simulation.unasked import all_at_once, one_among_many, unasked_start

HOUR_S = 3_600.0
WEEKS_S = 10 * 24 * HOUR_S  # Base is learnt after seven days.
KINDS = ("harsh", "lighter", "ordinary", "faults")


def seeds_of(unless_told: str) -> range:
    """Return the seeds to run."""
    first, _, last = os.environ.get("HEADROOM_SOAK_SEEDS", unless_told).partition("-")
    return range(int(first), int(last or first) + 1)


def day_s(unless_told: str) -> float:
    """Return how long a day is."""
    return float(os.environ.get("HEADROOM_SOAK_HOURS", unless_told)) * HOUR_S


pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def days(pytestconfig: pytest.Config) -> Iterator[list[Day]]:
    """Collect the days that were run; tell at the end how they went."""
    ran: list[Day] = []
    yield ran
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        for kind in (*KINDS, ODD):
            of_kind = [day for day in ran if day.kind == kind]
            if of_kind:
                sys.stdout.write("\n" + summary_of(of_kind))


def against(day: Day) -> list[str]:
    """Return all that is said against a day."""
    return [*day.violations, *day.unsound, *day.stuck, *day.unexplained]


@pytest.mark.parametrize("seed", seeds_of("100-199"))
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_against_a_day(kind: str, seed: int, days: list[Day]) -> None:
    day = day_of(kind, seed, day_s("6"))
    days.append(day)

    assert against(day) == []


@pytest.mark.parametrize("seed", seeds_of("100-122"))
def test_nothing_is_said_against_an_odd_day(seed: int, days: list[Day]) -> None:
    day = day_of(ODD, seed, day_s("2"))
    days.append(day)

    assert against(day) == []


@pytest.mark.parametrize("seed", seeds_of("100-139"))
def test_nothing_is_said_against_loads_promised_on_an_odd_day(seed: int) -> None:
    scenario, uses = promised_loads(seed)
    # Who gives more than it is told disobeys until that is learnt: a rise may be taken for its.
    day = lived(odd(scenario, seed), uses, seen_s=SEEN_WITH_FAULTS_S)

    of_loads_alone = HARM if day.is_overfull else frozenset[str]()
    assert [told for told in day.report.violations if told.what not in of_loads_alone] == []
    assert (day.run.unsound, day.run.stuck.told, day.run.unexplained) == ([], [], [])
    assert told_wrongly(day) == set()


@pytest.mark.parametrize("seed", seeds_of("100-199"))
@pytest.mark.parametrize("drawn", [unasked_start, all_at_once, one_among_many])
def test_room_is_made_in_time_at_stations_not_proven(
    drawn: Callable[[int], Scenario], seed: int
) -> None:
    assert told_against(drawn(seed)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_against_ten_days_on_end(kind: str) -> None:
    assert against(day_of(kind, 1_000, WEEKS_S)) == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_hundred_and_twenty_stations_obey_or_are_found_out(seed: int) -> None:
    scenario = busy_hall(seed)
    run = Run.of(scenario)
    while run.plant.now_s < ROGUES_FROM_S:
        run.step(run.plant.now_s + 1.0)
    unproven = [name for name, station in run.state.stations.items() if not station.is_proven]
    report: Report = run.to_end(scenario.duration_s)
    latency_s = report.limit_latency_s

    assert unproven == []
    assert report.violations == ()
    assert run.unsound == []
    assert run.stuck.told == []
    assert latency_s.p99 is not None
    assert latency_s.p99 <= 5.0  # Virtual seconds: decision to acknowledgement.
