"""What becomes of promises: whose vehicle comes where, what it draws, and how that is scored."""

import asyncio
from datetime import timedelta

import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.charging import EndCause
from gateway.domain.events import ConnectorMetered, TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.domain.sessions import Session
from gateway.planning.answers import OwnEnvelope, UnknownReservationError
from gateway.planning.at_risk import Risk
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from tests.support.small_site import CARPARK, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

FIRST, SECOND = (ConnectorRef(StationId(f"CP-0{n}"), 1) for n in (1, 2))
THIRD = ConnectorRef(StationId("CP-03"), 1)
VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
OTHERS = Access(name="others", role=Role.VEHICLE_OPERATOR)
OPERATOR = Access(name="desk", role=Role.OPERATOR)
KWH = 20.0


class House:
    """A book of promises, and the vehicles that come for them, in virtual time."""

    def __init__(
        self,
        memory: dict[str, PromiseMemory] | None = None,
        were_there: tuple[Session, ...] = (),
        leaves_at_h: float | None = None,
    ) -> None:
        self.clock = VirtualClock()
        leaves_at_s: float | None = None
        if leaves_at_h is not None:
            leaves_at_s = self.clock.now_at().timestamp() + leaves_at_h * 3_600
        self.booking = Booking(
            Wiring.of(small_site(3)),
            ControlParameters(),
            clock=self.clock,
            feed=Feed(self.clock),
            remembered=memory,
            were_there=were_there,
            leaves_at_s=lambda: {} if leaves_at_s is None else {str(FIRST): leaves_at_s},
        )

    async def promise(
        self,
        *,
        id_token: str | None = None,
        reference: str | None = None,
        by: Access = VANS,
        connector: ConnectorRef = FIRST,
        from_h: float = 1.0,
        until_h: float = 3.0,
        kwh: float = KWH,
        arrive_slack_h: float = 0.0,
        depart_slack_h: float = 0.0,
    ) -> Reservation:
        """Return a promise, of 20 kWh at the first connector from 1 h to 3 h from now."""
        wanted = Need(
            arrive_at=self.clock.now_at() + timedelta(hours=from_h),
            depart_at=self.clock.now_at() + timedelta(hours=until_h),
            energy_wh=int(kwh * 1_000),
            connector=connector,
            id_token=id_token,
            reference=reference,
            arrive_slack_s=arrive_slack_h * 3_600,
            depart_slack_s=depart_slack_h * 3_600,
        )
        held = await self.booking.hold(self.booking.quote(wanted, by).offers[0].id, by)
        return await self.booking.confirm(held.id, by)

    def comes(
        self, connector: ConnectorRef = FIRST, id_token: str | None = None, number: int = 1
    ) -> None:
        self.booking.hear(
            TransactionStarted(
                at_s=self.clock.monotonic_s(),
                connector=connector,
                transaction=TransactionId(str(number)),
                id_token=id_token,
            )
        )

    def leaves(
        self,
        connector: ConnectorRef = FIRST,
        number: int = 1,
        cause: EndCause = EndCause.TOLD,
    ) -> None:
        self.booking.hear(
            TransactionEnded(
                at_s=self.clock.monotonic_s(),
                connector=connector,
                transaction=TransactionId(str(number)),
                cause=cause,
            )
        )

    def shows(self, kwh: float, connector: ConnectorRef = FIRST) -> None:
        self.booking.hear(
            ConnectorMetered(
                at_s=self.clock.monotonic_s(), connector=connector, energy_wh=kwh * 1_000
            )
        )

    async def passes(self, minutes: float, *, limit_a: float = 0.0) -> None:
        """Let time pass, all connectors being allowed so much."""
        for _ in range(round(minutes * 20)):  # As in the daemon: each few seconds.
            self.booking.allow(lambda _: int(limit_a * 1_000), at_s=self.clock.monotonic_s())
            await self.clock.sleep_s(3)
            self.booking.settle()

    def of(self, promise: Reservation) -> Reservation:
        (found,) = (p for p in self.booking.reservations(OPERATOR) if p.id == promise.id)
        return found


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
        house.shows(104.0, SECOND)
        assert house.booking.book.promises[promise.id].delivered_wh == 4_000
        # Its own connector is free for others.
        wanted = Need(energy_wh=2_000, connector=FIRST)
        assert house.booking.quote(wanted, VANS).verdict.value == "yes"

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


