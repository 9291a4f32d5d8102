"""How often something may happen within a minute: log lines about strangers, bad frames."""

import math


class MinuteBudget:
    """So much a minute and no more."""

    __slots__ = ("_left", "_limit", "_since_s")

    def __init__(self, limit: int) -> None:
        """Begin with a whole minute's worth."""
        self._limit = self._left = limit
        self._since_s = -math.inf

    def spend(self, now_s: float) -> bool:
        """Return whether there was one left, and take it."""
        if now_s - self._since_s > 60:
            self._since_s, self._left = now_s, self._limit
        self._left -= 1
        return self._left >= 0
