"""A question put to the book: on which connector, with what instead, and in which words."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from itertools import pairwise

from gateway.domain.needs import Need
from gateway.domain.promises import Stretch
from gateway.planning.absence import Away
from gateway.planning.answers import OfferAnswer, QuoteAnswer
from gateway.planning.asking import Asked, AskError, Places
from gateway.planning.book import Book
from gateway.planning.charging import Charging
from gateway.planning.giving_way import NOBODY, Standing, Told
from gateway.planning.giving_way import told as told_by_way
from gateway.planning.problem import Rectangle
from gateway.planning.quote import Ask, Offer, Quote, Verdict, Way, quote
from gateway.planning.quote_words import binding_said, clock_said, offer_said, verdict_said
from gateway.planning.room import Outlet, Outlook, Room

MAX_OFFERS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and where a question is put: `occupied` connectors have a vehicle now.

    `charging` is what is planned for those who were promised nothing, in the slots of the book.
    `solver_s` is how long a critical question may be thought over; promises may be moved then.
    """

    places: Places
    now_s: float
    zone: tzinfo
    occupied: frozenset[str] = frozenset()
    occupied_until_s: float = 0.0
    """Until when (epoch s) they are taken to be occupied, if `leaves_at_s` does not say."""
    leaves_at_s: Mapping[str, float] = field(default_factory=dict)
    away: Mapping[str, Away] = field(default_factory=dict)
    """The connectors that can serve nobody now."""
    back_at_s: float = 0.0
    """When (epoch s) they are taken to be back."""
    charging: Charging = field(default_factory=Charging)
    solver_s: float = 0.0


def answer(
    book: Book,
    need: Need,
    asked: Asked,
    *,
    quote_id: str,
    expires_at_s: float,
    circumstances: Circumstances,
) -> QuoteAnswer:
    """Return what the book as it is can offer for a need."""
    ask, here = asked.ask, circumstances
    ask = replace(ask, not_before_s=here.now_s - book.from_at_s)
    beside = here.charging.beside(book.room)
    taken = _taken(book, ask, here)
    if asked.is_named:
        outlet = asked.outlets[0]
        others = _others(need, outlet, taken, here.places)
    else:
        free = _ranked(beside, [o for o in asked.outlets if o.key not in taken], ask)
        # Where all are taken, that which is free first.
        outlet = free[0] if free else min(asked.outlets, key=lambda o: taken[o.key][0])
        others = iter(free[1:])
    if outlet.key in here.away:
        ask = replace(ask, not_before_s=here.back_at_s - book.from_at_s)
    why_taken = taken.get(outlet.key)
    if why_taken is None:
        standing = Standing(rank=need.criticality.rank, now_s=here.now_s, solver_s=here.solver_s)
        others = _by_gain(beside, others, ask)
        said = told_by_way(book, outlet, ask, others, charging=here.charging, standing=standing)
    else:
        room = here.charging.beside(book.room, rank=need.criticality.rank)
        free = _ranked(room, others, ask)
        until_s = why_taken[0] - book.from_at_s
        elsewhere = _elsewhere(room, outlet, ask, free, until_s=until_s, why=why_taken[1])
        said = Told(quote=elsewhere, room=room, gives_way=NOBODY)
    found = [o for o in said.quote.offers if _is_free(book, o, ask, need, here)]
    verdict = said.quote.verdict
    if verdict is Verdict.YES and ask.energy_wh is None:
        enough = found and found[0].energy_wh >= ask.min_energy_wh
        verdict = Verdict.YES if enough else Verdict.NO
    offers = tuple(
        _offer_answer(book, offer, ask, need, name=f"{quote_id}-{at}", here=here, said=said)
        for at, offer in enumerate(found[:MAX_OFFERS], start=1)
    )
    binds = _what_binds(book, said.room, outlet, ask, here) if why_taken is None else why_taken[1]
    wanted_wh = ask.energy_wh
    return QuoteAnswer(
        id=quote_id,
        need=need,
        version=book.version,
        from_at_s=book.from_at_s,
        expires_at_s=expires_at_s,
        verdict=verdict,
        reason=verdict_said(verdict, wanted_wh=wanted_wh, offers=offers, binds=binds),
        offers=offers,
    )


def _others(
    need: Need, outlet: Outlet, taken: Mapping[str, object], places: Places
) -> Iterator[Outlet]:
    """Yield the other free connectors this vehicle could use."""
    if need.circuit is not None:
        return
    for name in places.connectors:
        if name == outlet.key or name in taken:
            continue
        with suppress(AskError):
            yield places.outlet(name, phase_count=need.phase_count, max_power_w=need.max_power_w)


