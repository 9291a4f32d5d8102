"""Base is forecast from the weeks before, honestly wide while little is known."""

import numpy as np
import pytest

from gateway.planning.forecast import (
    LEAST_PATHS,
    WIDEST_OFFSET,
    LoadHistory,
    forecast,
    moved_offset,
)

HOURS = 24


def weeks(
    count: int, *, noise: float = 0.0, seed: int = 1
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return weeks of a building that draws 20 at night and 60 on working days."""
    hours = np.arange(count * 7 * HOURS)
    is_working = ((hours // HOURS) % 7 < 5) & (hours % HOURS >= 8) & (hours % HOURS < 18)
    level = np.where(is_working, 60.0, 20.0)
    errors = np.random.default_rng(seed).normal(0.0, 1.0, len(hours))
    return level + noise * errors


def test_a_building_like_every_week_is_known() -> None:
    known = LoadHistory(loads=weeks(8), steps_a_day=HOURS)
    seen = forecast(known, 48, worst_case=100.0)

    assert seen.expected == pytest.approx(weeks(9)[8 * 7 * HOURS :][:48])
    assert seen.paths == pytest.approx(np.tile(seen.expected, (len(seen.paths), 1)))


@pytest.mark.parametrize(("weeks_ago", "part"), [(1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1), (5, 0.0)])
def test_a_holiday_weeks_ago_counts_less_the_longer_ago_it_was(weeks_ago: int, part: float) -> None:
    loads = weeks(8)
    begins = len(loads) - weeks_ago * 7 * HOURS
    loads[begins : begins + HOURS] = 0.0
    seen = forecast(LoadHistory(loads=loads, steps_a_day=HOURS), HOURS, worst_case=100.0)

    assert seen.expected == pytest.approx((1.0 - part) * weeks(1)[:HOURS])


def test_paths_are_as_wide_as_errors_were() -> None:
    known = LoadHistory(loads=weeks(20, noise=3.0), steps_a_day=HOURS)
    seen = forecast(known, 24, worst_case=100.0)
    widths = np.quantile(seen.paths, 0.9, axis=0) - np.quantile(seen.paths, 0.1, axis=0)

    # An error of the forecast holds the noise of the hour and that of the weeks it was made of.
    assert 2 * 1.28 * 3.0 * 0.8 < widths.mean() < 2 * 1.28 * 3.0 * 1.8


def test_a_day_above_its_weeks_goes_on_above_them() -> None:
    chance = np.random.default_rng(3)
    days = np.repeat(chance.normal(0.0, 8.0, 12 * 7 + 1), HOURS)  # Each day has a level of its own.
    loads = weeks(13)[: len(days)] + days
    cut = 12 * 7 * HOURS + 8
    seen = forecast(LoadHistory(loads=loads[:cut], steps_a_day=HOURS), 3, worst_case=100.0)
    truth = loads[cut : cut + 3]
    plain = forecast(LoadHistory(loads=loads[: cut - 8], steps_a_day=HOURS), 11, worst_case=100.0)

    assert abs(seen.expected - truth).mean() < abs(plain.expected[8:] - truth).mean()


def test_a_cold_start_is_the_worst_case_and_first_weeks_are_wide() -> None:
    cold = forecast(LoadHistory(loads=weeks(1), steps_a_day=HOURS), 24, worst_case=90.0)
    young = forecast(LoadHistory(loads=weeks(2), steps_a_day=HOURS), 48, worst_case=90.0)

    assert (cold.paths == 90.0).all()
    assert len(young.paths) >= LEAST_PATHS
    assert (young.paths[:, :24] == 90.0).all(axis=1).any()


@pytest.mark.parametrize("weeks_ago", [2, 3, 8])
@pytest.mark.parametrize("measured_since_h", [0, 8, 6 * HOURS])
def test_an_hour_measured_weeks_ago_is_as_good_as_nothing(
    weeks_ago: int, measured_since_h: int
) -> None:
    loads = np.full(weeks_ago * 7 * HOURS + 1, np.nan)
    loads[0] = 3.0
    loads[len(loads) - measured_since_h :] = 3.0
    seen = forecast(LoadHistory(loads=loads, steps_a_day=HOURS), 24, worst_case=90.0)

    assert (seen.paths == 90.0).all()
    assert (seen.expected == 90.0).all()
    assert not seen.is_known.any()


def test_hours_never_measured_have_the_worst_case_and_the_others_what_was_measured() -> None:
    loads = weeks(9)
    by_day = np.arange(len(loads)) % HOURS
    loads[(by_day >= 9) & (by_day < 17)] = np.nan
    known = LoadHistory(loads=loads[: 8 * 7 * HOURS], steps_a_day=HOURS)
    seen = forecast(known, 48, worst_case=90.0)
    is_unknown = np.isnan(loads[8 * 7 * HOURS :][:48])

    assert (seen.paths[:, is_unknown] == 90.0).all()
    assert (seen.is_known == ~is_unknown).all()
    usual = np.tile(weeks(1)[:48], (len(seen.paths), 1))
    assert seen.paths[:, ~is_unknown] == pytest.approx(usual[:, ~is_unknown])


def test_hours_measured_a_few_times_are_known_in_part() -> None:
    loads = weeks(8)
    by_day = np.arange(len(loads)) % HOURS
    is_noon = (by_day >= 11) & (by_day <= 13)
    loads[is_noon & (np.arange(len(loads)) < len(loads) - 10 * HOURS)] = np.nan
    seen = forecast(LoadHistory(loads=loads, steps_a_day=HOURS), 24, worst_case=90.0)
    worst_ratio = (seen.paths == 90.0).mean(axis=0)

    assert worst_ratio[10] == worst_ratio[14] == 0.0
    # Of the last three days noon was measured a week before too, and each noon is three hours but
    # the last, whose path does not end by now.
    assert worst_ratio[12] == pytest.approx(1 - 8 / LEAST_PATHS, abs=0.01)


def test_what_was_not_measured_tells_no_error() -> None:
    loads = weeks(20, noise=3.0)
    loads[np.random.default_rng(7).random(len(loads)) < 0.3] = np.nan
    seen = forecast(LoadHistory(loads=loads, steps_a_day=HOURS), 24, worst_case=100.0)
    widths = np.quantile(seen.paths, 0.9, axis=0) - np.quantile(seen.paths, 0.1, axis=0)

    assert 2 * 1.28 * 3.0 * 0.8 < widths.min() <= widths.max() < 2 * 1.28 * 3.0 * 1.8
    assert seen.expected == pytest.approx(weeks(1)[:24], abs=3 * 3.0)


def test_a_gap_in_the_measurements_is_taken_from_the_weeks_before() -> None:
    loads = weeks(8)
    loads[-30:-20] = np.nan
    seen = forecast(LoadHistory(loads=loads, steps_a_day=HOURS), 24, worst_case=100.0)

    assert seen.expected == pytest.approx(weeks(9)[8 * 7 * HOURS :][:24])


def test_an_offset_brings_misses_to_what_was_asked_whatever_the_forecast() -> None:
    chance = np.random.default_rng(5)
    for bias in (-0.6, 0.0, 0.6):
        offset, misses = 0.0, []
        for _ in range(4_000):
            # The scenarios say a normal load, the loads are normal about another mean.
            is_over = bool(chance.normal(bias) > 0.8416 + offset)
            offset = moved_offset(offset, is_over=is_over, level_ratio=0.8)
            misses.append(is_over)
        assert np.mean(misses[1_000:]) == pytest.approx(0.2, abs=0.02)

    offset = 0.0
    for _ in range(1_000):
        offset = moved_offset(offset, is_over=True, level_ratio=0.8)
    assert offset == WIDEST_OFFSET


def test_an_offset_shifts_scenarios_by_how_wide_they_are() -> None:
    known = LoadHistory(loads=weeks(12, noise=3.0), steps_a_day=HOURS)
    plain = forecast(known, 24, worst_case=100.0)
    higher = forecast(known, 24, worst_case=100.0, offset=0.5)

    assert higher.paths - plain.paths == pytest.approx(
        np.tile(0.5 * plain.paths.std(axis=0), (len(plain.paths), 1))
    )
