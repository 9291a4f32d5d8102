"""What control sees of circuits sounds as an alarm while it lasts."""

from dataclasses import replace

from gateway.adapters.clock import SystemClock
from gateway.control.decide import decide
from gateway.services.alarms import Alarms
from gateway.services.circuit_alarms import CircuitAlarms
from gateway.services.control_loop import Cycle
from tests.support.one_circuit import BOARD, OneCircuit


def cycle_of(*, lockout_s: float, base_seen_ma: int) -> Cycle:
    """Return a cycle of a board that is locked out, and whose base was seen to be so much."""
    board = OneCircuit()
    (circuit,) = board.state.circuits
    memory = replace(board.state.memory, base_seen_ma=(0, base_seen_ma, 0))
    circuit = replace(circuit, lockout_until_s=board.now_s + lockout_s)
    state = replace(board.state, circuits=(circuit,), memory=memory)
    return Cycle(state=state, decision=decide(state, board.now_s))


def test_an_alarm_sounds_while_its_reason_lasts() -> None:
    alarms = Alarms(SystemClock())
    of_circuits = CircuitAlarms(alarms)

    of_circuits.follow(cycle_of(lockout_s=60.0, base_seen_ma=83_000))
    sounding = {alarm.name: alarm.text for alarm in alarms.sounding()}
    of_circuits.follow(cycle_of(lockout_s=0.0, base_seen_ma=0))

    assert set(sounding) == {f"lockout of {BOARD}", f"proof of {BOARD}"}
    assert (
        "a base of 83.0 A, and its worst case is declared as 70.0 A"
        in (sounding[f"proof of {BOARD}"])
    )
    assert alarms.sounding() == ()
