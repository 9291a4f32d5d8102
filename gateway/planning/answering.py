"""A question put to the book: answered on which connector, by whom to give way, with what instead."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from operator import itemgetter

from gateway.domain.needs import Criticality, Need, Objective
from gateway.planning.answers import OfferAnswer, QuoteAnswer
from gateway.planning.asking import Asked, AskError
from gateway.planning.book import Book
from gateway.planning.circumstances import Circumstances
from gateway.planning.giving_way import NOBODY, Standing, Told, least_of
from gateway.planning.giving_way import told as told_by_way
from gateway.planning.moving import rearranging_of
from gateway.planning.offering import offer_answer, stay_s
from gateway.planning.quote import (
    Ask,
    Offer,
    Quote,
    Verdict,
    Way,
    best_first,
    between,
    quote,
    what_binds,
)
from gateway.planning.quote_words import (
    binding_said,
    place_said,
    verdict_said,
)
from gateway.planning.rearranging import Rearranging
from gateway.planning.room import Outlet, Room
from gateway.planning.takers import (
    Taker,
    out_of_use,
    own_of,
    promises_in_the_way,
    spans_free_s,
    taker_of,
)

MAX_OFFERS = 7
ENOUGH_STARTS = 3
"""With offers at so many connectors no other is looked at, where nothing else is to be had."""


def answer(
    book: Book,
    need: Need,
    asked: Asked,
    *,
    quote_id: str,
    expires_at_s: float,
    circumstances: Circumstances,
) -> QuoteAnswer:
    """Return what the book as it is can offer for a need, and may be held."""
    here = circumstances
    ask = partial(_answer, book, need, asked, quote_id=quote_id, expires_at_s=expires_at_s)
    if here.elsewhere:
        # What it is promised elsewhere is not in the way of a vehicle that is gone by then.
        said = ask(replace(here, elsewhere=()))
        offers = tuple(offer for offer in said.offers if not _is_elsewhere(offer, here))
        if offers[:1] == said.offers[:1]:
            return replace(said, offers=offers)
    return ask(here)


def _is_elsewhere(offer: OfferAnswer, here: Circumstances) -> bool:
    """Return whether the vehicle is promised something elsewhere while it would have a connector."""
    opens_at_s = offer.floor[0].from_at_s - offer.arrive_slack_s
    closes_at_s = offer.floor[-1].until_at_s + offer.depart_slack_s
    elsewhere = here.elsewhere_of(offer.outlet.key)
    return any(promise.meets(opens_at_s, closes_at_s) for promise in elsewhere)


def _answer(
    book: Book,
    need: Need,
    asked: Asked,
    here: Circumstances,
    *,
    quote_id: str,
    expires_at_s: float,
) -> QuoteAnswer:
    chosen = _chosen(book, asked, here)
    outlet, ask, taker, beside = chosen.outlet, chosen.ask, chosen.taker, chosen.beside
    if taker is None:
        standing = Standing(rank=need.criticality.rank, rearranged=here.rearranged)
        others = _others(book, beside, need, ask, here, but=outlet)
        said = told_by_way(
            book, outlet, chosen.own, others, charging=here.charging, standing=standing
        )
    else:
        room = here.charging.beside(book.room, rank=need.criticality.rank)
        other = next(_others(book, room, need, ask, here, but=outlet), None)
        until_s, why = taker.until_s - book.from_at_s, taker.said(outlet.key, here)
        elsewhere = _elsewhere(
            room, outlet, chosen.own, other, until_s=until_s, way=taker.way, why=why
        )
        said = Told(quote=elsewhere, room=room, gives_way=NOBODY)
    found = [o for o in said.quote.offers if _is_free(book, o, ask, need, here)]
    verdict = said.quote.verdict
    if verdict is not Verdict.YES and chosen.ends_by is not None:
        taker = taker or chosen.ends_by
    if taker is not None or not found:
        outlets = dict.fromkeys((outlet, *(() if found else _usable(need, here))))
        found += _at_other_starts(book, said.room, outlets, ask, here)
    if verdict is Verdict.YES and ask.energy_wh is None:
        enough = found and found[0].energy_wh >= ask.min_energy_wh
        verdict = Verdict.YES if enough else Verdict.NO
    elif verdict is not Verdict.YES and any(_is_all(o, outlet, ask, here) for o in found):
        verdict = Verdict.YES
        found.sort(key=lambda offer: not _is_all(offer, outlet, ask, here))
    offers = tuple(
        offer_answer(book, offer, ask, need, name=f"{quote_id}-{at}", here=here, said=said)
        for at, offer in enumerate(
            _each_once(best_first(found, ask), ask, need)[:MAX_OFFERS], start=1
        )
    )
    binds = "" if taker is None else taker.said(outlet.key, here)
    if taker is None and verdict is not Verdict.YES:
        binds = _what_binds(book, said.room, outlet, ask, here)
    return QuoteAnswer(
        id=quote_id,
        need=need,
        version=book.version,
        from_at_s=book.from_at_s,
        expires_at_s=expires_at_s,
        verdict=verdict,
        reason=verdict_said(verdict, wanted_wh=ask.energy_wh, offers=offers, binds=binds),
        offers=offers,
    )


def to_think_over(
    book: Book, need: Need, asked: Asked, *, circumstances: Circumstances, time_limit_s: float
) -> Rearranging | None:
    """Return the question whose answer has promises make room; None if they do not for this need.

    That is only for what is critical, on a connector that is free.
    """
    here, chosen = circumstances, _chosen(book, asked, circumstances)
    least = least_of(chosen.own)
    is_for_it = need.criticality is Criticality.CRITICAL and bool(least.energy_wh)
    if not is_for_it or chosen.taker is not None:
        return None
    return rearranging_of(
        book, here.charging, chosen.outlet, least, now_s=here.now_s, time_limit_s=time_limit_s
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Where a need is answered: the outlet, what is asked of it, what keeps it, the room beside all.

    `own` is what is asked until the promise by which the vehicle has to be gone there (`ends_by`).
    """

    outlet: Outlet
    ask: Ask
    taker: Taker | None
    beside: Room
    own: Ask
    ends_by: Taker | None


