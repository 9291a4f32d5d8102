"""What is said of a promise is so: when it is held, and when the book is opened anew."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import Constraint
from gateway.domain.needs import Criticality, Need
from gateway.planning.answers import NoLongerFitsError, OwnEnvelope, QuoteAnswer
from gateway.planning.demands import Visit, demands_of
from gateway.planning.grid import Grid, grid_of
from gateway.planning.problem import Problem, plan_of
from gateway.planning.quote import Verdict
from gateway.planning.rearranging import Rearranged, Rearranging, rearrange
from gateway.planning.standing_plan import Origin, StandingPlan
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.promisable import Prospect
from tests.support.small_site import small_site
from tests.support.virtual_time import VirtualClock, run_virtual

VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)


class Uncertain:
    """A building whose base is up to 20 A more or less than planned, all the time."""

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        del from_at_s, constraints
        shape = (200, grid.slot_count)
        path_ma = np.broadcast_to(np.linspace(-20_000, 20_000, 200, dtype=int)[:, None], shape)
        available_ma = np.full((3, grid.slot_count), 70_000, dtype=np.int64)
        return Prospect(available_ma=available_ma, base_paths_ma=dict.fromkeys(range(3), path_ma))

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        del since_at_s, until_at_s
        return []


async def think_over(question: Rearranging) -> Rearranged | None:
    return rearrange(question)


def booking(clock: VirtualClock, prospects: Uncertain | None = None) -> Booking:
    return Booking(
        Wiring.of(small_site(3)),
        ControlParameters(),
        clock=clock,
        feed=Feed(clock),
        prospects=prospects,
        think_over=think_over,
    )


def quoted(made: Booking, clock: VirtualClock, station: str, sure_ratio: float) -> QuoteAnswer:
    wanted = Need(
        arrive_at=clock.now_at() + timedelta(hours=1),
        depart_at=clock.now_at() + timedelta(hours=2),
        energy_wh=20_000,
        connector=ConnectorRef(StationId(station), 1),
        confidence_ratio=sure_ratio,
    )
    return made.quote(wanted, VANS)


def test_what_is_critical_is_held_as_sure_as_it_was_offered_for_others_give_way_to_it() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made, drones = booking(clock, Uncertain()), replace(VANS, criticality=Criticality.CRITICAL)
        arrive_at = clock.now_at() + timedelta(hours=1)
        van = Need(arrive_at=arrive_at, depart_at=arrive_at + timedelta(hours=4), energy_wh=20_000)
        for name in ("CP-01", "CP-03"):
            wanted = replace(van, connector=ConnectorRef(StationId(name), 1))
            await made.hold(made.quote(wanted, VANS).offers[0].id, VANS)
        drone = replace(
            van,
            depart_at=arrive_at + timedelta(hours=1),
            connector=ConnectorRef(StationId("CP-02"), 1),
            criticality=Criticality.CRITICAL,
        )
        assert made.quote(drone, drones).verdict is not Verdict.YES
        offer = (await made.quote_thoroughly(drone, drones)).offers[0]
        held = await made.hold(offer.id, drones)

        assert offer.gives_way.envelopes
        assert held.confidence_ratio == offer.offer.confidence_ratio >= 0.9
        await made.review()
        risk = made.risk(held.id)
        assert risk is not None
        assert risk.confidence_ratio is not None
        assert risk.confidence_ratio >= held.confidence_ratio

    run_virtual(test())


@pytest.mark.parametrize("is_somebody_charging", [True, False])
def test_what_is_critical_is_held_as_sure_as_it_was_offered_where_no_promise_moves(
    *, is_somebody_charging: bool
) -> None:
    async def test() -> None:
        clock = VirtualClock()
        made, drones = booking(clock, Uncertain()), replace(VANS, criticality=Criticality.CRITICAL)
        van = quoted(made, clock, "CP-01", 0.5).offers[0]
        await made.confirm((await made.hold(van.id, VANS)).id, VANS)
        if is_somebody_charging:
            standing = walk_up(made, clock)
            made.go_by(lambda: standing)
        drone = Need(
            arrive_at=clock.now_at() + timedelta(hours=1),
            depart_at=clock.now_at() + timedelta(hours=2),
            energy_wh=20_000,
            connector=ConnectorRef(StationId("CP-03"), 1),
            criticality=Criticality.CRITICAL,
        )
        offer = (await made.quote_thoroughly(drone, drones)).offers[0]
        assert offer.gives_way.moved == (("CP-02/1",) if is_somebody_charging else ())
        assert not offer.gives_way.envelopes
        held = await made.hold(offer.id, drones)

        assert (held.energy_wh, held.confidence_ratio) == (20_000, 1.0)
        await made.review()
        risk = made.risk(held.id)
        assert risk is not None
        assert risk.confidence_ratio == 1.0

    run_virtual(test())


def walk_up(made: Booking, clock: VirtualClock) -> StandingPlan:
    """Return a plan in which a vehicle at CP-02 has 32 A from in an hour to in two."""
    now_s, grid = clock.now_at().timestamp(), grid_of()
    visit = Visit(
        place="CP-02/1", since_at_s=now_s, leaves_at_s=now_s + 5 * 3_600, wants_wh=8_000.0
    )
    problem = Problem(
        grid=grid,
        available_ma=((70_000,) * grid.slot_count,) * 3,
        demands=demands_of((visit,), (), made.places, grid, now_s=now_s),
    )
    currents_ma = [32_000 if 3_600 <= begins_s < 7_200 else 0 for begins_s in grid.edges_s[:-1]]
    return StandingPlan(
        origin=Origin.GREEDY,
        from_at_s=now_s,
        problem=problem,
        plan=plan_of(problem, [currents_ma]),
        promises={},
        short_wh={},
    )


@pytest.mark.parametrize(("asked_ratio", "is_held"), [(0.95, False), (0.7, True)])
def test_an_offer_is_held_as_sure_as_it_is_now_or_not_at_all(
    *, asked_ratio: float, is_held: bool
) -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock, Uncertain())
        first, second = (quoted(made, clock, name, asked_ratio) for name in ("CP-01", "CP-02"))
        assert [q.offers[0].offer.confidence_ratio for q in (first, second)] == [1.0, 1.0]
        assert (await made.hold(first.offers[0].id, VANS)).confidence_ratio == 1.0
        before = made.book
        await asyncio.sleep(1)

        if is_held:
            held = await made.hold(second.offers[0].id, VANS)
            assert asked_ratio <= held.confidence_ratio < 0.8
            await made.review()
            risk = made.risk(held.id)
            assert risk is not None
            assert risk.confidence_ratio == held.confidence_ratio
            return
        with pytest.raises(NoLongerFitsError, match=r"76\.5% sure now, and 95\.0% was") as refused:
            await made.hold(second.offers[0].id, VANS)
        assert made.book is before
        fresh = refused.value.fresh
        assert fresh.verdict is Verdict.PARTLY
        again = await made.hold(fresh.offers[0].id, VANS)
        assert again.energy_wh < 20_000
        assert again.confidence_ratio >= asked_ratio

    run_virtual(test())


def test_who_says_no_departure_is_told_how_sure_what_is_held_will_be() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock, Uncertain())
        await made.hold(quoted(made, clock, "CP-01", 0.5).offers[0].id, VANS)
        station = ConnectorRef(StationId("CP-02"), 1)
        arrive_at = clock.now_at() + timedelta(hours=1)
        wanted = Need(
            arrive_at=arrive_at,
            energy_wh=20_000,
            connector=station,
            confidence_ratio=0.5,
        )
        offer = made.quote(wanted, VANS).offers[0]
        held = await made.hold(offer.id, VANS)

        assert 0.5 <= held.confidence_ratio == offer.offer.confidence_ratio < 1.0
        assert held.until_at_s == offer.finish_at_s

    run_virtual(test())


@pytest.mark.parametrize(("after_s", "is_held"), [(30.0, True), (240.0, False)])
def test_what_has_gone_by_since_an_offer_was_made_is_no_time_to_charge_in(
    *, after_s: float, is_held: bool
) -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        depart_at = clock.now_at() + timedelta(hours=1)
        wanted = Need(depart_at=depart_at, connector=ConnectorRef(StationId("CP-01"), 1))
        most = made.quote(replace(wanted, energy_wh=30_000), VANS).offers[0]
        await asyncio.sleep(after_s)

        if is_held:
            await made.hold(most.id, VANS)
            return
        with pytest.raises(NoLongerFitsError, match=r"0\.0% sure now") as refused:
            await made.hold(most.id, VANS)
        assert refused.value.fresh.offers[0].offer.energy_wh < 0.98 * most.offer.energy_wh

    run_virtual(test())


def own(
    clock: VirtualClock, *parts: tuple[float, float, int], sure_ratio: float | None = None
) -> OwnEnvelope:
    """Return an envelope of parts from now on: from and until (s), and W."""
    now_s = clock.now_at().timestamp()
    return OwnEnvelope(
        connector="CP-01/1",
        profile=tuple(
            (now_s + from_s, now_s + until_s, power_w) for from_s, until_s, power_w in parts
        ),
        confidence_ratio=sure_ratio,
    )


def test_an_own_envelope_carries_what_a_vehicle_that_starts_then_takes_of_it() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        starts_s = made.places.outlet("CP-01/1", phase_count=None, max_power_w=None).start_s
        assert starts_s > 0

        soon = await made.hold(own(clock, (0, 600, 0), (600, 2_400, 22_080)), VANS)
        assert soon.energy_wh == int(22_080 * (1_800 - starts_s) / 3_600)
        await made.cancel(soon.id, VANS)
        # Of what is over already nothing is taken.
        begun = await made.hold(own(clock, (-59, 1_800, 22_080)), VANS)
        assert begun.energy_wh == int(22_080 * (1_800 - starts_s) / 3_600)

    run_virtual(test())


def test_time_without_power_makes_no_envelope_surer() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock, Uncertain())
        await made.hold(quoted(made, clock, "CP-02", 0.9).offers[0].id, VANS)
        sure_ratios = []
        for parts in (
            ((3_600, 7_200, 22_080),),
            ((3_600, 7_200, 22_080), (7_200, 36_000, 0)),
            ((0, 3_600, 0), (3_600, 7_200, 22_080), (7_200, 36_000, 0)),
        ):
            held = await made.hold(own(clock, *parts, sure_ratio=0.5), VANS)
            sure_ratios.append(held.confidence_ratio)
            await made.cancel(held.id, VANS)

        assert 0.5 < sure_ratios[0] < 0.9
        assert len(set(sure_ratios)) == 1

    run_virtual(test())


def test_an_own_envelope_less_sure_than_is_asked_is_refused_with_what_would_be() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock, Uncertain())
        await made.hold(quoted(made, clock, "CP-02", 0.9).offers[0].id, VANS)
        before = made.book

        with pytest.raises(NoLongerFitsError, match=r"% sure now, and 90\.0% was asked") as refused:
            await made.hold(own(clock, (3_600, 7_200, 22_080)), VANS)
        assert made.book is before
        again = await made.hold(refused.value.fresh.offers[0].id, VANS)
        assert again.confidence_ratio >= 0.9

    run_virtual(test())


def test_promises_that_only_touch_still_fit_when_the_book_is_opened_anew() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        meet_s = clock.now_at().timestamp() + 20 * 3_600 + 1_000

        async def hold(station: str, from_s: float, until_s: float, power_w: int) -> None:
            profile = ((meet_s + from_s, meet_s + until_s, power_w),)
            held = await made.hold(OwnEnvelope(connector=f"{station}/1", profile=profile), VANS)
            await made.confirm(held.id, VANS)

        await hold("CP-01", -3_600, 0, 22_080)
        await asyncio.sleep(1_801)
        await hold("CP-02", 0, 3_600, 22_080)
        await hold("CP-03", -7_200, -30, 4_140)  # An edge is near where the first two meet.
        await asyncio.sleep(1_801)

        assert made.book.room.left_ma.min() >= 0
        await made.review()
        assert made.at_risk_count == 0

    run_virtual(test())
