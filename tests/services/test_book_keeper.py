"""What is promised within a slot of the book leaves the rest of the slot to others."""

from bisect import bisect_right
from datetime import timedelta

import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.needs import Need
from gateway.planning.answers import OwnEnvelope, QuoteAnswer, TooManyError
from gateway.planning.quote import Verdict
from gateway.services.book_keeper import MOST_CUT_SLOTS
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.holding import MAX_CHANGES_A_HOLDER
from tests.support.small_site import CARPARK, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
OTHERS = Access(name="others", role=Role.VEHICLE_OPERATOR)
ALL_LEFT_W = 27_600
"""95 A set-point, less 40 A of base at its worst, less 15 A of reserve: 40 A."""


class House:
    """A book in virtual time, in which a slot in twelve hours is half an hour long."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.booking = Booking(
            Wiring.of(small_site(3)), ControlParameters(), clock=self.clock, feed=Feed(self.clock)
        )

    def asked(self, from_min: float, until_min: float) -> QuoteAnswer:
        """Return what is said to a plain draw of all there is, so many minutes after twelve hours."""
        noon_at = self.clock.now_at() + timedelta(hours=12)
        wanted = Need(
            arrive_at=noon_at + timedelta(minutes=from_min),
            depart_at=noon_at + timedelta(minutes=until_min),
            energy_wh=int(ALL_LEFT_W * (until_min - from_min) / 60 * 0.99),
            circuit=CARPARK,
        )
        return self.booking.quote(wanted, VANS)

    def own(self, part_count: int, from_h: float, station: str = "CP-01") -> OwnEnvelope:
        """Return an envelope of parts of a minute, next to each other and none like the next."""
        begins_s = self.clock.now_at().timestamp() + from_h * 3_600.0 + 7.0
        profile = tuple(
            (begins_s + 60.0 * at, begins_s + 60.0 * (at + 1), 5_000 - 500 * (at % 2))
            for at in range(part_count)
        )
        return OwnEnvelope(connector=f"{station}/1", profile=profile)


def test_who_comes_after_a_short_promise_in_the_same_slot_has_the_rest_of_it() -> None:
    async def test() -> None:
        house = House()
        first = house.asked(0, 10)
        await house.booking.hold(first.offers[0].id, VANS)

        assert house.asked(5, 15).verdict is not Verdict.YES
        second = house.asked(12, 22)
        assert second.verdict is Verdict.YES, second.reason
        held = await house.booking.hold(second.offers[0].id, VANS)
        house.booking.look_again()  # The book is opened anew: that is no other one.
        assert house.booking.book.room.left_ma.min() >= 0
        assert house.asked(10, 12).verdict is Verdict.YES
        await house.booking.cancel(held.id, VANS)
        assert house.asked(10, 22).verdict is Verdict.YES

    run_virtual(test())


def test_an_envelope_of_ones_own_leaves_what_it_does_not_take_of_a_slot() -> None:
    async def test() -> None:
        house = House()
        noon_s = (house.clock.now_at() + timedelta(hours=12)).timestamp()
        own = OwnEnvelope(
            connector="CP-01/1",
            phase_count=3,
            profile=((noon_s, noon_s + 600.0, 20_000),),
        )
        await house.booking.hold(own, VANS)

        assert house.asked(0, 10).verdict is not Verdict.YES
        assert house.asked(10, 20).verdict is Verdict.YES

    run_virtual(test())


def test_what_was_held_and_given_up_does_not_make_the_book_longer_and_longer() -> None:
    async def test() -> None:
        house = House()
        empty = house.booking.book.room
        # It may have been opened anew with a hold in it, whose edges stay until the next time.
        most_slots = empty.grid.slot_count + 201 + MOST_CUT_SLOTS
        for at in range(40):
            held = await house.booking.hold(house.own(200, 1.0 + at / 1_000.0), VANS)
            assert house.booking.book.room.left_ma.min() < empty.left_ma.min()
            await house.booking.cancel(held.id, VANS)
            room = house.booking.book.room
            assert room.grid.slot_count <= most_slots
            of_slots = [bisect_right(empty.grid.edges_s, s) - 1 for s in room.grid.edges_s[:-1]]
            assert (room.left_ma == empty.left_ma[:, of_slots]).all()

    run_virtual(test())


def test_a_holder_has_so_many_changes_promised_and_no_more() -> None:
    async def test() -> None:
        house, fitting = House(), MAX_CHANGES_A_HOLDER // 201
        owns = [house.own(200, 1.0 + at * 4.0) for at in range(fitting + 1)]
        held = [await house.booking.hold(own, VANS) for own in owns[:fitting]]
        with pytest.raises(TooManyError, match="cancel some first"):
            await house.booking.hold(owns[fitting], VANS)
        await house.booking.cancel(held[0].id, VANS)
        await house.booking.hold(house.own(200, 1.0), VANS)
        # Who is somebody else has as many.
        await house.booking.hold(house.own(200, 1.0, "CP-02"), OTHERS)

    run_virtual(test())
