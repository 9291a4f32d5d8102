"""The desk on a real station's socket: lost, it is offered to nobody and told; back again, it is both."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.adapters.clock import SystemClock
from gateway.control.decide import decide
from gateway.control.fold import DrawsPromised, PrioritySet, evolve
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorStatusChanged,
    Event,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import Memory, PromiseMemory
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.domain.tokens import TokenPolicy
from gateway.front_desk import PROMISES, WELL_AFTER_S, FrontDesk
from gateway.planning.absence import BACK_WITHIN_S
from gateway.services.absences import MISSED_AFTER_S
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle
from gateway.services.promised_room import SHORT_FOR_S
from gateway.services.supervisor import Service
from gateway.settings import ListenAddress
from tests.support.asking_here import quoted_here
from tests.support.ocpp16_station import station16
from tests.support.ocpp_hall import Hall, in_hall, wait_until
from tests.support.small_site import at_start, main_read, small_site

PROMISED_WH = 5_000
FIRST = ConnectorRef(StationId("CP-01"), 1)


class AheadClock(SystemClock):
    """The machine's clocks, as far ahead as a test says; it sleeps for moments only."""

    ahead_s = 0.0
    is_broken = False

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    def now_at(self) -> datetime:
        if self.is_broken:
            raise OSError("there is no time")
        return super().now_at() + timedelta(seconds=self.ahead_s)

    async def sleep_s(self, delay_s: float) -> None:
        await super().sleep_s(min(delay_s, 0.01))


class Desk:
    """A front desk, and the control cycles it is told of."""

    def __init__(self, hall: Hall | None = None) -> None:
        self.hall, self.clock, self.alarms = hall, AheadClock(), Alarms(SystemClock())
        self.posted: list[PrioritySet | DrawsPromised] = []
        site = small_site(1)
        self.state = evolve(at_start(site), main_read(self.clock.monotonic_s(), 20.0))
        promise = _promise(self.clock.now_at().timestamp())
        draw = replace(promise, id="d", place="circuit:carpark", holder="canteen")
        self.desk = FrontDesk(
            self.state,
            clock=self.clock,
            wall_clock=self.clock,
            alarms=self.alarms,
            ledger=None,
            memory=Memory(
                promises={made.id: PromiseMemory(promise=made) for made in (promise, draw)}
            ),
            address=ListenAddress(host="127.0.0.1", port=0),
            folder=None,
            post=self.posted.append,
            plan_min_gap_s=1.0,
            tokens=TokenPolicy(),
        )
        self.folded_count = 0

    def passes(self, for_s: float) -> None:
        """Let a cycle pass, and another so much later."""
        for ahead_s in (0.0, for_s):
            self.clock.ahead_s += ahead_s
            facts = [] if self.hall is None else self.hall.facts[self.folded_count :]
            self.folded_count += len(facts)
            for fact in facts:
                self.state = evolve(self.state, fact)
            decision = decide(self.state, self.clock.monotonic_s())
            self.desk.note(Cycle(state=self.state, decision=decision))

    def happens(self, fact: Event) -> None:
        self.state = evolve(self.state, fact)
        self.desk.hear(fact)

    def service(self, name: str) -> Service:
        (found,) = [service for service in self.desk.services() if service.name == name]
        return found

    def sounds(self) -> list[str]:
        return [alarm.name for alarm in self.alarms.sounding()]

    async def quote(self) -> str:
        """Return what is answered to a vehicle that is there for an hour from now."""
        words = {
            "energy_wh": PROMISED_WH,
            "connector": "CP-01/1",
            "depart_at": (self.clock.now_at() + timedelta(hours=1)).isoformat(),
        }
        return str((await quoted_here(self.desk, words))["reason"])


def _promise(now_s: float) -> Reservation:
    """Return a promise that begins once somebody who is there for an hour from now has left."""
    begins_s = now_s + 2 * 3_600
    return Reservation(
        id="p",
        place="CP-01/1",
        rows=(0, 1, 2),
        envelope=(Stretch(from_at_s=begins_s, until_at_s=begins_s + 3_600, current_ma=16_000),),
        energy_wh=PROMISED_WH,
        guaranteed_wh=PROMISED_WH,
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=now_s,
        holder="vans",
    )


def test_a_station_whose_socket_is_lost_is_offered_and_counted_on_again_once_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def lose(hall: Hall, made: Desk) -> None:
        async with station16(hall, "CP-01") as there:
            await there.boot()
            await wait_until(hall.server.connected_stations)
            made.passes(MISSED_AFTER_S + 1)
            assert (await made.quote()).startswith("Yes: ")
        await wait_until(lambda: not hall.server.connected_stations())
        made.passes(MISSED_AFTER_S - 1)
        assert (await made.quote()).startswith("Yes: ")
        made.passes(2)
        assert "station CP-01 has been out of reach since" in (await made.quote())
        # It begins in two hours.
        assert "at risk" not in caplog.text
        made.passes(2 * 3_600 - BACK_WITHIN_S)
        await wait_until(lambda: made.desk.figures().at_risk_count == 1)
        assert "p of vans is at risk: the 5.0 kWh on CP-01/1" in caplog.text
        assert "station CP-01 has been out of reach since" in caplog.text
        async with station16(hall, "CP-01") as there:
            await there.boot()
            await wait_until(hall.server.connected_stations)
            made.passes(1)
            await wait_until(lambda: made.desk.figures().at_risk_count == 0)
            assert "out of reach" not in (await made.quote())

    async def test(hall: Hall) -> None:
        made = Desk(hall)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(made.service("promises").run(), name="promises")
            await lose(hall, made)
            watching.cancel()

    in_hall(test)


