"""A building under a daemon that is killed again and again; its stations keep logs of their own."""

import asyncio
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection

from drivers.sim.evse import Evse
from drivers.sim.generator import generate
from drivers.sim.live import BusOrder, LivePlant
from drivers.sim.scenario import Scenario, ScenarioKind, Visit
from drivers.sim.station_link import Point, StationLink, Word
from gateway.adapters import audit_chain
from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_rows import read_memory, write_record
from gateway.adapters.ledger_schema import LEDGER_NAME, open_ledger
from gateway.control.bounds import high_ma
from gateway.control.restore import last_alive, restore
from gateway.control.wiring import Wiring
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Site
from gateway.domain.events import TransactionEnded, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import (
    ConnectorMemory,
    Memory,
    RememberedLimit,
    StationMemory,
    TransactionMemory,
)
from gateway.settings import Settings, load_site
from tests.support.daemon_process import Process, daemon

STATION_COUNT = 8
BUSY_COUNT = 4  # Whose vehicles come and go all the time.
IN_FLIGHT_S = 1.2  # What was on its way when the daemon died has arrived, and is acted upon.
ROUNDING_MA = 100
LEASE_S = 75.0

CONNECTORS = "connectors: [{{id: 1, phases: [{phases}], max_a: 32, fallback_a: 6}}]"
STATION = "  - {{id: CP-{number:02}, circuit: carpark, auth: none, " + CONNECTORS + "}}"
SITE = """
site: {{name: Kill house, timezone: Europe/London, voltage_v: 230}}
buses: [{{id: plant, tcp: {{host: 127.0.0.1, port: {meter_port}}}}}]
meters:
  - {{id: main, bus: plant, unit: 1, profile: schneider_iem3000}}
  - {{id: carpark-meter, bus: plant, unit: 2, profile: schneider_iem3000}}
circuits:
  - {{id: supply, rating_a: 160, device: mccb, meter: main, worst_case_base_a: 60}}
  - {{id: carpark, parent: supply, rating_a: 100, device: mcb, meter: carpark-meter,
     worst_case_base_a: 5}}
stations:
{stations}
listen: {{ocpp: {{host: 127.0.0.1, port: {ocpp_port}}}, api: {{port: 0}}, metrics: {{port: 0}}}}
control: {{raise_after_s: 10}}
"""


def site_text(*, meter_port: int, ocpp_port: int) -> str:
    turns = ("L1, L2, L3", "L2, L3, L1", "L3, L1, L2")
    stations = [
        STATION.format(number=number, phases=turns[number % 3])
        for number in range(1, STATION_COUNT + 1)
    ]
    return SITE.format(meter_port=meter_port, ocpp_port=ocpp_port, stations="\n".join(stations))


