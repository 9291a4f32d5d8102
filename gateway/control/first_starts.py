"""What a first vehicle may carry a circuit to, at a station never seen to obey, and how long that is borne."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.control.parameters import ControlParameters
from gateway.control.proof import prove
from gateway.control.thermal import tripped_after_s
from gateway.domain.circuits import Circuit, Connector, Site
from gateway.domain.electric import Phase, in_amperes_ma
from gateway.domain.ids import CircuitId, ConnectorRef


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """A start that trips the device of a full circuit, on the phase that bears it least long.

    `full_ma` is what a circuit in full use carries: its set-point less the reserve. `alone_ma` is what
    is left once all the others are paused, with the worst-case base and declared loads. `count` is how
    many connectors may start so there.
    """

    circuit: CircuitId
    phase: Phase
    connector: ConnectorRef
    rating_ma: int
    full_ma: int
    starts_ma: int
    alone_ma: int
    bears_s: float
    count: int

    @property
    def flows_ma(self) -> int:
        """Return what flows until the others have made room."""
        return self.full_ma + self.starts_ma


def first_starts(site: Site, parameters: ControlParameters) -> tuple[FirstStart, ...]:
    """Return, per circuit, the start its device bears least long, if not until others have followed.

    This is the worst: the vehicle draws all it can in the second in which it is plugged in.
    """
    uncontrolled_ma = {
        (row.circuit, row.phase): row.base_ma + row.load_ma for row in prove(site).phases
    }
    most_ma = {
        connector.ref: in_amperes_ma(connector.max_ma) if station.takes_watts else connector.max_ma
        for station in site.stations
        for connector in station.connectors
    }
    found = []
    for circuit in site.circuits:
        below = [c for c in site.connectors if circuit.id in site.path_to_root(c.circuit)]
        starts = [
            start
            for phase in Phase
            if circuit.rating_ma[phase]
            for start in _of_phase(
                circuit,
                phase,
                [c for c in below if phase in c.phases],
                most_ma=most_ma,
                uncontrolled_ma=uncontrolled_ma[circuit.id, phase],
                parameters=parameters,
            )
        ]
        if starts:
            found.append(min(starts, key=lambda start: start.bears_s))
    return tuple(found)


def _of_phase(
    circuit: Circuit,
    phase: Phase,
    connectors: list[Connector],
    *,
    most_ma: Mapping[ConnectorRef, int],
    uncontrolled_ma: int,
    parameters: ControlParameters,
) -> list[FirstStart]:
    """Return the start of the largest connector, where the device trips before others have followed."""
    rating_ma, reserve_ma = circuit.rating_ma[phase], 0
    if circuit.meter is not None:
        fallback_ma = max((c.fallback_ma for c in connectors), default=0)
        reserve_ma = max(int(rating_ma * parameters.reserve_at_first_ratio), fallback_ma)
    full_ma = max(circuit.set_point_ma[phase] - reserve_ma, uncontrolled_ma)

    def bears_s(connector: Connector) -> float:
        ratio = (full_ma + most_ma[connector.ref]) / rating_ma
        return tripped_after_s(circuit.curve, from_ratio=full_ma / rating_ma, ratio=ratio)

    tripping = [c for c in connectors if bears_s(c) < parameters.reaction_s]
    if not tripping:
        return []
    largest = max(tripping, key=lambda c: most_ma[c.ref])
    return [
        FirstStart(
            circuit=circuit.id,
            phase=phase,
            connector=largest.ref,
            rating_ma=rating_ma,
            full_ma=full_ma,
            starts_ma=most_ma[largest.ref],
            alone_ma=uncontrolled_ma + most_ma[largest.ref],
            bears_s=bears_s(largest),
            count=len(tripping),
        )
    ]
