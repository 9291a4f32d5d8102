"""How a simulated vehicle follows its pilot and fills its battery."""

from dataclasses import replace
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sim.scenario import VehicleTraits
from drivers.sim.vehicle import FOLLOWS_WITHIN_S, Vehicle, accepted_a

TRAITS = VehicleTraits(need_wh=50_000.0, max_a=32.0, phase_count=3, taper_wh=4_000.0)


def vehicle_of(traits: VehicleTraits = TRAITS, *, seed: int = 1) -> Vehicle:
    return Vehicle(traits, voltage_v=690.0, at_s=0.0, rng=Random(seed))


def run(vehicle: Vehicle, to_s: float) -> list[tuple[float, float]]:
    """Advance it through everything due; return when it drew what."""
    seen = [(0.0, vehicle.draw_a)]
    while vehicle.next_s <= to_s:
        at_s = vehicle.next_s
        seen.append((at_s, vehicle.advance(at_s)))
        assert vehicle.next_s > at_s, "time must pass"
    vehicle.accrue(to_s)
    return seen


def charging(vehicle: Vehicle, amps: float, *, until_s: float = 60.0) -> Vehicle:
    vehicle.offer(amps, 0.0)
    run(vehicle, until_s)
    return vehicle


@given(seed=st.integers(0, 10_000), from_a=st.floats(6.0, 32.0), to_a=st.floats(6.0, 32.0))
def test_it_follows_its_pilot_within_six_seconds(seed: int, from_a: float, to_a: float) -> None:
    vehicle = charging(vehicle_of(seed=seed), from_a)

    vehicle.offer(to_a, 60.0)
    run(vehicle, 60.0 + FOLLOWS_WITHIN_S + 0.001)

    assert vehicle.draw_a <= to_a
    assert vehicle.draw_a >= 0.97 * to_a - 0.2 - 1e-9


@given(seed=st.integers(0, 10_000))
def test_a_pilot_that_changes_just_as_it_begins_is_followed(seed: int) -> None:
    vehicle = vehicle_of(seed=seed)
    vehicle.offer(20.0, 0.0)
    begins_s = vehicle.next_s
    vehicle.advance(begins_s)

    vehicle.offer(8.0, begins_s)
    run(vehicle, begins_s + FOLLOWS_WITHIN_S + 0.001)

    assert 0.0 < vehicle.draw_a <= 8.0


@given(seed=st.integers(0, 10_000))
def test_it_keeps_drawing_as_before_until_it_reacts(seed: int) -> None:
    vehicle = charging(vehicle_of(replace(TRAITS, ripple_a=0.0), seed=seed), 32.0)
    before_a = vehicle.draw_a

    vehicle.offer(6.0, 60.0)

    assert vehicle.draw_a == before_a
    assert min(draw for _, draw in run(vehicle, 70.0)[1:]) < before_a


@given(seed=st.integers(0, 10_000), amps=st.floats(0.0, 5.99))
def test_offered_less_than_six_amperes_it_draws_nothing(seed: int, amps: float) -> None:
    vehicle = charging(vehicle_of(seed=seed), 16.0)
    vehicle.offer(amps, 60.0)
    run(vehicle, 66.001)

    assert vehicle.draw_a == 0.0
    assert run(vehicle, 600.0)[1:] == []

    idle = vehicle_of(seed=seed)
    idle.offer(amps, 0.0)
    assert idle.next_s == inf


@settings(max_examples=500)
@given(seed=st.integers(0, 10_000), pilots=st.lists(st.floats(0.0, 40.0), max_size=12))
def test_it_never_draws_more_than_any_pilot_it_may_still_be_following(
    seed: int, pilots: list[float]
) -> None:
    vehicle = vehicle_of(seed=seed)
    offered = [(-inf, 0.0)]
    for index, amps in enumerate(pilots):
        at_s = index * 4.0
        vehicle.offer(amps, at_s)
        offered.append((at_s, amps))
        while vehicle.next_s <= at_s + 4.0:
            now_s = vehicle.next_s
            draw_a = vehicle.advance(now_s)
            recent = [a for t, a in offered if t >= now_s - FOLLOWS_WITHIN_S]
            last = [a for t, a in offered if t < now_s - FOLLOWS_WITHIN_S][-1:]
            assert draw_a <= max([*recent, *last]) + 1e-9