@dataclass(kw_only=True)
class StationLog:
    """What one station knows for sure: what was acknowledged to it, under which name."""

    begun: dict[TransactionId, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Raise:
    """A limit that was sent and is higher than the one in force before it."""

    at_s: float
    connector: ConnectorRef
    before_a: float
    after_a: float


class _Witness:
    """A charge point whose words are noted once they have been answered."""

    def __init__(self, point: Point, link: StationLink, log: StationLog) -> None:
        self._point, self._link, self._log = point, link, log

    async def start(self) -> None:
        await self._point.start()

    async def beat(self) -> None:
        await self._point.beat()

    async def say(self, word: Word) -> None:
        await self._point.say(word)
        match word.event:
            case TransactionStarted(transaction=transaction):
                name = self._link.told.get(transaction)  # 1.6: the number it was given.
                self._log.begun[transaction] = transaction if name is None else str(name)
            case TransactionEnded(transaction=transaction) if transaction in self._log.begun:
                self._log.over.add(self._log.begun[transaction])
            case _:
                pass


def busy(site: Site, *, seed: int, duration_s: float) -> Scenario:
    """Return a day on which half the connectors have a new vehicle every quarter of a minute."""
    drawn = generate(ScenarioKind.DEMO, seed, duration_s=duration_s, site=site)
    rng = Random(f"kill house/{seed}")
    visits: list[Visit] = []
    for number, visit in enumerate(sorted(drawn.visits, key=lambda v: v.connector)):
        early = replace(visit, at_s=rng.uniform(1.0, 3.0))
        if number >= BUSY_COUNT:
            visits.append(early)
            continue
        at_s = early.at_s
        while at_s < duration_s:
            leave_s = at_s + rng.uniform(6.0, 20.0)
            visits.append(replace(early, at_s=at_s, leave_s=leave_s))
            at_s = leave_s + rng.uniform(1.0, 4.0)
    versions = (OcppVersion.V16, OcppVersion.V201)
    stations = tuple(
        replace(
            traits,
            ocpp_version=versions[number % 2],
            sample_interval_s=10.0,
            is_watts_only=False,
            clock_skew_s=0.0,
        )
        for number, traits in enumerate(drawn.stations)
    )
    return replace(
        drawn,
        stations=stations,
        visits=tuple(sorted(visits, key=lambda v: (v.at_s, v.connector))),
        faults=(),
        steps=(),
    )


@dataclass(kw_only=True)
class KillHouse:
    """The building, its stations' logs, and the daemon's state folder."""

    settings: Settings
    config: Path
    state: Path
    plant: LivePlant
    logs: dict[StationId, StationLog]
    raises: list[Raise]
    connected_s: dict[StationId, float]
    """When each station last connected, in the world's seconds."""

    @property
    def now_s(self) -> float:
        return self.plant._pace.catch_up()

    @property
    def evses(self) -> dict[ConnectorRef, Evse]:
        return {
            evse.connector.ref: evse
            for station in self.plant._world.stations.values()
            for evse in station.evses.values()
        }

    def remember(self) -> Memory:
        """Return what a daemon that starts now would find, without touching it."""
        with tempfile.TemporaryDirectory() as folder:
            for path in self.state.glob(f"{LEDGER_NAME}*"):
                shutil.copy(path, folder)
            with closing(sqlite3.connect(Path(folder) / LEDGER_NAME)) as reading:
                assert audit_chain.verify(reading) is None
                return read_memory(reading)

    def forgotten_limits(self, memory: Memory) -> list[str]:
        """Return the limits in force that a daemon starting now would not count."""
        clock = SystemClock()
        now, now_s = clock.moment(), clock.monotonic_s()
        state = restore(
            Wiring.of(self.settings.site),
            self.settings.control,
            memory,
            alive=last_alive(memory.run, now),
            now=now,
            now_s=now_s,
        ).state
        evses, forgotten = self.evses, []
        for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True):
            station = state.stations[connector.ref.station]
            counted_ma = high_ma(connector, belief, station, state.parameters, now_s, is_over=False)
            in_force_ma = evses[connector.ref].limit_a * 1_000
            if counted_ma + ROUNDING_MA < in_force_ma:
                forgotten.append(f"{connector.ref}: {in_force_ma:.0f} mA, counted {counted_ma}")
        return forgotten

    def lost_transactions(self, memory: Memory) -> list[str]:
        """Return what was acknowledged to a station and is not as it was in the ledger."""
        kept = {(t.station, str(t.transaction)): t for t in memory.transactions}
        lost = []
        for station, log in self.logs.items():
            running = {
                log.begun[e.transaction]
                for e in self.plant._world.stations[station].evses.values()
                if e.transaction is not None and e.transaction in log.begun
            }
            for name in log.begun.values():
                record: TransactionMemory | None = kept.get((station, name))
                if record is None:
                    lost.append(f"{station} {name}: its start")
                elif name in log.over and not record.is_over:
                    lost.append(f"{station} {name}: its end")
                elif name in running and record.is_over:
                    lost.append(f"{station} {name}: it runs, and is said to be over")
        return lost

    def be_eager(self) -> None:
        """Have stations that found nobody for a while come back at once, not in half a minute."""
        for link in self.plant._links.values():
            link._back_off_s = 0.5

    def awaited(self) -> set[StationId]:
        """Return the stations that have a lease in force now."""
        return {ref.station for ref, evse in self.evses.items() if evse.is_leased}

    @asynccontextmanager
    async def a_life(self) -> AsyncIterator[Process]:
        """Run a daemon; it is killed in the end."""
        async with daemon(self.config, self.state) as process:
            await process.ocpp_port()
            yield process
            process.process.kill()
            await process.process.wait()


