"""An output of a Modbus module: a coil, or one bit of a holding register, set and read back."""

import asyncio
from typing import Final

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus
from drivers.modbus.errors import ModbusError
from drivers.modbus.question import (
    COIL_OFF,
    COIL_ON,
    Priority,
    ReadRequest,
    WriteRequest,
)
from drivers.modbus.unit import OWN_LINE_RATIO
from gateway.domain.errors import OutputFaultError

READ_COILS: Final = 1
READ_REGISTERS: Final = 3
WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
# Modbus Application Protocol V1.1b3, 6.1, 6.3, 6.5 and 6.6.


class ModbusOutput:
    """`gateway.ports.OutputDriver` for one output of a bus.

    `bit` is the place in a holding register, 0 being its lowest bit; None makes it a coil. It goes
    before any meter of the line. Outputs of one unit share a `turn`: a bit of a register is set by
    writing the register as it was read, and nobody may write it in between.
    """

    def __init__(
        self, name: str, bus: Bus, *, unit: int, address: int, bit: int | None, turn: asyncio.Lock
    ) -> None:
        """Take the name it goes by in messages, and its place."""
        self._name = name
        self._bus = bus
        self._unit = unit
        self._address = address
        self._mask = None if bit is None else 1 << bit
        self._turn = turn
        self._question = ReadRequest(
            unit=unit,
            function_code=READ_COILS if bit is None else READ_REGISTERS,
            windows=(Span(address=address, count=1),),
            priority=Priority.STOP,
            line_ratio=OWN_LINE_RATIO,
        )

    async def is_closed(self) -> bool:
        """Return whether the output reads 1.

        Raises:
            OutputFaultError: it gave no answer that can be used.
        """
        try:
            return self._is_set(await self._read())
        except ModbusError as error:
            raise OutputFaultError(self._name, str(error)) from error

    async def switch(self, *, is_closed: bool) -> None:
        """Set the output to 1 (closed) or 0, and return once it was read back as that.

        Raises:
            OutputFaultError: it did not confirm; whether it has changed is unknown.
        """
        try:
            async with self._turn:
                await self._write(is_closed=is_closed)
                is_set = self._is_set(await self._read())
        except ModbusError as error:
            raise OutputFaultError(self._name, str(error)) from error
        if is_set is not is_closed:
            detail = f"it was set to {int(is_closed)} and reads {int(is_set)}"
            raise OutputFaultError(self._name, detail)

    async def _write(self, *, is_closed: bool) -> None:
        if self._mask is None:
            function_code, value = WRITE_COIL, COIL_ON if is_closed else COIL_OFF
        else:
            before = int.from_bytes(await self._read(), "big")
            function_code = WRITE_REGISTER
            value = before | self._mask if is_closed else before & ~self._mask
        await self._bus.write(
            WriteRequest(
                unit=self._unit, function_code=function_code, address=self._address, value=value
            )
        )

    async def _read(self) -> bytes:
        return (await self._bus.read(self._question)).payload

    def _is_set(self, payload: bytes) -> bool:
        if self._mask is None:
            return bool(payload[0] & 1)
        return bool(int.from_bytes(payload, "big") & self._mask)
