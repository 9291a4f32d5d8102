"""Charging profiles as a station stores them, and the limit that follows from them."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf

from gateway.domain.charging import OcppVersion, RateUnit
from gateway.domain.ids import TransactionId

DAY_S = 86_400.0
UNSAID_PHASE_COUNT = 3  # OCPP 1.6 errata 3.69: numberPhases absent means 3.


class Purpose(StrEnum):
    """OCPP ChargingProfilePurpose, in the words of 2.0.1."""

    STATION_MAX = "ChargingStationMaxProfile"  # 1.6: ChargePointMaxProfile.
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class Kind(StrEnum):
    """OCPP ChargingProfileKind; a recurring profile recurs daily or weekly."""

    ABSOLUTE = "Absolute"
    RELATIVE = "Relative"
    DAILY = "Daily"
    WEEKLY = "Weekly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `start_s` into the schedule, the limit is `limit` (A per phase, or W in all)."""

    start_s: float
    limit: float
    phase_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingProfile:
    """A charging profile; its instants are seconds of the *station's own* clock.

    None for `start_s` of an absolute schedule means: from when it was installed.
    """

    number: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    rate_unit: RateUnit
    periods: tuple[Period, ...]
    start_s: float | None = None
    duration_s: float | None = None
    valid_from_s: float | None = None
    valid_to_s: float | None = None
    transaction: TransactionId | None = None


