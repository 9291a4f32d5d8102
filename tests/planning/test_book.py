"""The book of promises: never more than there is, whatever order acts come in."""

import random
import threading
from bisect import bisect_right
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.book import (
    Book,
    BookError,
    NoRoomError,
    become,
    cut_for,
    hold,
    lapsed,
    opened,
    without,
)
from gateway.planning.grid import even_grid

BEGINS_AT_S = 1_800_000_000.0
HOUR_S = 3_600.0
ROWS, SLOTS = 6, 48


def book(limit_ma: int = 40_000) -> Book:
    available = np.full((ROWS, SLOTS), limit_ma, dtype=np.int64)
    return opened(even_grid(SLOTS, 300.0), available, from_at_s=BEGINS_AT_S)


def promise(
    name: str, *, place: str = "CP-1", from_h: float = 1, until_h: float = 2
) -> Reservation:
    stretch = Stretch(
        from_at_s=BEGINS_AT_S + from_h * HOUR_S,
        until_at_s=BEGINS_AT_S + until_h * HOUR_S,
        current_ma=16_000,
    )
    return Reservation(
        id=name,
        place=place,
        rows=(0, 1, 2),
        envelope=(stretch,),
        energy_wh=11_000,
        guaranteed_wh=11_000,
        confidence_ratio=0.9,
        criticality=Criticality.NORMAL,
        state=PromiseState.HELD,
        hold_until_at_s=BEGINS_AT_S + 120.0,
    )


def test_a_hold_takes_room_and_makes_a_version() -> None:
    held = hold(book(), promise("a"))

    assert held.version == 2
    assert held.room.left_ma[0, 12:24].tolist() == [24_000] * 12
    assert held.room.left_ma[0, [11, 24]].tolist() == [40_000, 40_000]
    assert held.room.left_ma[3].min() == 40_000


def test_what_does_not_fit_any_more_is_refused_with_where() -> None:
    full = hold(hold(book(), promise("a")), promise("b", place="CP-2"))

    with pytest.raises(NoRoomError) as refused:
        hold(full, promise("c", place="CP-3", from_h=1.5, until_h=3))
    assert (refused.value.row, refused.value.short_ma) == (0, 8_000)
    assert refused.value.at_s == BEGINS_AT_S + 1.5 * HOUR_S


def test_a_connector_is_promised_once_at_a_time() -> None:
    held = hold(book(), promise("a"))

    with pytest.raises(BookError, match="CP-1 is promised to a"):
        hold(held, promise("b", from_h=1.9, until_h=3))
    with pytest.raises(BookError, match="CP-1 is promised to somebody else in that time"):
        hold(held, replace(promise("b"), holder="another"))
    hold(held, promise("b", from_h=2, until_h=3))


class Halting(dict[str, Reservation]):
    """Promises of which the first look at all of them halts before the second until it may go on."""

    def __init__(self, promises: Iterable[Reservation]) -> None:
        super().__init__({promise.id: promise for promise in promises})
        self.has_halted, self.may_go_on = threading.Event(), threading.Event()

    def values(self) -> Any:
        is_first = not self.has_halted.is_set()
        for at, known in enumerate(super().values()):
            if at == 1 and is_first:
                self.has_halted.set()
                assert self.may_go_on.wait(20.0)
            yield known


def test_a_book_that_another_thread_has_begun_to_read_is_whole() -> None:
    promises = Halting([promise("a"), promise("b", place="CP-2")])
    read = replace(book(), promises=promises)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read.at, "CP-2")
        assert promises.has_halted.wait(20.0)
        with pytest.raises(BookError, match="CP-2 is promised to b"):
            hold(read, promise("c", place="CP-2"))
        promises.may_go_on.set()
        assert [p.id for p in reading.result()] == [p.id for p in read.at("CP-2")] == ["b"]


def test_an_older_version_does_not_matter_where_it_still_fits() -> None:
    asked_of = book()
    meanwhile = hold(asked_of, promise("a"))

    assert set(hold(meanwhile, promise("b", place="CP-2")).promises) == {"a", "b"}


def test_closing_a_promise_gives_its_room_back() -> None:
    confirmed = become(hold(book(), promise("a")), "a", PromiseState.CONFIRMED)
    cancelled = become(confirmed, "a", PromiseState.CANCELLED)

    assert confirmed.room.left_ma.min() == 24_000
    assert cancelled.room.left_ma.min() == 40_000
    with pytest.raises(BookError, match="is cancelled: it cannot become confirmed"):
        become(cancelled, "a", PromiseState.CONFIRMED)


