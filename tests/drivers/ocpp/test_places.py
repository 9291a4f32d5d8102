"""No profile is sent for which a station says it has no place, and fallbacks come first."""

from collections.abc import Awaitable, Callable

import pytest

from gateway.domain.errors import LimitRejectedError, NoPlaceError
from gateway.domain.events import CapabilitiesRead, FallbackInstalled
from gateway.domain.memory import Memory, StationMemory
from tests.support import ocpp201_scenes as scenes
from tests.support.ocpp16_station import Station16, station16
from tests.support.ocpp201_scenes import FIRST, LEASE, SECOND, amperes
from tests.support.ocpp201_station import Station201, now
from tests.support.ocpp_hall import Hall, PassingClock, in_hall, wait_until

BOTH = (FIRST, SECOND)
COUNT_201 = "SmartChargingCtrlr.Entries.ChargingProfiles"


def with_places(
    count: int,
    scene: Callable[[Hall, Station16], Awaitable[None]],
    *,
    clock: PassingClock | None = None,
    memory: Memory | None = None,
) -> None:
    """Run a scene with a 1.6 station that keeps so many profiles, says so, and shows its clock."""
    told = {"MaxChargingProfilesInstalled": str(count)}

    async def run(hall: Hall) -> None:
        async with station16(hall, most_profiles=count, configuration=told) as station:
            await station.boot()
            await wait_until(lambda: hall.facts_of(CapabilitiesRead))
            for connector in BOTH:
                await station.say_status(connector.number, "Preparing", timestamp=now())
            await scene(hall, station)

    in_hall(run, clock=clock, memory=memory)


def sent(station: Station16) -> list[int]:
    return [profile["charging_profile_id"] for profile in station.profiles()]


def test_one_place_is_the_fallbacks_also_in_a_transaction() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        for _ in range(2):
            with pytest.raises(
                NoPlaceError, match="2 charging profiles are needed, and it keeps 1"
            ):
                await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        # What the fallback says is in force without a lease, and the fallback may be changed.
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)
        await hall.driver.set_fallback(FIRST, amperes(0))

        assert sent(station) == [11, 11]

    with_places(1, scene)


def test_no_lease_takes_the_place_of_a_fallback_yet_to_be_written() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        with pytest.raises(NoPlaceError):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert sent(station) == []

    with_places(1, scene)


@pytest.mark.parametrize("is_charging", [True, False])
def test_two_places_are_the_fallbacks_of_two_connectors(is_charging: bool) -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        for connector in BOTH:
            await hall.driver.set_fallback(connector, amperes(6))
        for connector in BOTH:
            if is_charging:
                await station.start_transaction(connector.number, timestamp=now())
            with pytest.raises(
                NoPlaceError, match="3 charging profiles are needed, and it keeps 2"
            ):
                await hall.driver.set_limit(connector, amperes(10), valid_for=LEASE)

        assert sent(station) == [11, 21]
        assert hall.server.station(FIRST.station).flash_writes == 2

    with_places(2, scene)


def test_the_third_place_is_one_transactions_and_then_the_others() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        running = []
        for connector in BOTH:
            await hall.driver.set_fallback(connector, amperes(6))
            running.append(await station.start_transaction(connector.number, timestamp=now()))
        for limit_a in (10, 12):
            await hall.driver.set_limit(FIRST, amperes(limit_a), valid_for=LEASE)
            with pytest.raises(
                NoPlaceError, match="4 charging profiles are needed, and it keeps 3"
            ):
                await hall.driver.set_limit(SECOND, amperes(limit_a), valid_for=LEASE)
        await station.stop_transaction(running[0], timestamp=now())
        station.installed.discard(13)  # It ends with its transaction.
        await hall.driver.set_limit(SECOND, amperes(10), valid_for=LEASE)

        assert sent(station) == [11, 21, 13, 13, 23]

    with_places(3, scene)


def test_four_places_serve_two_connectors() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        for connector in BOTH:
            await hall.driver.set_fallback(connector, amperes(6))
            await hall.driver.set_limit(connector, amperes(10), valid_for=LEASE)
        for connector in BOTH:
            await station.start_transaction(connector.number, timestamp=now())
            await hall.driver.set_limit(connector, amperes(12), valid_for=LEASE)

        # What was for no transaction gave its place before the station had to refuse.
        assert station.installed == {11, 21, 13, 23}
        assert sent(station) == [11, 12, 21, 22, 13, 23]

    with_places(4, scene)


def test_a_lease_gives_its_place_to_the_fallback_of_another_connector() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(6))
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        await hall.driver.set_fallback(SECOND, amperes(6))

        assert station.installed == {11, 21}
        with pytest.raises(NoPlaceError):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

    with_places(2, scene)


def test_a_lease_below_its_fallback_gives_its_place_once_it_is_over() -> None:
    clock = PassingClock()

    async def scene(hall: Hall, station: Station16) -> None:
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_fallback(FIRST, amperes(10))
        await hall.driver.set_limit(FIRST, amperes(6), valid_for=LEASE)
        with pytest.raises(NoPlaceError, match="with this fallback 3 charging profiles are"):
            await hall.driver.set_fallback(SECOND, amperes(6))
        assert station.installed == {11, 13}
        clock.passed_s += LEASE.total_seconds() + 1
        await hall.driver.set_fallback(SECOND, amperes(6))

        assert station.installed == {11, 21}
        installed = [fact.connector for fact in hall.facts_of(FallbackInstalled)]
        assert installed == [FIRST, SECOND]

    with_places(2, scene, clock=clock)


def test_what_a_station_refused_has_no_place() -> None:
    async def scene(hall: Hall, station: Station16) -> None:
        for connector in BOTH:
            await hall.driver.set_fallback(connector, amperes(6))
            await station.start_transaction(connector.number, timestamp=now())
        station.statuses["TxProfile"] = "Rejected"
        with pytest.raises(LimitRejectedError, match="TxProfile: Rejected"):
            await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        station.statuses.clear()
        await hall.driver.set_limit(SECOND, amperes(10), valid_for=LEASE)

        assert station.installed == {11, 21, 23}

    with_places(3, scene)


def test_the_lease_of_an_earlier_run_gives_its_place_to_a_transaction() -> None:
    who = StationMemory(station=FIRST.station, vendor="Vendor", model="Model", firmware="1.0")

    async def scene(hall: Hall, station: Station16) -> None:
        station.installed = {11, 12}  # Over, and kept all the same.
        await hall.driver.set_fallback(FIRST, amperes(6))
        await station.start_transaction(1, timestamp=now())
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)

        assert station.installed == {11, 13}

    with_places(2, scene, memory=Memory(stations={FIRST.station: who}))


def test_a_2_0_1_station_is_not_sent_more_than_the_most_entries_it_has() -> None:
    async def scene(hall: Hall, station: Station201) -> None:
        await scenes.learnt(hall)
        for connector in BOTH:
            await hall.driver.set_fallback(connector, amperes(6))
            await station.say_event("Started", f"T{connector.number}", number=connector.number)
        await hall.driver.set_limit(FIRST, amperes(10), valid_for=LEASE)
        with pytest.raises(NoPlaceError, match="4 charging profiles are needed, and it keeps 3"):
            await hall.driver.set_limit(SECOND, amperes(10), valid_for=LEASE)

        assert [profile["id"] for profile in station.profiles_sent()] == [11, 21, 13]
        assert [station.limit_at(number) for number in (1, 2)] == [10, 6]

    scenes.with_station(scene, max_limits={COUNT_201: 3.0})
