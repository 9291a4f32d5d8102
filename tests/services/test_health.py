"""What shows that the daemon lives, and that it can do its work."""

from gateway.services.control_loop import Cycle
from gateway.services.health import life_problems, work_problems
from tests.support.one_circuit import BOARD, METER, OneCircuit


def cycle_of(board: OneCircuit) -> Cycle:
    return Cycle(decision=board.decide(), state=board.state)


def test_before_the_first_cycle_it_is_neither_alive_nor_ready() -> None:
    assert life_problems(None, now_s=0.0) == ["no control cycle has been completed yet"]
    assert len(work_problems(None, now_s=0.0, is_listening=True)) == 1


def test_it_lives_while_cycles_are_completed() -> None:
    board = OneCircuit()
    cycle = cycle_of(board)

    assert life_problems(cycle, now_s=board.now_s + 2.0) == []
    assert life_problems(cycle, now_s=board.now_s + 9.0) == ["the last control cycle began 9 s ago"]


def test_it_is_ready_when_stations_can_connect_and_every_meter_is_fresh() -> None:
    board = OneCircuit()
    never = work_problems(cycle_of(board), now_s=board.now_s, is_listening=True)
    board.flow(20.0)
    ready = work_problems(cycle_of(board), now_s=board.now_s, is_listening=True)
    deaf = work_problems(cycle_of(board), now_s=board.now_s, is_listening=False)
    board.now_s += 7.0
    stale = work_problems(cycle_of(board), now_s=board.now_s, is_listening=True)

    assert never == [f"meter {METER} of circuit {BOARD} has not been read yet"]
    assert ready == []
    assert deaf == ["stations cannot connect yet"]
    assert stale == [f"meter {METER} of circuit {BOARD} has said nothing new for 7 s"]
