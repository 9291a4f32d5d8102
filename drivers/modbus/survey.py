"""Reads a meter once, for a person in front of it, and says what to check when it is silent."""

import asyncio

from drivers.modbus.bus import Bus
from drivers.modbus.endpoint import Endpoint, SerialEndpoint
from drivers.modbus.errors import BadAnswerError, BusDownError, DeviceExceptionError, NoAnswerError
from drivers.modbus.meter import ModbusMeter
from drivers.modbus.profile import Profile
from drivers.modbus.question import BusTiming
from gateway.domain.circuits import Meter
from gateway.domain.errors import MeterFaultError
from gateway.domain.ids import BusId, MeterId
from gateway.domain.metering import Sample
from gateway.ports import Clock

PATIENT = BusTiming(timeout_s=1.0)


async def read_once(
    profile: Profile, endpoint: Endpoint, *, unit: int, clock: Clock
) -> dict[str, Sample]:
    """Return every value of the profile, in its order, as unit `unit` at `endpoint` gives it.

    Raises:
        MeterFaultError: nothing could be read; the detail says what to check.
    """
    bus = Bus("survey", endpoint, clock=clock, timing=PATIENT)
    meter = ModbusMeter(
        Meter(id=MeterId(profile.id), bus=BusId(bus.name), unit=unit, profile=profile.id),
        profile,
        bus,
        clock=clock,
    )
    outcome: dict[str, Sample] | MeterFaultError
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(bus.run(), name=f"bus {bus.name}")
        try:
            outcome = await meter.read_all()
        except MeterFaultError as fault:
            outcome = MeterFaultError(fault.meter, _advised(fault, endpoint, unit))
        finally:
            serving.cancel()
    if isinstance(outcome, MeterFaultError):
        raise outcome
    return outcome


def _advised(fault: MeterFaultError, endpoint: Endpoint, unit: int) -> str:
    """Return what went wrong, and what to look at."""
    is_serial = isinstance(endpoint, SerialEndpoint)
    match fault.__cause__:
        case BusDownError():
            return fault.detail
        case NoAnswerError() if is_serial:
            advice = (
                f"{endpoint} is open, but nobody answers as unit {unit}: check the unit number, "
                "baud rate and parity on the meter's display, and whether A and B are swapped"
            )
        case NoAnswerError():
            advice = f"{endpoint} is connected, but does not answer as unit {unit}: check the unit number, and that this is a Modbus TCP port"
        case BadAnswerError() if is_serial:
            advice = f"check baud rate and parity, the termination, and that no other device is unit {unit}"
        case BadAnswerError():
            advice = f"check that {endpoint} is a Modbus TCP port, and the unit number"
        case DeviceExceptionError():
            advice = "the meter is there, but has no such registers: check the profile"
        case _:
            advice = "check the profile"
    return f"{fault.detail}; {advice}"
