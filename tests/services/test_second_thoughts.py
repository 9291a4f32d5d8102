"""Critical questions thought over in a real process, which is killed, hangs, and has others to serve."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import uvloop

from gateway.adapters.clock import SystemClock
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.grid import even_grid
from gateway.planning.problem import Demand, Problem
from gateway.planning.quote import Ask
from gateway.planning.rearranging import Rearranging, rearrange
from gateway.planning.room import Outlet
from gateway.planning.standing_plan import Origin
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.planner_worker import Cause, Planned, PlannerWorker
from gateway.services.second_thoughts import SecondThoughts
from tests.support.planner_at_work import a_pipe, cpu_ticks, planner_children, wait_until

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]
HOUR_S = 3_600.0
NOW_S = datetime(2026, 1, 5, 8, tzinfo=UTC).timestamp()
FOR_EVER_S = 60.0
"""However busy the machine is."""


def van(at: int) -> Reservation:
    edges_at_s = [NOW_S + HOUR_S * h for h in (0, at % 5, at % 5 + 1, 8)]
    return Reservation(
        id=f"van-{at}",
        place=f"{at}",
        rows=(0, 1, 2),
        envelope=tuple(
            Stretch(from_at_s=begins, until_at_s=ends, current_ma=current_ma)
            for begins, ends, current_ma in zip(
                edges_at_s, edges_at_s[1:], (0, 32_000, 0), strict=False
            )
            if begins < ends
        ),
        energy_wh=22_080,
        guaranteed_wh=22_080,
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=NOW_S,
    )


def question(count: int, *, later_ma: int = 32_000) -> Rearranging:
    """Return what can be had if so many vans charge at other times, five hours being full of them.

    Where there is no room later either it is thought over in vain, and for long.
    """
    grid = even_grid(32, 900.0)
    per_hour = -(-count // 5)
    left_ma = ((0,) * 20 + (later_ma * per_hour,) * 12,) * 3
    return Rearranging(
        from_at_s=NOW_S,
        now_s=NOW_S,
        grid=grid,
        left_ma=left_ma,
        promises=tuple(map(van, range(5 * per_hour))),
        demands=(),
        current_ma=(),
        outlet=Outlet(key="drone", rows=(0, 1, 2), phase_count=3, voltage_v=230.0, max_ma=32_000),
        ask=Ask(from_s=HOUR_S, until_s=2 * HOUR_S, energy_wh=20_000.0),
        time_limit_s=FOR_EVER_S,
    )


def problem_of(count: int) -> Problem:
    """Return a problem in which not everybody can be served."""
    grid = even_grid(48, 300.0)
    demands = tuple(
        Demand(
            key=f"{at}",
            place=f"{at}",
            rows=(0,),
            phase_count=1,
            voltage_v=230.0,
            earliest_s=300.0 * (at % 7),
            latest_s=300.0 * (14 + 5 * (at % 6)),
            energy_wh=3_000.0 + 700.0 * (at % 5),
            max_ma=16_000 + 16_000 * (at % 2),
        )
        for at in range(count)
    )
    return Problem(grid=grid, available_ma=((4_000 * count,) * 48,), demands=demands)


def run(
    scene: Callable[[PlannerPipe], Awaitable[None]],
    new_loop: NewLoop = asyncio.new_event_loop,
) -> None:
    async def play() -> None:
        async with a_pipe() as pipe:
            await scene(pipe)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(play())
    assert not planner_children()


def thoughts(pipe: PlannerPipe, *, within_s: float = FOR_EVER_S) -> SecondThoughts:
    return SecondThoughts(pipe, SystemClock(), answers_within_s=within_s)


async def wait_begun(pipe: PlannerPipe) -> int:
    """Return the id of the process once it has answered something."""
    assert await thoughts(pipe).on(question(5)) is not None
    assert pipe.process_id is not None
    return pipe.process_id


@LOOPS
def test_what_the_process_finds_is_what_would_be_found_here(new_loop: NewLoop) -> None:
    async def scene(pipe: PlannerPipe) -> None:
        asked = question(10)
        found = await thoughts(pipe).on(asked)

        assert found is not None
        assert found == rearrange(asked)
        assert found.envelopes
        assert await thoughts(pipe).on(replace(asked, promises=())) is None

    run(scene, new_loop)


@LOOPS
@pytest.mark.parametrize("work_ticks", [0, 3, 12], ids="after {} ticks of work".format)
def test_killed_while_it_thinks_nothing_moves_and_the_next_question_is_answered(
    work_ticks: int, new_loop: NewLoop
) -> None:
    async def scene(pipe: PlannerPipe) -> None:
        process_id = await wait_begun(pipe)
        begun_ticks, asking = cpu_ticks(process_id), thoughts(pipe)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(asking.on(question(1_500, later_ma=0)))
            await wait_until(lambda: cpu_ticks(process_id) > begun_ticks + work_ticks)
            os.kill(process_id, signal.SIGKILL)
        assert await asked is None
        # It rests, so that one that dies of what it is asked is not begun again and again.
        assert await asking.on(question(5)) is None
        assert (pipe.process_id, pipe.spawned_count) == (None, 1)
        asking._rest.cut_short()  # Not to wait for it.
        assert await asking.on(question(5)) is not None

    run(scene, new_loop)


@LOOPS
def test_one_that_hangs_is_given_up_and_ended_while_the_loop_goes_on(new_loop: NewLoop) -> None:
    async def scene(pipe: PlannerPipe) -> None:
        process_id = await wait_begun(pipe)
        os.kill(process_id, signal.SIGSTOP)
        turns = 0
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(thoughts(pipe, within_s=0.3).on(question(5)))
            while not asked.done():
                await asyncio.sleep(0.001)
                turns += 1
        assert await asked is None
        assert turns > 10
        assert (pipe.process_id, planner_children()) == (None, [])

    run(scene, new_loop)


def planner(pipe: PlannerPipe, problem: Problem, taken: list[Planned]) -> PlannerWorker:
    return PlannerWorker(
        pipe=pipe,
        clock=SystemClock(),
        problem_now=lambda: problem,
        take=taken.append,
        refuse=lambda *_: None,
        min_gap_s=0.0,
        answers_within_s=FOR_EVER_S,
    )


def test_a_question_that_hangs_costs_no_plan() -> None:
    async def scene(pipe: PlannerPipe) -> None:
        process_id = await wait_begun(pipe)
        os.kill(process_id, signal.SIGSTOP)
        taken = list[Planned]()
        worker = planner(pipe, problem_of(12), taken)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(thoughts(pipe, within_s=0.3).on(question(5)))
            await asyncio.sleep(0.05)
            planning = tasks.create_task(worker.run())
            worker.ask(Cause.ARRIVAL)
            await wait_until(lambda: bool(taken))
            planning.cancel()
        assert await asked is None
        assert (taken[0].origin, worker.counts.failures) == (Origin.WORKER, 0)

    run(scene)


def test_who_finds_it_planning_for_long_is_answered_without_it_and_the_plan_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.services.second_thoughts.PLANS_WITHIN_S", 0.05)

    async def scene(pipe: PlannerPipe) -> None:
        process_id = await wait_begun(pipe)
        taken = list[Planned]()
        worker = planner(pipe, problem_of(12), taken)
        os.kill(process_id, signal.SIGSTOP)
        async with asyncio.TaskGroup() as tasks:
            planning = tasks.create_task(worker.run())
            worker.ask(Cause.ARRIVAL)
            await wait_until(pipe._turn.locked)
            assert await thoughts(pipe).on(question(5)) is None
            os.kill(process_id, signal.SIGCONT)
            await wait_until(lambda: bool(taken))
            planning.cancel()
        assert (taken[0].origin, pipe.spawned_count) == (Origin.WORKER, 1)

    run(scene)


def test_who_stops_waiting_leaves_no_answer_to_the_next() -> None:
    async def scene(pipe: PlannerPipe) -> None:
        process_id = await wait_begun(pipe)
        begun_ticks = cpu_ticks(process_id)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(thoughts(pipe).on(question(300, later_ma=0)))
            await wait_until(lambda: cpu_ticks(process_id) > begun_ticks)
            asked.cancel()
        assert asked.cancelled()
        found = await thoughts(pipe).on(question(5))

        assert found == rearrange(question(5))

    run(scene)
