"""Promises of a book that move in time for another: the question of it, its room, and the hold."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gateway.domain.needs import Criticality
from gateway.domain.promises import Reservation, Stretch
from gateway.planning.book import Book, BookError, NoRoomError, hold, with_promise, without
from gateway.planning.charging import Charging
from gateway.planning.claims import take, with_claim
from gateway.planning.following import USUALLY
from gateway.planning.grid import HOUR_S
from gateway.planning.quote import Ask
from gateway.planning.rearranging import NOT_LESS_WH, Rearranged, Rearranging
from gateway.planning.room import Outlet, Room


def rearranging_of(
    book: Book, charging: Charging, outlet: Outlet, ask: Ask, *, now_s: float, time_limit_s: float
) -> Rearranging:
    """Return the question how promises of a book could move so that what is asked fits.

    Those that are fixed and plain draws are not asked to. `now_s` is an epoch second.
    """
    return Rearranging(
        from_at_s=book.from_at_s,
        now_s=now_s,
        grid=book.room.grid,
        left_ma=tuple(map(tuple, book.room.left_ma.tolist())),
        promises=tuple(
            promise
            for promise in book.promises.values()
            if promise.state.is_open and not promise.is_fixed and not promise.is_plain_draw
        ),
        demands=charging.demands,
        current_ma=tuple(map(tuple, charging.current_ma.tolist())),
        outlet=outlet,
        ask=ask,
        time_limit_s=time_limit_s,
    )


def room_of(book: Book, rearranged: Rearranged) -> Room:
    """Return the room beside all that was planned anew of the promises of a book."""
    left_ma = np.array(rearranged.left_ma, dtype=np.int64)
    return before_others(replace(book, room=replace(book.room, left_ma=left_ma)))


def before_others(book: Book) -> Room:
    """Return the room of a book in whose scenarios others give way to what is critical.

    Control keeps the floors of what is critical first: base that is higher than planned is taken from
    what others have, and of what is left only what is critical already catches up before it.
    """
    paths_ma, has_ma = book.unpromised.base_paths_ma, book.unpromised.left_ma.copy()
    for promise in book.promises.values():
        if promise.state.is_open and promise.criticality is Criticality.CRITICAL:
            take(has_ma, book.room.grid, book.from_at_s, promise, sign=1)
            paths_ma = with_claim(paths_ma, promise, book.path_claims.get(promise.id), sign=1)
    of_others_ma = np.maximum(0, has_ma - book.room.left_ma)
    giving_way = {
        row: np.minimum(more_ma, np.maximum(0, more_ma - of_others_ma[row]))
        for row, more_ma in paths_ma.items()
    }
    return replace(book.room, base_paths_ma=giving_way)


def hold_moving(
    book: Book, promise: Reservation, envelopes: Mapping[str, tuple[Stretch, ...]], *, now_s: float
) -> Book:
    """Return the book with a hold more, for which other promises were given other envelopes.

    It is tested against the book as it is, whatever was so when the envelopes were worked out.

    Raises:
        NoRoomError: it does not fit any more.
        BookError: a promise would lose energy, draw more than its vehicle takes, or end otherwise
            than it did; or as for `hold`.
    """
    open_ones = {
        name: envelope
        for name, envelope in envelopes.items()
        if name in book.promises and book.promises[name].state.is_open
    }
    for name, envelope in open_ones.items():
        before, after = book.promises[name], replace(book.promises[name], envelope=envelope)
        loses_mah = _takes_mah(before, now_s) - _takes_mah(after, now_s)
        ends = after.from_at_s == before.from_at_s, after.until_at_s == before.until_at_s
        is_over = _most_ma(after) > max(_most_ma(before), before.max_ma or 0)
        if loses_mah > NOT_LESS_WH or is_over or before.is_fixed or not all(ends):
            message = f"the promise {name} can no longer be moved"
            raise BookError(message)
    held = hold(rewritten(book, open_ones), promise)
    if not open_ones:
        return held  # It alone takes anything, and that was tested.
    is_short = (held.room.left_ma < 0) & (held.room.left_ma < book.room.left_ma)
    if is_short.any():
        row, slot = (int(at[0]) for at in np.nonzero(is_short))
        short_ma = -int(held.room.left_ma[row, slot])
        raise NoRoomError(row, book.from_at_s + book.room.grid.edges_s[slot], short_ma)
    return held


def _most_ma(promise: Reservation) -> int:
    return max(part.current_ma for part in promise.envelope)


def _takes_mah(promise: Reservation, from_at_s: float) -> float:
    """Return what a vehicle takes of an envelope from an instant on: each start costs it something.

    At a lower current that is less, so as much is taken of an envelope that carries less.
    """
    taken_mah, ends_s, start_s = 0.0, from_at_s, 0.0
    is_drawing = promise.delivered_wh > 0 or promise.is_plain_draw
    for part in promise.envelope:
        begins_s = max(part.from_at_s, from_at_s)
        if part.until_at_s <= begins_s or not part.current_ma:
            continue
        if begins_s > ends_s:
            is_drawing = promise.is_plain_draw
        if not is_drawing:
            start_s = USUALLY.settling_s + part.current_ma / USUALLY.ramp_ma_per_s / 2.0
        is_drawing, ends_s = True, part.until_at_s
        lasts_s = part.until_at_s - begins_s
        taken_mah += part.current_ma * max(0.0, lasts_s - start_s) / HOUR_S
        start_s = max(0.0, start_s - lasts_s)
    return taken_mah


def rewritten(book: Book, envelopes: Mapping[str, tuple[Stretch, ...]]) -> Book:
    """Return the book in which promises have other envelopes; nothing is tested."""
    version, order = book.version + 1, tuple(book.promises)
    for name, envelope in envelopes.items():
        promise = replace(book.promises[name], envelope=envelope)
        book = with_promise(without(book, name), promise)
    # Who was promised something first comes first.
    promises = {name: book.promises[name] for name in order}
    return replace(book, room=replace(book.room, version=version), promises=promises)
