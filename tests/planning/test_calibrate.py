"""Promises are scored by what was said and what was kept, and an alarm sounds when they differ."""

import random

import pytest

from gateway.planning.calibrate import (
    Outcome,
    miscalibrations,
    reliability,
    wilson,
)


def outcomes(said: float, kept: float, count: int, *, seed: int = 5) -> list[Outcome]:
    """Return promises made at one confidence and kept at another."""
    chance = random.Random(seed)
    return [
        Outcome(
            confidence_ratio=said,
            promised_wh=10_000,
            delivered_wh=10_000 if chance.random() < kept else 5_000,
        )
        for _ in range(count)
    ]


def test_the_interval_is_that_of_wilson() -> None:
    low, high = wilson(9, 10, 1.959964)

    # Its ends are where the rate seen is just so many standard errors of the rate supposed away.
    for rate in (low, high):
        assert abs(0.9 - rate) == pytest.approx(1.959964 * (rate * (1 - rate) / 10) ** 0.5)
    assert wilson(0, 0, 1.96) == (0.0, 1.0)


def test_each_level_is_scored_by_itself() -> None:
    made = outcomes(0.8, 0.8, 400) + outcomes(0.95, 0.95, 400)
    eighty, ninety, ninety_five = reliability(made, (0.8, 0.9, 0.95))

    assert (eighty.count, ninety.count, ninety_five.count) == (400, 0, 400)
    assert eighty.low_ratio < 0.8 < eighty.high_ratio
    assert (ninety.low_ratio, ninety.high_ratio) == (0.0, 1.0)


def test_promises_kept_as_said_sound_no_alarm_and_others_do() -> None:
    assert not miscalibrations(outcomes(0.9, 0.9, 500))
    assert miscalibrations(outcomes(0.9, 0.8, 500))
    assert miscalibrations(outcomes(0.8, 0.95, 500))  # Too careful is untrue as well.
    assert not miscalibrations([])


def kept_of(kept_count: int, count: int) -> list[Outcome]:
    """Return promises made at 90 %, so many of which were kept."""
    return [
        Outcome(confidence_ratio=0.9, promised_wh=1, delivered_wh=int(at < kept_count))
        for at in range(count)
    ]


@pytest.mark.parametrize(
    ("kept_count", "is_alarm"), [(434, False), (432, True), (465, False), (469, True)]
)
def test_the_alarm_waits_until_one_in_a_hundred_would_be_as_far_off(
    kept_count: int, *, is_alarm: bool
) -> None:
    # 434 of 500 are 2.4 standard errors below 90 %, 432 are 2.7, and 469 are 2.8 above.
    assert bool(miscalibrations(kept_of(kept_count, 500))) is is_alarm


def test_a_row_of_the_report_has_the_interval_of_95_per_cent() -> None:
    (row,) = reliability(kept_of(90, 100), (0.9,))

    for rate in (row.low_ratio, row.high_ratio):
        assert abs(0.9 - rate) == pytest.approx(1.96 * (rate * (1 - rate) / 100) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("ratios", "wrong"),
    [
        # On average each says what is kept.
        ({0.8: 0.88, 0.95: 0.87}, [0.8, 0.95]),
        ({0.8: 0.8, 0.9: 0.8, 0.95: 0.95}, [0.9]),
        ({0.5: 0.5, 0.8: 0.9, 0.95: 0.95}, [0.8]),
        ({0.5: 0.5, 0.8: 0.8, 0.9: 0.9, 0.95: 0.95}, []),
    ],
)
def test_a_level_that_is_wrong_is_not_hidden_by_another(
    ratios: dict[float, float], wrong: list[float]
) -> None:
    made = [
        Outcome(confidence_ratio=said, promised_wh=100, delivered_wh=100 * (at % 100 < 100 * kept))
        for at in range(500)
        for said, kept in ratios.items()
    ]

    assert [found.level_ratio for found in miscalibrations(made)] == wrong


def test_a_few_that_break_sound_no_alarm() -> None:
    broken = [Outcome(confidence_ratio=0.95, promised_wh=1, delivered_wh=0)] * 20

    assert not miscalibrations(broken[1:])
    assert miscalibrations(broken)


def test_only_the_last_five_hundred_count() -> None:
    assert not miscalibrations(outcomes(0.9, 0.1, 2_000) + outcomes(0.9, 0.9, 500))


def test_windows_that_bind_nobody_and_vehicles_that_left_are_not_scored() -> None:
    flattering = [
        Outcome(confidence_ratio=0.9, promised_wh=1, delivered_wh=1, is_binding=False)
    ] * 500
    excused = [Outcome(confidence_ratio=0.9, promised_wh=9, delivered_wh=1, is_excused=True)] * 500

    assert not miscalibrations(flattering + excused)
    assert reliability(flattering + excused, (0.9,))[0].count == 0


def test_a_promise_is_kept_from_98_per_cent_on() -> None:
    kept, broken = (
        Outcome(confidence_ratio=0.9, promised_wh=1_000, delivered_wh=wh) for wh in (980, 979)
    )

    assert (kept.is_kept, broken.is_kept) == (True, False)


def test_the_alarm_says_what_was_said_and_what_was_kept() -> None:
    (found,) = miscalibrations(outcomes(0.9, 0.8, 400))

    assert (found.level_ratio, found.count) == (0.9, 400)
    assert found.kept_ratio == pytest.approx(0.8, abs=0.01)
    assert found.promised_ratio == pytest.approx(0.9)
    # What was always kept may have been said to be sure; what was not, may not.
    assert not miscalibrations(outcomes(1.0, 1.0, 500))
    assert miscalibrations(outcomes(1.0, 0.996, 500))
