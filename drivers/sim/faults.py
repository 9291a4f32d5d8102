"""What can go wrong in the plant: a kind, a time, a subject."""

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """Every fault the plant can show; the comment says what `Fault.subject` and `value` mean."""

    METER_LOST = "meter_lost"  # A meter gives no answer.
    METER_FROZEN = "meter_frozen"  # A meter repeats its values to the last bit.
    METER_NAN = "meter_nan"  # A meter answers without a value that can be trusted.
    METER_MISWIRED = "meter_miswired"  # Its clamps show `value` times the truth; -1 is backwards.
    STATION_LOST = "station_lost"  # The link is down; the station keeps to what it stores.
    STATION_DISOBEDIENT = "station_disobedient"  # Accepts limits, keeps to the one before.
    STATION_RUNAWAY = "station_runaway"  # Accepts limits, offers its installed maximum.
    STATION_LYING = "station_lying"  # Its meter values are `value` times the truth.
    STATION_METER_FROZEN = "station_meter_frozen"  # Its meter values repeat.
    STATION_SILENT = "station_silent"  # It sends no meter values.
    STATION_WATTS_ONLY = "station_watts_only"  # It takes watts and reports power alone.
    STATION_LATE = "station_late"  # It answers after 5-20 s.
    STATION_REJECTS = "station_rejects"  # It refuses every profile.
    STATION_REBOOT = "station_reboot"  # It reboots: profiles in RAM are gone.
    STATION_CLOCK_JUMP = "station_clock_jump"  # Its clock is set by `value` seconds.
    WALL_CLOCK_JUMP = "wall_clock_jump"  # The gateway's wall clock is set by `value` seconds.
    GATEWAY_KILL = "gateway_kill"  # The gateway is dead for the length of the fault.
    STOP_PRESSED = "stop_pressed"  # The stop input is closed for the length of the fault.
    BASE_STEP = "base_step"  # The base of circuit `subject` changes by `value` A on its phases.


METER_FAULTS = frozenset(
    {
        FaultKind.METER_LOST,
        FaultKind.METER_FROZEN,
        FaultKind.METER_NAN,
        FaultKind.METER_MISWIRED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong from `at_s` until `until_s`.

    `subject` is the id of a meter, a station or a circuit; empty for the gateway's own.
    """

    kind: FaultKind
    at_s: float
    until_s: float
    subject: str = ""
    value: float = 0.0
