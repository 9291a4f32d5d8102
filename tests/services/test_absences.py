"""Connectors that can serve nobody: not offered for now, told to whom they were promised, and back again."""

from datetime import timedelta
from typing import Any

import pytest

from gateway.control.fold import ControlEvent, evolve
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorStatusChanged,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationStatusChanged,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.needs import Need
from gateway.domain.notices import Notice
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.absence import BACK_WITHIN_S, Away
from gateway.planning.answers import NoLongerFitsError, OwnEnvelope, QuoteAnswer
from gateway.planning.quote import Verdict, Way
from gateway.services.absences import MISSED_AFTER_S, Absences
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.quote_shelf import QUOTE_VALID_S
from tests.support.small_site import at_start, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

STATION = StationId("CP-01")
FIRST = ConnectorRef(STATION, 1)
VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
QUARTER_H = BACK_WITHIN_S / 3_600


class House:
    """Three stations that are there, a book of promises, and virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.feed = Feed(self.clock)
        site = small_site(3)
        self.booking = Booking(
            Wiring.of(site), ControlParameters(), clock=self.clock, feed=self.feed
        )
        self.absences = Absences()
        self.state = at_start(site)
        for station in site.stations:
            self.happens(StationConnected(at_s=0.0, station=station.id))
        self.told_count = 0

    def happens(self, fact: ControlEvent) -> None:
        self.state = evolve(self.state, fact)

    def shows(self, status: ConnectorStatus) -> None:
        self.happens(ConnectorStatusChanged(at_s=0.0, connector=FIRST, status=status))

    def says(self, status: ConnectorStatus) -> None:
        """Let the station say how it is as a whole."""
        self.happens(StationStatusChanged(at_s=0.0, station=STATION, status=status))

    def is_lost(self) -> None:
        self.happens(StationDisconnected(at_s=0.0, station=STATION))

    def is_back(self) -> None:
        self.happens(StationConnected(at_s=0.0, station=STATION))

    async def passes(self, for_s: float) -> list[Notice]:
        """Let cycles and reviews pass, a second each; return what was told of risks meanwhile."""
        until_s = self.clock.monotonic_s() + for_s
        while True:
            now_s = self.clock.now_at().timestamp()
            self.booking.miss(self.absences.note(self.state, self.clock.monotonic_s(), now_s=now_s))
            await self.booking.review()
            if self.clock.monotonic_s() >= until_s:
                break
            await self.clock.sleep_s(1.0)
        newer = await self.feed.wait_newer(self.told_count, within_s=0)
        self.told_count = self.feed.newest_number
        return [notice for notice in newer if notice.kind != "reservation"]

    def quote(self, from_h: float, *, connector: ConnectorRef | None = FIRST) -> QuoteAnswer:
        now_at = self.clock.now_at()
        need = Need(
            arrive_at=now_at + timedelta(hours=from_h),
            depart_at=now_at + timedelta(hours=from_h + 2),
            energy_wh=20_000,
            connector=connector,
        )
        return self.booking.quote(need, VANS)

    async def promise(self, from_h: float) -> Reservation:
        held = await self.booking.hold(self.quote(from_h).offers[0].id, VANS)
        return await self.booking.confirm(held.id, VANS)


def test_nothing_is_offered_for_now_where_nobody_can_be_served() -> None:
    async def test() -> None:
        house = House()
        house.is_lost()
        await house.passes(MISSED_AFTER_S)
        # Who is back in half a minute was never missed.
        assert house.quote(0).verdict is Verdict.YES
        await house.passes(2)

        assert {o.outlet.key for o in house.quote(0, connector=None).offers} == {"CP-02/1"}
        named = house.quote(QUARTER_H - 0.01)
        assert named.verdict is Verdict.PARTLY
        assert "station CP-01 has been out of reach since 08:00" in named.reason
        assert (named.offers[0].outlet.key, named.offers[0].offer.way) == (
            "CP-02/1",
            Way.ANOTHER_OUTLET,
        )
        there = [offer for offer in named.offers if offer.outlet.key == "CP-01/1"]
        soonest_s = house.clock.now_at().timestamp() + BACK_WITHIN_S
        assert [offer.offer.way for offer in there] == [Way.BACK]
        assert min(offer.start_at_s for offer in there) >= soonest_s
        assert house.quote(QUARTER_H + 0.01).verdict is Verdict.YES
        house.is_back()
        await house.passes(1)
        assert house.quote(0).verdict is Verdict.YES

    run_virtual(test())


@pytest.mark.parametrize("status", [ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE])
def test_a_station_that_is_of_no_use_as_a_whole_serves_nobody_until_it_says_otherwise(
    status: ConnectorStatus,
) -> None:
    async def test() -> None:
        house = House()
        house.shows(ConnectorStatus.OCCUPIED)
        house.says(status)
        await house.passes(MISSED_AFTER_S + 2)
        assert house.quote(0).verdict is Verdict.PARTLY
        assert f"CP-01/1 has been {status.lower()} since 08:00" in house.quote(0).reason
        # What its connectors say of themselves lifts nothing: the whole is not well.
        house.shows(ConnectorStatus.AVAILABLE)
        await house.passes(1)
        assert house.quote(0).verdict is Verdict.PARTLY
        house.says(ConnectorStatus.AVAILABLE)
        await house.passes(1)
        assert house.quote(0).verdict is Verdict.YES

    run_virtual(test())


def test_a_boot_ends_what_a_station_said_of_itself() -> None:
    async def test() -> None:
        house = House()
        house.shows(ConnectorStatus.AVAILABLE)
        house.says(ConnectorStatus.FAULTED)
        house.happens(StationBooted(at_s=0.0, station=STATION))
        await house.passes(MISSED_AFTER_S + 2)
        assert house.quote(0).verdict is Verdict.YES

    run_virtual(test())


def test_what_is_offered_behind_an_absence_can_be_held_as_long_as_the_offer_stands() -> None:
    async def test() -> None:
        house = House()
        house.is_lost()
        await house.passes(MISSED_AFTER_S + 1)
        (behind,) = [o for o in house.quote(0).offers if o.offer.way is Way.BACK]
        await house.passes(QUOTE_VALID_S - 2)
        held = await house.booking.hold(behind.id, VANS)

        assert held.state is PromiseState.HELD
        assert "station CP-01 has been out of reach" in held.waits_for

    run_virtual(test())


def test_what_was_offered_before_is_refused_and_so_is_an_envelope_of_one_s_own() -> None:
    async def test() -> None:
        house = House()
        offer = house.quote(0).offers[0]
        now_s = house.clock.now_at().timestamp()
        own = OwnEnvelope(connector="CP-01/1", profile=((now_s + 600, now_s + 4_200, 11_040),))
        house.is_lost()
        await house.passes(MISSED_AFTER_S + 1)

        for wanted in (offer.id, own):
            with pytest.raises(NoLongerFitsError, match="CP-01 has been out of reach since") as no:
                await house.booking.hold(wanted, VANS)
            assert no.value.fresh.offers[0].outlet.key == "CP-02/1"

    run_virtual(test())


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (None, "station CP-01 has been out of reach since 08:30"),
        (ConnectorStatus.FAULTED, "CP-01/1 has been faulted since 08:30"),
        (ConnectorStatus.UNAVAILABLE, "CP-01/1 has been unavailable since 08:30"),
    ],
)
def test_a_promise_there_is_told_once_and_again_when_it_is_safe(
    status: ConnectorStatus | None, what: str
) -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(0.6)
        assert await house.passes(1_800) == []
        if status is None:
            house.is_lost()
        else:
            house.shows(status)
        assert await house.passes(MISSED_AFTER_S) == []
        (told,) = await house.passes(2)

        assert (told.kind, told.subject) == ("reservation-at-risk", promise.id)
        assert (told.data["danger"], told.data["confidence"]) == ("station", None)
        assert told.data["can_wh"] == 0
        assert str(told.data["why"]).endswith(f"any more, and how sure is not known: {what}")
        offers: Any = told.data["offers"]
        assert offers[0]["place"] == "CP-02/1"
        assert await house.passes(300) == []
        house.is_back()
        house.shows(ConnectorStatus.AVAILABLE)
        assert [n.kind for n in await house.passes(1)] == ["reservation-safe-again"]

    run_virtual(test())


def test_a_promise_that_begins_later_is_told_when_its_time_comes_near() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(1)
        house.is_lost()
        told: list[Notice] = []
        while not told:
            told = await house.passes(10)
        left_s = promise.from_at_s - house.clock.now_at().timestamp()

        assert BACK_WITHIN_S - 30 < left_s <= BACK_WITHIN_S

    run_virtual(test())


def test_a_station_that_is_lost_while_it_serves_is_told_too() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(0)
        came = TransactionStarted(at_s=0.0, connector=FIRST, transaction=TransactionId("t"))
        house.booking.hear(came)
        await house.passes(1)
        now = house.booking.book.promises[promise.id]
        assert now.state is PromiseState.ARRIVED
        house.is_lost()
        (told,) = await house.passes(MISSED_AFTER_S + 2)

        assert (told.data["danger"], told.data["state"]) == ("station", "arrived")

    run_virtual(test())


def test_one_absence_after_another_is_one_absence() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise(0.2)
        house.shows(ConnectorStatus.FAULTED)
        assert len(await house.passes(MISSED_AFTER_S + 2)) == 1
        house.is_lost()
        # It reboots: it is not safe meanwhile.
        assert await house.passes(60) == []
        risk = house.booking.risk(promise.id)
        assert risk is not None
        assert risk.why.endswith(": station CP-01 has been out of reach since 08:00")

    run_virtual(test())


def test_who_was_away_for_so_long_is_as_likely_as_not_to_be_away_for_as_long_again() -> None:
    gone = Away(what="CP-01/1", how="faulted", since_at_s=3_000.0, began_at_s=0.0)
    back_h = (-1.0, 0.0, 1.0, 3.0, 9.0)
    ratios = [gone.back_ratio(3_600.0 * (1 + after_h), 3_600.0) for after_h in back_h]
    assert ratios == [0.0, 0.0, 0.5, 0.75, 0.9]
    # Who was lost this moment has not been away at all.
    assert gone.back_ratio(1.0, 0.0) == 1.0


def test_what_begins_later_is_no_surer_than_that_its_connector_is_back() -> None:
    async def test() -> None:
        house = House()
        house.shows(ConnectorStatus.FAULTED)
        await house.passes(3_600)
        later = house.quote(12)
        # Twelve hours of thirteen.
        assert later.verdict is Verdict.YES
        assert later.offers[0].offer.confidence_ratio == pytest.approx(12 / 13, rel=0.01)
        assert later.reason.endswith("92% sure; CP-01/1 has been faulted since 08:00.")
        held = await house.booking.hold(later.offers[0].id, VANS)
        assert held.confidence_ratio == later.offers[0].offer.confidence_ratio

        soon = house.quote(1)
        assert soon.verdict is Verdict.PARTLY
        assert "CP-01/1 has been faulted since 08:00" in soon.reason
        beside, behind = soon.offers[:2]
        assert (beside.outlet.key, beside.offer.way) == ("CP-02/1", Way.ANOTHER_OUTLET)
        assert beside.offer.confidence_ratio == 1.0
        assert (behind.outlet.key, behind.offer.way) == ("CP-01/1", Way.BACK)
        assert behind.offer.confidence_ratio == pytest.approx(0.5, rel=0.01)
        assert behind.why.startswith("once the connector is back: 20.0 kWh on CP-01/1 from 10:00")
        assert behind.why.endswith("50% sure; CP-01/1 has been faulted since 08:00")
        assert house.quote(1, connector=None).offers[0].outlet.key == "CP-02/1"
        # It was said how sure it is, so it may be held.
        held = await house.booking.hold(behind.id, VANS)
        assert held.confidence_ratio == behind.offer.confidence_ratio

    run_virtual(test())


@pytest.mark.parametrize(("asked_ratio", "is_held"), [(0.8, False), (0.7, True)])
def test_an_envelope_of_one_s_own_is_no_surer_than_that_its_connector_is_back(
    asked_ratio: float, is_held: bool
) -> None:
    async def test() -> None:
        house = House()
        house.shows(ConnectorStatus.FAULTED)
        await house.passes(3_600)
        begins_s = house.clock.now_at().timestamp() + 3 * 3_600
        own = OwnEnvelope(
            connector="CP-01/1",
            profile=((begins_s, begins_s + 3_600, 11_040),),
            confidence_ratio=asked_ratio,
        )
        if is_held:
            held = await house.booking.hold(own, VANS)
            assert held.confidence_ratio == pytest.approx(0.75, rel=0.01)
            assert house.booking.book.promises[held.id] == held
        else:
            with pytest.raises(NoLongerFitsError, match="CP-01/1 has been faulted since 08:00"):
                await house.booking.hold(own, VANS)

    run_virtual(test())


def test_a_reboot_begins_no_new_absence() -> None:
    async def test() -> None:
        house = House()
        house.shows(ConnectorStatus.FAULTED)
        await house.passes(3_600)
        house.is_lost()
        await house.passes(2)
        later = house.quote(12)
        assert later.offers[0].offer.confidence_ratio == pytest.approx(12 / 13, rel=0.01)
        assert "station CP-01 has been out of reach since 09:00" in later.reason

    run_virtual(test())
