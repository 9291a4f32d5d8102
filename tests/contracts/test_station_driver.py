"""What every `StationDriver` keeps to: the OCPP server over real sockets, and the scripted one."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.events import Event, FallbackInstalled
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.ports import StationDriver
from tests.support.ocpp16_station import station16
from tests.support.ocpp_hall import Hall, in_hall, wait_until
from tests.support.scripted_stations import ScriptedStations, Temper

PLUG = ConnectorRef(StationId("CP-01"), 1)
ABSENT = ConnectorRef(StationId("CP-02"), 1)
LIMIT = CurrentLimit(limit_ma=10_000)
LEASE = timedelta(seconds=60)

Test = Callable[[StationDriver, list[Event]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Station:
    """How CP-01 behaves; CP-02 is never there."""

    is_refusing: bool = False
    is_mute: bool = False


def over_ocpp(test: Test, station: Station) -> None:
    status = "Rejected" if station.is_refusing else "Accepted"
    options: dict[str, object] = {
        "statuses": {"SetChargingProfile": status, "TriggerMessage": status}
    }
    if station.is_mute:
        options["delays_s"] = {"SetChargingProfile": 3.0, "TriggerMessage": 3.0}

    async def run(hall: Hall) -> None:
        async with station16(hall, "CP-01", **options) as connected:
            await connected.boot()
            await wait_until(lambda: hall.facts)
            await connected.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
            await test(hall.driver, hall.facts)

    in_hall(run, call_deadline_s=1.0 if station.is_mute else 10.0)


def as_scripted(test: Test, station: Station) -> None:
    facts: list[Event] = []
    driver = ScriptedStations(
        tempers={
            PLUG.station: Temper(
                takes_s=float("inf") if station.is_mute else 0.01,
                is_refusing=station.is_refusing,
            ),
            ABSENT.station: Temper(is_connected=False),
        },
        post=facts.append,
        deadline_s=0.05,
    )
    asyncio.run(_awaited(test(driver, facts)))


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting


@pytest.fixture(params=[over_ocpp, as_scripted])
def run_with(request: pytest.FixtureRequest) -> Callable[[Test, Station], None]:
    runner: Callable[[Test, Station], None] = request.param
    return runner


RunWith = Callable[[Test, Station], None]


def test_what_a_station_accepts_returns(run_with: RunWith) -> None:
    async def test(driver: StationDriver, facts: list[Event]) -> None:
        await driver.set_fallback(PLUG, CurrentLimit(limit_ma=6_000))
        await driver.set_limit(PLUG, LIMIT, valid_for=LEASE)
        await driver.request_reading(PLUG)
        installed = [fact for fact in facts if isinstance(fact, FallbackInstalled)]
        assert [(fact.connector, fact.fallback_ma) for fact in installed] == [(PLUG, 6_000)]

    run_with(test, Station())


def test_a_refusal_is_a_rejection_of_limits_and_no_way_to_a_reading(run_with: RunWith) -> None:
    async def test(driver: StationDriver, facts: list[Event]) -> None:
        with pytest.raises(LimitRejectedError):
            await driver.set_limit(PLUG, LIMIT, valid_for=LEASE)
        with pytest.raises(LimitRejectedError):
            await driver.set_fallback(PLUG, LIMIT)
        with pytest.raises(StationUnreachableError):
            await driver.request_reading(PLUG)
        assert not [fact for fact in facts if isinstance(fact, FallbackInstalled)]

    run_with(test, Station(is_refusing=True))


def test_silence_is_an_unreachable_station(run_with: RunWith) -> None:
    async def test(driver: StationDriver, facts: list[Event]) -> None:
        with pytest.raises(StationUnreachableError):
            await driver.set_limit(PLUG, LIMIT, valid_for=LEASE)

    run_with(test, Station(is_mute=True))


def test_a_station_that_is_not_there_is_unreachable_at_once(run_with: RunWith) -> None:
    async def test(driver: StationDriver, facts: list[Event]) -> None:
        assert driver.connected_stations() == {PLUG.station}
        with pytest.raises(StationUnreachableError):
            await driver.set_limit(ABSENT, LIMIT, valid_for=LEASE)
        with pytest.raises(StationUnreachableError):
            await driver.set_fallback(ABSENT, LIMIT)
        with pytest.raises(StationUnreachableError):
            await driver.request_reading(ABSENT)

    run_with(test, Station())


def test_a_caller_may_give_up(run_with: RunWith) -> None:
    async def test(driver: StationDriver, facts: list[Event]) -> None:
        with contextlib.suppress(StationUnreachableError, TimeoutError):
            async with asyncio.timeout(0.02):
                await driver.set_limit(PLUG, LIMIT, valid_for=LEASE)
        assert PLUG.station in driver.connected_stations()

    run_with(test, Station(is_mute=True))