def _taken(book: Book, ask: Ask, here: Circumstances) -> dict[str, tuple[float, str]]:
    """Return the connectors taken within a window: until when (epoch s), and why."""
    begins_s, ends_s = book.from_at_s + ask.from_s, book.from_at_s + ask.until_s
    found: dict[str, tuple[float, str]] = {}
    for name in (*here.occupied, *here.away):
        if useless := _useless(name, begins_s, here):
            found[name] = useless
    for promise in book.promises.values():
        from_s, until_s = promise.from_at_s, promise.until_at_s
        if promise.state.is_open and from_s < ends_s and begins_s < until_s:
            if promise.place in found and found[promise.place][0] > until_s:
                continue
            since = clock_said(from_s, here.now_s, here.zone)
            until = clock_said(until_s, here.now_s, here.zone)
            why = f"{promise.place} is promised to somebody else from {since} to {until}"
            found[promise.place] = until_s, why
    return found


def _useless(name: str, begins_s: float, here: Circumstances) -> tuple[float, str] | None:
    """Return until when (epoch s) a connector is of no use to who begins then, and why; None if it is."""
    found = []
    until_s = here.leaves_at_s.get(name, here.occupied_until_s)
    if name in here.occupied and begins_s < until_s:
        until = clock_said(until_s, here.now_s, here.zone)
        found.append((until_s, f"{name} is occupied now, it is taken to be free from {until}"))
    away = here.away.get(name)
    if away is not None and away.spoils(begins_s, here.now_s):
        found.append((here.back_at_s, away.said(here.now_s, here.zone)))
    return max(found, default=None)


def _is_free(book: Book, offer: Offer, ask: Ask, need: Need, here: Circumstances) -> bool:
    """Return whether the connector is of use to the vehicle, and promised to nobody else meanwhile."""
    from_s, until_s = _stays(offer, ask, need)
    if _useless(offer.outlet.key, book.from_at_s + from_s, here):
        return False
    return not any(
        promise.place == offer.outlet.key
        and promise.state.is_open
        and promise.from_at_s < book.from_at_s + until_s
        and book.from_at_s + from_s < promise.until_at_s
        for promise in book.promises.values()
    )


def _by_gain(room: Room, outlets: Iterable[Outlet], ask: Ask) -> Iterator[Outlet]:
    """Yield outlets in rank; they are looked at only if one is wanted."""
    yield from _ranked(room, outlets, ask)


def _ranked(room: Room, outlets: Iterable[Outlet], ask: Ask) -> list[Outlet]:
    """Return outlets by how much of what is asked they give, the most first."""

    def gives_wh(outlet: Outlet) -> float:
        energy_wh = room.outlook(outlet).energy_within_wh(ask.from_s, ask.until_s)
        return energy_wh if ask.energy_wh is None else min(ask.energy_wh, energy_wh)

    return sorted(outlets, key=gives_wh, reverse=True)


def _elsewhere(
    room: Room, outlet: Outlet, ask: Ask, free: list[Outlet], *, until_s: float, why: str
) -> Quote:
    """Return what can be had in the place of a connector that is taken: behind it, beside, later."""
    offers: list[Offer] = []
    verdict = Verdict.NO
    if until_s < ask.until_s:
        behind = quote(room, outlet, replace(ask, from_s=until_s)).offers[:1]
        queued = [o for o in behind if o.way in (Way.AS_ASKED, Way.MOST_ENERGY)]
        if any(offer.energy_wh >= max(1.0, ask.min_energy_wh) for offer in queued):
            verdict = Verdict.PARTLY
        offers += [replace(offer, way=Way.QUEUED, waits_for=why) for offer in queued]
    if free:
        beside = quote(room, free[0], ask)
        offers += [
            replace(offer, way=Way.ANOTHER_OUTLET if offer.way is Way.AS_ASKED else offer.way)
            for offer in beside.offers
        ]
        # Who can go elsewhere at once need not wait.
        is_all = beside.verdict is Verdict.YES
        offers.sort(key=lambda offer: is_all and offer.way is not Way.ANOTHER_OUTLET)
    length_s = ask.until_s - ask.from_s
    end_s = room.grid.edges_s[-1]
    if until_s + length_s <= end_s:
        moved = replace(ask, from_s=until_s, until_s=until_s + length_s)
        later = quote(room, outlet, moved).offers
        offers += [replace(offer, way=Way.ANOTHER_START) for offer in later[:1]]
    return Quote(verdict=verdict, version=room.version, offers=tuple(offers))


