"""What a station says of its limits, in words beside what it was told."""

import pytest

from gateway.cli.station import LESS, MORE, in_words
from gateway.domain.charging import CompositePeriod
from gateway.services.station_desk import Schedule


def schedule(
    *periods: CompositePeriod,
    told_ma: int | None = 13_700,
    lease_s: float | None = 61.0,
    fallback_ma: int | None = 6_000,
) -> Schedule:
    return Schedule(
        connector="CP-03/1",
        periods=periods,
        told_ma=told_ma,
        lease_s=lease_s,
        fallback_ma=fallback_ma,
    )


def amperes(limit_a: float, *, start_s: int = 0) -> CompositePeriod:
    return CompositePeriod(start_s=start_s, current_ma=int(limit_a * 1_000))


def test_periods_that_say_the_same_are_said_once() -> None:
    found = schedule(amperes(13.7), amperes(13.7, start_s=20), amperes(6.0, start_s=57))
    assert in_words(found) == [
        "CP-03/1 says: 13.7 A now, then 6.0 A from 57 s on.",
        "Headroom told it 13.7 A for 61 s more at most; its fallback of 6.0 A holds after that.",
    ]


@pytest.mark.parametrize(
    ("told_ma", "lease_s", "fallback_ma", "said"),
    [
        (6_000, None, 6_000, "Headroom told it 6.0 A."),
        (
            13_700,
            0.0,
            6_000,
            "Headroom told it 13.7 A; that is over, and its fallback of 6.0 A holds.",
        ),
        (None, None, 6_000, "Headroom has told it nothing yet: its fallback of 6.0 A holds."),
        (
            None,
            None,
            None,
            "Headroom has told it nothing yet: its fallback, which is not written yet, holds.",
        ),
    ],
)
def test_what_holds_is_what_it_was_told_until_that_is_over(
    told_ma: int | None, lease_s: float | None, fallback_ma: int | None, said: str
) -> None:
    found = schedule(amperes(6.0), told_ma=told_ma, lease_s=lease_s, fallback_ma=fallback_ma)
    assert in_words(found) == ["CP-03/1 says: 6.0 A now.", said]


@pytest.mark.parametrize(("says_a", "words"), [(16.0, MORE), (6.0, LESS)])
def test_a_difference_is_said(says_a: float, words: str) -> None:
    assert in_words(schedule(amperes(says_a)))[2:] == [words]


def test_watts_and_silence_are_not_compared() -> None:
    watts = CompositePeriod(start_s=0, power_w=11_000)
    assert in_words(schedule(watts))[0] == "CP-03/1 says: 11.0 kW now."
    assert len(in_words(schedule(watts))) == 2
    assert in_words(schedule())[0] == "CP-03/1 says: nothing of a limit."