def test_a_promise_that_waits_for_its_station_is_counted_as_open() -> None:
    made = Desk()
    made.passes(3 * 3_600 + 60)
    assert not made.desk._booking.book.promises
    assert dict(made.desk.figures().open_count) == {PromiseState.CONFIRMED: 1}


LOST = StationDisconnected(at_s=0.0, station=FIRST.station)
FAULTED = ConnectorStatusChanged(at_s=0.0, connector=FIRST, status=ConnectorStatus.FAULTED)


@pytest.mark.parametrize(
    ("is_accepted", "then", "is_allowed"),
    [(True, None, True), (False, None, False), (True, LOST, False), (True, FAULTED, False)],
)
def test_a_vehicle_is_allowed_what_its_station_accepted_and_can_give(
    is_accepted: bool, then: Event | None, is_allowed: bool
) -> None:
    made = Desk()
    made.happens(StationConnected(at_s=made.clock.monotonic_s(), station=FIRST.station))
    made.passes(2 * 3_600 + 10)
    at_s = made.clock.monotonic_s()
    made.happens(TransactionStarted(at_s=at_s, connector=FIRST, transaction=TransactionId("t")))
    made.happens(
        LimitSent(
            at_s=at_s,
            connector=FIRST,
            limit_ma=16_000,
            phase_count=3,
            lease_until_s=at_s + 75,
            sequence=1,
        )
    )
    answer = LimitAcknowledged if is_accepted else LimitRejected
    made.happens(answer(at_s=at_s, connector=FIRST, sequence=1))
    if then is not None:
        made.happens(then)
    assert made.desk.figures().open_count[PromiseState.ARRIVED] == 1
    for _ in range(5):
        made.passes(3)

    allowed_wh = made.desk._booking.book.promises["p"].allowed_wh
    least_wh = 16 * 690 * 15 / 3_600
    assert least_wh <= allowed_wh < 2 * least_wh if is_allowed else allowed_wh == 0


def test_an_alarm_about_promises_is_over_once_nothing_was_wrong_for_a_while() -> None:
    async def watch(made: Desk) -> None:
        for _ in range(2):
            made.clock.is_broken = True
            await wait_until(lambda: made.sounds() == [PROMISES])
            made.clock.is_broken = False
            made.passes(WELL_AFTER_S - 10)
            await asyncio.sleep(0.1)
            assert made.sounds() == [PROMISES]
            made.clock.is_broken = True
            made.passes(0)  # It has the same fault once more.
            made.clock.is_broken = False
            made.passes(WELL_AFTER_S - 10)
            await asyncio.sleep(0.1)
            assert made.sounds() == [PROMISES]
            made.passes(10)
            await wait_until(lambda: not made.sounds())

    async def test() -> None:
        made = Desk()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(made.service("promises").run(), name="promises")
            await watch(made)
            watching.cancel()

    asyncio.run(test())


def test_what_a_fault_left_unplanned_is_planned_after_it() -> None:
    async def test() -> None:
        made = Desk()
        made.passes(0)  # There is a promise to be planned for.
        made.clock.is_broken = True
        async with asyncio.TaskGroup() as tasks:
            planning = tasks.create_task(made.service("planner").run(), name="planner")
            await wait_until(lambda: made.sounds() == [PROMISES])
            made.clock.is_broken = False
            await wait_until(lambda: plans_of(made) > 0)
            planning.cancel()

    asyncio.run(test())


def test_it_is_planned_anew_who_comes_who_leaves_and_when_base_is_seen_otherwise() -> None:
    came = TransactionStarted(at_s=0.0, connector=FIRST, transaction=TransactionId("1"))
    left = TransactionEnded(at_s=1.0, connector=FIRST, transaction=TransactionId("1"))

    async def planned_after(made: Desk, happens: Callable[[], None]) -> None:
        before = plans_of(made)
        happens()
        await wait_until(lambda: plans_of(made) > before)

    async def test() -> None:
        made = Desk()
        async with asyncio.TaskGroup() as tasks:
            planning = tasks.create_task(made.service("planner").run(), name="planner")
            await planned_after(made, lambda: made.passes(0))  # There is a promise.
            await planned_after(made, lambda: made.happens(came))
            await planned_after(made, lambda: made.happens(left))
            before = plans_of(made)
            looking = tasks.create_task(made.service("forecast").run(), name="forecast")
            await wait_until(lambda: plans_of(made) > before)
            planning.cancel()
            looking.cancel()

    asyncio.run(test())


def plans_of(made: Desk) -> int:
    """Return how many plans were made."""
    return made.desk.planner_counters["by_worker"] + made.desk.planner_counters["by_greedy"]


def test_control_is_told_to_keep_room_for_a_promised_draw_and_one_without_room_is_broken() -> None:
    made = Desk()
    made.clock.ahead_s += 2 * 3_600 - 10.0
    for reads_a, ahead_s in ((90.0, 10.0), (90.1, SHORT_FOR_S), (90.2, 0.0)):
        made.state = evolve(made.state, main_read(made.clock.monotonic_s(), reads_a))
        assert made.desk.counters["reservations broken"] == 0
        made.passes(1)
        told = [f for f in made.posted if isinstance(f, DrawsPromised) and f.draws][-1]
        assert {draw.current_ma for draw in told.draws.values()} == {16_000}
        made.state = evolve(made.state, told)
        made.clock.ahead_s += ahead_s

    assert made.desk.counters["reservations broken"] == 1
