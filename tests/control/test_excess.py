"""What is steadily drawn a little above its limits is counted so, and is no disobedience."""

import pytest

from gateway.control.explain import sentence
from gateway.control.guard import guard
from gateway.control.orders import LimitOrder
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered, ConstraintSet
from gateway.domain.limits import Authority, Constraint, CurrentLimit
from gateway.domain.reasons import ReasonKind
from tests.support.driven import Driven, Offers
from tests.support.one_circuit import OneCircuit, ref

MINUTE_S = 60
BASE_A = 20.0


def driven_by(offers_a: Offers, *, base_a: float = BASE_A) -> Driven:
    """Return a vehicle at a station not yet seen to obey."""
    return Driven(offers_a, base_a=base_a)


def more_by(offset_a: float) -> Offers:
    """Return a station that lets so much more flow than it was told."""
    return lambda told_a: told_a + offset_a if told_a else 0.0


def at_least(least_a: float) -> Offers:
    """Return a vehicle that draws no less than that once it draws at all."""
    return lambda told_a: max(told_a, least_a) if told_a else 0.0


@pytest.mark.parametrize(
    "offers_a",
    [more_by(0.6), more_by(2.5), more_by(3.9), at_least(8.0), at_least(9.9)],
    ids=["0.6 more", "2.5 more", "3.9 more", "at least 8", "at least 9.9"],
)
def test_it_is_proven_and_counted_at_what_it_draws(offers_a: Offers) -> None:
    driven = driven_by(offers_a).after(10 * MINUTE_S)

    assert driven.is_proven
    assert driven.board.told_ma(1) > 20_000
    assert driven.draw_a * 1_000 <= driven.high_ma <= driven.draw_a * 1_000 + 4_000


@pytest.mark.parametrize("offers_a", [more_by(5.0), at_least(32.0)])
def test_what_is_further_above_is_disobedience(offers_a: Offers) -> None:
    driven = driven_by(offers_a).after(10 * MINUTE_S)

    assert driven.high_ma >= 32_000
    assert driven.board.told_ma(1) == 6_000


def test_one_reading_alone_may_be_of_a_vehicle_that_is_slow_to_follow() -> None:
    driven = driven_by(more_by(0.0)).after(5 * MINUTE_S)
    board = driven.board
    board.send(1, 10_000)
    board.now_s += 20.0

    board.draw(1, 13.0)
    assert board.state.connectors[0].excess_ma == 0
    assert driven.high_ma == 32_000

    board.send(1, 6_000)
    board.now_s += 14.0
    board.draw(1, 8.5)
    assert board.state.connectors[0].excess_ma == 3_000
    assert driven.high_ma == 9_000
    assert driven.is_proven


def test_what_is_above_by_a_moments_jitter_is_not_kept() -> None:
    driven = driven_by(more_by(0.9), base_a=60.0)
    driven.board.prove(1)
    driven.run(5 * MINUTE_S)

    assert driven.board.state.connectors[0].excess_ma == 0


def test_the_maximum_holds_for_all_of_it_and_the_sentence_says_so() -> None:
    driven = driven_by(more_by(2.5)).after(20 * MINUTE_S)

    assert driven.board.told_ma(1) == 29_500
    reason = driven.board.decide().reasons[ref(1)]
    assert reason.kind is ReasonKind.DRAWS_MORE
    said = "29.5 A: up to 2.5 A more than told is drawn here, and the maximum holds for all of it"
    assert sentence(reason).startswith(said)


