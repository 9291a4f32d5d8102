"""Which limit follows from the charging profiles a station stores, by the OCPP texts."""

from math import inf

import pytest

from drivers.sim.profiles import ChargingProfile, Kind, Period, ProfileStore, Purpose
from gateway.domain.charging import OcppVersion, RateUnit
from gateway.domain.ids import TransactionId

TX = TransactionId("tx-1")
AMPERES = RateUnit.AMPERES
EITHER_VERSION = pytest.mark.parametrize("version", list(OcppVersion))


def store_of(version: OcppVersion = OcppVersion.V201, *, profile_count: int = 8) -> ProfileStore:
    return ProfileStore(
        version=version, rate_units=frozenset(RateUnit), profile_count=profile_count
    )


def default(
    number: int, limit: float, *, stack_level: int = 0, duration_s: float | None = None
) -> ChargingProfile:
    return ChargingProfile(
        number=number,
        stack_level=stack_level,
        purpose=Purpose.TX_DEFAULT,
        kind=Kind.ABSOLUTE,
        rate_unit=AMPERES,
        periods=(Period(start_s=0, limit=limit),),
        start_s=0.0,
        duration_s=duration_s,
    )


def lease(
    number: int,
    limit: float,
    *,
    stack_level: int = 1,
    start_s: float | None = 100.0,
    duration_s: float | None = 60.0,
    transaction: TransactionId | None = TX,
    valid_from_s: float | None = None,
    valid_to_s: float | None = None,
) -> ChargingProfile:
    return ChargingProfile(
        number=number,
        stack_level=stack_level,
        purpose=Purpose.TX,
        kind=Kind.ABSOLUTE,
        rate_unit=AMPERES,
        periods=(Period(start_s=0, limit=limit),),
        start_s=start_s,
        duration_s=duration_s,
        transaction=transaction,
        valid_from_s=valid_from_s,
        valid_to_s=valid_to_s,
    )


def install(
    store: ProfileStore,
    *profiles: ChargingProfile,
    connector: int = 1,
    transaction: TransactionId | None = TX,
    clock_s: float = 100.0,
) -> list[str]:
    return [
        store.install(connector, profile, transaction=transaction, clock_s=clock_s)
        for profile in profiles
    ]


def limit_at(
    store: ProfileStore,
    clock_s: float,
    *,
    connector: int = 1,
    transaction: TransactionId | None = TX,
    started_s: float | None = 50.0,
) -> float | None:
    return store.in_force(
        connector, transaction=transaction, started_s=started_s, clock_s=clock_s
    ).limit_a


@EITHER_VERSION
def test_a_tx_profile_overrules_the_default_even_when_it_allows_more(version: OcppVersion) -> None:
    store = store_of(version)
    install(store, default(1, 6.0), lease(2, 16.0))

    assert limit_at(store, 120.0) == 16.0


def test_a_tx_profile_overrules_a_default_of_a_higher_level() -> None:
    store = store_of()
    install(store, default(1, 6.0, stack_level=5), lease(2, 16.0, stack_level=1))

    assert limit_at(store, 120.0) == 16.0


@EITHER_VERSION
@pytest.mark.parametrize(
    ("clock_s", "limit_a"),
    [(99.9, 6.0), (100.0, 16.0), (159.9, 16.0), (160.0, 6.0), (1e9, 6.0)],
)
def test_a_lease_holds_for_its_duration_and_not_a_moment_longer(
    version: OcppVersion, clock_s: float, limit_a: float
) -> None:
    store = store_of(version)
    install(store, default(1, 6.0), lease(2, 16.0))

    assert limit_at(store, clock_s) == limit_a


@pytest.mark.parametrize(
    ("clock_s", "limit_a"),
    # Level 3 from 100 for 20 s, level 2 from 100 for 40 s, level 1 from 100 for 60 s, default 6.
    [(105.0, 20.0), (125.0, 12.0), (145.0, 9.0), (165.0, 6.0)],
)
def test_when_a_stack_level_ends_the_one_below_takes_over(clock_s: float, limit_a: float) -> None:
    store = store_of()
    install(
        store,
        default(1, 6.0),
        lease(2, 9.0, stack_level=1, duration_s=60),
        lease(3, 12.0, stack_level=2, duration_s=40),
        lease(4, 20.0, stack_level=3, duration_s=20),
    )

    assert limit_at(store, clock_s) == limit_a


