"""What becomes of promises whose station is out of reach as their time ends."""

import pytest

from gateway.domain.charging import EndCause
from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.needs import Need
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.domain.sessions import Session
from gateway.planning.answers import WrongStateError
from gateway.services.unheard import Unheard
from tests.support.promise_house import FIRST, OTHERS, SECOND, VANS, House
from tests.support.virtual_time import run_virtual

BROKEN, FULFILLED, NO_SHOW = PromiseState.BROKEN, PromiseState.FULFILLED, PromiseState.NO_SHOW


async def lost_with_14_of_20_kwh(house: House, id_token: str | None = None) -> Reservation:
    """Return a promise until 180 min from now whose station was lost after 161; it is the 190th."""
    promise = await house.promise(id_token=id_token)
    house.shows(0)
    await house.passes(61)
    house.comes(id_token=id_token)
    await house.passes(100)
    house.shows(14)
    house.is_lost()
    await house.passes(29)
    return promise


@pytest.mark.parametrize(
    ("shown_kwh", "left_min_ago", "state", "delivered_wh"),
    [
        (23, None, FULFILLED, 14_000 + 9_000 * 19 / 29),  # It draws on: of 29 min 19 were in time.
        (20, None, BROKEN, 14_000 + 6_000 * 19 / 29),
        (20, 12, FULFILLED, 20_000),  # It had left in time.
        (23, 5, FULFILLED, 14_000 + 9_000 * 19 / 24),
        (17, 12, BROKEN, 17_000),
    ],
)
def test_a_promise_is_judged_once_its_station_has_told_what_it_kept(
    shown_kwh: float, left_min_ago: float | None, state: PromiseState, delivered_wh: float
) -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        assert house.of(promise).state is PromiseState.ARRIVED
        house.is_back()
        await house.passes(1)
        if left_min_ago is None:
            # A minute sooner it would have been the 29th.
            house.shows(shown_kwh, min_ago=1)
        else:
            house.shows(shown_kwh, min_ago=left_min_ago + 1)
            house.leaves()
        await house.passes(3)
        if left_min_ago is None:
            house.shows(shown_kwh + 2)  # What it draws after the end is no concern of it.
        assert house.of(promise).state is PromiseState.ARRIVED
        await house.passes(2)
        now = house.of(promise)
        assert (now.state, now.excuse) == (state, None)
        assert now.delivered_wh == pytest.approx(delivered_wh, rel=0.01)
        assert "as far as" not in now.cause

    run_virtual(test())


def test_what_is_counted_is_remembered_with_when_it_was_read() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        house.is_back()
        house.shows(17, min_ago=20)
        memory = house.memory_of(promise)
        assert memory.counted_at_s == house.clock.now_at().timestamp() - 1_200
        assert memory.promise.delivered_wh == 17_000
        house.shows(20)
        assert house.memory_of(promise).promise.delivered_wh == pytest.approx(18_500)

    run_virtual(test())


def test_what_was_shown_as_a_vehicle_came_unheard_is_remembered_with_when_it_came() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        await house.passes(50)
        house.is_lost()
        await house.passes(60)
        house.is_back()
        house.comes(starts_kwh=10, min_ago=40)
        memory = house.memory_of(promise)
        assert memory.register_wh == 10_000
        assert memory.counted_at_s == house.clock.now_at().timestamp() - 2_400

    run_virtual(test())


def test_that_its_station_had_ended_its_transaction_is_said_with_when_it_had() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        house.is_back()
        house.leaves(cause=EndCause.STOPPED, min_ago=12)
        await house.passes(6)
        # It is 11:10 when that is told.
        assert "its station had ended its transaction at 10:58" in house.of(promise).cause

    run_virtual(test())


