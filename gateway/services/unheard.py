"""Promises that are over while their station is out of reach: what became of them it tells once it is back."""

from collections.abc import Iterator
from math import inf

from gateway.domain.events import Event, StationConnected, StationDisconnected
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.promises import Reservation
from gateway.planning.asking import Places

TELLS_WITHIN_S = 300.0
"""What a station has kept while it had no connection has come so long after it is back (`drivers/ocpp`)."""

HEARD_WITHIN_S = 3_600.0
"""A promise is judged by what was heard so long after its end, whether its station is back or not.

Most stations dial again within minutes (`planning/absence`). Of one that is gone for an hour nobody
knows when it is back, and whoever holds the promise is to be told something the same hour.
"""


class Unheard:
    """The promises that wait for their stations, out of the book, and since when stations are in reach.

    Nothing is lost with it: what waits is open in the ledger, and waits again in a later life, in
    which stations are out of reach until they have dialled. Instants are epoch seconds.
    """

    def __init__(self, places: Places) -> None:
        """Know of no station in reach, and of no promise that waits."""
        self._places = places
        self._began_at_s: float | None = None
        self._in_reach_since_s: dict[StationId, float] = {}
        self._promises: dict[str, Reservation] = {}

    def __contains__(self, promise: Reservation) -> bool:
        """Return whether a promise waits."""
        return promise.id in self._promises

    def __iter__(self) -> Iterator[Reservation]:
        """Yield the promises that wait; they may be changed meanwhile."""
        return iter(tuple(self._promises.values()))

    def begin(self, now_s: float) -> None:
        """Note when this life began, once: stations have dialled some minutes later."""
        if self._began_at_s is None:
            self._began_at_s = now_s

    def put(self, promise: Reservation) -> None:
        """Have a promise wait, or have this said of one that does."""
        self._promises[promise.id] = promise

    def take_out(self, promise: Reservation) -> None:
        """Have a promise wait no longer, if it does."""
        self._promises.pop(promise.id, None)

    def hear(self, fact: Event, now_s: float) -> None:
        """Take note of stations that come into reach and go out of it."""
        match fact:
            case StationConnected(station=station):
                self._in_reach_since_s[station] = now_s
            case StationDisconnected(station=station):
                self._in_reach_since_s.pop(station, None)
            case _:
                pass

    def told_by_s(self, station: StationId) -> float:
        """Return when a station has told all it kept, infinity while it is out of reach."""
        return self._in_reach_since_s.get(station, inf) + TELLS_WITHIN_S

    def told_at_s(self, promise: Reservation) -> float:
        """Return when the station of a promise has told all it kept, infinity while it is out of reach."""
        return self.told_by_s(self._places.connectors[promise.place].ref.station)

    def due_at_s(self, promise: Reservation) -> float:
        """Return when a promise that is over is judged: at its end if all was heard of it then."""
        judged_by_s = promise.closes_at_s + HEARD_WITHIN_S
        if self._began_at_s is not None:
            judged_by_s = max(judged_by_s, self._began_at_s + TELLS_WITHIN_S)
        return max(promise.closes_at_s, min(self.told_at_s(promise), judged_by_s))

    def at(self, connector: ConnectorRef) -> list[Reservation]:
        """Return the promises of a connector that wait, the one that was over first before others."""
        its = (promise for promise in self if promise.place == str(connector))
        return sorted(its, key=lambda promise: promise.closes_at_s)
