"""What of the beliefs must outlive the process, and what may be believed after it: never less.

`remember_...` say what is written down while control runs; `restore` makes a state of it. A
restored belief counts every limit that may still be in force, whatever happened meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.control.learnt import with_learnt
from gateway.control.orders import LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.state import (
    NEVER_S,
    CircuitState,
    ConnectorBelief,
    SiteState,
    StandingLimit,
    StationBelief,
)
from gateway.control.wiring import Wiring
from gateway.domain.circuits import Circuit, Connector
from gateway.domain.electric import NOTHING
from gateway.domain.events import CircuitRecalled
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.memory import (
    CircuitMemory,
    ConnectorMemory,
    Memory,
    RememberedLimit,
    RunMemory,
    SiteMemory,
    StationMemory,
)
from gateway.domain.moments import Moment, elapsed

T = TypeVar("T")

# What is written down.


def remember_connector(
    connector: Connector,
    belief: ConnectorBelief,
    planned: Iterable[RememberedLimit] = (),
) -> ConnectorMemory:
    """Return what of a connector must outlive us; `planned` are limits about to be sent.

    Lease ends are not kept: a renewal would have to be written each time, and the newest limit
    may have been renewed until the very end.
    """
    limits = [
        RememberedLimit(
            limit_ma=limit.limit_ma,
            phase_count=limit.phase_count,
            is_leased=limit.lease_until_s is not None,
        )
        for limit in (*belief.under, *belief.limits)
    ]
    if belief.over_since_s is not None:  # It draws more than it was told.
        limits.insert(0, RememberedLimit(limit_ma=connector.max_ma, is_leased=False))
    return ConnectorMemory(
        connector=connector.ref,
        limits=_without_repeats([*planned, *limits]),
        max_ma=connector.max_ma,
        fallback_ma=belief.fallback_ma,
        is_plugged=belief.is_plugged,
        excess_ma=belief.excess_ma,
    )


def _without_repeats(limits: Iterable[T]) -> tuple[T, ...]:
    """Return each limit once, where it stands last: the newest stays the newest."""
    kept = dict.fromkeys(reversed(tuple(limits)))
    return tuple(reversed(kept))


def counts_higher(memory: ConnectorMemory, than: ConnectorMemory) -> bool:
    """Return whether more may be drawn by one record of a connector than by another."""
    return _highest_ma(memory) > _highest_ma(than) or memory.excess_ma > than.excess_ma


def _highest_ma(memory: ConnectorMemory) -> int:
    """Return the highest limit that is remembered as perhaps in force."""
    limits_ma = [limit.limit_ma for limit in memory.limits]
    return max([*limits_ma, memory.max_ma if memory.fallback_ma is None else memory.fallback_ma])


def remember_station(station: StationId, belief: StationBelief) -> StationMemory:
    """Return what of a station must outlive us."""
    known = belief.capabilities
    return StationMemory(
        station=station,
        is_proven=belief.is_proven,
        is_dead_man_proven=belief.is_dead_man_proven,
        firmware=belief.firmware,
        vendor="" if known is None else known.vendor,
        model="" if known is None else known.model,
        capabilities=known,
    )


def remember_circuit(
    state: SiteState, at: int, *, now: Moment, now_s: float
) -> CircuitMemory | None:
    """Return the excursions and the lockout of a circuit; None where it has had neither."""
    circuit = state.circuits[at]
    if not circuit.excursions_at_s and circuit.lockout_until_s == NEVER_S:
        return None
    left_s = circuit.lockout_until_s - now_s
    return CircuitMemory(
        circuit=state.wiring.circuits[at].id,
        noted=now,
        excursions_ago_s=tuple(now_s - at_s for at_s in circuit.excursions_at_s),
        is_in_excursion=circuit.is_in_excursion,
        lockout_left_s=left_s if left_s > 0 else None,
    )


def remember_site(state: SiteState) -> SiteMemory:
    """Return what people and the building have ordered for the site as a whole."""
    return SiteMemory(
        is_stopped=state.is_stopped,
        stop_cause=state.stop_cause,
        constraints=tuple(state.constraints.values()),
    )


# What is believed afterwards.


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The state to begin with, and until when a lost station may still hold a lease of before.

    Nothing is to be raised while one of `awaited` has neither connected nor outlived its second.
    Of `uncertain` circuits it will be known better how long ago their past is, once the wall
    clock is right.
    """

    state: SiteState
    awaited: dict[StationId, float]
    uncertain: tuple[CircuitMemory, ...] = ()


