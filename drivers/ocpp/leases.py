"""Limits as charging profiles of either version: our ids, our stack levels, rounded down once.

A fallback is a `TxDefaultProfile` on level 0 without end. A lease is a `TxProfile` where a
transaction runs, else a `TxDefaultProfile` on level 1, with a duration: when it is over, the
station falls to the next lower level or, from a `TxProfile`, to the `TxDefaultProfile` (1.6
§3.13.2, §5.16.4; 2.0.1 K01.FR.17, K02.FR.08). One of the same id replaces (1.6 §5.16.3, 2.0.1
K01.FR.05), so a renewal keeps its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final

from drivers.ocpp.adapter import CALL_DEADLINE_S
from drivers.ocpp.clockwork import wire_time
from gateway.domain.charging import CompositePeriod, RateUnit
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA, power_w
from gateway.domain.limits import CurrentLimit

START_MARGIN_S: Final = 60  # A start in the past, so that no gap opens before it.
SHORTEST_LEASE_S: Final = 1  # A duration of nothing might be read as one without end.


# "Current" and "Power" are 1.6's words (§9.4.2), "A" and "W" 2.0.1's; the others are seen too.
_UNITS: Final = {
    "current": RateUnit.AMPERES,
    "a": RateUnit.AMPERES,
    "amp": RateUnit.AMPERES,
    "ampere": RateUnit.AMPERES,
    "power": RateUnit.WATTS,
    "w": RateUnit.WATTS,
    "watt": RateUnit.WATTS,
}


class Role(IntEnum):
    """What a profile of ours is for: the last digit of its id."""

    FALLBACK = 1
    DEFAULT_LEASE = 2
    TRANSACTION_LEASE = 3


class Kind(StrEnum):
    """ChargingProfileKindType, of which we use two."""

    ABSOLUTE = "Absolute"
    RELATIVE = "Relative"


LEVELS: Final[Mapping[Role, int]] = {
    Role.FALLBACK: 0,
    Role.DEFAULT_LEASE: 1,
    Role.TRANSACTION_LEASE: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a station wants its profiles: unit, finest step, highest stack level."""

    unit: RateUnit = RateUnit.AMPERES
    step_ma: int = STEP_MA
    stack_level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A charging profile of ours before it is put in the words of a version.

    `schedule` is a ChargingSchedule, which both versions write alike.
    """

    number: int
    role: Role
    stack_level: int
    kind: Kind
    schedule: Mapping[str, object]
    transaction: str | int | None = None
    valid_to: str | None = None

    @property
    def id(self) -> int:
        """Return the profile's id: the same in every run."""
        return profile_id(self.number, self.role)

    @property
    def purpose(self) -> str:
        """Return its ChargingProfilePurposeType."""
        return "TxProfile" if self.role is Role.TRANSACTION_LEASE else "TxDefaultProfile"

    def words(self) -> dict[str, object]:
        """Return what both versions say of it in the same words: all but its id and schedule."""
        words: dict[str, object] = {
            "stackLevel": self.stack_level,
            "chargingProfilePurpose": self.purpose,
            "chargingProfileKind": self.kind.value,
        }
        if self.transaction is not None:
            words["transactionId"] = self.transaction
        if self.valid_to is not None:
            words["validTo"] = self.valid_to
        return words


def profile_id(number: int, role: Role) -> int:
    """Return the id of our profile for a connector; it is the same in every run."""
    return number * 10 + role


def quantise_ma(limit_ma: int, *, step_ma: int = STEP_MA) -> int:
    """Return the current a station is told: rounded down, and none at all below the minimum."""
    stepped_ma = max(0, limit_ma) // step_ma * step_ma
    return stepped_ma if stepped_ma >= MIN_CHARGING_MA else 0


