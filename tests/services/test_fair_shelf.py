"""What is kept of many: one who hands in much takes nothing from another."""

from dataclasses import replace

import pytest

from gateway.domain.memory import PromiseKey, PromiseMemory
from gateway.domain.promises import PromiseState
from gateway.planning.answers import UnknownOfferError, UnknownReservationError, UsedKey
from gateway.services.fair_shelf import FairShelf
from gateway.services.feed import Feed
from gateway.services.promise_shelf import MAX_CLOSED, MAX_KEYS, PromiseShelf
from gateway.services.quote_shelf import MAX_QUOTES, QuoteShelf
from tests.services.test_booking import DRONES, VANS, booking, confirmed, need
from tests.support.virtual_time import VirtualClock, run_virtual


def test_who_has_most_loses_their_oldest_and_of_equals_whoever_hands_in() -> None:
    shelf = FairShelf[int](4)
    assert [shelf.put("vans", name, 1) for name in "ab"] == [None] * 2
    assert [shelf.put("drones", name, 2) for name in "abcd"] == [None, None, "a", "b"]
    assert shelf.put("drones", "d", 3) is None  # Said anew it is no other.
    assert [shelf.get("vans", name) for name in "abc"] == [1, 1, None]
    assert [shelf.get("drones", name) for name in "abcd"] == [None, None, 2, 3]
    assert shelf.put("vans", "c", 1) == "a"
    assert shelf.put("dock", "a", 4) == "b"
    assert shelf.get("nobody", "a") is None


def test_quotes_of_one_push_out_no_offer_of_another() -> None:
    async def test() -> None:
        clock = VirtualClock()
        shelf, quote = QuoteShelf(), booking(clock).quote(need(clock), VANS)
        offer, now_s = quote.offers[0], clock.now_at().timestamp()
        shelf.put(quote, VANS.name)
        shelf.put(quote, DRONES.name)
        for number in range(MAX_QUOTES):
            shelf.put(replace(quote, id=f"q{number}"), DRONES.name)

        assert shelf.find(offer.id, VANS, now_s=now_s) == (offer, quote.need)
        with pytest.raises(UnknownOfferError):
            shelf.find(offer.id, DRONES, now_s=now_s)

    run_virtual(test())


def test_keys_and_closed_reservations_of_one_push_out_none_of_another() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = booking(clock)
        mine = await confirmed(made, need(clock), VANS)
        key = UsedKey(key="k", digest="d")
        shelf = PromiseShelf(ledger=None, feed=Feed(clock))
        closed = replace(mine, state=PromiseState.CANCELLED)
        await shelf.write(closed, by=VANS, key=key)
        theirs = replace(closed, holder=DRONES.name)
        state, holder = PromiseState.HELD, DRONES.name
        keys = [
            PromiseKey(holder=holder, key=f"k{number}", digest="d", state=state)
            for number in range(MAX_KEYS + 1)
        ]
        memory = PromiseMemory(promise=replace(theirs, id="much"), keys=tuple(keys))
        shelf.take_up(memory)
        for number in range(MAX_CLOSED + 1):
            shelf.put(PromiseMemory(promise=replace(theirs, id=f"r{number}")))

        assert shelf.answered(VANS, key) == closed
        assert shelf.find(mine.id, VANS) == closed
        assert shelf.answered(DRONES, UsedKey(key="k0", digest="d")) is None
        with pytest.raises(UnknownReservationError):
            shelf.find("r0", DRONES)

    run_virtual(test())
