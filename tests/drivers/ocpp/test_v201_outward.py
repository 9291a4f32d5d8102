"""Limits for a 2.0.1 station, and what becomes of them: the library's station listens."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import ocpp.exceptions
import pytest

from drivers.ocpp.rpc import SupersededError
from drivers.ocpp.v201 import V201Adapter
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.events import CapabilitiesRead, FallbackInstalled, TransactionStarted
from tests.support.ocpp201_scenes import (
    FIRST,
    LEASE,
    SECOND,
    amperes,
    foreign,
    learnt,
    with_station,
)
from tests.support.ocpp201_station import Station201, now, station201
from tests.support.ocpp_hall import Hall, in_hall, wait_until


def lease_end(profile: dict[str, Any]) -> datetime:
    (schedule,) = profile["charging_schedule"]
    start = datetime.fromisoformat(schedule["start_schedule"])
    return start + timedelta(seconds=schedule["duration"])


def limits_of(profiles: list[dict[str, Any]]) -> list[float]:
    return [
        float(profile["charging_schedule"][0]["charging_schedule_period"][0]["limit"])
        for profile in profiles
    ]


# Leases.


def test_a_transaction_under_an_id_used_before_is_limited_like_any() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        await station.say_event("Ended", "T1", number=1)
        station.sequences.clear()
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert len(hall.facts_of(TransactionStarted)) == 2
        assert [p["transaction_id"] for p in station.profiles_sent("TxProfile")] == ["T1"]

    with_station(scene)


def test_a_lease_in_a_transaction_is_a_tx_profile_that_lapses_in_time() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(12.37), valid_for=LEASE)

        (profile,) = station.profiles_sent("TxProfile")
        assert (profile["evse_id"], profile["transaction_id"]) == (1, "T1")
        assert profile["charging_profile_kind"] == "Absolute"
        (schedule,) = profile["charging_schedule"]
        assert schedule["charging_rate_unit"] == "A"
        assert schedule["charging_schedule_period"] == [{"start_period": 0, "limit": 12.3}]
        left = lease_end(profile) - datetime.fromisoformat(now())
        assert timedelta(seconds=40) < left <= LEASE
        # What the station itself makes of it, now and when nobody renews it.
        assert (station.limit_at(1), station.limit_at(1, in_s=61)) == (12.3, 6.0)
        assert hall.server.station(FIRST.station).flash_writes == 1

    with_station(scene)


def test_a_renewed_lease_takes_the_place_of_the_one_before() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        for number, transaction in ((1, "T1"), (2, "T2")):
            await station.say_event("Started", transaction, number=number)
        for limit_a in (10, 8):
            for connector in (FIRST, SECOND):
                await hall.driver.set_limit(connector, amperes(limit_a), valid_for=LEASE)

        ids = [profile["id"] for profile in station.profiles_sent("TxProfile")]
        assert ids[:2] == ids[2:]
        assert len(set(ids)) == 2
        assert [station.limit_at(number) for number in (1, 2)] == [8, 8]

    with_station(scene)


def test_a_second_transaction_on_an_evse_gets_a_lease_of_its_own() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        for transaction in ("T1", "T2"):
            await station.say_event("Started", transaction, number=1)
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
            await station.say_event("Ended", transaction)

        sent = station.profiles_sent("TxProfile")
        assert [profile["transaction_id"] for profile in sent] == ["T1", "T2"]

    with_station(scene)


@pytest.mark.parametrize(("asked_a", "told_a"), [(5.9, 0), (0, 0), (6.05, 6.0), (31.99, 31.9)])
def test_no_limit_between_nothing_and_six_amperes_is_ever_sent(
    asked_a: float, told_a: float
) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(asked_a), valid_for=LEASE)

        assert limits_of(station.profiles_sent()) == [told_a]

    with_station(scene)


def test_a_station_that_takes_watts_is_told_watts_and_phases() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        limit = amperes(10.07, phase_count=3, voltage_v=207.5)
        await hall.driver.set_limit(FIRST, limit, valid_for=LEASE)

        (schedule,) = station.profiles_sent()[0]["charging_schedule"]
        assert schedule["charging_rate_unit"] == "W"
        assert schedule["charging_schedule_period"] == [
            {"start_period": 0, "limit": 6_225, "number_phases": 3}  # 10.0 A x 207.5 V x 3
        ]

    with_station(scene, variables={"SmartChargingCtrlr.RateUnit": "W"})


@pytest.mark.parametrize("ahead_s", [-7_200.0, -40.0, 40.0, 7_200.0])
def test_a_wrong_clock_is_taken_into_the_lease(ahead_s: float) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        (profile,) = station.profiles_sent("TxProfile")
        left = lease_end(profile) - datetime.fromisoformat(now(ahead_s=ahead_s))
        assert timedelta(seconds=40) < left <= LEASE
        assert (station.limit_at(1), station.limit_at(1, in_s=61)) == (10.0, 6.0)

    with_station(scene, ahead_s=ahead_s)


def test_without_a_transaction_a_lease_lies_above_the_fallback_and_wears_flash() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_status(1, "Occupied")
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        fallback, lease = station.profiles_sent("TxDefaultProfile")
        assert (fallback["stack_level"], lease["stack_level"]) == (0, 1)
        assert fallback["id"] != lease["id"]
        assert "duration" not in fallback["charging_schedule"][0]
        assert (station.limit_at(1), station.limit_at(1, in_s=61)) == (16.0, 6.0)
        assert hall.server.station(FIRST.station).flash_writes == 2

    with_station(scene)


def test_an_old_status_says_nothing_of_the_clock() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_status(1, "Occupied", timestamp=now(ahead_s=-7_200))
        await learnt(hall)
        await hall.driver.set_fallback(FIRST, amperes(16))
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)

        assert (station.limit_at(1), station.limit_at(1, in_s=61)) == (6.0, 16.0)

    with_station(scene)


def test_what_waited_for_a_connection_says_nothing_of_the_clock() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        past = now(ahead_s=-7_200)
        for kind in ("Started", "Ended"):
            await station.say_event(kind, "T1", number=1, timestamp=past, offline=True)
        with pytest.raises(LimitRejectedError, match="clock is not known"):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

    with_station(scene, tells_time=False)


def test_a_station_that_keeps_nothing_absolute_gets_a_lease_with_a_last_instant() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        lease = station.profiles_sent()[-1]
        assert lease["charging_profile_kind"] == "Relative"
        assert (station.limit_at(1), station.limit_at(1, in_s=61)) == (16.0, 6.0)

    with_station(scene, vendor="Timxon")


def test_a_station_that_denies_smart_charging_and_does_it_is_told_amperes() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert station.limit_at(1) == 10.0

    with_station(scene, variables={"SmartChargingCtrlr.Available": "false"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variables": {"SmartChargingCtrlr.ProfileStackLevel": "0"}}, "above its fallback"),
        ({"max_limits": {}}, "above its fallback"),
        ({"tells_time": False}, "clock is not known"),
    ],
)
def test_without_a_transaction_no_lease_is_sent_that_might_not_lapse(
    options: dict[str, Any], said: str
) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        with pytest.raises(LimitRejectedError, match=said):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)

        assert station.profiles_sent() == []

    with_station(scene, **options)


def test_a_station_without_tx_profiles_is_asked_once_and_then_limited_by_default() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert len(station.profiles_sent("TxProfile")) == 1
        assert [p["stack_level"] for p in station.profiles_sent("TxDefaultProfile")] == [1, 1]

    with_station(scene, refused={"TxProfile": ocpp.exceptions.NotSupportedError})


def test_a_transaction_id_too_long_for_a_profile_is_limited_by_default() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        transaction = "T" * 40
        frame = {
            "eventType": "Started",
            "timestamp": now(),
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": transaction},
            "evse": {"id": 1},
        }
        await station._connection.send(f'[2,"long","TransactionEvent",{json.dumps(frame)}]')
        await wait_until(lambda: hall.facts_of(TransactionStarted))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert [p["stack_level"] for p in station.profiles_sent("TxDefaultProfile")] == [1]

    with_station(scene)


# Fallbacks, and what others left.


def test_a_fallback_needs_no_clock_and_says_what_holds_when_no_lease_does() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        for _ in range(2):
            await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)  # Nothing to add.

        (profile,) = station.profiles_sent()
        assert profile["charging_profile_purpose"] == "TxDefaultProfile"
        assert profile["charging_profile_kind"] == "Relative"
        assert (profile["evse_id"], profile["stack_level"]) == (1, 0)
        assert [f.fallback_ma for f in hall.facts_of(FallbackInstalled)] == [6_000, 6_000]
        assert station.limit_at(1) == 6.0

    with_station(scene)


@pytest.mark.parametrize(("number", "profile"), [(0, 77), (0, 1), (1, 77)])
@pytest.mark.parametrize("gives_reasons", [True, False])
def test_a_profile_of_others_in_the_place_of_the_fallback_gives_way(
    number: int, profile: int, *, gives_reasons: bool
) -> None:
    left = {profile: foreign(number, 0, id=profile), 78: foreign(number, 3, id=78)}

    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))

        written = [action for action, _ in station.heard if action == "SetChargingProfile"]
        assert len(written) == 2
        at = max(at for at, said in enumerate(station.heard) if said[0] == "SetChargingProfile")
        cleared = [
            said["charging_profile_id"]
            for _, said in station.heard[:at]
            if "charging_profile_id" in said
        ]
        assert cleared == [profile]  # What lies above is cleared when ours holds.
        assert len(hall.facts_of(FallbackInstalled)) == 1
        await wait_until(lambda: set(station.profiles) == {11})
        assert station.limit_at(1) == 6.0

    with_station(scene, profiles=left, gives_reasons=gives_reasons)


def test_the_place_of_the_fallback_is_cleared_where_nobody_can_say_who_has_it() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))

        assert set(station.profiles) == {11}
        assert station.limit_at(1) == 6.0

    with_station(
        scene,
        refused={"GetChargingProfiles": ocpp.exceptions.NotSupportedError},
        profiles={77: foreign(0, 0, id=77)},
    )


@pytest.mark.parametrize("gives_reasons", [True, False])
def test_a_refused_fallback_leaves_the_one_before(*, gives_reasons: bool) -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        station.statuses["TxDefaultProfile"] = "InvalidSchedule" if gives_reasons else "Rejected"
        with pytest.raises(LimitRejectedError):
            await hall.driver.set_fallback(FIRST, amperes(10))

        assert station.limit_at(1) == 6.0

    with_station(scene)


def test_what_others_left_above_the_fallback_is_cleared_and_nothing_else() -> None:
    left = {
        70: foreign(0, 5, id=70),
        71: foreign(1, 3, id=71),
        72: foreign(2, 3, id=72),
        73: foreign(0, 0, id=73, purpose="ChargingStationMaxProfile"),
    }

    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: 71 not in station.profiles)

        assert set(station.profiles) == {11, 72, 73}
        assert station.limit_at(1) == 6.0

    with_station(scene, profiles=left)


def test_a_station_that_cannot_say_what_is_installed_is_cleared_level_by_level() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await hall.driver.set_fallback(FIRST, amperes(6))
        await wait_until(lambda: 71 not in station.profiles)

        cleared = [
            (said["charging_profile_criteria"].get("evse_id"), criteria.get("stack_level"))
            for said in station.said("ClearChargingProfile")
            if (criteria := said["charging_profile_criteria"]).get("evse_id") is not None
        ]
        assert cleared == [(0, None), (1, 2), (1, 3)]
        assert station.limit_at(1) == 6.0

    with_station(
        scene,
        variables={"SmartChargingCtrlr.ProfileStackLevel": "3"},
        refused={"GetChargingProfiles": ocpp.exceptions.NotSupportedError},
        profiles={71: foreign(1, 3, id=71)},
    )


def test_a_lease_of_others_for_the_same_transaction_gives_way() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.profiles[70] = {**foreign(1, 2, id=70, purpose="TxProfile"), "transaction_id": "T1"}
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert set(station.profiles) == {13}
        assert station.limit_at(1) == 10.0

    with_station(scene)


# Answers that are late, missing or refusals.


def test_a_refused_limit_says_so_and_why() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await station.say_event("Started", "T1", number=1)
        with pytest.raises(LimitRejectedError, match="InvalidSchedule"):
            await hall.driver.set_limit(FIRST, amperes(16), valid_for=LEASE)
        with pytest.raises(LimitRejectedError):
            await hall.driver.set_fallback(FIRST, amperes(6))

        assert hall.facts_of(FallbackInstalled) == []

    with_station(scene, statuses={"SetChargingProfile": "InvalidSchedule"})


def test_a_mute_station_is_unreachable_and_its_late_answer_harms_nobody() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.delays_s["SetChargingProfile"] = 1.5
        with pytest.raises(StationUnreachableError, match="no answer"):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        station.delays_s["SetChargingProfile"] = 0
        await wait_until(lambda: hall.server.counters["late-reply"])
        await hall.driver.set_limit(FIRST, amperes(8), valid_for=LEASE)

        assert station.limit_at(1) == 8.0

    with_station(scene, call_deadline_s=1.0)


def test_an_answer_that_cannot_be_read_is_no_answer() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        raw = station._connection.send  # The library would check what it says.

        async def garble(frame: str) -> None:
            await raw(frame.replace('"Accepted"', '"Fine"'))

        station._connection.send = garble
        with pytest.raises(StationUnreachableError, match="unreadable"):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

    with_station(scene)


def test_a_lost_connection_ends_what_waits_for_a_report() -> None:
    async def scene(hall: Hall) -> None:
        async with station201(hall, is_silent_on_reports=True) as station:
            await station.boot()
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            adapter = hall.server.station(FIRST.station)
            assert isinstance(adapter, V201Adapter)
            asked = asyncio.gather(adapter._questions.get_base_report(), return_exceptions=True)
            await wait_until(lambda: station.said("GetBaseReport"))
        (outcome,) = await asked

        assert isinstance(outcome, StationUnreachableError)
        assert "connection lost" in str(outcome)

    in_hall(scene)


def test_the_newest_limit_that_waits_wins_and_the_other_is_told() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await learnt(hall)
        await station.say_event("Started", "T1", number=1)
        station.delays_s["SetChargingProfile"] = 0.2
        outcomes = await asyncio.gather(
            *(
                hall.driver.set_limit(FIRST, amperes(limit), valid_for=LEASE)
                for limit in (10, 11, 12, 13)
            ),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes] == [
            type(None),
            SupersededError,
            SupersededError,
            type(None),
        ]
        assert limits_of(station.profiles_sent()) == [10, 13]

    with_station(scene)
