"""Who draws more than it was told is named with both numbers, for as long as it does."""

import pytest

from gateway.control.explain import sentence
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered, StopInputChanged
from gateway.domain.reasons import ReasonKind
from gateway.domain.stops import StopCause
from tests.support.driven import Driven, Offers
from tests.support.one_circuit import OneCircuit, ref, site

MINUTE_S = 60
NO_ROOM_A = 90.0


def driven_by(offers_a: Offers) -> Driven:
    """Return a vehicle that charges at a station which was seen to obey."""
    return Driven(offers_a, base_a=40.0, is_proven=True)


def said_in(driven: Driven, seconds: int) -> list[str]:
    """Let seconds pass; return each one's sentence."""
    return [sentence(decision.reasons[ref(1)]) for decision in driven.run(seconds)]


def five_more_a(told_a: float) -> float:
    """Return what a station offers that is wrong by 5 A."""
    return told_a + 5.0 if told_a else 0.0


def test_a_station_that_offers_more_is_said_to_disobey_for_as_long_as_it_does() -> None:
    driven = driven_by(five_more_a)

    driven.run(2 * MINUTE_S)
    said = said_in(driven, 10 * MINUTE_S)

    assert all(
        "the station draws 11.0 A where 6.0 A was told, and more than told for " in s for s in said
    )


def test_one_that_fell_silent_is_not_said_to_draw_what_it_drew() -> None:
    driven = driven_by(five_more_a)
    driven.run(2 * MINUTE_S)
    board = driven.board

    reason = board.run(10 * MINUTE_S, base_a=40.0, draws_a={}).reasons[ref(1)]

    assert reason.excess is None
    assert "where" not in sentence(reason)


def test_one_that_obeys_again_is_said_so_no_more() -> None:
    driven = driven_by(five_more_a)
    driven.run(5 * MINUTE_S)

    driven.offers_a = lambda told_a: told_a
    said = said_in(driven, MINUTE_S)[20:]

    assert not any("where" in s for s in said)


def test_who_obeys_is_never_said_to_draw_more_than_it_was_told() -> None:
    driven = driven_by(lambda told_a: told_a + (0.9 if told_a else 0.3))

    assert not any("where" in s for s in said_in(driven, 10 * MINUTE_S))


def test_a_stop_that_is_not_obeyed_is_told_in_its_sentence() -> None:
    driven = driven_by(lambda told_a: max(6.0, told_a))
    driven.run(MINUTE_S)
    board = driven.board
    board.learn(StopInputChanged(at_s=board.now_s, is_stopped=True, cause=StopCause.ACTIVE))

    driven.run(MINUTE_S)
    said = said_in(driven, 10 * MINUTE_S)

    stop = "0.0 A: the stop input asks for a stop; the vehicle draws 6.0 A where 0.0 A was told"
    assert all(s.startswith(stop) for s in said)
    board.leave(1)
    assert "where" not in sentence(board.decide().reasons[ref(1)])


def test_one_that_never_obeyed_is_named_too() -> None:
    board = OneCircuit()
    board.plug_in(1)

    reason = board.run(MINUTE_S, base_a=20.0, draws_a={1: 20.0}).reasons[ref(1)]

    assert reason.kind is ReasonKind.STATION_DISOBEYS
    assert "draws 20.0 A where 6.0 A was told" in sentence(reason)


def test_a_raise_on_its_way_neither_begins_nor_ends_it() -> None:
    driven = driven_by(five_more_a)
    driven.run(5 * MINUTE_S)
    board = driven.board

    board.send(1, 12_000)  # 11 A are inside that, once it holds.
    board.now_s += 1.0
    board.draw(1, 11.0)
    reason = board.decide().reasons[ref(1)]

    assert reason.excess is not None
    assert (reason.excess.drawn_ma, reason.excess.told_ma) == (11_000, 6_000)


def test_what_is_drawn_is_told_with_the_limit_it_was_drawn_under() -> None:
    driven = Driven(lambda told_a: told_a + 2.0 if told_a else 0.0, base_a=40.0, interval_s=30)
    driven.run(15 * MINUTE_S)
    told_before_ma = driven.board.told_ma(1)
    driven.base_a = 65.0

    said = [decision.reasons[ref(1)].excess for decision in driven.run(MINUTE_S)]

    assert driven.board.told_ma(1) < told_before_ma - 10_000
    assert {e.drawn_ma - e.told_ma for e in said if e} == {2_000}
    assert len({e.told_ma for e in said if e}) > 1


def test_what_one_reading_shows_is_not_told() -> None:
    board = OneCircuit()
    board.prove(1)
    board.run(30, base_a=20.0, draws_a={1: 6.0})
    board.draw(1, 12.0)

    assert board.decide().reasons[ref(1)].excess is None
    board.now_s += 14.0
    board.draw(1, 12.0)
    assert board.decide().reasons[ref(1)].excess is None
    board.now_s += 2.0
    board.draw(1, 12.0)
    assert board.decide().reasons[ref(1)].excess is not None


