"""What is critical has promises moved for it, in the book and in the ledger, and walk-ups wait."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.memory import Entry
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.answers import NoLongerFitsError, OwnEnvelope
from gateway.planning.demands import Visit, demands_of
from gateway.planning.grid import grid_of
from gateway.planning.improve import plan
from gateway.planning.problem import Problem
from gateway.planning.quote import Verdict
from gateway.planning.rearranging import Rearranged, Rearranging
from gateway.planning.standing_plan import Origin, StandingPlan
from gateway.ports import Clock
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.quoting import ThinkOver, nothing_moves
from gateway.services.second_thoughts import SecondThoughts
from tests.support.paper_ledger import PaperLedger
from tests.support.planner_at_work import a_pipe, wait_until
from tests.support.small_site import small_site
from tests.support.standing_clock import StandingClock
from tests.support.virtual_time import VirtualClock, run_virtual

DRONES = Access(name="drones", role=Role.VEHICLE_OPERATOR, criticality=Criticality.CRITICAL)
VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
LEFT_MA = 40_000  # 95 A set-point, less 40 A of base at its worst, less 15 A of reserve.


class PromptLedger(PaperLedger):
    """One whose disk takes everything at once; `left` is what a kill after each commit leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Mapping[str, Reservation]] = []

    def keep_durably(self, *entries: Entry) -> asyncio.Future[None]:
        written = super().keep_durably(*entries)
        self.commit()
        self.left.append({name: m.promise for name, m in self.memory.promises.items()})
        return written


@pytest.fixture(autouse=True)
def all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the solver's two seconds may be over before it had its turn."""
    monkeypatch.setattr("gateway.services.quoting.SOLVER_S", 60.0)


def booking(
    clock: Clock,
    pipe: PlannerPipe | None = None,
    *,
    ledger: PaperLedger | None = None,
    think_over: ThinkOver = nothing_moves,
    answers_within_s: float = 60.0,
    feed: Feed | None = None,
) -> Booking:
    if pipe is not None:
        think_over = SecondThoughts(pipe, clock, answers_within_s=answers_within_s).on
    return Booking(
        Wiring.of(small_site(3)),
        ControlParameters(),
        clock=clock,
        feed=feed or Feed(clock),
        ledger=ledger,
        think_over=think_over,
    )


def need(clock: Clock, station: str, until_h: float, kwh: float, **more: object) -> Need:
    return Need(
        arrive_at=clock.now_at() + timedelta(hours=1),
        depart_at=clock.now_at() + timedelta(hours=1 + until_h),
        energy_wh=int(kwh * 1_000),
        connector=ConnectorRef(StationId(station), 1),
        **more,  # type: ignore[arg-type]
    )


def walk_in(made: Booking, *, latest_h: float, rank: int = Criticality.NORMAL.rank) -> StandingPlan:
    """Return the plan in which a vehicle at the first connector is given 42 kWh as soon as can be."""
    grid, now_s = grid_of(), made.book.from_at_s
    visit = Visit(
        place="CP-01/1",
        since_at_s=now_s,
        leaves_at_s=now_s + latest_h * 3_600.0,
        wants_wh=42_000.0,
        rank=rank,
    )
    demands = demands_of((visit,), (), made.places, grid, now_s=now_s)
    rows = ((LEFT_MA,) * grid.slot_count,) * 3
    problem = Problem(grid=grid, available_ma=rows, demands=demands)
    return StandingPlan(
        origin=Origin.GREEDY,
        from_at_s=now_s,
        problem=problem,
        plan=plan(problem),
        promises={},
        short_wh={},
    )


def run_with_pipe(test: Callable[[PlannerPipe], Awaitable[None]]) -> None:
    async def play() -> None:
        async with a_pipe() as pipe:
            await test(pipe)

    asyncio.run(play())  # A process thinks it over: that is real time.


async def confirmed(made: Booking, wanted: Need, by: Access) -> Reservation:
    held = await made.hold((await made.quote_thoroughly(wanted, by)).offers[0].id, by)
    return await made.confirm(held.id, by)


@pytest.mark.parametrize("is_fixed", [False, True])
def test_a_promise_makes_room_in_time_for_what_is_critical_unless_it_is_fixed(
    *, is_fixed: bool
) -> None:
    async def test(pipe: PlannerPipe) -> None:
        clock, ledger = StandingClock(), PromptLedger()
        feed = Feed(clock)
        made = booking(clock, pipe, ledger=ledger, feed=feed)
        van = await confirmed(made, need(clock, "CP-01", 4, 20, is_fixed=is_fixed), VANS)
        drone = need(clock, "CP-02", 1, 15, criticality=Criticality.CRITICAL)
        quote = await made.quote_thoroughly(drone, DRONES)

        if is_fixed:
            assert quote.verdict is not Verdict.YES
            return
        assert quote.verdict is Verdict.YES
        assert "it moves 1 promise in time" in quote.reason
        held = await made.hold(quote.offers[0].id, DRONES)
        moved = made.book.promises[van.id]
        assert held.state is PromiseState.HELD
        assert (moved.energy_wh, moved.until_at_s) == (van.energy_wh, van.until_at_s)
        assert moved.envelope != van.envelope
        assert ledger.memory.promises[van.id].promise.envelope == moved.envelope
        assert made.book.room.left_ma.min() >= 0
        told = [n for n in await feed.wait_newer(0, within_s=1.0) if n.subject == van.id][-1]
        why = str(told.data["why"])
        assert (told.holder, told.data["state"]) == ("vans", "confirmed")
        assert why.startswith("moved in time for a critical need: it is given its energy from 1")
        assert "instead of from 13:00 to 1" in why
        assert [a for a in ledger.acts if a.subject == van.id][-1].detail["cause"] == why
        assert moved.cause == ""  # It is no cause of what becomes of it.

    run_with_pipe(test)


