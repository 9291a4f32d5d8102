"""How surely open promises will still be kept, as the building is seen now, and what endangers them.

Pure: the same book, instant and vehicles give the same answer. Promises are looked at in the
order in which they matter, so where a row is short the first ones are kept and the others are
named: that is which promises a lower limit breaks, told before they do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf

from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.absence import Away
from gateway.planning.answering import answer
from gateway.planning.answers import QuoteAnswer
from gateway.planning.asking import AskError, Places, asked_of
from gateway.planning.book import Book, without
from gateway.planning.chance import Chance, Standing
from gateway.planning.circumstances import Circumstances
from gateway.planning.claims import take
from gateway.planning.promising import need_of
from gateway.planning.room import Outlet


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """How an open promise stood when it was last looked at, and whether its holder was told.

    How sure it is may not be known (None). `why` is the sentence that was told, with the figures of
    that look; empty if it is not at risk.
    """

    confidence_ratio: float | None
    is_at_risk: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A book at an epoch second, with what is seen of connectors; see `standings`."""

    book: Book
    places: Places
    now_s: float
    others_until_s: Mapping[str, float]
    away: Mapping[str, Away]


def standings(
    book: Book,
    places: Places,
    *,
    now_s: float,
    others_until_s: Mapping[str, float] | None = None,
    away: Mapping[str, Away] | None = None,
) -> Iterator[Standing]:
    """Yield how every open promise stands at an epoch second, those that matter most first.

    `others_until_s` names the promises, by id, at whose connector another vehicle is than the one
    they were made to, and until when (epoch s) it is taken to stay; `away` the connectors that can
    serve nobody. A promise whose place is no longer in the site is left out.
    """
    seen = Seen(
        book=book,
        places=places,
        now_s=now_s,
        others_until_s=others_until_s or {},
        away=away or {},
    )
    return (standing for standing in steps(seen) if standing is not None)


def steps(seen: Seen) -> Iterator[Standing | None]:
    """Yield the same, and None before it is known: so whoever waits can see to other things.

    Who is late and would be at risk if all others drew just along their envelopes is looked at again
    as control shares: floors first, then whoever was promised first gets all it takes, and is done
    before its envelope is over.
    """
    found = []
    for chance in _looked_at(seen):
        found.append((chance.standing(), chance.is_late))
        yield None
    if any(is_late and standing.is_at_risk for standing, is_late in found):
        floors: dict[str, Reservation] = {}
        for chance in _looked_at(seen, floors={}):
            floors[chance.promise.id] = chance.floor()
            yield None
        again = {}
        for chance in _looked_at(seen, floors=floors):
            again[chance.promise.id] = chance.standing()
            yield None
        found = [
            (again[s.promise.id] if is_late and not again[s.promise.id].is_at_risk else s, is_late)
            for s, is_late in found
        ]
    yield from (standing for standing, _ in found)


def _looked_at(seen: Seen, *, floors: Mapping[str, Reservation] | None = None) -> Iterator[Chance]:
    """Yield the chance of every open promise in turn, each in the room that those before it leave.

    With `floors` all take what they can as soon as they can; those behind have theirs, by id, if
    they are known, instead of their envelopes.
    """
    book, now_s = seen.book, seen.now_s
    grid, from_at_s = book.room.grid, book.from_at_s
    opened = (_as_drawn(p, now_s) for p in book.promises.values() if p.state.is_open)
    promises = sorted(opened, key=matters)
    # Beside what those before it take, and beside what is promised to those behind it too.
    room, free_ma = book.unpromised, book.room.left_ma.copy()
    for promise in promises:
        if floors and promise.id in floors:
            take(free_ma, grid, from_at_s, promise, sign=-1)
            take(free_ma, grid, from_at_s, floors[promise.id], sign=1)
    for promise in promises:
        take(free_ma, grid, from_at_s, (floors or {}).get(promise.id, promise), sign=-1)
        try:
            outlet = _outlet(promise, seen.places)
        except AskError:
            continue
        busy_until_s = seen.others_until_s.get(promise.id, 0.0)
        if promise.state is PromiseState.ARRIVED:
            busy_until_s = 0.0
        chance = Chance(
            promise=promise,
            room=room,
            free_ma=free_ma,
            unpromised=book.unpromised,
            outlet=outlet,
            at_most=_at_most(promise, outlet, seen.places),
            from_at_s=from_at_s,
            now_s=now_s,
            busy_until_s=busy_until_s,
            away=seen.away.get(promise.place),
            hurries=floors is not None,
        )
        yield chance
        claim = chance.claim()
        take(free_ma, grid, from_at_s, claim, sign=1)
        room = chance.leaves(room, claim)


def alternatives(
    book: Book, promise: Reservation, *, quote_id: str, expires_at_s: float, here: Circumstances
) -> QuoteAnswer | None:
    """Return what could be had in the place of what is left of a promise; None if nothing can.

    The promise itself is taken out of the book for that: its own connector is one answer.
    """
    book = without(book, promise.id)
    try:
        need = need_of(promise, here.places, now_s=here.now_s)
        end_s = book.from_at_s + book.room.grid.edges_s[-1]
        asked = asked_of(
            need,
            here.places,
            from_at_s=book.from_at_s,
            now_s=here.now_s,
            end_s=end_s,
            vehicles=here.vehicles,
        )
    except AskError:
        return None
    return answer(
        book, need, asked, quote_id=quote_id, expires_at_s=expires_at_s, circumstances=here
    )


def matters(promise: Reservation) -> tuple[int, bool, float, str]:
    """Return what promises are put in order by: class, what is confirmed, who was first."""
    is_held = promise.state is PromiseState.HELD
    return promise.criticality.rank, is_held, promise.hold_until_at_s, promise.id


def _as_drawn(promise: Reservation, now_s: float) -> Reservation:
    """Return a promise with what is taken to be drawn of it by now, where nobody measures that."""
    if not promise.is_plain_draw:
        return promise
    whole, before = (
        sum(
            s.current_ma * max(0.0, min(s.until_at_s, at_s) - s.from_at_s) for s in promise.envelope
        )
        for at_s in (promise.until_at_s, now_s)
    )
    return replace(promise, delivered_wh=promise.energy_wh * before / whole if whole else 0.0)


def _at_most(promise: Reservation, outlet: Outlet, places: Places) -> Outlet:
    """Return where a promise draws, with a vehicle that takes at once all that flows there."""
    most_ma = max(outlet.max_ma, places.at(promise.place, promise.phase_count).max_ma)
    return replace(outlet, max_ma=most_ma, settling_s=0.0, ramp_ma_per_s=inf, taper=())


def _outlet(promise: Reservation, places: Places) -> Outlet:
    """Return where a promise draws, with no more than its vehicle takes after what it has had."""
    outlet, had_wh = places.at(promise.place, promise.phase_count), promise.delivered_wh
    most_ma = promise.max_ma or max(stretch.current_ma for stretch in promise.envelope)
    if had_wh > 0:
        outlet = replace(outlet, is_drawing=True)
    return replace(
        outlet,
        rows=promise.rows,
        max_ma=min(outlet.max_ma, most_ma),
        taper=tuple((max(0.0, from_wh - had_wh), ma) for from_wh, ma in promise.taper),
    )
