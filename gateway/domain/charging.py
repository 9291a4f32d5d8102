"""Charging stations in the words of OCPP 2.0.1."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class OcppVersion(StrEnum):
    """The OCPP versions spoken, by their WebSocket subprotocol names."""

    V16 = "ocpp1.6"
    V201 = "ocpp2.0.1"


class ConnectorStatus(StrEnum):
    """OCPP 2.0.1 ConnectorStatusEnumType."""

    AVAILABLE = "Available"
    OCCUPIED = "Occupied"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class ChargingState(StrEnum):
    """OCPP 2.0.1 ChargingStateEnumType."""

    CHARGING = "Charging"
    EV_CONNECTED = "EVConnected"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    IDLE = "Idle"


class RateUnit(StrEnum):
    """OCPP ChargingRateUnitEnumType: what a station takes its limits in."""

    AMPERES = "A"
    WATTS = "W"


class EndCause(StrEnum):
    """How it is known that a transaction is over."""

    TOLD = "told"  # Its station said so.
    STOPPED = "stopped"  # The same, and that it was not who charged: a fault, a restart, a command.
    REPLACED = "replaced"  # Another began on its connector.
    DENIED = "denied"  # Asked, its station knew nothing of it.
    LOST_IN_REBOOT = "lost in a reboot"  # Its station booted, and has the connector free since.


FINAL: Final = frozenset({EndCause.TOLD, EndCause.STOPPED, EndCause.REPLACED})
"""After any other a transaction may be found running after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationCapabilities:
    """What a station said of its smart charging, read before the first limit is sent.

    A value it did not tell is None. `profile_count` is how many charging profiles it can
    hold (one that tells less than 1 has told nothing), `stack_level` the highest stack level, `period_count` the most periods a schedule may
    have (1.6: ChargingScheduleMaxPeriods, ChargeProfileMaxStackLevel,
    MaxChargingProfilesInstalled; 2.0.1: SmartChargingCtrlr).
    """

    ocpp_version: OcppVersion
    rate_units: frozenset[RateUnit]
    stack_level: int | None = None
    profile_count: int | None = None
    period_count: int | None = None
    sample_interval_s: float | None = None
    vendor: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositePeriod:
    """A stretch of a composite schedule, in the unit the station chose.

    It begins `start_s` after the schedule does. `current_ma` is per phase, `power_w` in all.
    """

    start_s: int
    current_ma: int | None = None
    power_w: int | None = None
    phase_count: int | None = None
