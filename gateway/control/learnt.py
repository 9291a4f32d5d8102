"""What was learnt of a building over weeks, so that a restart does not forget it."""

from dataclasses import replace

from gateway.control.state import CircuitState, RiseHistory, SiteState
from gateway.domain.circuits import Circuit
from gateway.domain.memory import LearntMemory, RisesMemory


def remember_learnt(state: SiteState, at: int, *, now_s: float) -> LearntMemory | None:
    """Return what was learnt of a circuit's base; None where nothing was yet."""
    circuit = state.circuits[at]
    rises = tuple(_remembered(phase.rises, now_s) for phase in circuit.phases)
    lease_rises = tuple(_remembered(phase.lease_rises, now_s) for phase in circuit.phases)
    l1, l2, l3 = state.memory.base_seen_ma[3 * at : 3 * at + 3]
    if not any(rises) and not any(lease_rises) and not (l1 or l2 or l3):
        return None
    declared = state.wiring.circuits[at]
    return LearntMemory(
        circuit=declared.id,
        rating_ma=declared.rating_ma,
        rises=rises,
        lease_rises=lease_rises,
        base_seen_ma=(l1, l2, l3),
    )


def _remembered(history: RiseHistory, now_s: float) -> RisesMemory | None:
    if history.since_s is None or not history.days:
        return None
    return RisesMemory(
        known_for_s=now_s - history.since_s,
        day_for_s=now_s - history.day_since_s,
        days=history.days,
        quantile_ma=history.quantile_ma,
    )


def with_learnt(
    state: CircuitState, circuit: Circuit, learnt: LearntMemory, *, now_s: float
) -> CircuitState:
    """Return the circuit knowing what was learnt of it; nothing if its rating is another now.

    The time we were away taught nothing: it is left out.
    """
    if learnt.rating_ma != circuit.rating_ma:
        return state
    l1, l2, l3 = (
        replace(phase, rises=_restored(rises, now_s), lease_rises=_restored(lease_rises, now_s))
        for phase, rises, lease_rises in zip(
            state.phases, learnt.rises, learnt.lease_rises, strict=True
        )
    )
    return replace(state, phases=(l1, l2, l3))


def _restored(memory: RisesMemory | None, now_s: float) -> RiseHistory:
    if memory is None:
        return RiseHistory()
    return RiseHistory(
        since_s=now_s - memory.known_for_s,
        day_since_s=now_s - memory.day_for_s,
        days=memory.days,
        quantile_ma=memory.quantile_ma,
    )
