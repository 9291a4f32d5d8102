"""Bounds on departures and energies hold as often as they say, also after habits change."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.sessions import (
    LEAST_COUNT,
    LEVELS,
    TRAILING_COUNT,
    Ground,
    SessionBook,
    learn,
    spreads,
    stays_on_s,
    stays_until_s,
    takes_at_most_wh,
)

HOUR_S = 3_600.0


def book_of(count: int, user_class: str = "staff", *, late_s: float = 0.0) -> SessionBook:
    book = SessionBook()
    for at in range(count):
        book = learn(
            book, user_class, departs_s=late_s - 60.0 * (at % 60), takes_ratio=at % 10 / 10
        )
    return book


def test_with_too_few_known_it_is_the_drivers_word_and_says_so() -> None:
    bound = stays_until_s(book_of(LEAST_COUNT - 1), "staff", 9 * HOUR_S, 0.9)

    assert (bound.value, bound.ground, bound.count) == (9 * HOUR_S, Ground.WORD, LEAST_COUNT - 1)


def test_a_class_of_which_little_is_known_is_taken_for_everybody() -> None:
    book = learn(book_of(100), "guests", departs_s=0.0, takes_ratio=1.0)

    assert stays_until_s(book, "guests", 0.0, 0.9).ground is Ground.EVERYBODY
    assert stays_until_s(book, "staff", 0.0, 0.9).ground is Ground.OWN_CLASS


def test_who_is_overdue_stays_on_as_those_before_it_did() -> None:
    book = SessionBook()
    for at in range(1, 101):
        book = learn(book, "staff", departs_s=60.0 * at, takes_ratio=1.0)

    # Of those there an hour after they said, 40 were left: nine in ten stayed 5 minutes more.
    bound = stays_on_s(book, "staff", HOUR_S, 0.9)
    assert (bound.value, bound.count, bound.ground) == (300.0, 40, Ground.OWN_CLASS)
    assert stays_on_s(book, "staff", 2 * HOUR_S, 0.9).value == 0.0
    assert stays_on_s(book_of(3), "staff", 0.0, 0.9).ground is Ground.WORD


def test_classes_keep_their_own_habits() -> None:
    book = book_of(60)
    for _ in range(60):
        book = learn(book, "fleet", departs_s=0.0, takes_ratio=1.0)

    assert stays_until_s(book, "fleet", 8 * HOUR_S, 0.95).value == 8 * HOUR_S
    assert stays_until_s(book, "staff", 8 * HOUR_S, 0.95).value < 7.2 * HOUR_S
    assert takes_at_most_wh(book, "fleet", 10_000.0, 0.8).value == 10_000.0
    assert takes_at_most_wh(book, "staff", 10_000.0, 0.8).value < 10_000.0


def test_no_more_is_kept_than_counts() -> None:
    book = book_of(TRAILING_COUNT + 40)

    assert len(book.everybody.departs_s) == len(book.classes["staff"].takes_ratio) == TRAILING_COUNT


def test_a_level_nobody_learns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not in"):
        stays_until_s(book_of(50), "staff", 0.0, 0.5)


@given(
    ends=st.lists(
        st.tuples(st.floats(-9 * HOUR_S, 9 * HOUR_S), st.floats(0.0, 3.0)), min_size=31, max_size=90
    )
)
def test_a_surer_bound_is_never_bolder_and_never_beyond_what_was_seen(
    ends: list[tuple[float, float]],
) -> None:
    book = SessionBook()
    for departs_s, takes_ratio in ends:
        book = learn(book, "staff", departs_s=departs_s, takes_ratio=takes_ratio)
    until_s = [stays_until_s(book, "staff", 0.0, level).value for level in LEVELS]
    takes = [takes_at_most_wh(book, "staff", 1.0, level).value for level in LEVELS]

    assert until_s == sorted(until_s, reverse=True)
    assert takes == sorted(takes)
    assert min(departs_s for departs_s, _ in ends) <= until_s[-1]
    assert takes[-1] <= max(takes_ratio for _, takes_ratio in ends)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shift_s", [0.0, -2 * HOUR_S])
def test_bounds_are_kept_as_often_as_they_say(level: float, shift_s: float) -> None:
    chance = random.Random(7)
    book, kept = SessionBook(), []
    for at in range(3_000):
        # Half way through, everybody begins to leave earlier (the holidays).
        departs_s = chance.gauss(0.0, HOUR_S) + (shift_s if at > 1_500 else 0.0)
        if at >= 100:
            kept.append(departs_s >= stays_until_s(book, "staff", 0.0, level).value)
        book = learn(book, "staff", departs_s=departs_s, takes_ratio=1.0)

    assert abs(sum(kept) / len(kept) - level) < 0.025


def test_of_those_that_are_still_there_only_those_count_that_got_so_far() -> None:
    book = SessionBook()
    for minutes in range(100):
        book = learn(book, "vans", departs_s=60.0 * minutes, takes_ratio=minutes / 100)
    departs, takes = spreads(book, "vans", 0.8)
    level_s, level_ratio = departs.level, takes.level

    # Of a hundred the first fifth or so has left by then, and the last fifth takes more.
    for got_s in (-1.0, 30 * 60.0, 80 * 60.0):
        least_s = departs.least_beyond(got_s)
        beyond = [60.0 * minutes for minutes in range(100) if 60.0 * minutes > got_s]
        assert least_s is not None
        assert np.mean([s >= least_s for s in beyond]) >= level_s
        assert least_s == beyond[int((1 - level_s) * (len(beyond) + 1)) - 1]
    most = takes.most_beyond(0.5)
    assert most is not None
    beyond_ratios = [minutes / 100 for minutes in range(51, 100)]
    assert np.mean([ratio <= most for ratio in beyond_ratios]) >= level_ratio
    assert departs.least_beyond(95 * 60.0) is None
    assert takes.most_beyond(2.0) is None


def test_of_nobody_anything_is_known_of_there_is_no_spread() -> None:
    book = learn(SessionBook(), "vans", departs_s=0.0, takes_ratio=1.0)

    assert [s.least_beyond(-1e9) for s in spreads(book, "vans", 0.8)] == [None, None]
