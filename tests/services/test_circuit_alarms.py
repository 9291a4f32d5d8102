"""What control sees of circuits sounds as an alarm while it lasts."""

from dataclasses import replace

from gateway.adapters.clock import SystemClock
from gateway.control.decide import decide
from gateway.domain.charging import RateUnit
from gateway.services.alarms import Alarms
from gateway.services.circuit_alarms import CircuitAlarms
from gateway.services.control_loop import Cycle
from tests.support.one_circuit import BOARD, OneCircuit, site


def cycle_of(*, lockout_s: float, base_seen_ma: int) -> Cycle:
    """Return a cycle of a board that is locked out, and whose base was seen to be so much."""
    board = OneCircuit()
    (circuit,) = board.state.circuits
    memory = replace(board.state.memory, base_seen_ma=(0, base_seen_ma, 0))
    circuit = replace(circuit, lockout_until_s=board.now_s + lockout_s)
    state = replace(board.state, circuits=(circuit,), memory=memory)
    return Cycle(state=state, decision=decide(state, board.now_s))


def test_a_meter_that_does_not_show_what_surely_flows_is_an_alarm() -> None:
    board, alarms = OneCircuit(), Alarms(SystemClock())
    of_circuits, heard = CircuitAlarms(alarms), []
    board.prove(1)
    for second in range(60):
        board.now_s += 1.0
        board.flow((0.3 if second < 23 else 20.0) + 0.001 * (second % 7))
        if second % 10 == 0:
            board.draw(1, 6.0)
        of_circuits.follow(Cycle(decision=board.decide(), state=board.state))
        heard.append({alarm.name for alarm in alarms.sounding()})

    assert (heard[15], heard[22], heard[59]) == (set(), {f"meter of {BOARD}"}, set())


def test_power_that_flows_out_where_nothing_feeds_is_an_alarm_that_says_what_to_do() -> None:
    board, alarms = OneCircuit(), Alarms(SystemClock())
    of_circuits, heard = CircuitAlarms(alarms), []
    for second in range(90):
        board.now_s += 1.0
        power_w = 4_600.0
        if second < 30:
            power_w = -4_600.0
        current_a = 0.4 if 30 <= second < 60 else 20.0
        board.flow(current_a + 0.001 * (second % 7), power_w=power_w if current_a > 1 else -90.0)
        of_circuits.follow(Cycle(decision=board.decide(), state=board.state))
        heard.append([alarm.text for alarm in alarms.sounding()])

    (told,) = heard[29]
    assert "flows out on L1 and L2 and L3" in told
    assert "it is counted as drawn. Turn that clamp round" in told
    assert (heard[15], heard[59], heard[89]) == ([], [told], [])


def test_a_station_that_takes_watts_undeclared_is_an_alarm_where_its_fallback_then_does_not_fit() -> (
    None
):
    alarms = Alarms(SystemClock())
    of_circuits = CircuitAlarms(alarms)
    board = OneCircuit(of=site(fallback_ma=8_000))  # 70 A of base and 24 A are inside 95 A.
    board.flow(20.0)
    of_circuits.follow(Cycle(decision=board.decide(), state=board.state))
    assert alarms.sounding() == ()

    for number in (1, 2):
        board.is_capable(number, unit=RateUnit.WATTS)
    of_circuits.follow(Cycle(decision=board.decide(), state=board.state))

    (alarm,) = alarms.sounding()
    assert alarm.name == f"fallbacks of {BOARD}"
    assert alarm.text.startswith("CP-1, CP-2 take watts alone")
    assert f"in silence {BOARD} L3 may carry 95.8 A, and its set-point is 95.0 A" in alarm.text


def test_a_connector_that_draws_more_than_told_is_one_where_its_fallback_then_does_not_fit() -> (
    None
):
    alarms = Alarms(SystemClock())
    of_circuits = CircuitAlarms(alarms)
    board = OneCircuit(of=site(fallback_ma=8_000))

    def follow(excess_ma: int) -> tuple[str, ...]:
        board.flow(20.0)
        beliefs = (replace(board.state.connectors[0], excess_ma=excess_ma),)
        state = replace(board.state, connectors=beliefs + board.state.connectors[1:])
        of_circuits.follow(Cycle(decision=board.decide(), state=state))
        return tuple(alarm.text for alarm in alarms.sounding())

    assert follow(900) == ()
    (text,) = follow(2_500)
    assert text.startswith(
        f"CP-1/1 draws up to 2.5 A more than told: in silence {BOARD} L3 may carry 96.5 A, "
        "and its set-point is 95.0 A"
    )
    assert follow(0) == ()


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
