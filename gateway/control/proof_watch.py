"""Whether base still fits the worst case that the proof at config time was made with."""

from gateway.control.headroom import Survey
from gateway.control.state import ControlMemory, SiteState
from gateway.domain.ids import CircuitId


def base_seen(
    state: SiteState, seen: Survey, now_s: float
) -> tuple[tuple[int, ...], tuple[tuple[float, int] | None, ...]]:
    """Return, per row, the most that base has surely been, and what is not sure yet.

    Base is surely what flows above everything connectors may draw. It must have been above the
    worst case for as long as a cut takes to be seen, or a vehicle that has not yet obeyed
    would be taken for base; the least of that time then counts.
    """
    memory, wiring = state.memory, state.wiring
    sure_ma, unsure = list(memory.base_seen_ma), list(memory.base_over)
    noise_ratio = state.parameters.meter_noise_ratio
    for at, row in enumerate(seen.rows):
        over_ma = -1 if row.current_ma is None else row.current_ma - seen.claimed_ma[at]
        is_within = over_ma <= row.worst_case_ma  # Nearly always, and told at once.
        if is_within or over_ma <= row.worst_case_ma + int(row.rating_ma * noise_ratio):
            unsure[at] = None
            continue
        if not wiring.rating_ma[at]:
            unsure[at] = None
            continue
        since_s, least_ma = unsure[at] or (now_s, over_ma)
        unsure[at] = (since_s, min(least_ma, over_ma))
        if now_s - since_s >= state.parameters.base_sure_after_s:
            sure_ma[at], unsure[at] = min(least_ma, over_ma), None
    return tuple(sure_ma), tuple(unsure)


def void_proofs(state: SiteState, memory: ControlMemory) -> tuple[CircuitId, ...]:
    """Return the circuits whose base has been above its declared worst case: their proof is void.

    Falling silent may overload them, until somebody declares what is true.
    """
    wiring = state.wiring
    pairs = zip(memory.base_seen_ma, wiring.worst_case_ma, strict=True)
    above = [row for row, (seen_ma, declared_ma) in enumerate(pairs) if seen_ma > declared_ma]
    return tuple(wiring.circuits[at].id for at in sorted({row // 3 for row in above}))
