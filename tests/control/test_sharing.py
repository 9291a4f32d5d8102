"""Who gets how much (design §3, Sharing), as statements about a board and its vehicles."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st

from gateway.control.parameters import ControlParameters
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA, Phase
from gateway.domain.reasons import ReasonKind
from tests.support.hungry_site import EVERY_PHASE, HungrySite, circuit

MINUTE_S = 60
HOUR_S = 3_600
GAP_A = ControlParameters().due_gap_ma / 1_000
DEAD_BAND_A = ControlParameters().dead_band_ma / 1_000
UNCERTAIN_A = 1.5
"""What readings are uncertain by, and vehicles leave of what they are offered: nobody has it."""
RAISE_FROM_A = ControlParameters().raise_from_ma / 1_000
CRITICAL, HIGH, NORMAL, OPPORTUNISTIC = range(4)


def board(vehicles: int, *, free_a: float = 38.0) -> HungrySite:
    """Return a 125 A board with so many hungry vehicles and so much for them all."""
    set_point_a, reserve_a = 125 * 0.95, 125 * 0.15
    site = HungrySite(
        (circuit("board", 125),),
        ("board",) * max(6, vehicles),
        base_a={"board": set_point_a - reserve_a - free_a - UNCERTAIN_A},
    )
    for number in range(1, vehicles + 1):
        site.plug_in(number)
    return site


# Equals.


def test_who_comes_when_all_is_given_away_gets_its_share_of_it() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    assert site.limits_a()[1] == 32.0

    site.plug_in(2)
    site.run(10 * MINUTE_S)

    assert site.limits_a() == {1: pytest.approx(19.0, abs=0.5), 2: pytest.approx(19.0, abs=0.5)}


def test_one_cut_and_one_raise_make_two_vehicles_equal() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    site.run(2 * MINUTE_S)
    before = site.changes.copy()

    site.run(20 * MINUTE_S)

    assert site.changes - before == Counter({1: 1, 2: 1})


def test_a_vehicle_that_came_later_makes_no_room_for_one_its_place_once_did() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    while site.limits_a()[2] < 10.0:
        site.step()
    assert site.reasons()[1].kind is ReasonKind.MAKES_ROOM

    site.leave(1)
    site.run(5)
    site.plug_in(1)
    site.run(5)

    assert site.reasons()[1].kind is not ReasonKind.MAKES_ROOM


def test_among_many_equals_only_a_few_give() -> None:
    site = board(5, free_a=90.0)
    site.run(20 * MINUTE_S)
    before = site.changes.copy()
    site.plug_in(6)

    site.run(15 * MINUTE_S)

    assert site.limits_a()[6] > 90.0 / 6 - GAP_A
    assert sum(1 for number in range(1, 6) if site.changes[number] > before[number]) <= 3


def test_a_gap_not_worth_a_move_is_left() -> None:
    site = board(1, free_a=19.0)
    site.run(15 * MINUTE_S)
    site.plug_in(2)
    site.run(15 * MINUTE_S)
    before, limits_a = site.changes.copy(), site.limits_a()
    assert 0 < abs(limits_a[1] - limits_a[2]) < 2 * GAP_A

    site.run(30 * MINUTE_S)

    assert site.changes == before


def test_nothing_is_taken_for_a_vehicle_that_leaves_what_it_has() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    site.plug_in(2, takes_a=3.0)

    site.run(30 * MINUTE_S)

    assert site.limits_a() == {1: 32.0, 2: 6.0}


def test_what_others_gave_is_raised_into_only_once_it_is_proven_free() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    cut_at_s = raised_at_s = None
    for _ in range(10 * MINUTE_S):
        before = site.limits_a()
        site.step()
        after = site.limits_a()
        if after[1] < before[1] and after[2] == MIN_CHARGING_MA / 1_000:
            cut_at_s = site.now_s
        if cut_at_s is not None and raised_at_s is None and after[2] > before[2]:
            raised_at_s = site.now_s

    assert cut_at_s is not None
    assert raised_at_s is not None
    assert raised_at_s - cut_at_s >= ControlParameters().settling_s
    assert site.overclaimed == []


def test_a_vehicle_on_one_phase_takes_from_those_on_that_phase_alone() -> None:
    site = board(0)
    site.plug_in(1, phases=(Phase.L1,))
    site.plug_in(2, phases=(Phase.L2,))
    site.run(10 * MINUTE_S)
    site.plug_in(3, phases=(Phase.L1,))
    site.run(15 * MINUTE_S)

    limits_a = site.limits_a()

    assert limits_a[2] == 32.0
    assert abs(limits_a[1] - limits_a[3]) < GAP_A
    assert limits_a[3] > 15.0


def test_a_board_that_binds_leaves_the_other_board_what_is_its_own() -> None:
    site = HungrySite(
        (circuit("supply", 200), circuit("board", 63, "supply"), circuit("other", 63, "supply")),
        ("board", "board", "other"),
        base_a={"board": 20.0},
    )
    for number in (1, 2, 3):
        site.plug_in(number)

    site.run(20 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[3] == 32.0
    assert abs(limits_a[1] - limits_a[2]) < GAP_A


# Classes, laxity, floors.


def test_what_is_critical_is_served_in_full_before_the_rest_is_shared() -> None:
    site = board(2)
    site.run(15 * MINUTE_S)
    site.matters(2, CRITICAL)

    site.run(3 * MINUTE_S)

    assert site.limits_a() == {1: pytest.approx(6.0, abs=1.0), 2: 32.0}


def test_what_is_critical_comes_before_the_minimum_of_others() -> None:
    site = board(2, free_a=33.0)
    site.run(15 * MINUTE_S)
    site.matters(2, CRITICAL)

    site.run(3 * MINUTE_S)

    assert site.limits_a() == {1: 0.0, 2: 32.0}


def test_what_is_critical_is_not_cut_while_another_can_be_paused() -> None:
    site = board(2)
    site.matters(2, CRITICAL)
    site.run(15 * MINUTE_S)
    assert site.limits_a()[2] == 32.0

    site.base_a["board"] += 6.0
    lowest_a = 32.0
    for _ in range(MINUTE_S):
        site.step()
        lowest_a = min(lowest_a, site.limits_a()[2])

    assert lowest_a == 32.0
    assert site.limits_a()[1] == 0.0


def test_what_is_critical_leaves_what_it_does_not_take_to_those_that_wait() -> None:
    site = board(3)
    site.matters(1, CRITICAL)
    site.run(10 * MINUTE_S)
    site.guests[1].takes_ma = 7_000

    site.run(20 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[1] < 12.0
    assert min(limits_a[2], limits_a[3]) > 9.0


def test_what_is_critical_gives_back_when_it_is_so_no_more() -> None:
    site = board(2)
    site.matters(2, CRITICAL)
    site.run(15 * MINUTE_S)
    site.matters(2, NORMAL)

    site.run(15 * MINUTE_S)

    limits_a = site.limits_a()
    assert abs(limits_a[1] - limits_a[2]) < GAP_A


def test_a_promised_floor_is_kept_before_all_else() -> None:
    site = board(2)
    site.run(15 * MINUTE_S)
    site.matters(1, OPPORTUNISTIC, floor_ma=24_000)
    site.matters(2, CRITICAL)

    site.run(5 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[1] == pytest.approx(24.0, abs=0.5)
    assert limits_a[2] == pytest.approx(38.0 - 24.0, abs=1.5)


def test_promised_floors_that_do_not_fit_leave_everyone_its_minimum() -> None:
    site = board(0, free_a=38.0)
    for number in (1, 2, 3):
        site.matters(number, NORMAL, floor_ma=16_000)
        site.plug_in(number)
        site.run(2 * MINUTE_S)

    assert min(site.limits_a().values()) >= 6.0
    assert sum(site.limits_a().values()) > 30.0


def test_a_floor_is_made_good_within_minutes() -> None:
    site = board(1)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    site.run(MINUTE_S)
    site.matters(2, NORMAL, floor_ma=16_000)

    site.run(3 * MINUTE_S)

    assert site.limits_a()[2] >= 16.0


def test_a_floor_that_lacks_less_than_a_move_of_others_is_made_good_once() -> None:
    site = board(2)
    site.run(15 * MINUTE_S)
    lacked_ma = 38_000 // 2 + 600
    assert 0 < lacked_ma - site.limits_a()[1] * 1_000 < DEAD_BAND_A * 1_000
    site.matters(1, NORMAL, floor_ma=lacked_ma)
    before = site.changes.copy()

    site.run(10 * MINUTE_S)

    assert site.limits_a()[1] * 1_000 >= lacked_ma
    assert (site.changes - before).total() <= 2


def test_one_that_has_nothing_gets_its_promised_floor_from_who_is_critical() -> None:
    site = board(1, free_a=20.0)
    site.matters(1, CRITICAL)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    site.matters(2, NORMAL, floor_ma=10_000)

    site.run(5 * MINUTE_S)

    assert site.limits_a()[2] >= 10.0


def promised_in_order(site: HungrySite, floors_a: dict[int, int]) -> None:
    """Say of each connector that it was promised its floor, after those before it."""
    for nth, (number, floor_a) in enumerate(floors_a.items()):
        laxity_s = (nth - 48) * HOUR_S
        site.matters(number, NORMAL, laxity_s=laxity_s, floor_ma=floor_a * 1_000)


def test_of_floors_that_do_not_all_fit_the_last_gives_way_by_what_is_short_and_no_more() -> None:
    site = board(3, free_a=48.0)
    promised_in_order(site, {3: 16, 1: 16, 2: 16})
    site.run(15 * MINUTE_S)
    assert site.limits_a() == dict.fromkeys((1, 2, 3), pytest.approx(16.0, abs=1.0))

    site.base_a["board"] += 7.0
    site.run(5 * MINUTE_S)

    limits_a = site.limits_a()
    assert min(limits_a[3], limits_a[1]) >= 15.0
    assert 9.0 - 2 * DEAD_BAND_A <= limits_a[2] <= 9.0 + DEAD_BAND_A


def test_a_floor_is_raised_into_headroom_that_others_leave_alone() -> None:
    site = board(2, free_a=32.0)
    promised_in_order(site, {1: 16, 2: 16})
    site.run(15 * MINUTE_S)
    site.base_a["board"] += 5.0
    site.run(5 * MINUTE_S)

    site.base_a["board"] -= RAISE_FROM_A - DEAD_BAND_A
    site.run(5 * MINUTE_S)

    assert sum(site.limits_a().values()) >= 32.0 - 5.0 + RAISE_FROM_A - 3 * DEAD_BAND_A


def test_what_was_promised_first_comes_before_what_was_promised_later() -> None:
    site = board(1, free_a=30.0)
    promised_in_order(site, {1: 24})
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    promised_in_order(site, {2: 24, 1: 24})

    site.run(10 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[2] == pytest.approx(24.0, abs=1.0)
    assert limits_a[1] <= 7.0


def test_who_is_promised_a_floor_while_paused_is_given_its_minimum_without_a_fight() -> None:
    site = board(5, free_a=48.0)
    site.run(MINUTE_S)
    promised_in_order(site, {1: 16, 2: 16, 3: 16})
    for number in (4, 5):
        site.matters(number, NORMAL, laxity_s=(number - 48) * HOUR_S)
    site.run(15 * MINUTE_S)
    assert site.limits_a() == {
        **dict.fromkeys((1, 2, 3), pytest.approx(16.0, abs=DEAD_BAND_A)),
        **dict.fromkeys((4, 5), 0.0),
    }
    before = site.changes.copy()

    promised_in_order(site, dict.fromkeys((1, 2, 3, 4, 5), 16))
    site.run(10 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[1] >= 16.0
    assert min(limits_a.values()) >= 6.0
    assert limits_a[2] >= max(limits_a[number] for number in (3, 4, 5))
    assert (site.changes - before).total() <= 8


def test_everyone_has_the_minimum_before_a_class_has_more() -> None:
    site = board(3, free_a=26.0)
    site.matters(1, HIGH)
    site.matters(3, OPPORTUNISTIC)

    site.run(20 * MINUTE_S)

    limits_a = site.limits_a()
    assert (limits_a[2], limits_a[3]) == (6.0, 6.0)
    assert 14.0 - RAISE_FROM_A <= limits_a[1] <= 14.5


def test_the_rest_goes_by_class() -> None:
    site = board(3, free_a=50.0)
    site.matters(1, OPPORTUNISTIC)
    site.matters(3, HIGH)

    site.run(20 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[3] == 32.0
    assert 12.0 - RAISE_FROM_A <= limits_a[2] <= 12.5
    assert limits_a[1] == 6.0


def test_inside_a_class_the_least_laxity_comes_first() -> None:
    site = board(2)
    site.matters(1, NORMAL, laxity_s=4 * HOUR_S)
    site.matters(2, NORMAL, laxity_s=HOUR_S)

    site.run(20 * MINUTE_S)

    assert site.limits_a() == {1: pytest.approx(6.0, abs=0.5), 2: 32.0}


def test_needs_of_nearly_the_same_laxity_are_equals() -> None:
    site = board(2)
    site.matters(1, NORMAL, laxity_s=3_700.0)
    site.matters(2, NORMAL, laxity_s=4_200.0)

    site.run(20 * MINUTE_S)

    limits_a = site.limits_a()
    assert abs(limits_a[1] - limits_a[2]) < GAP_A


# Turns.


def test_where_minimums_do_not_fit_the_turn_passes_on_whatever_the_class() -> None:
    site = board(3, free_a=13.0)
    site.matters(1, HIGH)
    served_s: Counter[int] = Counter()
    for _ in range(2 * HOUR_S):
        site.step()
        served_s.update(number for number, limit_a in site.limits_a().items() if limit_a)

    assert min(served_s.values()) > HOUR_S
    served_at_once, turns = 2, 2 * HOUR_S / ControlParameters().rotation_s
    assert sum(site.pauses.values()) <= served_at_once * turns


def test_nobody_is_paused_for_one_that_would_still_lack_room_elsewhere() -> None:
    set_point_a, reserve_a = 125 * 0.95, 125 * 0.15
    board_a = set_point_a - reserve_a - 18.0
    annex_a = 32 * 0.95 - 32 * 0.15 - 11.0
    site = HungrySite(
        (circuit("board", 125), circuit("annex", 32, parent="board")),
        ("board", "annex", "annex"),
        base_a={"board": board_a - annex_a, "annex": annex_a},
        parameters=ControlParameters(rotation_s=120.0),
    )
    site.matters(2, CRITICAL)
    site.plug_in(2)
    site.plug_in(1)
    site.run(5 * MINUTE_S)
    site.plug_in(3)

    site.run(30 * MINUTE_S)

    assert site.limits_a()[3] == 0.0
    assert site.pauses[1] == 0


def test_turns_pass_between_others_while_one_is_served_in_full() -> None:
    site = board(3, free_a=38.0)
    site.matters(1, CRITICAL)
    served_s: Counter[int] = Counter()
    for _ in range(2 * HOUR_S):
        site.step()
        served_s.update(number for number, limit_a in site.limits_a().items() if limit_a)

    assert site.limits_a()[1] == 32.0
    assert min(served_s[2], served_s[3]) > 0.6 * HOUR_S


# Whatever the site.


PEACE = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[HypothesisPhase.generate],  # A site takes seconds: to shrink one takes too long.
    suppress_health_check=list(HealthCheck),
)


@st.composite
def crowds(draw: st.DrawFn) -> HungrySite:
    """Draw a supply with two boards and up to seven vehicles whose needs matter differently."""
    site = HungrySite(
        (
            circuit("supply", draw(st.integers(80, 200))),
            circuit("one", draw(st.integers(50, 125)), "supply"),
            circuit("two", draw(st.integers(50, 125)), "supply"),
        ),
        tuple(draw(st.lists(st.sampled_from(["one", "two"]), min_size=3, max_size=7))),
        base_a={
            name: float(draw(st.integers(2, most))) for name, most in (("one", 20), ("two", 20))
        },
    )
    for number in range(1, len(site.state.connectors) + 1):
        one = draw(st.sampled_from(EVERY_PHASE))
        phases = draw(st.sampled_from([EVERY_PHASE, EVERY_PHASE, (one,)]))
        site.plug_in(number, phases=phases, takes_a=draw(st.sampled_from([16.0, 32.0, 32.0])))
        rank = draw(st.sampled_from([NORMAL] * 4 + [CRITICAL, HIGH, OPPORTUNISTIC]))
        floor_ma = draw(st.sampled_from([0, 0, 0, 10_000, 15_050]))
        if rank != NORMAL or floor_ma:
            site.matters(number, rank, floor_ma=floor_ma)
        site.run(draw(st.sampled_from([1, 30, 400])))
    return site


def unused_a(site: HungrySite, number: int) -> float:
    """Return what a vehicle's rows have left, the least of them."""
    wiring, decision = site.state.wiring, site.step()
    at = wiring.connector_at[wiring.connectors[number - 1].ref]
    rows = wiring.rows[at][decision.survey.masks[at]]
    return min(
        (decision.survey.rows[row].available_ma - decision.survey.claimed_ma[row]) / 1_000
        for row in rows
    )