@asynccontextmanager
async def kill_house(folder: Path, *, seed: int, duration_s: float) -> AsyncIterator[KillHouse]:
    """Build it around a plant in this process; every station is commissioned, and known to be."""
    ocpp_port = _free_port()
    config, state = folder / "site.yaml", folder / "state"
    state.mkdir(mode=0o700)
    await asyncio.to_thread(config.write_text, site_text(meter_port=1, ocpp_port=ocpp_port))
    site = load_site(config).site
    plant = LivePlant(
        busy(site, seed=seed, duration_s=duration_s), (BusOrder(id="plant", transport="tcp"),)
    )
    logs = {station.id: StationLog() for station in site.stations}
    raises: list[Raise] = []
    connected_s: dict[StationId, float] = {}
    _bear_witness(plant, logs, raises, connected_s)
    async with AsyncExitStack() as stack:
        places: dict[str, Any] = await plant.serve_meters(stack)
        text = site_text(meter_port=places["plant"]["tcp"]["port"], ocpp_port=ocpp_port)
        await asyncio.to_thread(config.write_text, text)
        settings = load_site(config)
        _commission(state, settings.site)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(
                plant.live(f"ws://127.0.0.1:{ocpp_port}", until_s=duration_s, stop=stop)
            )
            yield KillHouse(
                settings=settings,
                config=config,
                state=state,
                plant=plant,
                logs=logs,
                raises=raises,
                connected_s=connected_s,
            )
            stop.set()
            await living


def _bear_witness(
    plant: LivePlant,
    logs: dict[StationId, StationLog],
    raises: list[Raise],
    connected_s: dict[StationId, float],
) -> None:
    world = plant._world
    watch = world.watch_limit

    def watch_limit(evse: Evse, before_a: float, at_s: float, *, was_sent: bool) -> None:
        watch(evse, before_a, at_s, was_sent=was_sent)
        if was_sent and evse.limit_a > before_a:
            raises.append(
                Raise(
                    at_s=at_s,
                    connector=evse.connector.ref,
                    before_a=before_a,
                    after_a=evse.limit_a,
                )
            )

    world.watch_limit = watch_limit  # type: ignore[method-assign]
    for station, link in plant._links.items():
        make = link._make_point

        def witness(
            link: StationLink,
            connection: ClientConnection,
            make: Any = make,
            station: StationId = station,
        ) -> Point:
            connected_s[station] = plant._pace.now_s
            return _Witness(make(link, connection), link, logs[station])

        link._make_point = witness


def _commission(state: Path, site: Site) -> None:
    """Write what commissioning would have proven: stations that obey and fall back."""
    with closing(
        open_ledger(state / LEDGER_NAME, site=site.name, now_at=SystemClock().now_at())
    ) as ledger:
        for station in site.stations:
            write_record(
                ledger,
                StationMemory(
                    station=station.id,
                    is_proven=True,
                    is_dead_man_proven=True,
                    vendor="Sim",
                    model="S1",
                    firmware="1.0",
                ),
            )
            for connector in station.connectors:
                at_rest = RememberedLimit(limit_ma=connector.fallback_ma, is_leased=False)
                write_record(
                    ledger,
                    ConnectorMemory(
                        connector=connector.ref,
                        limits=(at_rest,),
                        max_ma=connector.max_ma,
                        fallback_ma=connector.fallback_ma,
                    ),
                )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
