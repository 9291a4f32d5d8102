"""An offer as it is told and held: its envelope, how long the vehicle has the connector, and why."""

from dataclasses import replace
from math import inf

from gateway.domain.needs import Need
from gateway.domain.promises import Stretch
from gateway.planning.answers import OfferAnswer
from gateway.planning.book import Book
from gateway.planning.circumstances import Circumstances
from gateway.planning.coming import coming
from gateway.planning.giving_way import NOBODY, Told
from gateway.planning.problem import Rectangle
from gateway.planning.quote import Ask, Offer, Way
from gateway.planning.quote_words import fullness_said, offer_said
from gateway.planning.room import Outlook, Room


def offer_answer(
    book: Book,
    offer: Offer,
    ask: Ask,
    need: Need,
    *,
    name: str,
    here: Circumstances,
    said: Told,
) -> OfferAnswer:
    """Return an offer as it is told: what is held of it, from when to when, and why."""
    from_s, until_s = stay_s(offer, ask, need)
    arrive_slack_s, depart_slack_s = _slacks(offer, ask, need, until_s)
    is_open_ended = ask.energy_wh is None and need.circuit is None
    held, guaranteed_wh = offer.profile, offer.energy_wh
    if is_open_ended:
        held, guaranteed_wh = _floor(said.room, offer, ask.min_energy_wh)
    # It is for what was asked that others give way; what would do instead goes beside them.
    is_asked = offer.way in (Way.AS_ASKED, Way.MOST_ENERGY)
    gives = said.gives_way if is_asked or said.gives_way.less else NOBODY
    offer, gone = _as_sure_as_back(book, offer, here)
    profile = _stretches(book, offer.profile)
    floor = profile if held is offer.profile else _stretches(book, held)
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
        profile=profile,
        floor=_with_presence(floor, book.from_at_s + from_s, book.from_at_s + until_s),
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


def stay_s(offer: Offer, ask: Ask, need: Need) -> tuple[float, float]:
    """Return from when to when the vehicle has its connector, s from the plan's beginning."""
    if offer.way is Way.ANOTHER_START:
        return offer.start_s, offer.finish_s
    from_s = offer.start_s if offer.way.waits else ask.from_s
    until_s = offer.finish_s if need.depart_at is None else ask.until_s
    return from_s, max(until_s, offer.finish_s)


def _slacks(offer: Offer, ask: Ask, need: Need, until_s: float) -> tuple[float, float]:
    """Return for how long before and after its stay, until `until_s`, it may have its connector, too.

    Where that is offered at another time it is for the vehicle to be there.
    """
    if offer.way is Way.ANOTHER_START:
        return 0.0, 0.0
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

    def at(current_ma: int) -> tuple[float, Outlook]:
        seen = replace(outlet, max_ma=current_ma)
        return coming(seen, Outlook.of(room, seen), offer.start_s)

    low, high = outlet.min_ma // outlet.step_ma, outlet.max_ma // outlet.step_ma
    while low < high:
        middle = (low + high) // 2
        begins_s, outlook = at(middle * outlet.step_ma)
        gives_wh = outlook.energy_within_wh(begins_s, offer.finish_s)
        if gives_wh >= min_energy_wh:
            high = middle
        else:
            low = middle + 1
    begins_s, outlook = at(low * outlet.step_ma)
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
    begins_s = envelope[0].from_at_s if envelope else from_at_s
    ends_s = envelope[-1].until_at_s if envelope else from_at_s
    return (*_nothing_in(from_at_s, begins_s), *envelope, *_nothing_in(ends_s, until_at_s))


def _nothing_in(from_at_s: float, until_at_s: float) -> tuple[Stretch, ...]:
    if from_at_s >= until_at_s:
        return ()
    return (Stretch(from_at_s=from_at_s, until_at_s=until_at_s, current_ma=0),)