def make_fallback(number: int, limit: CurrentLimit, *, form: Form, kind: Kind) -> Profile:
    """Return a connector's fallback.

    Relative needs no clock. Absolute begins in 1970, so that a station whose clock was lost
    with its power still has it in force.
    """
    schedule = {"startSchedule": "1970-01-01T00:00:00Z"} if kind is Kind.ABSOLUTE else {}
    return _make(number, limit, role=Role.FALLBACK, form=form, kind=kind, schedule=schedule)


def make_lease(
    number: int,
    limit: CurrentLimit,
    *,
    form: Form,
    kind: Kind,
    valid_for: timedelta,
    station_at: datetime,
    transaction: str | int | None,
) -> Profile:
    """Return a limit that lapses no later than `valid_for` from now.

    `station_at` is what the station's clock shows now. A relative lease begins when it
    arrives, which may be as late as the call's deadline: it is that much shorter. Without a
    transaction it would begin with the next one: there it has a last instant as well.
    """
    lease_s = int(valid_for.total_seconds())
    if kind is Kind.ABSOLUTE:
        start_at = station_at - timedelta(seconds=START_MARGIN_S)
        schedule: dict[str, object] = {
            "startSchedule": wire_time(start_at),
            "duration": START_MARGIN_S + lease_s,
        }
    else:
        schedule = {"duration": max(SHORTEST_LEASE_S, lease_s - int(CALL_DEADLINE_S))}
    is_endless = transaction is None and kind is Kind.RELATIVE
    return _make(
        number,
        limit,
        role=Role.DEFAULT_LEASE if transaction is None else Role.TRANSACTION_LEASE,
        form=form,
        kind=kind,
        schedule=schedule,
        transaction=transaction,
        valid_to=wire_time(station_at + valid_for) if is_endless else None,
    )


def _make(
    number: int,
    limit: CurrentLimit,
    *,
    role: Role,
    form: Form,
    kind: Kind,
    schedule: Mapping[str, object],
    transaction: str | int | None = None,
    valid_to: str | None = None,
) -> Profile:
    return Profile(
        number=number,
        role=role,
        stack_level=min(LEVELS[role], form.stack_level),
        kind=kind,
        schedule={
            **schedule,
            "chargingRateUnit": form.unit.value,
            "chargingSchedulePeriod": [_make_period(limit, form)],
        },
        transaction=transaction,
        valid_to=valid_to,
    )


def _make_period(limit: CurrentLimit, form: Form) -> Mapping[str, object]:
    limit_ma = quantise_ma(limit.limit_ma, step_ma=form.step_ma)
    if form.unit is RateUnit.AMPERES:
        # Per phase, so the number of phases is left out: naming it may make a station switch.
        return {"startPeriod": 0, "limit": limit_ma / 1_000}
    watts = power_w(limit_ma, voltage_v=limit.voltage_v, phase_count=limit.phase_count)
    # Left out it would mean three (1.6 errata v4.0, 3.69; 2.0.1 K01.FR.49).
    return {"startPeriod": 0, "limit": watts, "numberPhases": limit.phase_count}


def read_composite(schedule: object) -> tuple[CompositePeriod, ...]:
    """Return the periods of a composite schedule that fits its schema, rounded down."""
    if not isinstance(schedule, Mapping):
        return ()
    is_current = schedule.get("chargingRateUnit") == RateUnit.AMPERES
    return tuple(
        CompositePeriod(
            start_s=int(period["startPeriod"]),
            current_ma=int(period["limit"] * 1_000) if is_current else None,
            power_w=None if is_current else int(period["limit"]),
            phase_count=period.get("numberPhases"),
        )
        for period in schedule.get("chargingSchedulePeriod", ())
    )


def read_rate_units(text: str) -> frozenset[RateUnit]:
    """Return the units a list names. A station that names none takes amperes (1.6 §9.4.2)."""
    words = (word.strip() for word in text.lower().replace(";", ",").split(","))
    units = frozenset(_UNITS[word] for word in words if word in _UNITS)
    return units or frozenset({RateUnit.AMPERES})