def test_the_highest_level_leads_whatever_its_limit() -> None:
    store = store_of()
    install(store, lease(2, 6.0, stack_level=3), lease(3, 32.0, stack_level=1))

    assert limit_at(store, 120.0) == 6.0


def test_with_nothing_in_force_there_is_no_limit() -> None:
    store = store_of()

    assert limit_at(store, 120.0) is None
    install(store, lease(2, 10.0))
    assert limit_at(store, 200.0) is None


def test_a_schedule_that_begins_later_is_not_in_force_yet() -> None:
    store = store_of()
    install(store, default(1, 6.0), lease(2, 16.0, start_s=3_700.0))

    assert limit_at(store, 120.0) == 6.0
    assert limit_at(store, 3_701.0) == 16.0


def test_the_periods_of_a_schedule_follow_each_other() -> None:
    store = store_of()
    profile = ChargingProfile(
        number=3,
        stack_level=0,
        purpose=Purpose.TX_DEFAULT,
        kind=Kind.RELATIVE,
        rate_unit=AMPERES,
        periods=(
            Period(start_s=0, limit=6.0),
            Period(start_s=30, limit=10.0),
            Period(start_s=90, limit=0.0),
        ),
        duration_s=120.0,
    )
    install(store, profile)

    # Relative to the start of the transaction, at 50.
    assert [limit_at(store, at_s) for at_s in (50, 79.9, 80, 139.9, 140, 169.9, 170)] == [
        *(6.0, 6.0, 10.0, 10.0, 0.0, 0.0),
        None,
    ]


@pytest.mark.parametrize(("clock_s", "until_s"), [(90.0, 100.0), (120.0, 160.0), (170.0, inf)])
def test_the_store_says_when_the_limit_may_next_change(clock_s: float, until_s: float) -> None:
    store = store_of()
    install(store, default(1, 6.0), lease(2, 16.0))

    found = store.in_force(1, transaction=TX, started_s=50.0, clock_s=clock_s)

    assert found.until_s == until_s


def test_validity_bounds_a_profile_from_outside_its_schedule() -> None:
    store = store_of()
    install(
        store, default(1, 6.0), lease(2, 16.0, valid_from_s=110, valid_to_s=130, duration_s=None)
    )

    # 2.0.1 K01.FR.36, FR.37: validFrom <= now < validTo.
    assert [limit_at(store, at_s) for at_s in (109.9, 110, 129.9, 130)] == [6.0, 16.0, 16.0, 6.0]


def test_a_daily_profile_comes_back_each_day() -> None:
    store = store_of()
    profile = ChargingProfile(
        number=3,
        stack_level=0,
        purpose=Purpose.TX_DEFAULT,
        kind=Kind.DAILY,
        rate_unit=AMPERES,
        periods=(Period(start_s=0, limit=8.0),),
        start_s=3_600.0,
        duration_s=7_200.0,
    )
    install(store, profile)

    two_days_s = 2 * 86_400.0
    assert [
        limit_at(store, two_days_s + at_s) for at_s in (3_599.0, 3_600.0, 10_799.0, 10_800.0)
    ] == [None, 8.0, 8.0, None]


def test_a_connector_has_its_own_default_before_the_stations() -> None:
    store = store_of()
    install(store, default(1, 6.0), connector=0)
    install(store, default(2, 10.0), connector=2)

    assert limit_at(store, 120.0, connector=1) == 6.0
    assert limit_at(store, 120.0, connector=2) == 10.0


def test_a_tx_profile_is_for_its_connector_and_its_transaction_alone() -> None:
    store = store_of()
    install(store, default(1, 6.0), connector=0)
    install(store, lease(2, 16.0), connector=1)

    assert limit_at(store, 120.0, connector=2, transaction=TransactionId("tx-2")) == 6.0
    assert limit_at(store, 120.0, transaction=TransactionId("tx-3")) == 6.0
    store.end_transaction(TX)
    assert limit_at(store, 120.0) == 6.0


@pytest.mark.parametrize(
    ("limit_w", "phase_count", "limit_a"),
    # I = P / (230 V x phases); 1.6 errata 3.69: without numberPhases, three.
    [(6_900.0, 3, 10.0), (6_900.0, 1, 30.0), (6_900.0, None, 10.0)],
)
def test_watts_are_divided_by_nominal_voltage_and_phases(
    limit_w: float, phase_count: int | None, limit_a: float
) -> None:
    store = store_of()
    profile = ChargingProfile(
        number=1,
        stack_level=0,
        purpose=Purpose.TX_DEFAULT,
        kind=Kind.RELATIVE,
        rate_unit=RateUnit.WATTS,
        periods=(Period(start_s=0, limit=limit_w, phase_count=phase_count),),
    )
    install(store, profile)

    assert limit_at(store, 120.0) == pytest.approx(limit_a)


