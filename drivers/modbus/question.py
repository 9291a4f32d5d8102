"""What is asked on a bus, what comes back, and how patient the bus is."""

from dataclasses import dataclass
from enum import IntEnum

from drivers.modbus.blocks import Span
from drivers.modbus.errors import DeviceExceptionError
from drivers.modbus.unit import OWN_LINE_RATIO, SHARED_LINE_RATIO

COIL_ON = 0xFF00
COIL_OFF = 0x0000


class Priority(IntEnum):
    """Who goes first when several questions wait."""

    STOP = 0
    GUARD = 1
    SLOW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTiming:
    """How patient a bus is; the defaults are those of design §3.

    `timeout_s` is the time a unit has beyond what the characters themselves take; `min_gap_s` the
    least pause before a question, where the silence of the standard is not enough; `drain_s` the
    silence that must pass after a lost answer; `answer_life_s` how long such an answer is expected
    still to come; `opening_s` how long after a serial line is opened an answer may come to whoever
    had it before; `retry_max_s` the longest pause between two attempts to connect.
    """

    timeout_s: float = 0.5
    connect_timeout_s: float = 2.0
    min_gap_s: float = 0.0
    drain_s: float = 0.05
    answer_life_s: float = 3.0
    opening_s: float = 3.0
    retry_max_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """A question: the registers `windows[0]`, or any window that contains them.

    `function_code` is 3 (holding) or 4 (input registers), or 1 (coils) or 2 (discrete inputs),
    whose windows count bits. `line_ratio` is the most of the line that asking may take while the
    unit is mute.
    """

    unit: int
    function_code: int
    windows: tuple[Span, ...]
    priority: Priority = Priority.GUARD
    line_ratio: float = SHARED_LINE_RATIO


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """One coil or holding register that is to be set to `value`.

    `function_code` is 5, whose values are `COIL_ON` and `COIL_OFF`, or 6 (Modbus Application
    Protocol V1.1b3, 6.5 and 6.6).
    """

    unit: int
    function_code: int
    address: int
    value: int
    priority: Priority = Priority.STOP
    line_ratio: float = OWN_LINE_RATIO

    @property
    def windows(self) -> tuple[Span, ...]:
        """Return the one place that is written."""
        return (Span(address=self.address, count=1),)

    @property
    def echo(self) -> bytes:
        """Return the place and the value as sent, and as they come back."""
        return self.address.to_bytes(2, "big") + self.value.to_bytes(2, "big")


Request = ReadRequest | WriteRequest
"""What a unit may be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The registers of `window`, high byte first, or its bits, lowest first, as on the wire.

    After a write it is the place and the value. `at_s` is the monotonic midpoint between the question sent and the answer heard;
    `connection` counts the connections of the bus.
    """

    window: Span
    payload: bytes
    at_s: float
    connection: int


Outcome = Answer | DeviceExceptionError
"""What a unit that is alive may say to a question."""
