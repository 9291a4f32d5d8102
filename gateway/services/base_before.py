"""What base of a row is without the loads that were promised room there, as far as readings tell."""

from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

NEAR_S = 30.0
"""A reaction chain and some: what begins or ended within it is near."""

WATCHED_S = 300.0
"""What base was is looked at for so long before a draw: an oven that is off for now was on in it.

It is watched where nothing is promised as well: a draw may be promised the second it begins.
"""

SPAN_S = 5.0
"""Seconds are kept by so many together: of a thousand rows each second would be a lot."""


class Without(NamedTuple):
    """The least and the most that base may be without promised loads."""

    least_ma: int
    most_ma: int


class _Span(NamedTuple):
    """Some seconds in one, from the first to the last that was noted."""

    from_s: float
    until_s: float
    flows_ma: int
    """What promised loads might draw then at most."""
    without: Without | None
    """None where nothing measured base."""


class BaseBefore:
    """Follows base of one row, before promised draws and while they flow.

    Of base that is above what it was before, so much is taken for promised loads as they might
    draw; the rest is other loads'. What it was before is found anew ahead of each draw, and stays
    while draws may flow: what is promised is kept room for once, however draws overlap and follow.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.without: Without | None = None
        """None as well where no promised draw flows, may still, or begins within `NEAR_S`."""
        self._spans = deque[_Span]()

    def note(self, base_ma: int | None, *, flows_ma: int, is_ahead: bool, at_s: float) -> None:
        """Take note of base, None where nothing measures it, at a monotonic second.

        Promised loads might draw `flows_ma` now, and another draw begins within `NEAR_S` if it
        `is_ahead`.
        """
        while self._spans and self._spans[0].until_s < at_s - WATCHED_S:
            self._spans.popleft()
        # A load that runs on for a moment, or a meter behind it, is nobody else's.
        lately = takewhile(lambda span: span.until_s > at_s - NEAR_S, reversed(self._spans))
        might_ma = max(flows_ma, max((span.flows_ma for span in lately), default=0))
        without = None if base_ma is None else self._without(base_ma, might_ma)
        self._keep(_Span(at_s, at_s, flows_ma, without))
        if not is_ahead and not might_ma:
            self.without = None
        elif is_ahead or self.without is None:
            self.without = _widest(span.without for span in self._spans)

    def _keep(self, span: _Span) -> None:
        if self._spans and span.until_s < self._spans[-1].from_s + SPAN_S:
            last = self._spans.pop()
            flows_ma = max(last.flows_ma, span.flows_ma)
            without = _widest((last.without, span.without))
            span = _Span(last.from_s, span.until_s, flows_ma, without)
        self._spans.append(span)

    def _without(self, base_ma: int, might_ma: int) -> Without:
        """Return what a base is without promised loads, which might draw `might_ma` of it."""
        least_ma = base_ma - might_ma
        if self.without is None:
            return Without(least_ma, base_ma)
        before = self.without
        return Without(
            max(min(base_ma, before.least_ma), least_ma),
            max(min(base_ma, before.most_ma), least_ma),
        )


def _widest(seen: Iterable[Without | None]) -> Without | None:
    """Return the least and the most of all that is known, None where nothing is."""
    known = [without for without in seen if without is not None]
    if not known:
        return None
    return Without(
        min(without.least_ma for without in known), max(without.most_ma for without in known)
    )
