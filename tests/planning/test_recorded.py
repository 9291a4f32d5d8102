"""Recorded sessions under a limit: each policy keeps it, and none beats the most there was."""

import random
from dataclasses import replace

import pytest

from gateway.planning.recorded import Policy, RecordedSession, offline_optimum_wh, replay

HOUR_S = 3_600.0


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


def test_with_room_for_all_everybody_gets_all() -> None:
    day = sessions(10)
    asked_wh = sum(session.energy_wh for session in day)

    assert offline_optimum_wh(day, limit_w=200_000) == pytest.approx(asked_wh, rel=0.01)
    for policy in Policy:
        assert replay(day, limit_w=200_000, policy=policy).energy_wh > 0.9 * asked_wh


@pytest.mark.parametrize("seed", range(3))
def test_what_was_promised_when_they_came_is_kept(seed: int) -> None:
    day = sessions(30, seed=seed)
    result = replay(day, limit_w=12_000, policy=Policy.HEADROOM, is_promising=True)

    assert 5 < len(result.promised) < len(day)
    assert result.kept_count(day) == len(result.promised)
    assert max(power_w for _, power_w in result.powers_w) <= 12_000 + 1e-6


def test_by_statements_nothing_is_left_over_that_somebody_takes() -> None:
    # Who stated too little goes on charging behind those who have not what they stated.
    short = [replace(one, stated_energy_wh=one.energy_wh / 2) for one in sessions(10)]
    asked_wh = sum(one.energy_wh for one in short)
    given = {
        policy: replay(short, limit_w=200_000, policy=policy, is_stated=True).energy_wh
        for policy in (Policy.LLF, Policy.HEADROOM)
    }

    assert given[Policy.LLF] < 0.6 * asked_wh
    assert given[Policy.HEADROOM] > 0.9 * asked_wh


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
