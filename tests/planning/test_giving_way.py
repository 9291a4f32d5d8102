"""Who gives way to a question: nobody if it can be, and never more than is said."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.needs import Criticality, Need, Objective
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.absence import Away
from gateway.planning.answering import answer
from gateway.planning.asking import Places, asked_of
from gateway.planning.book import Book, BookError, NoRoomError, become, hold, opened
from gateway.planning.charging import Charging, charging_of
from gateway.planning.circumstances import Circumstances
from gateway.planning.following import USUALLY
from gateway.planning.giving_way import Standing, told
from gateway.planning.greedy import greedy
from gateway.planning.grid import even_grid
from gateway.planning.moving import hold_moving, rearranging_of, rewritten, room_of
from gateway.planning.problem import Demand, Plan, Problem, delivered_wh
from gateway.planning.quote import Ask, Verdict, Way
from gateway.planning.rearranging import Rearranged, rearrange
from gateway.planning.room import Outlet, Room
from gateway.planning.shifting import shift
from tests.support.small_site import small_site

HOUR_S = 3_600.0
NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
NOW_S = NOW.timestamp()
SLOTS = 96
GRID = even_grid(SLOTS, 900.0)
ASKED = Outlet(key="asked", rows=(0, 1, 2), phase_count=3, voltage_v=230.0, max_ma=32_000)


def vehicle(key: str, **changes: object) -> Demand:
    car = Demand(
        key=key,
        place=key,
        rows=(0, 1, 2),
        phase_count=3,
        voltage_v=230.0,
        earliest_s=0.0,
        latest_s=8 * HOUR_S,
        energy_wh=22_080,
        max_ma=32_000,
    )
    return replace(car, **changes)  # type: ignore[arg-type]


def charging(left_ma: np.ndarray, *demands: Demand) -> Charging:
    rows = tuple(map(tuple, left_ma.tolist()))
    problem = Problem(grid=GRID, available_ma=rows, demands=demands)
    return charging_of(demands, greedy(problem), grid=GRID, begins_s=0.0)


def alike(limit_ma: int, rows: int = 3) -> np.ndarray:
    return np.full((rows, SLOTS), limit_ma, dtype=np.int64)


def book(limit_ma: int) -> Book:
    return opened(GRID, alike(limit_ma), from_at_s=NOW_S)


def ask(energy_wh: float, from_h: float, until_h: float) -> Ask:
    return Ask(from_s=from_h * HOUR_S, until_s=until_h * HOUR_S, energy_wh=energy_wh)


def standing(
    criticality: Criticality = Criticality.NORMAL, *, rearranged: Rearranged | None = None
) -> Standing:
    return Standing(rank=criticality.rank, rearranged=rearranged)


def thought_over(made: Book, there: Charging, asked: Ask, now_s: float) -> Rearranged | None:
    return rearrange(rearranging_of(made, there, ASKED, asked, now_s=now_s, time_limit_s=5.0))


def test_nobody_gives_way_where_there_is_room() -> None:
    there = charging(alike(40_000), vehicle("van"))
    said = told(book(40_000), ASKED, ask(5_520, 0, 1), (), charging=there, standing=standing())

    assert (said.quote.verdict, said.gives_way.said()) == (Verdict.YES, "")


@pytest.mark.parametrize("settling_s", [0.0, 40.0])
def test_who_can_wait_waits_and_gets_no_less(settling_s: float) -> None:
    there = charging(alike(32_000), vehicle("van", settling_s=settling_s))
    said = told(book(32_000), ASKED, ask(22_080, 0, 1), (), charging=there, standing=standing())

    assert (said.quote.verdict, said.gives_way.moved) == (Verdict.YES, ("van",))
    assert said.gives_way.said() == "it moves the charging of 1 vehicle in time"


def test_for_everything_there_is_others_wait_only_for_the_least_of_it() -> None:
    there = charging(alike(32_000), vehicle("van"))
    made = book(32_000)
    everything = Ask(from_s=0.0, until_s=HOUR_S, energy_wh=None, min_energy_wh=11_000)
    said = told(made, ASKED, everything, (), charging=there, standing=standing())

    assert (said.quote.verdict, said.gives_way.moved) == (Verdict.YES, ("van",))
    assert said.quote.offers[0].energy_wh == pytest.approx(11_040)
    modest = replace(everything, min_energy_wh=0.0, until_s=2 * HOUR_S)
    said = told(made, ASKED, modest, (), charging=there, standing=standing())
    assert (said.quote.verdict, said.gives_way.moved) == (Verdict.YES, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"latest_s": HOUR_S},
        {"objective": Objective.FASTEST},
        {"energy_wh": None},
        {"taper": ((10_000.0, 16_000),)},
    ],
)
def test_who_cannot_wait_is_not_moved(changes: dict[str, object]) -> None:
    there = charging(alike(32_000), vehicle("van", **changes))
    said = told(book(32_000), ASKED, ask(22_080, 0, 1), (), charging=there, standing=standing())

    assert said.quote.verdict is not Verdict.YES
    assert said.gives_way.moved == ()
    assert {Way.EARLIEST_FINISH, Way.ANOTHER_START} <= {o.way for o in said.quote.offers}


def test_who_matters_less_gives_way_and_it_is_said() -> None:
    van = vehicle("van", latest_s=HOUR_S, rank=Criticality.OPPORTUNISTIC.rank)
    there = charging(alike(32_000), van)
    said = told(book(32_000), ASKED, ask(22_080, 0, 1), (), charging=there, standing=standing())

    assert (said.quote.verdict, said.gives_way.less) == (Verdict.YES, ("van",))
    alike_class = charging(alike(32_000), replace(van, rank=Criticality.NORMAL.rank))
    said = told(
        book(32_000), ASKED, ask(22_080, 0, 1), (), charging=alike_class, standing=standing()
    )
    assert said.quote.verdict is Verdict.NO


def test_another_connector_for_which_nobody_gives_way_is_always_told() -> None:
    van = vehicle("van", latest_s=HOUR_S, rank=Criticality.OPPORTUNISTIC.rank)
    made = opened(GRID, np.vstack((alike(32_000), alike(63_000))), from_at_s=NOW_S)
    there = charging(made.room.left_ma, van)
    large = replace(ASKED, key="large", rows=(3, 4, 5), max_ma=63_000)
    # More than the connector gives, whoever gives way.
    wanted = ask(30_000, 0, 1)
    others = iter([(large, wanted)])
    said = told(made, ASKED, wanted, others, charging=there, standing=standing())

    assert (said.quote.verdict, said.gives_way.less) == (Verdict.PARTLY, ("van",))
    assert [o.outlet.key for o in said.quote.offers if o.way is Way.ANOTHER_OUTLET] == ["large"]


def promise(
    name: str, from_h: float, until_h: float, current_ma: int, **changes: object
) -> Reservation:
    """Return a promise that is there from the beginning to 8 h, and charges in one stretch."""
    edges = (0.0, from_h, until_h, 8.0)
    currents = (0, current_ma, 0)
    envelope = tuple(
        Stretch(from_at_s=NOW_S + a * HOUR_S, until_at_s=NOW_S + b * HOUR_S, current_ma=ma)
        for a, b, ma in zip(edges, edges[1:], currents, strict=False)
        if b > a
    )
    made = Reservation(
        id=name,
        place=name,
        rows=(0, 1, 2),
        envelope=envelope,
        energy_wh=int((until_h - from_h) * current_ma * 0.69),
        guaranteed_wh=0,
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.HELD,
        hold_until_at_s=NOW_S + 120,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_is_critical_moves_promises_that_may_be_moved_and_no_other() -> None:
    made, asked = hold(book(32_000), promise("bus", 0, 1, 32_000)), ask(22_080, 0, 1)
    critical = standing(
        Criticality.CRITICAL, rearranged=thought_over(made, Charging(), asked, NOW_S)
    )
    said = told(made, ASKED, asked, (), charging=Charging(), standing=critical)

    assert said.quote.verdict is Verdict.YES
    assert set(said.gives_way.envelopes) == {"bus"}
    new = promise("drone", 0, 1, 32_000)
    held = hold_moving(made, new, said.gives_way.envelopes, now_s=NOW_S)
    assert held.room.left_ma.min() >= 0
    after = rewritten(made, said.gives_way.envelopes)
    assert (after.room.left_ma[:, :4] == 32_000).all()
    fixed = hold(book(32_000), promise("bus", 0, 1, 32_000, is_fixed=True))
    assert thought_over(fixed, Charging(), asked, NOW_S) is None


@pytest.mark.parametrize("from_h", [0.05, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("kwh", [0.5, 6, 15, 21.9])
def test_promises_make_room_in_windows_that_begin_and_end_within_slots(
    from_h: float, kwh: float
) -> None:
    made = hold(book(32_000), promise("bus", 0, 3, 32_000))
    asked = ask(kwh * 1_000, from_h, from_h + 1)
    found = thought_over(made, Charging(), asked, NOW_S)
    assert found is not None
    critical = standing(Criticality.CRITICAL, rearranged=found)
    said = told(made, ASKED, asked, (), charging=Charging(), standing=critical)

    assert said.quote.verdict is Verdict.YES
    drone = promise("drone", from_h, from_h + 1, 32_000)
    envelope = tuple(
        Stretch(from_at_s=NOW_S + p.from_s, until_at_s=NOW_S + p.until_s, current_ma=p.current_ma)
        for p in said.quote.offers[0].profile
    )
    new = replace(drone, envelope=envelope)
    assert hold_moving(made, new, found.envelopes, now_s=NOW_S).room.left_ma.min() >= 0


def test_no_more_promises_are_moved_than_have_to_be() -> None:
    made = book(32_000)
    first = promise("first", 0, 1, 32_000)
    for one in (
        replace(first, envelope=(*first.envelope[:1], still(1, 2))),
        promise("second", 1, 2, 32_000),
        promise("third", 6, 8, 32_000),
    ):
        made = hold(made, one)
    # Who is in the way can only go where another is, and that one later.
    found = thought_over(made, Charging(), ask(22_080, 0, 1), NOW_S)

    assert found is not None
    assert set(found.envelopes) == {"first", "second"}


def still(from_h: float, until_h: float) -> Stretch:
    return Stretch(
        from_at_s=NOW_S + from_h * HOUR_S, until_at_s=NOW_S + until_h * HOUR_S, current_ma=0
    )


def test_a_move_that_no_longer_can_be_is_refused() -> None:
    made = hold(book(32_000), promise("bus", 0, 1, 32_000))
    moved = {"bus": promise("bus", 4, 5, 32_000).envelope}
    new = promise("drone", 0, 1, 32_000)

    assert hold_moving(made, new, moved, now_s=NOW_S).promises["bus"].envelope == moved["bus"]
    rival = hold(made, promise("rival", 4, 5, 6_000))
    with pytest.raises(NoRoomError):
        hold_moving(rival, new, moved, now_s=NOW_S)
    for other in (
        promise("bus", 4, 5, 31_000),
        promise("bus", 4, 4.9, 32_000),
        promise("bus", 4, 5, 33_000),
    ):
        with pytest.raises(BookError, match="can no longer be moved"):
            hold_moving(made, new, {"bus": other.envelope}, now_s=NOW_S)
    gone = become(made, "bus", PromiseState.CANCELLED)
    assert hold_moving(gone, new, moved, now_s=NOW_S).promises["bus"].state.is_open is False


def car_park(seed: int, limit_ma: int) -> tuple[np.ndarray, tuple[Demand, ...]]:
    """Return rows of a supply and two boards, and vehicles on one and three phases of them."""
    chance = random.Random(seed)
    demands = []
    for at in range(chance.randint(1, 12)):
        phases = (0, 1, 2) if chance.random() < 0.5 else (at % 3,)
        from_h = chance.uniform(0, 12)
        demands.append(
            vehicle(
                f"{at}",
                place=f"{at % 10}",
                rows=tuple(3 * circuit + p for circuit in (1 + at % 2, 0) for p in phases),
                phase_count=len(phases),
                earliest_s=from_h * HOUR_S,
                latest_s=(from_h + chance.uniform(1, 8)) * HOUR_S,
                energy_wh=chance.choice((None, 3_000, 9_000, 30_000)),
                max_ma=chance.choice((10_000, 16_000, 32_000)),
                rank=chance.randrange(4),
                settling_s=chance.choice((0.0, 8.0, 60.0)),
                ramp_ma_per_s=chance.choice((5_000.0, 100.0)),
                is_drawing=chance.random() < 0.3,
            )
        )
    left_ma = alike(limit_ma, rows=9)
    left_ma[:, 20:30] -= chance.choice((0, 10_000))
    left_ma = np.maximum(left_ma, 0)
    return left_ma, tuple(demands)


def energies_wh(plan: Plan, demands: tuple[Demand, ...]) -> list[float]:
    """Return the energy of each within its window, at currents it can take, one at a place."""
    hours = plan.grid.hours
    taken = set()
    found = []
    for demand, of_slots in zip(demands, plan.current_ma, strict=True):
        window = plan.grid.slots_within(demand.earliest_s, demand.latest_s)
        for slot, ma in enumerate(of_slots):
            if ma:
                assert slot in window
                assert demand.min_ma <= ma <= demand.max_ma
                assert ma % demand.step_ma == 0
                assert (demand.place, slot) not in taken
                taken.add((demand.place, slot))
        found.append(delivered_wh(replace(demand, energy_wh=None), of_slots, hours))
    return found


@given(
    seed=st.integers(0, 10_000),
    limit_ma=st.integers(6_000, 90_000),
    from_h=st.floats(0, 20),
    long_h=st.floats(0.05, 4),
    energy_wh=st.none() | st.floats(100, 40_000),
)
# Who made way in half a slot went into a whole one.
@example(seed=0, limit_ma=49_400, from_h=3.875, long_h=4.0, energy_wh=None)
def test_nobody_who_is_moved_gets_less_and_no_row_has_more(
    seed: int, limit_ma: int, from_h: float, long_h: float, energy_wh: float | None
) -> None:
    left_ma, demands = car_park(seed, limit_ma)
    room = Room(version=1, grid=GRID, left_ma=left_ma)
    there = charging(left_ma, *demands)
    outlet = replace(ASKED, rows=(0, 1, 2, 3, 4, 5))
    asked = Ask(from_s=from_h * HOUR_S, until_s=(from_h + long_h) * HOUR_S, energy_wh=energy_wh)
    before = there.beside(room).outlook(outlet).energy_within_wh(asked.from_s, asked.until_s)
    shifted = shift(room, there, outlet, asked)
    after = shifted.room.outlook(outlet).energy_within_wh(asked.from_s, asked.until_s)

    plans = [
        Plan(
            grid=GRID,
            current_ma=tuple(map(tuple, c.current_ma.tolist())),
            delivered_wh=(0.0,) * len(demands),
        )
        for c in (there, shifted.charging)
    ]
    gets_wh = [energies_wh(plan, demands) for plan in plans]
    for demand, then, now in zip(demands, *gets_wh, strict=True):
        assert now >= (then if demand.energy_wh is None else min(then, demand.energy_wh)) - 1.0
    assert (shifted.charging.beside(room).left_ma == shifted.room.left_ma).all()
    assert shifted.room.left_ma.min() >= 0
    if energy_wh is None or before < energy_wh:
        assert after >= min(before, energy_wh or before) - 1e-6
    if not shifted.moved:
        assert (shifted.room.left_ma == there.beside(room).left_ma).all()


@given(seed=st.integers(0, 10_000), limit_ma=st.integers(20_000, 60_000))
def test_a_promise_that_is_moved_keeps_its_energy_and_fits(seed: int, limit_ma: int) -> None:
    chance = random.Random(seed)
    made = book(limit_ma)
    for at in range(chance.randint(1, 3)):
        from_h, long_h = chance.uniform(0, 4), chance.uniform(0.3, 3)
        current_ma = chance.randrange(6_000, limit_ma // 3 + 1, 100)
        wanted = promise(f"{at}", from_h, from_h + long_h, current_ma)
        made = hold(made, replace(wanted, is_fixed=chance.random() < 0.3))
    there = charging(made.room.left_ma, *(vehicle(f"v{n}", rank=2) for n in range(2)))
    energy_wh, from_h = chance.uniform(2_000, 30_000), chance.choice((0.0, chance.uniform(0, 1)))
    asked = ask(energy_wh, from_h, from_h + chance.uniform(1, 2))
    now_s = NOW_S + chance.choice((0.0, 1_000.0))
    planned = thought_over(made, there, asked, now_s)
    if planned is None:
        return

    after = rewritten(made, planned.envelopes)
    assert after.room.left_ma.min() >= 0
    assert (
        room_of(made, planned).outlook(ASKED).energy_within_wh(asked.from_s, asked.until_s)
        >= energy_wh - 1
    )
    for name, then in made.promises.items():
        now = after.promises[name]
        assert (now.from_at_s, now.until_at_s) == (then.from_at_s, then.until_at_s)
        assert _takes_mah(now, now_s) >= _takes_mah(then, now_s) - 1e-6
        if then.is_fixed:
            assert now.envelope == then.envelope
        past = [(s.from_at_s, s.current_ma) for s in then.envelope if s.until_at_s <= now_s]
        assert past == [(s.from_at_s, s.current_ma) for s in now.envelope[: len(past)]]


def _takes_mah(made: Reservation, from_at_s: float) -> float:
    """Return what is taken of an envelope from an instant on, less what each start costs."""
    takes_mah, was_ma = 0.0, 0
    for stretch in made.envelope:
        lasts_s = max(0.0, stretch.until_at_s - max(stretch.from_at_s, from_at_s))
        if lasts_s and stretch.current_ma and not was_ma:
            lasts_s -= USUALLY.settling_s + stretch.current_ma / USUALLY.ramp_ma_per_s / 2
        takes_mah += stretch.current_ma * lasts_s / HOUR_S
        was_ma = stretch.current_ma
    return takes_mah


def asked_for(need: Need, there: Circumstances) -> tuple[Verdict, list[Way], str]:
    asked = asked_of(
        need, there.places, from_at_s=NOW_S, now_s=NOW_S, end_s=NOW_S + GRID.edges_s[-1]
    )
    said = answer(book(40_000), need, asked, quote_id="q", expires_at_s=NOW_S, circumstances=there)
    return said.verdict, [o.offer.way for o in said.offers], said.reason


def test_behind_a_vehicle_that_leaves_in_time_there_is_what_is_left_of_the_window() -> None:
    places = Places.of(small_site(1))
    need = Need(arrive_at=NOW, depart_at=NOW + timedelta(hours=3), energy_wh=20_000)
    there = Circumstances(
        places=places,
        now_s=NOW_S,
        zone=ZoneInfo("Europe/London"),
        occupied=frozenset({"CP-01/1"}),
        leaves_at_s={"CP-01/1": NOW_S + HOUR_S},
    )

    verdict, ways, reason = asked_for(need, there)
    # Another start would be just that: it is offered once.
    assert (verdict, ways) == (Verdict.YES, [Way.QUEUED])
    assert reason == (
        "Yes: once the connector is free: 20.0 kWh on CP-01/1 from 09:00 to 09:55, at up to 22.1 kW;"
        " CP-01/1 is occupied now, it is taken to be free from 09:00."
    )
    more = replace(need, energy_wh=50_000)
    assert asked_for(more, there)[0] is Verdict.PARTLY
    late = replace(there, leaves_at_s={"CP-01/1": NOW_S + 4 * HOUR_S})
    assert asked_for(need, late)[:2] == (Verdict.NO, [Way.ANOTHER_START])
    gone = replace(there, leaves_at_s={"CP-01/1": NOW_S - 1})
    assert asked_for(need, gone)[0] is Verdict.YES


def test_on_a_connector_that_is_away_nothing_is_moved_to_now() -> None:
    left_ma = alike(32_000)
    need = Need(arrive_at=NOW + timedelta(hours=2), depart_at=NOW + timedelta(hours=3))
    here = Circumstances(
        places=Places.of(small_site(2)),
        now_s=NOW_S,
        zone=ZoneInfo("Europe/London"),
        back_at_s=NOW_S + 1.5 * HOUR_S,
    )
    gone = Away(what="it", how="faulted", since_at_s=NOW_S, began_at_s=NOW_S)

    def other_starts_h(station: str, kwh: float, *away: str) -> list[float]:
        asked_for = replace(
            need, connector=ConnectorRef(StationId(station), 1), energy_wh=int(kwh * 1_000)
        )
        there = replace(here, away=dict.fromkeys(away, gone), occupied=frozenset({"CP-02/1"}))
        there = replace(there, leaves_at_s={"CP-02/1": NOW_S + 23 * HOUR_S})
        end_s = NOW_S + GRID.edges_s[-1]
        asked = asked_of(asked_for, here.places, from_at_s=NOW_S, now_s=NOW_S, end_s=end_s)
        made = opened(GRID, left_ma, from_at_s=NOW_S)
        said = answer(made, asked_for, asked, quote_id="q", expires_at_s=NOW_S, circumstances=there)
        moved = [o for o in said.offers if o.offer.way is Way.ANOTHER_START]
        return [(offer.start_at_s - NOW_S) / HOUR_S for offer in moved]

    left_ma[:, 8:20] = 0
    assert other_starts_h("CP-01", 20.0) == [1.0]
    # Not at once after it may be back, and within the hour: the next that holds all of it.
    assert other_starts_h("CP-01", 20.0, "CP-01/1") == [5.0]
    # Nor beside a connector that is taken.
    left_ma[:, 1:] = 0
    assert other_starts_h("CP-02", 5.0) == [0.0]
    assert other_starts_h("CP-02", 5.0, "CP-01/1") == []


def test_a_plan_in_other_slots_counts_with_the_most_of_each() -> None:
    fine = even_grid(24, 300.0)
    car = vehicle("van", rows=(0,), earliest_s=0.0, latest_s=2 * HOUR_S)
    currents = ((0, 0, 0, 16_000, 8_000, 0) + (0,) * 18,)
    plan = Plan(grid=fine, current_ma=currents, delivered_wh=(0.0,))
    there = charging_of((car,), plan, grid=GRID, begins_s=600.0)

    # From 25 to 35 min in the day: the slots from 15 to 30 and from 30 to 45 min.
    assert there.current_ma[0, :4].tolist() == [0, 16_000, 8_000, 0]
    assert (there.demands[0].earliest_s, there.demands[0].latest_s) == (600.0, 600.0 + 2 * HOUR_S)
    kept = replace(car, promised_wh=5.0)
    assert charging_of((kept,), plan, grid=GRID, begins_s=0.0).demands == ()
