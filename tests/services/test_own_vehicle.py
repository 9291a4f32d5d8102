"""Who asks for a vehicle that is there already, or promised something, is not in its own way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.answers import (
    NoLongerFitsError,
    OwnEnvelope,
    PromisedAlreadyError,
    QuoteAnswer,
    UnknownReservationError,
    WrongStateError,
)
from gateway.planning.demands import Visit, demands_of
from gateway.planning.grid import grid_of
from gateway.planning.problem import Problem, plan_of
from gateway.planning.quote import Verdict, Way
from gateway.planning.standing_plan import Origin, StandingPlan
from tests.support.promise_house import FIRST, OTHERS, SECOND, THIRD, VANS, House
from tests.support.virtual_time import run_virtual


def need(house: House, *, kwh: float = 20.0, until_h: float = 2.0) -> Need:
    """Return a need from now on at the first connector."""
    depart_at = house.clock.now_at() + timedelta(hours=until_h)
    return Need(depart_at=depart_at, energy_wh=int(kwh * 1_000), connector=FIRST)


@pytest.mark.parametrize("is_named", [True, False])
def test_who_plugs_in_and_then_asks_by_its_token_is_offered_its_own_connector(
    *, is_named: bool
) -> None:
    async def test() -> None:
        house = House()
        house.comes(SECOND, "van-7")
        await house.passes(1)
        wanted = replace(need(house), id_token="VAN-7", connector=SECOND if is_named else None)
        offer = house.booking.quote(wanted, VANS).offers[0]
        assert (offer.outlet.key, offer.offer.way) == ("CP-02/1", Way.AS_ASKED)
        held = await house.booking.hold(offer.id, VANS)
        await house.booking.confirm(held.id, VANS)
        await house.passes(1)
        assert house.of(held).state is PromiseState.ARRIVED
        # To whoever comes with another it is occupied.
        other = house.booking.quote(replace(wanted, id_token="van-8", connector=SECOND), VANS)
        assert other.verdict is not Verdict.YES

    run_virtual(test())


def test_who_is_tied_by_a_reference_is_itself_to_the_holder_of_that_name_alone() -> None:
    async def test() -> None:
        house = House()
        await house.promise(reference="order 12", from_h=5.0, until_h=6.0, kwh=5)
        house.comes(FIRST, "borrowed card")
        house.booking.tie("CP-01/1", "order 12")
        wanted = replace(need(house), reference="order 12")

        assert house.booking.quote(wanted, VANS).verdict is Verdict.YES
        theirs = house.booking.quote(wanted, OTHERS)
        assert "CP-01/1 is occupied now" in theirs.reason

    run_virtual(test())


def test_what_is_planned_for_a_vehicle_is_not_in_the_way_of_what_is_asked_for_it() -> None:
    async def test() -> None:
        house = House()
        house.comes(FIRST, "van-7")
        now_s, grid = house.clock.now_at().timestamp(), grid_of()
        visit = Visit(
            place="CP-01/1", since_at_s=now_s, leaves_at_s=now_s + 18_000, wants_wh=20_000.0
        )
        problem = Problem(
            grid=grid,
            available_ma=((40_000,) * grid.slot_count,) * 3,
            demands=demands_of((visit,), (), house.booking.places, grid, now_s=now_s),
        )
        currents_ma = [32_000 if begins_s < 3_600 else 0 for begins_s in grid.edges_s[:-1]]
        standing = StandingPlan(
            origin=Origin.GREEDY,
            from_at_s=now_s,
            problem=problem,
            plan=plan_of(problem, [currents_ma]),
            promises={},
            short_wh={},
        )
        house.booking.go_by(lambda: standing)
        wanted = replace(need(house, until_h=1.0), id_token="van-7")
        answer = house.booking.quote(wanted, VANS)

        assert answer.verdict is Verdict.YES
        assert not answer.offers[0].gives_way.moved
        other = house.booking.quote(replace(wanted, id_token="van-8", connector=SECOND), VANS)
        assert other.offers[0].gives_way.moved == ("CP-01/1",)

    run_virtual(test())


async def arrived(house: House) -> Reservation:
    """Return the promise of a vehicle that has come for it, of 5 kWh in an hour to come."""
    promise = await house.promise(id_token="van-7", until_h=2.0, kwh=5)
    await house.passes(60)
    house.comes(FIRST, "van-7")
    await house.passes(1)
    assert house.of(promise).state is PromiseState.ARRIVED
    return promise


def test_who_has_arrived_and_asks_for_more_is_promised_that_in_the_place_of_what_it_had() -> None:
    async def test() -> None:
        house = House()
        promise = await arrived(house)
        answer = house.booking.quote(replace(need(house, kwh=30), id_token="van-7"), VANS)

        assert (answer.verdict, answer.need.replaces) == (Verdict.YES, promise.id)
        more = await house.booking.hold(answer.offers[0].id, VANS)
        assert house.of(promise).state is PromiseState.CANCELLED
        await house.booking.confirm(more.id, VANS)
        await house.passes(1)
        assert (house.of(more).state, house.of(more).energy_wh) == (PromiseState.ARRIVED, 30_000)

    run_virtual(test())


def test_what_is_asked_for_later_or_by_another_takes_nothing_from_who_is_there() -> None:
    async def test() -> None:
        house = House()
        promise = await arrived(house)
        soon = house.clock.now_at() + timedelta(minutes=10)
        for wanted, by in (
            (replace(need(house), arrive_at=soon, id_token="van-7"), VANS),
            (replace(need(house), id_token="van-8"), VANS),
            (replace(need(house), id_token="van-7", connector=None), VANS),
            (replace(need(house), id_token="van-7"), OTHERS),
        ):
            answer = house.booking.quote(wanted, by)
            assert answer.need.replaces is None
            if wanted.connector is not None:
                whom = f"your reservation {promise.id}" if by is VANS else "somebody else"
                assert f"CP-01/1 is promised to {whom} from" in answer.reason

    run_virtual(test())


def test_what_is_asked_in_the_place_of_a_reservation_is_held_in_its_place() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(from_h=0.5, until_h=2.0, kwh=20)
        other = await house.promise(connector=SECOND, from_h=3.0, until_h=4.0, kwh=20)
        wanted = replace(need(house), replaces=promise.id)

        def asked() -> QuoteAnswer:
            return house.booking.quote(wanted, VANS)

        answer, late = asked(), asked()
        assert (answer.verdict, answer.need.replaces) == (Verdict.YES, promise.id)
        held = await house.booking.hold(answer.offers[0].id, VANS)
        assert house.of(promise).state is PromiseState.CANCELLED
        # What it was for is closed now: the other offer stands for itself, and fits no more.
        with pytest.raises(NoLongerFitsError, match=f"CP-01/1 is promised to {held.id}"):
            await house.booking.hold(late.offers[0].id, VANS)
        with pytest.raises(WrongStateError, match="is cancelled: ask without replaces"):
            asked()
        with pytest.raises(UnknownReservationError):
            house.booking.quote(replace(wanted, replaces=other.id), OTHERS)

    run_virtual(test())


def test_what_is_refused_in_the_place_of_a_reservation_has_a_fresh_quote_in_its_place() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(from_h=0.5, until_h=1.0, kwh=5)
        following = await house.promise(from_h=1.0, until_h=2.0, kwh=5)
        now_s = house.clock.now_at().timestamp()
        own = OwnEnvelope(connector="CP-01/1", profile=((now_s, now_s + 5_400, 22_080),))
        with pytest.raises(NoLongerFitsError, match=f"promised to {following.id}") as refused:
            await house.booking.hold(own, VANS, replaces=promise.id)
        fresh = refused.value.fresh
        assert fresh.need.replaces == promise.id
        await house.booking.hold(fresh.offers[0].id, VANS)
        assert house.of(promise).state is PromiseState.CANCELLED
        assert house.of(following).state is PromiseState.CONFIRMED

    run_virtual(test())


def test_what_a_refused_hold_would_replace_keeps_its_connector_and_its_place_in_the_order() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(from_h=0.5, until_h=3.0, kwh=20)
        await house.promise(from_h=3.0, until_h=5.0, kwh=5)
        other = await house.promise(
            id_token="t3", by=OTHERS, connector=THIRD, from_h=0.2, until_h=2.0, kwh=10
        )
        order = tuple(house.booking.book.promises)
        # The other's vehicle is where the first is promised, and would be promised that at once.
        house.comes(FIRST, "t3")
        await house.passes(15)
        now_s = house.clock.now_at().timestamp()
        own = OwnEnvelope(connector="CP-01/1", profile=((now_s + 60, now_s + 14_400, 22_080),))
        with pytest.raises(NoLongerFitsError):
            await house.booking.hold(own, VANS, replaces=promise.id)
        await house.passes(1)

        assert tuple(house.booking.book.promises) == order
        assert (house.of(promise).place, house.of(other).place) == ("CP-01/1", "CP-03/1")

    run_virtual(test())


def test_a_card_that_several_vehicles_show_tells_none_of_them_unless_its_connector_is_named() -> (
    None
):
    async def test() -> None:
        house = House()
        for number, connector in enumerate((FIRST, SECOND, THIRD)):
            house.comes(connector, "stranger" if connector is THIRD else "fleet", number)
        await house.passes(5)
        soon = house.clock.now_at() + timedelta(minutes=10)
        wanted = replace(need(house, kwh=8), arrive_at=soon, id_token="fleet", connector=None)

        answer = house.booking.quote(wanted, VANS)
        assert answer.offers[0].offer.way is Way.QUEUED
        assert "is occupied now" in answer.reason
        there = house.booking.quote(replace(wanted, connector=SECOND), VANS)
        assert (there.verdict, there.offers[0].outlet.key) == (Verdict.YES, "CP-02/1")
        await house.promise(reference="order 12", by=OTHERS, connector=FIRST, from_h=9, until_h=10)
        house.booking.tie("CP-01/1", "order 12")
        tied = house.booking.quote(replace(wanted, reference="order 12"), OTHERS)
        assert (tied.verdict, tied.offers[0].outlet.key) == (Verdict.YES, "CP-01/1")

    run_virtual(test())


def test_who_asks_for_less_than_is_still_to_be_given_gives_nothing_up_unless_it_says_so() -> None:
    async def test() -> None:
        house = House()
        promise = await arrived(house)  # Of 5 kWh.
        wanted = replace(need(house, kwh=4), id_token="van-7")
        less = house.booking.quote(wanted, VANS)
        assert less.need.replaces is None
        assert f"CP-01/1 is promised to your reservation {promise.id}" in less.reason
        # So much cannot be had by then, and the best there is is less than it has.
        soon = replace(need(house, kwh=30, until_h=0.2), id_token="van-7")
        assert house.booking.quote(soon, VANS).need.replaces is None
        # Nor what others go before.
        later = replace(need(house), id_token="van-7", criticality=Criticality.OPPORTUNISTIC)
        assert house.booking.quote(later, VANS).need.replaces is None

        instead = f"it takes the place of the reservation {promise.id}, which was given 0.0 kWh"
        for asked in (replace(wanted, replaces=promise.id), replace(wanted, energy_wh=5_000)):
            answer = house.booking.quote(asked, VANS)
            assert (answer.verdict, answer.need.replaces) == (Verdict.YES, promise.id)
            assert instead in answer.reason
            assert all(instead in offer.why for offer in answer.offers)

    run_virtual(test())


def test_a_vehicle_is_promised_one_connector_at_a_time() -> None:
    async def test() -> None:
        house = House()
        now_at = house.clock.now_at()
        wanted = Need(
            arrive_at=now_at + timedelta(hours=2),
            depart_at=now_at + timedelta(hours=4),
            energy_wh=30_000,  # More than is left of the window after 3 h.
            connector=SECOND,
            id_token="VAN-7",
        )
        before = house.booking.quote(wanted, VANS).offers[0]
        promise = await house.promise(id_token="van-7")  # From 1 h to 3 h.
        said = f"at CP-01/1 by your reservation {promise.id}: say `replaces`"
        begins_s = promise.until_at_s - 600.0
        drawn = OwnEnvelope(
            connector="CP-02/1", profile=((begins_s, begins_s + 3_600, 8_000),), id_token="van-7"
        )
        for twice in (before.id, drawn):
            with pytest.raises(PromisedAlreadyError, match=said):
                await house.booking.hold(twice, VANS)
        answer = house.booking.quote(wanted, VANS)
        assert answer.verdict is not Verdict.YES
        assert f"van-7 is promised something by your reservation {promise.id}" in answer.reason
        for offer in answer.offers:
            after = await house.booking.hold(offer.id, VANS)
            assert after.opens_at_s >= promise.closes_at_s
            await house.booking.cancel(after.id, VANS)
        for other in ("van-8", None):
            assert house.booking.quote(replace(wanted, id_token=other), VANS).verdict is Verdict.YES

        instead = house.booking.quote(replace(wanted, replaces=promise.id), VANS)
        assert instead.verdict is Verdict.YES
        held = await house.booking.hold(drawn, VANS, replaces=promise.id)
        assert (held.place, house.of(promise).state) == ("CP-02/1", PromiseState.CANCELLED)

    run_virtual(test())


def test_of_vehicles_that_show_one_card_each_is_promised_its_own_connector() -> None:
    async def test() -> None:
        house = House()
        for number, connector in enumerate((FIRST, SECOND)):
            house.comes(connector, "fleet", number)
        await house.passes(5)
        await house.promise(id_token="fleet", from_h=0.2, kwh=8)
        await house.promise(id_token="fleet", from_h=0.2, connector=SECOND, kwh=8)
        third = replace(need(house, kwh=8), id_token="fleet", connector=THIRD)
        assert house.booking.quote(third, VANS).verdict is not Verdict.YES

    run_virtual(test())


def test_what_another_was_promised_under_its_token_keeps_a_vehicle_from_all_but_its_own_place() -> (
    None
):
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="fleet", reference="order 12")
        house.comes(FIRST, None, 1)
        house.booking.tie("CP-01/1", "order 12")
        house.comes(SECOND, "fleet", 2)
        await house.passes(1)
        wanted = replace(need(house, kwh=20), id_token="fleet")
        here = house.booking.quote(replace(wanted, connector=SECOND), VANS)
        assert (here.verdict, here.offers[0].outlet.key) == (Verdict.YES, "CP-02/1")
        there = house.booking.quote(replace(wanted, connector=THIRD), VANS)
        assert f"by your reservation {promise.id}" in there.reason

        for offer in (*here.offers, *there.offers):
            held = await house.booking.hold(offer.id, VANS)
            await house.booking.cancel(held.id, VANS)

    run_virtual(test())
