"""Promises at risk: told once to whom they were made, with why and with what could be had instead."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Any

import numpy as np
import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.needs import Criticality, Need
from gateway.domain.notices import Notice
from gateway.domain.promises import Reservation
from gateway.planning.answers import QuoteAnswer
from gateway.planning.at_risk import Risk
from gateway.planning.book import Book
from gateway.planning.grid import Grid
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.promisable import Prospect, Prospects
from gateway.services.risk_watch import LOOKS_EVERY_S, SEES_AFTER_S, RiskWatch
from tests.support.paper_ledger import PaperLedger
from tests.support.small_site import CARPARK, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

FIRST = ConnectorRef(StationId("CP-01"), 1)
DRONES = Access(name="drones", role=Role.VEHICLE_OPERATOR, criticality=Criticality.CRITICAL)


class Watched:
    """A book of promises in virtual time, and what it tells."""

    def __init__(
        self, paper: PaperLedger | None = None, prospects: Prospects | None = None
    ) -> None:
        self.clock = VirtualClock()
        self.feed = Feed(self.clock)
        self.booking = Booking(
            Wiring.of(small_site(3)),
            ControlParameters(),
            clock=self.clock,
            feed=self.feed,
            ledger=paper,
            remembered=None if paper is None else paper.memory.promises,
            prospects=prospects,
        )

    async def promise(
        self,
        station: str = "CP-01",
        *,
        kwh: float = 20.0,
        criticality: Criticality = Criticality.NORMAL,
        id_token: str | None = None,
    ) -> Reservation:
        """Return a confirmed promise from 1 h to 3 h from now."""
        wanted = Need(
            arrive_at=self.clock.now_at() + timedelta(hours=1),
            depart_at=self.clock.now_at() + timedelta(hours=3),
            energy_wh=int(kwh * 1_000),
            criticality=criticality,
            connector=ConnectorRef(StationId(station), 1),
            id_token=id_token,
            reference="order 12",
        )
        offer = self.booking.quote(wanted, DRONES).offers[0]
        held = await self.booking.hold(offer.id, DRONES)
        return await self.booking.confirm(held.id, DRONES)

    def limit(self, limit_a: float) -> None:
        """Have the grid allow so much to the car park; 40 A of base and 15 of reserve go off."""
        constraint = Constraint(
            subject=CARPARK,
            limit_ma=(int(limit_a * 1_000),) * 3,
            authority=Authority.GRID,
            source="grid",
        )
        self.booking.limit((constraint,))

    async def told(self) -> list[Notice]:
        """Return what was told of promises at risk so far."""
        await self.booking.review()
        newer = await self.feed.wait_newer(0, within_s=0)
        return [notice for notice in newer if notice.kind != "reservation"]


def test_a_lower_limit_tells_which_promise_it_breaks_and_what_could_be_had_instead() -> None:
    async def test() -> None:
        house = Watched()
        van = await house.promise("CP-01")
        drone = await house.promise("CP-02", kwh=5.0, criticality=Criticality.CRITICAL)
        assert await house.told() == []
        house.limit(70.0)
        (told,) = await house.told()

        assert (told.kind, told.subject, told.holder) == ("reservation-at-risk", van.id, "drones")
        assert told.data["why"] == (
            "the 20.0 kWh on CP-01/1 by 11:00 are not 100% sure any more, and how sure is not known:"
            " circuit carpark may leave it only 7.0 A on L1 from 09:00 to 09:54"
        )
        assert (told.data["circuit"], told.data["danger"]) == ("carpark", "room")
        assert 15_000 < int(str(told.data["can_wh"])) < 20_000
        # Nobody knows yet what base draws. Who asks for the reservation is told the same.
        why = str(told.data["why"])
        assert house.booking.risk(van.id) == Risk(confidence_ratio=None, is_at_risk=True, why=why)
        assert house.booking.risk(drone.id) == Risk(confidence_ratio=1.0, is_at_risk=False, why="")
        offers: Any = told.data["offers"]
        assert {o["place"] for o in offers} >= {"CP-01/1"}
        assert all(o["energy_wh"] > 0 for o in offers)

    run_virtual(test())


def test_what_was_told_is_not_told_again_until_it_changes() -> None:
    async def test() -> None:
        house = Watched()
        promise = await house.promise()
        house.limit(65.0)
        for _ in range(3):
            assert len(await house.told()) == 1
            await house.clock.sleep_s(LOOKS_EVERY_S + 1)
        assert house.booking.at_risk_count == 1
        house.limit(95.0)
        assert [n.kind for n in await house.told()][1:] == ["reservation-safe-again"]
        risk = house.booking.risk(promise.id)
        assert risk == Risk(confidence_ratio=1.0, is_at_risk=False, why="")
        house.limit(60.0)
        assert len(await house.told()) == 3
        await house.booking.cancel(promise.id, DRONES)
        assert house.booking.risk(promise.id) is None
        house.limit(95.0)
        # What became of it was told: it is neither at risk nor safe.
        assert len(await house.told()) == 3
        assert house.booking.at_risk_count == 0
        assert house.booking.counters["warnings"] == 2

    run_virtual(test())


def test_what_is_safe_again_is_told_by_name_place_and_time_like_what_was_at_risk() -> None:
    async def test() -> None:
        house = Watched()
        promise = await house.promise()
        house.limit(65.0)
        await house.told()
        house.limit(95.0)
        at_risk, safe = await house.told()

        assert (safe.kind, safe.subject) == ("reservation-safe-again", promise.id)
        assert safe.data.keys() < at_risk.data.keys()
        assert safe.data == {
            "place": "CP-01/1",
            "reference": "order 12",
            "state": "confirmed",
            "start_at": (house.clock.now_at() + timedelta(hours=1)).isoformat(),
            "end_at": (house.clock.now_at() + timedelta(hours=3)).isoformat(),
            "energy_wh": 20_000,
            "can_wh": 20_000,
            "promised_confidence": 1.0,
            "confidence": 1.0,
        }

    run_virtual(test())


def test_a_clock_that_was_set_back_keeps_nobody_from_being_told() -> None:
    async def test() -> None:
        house = Watched()
        promise = await house.promise(kwh=43.9, id_token="van-7")
        await house.clock.sleep_s(1_500)
        assert await house.told() == []
        house.clock.jump_wall_clock(timedelta(minutes=-20))
        house.booking.hear(
            TransactionStarted(
                at_s=house.clock.monotonic_s(),
                connector=FIRST,
                transaction=TransactionId("1"),
                id_token="walk-up",
            )
        )
        (told,) = await house.told()
        assert (told.subject, told.data["danger"]) == (promise.id, "occupied")

    run_virtual(test())


class Uncertain:
    """A building in which of a hundred courses of base so many leave a connector all it may take."""

    def __init__(self) -> None:
        self.sure_pct = 100

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        del from_at_s, constraints
        shape = (100, grid.slot_count)
        path_ma = np.where(np.arange(100)[:, None] < self.sure_pct, 0, 40_000)
        return Prospect(
            available_ma=np.full((3, grid.slot_count), 40_000),
            base_paths_ma=dict.fromkeys(range(3), np.broadcast_to(path_ma, shape)),
        )

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        del since_at_s, until_at_s
        return []


@pytest.mark.parametrize(
    ("sure_pct", "kinds"),
    [
        # Of what was said at 100 % less than 90 % is at risk.
        ((90,), [""]),
        # It is told again where it is a quarter less sure than when it was told last.
        ((80, 60, 55, 40, 30, 29), ["at-risk", "", "at-risk", "", "at-risk", ""]),
        # What is surer by less than 5 % than its floor is not safe yet, and was told.
        ((89, 94, 89, 94), ["at-risk", "", "", ""]),
        ((89, 96, 89, 60), ["at-risk", "safe-again", "at-risk", "at-risk"]),
    ],
)
def test_what_gets_much_worse_is_told_again_and_what_is_hardly_better_is_not_safe(
    sure_pct: tuple[int, ...], kinds: list[str]
) -> None:
    async def test() -> None:
        base = Uncertain()
        house, told = Watched(prospects=base), list[str]()
        promise = await house.promise()
        for pct in sure_pct:
            before = len(await house.told())
            base.sure_pct = pct
            house.booking.look_again()
            news = (await house.told())[before:]
            risk = house.booking.risk(promise.id)
            assert risk is not None
            assert risk.confidence_ratio == pct / 100
            told.append(" ".join(notice.kind.removeprefix("reservation-") for notice in news))
        assert told == kinds

    run_virtual(test())


def test_who_is_at_risk_is_told_even_if_it_cannot_be_said_what_could_be_had_instead() -> None:
    def at_fault(_book: Book, _promise: Reservation) -> QuoteAnswer:
        raise ZeroDivisionError

    async def test() -> None:
        house, feed = Watched(), Feed(VirtualClock())
        promised = [await house.promise("CP-01"), await house.promise("CP-02")]
        house.limit(60.0)
        watch = RiskWatch(
            house.booking.places,
            UTC,
            feed=feed,
            counters=Counter(),
            warned=(),
            on_told=lambda _name, _ratio: None,
        )
        # Whoever has it looked at sounds the alarm.
        with pytest.raises(ZeroDivisionError):
            await watch.look(
                house.booking.book,
                now_s=house.clock.now_at().timestamp(),
                others_until_s={},
                away={},
                alternatives=at_fault,
                remember=lambda _quote, _holder: None,
                is_open=lambda _name: True,
            )

        told = await feed.wait_newer(0, within_s=0)
        assert [notice.kind for notice in told] == ["reservation-at-risk"] * 2
        assert {notice.subject for notice in told} == {promise.id for promise in promised}
        risks = [watch.risk(promise.id) for promise in promised]
        assert all(risk is not None and risk.is_at_risk for risk in risks)

    run_virtual(test())


def test_an_offer_in_the_place_of_a_promise_can_be_held_by_its_holder_alone() -> None:
    async def test() -> None:
        house = Watched()
        promise = await house.promise()
        house.limit(65.0)
        (told,) = await house.told()
        offers: Any = told.data["offers"]
        offer = offers[0]["offer_id"]
        held = await house.booking.hold(offer, DRONES, replaces=promise.id)

        assert promise.id not in house.booking.book.promises
        assert held.energy_wh == offers[0]["energy_wh"]

    run_virtual(test())


def test_a_vehicle_that_does_not_come_is_told_before_it_is_too_late() -> None:
    async def test() -> None:
        house = Watched()
        promise = await house.promise()
        began_at = house.clock.now_at()
        while not (told := await house.told()):
            await house.clock.sleep_s(60)
        warned_s = (house.clock.now_at() - began_at).total_seconds()

        # 20 kWh take 54 minutes at full power: at most so long before the end it is too late.
        assert (told[0].subject, told[0].data["danger"]) == (promise.id, "late")
        assert 2 * 3_600 < warned_s < 2.2 * 3_600

    run_virtual(test())


def test_another_vehicle_at_the_connector_is_told_before_the_promise_begins() -> None:
    async def test() -> None:
        house = Watched()
        await house.promise(id_token="drone-7", kwh=35.0)
        house.booking.hear(
            TransactionStarted(
                at_s=0.0, connector=FIRST, transaction=TransactionId("t"), id_token="other"
            )
        )
        assert await house.told() == []
        await house.clock.sleep_s(45 * 60)
        (told,) = await house.told()

        assert told.data["danger"] == "occupied"
        assert str(told.data["why"]).endswith("another vehicle is at CP-01/1")
        offers: Any = told.data["offers"]
        assert offers[0]["place"] in ("CP-02/1", "CP-03/1")

    run_virtual(test())


@pytest.mark.parametrize("is_told_late", [False, True])
def test_after_a_restart_what_is_at_risk_is_told_anew_and_what_is_no_longer(
    is_told_late: bool,
) -> None:
    async def test() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        house = Watched(paper)
        acting = asyncio.gather(house.promise())
        for _ in range(3):
            await asyncio.sleep(0)
            paper.commit()
        await acting
        house.limit(65.0)
        assert [n.kind for n in await house.told()] == ["reservation-at-risk"]
        paper.commit()

        # The limit is known again a moment after the start, or is gone.
        house = Watched(paper)
        assert await house.told() == []
        [name] = house.booking.book.promises
        risk = house.booking.risk(name)
        assert risk is not None
        assert risk.is_at_risk
        assert risk.why == "it was told to be at risk; nothing that is known now endangers it"
        if is_told_late:
            house.limit(65.0)
            assert [n.kind for n in await house.told()] == ["reservation-at-risk"]
        await house.clock.sleep_s(SEES_AFTER_S + 1)
        last = (await house.told())[-1].kind
        assert last == ("reservation-at-risk" if is_told_late else "reservation-safe-again")
        paper.commit()
        house = Watched(paper)
        house.limit(65.0 if is_told_late else 95.0)
        await house.clock.sleep_s(SEES_AFTER_S + 1)
        assert len(await house.told()) == is_told_late

    run_virtual(test())
