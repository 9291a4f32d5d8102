"""The one writer of the book: what is promised fits, is durable before it is said, and is closed."""

import asyncio
import random
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.events import (
    ConnectorMetered,
    StationConnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import Memory
from gateway.domain.needs import Criticality, Need, Objective
from gateway.domain.promises import HOLD_S, PromiseState, Reservation
from gateway.domain.tokens import TokenPolicy
from gateway.planning.answers import (
    HoldExpiredError,
    KeyReusedError,
    NoLongerFitsError,
    NotAllowedError,
    NotDurableError,
    OwnEnvelope,
    QuoteAnswer,
    RefusedError,
    UnknownOfferError,
    UnknownReservationError,
    UsedKey,
    WrongStateError,
)
from gateway.planning.asking import AskError
from gateway.planning.quote import Verdict, Way
from gateway.ports import Ledger
from gateway.services.booking import Booking
from gateway.services.fates import RETURNS_WITHIN_S
from gateway.services.feed import Feed
from gateway.services.quote_shelf import QUOTE_VALID_S
from tests.support.paper_ledger import PaperLedger
from tests.support.small_site import CARPARK, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

LEFT_MA = 40_000  # 95 A set-point, less 40 A of base at its worst, less 15 A of reserve.
FIRST, SECOND = ConnectorRef(StationId("CP-01"), 1), ConnectorRef(StationId("CP-02"), 1)
DRONES = Access(name="drones", role=Role.VEHICLE_OPERATOR, criticality=Criticality.CRITICAL)
VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
OPERATOR = Access(name="desk", role=Role.OPERATOR)


def booking(
    clock: VirtualClock,
    *,
    ledger: Ledger | None = None,
    memory: Memory | None = None,
    stations: int = 3,
    feed: Feed | None = None,
    tokens: TokenPolicy | None = None,
) -> Booking:
    made = Booking(
        Wiring.of(small_site(stations)),
        ControlParameters(),
        clock=clock,
        feed=feed or Feed(clock),
        ledger=ledger,
        remembered=None if memory is None else memory.promises,
        tokens=tokens,
    )
    for station in range(1, stations + 1):
        made.hear(StationConnected(at_s=0.0, station=StationId(f"CP-{station:02}")))
    return made


def need(
    clock: VirtualClock, *, from_h: float = 1.0, until_h: float = 3.0, kwh: float | None = 20.0
) -> Need:
    now_at = clock.now_at()
    return Need(
        arrive_at=now_at + timedelta(hours=from_h),
        depart_at=now_at + timedelta(hours=until_h),
        energy_wh=None if kwh is None else int(kwh * 1_000),
        connector=FIRST,
    )


async def confirmed(made: Booking, wanted: Need, by: Access = DRONES) -> Reservation:
    held = await made.hold(made.quote(wanted, by).offers[0].id, by)
    return await made.confirm(held.id, by)


def test_a_quote_is_held_confirmed_and_cancelled() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        quote = made.quote(need(clock), DRONES)

        assert quote.verdict is Verdict.YES
        assert quote.reason == ("Yes: 20.0 kWh on CP-01/1 from 09:00 to 09:55, at up to 22.1 kW.")
        held = await made.hold(quote.offers[0].id, DRONES)
        assert (held.state, held.energy_wh) == (PromiseState.HELD, 20_000)
        assert held.until_at_s - held.from_at_s == 2 * 3_600
        assert made.book.room.left_ma.min() == LEFT_MA - 32_000
        assert (await made.confirm(held.id, DRONES)).state is PromiseState.CONFIRMED
        assert (await made.confirm(held.id, DRONES)).state is PromiseState.CONFIRMED
        assert (await made.cancel(held.id, DRONES)).state is PromiseState.CANCELLED
        assert (await made.cancel(held.id, DRONES)).state is PromiseState.CANCELLED
        assert made.book.room.left_ma.min() == LEFT_MA
        with pytest.raises(
            WrongStateError, match="is cancelled: for another ask for a fresh quote"
        ):
            await made.confirm(held.id, DRONES)

    run_virtual(test())


def test_what_is_gone_meanwhile_is_refused_with_a_fresh_quote() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        first, second = made.quote(need(clock), DRONES), made.quote(need(clock), VANS)
        await made.hold(first.offers[0].id, DRONES)

        with pytest.raises(NoLongerFitsError) as refused:
            await made.hold(second.offers[0].id, VANS)
        fresh = refused.value.fresh
        assert fresh.verdict is Verdict.NO
        assert "CP-01/1 is promised to somebody else from 09:00 to 11:00" in fresh.reason
        assert {offer.offer.way for offer in fresh.offers} >= {Way.ANOTHER_START}
        assert fresh.offers[0].outlet.key != "CP-01/1"
        assert (await made.hold(fresh.offers[0].id, VANS)).state is PromiseState.HELD

    run_virtual(test())


def test_a_reservation_is_replaced_or_stands() -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        feed = Feed(clock)
        made = booking(clock, ledger=paper, feed=feed)

        async def writing(act: Coroutine[Any, Any, Reservation]) -> Reservation:
            doing = asyncio.gather(act)
            await asyncio.sleep(0)
            paper.commit()
            return (await doing)[0]

        first = await writing(made.hold(made.quote(need(clock), DRONES).offers[0].id, DRONES))
        await writing(made.confirm(first.id, DRONES))
        before = made.book
        # Beside the first there is no room for it on that connector; in its place there is.
        now_s = clock.now_at().timestamp()
        own = OwnEnvelope(connector="CP-01/1", profile=((now_s + 3_600, now_s + 9_000, 22_080),))
        with pytest.raises(NoLongerFitsError):
            await made.hold(own, DRONES)
        too_much = replace(own, profile=((now_s + 3_600, now_s + 9_000, 90_000),))
        with pytest.raises(AskError):
            await made.hold(too_much, DRONES, replaces=first.id)
        with pytest.raises(UnknownReservationError):
            await made.hold(own, VANS, replaces=first.id)
        beyond_any_date = replace(own, profile=((now_s + 3_600, 1e300, 22_080),))
        with pytest.raises(OverflowError):  # No refusal of ours, but a mistake nobody foresaw.
            await made.hold(beyond_any_date, DRONES, replaces=first.id)
        assert made.book.promises == before.promises
        assert (made.book.room.left_ma == before.room.left_ma).all()

        commits = paper.commits
        second = await writing(made.hold(own, DRONES, replaces=first.id))
        assert paper.commits == commits + 1
        assert (await made.reservation(first.id, DRONES)).state is PromiseState.CANCELLED
        assert list(made.book.promises) == [second.id]
        known = paper.memory.promises
        assert known[first.id].promise.state is PromiseState.CANCELLED
        assert known[second.id].promise.state is PromiseState.HELD
        with pytest.raises(WrongStateError):
            await made.hold(own, DRONES, replaces=first.id)

    run_virtual(test())


def test_an_older_version_is_no_reason_to_refuse() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        quote = made.quote(need(clock), DRONES)
        await confirmed(made, need(clock, from_h=5, until_h=7), VANS)

        assert quote.version < made.book.version
        assert (await made.hold(quote.offers[0].id, DRONES)).state is PromiseState.HELD

    run_virtual(test())


def test_holds_and_offers_expire() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        quote = made.quote(need(clock), DRONES)
        held = await made.hold(quote.offers[0].id, DRONES)
        await clock.sleep_s(HOLD_S + 1)

        with pytest.raises(HoldExpiredError, match="ask for a fresh quote"):
            await made.confirm(held.id, DRONES)
        assert made.book.room.left_ma.min() == LEFT_MA
        await clock.sleep_s(QUOTE_VALID_S)
        with pytest.raises(UnknownOfferError, match="ask for a fresh quote"):
            await made.hold(quote.offers[0].id, DRONES)

    run_virtual(test())


def test_nobody_sees_or_holds_what_is_another_s_but_an_operator_sees_all() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        quote = made.quote(need(clock), DRONES)
        with pytest.raises(UnknownOfferError):
            await made.hold(quote.offers[0].id, VANS)
        held = await made.hold(quote.offers[0].id, DRONES)

        for act in (made.confirm, made.cancel, made.reservation):
            with pytest.raises(UnknownReservationError):
                await act(held.id, VANS)
        assert made.reservations(VANS) == ()
        assert made.reservations(OPERATOR) == made.reservations(DRONES) == (held,)
        assert (await made.cancel(held.id, OPERATOR)).cause == "cancelled by desk"

    run_virtual(test())


def test_a_vehicle_is_not_promised_to_two_holders_at_one_time() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        there = replace(need(clock, kwh=2), connector=SECOND, id_token="van-7")
        offer = made.quote(there, DRONES).offers[0]
        first = await confirmed(made, replace(need(clock), id_token="van-7"), VANS)
        with pytest.raises(NotAllowedError, match="choose another time, ask without id_token, or"):
            await made.hold(offer.id, DRONES)
        assert list(made.book.promises) == [first.id]

        later = replace(need(clock, from_h=3, until_h=4, kwh=2), connector=SECOND)
        await confirmed(made, replace(later, id_token="van-7"), DRONES)
        await confirmed(made, replace(there, id_token=None), VANS)
        assert len(made.book.promises) == 3

    run_virtual(test())


def test_a_vehicle_is_promised_to_nobody_but_whose_it_is() -> None:
    async def test() -> None:
        clock = VirtualClock()
        tokens = TokenPolicy(holders={"van-7": VANS.name})
        made = booking(clock, tokens=tokens)
        now_s = clock.now_at().timestamp()
        own = OwnEnvelope(
            connector="CP-02/1", profile=((now_s, now_s + 3_600, 11_040),), id_token="van-7"
        )
        for name in ("van-7", "VAN-7"):
            with pytest.raises(NotAllowedError, match=rf"{name} is another token's by the site"):
                made.quote(replace(need(clock), id_token=name), DRONES)
            with pytest.raises(NotAllowedError, match="ask without id_token"):
                await made.hold(replace(own, id_token=name), DRONES)
        await confirmed(made, replace(need(clock), id_token="van-7"), VANS)
        await confirmed(made, replace(need(clock, kwh=2), connector=SECOND), DRONES)

    run_virtual(test())


def test_a_token_is_the_same_in_upper_and_in_lower_case() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        there = replace(need(clock, kwh=2), connector=SECOND, id_token="04A1")
        offer = made.quote(there, DRONES).offers[0]
        promise = await confirmed(made, replace(need(clock, from_h=0), id_token="04a1"), VANS)
        with pytest.raises(NotAllowedError, match="promised something in that time"):
            await made.hold(offer.id, DRONES)
        made.hear(started(FIRST, id_token="04A1"))
        await asyncio.sleep(1)
        assert made.book.promises[promise.id].state is PromiseState.ARRIVED

    run_virtual(test())


def test_more_than_a_token_may_claim_is_refused() -> None:
    async def test() -> None:
        clock = VirtualClock()
        critical = Need(energy_wh=1_000, criticality=Criticality.CRITICAL)
        with pytest.raises(NotAllowedError, match="may claim normal at most, not critical"):
            booking(clock).quote(critical, VANS)

    run_virtual(test())


def test_a_key_repeats_its_answer_and_refuses_another_request() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        offers = [made.quote(need(clock, from_h=h, until_h=h + 1), DRONES) for h in (1, 3)]
        key = UsedKey(key="k", digest="first words")
        held = await made.hold(offers[0].offers[0].id, DRONES, key=key)
        await made.confirm(held.id, DRONES)

        assert await made.hold(offers[0].offers[0].id, DRONES, key=key) == held
        other = UsedKey(key="k", digest="other words")
        with pytest.raises(KeyReusedError, match="a key of its own"):
            await made.hold(offers[1].offers[0].id, DRONES, key=other)
        assert len(made.reservations(DRONES)) == 1
        # The same word of another holder is another key.
        wanted = need(clock, from_h=5, until_h=6)
        assert await made.hold(made.quote(wanted, VANS).offers[0].id, VANS, key=key) != held

    run_virtual(test())


def test_nothing_is_answered_before_the_ledger_has_it() -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        feed = Feed(clock)
        made = booking(clock, ledger=paper, feed=feed)
        offer = made.quote(need(clock), DRONES).offers[0].id
        key = UsedKey(key="k", digest="d")
        holding = asyncio.gather(
            made.hold(offer, DRONES, key=key), made.hold(offer, DRONES, key=key)
        )
        await asyncio.sleep(1)
        assert not holding.done()
        assert paper.memory.promises == {}
        assert await feed.wait_newer(0, within_s=0) == ()

        paper.commit()
        first, second = await holding
        assert first == second == paper.memory.promises[first.id].promise
        (told,) = await feed.wait_newer(0, within_s=0)
        assert (told.subject, told.data["state"]) == (first.id, "held")

    run_virtual(test())


def test_a_ledger_that_takes_nothing_promises_nothing() -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        made = booking(clock, ledger=paper)
        offer, key = made.quote(need(clock), DRONES).offers[0].id, UsedKey(key="k", digest="d")
        with pytest.raises(NotDurableError, match="the same idempotency key"):
            await made.hold(offer, DRONES, key=key)
        paper.commit()
        assert (await made.hold(offer, DRONES, key=key)).state is PromiseState.HELD

    run_virtual(test())


@pytest.mark.parametrize("acts", range(4))
def test_after_a_crash_everything_that_was_answered_stands(acts: int) -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        made = booking(clock, ledger=paper)
        key = UsedKey(key="k", digest="d")
        answered: list[Reservation] = []

        async def act() -> None:
            offer = made.quote(need(clock), DRONES).offers[0].id
            answered.append(await made.hold(offer, DRONES, key=key))
            answered.append(await made.confirm(answered[0].id, DRONES))
            answered.append(await made.cancel(answered[0].id, DRONES))

        acting = asyncio.ensure_future(act())  # noqa: TID251 - the test ends it
        for _ in range(acts):
            await asyncio.sleep(0.1)
            paper.commit()
        await asyncio.sleep(0.1)
        acting.cancel()
        again = booking(clock, memory=paper.memory)

        assert len(answered) == acts
        assert again.reservations(DRONES) == tuple(answered[-1:])
        is_open = acts in (1, 2)
        assert again.book.room.left_ma.min() == LEFT_MA - 32_000 * is_open
        assert again.book.version >= int(clock.now_at().timestamp())
        if answered:
            assert await again.hold("whatever it was", DRONES, key=key) == answered[0]

    run_virtual(test())


def test_a_promise_whose_connector_is_gone_from_the_site_is_cancelled() -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        made = booking(clock, ledger=paper, stations=2)
        wanted = Need(energy_wh=5_000, connector=SECOND)
        holding = asyncio.gather(made.hold(made.quote(wanted, DRONES).offers[0].id, DRONES))
        await asyncio.sleep(0)
        paper.commit()
        await holding
        again = booking(clock, memory=paper.memory, stations=1)

        (orphan,) = again.reservations(DRONES)
        assert orphan.state is PromiseState.CANCELLED
        assert orphan.cause == "CP-02/1 is no longer in the site file"
        assert again.book.room.left_ma.min() == LEFT_MA

    run_virtual(test())


def started(connector: ConnectorRef, id_token: str | None = None) -> TransactionStarted:
    return TransactionStarted(
        at_s=0.0, connector=connector, transaction=TransactionId("t"), id_token=id_token
    )


def metered(
    connector: ConnectorRef,
    at_s: float,
    *,
    energy_wh: float | None = None,
    power_w: float | None = None,
) -> ConnectorMetered:
    return ConnectorMetered(at_s=at_s, connector=connector, energy_wh=energy_wh, power_w=power_w)


@pytest.mark.parametrize(
    ("delivered_wh", "state"), [(19_700, PromiseState.FULFILLED), (9_000, PromiseState.BROKEN)]
)
def test_a_promise_is_closed_by_what_was_delivered(delivered_wh: int, state: PromiseState) -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        promise = await confirmed(made, need(clock))
        made.hear(metered(FIRST, 0.0, energy_wh=1_000_000))
        await clock.sleep_s(1_800)
        made.hear(started(FIRST))
        assert (await made.reservation(promise.id, DRONES)).state is PromiseState.CONFIRMED
        await clock.sleep_s(1_801)
        now = await made.reservation(promise.id, DRONES)
        assert now.state is PromiseState.ARRIVED
        for part in (0.5, 1.0):
            shown_wh = 1_000_000 + part * delivered_wh
            made.hear(metered(FIRST, 7_200.0 * part, energy_wh=shown_wh))
        await clock.sleep_s(2 * 3_600)

        closed = await made.reservation(promise.id, DRONES)
        assert (closed.state, closed.delivered_wh) == (state, delivered_wh)
        assert made.book.room.left_ma.min() == LEFT_MA

    run_virtual(test())


def test_a_station_without_an_energy_register_is_counted_by_its_power() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        promise = await confirmed(made, need(clock, from_h=0.001, until_h=2, kwh=20))
        await clock.sleep_s(10)
        made.hear(started(FIRST))
        assert made.book.promises[promise.id].state is PromiseState.ARRIVED
        for gap_s in (0, 600, 600, 2_400):
            await clock.sleep_s(gap_s)
            made.hear(metered(FIRST, clock.monotonic_s(), power_w=12_000))

        # 10 min, 10 min, and of a long gap a quarter of an hour.
        assert made.book.promises[promise.id].delivered_wh == pytest.approx(7_000)

    run_virtual(test())


def test_a_vehicle_is_known_by_its_token_and_one_that_does_not_come_is_no_show() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        wanted = Need(
            arrive_at=clock.now_at() + timedelta(hours=1),
            depart_at=clock.now_at() + timedelta(hours=2),
            energy_wh=5_000,
            connector=FIRST,
            id_token="drone-7",
        )
        promise = await confirmed(made, wanted)
        made.hear(started(FIRST, "somebody-else"))
        await clock.sleep_s(3_700)
        assert made.book.promises[promise.id].state is PromiseState.CONFIRMED
        await clock.sleep_s(3_600)
        closed = await made.reservation(promise.id, DRONES)
        cause = "another vehicle was at CP-01/1 in its time"
        assert (closed.state, closed.cause) == (PromiseState.NO_SHOW, cause)

        again = await confirmed(made, need(clock, from_h=1.5, until_h=2, kwh=5))
        await clock.sleep_s(3_600)
        made.hear(TransactionEnded(at_s=0.0, connector=FIRST, transaction=TransactionId("t")))
        made.hear(started(FIRST, "drone-7"))
        await clock.sleep_s(1_801)
        assert made.book.promises[again.id].state is PromiseState.ARRIVED

    run_virtual(test())


def test_what_is_said_to_bind_is_what_takes_most_not_what_leaves_least_for_a_moment() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock, stations=4)
        for station, from_h, kwh in (
            ("CP-02", 1.0, 22.0),
            ("CP-03", 2.0, 22.0),
            ("CP-04", 2.0, 5.5),
        ):
            wanted = need(clock, from_h=from_h, until_h=from_h + 1.0, kwh=kwh)
            connector = ConnectorRef(StationId(station), 1)
            await confirmed(made, replace(wanted, connector=connector))
        two_seconds_h = 2 / 3_600
        for until_h in (2.0, 2.0 + two_seconds_h):
            said = made.quote(need(clock, until_h=until_h), VANS).reason
            assert "circuit carpark leaves 8.0 A on L1 from 09:00 to 09:59" in said

    run_virtual(test())