def unending_default(
    number: int, limit: float, *, rate_unit: RateUnit, phase_count: int
) -> ChargingProfile:
    """Return a TxDefaultProfile at the lowest level that holds whenever nothing else does."""
    return ChargingProfile(
        number=number,
        stack_level=0,
        purpose=Purpose.TX_DEFAULT,
        kind=Kind.RELATIVE,
        rate_unit=rate_unit,
        periods=(Period(start_s=0.0, limit=limit, phase_count=phase_count),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The limit in force on a connector, per phase, and the clock second it may next change at.

    `limit_a` is None when nothing stored limits it. `profile` is the one it comes from.
    """

    limit_a: float | None
    until_s: float
    profile: ChargingProfile | None = None


@dataclass(frozen=True, slots=True)
class _Stored:
    connector_number: int
    profile: ChargingProfile
    installed_s: float


@dataclass(slots=True, kw_only=True)
class ProfileStore:
    """The charging profiles of one station.

    `nominal_v` is what it divides watts by; unless it `lapses`, a profile with an end has none
    here; `write_count` counts the profiles of the purposes that always go to flash.
    """

    version: OcppVersion
    rate_units: frozenset[RateUnit]
    nominal_v: float = 230.0
    highest_stack_level: int = 8
    profile_count: int = 8
    period_count: int = 24
    keeps_tx_profiles: bool = False
    lapses: bool = True
    write_count: int = 0
    _stored: list[_Stored] = field(default_factory=list)

    def install(
        self,
        connector_number: int,
        profile: ChargingProfile,
        *,
        transaction: TransactionId | None,
        clock_s: float,
    ) -> str:
        """Store `profile` on a connector (0: the station); return "" or why it is rejected.

        `transaction` is the one running on that connector.
        """
        if reason := self._objection(connector_number, profile, transaction):
            return reason
        if profile.purpose is Purpose.TX and profile.transaction is None:
            # 1.6 5.16.2: without a transactionId it is for the transaction that runs.
            profile = replace(profile, transaction=transaction)
        if not self.lapses:
            profile = replace(profile, duration_s=None, valid_to_s=None)
        kept = [s for s in self._stored if not self._replaces(connector_number, profile, s)]
        if self.version is OcppVersion.V201 and any(
            _collides(connector_number, profile, s) for s in kept
        ):
            return "DuplicateProfile"  # 2.0.1 K01.FR.06.
        if len(kept) >= self.profile_count:
            return "TooManyProfiles"
        self._stored = [*kept, _Stored(connector_number, profile, clock_s)]
        self.write_count += profile.purpose is not Purpose.TX
        return ""

    def clear(
        self,
        *,
        number: int | None = None,
        connector_number: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Remove what meets every criterion given (none: all); return whether there was any."""
        kept = [
            stored
            for stored in self._stored
            if not (
                number in (None, stored.profile.number)
                and connector_number in (None, stored.connector_number)
                and purpose in (None, stored.profile.purpose)
                and stack_level in (None, stored.profile.stack_level)
            )
        ]
        found = len(kept) < len(self._stored)
        self._stored = kept
        return found

    def installed(self) -> tuple[tuple[int, ChargingProfile], ...]:
        """Return what is stored, with the connector each is for."""
        return tuple((stored.connector_number, stored.profile) for stored in self._stored)

    def end_transaction(self, transaction: TransactionId) -> None:
        """Forget the TxProfiles of a transaction that is over."""
        self._stored = [s for s in self._stored if s.profile.transaction != transaction]

    def reboot(self) -> None:
        """Forget what was in RAM alone (2.1 K01.FR.27: TxProfiles need not survive)."""
        if not self.keeps_tx_profiles:
            self._stored = [s for s in self._stored if s.profile.purpose is not Purpose.TX]

    def in_force(
        self,
        connector_number: int,
        *,
        transaction: TransactionId | None,
        started_s: float | None,
        clock_s: float,
    ) -> InForce:
        """Return the limit from TxProfile, or else TxDefaultProfile (1.6 3.13.1, 2.0.1 K01).

        A TxProfile with a period in force overrules every TxDefaultProfile; of one purpose the
        highest stack level with a period in force leads, and a connector's own profile leads one
        for the whole station at the same level. `started_s` is when the transaction began. The
        station's maximum is apart: `station_max`.
        """
        best: tuple[tuple[bool, int, bool], float, ChargingProfile] | None = None
        until_s = inf
        for stored in self._stored:
            profile = stored.profile
            if profile.purpose is Purpose.STATION_MAX or stored.connector_number not in (
                0,
                connector_number,
            ):
                continue
            if profile.purpose is Purpose.TX and profile.transaction != transaction:
                continue
            period, changes_s = _period(stored, clock_s, started_s)
            until_s = min(until_s, changes_s)
            if period is None:
                continue
            rank = (
                profile.purpose is Purpose.TX,
                profile.stack_level,
                stored.connector_number != 0,
            )
            if best is None or rank > best[0]:
                best = (rank, self._amperes(profile, period), profile)
        if best is None:
            return InForce(limit_a=None, until_s=until_s)
        return InForce(limit_a=best[1], until_s=until_s, profile=best[2])

    def station_max(self, clock_s: float) -> InForce:
        """Return the limit on the sum of all connectors, from ChargingStationMaxProfile."""
        best: tuple[int, float, ChargingProfile] | None = None
        until_s = inf
        for stored in self._stored:
            profile = stored.profile
            if profile.purpose is not Purpose.STATION_MAX:
                continue
            period, changes_s = _period(stored, clock_s, None)
            until_s = min(until_s, changes_s)
            if period is not None and (best is None or profile.stack_level > best[0]):
                best = (profile.stack_level, self._amperes(profile, period), profile)
        if best is None:
            return InForce(limit_a=None, until_s=until_s)
        return InForce(limit_a=best[1], until_s=until_s, profile=best[2])

    def _amperes(self, profile: ChargingProfile, period: Period) -> float:
        if profile.rate_unit is RateUnit.AMPERES:
            return period.limit
        return period.limit / (self.nominal_v * (period.phase_count or UNSAID_PHASE_COUNT))

    def _objection(
        self, connector_number: int, profile: ChargingProfile, transaction: TransactionId | None
    ) -> str:
        starts = [period.start_s for period in profile.periods]
        if profile.rate_unit not in self.rate_units:
            return "UnsupportedRateUnit"
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            return "InvalidSchedule"
        if len(starts) > self.period_count or any(period.limit < 0 for period in profile.periods):
            return "InvalidSchedule"
        if not 0 <= profile.stack_level <= self.highest_stack_level:
            return "InvalidStackLevel"
        if profile.purpose is Purpose.STATION_MAX and (
            connector_number != 0 or profile.kind is Kind.RELATIVE
        ):
            return "InvalidProfile"  # 2.0.1 K01.FR.38.
        if profile.purpose is not Purpose.TX:
            return ""
        if connector_number == 0:
            return "InvalidProfile"  # 1.6 3.13.1.
        if transaction is None:
            return "TxNotFound"
        if profile.transaction is None:
            # 2.0.1 K01.FR.03: a TxProfile names its transaction.
            return "MissingTransactionId" if self.version is OcppVersion.V201 else ""
        return "" if profile.transaction == transaction else "TxNotFound"

    def _replaces(self, connector_number: int, new: ChargingProfile, old: _Stored) -> bool:
        if old.profile.number == new.number:
            return True
        # 1.6 5.16.3 replaces by level and purpose too; 2.0.1 refuses that (K01.FR.06).
        return (
            self.version is OcppVersion.V16
            and old.connector_number == connector_number
            and old.profile.purpose is new.purpose
            and old.profile.stack_level == new.stack_level
        )


def _validity(profile: ChargingProfile) -> tuple[float, float]:
    """Return the first second it is valid and the first it no longer is (K01.FR.36, FR.37)."""
    return (
        -inf if profile.valid_from_s is None else profile.valid_from_s,
        inf if profile.valid_to_s is None else profile.valid_to_s,
    )


def _collides(connector_number: int, new: ChargingProfile, old: _Stored) -> bool:
    new_from_s, new_to_s = _validity(new)
    old_from_s, old_to_s = _validity(old.profile)
    return (
        old.connector_number == connector_number
        and old.profile.purpose is new.purpose
        and old.profile.stack_level == new.stack_level
        and new_from_s < old_to_s
        and old_from_s < new_to_s
    )


def _period(
    stored: _Stored, clock_s: float, started_s: float | None
) -> tuple[Period | None, float]:
    """Return the period in force, if any, and the clock second at which that may change."""
    profile = stored.profile
    valid_from_s, valid_to_s = _validity(profile)
    if clock_s < valid_from_s:
        return None, valid_from_s
    if clock_s >= valid_to_s:
        return None, inf
    again_s = inf
    start_s = stored.installed_s if profile.start_s is None else profile.start_s
    match profile.kind:
        case Kind.RELATIVE:
            # Without a transaction it is taken as if one began now (2.0.1 K08.FR.06).
            start_s = clock_s if started_s is None else started_s
        case Kind.DAILY | Kind.WEEKLY if clock_s >= start_s:
            cycle_s = DAY_S if profile.kind is Kind.DAILY else 7 * DAY_S
            start_s = clock_s - (clock_s - start_s) % cycle_s
            again_s = start_s + cycle_s
        case _:
            pass
    if clock_s < start_s:
        return None, min(start_s, valid_to_s)
    end_s = inf if profile.duration_s is None else start_s + profile.duration_s
    if clock_s >= end_s:
        return None, min(again_s, valid_to_s)
    found = profile.periods[0]
    next_s = inf
    for period in profile.periods[1:]:
        if start_s + period.start_s > clock_s:
            next_s = start_s + period.start_s
            break
        found = period
    return found, min(next_s, end_s, again_s, valid_to_s)
