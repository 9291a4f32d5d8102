"""When vehicles leave and what they take, learnt from those before them: bounds that hold as said.

What a driver says is where it starts; what is learnt is how far from that drivers of one class
end up. At two recorded car parks a bound that takes drivers at their word is kept for 66 and 73 %
of departures (`benchmarks/session_quantiles.py`).
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from math import ceil

import numpy as np

TRAILING_COUNT = 500  # The last so many of a class are what its bounds are learnt from.
LEAST_COUNT = 30  # With fewer known, those of everybody count instead.
LEARNING_RATE = 0.02  # How much one miss moves the level that is asked of the window.
LEVELS = (0.8, 0.9, 0.95)
LEAST_BEYOND = 5  # Of fewer that got so far nothing is said.


class Ground(StrEnum):
    """What a bound rests on."""

    OWN_CLASS = "sessions of the same class"
    EVERYBODY = "sessions of all classes"
    WORD = "the driver's word alone: too few sessions are known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A value that is reached with a probability, and what that rests on.

    `count` is how many sessions it was learnt from; with `Ground.WORD` the probability is not
    known and nothing may be promised by it.
    """

    value: float
    ground: Ground
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """How one class's ends differed from its words, the newest last, and how the level was moved.

    `departs_s` is departure less what was stated, s; `takes_ratio` energy taken by what was
    stated. `departs_at` and `takes_at` are the levels that are asked of the window so that
    those of `LEVELS` come out: an online conformal offset (Gibbs & Candès, arXiv 2106.00170).
    """

    departs_s: tuple[float, ...] = ()
    takes_ratio: tuple[float, ...] = ()
    departs_at: tuple[float, ...] = LEVELS
    takes_at: tuple[float, ...] = LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBook:
    """What is known of every class, and of everybody together."""

    everybody: Learnt = field(default_factory=Learnt)
    classes: dict[str, Learnt] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far vehicles of a class ended up from their words, in order, and the level to ask for.

    One that is still there tells something: only those count that got as far as it has.
    """

    ordered: tuple[float, ...]
    level: float

    @property
    def is_known(self) -> bool:
        """Return whether anything is known."""
        return len(self.ordered) > 0

    def least_beyond(self, got: float) -> float | None:
        """Return what those that got beyond `got` do not stay below; None where too few did."""
        first = bisect_right(self.ordered, got)
        count = len(self.ordered) - first
        if count < LEAST_BEYOND:
            return None
        return self.ordered[first + max(0, int((1.0 - self.level) * (count + 1)) - 1)]

    def most_beyond(self, got: float) -> float | None:
        """Return what those that got beyond `got` do not get above; None where too few did."""
        first = bisect_right(self.ordered, got)
        count = len(self.ordered) - first
        if count < LEAST_BEYOND:
            return None
        return self.ordered[first + min(count, ceil(self.level * (count + 1))) - 1]


def spreads(book: SessionBook, user_class: str, level: float) -> tuple[Spread, Spread]:
    """Return how much later than stated a class leaves (s), and what part of it it takes.

    They are empty where too little is known of anybody.

    Raises:
        ValueError: no bound of that level is learnt.
    """
    learnt, ground = _ground(book, user_class)
    at = LEVELS.index(level)
    is_known = ground is not Ground.WORD
    return (
        Spread(
            ordered=tuple(sorted(learnt.departs_s)) if is_known else (),
            level=learnt.departs_at[at],
        ),
        Spread(
            ordered=tuple(sorted(learnt.takes_ratio)) if is_known else (),
            level=learnt.takes_at[at],
        ),
    )


def learn(
    book: SessionBook, user_class: str, *, departs_s: float, takes_ratio: float
) -> SessionBook:
    """Return the book after a session: how much later than stated it left, and what part it took."""
    own = book.classes.get(user_class, Learnt())
    return SessionBook(
        everybody=_with(book.everybody, departs_s, takes_ratio),
        classes={**book.classes, user_class: _with(own, departs_s, takes_ratio)},
    )


def stays_until_s(book: SessionBook, user_class: str, stated_s: float, level: float) -> Bound:
    """Return until when (s, as stated) a vehicle is still there with a probability of `LEVELS`.

    It may be before the arrival: then nothing can be promised of this vehicle at that level.

    Raises:
        ValueError: no bound of that level is learnt.
    """
    learnt, ground = _ground(book, user_class)
    if ground is Ground.WORD:
        return Bound(value=stated_s, ground=ground, count=len(learnt.departs_s))
    offset_s = _low(learnt.departs_s, learnt.departs_at[LEVELS.index(level)])
    return Bound(value=stated_s + offset_s, ground=ground, count=len(learnt.departs_s))


def stays_on_s(book: SessionBook, user_class: str, overdue_s: float, level: float) -> Bound:
    """Return how much longer (s) a vehicle stays that is still there so long after it said.

    That is what, of those before it that were still there then, a part of `level` stayed longer;
    0 where nobody was.
    """
    learnt, ground = _ground(book, user_class)
    later_s = sorted(late_s - overdue_s for late_s in learnt.departs_s if late_s > overdue_s)
    if ground is Ground.WORD or not later_s:
        return Bound(value=0.0, ground=ground, count=len(later_s))
    rank = min(len(later_s) - 1, int((1.0 - level) * len(later_s) + 1e-9))
    return Bound(value=later_s[rank], ground=ground, count=len(later_s))


def takes_at_most_wh(book: SessionBook, user_class: str, stated_wh: float, level: float) -> Bound:
    """Return what a vehicle does not take more than with a probability of `LEVELS`, Wh.

    Raises:
        ValueError: no bound of that level is learnt.
    """
    learnt, ground = _ground(book, user_class)
    if ground is Ground.WORD:
        return Bound(value=stated_wh, ground=ground, count=len(learnt.takes_ratio))
    ratio = _high(learnt.takes_ratio, learnt.takes_at[LEVELS.index(level)])
    return Bound(value=stated_wh * ratio, ground=ground, count=len(learnt.takes_ratio))


def _ground(book: SessionBook, user_class: str) -> tuple[Learnt, Ground]:
    own = book.classes.get(user_class, Learnt())
    if len(own.departs_s) >= LEAST_COUNT:
        return own, Ground.OWN_CLASS
    if len(book.everybody.departs_s) >= LEAST_COUNT:
        return book.everybody, Ground.EVERYBODY
    return own, Ground.WORD


def _with(learnt: Learnt, departs_s: float, takes_ratio: float) -> Learnt:
    departs_at, takes_at = learnt.departs_at, learnt.takes_at
    if len(learnt.departs_s) >= LEAST_COUNT:
        moved = [
            _moved(at, level, is_kept=departs_s >= _low(learnt.departs_s, at))
            for at, level in zip(departs_at, LEVELS, strict=True)
        ]
        # A surer bound is never the bolder one.
        departs_at = tuple(accumulate(moved, max))
        moved = [
            _moved(at, level, is_kept=takes_ratio <= _high(learnt.takes_ratio, at))
            for at, level in zip(takes_at, LEVELS, strict=True)
        ]
        takes_at = tuple(accumulate(moved, max))
    return Learnt(
        departs_s=(*learnt.departs_s, departs_s)[-TRAILING_COUNT:],
        takes_ratio=(*learnt.takes_ratio, takes_ratio)[-TRAILING_COUNT:],
        departs_at=departs_at,
        takes_at=takes_at,
    )


def _moved(at: float, level: float, *, is_kept: bool) -> float:
    """Return the level to ask of the window next: more after a miss, a little less after none."""
    step = LEARNING_RATE * ((1.0 - level) if is_kept else -level)
    return min(1.0, max(0.5, at - step))


def _low(values: tuple[float, ...], level: float) -> float:
    """Return what that part of `values` is not below, never less careful than the count allows."""
    return -_high(tuple(-value for value in values), level)


def _high(values: tuple[float, ...], level: float) -> float:
    """Return what that part of `values` is not above: the conformal rank, at most the largest."""
    rank = min(len(values), int(np.ceil(level * (len(values) + 1))))
    return float(np.partition(np.array(values), rank - 1)[rank - 1])
