"""What a value in the site file may be: each kind of number, name, phase and instant with its bounds."""

import ipaddress
import re
from datetime import date
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.settings.mistakes import as_number, shown

MAX_CURRENT_A = 10_000.0  # Beyond the largest low-voltage switchgear.
MIN_CHARGING_A = 6.0  # IEC 61851-1.

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def refusal(problem: str) -> PydanticCustomError:
    """Return what says of a value what is wrong with it."""
    return PydanticCustomError("headroom", "{problem}", {"problem": problem})


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _per_phase(value: object) -> float | tuple[float, float, float]:
    """Take one number for all phases, or three for L1, L2 and L3."""
    amounts = value if isinstance(value, tuple) else (value,)
    numbers = [float(a) for a in amounts if isinstance(a, int | float) and _is_amount(a)]
    if len(numbers) != len(amounts) or len(numbers) not in {1, 3}:
        wrong = next((a for a in amounts if not _is_amount(a)), None)
        what = "" if wrong is None else f", not {shown(wrong)}{as_number(wrong)}"
        raise refusal(f"takes one number for every phase, or three: [L1, L2, L3]{what}")
    if not all(0 <= number <= MAX_CURRENT_A for number in numbers):
        raise refusal(f"takes amperes from 0 to {MAX_CURRENT_A:,.0f}")
    if isinstance(value, tuple):
        l1, l2, l3 = numbers
        return l1, l2, l3
    return numbers[0]


def _distinct(phases: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(phases)) != len(phases):
        raise refusal("names a phase twice")
    return phases


def _clock_time(value: str) -> str:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value) is None:
        raise refusal(f'takes a time of day such as "16:30", not {shown(value)}')
    return value


def _web_address(value: str) -> str:
    parts = _parted(value)
    if parts is None or not parts.hostname:
        raise refusal(f"takes an address of the form https://HOST/PATH, not {shown(value)}")
    if parts.username is not None or parts.fragment:
        raise refusal("takes no user, password or fragment in the address")
    _host(parts.hostname)
    return value


def _parted(value: str) -> SplitResult | None:
    """Return the parts of a web address, None if it is none."""
    if re.fullmatch(r"https?://[!-~]+", value) is None:
        return None
    try:
        parts = urlsplit(value)
        return parts if parts.port != 0 else None
    except ValueError:  # No such port, or half an IPv6 address.
        return None


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        is_number_like = re.fullmatch(r"[0-9.]+", value) is not None
        if is_number_like or _HOST_NAME.fullmatch(value) is None:
            raise refusal(f"{value!r} is neither an address nor a host name") from None
    return value


def _day(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise refusal(f"takes a day, such as 2027-01-31, not {value!r}") from None
    return value


_AMPS_SCHEMA = {"type": "number", "minimum": 0, "maximum": MAX_CURRENT_A}
PerPhaseA = Annotated[
    float | tuple[float, float, float],
    PlainValidator(_per_phase),
    WithJsonSchema(
        {
            "anyOf": [
                _AMPS_SCHEMA,
                {"type": "array", "items": _AMPS_SCHEMA, "minItems": 3, "maxItems": 3},
            ]
        }
    ),
]
"""Amperes: one number for all phases, or three where they differ."""

PhaseName = Literal["L1", "L2", "L3"]
Phases = Annotated[
    tuple[PhaseName, ...],
    Field(min_length=1, max_length=3, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
# OCPP 2.0.1 part 4 §3.1.1 allows 48 of these characters, and no colon: the id is a user name too.
StationName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9*_=+|@.-]{0,47}$")]
Host = Annotated[str, AfterValidator(_host)]
WebAddress = Annotated[
    str,
    Field(max_length=500, json_schema_extra={"pattern": "^https?://[!-~]+$"}),
    AfterValidator(_web_address),
]
Day = Annotated[
    str, Field(json_schema_extra={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}), AfterValidator(_day)
]
ClockTime = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
    AfterValidator(_clock_time),
]
CredentialName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9*_=+|@.-]{0,63}$")]
