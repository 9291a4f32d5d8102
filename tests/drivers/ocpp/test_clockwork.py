"""What a station's clock shows, as far as its messages tell."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ocpp.clockwork import OBSERVATIONS, StationClock, read_time, wire_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTED_S = 1_000.0  # What our monotonic clock showed at `NOW`.

offsets_s = st.floats(-1e6, 1e6)
delays_s = st.lists(st.floats(0, 59), min_size=1, max_size=2 * OBSERVATIONS)


def station_at(after_s: float, *, ahead_s: float) -> datetime:
    return NOW + timedelta(seconds=after_s + ahead_s)


@given(ahead_s=offsets_s, delays_s=delays_s)
def test_a_clock_is_never_taken_to_be_later_than_it_is(
    ahead_s: float, delays_s: list[float]
) -> None:
    clock = StationClock()
    for n, delay_s in enumerate(delays_s):
        written_at = station_at(10 * n - delay_s, ahead_s=ahead_s)
        age_s = clock.observe_age_s(written_at, now_s=STARTED_S + 10 * n)
        assert -0.001 <= age_s <= delay_s + 0.001

    after_s = 10 * len(delays_s)
    shown_at = clock.shows_at(STARTED_S + after_s)
    assert shown_at is not None
    late_s = (station_at(after_s, ahead_s=ahead_s) - shown_at).total_seconds()
    assert late_s == pytest.approx(min(delays_s[-OBSERVATIONS:]), abs=0.001)


@given(ahead_s=offsets_s, our_jump_s=offsets_s, is_set=st.booleans())
def test_whoever_is_told_the_time_is_taken_to_be_no_later_whether_it_listens_or_not(
    ahead_s: float, our_jump_s: float, *, is_set: bool
) -> None:
    clock = StationClock()
    clock.observe_age_s(station_at(0, ahead_s=ahead_s), now_s=STARTED_S)
    clock.note_told(station_at(5, ahead_s=our_jump_s), now_s=STARTED_S + 5)

    def shown_late_s(after_s: float) -> float:
        shown_at = clock.shows_at(STARTED_S + after_s)
        assert shown_at is not None
        true_at = station_at(after_s, ahead_s=our_jump_s if is_set else ahead_s)
        return (true_at - shown_at).total_seconds()

    assert shown_late_s(6) >= -0.001
    # Its next message says which of the two it was.
    written_at = station_at(7, ahead_s=our_jump_s if is_set else ahead_s)
    clock.observe_age_s(written_at, now_s=STARTED_S + 7)
    assert shown_late_s(7) == pytest.approx(0, abs=0.001)


def test_what_waited_is_old_even_after_the_station_was_told_the_time() -> None:
    clock = StationClock()
    clock.observe_age_s(NOW, now_s=STARTED_S)
    clock.note_told(NOW, now_s=STARTED_S)

    assert clock.observe_age_s(NOW - timedelta(minutes=10), now_s=STARTED_S) == 600


def test_a_clock_set_back_is_followed_though_it_is_told_the_time_each_minute() -> None:
    clock, ages_s = StationClock(), list[float]()
    for n in range(24):
        if n % 2 == 0:
            clock.note_told(station_at(30 * n, ahead_s=0), now_s=STARTED_S + 30 * n)
        back_s = 3_600 if n >= 12 else 0
        written_at = station_at(30 * n + 10, ahead_s=-back_s)
        ages_s.append(clock.observe_age_s(written_at, now_s=STARTED_S + 30 * n + 10))

    assert ages_s == [*[0] * 12, 3_600, 3_600, *[0] * 10]


def test_a_clock_that_loses_time_is_followed_though_it_is_told_the_time_each_minute() -> None:
    clock = StationClock()
    for n in range(24):
        if n % 2 == 0:
            clock.note_told(station_at(30 * n, ahead_s=0), now_s=STARTED_S + 30 * n)
        written_at = station_at(30 * n + 10, ahead_s=-n)
        age_s = clock.observe_age_s(written_at, now_s=STARTED_S + 30 * n + 10)
        assert age_s == min(n, OBSERVATIONS - 1)


@given(
    apart_s=st.floats(10, 600),
    pace_s=st.floats(0.01, 3),
    ago_s=st.floats(100, 1e5),
    count=st.integers(1, 7),
)
def test_what_waited_is_not_taken_for_a_clock_set_back(
    apart_s: float, pace_s: float, ago_s: float, count: int
) -> None:
    clock = StationClock()
    clock.observe_age_s(NOW, now_s=STARTED_S)
    for n in range(count):  # Written at its interval, and told as fast as it can be.
        after_s = 10 + n * pace_s
        written_s = n * apart_s - ago_s - count * apart_s
        age_s = clock.observe_age_s(station_at(written_s, ahead_s=0), now_s=STARTED_S + after_s)
        assert age_s == pytest.approx(after_s - written_s, abs=0.001)


def test_nothing_is_known_before_a_message_or_after_a_boot() -> None:
    clock = StationClock()
    clock.note_told(NOW, now_s=STARTED_S)
    assert clock.shows_at(STARTED_S) is None

    clock.observe_age_s(NOW, now_s=STARTED_S)
    clock.forget()
    assert clock.shows_at(STARTED_S) is None


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]
)
def test_a_time_no_clock_shows_says_nothing(text: str) -> None:
    clock, written_at = StationClock(), read_time(text)
    assert written_at is not None

    assert clock.observe_age_s(written_at, now_s=STARTED_S) == 0
    assert clock.shows_at(STARTED_S) is None


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        (" 2026-03-01T12:00:00.000Z ", NOW),
        ("2026-03-01T13:00:00+01:00", NOW),
        ("2026-03-01T12:00:00", NOW),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_however_they_are_written(
    text: str | None, instant: datetime | None
) -> None:
    assert read_time(text) == instant


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    assert wire_time(NOW + timedelta(seconds=0.999)) == "2026-03-01T12:00:00Z"
