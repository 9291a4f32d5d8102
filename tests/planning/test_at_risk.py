"""How promises stand: who gives way where a row is short, and what endangers the one that does."""

from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.absence import BACK_WITHIN_S, Away
from gateway.planning.asking import Places
from gateway.planning.at_risk import standings
from gateway.planning.book import Book, opened
from gateway.planning.chance import Danger, Standing, floor_ratio
from gateway.planning.grid import even_grid
from gateway.planning.risk_words import risk_said
from tests.support.small_site import small_site

BEGINS_S = 1_767_600_000.0
HOUR_S = 3_600.0
PLACES = Places.of(small_site(4))
ROWS = PLACES.outlet("CP-01/1", phase_count=None, max_power_w=None).rows


def promise(number: int, **more: object) -> Reservation:
    """Return a promise of 11.04 kWh: 16 A from 2 h to 3 h, departure at 4 h."""
    made = Reservation(
        id=f"p{number}",
        place=f"CP-0{number}/1",
        rows=ROWS,
        envelope=(
            Stretch(
                from_at_s=BEGINS_S + 2 * HOUR_S, until_at_s=BEGINS_S + 3 * HOUR_S, current_ma=16_000
            ),
            Stretch(
                from_at_s=BEGINS_S + 3 * HOUR_S, until_at_s=BEGINS_S + 4 * HOUR_S, current_ma=0
            ),
        ),
        energy_wh=11_040,
        guaranteed_wh=11_040,
        confidence_ratio=0.9,
        criticality=Criticality.NORMAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=BEGINS_S + number,
        max_ma=32_000,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def book(
    has_ma: int,
    *promises: Reservation,
    paths_ma: list[list[int]] | None = None,
    unmeasured_ma: int = 0,
    hours: int = 8,
) -> Book:
    """Return a book in which every row has the same in each of its slots of half an hour.

    So much more may be left as is `unmeasured_ma`: of that base nobody knows.
    """
    grid = even_grid(2 * hours, 1_800.0)
    available_ma = np.full((3 * len(PLACES.site.circuits), grid.slot_count), has_ma, dtype=np.int64)
    paths = {} if paths_ma is None else {ROWS[0]: np.array(paths_ma, dtype=np.int64)}
    return opened(
        grid,
        available_ma,
        from_at_s=BEGINS_S,
        promises={p.id: p for p in promises},
        base_paths_ma=paths,
        unmeasured_ma={row: np.full(grid.slot_count, unmeasured_ma) for row in ROWS},
    )


def stand(made: Book, *, at_h: float = 0.0, **others_until_h: float) -> dict[str, Standing]:
    """Return how promises stand at an hour; `p1=3` is another vehicle in its way until then."""
    others = {name: BEGINS_S + until_h * HOUR_S for name, until_h in others_until_h.items()}
    found = standings(made, PLACES, now_s=BEGINS_S + at_h * HOUR_S, others_until_s=others)
    return {standing.promise.id: standing for standing in found}


def test_what_fits_is_sure() -> None:
    (standing,) = stand(book(16_000, promise(1))).values()

    assert (standing.confidence_ratio, standing.danger, standing.is_at_risk) == (1.0, None, False)


def test_what_matters_least_and_came_last_gives_way() -> None:
    promises = (
        promise(1),
        promise(2, criticality=Criticality.CRITICAL),
        promise(3, state=PromiseState.HELD, hold_until_at_s=BEGINS_S),
        promise(4),
    )

    def kept(has_a: int) -> list[str]:
        found = stand(book(has_a * 1_000, *promises))
        return [name for name, standing in found.items() if not standing.is_at_risk]

    assert list(stand(book(0, *promises))) == ["p2", "p1", "p4", "p3"]
    assert kept(64) == kept(32) == ["p2", "p1", "p4", "p3"]
    # One is short of 1 A in the first hour; of the second hour it takes that, the next one the rest.
    assert kept(31) == ["p2", "p1", "p4"]
    assert kept(16) == ["p2", "p1"]
    assert kept(15) == ["p2"]
    assert kept(7) == []


def test_who_came_late_makes_up_for_it_beside_those_behind_it() -> None:
    soon_over = promise(2).envelope[:1]
    behind = promise(2, state=PromiseState.ARRIVED, envelope=soon_over, delivered_wh=2_760.0)
    behind = replace(behind, arrived_at_s=behind.from_at_s)
    came = promise(1, state=PromiseState.ARRIVED, arrived_at_s=BEGINS_S + 2.2 * HOUR_S)
    for late in (promise(1), came):
        found = stand(book(32_000, late, behind), at_h=2.25)

        # It catches up once the other is done: until then both have what they were promised.
        assert [name for name, standing in found.items() if standing.is_at_risk] == []

    # What it was promised and has not had yet is its own all the same.
    found = stand(book(31_000, promise(1), behind), at_h=2.25)
    assert [name for name, standing in found.items() if standing.is_at_risk] == ["p2"]
    # Nobody gives way to it beyond that: of two that are over soon the late one is told.
    late = promise(1, envelope=soon_over)
    found = stand(book(32_000, late, behind), at_h=2.25)
    assert [name for name, standing in found.items() if standing.is_at_risk] == ["p1"]
    # It is late: what circuits leave it would have been enough in time.
    assert (found["p1"].danger, found["p1"].shortage) == (Danger.LATE, None)
    assert stand(book(13_000, late), at_h=2.25)["p1"].danger is Danger.ROOM


def test_who_came_late_is_not_at_risk_where_others_will_be_done_before_their_time() -> None:
    def with_late(had_wh: float, **late: object) -> bool:
        until_end = Stretch(
            from_at_s=BEGINS_S + 2 * HOUR_S, until_at_s=BEGINS_S + 4 * HOUR_S, current_ma=16_000
        )
        more: dict[str, object] = {
            "envelope": (until_end,),
            "energy_wh": 22_080,
            "state": PromiseState.ARRIVED,
        }
        in_time = {"arrived_at_s": BEGINS_S + 2 * HOUR_S, "delivered_wh": had_wh}
        made = book(32_000, promise(1, **more, **in_time), promise(2, **{**more, **late}))
        return stand(made, at_h=2.5)["p2"].is_at_risk

    is_there = {"arrived_at_s": BEGINS_S + 2.5 * HOUR_S}
    # Alone it was given 32 A: from half past three on it needs nothing.
    assert not with_late(11_040.0, **is_there)
    assert with_late(5_520.0, **is_there)
    # One that is late already is not taken to come this very moment.
    assert with_late(11_040.0, state=PromiseState.CONFIRMED)
    assert not with_late(20_000.0, state=PromiseState.CONFIRMED)


def test_who_came_in_time_and_was_given_little_is_made_up_for_by_those_behind_it() -> None:
    soon_over = promise(2).envelope[:1]
    arrived_at_s = soon_over[0].from_at_s
    first, second = (
        promise(
            number,
            state=PromiseState.ARRIVED,
            envelope=soon_over,
            arrived_at_s=arrived_at_s,
            **more,
        )
        for number, more in ((1, {}), (2, {"delivered_wh": 2_760.0}))
    )
    found = stand(book(32_000, first, second), at_h=2.25)

    assert [name for name, standing in found.items() if standing.is_at_risk] == ["p2"]


def test_what_takes_a_part_of_a_slot_leaves_the_rest_of_it() -> None:
    """Three that are short of 1 Ah each take it of one slot."""
    promises = [
        replace(promise(number), delivered_wh=10_000.0, state=PromiseState.ARRIVED)
        for number in (1, 2, 3)
    ]
    found = stand(book(13_000, *promises), at_h=3.5)

    assert [name for name, standing in found.items() if standing.is_at_risk] == []


def test_a_row_that_is_short_is_named_with_when() -> None:
    short = book(40_000, promise(1))
    has_ma = short.unpromised.left_ma.copy()
    has_ma[ROWS[0], 3:] = 8_000
    found = stand(replace(short, unpromised=replace(short.unpromised, left_ma=has_ma)))["p1"]

    # 8 A from 2 h to 4 h carries all of it: as late as that it is still kept.
    assert found.confidence_ratio == 1.0
    has_ma[ROWS[0], 4:8] = 3_000
    found = stand(replace(short, unpromised=replace(short.unpromised, left_ma=has_ma)))["p1"]
    assert (found.confidence_ratio, found.danger) == (0.0, Danger.ROOM)
    assert found.shortage is not None
    assert (found.shortage.row, found.shortage.left_ma) == (ROWS[0], 3_000)
    assert found.shortage.from_at_s == BEGINS_S + 2 * HOUR_S
    assert found.shortage.until_at_s == BEGINS_S + 4 * HOUR_S


def test_confidence_is_the_part_of_the_scenarios_in_which_it_is_kept() -> None:
    slots = 16
    paths = [[40_000 if scenario < 3 else 0] * slots for scenario in range(10)]
    found = stand(book(40_000, promise(1), paths_ma=paths))["p1"]

    assert found.confidence_ratio == pytest.approx(0.7)
    assert found.is_at_risk
    assert found.danger is Danger.ROOM
    assert found.shortage is not None
    assert found.shortage.left_ma == 0
    said = risk_said(found, PLACES, now_s=BEGINS_S, zone=UTC)
    assert "70% sure now, not 90%: circuit carpark may leave it only 0.0 A on L1 from" in said
    sure = stand(book(3_000, promise(1)))["p1"]
    assert ": circuit carpark leaves it 3.0 A on L1 from" in risk_said(
        sure, PLACES, now_s=BEGINS_S, zone=UTC
    )


def test_how_sure_is_known_only_where_what_was_measured_decides_it() -> None:
    def known(made: Book, *, at_h: float = 0.0, **others_until_h: float) -> float | None:
        found = stand(made, at_h=at_h, **others_until_h)["p1"]
        said = risk_said(found, PLACES, now_s=BEGINS_S, zone=UTC)
        assert found.is_at_risk
        assert ("how sure is not known" in said) == (found.known_ratio is None)
        return found.known_ratio

    # Of base nobody knows anything: it may leave enough, or not even if there is none.
    assert known(book(3_000, promise(1), unmeasured_ma=40_000)) is None
    assert known(book(0, promise(1), unmeasured_ma=3_000)) == 0.0
    paths = [[40_000 if scenario < 3 else 0] * 16 for scenario in range(10)]
    assert known(book(40_000, promise(1), paths_ma=paths)) == pytest.approx(0.7)
    assert known(book(40_000, promise(1), paths_ma=paths, unmeasured_ma=40_000)) is None
    # Who is in its way may leave.
    assert known(book(40_000, promise(1)), p1=3.9) is None
    assert known(book(3_000, promise(1)), p1=3.9) == 0.0


def test_scenarios_alone_make_nothing_certain() -> None:
    def sure(made: Reservation, base_ma: int, *, at_h: float = 0.0) -> tuple[float, Danger | None]:
        found = stand(book(20_000, made, paths_ma=[[base_ma] * 16] * 49), at_h=at_h)["p1"]
        return round(found.confidence_ratio, 6), found.danger

    # Of fifty like them all may keep it, or none: the next is as likely another as half of one.
    assert sure(promise(1), 8_000) == (0.99, None)
    assert sure(promise(1), 18_000) == (0.01, Danger.ROOM)
    found = stand(book(20_000, promise(1, confidence_ratio=1.0), paths_ma=[[8_000] * 16] * 49))[
        "p1"
    ]
    said = risk_said(found, PLACES, now_s=BEGINS_S, zone=UTC)
    assert said == "it was told to be at risk; nothing that is known now endangers it"
    # What no circuit decides is certain: nothing is short, it has its energy, or its time is over.
    assert sure(promise(1, max_ma=16_000), 4_000) == (1.0, None)
    assert sure(promise(1, delivered_wh=10_900.0), 18_000) == (1.0, None)
    assert sure(promise(1), 8_000, at_h=3.9) == (0.0, Danger.LATE)


def test_what_is_away_may_be_back() -> None:
    away = {
        "CP-01/1": Away(what="CP-01/1", how="faulted", since_at_s=BEGINS_S, began_at_s=BEGINS_S)
    }
    for at_h, known in ((1.9, None), (3.4, None), (3.6, 0.0)):
        made, now_s = book(40_000, promise(1)), BEGINS_S + at_h * HOUR_S
        (found,) = standings(made, PLACES, now_s=now_s, away=away)
        # Half an hour at the most its connector gives is what it needs.
        assert (found.danger, found.known_ratio) == (Danger.STATION, known)


def test_others_may_leave_more_than_was_promised_to_who_is_late() -> None:
    late = promise(1, envelope=promise(1).envelope[:1])
    other = promise(2, envelope=promise(2).envelope[:1])

    found = stand(book(32_000, late, other), at_h=2.25)["p1"]
    assert (found.is_at_risk, found.known_ratio) == (True, None)
    # Alone it could not have it either.
    found = stand(book(13_000, late), at_h=2.25)["p1"]
    assert (found.is_at_risk, found.known_ratio) == (True, 0.0)


def test_a_vehicle_may_take_more_than_was_said_of_it() -> None:
    """Nothing holds it to that: its connector gives 32 A."""
    little = promise(1, max_ma=16_000)

    found = stand(book(40_000, little), at_h=3.2)["p1"]
    assert (found.is_at_risk, found.known_ratio) == (True, None)
    assert stand(book(40_000, little), at_h=3.6)["p1"].known_ratio == 0.0
    assert stand(book(20_000, little), at_h=3.3)["p1"].known_ratio == 0.0


def test_a_vehicle_that_does_not_come_makes_it_less_sure_until_it_cannot_be_kept() -> None:
    made = book(40_000, promise(1))

    # Half an hour at 32 A is what it needs.
    assert stand(made, at_h=3.4)["p1"].confidence_ratio == 1.0
    late = stand(made, at_h=3.6)["p1"]
    assert (late.confidence_ratio, late.danger) == (0.0, Danger.LATE)
    starts_h = PLACES.outlet("CP-01/1", phase_count=None, max_power_w=None).start_s / HOUR_S
    assert late.can_wh == pytest.approx((0.4 - starts_h) * 22_080)


def test_a_vehicle_that_was_given_too_little_is_told_while_something_can_be_done() -> None:
    here = promise(1, state=PromiseState.ARRIVED, delivered_wh=2_000.0)

    assert not stand(book(40_000, here), at_h=3.5)["p1"].is_at_risk
    slow = stand(book(40_000, here), at_h=3.65)["p1"]
    assert (slow.is_at_risk, slow.danger) == (True, Danger.SLOW)
    done = replace(here, delivered_wh=10_900.0)
    assert not stand(book(0, done), at_h=3.9)["p1"].is_at_risk


def test_another_vehicle_at_its_connector_endangers_it_as_long_as_it_is_taken_to_stay() -> None:
    made = book(40_000, promise(1))

    assert stand(made, p1=3.4)["p1"].danger is None
    found = stand(made, p1=3.9)["p1"]
    assert (found.is_at_risk, found.danger) == (True, Danger.OCCUPIED)
    assert stand(made, p2=3.9)["p1"].danger is None


def test_a_connector_that_is_away_endangers_what_begins_before_it_is_taken_to_be_back() -> None:
    away = {
        "CP-01/1": Away(what="CP-01/1", how="faulted", since_at_s=BEGINS_S, began_at_s=BEGINS_S)
    }

    def danger(made: Reservation, at_h: float) -> Danger | None:
        now_s = BEGINS_S + at_h * HOUR_S
        (found,) = standings(book(40_000, made), PLACES, now_s=now_s, away=away)
        assert found.is_at_risk == (found.danger is not None)
        return found.danger

    soon_h = 2 - BACK_WITHIN_S / HOUR_S
    assert danger(promise(1), soon_h) is None
    assert danger(promise(1), soon_h + 0.001) is Danger.STATION
    assert danger(promise(2), soon_h + 0.001) is None
    here = promise(1, state=PromiseState.ARRIVED)
    assert danger(here, 2.5) is Danger.STATION
    # What was given is given.
    assert danger(replace(here, delivered_wh=10_900.0), 2.5) is None


def test_a_vehicle_that_takes_little_cannot_make_up_for_what_it_missed() -> None:
    little = promise(1, max_ma=16_000)

    assert not stand(book(40_000, little), at_h=2.9)["p1"].is_at_risk
    assert stand(book(40_000, little), at_h=3.2)["p1"].is_at_risk


def test_a_vehicle_that_takes_less_as_it_fills_up_makes_up_for_less() -> None:
    fills_up = promise(1, taper=((9_000.0, 6_000),))

    # 9 kWh at 32 A take 25 minutes, the rest at 6 A another 27.
    assert not stand(book(40_000, fills_up), at_h=3.1)["p1"].is_at_risk
    late = stand(book(40_000, fills_up), at_h=3.3)["p1"]
    assert (late.is_at_risk, late.danger) == (True, Danger.LATE)
    # What has been delivered is on the way to full.
    here = replace(fills_up, state=PromiseState.ARRIVED, delivered_wh=9_500.0)
    assert not stand(book(40_000, here), at_h=3.6)["p1"].is_at_risk
    slow = stand(book(40_000, here), at_h=3.75)["p1"]
    assert (slow.is_at_risk, slow.danger) == (True, Danger.SLOW)


def test_what_is_drawn_plainly_is_taken_to_be_drawn() -> None:
    """Nobody comes for it, and nobody measures it."""
    kitchen = promise(1, place="circuit:carpark#p1", max_ma=16_000)
    kitchen = replace(kitchen, envelope=kitchen.envelope[:1])

    for at_h in (1.0, 2.1, 2.9, 2.99):
        assert not stand(book(16_000, kitchen), at_h=at_h)["p1"].is_at_risk
    found = stand(book(8_000, kitchen), at_h=2.1)["p1"]
    assert (found.is_at_risk, found.danger) == (True, Danger.ROOM)


def test_a_start_costs_what_it_does_in_a_quote() -> None:
    starts_s = PLACES.outlet("CP-01/1", phase_count=None, max_power_w=None).start_s
    made = book(40_000, promise(1))
    takes_s = 0.98 * 1_800.0
    assert stand(made, at_h=4.0 - (takes_s + starts_s + 1.0) / HOUR_S)["p1"].danger is None
    assert stand(made, at_h=4.0 - (takes_s + starts_s - 1.0) / HOUR_S)["p1"].danger is Danger.LATE


@pytest.mark.parametrize(
    ("said", "floor"),
    [(1.0, 0.9), (0.95, 0.85), (0.9, 0.8), (0.8, 0.6), (0.7, 0.4), (0.6, 0.3), (0.5, 0.25)],
)
def test_the_floor_is_where_it_is_twice_as_likely_to_break_or_half_as_likely_to_be_kept(
    said: float, floor: float
) -> None:
    assert floor_ratio(said) == pytest.approx(floor)


@pytest.mark.parametrize("said", [0.01, 0.1, 0.3, 0.5, 1.0])
def test_what_cannot_be_kept_is_at_risk_however_unsure_it_was(said: float) -> None:
    (found,) = stand(book(0, replace(promise(1), confidence_ratio=said))).values()
    assert (found.confidence_ratio, found.is_at_risk) == (0.0, True)


@given(
    has_ma=st.integers(0, 80_000),
    starts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    at_h=st.floats(0.0, 7.0),
)
def test_a_book_that_carries_all_its_promises_endangers_none_before_they_begin(
    has_ma: int, starts: list[int], at_h: float
) -> None:
    promises = [
        promise(
            number,
            envelope=(
                Stretch(
                    from_at_s=BEGINS_S + start * 1_800.0,
                    until_at_s=BEGINS_S + start * 1_800.0 + HOUR_S,
                    current_ma=16_000,
                ),
            ),
        )
        for number, start in enumerate(starts, start=1)
    ]
    made = book(has_ma, *promises)
    found = stand(made, at_h=at_h)

    if made.room.left_ma.min() >= 0:
        early = [p.id for p in promises if p.from_at_s >= BEGINS_S + at_h * HOUR_S]
        assert [name for name in early if found[name].is_at_risk] == []


def test_who_charges_already_starts_anew_after_a_pause() -> None:
    hours = (2, 3, 3.5, 4)
    stretches = tuple(
        Stretch(
            from_at_s=BEGINS_S + from_h * HOUR_S,
            until_at_s=BEGINS_S + until_h * HOUR_S,
            current_ma=current_ma,
        )
        for from_h, until_h, current_ma in zip(hours, hours[1:], (16_000, 0, 16_000), strict=False)
    )
    came = promise(
        1,
        envelope=stretches,
        energy_wh=16_560,
        delivered_wh=5_520.0,
        state=PromiseState.ARRIVED,
        arrived_at_s=BEGINS_S + 2 * HOUR_S,
        max_ma=16_000,
    )
    between = Stretch(
        from_at_s=BEGINS_S + 3 * HOUR_S, until_at_s=BEGINS_S + 3.5 * HOUR_S, current_ma=16_000
    )
    other = promise(2, envelope=(between,), energy_wh=5_400, criticality=Criticality.CRITICAL)
    made = book(16_000, came, other)
    start_s = PLACES.outlet("CP-01/1", phase_count=None, max_power_w=None).settling_s + 3.0 / 2

    assert stand(made, at_h=2.5)["p1"].can_wh == pytest.approx(16_560 - 11_040 * start_s / HOUR_S)