def test_of_what_waits_at_a_connector_the_one_that_was_over_first_is_first() -> None:
    async def test() -> None:
        house = House()
        later = await house.promise(from_h=2, until_h=3)
        sooner = await house.promise(from_h=1, until_h=2)
        elsewhere = await house.promise(connector=SECOND)
        unheard = Unheard(house.booking.places)
        for each in (later, elsewhere, sooner):
            unheard.put(each)
        assert unheard.at(FIRST) == [sooner, later]

    run_virtual(test())


def test_a_station_that_is_not_back_within_an_hour_is_judged_by_what_was_heard() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        await house.passes(49)
        assert house.of(promise).state is PromiseState.ARRIVED
        await house.passes(2)
        now = house.of(promise)
        assert (now.state, now.delivered_wh) == (BROKEN, 14_000)
        assert now.cause.endswith("were delivered by the end, as far as its station was heard")
        house.is_back()
        house.shows(20)
        await house.passes(10)
        assert house.of(promise) == now

    run_virtual(test())


def test_what_waits_for_its_station_holds_nothing_and_is_not_for_its_holder_to_change() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        assert promise.id not in house.booking.book.promises
        assert [each.id for each in house.booking.unheard] == [promise.id]
        with pytest.raises(WrongStateError):
            await house.booking.cancel(promise.id, VANS)
        with pytest.raises(WrongStateError, match="is over"):
            house.booking.quote(Need(energy_wh=1_000, replaces=promise.id), VANS)
        house.is_back()
        await house.passes(6)
        assert not list(house.booking.unheard)
        assert house.of(promise).state is BROKEN

    run_virtual(test())


def test_what_was_kept_by_what_was_heard_waits_for_nothing() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(kwh=14)
        house.shows(0)
        await house.passes(61)
        house.comes()
        await house.passes(100)
        house.shows(14)
        house.is_lost()
        await house.passes(20)
        assert house.of(promise).state is FULFILLED

    run_virtual(test())


