"""The OCPP 1.6 messages a station sends, as far as they say something to us."""

from typing import Annotated, Final

import msgspec

# What is longer is no word of the text; it goes the slow way and is dropped.
Word = Annotated[str, msgspec.Meta(max_length=40)]


class Message(msgspec.Struct, rename="camel", gc=False):
    """A 1.6 payload: unknown fields are ignored, and what is optional may be missing or null."""


class Authorize(Message):
    """6.1: may this token charge?"""

    id_tag: str


class BootNotification(Message):
    """6.3: who the station is."""

    charge_point_vendor: str | None = None
    charge_point_model: str | None = None
    firmware_version: str | None = None


class Heartbeat(Message):
    """6.29: it is there."""


class StatusNotification(Message):
    """6.47: what a connector is doing; connector 0 is the station itself."""

    connector_id: int
    status: str
    timestamp: str | None = None


class SampledValue(Message):
    """7.43: one value; it should be text, and many stations send a number."""

    value: str | float
    measurand: Word | None = None
    phase: Word | None = None
    unit: Word | None = None
    location: Word | None = None
    format: Word | None = None


class MeterValue(Message):
    """7.33: values taken at one time."""

    sampled_value: list[SampledValue]
    timestamp: str | None = None


class MeterValues(Message):
    """6.31: values of a connector, of its transaction if there is one."""

    connector_id: int
    meter_value: list[MeterValue] = []
    transaction_id: int | None = None


class StartTransaction(Message):
    """6.45: a transaction began; the station waits for its number."""

    connector_id: int = 0
    id_tag: str | None = None
    meter_start: int | None = None
    timestamp: str | None = None


class StopTransaction(Message):
    """6.49: a transaction is over."""

    transaction_id: int | None = None
    meter_stop: int | None = None
    timestamp: str | None = None
    reason: str | None = None


PAYLOAD_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    "Authorize": Authorize,
    "BootNotification": BootNotification,
    "Heartbeat": Heartbeat,
    "MeterValues": MeterValues,
    "StartTransaction": StartTransaction,
    "StatusNotification": StatusNotification,
    "StopTransaction": StopTransaction,
}