@pytest.mark.parametrize(
    ("limit_ma", "unit", "said"),
    [
        (
            16_000,
            RateUnit.AMPERES,
            "13.5 A: veto by J. Smith (16.0 A; up to 2.5 A more than told is",
        ),
        (8_000, RateUnit.AMPERES, "6.0 A: veto by J. Smith (8.0 A; up to 2.5 A more than told is"),
        (
            16_000,
            RateUnit.WATTS,
            "12.5 A: veto by J. Smith (16.0 A; the station takes watts, which",
        ),
        (5_000, RateUnit.AMPERES, "0.0 A: veto by J. Smith (5.0 A; no vehicle charges on less"),
    ],
)
def test_a_veto_that_holds_for_all_of_it_is_told_with_its_own_current(
    limit_ma: int, unit: RateUnit, said: str
) -> None:
    driven = driven_by(more_by(2.5))
    driven.board.is_capable(1, unit=unit)
    driven.run(10 * MINUTE_S)
    veto = Constraint(
        subject=ref(1),
        limit_ma=(limit_ma,) * 3,
        authority=Authority.VETO,
        source="veto by J. Smith",
    )
    driven.board.learn(ConstraintSet(at_s=driven.board.now_s, constraint=veto))

    decision = driven.run(MINUTE_S)[-1]

    told = sentence(decision.reasons[ref(1)])
    assert told.startswith(said)
    assert ("A more than told is drawn here" in told) is (limit_ma > 5_000)


def test_what_is_paused_counts_nothing() -> None:
    driven = driven_by(more_by(2.5)).after(5 * MINUTE_S)
    board = driven.board

    board.send(1, 0)
    board.now_s += 20.0
    board.draw(1, 0.0)

    assert driven.high_ma == 0


def test_out_of_reach_it_counts_what_its_fallback_lets_flow() -> None:
    driven = driven_by(more_by(2.5)).after(5 * MINUTE_S)
    board = driven.board
    board.send(1, 6_000)
    board.now_s += 20.0
    board.draw(1, 8.5)

    board.lose(1)

    assert driven.high_ma == 8_500


def test_it_is_forgotten_once_another_vehicle_has_shown_none() -> None:
    driven = driven_by(at_least(8.0)).after(5 * MINUTE_S)
    board = driven.board

    def another(offers_a: Offers) -> tuple[int, int]:
        board.end(1, "one")
        board.leave(1)
        driven.draw_a, driven.offers_a = 0.0, offers_a
        board.now_s += 30.0
        board.plug_in(1)
        board.begin(1, "one")
        before_ma = board.state.connectors[0].excess_ma
        driven.run(3 * MINUTE_S)
        driven.base_a = 65.0  # Its limit has to move for it to show that it keeps to any.
        driven.run(2 * MINUTE_S)
        driven.base_a = BASE_A
        driven.run(MINUTE_S)
        return before_ma, board.state.connectors[0].excess_ma

    # One that takes so little tells nothing.
    assert another(lambda told_a: min(told_a, 3.0)) == (2_000, 2_000)
    assert another(more_by(0.0)) == (2_000, 0)
    assert another(more_by(2.5)) == (0, 2_500)
    assert another(more_by(0.0)) == (2_500, 0)


def test_a_limit_just_sent_is_not_one_that_it_was_seen_to_keep_to() -> None:
    driven = driven_by(more_by(2.5)).after(5 * MINUTE_S)
    board = driven.board
    board.end(1, "one")
    board.leave(1)
    board.now_s += 30.0
    board.plug_in(1)
    board.begin(1, "two")
    board.send(1, 12_000)
    board.now_s += 14.0
    board.draw(1, 12.0)
    board.now_s += 10.0

    board.send(1, 6_000)
    board.now_s += 2.5
    board.draw(1, 12.0)

    assert board.state.connectors[0].excess_ma == 2_500


def test_what_came_down_by_itself_shows_nothing_once_it_is_told_more() -> None:
    driven = driven_by(more_by(0.0), base_a=72.0).after(5 * MINUTE_S)
    board = driven.board
    driven.draw_a = 8.0
    board.draw(1, 8.0)  # Once alone: slow to follow, or a meter that repeats itself.
    board.now_s += 10.0
    board.draw(1, 5.9)
    driven.base_a = BASE_A

    driven.run(5 * MINUTE_S)

    assert board.told_ma(1) > 12_000
    assert board.state.connectors[0].excess_ma == 0


@pytest.mark.parametrize("interval_s", [10, 30, 60])
def test_a_station_that_gives_a_part_more_comes_to_rest(interval_s: int) -> None:
    driven = driven_by(lambda told_a: 1.1 * told_a)
    driven.board.is_capable(1, interval_s=interval_s)
    driven.run(15 * MINUTE_S)
    changes, told_ma = 0, driven.board.told_ma(1)

    for _ in range(30 * MINUTE_S):
        driven.run(1)
        changes += driven.board.told_ma(1) != told_ma
        told_ma = driven.board.told_ma(1)

    assert changes <= 3
    assert 31_000 < driven.draw_a * 1_000 <= 32_000


