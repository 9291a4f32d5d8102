"""Where a Modbus line begins: a host and port, or a serial device; and what its failures mean."""

import errno
import re
import socket
from dataclasses import dataclass

from drivers.modbus.blocks import TCP_COST, LineCost, serial_cost

TCP_PORT = 502
FORMAT = re.compile(r"8[NEO][12]")  # RTU characters have 8 data bits.
DEVICE_GONE = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV})
DEVICE_TAKEN = frozenset({errno.EBUSY, errno.EAGAIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpEndpoint:
    """A meter or gateway on the network, spoken to in Modbus TCP."""

    host: str
    port: int = TCP_PORT

    def __str__(self) -> str:
        """Return the name people use: `10.0.0.5:502`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def cost(self) -> LineCost:
        """Return what a request costs here."""
        return TCP_COST

    def explain(self, error: BaseException) -> str:
        """Return, for a person at the cabinet, why the connection could not be made."""
        match error:
            case TimeoutError():
                return f"{self} does not answer: check the address, the cable and the power"
            case ConnectionRefusedError():
                return f"{self} refuses the connection: is Modbus TCP switched on there, and the port right?"
            case socket.gaierror():
                return f"{self}: no such host: check the name, or give its address"
            case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
                return (
                    f"{self} cannot be reached from this network: check the address and the cable"
                )
            case _:
                return f"{self} cannot be connected to: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialEndpoint:
    """A serial line with one or more meters on it, spoken to in Modbus RTU.

    `format` is data bits, parity and stop bits: `8N1`, `8E1`, `8N2`.

    Raises:
        ValueError: the format or the baud rate is none.
    """

    port: str
    baud: int = 9600
    format: str = "8N1"

    def __post_init__(self) -> None:
        """Refuse what no serial line can be set to."""
        if FORMAT.fullmatch(self.format) is None:
            raise ValueError(f"{self.format!r} is no serial format: 8N1, 8E1 and the like are")
        if not 300 <= self.baud <= 4_000_000:
            raise ValueError(f"{self.baud} is no baud rate")

    def __str__(self) -> str:
        """Return the name people use: `/dev/ttyUSB0 at 9600 8N1`."""
        return f"{self.port} at {self.baud} {self.format}"

    @property
    def data_bits(self) -> int:
        """Return the data bits of a character."""
        return int(self.format[0])

    @property
    def parity(self) -> str:
        """Return N, E or O."""
        return self.format[1]

    @property
    def stop_bits(self) -> int:
        """Return the stop bits of a character."""
        return int(self.format[2])

    @property
    def cost(self) -> LineCost:
        """Return what a request costs here."""
        parity_bits = 0 if self.parity == "N" else 1
        bits = 1 + self.data_bits + parity_bits + self.stop_bits
        return serial_cost(baud=self.baud, character_bits=bits)

    def explain(self, error: BaseException) -> str:
        """Return, for a person at the cabinet, why the port could not be opened."""
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.ENOENT:
            return f"{self.port} does not exist: is the adapter plugged in? /dev/serial/by-id lists those that are"
        if number in {errno.EACCES, errno.EPERM}:
            return f"{self.port} may not be opened by this user: add the user to the group dialout"
        if number in DEVICE_TAKEN:
            return f"{self.port} is in use by another program"
        if number in DEVICE_GONE:
            return f"{self.port} is there, but its device is gone: plug the adapter in again"
        if number == errno.ENOTTY or "Inappropriate ioctl" in str(error):
            return f"{self.port} is no serial port"
        if isinstance(error, TimeoutError):
            return f"{self.port} does not open: unplug the adapter and plug it in again"
        return f"{self.port} cannot be opened as a serial port: {error}"


Endpoint = TcpEndpoint | SerialEndpoint
