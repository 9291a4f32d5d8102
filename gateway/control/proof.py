"""The proof at config time: if everything controlled falls silent, every circuit still holds.

For each circuit and phase (design §3): Σ fallback + worst-case base + loads ≤ set-point, under
the lowest rating its calendar ever gives it.

What each term means, exactly:

* *fallback*: every connector anywhere below the circuit that is wired to the phase counts its
  fallback, in full; at a station that takes watts, what those are at the lowest voltage.
* *base*: `Circuit.worst_case_base_ma` is what the circuit's own feed would show with every
  connector and every declared load off, *the base of the circuits below included*: the figure
  a clamp on that feed gives. Where the circuits below declare more than it, their sum counts:
  the figure at a feed is never less than what hangs below it.
* *loads*: every declared load anywhere below counts its worst case, in addition to base. Loads
  of one interlock group never run together, so of a group only the largest member below the
  circuit counts, on each phase by itself; a group may span circuits.

Every term only grows with what is added, so a proof never becomes easier by adding something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType

from gateway.domain.circuits import Circuit, Connector, Load, Site
from gateway.domain.electric import (
    MIN_CHARGING_MA,
    NOTHING,
    STEP_MA,
    PerPhase,
    Phase,
    in_amperes_ma,
    in_watts_ma,
)
from gateway.domain.ids import CircuitId, ConnectorRef, LoadId

NO_EXCESS: Mapping[ConnectorRef, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTerm:
    """What a load by itself, or the largest of an interlock group, adds on one phase."""

    load: LoadId
    interlock: str | None
    worst_case_ma: int
    silenced: tuple[LoadId, ...] = ()
    """The other loads of the group below the circuit: they promise to be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackTerm:
    """What a connector adds on one phase once its lease has lapsed.

    `fallback_ma` is as declared, `counted_ma` what may flow: more than that if it is told in watts,
    or where more is drawn than is told.
    """

    connector: ConnectorRef
    fallback_ma: int
    counted_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProof:
    """The arithmetic of one phase of one circuit, with every term.

    `set_point_ma` is the lowest the circuit's calendar ever leads to, `by_calendar` if that is below
    that of its own rating. `circuits_below_ma` is the sum of the base figures of the circuits directly below, and
    `declared_base_ma` the circuit's own: the larger counts, as `base_ma`.
    """

    circuit: CircuitId
    phase: Phase
    rating_ma: int
    set_point_ma: int
    fallbacks: tuple[FallbackTerm, ...]
    declared_base_ma: int
    circuits_below_ma: int
    loads: tuple[LoadTerm, ...]
    by_calendar: bool = False

    @property
    def fallback_ma(self) -> int:
        """Return what all connectors below draw in silence."""
        return sum(term.counted_ma for term in self.fallbacks)

    @property
    def base_ma(self) -> int:
        """Return the worst-case base that counts here."""
        return max(self.declared_base_ma, self.circuits_below_ma)

    @property
    def load_ma(self) -> int:
        """Return what the declared loads below draw at worst."""
        return sum(term.worst_case_ma for term in self.loads)

    @property
    def worst_case_ma(self) -> int:
        """Return everything that may flow in silence."""
        return self.fallback_ma + self.base_ma + self.load_ma

    @property
    def margin_ma(self) -> int:
        """Return what is left to the set-point; negative is how far the proof fails."""
        return self.set_point_ma - self.worst_case_ma

    @property
    def holds(self) -> bool:
        """Say whether the set-point is kept in silence."""
        return self.margin_ma >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteProof:
    """The proof of a whole site: three phases for each circuit, circuits parents first."""

    phases: tuple[PhaseProof, ...]

    @property
    def holds(self) -> bool:
        """Say whether every phase of every circuit holds."""
        return all(phase.holds for phase in self.phases)

    @property
    def failures(self) -> tuple[PhaseProof, ...]:
        """Return the phases that do not hold, parents first."""
        return tuple(phase for phase in self.phases if not phase.holds)


def prove(site: Site, excess_ma: Mapping[ConnectorRef, int] = NO_EXCESS) -> SiteProof:
    """Return the arithmetic of design §3 for every circuit and phase of `site`.

    `excess_ma` is what connectors are known to draw beyond what they are told.

    The site's circuits are listed parents first. A phase a circuit does not have (rating 0)
    is in the result too, and fails if anything is on it.
    """
    below = _circuits_below(site)
    base_ma = worst_case_base_ma(site)
    return SiteProof(
        phases=tuple(
            _prove_phase(
                site,
                circuit=circuit,
                phase=phase,
                below=below,
                base_ma=base_ma,
                excess_ma=excess_ma,
            )
            for circuit in site.circuits
            for phase in Phase
        )
    )


def worst_case_base_ma(site: Site) -> dict[CircuitId, PerPhase]:
    """Return the worst-case base at each circuit's feed, the circuits below included.

    Declared loads are not in it: see `uncontrolled_ma`.
    """
    base_ma: dict[CircuitId, PerPhase] = {}
    for circuit in reversed(site.circuits):  # Children first.
        below_ma = _sum_below(site, circuit.id, base_ma)
        base_ma[circuit.id] = _per_phase(
            [
                max(own, below)
                for own, below in zip(circuit.worst_case_base_ma, below_ma, strict=True)
            ]
        )
    return base_ma


def uncontrolled_ma(site: Site) -> dict[CircuitId, PerPhase]:
    """Return the most each circuit may carry besides connectors: worst-case base and loads.

    It is what has to be assumed of a circuit whose meter is lost.
    """
    proof = prove(site)
    by_circuit = groupby(proof.phases, key=lambda phase: phase.circuit)
    return {
        circuit: _per_phase([phase.base_ma + phase.load_ma for phase in phases])
        for circuit, phases in by_circuit
    }


