"""How a station's vehicles follow a start is learnt from the readings it gives, however far apart."""

import pytest

from gateway.planning.following import RAMP_MA_PER_S, SETTLING_S, Followed, Following, Sample, Told

LIMIT_MA = 16_000


def seen(every_s: float, *, begins_s: float, ramp_ma_per_s: float, starts: int = 5) -> Following:
    """Return what is learnt of starts of which a reading comes so often."""
    known = Followed()
    for start in range(starts):
        told_s = 1_000.0 * start
        at_s = told_s - every_s * (start + 1) / (starts + 1)
        before = Sample(at_s=at_s, current_ma=0)
        while at_s < told_s + 90.0:
            at_s += every_s
            drawn_ma = max(0.0, at_s - told_s - begins_s) * ramp_ma_per_s
            now = Sample(at_s=at_s, current_ma=min(LIMIT_MA, int(drawn_ma)))
            known = known.after(Told(at_s=told_s, limit_ma=LIMIT_MA), before, now)
            before = now
    return known.following()


def test_where_nothing_was_seen_a_start_takes_what_the_standards_allow() -> None:
    assert Followed().following() == Following(settling_s=SETTLING_S, ramp_ma_per_s=RAMP_MA_PER_S)


@pytest.mark.parametrize("every_s", [2.0, 5.0, 10.0])
def test_a_slow_one_is_told_as_far_as_its_readings_tell(every_s: float) -> None:
    slow = seen(every_s, begins_s=40.0, ramp_ma_per_s=400.0)

    # What is not known of it is left as near to the usual as it can be: 3 s of age, and a gap.
    assert 40.0 - every_s - 3.0 <= slow.settling_s <= 40.0 + every_s
    assert 400.0 * 0.6 <= slow.ramp_ma_per_s <= 400.0 * 2.0


def test_a_quick_one_is_not_taken_for_slow_because_its_readings_are_rare() -> None:
    quick = seen(30.0, begins_s=4.0, ramp_ma_per_s=8_000.0)

    assert quick.settling_s <= SETTLING_S
    assert quick.ramp_ma_per_s == RAMP_MA_PER_S


def test_raises_tell_of_it_until_a_start_does() -> None:
    six_a, sixteen_a = Sample(at_s=20.0, current_ma=6_000), Sample(at_s=30.0, current_ma=15_900)
    raised = Told(at_s=0.0, limit_ma=LIMIT_MA, had_ma=6_000)
    known = Followed().after(raised, six_a, sixteen_a)
    assert 18.0 <= known.following().settling_s <= 30.0
    assert known.following().ramp_ma_per_s == RAMP_MA_PER_S

    none, begun = Sample(at_s=40.0, current_ma=0), Sample(at_s=50.0, current_ma=15_900)
    known = known.after(Told(at_s=0.0, limit_ma=LIMIT_MA), none, begun)
    assert 38.0 <= known.following().settling_s <= 50.0


def test_one_that_begins_for_a_reason_of_its_own_teaches_nothing() -> None:
    none, much = Sample(at_s=3_500.0, current_ma=0), Sample(at_s=3_510.0, current_ma=16_000)

    assert Followed().after(Told(at_s=0.0, limit_ma=LIMIT_MA), none, much) == Followed()