def restore(
    wiring: Wiring,
    parameters: ControlParameters,
    memory: Memory,
    *,
    alive: Moment | None,
    now: Moment,
    now_s: float,
) -> Restored:
    """Return what may be believed at `now` (monotonic `now_s`) by what is remembered.

    `alive` is the last moment the process before may have sent anything, None if unknown.
    """
    state = SiteState.at_start(wiring, parameters, now_s=now_s)
    span_s = parameters.lease_s + parameters.acknowledgement_s + parameters.lease_margin_s
    dead_for_s = 0.0 if alive is None else elapsed(alive, now).at_least_s
    until_s = now_s + span_s - dead_for_s
    connectors, awaited = list(state.connectors), dict[StationId, float]()
    running = {
        ConnectorRef(t.station, t.connector_number): t.transaction
        for t in memory.transactions
        if not t.is_over and t.connector_number
    }
    for at, connector in enumerate(wiring.connectors):
        remembered, transaction = memory.connectors.get(connector.ref), running.get(connector.ref)
        if remembered is None or not remembered.limits:
            if transaction is not None:
                connectors[at] = replace(
                    connectors[at], transaction=transaction, plugged_at_s=now_s
                )
            continue
        station = memory.stations.get(connector.ref.station)
        belief = _belief_of(connector, remembered, station, until_s=until_s, now_s=now_s)
        connectors[at] = replace(belief, transaction=transaction)
        if until_s > now_s and any(limit.is_leased for limit in remembered.limits):
            awaited[connector.ref.station] = until_s
    return Restored(
        state=replace(
            state,
            connectors=tuple(connectors),
            circuits=tuple(
                _circuit_of(circuit, memory, parameters, now=now, now_s=now_s)
                for circuit in wiring.circuits
            ),
            memory=replace(
                state.memory,
                base_seen_ma=_base_seen_ma(wiring, memory),
                short_since_s=_short_since_s(state, memory, parameters, now_s),
            ),
            stations={
                station: _station_of(memory.stations.get(station)) for station in state.stations
            },
            constraints={(c.subject, c.source): c for c in memory.site.constraints},
            is_stopped=memory.site.is_stopped,
            stop_cause=memory.site.stop_cause,
        ),
        awaited=awaited,
        uncertain=tuple(
            past
            for past in memory.circuits.values()
            if past.circuit in wiring.circuit_at
            and past.noted.is_synchronised
            and elapsed(past.noted, now).at_most_s is None
        ),
    )


def recall(
    uncertain: Iterable[CircuitMemory],
    *,
    restored: Moment,
    restored_at_s: float,
    now: Moment,
    now_s: float,
) -> tuple[tuple[CircuitRecalled, ...], tuple[CircuitMemory, ...]]:
    """Return what is known better of uncertain circuits by now, and of which nothing yet is.

    They were restored at `restored` (monotonic `restored_at_s`), in the same boot.
    """
    recalled, left = [], []
    for memory in uncertain:
        passed = elapsed(memory.noted, now)
        if passed.at_most_s is None:
            left.append(memory)
            continue
        counted_s = elapsed(memory.noted, restored).at_least_s + now_s - restored_at_s
        if passed.at_least_s > counted_s:
            recalled.append(
                CircuitRecalled(
                    at_s=now_s,
                    circuit=memory.circuit,
                    restored_at_s=restored_at_s,
                    older_s=passed.at_least_s - counted_s,
                )
            )
    return tuple(recalled), tuple(left)


def _belief_of(
    connector: Connector,
    remembered: ConnectorMemory,
    station: StationMemory | None,
    *,
    until_s: float,
    now_s: float,
) -> ConnectorBelief:
    """Return what may be in force at a connector: what is remembered, or anything.

    What was remembered holds alone only if the station is proven to obey.
    """
    limits = tuple(
        StandingLimit(
            limit_ma=limit.limit_ma,
            phase_count=limit.phase_count,
            lease_until_s=until_s if limit.is_leased else None,
        )
        for limit in remembered.limits
    )
    leased = [limit for limit in limits if limit.lease_until_s is not None]
    if leased and not (station is not None and station.is_dead_man_proven):
        # It may have lapsed already, and to what is not known while nobody can be asked.
        limits = (replace(leased[0], lease_until_s=now_s), *limits)
    if station is None or not station.is_proven or remembered.max_ma != connector.max_ma:
        limits = (StandingLimit(limit_ma=connector.max_ma), *limits)
    newest = remembered.limits[-1]
    # A vehicle seen again is no new one, or the lease it may still have would be forgotten.
    is_plugged = remembered.is_plugged or any(limit.is_leased for limit in remembered.limits)
    return ConnectorBelief(
        limits=limits,
        fallback_ma=remembered.fallback_ma,
        plugged_at_s=now_s if is_plugged else None,
        # Who was paused has not just been plugged in: it waits its time.
        paused_at_s=now_s if newest.is_leased and newest.limit_ma == 0 else None,
        excess_ma=remembered.excess_ma,
        # The vehicle that has shown it may be the one there, and takes it for its stay.
        is_excess_shown=is_plugged and remembered.excess_ma > 0,
    )


