"""What a vehicle is offered is what it will take: it starts, and takes less as it fills up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.acceptance import Acceptance
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.needs import Criticality, Need, StateOfCharge
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.answering import answer
from gateway.planning.answers import QuoteAnswer
from gateway.planning.asking import Places, Vehicles, asked_of
from gateway.planning.book import opened
from gateway.planning.circumstances import Circumstances
from gateway.planning.coming import coming
from gateway.planning.following import Following
from gateway.planning.grid import even_grid
from gateway.planning.problem import Rectangle, delivered_wh
from gateway.planning.promising import as_it_is_followed, of_offer
from gateway.planning.quote import Ask, Verdict, quote
from gateway.planning.room import Outlet, Room
from gateway.planning.shifting import as_demand
from tests.support.small_site import small_site

HOUR_S = 3_600.0
GRID = even_grid(48, 900.0)
CAR = Outlet(
    key="CP-01/1",
    rows=(0, 1, 2),
    phase_count=3,
    voltage_v=230.0,
    max_ma=16_000,
    settling_s=30.0,
    ramp_ma_per_s=400.0,
    taper=((6_000.0, 10_000), (9_000.0, 6_000)),
)


def room(*more_base_ma: int, left_ma: int = 32_000) -> Room:
    """Return a room with a scenario for each such rise of base beside what is planned."""
    paths = np.array([[ma] * GRID.slot_count for ma in more_base_ma])
    return Room(
        version=1,
        grid=GRID,
        left_ma=np.full((3, GRID.slot_count), left_ma),
        base_paths_ma=dict.fromkeys(range(3), paths) if more_base_ma else {},
    )


def test_a_quote_offers_what_a_plan_of_the_same_would_give() -> None:
    ask = Ask(from_s=0.0, until_s=2 * HOUR_S, energy_wh=None)
    offer = quote(room(), CAR, ask).offers[0]
    planned = delivered_wh(as_demand(CAR, ask), [16_000] * 8, GRID.hours[:8])

    assert offer.energy_wh == pytest.approx(planned)
    assert offer.energy_wh < 0.75 * 16 * 0.69 * 1_000 * 2
    # What is held for it goes down with what it takes.
    assert [r.current_ma for r in offer.profile] == [16_000, 10_000, 6_000]


def test_where_base_may_be_higher_it_fills_up_later_and_no_offer_forgets_it() -> None:
    ask = Ask(from_s=0.0, until_s=2 * HOUR_S, energy_wh=None, confidence_ratio=1.0)
    sure = quote(room(0, 24_000), CAR, ask).offers[0]
    eight_a = delivered_wh(replace(as_demand(CAR, ask), max_ma=8_000), [8_000] * 8, GRID.hours[:8])

    assert sure.energy_wh == pytest.approx(eight_a, rel=0.002)


def test_nothing_starts_before_there_is_anything_for_it() -> None:
    later = room()
    later.left_ma[:, :4] = 0
    begins_s, _ = coming(CAR, later.outlook(CAR), 600.0)
    offer = quote(later, CAR, Ask(from_s=600.0, until_s=2 * HOUR_S, energy_wh=2_000.0)).offers[0]

    assert begins_s == HOUR_S + 30.0 + 20.0
    assert (offer.start_s, offer.begins_s) == (600.0, HOUR_S)
    assert offer.finish_s == pytest.approx(begins_s + 2_000 / 11_040 * HOUR_S)


def test_connectors_that_are_alike_keep_their_own_starts() -> None:
    slow, quick = replace(CAR, taper=()), replace(CAR, taper=(), settling_s=0.0)
    there = room()
    there.left_ma[:, 4:8] = 0  # An hour of nothing, after which each starts anew.

    def gives_wh(car: Outlet) -> float:
        begins_s, outlook = coming(car, there.outlook(car), 0.0)
        return outlook.energy_within_wh(begins_s, 3 * HOUR_S)

    assert there.outlook(slow) is there.outlook(quick)
    for car in (slow, quick, slow):
        assert gives_wh(car) == pytest.approx(11_040 * 2 * (1 - car.start_s / HOUR_S))


def test_what_binds_is_the_same_where_starts_cut_the_slots() -> None:
    there = room(left_ma=9_000)
    there.left_ma[0, 2:6] = 7_000
    there.left_ma[:, 6:8] = 0
    there.left_ma[2, 8:10] = 8_000
    plain = there.outlook(CAR).binding(0.0, 3 * HOUR_S)
    _, started = coming(replace(CAR, taper=()), there.outlook(CAR), 0.0)
    _, filling = coming(CAR, there.outlook(CAR), 450.0)

    assert [bound.row for bound in plain] == [0, 0, 0, 2, 0]
    assert started.grid.slot_count == GRID.slot_count + 1
    assert started.binding(0.0, 3 * HOUR_S) == filling.binding(0.0, 3 * HOUR_S) == plain


def by_the_planner_wh(car: Outlet, profile: Sequence[Rectangle], until_s: float) -> float:
    """Return what a vehicle takes of a profile by the planner's model, each start counted."""
    edges_s = sorted({until_s, *(at_s for part in profile for at_s in (part.from_s, part.until_s))})
    currents_ma = [
        next((part.current_ma for part in profile if part.from_s <= begins_s < part.until_s), 0)
        for begins_s in edges_s[:-1]
    ]
    hours = [(b - a) / HOUR_S for a, b in pairwise(edges_s)]
    ask = Ask(from_s=0.0, until_s=until_s, energy_wh=None)
    return delivered_wh(as_demand(car, ask), currents_ma, hours)


