"""Recorded sessions under a limit: each policy keeps it, and none beats the most there was."""

import random
from dataclasses import replace

import pytest

from gateway.planning.recorded import (
    ANY_POWER,
    Policy,
    RecordedSession,
    Steps,
    most_ma,
    offline_optimum_wh,
    replay,
)

HOUR_S = 3_600.0
REAL = Steps(min_ma=6_000, step_ma=1_000)


def sessions(count: int, seed: int = 1) -> list[RecordedSession]:
    """Return a day of vehicles that state a later departure and more energy than they take."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        arrive_s = chance.uniform(6, 12) * HOUR_S
        stays_s = chance.uniform(1, 8) * HOUR_S
        energy_wh = chance.uniform(2_000, 15_000)
        made.append(
            RecordedSession(
                arrive_s=arrive_s,
                depart_s=arrive_s + stays_s,
                energy_wh=min(energy_wh, 6_000 * stays_s / HOUR_S * 0.9),
                stated_depart_s=arrive_s + stays_s * chance.uniform(0.7, 1.5),
                stated_energy_wh=energy_wh * 1.5,
                max_w=6_656.0,
            )
        )
    return made


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("is_stated", [False, True])
def test_a_policy_keeps_the_limit_and_gives_nobody_more_than_it_took(
    policy: Policy, *, is_stated: bool
) -> None:
    day = sessions(20)
    result = replay(day, limit_w=15_000, policy=policy, is_stated=is_stated)
    optimum_wh = offline_optimum_wh(day, limit_w=15_000)

    assert result.peak_w <= 15_000 + 1e-6
    assert all(
        wh <= session.energy_wh + 1.0 for wh, session in zip(result.delivered_wh, day, strict=True)
    )
    assert 0.6 * optimum_wh < result.energy_wh <= optimum_wh * 1.0001


def test_a_plan_gives_nearly_all_there_is_to_have() -> None:
    day = sessions(30, seed=4)
    optimum_wh = offline_optimum_wh(day, limit_w=12_000)
    planned, in_order = (
        replay(day, limit_w=12_000, policy=policy).energy_wh
        for policy in (Policy.HEADROOM, Policy.FCFS)
    )

    assert planned >= 0.985 * optimum_wh
    assert planned >= in_order


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("is_stated", [False, True])
def test_in_steps_nobody_is_given_less_than_the_least_or_part_of_a_step(
    policy: Policy, *, is_stated: bool
) -> None:
    day = sessions(20)
    any_power = replay(day, limit_w=9_000, policy=policy, is_stated=is_stated)
    result = replay(day, limit_w=9_000, policy=policy, steps=REAL, is_stated=is_stated)

    assert result.currents_ma <= set(range(6_000, 32_001, 1_000))
    assert not any_power.currents_ma <= set(range(6_000, 32_001, 1_000))
    assert result.peak_w <= 9_000
    assert all(wh <= one.energy_wh + 1e-6 for wh, one in zip(result.delivered_wh, day, strict=True))
    assert sum(power_w for _, power_w in result.powers_w) / 12 == pytest.approx(result.energy_wh)
    # 9 kW are 43.3 A: a third of an ampere is no step, and what steps leave is that and little more.
    assert 0.93 * any_power.energy_wh < result.energy_wh < 1.02 * any_power.energy_wh


def test_where_the_least_fits_only_some_they_are_who_came_first() -> None:
    came_s = [-4.0, -3.0, -2.0, -1.0]
    hungry = [
        replace(one, arrive_s=at_s, depart_s=HOUR_S, energy_wh=9_000.0)
        for at_s, one in zip(came_s, sessions(4), strict=True)
    ]
    result = replay(hungry, limit_w=208 * 20, policy=Policy.RR, steps=REAL)

    assert most_ma(208 * 20) == 20_000
    assert result.currents_ma == {6_000, 7_000}
    assert [wh > 0 for wh in result.delivered_wh] == [True, True, True, False]


def test_a_plan_in_steps_gives_nearly_all_there_is_to_have() -> None:
    day = sessions(30, seed=4)
    optimum_wh = offline_optimum_wh(day, limit_w=12_000)
    given_wh = {
        policy: replay(day, limit_w=12_000, policy=policy, steps=REAL).energy_wh
        for policy in (Policy.GREEDY, Policy.HEADROOM)
    }

    assert given_wh[Policy.HEADROOM] >= 0.98 * optimum_wh
    assert given_wh[Policy.HEADROOM] >= given_wh[Policy.GREEDY]


@pytest.mark.parametrize("is_stated", [False, True])
def test_headroom_plans_beyond_the_greedy_plan_whatever_it_goes_by(*, is_stated: bool) -> None:
    # Of 20 A the greedy plan gives one 16 A, and nobody the 4 A that are left.
    day = [replace(one, max_w=16 * 208.0) for one in sessions(12, seed=4)]
    given_wh = {
        policy: replay(
            day, limit_w=20 * 208.0, policy=policy, steps=REAL, is_stated=is_stated
        ).energy_wh
        for policy in (Policy.GREEDY, Policy.HEADROOM)
    }

    assert given_wh[Policy.HEADROOM] > 1.05 * given_wh[Policy.GREEDY]


def test_with_room_for_all_everybody_gets_all() -> None:
    day = sessions(10)
    asked_wh = sum(session.energy_wh for session in day)

    assert offline_optimum_wh(day, limit_w=200_000) == pytest.approx(asked_wh, rel=0.01)
    for policy in Policy:
        assert replay(day, limit_w=200_000, policy=policy).energy_wh > 0.9 * asked_wh


@pytest.mark.parametrize(("seed", "steps"), [(0, ANY_POWER), (1, ANY_POWER), (2, REAL)])
def test_what_was_promised_when_they_came_is_kept(seed: int, steps: Steps) -> None:
    day = sessions(30, seed=seed)
    result = replay(day, limit_w=12_000, policy=Policy.HEADROOM, steps=steps, is_promising=True)

    assert 5 < len(result.promised) < len(day)
    assert result.kept_count(day) == len(result.promised)
    assert max(power_w for _, power_w in result.powers_w) <= 12_000 + 1e-6


def test_by_statements_nothing_is_left_over_that_somebody_takes() -> None:
    # Who stated too little goes on charging behind those who have not what they stated.
    short = [replace(one, stated_energy_wh=one.energy_wh / 2) for one in sessions(10)]
    asked_wh = sum(one.energy_wh for one in short)
    given_wh = [
        replay(short, limit_w=200_000, policy=policy, is_stated=True).energy_wh for policy in Policy
    ]

    assert min(given_wh) > 0.9 * asked_wh


def test_days_that_share_no_vehicle_are_added_up() -> None:
    first, second = sessions(8, seed=1), sessions(8, seed=2)
    later = [
        RecordedSession(
            arrive_s=s.arrive_s + 48 * HOUR_S,
            depart_s=s.depart_s + 48 * HOUR_S,
            energy_wh=s.energy_wh,
            stated_depart_s=s.stated_depart_s,
            stated_energy_wh=s.stated_energy_wh,
            max_w=s.max_w,
        )
        for s in second
    ]
    apart = offline_optimum_wh(first, limit_w=9_000) + offline_optimum_wh(later, limit_w=9_000)

    assert offline_optimum_wh(first + later, limit_w=9_000) == pytest.approx(apart, rel=1e-4)
