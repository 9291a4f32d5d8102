"""A contact on a Modbus module: a discrete input, a coil, or one bit of a register."""

from typing import Final

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus
from drivers.modbus.errors import ModbusError
from drivers.modbus.frames import BIT_FUNCTIONS
from drivers.modbus.question import Priority, ReadRequest
from drivers.modbus.unit import OWN_LINE_RATIO
from gateway.domain.errors import ContactFaultError

FUNCTION_OF_KIND: Final = {
    "coil": 1,
    "discrete_input": 2,
    "holding_register": 3,
    "input_register": 4,
}
"""How each kind of place is read (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""


class ModbusContact:
    """`gateway.ports.ContactDriver` for one contact of a bus.

    `kind` is one of `FUNCTION_OF_KIND`; `bit` the place in a register, 0 being its lowest bit.
    It is asked before any meter of the line, and while it is mute no less often than a meter
    that has the line to itself.
    """

    def __init__(
        self, name: str, bus: Bus, *, unit: int, kind: str, address: int, bit: int = 0
    ) -> None:
        """Take the name it goes by in messages, and its place."""
        self._name = name
        self._bus = bus
        self._mask = 1 << bit
        self._request = ReadRequest(
            unit=unit,
            function_code=FUNCTION_OF_KIND[kind],
            windows=(Span(address=address, count=1),),
            priority=Priority.STOP,
            line_ratio=OWN_LINE_RATIO,
        )

    async def is_closed(self) -> bool:
        """Return whether the contact reads 1.

        Raises:
            ContactFaultError: it gave no answer that can be used.
        """
        try:
            answer = await self._bus.read(self._request)
        except ModbusError as error:
            raise ContactFaultError(self._name, str(error)) from error
        if self._request.function_code in BIT_FUNCTIONS:
            return bool(answer.payload[0] & 1)
        return bool(int.from_bytes(answer.payload, "big") & self._mask)
