"""The cycle keeps its pace whatever clocks and stations do, and says once what changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import cast

import pytest

from gateway.control.decide import Decision
from gateway.control.explain import sentence
from gateway.control.parameters import ControlParameters
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorStatusChanged,
    Event,
    StationConnected,
    StationDisconnected,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.services.chronicle import GRAVE
from gateway.services.control_loop import MAX_FACTS_A_CYCLE, ControlLoop
from gateway.services.inbox import MANY, Fact, Inbox, InboxOverflowError
from tests.support.small_site import at_start, main_read, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

CP_01 = StationId("CP-01")
PLUG = ConnectorRef(CP_01, 1)


@dataclass(kw_only=True)
class Watched:
    """A loop that runs, where its facts go, and what it handed over."""

    loop: ControlLoop
    inbox: Inbox
    clock: VirtualClock
    decisions: list[Decision] = field(default_factory=list)

    async def meter(self, current_a: float, *, for_s: int) -> None:
        """Let the meter be read each second, at the half of it."""
        for _ in range(for_s):
            await asyncio.sleep(0.5)
            now_s = asyncio.get_running_loop().time()
            # A live meter never repeats itself to the last bit.
            self.inbox.post(main_read(now_s, current_a + now_s % 7 / 1_000))
            await asyncio.sleep(0.5)


def watch(
    test: Callable[[Watched], Awaitable[None]],
    *,
    clock: VirtualClock | None = None,
    is_forgiving: bool = False,
    inbox: Inbox | None = None,
    parameters: ControlParameters | None = None,
) -> Watched:
    """Run a loop in virtual time while `test` lasts."""
    inbox = Inbox(max_waiting=1_000_000) if inbox is None else inbox
    decisions = list[Decision]()
    made: list[Watched] = []

    async def run() -> None:
        site = small_site(2)
        ticking = clock or VirtualClock()
        loop = ControlLoop(
            at_start(site, parameters),
            inbox,
            decisions.append,
            clock=ticking,
            is_forgiving=is_forgiving,
        )
        made.append(Watched(loop=loop, inbox=inbox, clock=ticking, decisions=decisions))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(loop.run())
            await test(made[0])
            running.cancel()

    run_virtual(run())
    return made[0]


class HastyClock(VirtualClock):
    """A clock whose sleeps end a little early, as uvloop's do."""

    async def sleep_s(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s - 0.000_9) if delay_s > 0.001 else delay_s)


def plug_in(watched: Watched) -> None:
    now_s = asyncio.get_running_loop().time()
    for fact in (
        StationConnected(at_s=now_s, station=CP_01),
        ConnectorStatusChanged(at_s=now_s, connector=PLUG, status=ConnectorStatus.OCCUPIED),
        TransactionStarted(at_s=now_s, connector=PLUG, transaction=TransactionId("1")),
    ):
        watched.inbox.post(fact)


@pytest.mark.parametrize("clock", [VirtualClock(), HastyClock()])
def test_a_cycle_begins_each_period_and_never_sooner(clock: VirtualClock) -> None:
    watched = watch(lambda _: asyncio.sleep(9.5), clock=clock)

    at_s = [decision.at_s for decision in watched.decisions]
    assert at_s == pytest.approx(range(10))
    assert all(at >= second for second, at in enumerate(at_s))


def test_the_period_is_the_parameters_own() -> None:
    watched = watch(lambda _: asyncio.sleep(1.1), parameters=ControlParameters(period_s=0.25))

    assert [d.at_s for d in watched.decisions] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize("by", [timedelta(hours=-2), timedelta(seconds=1.5), timedelta(days=400)])
