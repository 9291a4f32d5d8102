"""A story goes on when what it waits for is there, and is told the same each time."""

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.plant import Plant
from drivers.sim.scenario import LimitAt
from gateway.control.state import SiteState
from tests.simulation.acts import Act, Story, all_is_shared
from tests.simulation.harness import Run
from tests.support.sim_scenarios import CARPARK, METER, ONE, TWO, small_scenario, step, visit

LONGEST_S = 600.0
LOST = Fault(kind=FaultKind.METER_LOST, at_s=2.0, until_s=6.0, subject=METER)
LIMIT = LimitAt(at_s=0.0, circuit=CARPARK, limit_a=40.0)


def draws(plant: Plant, _state: SiteState) -> bool:
    return bool(plant.world.stations[ONE.station].evses[1].draw_a)


def never(_plant: Plant, _state: SiteState) -> bool:
    return False


def lived(*acts: Act) -> Run:
    begins = small_scenario(visits=(visit(ONE),), duration_s=LONGEST_S)
    run = Run.of(Story.of(begins, *acts))
    run.to_end(LONGEST_S)
    return run


def test_seconds_count_from_when_what_is_waited_for_is_there() -> None:
    first = Act(when=draws, then=(step(5.0, 20.0), LOST, visit(TWO, at_s=8.0)), lasts_s=30.0)
    run = lived(first, Act(when=draws, then=(LIMIT,), lasts_s=10.0))
    world = run.plant.world
    begun_s = world.judge.steps[0].at_s - 5.0
    (fault,) = (record.fault for record in world.fault_log.records)
    _, second = world.judge.visits

    assert 10.0 < begun_s < LONGEST_S / 2
    assert (fault.at_s, fault.until_s) == (begun_s + 2.0, begun_s + 6.0)
    assert second.visit.at_s == begun_s + 8.0
    assert run.has_faults
    assert run.stage.to_come == ()
    assert run.plant.now_s == begun_s + 40.0
    # And what is said to the gateway in a story is heard.
    assert [told.limit_ma for told in run.state.constraints.values()] == [(40_000,) * 3]


def test_one_that_cannot_go_on_is_not_told_to_its_end() -> None:
    run = lived(Act(when=never, then=(), lasts_s=1.0))

    assert run.plant.now_s == LONGEST_S
    assert len(run.stage.to_come) == 1


def test_it_is_told_the_same_each_time() -> None:
    act = Act(when=all_is_shared, then=(step(1.0, 20.0),), lasts_s=60.0)

    assert lived(act).plant.report() == lived(act).plant.report()


def test_all_is_shared_once_who_is_there_was_seen_to_obey_and_is_told_nothing_new() -> None:
    run = lived(Act(when=all_is_shared, then=(), lasts_s=1.0))
    (told,) = (belief for belief in run.state.connectors if belief.is_plugged)

    assert run.state.stations[ONE.station].is_proven
    assert run.plant.now_s > told.limits[-1].sent_at_s + run.parameters.raise_after_s
    assert told.wanted_ma == 32_000
