"""How a unit is remembered: mute ones cost the line next to nothing, answers are never confused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.blocks import Span
from drivers.modbus.unit import (
    OWN_LINE_RATIO,
    SHARED_LINE_RATIO,
    Health,
    OwedAnswer,
    Shape,
    Unit,
    after_answer,
    after_miss,
    after_refusal,
    choose_window,
    rested,
    timeout_s,
)

WINDOWS = tuple(Span(address=0, count=count) for count in (12, 14, 16, 18))


def shape(count: int) -> Shape:
    return Shape(function_code=4, byte_count=2 * count)


def owed(count: int, until_s: float = 3.0) -> OwedAnswer:
    return OwedAnswer(shape=shape(count), until_s=until_s)


def missed(
    unit: Unit, *, now_s: float, cost_s: float = 0.55, line_ratio: float = SHARED_LINE_RATIO
) -> Unit:
    return after_miss(
        unit, now_s=now_s, probe_cost_s=cost_s, line_ratio=line_ratio, owed=owed(12, now_s + 3)
    )


def choose(unit: Unit, now_s: float = 0.0) -> int | None:
    window = choose_window(unit, WINDOWS, function_code=4, now_s=now_s)
    return window.count if window else None


def test_three_misses_are_death_and_one_answer_is_life() -> None:
    unit, seen = Unit(), []
    for second in range(3):
        unit = missed(unit, now_s=float(second))
        seen.append(unit.health)

    assert seen == [Health.SUSPECT, Health.SUSPECT, Health.DEAD]
    assert after_answer(unit, shape=shape(12), took_s=0.1, now_s=9).health is Health.OK
    assert after_refusal(unit, now_s=9, owed=owed(12)).health is Health.OK


# A time-out of 2 s on top of the longest frames at 1200 baud: nothing on a line costs more.
@given(cost_s=st.floats(0.02, 4.5), probes=st.integers(1, 50))
def test_a_dead_unit_takes_at_most_its_share_of_the_line(cost_s: float, probes: int) -> None:
    unit, now_s = Unit(), 0.0
    for _ in range(3):
        unit = missed(unit, now_s=now_s, cost_s=cost_s)
        now_s += 1.0
    begun_s = now_s = unit.ask_again_s
    for _ in range(probes):
        now_s += cost_s
        unit = missed(unit, now_s=now_s, cost_s=cost_s)
        now_s = max(now_s, unit.ask_again_s)

    assert probes * cost_s <= SHARED_LINE_RATIO * (now_s - begun_s) * 1.001


@pytest.mark.parametrize(
    ("cost_s", "line_ratio", "pause_s"),
    [
        (0.55, OWN_LINE_RATIO, 2.75),  # Never heard: the whole time-out is waited for.
        (0.15, OWN_LINE_RATIO, 2.0),  # Once quick.
        (0.55, SHARED_LINE_RATIO, 27.5),
        (0.15, SHARED_LINE_RATIO, 7.5),
    ],
)
def test_a_dead_unit_is_never_given_up(cost_s: float, line_ratio: float, pause_s: float) -> None:
    unit = Unit()
    for _ in range(100):
        unit = missed(unit, now_s=100.0, cost_s=cost_s, line_ratio=line_ratio)

    assert unit.ask_again_s == pytest.approx(100.0 + pause_s)


def test_a_dead_unit_that_used_to_be_quick_is_probed_quickly() -> None:
    unit = after_answer(Unit(), shape=shape(12), took_s=0.06, now_s=0)
    for second in range(3):
        unit = missed(unit, now_s=float(second))

    assert timeout_s(unit, usual_s=0.5) == pytest.approx(0.12)
    assert timeout_s(Unit(), usual_s=0.5) == 0.5
    assert timeout_s(Unit(miss_count=5), usual_s=0.5) == 0.5  # Never heard: no short cut.


def test_the_shape_answered_last_is_not_asked_again_at_once() -> None:
    unit = after_answer(Unit(), shape=shape(12), took_s=0.1, now_s=0)

    assert choose(Unit()) == 12
    assert choose(unit) == 14


def test_a_block_with_one_window_is_asked_for_again_and_again() -> None:
    unit = after_answer(Unit(), shape=shape(12), took_s=0.1, now_s=0)

    assert choose_window(unit, WINDOWS[:1], function_code=4, now_s=0) == WINDOWS[0]


def test_an_owed_shape_is_barred_until_its_answer_can_no_longer_come() -> None:
    unit = Unit(owed=(owed(12, 3.0), owed(14, 4.0)))

    assert choose(unit, now_s=2.9) == 16
    assert choose(unit, now_s=3.0) == 12
    assert choose_window(unit, WINDOWS, function_code=3, now_s=0) == WINDOWS[0]  # Another function.


def test_an_answer_does_not_settle_what_was_owed_before() -> None:
    unit = after_answer(Unit(owed=(owed(12),)), shape=shape(14), took_s=0.1, now_s=1)

    assert choose(unit, now_s=1) == 16


def test_a_refusal_may_have_been_late_so_the_answer_is_owed() -> None:
    unit = after_refusal(Unit(), now_s=0, owed=owed(12))

    assert choose(unit, now_s=1) == 14


def test_when_every_answer_would_be_in_doubt_the_unit_rests_until_one_is_not() -> None:
    unit = Unit(owed=tuple(owed(count, until_s=count / 4) for count in (12, 14, 16, 18)))

    assert choose(unit, now_s=1) is None
    assert rested(unit, now_s=1).ask_again_s == 3.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["answer", "miss", "refusal"]), st.floats(0.0, 4.0)), max_size=40
    )
)
def test_no_shape_is_asked_while_an_answer_of_it_may_come(
    story: list[tuple[str, float]],
) -> None:
    unit, now_s = Unit(), 0.0
    in_the_air: list[tuple[float, int]] = []
    for outcome, pause_s in story:
        now_s += pause_s
        count = choose(unit, now_s)
        if count is None:
            continue
        assert all(until_s <= now_s or other != count for until_s, other in in_the_air)
        if outcome == "answer":
            unit = after_answer(unit, shape=shape(count), took_s=0.1, now_s=now_s)
            continue
        in_the_air.append((now_s + 3, count))
        debt = owed(count, now_s + 3)
        if outcome == "miss":
            unit = after_miss(unit, now_s=now_s, probe_cost_s=0.5, line_ratio=0.02, owed=debt)
        else:
            unit = after_refusal(unit, now_s=now_s, owed=debt)