def test_what_becomes_of_promises_by_themselves() -> None:
    made = book(100_000)
    for name, place in (("held", "1"), ("confirmed", "2"), ("kept", "3"), ("broken", "4")):
        made = hold(made, promise(name, place=place))
    for name in ("confirmed", "kept", "broken"):
        made = become(made, name, PromiseState.CONFIRMED)
    for name, delivered_wh in (("kept", 10_900.0), ("broken", 4_000.0)):
        made = become(made, name, PromiseState.ARRIVED, delivered_wh=delivered_wh)

    assert lapsed(made, BEGINS_AT_S + 60) == ()
    assert lapsed(made, BEGINS_AT_S + 121) == (("held", PromiseState.EXPIRED),)
    assert dict(lapsed(made, BEGINS_AT_S + 2 * HOUR_S)) == {
        "held": PromiseState.EXPIRED,
        "confirmed": PromiseState.NO_SHOW,
        "kept": PromiseState.FULFILLED,
        "broken": PromiseState.BROKEN,
    }


def test_a_book_opened_anew_is_the_same_book() -> None:
    made = hold(hold(book(), promise("a")), promise("b", place="CP-2", from_h=2.1, until_h=3.3))
    made = become(made, "a", PromiseState.CONFIRMED)
    again = opened(
        even_grid(SLOTS, 300.0),
        np.full((ROWS, SLOTS), 40_000, dtype=np.int64),
        from_at_s=BEGINS_AT_S,
        promises=made.promises,
        version=made.version,
    )

    assert (again.room.left_ma == made.room.left_ma).all()


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12))
def test_a_promise_takes_no_time_beside_its_own_where_slots_are_cut_for_it(
    seed: int, count: int
) -> None:
    chance = random.Random(seed)
    paths_ma = np.array([[chance.randrange(-9_000, 9_000) for _ in range(SLOTS)] for _ in range(3)])
    uncertain = dict.fromkeys((0, 1, 2), paths_ma)
    empty = book()
    first = opened(
        empty.room.grid, empty.room.left_ma, from_at_s=BEGINS_AT_S, base_paths_ma=uncertain
    )
    made = first
    for at in range(count):
        from_h = chance.uniform(-0.5, 3.5)
        wanted = promise(f"{at}", place=f"CP-{at}", from_h=from_h, until_h=from_h + chance.random())
        made = cut_for(made, (wanted.envelope,))
        with suppress(NoRoomError):
            made = hold(made, wanted)

    for _ in range(20):
        at_s = chance.uniform(0, SLOTS * 300.0)
        taken_ma = sum(
            stretch.current_ma
            for promised in made.promises.values()
            for stretch in promised.envelope
            if stretch.from_at_s <= BEGINS_AT_S + at_s < stretch.until_at_s
        )
        slot = bisect_right(made.room.grid.edges_s, at_s) - 1
        assert made.room.left_ma[0, slot] == 40_000 - taken_ma
    for name in made.promises:
        made = without(made, name)
    assert (made.room.left_ma == 40_000).all()
    of_slots = [int(edge_s // 300.0) for edge_s in made.room.grid.edges_s[:-1]]
    assert (made.room.base_paths_ma[0] == paths_ma[:, of_slots]).all()
    assert (made.unpromised.base_paths_ma[0] == paths_ma[:, of_slots]).all()


@given(seed=st.integers(0, 10_000), steps=st.integers(1, 60))
def test_whatever_is_done_never_more_is_promised_than_there_is(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    now = book()
    for step in range(steps):
        begins_h = chance.uniform(-1, 4)
        asked = promise(
            f"{step}",
            place=f"CP-{chance.randrange(6)}",
            from_h=begins_h,
            until_h=begins_h + chance.uniform(0.1, 2),
        )
        rows = tuple(sorted(chance.sample(range(ROWS), chance.randint(1, 4))))
        try:
            if chance.random() < 0.6 or not now.promises:
                now = hold(now, replace(asked, rows=rows))
            else:
                name = chance.choice(list(now.promises))
                now = become(now, name, chance.choice(list(PromiseState)))
        except BookError:
            continue

    assert now.room.left_ma.min() >= 0
    if not any(p.state.is_open for p in now.promises.values()):
        assert now.room.left_ma.min() == 40_000
