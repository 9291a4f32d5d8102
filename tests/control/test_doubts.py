"""A circuit's meter that shows less than what surely flows below it is not believed."""

from dataclasses import replace

import pytest

from gateway.control.explain import sentence
from gateway.control.parameters import ControlParameters
from gateway.domain.circuits import Source, SourceKind
from gateway.domain.electric import Phase
from gateway.domain.events import LockoutEnded, MeterRead
from gateway.domain.ids import MeterId, SourceId
from gateway.domain.metering import MeterReading
from gateway.domain.reasons import ReasonKind
from gateway.services.chronicle import Chronicle
from gateway.services.control_loop import Cycle
from gateway.services.health import work_problems
from tests.support.one_circuit import BOARD, METER, OneCircuit, ref, site

ROOF = MeterId("roof-meter")


def read(meter: MeterId, current_a: float, at_s: float) -> MeterRead:
    """Return a reading, the same on each phase; a negative current is export."""
    reading = MeterReading(
        meter=meter,
        at_s=at_s,
        current_a=(abs(current_a),) * 3,
        power_w=(230 * current_a,) * 3,
        voltage_v=(230.0,) * 3,
    )
    return MeterRead(at_s=at_s, reading=reading)


def charging() -> OneCircuit:
    """Return the board with a vehicle that was raised into 60 A of headroom."""
    board = OneCircuit()
    board.prove(1)
    board.run(90, base_a=20.0, draws_a={1: 6.0})
    assert board.told_ma(1) > 20_000
    return board


def shown(board: OneCircuit, seconds: int, current_a: float, *, roof_a: float = 0.0) -> list[int]:
    """Let seconds pass in which the meter shows so much; return what it did not show in each.

    The vehicle draws what it is told all the while.
    """
    unseen_ma = []
    for _ in range(seconds):
        board.now_s += 1.0
        board.learn(read(METER, current_a + 0.001 * (board.now_s % 7), board.now_s))
        if roof_a:
            board.learn(read(ROOF, -roof_a, board.now_s))
        if board.now_s % 5 == 0:
            board.draw(1, board.told_ma(1) / 1_000)
        unseen_ma.append(board.decide().survey.rows[0].unseen_ma or 0)
    return unseen_ma


def mended(board: OneCircuit, seconds: int) -> None:
    """Let seconds pass in which the meter shows what flows: what the vehicle draws, and 20 A."""
    for _ in range(seconds):
        board.now_s += 1.0
        drawn_a = board.told_ma(1) / 1_000
        board.learn(read(METER, 20.0 + drawn_a + 0.001 * (board.now_s % 7), board.now_s))
        board.draw(1, drawn_a)
        board.decide()


def test_a_clamp_that_is_off_takes_the_circuit_to_its_fallback_step_by_step() -> None:
    board = charging()
    told_ma = board.told_ma(1)

    shown(board, 22, 0.3)
    assert board.decide().survey.rows[0].base_ma == 0
    assert board.told_ma(1) == told_ma
    shown(board, 6, 0.3)
    assert board.decide().survey.rows[0].base_ma == 70_000
    shown(board, 5, 0.3)
    reason = board.decide().reasons[ref(1)]
    assert (reason.kind, reason.limit_ma) == (ReasonKind.METER_DOUBTED, 6_000)
    assert "the meter of board L1 showed " in sentence(reason)
    assert " less than what surely flowed there; " in sentence(reason)


def test_from_the_first_vehicle_on_nothing_is_raised_by_such_a_meter() -> None:
    board = OneCircuit()
    board.prove(1)
    shown(board, 300, 0.3)

    assert board.told_ma(1) == 6_000


def test_it_is_believed_again_once_it_shows_what_flows_before_that_was_cut() -> None:
    board = charging()
    told_ma = board.told_ma(1)
    shown(board, 23, 0.3)
    mended(board, 90)

    assert board.decide().survey.rows[0].base_ma < 21_000
    assert board.told_ma(1) >= told_ma


def test_once_what_flowed_is_cut_for_it_it_is_doubted_for_longer_each_time() -> None:
    """What is left is too little to tell a good meter from a bad one."""
    board, lasts_s = charging(), int(ControlParameters().doubted_for_s)
    for _ in range(3):
        shown(board, 40, 0.3)
        assert board.told_ma(1) == 6_000

        mended(board, lasts_s - 15)
        assert board.told_ma(1) == 6_000
        assert board.decide().survey.rows[0].doubted_ma > 0

        mended(board, 90)
        assert board.decide().survey.rows[0].doubted_ma == 0
        assert board.told_ma(1) > 20_000
        lasts_s *= 2


def test_a_day_without_doubt_is_a_new_beginning() -> None:
    board, lasts_s = charging(), int(ControlParameters().doubted_for_s)
    shown(board, 40, 0.3)
    mended(board, lasts_s + 90)
    board.now_s += 86_400.0
    mended(board, 90)
    shown(board, 40, 0.3)

    mended(board, lasts_s + 75)

    assert board.told_ma(1) > 20_000


def test_a_person_who_has_mended_it_ends_the_doubt() -> None:
    board = charging()
    shown(board, 40, 0.3)

    board.learn(LockoutEnded(at_s=board.now_s, circuit=BOARD))
    mended(board, 90)

    assert board.told_ma(1) > 6_000


