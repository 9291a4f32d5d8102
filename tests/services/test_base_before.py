"""Of what loads were promised nothing is given away, whatever draws, and nothing is kept twice."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.promised_draws import owed_ma
from gateway.services.base_before import NEAR_S, WATCHED_S, BaseBefore

BEGINS_S = int(WATCHED_S) + 40
"""The first draw begins so late that base was watched before it."""

LASTS_S = 1_200
CHAIN_S = 16
"""So long after a limit was lowered vehicles have followed it."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load that was promised a current for a time, and what it draws in truth."""

    from_s: int
    until_s: int
    current_ma: int
    comes_s: int
    goes_s: int
    draws_ma: int
    rests_each_s: int
    """It rests for a third of so many seconds, as an oven does."""

    def promised_ma(self, at_s: int) -> int:
        return self.current_ma if self.from_s <= at_s < self.until_s else 0

    def flows_ma(self, at_s: int) -> int:
        rests = at_s % self.rests_each_s < self.rests_each_s // 3
        return self.draws_ma if self.comes_s <= at_s < self.goes_s and not rests else 0


@st.composite
def loads(draw: st.DrawFn, *, runs_on_s: int = 0) -> Load:
    """Return one that draws no more than it was promised, in a part of its time; or not at all."""
    from_s = draw(st.integers(BEGINS_S, BEGINS_S + 500))
    until_s = from_s + draw(st.integers(1, 400))
    current_ma = draw(st.integers(1, 30)) * 1_000
    return Load(
        from_s=from_s,
        until_s=until_s,
        current_ma=current_ma,
        comes_s=draw(st.integers(from_s, until_s)),
        goes_s=draw(st.integers(from_s, until_s + runs_on_s)),
        draws_ma=draw(st.sampled_from([0, current_ma // 3, current_ma])),
        rests_each_s=draw(st.sampled_from([1, 40, 300])),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """A second of a row: what was promised, what flowed of it and beside it, and what is owed."""

    at_s: int
    now_ma: int
    soon_ma: int
    flows_ma: int
    others_ma: int
    owed_ma: int
    surely_owed_ma: int
    """The same of what may flow now, with base before at its least."""


def watched(of_loads: list[Load], others_ma: Callable[[int], int]) -> list[Look]:
    """Return what is owed second by second, base being what promised loads and others draw."""
    before, looks, near_s = BaseBefore(), [], int(NEAR_S)
    promised_ma = [
        sum(load.promised_ma(at_s) for load in of_loads) for at_s in range(LASTS_S + near_s)
    ]
    for at_s in range(LASTS_S):
        now_ma, soon_ma = promised_ma[at_s], max(promised_ma[at_s : at_s + near_s + 1])
        flows_ma = sum(load.flows_ma(at_s) for load in of_loads)
        base_ma = flows_ma + others_ma(at_s)
        is_ahead = any(at_s < load.from_s <= at_s + near_s for load in of_loads)
        before.note(base_ma, flows_ma=now_ma, is_ahead=is_ahead, at_s=float(at_s))
        least_ma, most_ma = (None, None) if before.without is None else before.without
        owed = owed_ma(soon_ma, most_ma, base_ma)
        surely = owed_ma(now_ma, least_ma, base_ma)
        looks.append(Look(at_s, now_ma, soon_ma, flows_ma, others_ma(at_s), owed, surely))
    return looks


@given(of_loads=st.lists(loads(runs_on_s=int(NEAR_S) - 1), max_size=4))
def test_beside_others_that_draw_evenly_what_is_kept_is_what_does_not_flow_to_the_milliampere(
    of_loads: list[Load],
) -> None:
    for look in watched(of_loads, lambda _: 20_000):
        assert look.owed_ma == max(0, look.soon_ma - look.flows_ma), look


def wandering(seed: int, *, least_ma: int, most_ma: int) -> Callable[[int], int]:
    """Return a load that goes up and down, and is at its least and its most each few minutes."""
    rng = Random(seed)
    currents_ma = list[int]()
    while len(currents_ma) < LASTS_S:
        lasts_s = rng.choice((rng.randrange(1, 60), rng.randrange(1, int(WATCHED_S) - 4)))
        currents_ma += [rng.choice((least_ma, most_ma, rng.randint(least_ma, most_ma)))] * lasts_s
        currents_ma += rng.sample((least_ma, most_ma), 2)
    return lambda at_s: currents_ma[at_s]


@given(of_loads=st.lists(loads(), max_size=4), seed=st.integers(0, 1_000))
def test_beside_others_that_come_and_go_a_load_that_takes_what_it_was_promised_fits(
    of_loads: list[Load], seed: int
) -> None:
    reserve_ma = 15_000
    looks = watched(of_loads, wandering(seed, least_ma=10_000, most_ma=10_000 + reserve_ma))
    bound_ma = 25_000 + max(look.soon_ma for look in looks)
    told_ma = deque[int](maxlen=CHAIN_S)
    for look in looks:
        # Vehicles draw all they were allowed at any time of a reaction chain.
        given_ma = max(told_ma, default=0)
        assert look.flows_ma + look.others_ma + given_ma <= bound_ma, look
        base_ma = look.flows_ma + look.others_ma
        told_ma.append(max(0, bound_ma - base_ma - reserve_ma - look.owed_ma))
        # So nothing of it is given away, and what breaks a promise is surely its own.
        assert look.owed_ma >= look.soon_ma - look.flows_ma, look
        assert look.surely_owed_ma <= look.now_ma - look.flows_ma, look


@given(
    of_loads=st.lists(loads(runs_on_s=600), max_size=4),
    others_ma=st.lists(st.integers(0, 60_000), min_size=1, max_size=40),
    long_s=st.integers(1, 200),
)
def test_whatever_else_draws_no_more_is_kept_than_was_promised_and_nothing_after_its_end(
    of_loads: list[Load], others_ma: list[int], long_s: int
) -> None:
    for look in watched(of_loads, lambda at_s: others_ma[at_s // long_s % len(others_ma)]):
        assert 0 <= look.owed_ma <= look.soon_ma
        assert 0 <= look.surely_owed_ma <= look.now_ma


class Watch:
    """An estimate that is told a second after the other; a draw that begins soon has it found anew."""

    def __init__(self) -> None:
        self.before, self.now_s = BaseBefore(), 0

    def note(self, base_a: int | None, *, flows_a: int = 0, for_s: int = 1) -> None:
        for _ in range(for_s):
            self._note(base_a, flows_a, is_ahead=False)

    def ahead(self, base_a: int, *, flows_a: int = 0) -> tuple[float, float] | None:
        """Return the least and the most, a draw being ahead."""
        self._note(base_a, flows_a, is_ahead=True)
        return self.without_a()

    def without_a(self) -> tuple[float, float] | None:
        without = self.before.without
        return None if without is None else (without.least_ma / 1_000, without.most_ma / 1_000)

    def _note(self, base_a: int | None, flows_a: int, *, is_ahead: bool) -> None:
        base_ma = None if base_a is None else base_a * 1_000
        at_s = float(self.now_s)
        self.before.note(base_ma, flows_ma=flows_a * 1_000, is_ahead=is_ahead, at_s=at_s)
        self.now_s += 1


def test_of_five_minutes_before_a_draw_the_least_and_the_most_count_and_nothing_older() -> None:
    watch = Watch()
    watch.note(20, for_s=4)
    watch.note(50)
    watch.note(10)
    watch.note(20, for_s=298)
    assert watch.ahead(20) == (10, 50)

    watch.note(20, for_s=8)
    assert watch.ahead(20) == (20, 20)


def test_base_is_watched_before_anything_is_promised() -> None:
    watch = Watch()
    watch.note(50)
    watch.note(20, for_s=100)
    assert watch.without_a() is None

    watch.note(20, flows_a=5)
    assert watch.without_a() == (15, 50)


def test_what_runs_on_for_half_a_minute_is_the_draw_s_that_was_and_then_somebody_else_s() -> None:
    watch = Watch()
    watch.note(20, for_s=60)
    watch.ahead(20)
    watch.note(30, flows_a=10)
    watch.note(30, for_s=28)
    assert watch.ahead(30) == (20, 20)

    watch.note(30, for_s=8)
    assert watch.without_a() is None
    assert watch.ahead(30) == (20, 30)


def test_what_base_is_above_all_that_may_flow_is_somebody_else_s_from_the_next_draw_on() -> None:
    watch = Watch()
    watch.ahead(20)
    watch.note(45, flows_a=10, for_s=100)
    assert watch.without_a() == (20, 20)
    assert watch.ahead(45, flows_a=10) == (20, 35)

    watch.note(45, flows_a=10, for_s=306)
    assert watch.ahead(45, flows_a=10) == (35, 35)


def test_where_less_flows_than_may_base_without_it_is_between_what_it_was_and_what_it_is() -> None:
    watch = Watch()
    watch.note(30)
    assert watch.ahead(20) == (20, 30)
    watch.note(25, flows_a=10, for_s=306)
    assert watch.ahead(25, flows_a=10) == (20, 25)

    watch.note(17, flows_a=10, for_s=306)
    assert watch.ahead(17, flows_a=10) == (17, 17)


def test_a_second_without_a_reading_hides_none_beside_it() -> None:
    watch = Watch()
    watch.note(None)
    watch.note(20)
    watch.note(None)
    watch.note(30, flows_a=0)
    watch.note(None, for_s=9)

    assert watch.ahead(25) == (20, 30)


def test_where_nothing_measured_base_nothing_is_known_of_it() -> None:
    before = BaseBefore()
    for at_s in range(100):
        before.note(None, flows_ma=0, is_ahead=True, at_s=float(at_s))
        assert before.without is None

    # It may flow by now: then base holds it already, or does not.
    before.note(30_000, flows_ma=5_000, is_ahead=False, at_s=100.0)
    assert before.without == (25_000, 30_000)
    before.note(35_000, flows_ma=5_000, is_ahead=False, at_s=101.0)
    assert before.without == (25_000, 30_000)


def test_what_was_measured_long_ago_is_forgotten_before_the_next_draw_only() -> None:
    before = BaseBefore()
    before.note(30_000, flows_ma=0, is_ahead=True, at_s=0.0)
    late_s = WATCHED_S + 1.0
    before.note(None, flows_ma=5_000, is_ahead=False, at_s=late_s)
    assert before.without == (30_000, 30_000)

    before.note(None, flows_ma=5_000, is_ahead=True, at_s=late_s + 1.0)
    assert before.without is None
