"""A circuit's calendar lowers its rating at times: control hears of it before, and plans know it ahead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.decide import decide
from gateway.control.fold import evolve_all
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.circuits import Site
from gateway.domain.events import ConstraintLifted, ConstraintSet, Event
from gateway.domain.limits import Authority, Constraint
from gateway.domain.rating_calendar import CalendarRating, edges_between, lowest_rating, rating_at
from gateway.planning.grid import even_grid, grid_of
from gateway.services.calendar_ratings import AHEAD, CalendarRatings, calendar_bounds_ma
from gateway.services.forecasting import Forecasting
from tests.support.small_site import CARPARK, at_start, main_read, small_site

LONDON = ZoneInfo("Europe/London")
FULL_MA = (100_000, 100_000, 100_000)
EVENING = CalendarRating(
    rating_ma=(60_000, 60_000, 70_000), starts_s=59_400, ends_s=72_000, days=frozenset(range(5))
)
NIGHT = CalendarRating(rating_ma=(80_000,) * 3, starts_s=82_800, ends_s=21_600)
MONDAY_16H = datetime(2026, 1, 5, 16, tzinfo=UTC)


def site(*ratings: CalendarRating) -> Site:
    bare = small_site()
    return replace(bare, circuits=(replace(bare.circuits[0], ratings=ratings),))


class WallClock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def monotonic_s(self) -> float:
        return 0.0

    def now_at(self) -> datetime:
        return self.at

    async def sleep_s(self, delay_s: float) -> None:
        raise AssertionError(delay_s)


def at_minute(day: int, minute: int) -> datetime:
    """Return a local time: 0 is Monday."""
    return datetime(2026, 1, 5 + day, tzinfo=LONDON) + timedelta(minutes=minute)


def test_a_rating_holds_on_its_days_and_over_midnight_into_the_next() -> None:
    held = [(day, minute) for day in range(7) for minute in (989, 990, 1_199, 1_200)]
    assert [(d, m) for d, m in held if EVENING.holds_at(at_minute(d, m))] == [
        (day, minute) for day in range(5) for minute in (990, 1_199)
    ]
    friday = replace(NIGHT, days=frozenset({4}))
    assert [
        (day, minute)
        for day in range(7)
        for minute in (0, 359, 360, 1_379, 1_380, 1_439)
        if friday.holds_at(at_minute(day, minute))
    ] == [(4, 1_380), (4, 1_439), (5, 0), (5, 359)]
    all_day = replace(NIGHT, ends_s=NIGHT.starts_s, days=frozenset({6}))
    assert all_day.holds_at(at_minute(6, 1_380))
    assert all_day.holds_at(at_minute(0, 1_379))
    assert not all_day.holds_at(at_minute(0, 1_380))


def test_when_a_rating_holds_is_told_in_words() -> None:
    assert str(EVENING) == "mon to fri 16:30 to 20:00"
    assert str(NIGHT) == "23:00 to 06:00"
    assert str(replace(NIGHT, days=frozenset({0, 2}))) == "mon, wed 23:00 to 06:00"


SECONDS = st.integers(0, 1_439).map(lambda minutes: 60 * minutes)
RATINGS = st.builds(
    CalendarRating,
    rating_ma=st.tuples(*[st.integers(0, 120_000)] * 3),
    starts_s=SECONDS,
    ends_s=SECONDS,
    days=st.frozensets(st.integers(0, 6), min_size=1),
)
DAY_S = 86_400
YEAR_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Kolkata")  # The last puts no clock back.
CLOCK_CHANGES = (87, 66, 297, 304)
"""The days of 2026, from 0, on which the clocks of the first two are changed."""


@given(
    ratings=st.lists(RATINGS, max_size=3),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.sampled_from(CLOCK_CHANGES) | st.integers(0, 364),
    offset_s=st.integers(0, 2 * DAY_S),
)
def test_ratings_change_at_edges_alone_and_never_rise_above_their_own(
    ratings: list[CalendarRating], zone: ZoneInfo, day: int, offset_s: int
) -> None:
    since_s = YEAR_S + day * DAY_S
    edges_s = edges_between(ratings, zone, since_s, since_s + 3 * DAY_S)

    def rating_ma(at_s: float) -> tuple[int, ...]:
        local = datetime.fromtimestamp(at_s, zone)
        return rating_at(FULL_MA, ratings, local)[0]

    at_s = since_s + offset_s
    seen = rating_ma(at_s)
    assert all(
        low <= now <= own
        for low, now, own in zip(lowest_rating(FULL_MA, ratings), seen, FULL_MA, strict=True)
    )
    next_s = at_s + 30.0
    has_edge = any(at_s < edge_s <= next_s for edge_s in edges_s)
    assert has_edge or rating_ma(next_s) == seen


NIGHTS = tuple(
    CalendarRating(rating_ma=(lowest_ma,) * 3, starts_s=60 * starts, ends_s=60 * ends, days=days)
    for lowest_ma, starts, ends, days in (
        # About the hours that are left out or told twice: one of them begins and ends within.
        (90_000, 0, 90, frozenset(range(7))),
        (80_000, 150, 300, frozenset(range(7))),
        (70_000, 125, 155, frozenset({5, 6})),
        (60_000, 1_380, 75, frozenset({5, 6})),
    )
)


@pytest.mark.parametrize("zone", [ZoneInfo(name) for name in ZONES], ids=str)
def test_at_no_minute_of_a_year_has_a_plan_more_than_the_rating_of_the_hour(zone: ZoneInfo) -> None:
    circuit = site(*NIGHTS).circuits[0]
    wiring, minutes = Wiring.of(site(*NIGHTS)), 2 * DAY_S // 60
    for day in range(0, 364, 2):
        from_s = YEAR_S + day * DAY_S
        edges_s = edges_between(NIGHTS, zone, from_s, from_s + 2 * DAY_S)
        grid = grid_of(2.0 * DAY_S, events_s=[edge_s - from_s for edge_s in edges_s])
        bounds_ma = calendar_bounds_ma(wiring, zone, grid, from_s)
        assert bounds_ma is not None
        slots = np.searchsorted(grid.edges_s, 60.0 * np.arange(minutes), side="right") - 1
        for minute, planned_ma in enumerate(bounds_ma[0, slots].tolist()):
            local = datetime.fromtimestamp(from_s + 60 * minute, zone)
            rating_ma, _ = rating_at(FULL_MA, NIGHTS, local)
            assert planned_ma <= circuit.set_point_of(rating_ma)[0], local


def posted(
    ratings: CalendarRatings, out: list[Event], clock: WallClock, at: datetime
) -> list[Event]:
    out.clear()
    clock.at = at
    ratings.look()
    return list(out)


def test_control_is_told_before_a_rating_falls_and_once_it_is_back() -> None:
    clock, out = WallClock(MONDAY_16H), list[Event]()
    ratings = CalendarRatings(site(EVENING).circuits, LONDON, clock=clock, post=out.append)
    starts_at, ends_at = MONDAY_16H + timedelta(minutes=30), MONDAY_16H + timedelta(hours=4)
    limit = Constraint(
        subject=CARPARK,
        limit_ma=(57_000, 57_000, 66_500),
        authority=Authority.SITE,
        source="calendar",
        rating_ma=EVENING.rating_ma,
    )
    ahead = replace(limit, rating_ma=FULL_MA)

    assert posted(ratings, out, clock, MONDAY_16H) == []
    assert posted(ratings, out, clock, starts_at - AHEAD - timedelta(seconds=1)) == []
    assert posted(ratings, out, clock, starts_at - AHEAD) == [
        ConstraintSet(at_s=0.0, constraint=ahead)
    ]
    assert posted(ratings, out, clock, starts_at - timedelta(seconds=1)) == []
    assert posted(ratings, out, clock, starts_at) == [ConstraintSet(at_s=0.0, constraint=limit)]
    assert posted(ratings, out, clock, ends_at - timedelta(seconds=1)) == []
    assert posted(ratings, out, clock, ends_at) == [ConstraintLifted(at_s=0.0, constraint=limit)]


def test_what_was_told_before_a_restart_is_taken_back_if_the_calendar_no_longer_says_so() -> None:
    clock, out = WallClock(MONDAY_16H), list[Event]()
    stale = Constraint(
        subject=CARPARK, limit_ma=(1, 1, 1), authority=Authority.SITE, source="calendar"
    )
    veto = replace(stale, authority=Authority.VETO, source="veto")
    for circuits in (site(EVENING).circuits, site().circuits):
        ratings = CalendarRatings(
            circuits, LONDON, clock=clock, post=out.append, standing=(veto, stale)
        )
        assert posted(ratings, out, clock, MONDAY_16H) == [
            ConstraintLifted(at_s=0.0, constraint=stale)
        ]


@pytest.mark.parametrize("jump_h", [5, -2])
def test_a_wall_clock_that_jumps_lifts_no_rating_before_it_is_believed(jump_h: int) -> None:
    now_at, out = MONDAY_16H + timedelta(hours=1), list[Event]()
    clock = WallClock(now_at)
    ratings = CalendarRatings(
        site(EVENING).circuits,
        LONDON,
        clock=clock,
        steady_clock=WallClock(now_at),
        post=out.append,
    )
    assert len(posted(ratings, out, clock, now_at)) == 1

    assert posted(ratings, out, clock, now_at + timedelta(hours=jump_h)) == []


def test_a_wall_clock_that_jumps_into_a_lower_rating_has_it_at_once() -> None:
    clock, out = WallClock(MONDAY_16H), list[Event]()
    ratings = CalendarRatings(
        site(EVENING).circuits,
        LONDON,
        clock=clock,
        steady_clock=WallClock(MONDAY_16H),
        post=out.append,
    )

    (fact,) = posted(ratings, out, clock, MONDAY_16H + timedelta(hours=1))

    assert isinstance(fact, ConstraintSet)
    assert fact.constraint.rating_ma == EVENING.rating_ma


def test_with_a_clock_that_was_never_set_the_lowest_of_all_ratings_holds() -> None:
    clock, out = WallClock(datetime(1970, 1, 1, tzinfo=UTC)), list[Event]()
    ratings = CalendarRatings(site(EVENING, NIGHT).circuits, LONDON, clock=clock, post=out.append)
    ratings.look()

    (fact,) = out
    assert isinstance(fact, ConstraintSet)
    assert fact.constraint.limit_ma == (57_000, 57_000, 66_500)


def test_a_decision_keeps_to_what_the_calendar_says() -> None:
    clock, out = WallClock(MONDAY_16H + timedelta(hours=1)), list[Event]()
    CalendarRatings(site(EVENING).circuits, LONDON, clock=clock, post=out.append).look()
    state = evolve_all(at_start(site(EVENING)), [*out, main_read(0.0, 20.0)])
    rows = decide(state, 0.0).survey.rows

    assert [(row.bound_ma, row.bound_source) for row in rows] == [
        (57_000, "calendar"),
        (57_000, "calendar"),
        (66_500, "calendar"),
    ]


def test_a_plan_has_the_bounds_of_each_slot() -> None:
    wiring, grid = Wiring.of(site(EVENING)), even_grid(24, 1_800.0)
    bounds_ma = calendar_bounds_ma(wiring, LONDON, grid, MONDAY_16H.timestamp())

    assert bounds_ma is not None
    # 16:30 to 20:00 are seven half hours, the first beginning half an hour from now.
    assert bounds_ma[0].tolist() == [95_000] + [57_000] * 7 + [95_000] * 16
    assert calendar_bounds_ma(Wiring.of(site()), LONDON, grid, 0.0) is None


def test_a_slot_that_a_lower_rating_touches_has_the_lower_one() -> None:
    wiring, grid = Wiring.of(site(EVENING)), even_grid(5, 3_600.0)
    bounds_ma = calendar_bounds_ma(wiring, LONDON, grid, MONDAY_16H.timestamp())

    assert bounds_ma is not None
    assert bounds_ma[2].tolist() == [66_500] * 4 + [95_000]


@pytest.mark.parametrize("hours", [0.0, 1.0])
def test_promises_are_made_of_what_the_calendar_leaves_then_and_not_of_what_it_leaves_now(
    hours: float,
) -> None:
    clock, out = WallClock(MONDAY_16H + timedelta(hours=hours)), list[Event]()
    CalendarRatings(site(EVENING).circuits, LONDON, clock=clock, post=out.append).look()
    made = Forecasting(Wiring.of(site(EVENING)), ControlParameters(), zone=LONDON, clock=clock)
    limits = [fact.constraint for fact in out if isinstance(fact, ConstraintSet)]
    grid = even_grid(24, 1_800.0)
    told = made.prospect(grid, from_at_s=MONDAY_16H.timestamp(), constraints=limits)

    left_ma = 95_000 - 40_000 - 15_000
    assert told.available_ma[0].tolist() == [left_ma] + [left_ma - 38_000] * 7 + [left_ma] * 16
    assert len(limits) == (hours > 0)
    assert made.edges_s(MONDAY_16H.timestamp(), MONDAY_16H.timestamp() + 86_400) == [
        (MONDAY_16H + timedelta(minutes=minutes)).timestamp() for minutes in (30, 240)
    ]
