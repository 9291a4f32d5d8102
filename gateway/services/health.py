"""Whether the daemon lives and can do its work, in sentences for people and service managers."""

from gateway.control.explain import too_little
from gateway.domain.circuits import Circuit
from gateway.services.control_loop import Cycle

PERIODS_MISSED = 5
"""Control is called stuck when no cycle began within so many periods."""


def life_problems(cycle: Cycle | None, *, now_s: float) -> list[str]:
    """Return what shows that control does not run; empty when it does."""
    if cycle is None:
        return ["no control cycle has been completed yet"]
    age_s = now_s - cycle.decision.at_s
    if age_s <= PERIODS_MISSED * cycle.state.parameters.period_s:
        return []
    return [f"the last control cycle began {age_s:.0f} s ago"]


def work_problems(cycle: Cycle | None, *, now_s: float, is_listening: bool) -> list[str]:
    """Return what keeps the daemon from raising limits: no meters, no stations, no control."""
    problems = life_problems(cycle, now_s=now_s)
    if not is_listening:
        problems.append("stations cannot connect yet")
    if cycle is not None:
        problems += _stale_meters(cycle, cycle.state.parameters.stale_no_raises_s)
    return problems


def _stale_meters(cycle: Cycle, fresh_s: float) -> list[str]:
    rows, stale = cycle.decision.survey.rows, []
    for at, circuit in enumerate(cycle.state.wiring.circuits):
        if circuit.meter is None:
            continue
        seen = [row for row in rows[3 * at : 3 * at + 3] if row.rating_ma]
        oldest_s = max((row.age_s for row in seen if row.age_s is not None), default=0.0)
        doubted = [row.doubted_ma for row in seen if row.doubted_ma]
        if doubted:
            stale.append(
                f"meter {circuit.meter} of circuit {circuit.id} {too_little(max(doubted))}"
            )
        elif oldest_s > fresh_s:
            stale.append(_stale(circuit, oldest_s))
    return stale


def _stale(circuit: Circuit, age_s: float) -> str:
    said = "has not been read yet"
    if age_s != float("inf"):
        said = f"has said nothing new for {age_s:.0f} s"
    return f"meter {circuit.meter} of circuit {circuit.id} {said}"