@pytest.mark.parametrize(("startup_s", "earliest_s", "latest_s"), [(6.0, 4.8, 7.2), (30, 24, 36)])
def test_it_takes_its_time_to_begin(startup_s: float, earliest_s: float, latest_s: float) -> None:
    for seed in range(50):
        vehicle = vehicle_of(replace(TRAITS, startup_s=startup_s), seed=seed)
        vehicle.offer(16.0, 0.0)

        first_s = next(at_s for at_s, draw in run(vehicle, 120.0) if draw > 0.0)

        assert earliest_s <= first_s <= latest_s + 0.5


def test_its_draw_is_a_little_below_its_limit_and_ripples() -> None:
    vehicle = charging(vehicle_of(replace(TRAITS, draw_ratio=0.98, ripple_a=0.3)), 20.0)

    draws_a = [draw for _, draw in run(vehicle, 300.0)[1:]]

    assert len(set(draws_a)) > 10
    assert all(20.0 * 0.98 - 0.3 <= draw <= 20.0 * 0.98 for draw in draws_a)


def test_some_draw_whole_amperes() -> None:
    vehicle = vehicle_of(replace(TRAITS, draws_whole_amps=True, ripple_a=0.0, draw_ratio=1.0))

    assert charging(vehicle, 13.7).draw_a == 13.0


@pytest.mark.parametrize(
    ("remaining_wh", "amps"),
    # Full below the knee at 4 kWh, then in proportion, then the tail, then nothing.
    [(50_000, 32.0), (4_000, 32.0), (2_000, 16.0), (1_000, 8.0), (100, 2.0), (0, 0.0)],
)
def test_a_battery_accepts_less_and_less_near_its_end(remaining_wh: float, amps: float) -> None:
    assert accepted_a(TRAITS, remaining_wh) == pytest.approx(amps)


@given(seed=st.integers(0, 1_000), need_wh=st.floats(500.0, 30_000.0), amps=st.floats(6.0, 32.0))
def test_it_ends_with_exactly_what_it_needed(seed: int, need_wh: float, amps: float) -> None:
    vehicle = vehicle_of(replace(TRAITS, need_wh=need_wh), seed=seed)
    vehicle.offer(amps, 0.0)

    run(vehicle, 20 * 3_600.0)

    assert vehicle.draw_a == 0.0
    assert vehicle.next_s == inf
    assert vehicle.delivered_wh == pytest.approx(need_wh, abs=0.01)


def test_energy_is_current_times_voltage_times_time() -> None:
    vehicle = vehicle_of(replace(TRAITS, draw_ratio=1.0, ripple_a=0.0))
    vehicle.offer(10.0, 0.0)
    run(vehicle, 100.0)
    before_wh = vehicle.delivered_wh

    run(vehicle, 100.0 + 3_600.0)

    assert vehicle.delivered_wh - before_wh == pytest.approx(10.0 * 690.0)


@pytest.mark.parametrize(("paused_s", "wakes"), [(500.0, True), (700.0, False)])
def test_some_stay_asleep_after_a_long_pause(paused_s: float, wakes: bool) -> None:
    vehicle = charging(vehicle_of(replace(TRAITS, sleeps_after_s=600.0)), 16.0)
    vehicle.offer(0.0, 60.0)
    run(vehicle, 60.0 + paused_s)

    vehicle.offer(16.0, 60.0 + paused_s)
    run(vehicle, 60.0 + paused_s + 60.0)

    assert (vehicle.draw_a > 0.0) is wakes
    assert vehicle.is_hungry is wakes


def test_without_supply_it_stops_at_once() -> None:
    vehicle = charging(vehicle_of(), 16.0)

    vehicle.cut_off(60.0)

    assert vehicle.draw_a == 0.0
    assert vehicle.next_s == inf