def test_a_fallback_that_may_hold_after_a_lease_is_no_disobedience() -> None:
    board = OneCircuit()
    board.prove(1)
    board.begin(1, "one")
    board.send(1, 0)
    board.now_s += 90.0  # Nobody has renewed it: the fallback of 6 A holds.
    for _ in range(6):
        board.now_s += 5.0
        board.draw(1, 6.0)

    assert board.state.connectors[0].above is None


@pytest.mark.parametrize(
    ("unit", "fallback_ma", "drawn_a"),
    [(RateUnit.AMPERES, 6_000, 6.0), (RateUnit.WATTS, 16_000, 16.0 * 230.0 / 207.0)],
)
def test_a_connected_station_that_falls_back_as_it_must_keeps_its_proof(
    unit: RateUnit, fallback_ma: int, drawn_a: float
) -> None:
    board = paused_unanswered(fallback_ma, unit)

    board.run(MINUTE_S, base_a=NO_ROOM_A, draws_a={1: drawn_a})

    assert board.state.stations[ref(1).station].is_proven
    assert not board.seen().overdrawn[0]

    board.answers = True  # Its next sample may be from before it followed.
    board.now_s += 1.0
    board.send(1, 0)
    board.now_s += 1.0
    board.draw(1, drawn_a)
    assert not board.seen().overdrawn[0]


def test_a_connected_station_that_falls_back_to_more_counts_its_maximum() -> None:
    board = paused_unanswered(6_000, RateUnit.AMPERES)

    board.run(5, base_a=NO_ROOM_A, draws_a={1: 11.0})
    assert board.seen().overdrawn[0]
    board.run(MINUTE_S, base_a=NO_ROOM_A, draws_a={1: 11.0})

    assert not board.state.stations[ref(1).station].is_proven


def test_the_fallback_excuses_nothing_while_a_lease_runs() -> None:
    board = paused_unanswered(6_000, RateUnit.AMPERES)
    board.run(MINUTE_S, base_a=NO_ROOM_A, draws_a={1: 6.0})
    board.answers = True
    board.run(30, base_a=NO_ROOM_A, draws_a={1: 0.0})
    board.run(MINUTE_S, base_a=NO_ROOM_A, draws_a={1: 6.0})

    assert board.told_ma(1) == 0
    assert not board.state.stations[ref(1).station].is_proven


def paused_unanswered(fallback_ma: int, unit: RateUnit) -> OneCircuit:
    """Return the board with a proven station told a pause whose lease is over: nothing is answered.

    Its connection stays.
    """
    board = OneCircuit(of=site(fallback_ma=fallback_ma))
    board.is_capable(1, unit=unit)
    board.prove(1)
    board.begin(1, "one")
    board.run(30, base_a=20.0, draws_a={1: 6.0})
    board.send(1, 0)
    board.answers = False
    board.run(70, base_a=NO_ROOM_A, draws_a={1: 0.0})
    return board


def test_a_fallback_in_watts_that_holds_after_a_lease_is_none_at_the_lowest_voltage() -> None:
    board = OneCircuit(of=site(fallback_ma=16_000))
    board.is_capable(1, unit=RateUnit.WATTS)
    board.prove(1)
    board.begin(1, "one")
    board.send(1, 8_000)
    board.now_s += 90.0
    for _ in range(6):
        board.now_s += 5.0
        board.draw(1, 16.0 * 230.0 / 207.0)

    assert board.state.connectors[0].above is None


@pytest.mark.parametrize(("power_w", "is_above"), [(4_600.0, False), (9_000.0, True)])
def test_watts_are_compared_at_the_lowest_voltage(power_w: float, *, is_above: bool) -> None:
    board = OneCircuit()
    board.is_capable(1, unit=RateUnit.WATTS)
    board.prove(1)
    for second in range(90):
        board.now_s += 1.0
        board.flow(30.0 + 0.001 * (second % 7))
        if second % 10 == 0:
            watts = ConnectorMetered(at_s=board.now_s, connector=ref(1), power_w=power_w)
            board.learn(watts)
        board.decide()

    assert (board.state.connectors[0].above is not None) is is_above


def test_a_raise_that_settles_later_excuses_no_reading_from_before() -> None:
    board = OneCircuit()
    board.prove(1)
    board.send(1, 10_000)
    board.now_s += 20.0
    board.send(1, 12_000)
    board.now_s += 10.0
    board.draw(1, 25.0)
    assert board.seen().overdrawn[0]

    board.now_s += 3.0  # By now the raise has settled, and what was before is out of force.

    assert board.seen().overdrawn[0]
