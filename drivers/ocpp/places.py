"""Which charging profiles of ours have a place at a station, of which it may have few."""

from collections.abc import Callable, Iterable

from drivers.ocpp.leases import Role

Place = tuple[int, Role]
"""A connector and what the profile is for: one of the same place replaces."""


class Places:
    """The places our profiles have, or may have, at one station.

    One is taken before its profile is sent. A lease in a transaction ends with it; any other
    profile keeps its place until it is cleared, whether it is over or not.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Begin with nothing of ours at the station."""
        self._held: dict[Place, str | int | None] = {}

    def has(self, place: Place) -> bool:
        """Return whether a place is taken."""
        return place in self._held

    def take(self, place: Place, transaction: str | int | None) -> None:
        """Take a place, for a transaction if it ends with one."""
        self._held[place] = transaction

    def give_back(self, place: Place) -> None:
        """Give a place back, if it is taken."""
        self._held.pop(place, None)

    def forget_ended(self, transaction_on: Callable[[int], str | int | None]) -> None:
        """Give back the places of what ended with its transaction."""
        self._held = {
            (number, role): transaction
            for (number, role), transaction in self._held.items()
            if role is not Role.TRANSACTION_LEASE or transaction == transaction_on(number)
        }

    def leases(self) -> tuple[Place, ...]:
        """Return the places of leases."""
        return tuple(place for place in self._held if place[1] is not Role.FALLBACK)

    def count_with(self, place: Place, connectors: Iterable[int]) -> int:
        """Return how many there must be for one more profile; one that replaces needs no more.

        Before a lease come the fallbacks of all connectors, also those that are yet to be written.
        """
        places = {*self._held, place}
        if place[1] is not Role.FALLBACK:
            places |= {(number, Role.FALLBACK) for number in connectors}
        return len(places)