def _station_of(remembered: StationMemory | None) -> StationBelief:
    """Return the belief with its proofs kept: of its obedience until it boots (fold)."""
    if remembered is None:
        return StationBelief()
    return StationBelief(
        is_proven=remembered.is_proven,
        is_dead_man_proven=remembered.is_dead_man_proven,
        capabilities=remembered.capabilities,
        firmware=remembered.firmware,
    )


def _short_since_s(
    state: SiteState, memory: Memory, parameters: ControlParameters, now_s: float
) -> tuple[float | None, ...]:
    """Return, per row, since when what is told is taken not to fit: from a reaction chain on.

    No station has told its draw yet, so all that flows is base, and every limit counts besides.
    What is remembered did fit, and its reserve is there: nobody is paused for that alone. Where
    a reading is above the bound, pauses come at once as ever.
    """
    if not memory.connectors:
        return state.memory.short_since_s
    return (now_s + parameters.reaction_s,) * len(state.memory.short_since_s)


def _base_seen_ma(wiring: Wiring, memory: Memory) -> tuple[int, ...]:
    """Return, per row, the most that base has surely been above its worst case."""
    learnt = [memory.learnt.get(circuit.id) for circuit in wiring.circuits]
    return tuple(
        ma for known in learnt for ma in (NOTHING if known is None else known.base_seen_ma)
    )


def _circuit_of(
    circuit: Circuit,
    memory: Memory,
    parameters: ControlParameters,
    *,
    now: Moment,
    now_s: float,
) -> CircuitState:
    """Return what is known of a circuit: what was learnt of it, and what it has been through."""
    state = _past_of(memory.circuits.get(circuit.id), parameters, now=now, now_s=now_s)
    learnt = memory.learnt.get(circuit.id)
    return state if learnt is None else with_learnt(state, circuit, learnt, now_s=now_s)


def _past_of(
    remembered: CircuitMemory | None, parameters: ControlParameters, *, now: Moment, now_s: float
) -> CircuitState:
    """Return the circuit with its lockout shortened only by time that has surely passed."""
    if remembered is None:
        return CircuitState()
    passed_s = elapsed(remembered.noted, now).at_least_s
    left_s = (remembered.lockout_left_s or 0.0) - passed_s
    ages_s = [ago_s + passed_s for ago_s in remembered.excursions_ago_s]
    return CircuitState(
        excursions_at_s=tuple(
            now_s - age_s for age_s in ages_s if age_s < parameters.excursion_window_s
        ),
        is_in_excursion=remembered.is_in_excursion,
        lockout_until_s=now_s + left_s if left_s > 0 else NEVER_S,
    )


def last_alive(run: RunMemory | None, now: Moment) -> Moment | None:
    """Return the last moment a process before may have acted, None if that may have been just now."""
    if run is None:
        return None
    if run.ended is not None:
        return run.ended
    if run.began.boot_id and now.boot_id and run.began.boot_id != now.boot_id:
        # It did not outlive its machine's last start.
        return replace(run.began, is_synchronised=False)
    return None


def hold_raises(orders: tuple[LimitOrder, ...], state: SiteState) -> tuple[LimitOrder, ...]:
    """Return the orders with every raise held where it is; cuts and renewals pass.

    Watts told for more phases are a raise too: some stations give them all on one.
    """
    held = []
    for order in orders:
        told = state.connectors[state.wiring.connector_at[order.connector]].limits[-1]
        limit_ma = min(order.limit.limit_ma, told.limit_ma)
        phase_count = order.limit.phase_count
        if limit_ma * phase_count > told.limit_ma * told.phase_count:
            phase_count = min(phase_count, told.phase_count)
        limit = replace(order.limit, limit_ma=limit_ma, phase_count=phase_count)
        held.append(replace(order, limit=limit))
    return tuple(held)


def unaccounted(state: SiteState, awaited: Mapping[StationId, float]) -> frozenset[StationId]:
    """Return the stations of `awaited` that have not been heard of since the start.

    `awaited` says until which second a station may still hold a lease of the run before.
    """
    return frozenset(s for s in awaited if state.stations[s].changed_at_s == NEVER_S)
