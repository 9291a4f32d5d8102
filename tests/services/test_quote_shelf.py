"""Which quotes are remembered: many of those that move nobody, few of those that rewrite promises."""

from datetime import UTC, datetime

import pytest

from gateway.domain.access import Access, Role
from gateway.domain.needs import Need
from gateway.planning.answers import OfferAnswer, QuoteAnswer, UnknownOfferError
from gateway.planning.giving_way import NOBODY, GivingWay
from gateway.planning.quote import Offer, Verdict, Way
from gateway.planning.room import Outlet
from gateway.services.quote_shelf import MAX_MOVING, QuoteShelf

NOW_S = datetime(2026, 1, 5, 8, tzinfo=UTC).timestamp()
DRONES, VANS = (Access(name=name, role=Role.VEHICLE_OPERATOR) for name in ("drones", "vans"))


def quote(name: str, gives_way: GivingWay) -> QuoteAnswer:
    outlet = Outlet(key="CP-01/1", rows=(0,), phase_count=1, voltage_v=230.0, max_ma=32_000)
    offer = Offer(
        way=Way.AS_ASKED,
        outlet=outlet,
        energy_wh=1_000.0,
        confidence_ratio=1.0,
        start_s=0.0,
        finish_s=600.0,
        profile=(),
        binding=(),
    )
    answer = OfferAnswer(
        id=f"{name}-1",
        offer=offer,
        guaranteed_wh=1_000.0,
        start_at_s=NOW_S,
        finish_at_s=NOW_S + 600,
        until_at_s=NOW_S + 600,
        profile=(),
        floor=(),
        why="",
        gives_way=gives_way,
    )
    return QuoteAnswer(
        id=name,
        need=Need(),
        version=1,
        from_at_s=NOW_S,
        expires_at_s=NOW_S + 300,
        verdict=Verdict.YES,
        reason="",
        offers=(answer,),
    )


def test_of_quotes_that_move_promises_the_newest_are_kept_and_of_others_many() -> None:
    shelf, moves = QuoteShelf(), GivingWay(envelopes={"van": ()})
    shelf.put(quote("theirs", moves), "vans")
    for at in range(2 * MAX_MOVING):
        shelf.put(quote(f"still-{at}", NOBODY), "drones")
        shelf.put(quote(f"moving-{at}", moves), "drones")

    assert shelf.find("theirs-1", VANS, now_s=NOW_S)[0].id == "theirs-1"
    for name in ("still-0", f"moving-{MAX_MOVING + 1}", f"moving-{2 * MAX_MOVING - 1}"):
        assert shelf.find(f"{name}-1", DRONES, now_s=NOW_S)[0].id == f"{name}-1"
    with pytest.raises(UnknownOfferError):
        shelf.find(f"moving-{MAX_MOVING}-1", DRONES, now_s=NOW_S)
