"""A building of one metered 100 A circuit with as many one-connector stations as a test wants."""

from gateway.control.decide import Decision, decide
from gateway.control.orders import LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.domain.circuits import (
    FASTEST_CURVE,
    ChargingStation,
    Circuit,
    Connector,
    Meter,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.events import MeterRead
from gateway.domain.ids import BusId, CircuitId, ConnectorRef, MeterId, StationId
from gateway.domain.limits import CurrentLimit
from gateway.domain.metering import MeterReading

CARPARK = CircuitId("carpark")
MAIN = MeterId("main")


def small_site(station_count: int = 2, *, connector_count: int = 1) -> Site:
    """Return the site; its stations are CP-01, CP-02, ..."""
    circuit = Circuit(
        id=CARPARK,
        parent=None,
        rating_ma=(100_000, 100_000, 100_000),
        device=OvercurrentDevice.MCB,
        set_point_ratio=0.95,
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=MAIN,
        worst_case_base_ma=(40_000, 40_000, 40_000),
    )
    return Site(
        name="Small",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=(circuit,),
        meters=(Meter(id=MAIN, bus=BusId("plant"), unit=1, profile="eastron_sdm630_v2"),),
        stations=tuple(
            _station(StationId(f"CP-{n:02}"), connector_count) for n in range(1, station_count + 1)
        ),
    )


def _station(station: StationId, connector_count: int) -> ChargingStation:
    return ChargingStation(
        id=station,
        connectors=tuple(
            Connector(
                ref=ConnectorRef(station, number),
                circuit=CARPARK,
                phases=(Phase.L1, Phase.L2, Phase.L3),
                max_ma=32_000,
                fallback_ma=6_000,
            )
            for number in range(1, connector_count + 1)
        ),
    )


def at_start(site: Site, parameters: ControlParameters | None = None) -> SiteState:
    """Return what is known of the site when nothing is, at 0 s."""
    return SiteState.at_start(Wiring.of(site), parameters or ControlParameters(), now_s=0.0)


def no_decision(site: Site) -> Decision:
    """Return a decision that orders nothing."""
    return decide(at_start(site), 0.0)


def order(
    station: str, limit_a: float, *, number: int = 1, is_cut: bool = False, valid_for_s: float = 60
) -> LimitOrder:
    """Return an order to a connector."""
    return LimitOrder(
        connector=ConnectorRef(StationId(station), number),
        limit=CurrentLimit(limit_ma=int(limit_a * 1_000)),
        valid_for_s=valid_for_s,
        is_cut=is_cut,
    )


def main_read(at_s: float, current_a: float) -> MeterRead:
    """Return a reading of the circuit's meter: the same current on every phase."""
    return MeterRead(
        at_s=at_s,
        reading=MeterReading(
            meter=MAIN,
            at_s=at_s,
            current_a=(current_a,) * 3,
            power_w=(current_a * 230,) * 3,
            voltage_v=(230.0, 230.0, 230.0),
        ),
    )