def _chosen(book: Book, asked: Asked, here: Circumstances) -> _Chosen:
    ask, beside = asked.ask, here.charging.beside(book.room)
    takers = {o.key: by for o in asked.outlets if (by := taker_of(book, ask, here, o.key))}
    if asked.is_named:
        outlet = asked.outlets[0]
    elif free := [o for o in asked.outlets if o.key not in takers]:
        # Of those that give as much it stays where it is.
        free.sort(key=lambda o: o.key not in here.own)
        outlet = _ranked(beside, ((o, own_of(book, ask, here, o.key)[0]) for o in free))[0][0]
    else:
        # Where all are taken, that which is free first.
        outlet = min(asked.outlets, key=lambda o: takers[o.key].until_s)
    if outlet.key in here.away:
        ask = replace(ask, not_before_s=here.back_at_s - book.from_at_s)
    taker = takers.get(outlet.key)
    own, ends_by = own_of(book, ask, here, outlet.key, taker)
    return _Chosen(outlet=outlet, ask=ask, taker=taker, beside=beside, own=own, ends_by=ends_by)


def _others(
    book: Book, room: Room, need: Need, ask: Ask, here: Circumstances, *, but: Outlet
) -> Iterator[tuple[Outlet, Ask]]:
    """Yield the other free connectors this vehicle could use, in rank; worked out if one is wanted.

    With each comes what is asked there.
    """
    asks = ((o, own_of(book, ask, here, o.key)[0]) for o in _usable(need, here))
    for outlet, own in _ranked(room, asks):
        if outlet.key != but.key and taker_of(book, ask, here, outlet.key) is None:
            yield outlet, own


def _usable(need: Need, here: Circumstances) -> tuple[Outlet, ...]:
    """Return the connectors this vehicle could use; a plain draw uses none."""
    if need.circuit is not None:
        return ()
    try:
        usable = here.places.usable(phase_count=need.phase_count, max_power_w=need.max_power_w)
    except AskError:
        return ()
    return here.vehicles.with_it(usable, need, here.places)


def _is_free(book: Book, offer: Offer, ask: Ask, need: Need, here: Circumstances) -> bool:
    """Return whether the connector is of use to the vehicle, and promised to nobody else meanwhile."""
    from_s, until_s = stay_s(offer, ask, need)
    begins_s, ends_s = book.from_at_s + from_s, book.from_at_s + until_s
    if out_of_use(offer.outlet.key, begins_s, here) is not None:
        return False
    promised = promises_in_the_way(book, offer.outlet.key, here)
    return not any(promise.meets(begins_s, ends_s) for promise in promised)


def _is_all(offer: Offer, outlet: Outlet, ask: Ask, here: Circumstances) -> bool:
    """Return whether an offer at an outlet that is taken for a while gives all, within the window.

    Who said a departure is offered less than was asked where it has to be gone before.
    """
    if ask.energy_wh is None or offer.outlet.key != outlet.key or outlet.key in here.away:
        return False
    is_within = ask.from_s <= offer.start_s and offer.finish_s <= ask.until_s
    is_to_stay = offer.way is Way.QUEUED or (offer.way is Way.ANOTHER_START and ask.ends_when_given)
    return is_to_stay and is_within and offer.energy_wh >= ask.energy_wh


