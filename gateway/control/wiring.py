"""Who hangs where, compiled once into positions, so that a decision is arithmetic on lists.

A *row* is one phase of one circuit: row = 3 * circuit position + phase.
"""

from dataclasses import dataclass
from functools import cache

from gateway.control.proof import uncontrolled_ma
from gateway.domain.circuits import Circuit, Connector, Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId

Mask = tuple[bool, bool, bool]
"""Which supply phases a vehicle uses."""

Position = int
"""Where a circuit or a connector stands in the lists of a `Wiring`: counted from 0, no quantity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The site as positions: circuits parents first, connectors station by station."""

    site: Site
    circuits: tuple[Circuit, ...]
    connectors: tuple[Connector, ...]
    circuit_at: dict[CircuitId, int]
    connector_at: dict[ConnectorRef, int]
    connectors_of: dict[StationId, tuple[int, ...]]
    station_of: tuple[StationId, ...]
    """Per connector: its station."""
    max_ma: tuple[int, ...]
    """Per connector: its installed maximum."""
    metered_circuit_at: dict[MeterId, int]
    metered_source_at: dict[MeterId, int]
    sources: tuple[tuple[int, ...], ...]
    """Per circuit: the positions of the sources below it."""
    paths: tuple[tuple[int, ...], ...]
    """Per connector: the positions of every circuit above it, nearest first."""
    above: tuple[tuple[int, ...], ...]
    """Per circuit: the positions of every circuit above it, nearest first."""
    below: tuple[tuple[int, ...], ...]
    """Per circuit: the positions of every connector below it."""
    own: tuple[tuple[int, ...], ...]
    """Per circuit: the positions of the connectors on the circuit itself."""
    wired: tuple[Mask, ...]
    """Per connector: the supply phases it is wired to."""
    rows: tuple[dict[Mask, tuple[int, ...]], ...]
    """Per connector: the rows it loads, for each set of phases a vehicle may use."""
    own_rows: tuple[dict[Mask, tuple[int, ...]], ...]
    """Per connector: those of its rows that are its own circuit's."""
    rating_ma: tuple[int, ...]
    """Per row."""
    set_point_ma: tuple[int, ...]
    """Per row."""
    worst_case_ma: tuple[int, ...]
    """Per row: the most that base and declared loads can draw."""

    @staticmethod
    def of(site: Site) -> "Wiring":
        """Compile a site."""
        circuit_at = {circuit.id: at for at, circuit in enumerate(site.circuits)}
        connectors = site.connectors
        uncontrolled = uncontrolled_ma(site)
        to_root = {
            circuit.id: tuple(circuit_at[c] for c in site.path_to_root(circuit.id))
            for circuit in site.circuits
        }
        paths = tuple(to_root[connector.circuit] for connector in connectors)
        wired = tuple(_wired(connector) for connector in connectors)
        # What is alike is one: a decision goes over all of them, and reads the less memory.
        rows_by_mask = cache(_rows_by_mask)
        below: list[list[int]] = [[] for _ in site.circuits]
        for at, path in enumerate(paths):
            for circuit in path:
                below[circuit].append(at)
        own: list[list[int]] = [[] for _ in site.circuits]
        for at, path in enumerate(paths):
            own[path[0]].append(at)
        of_station: dict[StationId, list[int]] = {station.id: [] for station in site.stations}
        for at, connector in enumerate(connectors):
            of_station[connector.ref.station].append(at)
        return Wiring(
            site=site,
            circuits=site.circuits,
            connectors=connectors,
            circuit_at=circuit_at,
            connector_at={connector.ref: at for at, connector in enumerate(connectors)},
            connectors_of={station: tuple(ats) for station, ats in of_station.items()},
            station_of=tuple(connector.ref.station for connector in connectors),
            max_ma=tuple(connector.max_ma for connector in connectors),
            metered_circuit_at={
                circuit.meter: at
                for at, circuit in enumerate(site.circuits)
                if circuit.meter is not None
            },
            metered_source_at={
                source.meter: at for at, source in enumerate(site.sources) if source.meter
            },
            sources=tuple(
                tuple(
                    at
                    for at, source in enumerate(site.sources)
                    if circuit.id in site.path_to_root(source.circuit)
                )
                for circuit in site.circuits
            ),
            paths=paths,
            above=tuple(to_root[circuit.id][1:] for circuit in site.circuits),
            below=tuple(tuple(ats) for ats in below),
            own=tuple(tuple(ats) for ats in own),
            wired=wired,
            rows=tuple(rows_by_mask(path, mask) for path, mask in zip(paths, wired, strict=True)),
            own_rows=tuple(
                rows_by_mask(path[:1], mask) for path, mask in zip(paths, wired, strict=True)
            ),
            rating_ma=tuple(ma for circuit in site.circuits for ma in circuit.rating_ma),
            set_point_ma=tuple(ma for circuit in site.circuits for ma in circuit.set_point_ma),
            worst_case_ma=tuple(ma for circuit in site.circuits for ma in uncontrolled[circuit.id]),
        )

    def is_fed_below(self, circuit: Position, phase: int) -> bool:
        """Return whether a declared source feeds a phase of a circuit from below."""
        sources = self.site.sources
        return any(sources[at].nameplate_ma[phase] for at in self.sources[circuit])

    def with_all_below(self, own_ma: list[int]) -> list[int]:
        """Return, per row, the sum of what is the circuit's own and what is that of all below."""
        summed_ma = own_ma.copy()
        for circuit, path in enumerate(self.above):
            l1, l2, l3 = own_ma[3 * circuit : 3 * circuit + 3]
            if l1 or l2 or l3:
                for higher in path:
                    row = 3 * higher
                    summed_ma[row] += l1
                    summed_ma[row + 1] += l2
                    summed_ma[row + 2] += l3
        return summed_ma


def _wired(connector: Connector) -> Mask:
    return (
        Phase.L1 in connector.phases,
        Phase.L2 in connector.phases,
        Phase.L3 in connector.phases,
    )


def _rows_by_mask(path: tuple[int, ...], wired: Mask) -> dict[Mask, tuple[int, ...]]:
    masks: list[Mask] = [(bool(bits & 1), bool(bits & 2), bool(bits & 4)) for bits in range(8)]
    return {
        mask: tuple(
            3 * circuit + phase
            for circuit in path
            for phase in range(3)
            if mask[phase] and wired[phase]
        )
        for mask in masks
    }
