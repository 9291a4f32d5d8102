"""A quote says what can be given, how surely, what binds, and what would do instead."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.grid import even_grid, grid_of
from gateway.planning.quote import Ask, Quote, Verdict, Way, between, fits_many, quote
from gateway.planning.room import Outlet, Room

HOUR_S = 3_600.0
THREE = Outlet(
    key="CP-1", rows=(0, 1, 2), phase_count=3, voltage_v=230.0, max_ma=16_000
)  # 11,040 W at most.


def room(left_ma: list[int], *, paths_ma: list[list[int]] | None = None) -> Room:
    """Return a room of slots of an hour, alike on three rows, with scenarios of more base."""
    left = np.array([left_ma] * 3, dtype=np.int64)
    paths = {} if paths_ma is None else {row: np.array(paths_ma) for row in range(3)}
    return Room(version=7, grid=even_grid(len(left_ma), HOUR_S), left_ma=left, base_paths_ma=paths)


def ask(
    energy_wh: float | None,
    from_h: float,
    until_h: float,
    *,
    min_energy_wh: float = 0.0,
    confidence_ratio: float = 0.9,
) -> Ask:
    return Ask(
        from_s=from_h * HOUR_S,
        until_s=until_h * HOUR_S,
        energy_wh=energy_wh,
        min_energy_wh=min_energy_wh,
        confidence_ratio=confidence_ratio,
    )


def offer_of(answer: Quote, way: Way) -> tuple[float, float, float]:
    """Return what is offered in one way: energy in Wh, and from when until when in hours."""
    (offer,) = [offer for offer in answer.offers if offer.way is way]
    return offer.energy_wh, offer.start_s / HOUR_S, offer.finish_s / HOUR_S


def test_what_fits_is_offered_as_asked() -> None:
    answer = quote(room([20_000] * 6), THREE, ask(11_040, 1, 4))

    assert (answer.verdict, answer.version) == (Verdict.YES, 7)
    assert offer_of(answer, Way.AS_ASKED) == (11_040, 1.0, 2.0)
    (rectangle,) = answer.offers[0].profile
    assert (rectangle.from_s, rectangle.until_s, rectangle.current_ma) == (3_600, 7_200, 16_000)
    assert answer.offers[0].binding == ()


def test_what_does_not_fit_says_what_binds_and_what_would_do() -> None:
    answer = quote(room([8_000, 8_000, 8_000, 20_000, 20_000, 20_000]), THREE, ask(22_080, 0, 3))

    assert answer.verdict is Verdict.PARTLY
    assert offer_of(answer, Way.MOST_ENERGY) == pytest.approx((16_560, 0.0, 3.0))
    assert offer_of(answer, Way.EARLIEST_FINISH) == (22_080, 0.0, 3.5)
    assert offer_of(answer, Way.ANOTHER_START) == pytest.approx((22_080, 1.0, 4.0))
    assert offer_of(answer, Way.SUSTAINED)[0] == pytest.approx(16_560)
    (bound,) = answer.offers[0].binding
    assert (bound.from_s, bound.until_s, bound.limit_ma) == (0, 3 * HOUR_S, 8_000)


@given(
    energy_wh=st.integers(5_000, 40_000),
    left_ma=st.lists(st.integers(6_000, 20_000), min_size=9, max_size=9),
    from_h=st.floats(0.0, 1.0),
)
def test_the_earliest_finish_gives_all_that_was_asked(
    energy_wh: int, left_ma: list[int], from_h: float
) -> None:
    answer = quote(room(left_ma), THREE, ask(energy_wh, from_h, from_h + 0.25))

    finished = [o.energy_wh for o in answer.offers if o.way is Way.EARLIEST_FINISH]
    assert finished in ([], [energy_wh])


def test_a_slot_that_leaves_nothing_is_told_of_that_slot_alone() -> None:
    answer = quote(room([12_040, 12_000, -3_000, 12_000, 9_000]), THREE, ask(60_000, 0, 4.5))

    assert [
        (bound.from_s / HOUR_S, bound.until_s / HOUR_S, bound.limit_ma)
        for bound in answer.offers[0].binding
    ] == [(0, 2, 12_000), (2, 3, 0), (3, 4, 12_000), (4, 4.5, 9_000)]


@pytest.mark.parametrize(
    ("from_h", "longest"),
    [
        (0, (1.25, 2.25)),  # Not the nine short slots before it.
        (0.25, (1.25, 2.25)),
        (1.5, (1.5, 2.25)),  # From when the vehicle is there.
    ],
)
def test_the_longest_at_full_power_is_longest_by_the_clock(
    from_h: float, longest: tuple[float, float]
) -> None:
    grid = grid_of(4 * HOUR_S)
    is_full = [0.0 <= s < 0.75 * HOUR_S or 1.25 * HOUR_S <= s < 2.25 * HOUR_S for s in grid.edges_s]
    left = [16_000 if full else 8_000 for full in is_full[:-1]]
    there = Room(version=7, grid=grid, left_ma=np.array([left] * 3))

    offers = quote(there, THREE, ask(60_000, from_h, 4)).offers
    (offer,) = [offer for offer in offers if offer.way is Way.LONGEST_FULL]
    assert (offer.begins_s / HOUR_S, offer.finish_s / HOUR_S) == longest
    assert offer.energy_wh == pytest.approx(11_040 * (longest[1] - longest[0]))


@pytest.mark.parametrize(
    ("left_ma", "gaps_h", "energy_wh", "starts_ends_h"),
    [
        ([20_000] * 8, [(0, 8)], 11_040, (4, 5)),  # The start asked for is not another one.
        ([20_000, 20_000, 0, 0, 0, 20_000, 20_000, 20_000], [(0, 8)], 11_040, (5, 6)),
        ([20_000] * 8, [(0, 1.5), (1.75, 2.5)], 8_280, (1.75, 2.5)),  # 0.5 h more is not there.
        ([20_000] * 8, [(0, 2.25), (2.5, 3)], 11_040, (1, 2)),
        ([8_000] * 4 + [6_000] * 4, [(0, 2), (4, 8)], 11_040, (1, 2)),  # What gives most.
    ],
)
def test_another_start_is_the_first_after_the_one_asked_for_or_else_the_last_before(
    left_ma: list[int],
    gaps_h: list[tuple[float, float]],
    energy_wh: float,
    starts_ends_h: tuple[float, float],
) -> None:
    gaps_s = [(begins_h * HOUR_S, ends_h * HOUR_S) for begins_h, ends_h in gaps_h]

    offer = between(room(left_ma), THREE, ask(energy_wh, 3, 4), gaps_s)

    assert offer is not None
    assert (offer.start_s / HOUR_S, offer.finish_s / HOUR_S) == starts_ends_h
    assert between(room(left_ma), THREE, ask(energy_wh, 3, 4), []) is None


def test_less_than_the_least_that_will_do_is_a_no_with_another_way() -> None:
    answer = quote(room([0, 0, 20_000, 20_000]), THREE, ask(11_040, 0, 2, min_energy_wh=5_000))

    assert answer.verdict is Verdict.NO
    assert {offer.way for offer in answer.offers} == {Way.EARLIEST_FINISH, Way.ANOTHER_START}


def test_another_connector_is_named_where_this_one_will_not_do() -> None:
    single = Outlet(key="CP-2", rows=(0,), phase_count=1, voltage_v=230.0, max_ma=32_000)
    wanted = ask(20_000, 0, 2)
    answer = quote(room([40_000] * 4), single, wanted, others=[(THREE, wanted)])

    (offer,) = [offer for offer in answer.offers if offer.way is Way.ANOTHER_OUTLET]
    assert (offer.outlet.key, offer.energy_wh) == ("CP-1", 20_000)


def test_another_connector_that_gives_more_is_named_where_none_gives_all() -> None:
    single = Outlet(key="CP-2", rows=(0,), phase_count=1, voltage_v=230.0, max_ma=32_000)
    other = replace(THREE, key="CP-3", max_ma=32_000)
    wanted = ask(60_000, 0, 2)
    others = [(other, wanted), (THREE, wanted)]
    answer = quote(room([40_000] * 4), single, wanted, others)

    assert offer_of(answer, Way.MOST_ENERGY)[0] == pytest.approx(14_720)
    (offer,) = [offer for offer in answer.offers if offer.way is Way.ANOTHER_OUTLET]
    assert offer.outlet.key == "CP-3"
    assert offer.energy_wh == pytest.approx(44_160)
    less = quote(room([40_000] * 4), other, wanted, others=[(THREE, wanted), (single, wanted)])
    assert Way.ANOTHER_OUTLET not in {offer.way for offer in less.offers}


def test_energy_is_offered_at_the_confidence_asked() -> None:
    # In one of four scenarios base is 8 A higher in the first hour.
    paths_ma = [[0, 0], [0, 0], [0, 0], [8_000, 0]]
    uncertain = room([16_000, 16_000], paths_ma=paths_ma)
    sure = quote(uncertain, THREE, ask(22_080, 0, 2, confidence_ratio=0.9))
    likely = quote(uncertain, THREE, ask(22_080, 0, 2, confidence_ratio=0.75))

    assert sure.verdict is Verdict.PARTLY
    # Where none of them may fail, all that is offered is there in the worst of them.
    assert sure.offers[0].energy_wh == pytest.approx(16_560)
    assert sure.offers[0].confidence_ratio == 1.0
    assert (likely.verdict, likely.offers[0].confidence_ratio) == (Verdict.YES, 0.75)


@pytest.mark.parametrize("asked_ratio", [0.8, 0.9, 0.95])
def test_of_days_alike_a_promise_is_kept_as_often_as_was_said(asked_ratio: float) -> None:
    rng = np.random.default_rng(2)
    said, kept = list[float](), list[bool]()
    for _ in range(800):
        more_ma = rng.integers(0, 80, size=(41, 1)) * 100
        offer = quote(
            room([14_000], paths_ma=(more_ma[:40] - 6_000).tolist()),
            replace(THREE, max_ma=32_000, min_ma=100),
            ask(None, 0, 1, confidence_ratio=asked_ratio),
        ).offers[0]
        came_wh = THREE.power_w(20_000 - int(more_ma[40, 0]))
        said.append(offer.confidence_ratio)
        kept.append(came_wh >= 0.98 * offer.energy_wh - 1e-6)

    assert min(said) >= asked_ratio
    assert np.mean(kept) == pytest.approx(np.mean(said), abs=0.015)


def test_everything_you_have_is_what_the_window_holds() -> None:
    answer = quote(room([16_000, 7_000, 0]), THREE, ask(None, 0, 3))

    assert answer.verdict is Verdict.YES
    assert answer.offers[0].energy_wh == pytest.approx(23 * 230 * 3)


lefts = st.lists(st.integers(-20_000, 40_000), min_size=1, max_size=20)


@given(
    left_ma=lefts,
    from_h=st.floats(0, 20),
    length_h=st.floats(0, 20),
    energy_wh=st.floats(0, 90_000),
)
def test_no_offer_gives_more_than_there_is(
    left_ma: list[int], from_h: float, length_h: float, energy_wh: float
) -> None:
    there = room(left_ma)
    answer = quote(there, THREE, ask(energy_wh, from_h, from_h + length_h))

    for offer in answer.offers:
        carried_wh = 0.0
        for rectangle in offer.profile:
            begins, ends = rectangle.from_s / HOUR_S, rectangle.until_s / HOUR_S
            slots = range(int(begins), min(len(left_ma), int(-(-ends // 1))))
            assert all(rectangle.current_ma <= left_ma[slot] for slot in slots)
            assert 6_000 <= rectangle.current_ma <= THREE.max_ma
            carried_wh += THREE.power_w(rectangle.current_ma) * (ends - begins)
        assert offer.energy_wh <= carried_wh + 1.0
        assert offer.finish_s <= 20 * HOUR_S + from_h * HOUR_S + length_h * HOUR_S


@given(left_ma=lefts, windows=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 9)), max_size=9))
def test_many_at_once_are_answered_like_each(
    left_ma: list[int], windows: list[tuple[float, float]]
) -> None:
    there = room(left_ma)
    outlook = there.outlook(THREE)
    from_s = np.array([begins * HOUR_S for begins, _ in windows])
    until_s = np.array([(begins + length) * HOUR_S for begins, length in windows])
    many = fits_many(outlook, from_s, until_s, np.full(len(windows), 5_000.0))

    one_by_one = [
        outlook.energy_within_wh(begins, ends) >= 5_000.0
        for begins, ends in zip(from_s.tolist(), until_s.tolist(), strict=True)
    ]
    assert many.tolist() == one_by_one


@given(left_ma=lefts, from_h=st.floats(-2, 40), length_h=st.floats(0, 40))
def test_what_a_window_holds_is_summed_slot_by_slot(
    left_ma: list[int], from_h: float, length_h: float
) -> None:
    there, until_h = room(left_ma), from_h + length_h
    has_wh = there.outlook(THREE).energy_within_wh(from_h * HOUR_S, until_h * HOUR_S)

    inside_h = [max(0.0, min(until_h, at + 1) - max(from_h, at)) for at in range(len(left_ma))]
    given_ma = [0 if ma < 6_000 else min(16_000, ma // 100 * 100) for ma in left_ma]
    summed_wh = sum(THREE.power_w(ma) * h for ma, h in zip(given_ma, inside_h, strict=True))
    assert has_wh == pytest.approx(summed_wh, abs=1e-6)


@given(
    left_a=st.lists(st.integers(0, 40), min_size=4, max_size=16),
    extra_a=st.lists(
        st.lists(st.integers(0, 20), min_size=16, max_size=16), min_size=2, max_size=9
    ),
    from_h=st.floats(0, 10),
    length_h=st.floats(0.1, 8),
    energy_wh=st.none() | st.floats(100, 60_000),
    confidence_ratio=st.sampled_from((0.5, 0.75, 0.9)),
)
def test_what_is_held_of_an_offer_carries_it_as_surely_as_is_said(
    *,
    left_a: list[int],
    extra_a: list[list[int]],
    from_h: float,
    length_h: float,
    energy_wh: float | None,
    confidence_ratio: float,
) -> None:
    slots = len(left_a)
    paths_ma = [[a * 1_000 for a in path[:slots]] for path in extra_a]
    there = room([a * 1_000 for a in left_a], paths_ma=paths_ma)
    asked = ask(energy_wh, from_h, from_h + length_h, confidence_ratio=confidence_ratio)

    for offer in quote(there, THREE, asked).offers:
        kept = 0
        for path in paths_ma:
            carried_wh = 0.0
            for part in offer.profile:
                for slot in range(int(part.from_s // HOUR_S), int(-(-part.until_s // HOUR_S))):
                    begins_s, ends_s = max(part.from_s, slot * HOUR_S), (slot + 1) * HOUR_S
                    lasts_h = (min(part.until_s, ends_s) - begins_s) / HOUR_S
                    gives_ma = min(part.current_ma, left_a[slot] * 1_000 - path[slot])
                    carried_wh += THREE.power_w(gives_ma if gives_ma >= 6_000 else 0) * lasts_h
            kept += carried_wh >= 0.98 * offer.energy_wh - 1.0
        assert kept / len(paths_ma) >= confidence_ratio - 1e-9
        assert offer.confidence_ratio >= confidence_ratio - 1e-9


@given(
    left_a=st.lists(st.integers(0, 24), min_size=4, max_size=12),
    extra_a=st.lists(st.lists(st.integers(0, 12), min_size=12, max_size=12), max_size=24),
    from_h=st.floats(0, 4),
    length_h=st.floats(0.1, 8),
    confidence_ratio=st.sampled_from((0.5, 0.75, 0.9)),
)
def test_what_binds_is_why_there_is_no_more(
    *,
    left_a: list[int],
    extra_a: list[list[int]],
    from_h: float,
    length_h: float,
    confidence_ratio: float,
) -> None:
    slots, until_h = len(left_a), min(from_h + length_h, len(left_a))
    paths_ma = [[a * 1_000 for a in path[:slots]] for path in extra_a]
    there = room([a * 1_000 for a in left_a], paths_ma=paths_ma or None)
    asked = ask(200_000, from_h, until_h, confidence_ratio=confidence_ratio)

    for offer in quote(there, THREE, asked).offers:
        if offer.way is not Way.MOST_ENERGY:
            continue
        gives_wh = THREE.power_w(THREE.max_ma) * (until_h - from_h)
        for bound in offer.binding:
            at_most_ma = bound.limit_ma if bound.limit_ma >= 6_000 else 0
            lasts_h = (bound.until_s - bound.from_s) / HOUR_S
            gives_wh -= THREE.power_w(THREE.max_ma - at_most_ma) * lasts_h
        may_fail = int((1 - confidence_ratio) * len(paths_ma) + 1e-9)
        is_planned = all(bound.is_planned for bound in offer.binding)
        lacks_ratio = 0.98 if may_fail and not is_planned else 1.0
        assert offer.energy_wh * lacks_ratio == pytest.approx(gives_wh, abs=1.0)
