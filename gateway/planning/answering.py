"""A question put to the book: on which connector, with what instead, and in which words."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import partial
from itertools import pairwise
from math import inf

from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import Reservation, Stretch
from gateway.planning.absence import Away
from gateway.planning.answers import OfferAnswer, QuoteAnswer
from gateway.planning.asking import NOBODY_SEEN, Asked, AskError, Places, Vehicles
from gateway.planning.book import Book
from gateway.planning.charging import Charging
from gateway.planning.coming import coming
from gateway.planning.giving_way import NOBODY, Standing, Told, least_of
from gateway.planning.giving_way import told as told_by_way
from gateway.planning.moving import rearranging_of
from gateway.planning.problem import Rectangle
from gateway.planning.quote import Ask, Offer, Quote, Verdict, Way, between, quote
from gateway.planning.quote_words import (
    binding_said,
    clock_said,
    fullness_said,
    offer_said,
    place_said,
    verdict_said,
)
from gateway.planning.rearranging import Rearranged, Rearranging
from gateway.planning.room import Outlet, Outlook, Room

MAX_OFFERS = 7
ENOUGH_STARTS = 3
"""With offers at so many connectors no other is looked at, where nothing else is to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and where a question is put: `occupied` connectors have a vehicle now.

    `charging` is what is planned for those who were promised nothing, in the slots of the book.
    Who asks is in nobody's list: `own` are the connectors at which its vehicle is already.
    """

    places: Places
    now_s: float
    zone: tzinfo
    holder: str = ""
    """The token that asks: promises made to it are its own."""
    elsewhere: tuple[Reservation, ...] = ()
    """What its vehicle is promised under another token: it is nowhere else meanwhile."""
    gives_up: str = ""
    """What is given up for what is held, in a clause."""
    own: frozenset[str] = frozenset()
    occupied: frozenset[str] = frozenset()
    occupied_until_s: float = 0.0
    """Until when (epoch s) they are taken to be occupied, if `leaves_at_s` does not say."""
    leaves_at_s: Mapping[str, float] = field(default_factory=dict)
    away: Mapping[str, Away] = field(default_factory=dict)
    """The connectors that can serve nobody now."""
    back_at_s: float = 0.0
    """When (epoch s) they are taken to be back."""
    charging: Charging = field(default_factory=Charging)
    rearranged: Rearranged | None = None
    """What was found to move for it, where that was thought over (`to_think_over`)."""
    vehicles: Vehicles = NOBODY_SEEN


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
    return any(promise.meets(opens_at_s, closes_at_s) for promise in here.elsewhere)


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
        said = told_by_way(book, outlet, ask, others, charging=here.charging, standing=standing)
    else:
        room = here.charging.beside(book.room, rank=need.criticality.rank)
        other = next(_others(book, room, need, ask, here, but=outlet), None)
        until_s, why = taker.until_s - book.from_at_s, taker.said(outlet.key, here)
        elsewhere = _elsewhere(room, outlet, ask, other, until_s=until_s, way=taker.way, why=why)
        said = Told(quote=elsewhere, room=room, gives_way=NOBODY)
    found = [o for o in said.quote.offers if _is_free(book, o, ask, need, here)]
    if taker is not None or not found:
        outlets = dict.fromkeys((outlet, *(() if found else _usable(need, here))))
        found += _at_other_starts(book, said.room, outlets, ask, here)
    verdict = said.quote.verdict
    if verdict is Verdict.YES and ask.energy_wh is None:
        enough = found and found[0].energy_wh >= ask.min_energy_wh
        verdict = Verdict.YES if enough else Verdict.NO
    offers = tuple(
        _offer_answer(book, offer, ask, need, name=f"{quote_id}-{at}", here=here, said=said)
        for at, offer in enumerate(_each_once(found, ask, need)[:MAX_OFFERS], start=1)
    )
    binds = ""
    if verdict is not Verdict.YES:
        binds = (
            _what_binds(book, said.room, outlet, ask, here)
            if taker is None
            else taker.said(outlet.key, here)
        )
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
    least = least_of(chosen.ask)
    is_for_it = need.criticality is Criticality.CRITICAL and bool(least.energy_wh)
    if not is_for_it or chosen.taker is not None:
        return None
    return rearranging_of(
        book, here.charging, chosen.outlet, least, now_s=here.now_s, time_limit_s=time_limit_s
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Where a need is answered: the outlet, what is asked of it, what keeps it, the room beside all."""

    outlet: Outlet
    ask: Ask
    taker: "_Taker | None"
    beside: Room


