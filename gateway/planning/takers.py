"""What keeps a connector from who asks for it, and until when: a promise, a vehicle, an absence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.domain.promises import Reservation
from gateway.planning.absence import Away
from gateway.planning.book import Book
from gateway.planning.circumstances import Circumstances
from gateway.planning.quote import Ask, Way
from gateway.planning.quote_words import clock_said
from gateway.planning.room import Outlet

NO_GAP_S = 1.0
"""In less than that between two promises nobody charges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """What keeps a connector, until when (epoch s): a promise, an absence, a vehicle that is there (None)."""

    until_s: float
    by: Reservation | Away | None = None

    @property
    def way(self) -> Way:
        """Return how what begins once it is over is offered."""
        return Way.BACK if isinstance(self.by, Away) else Way.QUEUED

    def said(self, name: str, here: Circumstances) -> str:
        """Return in a clause why the connector cannot be had."""
        until = clock_said(self.until_s, here.now_s, here.zone)
        match self.by:
            case None:
                return occupied_said(name, until)
            case Away() as away:
                return away.said(here.now_s, here.zone)
            case Reservation() as promise:
                since = clock_said(promise.opens_at_s, here.now_s, here.zone)
                is_own = here.holder and promise.holder == here.holder
                if promise.place != name:
                    what = f"the vehicle of {promise.id_token} is promised something"
                    by = f"by your reservation {promise.id}" if is_own else "under another token"
                    return f"{what} {by} from {since} to {until}"
                whom = f"your reservation {promise.id}" if is_own else "somebody else"
                return f"{name} is promised to {whom} from {since} to {until}"


def taker_of(book: Book, ask: Ask, here: Circumstances, name: str) -> Taker | None:
    """Return what keeps a connector longest within a window, None if it is free in all of it.

    Who says no departure is kept from it by what is there when it comes, and whatever follows that
    without a gap: what opens later only ends its time (`own_of`).
    """
    begins_s = book.from_at_s + ask.from_s - ask.arrive_slack_s
    ends_s = book.from_at_s + ask.until_s + ask.depart_slack_s
    found, away = out_of_use(name, begins_s, here), here.away.get(name)
    back_ratio = 1.0 if away is None else away.back_ratio(begins_s, here.now_s)
    if found is None and back_ratio < ask.confidence_ratio:
        found = Taker(until_s=here.back_at_s, by=away)
    promised: Iterable[Reservation] = promises_in_the_way(book, name, here)
    if ask.ends_when_given:
        promised, ends_s = sorted(promised, key=_opens_at_s), _comes_s(book, ask, found) + NO_GAP_S
    for promise in promised:
        until_s = promise.closes_at_s
        if promise.meets(begins_s, ends_s):
            if found is None or found.until_s <= until_s:
                found = Taker(until_s=until_s, by=promise)
            ends_s = max(ends_s, until_s + NO_GAP_S) if ask.ends_when_given else ends_s
    return found


def own_of(
    book: Book, ask: Ask, here: Circumstances, name: str, taker: Taker | None = None
) -> tuple[Ask, Taker | None]:
    """Return what is asked of a connector of its own, and by what promise the vehicle has to be gone.

    Who says no departure has it from its coming, or the end of what keeps it (`taker`), until then.
    """
    promised = promises_in_the_way(book, name, here) if ask.ends_when_given else ()
    if not promised:
        return ask, None
    comes_s, ends_s = _comes_s(book, ask, taker), book.from_at_s + ask.until_s
    later = (p for p in promised if comes_s < p.opens_at_s < ends_s)
    first = min(later, key=_opens_at_s, default=None)
    if first is None:
        return ask, None
    own = replace(ask, until_s=first.opens_at_s - book.from_at_s, depart_slack_s=0.0)
    return own, Taker(until_s=first.closes_at_s, by=first)


def _comes_s(book: Book, ask: Ask, taker: Taker | None) -> float:
    """Return when (epoch s) a vehicle has surely come, and the connector is free."""
    comes_s = book.from_at_s + ask.from_s
    return comes_s if taker is None else max(comes_s, taker.until_s)


def _opens_at_s(promise: Reservation) -> float:
    return promise.opens_at_s


def out_of_use(name: str, begins_s: float, here: Circumstances) -> Taker | None:
    """Return what keeps a connector from who begins then, None if it is of use."""
    found: Taker | None = None
    if name in here.occupied:
        until_s = here.leaves_at_s.get(name, here.occupied_until_s)
        if begins_s < until_s:
            found = Taker(until_s=until_s)
    away = here.away.get(name)
    if away is None or not away.spoils(begins_s, here.now_s):
        return found
    if found is not None and found.until_s >= here.back_at_s:
        return found
    return Taker(until_s=here.back_at_s, by=away)


def promises_in_the_way(book: Book, name: str, here: Circumstances) -> tuple[Reservation, ...]:
    """Return the promises that keep a connector, or keep the vehicle from it."""
    return (*book.at(name), *here.elsewhere_of(name))


def spans_free_s(book: Book, outlet: Outlet, here: Circumstances) -> list[tuple[float, float]]:
    """Return from when to when a connector is of use and promised to nobody, s from the plan's begin."""
    useless = out_of_use(outlet.key, here.now_s, here)
    begins_s = (here.now_s if useless is None else useless.until_s) - book.from_at_s
    gaps_s = []
    promised = promises_in_the_way(book, outlet.key, here)
    for promise in sorted(promised, key=lambda promise: promise.opens_at_s):
        gaps_s.append((begins_s, promise.opens_at_s - book.from_at_s))
        begins_s = max(begins_s, promise.closes_at_s - book.from_at_s)
    gaps_s.append((begins_s, book.room.grid.edges_s[-1]))
    return [(from_s, until_s) for from_s, until_s in gaps_s if from_s < until_s]


def free_from_s(here: Circumstances) -> dict[str, float]:
    """Return when (epoch s) connectors that are of no use now are taken to be so again."""
    takers = {name: out_of_use(name, here.now_s, here) for name in (*here.occupied, *here.away)}
    return {name: taker.until_s for name, taker in takers.items() if taker is not None}


def occupied_said(name: str, until: str) -> str:
    """Return in a clause that a vehicle is at a connector, and until when that is taken to be so."""
    return f"{name} is occupied now, it is taken to be free from {until}"
