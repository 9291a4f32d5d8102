"""The plant's stations on real connections, with the gateway's own server at the other end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from drivers.sim.evse import Evse
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.live import link_of
from drivers.sim.pace import Pace
from drivers.sim.scenario import (
    Scenario,
    ScenarioKind,
    StationTraits,
    VehicleTraits,
    Visit,
)
from drivers.sim.sites import one_circuit
from drivers.sim.station import Station
from drivers.sim.station_link import StationLink
from drivers.sim.world import World
from gateway.domain.charging import ConnectorStatus, OcppVersion, RateUnit
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from tests.support.ocpp_hall import Hall, in_hall, wait_until

NAME = StationId("CP-03")  # One connector of three phases and 16 A.
REF = ConnectorRef(NAME, 1)
VERSIONS = (OcppVersion.V16, OcppVersion.V201)
VEHICLE = VehicleTraits(
    need_wh=30_000.0, max_a=16.0, phase_count=3, taper_wh=1_000.0, startup_s=0.5
)

each_version = pytest.mark.parametrize("version", VERSIONS)


@dataclass
class Building:
    """One station of a plant, connected to a hall."""

    world: World
    pace: Pace
    link: StationLink

    @property
    def station(self) -> Station:
        return self.link.station

    @property
    def evse(self) -> Evse:
        return self.station.evses[1]

    def fault(self, kind: FaultKind, *, lasts_s: float) -> None:
        """Have something go wrong with the station now."""
        at_s = self.pace.catch_up()
        fault = Fault(kind=kind, at_s=at_s, until_s=at_s + lasts_s, subject=NAME)
        self.world.agenda.add(at_s, self.world._begin_fault, fault)
        self.world.agenda.add(fault.until_s, self.world._end_fault, fault)
        self.world.agenda.add(fault.until_s + 0.1, self.station.raise_link)


@asynccontextmanager
async def building(
    hall: Hall,
    version: OcppVersion,
    *,
    arrives_s: float = 0.8,
    leaves_s: float = 500.0,
    **traits: Any,
) -> AsyncIterator[Building]:
    """Run a station with a vehicle that comes at once."""
    whole = one_circuit()
    site = replace(whole, stations=tuple(s for s in whole.stations if s.id == NAME), meters=())
    site = replace(site, circuits=tuple(replace(c, meter=None) for c in site.circuits))
    scenario = Scenario(
        kind=ScenarioKind.DEMO,
        seed=1,
        duration_s=600.0,
        site=site,
        stations=(StationTraits(station=NAME, ocpp_version=version, **traits),),
        visits=(Visit(connector=REF, at_s=arrives_s, leave_s=leaves_s, vehicle=VEHICLE),),
        base=(),
        steps=(),
        faults=(),
        reserve_a=tuple((circuit.id, 15.0) for circuit in site.circuits),
    )
    links: dict[StationId, StationLink] = {}
    world = World(
        scenario,
        on_word=lambda station, event: links[station.id].hear(event),
        on_gateway_fault=lambda _fault, _begins: None,
    )
    pace = Pace(world)
    link = links[NAME] = link_of(world.stations[NAME], pace, [])
    pace.warm_up()
    pace.begin()
    world.agenda.add(world.agenda.now_s, link.station.raise_link)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link.run(f"ws://127.0.0.1:{hall.port}"))
        passing = tasks.create_task(pace.run(600.0))
        try:
            yield Building(world, pace, link)
        finally:
            link.close()
            passing.cancel()


async def is_charging(hall: Hall) -> None:
    await wait_until(lambda: hall.facts_of(CapabilitiesRead))
    await wait_until(lambda: hall.facts_of(TransactionStarted))


@each_version
def test_a_station_says_what_it_is_and_what_happens_to_it(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version, leaves_s=7.0, sample_interval_s=1.0):
            await is_charging(hall)
            await wait_until(lambda: any(m.current_a[0] for m in hall.facts_of(ConnectorMetered)))
            await wait_until(lambda: hall.facts_of(TransactionEnded))
            statuses = [f.status for f in hall.facts_of(ConnectorStatusChanged) if f.status]
            await wait_until(
                lambda: (
                    hall.facts_of(ConnectorStatusChanged)[-1].status is ConnectorStatus.AVAILABLE
                )
            )

        (boot,) = hall.facts_of(StationBooted)
        assert (boot.vendor, boot.model) == ("Sim", "S1")
        assert ConnectorStatus.OCCUPIED in statuses
        (started,) = hall.facts_of(TransactionStarted)
        (ended,) = hall.facts_of(TransactionEnded)
        assert started.transaction == ended.transaction

    in_hall(test)


@each_version
def test_a_limit_is_kept_while_its_lease_lasts_and_then_the_fallback(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version, clock_skew_s=2.5) as plant:
            await is_charging(hall)
            await hall.driver.set_fallback(REF, CurrentLimit(limit_ma=6_000))
            await hall.driver.set_limit(
                REF, CurrentLimit(limit_ma=11_000), valid_for=timedelta(seconds=4)
            )
            assert plant.evse.limit_a == 11.0
            await wait_until(lambda: plant.evse.limit_a == 6.0)

    in_hall(test)


@each_version
def test_a_watts_only_station_says_so_and_is_limited_in_watts(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version, is_watts_only=True) as plant:
            await is_charging(hall)
            units = hall.facts_of(CapabilitiesRead)[-1].capabilities.rate_units
            assert units == {RateUnit.WATTS}
            limit = CurrentLimit(limit_ma=10_000, phase_count=3, voltage_v=230.0)
            await hall.driver.set_limit(REF, limit, valid_for=timedelta(seconds=60))
            assert plant.evse.limit_a == pytest.approx(10.0)

    in_hall(test)


@each_version
def test_a_lost_station_keeps_to_its_lease_and_comes_back_without_a_boot(
    version: OcppVersion,
) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version) as plant:
            await is_charging(hall)
            await hall.driver.set_limit(
                REF, CurrentLimit(limit_ma=11_000), valid_for=timedelta(seconds=60)
            )
            plant.fault(FaultKind.STATION_LOST, lasts_s=1.0)
            await wait_until(lambda: not plant.station.is_linked)
            assert plant.evse.limit_a == 11.0
            await wait_until(lambda: len(hall.facts_of(StationConnected)) == 2)
            await hall.driver.set_limit(
                REF, CurrentLimit(limit_ma=7_000), valid_for=timedelta(seconds=60)
            )
            assert plant.evse.limit_a == 7.0

        assert len(hall.facts_of(StationDisconnected)) >= 1
        assert len(hall.facts_of(StationBooted)) == 1
        assert len({f.transaction for f in hall.facts_of(TransactionStarted)}) == 1

    in_hall(test)


@each_version
def test_a_station_that_disobeys_accepts_and_holds_on(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version) as plant:
            await is_charging(hall)
            await wait_until(lambda: plant.evse.pilot_a >= 6.0)
            before_a = plant.evse.pilot_a
            plant.fault(FaultKind.STATION_DISOBEDIENT, lasts_s=100.0)
            await wait_until(lambda: plant.evse.held_a is not None)
            await hall.driver.set_limit(
                REF, CurrentLimit(limit_ma=0), valid_for=timedelta(seconds=60)
            )
            await asyncio.sleep(5.5)  # A pilot that obeyed would have changed within 5 s.

            assert plant.evse.limit_a == 0.0
            assert plant.evse.pilot_a == before_a

    in_hall(test)


@each_version
def test_a_remote_stop_ends_and_a_remote_start_begins(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version) as made:
            await is_charging(hall)
            # In 1.6 a station does not know its transaction's number before it is answered.
            await wait_until(lambda: made.link.told or version is OcppVersion.V201)
            adapter = hall.server.station(NAME)
            await adapter.stop_transaction(hall.facts_of(TransactionStarted)[0].transaction)
            await wait_until(lambda: hall.facts_of(TransactionEnded))
            await adapter.start_transaction(1, "DRIVER")
            await wait_until(lambda: len(hall.facts_of(TransactionStarted)) == 2)

    in_hall(test)


@each_version
def test_a_reset_station_boots_again_and_goes_on(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version, boot_s=1.0):
            await is_charging(hall)
            await hall.server.station(NAME).reset(is_hard=True)
            await wait_until(lambda: len(hall.facts_of(StationBooted)) == 2)

        assert len({f.transaction for f in hall.facts_of(TransactionStarted)}) == 1

    in_hall(test)


@each_version
def test_a_reading_asked_for_comes_at_once(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version, sample_interval_s=10_000.0, sample_phase_s=9_000.0):
            await is_charging(hall)
            count = len(hall.facts_of(ConnectorMetered))
            await hall.driver.request_reading(REF)
            await wait_until(lambda: len(hall.facts_of(ConnectorMetered)) > count)

    in_hall(test)


@each_version
def test_a_composite_schedule_is_what_the_stored_profiles_add_up_to(version: OcppVersion) -> None:
    async def test(hall: Hall) -> None:
        async with building(hall, version):
            await is_charging(hall)
            await hall.driver.set_limit(
                REF, CurrentLimit(limit_ma=11_000), valid_for=timedelta(seconds=30)
            )
            adapter: Any = hall.server.station(NAME)
            periods = await adapter.composite_schedule(1, duration_s=120)

        assert [period.current_ma for period in periods] == [11_000, 6_000]
        assert periods[1].start_s == pytest.approx(30, abs=5)

    in_hall(test)
