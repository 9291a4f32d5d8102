"""Plans made in a real process, which is killed, hangs, lies and comes back."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

import gateway.services.planner_pipe as pipe_module
from gateway.adapters.clock import SystemClock
from gateway.planning.check import Fault, Violation, check
from gateway.planning.greedy import greedy
from gateway.planning.grid import even_grid
from gateway.planning.improve import plan
from gateway.planning.problem import Demand, Problem
from gateway.planning.standing_plan import Origin
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.planner_worker import Cause, Planned, PlannerWorker
from tests.support.planner_at_work import cpu_ticks, planner_children, wait_until

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def problem_of(count: int, *, promised_wh: float = 0.0, has_ma: int | None = None) -> Problem:
    """Return a problem in which least laxity first gives less than there is to give."""
    grid = even_grid(48, 300.0)
    demands = tuple(
        Demand(
            key=f"{at}",
            place=f"{at}",
            rows=(0, 1 + at % 3),
            phase_count=1,
            voltage_v=230.0,
            earliest_s=300.0 * (at % 7),
            latest_s=300.0 * (14 + 5 * (at % 6)),
            energy_wh=3_000.0 + 700.0 * (at % 5),
            promised_wh=promised_wh,
            max_ma=16_000 + 16_000 * (at % 2),
        )
        for at in range(count)
    )
    supply_ma = 8_000 * count // 2 if has_ma is None else has_ma
    rows = ((supply_ma,) * 48, *(((supply_ma // 2,) * 48,) * 3))
    return Problem(grid=grid, available_ma=rows, demands=demands)


class Bench:
    """A worker under test, with what it took and refused."""

    def __init__(
        self, problem: Problem, *, min_gap_s: float = 0.0, answers_s: float = 60.0
    ) -> None:
        self.problem = problem
        self.asked_count = 0
        self.taken: list[Planned] = []
        self.refused: list[tuple[Violation, ...]] = []
        self.on_asked: Callable[[], None] = lambda: None
        self.pipe = PlannerPipe()
        self.worker = PlannerWorker(
            pipe=self.pipe,
            clock=SystemClock(),
            problem_now=self._now,
            take=self.taken.append,
            refuse=lambda _problem, _plan, violations: self.refused.append(violations),
            min_gap_s=min_gap_s,
            answers_within_s=answers_s,
        )

    def _now(self) -> Problem:
        self.asked_count += 1
        self.on_asked()
        return self.problem

    async def wait_taken(self, count: int) -> Planned:
        await wait_until(lambda: len(self.taken) >= count)
        return self.taken[count - 1]


def run_with(
    bench_of: Callable[[], Bench],
    scene: Callable[[Bench], Awaitable[None]],
    new_loop: NewLoop = asyncio.new_event_loop,
) -> Bench:
    async def play() -> Bench:
        bench = bench_of()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bench.worker.run(), name="planner")
            try:
                await scene(bench)
            finally:
                running.cancel()
        return bench

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(play())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@LOOPS
def test_a_plan_of_the_process_is_the_plan_that_would_be_made_here(new_loop: NewLoop) -> None:
    problem = problem_of(18)

    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)

    bench = run_with(lambda: Bench(problem), scene, new_loop)

    assert bench.taken[0].plan == plan(problem)
    assert bench.taken[0].plan.energy_wh > greedy(problem).energy_wh
    assert bench.taken[0].origin is Origin.WORKER
    assert not planner_children()


@LOOPS
@pytest.mark.parametrize("work_ticks", [0, 3, 12, 30], ids="after {} ticks of work".format)
def test_killed_while_it_plans_the_greedy_plan_stands_in_and_it_comes_back(
    work_ticks: int, new_loop: NewLoop
) -> None:
    much = problem_of(3_000)  # Takes it long enough to be caught at it.

    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)
        process_id = bench.pipe.process_id
        assert process_id is not None
        begun_ticks = cpu_ticks(process_id)
        bench.problem = much
        bench.worker.ask(Cause.ARRIVAL)
        await wait_until(lambda: cpu_ticks(process_id) > begun_ticks + work_ticks)
        os.kill(process_id, signal.SIGKILL)
        bench.on_asked = lambda: setattr(bench, "problem", problem_of(12))
        assert (await bench.wait_taken(2)).origin is Origin.GREEDY
        # Nobody asks again: it is tried by itself once it has rested.
        assert (await bench.wait_taken(3)).origin is Origin.WORKER

    bench = run_with(lambda: Bench(problem_of(12)), scene, new_loop)

    assert bench.taken[1].plan == greedy(much)
    assert (bench.worker.counts.failures, bench.pipe.spawned_count) == (1, 2)
    assert not planner_children()


@LOOPS
def test_no_process_and_no_file_is_left_of_those_that_were_killed(new_loop: NewLoop) -> None:
    files: list[int] = []

    async def scene(bench: Bench) -> None:
        for count in range(1, 6):
            bench.worker._rest.cut_short()  # Not to wait for it five times.
            bench.worker.ask(Cause.ARRIVAL)
            await wait_until(lambda: bench.pipe.process_id is not None)
            process_id = bench.pipe.process_id
            assert process_id is not None
            os.kill(process_id, signal.SIGKILL)
            await bench.wait_taken(count)
            files.append(open_files())
            assert not planner_children()

    bench = run_with(lambda: Bench(problem_of(100)), scene, new_loop)

    assert bench.worker.counts.failures == bench.pipe.spawned_count == 5
    assert files[1:] == files[:1] * 4  # The first may have opened what stays, a thread's say.


@LOOPS
def test_one_that_dies_just_before_it_is_asked_ends_nothing(new_loop: NewLoop) -> None:
    async def scene(bench: Bench) -> None:
        for count in range(1, 9):
            bench.worker._rest.cut_short()  # Not to wait for it eight times.
            bench.worker.ask(Cause.ARRIVAL)
            await bench.wait_taken(2 * count - 1)
            process_id = bench.pipe.process_id
            assert process_id is not None
            os.kill(process_id, signal.SIGKILL)
            # From before anybody sees it to after: the pipes end first, then it is reaped.
            await asyncio.sleep(0.0004 * (count - 1))
            bench.worker.ask(Cause.ARRIVAL)
            await bench.wait_taken(2 * count)

    bench = run_with(lambda: Bench(problem_of(6)), scene, new_loop)

    assert bench.taken[0].origin is Origin.WORKER
    assert not planner_children()


def test_a_process_that_cannot_be_begun_costs_no_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pipe_module, "COMMAND", (str(tmp_path / "nothing"),))

    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)

    bench = run_with(lambda: Bench(problem_of(6)), scene)

    assert (bench.taken[0].origin, bench.worker.counts.failures) == (Origin.GREEDY, 1)


def test_one_that_died_while_idle_costs_no_plan() -> None:
    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)
        process_id = bench.pipe.process_id
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
        process = bench.pipe._process
        assert process is not None
        await process.wait()
        bench.worker.ask(Cause.DEPARTURE)
        await bench.wait_taken(2)

    bench = run_with(lambda: Bench(problem_of(6)), scene)

    assert [planned.origin for planned in bench.taken] == [Origin.WORKER] * 2
    assert bench.pipe.spawned_count == 2


@pytest.mark.parametrize(
    ("program", "answers_s"),
    [
        ("import time; time.sleep(600)", 0.0),
        ("import os; os.write(1, b'\\x00\\x00\\x00\\x03abc'); os.read(0, 9)", 60.0),
        ("import os; os.write(1, b'\\xff\\xff\\xff\\xff' + bytes(300_000))", 60.0),
        ("raise SystemExit(3)", 60.0),
    ],
    ids=["hangs", "babbles", "floods", "ends"],
)
def test_whatever_the_process_does_there_is_a_plan(
    program: str, answers_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_module, "COMMAND", (sys.executable, "-c", program))
    problem = problem_of(12)

    async def scene(bench: Bench) -> None:
        bench.worker._time_limit_s = 0.3
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)
        assert not planner_children()

    bench = run_with(lambda: Bench(problem, answers_s=answers_s), scene)

    assert bench.taken[0].plan == greedy(problem)
    assert bench.worker.counts.failures == 1


def test_a_plan_with_something_wrong_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A process that gives everybody everything: a real one, with another rule in it.
    liar = tmp_path / "liar.py"
    liar.write_text(
        "import gateway.services.planner_process as process\n"
        "from gateway.planning.problem import plan_of\n"
        "process.plan = lambda p, time_limit_s: plan_of(\n"
        "    p, [[d.max_ma] * p.grid.slot_count for d in p.demands])\n"
        "raise SystemExit(process.main())\n"
    )
    monkeypatch.setattr(pipe_module, "COMMAND", (sys.executable, str(liar)))
    problem = problem_of(12)

    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)

    bench = run_with(lambda: Bench(problem), scene)

    assert bench.taken[0].origin is Origin.GREEDY
    assert check(problem, bench.taken[0].plan) == ()
    assert (bench.worker.counts.refused, bench.worker.counts.failures) == (1, 0)


def test_a_promise_the_rows_no_longer_carry_is_told_and_the_plan_before_stands() -> None:
    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.LIMIT)
        await wait_until(lambda: bool(bench.refused))

    bench = run_with(lambda: Bench(problem_of(4, promised_wh=2_000.0, has_ma=0)), scene)

    assert {violation.fault for violation in bench.refused[0]} == {Fault.PROMISE}
    assert bench.taken == []


def test_of_many_events_within_the_gap_one_plan_is_made_of_the_newest_problem() -> None:
    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)
        for count in range(2, 30):
            bench.problem = problem_of(count)
            bench.worker.ask(Cause.ARRIVAL)
            await asyncio.sleep(0)
        await bench.wait_taken(2)
        await asyncio.sleep(0.2)

    bench = run_with(lambda: Bench(problem_of(2), min_gap_s=1.5), scene)

    assert len(bench.taken) == bench.asked_count == 2
    assert bench.taken[1].problem == problem_of(29)
    assert bench.taken[1].from_s - bench.taken[0].from_s >= 1.5 - 0.002


def test_a_limit_that_changes_while_it_solves_voids_its_plan() -> None:
    newest = problem_of(12, has_ma=20_000)

    async def scene(bench: Bench) -> None:
        def change_once() -> None:
            bench.on_asked = lambda: None
            # Said once the question is on its way.
            asyncio.get_running_loop().call_later(0.01, changed)

        def changed() -> None:
            bench.problem = newest
            bench.worker.ask(Cause.LIMIT)

        bench.on_asked = change_once
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(2)

    bench = run_with(lambda: Bench(problem_of(60)), scene)

    assert [planned.problem for planned in bench.taken] == [newest, newest]
    assert [planned.origin for planned in bench.taken] == [Origin.GREEDY, Origin.WORKER]
    assert bench.worker.counts.overtaken == 1


def test_control_goes_on_while_it_solves() -> None:
    turns: list[int] = []

    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await wait_until(lambda: bench.pipe.process_id is not None)
        while not bench.taken:
            await asyncio.sleep(0.001)
            turns.append(len(turns))

    run_with(lambda: Bench(problem_of(60)), scene)

    assert len(turns) > 20


def test_it_ends_by_itself_when_the_daemon_is_gone() -> None:
    async def scene(bench: Bench) -> None:
        bench.worker.ask(Cause.ARRIVAL)
        await bench.wait_taken(1)
        process = bench.pipe._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()  # What the kernel does when the daemon is killed.
        async with asyncio.timeout(60):
            assert await process.wait() == 0

    run_with(lambda: Bench(problem_of(6)), scene)


def test_the_process_imports_nothing_of_the_daemon(tmp_path: Path) -> None:
    async def scene() -> bytes:
        program = (
            "import sys, gateway.services.planner_process\n"
            "print(*sorted(m for m in sys.modules if m.startswith(('gateway', 'drivers'))))\n"
            "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", program, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
        )
        out, _ = await process.communicate()
        return out

    ours, all_of_them = asyncio.run(scene()).decode().splitlines()

    services = {"gateway.services", "gateway.services.planner_process"}
    allowed = ("gateway.planning", "gateway.domain", "gateway.services.planner_words")
    assert all(name in {"gateway", *services} or name.startswith(allowed) for name in ours.split())
    assert not {"asyncio", "uvloop", "pydantic", "sqlite3", "starlette"} & set(all_of_them.split())
