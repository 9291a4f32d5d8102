"""Who gives way to what is asked: nobody first, then who may charge later, then who matters less.

For what is critical everything else is planned anew at last, promises included, where somebody has
thought that over (`rearranging`): no promise gives up energy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.domain.promises import Stretch
from gateway.planning.book import Book
from gateway.planning.charging import Charging
from gateway.planning.moving import room_of
from gateway.planning.quote import Ask, Offer, Quote, Verdict, Way, quote
from gateway.planning.rearranging import Rearranged
from gateway.planning.room import Outlet, Room
from gateway.planning.shifting import shift


@dataclass(frozen=True, slots=True, kw_only=True)
class GivingWay:
    """Who gives way: `moved` charge at other times, `less` may get less, promises are rewritten.

    `is_before_others` says that everybody who is not critical does where base is higher than
    planned, as `moving.before_others` has it.
    """

    moved: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    envelopes: Mapping[str, tuple[Stretch, ...]] = field(default_factory=dict)
    is_before_others: bool = False

    def said(self) -> str:
        """Return who gives way in a clause, nothing if nobody does."""
        parts = []
        if self.moved:
            parts.append(f"it moves the charging of {_counted(len(self.moved), 'vehicle')} in time")
        if self.envelopes:
            parts.append(f"it moves {_counted(len(self.envelopes), 'promise')} in time")
        if self.less:
            parts.append(f"it may take from {_counted(len(self.less), 'vehicle')} that matter less")
        return "; ".join(parts)


NOBODY = GivingWay()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer, the room it was found in, and who gives way to its offers there."""

    quote: Quote
    room: Room
    gives_way: GivingWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How much who asks counts: `rank` is its class, `rearranged` what was found to move for it."""

    rank: int
    rearranged: Rearranged | None = None


def told(
    book: Book,
    outlet: Outlet,
    ask: Ask,
    others: Iterable[tuple[Outlet, Ask]],
    *,
    charging: Charging,
    standing: Standing,
) -> Told:
    """Return the answer in which the fewest give way; what was found to move is tried first.

    Nobody looks for that unless nothing less would do.
    """
    if standing.rearranged is not None:
        thought = _thought_over(book, outlet, ask, standing.rearranged)
        if _is_met(thought.quote, ask):
            return thought
    beside = charging.beside(book.room)
    answer = quote(beside, outlet, ask, others)
    found = Told(quote=answer, room=beside, gives_way=NOBODY)
    if _is_met(answer, ask):
        return found
    elsewhere = tuple(offer for offer in answer.offers if offer.way is Way.ANOTHER_OUTLET)
    if charging.demands:
        shifted = shift(book.room, charging, outlet, least_of(ask))
        if shifted.moved:
            answer = _beside(elsewhere, quote(shifted.room, outlet, ask))
            gives_way = GivingWay(moved=shifted.moved)
            found = Told(quote=answer, room=shifted.room, gives_way=gives_way)
            if _is_met(answer, ask):
                return found
    if any(demand.rank > standing.rank for demand in charging.demands):
        above = charging.beside(book.room, rank=standing.rank)
        answer = _beside(elsewhere, quote(above, outlet, ask))
        less = _in_the_way(charging, beside, standing.rank, answer.offers)
        found = Told(quote=answer, room=above, gives_way=GivingWay(less=less))
        if _is_met(answer, ask):
            return found
    return found


def least_of(ask: Ask) -> Ask:
    """Return what others make room for: of everything there is, the least it can live with."""
    return replace(ask, energy_wh=ask.min_energy_wh) if ask.energy_wh is None else ask


def _thought_over(book: Book, outlet: Outlet, ask: Ask, rearranged: Rearranged) -> Told:
    room = room_of(book, rearranged)
    gives_way = GivingWay(
        moved=rearranged.moved,
        less=rearranged.less,
        envelopes=rearranged.envelopes,
        is_before_others=True,
    )
    return Told(quote=quote(room, outlet, ask), room=room, gives_way=gives_way)


def _beside(elsewhere: tuple[Offer, ...], answer: Quote) -> Quote:
    """Return an answer with what can be had elsewhere without anybody giving way, if that is more."""
    if answer.verdict is Verdict.YES:
        return answer
    here_wh = max((o.energy_wh for o in answer.offers if o.way is Way.MOST_ENERGY), default=0.0)
    more = tuple(offer for offer in elsewhere if offer.energy_wh >= here_wh + 1.0)
    return replace(answer, offers=(*answer.offers, *more))


def _is_met(answer: Quote, ask: Ask) -> bool:
    """Return whether an answer gives what is asked, or of everything there is the least wanted."""
    if answer.verdict is not Verdict.YES:
        return False
    return ask.energy_wh is not None or answer.offers[0].energy_wh >= ask.min_energy_wh


def _in_the_way(
    charging: Charging, beside: Room, rank: int, offers: tuple[Offer, ...]
) -> tuple[str, ...]:
    """Return who of a lower class draws where the first offer takes more than is free."""
    if not offers:
        return ()
    offer = offers[0]
    edges_s = np.array(beside.grid.edges_s)
    is_over = np.zeros((len(beside.left_ma), beside.grid.slot_count), dtype=np.bool_)
    rows = np.array(offer.outlet.rows)
    for part in offer.profile:
        first = max(0, int(edges_s.searchsorted(part.from_s, side="right")) - 1)
        last = int(edges_s.searchsorted(part.until_s, side="left"))
        slots = np.arange(first, last)
        is_over[np.ix_(rows, slots)] |= beside.left_ma[np.ix_(rows, slots)] < part.current_ma
    return tuple(
        demand.key
        for demand, of_slots_ma in zip(charging.demands, charging.current_ma, strict=True)
        if demand.rank > rank and (is_over[list(demand.rows)] & (of_slots_ma > 0)).any()
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
