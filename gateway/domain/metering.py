"""What a power meter says, and how far it may be trusted."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.ids import MeterId


class Quality(StrEnum):
    """How a value came about; only `GOOD` values enter the control law."""

    GOOD = "good"
    SENTINEL = "sentinel"  # The meter's own mark for "no value", or NaN.
    IMPLAUSIBLE = "implausible"  # Outside what the profile or physics allow.
    MISSING = "missing"  # Not in the profile, or not answered.


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a meter, in the unit its name in `meters.yaml` implies (V, A, W, Wh, Hz...).

    `value` is None unless the quality is `GOOD`.
    """

    value: float | None
    unit: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """One poll of a meter, already on the site's phases, scaled and signed.

    `at_s` is the monotonic midpoint of the request. Each tuple has one entry per supply phase
    (L1, L2, L3); None where the phase is not metered or its value cannot be trusted.
    Currents are RMS and never negative; the direction is the sign of the power: import is
    positive.
    """

    meter: MeterId
    at_s: float
    current_a: tuple[float | None, float | None, float | None]
    power_w: tuple[float | None, float | None, float | None]
    voltage_v: tuple[float | None, float | None, float | None]
    import_energy_wh: float | None = None