def test_the_maximum_of_the_station_is_apart_from_its_connectors() -> None:
    store = store_of()
    profile = ChargingProfile(
        number=9,
        stack_level=0,
        purpose=Purpose.STATION_MAX,
        kind=Kind.ABSOLUTE,
        rate_unit=AMPERES,
        periods=(Period(start_s=0, limit=40.0),),
        start_s=0.0,
    )

    assert install(store, profile, connector=1) == ["InvalidProfile"]
    assert install(store, profile, connector=0) == [""]
    assert store.station_max(120.0).limit_a == 40.0
    assert limit_at(store, 120.0) is None


def test_in_1_6_the_same_level_and_purpose_replace_each_other() -> None:
    store = store_of(OcppVersion.V16)

    assert install(store, default(1, 6.0), default(2, 10.0)) == ["", ""]
    assert limit_at(store, 120.0) == 10.0
    assert store.clear(number=1) is False


def test_in_2_0_1_the_same_level_under_another_id_is_refused() -> None:
    store = store_of(OcppVersion.V201)

    assert install(store, default(1, 6.0), default(2, 10.0)) == ["", "DuplicateProfile"]
    assert limit_at(store, 120.0) == 6.0


@EITHER_VERSION
def test_the_same_id_replaces(version: OcppVersion) -> None:
    store = store_of(version)

    assert install(store, lease(2, 16.0), lease(2, 10.0)) == ["", ""]
    assert limit_at(store, 120.0) == 10.0


@pytest.mark.parametrize(
    ("profile", "connector", "transaction", "reason"),
    [
        (lease(2, 16.0), 1, None, "TxNotFound"),
        (lease(2, 16.0), 0, TX, "InvalidProfile"),
        (lease(2, 16.0, transaction=TransactionId("other")), 1, TX, "TxNotFound"),
        (lease(2, 16.0, transaction=None), 1, TX, "MissingTransactionId"),
        (lease(2, -1.0), 1, TX, "InvalidSchedule"),
        (lease(2, 16.0, stack_level=9), 1, TX, "InvalidStackLevel"),
    ],
)
def test_what_does_not_make_sense_is_rejected_with_a_reason(
    profile: ChargingProfile, connector: int, transaction: TransactionId | None, reason: str
) -> None:
    store = store_of()

    assert install(store, profile, connector=connector, transaction=transaction) == [reason]
    assert limit_at(store, 120.0) is None


def test_in_1_6_a_tx_profile_without_transaction_is_for_the_one_that_runs() -> None:
    store = store_of(OcppVersion.V16)

    assert install(store, lease(2, 16.0, transaction=None)) == [""]
    assert limit_at(store, 120.0) == 16.0
    assert limit_at(store, 120.0, transaction=TransactionId("next")) is None


def test_a_store_that_is_full_says_so() -> None:
    store = store_of(profile_count=1)

    assert install(store, default(1, 6.0), lease(2, 16.0)) == ["", "TooManyProfiles"]


def test_clearing_takes_what_meets_every_criterion() -> None:
    store = store_of()
    install(store, default(1, 6.0), lease(2, 16.0))

    assert store.clear(purpose=Purpose.TX, stack_level=0) is False
    assert store.clear(purpose=Purpose.TX, connector_number=1) is True
    assert limit_at(store, 120.0) == 6.0
    assert store.clear() is True
    assert limit_at(store, 120.0) is None


@pytest.mark.parametrize(("keeps", "limit_a"), [(False, 6.0), (True, 16.0)])
def test_a_reboot_forgets_tx_profiles_unless_they_are_kept(keeps: bool, limit_a: float) -> None:
    store = store_of()
    store.keeps_tx_profiles = keeps
    install(store, default(1, 6.0), lease(2, 16.0))

    store.reboot()

    assert limit_at(store, 120.0) == limit_a


def test_only_what_goes_to_flash_is_counted_as_such() -> None:
    store = store_of()
    install(store, default(1, 6.0), lease(2, 16.0), lease(2, 10.0))

    assert store.write_count == 1
