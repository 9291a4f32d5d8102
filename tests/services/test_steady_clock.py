"""A jump of the wall clock closes no promise until it has lasted, and is an alarm meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.needs import Need
from gateway.domain.promises import PromiseState
from gateway.planning.answers import TimeUnknownError
from gateway.services.steady_clock import LASTS_S, SteadyClock
from tests.support.promise_house import FIRST, SECOND, VANS, House
from tests.support.virtual_time import run_virtual

START_AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
IN_5_H = timedelta(hours=5)


@dataclass
class Hands:
    """A clock whose hands are set by a test."""

    passed_s: float = 0.0
    off_s: float = 0.0
    start_at: datetime = START_AT

    def monotonic_s(self) -> float:
        return self.passed_s

    def now_at(self) -> datetime:
        return self.start_at + timedelta(seconds=self.passed_s + self.off_s)

    async def sleep_s(self, delay_s: float) -> None:
        self.passed_s += delay_s


def after_s(clock: SteadyClock, hands: Hands, seconds: int) -> float:
    """Return by how much the clock is off after so many seconds, in each of which it is looked at."""
    for _ in range(seconds):
        hands.passed_s += 1
        clock.problem()
    return (clock.now_at() - hands.start_at).total_seconds() - hands.passed_s


@pytest.mark.parametrize("off_s", [3 * 86_400.0, -3_600.0, 2.0])
def test_a_jump_is_followed_once_it_has_lasted(off_s: float) -> None:
    hands = Hands()
    clock = SteadyClock(hands)
    assert after_s(clock, hands, 10) == 0
    hands.off_s = off_s
    assert after_s(clock, hands, int(LASTS_S)) == 0
    assert clock.problem() is not None
    assert after_s(clock, hands, 1) == off_s
    assert clock.problem() is None


def test_a_jump_that_is_taken_back_was_none_and_one_that_moves_on_begins_anew() -> None:
    hands = Hands()
    clock = SteadyClock(hands)
    clock.now_at()
    hands.off_s = 3_600.0
    assert after_s(clock, hands, 200) == 0
    hands.off_s = 0.0
    assert after_s(clock, hands, 1) == 0
    assert clock.problem() is None
    hands.off_s = 3_600.0
    assert after_s(clock, hands, 200) == 0
    hands.off_s = 7_200.0
    assert after_s(clock, hands, 200) == 0
    assert clock.problem() is not None


def test_a_slow_drift_is_followed() -> None:
    hands = Hands()
    clock = SteadyClock(hands)
    for _ in range(100):
        hands.off_s += 0.5
        assert after_s(clock, hands, 1) == hands.off_s
    assert clock.problem() is None


def test_a_clock_that_was_never_set_is_believed_once_it_is() -> None:
    hands = Hands(start_at=datetime(1970, 1, 1, tzinfo=UTC))
    clock = SteadyClock(hands)
    clock.now_at()
    hands.off_s = (START_AT - hands.start_at).total_seconds()
    assert clock.now_at() == START_AT


def test_the_first_time_something_keeps_a_clock_right_it_is_believed() -> None:
    hands, right = Hands(), [False]
    clock = SteadyClock(hands, is_kept_right=lambda: right[0])
    assert after_s(clock, hands, 10) == 0
    hands.off_s, right[0] = 7_200.0, True
    assert after_s(clock, hands, 1) == 7_200.0
    hands.off_s = 14_400.0
    assert after_s(clock, hands, 100) == 7_200.0


def test_the_alarm_says_which_way_and_how_far() -> None:
    hands = Hands()
    clock = SteadyClock(hands)
    clock.now_at()
    hands.off_s = 3 * 86_400.0
    assert (clock.problem() or "").startswith(
        "the wall clock jumped forward by 3 days, 0:00:00: promises go by the time of before until"
        " it has stayed so for 5 min"
    )
    hands.off_s = -3_600.0
    assert "jumped back by 1:00:00" in (clock.problem() or "")


def test_a_wall_clock_that_is_wrong_for_a_moment_closes_no_promise() -> None:
    async def test() -> None:
        house = House()
        promise = await house.promise()
        await house.passes(1)
        for by in (timedelta(days=3), timedelta(days=-3)):
            house.clock.jump_wall_clock(by)
            await house.passes(1)
            assert house.of(promise).state is PromiseState.CONFIRMED
        house.clock.jump_wall_clock(timedelta(days=3))
        await house.passes(LASTS_S / 60 + 1)
        assert house.of(promise).state is PromiseState.NO_SHOW

    run_virtual(test())


@pytest.mark.parametrize("off_s", [3 * 86_400.0, -7_200.0])
def test_after_a_start_a_wall_clock_far_from_what_was_known_must_last_too(off_s: float) -> None:
    hands = Hands(off_s=off_s)
    clock = SteadyClock(hands, least_at=START_AT)
    assert clock.doubt_s() == LASTS_S
    assert after_s(clock, hands, int(LASTS_S) - 10) == 0
    way = "ahead of" if off_s > 0 else "behind"
    assert f"{way} when the ledger was last written" in (clock.problem() or "")
    assert (clock.known_at(), clock.doubt_s()) == (clock.now_at(), 10)
    assert after_s(clock, hands, 10) == off_s
    assert (clock.known_at(), clock.doubt_s()) == (clock.now_at(), 0)
    # What it jumps by from now on casts no doubt on the time of before.
    hands.off_s += 7_200.0
    assert (after_s(clock, hands, 10), clock.doubt_s()) == (off_s, 0)


def test_after_a_start_a_wall_clock_that_is_put_right_in_time_was_never_believed() -> None:
    hands, right = Hands(off_s=3 * 86_400.0), [False]
    clock = SteadyClock(hands, is_kept_right=lambda: right[0], least_at=START_AT)
    assert after_s(clock, hands, 200) == 0
    # The machine was off for two days, and something says so now.
    hands.off_s, right[0] = 2 * 86_400.0, True
    assert (after_s(clock, hands, 1), clock.doubt_s()) == (2 * 86_400.0, 0)


@pytest.mark.parametrize(
    ("off_s", "is_kept_right"), [(3_000.0, False), (-3_000.0, False), (3 * 86_400.0, True)]
)
def test_after_a_start_a_wall_clock_that_is_near_or_kept_right_is_believed(
    off_s: float, *, is_kept_right: bool
) -> None:
    hands = Hands(off_s=off_s)
    clock = SteadyClock(hands, is_kept_right=lambda: is_kept_right, least_at=START_AT)
    assert after_s(clock, hands, 1) == off_s
    assert clock.problem() is None


@pytest.mark.parametrize("off_for_h", [2.0, -2.0])
def test_nothing_is_promised_by_a_time_that_is_a_guess(off_for_h: float) -> None:
    async def test() -> None:
        house = House(off_for_h=off_for_h)
        need = Need(energy_wh=5_000, connector=FIRST, depart_at=house.clock.now_at() + IN_5_H)
        await house.passes(0.5)
        with pytest.raises(TimeUnknownError, match="ask again in 270 s") as refused:
            house.booking.quote(need, VANS)
        assert refused.value.retry_after_s == LASTS_S - 30
        with pytest.raises(TimeUnknownError):
            await house.booking.quote_thoroughly(need, VANS)

        await house.passes(LASTS_S / 60)
        (offer,) = house.booking.quote(need, VANS).offers
        assert abs(offer.start_at_s - house.clock.now_at().timestamp()) < 60

    run_virtual(test())


def test_what_was_promised_before_a_time_that_is_a_guess_stands_and_may_be_given_up() -> None:
    async def test() -> None:
        before = House()
        need = Need(energy_wh=5_000, connector=FIRST, depart_at=before.clock.now_at() + IN_5_H)
        offer = before.booking.quote(need, VANS).offers[0].id
        held = await before.booking.hold(offer, VANS)
        kept = await before.promise(connector=SECOND, from_h=4, until_h=6)
        remembered = {each.id: before.memory_of(each) for each in (held, kept)}
        house = House(remembered, off_for_h=2.0)
        with pytest.raises(TimeUnknownError):
            await house.booking.hold(offer, VANS)
        with pytest.raises(TimeUnknownError):
            await house.booking.confirm(held.id, VANS)
        assert (await house.booking.confirm(kept.id, VANS)).state is PromiseState.CONFIRMED
        assert (await house.booking.cancel(held.id, VANS)).state is PromiseState.CANCELLED

    run_virtual(test())
