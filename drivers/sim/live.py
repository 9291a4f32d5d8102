"""The simulated building as a process: its meters and stations behind real protocols.

`gateway/cli/plant_process.py` says how it is started and spoken to. It ends by itself after
`--for` seconds, when its standard input ends (whoever started it is gone), or at SIGTERM.
"""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from drivers.sim.demonstration import EARLY_S, Guest, demonstrate
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.live_meters import ServedMeter, serving_rtu, serving_tcp
from drivers.sim.pace import WARM_UP_S, Pace
from drivers.sim.point16 import Point16
from drivers.sim.point201 import Point201
from drivers.sim.register_map import UnservableMeterError
from drivers.sim.report import report_of
from drivers.sim.scenario import Scenario, Visit
from drivers.sim.station import Station
from drivers.sim.station_link import StationLink
from drivers.sim.world import World
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Site
from gateway.domain.events import StationEvent
from gateway.domain.ids import MeterId, StationId

ENDLESS_S = 86_400.0  # What a run without an end is drawn for; after it nothing new happens.
CONNECTS_WITHIN_S = 3.0  # A station, from the start or from the end of what kept it away.

BEGINNINGS = {
    FaultKind.BASE_STEP: "{subject}: {value:g} A more on each phase, unannounced",
    FaultKind.METER_LOST: "{subject} goes mute",
    FaultKind.METER_FROZEN: "{subject} repeats itself",
    FaultKind.METER_NAN: "{subject} answers without values",
    FaultKind.STATION_LOST: "{subject} loses its connection",
    FaultKind.STATION_DISOBEDIENT: "{subject} accepts limits and ignores them",
    FaultKind.STATION_WATTS_ONLY: "{subject} takes its limits in watts only",
}
ENDINGS = {
    FaultKind.BASE_STEP: "{subject}: the {value:g} A are gone again",
    FaultKind.METER_LOST: "{subject} answers again",
    FaultKind.METER_FROZEN: "{subject} tells the truth again",
    FaultKind.METER_NAN: "{subject} has values again",
    FaultKind.STATION_LOST: "{subject} may connect again",
    FaultKind.STATION_DISOBEDIENT: "{subject} obeys again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOrder:
    """A line to serve: `transport` is tcp or rtu."""

    id: str
    transport: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The building to be."""

    site: Site
    buses: tuple[BusOrder, ...]
    guests: tuple[Guest, ...] = ()


def say(**word: object) -> None:
    """Say one JSON object on standard output; nobody hearing it any more is no harm."""
    try:
        sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        pass


def link_of(station: Station, pace: Pace, answer_times_s: list[float]) -> StationLink:
    """Return the connection of a station, in the version it speaks."""
    is_16 = station.traits.ocpp_version is OcppVersion.V16
    return StationLink(
        station,
        pace,
        make_point=Point16 if is_16 else Point201,
        rng=pace.world.stream(f"link/{station.id}"),
        answer_times_s=answer_times_s,
    )


class LivePlant:
    """A scenario in real time."""

    def __init__(self, scenario: Scenario, buses: tuple[BusOrder, ...]) -> None:
        """Build it; nothing is served yet.

        Raises:
            UnservableMeterError: the plant cannot be one of the meters.
        """
        self._buses = buses
        self._links: dict[StationId, StationLink] = {}
        self._answer_times_s: list[float] = []
        self._promised_wh: dict[str, float] = {}
        self._world = World(scenario, on_word=self._hear, on_gateway_fault=_ignore)
        self._pace = Pace(self._world)
        self._meters = {
            name: ServedMeter(meter, self._pace) for name, meter in self._world.meters.items()
        }
        for name, station in self._world.stations.items():
            self._links[name] = link_of(station, self._pace, self._answer_times_s)
        self._announce(scenario)
        self._hasten(scenario)
        self._pace.warm_up()

    def _announce(self, scenario: Scenario) -> None:
        """Have said what is done to the building, when it is."""
        agenda = self._world.agenda
        for fault in scenario.faults:
            agenda.add(max(fault.at_s, CONNECTS_WITHIN_S), _tell_beginning, fault)
            agenda.add(fault.until_s, _tell_end, fault)
        for visit in scenario.visits:
            if visit.at_s > EARLY_S:
                agenda.add(visit.at_s, _tell_arrival, visit)

    def _hasten(self, scenario: Scenario) -> None:
        """Have the stations connect sooner than the world would: a demo is short."""
        rng = self._world.stream("hasten")
        returns = [
            (fault.until_s, StationId(fault.subject))
            for fault in scenario.faults
            if fault.kind is FaultKind.STATION_LOST
        ]
        for from_s, name in [*((WARM_UP_S, name) for name in self._links), *returns]:
            at_s = from_s + rng.uniform(0.1, CONNECTS_WITHIN_S)
            self._world.agenda.add(at_s, self._world.stations[name].raise_link)

    def _hear(self, station: Station, event: StationEvent) -> None:
        self._links[station.id].hear(event)

    async def serve_meters(self, stack: AsyncExitStack) -> dict[str, Any]:
        """Serve every line until `stack` is closed; return where each is."""
        places: dict[str, Any] = {}
        for bus in self._buses:
            on_bus = [m for n, m in self._meters.items() if self._bus_of(n) == bus.id]
            rng = self._world.stream(f"bus/{bus.id}")
            if bus.transport == "tcp":
                port = await stack.enter_async_context(serving_tcp(on_bus, rng))
                places[bus.id] = {"tcp": {"host": "127.0.0.1", "port": port}}
            else:
                path = await stack.enter_async_context(serving_rtu(on_bus, rng))
                places[bus.id] = {"serial": {"port": path}}
        return places

    async def live(self, url: str, *, until_s: float, stop: asyncio.Event) -> None:
        """Let time pass, with the stations connecting to `url`, until its end or `stop`."""
        self._pace.begin()
        async with asyncio.TaskGroup() as tasks:
            for name, link in self._links.items():
                tasks.create_task(link.run(url), name=f"station {name}")
            passing = tasks.create_task(self._pace.run(until_s), name="time")
            stopping = tasks.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait([passing, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for link in self._links.values():
                    link.close()
                passing.cancel()
                stopping.cancel()

    def note_promise(self, connector: str, energy_wh: float) -> None:
        """Know what the guest of a connector was promised."""
        self._promised_wh[connector] = energy_wh

    def report(self) -> bytes:
        """Return the report, as JSON."""
        transport_of = {bus.id: bus.transport for bus in self._buses}
        transports = {name: transport_of[self._bus_of(name)] for name in self._meters}
        report = report_of(
            self._world,
            answer_times_s=self._answer_times_s,
            transports=transports,
            promised_wh=self._promised_wh,
        ).as_json()
        return msgspec.json.format(msgspec.json.encode(report), indent=1)

    def _bus_of(self, meter: MeterId) -> str:
        return self._world.meters[meter].declared.bus


def _ignore(_fault: Fault, _begins: bool) -> None:  # noqa: FBT001 - a callback has no keywords
    """Do nothing: no fault here is the gateway's own."""


def _tell_beginning(at_s: float, fault: Fault) -> None:
    _tell(at_s, BEGINNINGS, fault)


def _tell_end(at_s: float, fault: Fault) -> None:
    _tell(at_s, ENDINGS, fault)


def _tell(at_s: float, sentences: dict[FaultKind, str], fault: Fault) -> None:
    if sentence := sentences.get(fault.kind):
        said = sentence.format(subject=fault.subject, value=fault.value)
        say(said=f"{at_s:.0f} s: {said}")


def _tell_arrival(at_s: float, visit: Visit) -> None:
    say(said=f"{at_s:.0f} s: a vehicle arrives at {visit.connector}")


async def _run(order: Order, *, report: Path, duration_s: float | None, seed: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), sys.stdin)
    until_s = ENDLESS_S if duration_s is None else duration_s
    scenario = demonstrate(order.site, seed=seed, duration_s=until_s, guests=order.guests)
    plant = LivePlant(scenario, order.buses)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        say(buses=await plant.serve_meters(stack))
        line = await reader.readline()
        if line:
            watching = tasks.create_task(_watch(reader, plant, stop), name="standard input")
            url = msgspec.json.decode(line)["ocpp"]
            await plant.live(
                url, until_s=float("inf") if duration_s is None else duration_s, stop=stop
            )
            watching.cancel()
    part = report.with_suffix(".part")
    part.write_bytes(plant.report())
    part.replace(report)


async def _watch(reader: asyncio.StreamReader, plant: LivePlant, stop: asyncio.Event) -> None:
    """Hear of promises; stop when standard input ends: who listens wants the report, or is gone."""
    while line := await reader.readline():
        promise = msgspec.json.decode(line)["promised"]
        plant.note_promise(promise["connector"], promise["energy_wh"])
    stop.set()


def main() -> None:
    """Run the plant as it is asked for on the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--site", type=Path, required=True)
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--for", type=float, dest="duration_s")
    options.add_argument("--seed", type=int, required=True)
    given = options.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("ocpp.plant").setLevel(logging.ERROR)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    order = msgspec.json.decode(given.site.read_bytes(), type=Order)
    try:
        asyncio.run(_run(order, report=given.report, duration_s=given.duration_s, seed=given.seed))
    except UnservableMeterError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
