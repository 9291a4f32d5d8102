"""The book of promises: one version after another, each a room from which all promises are taken.

Pure: an act makes the next book of one, and never more is promised than rows have. Whoever keeps
the book lets one act follow the other; questions may be put to any version meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.claims import (
    PathClaim,
    claimed,
    claimed_in_turn,
    cut_claim,
    released,
    touched,
)
from gateway.planning.grid import Grid
from gateway.planning.room import Ints, Room

NOMINAL_V = 230.0

ALLOWED: Mapping[PromiseState, frozenset[PromiseState]] = {
    PromiseState.HELD: frozenset(
        {PromiseState.CONFIRMED, PromiseState.CANCELLED, PromiseState.EXPIRED}
    ),
    PromiseState.CONFIRMED: frozenset(
        {
            PromiseState.ARRIVED,
            PromiseState.FULFILLED,
            PromiseState.CANCELLED,
            PromiseState.NO_SHOW,
            PromiseState.BROKEN,
        }
    ),
    PromiseState.ARRIVED: frozenset(
        {PromiseState.FULFILLED, PromiseState.BROKEN, PromiseState.CANCELLED}
    ),
}
"""What may become of a promise; of one that is closed nothing more becomes."""


class BookError(Exception):
    """An act that cannot be: the promise is not there, or not in a state for it."""


class NoRoomError(BookError):
    """A promise does not fit any more: `row` is short of `short_ma`, at the epoch second `at_s`."""

    def __init__(self, row: int, at_s: float, short_ma: int) -> None:
        """Say where it does not fit."""
        super().__init__(f"row {row} is short of {short_ma} mA")
        self.row, self.at_s, self.short_ma = row, at_s, short_ma


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Promises by their id, and what they leave: `room` begins at the epoch second `from_at_s`."""

    from_at_s: float
    room: Room
    promises: Mapping[str, Reservation]
    unpromised: Room
    """The room as if no promise had been made."""
    voltage_v: float = NOMINAL_V
    path_claims: Mapping[str, PathClaim] = field(default_factory=dict)
    """What promises take of scenarios: what `room` has of them is without that."""
    _of_places: list[Mapping[str, Sequence[Reservation]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def at(self, place: str) -> Sequence[Reservation]:
        """Return the open promises on a place; whose those are is worked out when first asked."""
        if not self._of_places:
            found: dict[str, list[Reservation]] = {}
            for promise in self.promises.values():
                if promise.state.is_open:
                    found.setdefault(promise.place, []).append(promise)
            # All at once: another thread may ask while this one works it out.
            self._of_places.append(found)
        return self._of_places[0].get(place, ())

    @property
    def version(self) -> int:
        """Return the version: each act makes the next."""
        return self.room.version


def opened(
    grid: Grid,
    available_ma: Ints,
    *,
    from_at_s: float,
    promises: Mapping[str, Reservation] | None = None,
    version: int = 1,
    base_paths_ma: Mapping[int, Ints] | None = None,
    unmeasured_ma: Mapping[int, Ints] | None = None,
    voltage_v: float = NOMINAL_V,
) -> Book:
    """Return a book with what rows have (rows, slots) and the promises already made.

    A promise stays in the book whether it still fits or not: what is left is negative then. In
    scenarios each takes what those before it leave.
    """
    kept = dict(promises or {})
    unpromised = Room(
        version=version,
        grid=grid,
        left_ma=available_ma,
        base_paths_ma=base_paths_ma or {},
        unmeasured_ma=unmeasured_ma or {},
    )
    still_open = [promise for promise in kept.values() if promise.state.is_open]
    room, claims = claimed_in_turn(unpromised, still_open, from_at_s=from_at_s, voltage_v=voltage_v)
    return Book(
        from_at_s=from_at_s,
        room=room,
        promises=kept,
        unpromised=unpromised,
        voltage_v=voltage_v,
        path_claims=claims,
    )


def hold(book: Book, promise: Reservation) -> Book:
    """Return the book with a hold more.

    It is tested against the book as it is, so it does not matter which version was asked.

    Raises:
        NoRoomError: it does not fit any more.
        BookError: there is a promise with this id already, or its connector is promised.
    """
    if promise.id in book.promises:
        message = f"there is a promise {promise.id} already"
        raise BookError(message)
    rival = _rival(book, promise)
    if rival is not None:
        whom = rival.id if rival.holder == promise.holder else "somebody else"
        message = f"{promise.place} is promised to {whom} in that time"
        raise BookError(message)
    held = with_promise(book, replace(promise, state=PromiseState.HELD))
    rows = list(promise.rows)
    # Elsewhere less than nothing may be left already, by no fault of this one.
    slots = _slots_of(book.room.grid, book.from_at_s, promise)
    if slots:
        of_rows_ma = held.room.left_ma[np.ix_(rows, slots)]
        if of_rows_ma.min() < 0:
            row, slot = np.unravel_index(int(of_rows_ma.argmin()), of_rows_ma.shape)
            at_s = book.from_at_s + book.room.grid.edges_s[slots[int(slot)]]
            raise NoRoomError(rows[int(row)], at_s, -int(of_rows_ma.min()))
    return _next(held)


def become(
    book: Book, promise_id: str, state: PromiseState, *, delivered_wh: float | None = None
) -> Book:
    """Return the book in which a promise is in another state; a closed one leaves its room.

    Raises:
        BookError: there is no such promise, or that cannot become of it.
    """
    promise = book.promises.get(promise_id)
    if promise is None:
        message = f"there is no promise {promise_id}"
        raise BookError(message)
    if state not in ALLOWED.get(promise.state, frozenset()):
        message = f"promise {promise_id} is {promise.state}: it cannot become {state}"
        raise BookError(message)
    if delivered_wh is None:
        delivered_wh = promise.delivered_wh
    became = replace(promise, state=state, delivered_wh=delivered_wh)
    if not state.is_open:
        book = without(book, promise_id)
    return _next(replace(book, promises={**book.promises, promise_id: became}))


def lapsed(book: Book, at_s: float) -> tuple[tuple[str, PromiseState], ...]:
    """Return what has become of promises by themselves at an instant: nobody confirmed, nobody came."""
    became: list[tuple[str, PromiseState]] = []
    for promise in book.promises.values():
        is_held = promise.state is PromiseState.HELD
        if at_s < (promise.hold_until_at_s if is_held else promise.closes_at_s):
            continue
        if is_held:
            became.append((promise.id, PromiseState.EXPIRED))
        elif promise.state.is_open:
            became.append((promise.id, ended_as(promise)))
    return tuple(became)


def ended_as(promise: Reservation) -> PromiseState:
    """Return what has become of a promise by its end.

    A vehicle that was there is fulfilled or broken by what it was delivered; broken is what could be
    served by nobody when it was to come.
    """
    if promise.state is PromiseState.ARRIVED:
        is_kept = promise.delivered_wh >= KEPT_RATIO * promise.energy_wh
        return PromiseState.FULFILLED if is_kept else PromiseState.BROKEN
    if promise.let_down:
        return PromiseState.BROKEN  # Whether somebody came to what could serve nobody is not known.
    # Nobody comes to draw plainly, and nobody measures it.
    return PromiseState.FULFILLED if promise.is_plain_draw else PromiseState.NO_SHOW


def without(book: Book, promise_id: str) -> Book:
    """Return the book as if a promise had never been made, to ask what could be had in its place."""
    promise, room = book.promises[promise_id], book.room
    claims = {name: claim for name, claim in book.path_claims.items() if name != promise_id}
    if promise.state.is_open:
        claim = book.path_claims.get(promise_id)
        room = released(room, promise, claim, from_at_s=book.from_at_s)
    promises = {name: p for name, p in book.promises.items() if name != promise_id}
    return replace(book, room=room, promises=promises, path_claims=claims)


def with_promise(book: Book, promise: Reservation) -> Book:
    """Return the book with a promise more, behind those that are there; nothing is tested."""
    from_at_s, voltage_v = book.from_at_s, book.voltage_v
    room, claim = claimed(book.room, promise, from_at_s=from_at_s, voltage_v=voltage_v)
    claims = book.path_claims if claim is None else {**book.path_claims, promise.id: claim}
    promises = {**book.promises, promise.id: promise}
    return replace(book, room=room, promises=promises, path_claims=claims)


def edges_of(envelopes: Iterable[tuple[Stretch, ...]], *, from_at_s: float) -> set[float]:
    """Return where envelopes change, s from an epoch second."""
    return {
        at_s - from_at_s
        for envelope in envelopes
        for stretch in envelope
        for at_s in (stretch.from_at_s, stretch.until_at_s)
    }


def cut_for(book: Book, envelopes: Iterable[tuple[Stretch, ...]]) -> Book:
    """Return the book in slots that are cut where envelopes change; what is left is the same.

    A promise takes all of a slot it touches: so it takes no time beside its own.
    """
    grid, parts = book.room.grid.cut(edges_of(envelopes, from_at_s=book.from_at_s))
    if grid == book.room.grid:
        return book
    of_slots = np.array(parts)
    return replace(
        book,
        room=book.room.cut(grid, of_slots),
        unpromised=book.unpromised.cut(grid, of_slots),
        path_claims={name: cut_claim(claim, parts) for name, claim in book.path_claims.items()},
    )


def _next(book: Book) -> Book:
    return replace(book, room=replace(book.room, version=book.version + 1))


def _rival(book: Book, promise: Reservation) -> Reservation | None:
    """Return the open promise on the same connector whose time overlaps, if any."""
    for other in book.at(promise.place):
        if other.meets(promise.opens_at_s, promise.closes_at_s):
            return other
    return None


def _slots_of(grid: Grid, from_at_s: float, promise: Reservation) -> list[int]:
    """Return the slots in which an envelope takes something, each once."""
    return sorted(
        {
            slot
            for stretch in promise.envelope
            if stretch.current_ma
            for slot in touched(grid, from_at_s, stretch)
        }
    )
