"""Whose vehicle comes where: by token, by reference, by connector and when it came."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.charging import EndCause
from gateway.domain.ids import TransactionId
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.domain.sessions import Session
from gateway.planning.answers import OwnEnvelope, UnknownReservationError
from gateway.planning.at_risk import Risk
from gateway.planning.quote import Verdict, Way
from tests.support.promise_house import FIRST, OTHERS, SECOND, THIRD, VANS, House
from tests.support.virtual_time import run_virtual


def test_a_vehicle_with_its_token_at_another_connector_takes_its_promise_there() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7")
        before_ma = house.booking.book.room.left_ma.min()
        house.comes(SECOND, "van-7")
        await house.passes(61)
        now = house.of(promise)

        assert (now.state, now.place) == (PromiseState.ARRIVED, "CP-02/1")
        assert house.booking.book.room.left_ma.min() == before_ma
        house.shows(100.0, SECOND)
        await house.passes(10)
        house.shows(104.0, SECOND)
        assert house.booking.book.promises[promise.id].delivered_wh == 4_000
        # Its own connector is free for others.
        wanted = Need(energy_wh=2_000, connector=FIRST)
        assert house.booking.quote(wanted, VANS).verdict.value == "yes"

    run_virtual(test())


@pytest.mark.parametrize("comes_anew", [False, True])
def test_of_several_that_show_its_token_a_promise_follows_the_one_that_came_for_it(
    *, comes_anew: bool
) -> None:
    async def test() -> None:
        house = House()
        house.comes(SECOND, "fleet", 1)
        house.comes(THIRD, "fleet", 2)
        await house.passes(1)
        promise = await house.promise(id_token="fleet")
        house.shows(100.0, SECOND)
        await house.passes(30)
        if comes_anew:
            house.leaves(THIRD, 2)
            house.comes(THIRD, "fleet", 3)
        house.shows(120.0, SECOND)
        await house.passes(31)
        now = house.of(promise)
        assert now.delivered_wh == 0
        assert (now.state, now.place) == (
            (PromiseState.ARRIVED, "CP-03/1") if comes_anew else (PromiseState.CONFIRMED, "CP-01/1")
        )
        if not comes_anew:
            house.comes(FIRST, "fleet", 3)
            await house.passes(1)
            assert house.of(promise).state is PromiseState.ARRIVED

    run_virtual(test())


def test_a_promise_does_not_follow_to_a_connector_that_is_promised_to_another() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7")
        other = Need(
            arrive_at=house.clock.now_at() + timedelta(hours=2),
            depart_at=house.clock.now_at() + timedelta(hours=4),
            energy_wh=2_000,
            connector=SECOND,
        )
        held = await house.booking.hold(house.booking.quote(other, VANS).offers[0].id, VANS)
        await house.booking.confirm(held.id, VANS)
        house.comes(SECOND, "van-7")
        await house.passes(61)

        now = house.of(promise)
        assert (now.state, now.place) == (PromiseState.CONFIRMED, "CP-01/1")
        await house.passes(121)
        closed = house.of(promise)
        assert closed.state is PromiseState.NO_SHOW
        assert closed.cause == "its vehicle came to CP-02/1 instead"

    run_virtual(test())


def test_a_promise_follows_as_soon_as_the_connector_is_promised_to_nobody_else() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7")
        await house.promise(
            id_token="van-9", by=OTHERS, connector=SECOND, from_h=0.5, until_h=1.5, kwh=4
        )
        house.comes(SECOND, "van-7")
        await house.passes(89)
        assert house.of(promise).place == "CP-01/1"
        await house.passes(2)  # Nobody came for the other.
        assert (house.of(promise).state, house.of(promise).place) == (
            PromiseState.ARRIVED,
            "CP-02/1",
        )

    run_virtual(test())


def test_a_vehicle_is_known_by_the_reference_somebody_ties_it_to() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7", reference="order 12")
        house.comes(FIRST, "borrowed card")
        await house.passes(61)
        assert house.of(promise).state is PromiseState.CONFIRMED
        house.booking.tie("CP-01/1", "order 12")
        await house.passes(1)
        assert house.of(promise).state is PromiseState.ARRIVED

    run_virtual(test())


def test_equal_references_of_two_holders_are_two_names() -> None:
    async def test() -> None:
        house = House()
        theirs = await house.promise(by=OTHERS, connector=SECOND, reference="van 1", kwh=4)
        ours = await house.promise(id_token="van-7", reference="van 1", kwh=4)
        house.comes(THIRD, "borrowed card")
        with pytest.raises(UnknownReservationError, match="give the id of the one you mean"):
            house.booking.tie("CP-03/1", "van 1")
        with pytest.raises(UnknownReservationError, match="nobody has an open reservation named"):
            house.booking.tie("CP-03/1", "van 2")
        house.booking.tie("CP-03/1", ours.id)
        await house.passes(61)

        assert (house.of(ours).state, house.of(ours).place) == (PromiseState.ARRIVED, "CP-03/1")
        assert (house.of(theirs).state, house.of(theirs).place) == (
            PromiseState.CONFIRMED,
            "CP-02/1",
        )

    run_virtual(test())


def test_a_reference_used_later_by_another_holder_takes_no_vehicle() -> None:
    async def test() -> None:
        house = House()
        ours = await house.promise(reference="van 1", id_token="van-7", kwh=4)
        house.comes(THIRD, "borrowed card")
        house.booking.tie("CP-03/1", "van 1")
        theirs = await house.promise(
            by=OTHERS, connector=SECOND, reference="van 1", id_token="ev-1", from_h=0.5, kwh=4
        )
        await house.passes(61)

        assert (house.of(ours).state, house.of(ours).place) == (PromiseState.ARRIVED, "CP-03/1")
        assert house.of(theirs).state is PromiseState.CONFIRMED

    run_virtual(test())


def test_a_promise_follows_no_vehicle_to_where_another_holder_was_promised_it() -> None:
    async def test() -> None:
        house = House()
        theirs = await house.promise(
            by=OTHERS, connector=SECOND, id_token="van-7", from_h=0.5, until_h=1.4, kwh=4
        )
        ours = await house.promise(id_token="van-7", from_h=1.5, until_h=3, kwh=4)
        house.comes(FIRST, "van-7")
        await house.passes(60)
        assert (house.of(theirs).state, house.of(theirs).place) == (
            PromiseState.CONFIRMED,
            "CP-02/1",
        )
        await house.passes(31)
        assert house.of(ours).state is PromiseState.ARRIVED

    run_virtual(test())


async def looked_at(house: House, promise: Reservation) -> Risk | None:
    await house.booking.review()
    return house.booking.risk(promise.id)


def test_a_vehicle_that_stays_on_is_not_the_one_a_promise_was_made_to() -> None:
    async def test() -> None:
        house = House()
        house.comes(id_token="walk-up")
        house.shows(100.0)
        await house.passes(1)
        promise = await house.promise(kwh=40)
        await house.passes(61)
        risk = await looked_at(house, promise)

        assert house.of(promise).state is PromiseState.CONFIRMED
        assert risk is not None
        assert risk.is_at_risk
        assert risk.why.endswith("another vehicle is at CP-01/1")
        house.shows(112.0)
        house.leaves()
        await house.passes(9)
        house.comes(number=2)
        await house.passes(120)
        now = house.of(promise)
        assert (now.state, now.delivered_wh) == (PromiseState.BROKEN, 0)
        assert now.cause.startswith("another vehicle was at CP-01/1 in its time; ")

    run_virtual(test())


def test_where_another_vehicle_stays_to_the_end_its_promise_says_so() -> None:
    async def test() -> None:
        house = House()
        house.comes()
        await house.passes(1)
        promise = await house.promise()
        await house.passes(181)
        now = house.of(promise)
        assert (now.state, now.cause) == (
            PromiseState.NO_SHOW,
            "another vehicle was at CP-01/1 in its time",
        )

    run_virtual(test())


@pytest.mark.parametrize(
    ("before_min", "state"), [(70, PromiseState.CONFIRMED), (50, PromiseState.ARRIVED)]
)
def test_who_comes_long_before_a_window_has_not_come_for_it(
    before_min: float, state: PromiseState
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(from_h=2)
        await house.passes(120 - before_min)
        house.comes()
        await house.passes(before_min + 1)
        assert house.of(promise).state is state

    run_virtual(test())


def test_the_vehicle_of_one_promise_is_not_that_of_the_next_but_is_taken_to_leave_by_then() -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(from_h=0.6, until_h=1, kwh=2)
        following = await house.promise(from_h=1, until_h=3, kwh=40)
        await house.passes(37)
        house.comes()
        await house.passes(1)
        assert house.of(first).state is PromiseState.ARRIVED
        risk = await looked_at(house, following)
        assert risk is not None
        assert not risk.is_at_risk
        await house.passes(23)
        assert house.of(following).state is PromiseState.CONFIRMED

    run_virtual(test())


def test_a_vehicle_that_stays_over_what_it_said_is_in_the_way_again() -> None:
    async def test() -> None:
        house = House(leaves_at_h=0.5)
        house.comes(id_token="walk-up")
        await house.passes(1)
        promise = await house.promise(kwh=40)
        await house.passes(20)
        risk = await looked_at(house, promise)
        assert risk is not None
        assert not risk.is_at_risk
        await house.passes(20)
        risk = await looked_at(house, promise)
        assert risk is not None
        assert risk.is_at_risk

    run_virtual(test())


def test_who_was_there_before_a_restart_has_not_come_by_it() -> None:
    async def test() -> None:
        before = House()
        promise = await before.promise()
        stays = Session(
            connector=FIRST,
            transaction=TransactionId("1"),
            began_at_s=before.clock.now_at().timestamp() - 60,
            id_token="van-7",
            delivered_wh=0.0,
        )
        memory = {promise.id: PromiseMemory(promise=promise)}
        house = House(memory, were_there=(stays,))
        house.comes()  # Its station tells that it is there, and no token.
        await house.passes(61)
        assert house.of(promise).state is PromiseState.CONFIRMED
        theirs = await house.promise(id_token="van-7", connector=SECOND, from_h=0.1)
        await house.passes(7)
        cause = house.booking.book.promises[theirs.id].cause
        assert cause == "its vehicle came to CP-01/1 instead"

    run_virtual(test())


def stay_of(house: House, *, number: int = 1) -> Session:
    """Return the stay of a vehicle that came to the first connector a minute ago."""
    return Session(
        connector=FIRST,
        transaction=TransactionId(str(number)),
        began_at_s=house.clock.now_at().timestamp() - 60,
        id_token="van-7",
        delivered_wh=0.0,
    )


def test_who_was_there_before_a_restart_is_there_though_no_station_tells_it_again() -> None:
    async def test() -> None:
        before = House()
        promise = await before.promise(id_token="van-7", kwh=20)
        memory = {promise.id: PromiseMemory(promise=promise)}
        house = House(memory, were_there=(stay_of(before),))
        soon = house.clock.now_at() + timedelta(minutes=30)
        walk_up = Need(energy_wh=2_000, connector=FIRST, depart_at=soon)
        assert "CP-01/1 is occupied now" in house.booking.quote(walk_up, OTHERS).reason
        house.shows(100.0)
        await house.passes(61)
        house.shows(105.0)
        assert house.of(promise).state is PromiseState.ARRIVED
        house.leaves()
        await house.passes(6)
        now = house.of(promise)
        assert (now.state, now.excuse) == (PromiseState.BROKEN, Excuse.LEFT_EARLY)
        assert now.delivered_wh == 5_000

    run_virtual(test())


def restarted(before: House, *promises: Reservation) -> House:
    """Return the house after a restart, at the first connector of which a vehicle stayed."""
    memory = {promise.id: before.memory_of(promise) for promise in promises}
    return House(memory, were_there=(stay_of(before),))


@pytest.mark.parametrize("name", ["order 12", "id"])
def test_whose_vehicle_somebody_has_said_it_is_outlives_a_restart(name: str) -> None:
    async def test() -> None:
        before = House()
        promise = await before.promise(id_token="van-1", reference="order 12", connector=SECOND)
        before.comes(FIRST, "van-7")
        before.booking.tie("CP-01/1", promise.id if name == "id" else name)
        house = restarted(before, promise)
        await house.passes(61)
        assert (house.of(promise).state, house.of(promise).place) == (
            PromiseState.ARRIVED,
            "CP-01/1",
        )

    run_virtual(test())


@pytest.mark.parametrize(
    ("left_min", "state"), [(70, PromiseState.BROKEN), (50, PromiseState.ARRIVED)]
)
def test_who_left_just_before_a_restart_has_left_early(
    left_min: float, state: PromiseState
) -> None:
    async def test() -> None:
        before = House()
        promise = await before.promise(id_token="van-7")
        before.comes(FIRST, "van-7")
        begins_at_s = before.clock.now_at().timestamp()
        await before.passes(71)
        # Another that left before it came tells nothing of its own going.
        left = replace(stay_of(before), left_at_s=begins_at_s + left_min * 60)
        house = House({promise.id: before.memory_of(promise)}, were_there=(left,))
        await house.passes(77)
        now = house.of(promise)
        assert (now.state, now.excuse) == (
            state,
            Excuse.LEFT_EARLY if state is PromiseState.BROKEN else None,
        )

    run_virtual(test())


def test_the_vehicle_of_a_promise_is_that_of_the_one_in_its_place_after_a_restart_too() -> None:
    async def test() -> None:
        before = House()
        promise = await before.promise()
        await before.passes(30)
        before.comes()
        await before.passes(1)
        now_s = before.clock.now_at().timestamp()
        later = OwnEnvelope(connector="CP-01/1", profile=((now_s + 1_800, now_s + 5_400, 4_200),))
        replaced = await before.booking.hold(later, VANS, replaces=promise.id)
        await before.booking.confirm(replaced.id, VANS)
        house = restarted(before, replaced)
        await house.passes(62)
        assert house.of(replaced).state is PromiseState.ARRIVED

    run_virtual(test())


def test_the_vehicle_of_one_promise_is_not_that_of_the_next_after_a_restart_either() -> None:
    async def test() -> None:
        before = House()
        first = await before.promise(from_h=0.6, until_h=0.9, kwh=2)
        following = await before.promise(from_h=1, until_h=3, kwh=10)
        await before.passes(35)
        before.comes()
        await before.passes(22)
        assert before.of(first).closed_at_s is not None
        house = restarted(before, first, following)
        await house.passes(61)
        assert house.of(following).state is PromiseState.CONFIRMED

    run_virtual(test())


def test_the_vehicle_of_a_promise_is_that_of_the_one_in_its_place() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        await house.passes(30)
        house.comes()
        await house.passes(31)
        now_s = house.clock.now_at().timestamp()
        less = OwnEnvelope(connector="CP-01/1", profile=((now_s, now_s + 3_600, 4_200),))
        replaced = await house.booking.hold(less, VANS, replaces=promise.id)
        await house.booking.confirm(replaced.id, VANS)
        await house.passes(1)
        assert house.of(replaced).state is PromiseState.ARRIVED

    run_virtual(test())


def test_a_station_that_is_back_has_no_new_vehicle() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        await house.passes(30)
        house.comes()
        await house.passes(60)
        house.comes()
        await house.passes(1)
        assert house.of(promise).excuse is None
        assert house.of(promise).arrived_at_s == promise.from_at_s

    run_virtual(test())


def test_a_vehicle_that_was_taken_to_be_gone_and_charges_on_has_not_come_anew() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7", reference="order 12")
        house.comes(FIRST, "borrowed card")
        house.booking.tie("CP-01/1", "order 12")
        await house.passes(30)
        house.leaves(cause=EndCause.LOST_IN_REBOOT)
        await house.passes(1)
        house.comes()  # Its station tells no token when it is found running.
        await house.passes(31)
        assert house.of(promise).state is PromiseState.ARRIVED

    run_virtual(test())


@pytest.mark.parametrize("id_token", [None, "van-7"])
def test_who_had_what_was_promised_and_left_does_not_come_back_as_the_next_in_the_queue(
    id_token: str | None,
) -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(from_h=1, until_h=2, kwh=4)
        following = await house.promise(from_h=2, until_h=3, kwh=4, by=OTHERS)
        await house.passes(61)
        house.comes(FIRST, id_token)
        house.shows(100.0)
        await house.passes(49, limit_a=32)
        house.shows(104.5)
        house.leaves()
        await house.passes(3)
        house.comes(number=2)
        house.shows(104.5)
        await house.passes(10, limit_a=32)
        risk = await looked_at(house, following)
        assert risk is not None
        assert not risk.is_at_risk
        house.shows(108.5)
        await house.passes(60, limit_a=32)

        closed = [(p.state, p.delivered_wh) for p in map(house.of, (first, following))]
        assert closed == [(PromiseState.FULFILLED, 4_500), (PromiseState.FULFILLED, 4_000)]

    run_virtual(test())


@pytest.mark.parametrize("names_token", [True, False])
@pytest.mark.parametrize("is_shown_later", [True, False])
def test_a_stranger_is_not_the_vehicle_that_has_just_left(
    names_token: bool, is_shown_later: bool
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-1" if names_token else None, kwh=10)
        await house.passes(61)
        house.comes(FIRST, "van-1")
        house.shows(100.0)
        await house.passes(20, limit_a=32)
        house.shows(102.0)
        house.leaves()
        await house.passes(2)
        house.comes(FIRST, None if is_shown_later else "van-9", number=2)
        await house.passes(1 if is_shown_later else 0, limit_a=32)
        house.comes(FIRST, "van-9", number=2)  # Its station tells it again, and by which token.
        house.shows(105.0)
        await house.passes(40, limit_a=32)

        now = house.of(promise)
        assert (now.state, now.excuse) == (PromiseState.BROKEN, Excuse.LEFT_EARLY)
        assert now.delivered_wh == 2_000

    run_virtual(test())


def test_a_vehicle_that_is_unplugged_for_a_moment_is_the_same() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(kwh=10)
        await house.passes(61)
        house.comes(FIRST, "van-1")
        house.shows(100.0)
        await house.passes(20, limit_a=32)
        house.shows(110.0)
        house.leaves()
        await house.passes(2)
        house.comes(FIRST, "VAN-1", number=2)
        house.shows(111.0)
        await house.passes(2)
        now = house.of(promise)
        assert (now.state, now.delivered_wh) == (PromiseState.ARRIVED, 11_000)

    run_virtual(test())


@pytest.mark.parametrize("leaves_at_h", [None, 3.0])
def test_who_is_there_before_its_window_is_in_the_way_of_later_promises_alone(
    leaves_at_h: float | None,
) -> None:
    async def test() -> None:
        house = House(leaves_at_h=leaves_at_h)
        first = await house.promise(id_token="van-1", until_h=1.5, kwh=5)
        later = await house.promise(id_token="van-2", from_h=3.1, until_h=3.6, kwh=5, by=OTHERS)
        await house.passes(52)
        house.comes(FIRST, "van-1")
        await house.passes(1)
        risk = await looked_at(house, first)
        assert risk is not None
        assert not risk.is_at_risk
        assert house.booking.waits_for(house.of(first)) == ""
        assert house.booking.waits_for(house.of(later)).startswith("CP-01/1 is occupied now")

    run_virtual(test())


def test_what_is_promised_to_a_vehicle_under_another_token_is_in_the_way_of_what_is_offered() -> (
    None
):
    async def test() -> None:
        house = House()
        await house.promise(id_token="van-7", by=OTHERS, connector=THIRD)  # From 1 h to 3 h.
        now = house.clock.now_at()
        wanted = Need(
            arrive_at=now + timedelta(hours=2),
            depart_at=now + timedelta(hours=5),
            energy_wh=5_000,
            id_token="VAN-7",
        )
        for connector in (FIRST, None):
            answer = house.booking.quote(replace(wanted, connector=connector), VANS)
            assert answer.offers[0].offer.way is Way.QUEUED
            said = "the vehicle of van-7 is promised something under another token from 09:00"
            assert said in answer.reason
            for offer in answer.offers:
                held = await house.booking.hold(offer.id, VANS)
                assert held.opens_at_s >= now.timestamp() + 3 * 3_600
                await house.booking.cancel(held.id, VANS)
        assert house.booking.quote(replace(wanted, id_token="van-8"), VANS).verdict is Verdict.YES
        # Who does not say when it leaves is gone by then: it has the connector until it has its energy.
        now_alone = replace(wanted, arrive_at=None, depart_at=None)
        assert house.booking.quote(now_alone, VANS).verdict is Verdict.YES

    run_virtual(test())
