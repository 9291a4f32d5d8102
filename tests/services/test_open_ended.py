"""Who says no departure has a connector until it has its energy, and is not asked to be gone later."""

from datetime import timedelta

import pytest

from gateway.domain.ids import ConnectorRef
from gateway.domain.needs import Need
from gateway.planning.answers import QuoteAnswer
from gateway.planning.quote import Verdict, Way
from tests.support.promise_house import FIRST, OTHERS, SECOND, THIRD, VANS, House
from tests.support.virtual_time import run_virtual


def asked(
    house: House, kwh: float | None, at: ConnectorRef | None = FIRST, *, from_h: float = 1.0
) -> QuoteAnswer:
    """Return what vans are answered whose vehicle comes at 09:00, and may stay as it likes."""
    need = Need(
        arrive_at=house.clock.now_at() + timedelta(hours=from_h),
        energy_wh=None if kwh is None else int(kwh * 1_000),
        connector=at,
    )
    return house.booking.quote(need, VANS)


@pytest.mark.parametrize("later_h", [8.0, 12.5])
@pytest.mark.parametrize("at", [FIRST, None])
def test_a_promise_that_begins_once_a_vehicle_has_its_energy_is_not_in_its_way(
    later_h: float, at: ConnectorRef | None
) -> None:
    async def test() -> None:
        house = House()
        for connector in (FIRST, SECOND, THIRD):
            await house.promise(
                by=OTHERS, connector=connector, from_h=later_h, until_h=later_h + 2.0, kwh=5.0
            )
        said = asked(house, 5.0, at)
        assert said.reason == "Yes: 5.0 kWh on CP-01/1 from 09:00 to 09:14, at up to 22.1 kW."
        held = await house.booking.hold(said.offers[0].id, VANS)
        assert held.closes_at_s == said.offers[0].finish_at_s

    run_virtual(test())


def test_everything_there_is_ends_where_the_connector_is_promised() -> None:
    async def test() -> None:
        house = House()
        await house.promise(by=OTHERS, from_h=4.0, until_h=5.0, kwh=5.0)
        said = asked(house, None)
        assert said.verdict is Verdict.YES
        assert said.offers[0].until_at_s == house.clock.now_at().timestamp() + 4 * 3_600
        # Where it is free for longer there is more.
        assert asked(house, None, None).offers[0].outlet.key == "CP-02/1"

    run_virtual(test())


def test_a_promise_that_leaves_too_little_time_is_told_with_what_is_before_and_behind_it() -> None:
    async def test() -> None:
        house = House()
        await house.promise(by=OTHERS, from_h=3.0, until_h=5.0, kwh=5.0)
        said = asked(house, 60.0)
        assert "CP-01/1 is promised to somebody else from 11:00 to 13:00" in said.reason
        offers = {offer.offer.way: offer for offer in said.offers}
        now_s = house.clock.now_at().timestamp()
        before, behind = offers[Way.MOST_ENERGY], offers[Way.ANOTHER_START]
        assert 43_000 < before.offer.energy_wh < 44_500
        assert before.until_at_s <= now_s + 3 * 3_600
        assert behind.start_at_s >= now_s + 5 * 3_600
        assert behind.offer.energy_wh == 60_000

    run_virtual(test())


def test_who_comes_while_a_connector_is_promised_has_it_between_that_and_the_next() -> None:
    async def test() -> None:
        house = House()
        for from_h, until_h in ((0.5, 2.0), (2.0, 3.0), (5.0, 7.0)):
            await house.promise(by=OTHERS, from_h=from_h, until_h=until_h, kwh=5.0)
        said = asked(house, 20.0)
        queued = next(offer for offer in said.offers if offer.offer.way is Way.QUEUED)
        now_s = house.clock.now_at().timestamp()
        assert queued.offer.energy_wh == 20_000
        assert now_s + 3 * 3_600 <= queued.start_at_s < queued.until_at_s <= now_s + 5 * 3_600
        await house.booking.hold(queued.id, VANS)

    run_virtual(test())