def test_a_vehicle_that_leaves_early_frees_its_room_and_is_told_apart() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        promise = await confirmed(made, need(clock, from_h=0.001, until_h=4))
        made.hear(started(FIRST))
        await clock.sleep_s(60)
        assert made.book.promises[promise.id].state is PromiseState.ARRIVED
        made.hear(TransactionEnded(at_s=0.0, connector=FIRST, transaction=TransactionId("t")))
        await clock.sleep_s(RETURNS_WITHIN_S - 1)
        assert promise.id in made.book.promises
        await clock.sleep_s(2)

        closed = await made.reservation(promise.id, DRONES)
        assert (closed.state, closed.cause) == (
            PromiseState.BROKEN,
            "the vehicle left early; 0.0 kWh of 20.0 kWh were delivered",
        )
        assert made.book.room.left_ma.min() == LEFT_MA

    run_virtual(test())


def test_what_is_delivered_is_counted_on_after_a_restart() -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        made = booking(clock, ledger=paper)
        acting = asyncio.gather(confirmed(made, need(clock, from_h=0.001, until_h=2)))
        for _ in range(3):
            await asyncio.sleep(0)
            paper.commit()
        (promise,) = await acting
        made.hear(metered(FIRST, 0.0, energy_wh=500))
        made.hear(started(FIRST))
        await clock.sleep_s(900)
        assert made.book.promises[promise.id].state is PromiseState.ARRIVED
        made.hear(metered(FIRST, 900.0, energy_wh=4_500))
        paper.commit()
        await clock.sleep_s(600)

        again = booking(clock, memory=paper.memory)
        again.hear(started(FIRST))
        again.hear(metered(FIRST, 0.0, energy_wh=6_000))
        assert again.book.promises[promise.id].delivered_wh == 5_500

    run_virtual(test())


