"""Opens a serial device for pymodbus without holding up the loop, and says why it cannot."""

import asyncio
import contextlib
import os
import termios
from functools import partial

from pymodbus.transport import ModbusProtocol
from pymodbus.transport.serialtransport import SerialTransport

from drivers.modbus.endpoint import SerialEndpoint

PTY_MAJORS = range(136, 144)  # Linux, Documentation/admin-guide/devices.txt: Unix98 PTY slaves.
NEVER_S = 3_600.0


class SerialPort:
    """The device of one line, from the first attempt to open it to the last."""

    def __init__(self, line: SerialEndpoint) -> None:
        self._line = line
        self._opening: asyncio.Future[SerialTransport] | None = None
        self._transport: SerialTransport | None = None

    @property
    def is_stuck(self) -> bool:
        """Say whether the thread that opens the device has still not come back."""
        return self._opening is not None and not self._opening.done()

    async def open(self, protocol: ModbusProtocol) -> SerialTransport:
        """Open the device in a thread: an adapter may take its time, the loop may not.

        Raises:
            OSError: it cannot be opened, or is no serial device.
        """
        line, loop = self._line, asyncio.get_running_loop()
        self._opening = opening = loop.run_in_executor(
            None,
            partial(
                SerialTransport,
                loop,
                protocol,
                line.port,
                line.baud,
                line.data_bits,
                "N" if _is_pseudo_terminal(line.port) else line.parity,
                line.stop_bits,
                NEVER_S,
            ),
        )
        try:
            transport = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except (termios.error, ValueError) as error:
            raise OSError(*error.args) from error
        transport.setup()
        self._transport = transport
        return transport

    def withdraw(self) -> None:
        """Forget what was to be sent and is not on the line yet."""
        device = None if self._transport is None else self._transport.sync_serial
        if self._transport is None or device is None:
            return
        self._transport.flush()
        with contextlib.suppress(OSError, termios.error):  # It may be gone.
            device.reset_output_buffer()


def _is_pseudo_terminal(port: str) -> bool:
    """Say whether a device has no wire, and so no parity: Linux refuses to set one."""
    try:
        return os.major(os.stat(port).st_rdev) in PTY_MAJORS  # noqa: PTH116 - a device, not a file
    except OSError:
        return False


def _close_unwanted(opening: asyncio.Future[SerialTransport]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().sync_serial.close()