def shares_a_row(site: HungrySite, one: int, other: int) -> bool:
    """Return whether two vehicles load the same phase of the same board."""
    wiring = site.state.wiring
    boards = {wiring.connectors[number - 1].circuit for number in (one, other)}
    phases = set(site.guests[one].phases) & set(site.guests[other].phases)
    return bool(phases) and len(boards) == 1


@PEACE
@given(site=crowds())
def test_in_peace_limits_come_to_rest_and_nothing_is_left_over(site: HungrySite) -> None:
    site.run(40 * MINUTE_S)
    is_crowded = any(limit_a == 0 for limit_a in site.limits_a().values())
    # Less than a minimum is left where somebody waits for one: it would be taken back again.
    most_unused_a = MIN_CHARGING_MA / 1_000 if is_crowded else RAISE_FROM_A
    before = site.changes.copy()
    site.run(20 * MINUTE_S)

    changes = site.changes - before
    turns = 20 * MINUTE_S / ControlParameters().rotation_s + 1
    assert sum(changes.values()) <= (6 * turns if is_crowded else 0)
    assert site.overclaimed == []
    limits_a = site.limits_a()
    for number, limit_a in limits_a.items():
        assert limit_a * 1_000 % STEP_MA == 0
        wanted_a = min(32.0, site.guests[number].takes_ma / 1_000)
        if 0 < limit_a < wanted_a:
            assert unused_a(site, number) < most_unused_a