@pytest.mark.parametrize(
    ("comes_min", "leaves_min", "state", "excuse"),
    [
        (61, None, PromiseState.ARRIVED, None),
        (115, None, PromiseState.ARRIVED, None),
        (115, 165, PromiseState.BROKEN, None),
        (115, 145, PromiseState.BROKEN, Excuse.LEFT_EARLY),
        (130, 165, PromiseState.BROKEN, Excuse.CAME_LATE),
    ],
)
def test_who_comes_and_leaves_within_its_slack_is_neither_late_nor_early(
    comes_min: float, leaves_min: float | None, state: PromiseState, excuse: Excuse | None
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(kwh=6, arrive_slack_h=1, depart_slack_h=0.5)
        await house.passes(comes_min)
        house.comes()
        house.shows(100.0)
        await house.passes((leaves_min or 170) - comes_min)
        if leaves_min is not None:
            house.leaves()
            await house.passes(6)
        now = house.of(promise)
        assert (now.state, now.excuse) == (state, excuse)

    run_virtual(test())


def test_what_is_drawn_in_the_slack_of_a_departure_is_delivered() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(kwh=6, depart_slack_h=0.5)
        await house.passes(61)
        house.comes()
        house.shows(100.0)
        await house.passes(100)
        house.shows(106.0)
        await house.passes(20)
        assert house.of(promise).state is PromiseState.FULFILLED

    run_virtual(test())


async def ended(house: House, promise: Reservation) -> Reservation:
    await house.passes(130, limit_a=0)
    return house.of(promise)


@pytest.mark.parametrize(
    ("late_min", "limit_a", "kwh", "state", "excuse"),
    [
        (0, 32, 20.0, PromiseState.FULFILLED, None),
        (0, 32, 5.0, PromiseState.BROKEN, Excuse.REFUSED_POWER),
        (0, 10, 5.0, PromiseState.BROKEN, None),
        (30, 32, 20.0, PromiseState.FULFILLED, Excuse.CAME_LATE),
        (30, 10, 5.0, PromiseState.BROKEN, Excuse.CAME_LATE),
    ],
)
def test_what_is_the_building_s_fault_is_told_from_what_is_the_vehicle_s(
    late_min: float, limit_a: float, kwh: float, state: PromiseState, excuse: Excuse | None
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        house.shows(0.0)
        await house.passes(61 + late_min)
        house.comes()
        await house.passes(60, limit_a=limit_a)
        house.shows(kwh)
        closed = await ended(house, promise)

        assert (closed.state, closed.excuse) == (state, excuse)
        assert closed.allowed_wh == pytest.approx(limit_a * 0.69 * 1_000, rel=0.05)

    run_virtual(test())


def test_who_leaves_early_and_who_never_comes_are_scored_apart() -> None:
    async def test() -> None:
        house = House()
        early = await house.promise()
        house.comes()
        await house.passes(70, limit_a=32)
        house.leaves()
        await house.passes(6)
        assert house.of(early).excuse is Excuse.LEFT_EARLY
        nobody = await house.promise()
        await house.passes(181)
        assert house.of(nobody).excuse is Excuse.NO_SHOW

        report = house.booking.reliability()
        assert report.excused[Excuse.LEFT_EARLY] == report.excused[Excuse.NO_SHOW] == 1
        assert sum(row.count for row in report.rows) + report.slack_count == 0

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


def grid(limit_a: float) -> Constraint:
    return Constraint(
        subject=CARPARK,
        limit_ma=(int(limit_a * 1_000),) * 3,
        authority=Authority.GRID,
        source="grid",
    )


def test_only_where_the_building_was_short_is_a_promise_scored_and_that_outlives_us() -> None:
    async def test() -> None:
        house = House()
        # 40 A are left: not all three connectors could have 32 A, but one alone can.
        slack = await house.promise()
        assert not slack.is_binding
        await house.booking.cancel(slack.id, VANS)
        house.booking.limit([grid(80)])
        tight = await house.promise()
        assert tight.is_binding
        house.shows(0.0)
        await house.passes(61)
        house.comes()
        await house.passes(1)
        house.shows(20.0)
        await ended(house, tight)

        report = house.booking.reliability()
        (row,) = (row for row in report.rows if row.count)
        assert (row.level_ratio, row.kept_ratio, row.promised_ratio) == (0.99, 1.0, 1.0)
        memory = {tight.id: PromiseMemory(promise=house.of(tight))}
        again = House(memory)
        assert again.booking.reliability() == report

    run_virtual(test())


def test_what_a_limit_would_break_is_told_before_it_is_set() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()

        assert house.booking.broken_by([grid(80)]) == ()
        (broken,) = house.booking.broken_by([grid(60)])
        assert (broken.promise.id, broken.confidence_ratio) == (promise.id, 0.0)
        assert house.booking.risk(promise.id) is None
        assert house.booking.book.room.left_ma.min() >= 0

    run_virtual(test())


def test_a_plain_draw_needs_no_vehicle() -> None:
    async def test() -> None:
        house = House()
        kitchen = Need(
            depart_at=house.clock.now_at() + timedelta(hours=1),
            energy_wh=2_000,
            circuit=CARPARK,
            max_power_w=10_000,
            id_token="van-7",
        )
        held = await house.booking.hold(house.booking.quote(kitchen, VANS).offers[0].id, VANS)
        await house.booking.confirm(held.id, VANS)
        house.comes(FIRST, "van-7")
        await asyncio.sleep(1)
        assert house.of(held).state is PromiseState.CONFIRMED
        await asyncio.sleep(3_600)

        assert house.of(held).state is PromiseState.FULFILLED
        assert sum(house.booking.reliability().excused.values()) == 0

    run_virtual(test())