def test_everything_you_have_holds_only_what_must_be() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        greedy = Need(
            depart_at=clock.now_at() + timedelta(hours=2),
            objective=Objective.FASTEST,
            min_energy_wh=10_000,
            connector=FIRST,
        )
        offer = made.quote(greedy, DRONES).offers[0]
        # Two hours at 32 A on three phases, less the 11 s of its start.
        assert offer.offer.energy_wh == pytest.approx(22_080 * (2 - 11 / 3_600))
        assert 10_000 <= offer.guaranteed_wh < 10_200
        await made.hold(offer.id, DRONES)
        # The floor takes 7.3 A; the rest stays everybody's.
        assert made.book.room.left_ma.min() == LEFT_MA - 7_300

    run_virtual(test())


def test_an_envelope_of_one_s_own_is_held_where_it_fits() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        now_s = clock.now_at().timestamp()
        own = OwnEnvelope(
            connector="CP-01/1",
            profile=(
                (now_s + 3_600, now_s + 5_400, 11_040),
                (now_s + 5_400, now_s + 7_200, 0),
                (now_s + 7_200, now_s + 9_000, 22_080),
            ),
        )
        held = await made.hold(own, VANS)
        # Less the 11 s of its start, at 16 A, and of the one after the pause, at 32 A.
        assert (held.energy_wh, held.state) == (16_560 - 102, PromiseState.HELD)
        assert [s.current_ma for s in held.envelope] == [16_000, 0, 32_000]
        with pytest.raises(NoLongerFitsError):
            await made.hold(own, VANS)
        too_much = OwnEnvelope(connector="CP-02/1", profile=((now_s + 60, now_s + 90, 40_000),))
        with pytest.raises(AskError, match="gives 4140 to 22080 W or nothing"):
            await made.hold(too_much, VANS)

    run_virtual(test())


