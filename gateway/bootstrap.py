"""The composition root: what was asked for becomes wired parts; the only importer of drivers."""

from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.profile import ProfileError, load_profile
from drivers.modbus.survey import read_once
from gateway.adapters.clock import SystemClock
from gateway.domain.errors import HeadroomError
from gateway.domain.metering import Sample


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
