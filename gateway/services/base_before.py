"""What base of a row is without the loads that were promised room there, as far as readings tell."""

from collections import deque
from itertools import takewhile
from typing import NamedTuple

NEAR_S = 30.0
"""A reaction chain and some: what begins or ended within it is near."""

WATCHED_S = 300.0
"""What base was is looked at for so long before a draw: an oven that is off for now was on in it."""


class Without(NamedTuple):
    """The least and the most that base may be without promised loads."""

    least_ma: int
    most_ma: int


class _Second(NamedTuple):
    at_s: float
    flows_ma: int
    """What promised loads might draw then."""
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
        self._seconds = deque[_Second]()

    def note(self, base_ma: int | None, *, flows_ma: int, soon_ma: int, at_s: float) -> None:
        """Take note of base, None where nothing measures it, at a monotonic second.

        Promised loads might draw `flows_ma` now, and `soon_ma` at most within `NEAR_S`.
        """
        while self._seconds and self._seconds[0].at_s < at_s - WATCHED_S:
            self._seconds.popleft()
        # A load that runs on for a moment, or a meter behind it, is nobody else's.
        lately = takewhile(lambda second: second.at_s > at_s - NEAR_S, reversed(self._seconds))
        might_ma = max(flows_ma, max((second.flows_ma for second in lately), default=0))
        without = None if base_ma is None else self._without(base_ma, might_ma)
        self._seconds.append(_Second(at_s, flows_ma, without))
        if soon_ma > flows_ma or self.without is None:
            seen = [s.without for s in self._seconds if s.without is not None]
            self.without = None
            if seen:
                least_ma = min(without.least_ma for without in seen)
                self.without = Without(least_ma, max(without.most_ma for without in seen))

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