def _chosen(book: Book, asked: Asked, here: Circumstances) -> _Chosen:
    ask, beside = asked.ask, here.charging.beside(book.room)
    takers = {o.key: by for o in asked.outlets if (by := _taker(book, ask, here, o.key))}
    if asked.is_named:
        outlet = asked.outlets[0]
    elif free := [o for o in asked.outlets if o.key not in takers]:
        # Of those that give as much it stays where it is.
        outlet = _ranked(beside, sorted(free, key=lambda o: o.key not in here.own), ask)[0]
    else:
        # Where all are taken, that which is free first.
        outlet = min(asked.outlets, key=lambda o: takers[o.key].until_s)
    if outlet.key in here.away:
        ask = replace(ask, not_before_s=here.back_at_s - book.from_at_s)
    return _Chosen(outlet=outlet, ask=ask, taker=takers.get(outlet.key), beside=beside)


def occupied_said(name: str, until: str) -> str:
    """Return in a clause that a vehicle is at a connector, and until when that is taken to be so."""
    return f"{name} is occupied now, it is taken to be free from {until}"


def free_from_s(here: Circumstances) -> dict[str, float]:
    """Return when (epoch s) connectors that are of no use now are taken to be so again."""
    takers = {name: _useless(name, here.now_s, here) for name in (*here.occupied, *here.away)}
    return {name: taker.until_s for name, taker in takers.items() if taker is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taker:
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
                if promise.place != name:
                    what = f"the vehicle of {promise.id_token} is promised something"
                    return f"{what} under another token from {since} to {until}"
                is_own = here.holder and promise.holder == here.holder
                whom = f"your reservation {promise.id}" if is_own else "somebody else"
                return f"{name} is promised to {whom} from {since} to {until}"


def _taker(book: Book, ask: Ask, here: Circumstances, name: str) -> _Taker | None:
    """Return what keeps a connector longest within a window, None if it is free in all of it."""
    begins_s = book.from_at_s + ask.from_s - ask.arrive_slack_s
    ends_s = book.from_at_s + ask.until_s + ask.depart_slack_s
    found, away = _useless(name, begins_s, here), here.away.get(name)
    back_ratio = 1.0 if away is None else away.back_ratio(begins_s, here.now_s)
    if found is None and back_ratio < ask.confidence_ratio:
        found = _Taker(until_s=here.back_at_s, by=away)
    for promise in _in_the_way(book, name, here):
        until_s = promise.closes_at_s
        if promise.meets(begins_s, ends_s) and (found is None or found.until_s <= until_s):
            found = _Taker(until_s=until_s, by=promise)
    return found


def _useless(name: str, begins_s: float, here: Circumstances) -> _Taker | None:
    """Return what keeps a connector from who begins then, None if it is of use."""
    found: _Taker | None = None
    if name in here.occupied:
        until_s = here.leaves_at_s.get(name, here.occupied_until_s)
        if begins_s < until_s:
            found = _Taker(until_s=until_s)
    away = here.away.get(name)
    if away is None or not away.spoils(begins_s, here.now_s):
        return found
    if found is not None and found.until_s >= here.back_at_s:
        return found
    return _Taker(until_s=here.back_at_s, by=away)


def _in_the_way(book: Book, name: str, here: Circumstances) -> tuple[Reservation, ...]:
    """Return the promises that keep a connector, or keep the vehicle from it."""
    return (*book.at(name), *here.elsewhere)


def _others(
    book: Book, room: Room, need: Need, ask: Ask, here: Circumstances, *, but: Outlet
) -> Iterator[Outlet]:
    """Yield the other free connectors this vehicle could use, in rank; worked out if one is wanted."""
    for outlet in _ranked(room, _usable(need, here), ask):
        if outlet.key != but.key and _taker(book, ask, here, outlet.key) is None:
            yield outlet


def _usable(need: Need, here: Circumstances) -> list[Outlet]:
    """Return the connectors this vehicle could use; a plain draw uses none."""
    outlets, places = [], here.places
    for name in () if need.circuit is not None else places.connectors:
        with suppress(AskError):
            outlet = places.outlet(name, phase_count=need.phase_count, max_power_w=need.max_power_w)
            outlets.append(here.vehicles.with_it(outlet, need, places))
    return outlets


def _gaps_s(book: Book, outlet: Outlet, here: Circumstances) -> list[tuple[float, float]]:
    """Return from when to when a connector is of use and promised to nobody, s from the plan's begin."""
    useless = _useless(outlet.key, here.now_s, here)
    begins_s = (here.now_s if useless is None else useless.until_s) - book.from_at_s
    gaps_s = []
    promised = _in_the_way(book, outlet.key, here)
    for promise in sorted(promised, key=lambda promise: promise.opens_at_s):
        gaps_s.append((begins_s, promise.opens_at_s - book.from_at_s))
        begins_s = max(begins_s, promise.closes_at_s - book.from_at_s)
    gaps_s.append((begins_s, book.room.grid.edges_s[-1]))
    return [(from_s, until_s) for from_s, until_s in gaps_s if from_s < until_s]


def _is_free(book: Book, offer: Offer, ask: Ask, need: Need, here: Circumstances) -> bool:
    """Return whether the connector is of use to the vehicle, and promised to nobody else meanwhile."""
    from_s, until_s = _stays(offer, ask, need)
    begins_s, ends_s = book.from_at_s + from_s, book.from_at_s + until_s
    if _useless(offer.outlet.key, begins_s, here) is not None:
        return False
    promised = _in_the_way(book, offer.outlet.key, here)
    return not any(promise.meets(begins_s, ends_s) for promise in promised)


def _ranked(room: Room, outlets: Iterable[Outlet], ask: Ask) -> list[Outlet]:
    """Return outlets by how much of what is asked they give, the most first."""
    gains_wh: dict[tuple[float, ...], float] = {}

    def gives_wh(outlet: Outlet) -> float:
        shape = outlet.shape
        if shape not in gains_wh:
            energy_wh = room.outlook(outlet).energy_within_wh(ask.from_s, ask.until_s)
            gains_wh[shape] = min(energy_wh, ask.energy_wh or energy_wh)
        return gains_wh[shape]

    return sorted(outlets, key=gives_wh, reverse=True)


def _elsewhere(
    room: Room,
    outlet: Outlet,
    ask: Ask,
    other: Outlet | None,
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
        beside = quote(room, other, ask)
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
    gaps_s = {outlet: _gaps_s(book, outlet, here) for outlet in outlets}

    def free_from_s(outlet: Outlet) -> float:
        begins = (begins_s for begins_s, ends_s in gaps_s[outlet] if ends_s > ask.from_s)
        return next(begins, inf)

    found: list[Offer] = []
    for outlet in sorted(gaps_s, key=free_from_s):
        offer = between(room.outlook(outlet), ask, gaps_s[outlet])
        if offer is not None:
            found.append(offer)
            is_all = ask.energy_wh is not None and offer.energy_wh >= ask.energy_wh
            if is_all or len(found) == ENOUGH_STARTS:
                break
    return sorted(found, key=lambda offer: offer.energy_wh, reverse=True)


def _each_once(offers: Iterable[Offer], ask: Ask, need: Need) -> list[Offer]:
    """Return offers without those that give a vehicle that comes then the same as one before."""
    known: dict[tuple[object, ...], Offer] = {}
    for offer in offers:
        parts = ((round(p.from_s), round(p.until_s), p.current_ma) for p in offer.profile)
        comes_s = round(_stays(offer, ask, need)[0])
        known.setdefault((offer.outlet.key, comes_s, round(offer.energy_wh), *parts), offer)
    return list(known.values())


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
    arrive_slack_s, depart_slack_s = _slacks(offer, ask, need)
    is_open_ended = ask.energy_wh is None and need.circuit is None
    held, guaranteed_wh = offer.profile, offer.energy_wh
    if is_open_ended:
        held, guaranteed_wh = _floor(said.room, offer, ask.min_energy_wh)
    # It is for what was asked that others give way; what would do instead goes beside them.
    is_asked = offer.way in (Way.AS_ASKED, Way.MOST_ENERGY)
    gives = said.gives_way if is_asked or said.gives_way.less else NOBODY
    offer, gone = _as_sure_as_back(book, offer, here)
    words = offer_said(
        offer,
        guaranteed_wh=guaranteed_wh,
        from_at_s=book.from_at_s,
        until_at_s=_gone_at_s(book, offer, ask, need),
        now_s=here.now_s,
        zone=here.zone,
    )
    return OfferAnswer(
        id=name,
        offer=offer,
        guaranteed_wh=guaranteed_wh,
        start_at_s=book.from_at_s + offer.begins_s,
        finish_at_s=book.from_at_s + offer.finish_s,
        until_at_s=book.from_at_s + until_s,
        profile=_stretches(book, offer.profile),
        floor=_with_presence(
            _stretches(book, held), book.from_at_s + from_s, book.from_at_s + until_s
        ),
        why="; ".join(
            filter(None, (words, gone, fullness_said(offer, need), gives.said(), here.gives_up))
        ),
        gives_way=gives,
        arrive_slack_s=arrive_slack_s,
        depart_slack_s=depart_slack_s,
    )


def _as_sure_as_back(book: Book, offer: Offer, here: Circumstances) -> tuple[Offer, str]:
    """Return an offer as sure as its connector is back when it begins, and in a clause what is away."""
    away = here.away.get(offer.outlet.key)
    if away is None:
        return offer, ""
    back_ratio = away.back_ratio(book.from_at_s + offer.begins_s, here.now_s)
    now = replace(offer, confidence_ratio=offer.confidence_ratio * back_ratio)
    return now, away.said(here.now_s, here.zone)


def _stays(offer: Offer, ask: Ask, need: Need) -> tuple[float, float]:
    """Return from when to when the vehicle has its connector, s from the plan's beginning."""
    if offer.way is Way.ANOTHER_START:
        return offer.start_s, offer.finish_s
    from_s = offer.start_s if offer.way.waits else ask.from_s
    until_s = offer.finish_s if need.depart_at is None else ask.until_s
    return from_s, max(until_s, offer.finish_s)


def _slacks(offer: Offer, ask: Ask, need: Need) -> tuple[float, float]:
    """Return for how long before and after its stay the vehicle may have its connector, too.

    Where that is offered at another time it is for the vehicle to be there.
    """
    if offer.way is Way.ANOTHER_START:
        return 0.0, 0.0
    until_s = _stays(offer, ask, need)[1]
    goes_s = until_s if need.depart_at is None else ask.until_s + ask.depart_slack_s
    before_s = 0.0 if offer.way.waits else ask.arrive_slack_s
    return before_s, max(0.0, goes_s - until_s)


def _gone_at_s(book: Book, offer: Offer, ask: Ask, need: Need) -> float:
    """Return when (epoch s) the vehicle is gone, if that was said and the offer is over by then."""
    is_asked = offer.way is not Way.ANOTHER_START and offer.finish_s <= ask.until_s
    return book.from_at_s + ask.until_s if need.depart_at is not None and is_asked else inf


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
        begins_s, outlook = coming(at(middle * outlet.step_ma), offer.start_s)
        gives_wh = outlook.energy_within_wh(begins_s, offer.finish_s)
        if gives_wh >= min_energy_wh:
            high = middle
        else:
            low = middle + 1
    begins_s, outlook = coming(at(low * outlet.step_ma), offer.start_s)
    energy_wh = outlook.energy_within_wh(begins_s, offer.finish_s)
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
        return (
            f"{place_said(outlet.key)} gives at most {outlet.power_w(outlet.max_ma) / 1_000:.1f} kW"
        )
    tightest = min(bindings, key=lambda b: b.limit_ma)
    return binding_said(
        tightest, here.places, from_at_s=book.from_at_s, now_s=here.now_s, zone=here.zone
    )
