"""The Modbus lines of a site: its buses, meters, stop input and trip outputs as drivers."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from drivers.modbus.bus import Bus
from drivers.modbus.contact import ModbusContact
from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.output import ModbusOutput
from drivers.modbus.profile import ProfileError, load_profile
from drivers.modbus.question import BusTiming
from drivers.modbus.survey import read_once
from gateway.adapters.clock import SystemClock
from gateway.domain.circuits import Meter, Site
from gateway.domain.errors import HeadroomError
from gateway.domain.ids import BusId, CircuitId
from gateway.domain.metering import Sample
from gateway.ports import Clock
from gateway.services.trip_outputs import FittedOutput
from gateway.settings import SerialBus, Settings, TcpBus

INSTANTANEOUS_TRIP_RATIO = 20.0
"""No device lets more than this pass for a tenth of a second (IEC 60898-1, type D)."""


class UnusableRequestError(HeadroomError):
    """What was asked for cannot be done as it was asked: the words of the request are wrong."""


async def read_profile_once(
    profile_id: str,
    *,
    tcp: tuple[str, int | None] | None = None,
    rtu: tuple[str, int | None, str | None] | None = None,
    unit: int | None = None,
) -> dict[str, Sample]:
    """Return every value of a meter, by the names of its profile.

    The meter is at `tcp` (host, port) or on `rtu` (serial port, baud, format); what is None is
    taken from the profile's factory settings.

    Raises:
        UnusableRequestError: no such profile, or no such serial setting.
        MeterFaultError: nothing could be read; the detail says what to check.
    """
    try:
        profile = load_profile(profile_id)
        defaults = profile.defaults
        endpoint: Endpoint
        if tcp is not None:
            host, port = tcp
            endpoint = TcpEndpoint(host=host, port=defaults.tcp_port if port is None else port)
        elif rtu is not None:
            device, baud, line_format = rtu
            endpoint = SerialEndpoint(
                port=device,
                baud=defaults.baud if baud is None else baud,
                format=defaults.format if line_format is None else line_format,
            )
        else:
            raise UnusableRequestError("a meter is reached over TCP or over a serial port")
    except (ProfileError, ValueError) as error:
        raise UnusableRequestError(str(error)) from error
    return await read_once(
        profile,
        endpoint,
        unit=defaults.unit if unit is None else unit,
        clock=SystemClock(),
    )


def buses_of(settings: Settings, clock: Clock) -> dict[BusId, Bus]:
    """Return every bus of a site, not yet open."""
    return {
        bus.id: Bus(
            bus.id,
            _endpoint_of(bus),
            clock=clock,
            timing=BusTiming(timeout_s=bus.timeout_s, min_gap_s=bus.min_gap_s),
        )
        for bus in settings.buses
    }


def meters_of(
    settings: Settings, buses: Mapping[BusId, Bus], clock: Clock
) -> list[tuple[Meter, ModbusMeter]]:
    """Return every meter of a site with its driver.

    Raises:
        UnusableRequestError: one is of a profile that there is not.
    """
    stop = settings.stop_input
    asked = [meter.bus for meter in settings.site.meters]
    asked += [] if stop is None else [stop.bus]
    asked += [output.bus for output in settings.trip_outputs]
    drivers = []
    for meter in settings.site.meters:
        try:
            profile = load_profile(meter.profile)
        except ProfileError as error:
            raise UnusableRequestError(f"meter {meter.id}: {error}") from error
        driver = ModbusMeter(
            meter,
            profile,
            buses[meter.bus],
            clock=clock,
            is_alone=asked.count(meter.bus) == 1,
            max_current_a=_most_that_can_flow_a(settings.site, meter),
        )
        drivers.append((meter, driver))
    return drivers


def contact_of(settings: Settings, buses: Mapping[BusId, Bus]) -> ModbusContact | None:
    """Return the contact of the stop input, None where there is none."""
    stop = settings.stop_input
    if stop is None:
        return None
    return ModbusContact(
        "stop input",
        buses[stop.bus],
        unit=stop.unit,
        kind=stop.kind,
        address=stop.address,
        bit=stop.bit,
    )


def outputs_of(settings: Settings, buses: Mapping[BusId, Bus]) -> dict[CircuitId, FittedOutput]:
    """Return the trip outputs that are fitted; those of one module take turns."""
    turns: defaultdict[tuple[BusId, int], asyncio.Lock] = defaultdict(asyncio.Lock)
    return {
        output.circuit: FittedOutput(
            driver=ModbusOutput(
                f"trip output of {output.circuit}",
                buses[output.bus],
                unit=output.unit,
                address=output.address,
                bit=output.bit,
                turn=turns[output.bus, output.unit],
            ),
            trips_when_closed=output.trips_when_closed,
        )
        for output in settings.trip_outputs
    }


def _most_that_can_flow_a(site: Site, meter: Meter) -> float | None:
    """Return what no circuit the meter measures carries for as long as it takes to measure it.

    None where it measures no circuit.
    """
    ratings_ma = [max(c.rating_ma) for c in site.circuits if c.meter == meter.id]
    return INSTANTANEOUS_TRIP_RATIO * max(ratings_ma) / 1_000 if ratings_ma else None


def _endpoint_of(bus: SerialBus | TcpBus) -> Endpoint:
    if isinstance(bus, TcpBus):
        return TcpEndpoint(host=bus.host, port=bus.port)
    return SerialEndpoint(port=bus.port, baud=bus.baud, format=bus.format)


def describe_buses(settings: Settings) -> dict[BusId, str]:
    """Return the name people use of every bus: `10.0.0.5:502`, `/dev/ttyUSB0 at 9600 8N1`."""
    return {bus.id: str(_endpoint_of(bus)) for bus in settings.buses}