@given(
    left_ma=st.lists(st.sampled_from((0, 8_000, 16_000)), min_size=2, max_size=24),
    settling_s=st.sampled_from((0.0, 8.0, 300.0)),
    from_s=st.sampled_from((0.0, 450.0)),
    wants_wh=st.sampled_from((None, 2_000.0, 5_000.0)),
)
def test_no_start_after_a_gap_is_forgotten_in_an_offer(
    left_ma: list[int], settling_s: float, from_s: float, wants_wh: float | None
) -> None:
    car = replace(CAR, settling_s=settling_s, taper=())
    there = room()
    there.left_ma[:, : len(left_ma)] = left_ma
    ask = Ask(from_s=from_s, until_s=len(left_ma) * 900.0, energy_wh=wants_wh)
    for offer in quote(there, car, ask).offers:
        planned_wh = by_the_planner_wh(car, offer.profile, offer.finish_s)
        # A start is taken to be at full current: at half of it the ramp is as much shorter.
        half_ramps_wh = len(left_ma) * 8.0 * 0.69 * 1_000 * 10.0 / HOUR_S

        assert planned_wh - half_ramps_wh - 1.0 < offer.energy_wh < planned_wh + 1.0


def test_a_scenario_in_which_it_pauses_gives_it_less_by_a_start() -> None:
    there, car = room(0, 0), replace(CAR, taper=())
    for paths_ma in there.base_paths_ma.values():
        paths_ma[1, 4:6] = 32_000
    ask = Ask(from_s=0.0, until_s=4 * HOUR_S, energy_wh=None, confidence_ratio=1.0)
    sure = quote(there, car, ask).offers[0]

    # An hour, half an hour of nothing, and again: each start is 30 s and half a ramp of 40 s.
    assert sure.energy_wh == pytest.approx(11_040 * (3.5 - 2 * 50.0 / HOUR_S))


def test_who_draws_already_starts_anew_only_after_a_gap() -> None:
    there, car = room(), replace(CAR, taper=(), is_drawing=True)
    there.left_ma[:, 4:6] = 0
    goes_on = quote(there, car, Ask(from_s=600.0, until_s=HOUR_S, energy_wh=None)).offers[0]
    again = quote(there, car, Ask(from_s=600.0, until_s=2 * HOUR_S, energy_wh=None)).offers[0]
    in_gap = quote(there, car, Ask(from_s=4_000.0, until_s=2 * HOUR_S, energy_wh=None)).offers[0]

    assert goes_on.energy_wh == pytest.approx(11_040 * 3_000 / HOUR_S)
    assert again.energy_wh == pytest.approx(11_040 * (3_000 + 1_800 - 50) / HOUR_S)
    assert in_gap.energy_wh == pytest.approx(11_040 * (1_800 - 50) / HOUR_S)


