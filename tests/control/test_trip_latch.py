"""What is known of a trip output, and what a person is told of it; and the lockout a trip begins."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.control.decide import decide
from gateway.control.fold import evolve
from gateway.control.restore import remember_circuit
from gateway.control.stop_latch import ReleaseRefusedError
from gateway.control.trip_latch import TripLatch, TripState
from gateway.domain.events import CircuitTripped, LockoutEnded
from gateway.domain.ids import CircuitId
from gateway.domain.moments import Moment
from tests.support.one_circuit import BOARD, OneCircuit

NOW = Moment(
    wall_at=datetime(2026, 1, 5, 12, tzinfo=UTC), boot_id="x", boot_s=1.0, is_synchronised=True
)


def test_what_was_tripped_is_not_closed_by_any_run_of_events_without_a_release() -> None:
    latch = TripLatch.after_restart(is_tripped=False, now_s=0.0).judged(is_over=True)

    for now_s in range(1, 200):
        latch = latch.judged(is_over=now_s % 7 == 0).heard(is_open=now_s % 3 == 0, now_s=now_s)
        assert latch.wants_open(now_s) is True
        assert latch.state(now_s) in {TripState.OPENING, TripState.OPEN, TripState.POWERLESS}


def test_an_order_that_was_not_confirmed_leaves_it_unknown_and_is_given_again() -> None:
    latch = TripLatch.after_restart(is_tripped=False, now_s=0.0).judged(is_over=True)
    latch = latch.heard(is_open=True, now_s=1.0)
    assert latch.is_as_wanted(1.0)

    assert not latch.unconfirmed().is_as_wanted(1.0)
    assert latch.unconfirmed().state(1.0) is TripState.OPENING


def test_an_overload_while_it_closes_opens_it_again() -> None:
    latch = TripLatch.after_restart(is_tripped=True, now_s=0.0).released(1.0)
    assert latch.wants_open(2.0) is False

    assert latch.judged(is_over=True).wants_open(2.0) is True


def test_a_release_counts_once() -> None:
    latch = TripLatch.after_restart(is_tripped=True, now_s=0.0).released(1.0)
    latch = latch.heard(is_open=False, now_s=2.0)

    assert latch.state(2.0) is None
    with pytest.raises(ReleaseRefusedError, match="not open"):
        latch.released(3.0)
    assert latch.judged(is_over=True).wants_open(3.0) is True


def test_a_trip_begins_a_lockout_and_shortens_none() -> None:
    board = OneCircuit()
    lockout_s = board.state.parameters.lockout_s

    tripped = evolve(board.state, CircuitTripped(at_s=100.0, circuit=BOARD))
    again = evolve(tripped, CircuitTripped(at_s=50.0, circuit=BOARD))
    elsewhere = evolve(board.state, CircuitTripped(at_s=100.0, circuit=CircuitId("gone")))

    assert tripped.circuits[0].lockout_until_s == 100.0 + lockout_s
    assert again.circuits[0].lockout_until_s == 100.0 + lockout_s
    assert elsewhere == board.state


def test_a_release_ends_a_lockout_and_what_it_was_for_counts_no_more() -> None:
    board = OneCircuit()
    tripped = evolve(board.state, CircuitTripped(at_s=100.0, circuit=BOARD))
    (circuit,) = tripped.circuits
    tripped = replace(tripped, circuits=(replace(circuit, excursions_at_s=(50.0, 90.0)),))

    released = evolve(tripped, LockoutEnded(at_s=200.0, circuit=BOARD))

    assert released.circuits[0].lockout_until_s <= 200.0
    assert released.circuits[0].excursions_at_s == ()
    # It is remembered as one that is over, in the place of the one that was not.
    memory = remember_circuit(released, 0, now=NOW, now_s=201.0)
    assert memory is not None
    assert memory.lockout_left_s is None


def test_a_circuit_whose_meter_has_fallen_silent_is_not_opened_for_what_it_said_last() -> None:
    """Its connectors are at their fallbacks, which are proven to fit."""
    board = OneCircuit()
    board.prove(1)
    board.run(20, base_a=101.0, draws_a={1: 0.0})

    assert [decide(board.state, board.now_s + age_s).trips for age_s in (45.0, 3_600.0)] == [(), ()]


def test_a_meter_fed_by_the_circuit_that_was_opened_keeps_it_open_for_nobody() -> None:
    """Dead with the circuit, it comes back with it, and what it then says begins anew."""
    board = OneCircuit()
    board.prove(1)
    assert board.run(70, base_a=101.0, draws_a={1: 0.0}).trips == (BOARD,)

    board.now_s += 600.0
    assert decide(board.state, board.now_s).trips == ()
    assert board.run(5, base_a=101.0, draws_a={1: 0.0}).trips == ()
    assert board.run(60, base_a=101.0, draws_a={1: 0.0}).trips == (BOARD,)
