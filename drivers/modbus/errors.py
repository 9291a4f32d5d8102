"""What can go wrong on a Modbus line, named by what it tells of the device and the line."""

from gateway.domain.errors import HeadroomError


class ModbusError(HeadroomError):
    """A register read that brought no values: none of them is to be used or guessed."""


class BusDownError(ModbusError):
    """There is no connection: the port or the host cannot be opened, or it was just lost."""


class NoAnswerError(ModbusError):
    """The unit said nothing that answers the question, or is being left alone for having done so."""


class BadAnswerError(ModbusError):
    """The unit answered, but not what was asked: wrong function, count, or no Modbus at all."""


# Modbus Application Protocol V1.1b3, section 7.
EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
GATEWAY_CODES = frozenset({10, 11})
"""The gateway speaks for a unit that did not: the unit is as good as mute."""


class DeviceExceptionError(ModbusError):
    """The unit refused with an exception code: it is alive and does not have, or give, this."""

    def __init__(self, what: str, code: int) -> None:
        """Name what was asked and the code that came back."""
        meaning = EXCEPTION_NAMES.get(code, "unknown to the standard")
        super().__init__(f"{what}: refused with exception {code} ({meaning})")
        self.code = code