def test_who_is_moved_what_is_replaced_and_for_what_is_one_commit() -> None:
    async def test(pipe: PlannerPipe) -> None:
        clock, ledger = StandingClock(), PromptLedger()
        made = booking(clock, pipe, ledger=ledger)
        van = await confirmed(made, need(clock, "CP-01", 4, 20), VANS)
        before = await confirmed(made, need(clock, "CP-02", 1, 2), DRONES)
        drone = need(clock, "CP-03", 1, 15, criticality=Criticality.CRITICAL)
        quote = await made.quote_thoroughly(drone, DRONES)
        assert set(quote.offers[0].gives_way.envelopes) == {van.id}
        ledger.left.clear()
        held = await made.hold(quote.offers[0].id, DRONES, replaces=before.id)

        assert made.book.promises[van.id].envelope != van.envelope
        for left in ledger.left:
            is_moved = left[van.id].envelope != van.envelope
            is_gone = left[before.id].state is PromiseState.CANCELLED
            assert is_moved == is_gone == (held.id in left)

    run_with_pipe(test)


def test_critical_questions_are_thought_over_one_at_a_time() -> None:
    async def test(pipe: PlannerPipe) -> None:
        clock = StandingClock()
        thoughts, thinking = SecondThoughts(pipe, clock, answers_within_s=60.0), Counter[str]()

        async def think_over(question: Rearranging) -> Rearranged | None:
            thinking["now"] += 1
            thinking["most"] = max(thinking["most"], thinking["now"])
            found = await thoughts.on(question)
            thinking["now"] -= 1
            return found

        made = booking(clock, think_over=think_over)
        await confirmed(made, need(clock, "CP-01", 4, 20), VANS)
        drone = need(clock, "CP-02", 1, 15, criticality=Criticality.CRITICAL)
        async with asyncio.TaskGroup() as tasks:
            questions = [tasks.create_task(made.quote_thoroughly(drone, DRONES)) for _ in range(12)]

        assert thinking["most"] == 1
        assert {(await question).verdict for question in questions} == {Verdict.YES}

    run_with_pipe(test)


@pytest.mark.parametrize("told", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_who_gets_no_answer_is_told_what_can_be_had_and_the_ledger_is_written_meanwhile(
    told: signal.Signals,
) -> None:
    async def test(pipe: PlannerPipe) -> None:
        clock, ledger = StandingClock(), PromptLedger()
        within_s = 60.0 if told is signal.SIGKILL else 2.0
        first = booking(clock, pipe, ledger=ledger)
        await confirmed(first, need(clock, "CP-01", 4, 20), VANS)
        drone = need(clock, "CP-02", 1, 15, criticality=Criticality.CRITICAL)
        assert (await first.quote_thoroughly(drone, DRONES)).verdict is Verdict.YES
        assert pipe.process_id is not None
        made = booking(clock, pipe, ledger=ledger, answers_within_s=within_s)
        await confirmed(made, need(clock, "CP-01", 4, 20), VANS)
        os.kill(pipe.process_id, signal.SIGSTOP)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(made.quote_thoroughly(drone, DRONES))
            # What is killed before it is asked is begun anew, and answers.
            await wait_until(pipe._turn.locked)
            other = await confirmed(made, need(clock, "CP-03", 8, 1), VANS)
            assert not asked.done()
            os.kill(pipe.process_id, told)

        said = await asked
        assert said.verdict is Verdict.PARTLY
        assert said.offers[0].gives_way.envelopes == {}
        assert other.id in made.book.promises
        held = await made.hold(made.quote(drone, DRONES).offers[0].id, DRONES)
        assert ledger.memory.promises[held.id].promise == held

    run_with_pipe(test)


def test_who_is_charging_is_counted_and_may_have_to_wait() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        asked = need(clock, "CP-02", 1, 20)
        assert made.quote(asked, VANS).reason.startswith("Yes: 20.0 kWh on CP-02/1")
        patient, hasty = walk_in(made, latest_h=6.0), walk_in(made, latest_h=2.1)
        made.go_by(lambda: patient)
        assert "it moves the charging of 1 vehicle in time" in made.quote(asked, VANS).reason
        made.go_by(lambda: hasty)
        assert made.quote(asked, VANS).verdict is not Verdict.YES

    run_virtual(test())


def test_an_envelope_of_one_s_own_and_what_is_free_are_beside_who_charges_like_a_quote() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made, begins_s = booking(clock), clock.now_at().timestamp() + 3_600
        own = OwnEnvelope(connector="CP-02/1", profile=((begins_s, begins_s + 3_600, 11_040),))
        made.go_by(lambda: plan_now)

        plan_now = walk_in(made, latest_h=2.1)
        assert made.beside_plan().room.left_ma[:, :12].max() == LEFT_MA - 32_000
        with pytest.raises(
            NoLongerFitsError, match=r"circuit carpark is short of 8\.0 A"
        ) as refused:
            await made.hold(own, VANS)
        assert refused.value.fresh.offers
        # Of its own charging nobody is short, nor of that which matters less.
        at_its_own = await made.hold(replace(own, connector="CP-01/1"), VANS)
        await made.cancel(at_its_own.id, VANS)
        plan_now = walk_in(made, latest_h=2.1, rank=Criticality.OPPORTUNISTIC.rank)
        assert (await made.hold(own, VANS)).state is PromiseState.HELD

    run_virtual(test())
