"""What is to happen when: a queue of timed actions in which one instant has a fixed order."""

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """Actions by the second they are due; those of one instant run in the order they were added.

    There is no way to cancel: an action that may have become pointless looks for itself.
    """

    __slots__ = ("_count", "_entries", "now_s")

    def __init__(self) -> None:
        self.now_s = 0.0
        self._count = 0
        self._entries: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def add(self, at_s: float, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - they are the action's
        """Have `action(at_s, *arguments)` called at `at_s`, which is not in the past.

        Raises:
            ValueError: `at_s` is before `now_s`, or no number.
        """
        if not at_s >= self.now_s:
            message = f"{at_s} s is not to come: it is {self.now_s} s"
            raise ValueError(message)
        self._count += 1
        heapq.heappush(self._entries, (at_s, self._count, action, arguments))

    def run(self, to_s: float) -> None:
        """Run everything due up to and including `to_s`, what is added meanwhile included."""
        entries = self._entries
        pop = heapq.heappop
        while entries and entries[0][0] <= to_s:
            at_s, _, action, arguments = pop(entries)
            self.now_s = at_s
            action(at_s, *arguments)
        self.now_s = max(self.now_s, to_s)