def test_jitter_is_not_taken_for_a_cut_that_bites() -> None:
    board = OneCircuit()
    board.is_capable(1, interval_s=10)
    board.plug_in(1)
    board.begin(1, "one")
    for second in range(20 * MINUTE_S):
        board.now_s += 1.0
        draw_a = 9.9 if second % 20 < 10 else 9.4  # Whatever it is told.
        board.flow(BASE_A + draw_a)
        if second % 10 == 0:
            board.draw(1, draw_a)
        board.decide()

    assert board.state.connectors[0].excess_ma > 3_000
    assert not board.state.stations[ref(1).station].is_proven


def test_two_readings_of_one_moment_are_one() -> None:
    driven = driven_by(more_by(0.0)).after(5 * MINUTE_S)
    board = driven.board
    board.send(1, 10_000)
    board.now_s += 14.0
    board.draw(1, 13.5)
    board.now_s += 0.5

    board.draw(1, 13.4)

    assert board.state.connectors[0].excess_ma == 0


def test_a_higher_voltage_is_no_excess() -> None:
    board = OneCircuit()
    board.is_capable(1, interval_s=10)
    board.plug_in(1)
    for second in range(10 * MINUTE_S):
        board.now_s += 1.0
        told_a = board.told_ma(1) / 1_000
        board.flow(BASE_A + told_a + 0.001 * (second % 7), voltage_v=248.0)
        if second % 10 == 0:
            board.learn(
                ConnectorMetered(
                    at_s=board.now_s,
                    connector=ref(1),
                    current_a=(None, None, None),
                    power_w=3 * 248.0 * told_a,
                )
            )
        reason = board.decide().reasons[ref(1)]
        assert reason.excess is None

    assert board.told_ma(1) == 32_000
    assert board.state.connectors[0].excess_ma == 0


def test_its_dead_man_is_proven_by_a_fall_to_what_its_fallback_lets_flow() -> None:
    driven = driven_by(more_by(2.5))
    for _ in range(20 * MINUTE_S):
        newest = driven.board.state.connectors[0].limits[-1]
        has_lapsed = (newest.lease_until_s or 0.0) <= driven.board.now_s
        driven.offers_a = (lambda _told_a: 8.5) if has_lapsed else more_by(2.5)
        (decision,) = driven.run(1)
        if decision.dead_man_proven is not None:
            return
    pytest.fail("it was never seen to fall back")


def test_watts_are_counted_with_it_too() -> None:
    driven = driven_by(more_by(4.0), base_a=60.0)
    board = driven.board
    board.is_capable(1, unit=RateUnit.WATTS)
    driven.run(5 * MINUTE_S)

    # At the lowest voltage a ninth more than told is allowed: the rest is beyond that.
    assert driven.is_proven
    assert driven.draw_a * 1_000 <= driven.high_ma <= driven.draw_a * 1_000 + 4_000


def test_the_guard_asks_for_room_for_it_too() -> None:
    board = driven_by(more_by(3.0)).after(20 * MINUTE_S).board
    board.send(1, 0)
    board.now_s += 20.0
    board.draw(1, 0.0)
    order = LimitOrder(
        connector=ref(1), limit=CurrentLimit(limit_ma=6_000), valid_for_s=60.0, is_cut=False
    )

    def passed_ma(flows_a: float) -> int:
        board.now_s += 1.0
        board.flow(flows_a)
        return guard(board.state, (order,), board.now_s)[0].limit.limit_ma

    assert board.state.connectors[0].excess_ma == 3_000
    assert passed_ma(95.0 - 9.0) == 6_000
    assert passed_ma(95.0 - 8.9) == 0


def test_a_raise_is_priced_with_it() -> None:
    driven = driven_by(more_by(3.0), base_a=78.0).after(20 * MINUTE_S)

    seen = driven.board.seen()
    assert driven.board.told_ma(1) == 0 or seen.claimed_ma[0] <= seen.rows[0].available_ma
    assert driven.draw_a + 78.0 < 95.0
