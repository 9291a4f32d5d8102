"""Keeps the newest of what many hand in: who hands in much pushes out their own, not others'."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class FairShelf(Generic[V]):
    """At most `max_count` things in all; when there are more, who has most loses their oldest.

    So of `n` holders none loses anything to the others while it has no more than an `n`-th of it.
    """

    def __init__(self, max_count: int) -> None:
        """Begin empty."""
        self._max_count, self._count = max_count, 0
        self._of: dict[str, OrderedDict[str, V]] = {}

    def put(self, holder: str, name: str, thing: V) -> str | None:
        """Keep a thing under a name of its holder's; return the name of what went for it, if any."""
        own = self._of.setdefault(holder, OrderedDict())
        self._count += name not in own
        own[name] = thing
        if self._count <= self._max_count:
            return None
        most = max(self._of.values(), key=len)
        # Of those who have equally much it is whoever hands in.
        of_most = own if len(own) == len(most) else most
        self._count -= 1
        return of_most.popitem(last=False)[0]

    def get(self, holder: str, name: str) -> V | None:
        """Return what is kept under a name of its holder's, None if there is no such thing."""
        own = self._of.get(holder)
        return None if own is None else own.get(name)