@PEACE
@given(site=crowds())
def test_in_peace_no_lesser_need_has_what_a_greater_lacks(site: HungrySite) -> None:
    site.run(40 * MINUTE_S)
    limits_a, priorities = site.limits_a(), site.state.priorities
    for number, limit_a in limits_a.items():
        guest, priority = site.guests[number], priorities.get(site.ref(number))
        rank = NORMAL if priority is None else priority.rank
        lacks_a = min(32.0, guest.takes_ma / 1_000) - limit_a
        if rank == CRITICAL or lacks_a <= GAP_A or not limit_a:
            continue
        for other, others_a in limits_a.items():
            others = priorities.get(site.ref(other))
            other_rank = NORMAL if others is None else others.rank
            floor_a = 0.0 if others is None else others.floor_ma / 1_000
            is_below = other_rank > rank and guest.phases == site.guests[other].phases
            if is_below and shares_a_row(site, number, other) and _is_bound_at_board(site, number):
                assert others_a <= max(6.0, floor_a) + GAP_A


def _is_bound_at_board(site: HungrySite, number: int) -> bool:
    """Return whether the vehicle's own board is all that keeps it from more."""
    wiring, decision = site.state.wiring, site.step()
    at = wiring.connector_at[site.ref(number)]
    supply = [row for row in wiring.rows[at][decision.survey.masks[at]] if row < 3]
    return all(
        decision.survey.rows[row].available_ma - decision.survey.claimed_ma[row] > GAP_A * 1_000
        for row in supply
    )