def _ranked(room: Room, asks: Iterable[tuple[Outlet, Ask]]) -> list[tuple[Outlet, Ask]]:
    """Return outlets by how much of what is asked there they give, the most first, the fastest if asked."""
    known, ranked = dict[tuple[object, ...], tuple[float, float]](), []
    for outlet, ask in asks:
        shape = outlet.shape, ask.until_s
        gives = known.get(shape)
        if gives is None:
            outlook, is_by_time = room.outlook(outlet), ask.objective is Objective.FASTEST
            energy_wh = outlook.energy_within_wh(ask.from_s, ask.until_s)
            gives_wh = min(energy_wh, ask.energy_wh or energy_wh)
            finish_s = outlook.finish_s(ask.from_s, gives_wh) if is_by_time else 0.0
            gives = known[shape] = -gives_wh, inf if finish_s is None else finish_s
        ranked.append((gives, (outlet, ask)))
    ranked.sort(key=itemgetter(0))
    return [asked for _, asked in ranked]


def _elsewhere(
    room: Room,
    outlet: Outlet,
    ask: Ask,
    other: tuple[Outlet, Ask] | None,
    *,
    until_s: float,
    way: Way,
    why: str,
) -> Quote:
    """Return what can be had in the place of a connector that is taken: behind it, beside."""
    offers: list[Offer] = []
    verdict = Verdict.NO
    if until_s < ask.until_s:
        from_s = max(until_s, ask.from_s)  # It may be free once the vehicle has surely come.
        behind = quote(room, outlet, replace(ask, from_s=from_s)).offers[:1]
        queued = [o for o in behind if o.way in (Way.AS_ASKED, Way.MOST_ENERGY)]
        if any(offer.energy_wh >= max(1.0, ask.min_energy_wh) for offer in queued):
            verdict = Verdict.PARTLY
        offers += [replace(offer, way=way, waits_for=why) for offer in queued]
    if other is not None:
        beside = quote(room, *other)
        offers += [
            replace(offer, way=Way.ANOTHER_OUTLET if offer.way is Way.AS_ASKED else offer.way)
            for offer in beside.offers
        ]
        # Who can go elsewhere at once need not wait.
        is_all = beside.verdict is Verdict.YES
        offers.sort(key=lambda offer: is_all and offer.way is not Way.ANOTHER_OUTLET)
    return Quote(verdict=verdict, version=room.version, offers=tuple(offers))


def _at_other_starts(
    book: Book, room: Room, outlets: Iterable[Outlet], ask: Ask, here: Circumstances
) -> list[Offer]:
    """Return what can be had between promises, the most first, of the connectors free soonest."""
    gaps_s = {outlet: spans_free_s(book, outlet, here) for outlet in outlets}

    def free_from_s(outlet: Outlet) -> float:
        begins = (begins_s for begins_s, ends_s in gaps_s[outlet] if ends_s > ask.from_s)
        return next(begins, inf)

    found: list[Offer] = []
    for outlet in sorted(gaps_s, key=free_from_s):
        offer = between(room, outlet, ask, gaps_s[outlet])
        if offer is not None:
            found.append(offer)
            is_all = ask.energy_wh is not None and offer.energy_wh >= ask.energy_wh
            if is_all or len(found) == ENOUGH_STARTS:
                break
    return sorted(found, key=lambda offer: offer.energy_wh, reverse=True)


def _each_once(offers: list[Offer], ask: Ask, need: Need) -> list[Offer]:
    """Return offers without those that give a vehicle that comes then the same as one before."""
    if len(offers) == 1:
        return offers
    known: dict[tuple[object, ...], Offer] = {}
    for offer in offers:
        parts = ((round(p.from_s), round(p.until_s), p.current_ma) for p in offer.profile)
        comes_s = round(stay_s(offer, ask, need)[0])
        known.setdefault((offer.outlet.key, comes_s, round(offer.energy_wh), *parts), offer)
    return list(known.values())


def _what_binds(book: Book, room: Room, outlet: Outlet, ask: Ask, here: Circumstances) -> str:
    bindings = what_binds(room, outlet, ask)
    if not bindings:
        # Nothing is in the way but the connector's own power and the time there is.
        return f"{place_said(outlet.key)} gives it at most {outlet.power_w(outlet.max_ma) / 1_000:.1f} kW"
    # What takes most of it away, not what leaves least for a moment.
    worst = max(bindings, key=lambda b: (outlet.max_ma - b.limit_ma) * (b.until_s - b.from_s))
    return binding_said(
        worst, here.places, from_at_s=book.from_at_s, now_s=here.now_s, zone=here.zone
    )
