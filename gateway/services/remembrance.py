"""Feeds the ledger with what must outlive us, and lets a raise go out only once it is safe there."""

from asyncio import Future
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from gateway.control.fold import evolve
from gateway.control.learnt import remember_learnt
from gateway.control.restore import (
    counts_higher,
    remember_circuit,
    remember_connector,
    remember_site,
    remember_station,
)
from gateway.control.state import ConnectorBelief, SiteState, StationBelief
from gateway.domain.circuits import Connector
from gateway.domain.events import Event, StationBooted, StopInputChanged
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.domain.memory import (
    Act,
    ConnectorMemory,
    Entry,
    RememberedLimit,
    StationMemory,
)
from gateway.ports import Ledger, MomentClock

LEARNT_EVERY_S = 3_600.0
"""How often what is learnt of circuits is written: it takes days to learn."""

PLANNED_FOR_S = 60.0
"""How long a raise that was made durable and not sent is still counted."""

Wake = Callable[[], None]


@dataclass(slots=True, kw_only=True)
class _Planned:
    """A raise that is about to be sent, or a fallback about to be written."""

    limit: RememberedLimit
    asked_at_s: float
    is_durable: bool = False


class Remembrance:
    """What the ledger knows, one step behind the state and one step ahead of the wires.

    Cuts never wait. A raise is whatever is higher than all the ledger remembers as perhaps in
    force: it is written first, and sent when it would survive a power cut.
    """

    def __init__(
        self,
        ledger: Ledger,
        state: SiteState,
        *,
        clock: MomentClock,
        adopted: Collection[StationId] = (),
    ) -> None:
        """Begin with a state that the ledger knows: restored from it, or of a site it is new to.

        `adopted` are the stations it has met before; any other is adopted when it first comes.
        """
        self._ledger = ledger
        self._clock = clock
        self._noted = state
        self._adopted = set(adopted)
        self._learnt_at_s = clock.monotonic_s()
        self._connectors = {
            connector.ref: remember_connector(connector, belief)
            for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True)
        }
        self._stations = {name: remember_station(name, b) for name, b in state.stations.items()}
        self._planned: dict[ConnectorRef, list[_Planned]] = {}
        self._planned_fallback: dict[ConnectorRef, _Planned] = {}
        self.counters: Counter[str] = Counter()
        # As restored: what follows from proofs is written out, so that it outlives their change.
        ledger.keep(*self._connectors.values())

    def hear(self, fact: Event) -> None:
        """Take note of a fact before it is posted: of one that nobody may tell again.

        What waits for the ledger after this has waited for it too.
        """
        if isinstance(fact, StopInputChanged) and fact.is_stopped:
            self._ledger.keep_durably(remember_site(evolve(self._noted, fact)))
        if isinstance(fact, StationBooted) and fact.station in self._stations:
            state = evolve(self._noted, fact)
            self._write_station(fact.station, state.stations[fact.station])
            for at in state.wiring.connectors_of[fact.station]:
                self._write_connector(state.wiring.connectors[at], state.connectors[at])

    def _write_station(self, name: StationId, belief: StationBelief) -> None:
        memory = remember_station(name, belief)
        acts = _proofs(self._stations[name], memory)
        self._stations[name] = memory
        self._ledger.keep_durably(memory, *acts)

    def _write_connector(self, connector: Connector, belief: ConnectorBelief) -> None:
        self._connectors[connector.ref] = remember_connector(connector, belief)
        self._write_now(connector.ref)

    # Before a limit is sent.

    def may_send(self, connector: ConnectorRef, limit: CurrentLimit, wake: Wake) -> bool:
        """Return whether this limit may go on the wire now; `wake` is called once it may.

        It is not called where the disk takes nothing: then only cuts and renewals go out.
        """
        known = self._connectors.get(connector)
        # A lease that is known was safe before it was sent, and has been in every record since.
        if known is None or _covers(known.limits, limit):
            return True
        planned = self._planned.setdefault(connector, [])
        now_s = self._clock.monotonic_s()
        for plan in planned:
            if _covers((plan.limit,), limit):
                plan.asked_at_s = now_s
                return plan.is_durable
        plan = _Planned(
            limit=RememberedLimit(limit_ma=limit.limit_ma, phase_count=limit.phase_count),
            asked_at_s=now_s,
        )
        planned.append(plan)
        self.counters["raises kept first"] += 1
        self._write_first(connector, plan, wake)
        return False

    def may_write_fallback(self, connector: ConnectorRef, fallback_ma: int, wake: Wake) -> bool:
        """Return whether this persistent fallback may be written now, as `may_send` does."""
        known = self._connectors.get(connector)
        if known is None or known.fallback_ma is None or fallback_ma <= known.fallback_ma:
            return True
        plan = self._planned_fallback.get(connector)
        if plan is None or plan.limit.limit_ma < fallback_ma:
            plan = _Planned(limit=RememberedLimit(limit_ma=fallback_ma), asked_at_s=0.0)
            self._planned_fallback[connector] = plan
            self._write_first(connector, plan, wake)
        plan.asked_at_s = self._clock.monotonic_s()
        return plan.is_durable

    def _write_first(self, connector: ConnectorRef, plan: _Planned, wake: Wake) -> None:
        def tell(written: Future[None]) -> None:
            if not written.cancelled():
                plan.is_durable = True
                wake()

        self._write_now(connector).add_done_callback(tell)

    def _write_now(self, connector: ConnectorRef) -> Future[None]:
        return self._ledger.keep_durably(self._with_plans(connector))

    def _with_plans(self, connector: ConnectorRef) -> ConnectorMemory:
        """Return what is known of a connector and what is about to be true of it."""
        known = self._connectors[connector]
        limits = tuple(plan.limit for plan in self._planned.get(connector, ()))
        fallback = self._planned_fallback.get(connector)
        fallback_ma = known.fallback_ma
        if fallback is not None and fallback_ma is not None:
            fallback_ma = max(fallback_ma, fallback.limit.limit_ma)
            # Where no lease is, it will be what is in force.
            limits = (replace(fallback.limit, is_leased=False), *limits)
        return replace(known, limits=(*limits, *known.limits), fallback_ma=fallback_ma)

    # After a cycle.

    def note(self, state: SiteState) -> None:
        """Write down what has changed since the last time; only what counts higher goes at once."""
        before, self._noted = self._noted, state
        if state is before:
            return
        entries: list[Entry] = []
        self._note_connectors(before, state, entries)
        self._note_stations(before, state, entries)
        self._note_circuits(before, state, entries)
        self._note_learnt(state, entries)
        if remember_site(state) != remember_site(before):
            entries.append(remember_site(state))
            if state.is_stopped is not before.is_stopped:
                word = "stopped" if state.is_stopped else "stop-released"
                entries.append(Act(kind=word, subject=state.wiring.site.name))
            self._ledger.keep_durably(*entries)
        elif entries:
            self._ledger.keep(*entries)

    def _note_connectors(self, before: SiteState, state: SiteState, entries: list[Entry]) -> None:
        now_s = self._clock.monotonic_s()
        for connector, old, new in zip(
            state.wiring.connectors, before.connectors, state.connectors, strict=True
        ):
            if new is old and connector.ref not in self._planned:
                continue
            known = self._connectors[connector.ref]
            memory = remember_connector(connector, new)
            had_plans = self._drop_plans(connector.ref, memory, now_s)
            if memory == known and not had_plans:
                continue
            self._connectors[connector.ref] = memory
            is_first_lease = _is_leased(memory) and not _is_leased(known)
            if is_first_lease or counts_higher(memory, known):
                self._write_now(connector.ref)
            else:
                entries.append(self._with_plans(connector.ref))

    def _drop_plans(self, connector: ConnectorRef, memory: ConnectorMemory, now_s: float) -> bool:
        """Forget the plans that have come true, and those of long ago; return whether any."""
        fallback = self._planned_fallback.get(connector)
        if fallback is not None and (
            memory.fallback_ma == fallback.limit.limit_ma
            or (fallback.is_durable and now_s - fallback.asked_at_s > PLANNED_FOR_S)
        ):
            del self._planned_fallback[connector]
        plans = self._planned.get(connector)
        if plans is None:
            return False
        kept = [
            plan
            for plan in plans
            # One that waits for the disk is not dropped, or it would be asked for anew for ever.
            if not plan.is_durable
            or (plan.limit not in memory.limits and now_s - plan.asked_at_s <= PLANNED_FOR_S)
        ]
        if kept:
            self._planned[connector] = kept
        else:
            del self._planned[connector]
        return len(kept) < len(plans)

    def _note_stations(self, before: SiteState, state: SiteState, entries: list[Entry]) -> None:
        if state.stations is before.stations:
            return
        for name, belief in state.stations.items():
            if belief is before.stations.get(name):
                continue
            known, memory = self._stations[name], remember_station(name, belief)
            if belief.is_connected and name not in self._adopted:
                self._adopted.add(name)
                self._ledger.keep_durably(memory, Act(kind="adopted", subject=name))
            if memory == known:
                continue
            self._stations[name] = memory
            entries += _proofs(known, memory)
            if known.is_proven <= memory.is_proven and (
                known.is_dead_man_proven <= memory.is_dead_man_proven
                and known.capabilities == memory.capabilities
            ):
                entries.append(memory)
            else:
                self._ledger.keep_durably(memory)

    def _note_learnt(self, state: SiteState, entries: list[Entry]) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._learnt_at_s < LEARNT_EVERY_S:
            return
        self._learnt_at_s = now_s
        learnt = (remember_learnt(state, at, now_s=now_s) for at in range(len(state.circuits)))
        entries += [memory for memory in learnt if memory is not None]

    def _note_circuits(self, before: SiteState, state: SiteState, entries: list[Entry]) -> None:
        for at, (old, new) in enumerate(zip(before.circuits, state.circuits, strict=True)):
            is_same = (
                new.excursions_at_s == old.excursions_at_s
                and new.lockout_until_s == old.lockout_until_s
                and new.is_in_excursion is old.is_in_excursion
            )
            if is_same:
                continue
            memory = remember_circuit(
                state, at, now=self._clock.moment(), now_s=self._clock.monotonic_s()
            )
            if memory is None:
                continue
            name = state.wiring.circuits[at].id
            if new.lockout_until_s > old.lockout_until_s:
                entries.append(Act(kind="lockout", subject=name))
            elif len(new.excursions_at_s) and new.excursions_at_s != old.excursions_at_s:
                entries.append(Act(kind="excursion", subject=name))
            self._ledger.keep_durably(memory)


def _covers(limits: tuple[RememberedLimit, ...], limit: CurrentLimit) -> bool:
    """Return whether the limit is no higher than a lease that is remembered already.

    What stands without a lease covers nothing: another vehicle may put it out of force, and a
    lease that was sent meanwhile with it.
    """
    return limit.limit_ma == 0 or any(
        known.is_leased
        and known.limit_ma >= limit.limit_ma
        and known.phase_count >= limit.phase_count
        for known in limits
    )


def _is_leased(memory: ConnectorMemory) -> bool:
    return any(limit.is_leased for limit in memory.limits)


def _proofs(before: StationMemory, after: StationMemory) -> list[Entry]:
    """Return what the audit says of proofs won and lost."""
    name: StationId = after.station
    acts: list[Entry] = []
    if before.is_proven is not after.is_proven:
        kind = "obedience-proven" if after.is_proven else "obedience-open-again"
        acts.append(Act(kind=kind, subject=name))
    if before.is_dead_man_proven is not after.is_dead_man_proven:
        kind = "dead-man-proven" if after.is_dead_man_proven else "dead-man-open-again"
        acts.append(Act(kind=kind, subject=name))
    return acts