@pytest.mark.parametrize("is_found_again", [False, True])
@pytest.mark.parametrize("lives_min", [(29,), (22, 7)])
def test_what_waits_for_its_station_waits_on_over_restarts(
    lives_min: tuple[int, ...], *, is_found_again: bool
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        house.shows(0)
        await house.passes(61)
        house.comes()
        await house.passes(100)
        house.shows(14)
        there = Session(
            connector=FIRST,
            transaction=TransactionId("1"),
            began_at_s=house.clock.now_at().timestamp() - 6_000,
            id_token=None,
            delivered_wh=14_000,
        )
        for life_min in lives_min:
            memory = house.memory_of(promise)
            were_there = () if is_found_again else (there,)
            house = House({promise.id: memory}, were_there, is_in_reach=False)
            await house.passes(life_min)
            assert house.of(promise).state is PromiseState.ARRIVED
        house.is_back()
        if is_found_again:
            house.comes(starts_kwh=0, min_ago=129)
        house.shows(23)
        await house.passes(6)
        now = house.of(promise)
        assert now.state is FULFILLED
        assert now.delivered_wh == pytest.approx(14_000 + 9_000 * 19 / 29, rel=0.01)
        again = House({promise.id: house.memory_of(promise)})
        assert again.of(promise) == now

    run_virtual(test())


def test_who_comes_next_is_not_taken_by_what_waits_over_a_restart() -> None:
    async def test() -> None:
        house = House()
        waits = await house.promise()
        coming = await house.promise(by=OTHERS, from_h=3.5, until_h=4.5, kwh=5)
        house.shows(0)
        await house.passes(61)
        house.comes()
        await house.passes(110)
        house.shows(14)
        house.is_lost()
        await house.passes(15)
        house.is_back()
        house.shows(16, min_ago=10)
        house.leaves()
        await house.passes(2)
        house.comes(number=2, starts_kwh=16)
        await house.passes(1)
        there = Session(
            connector=FIRST,
            transaction=TransactionId("2"),
            began_at_s=house.clock.now_at().timestamp() - 60,
            id_token=None,
            delivered_wh=0,
        )
        memories = {each.id: house.memory_of(each) for each in (waits, coming)}
        house = House(memories, (there,), is_in_reach=False)
        await house.passes(1)
        house.is_back()
        house.shows(16.5)
        await house.passes(45)
        house.shows(22)
        await house.passes(50)
        assert house.of(waits).state is BROKEN
        assert house.of(coming).state is FULFILLED

    run_virtual(test())


def test_after_hours_without_us_stations_are_given_minutes_to_dial() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        there = Session(
            connector=FIRST,
            transaction=TransactionId("1"),
            began_at_s=house.clock.now_at().timestamp() - 7_740,
            id_token=None,
            delivered_wh=14_000,
        )
        memory = house.memory_of(promise)
        await house.clock.sleep_s(7_200)
        house = House({promise.id: memory}, (there,), is_in_reach=False)
        await house.passes(4)
        assert house.of(promise).state is PromiseState.ARRIVED
        house.is_back()
        house.shows(20, min_ago=140)
        house.leaves()
        await house.passes(2)
        assert house.of(promise).state is FULFILLED

    run_virtual(test())


@pytest.mark.parametrize("id_token", [None, "van-7"])
@pytest.mark.parametrize(
    ("came_min_ago", "state", "excuse"),
    [(130, FULFILLED, None), (7, NO_SHOW, Excuse.NO_SHOW), (None, NO_SHOW, Excuse.NO_SHOW)],
)
def test_who_came_and_left_unheard_has_come(
    id_token: str | None, came_min_ago: float | None, state: PromiseState, excuse: Excuse | None
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token=id_token)
        after = await house.promise(id_token=id_token, from_h=3.4, until_h=4)
        await house.passes(50)
        house.is_lost()
        await house.passes(140)
        assert house.of(promise).state is PromiseState.CONFIRMED
        house.is_back()
        if came_min_ago is not None:
            house.comes(id_token=id_token, starts_kwh=10, min_ago=came_min_ago)
            house.shows(30, min_ago=min(15, came_min_ago))
            house.leaves()
        await house.passes(6)
        now = house.of(promise)
        assert (now.state, now.excuse) == (state, excuse)
        assert now.delivered_wh == (20_000 if state is FULFILLED else 0)
        assert house.of(after).delivered_wh == 0

    run_virtual(test())


def test_what_flowed_after_the_end_is_given_to_the_next_promise() -> None:
    async def test() -> None:
        house = House()
        await house.promise(id_token="van-7", from_h=3.0, until_h=5.0)
        promise = await lost_with_14_of_20_kwh(house, "van-7")
        house.is_back()
        house.shows(23)
        await house.passes(6)
        (after,) = house.booking.book.promises.values()
        assert after.state is PromiseState.ARRIVED
        assert house.of(promise).delivered_wh == pytest.approx(19_900, rel=0.01)
        assert house.of(promise).delivered_wh + after.delivered_wh == pytest.approx(23_000)

    run_virtual(test())


async def two_of_one_vehicle(house: House) -> tuple[Reservation, Reservation]:
    """Return promises of 20 and 9 kWh until 180 and 225 min from now, lost after 161; it is the 232nd."""
    first = await house.promise(id_token="van-7", kwh=20)
    second = await house.promise(id_token="van-7", from_h=3, until_h=3.75, kwh=9)
    house.shows(0)
    await house.passes(61)
    house.comes(id_token="van-7")
    await house.passes(100)
    house.shows(14)
    house.is_lost()
    await house.passes(71)
    return first, second


@pytest.mark.parametrize(("shown_kwh", "state"), [(32, FULFILLED), (24, BROKEN)])
def test_of_two_promises_that_wait_for_one_vehicle_each_is_given_what_flowed_in_its_time(
    shown_kwh: float, state: PromiseState
) -> None:
    async def test() -> None:
        house = House()
        first, second = await two_of_one_vehicle(house)
        assert not house.booking.book.promises
        house.is_back()
        house.shows(shown_kwh)
        await house.passes(6)
        flowed_wh = (shown_kwh - 14) * 1_000
        assert house.of(first).delivered_wh == pytest.approx(14_000 + flowed_wh * 19 / 71, rel=0.01)
        assert house.of(second).delivered_wh == pytest.approx(flowed_wh * 45 / 71, rel=0.01)
        assert house.of(second).state is state

    run_virtual(test())


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_flowed_before_one_was_judged_by_its_hour_is_not_given_to_the_next(
    *, is_restarted: bool
) -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(id_token="van-7", kwh=20)
        second = await house.promise(id_token="van-7", from_h=3, until_h=5, kwh=9)
        house.shows(0)
        await house.passes(61)
        house.comes(id_token="van-7")
        await house.passes(100)
        house.shows(14)
        house.is_lost()
        await house.passes(80)
        assert house.of(first).cause.endswith("as far as its station was heard")
        if is_restarted:
            there = Session(
                connector=FIRST,
                transaction=TransactionId("1"),
                began_at_s=house.clock.now_at().timestamp() - 180 * 60,
                id_token="van-7",
                delivered_wh=14_000,
            )
            memories = {each.id: house.memory_of(each) for each in (first, second)}
            house = House(memories, (there,), is_in_reach=False)
        house.is_back()
        house.shows(24)
        assert house.of(second).state is PromiseState.ARRIVED
        assert house.of(second).delivered_wh == pytest.approx(10_000 * 61 / 80, rel=0.01)

    run_virtual(test())


def test_one_that_is_kept_first_takes_nothing_from_the_one_before_it_that_waits() -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(id_token="van-7", kwh=20)
        second = await house.promise(id_token="van-7", from_h=3, until_h=3.75, kwh=5)
        house.shows(0)
        await house.passes(61)
        house.comes(id_token="van-7")
        await house.passes(100)
        house.shows(14)
        house.is_lost()
        await house.passes(61)
        house.is_back()
        house.shows(34)
        await house.passes(4)
        # The second was over a minute ago; the first waits a minute more.
        assert house.of(second).state is FULFILLED
        house.shows(38)
        await house.passes(2)
        assert house.of(first).delivered_wh == pytest.approx(14_000 + 20_000 * 19 / 61, rel=0.01)
        assert house.of(first).state is FULFILLED

    run_virtual(test())


@pytest.mark.parametrize("is_restarted_again", [False, True])
def test_what_one_that_is_kept_was_shown_tells_what_the_next_was_given_over_a_restart(
    *, is_restarted_again: bool
) -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(id_token="van-7", kwh=14)
        second = await house.promise(id_token="van-7", from_h=3, until_h=5, kwh=20)
        house.shows(0)
        await house.passes(61)
        house.comes(id_token="van-7")
        await house.passes(100)
        house.shows(14)
        house.is_lost()
        came_at_s = house.clock.now_at().timestamp() - 6_000
        # Killed before the end of the first, and again after it.
        for lives_min in (29, 10) if is_restarted_again else (39,):
            there = Session(
                connector=FIRST,
                transaction=TransactionId("1"),
                began_at_s=came_at_s,
                id_token="van-7",
                delivered_wh=14_000,
            )
            memories = {each.id: house.memory_of(each) for each in (first, second)}
            house = House(memories, (there,), is_in_reach=False)
            await house.passes(lives_min)
        assert house.of(first).state is FULFILLED
        house.is_back()
        house.shows(20)
        assert house.of(second).delivered_wh == pytest.approx(6_000 * 20 / 39, rel=0.02)

    run_virtual(test())


def test_what_a_station_kept_counts_however_often_it_told_its_meter_since() -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        house.is_back()
        for _ in range(90):
            house.shows(20)
            await house.clock.sleep_s(2)
        house.shows(20, min_ago=14)
        assert house.of(promise).delivered_wh == pytest.approx(20_000)

    run_virtual(test())


def test_who_was_there_is_not_taken_for_the_next_where_we_were_away_at_the_end() -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(from_h=1, until_h=1.5, kwh=5)
        second = await house.promise(by=OTHERS, from_h=1.5, until_h=3, kwh=5)
        await house.passes(55)
        house.comes()
        there = Session(
            connector=FIRST,
            transaction=TransactionId("1"),
            began_at_s=house.clock.now_at().timestamp(),
            id_token=None,
            delivered_wh=0.0,
        )
        memories = {each.id: house.memory_of(each) for each in (first, second)}
        await house.clock.sleep_s(2_400)
        house = House(memories, (there,), is_in_reach=False)
        await house.passes(1)
        assert house.of(first).state is PromiseState.ARRIVED
        assert house.of(second).state is PromiseState.CONFIRMED

    run_virtual(test())


def test_what_was_drawn_before_one_was_over_is_not_given_to_the_next() -> None:
    async def test() -> None:
        house = House()
        first = await house.promise(id_token="van-7", kwh=10)
        second = await house.promise(id_token="van-7", from_h=3, until_h=4, kwh=9)
        house.shows(0)
        await house.passes(61)
        house.comes(id_token="van-7")
        await house.passes(109)
        house.shows(14)
        await house.passes(20)
        assert house.of(first).state is FULFILLED
        house.shows(18)
        assert house.of(second).delivered_wh == pytest.approx(2_000, rel=0.01)

    run_virtual(test())


@pytest.mark.parametrize("is_live_first", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_in_whatever_order_its_station_tells_it_the_verdict_is_the_same(
    count: int, *, is_live_first: bool
) -> None:
    async def test() -> None:
        house = House()
        promise = await lost_with_14_of_20_kwh(house)
        house.is_back()
        await house.passes(1)
        for _ in range(count if is_live_first else 0):
            # Somebody else draws meanwhile, whose start is told after it.
            house.shows(21)
            await house.passes(0.1)
        house.shows(20, min_ago=12)
        house.leaves(min_ago=12)
        house.comes(number=2, id_token="van-9", starts_kwh=20, min_ago=5)
        house.shows(21)
        await house.passes(6)
        now = house.of(promise)
        assert now.state is FULFILLED
        assert now.delivered_wh == pytest.approx(20_000, rel=0.01)

    run_virtual(test())


@pytest.mark.parametrize(("connector", "is_promised"), [(SECOND, False), (SECOND, True)])
def test_who_came_elsewhere_unheard_has_come_if_that_is_nobody_elses(
    connector: ConnectorRef, *, is_promised: bool
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(id_token="van-7", kwh=10)
        await house.passes(50)
        house.is_lost(connector.station)
        house.is_lost()
        await house.passes(140)
        if is_promised:
            await house.promise(
                by=OTHERS, id_token="van-7", connector=connector, from_h=0.5, until_h=1.5, kwh=3
            )
        house.is_back()
        house.is_back(connector.station)
        house.comes(connector, "van-7", starts_kwh=100, min_ago=125)
        house.shows(112, connector, min_ago=12)
        house.leaves(connector, min_ago=12)
        await house.passes(6)
        now = house.of(promise)
        if is_promised:
            assert now.state is NO_SHOW
            assert now.cause == "its vehicle came to CP-02/1 instead"
        else:
            assert (now.state, now.place, now.delivered_wh) == (FULFILLED, "CP-02/1", 12_000)

    run_virtual(test())


def test_who_has_left_and_come_back_unheard_has_not_left() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(kwh=12)
        house.shows(0)
        await house.passes(61)
        house.comes()
        await house.passes(40)
        house.shows(6)
        house.is_lost()
        await house.passes(40)
        house.is_back()
        house.shows(7, min_ago=30)
        house.leaves(min_ago=30)
        await house.passes(1)  # One message after the other.
        house.comes(number=2, starts_kwh=7, min_ago=27)
        house.shows(10)
        await house.passes(30)
        house.shows(12)
        await house.passes(10)
        now = house.of(promise)
        assert (now.state, now.delivered_wh) == (FULFILLED, 12_000)

    run_virtual(test())
