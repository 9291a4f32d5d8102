"""What the bus remembers of one unit: how it is, and which of its answers may still come.

Pure. A mute unit is asked ever more rarely, so that it does not eat the line for the others.
A question is never asked in a shape (function and length) in which an earlier answer of the
unit may still be in the air.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from drivers.modbus.blocks import Span
from drivers.modbus.frames import answer_byte_count

DEAD_AFTER_COUNT = 3
PROBE_PAUSE_S = 2.0
SHARED_LINE_RATIO = 0.02
"""The most of a line that the probes of a mute unit may take from the others on it."""

OWN_LINE_RATIO = 0.2
"""The same where nobody else waits, or where nobody else matters as much."""

LEAST_PROBE_TIMEOUT_S = 0.1
PROBE_PATIENCE = 2.0
SLOWNESS_MEMORY = 0.98


class Health(StrEnum):
    """How a unit answers."""

    OK = "ok"
    SUSPECT = "suspect"  # It owes the last answer, or the last two.
    DEAD = "dead"  # Three misses: it is only probed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All that a serial answer tells of its question: the function, and the payload's length."""

    function_code: int
    byte_count: int


def shape_of(function_code: int, count: int) -> Shape:
    """Return the shape of an answer to so many registers, or bits."""
    return Shape(function_code=function_code, byte_count=answer_byte_count(function_code, count))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedAnswer:
    """An answer that did not come in time and may come until `until_s`."""

    shape: Shape
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit as the bus knows it; a new one is given the benefit of the doubt.

    `slowest_s` is the longest it lately took to answer, None before its first answer.
    """

    miss_count: int = 0
    ask_again_s: float = 0.0
    slowest_s: float | None = None
    last_shape: Shape | None = None
    owed: tuple[OwedAnswer, ...] = ()

    @property
    def health(self) -> Health:
        """Return how the unit answers."""
        if self.miss_count >= DEAD_AFTER_COUNT:
            return Health.DEAD
        return Health.SUSPECT if self.miss_count else Health.OK


def timeout_s(unit: Unit, *, usual_s: float) -> float:
    """Return how long to wait for this unit: a dead one that was quick is given less."""
    return probe_timeout_s(unit, usual_s=usual_s) if unit.health is Health.DEAD else usual_s


def probe_timeout_s(unit: Unit, *, usual_s: float) -> float:
    """Return how long to wait for this unit once it is dead."""
    if unit.slowest_s is None:
        return usual_s
    return min(usual_s, max(LEAST_PROBE_TIMEOUT_S, PROBE_PATIENCE * unit.slowest_s))


def choose_window(
    unit: Unit, windows: Sequence[Span], *, function_code: int, now_s: float
) -> Span | None:
    """Return the first window whose answer cannot be taken for one still owed.

    Nor for the one answered last, for a frame may be sent twice, unless there is no other
    window at all. None if every answer would be in doubt: then the unit must be left alone
    until a debt lapses.
    """
    in_doubt = {debt.shape for debt in _alive(unit.owed, now_s)}
    if len(windows) > 1 and unit.last_shape is not None:
        in_doubt.add(unit.last_shape)
    for window in windows:
        if shape_of(function_code, window.count) not in in_doubt:
            return window
    return None


def rested(unit: Unit, *, now_s: float) -> Unit:
    """Return a unit, all of whose answers would be in doubt, left alone until one is not."""
    lapses_s = [debt.until_s for debt in _alive(unit.owed, now_s)]
    return replace(unit, ask_again_s=min(lapses_s, default=now_s))


def after_answer(unit: Unit, *, shape: Shape, took_s: float, now_s: float) -> Unit:
    """Return the unit after a good answer; what it owed before, it may still send.

    A device answers in order, but what stands between it and us may not.
    """
    return Unit(
        slowest_s=max(took_s, SLOWNESS_MEMORY * (unit.slowest_s or 0.0)),
        last_shape=shape,
        owed=_alive(unit.owed, now_s),
    )


def after_refusal(unit: Unit, *, now_s: float, owed: OwedAnswer) -> Unit:
    """Return the unit after an exception: it is alive, but may still owe the answer.

    An exception names no length: it may have been the late refusal of an older question.
    """
    return replace(unit, miss_count=0, ask_again_s=0.0, owed=(*_alive(unit.owed, now_s), owed))


def after_miss(
    unit: Unit,
    *,
    now_s: float,
    probe_cost_s: float,
    line_ratio: float,
    owed: OwedAnswer,
) -> Unit:
    """Return the unit after a question that brought nothing.

    Once dead, it is left alone long enough that its probes, of `probe_cost_s` each, take at
    most `line_ratio` of the line.
    """
    miss_count = unit.miss_count + 1
    pause_s = 0.0
    if miss_count >= DEAD_AFTER_COUNT:
        pause_s = max(PROBE_PAUSE_S, probe_cost_s / line_ratio)
    return replace(
        unit,
        miss_count=miss_count,
        ask_again_s=now_s + pause_s,
        owed=(*_alive(unit.owed, now_s), owed),
    )


def _alive(debts: tuple[OwedAnswer, ...], now_s: float) -> tuple[OwedAnswer, ...]:
    return tuple(debt for debt in debts if debt.until_s > now_s)