def lower_fallbacks(site: Site) -> dict[ConnectorRef, int] | None:
    """Return fallbacks (mA) that would make the proof hold, for the connectors to be changed.

    The highest fallbacks give way first, each down to 6 A; what is still missing is gained by
    taking fallbacks to 0, the last declared first. None: no fallback helps, base and loads
    alone are over a set-point.
    """
    now_ma = {connector.ref: connector.fallback_ma for connector in site.connectors}
    changed_ma: dict[ConnectorRef, int] = {}
    in_watts = _told_in_watts(site)

    def counted_ma(connector: ConnectorRef, fallback_ma: int) -> int:
        return in_amperes_ma(fallback_ma) if connector in in_watts else fallback_ma

    # Children first: what helps a child helps its parent, and nothing is ever raised.
    for row in reversed(prove(site).failures):
        present = [term.connector for term in row.fallbacks if now_ma[term.connector]]
        excess_ma = sum(counted_ma(c, now_ma[c]) for c in present) + row.worst_case_ma
        excess_ma -= row.fallback_ma + row.set_point_ma
        by_fallback = sorted(present, key=lambda connector: -now_ma[connector])
        steps = [(c, MIN_CHARGING_MA) for c in by_fallback] + [(c, 0) for c in reversed(present)]
        for connector, floor_ma in steps:
            if excess_ma <= 0:
                break
            has_ma = counted_ma(connector, now_ma[connector])
            left_ma = max(0, has_ma - excess_ma)
            wanted_ma = in_watts_ma(left_ma) if connector in in_watts else left_ma
            lowered_ma = max(wanted_ma // STEP_MA * STEP_MA, floor_ma) if floor_ma else 0
            if lowered_ma < now_ma[connector]:
                excess_ma -= has_ma - counted_ma(connector, lowered_ma)
                now_ma[connector] = changed_ma[connector] = lowered_ma
        if excess_ma > 0:
            return None
    return changed_ma


def _prove_phase(
    site: Site,
    *,
    circuit: Circuit,
    phase: Phase,
    below: Mapping[CircuitId, frozenset[CircuitId]],
    base_ma: Mapping[CircuitId, PerPhase],
    excess_ma: Mapping[ConnectorRef, int],
) -> PhaseProof:
    here, in_watts = below[circuit.id], _told_in_watts(site)

    def counted_ma(connector: Connector) -> int:
        fallback, ref = connector.fallback_ma, connector.ref
        counted = in_amperes_ma(fallback) if ref in in_watts else fallback
        return counted + excess_ma.get(ref, 0) if fallback else 0

    return PhaseProof(
        circuit=circuit.id,
        phase=phase,
        rating_ma=circuit.rating_ma[phase],
        set_point_ma=circuit.lowest_set_point_ma[phase],
        by_calendar=circuit.lowest_set_point_ma[phase] < circuit.set_point_ma[phase],
        fallbacks=tuple(
            FallbackTerm(
                connector=connector.ref,
                fallback_ma=connector.fallback_ma,
                counted_ma=counted_ma(connector),
            )
            for connector in site.connectors
            if connector.circuit in here and phase in connector.phases
        ),
        declared_base_ma=circuit.worst_case_base_ma[phase],
        circuits_below_ma=_sum_below(site, circuit.id, base_ma)[phase],
        loads=_load_terms([load for load in site.loads if load.circuit in here], phase),
    )


def _load_terms(loads: list[Load], phase: Phase) -> tuple[LoadTerm, ...]:
    """Return what `loads` add on `phase`: each alone, of an interlock group the largest."""
    terms: list[LoadTerm] = []
    groups: dict[str, list[Load]] = {}
    for load in loads:
        if load.interlock is not None:
            groups.setdefault(load.interlock, []).append(load)
        elif load.worst_case_ma[phase]:
            terms.append(
                LoadTerm(load=load.id, interlock=None, worst_case_ma=load.worst_case_ma[phase])
            )
    for group, members in groups.items():
        largest = max(members, key=lambda load: load.worst_case_ma[phase])
        if largest.worst_case_ma[phase]:
            terms.append(
                LoadTerm(
                    load=largest.id,
                    interlock=group,
                    worst_case_ma=largest.worst_case_ma[phase],
                    silenced=tuple(load.id for load in members if load is not largest),
                )
            )
    return tuple(terms)


def _told_in_watts(site: Site) -> frozenset[ConnectorRef]:
    """Return the connectors whose fallback is told in watts."""
    return frozenset(c.ref for s in site.stations if s.takes_watts for c in s.connectors)


def _circuits_below(site: Site) -> dict[CircuitId, frozenset[CircuitId]]:
    """Return, for each circuit, itself and every circuit it feeds."""
    below: dict[CircuitId, frozenset[CircuitId]] = {}
    for circuit in reversed(site.circuits):  # Children first.
        children = (below[child.id] for child in site.circuits if child.parent == circuit.id)
        below[circuit.id] = frozenset({circuit.id}).union(*children)
    return below


def _sum_below(site: Site, circuit: CircuitId, base_ma: Mapping[CircuitId, PerPhase]) -> PerPhase:
    children = [base_ma[child.id] for child in site.circuits if child.parent == circuit]
    return _per_phase([sum(phases) for phases in zip(NOTHING, *children, strict=True)])


def _per_phase(values: list[int]) -> PerPhase:
    l1, l2, l3 = values
    return l1, l2, l3
