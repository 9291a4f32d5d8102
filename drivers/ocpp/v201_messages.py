"""The OCPP 2.0.1 messages a station sends, as far as they say something to us."""

from typing import Final

import msgspec


class Message(msgspec.Struct, rename="camel", gc=False):
    """A 2.0.1 payload: unknown fields are ignored, and what is optional may be missing or null."""


class ChargingStationType(Message):
    """2.13: who the station is."""

    vendor_name: str | None = None
    model: str | None = None
    firmware_version: str | None = None


class BootNotification(Message):
    """1.2: it booted."""

    charging_station: ChargingStationType


class Heartbeat(Message):
    """1.29: it is there."""


class StatusNotification(Message):
    """1.59: what a connector of an EVSE is doing."""

    evse_id: int
    connector_id: int
    connector_status: str
    timestamp: str | None = None


class UnitOfMeasure(Message):
    """2.49: a unit, and the power of ten its values are in."""

    unit: str | None = None
    multiplier: int | None = None


class SampledValue(Message):
    """2.41: one value, which should be a number. It reads as a 1.6 one does."""

    number: float | str = msgspec.field(name="value")
    measurand: str | None = None
    phase: str | None = None
    location: str | None = None
    unit_of_measure: UnitOfMeasure | None = None

    @property
    def value(self) -> float | str:
        """Return the number in its unit, whatever multiplier it came with."""
        measure = self.unit_of_measure
        if measure is None or not measure.multiplier:
            return self.number
        try:
            return float(self.number) * 10.0**measure.multiplier
        except (ValueError, OverflowError):
            return ""

    @property
    def unit(self) -> str | None:
        """Return the unit, None where the measurand's own is meant."""
        return None if self.unit_of_measure is None else self.unit_of_measure.unit

    @property
    def format(self) -> None:
        """Return nothing: a signed value stands beside the plain one, never in its place."""
        return None


class MeterValue(Message):
    """2.32: values taken at one time."""

    sampled_value: list[SampledValue]
    timestamp: str | None = None


class MeterValues(Message):
    """1.32: values outside a transaction; EVSE 0 is the station's grid connection."""

    evse_id: int
    meter_value: list[MeterValue] = []


class Transaction(Message):
    """2.48: a transaction, under the station's own id."""

    transaction_id: str | None = None
    charging_state: str | None = None
    stopped_reason: str | None = None


class Evse(Message):
    """2.23: an EVSE, and perhaps its connector."""

    id: int = 0
    connector_id: int | None = None


class IdToken(Message):
    """2.28: who pays; an empty one with type `NoAuthorization` where nobody was asked."""

    id_token: str | None = None
    type: str | None = None


class AskedToken(Message):
    """2.28: the token that is asked about."""

    id_token: str


class Authorize(Message):
    """1.1: may this token charge?"""

    id_token: AskedToken


class TransactionEvent(Message):
    """1.60: something happened in a transaction. Nothing is required: it is never refused."""

    event_type: str | None = None
    timestamp: str | None = None
    trigger_reason: str | None = None
    seq_no: int | None = None
    transaction_info: Transaction | None = None
    offline: bool | None = None
    evse: Evse | None = None
    id_token: IdToken | None = None
    meter_value: list[MeterValue] | None = None


class Variable(Message):
    """2.53: the name of a variable."""

    name: str
    instance: str | None = None


class Component(Message):
    """2.16: the name of a component, and the EVSE or connector it belongs to."""

    name: str
    instance: str | None = None
    evse: Evse | None = None


class EventData(Message):
    """2.22: a monitored variable changed."""

    component: Component
    variable: Variable
    actual_value: str = ""
    timestamp: str | None = None


class NotifyEvent(Message):
    """1.38: variables that are watched changed."""

    event_data: list[EventData] = []


PAYLOAD_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    "Authorize": Authorize,
    "BootNotification": BootNotification,
    "Heartbeat": Heartbeat,
    "MeterValues": MeterValues,
    "NotifyEvent": NotifyEvent,
    "StatusNotification": StatusNotification,
    "TransactionEvent": TransactionEvent,
}
