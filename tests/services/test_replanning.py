"""A plan is made in a real process when something happens, and control hears of it who goes first."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from gateway.api.plan import plan_view
from gateway.control.decide import decide
from gateway.control.fold import evolve_all
from gateway.control.parameters import ControlParameters
from gateway.control.state import Priority
from gateway.domain.access import Access, Role
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    Event,
    StationConnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.memory import TransactionMemory
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.domain.sessions import Statement
from gateway.domain.tokens import KnownToken, TokenPolicy
from gateway.planning.asking import Places
from gateway.planning.check import check
from gateway.planning.demands import STAYS_ON_S, Visit
from gateway.planning.standing_plan import Origin
from gateway.services.booking import Booking
from gateway.services.control_loop import Cycle
from gateway.services.feed import Feed
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.planner_worker import Cause
from gateway.services.priorities import WAITS_S, Turn, is_alike, priorities_of, priority_of
from gateway.services.promisable import WorstCase
from gateway.services.replanning import Replanning
from gateway.services.vehicle_classes import USUAL_STAY_S, USUAL_WH
from gateway.services.visits import TAKES_ON_WH, Visits
from tests.support.small_site import CARPARK, at_start, main_read, small_site
from tests.support.standing_clock import StandingClock

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SITE = small_site(4)
DESK = Access(name="desk", role=Role.OPERATOR, criticality=Criticality.CRITICAL)


def ref(number: int) -> ConnectorRef:
    return ConnectorRef(StationId(f"CP-{number:02}"), 1)


def plugged(number: int, *, at_s: float = 0.0, id_token: str | None = None) -> tuple[Event, ...]:
    connector = ref(number)
    return (
        StationConnected(at_s=at_s, station=connector.station),
        ConnectorStatusChanged(at_s=at_s, connector=connector, status=ConnectorStatus.OCCUPIED),
        TransactionStarted(
            at_s=at_s,
            connector=connector,
            transaction=TransactionId(f"T{number}"),
            id_token=id_token,
        ),
    )


class Desk:
    """Booking, vehicles and planning as the daemon wires them, on the worst case."""

    def __init__(self) -> None:
        self.clock, self.facts = StandingClock(NOON), list[Event]()
        self.feed = Feed(self.clock)
        self.visits = Visits(self.clock)
        self.told: dict[ConnectorRef, Priority | None] = {}
        self.constraints: tuple[Constraint, ...] = ()
        state = at_start(SITE)
        self.booking = Booking(state.wiring, state.parameters, clock=self.clock, feed=self.feed)
        self.planning = Replanning(
            pipe=PlannerPipe(),
            places=self.booking.places,
            prospects=WorstCase(state.wiring, ControlParameters()),
            visits=self.visits,
            book=lambda: self.booking.book,
            prioritise=self.told.__setitem__,
            clock=self.clock,
            min_gap_s=0.0,
        )

    def hear(self, *facts: Event) -> None:
        for fact in facts:
            self.facts.append(fact)
            self.booking.hear(fact)
            if self.visits.hear(fact):
                self.planning.ask(Cause.ARRIVAL)

    def cycle(self) -> None:
        state = evolve_all(at_start(SITE), [*self.facts, main_read(0.0, 20.0)])
        limits = {(c.subject, c.source): c for c in self.constraints}
        state = replace(state, constraints=limits)
        now_s = self.clock.monotonic_s()
        self.planning._prioritised_s = float("-inf")
        self.booking.limit(self.constraints)
        self.planning.note(Cycle(state=state, decision=decide(state, now_s)))

    async def wait_plan(self, holds: Callable[["Desk"], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds(self):  # noqa: ASYNC110 - the process sets no event
                await asyncio.sleep(0.005)


def run(scene: Callable[[Desk], Awaitable[None]]) -> None:
    async def play() -> None:
        desk = Desk()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.planning.run(), name="planner")
            try:
                await scene(desk)
            finally:
                running.cancel()

    asyncio.run(play())


def plans_for(desk: Desk, name: str) -> bool:
    return desk.planning.plan is not None and name in desk.planning.plan.promises


async def promised(desk: Desk, number: int, *, kwh: float, hours: float = 2.0) -> Reservation:
    need = Need(
        depart_at=desk.clock.now_at() + timedelta(hours=hours),
        energy_wh=int(kwh * 1_000),
        connector=ref(number),
        criticality=Criticality.HIGH,
    )
    held = await desk.booking.hold(desk.booking.quote(need, DESK).offers[0].id, DESK)
    return await desk.booking.confirm(held.id, DESK)


def test_a_plan_is_made_when_vehicles_come_and_promises_are_made_and_none_when_all_have_gone() -> (
    None
):
    async def scene(desk: Desk) -> None:
        desk.cycle()
        desk.hear(*plugged(1), *plugged(2))
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)
        plan = desk.planning.plan
        assert plan is not None
        assert plan.origin is Origin.WORKER
        assert (desk.planning.took_s or 0.0) > 0.0
        assert 0.0 <= (desk.planning.age_s or 0.0) < 60.0
        assert [demand.key for demand in plan.problem.demands] == ["CP-01/1", "CP-02/1"]
        assert check(plan.problem, plan.plan) == ()
        assert sum(plan.plan.delivered_wh) > 1.9 * USUAL_WH
        assert set(desk.told) == {ref(1), ref(2)}

        promise = await promised(desk, 3, kwh=10.0)
        desk.cycle()
        await desk.wait_plan(partial(plans_for, name=promise.id))

        desk.hear(
            *(
                TransactionEnded(at_s=1.0, connector=ref(n), transaction=TransactionId(f"T{n}"))
                for n in (1, 2)
            )
        )
        desk.cycle()
        assert desk.told == {ref(1): None, ref(2): None}
        await desk.booking.cancel(promise.id, DESK)
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is None)
        assert desk.planning.took_s is desk.planning.age_s is None

    run(scene)


def test_a_promise_that_has_arrived_is_a_floor_and_those_served_later_wait() -> None:
    async def scene(desk: Desk) -> None:
        promise = await promised(desk, 1, kwh=20.0)
        desk.hear(*plugged(1), *plugged(2), *plugged(3), *plugged(4))
        desk.visits.say(ref(4), Statement(departs_at_s=NOON.timestamp() + 86_400.0))
        desk.cycle()
        await desk.wait_plan(
            lambda d: len((d.planning.plan and d.planning.plan.problem.demands) or ()) == 4
        )
        desk.cycle()
        first, second, last = (desk.told[ref(n)] for n in (1, 2, 4))
        assert first is not None
        assert second is not None
        assert last is not None
        assert first.rank == Criticality.HIGH.rank
        assert first.floor_ma == promise.envelope[0].current_ma == 32_000
        # 40 A are left in the worst case: the promised 32 A leave one more than nothing.
        assert second.floor_ma == last.floor_ma == 0
        assert (last.laxity_s or 0.0) > WAITS_S > (first.laxity_s or 0.0)

    run(scene)


def test_who_is_in_the_way_of_somebody_who_matters_more_matters_as_much() -> None:
    async def scene(desk: Desk) -> None:
        need = Need(
            arrive_at=desk.clock.now_at() + timedelta(hours=1),
            depart_at=desk.clock.now_at() + timedelta(hours=3),
            energy_wh=10_000,
            connector=ref(1),
            criticality=Criticality.HIGH,
        )
        held = await desk.booking.hold(desk.booking.quote(need, DESK).offers[0].id, DESK)
        await desk.booking.confirm(held.id, DESK)
        desk.hear(*plugged(1), *plugged(2))
        for number in (1, 2):
            leaves_s = desk.clock.now_at().timestamp() + 7_200.0
            low = Statement(departs_at_s=leaves_s, criticality=Criticality.OPPORTUNISTIC)
            desk.visits.say(ref(number), low)
        desk.cycle()
        first, second = desk.told[ref(1)], desk.told[ref(2)]
        assert first is not None
        assert second is not None
        assert (first.rank, second.rank) == (
            Criticality.HIGH.rank,
            Criticality.OPPORTUNISTIC.rank,
        )

    run(scene)


def test_who_is_still_there_after_its_time_is_planned_for_anew_and_waits_for_nobody() -> None:
    async def scene(desk: Desk) -> None:
        desk.hear(*plugged(1), *plugged(2))
        desk.visits.say(ref(1), Statement(departs_at_s=NOON.timestamp() + 60.0))
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)
        before = desk.planning.plan
        assert before is not None
        assert before.problem.demands[0].latest_s == 60.0
        desk.clock.ahead = timedelta(seconds=59)
        desk.cycle()
        await asyncio.sleep(0.05)
        assert desk.planning.plan is before

        desk.clock.ahead = timedelta(seconds=61)
        desk.cycle()
        overdue = desk.told[ref(1)]
        assert overdue is not None
        assert (overdue.laxity_s or 0.0) < WAITS_S / 2
        await desk.wait_plan(lambda d: d.planning.plan is not before)
        after = desk.planning.plan
        assert after is not None
        assert after.problem.demands[0].latest_s == STAYS_ON_S
        assert after.plan.delivered_wh[0] > 1_000.0

        made = desk.planning.counters["by_worker"]
        for _ in range(3):
            desk.cycle()
            await asyncio.sleep(0.05)
        assert desk.planning.counters["by_worker"] == made

    run(scene)


def test_an_impossible_target_is_planned_as_far_as_it_can_be_and_the_rest_is_told() -> None:
    async def scene(desk: Desk) -> None:
        desk.hear(*plugged(1))
        in_an_hour_s = desk.clock.now_at().timestamp() + 3_600.0
        impossible = Statement(departs_at_s=in_an_hour_s, energy_wh=90_000.0)
        desk.visits.say(ref(1), impossible)
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)
        (told,) = plan_view(desk.planning.plan, DESK, desk.clock.now_at()).planned

        assert 21_500 < told.energy_wh < 22_080
        assert told.wanted_wh == 90_000
        assert told.short_wh + told.energy_wh in (89_999, 90_000)
        # It is there still, and should not be: it goes on, as far as that can be told.
        desk.clock.ahead += timedelta(hours=2)
        desk.planning.ask(Cause.DEPARTURE)
        made_at_s = desk.planning.plan.from_at_s if desk.planning.plan else 0.0
        await desk.wait_plan(
            lambda d: d.planning.plan is not None and d.planning.plan.from_at_s > made_at_s
        )
        (told,) = plan_view(desk.planning.plan, DESK, desk.clock.now_at()).planned
        assert 10_500 < told.energy_wh < 11_040
        assert desk.told[ref(1)] is not None

    run(scene)


def test_killed_at_any_moment_control_is_told_and_the_plan_goes_on() -> None:
    async def scene(desk: Desk) -> None:
        desk.hear(*plugged(1))
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)
        process_id = desk.planning._pipe.process_id
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
        desk.hear(*plugged(2))
        desk.cycle()
        assert set(desk.told) == {ref(1), ref(2)}
        await desk.wait_plan(
            lambda d: d.planning.plan is not None and len(d.planning.plan.problem.demands) == 2
        )
        assert desk.planning._pipe.process_id != process_id

    run(scene)


def test_a_limit_that_breaks_a_promise_is_told_and_the_rest_of_it_is_still_planned() -> None:
    limit = Constraint(
        subject=CARPARK, limit_ma=(65_000,) * 3, authority=Authority.GRID, source="grid"
    )

    async def scene(desk: Desk) -> None:
        promise = await promised(desk, 1, kwh=40.0)
        desk.hear(*plugged(1), *plugged(2))
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)
        before = desk.planning.plan
        assert before is not None
        assert before.short_wh == {}

        desk.constraints = (limit,)  # Of 40 A in the worst case 10 A are left.
        desk.cycle()
        await desk.wait_plan(
            lambda d: d.planning.plan is not None and bool(d.planning.plan.short_wh)
        )
        plan = desk.planning.plan
        assert plan is not None
        given = dict(
            zip([d.key for d in plan.problem.demands], plan.plan.delivered_wh, strict=True)
        )
        # 10 A on three phases for two hours, all of it for whom it was promised.
        assert 13_500 < given[promise.id] <= 13_800
        assert plan.short_wh[promise.id] == promise.guaranteed_wh - given[promise.id]

        desk.constraints = ()
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None and not d.planning.plan.short_wh)

    run(scene)


def test_no_plan_goes_by_limits_that_are_over_by_a_promise() -> None:
    async def scene(desk: Desk) -> None:
        desk.hear(*plugged(1), *plugged(2))
        for _ in range(3):
            promise = await promised(desk, 3, kwh=8.0)
            desk.cycle()
            await desk.wait_plan(partial(plans_for, name=promise.id))
            assert desk.planning.plan is not None
            assert check(desk.planning.plan.problem, desk.planning.plan.plan) == ()
            await desk.booking.cancel(promise.id, DESK)

    run(scene)


# What control is told of a need.

VISIT = Visit(
    place="CP-01/1",
    since_at_s=0.0,
    leaves_at_s=10_000.0,
    wants_wh=10_000.0,
    delivered_wh=2_000.0,
)
PROMISE = Reservation(
    id="P",
    place="CP-01/1",
    rows=(0, 1, 2),
    envelope=(
        Stretch(from_at_s=0.0, until_at_s=3_000.0, current_ma=16_000),
        Stretch(from_at_s=3_000.0, until_at_s=6_000.0, current_ma=0),
    ),
    energy_wh=9_000,
    guaranteed_wh=9_000,
    confidence_ratio=0.9,
    criticality=Criticality.CRITICAL,
    state=PromiseState.ARRIVED,
    hold_until_at_s=0.0,
    delivered_wh=2_000.0,
)


def turn(now_ma: int, soon_ma: int | None = None) -> Turn:
    return Turn(now_ma=now_ma, soon_ma=now_ma if soon_ma is None else soon_ma)


def test_laxity_is_the_time_left_less_the_time_needed_and_the_plans_turn_goes_first() -> None:
    def told(own: Turn | None = None, promised: Turn | None = None) -> Priority:
        return priority_of(
            VISIT, None, own=own, promised=promised, max_ma=10_000, w_per_ma=1.0, now_s=1_000.0
        )

    laxity_s = 9_000.0 - 3_600.0
    assert told() == told(turn(8_000)) == told(turn(0, soon_ma=6_000)) == told(turn(0), turn(6_000))
    assert told() == Priority(rank=2, laxity_s=laxity_s)
    assert told(turn(0)) == Priority(rank=2, laxity_s=laxity_s + WAITS_S)
    # One that takes half of it from half of it on needs half as long again.
    tapers = replace(VISIT, taper=((5_000.0, 5_000),))
    slow = priority_of(tapers, None, max_ma=10_000, w_per_ma=1.0, now_s=1_000.0)
    assert slow.laxity_s == 9_000.0 - 5_400.0


def floor_ma(now_s: float, gets_ma: int | None = None, **more: Any) -> int:
    """Return the floor of a promise of 9 kWh, 16 A from 0 to 3,000 s and nothing for as long."""
    promise = replace(PROMISE, **{"delivered_wh": now_s * 3.0, **more})
    return priority_of(
        VISIT,
        promise,
        own=turn(32_000),
        promised=None if gets_ma is None else turn(gets_ma),
        max_ma=10_000,
        w_per_ma=1.0,
        now_s=now_s,
    ).floor_ma


def test_a_floor_is_what_was_promised_for_now_until_all_of_it_is_given() -> None:
    assert floor_ma(1_000.0) == floor_ma(1_000.0, 8_000) == floor_ma(1_000.0, 32_000) == 16_000
    assert floor_ma(4_000.0, delivered_wh=8_990.0) == 0
    assert floor_ma(1_000.0, 32_000, delivered_wh=9_000.0) == 0


def test_what_makes_up_for_what_was_not_given_is_a_floor_too_but_not_for_coming_late() -> None:
    assert floor_ma(1_000.0, 20_000, delivered_wh=2_000.0) == 20_000
    assert floor_ma(4_000.0, 20_000, delivered_wh=2_000.0) == 20_000
    assert floor_ma(1_000.0, 20_000, delivered_wh=0.0, arrived_at_s=990.0) == 16_000
    assert floor_ma(4_000.0, 20_000, delivered_wh=2_000.0, arrived_at_s=2_500.0) == 0


def test_promises_go_in_the_order_in_which_they_were_made_and_before_the_rest() -> None:
    made_at_s = {"CP-01/1": 30.0, "CP-02/1": 10.0, "CP-03/1": 20.0}
    promises = [
        replace(
            PROMISE, id=place, place=place, hold_until_at_s=at_s, criticality=Criticality.NORMAL
        )
        for place, at_s in made_at_s.items()
    ]
    places = Places.of(SITE)
    visits = [replace(VISIT, place=place) for place in (*made_at_s, "CP-04/1")]

    def told(*, delivered_wh: float, now_s: float) -> dict[ConnectorRef, Priority]:
        first = replace(promises[1], delivered_wh=delivered_wh)
        others = (promises[0], promises[2])
        return priorities_of(visits, (first, *others), places, {}, now_s=now_s)

    before = told(delivered_wh=2_000.0, now_s=1_000.0)
    after = told(delivered_wh=9_000.0, now_s=1_060.0)

    in_turn = sorted(before, key=lambda at: before[at].laxity_s or 0.0)
    assert in_turn == [ref(2), ref(3), ref(1), ref(4)]
    bands = {
        (said.laxity_s or 0.0) // ControlParameters().laxity_band_s for said in before.values()
    }
    assert len(bands) == 4
    assert not is_alike(replace(before[ref(3)], floor_ma=0), replace(before[ref(1)], floor_ma=0))
    # Who has all that was promised is one among all again.
    assert after[ref(2)].floor_ma == 0
    assert (after[ref(2)].laxity_s or 0.0) > (after[ref(1)].laxity_s or 0.0)


def test_two_that_are_alike_do_not_change_places_all_the_time() -> None:
    clock = StandingClock(NOON)
    desk_told: list[tuple[float, ConnectorRef]] = []
    desk = Desk()
    desk.clock = clock

    async def play() -> None:
        desk.planning._prioritise = lambda ref, _: desk_told.append((clock.ahead.seconds, ref))
        desk.visits._clock = desk.planning._clock = clock
        desk.hear(*plugged(1), *plugged(2))
        for _ in range(60):
            desk.cycle()
            clock.ahead += timedelta(seconds=60)

    asyncio.run(play())
    # They wait for an hour; each is told again as often as a tenth of what is left has passed.
    assert 2 * 3 < len(desk_told) < 2 * 8


def test_what_is_promised_in_a_part_of_a_slot_is_not_missing_of_it() -> None:
    async def scene(desk: Desk) -> None:
        # An edge half a minute behind another is not cut, and slots are half an hour long there.
        arrive_at = desk.clock.now_at() + timedelta(hours=12, seconds=30)
        need = Need(
            arrive_at=arrive_at, depart_at=arrive_at + timedelta(minutes=10), energy_wh=3_600
        )
        promise = await desk.booking.hold(desk.booking.quote(need, DESK).offers[0].id, DESK)
        desk.cycle()
        await desk.wait_plan(lambda d: plans_for(d, promise.id))

        plan = desk.planning.plan
        assert plan is not None
        assert plan.plan.delivered_wh == (0.0,)
        assert plan.short_wh == {}

    run(scene)


def test_every_one_of_many_promises_has_its_slots() -> None:
    async def scene(desk: Desk) -> None:
        for at in range(100):
            arrive_at = desk.clock.now_at() + timedelta(minutes=65 + 24 * at)
            need = Need(
                arrive_at=arrive_at, depart_at=arrive_at + timedelta(minutes=15), energy_wh=2_500
            )
            await desk.booking.hold(desk.booking.quote(need, DESK).offers[0].id, DESK)
        desk.cycle()
        await desk.wait_plan(lambda d: d.planning.plan is not None)

        plan = desk.planning.plan
        assert plan is not None
        assert len(plan.plan.delivered_wh) == 100
        assert min(plan.plan.delivered_wh) > 2_490
        assert plan.short_wh == {}

    run(scene)


# Who is there, and what was learnt.


def visits_after(
    *facts: Event, sessions: int = 0, stay_s: float = 3_600.0, since_s: float = 0.0
) -> Visit:
    """Return the visit at the first connector after others have been there so long for 7 kWh.

    It has been there since a while, and leaves so long from now.
    """
    clock = StandingClock(NOON)
    visits = Visits(clock)
    for _ in range(sessions):
        for fact in plugged(2):
            visits.hear(fact)
        for energy_wh in (0.0, 7_000.0):
            visits.hear(ConnectorMetered(at_s=0.0, connector=ref(2), energy_wh=energy_wh))
        clock.ahead += timedelta(seconds=stay_s)
        ended = TransactionEnded(at_s=0.0, connector=ref(2), transaction=TransactionId("T2"))
        assert visits.hear(ended)
    for fact in facts:
        visits.hear(fact)
    clock.ahead += timedelta(seconds=since_s)
    (visit,) = visits.seen(evolve_all(at_start(SITE), facts), 1.0)
    return replace(visit, leaves_at_s=visit.leaves_at_s - clock.now_at().timestamp())


def test_of_vehicles_nobody_knows_anything_of_the_usual_is_taken() -> None:
    visit = visits_after(*plugged(1))

    assert (visit.leaves_at_s, visit.wants_wh) == (USUAL_STAY_S, USUAL_WH)


def test_what_vehicles_did_is_what_is_expected_of_the_next() -> None:
    known = visits_after(*plugged(1), sessions=40)
    few = visits_after(*plugged(1), sessions=10)

    assert (known.leaves_at_s, known.wants_wh) == (3_600.0, 7_000.0)
    assert (few.leaves_at_s, few.wants_wh) == (USUAL_STAY_S, USUAL_WH)


def test_one_that_stays_longer_and_takes_more_than_any_other_is_still_planned_for() -> None:
    metered = tuple(
        ConnectorMetered(at_s=float(at), connector=ref(1), energy_wh=energy_wh)
        for at, energy_wh in enumerate((500.0, 30_500.0))
    )
    visit = visits_after(*plugged(1), *metered, sessions=40, stay_s=600.0, since_s=700.0)

    assert (visit.delivered_wh, visit.wants_wh) == (30_000.0, TAKES_ON_WH)
    assert visit.leaves_at_s == STAYS_ON_S


def test_vehicles_of_one_group_are_one_class() -> None:
    tokens = TokenPolicy.of_list(tuple(KnownToken(id=f"van-{n}", group="vans") for n in range(40)))
    clock = StandingClock(NOON)
    visits = Visits(clock, tokens=tokens)
    for n in range(40):
        for fact in (
            *plugged(2, id_token=f"VAN-{n}" if n < 30 else f"stranger-{n}"),
            ConnectorMetered(at_s=0.0, connector=ref(2), energy_wh=1_000.0),
            ConnectorMetered(at_s=0.0, connector=ref(2), energy_wh=5_000.0 if n < 30 else 9_000.0),
            TransactionEnded(at_s=0.0, connector=ref(2), transaction=TransactionId("T2")),
        ):
            visits.hear(fact)
    facts = plugged(1, id_token="van-35")
    for fact in facts:
        visits.hear(fact)
    (visit,) = visits.seen(evolve_all(at_start(SITE), facts), 1.0)

    assert visit.wants_wh == 4_000.0


def test_what_stations_remember_is_learnt_from_at_the_start() -> None:
    def of(number: int, *, is_over: bool) -> TransactionMemory:
        return TransactionMemory(
            station=StationId("CP-01"),
            transaction=TransactionId(f"{number}"),
            connector_number=1,
            is_over=is_over,
            id_token="van",
            began_at=NOON - timedelta(hours=2),
            ended_at=NOON if is_over else None,
            meter_start_wh=1_000.0,
            meter_stop_wh=6_000.0 if is_over else None,
        )

    remembered = [of(n, is_over=True) for n in range(30)]
    visits = Visits(StandingClock(NOON), [*remembered, of(31, is_over=False)])
    visits.hear(ConnectorMetered(at_s=0.0, connector=ref(1), energy_wh=3_500.0))
    (visit,) = visits.seen(evolve_all(at_start(SITE), plugged(1)), 1.0)

    assert (visit.delivered_wh, visit.wants_wh) == (2_500.0, 2_500.0)
    assert not visit.is_drawing
    assert visit.id_token == "van"


def test_power_is_counted_where_no_energy_is_told() -> None:
    metered = tuple(
        ConnectorMetered(at_s=at_s, connector=ref(1), power_w=7_200.0)
        for at_s in (0.0, 60.0, 120.0)
    )

    visit = visits_after(*plugged(1), *metered)
    assert visit.delivered_wh == 240.0
    assert visit.is_drawing


def test_nobody_says_anything_of_a_connector_without_a_vehicle() -> None:
    assert not Visits(StandingClock(NOON)).say(ref(1), Statement(energy_wh=5_000.0))