def test_it_is_said_by_the_log_and_by_readiness(caplog: pytest.LogCaptureFixture) -> None:
    board, chronicle = charging(), Chronicle()
    shown(board, 30, 0.3)
    cycle = Cycle(decision=board.decide(), state=board.state)
    with caplog.at_level("WARNING"):
        chronicle.tell(cycle.state, cycle.decision)

    (problem,) = work_problems(cycle, now_s=board.now_s, is_listening=True)
    assert problem.startswith(f"meter {METER} of circuit {BOARD} showed ")
    assert any("its meter showed " in record.getMessage() for record in caplog.records)


def test_a_phase_that_a_circuit_does_not_have_is_no_meter_that_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = OneCircuit(of=site(rating_ma=(40_000, 0, 0), phases=(Phase.L1,)))
    for _ in range(20):
        board.now_s += 1.0
        board.flow_on_phases((10.0 + 0.001 * (board.now_s % 7), None, None))
    with caplog.at_level("WARNING"):
        Chronicle().tell(board.state, board.decide())

    assert [r for r in caplog.records if "meter" in r.getMessage()] == []


def test_within_what_meters_differ_by_nothing_is_said() -> None:
    board = charging()
    drawn_a = board.told_ma(1) / 1_000

    assert set(shown(board, 40, 0.9 * drawn_a)) == {0}


def below_a_roof() -> OneCircuit:
    """Return the board with a roof of 50 A a phase declared, and a vehicle told 32 A."""
    source = Source(
        id=SourceId("roof"),
        circuit=BOARD,
        kind=SourceKind.PV,
        nameplate_ma=(50_000,) * 3,
        meter=ROOF,
    )
    board = OneCircuit(of=replace(site(), sources=(source,)))
    board.prove(1)
    board.send(1, 32_000)
    return board


@pytest.mark.parametrize(("roof_a", "is_explained"), [(40.0, True), (4.0, False)])
def test_a_source_explains_as_much_as_it_gives(*, roof_a: float, is_explained: bool) -> None:
    unseen_ma = shown(below_a_roof(), 30, 0.3, roof_a=roof_a)

    assert (unseen_ma[-1] == 0) is is_explained


def test_more_may_flow_out_than_sources_leave_and_no_meter_says_so() -> None:
    # 32 A drawn and 45 A given: what flows out is 13 A, not 32 A more than that.
    assert shown(below_a_roof(), 30, -13.0, roof_a=45.0)[-1] == 0
    assert shown(below_a_roof(), 30, -45.0, roof_a=45.0)[-1] > 25_000


def test_where_nothing_feeds_a_clamp_the_wrong_way_round_hides_no_base() -> None:
    board = charging()
    drawn_a = board.told_ma(1) / 1_000
    shown(board, 3, -(40.0 + drawn_a))

    assert board.decide().survey.rows[0].base_ma >= 40_000


def test_one_the_wrong_way_round_gives_nobody_room_that_is_not_there() -> None:
    board = OneCircuit()
    board.prove(1)
    for _ in range(120):
        shown(board, 1, -(60.0 + board.told_ma(1) / 1_000))

    assert board.told_ma(1) <= 95_000 - 60_000
    assert (board.decide().survey.rows[0].current_ma or 0) > 60_000


def test_a_vehicle_that_stops_before_its_next_reading_raises_no_doubt() -> None:
    board = charging()
    board.is_capable(1, interval_s=30.0)
    unseen_ma = []
    for _ in range(30):
        board.now_s += 1.0
        board.flow(1.0)
        unseen_ma.append(board.decide().survey.rows[0].unseen_ma or 0)

    assert set(unseen_ma) == {0}


# While a doubt lasts.


def overloaded(board: OneCircuit, seconds: int, base_a: float) -> list[bool]:
    """Let a meter show an overload by base; return, second by second, whether a trip is wanted."""
    trips = []
    for _ in range(seconds):
        board.now_s += 1.0
        board.learn(read(METER, base_a + 0.001 * (board.now_s % 7), board.now_s))
        if board.now_s % 5 == 0:
            board.draw(1, board.told_ma(1) / 1_000)
        trips.append(bool(board.decide().trips))
    return trips


def test_one_that_shows_an_overload_is_believed_in_that() -> None:
    board = charging()
    shown(board, 40, 0.3)
    assert board.decide().survey.rows[0].doubted_ma > 0

    trips = overloaded(board, 90, 140.0)

    assert trips[62:] == [True] * 28
    assert board.decide().survey.rows[0].base_ma > 100_000
    assert board.decide().void_proofs == (BOARD,)


def test_who_had_nothing_gets_its_fallback() -> None:
    board = charging()
    shown(board, 40, 0.3)
    overloaded(board, 45, 110.0)
    assert board.told_ma(1) == 0

    mended(board, 120)

    assert board.decide().survey.rows[0].doubted_ma > 0
    assert board.told_ma(1) == 6_000


def test_a_look_that_cannot_tell_ends_no_doubt() -> None:
    board = charging()
    shown(board, 22, 0.3)
    for _ in range(7):  # Nothing is read.
        board.now_s += 1.0
        board.decide()
    shown(board, 3, 0.3)

    assert board.decide().survey.rows[0].doubted_ma > 0


def test_a_meter_that_dies_is_dead_and_not_doubted() -> None:
    board = charging()
    shown(board, 40, 0.3)
    for _ in range(30):
        board.now_s += 1.0
        board.decide()

    assert board.decide().reasons[ref(1)].kind is ReasonKind.METER_STALE
