"""One connection of a bus, over pymodbus: a question goes out, and what answers it comes back.

The only place where pymodbus is spoken to (`serial_port` borrows its transport). It carries bytes;
which frame answers is decided in `frames`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from drivers.modbus.endpoint import Endpoint, SerialEndpoint, TcpEndpoint
from drivers.modbus.errors import (
    BadAnswerError,
    BusDownError,
    DeviceExceptionError,
    ModbusError,
    NoAnswerError,
)
from drivers.modbus.frames import (
    BIT_FUNCTIONS,
    EXCEPTION_BIT,
    Ask,
    NotModbusError,
    find_rtu_answer,
    find_tcp_answer,
    shown,
)
from drivers.modbus.serial_port import NEVER_S, SerialPort
from gateway.ports import Clock

# What pymodbus would say of each lost frame, the bus says once, and in words.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

WRITE_COIL = 5
_Opened = tuple[asyncio.BaseTransport, asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A frame that answers, cut down to its payload, and when it was asked and heard."""

    payload: bytes
    sent_s: float
    heard_s: float


class Link:
    """One connection, from its opening to its end; it is never opened again."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._is_up = False
        self._ask: Ask | None = None
        self._wait: asyncio.Timeout | None = None
        self._transaction = b""
        self._frame = b""
        self._fault: ModbusError | None = None
        self._stray = b""
        self._sent_s = self.active_s = clock.monotonic_s()
        self._client = self._make_client()
        self._connect_socket: Callable[[], Coroutine[Any, Any, _Opened]] = (
            self._client.ctx.call_create
        )
        # pymodbus logs why a connection failed and returns False: listen in.
        self._client.ctx.call_create = self._create
        self._why: BaseException = TimeoutError()
        self._port = SerialPort(endpoint) if isinstance(endpoint, SerialEndpoint) else None

    @property
    def is_up(self) -> bool:
        """Say whether the connection stands, as far as the machine knows."""
        return self._is_up and self._client.connected

    @property
    def is_stuck(self) -> bool:
        """Say whether the thread that opens the device has still not come back."""
        return self._port is not None and self._port.is_stuck

    def _make_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        hooks: dict[str, Any] = {
            "retries": 0,
            "reconnect_delay": 0,
            "timeout": NEVER_S,
            "trace_packet": self._on_packet,
            "trace_connect": self._on_connect,
        }
        match self._endpoint:
            case TcpEndpoint(host=host, port=port):
                return AsyncModbusTcpClient(host, port=port, framer=FramerType.SOCKET, **hooks)
            case SerialEndpoint() as line:
                return AsyncModbusSerialClient(
                    line.port,
                    framer=FramerType.RTU,
                    baudrate=line.baud,
                    bytesize=line.data_bits,
                    parity=line.parity,
                    stopbits=line.stop_bits,
                    **hooks,
                )

    async def _create(self) -> _Opened:
        try:
            if self._port is not None:
                return await self._port.open(self._client.ctx), self._client.ctx
            return await self._connect_socket()
        except OSError as error:
            self._why = error
            raise

    async def open(self, limit_s: float) -> None:
        """Connect.

        Raises:
            BusDownError: with the reason in words.
        """
        try:
            async with asyncio.timeout(limit_s):
                is_open = await self._client.connect()
        except TimeoutError:
            is_open = False
        except BaseException:
            self._client.close()
            raise
        if not is_open:
            self._client.close()
            raise BusDownError(self._endpoint.explain(self._why))
        self._is_up = True

    def withdraw(self) -> None:
        """Take back what could not be sent yet: sent later, its answer would be anybody's."""
        if self._port is not None:
            self._port.withdraw()

    def close(self) -> None:
        """Drop the connection at once."""
        self._is_up = False
        # The system waits, up to half a minute, for what a closed serial device has yet to send.
        self.withdraw()
        transport = cast("asyncio.Transport | None", self._client.ctx.transport)
        self._client.close()
        if transport is not None:
            transport.abort()

    async def ask(self, ask: Ask, address: int, *, limit_s: float) -> Heard:
        """Ask one question, or have one thing set, and wait for the answer.

        Raises:
            NoAnswerError: nothing that answers was heard in time.
            BadAnswerError: what was heard can not be the answer.
            BusDownError: the connection was lost meanwhile.
            DeviceExceptionError: the unit, or a gateway for it, refused.
        """
        what = _what(ask, address)
        self._ask, self._frame, self._fault, self._stray = ask, b"", None, b""
        try:
            async with asyncio.timeout(limit_s) as self._wait:
                await self._call(ask, address)
        except TimeoutError:
            pass
        except (ModbusException, OSError) as error:
            self._fault = self._fault or BusDownError(f"{self._endpoint}: {error}")
        finally:
            self._ask = self._wait = None
        if self._fault is not None:
            raise type(self._fault)(f"{what}: {self._fault}")
        if not self._frame and self._stray:
            raise BadAnswerError(f"{what}: heard {shown(self._stray)}, which does not answer")
        if not self._frame:
            raise NoAnswerError(f"{what}: no answer within {limit_s:.2g} s")
        return self._judge(what, ask)

    async def _call(self, ask: Ask, address: int) -> None:
        match ask.function_code:
            case 1:
                await self._client.read_coils(address, count=ask.count, device_id=ask.unit)
            case 2:
                await self._client.read_discrete_inputs(
                    address, count=ask.count, device_id=ask.unit
                )
            case 3:
                await self._client.read_holding_registers(
                    address, count=ask.count, device_id=ask.unit
                )
            case 4:
                await self._client.read_input_registers(
                    address, count=ask.count, device_id=ask.unit
                )
            case 5:
                await self._client.write_coil(address, any(ask.echo[2:]), device_id=ask.unit)
            case _:
                value = int.from_bytes(ask.echo[2:], "big")
                await self._client.write_register(address, value, device_id=ask.unit)

    def _judge(self, what: str, ask: Ask) -> Heard:
        start = 0 if isinstance(self._endpoint, SerialEndpoint) else 6
        code = self._frame[start + 1]
        if code & EXCEPTION_BIT:
            raise DeviceExceptionError(what, self._frame[start + 2])
        first = start + 2 + len(ask.head)
        payload = self._frame[first : first + ask.byte_count]
        return Heard(payload=payload, sent_s=self._sent_s, heard_s=self.active_s)

    def _on_connect(self, is_connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not is_connected:
            self._is_up = False
            self._give_up(BusDownError(f"{self._endpoint}: the connection was lost"))

    def _on_packet(self, is_sent: bool, data: bytes) -> bytes:  # noqa: FBT001 - the same
        """Let pymodbus have the one frame that answers, and nothing else."""
        self.active_s = self._clock.monotonic_s()
        if is_sent:
            self._transaction, self._sent_s = data[:2], self.active_s
            return data
        if self._ask is None or self._frame or self._fault:
            return b""
        self._stray = data
        try:
            if isinstance(self._endpoint, SerialEndpoint):
                frame = find_rtu_answer(data, self._ask)
            else:
                frame = find_tcp_answer(data, self._ask, self._transaction)
        except NotModbusError as error:
            self._give_up(BadAnswerError(str(error)))
            return b""
        self._frame = frame or b""
        return self._frame

    def _give_up(self, fault: ModbusError) -> None:
        """End the wait in `ask` now."""
        if self._wait is not None and self._fault is None:
            self._fault = fault
            if not self._wait.expired():
                self._wait.reschedule(asyncio.get_running_loop().time())


def _what(ask: Ask, address: int) -> str:
    """Return what is asked, in words."""
    if ask.echo:
        word = "coil" if ask.function_code == WRITE_COIL else "register"
        return f"unit {ask.unit}, {word} {address} to be set"
    word = "bits" if ask.function_code in BIT_FUNCTIONS else "registers"
    return f"unit {ask.unit}, {word} {address}-{address + ask.count - 1}"
