"""Small plants for tests: one circuit, one or two stations, and nothing that was not asked for."""

from drivers.sim.faults import Fault
from drivers.sim.scenario import (
    BaseTraits,
    Scenario,
    ScenarioKind,
    StationTraits,
    StepAt,
    VehicleTraits,
    Visit,
)
from gateway.domain.charging import OcppVersion
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
from gateway.domain.ids import BusId, CircuitId, ConnectorRef, MeterId, StationId

CARPARK = CircuitId("carpark")
METER = MeterId("carpark-meter")
CP1 = StationId("CP-1")
CP2 = StationId("CP-2")
ONE = ConnectorRef(CP1, 1)
TWO = ConnectorRef(CP2, 1)
EVERY_PHASE = (Phase.L1, Phase.L2, Phase.L3)

# Draws what it is offered, to the last bit, six seconds after it is.
PLAIN = VehicleTraits(
    need_wh=100_000.0,
    max_a=32.0,
    phase_count=3,
    taper_wh=1.0,
    startup_s=6.0,
    draw_ratio=1.0,
    ripple_a=0.0,
)


def small_site(
    *, rating_ma: int = 100_000, fallback_ma: int = 6_000, phases: tuple[Phase, ...] = EVERY_PHASE
) -> Site:
    circuit = Circuit(
        id=CARPARK,
        parent=None,
        rating_ma=(rating_ma, rating_ma, rating_ma),
        device=OvercurrentDevice.MCB,
        set_point_ratio=0.95,
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        meter=METER,
        worst_case_base_ma=(50_000, 50_000, 50_000),
    )
    stations = tuple(
        ChargingStation(
            id=ref.station,
            connectors=(
                Connector(
                    ref=ref,
                    circuit=CARPARK,
                    phases=phases,
                    max_ma=32_000,
                    fallback_ma=fallback_ma,
                ),
            ),
        )
        for ref in (ONE, TWO)
    )
    meter = Meter(id=METER, bus=BusId("memory"), unit=1, profile="eastron_sdm630_v2")
    return Site(
        name="Small",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=(circuit,),
        meters=(meter,),
        stations=stations,
    )


def traits_of(
    station: StationId,
    *,
    version: OcppVersion = OcppVersion.V201,
    boot_s: float = 30.0,
    clock_skew_s: float = 0.0,
    keeps_tx_profiles: bool = False,
    resumes_transaction: bool = True,
    is_watts_only: bool = False,
    sends_meter_values: bool = True,
    is_commissioned: bool = True,
) -> StationTraits:
    return StationTraits(
        station=station,
        ocpp_version=version,
        sample_interval_s=10.0,
        sample_phase_s=3.0,
        boot_s=boot_s,
        clock_skew_s=clock_skew_s,
        keeps_tx_profiles=keeps_tx_profiles,
        resumes_transaction=resumes_transaction,
        is_watts_only=is_watts_only,
        sends_meter_values=sends_meter_values,
        is_commissioned=is_commissioned,
    )


def small_scenario(
    *,
    site: Site | None = None,
    seed: int = 1,
    stations: tuple[StationTraits, ...] | None = None,
    visits: tuple[Visit, ...] = (),
    base_a: float = 20.0,
    ceiling_a: float = 200.0,
    steps: tuple[StepAt, ...] = (),
    faults: tuple[Fault, ...] = (),
    reserve_a: float = 15.0,
    duration_s: float = 3_600.0,
) -> Scenario:
    """Return a plant with a steady base, at 230 V, in which only what is given happens."""
    base = BaseTraits(
        circuit=CARPARK,
        low_a=base_a,
        high_a=base_a,
        noise_a=0.0,
        floor_a=0.0,
        ceiling_a=ceiling_a,
    )
    return Scenario(
        kind=ScenarioKind.ORDINARY,
        seed=seed,
        duration_s=duration_s,
        site=site or small_site(),
        stations=stations or (traits_of(CP1), traits_of(CP2)),
        visits=visits,
        base=(base,),
        steps=steps,
        faults=faults,
        reserve_a=((CARPARK, reserve_a),),
    )


def visit(
    connector: ConnectorRef = ONE,
    *,
    at_s: float = 10.0,
    leave_s: float = 10_000.0,
    vehicle: VehicleTraits = PLAIN,
) -> Visit:
    return Visit(connector=connector, at_s=at_s, leave_s=leave_s, vehicle=vehicle)


def step(at_s: float, amps: float) -> StepAt:
    return StepAt(at_s=at_s, circuit=CARPARK, delta_a=(amps, amps, amps))