def test_no_cycle_is_lost_to_a_jump_of_the_wall_clock(
    by: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(4.5)
        watched.clock.jump_wall_clock(by)
        await asyncio.sleep(1)
        assert watched.loop.counters["clock_jumps"] == 1  # Seen within one cycle.
        await asyncio.sleep(4)

    watched = watch(test)

    assert [d.at_s for d in watched.decisions] == pytest.approx(range(10))
    (record,) = [r for r in caplog.records if "wall clock" in r.getMessage()]
    assert f"{abs(by.total_seconds()):.1f} s" in record.getMessage()


def test_a_slow_drift_of_the_wall_clock_is_no_jump() -> None:
    async def test(watched: Watched) -> None:
        for _ in range(100):
            watched.clock.jump_wall_clock(timedelta(seconds=0.5))
            await asyncio.sleep(1)

    assert watch(test).loop.counters["clock_jumps"] == 0


class StallingClock(VirtualClock):
    """A machine that sleeps too long once, as after a suspend."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls_s = [7.3]

    async def sleep_s(self, delay_s: float) -> None:
        stall_s = self.stalls_s.pop() if self.stalls_s and self.monotonic_s() >= 3 else 0.0
        await super().sleep_s(delay_s + stall_s)


def test_missed_cycles_are_not_made_up_for_in_a_burst() -> None:
    watched = watch(lambda _: asyncio.sleep(14), clock=StallingClock())

    at_s = [decision.at_s for decision in watched.decisions]
    assert at_s[:4] == pytest.approx([0, 1, 2, 3])
    assert at_s[4] == pytest.approx(11.3)
    assert len(at_s) <= 8
    assert watched.loop.counters["late"] >= 1


def test_what_arrives_counts_in_the_next_cycle() -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        plug_in(watched)
        await asyncio.sleep(1)

    watched = watch(test)

    before, after = watched.decisions
    assert before.reasons[PLUG].kind == "station-unreachable"
    assert after.reasons[PLUG].kind != "station-unreachable"


def test_a_flood_is_taken_in_bounded_parts_and_whole() -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        for _ in range(MAX_FACTS_A_CYCLE + 10):
            watched.inbox.post(StationConnected(at_s=0.5, station=CP_01))
        await asyncio.sleep(0.6)
        assert len(watched.inbox) == 10
        await asyncio.sleep(1)
        assert len(watched.inbox) == 0

    watch(test)


class Silent(Inbox):
    """An inbox that never says that many facts wait: they are folded in the cycle."""

    def post(self, fact: Fact) -> None:
        self.on_many = None
        super().post(fact)


def flood(inbox: Inbox, at_s: float) -> None:
    """Post what a busy second brings, in an order that matters."""
    ends = (ConnectorStatus.OCCUPIED, ConnectorStatus.AVAILABLE)
    inbox.post(StationConnected(at_s=at_s, station=CP_01))
    for number in range(401):
        status = ends[number % 2]
        inbox.post(ConnectorStatusChanged(at_s=at_s, connector=PLUG, status=status))
    inbox.post(main_read(at_s, 20 + at_s))


def test_many_facts_are_folded_a_few_at_a_time_before_their_cycle() -> None:
    waiting: list[int] = []

    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        flood(watched.inbox, 0.5)
        for _ in range(20):
            waiting.append(len(watched.inbox))
            await asyncio.sleep(0)
        assert watched.loop.counters["cycles"] == 1

    watch(test)

    assert waiting[0] == 403
    assert waiting[-1] < MANY  # What is left is little enough for the cycle.
    assert all(0 <= before - after <= MANY for before, after in pairwise(waiting))


def test_what_is_decided_is_the_same_whenever_facts_are_folded() -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        for second in range(5):
            flood(watched.inbox, second + 0.5)
            await asyncio.sleep(1)

    as_they_come, in_the_cycle = watch(test), watch(test, inbox=Silent())

    assert as_they_come.decisions == in_the_cycle.decisions
    assert as_they_come.loop.latest == in_the_cycle.loop.latest


def test_a_fault_met_between_two_cycles_ends_control_like_one_met_in_a_cycle() -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        watched.inbox.post(cast("Event", "no fact"))
        flood(watched.inbox, 0.5)
        await asyncio.sleep(2)

    with pytest.raises(ExceptionGroup) as caught:
        watch(test)

    assert caught.group_contains(AssertionError)


def test_a_fact_lost_ends_control_and_says_so() -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        for _ in range(3):
            watched.inbox.post(StationConnected(at_s=0.5, station=CP_01))
        await asyncio.sleep(2)

    with pytest.raises(ExceptionGroup) as caught:
        watch(test, inbox=Inbox(max_waiting=2))

    assert caught.group_contains(InboxOverflowError)


class Nonsense:
    """What no driver may post."""

    def __repr__(self) -> str:
        return "nonsense"


def test_a_fact_that_cannot_be_folded_is_a_fault_where_we_look_for_faults() -> None:
    async def test(watched: Watched) -> None:
        watched.inbox.post(Nonsense())  # type: ignore[arg-type]
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        watch(test)

    assert caught.group_contains(AssertionError)


def test_a_fact_that_cannot_be_folded_never_ends_control_in_a_building(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(watched: Watched) -> None:
        await asyncio.sleep(0.5)
        for _ in range(5):
            watched.inbox.post(Nonsense())  # type: ignore[arg-type]
        plug_in(watched)
        await asyncio.sleep(3)

    watched = watch(test, is_forgiving=True)

    assert watched.loop.counters["unfoldable"] == 5
    assert len([r for r in caplog.records if "cannot be folded" in r.getMessage()]) == 1
    assert len(watched.decisions) == 4
    assert watched.decisions[-1].reasons[PLUG].kind != "station-unreachable"


def test_a_change_of_limit_is_said_once_in_the_words_of_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def test(watched: Watched) -> None:
        plug_in(watched)
        await watched.meter(20.0, for_s=20)

    watched = watch(test)

    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith(f"{PLUG}: ")]
    reasons = [decision.reasons[PLUG] for decision in watched.decisions]
    told = [(r.limit_ma, r.kind if r.kind in GRAVE else None) for r in reasons]
    changes = [
        r for r, now, before in zip(reasons, told, [None, *told], strict=False) if now != before
    ]
    assert len(said) == len(changes)
    assert said[-1] == f"{PLUG}: {sentence(changes[-1])}"


def test_a_station_lost_and_back_is_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def test(watched: Watched) -> None:
        watched.inbox.post(StationConnected(at_s=0, station=CP_01))
        await asyncio.sleep(5.5)
        watched.inbox.post(StationDisconnected(at_s=5.5, station=CP_01))
        await asyncio.sleep(5)
        watched.inbox.post(StationConnected(at_s=10.5, station=CP_01))
        await asyncio.sleep(5)

    watch(test)

    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("station ")]
    assert [text.rsplit(" since", maxsplit=1)[0] for text in said] == [
        "station CP-01 is connected",
        "station CP-01 is lost",
        "station CP-01 is connected",
    ]


def test_a_circuit_without_a_reading_is_said_once_and_so_is_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def test(watched: Watched) -> None:
        await watched.meter(20.0, for_s=5)
        await asyncio.sleep(30)
        await watched.meter(20.0, for_s=5)

    watch(test)

    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("circuit ")]
    assert [("worst case" in text, "speaks" in text) for text in said] == [
        (True, False),
        (False, True),
    ]


def test_a_circuit_never_read_is_said_once_when_it_should_have_been(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch(lambda _: asyncio.sleep(5))
    assert not [r for r in caplog.records if r.getMessage().startswith("circuit ")]

    watch(lambda _: asyncio.sleep(60))
    assert len([r for r in caplog.records if r.getMessage().startswith("circuit ")]) == 1


def test_the_latest_cycle_is_there_to_be_shown() -> None:
    async def test(watched: Watched) -> None:
        assert watched.loop.latest is None
        await asyncio.sleep(2.5)

    watched = watch(test)

    assert watched.loop.latest is not None
    assert watched.loop.latest.decision is watched.decisions[-1]
    assert watched.loop.latest.state.memory is watched.decisions[-1].memory