def _offer_answer(
    book: Book,
    offer: Offer,
    ask: Ask,
    need: Need,
    *,
    name: str,
    here: Circumstances,
    said: Told,
) -> OfferAnswer:
    from_s, until_s = _stays(offer, ask, need)
    is_open_ended = ask.energy_wh is None and need.circuit is None
    held, guaranteed_wh = offer.profile, offer.energy_wh
    if is_open_ended:
        held, guaranteed_wh = _floor(said.room, offer, ask.min_energy_wh)
    # It is for what was asked that others give way; what would do instead goes beside them.
    is_asked = offer.way in (Way.AS_ASKED, Way.MOST_ENERGY)
    gives = said.gives_way if is_asked or said.gives_way.less else NOBODY
    words = offer_said(
        offer,
        guaranteed_wh=guaranteed_wh,
        from_at_s=book.from_at_s,
        now_s=here.now_s,
        zone=here.zone,
    )
    return OfferAnswer(
        id=name,
        offer=offer,
        guaranteed_wh=guaranteed_wh,
        start_at_s=book.from_at_s + offer.start_s,
        finish_at_s=book.from_at_s + offer.finish_s,
        until_at_s=book.from_at_s + until_s,
        profile=_stretches(book, offer.profile),
        floor=_with_presence(
            _stretches(book, held), book.from_at_s + from_s, book.from_at_s + until_s
        ),
        why=f"{words}; {gives_way}" if (gives_way := gives.said()) else words,
        gives_way=gives,
    )


def _stays(offer: Offer, ask: Ask, need: Need) -> tuple[float, float]:
    """Return from when to when the vehicle has its connector, s from the plan's beginning."""
    if offer.way is Way.ANOTHER_START:
        return offer.start_s, offer.finish_s
    if offer.way is Way.QUEUED:
        return offer.start_s, max(ask.until_s, offer.finish_s)
    until_s = offer.finish_s if need.depart_at is None else ask.until_s
    return ask.from_s, max(until_s, offer.finish_s)


def _floor(room: Room, offer: Offer, min_energy_wh: float) -> tuple[tuple[Rectangle, ...], float]:
    """Return what is held of an offer of everything there is: the least that gives what must be.

    The rest stays with everybody, and may be taken back.
    """
    outlet = offer.outlet

    def at(current_ma: int) -> Outlook:
        return Outlook.of(room, replace(outlet, max_ma=current_ma))

    low, high = outlet.min_ma // outlet.step_ma, outlet.max_ma // outlet.step_ma
    while low < high:
        middle = (low + high) // 2
        gives_wh = at(middle * outlet.step_ma).energy_within_wh(offer.start_s, offer.finish_s)
        if gives_wh >= min_energy_wh:
            high = middle
        else:
            low = middle + 1
    outlook = at(low * outlet.step_ma)
    energy_wh = outlook.energy_within_wh(offer.start_s, offer.finish_s)
    return outlook.profile(offer.start_s, offer.finish_s), min(energy_wh, offer.energy_wh)


def _stretches(book: Book, profile: tuple[Rectangle, ...]) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(
            from_at_s=book.from_at_s + rectangle.from_s,
            until_at_s=book.from_at_s + rectangle.until_s,
            current_ma=rectangle.current_ma,
        )
        for rectangle in profile
    )


def _with_presence(
    envelope: tuple[Stretch, ...], from_at_s: float, until_at_s: float
) -> tuple[Stretch, ...]:
    """Return an envelope from arrival to departure: nobody else has the connector meanwhile."""
    edges_s = [from_at_s, *(s.from_at_s for s in envelope[:1])]
    before = [
        Stretch(from_at_s=begins_s, until_at_s=ends_s, current_ma=0)
        for begins_s, ends_s in pairwise(edges_s)
        if begins_s < ends_s
    ]
    last_s = envelope[-1].until_at_s if envelope else from_at_s
    after = [Stretch(from_at_s=last_s, until_at_s=until_at_s, current_ma=0)]
    return (*before, *envelope, *(after if last_s < until_at_s else ()))


def _what_binds(book: Book, room: Room, outlet: Outlet, ask: Ask, here: Circumstances) -> str:
    bindings = room.outlook(outlet).binding(ask.from_s, ask.until_s)
    if not bindings:
        # Nothing is in the way but the connector's own power and the time there is.
        return f"{outlet.key} gives at most {outlet.power_w(outlet.max_ma) / 1_000:.1f} kW"
    tightest = min(bindings, key=lambda b: b.limit_ma)
    return binding_said(
        tightest, here.places, from_at_s=book.from_at_s, now_s=here.now_s, zone=here.zone
    )