def test_a_circuit_may_be_drawn_from_plainly_more_than_once() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        kitchen = Need(
            arrive_at=clock.now_at() + timedelta(hours=4),
            depart_at=clock.now_at() + timedelta(hours=4, minutes=30),
            energy_wh=5_000,
            max_power_w=12_000,
            circuit=CARPARK,
        )
        for _ in range(2):
            await confirmed(made, kitchen)
        assert made.quote(kitchen, DRONES).verdict is Verdict.PARTLY

    run_virtual(test())


def over_commits(promises: Iterable[Reservation]) -> int:
    """Return at how many instants open promises take more than there is, told from them alone."""
    changes = [
        change
        for promise in promises
        if promise.state.is_open
        for stretch in promise.envelope
        for change in (
            (stretch.from_at_s, stretch.current_ma),
            (stretch.until_at_s, -stretch.current_ma),
        )
    ]
    # Where one ends as another begins, the end comes first.
    taken_ma = accumulate(change_ma for _, change_ma in sorted(changes))
    return sum(ma > LEFT_MA for ma in taken_ma)


async def race(made: Booking, clock: VirtualClock, paper: PaperLedger, *, acts: int) -> int:
    """Let four writers do what they like; return how many instants were over-committed."""
    found = 0

    async def writer(seed: int) -> None:
        nonlocal found
        chance, by = random.Random(seed), (DRONES, VANS)[seed % 2]
        quotes: list[QuoteAnswer] = []
        mine: list[str] = []
        for number in range(acts):
            kind = chance.random()
            try:
                if kind < 0.3 or not quotes:
                    from_h = chance.uniform(0.01, 10)
                    until_h = from_h + chance.uniform(0.2, 3)
                    wanted = Need(
                        arrive_at=clock.now_at() + timedelta(hours=from_h),
                        depart_at=clock.now_at() + timedelta(hours=until_h),
                        energy_wh=chance.randrange(500, 30_000),
                    )
                    quotes = [*quotes[-4:], made.quote(wanted, by)]
                elif kind < 0.6:
                    offers = chance.choice(quotes).offers
                    if offers:
                        instead_of = mine[-1] if mine and kind < 0.35 else None
                        offer = chance.choice(offers).id
                        mine.append((await made.hold(offer, by, replaces=instead_of)).id)
                elif mine:
                    act = made.confirm if kind < 0.75 else made.cancel
                    await act(chance.choice(mine[-8:]), by)
            except RefusedError:
                pass
            if number % 50 == 0:
                found += over_commits(made.book.promises.values())
                await clock.sleep_s(chance.uniform(0, 60))

    async def disk() -> None:
        while True:
            await asyncio.sleep(0.5)
            paper.commit()

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(disk())
        writers = [tasks.create_task(writer(seed)) for seed in range(4)]
        await asyncio.wait(writers)
        writing.cancel()
    return found


def run_race(acts: int) -> None:
    async def test() -> None:
        clock, paper = VirtualClock(), PaperLedger(asyncio.get_running_loop())
        made = booking(clock, ledger=paper, stations=6)

        assert await race(made, clock, paper, acts=acts) == 0
        assert made.counters["reservations confirmed"] > acts / 100
        assert made.counters["holds refused"] > 0
        again = booking(clock, memory=paper.memory, stations=6)
        assert again.book.promises == made.book.promises

    run_virtual(test())


def test_four_writers_that_race_never_promise_more_than_there_is() -> None:
    run_race(25_000)


@pytest.mark.soak
def test_four_writers_that_race_for_long_never_promise_more_than_there_is() -> None:
    run_race(100_000)
