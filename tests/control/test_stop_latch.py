"""The stop latch: once asked to stop, everything stands still until contact and person agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.stop_latch import SILENT_AFTER_S, ReleaseRefusedError, StopLatch
from gateway.domain.stops import StopCause

AT_REST = StopLatch.after_restart(None, is_self_releasing=False, now_s=0.0)


def pressed(*, is_self_releasing: bool = False) -> StopLatch:
    latch = StopLatch.after_restart(None, is_self_releasing=is_self_releasing, now_s=0.0)
    return latch.heard(is_active=True, now_s=1.0)


def test_one_look_is_enough_to_stop() -> None:
    assert AT_REST.cause(0.0) is None
    assert pressed().cause(1.0) is StopCause.ACTIVE


def test_a_contact_back_to_normal_is_not_released_until_a_person_says_so() -> None:
    back = pressed().heard(is_active=False, now_s=2.0)

    assert back.cause(2.0) is StopCause.UNRELEASED
    assert back.heard(is_active=False, now_s=9_999.0).cause(9_999.0) is StopCause.UNRELEASED
    assert back.released(3.0).cause(3.0) is None


def test_where_the_panel_is_the_person_its_reset_is_enough() -> None:
    back = pressed(is_self_releasing=True).heard(is_active=False, now_s=2.0)

    assert back.cause(2.0) is None


@pytest.mark.parametrize(
    ("latch", "why"),
    [
        (pressed(), "still asks for a stop"),
        (AT_REST.heard(is_active=False, now_s=1.0), "nothing is stopped"),
        (StopLatch.after_restart(StopCause.SILENT, is_self_releasing=False, now_s=0.0), "not answer"),
        (StopLatch.after_restart(StopCause.ACTIVE, is_self_releasing=False, now_s=0.0), "must answer"),
    ],
)  # fmt: skip
def test_a_release_is_refused_while_the_contact_is_not_heard_at_rest(
    latch: StopLatch, why: str
) -> None:
    with pytest.raises(ReleaseRefusedError, match=why):
        latch.released(2.0)


def test_a_release_is_refused_when_the_contact_was_at_rest_long_ago() -> None:
    back = pressed().heard(is_active=False, now_s=2.0)

    with pytest.raises(ReleaseRefusedError, match="must answer"):
        back.released(2.1 + SILENT_AFTER_S)


def test_silence_stops_and_an_answer_ends_it() -> None:
    latch = AT_REST.heard(is_active=False, now_s=5.0)

    assert latch.cause(5.0 + SILENT_AFTER_S) is None
    assert latch.cause(5.1 + SILENT_AFTER_S) is StopCause.SILENT
    assert latch.heard(is_active=False, now_s=30.0).cause(30.0) is None


def test_a_contact_never_heard_is_silent_in_the_end() -> None:
    assert AT_REST.cause(SILENT_AFTER_S) is None
    assert AT_REST.cause(SILENT_AFTER_S + 0.1) is StopCause.SILENT


@pytest.mark.parametrize("cause", list(StopCause))
def test_no_stop_is_undone_by_a_restart(cause: StopCause) -> None:
    latch = StopLatch.after_restart(cause, is_self_releasing=False, now_s=100.0)

    assert latch.cause(100.0) is not None


def test_a_restart_does_not_make_a_silence_wait_for_a_person() -> None:
    latch = StopLatch.after_restart(StopCause.SILENT, is_self_releasing=False, now_s=100.0)

    assert latch.heard(is_active=False, now_s=101.0).cause(101.0) is None


@given(
    looks=st.lists(st.tuples(st.floats(0.1, 20.0), st.booleans()), min_size=1),
    after_s=st.floats(0.0, 100.0),
)
def test_nothing_but_a_release_at_rest_ends_a_stop(
    looks: list[tuple[float, bool]], after_s: float
) -> None:
    latch, now_s = AT_REST, 0.0
    for pause_s, is_active in looks:
        now_s += pause_s
        latch = latch.heard(is_active=is_active, now_s=now_s)
    now_s += after_s
    was_asked = any(is_active for _, is_active in looks)
    is_asked = looks[-1][1]

    cause = latch.cause(now_s)
    assert (cause is None) == (not was_asked and after_s <= SILENT_AFTER_S)
    try:
        assert latch.released(now_s).cause(now_s) is None
        assert was_asked
        assert not is_asked
    except ReleaseRefusedError:
        assert is_asked or not was_asked or after_s > SILENT_AFTER_S