@pytest.mark.parametrize(("times", "on_s", "off_s"), [(1, 60, 0), (5, 60, 60), (99, 30, 30)])
def test_of_an_envelope_with_pauses_as_much_is_promised_as_is_taken(
    times: int, on_s: int, off_s: int
) -> None:
    now_s = NOON.timestamp()
    book = opened(GRID, np.full((3, GRID.slot_count), 60_000), from_at_s=now_s)
    car = replace(CAR, settling_s=8.0, ramp_ma_per_s=4_000.0, taper=())
    parts = [
        Rectangle(from_s=at * (on_s + off_s), until_s=at * (on_s + off_s) + on_s, current_ma=16_000)
        for at in range(times)
    ]
    promise = Reservation(
        id="own",
        place=car.key,
        rows=car.rows,
        envelope=tuple(
            Stretch(
                from_at_s=now_s + part.from_s,
                until_at_s=now_s + part.until_s,
                current_ma=part.current_ma,
            )
            for part in parts
        ),
        energy_wh=100_000,
        guaranteed_wh=100_000,
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.HELD,
        hold_until_at_s=now_s + 60.0,
    )
    held = as_it_is_followed(promise, book, car, 0.9, now_s=now_s)
    planned_wh = by_the_planner_wh(car, parts, parts[-1].until_s)

    assert held.energy_wh == pytest.approx(planned_wh, abs=1.0)
    assert planned_wh < times * on_s / HOUR_S * 11_040 * 0.85


# Asked in a vehicle's own words.

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PLACES = Places.of(small_site(1))
VAN = Acceptance(max_ma=16_000, taper=((6_000.0, 10_000), (2_000.0, 4_000)))
KNOWN = Vehicles(
    acceptance=lambda token: VAN if token == "van" else Acceptance(),
    following=lambda _: Following(settling_s=60.0),
)


def told(vehicles: Vehicles, *, is_known: bool = True) -> QuoteAnswer:
    """Return the answer to who wants the last 20 kWh of a battery within two hours."""
    need = Need(
        arrive_at=NOON,
        depart_at=NOON + timedelta(hours=2),
        soc=StateOfCharge(now_pct=60.0, target_pct=100.0, battery_wh=50_000),
        connector=ConnectorRef(StationId("CP-01"), 1),
        id_token="van" if is_known else None,
    )
    now_s = NOON.timestamp()
    book = opened(GRID, np.full((3, GRID.slot_count), 60_000), from_at_s=now_s)
    asked = asked_of(
        need,
        PLACES,
        from_at_s=now_s,
        now_s=now_s,
        end_s=now_s + GRID.edges_s[-1],
        vehicles=vehicles,
    )
    here = Circumstances(places=PLACES, now_s=now_s, zone=UTC, vehicles=vehicles)
    return answer(book, need, asked, quote_id="q", expires_at_s=now_s + 300.0, circumstances=here)


def test_who_is_known_to_fill_up_slowly_is_not_promised_it_fast() -> None:
    known, stranger = told(KNOWN), told(KNOWN, is_known=False)

    assert (known.verdict, stranger.verdict) == (Verdict.PARTLY, Verdict.YES)
    # 14 kWh at 11 kW, 4 at 6.9, and the rest at the least current, from a minute and more on.
    begins_s = 60.0 + 16_000 / (32_000 / 6) / 2
    slow_s = 2 * HOUR_S - begins_s - (14_000 / 11_040 + 4_000 / 6_900) * HOUR_S
    assert known.offers[0].offer.energy_wh == pytest.approx(18_000 + slow_s / HOUR_S * 4_140, 0.01)
    # What is promised of it is looked at again by how it fills up.
    held = of_offer(known.offers[0], known.need, name="r", holder="", hold_until_at_s=0.0)
    assert held.taper == known.offers[0].outlet.taper != ()
    assert "has not been seen" not in known.reason
    assert "above 80 % of its battery has not been seen yet" in stranger.reason
