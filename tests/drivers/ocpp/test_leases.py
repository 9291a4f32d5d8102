"""A limit on a 1.6 station that does what the text says: never above what was asked, never longer.

The station here is the text (1.6 §3.13 and §5.16, errata v4.0), written down once more and
apart from the driver: it keeps profiles and works out from them what holds at an instant.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ocpp.leases import Form, Kind, Role, make_fallback, make_lease, profile_id, quantise_ma
from drivers.ocpp.schemas import is_valid
from drivers.ocpp.v16_profiles import encode_profile
from gateway.domain.charging import OcppVersion, RateUnit
from gateway.domain.limits import CurrentLimit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRANSACTION = 7


class Textbook:
    """What a station of the text keeps for one connector."""

    def __init__(self) -> None:
        self.profiles: list[dict[str, Any]] = []

    def set(self, message: Mapping[str, Any], *, at: datetime) -> None:
        assert is_valid(OcppVersion.V16, "SetChargingProfile", message, is_answer=False)
        profile = {**message["csChargingProfiles"], "arrived_at": at}
        place = ("stackLevel", "chargingProfilePurpose")
        self.profiles = [
            kept
            for kept in self.profiles
            if kept["chargingProfileId"] != profile["chargingProfileId"]
            and any(kept[key] != profile[key] for key in place)
        ]
        self.profiles.append(profile)

    def limit_at(
        self, at: datetime, *, transaction: int | None, started_at: datetime | None = None
    ) -> float | None:
        """Return the limit in force, None for no limit."""
        for purpose in ("TxProfile", "TxDefaultProfile"):
            found = [
                profile
                for profile in self.profiles
                if profile["chargingProfilePurpose"] == purpose
                and profile.get("transactionId") in (None, transaction)
                and self._is_active(profile, at, started_at)
            ]
            if found:
                top = max(found, key=lambda profile: profile["stackLevel"])
                (period,) = top["chargingSchedule"]["chargingSchedulePeriod"]
                return float(period["limit"])
        return None

    def _is_active(
        self, profile: dict[str, Any], at: datetime, started_at: datetime | None
    ) -> bool:
        schedule = profile["chargingSchedule"]
        if "validTo" in profile and at >= datetime.fromisoformat(profile["validTo"]):
            return False
        if profile["chargingProfileKind"] == "Absolute":
            start = datetime.fromisoformat(schedule["startSchedule"])
        else:  # From its arrival, or from the transaction's start: stations do either.
            start = started_at or profile["arrived_at"]
        duration = schedule.get("duration")
        return start <= at and (duration is None or at < start + timedelta(seconds=duration))


def amperes(current_a: float) -> CurrentLimit:
    return CurrentLimit(limit_ma=int(current_a * 1_000))


levels = st.integers(2, 20)
leases_s = st.integers(20, 900)
skews_s = st.floats(-60, 60)


def prepare(kind: Kind, *, stack_level: int) -> tuple[Textbook, Form]:
    station, form = Textbook(), Form(stack_level=stack_level)
    fallback = make_fallback(1, amperes(6), form=form, kind=kind)
    station.set(encode_profile(fallback), at=NOW - timedelta(days=1))
    return station, form


@given(lease_s=leases_s, skew_s=skews_s, flight_s=st.floats(0, 10), level=levels)
@pytest.mark.parametrize("transaction", [TRANSACTION, None])
def test_an_absolute_lease_holds_from_its_arrival_and_lapses_in_time(
    transaction: int | None, lease_s: int, skew_s: float, flight_s: float, level: int
) -> None:
    station, form = prepare(Kind.ABSOLUTE, stack_level=level)
    station_at = NOW + timedelta(seconds=skew_s)
    lease = make_lease(
        1,
        amperes(16),
        form=form,
        kind=Kind.ABSOLUTE,
        valid_for=timedelta(seconds=lease_s),
        station_at=station_at,
        transaction=transaction,
    )
    arrival = station_at + timedelta(seconds=flight_s)
    station.set(encode_profile(lease), at=arrival)

    def limit_after(seconds: float) -> float | None:
        return station.limit_at(station_at + timedelta(seconds=seconds), transaction=transaction)

    assert limit_after(min(flight_s, lease_s - 2)) == 16
    assert limit_after(lease_s - 2) == 16
    assert limit_after(lease_s) == 6
    assert limit_after(lease_s + 86_400) == 6


@given(lease_s=leases_s, flight_s=st.floats(0, 10), level=levels)
def test_a_relative_lease_lapses_in_time_whatever_the_clock_and_however_it_is_counted(
    lease_s: int, flight_s: float, level: int
) -> None:
    station, form = prepare(Kind.RELATIVE, stack_level=level)
    lease = make_lease(
        1,
        amperes(16),
        form=form,
        kind=Kind.RELATIVE,
        valid_for=timedelta(seconds=lease_s),
        station_at=NOW,
        transaction=TRANSACTION,
    )
    arrival = NOW + timedelta(seconds=flight_s)
    station.set(encode_profile(lease), at=arrival)
    over = NOW + timedelta(seconds=max(lease_s, flight_s + 1))

    assert station.limit_at(arrival, transaction=TRANSACTION) == 16
    assert station.limit_at(over, transaction=TRANSACTION) == 6
    for age_s in (0, 5, 3_600):
        started_at = NOW - timedelta(seconds=age_s)
        assert station.limit_at(over, transaction=TRANSACTION, started_at=started_at) == 6


@given(lease_s=leases_s, wait_s=st.integers(0, 100_000))
def test_a_relative_lease_for_no_transaction_is_not_kept_for_the_next(
    lease_s: int, wait_s: int
) -> None:
    station, form = prepare(Kind.RELATIVE, stack_level=5)
    lease = make_lease(
        1,
        amperes(16),
        form=form,
        kind=Kind.RELATIVE,
        valid_for=timedelta(seconds=lease_s),
        station_at=NOW,
        transaction=None,
    )
    station.set(encode_profile(lease), at=NOW)
    later = NOW + timedelta(seconds=lease_s + wait_s)

    assert station.limit_at(later, transaction=TRANSACTION, started_at=later) == 6


@given(first_a=st.floats(6, 32), second_a=st.floats(6, 32), level=st.integers(0, 20))
def test_a_renewal_leaves_nothing_of_the_lease_before(
    first_a: float, second_a: float, level: int
) -> None:
    station, form = prepare(Kind.ABSOLUTE, stack_level=level)
    for limit_a in (first_a, second_a):
        lease = make_lease(
            1,
            amperes(limit_a),
            form=form,
            kind=Kind.ABSOLUTE,
            valid_for=timedelta(seconds=60),
            station_at=NOW,
            transaction=TRANSACTION,
        )
        station.set(encode_profile(lease), at=NOW)

    assert len(station.profiles) == 2
    limit = station.limit_at(NOW, transaction=TRANSACTION)
    assert limit == quantise_ma(int(second_a * 1_000)) / 1_000


def test_a_fallback_holds_on_a_station_that_lost_its_clock() -> None:
    for kind in Kind:
        station, _ = prepare(kind, stack_level=0)
        lost = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)

        assert station.limit_at(lost, transaction=TRANSACTION, started_at=lost) == 6


@given(limit_ma=st.integers(-10_000, 100_000), step_ma=st.sampled_from([100, 1_000]))
def test_no_limit_is_rounded_up_or_between_nothing_and_the_minimum(
    limit_ma: int, step_ma: int
) -> None:
    told_ma = quantise_ma(limit_ma, step_ma=step_ma)

    assert told_ma == 0 or 6_000 <= told_ma <= limit_ma
    assert told_ma % step_ma == 0
    assert limit_ma < 6_000 or told_ma > limit_ma - step_ma


@given(
    limit_ma=st.integers(0, 80_000),
    phase_count=st.integers(1, 3),
    voltage_v=st.floats(190, 260),
    unit=st.sampled_from(RateUnit),
)
def test_what_is_written_is_valid_and_never_more_than_was_asked(
    limit_ma: int, phase_count: int, voltage_v: float, unit: RateUnit
) -> None:
    limit = CurrentLimit(limit_ma=limit_ma, phase_count=phase_count, voltage_v=voltage_v)
    message = encode_profile(make_fallback(1, limit, form=Form(unit=unit), kind=Kind.RELATIVE))

    assert is_valid(OcppVersion.V16, "SetChargingProfile", message, is_answer=False)
    profile: Any = message["csChargingProfiles"]
    (period,) = profile["chargingSchedule"]["chargingSchedulePeriod"]
    if unit is RateUnit.AMPERES:
        assert round(period["limit"] * 1_000) <= limit_ma
        assert "numberPhases" not in period
    else:
        assert period["limit"] <= limit_ma / 1_000 * voltage_v * phase_count
        assert period["numberPhases"] == phase_count


def test_ids_are_each_connector_s_own() -> None:
    ids = {profile_id(number, role) for number in range(1, 65) for role in Role}

    assert len(ids) == 192
