"""What is written of a promise is one: what it is now, the act behind it, and who is called."""

import asyncio
from datetime import timedelta

import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.memory import Act, CallMemory, Entry, PromiseMemory
from gateway.domain.needs import Need
from gateway.domain.promises import Reservation
from gateway.domain.webhooks import Webhook
from gateway.planning.answers import TooManyError
from gateway.services.alarms import Alarms
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.outbox import Outbox
from tests.support.paper_ledger import PaperLedger
from tests.support.small_site import small_site
from tests.support.virtual_time import VirtualClock, run_virtual

VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
OPERATOR = Access(name="desk", role=Role.OPERATOR)


class PromptLedger(PaperLedger):
    """Its disk takes what waits as soon as somebody waits for it."""

    def keep_durably(self, *entries: Entry) -> asyncio.Future[None]:
        written = super().keep_durably(*entries)
        asyncio.get_running_loop().call_soon(self.commit)
        return written


class Office:
    """A book of promises before a ledger on paper and a webhook that hears everything."""

    def __init__(self) -> None:
        self.clock, self.paper = VirtualClock(), PromptLedger()
        outbox = Outbox(
            (Webhook(id="desk", url="http://127.0.0.1:9/", secret=b"s" * 32),),
            clock=self.clock,
            alarms=Alarms(self.clock),
            ledger=self.paper,
            remembered={},
        )
        self.booking = Booking(
            Wiring.of(small_site(2)),
            ControlParameters(),
            clock=self.clock,
            feed=Feed(self.clock, outbox=outbox),
            ledger=self.paper,
        )

    def wanted(self, *, hours: float = 1.0) -> Need:
        """Return a need of 1 kWh at one connector within ten minutes."""
        begins_at = self.clock.now_at() + timedelta(hours=hours)
        return Need(
            arrive_at=begins_at,
            depart_at=begins_at + timedelta(minutes=10),
            energy_wh=1_000,
            connector=ConnectorRef(StationId("CP-01"), 1),
        )

    async def held(self, need: Need, by: Access = VANS) -> Reservation:
        offer = self.booking.quote(need, by).offers[0]
        return await self.booking.hold(offer.id, by)


def test_a_promise_its_act_and_its_calls_are_written_together() -> None:
    async def test() -> None:
        office = Office()
        held = await office.held(office.wanted())
        await office.booking.confirm(held.id, VANS)
        await office.booking.cancel(held.id, OPERATOR)

        kinds = [[type(entry) for entry in entries] for entries in office.paper.together]
        assert kinds == [[PromiseMemory, Act, CallMemory]] * 3
        acts = [(act.kind, act.subject, act.by) for act in office.paper.acts]
        assert acts == [
            ("reservation-held", held.id, "vans"),
            ("reservation-confirmed", held.id, "vans"),
            ("reservation-cancelled", held.id, "desk"),
        ]
        assert office.paper.acts[0].detail["holder"] == "vans"
        assert office.paper.acts[0].detail["energy_wh"] == "1000"

    run_virtual(test())


def test_one_that_nobody_confirms_is_an_act_of_nobody_s() -> None:
    async def test() -> None:
        office = Office()
        held = await office.held(office.wanted())
        await office.clock.sleep_s(121)
        office.booking.settle()
        await asyncio.sleep(0)

        last = office.paper.acts[-1]
        assert (last.kind, last.subject, last.by) == ("reservation-expired", held.id, "")
        assert last.detail["cause"] == "nobody confirmed it in time"

    run_virtual(test())


def test_a_holder_has_two_hundred_reservations_open_and_no_more() -> None:
    async def test() -> None:
        office = Office()
        *most, last = (office.wanted(hours=1 + nth / 6) for nth in range(201))
        for need in most:
            await office.held(need)
        with pytest.raises(TooManyError, match="vans has 200 open reservations: cancel some first"):
            await office.held(last)
        assert (await office.held(last, OPERATOR)).holder == "desk"

    run_virtual(test())
