"""The buildings simulated: a car park on one circuit, and a supply with two circuits below it."""

from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    Meter,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import NOTHING, PerPhase, Phase
from gateway.domain.ids import BusId, CircuitId, ConnectorRef, MeterId, StationId

CARPARK = CircuitId("carpark")
SUPPLY = CircuitId("supply")
ANNEX = CircuitId("annex")

_L1, _L2, _L3 = Phase.L1, Phase.L2, Phase.L3
_STRAIGHT = (_L1, _L2, _L3)
_ROTATED = (_L2, _L3, _L1)
_ROTATED_TWICE = (_L3, _L1, _L2)

Wiring = tuple[tuple[tuple[Phase, ...], int], ...]
"""The connectors of one station: the phases of each, and its maximum in mA."""

_CARPARK_STATIONS: tuple[Wiring, ...] = (
    (((_STRAIGHT), 32_000), ((_ROTATED), 32_000)),
    (((_ROTATED_TWICE), 32_000),),
    (((_STRAIGHT), 16_000),),
    (((_ROTATED), 32_000),),
    (((_L1,), 32_000), ((_L2,), 32_000)),
    (((_L3,), 32_000),),
)
_ANNEX_STATIONS: tuple[Wiring, ...] = (
    (((_STRAIGHT), 32_000),),
    (((_ROTATED_TWICE), 16_000),),
    (((_L2,), 32_000), ((_L3,), 32_000)),
)


def one_circuit(*, worst_case_base_ma: int = 52_000, fallback_ma: int = 6_000) -> Site:
    """Return a car park of eight connectors on one metered 100 A circuit, mixed phases."""
    circuit = _circuit(CARPARK, None, 100_000, OvercurrentDevice.MCB, worst_case_base_ma)
    return Site(
        name="One circuit",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=(circuit,),
        meters=(_meter(CARPARK),),
        stations=_stations(CARPARK, _CARPARK_STATIONS, first=1, fallback_ma=fallback_ma),
    )


def tree(*, fallback_ma: int = 6_000) -> Site:
    """Return a 200 A supply with a 100 A car park and a 63 A annex below, twelve connectors."""
    annex_first = len(_CARPARK_STATIONS) + 1
    return Site(
        name="Tree",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=(
            _circuit(SUPPLY, None, 200_000, OvercurrentDevice.MCCB, 100_000),
            _circuit(CARPARK, SUPPLY, 100_000, OvercurrentDevice.MCB, 5_000),
            _circuit(ANNEX, SUPPLY, 63_000, OvercurrentDevice.MCB, 20_000),
        ),
        meters=(_meter(SUPPLY), _meter(CARPARK), _meter(ANNEX)),
        stations=(
            *_stations(CARPARK, _CARPARK_STATIONS, first=1, fallback_ma=fallback_ma),
            *_stations(ANNEX, _ANNEX_STATIONS, first=annex_first, fallback_ma=fallback_ma),
        ),
    )


def _circuit(
    name: CircuitId,
    parent: CircuitId | None,
    rating_ma: int,
    device: OvercurrentDevice,
    worst_case_base_ma: int,
) -> Circuit:
    return Circuit(
        id=name,
        parent=parent,
        rating_ma=_each(rating_ma),
        device=device,
        set_point_ratio=SET_POINT_RATIO[device],
        curve=FASTEST_CURVE[device],
        meter=MeterId(f"{name}-meter"),
        worst_case_base_ma=_each(worst_case_base_ma),
    )


def _each(value_ma: int) -> PerPhase:
    return (value_ma, value_ma, value_ma) if value_ma else NOTHING


def _meter(circuit: CircuitId) -> Meter:
    return Meter(
        id=MeterId(f"{circuit}-meter"),
        bus=BusId("memory"),
        unit=1,
        profile="eastron_sdm630_v2",
    )


def _stations(
    circuit: CircuitId, wirings: tuple[Wiring, ...], *, first: int, fallback_ma: int
) -> tuple[ChargingStation, ...]:
    stations: list[ChargingStation] = []
    for position, wiring in enumerate(wirings, start=first):
        name = StationId(f"CP-{position:02}")
        connectors = tuple(
            Connector(
                ref=ConnectorRef(name, number),
                circuit=circuit,
                phases=phases,
                max_ma=max_ma,
                fallback_ma=fallback_ma,
            )
            for number, (phases, max_ma) in enumerate(wiring, start=1)
        )
        stations.append(ChargingStation(id=name, connectors=connectors))
    return tuple(stations)
