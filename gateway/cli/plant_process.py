"""The simulated building of the demo: another process, reached only over real protocols.

How the two speak, one JSON object a line:

* The plant is started as `python -m drivers.sim.live --site FILE --report FILE [--for SECONDS]
  --seed NUMBER`; `--site` is a `PlantOrder` in JSON.
* `guests` of it are vehicles that come when they are told to, in the place of what its connector drew.
* Once its meters listen, it says `{"buses": {BUS: {"tcp": {"host": …, "port": …}} or
  {"serial": {"port": …}}, …}}` on standard output.
* It is told `{"ocpp": "ws://HOST:PORT"}` on standard input; its stations connect, its time begins.
* What a guest was promised it is told as `{"promised": {"connector": …, "energy_wh": …}}`, for the report.
* What it does to the building it says as `{"said": "…"}`, for people.
* After `--for` seconds, or when its standard input ends, it writes the report and exits: with 0
  whatever the report says.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.domain.circuits import Site
from gateway.domain.errors import HeadroomError
from gateway.settings import SerialBus, Settings, TcpBus

LISTENS_WITHIN_S = 30.0
ENDS_WITHIN_S = 20.0
MAX_LINE_BYTES = 2**20


class PlantError(HeadroomError):
    """The simulated building did not do its part; the message says what is known of why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantBus:
    """A line the plant has to serve, and how."""

    id: str
    transport: str  # "tcp" or "rtu"
    baud: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantGuest:
    """A vehicle that comes to a connector (`CP-01/1`) at a second of the plant, and stays."""

    connector: str
    at_s: float
    energy_wh: int
    most_a: float
    phase_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantOrder:
    """The building to be simulated."""

    site: Site
    buses: tuple[PlantBus, ...]
    guests: tuple[PlantGuest, ...] = ()


class _Tcp(msgspec.Struct):
    host: str
    port: int


class _Serial(msgspec.Struct):
    port: str


class _Place(msgspec.Struct):
    tcp: _Tcp | None = None
    serial: _Serial | None = None


class _Word(msgspec.Struct):
    buses: dict[str, _Place] | None = None
    said: str | None = None


def order_of(settings: Settings, guests: tuple[PlantGuest, ...] = ()) -> PlantOrder:
    """Return what the plant has to be for these settings."""
    return PlantOrder(
        site=settings.site,
        buses=tuple(
            PlantBus(id=bus.id, transport="rtu", baud=bus.baud, format=bus.format)
            if isinstance(bus, SerialBus)
            else PlantBus(id=bus.id, transport="tcp")
            for bus in settings.buses
        ),
        guests=guests,
    )


class PlantProcess:
    """A plant that runs."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        """Take over a process whose standard streams are pipes and whose errors go to `log`."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._log = log

    async def wait_listening(
        self, buses: tuple[SerialBus | TcpBus, ...]
    ) -> tuple[SerialBus | TcpBus, ...]:
        """Return the buses as the plant serves them.

        Raises:
            PlantError: it ended, or did not listen in time.
        """
        try:
            async with asyncio.timeout(LISTENS_WITHIN_S):
                async for word in self._words():
                    if word.buses is not None:
                        return tuple(_moved(bus, word.buses) for bus in buses)
        except TimeoutError as error:
            raise PlantError("the simulated building does not start") from error
        raise PlantError(f"the simulated building ended at its start: {self._last_words()}")

    def connect_stations(self, url: str) -> None:
        """Tell the stations where to go; the plant's time begins."""
        self._stdin.write(msgspec.json.encode({"ocpp": url}) + b"\n")

    def tell_promise(self, connector: str, energy_wh: int) -> None:
        """Tell the plant what the guest that comes to a connector was promised."""
        promised = {"connector": connector, "energy_wh": energy_wh}
        self._stdin.write(msgspec.json.encode({"promised": promised}) + b"\n")

    async def said(self) -> AsyncIterator[str]:
        """Yield what the plant says for people, until it ends."""
        async for word in self._words():
            if word.said is not None:
                yield word.said

    async def end(self) -> None:
        """Let the plant write its report and end; somebody must hear what it says meanwhile.

        Raises:
            PlantError: it did not end in time, or it failed.
        """
        self._stdin.close()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                code = await self._process.wait()
        except TimeoutError as error:
            raise PlantError("the simulated building does not end") from error
        if code != 0:
            raise PlantError(f"the simulated building failed: {self._last_words()}")

    async def _words(self) -> AsyncIterator[_Word]:
        while line := await self._stdout.readline():
            try:
                yield msgspec.json.decode(line, type=_Word)
            except msgspec.MsgspecError as error:
                raise PlantError(f"the simulated building said {line[:200]!r}") from error

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return f"exit code {self._process.returncode}"


def _moved(bus: SerialBus | TcpBus, places: dict[str, _Place]) -> SerialBus | TcpBus:
    """Return the bus at the place where the plant serves it."""
    place = places.get(bus.id)
    if isinstance(bus, TcpBus) and place is not None and place.tcp is not None:
        return TcpBus(id=bus.id, host=place.tcp.host, port=place.tcp.port, timeout_s=bus.timeout_s)
    if isinstance(bus, SerialBus) and place is not None and place.serial is not None:
        return SerialBus(
            id=bus.id,
            port=place.serial.port,
            baud=bus.baud,
            format=bus.format,
            timeout_s=bus.timeout_s,
        )
    raise PlantError(f"the simulated building does not serve the bus {bus.id}")


@asynccontextmanager
async def running_plant(
    module: str,
    settings: Settings,
    *,
    folder: Path,
    report: Path,
    duration_s: float | None,
    seed: int,
    guests: tuple[PlantGuest, ...] = (),
) -> AsyncIterator[PlantProcess]:
    """Start the plant; in the end it is gone, whatever happened."""
    site = folder / "plant.json"
    site.write_bytes(msgspec.json.encode(order_of(settings, guests)))
    words = ["--site", str(site), "--report", str(report), "--seed", str(seed)]
    if duration_s is not None:
        words += ["--for", f"{duration_s:g}"]
    log = folder / "plant.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for us: the plant ends when we tell it.
        )
    try:
        yield PlantProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
