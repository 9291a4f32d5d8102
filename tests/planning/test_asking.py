"""From needs to questions and back to offers: windows, phases, powers, and what an offer says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.circuits import Connector, Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.needs import Need, Objective, StateOfCharge
from gateway.domain.promises import PromiseState
from gateway.planning.answering import answer
from gateway.planning.answers import QuoteAnswer
from gateway.planning.asking import AskError, AskFault, Places, asked_of
from gateway.planning.book import Book, BookError, NoRoomError, hold, opened
from gateway.planning.circumstances import Circumstances
from gateway.planning.grid import grid_of
from gateway.planning.promising import need_of, of_offer
from gateway.planning.quote import Verdict, Way
from tests.support.small_site import small_site

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
NOW_S = NOW.timestamp()
END_S = NOW_S + 48 * 3_600
FIRST = ConnectorRef(StationId("CP-01"), 1)


def site() -> Site:
    """Return a site whose second connector is rotated and whose third has one phase."""
    small = small_site(3)
    wired = ((Phase.L1, Phase.L2, Phase.L3), (Phase.L2, Phase.L3, Phase.L1), (Phase.L3,))

    def rewired(connector: Connector, phases: tuple[Phase, ...]) -> Connector:
        return replace(connector, phases=phases)

    return replace(
        small,
        stations=tuple(
            replace(station, connectors=(rewired(station.connectors[0], phases),))
            for station, phases in zip(small.stations, wired, strict=True)
        ),
    )


PLACES = Places.of(site())


def asked(need: Need) -> tuple[float, float]:
    """Return the window (h from now) a need asks for."""
    ask = asked_of(need, PLACES, from_at_s=NOW_S, now_s=NOW_S, end_s=END_S).ask
    return ask.from_s / 3_600, ask.until_s / 3_600


def test_which_connectors_are_of_use_is_told_for_each_vehicle_anew() -> None:
    def usable(phase_count: int | None, max_power_w: int | None = None) -> list[tuple[str, int]]:
        found = PLACES.usable(phase_count=phase_count, max_power_w=max_power_w)
        return [(outlet.key, outlet.max_ma) for outlet in found]

    whole = [(name, 32_000) for name in ("CP-01/1", "CP-02/1", "CP-03/1")]
    for _ in range(2):
        assert usable(None) == usable(1) == whole
        assert usable(3) == usable(2) == whole[:2]
        assert usable(None, 3_000) == [("CP-03/1", 13_000)]
        with pytest.raises(AskError):
            usable(3, 3_000)


def test_a_vehicle_loads_the_phases_its_connector_is_wired_to() -> None:
    rows = {
        (name, count): PLACES.outlet(name, phase_count=count, max_power_w=None).rows
        for name, count in (("CP-01/1", 1), ("CP-02/1", 1), ("CP-02/1", 2), ("CP-03/1", None))
    }

    assert rows == {
        ("CP-01/1", 1): (0,),
        ("CP-02/1", 1): (1,),
        ("CP-02/1", 2): (1, 2),
        ("CP-03/1", None): (2,),
    }
    with pytest.raises(AskError, match="CP-03/1 has 1 phase, not 3"):
        PLACES.outlet("CP-03/1", phase_count=3, max_power_w=None)


def test_slack_is_taken_off_the_window_at_both_ends() -> None:
    need = Need(
        arrive_at=NOW + timedelta(hours=1),
        depart_at=NOW + timedelta(hours=3),
        energy_wh=1,
        arrive_slack_s=900,
        depart_slack_s=1_800,
    )

    assert asked(need) == (1.25, 2.5)
    assert asked(replace(need, arrive_at=None, arrive_slack_s=0.0)) == (0.0, 2.5)
    assert asked(replace(need, depart_at=None, depart_slack_s=0.0)) == (1.25, 13.0)


def test_a_battery_says_what_is_missing() -> None:
    soc = StateOfCharge(now_pct=20, target_pct=80, battery_wh=60_000)
    told = asked_of(Need(soc=soc), PLACES, from_at_s=NOW_S, now_s=NOW_S, end_s=END_S)
    assert told.ask.energy_wh == 36_000

    full = Need(soc=replace(soc, now_pct=80))
    with pytest.raises(AskError) as refused:
        asked_of(full, PLACES, from_at_s=NOW_S, now_s=NOW_S, end_s=END_S)
    assert refused.value.fault is AskFault.NOTHING_WANTED


def book(left_a: float = 40) -> Book:
    grid = grid_of()
    left_ma = np.full((3, grid.slot_count), int(left_a * 1_000), dtype=np.int64)
    return opened(grid, left_ma, from_at_s=NOW_S)


def quoted(
    made: Book, need: Need, *, occupied: frozenset[str] = frozenset(), places: Places = PLACES
) -> QuoteAnswer:
    return answer(
        made,
        need,
        asked_of(need, places, from_at_s=NOW_S, now_s=NOW_S, end_s=END_S),
        quote_id="q",
        expires_at_s=NOW_S + 300,
        circumstances=Circumstances(
            places=places,
            now_s=NOW_S,
            zone=ZoneInfo("Europe/London"),
            occupied=occupied,
            occupied_until_s=NOW_S + 3_600,
        ),
    )


def test_the_best_connector_is_chosen_and_one_that_is_occupied_is_not() -> None:
    need = Need(depart_at=NOW + timedelta(hours=1), energy_wh=20_000)

    assert quoted(book(), need).offers[0].outlet.key == "CP-01/1"
    elsewhere = quoted(book(), need, occupied=frozenset({"CP-01/1"}))
    assert (elsewhere.verdict, elsewhere.offers[0].outlet.key) == (Verdict.YES, "CP-02/1")
    named = quoted(book(), replace(need, connector=FIRST), occupied=frozenset({"CP-01/1"}))
    assert named.verdict is Verdict.NO
    assert "CP-01/1 is occupied now" in named.reason
    assert named.offers


def test_what_is_not_all_says_what_binds() -> None:
    need = Need(depart_at=NOW + timedelta(hours=1), energy_wh=20_000, min_energy_wh=5_000)

    assert quoted(book(10), need).reason.startswith(
        "Partly: not all of the 20.0 kWh: circuit carpark leaves 10.0 A on L1 from 08:00 to 09:00."
    )
    assert quoted(book(5), need).reason == (
        "No: circuit carpark leaves 5.0 A on L1 from 08:00 to 09:00, and nothing else is free as far"
        " as the plan reaches."
    )


def test_fastest_is_where_it_is_done_first_and_is_moved_for_nobody() -> None:
    slow_first = Places.of(replace(site(), stations=site().stations[::-1]))
    need = Need(depart_at=NOW + timedelta(hours=4), energy_wh=5_000)
    fastest = replace(need, objective=Objective.FASTEST)

    assert quoted(book(), need, places=slow_first).offers[0].outlet.key == "CP-03/1"
    found = quoted(book(), fastest, places=slow_first).offers[0]
    assert found.outlet.key == "CP-02/1"
    promise = of_offer(found, fastest, name="r", holder="h", hold_until_at_s=NOW_S + 120)
    assert promise.is_fixed
    assert need_of(promise, slow_first).objective is Objective.FASTEST
    assert not of_offer(found, need, name="r", holder="h", hold_until_at_s=NOW_S + 120).is_fixed


@pytest.mark.parametrize(
    ("objective", "from_h", "best"),
    [
        (Objective.BY_DEPARTURE, 0, Way.MOST_ENERGY),
        (Objective.FASTEST, 0, Way.ANOTHER_OUTLET),
        (Objective.MOST_ENERGY, 0, Way.ANOTHER_OUTLET),
        # Nothing is soonest before the vehicle comes.
        (Objective.FASTEST, 2, Way.ANOTHER_OUTLET),
    ],
)
def test_the_first_offer_is_best_by_what_is_wanted(
    objective: Objective, from_h: float, best: Way
) -> None:
    need = Need(
        arrive_at=NOW + timedelta(hours=from_h),
        depart_at=NOW + timedelta(hours=from_h + 2),
        energy_wh=20_000,
        objective=objective,
        connector=ConnectorRef(StationId("CP-03"), 1),
    )

    said = quoted(book(), need)
    assert said.offers[0].offer.way is best
    assert {Way.MOST_ENERGY, Way.EARLIEST_FINISH} < {offer.offer.way for offer in said.offers}


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("energy_wh", [40_000, None])
def test_where_nothing_gives_all_the_first_offer_is_no_less_for_being_done_soon(
    objective: Objective, energy_wh: int | None
) -> None:
    grid = grid_of()
    left_ma = np.zeros((3, grid.slot_count), dtype=np.int64)
    # At full power for half an hour, at half for the rest of two, and nothing behind.
    begins_s = np.array(grid.edges_s[:-1])
    left_ma[:, begins_s < 7_200], left_ma[:, begins_s < 1_800] = 16_000, 32_000
    need = Need(
        depart_at=NOW + timedelta(hours=2),
        energy_wh=energy_wh,
        objective=objective,
        connector=FIRST,
    )

    offers = [a.offer for a in quoted(opened(grid, left_ma, from_at_s=NOW_S), need).offers]
    assert offers[0].energy_wh == max(offer.energy_wh for offer in offers) > 25_000


def test_what_is_not_sure_enough_says_what_may_bind() -> None:
    grid = grid_of()
    left_ma = np.full((3, grid.slot_count), 40_000, dtype=np.int64)
    # On two days of ten base is 30 A higher than planned.
    more_ma = np.full((10, grid.slot_count), 30_000, dtype=np.int64)
    more_ma[2:] = 0
    made = opened(grid, left_ma, from_at_s=NOW_S, base_paths_ma={1: more_ma})
    need = Need(depart_at=NOW + timedelta(hours=1), energy_wh=20_000)

    unsure = quoted(made, need)
    assert unsure.reason.startswith(
        "Partly: not all of the 20.0 kWh: circuit carpark may leave only 10.0 A on L2 from 08:00 to"
        " 09:00. Best is most energy in the window: 7.0 kWh on CP-01/1"
    )
    assert {offer.offer.way for offer in unsure.offers if offer.offer.binding} >= {
        Way.MOST_ENERGY,
        Way.EARLIEST_FINISH,
    }
    assert quoted(made, replace(need, confidence_ratio=0.8)).verdict is Verdict.YES


def promised(made: Book, name: str, from_h: float, until_h: float) -> Book:
    """Return the book with a connector promised, for a little energy."""
    need = Need(
        arrive_at=NOW + timedelta(hours=from_h),
        depart_at=NOW + timedelta(hours=until_h),
        energy_wh=100,
        max_power_w=4_200,
        connector=ConnectorRef(StationId(name), 1),
    )
    offer = quoted(made, need).offers[0]
    name = f"{name} {from_h}"
    return hold(made, of_offer(offer, need, name=name, holder="h", hold_until_at_s=NOW_S + 120))


def with_slack(from_h: float, until_h: float, **slack_s: float) -> Need:
    return Need(
        arrive_at=NOW + timedelta(hours=from_h),
        depart_at=NOW + timedelta(hours=until_h),
        energy_wh=3_000,
        connector=FIRST,
        **slack_s,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("from_h", "until_h", "verdict"),
    [
        (0.0, 1.0, Verdict.YES),
        (0.0, 1.5, Verdict.NO),
        (2.6, 2.9, Verdict.NO),
        (3.0, 3.5, Verdict.YES),
    ],
)
def test_a_connector_is_the_vehicle_s_in_its_slack_too(
    from_h: float, until_h: float, verdict: Verdict
) -> None:
    made, need = book(), with_slack(1, 3, arrive_slack_s=3_600, depart_slack_s=1_800)
    offer = quoted(made, need).offers[0]
    held = of_offer(offer, need, name="its", holder="h", hold_until_at_s=NOW_S + 120)
    assert (held.from_at_s, held.until_at_s) == (NOW_S + 7_200, NOW_S + 9_000)
    assert (held.opens_at_s, held.closes_at_s) == (NOW_S + 3_600, NOW_S + 10_800)

    asked_for = with_slack(from_h, until_h)
    found = quoted(hold(made, held), asked_for)
    at_connector = [o for o in found.offers if o.outlet.key == str(FIRST)]
    assert all(
        o.until_at_s <= held.opens_at_s or o.floor[0].from_at_s >= held.closes_at_s
        for o in at_connector
    )
    assert found.verdict is verdict
    # What was offered before it was held cannot be held after it, either.
    before = quoted(made, asked_for).offers[0]
    other = of_offer(before, asked_for, name="b", holder="h", hold_until_at_s=NOW_S + 120)
    if verdict is Verdict.YES:
        hold(hold(made, held), other)
    else:
        with pytest.raises(BookError, match="is promised to its"):
            hold(hold(made, held), other)


def test_slack_in_which_the_connector_is_another_s_is_not_offered() -> None:
    made = promised(book(), "CP-01", 1, 2)
    for need, best in (
        (with_slack(1.5, 4, arrive_slack_s=3_600), Way.QUEUED),
        (with_slack(0.2, 1.5, depart_slack_s=3_600), None),
    ):
        found = quoted(made, need)
        assert (found.verdict is Verdict.YES) == (found.offers[0].offer.way is best)
        for offer in found.offers:
            held = of_offer(offer, need, name="b", holder="h", hold_until_at_s=NOW_S + 120)
            hold(made, held)  # Whatever is offered fits.
            is_there = offer.outlet.key == str(FIRST)
            assert not (is_there and held.meets(NOW_S + 3_600, NOW_S + 7_200))
            # Who waits for the connector has surely come by then.
            assert offer.offer.way is not Way.QUEUED or held.from_at_s == NOW_S + 9_000


def test_what_else_could_be_had_is_asked_with_the_slack_of_a_promise() -> None:
    need = with_slack(1, 3, arrive_slack_s=3_600, depart_slack_s=1_800)
    offer = quoted(book(), need).offers[0]
    held = of_offer(offer, need, name="its", holder="h", hold_until_at_s=NOW_S + 120)
    again = need_of(held, PLACES, now_s=NOW_S + 5_400)
    there = need_of(replace(held, state=PromiseState.ARRIVED), PLACES, now_s=NOW_S + 5_400)

    assert (again.arrive_at, again.depart_at) == (NOW + timedelta(hours=1.5), need.depart_at)
    assert (again.arrive_slack_s, again.depart_slack_s) == (1_800, 1_800)
    assert (there.arrive_at, there.arrive_slack_s) == (again.arrive_at, 0)


@pytest.mark.parametrize(
    ("connector", "kwh"), [(FIRST, 20), (FIRST, None), (None, 20), (None, 0.5)]
)
def test_between_promises_there_is_something_for_everybody_until_nothing_at_all_is_free(
    connector: ConnectorRef | None, kwh: float | None
) -> None:
    need = Need(
        arrive_at=NOW + timedelta(hours=1),
        depart_at=NOW + timedelta(hours=3),
        energy_wh=None if kwh is None else int(kwh * 1_000),
        connector=connector,
    )
    made = book()
    for name in ("CP-01", "CP-02", "CP-03"):
        for from_h, until_h in ((0.0, 3.0), (3.25, 5.0), (5.25, 30.0)):
            made = promised(made, name, from_h, until_h)

    said = quoted(made, need)
    assert said.verdict is Verdict.NO
    # Within a quarter of an hour there is a little; all of it is behind the last.
    assert (said.offers[0].start_at_s - NOW_S) / 3_600 == (3 if kwh == 0.5 else 30)
    assert said.offers[0].offer.energy_wh >= 1_000 * (kwh or 20)
    for offer in said.offers:
        hold(made, of_offer(offer, need, name="more", holder="h", hold_until_at_s=NOW_S + 120))

    for name in ("CP-01", "CP-02", "CP-03"):
        for from_h, until_h in ((3.0, 3.25), (30.0, 48.0)):
            made = promised(made, name, from_h, until_h)
    left = quoted(made, need)
    # A quarter of an hour is left, for who has no other choice.
    assert {(offer.start_at_s - NOW_S) / 3_600 for offer in left.offers} == {5.0}
    for name in ("CP-01", "CP-02", "CP-03"):
        made = promised(made, name, 5, 5.25)
    nothing = quoted(made, need)
    assert not nothing.offers
    assert "is promised to somebody else" in nothing.reason
    assert "nothing else is free as far as the plan reaches" in nothing.reason


def test_an_offer_begins_when_there_is_something_and_ends_before_the_vehicle_is_gone() -> None:
    made = book()
    made.room.left_ma[:, :2] = 0
    need = Need(depart_at=NOW + timedelta(minutes=40, seconds=30), connector=FIRST)
    (offer,) = quoted(made, need).offers

    assert offer.start_at_s == offer.profile[0].from_at_s == NOW_S + 600.0
    assert offer.why.startswith("11.2 kWh on CP-01/1 from 08:10 to 08:40, at up to 22.1 kW")
    # The connector is the vehicle's from its coming on all the same.
    assert (offer.floor[0].from_at_s, offer.until_at_s) == (NOW_S, NOW_S + 2_430.0)


def test_a_circuit_is_drawn_from_in_any_current() -> None:
    need = Need(
        circuit=CircuitId("carpark"),
        depart_at=NOW + timedelta(minutes=30),
        energy_wh=400,
        max_power_w=1_000,
    )
    (offer,) = quoted(book(), need).offers

    # Rounded up, as what is kept free must be: 1,449.3 mA of each phase.
    assert [stretch.current_ma for stretch in offer.profile] == [1_450]


def test_a_plain_draw_has_its_energy_in_the_time_it_needs_at_its_power() -> None:
    def drawn(power_w: int, energy_wh: int) -> QuoteAnswer:
        need = Need(
            circuit=CircuitId("carpark"),
            depart_at=NOW + timedelta(minutes=10),
            energy_wh=energy_wh,
            max_power_w=power_w,
        )
        return quoted(book(), need)

    kitchen, too_much = drawn(20_000, 3_333), drawn(20_000, 4_000)

    assert (
        kitchen.reason == "Yes: 3.3 kWh on circuit carpark from 08:00 to 08:10, at up to 20.0 kW."
    )
    assert too_much.reason.startswith(
        "Partly: not all of the 4.0 kWh: circuit carpark gives it at most 20.0 kW."
    )


def test_a_plain_draw_on_one_phase_has_the_power_of_one_and_any_of_them_is_kept_free() -> None:
    made = book()

    def drawn(phase_count: int | None) -> QuoteAnswer:
        need = Need(
            circuit=CircuitId("carpark"),
            depart_at=NOW + timedelta(hours=1),
            phase_count=phase_count,
        )
        return quoted(made, need)

    (of_all,), (of_one,) = drawn(None).offers, drawn(1).offers
    held = of_offer(of_one, drawn(1).need, name="r", holder="", hold_until_at_s=NOW_S + 60.0)

    assert of_one.offer.energy_wh == pytest.approx(of_all.offer.energy_wh / 3)
    assert (held.rows, held.phase_count) == (of_all.outlet.rows, 1)
    again = need_of(held, PLACES)
    assert (again.phase_count, again.circuit) == (1, "carpark")
    assert (PLACES.at(held.place, 1).phase_count, PLACES.at(held.place, 3).phase_count) == (1, 3)
    two = replace(PLACES.site.circuits[0], rating_ma=(0, 100_000, 100_000))
    with pytest.raises(AskError, match="carpark has 2 phases, not 3: ask for fewer"):
        Places.of(replace(PLACES.site, circuits=(two,))).circuit_outlet(
            two.id, phase_count=3, max_power_w=None
        )


needs = st.builds(
    lambda from_h, hours, kwh, objective, phases, power_kw, floor_kwh, name: Need(
        arrive_at=NOW + timedelta(hours=from_h),
        depart_at=NOW + timedelta(hours=from_h + hours),
        energy_wh=kwh,
        min_energy_wh=floor_kwh,
        objective=objective,
        phase_count=phases,
        max_power_w=power_kw,
        connector=name,
    ),
    from_h=st.floats(0, 20),
    hours=st.floats(0.05, 20),
    kwh=st.none() | st.integers(1, 200_000),
    objective=st.sampled_from(Objective),
    phases=st.none() | st.just(1),
    power_kw=st.none() | st.integers(4_200, 30_000),
    floor_kwh=st.integers(0, 10_000),
    name=st.none() | st.just(FIRST),
)


@given(asks=st.lists(needs, min_size=1, max_size=8), left_a=st.integers(0, 60))
def test_every_offer_can_be_held_as_long_as_nothing_else_is(asks: list[Need], left_a: int) -> None:
    made = book(left_a)
    for number, need in enumerate(asks):
        try:
            said = quoted(made, need)
        except AskError as error:
            assert error.fault is AskFault.POWER_TOO_LOW  # noqa: PT017 - others are told as faults
            continue
        assert said.offers or said.reason.startswith("No: ")
        if said.verdict is not Verdict.NO:
            least_wh = min(need.min_energy_wh, need.energy_wh or need.min_energy_wh)
            assert said.offers[0].offer.energy_wh >= least_wh - 1
        held = made
        for offer in said.offers:
            promise = of_offer(
                offer,
                need,
                name=f"{number}",
                holder="h",
                hold_until_at_s=NOW_S + 120,
            )
            held = hold(made, promise)
            assert held.room.left_ma.min() >= 0
            carries_wh = (
                sum(
                    stretch.current_ma * (stretch.until_at_s - stretch.from_at_s)
                    for stretch in promise.envelope
                )
                * offer.outlet.power_w(1.0)
                / 3_600
            )
            assert carries_wh >= promise.guaranteed_wh - 1
            assert offer.guaranteed_wh <= offer.offer.energy_wh + 1e-6
        made = held


def test_two_that_were_quoted_the_same_room_do_not_both_get_it() -> None:
    need = Need(depart_at=NOW + timedelta(hours=1), energy_wh=20_000)
    made = book()
    said = [quoted(made, need), quoted(made, need, occupied=frozenset({"CP-01/1"}))]
    promises = [
        of_offer(one.offers[0], need, name=str(at), holder="h", hold_until_at_s=NOW_S + 120)
        for at, one in enumerate(said)
    ]

    assert promises[0].place != promises[1].place
    with pytest.raises(NoRoomError):
        hold(hold(made, promises[0]), promises[1])
