"""`headroom demo`: the daemon on a simulated building, to be looked at, and judged by the building."""

import asyncio
import contextlib
import json
import logging
import re
import shutil
import sys
import tempfile
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live

import gateway
from gateway.adapters.log_output import logging_to
from gateway.adapters.status_socket import StatusUnavailableError, bind_status_socket
from gateway.bootstrap import Daemon, UnusableRequestError
from gateway.cli.demo_story import Story
from gateway.cli.failing import FAILED, REFUSED
from gateway.cli.plant_process import PlantError, PlantProcess, running_plant
from gateway.cli.serving import (
    leave_stuck,
    load_or_exit,
    run_loop,
    start_report,
    stop_on_signals,
)
from gateway.cli.state_folder import DEMO_PREFIX
from gateway.cli.view import render
from gateway.cli.wording import counted
from gateway.services.supervisor import ServiceEndedError
from gateway.settings import ListenAddress, Settings

_log = logging.getLogger(__name__)

PLANT_MODULE = "drivers.sim.live"
CONFIG = Path("config") / "site.demo.yaml"
GRACE_S = 90.0
"""How much longer than asked for the plant may take, its start and its report included."""

VIEW_INTERVAL_S = 0.5
UNITS_S = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600}


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m or h."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|)", str(value))
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no duration, such as 60s, 5m or 1h", param, ctx)
        return float(found[1]) * UNITS_S[found[2]]


@dataclass(kw_only=True)
class _Demo:
    """One demo, from its folder to its verdict."""

    settings: Settings
    folder: Path
    report: Path
    duration_s: float | None
    seed: int
    plant_module: str
    console: Console | None
    """Where to show the view; None for the log alone."""
    ticker: deque[str] = field(default_factory=lambda: deque(maxlen=3))
    told: deque[str] = field(default_factory=lambda: deque(maxlen=2))
    failure: str | None = None
    story: Story | None = None

    async def run(self) -> None:
        """Run daemon and plant until the plant is over or a signal comes."""
        async with running_plant(
            self.plant_module,
            self.settings,
            folder=self.folder,
            report=self.report,
            duration_s=self.duration_s,
            seed=self.seed,
            guests=() if self.story is None else self.story.plant_guests,
        ) as plant:
            buses = await plant.wait_listening(self.settings.buses)
            free = ListenAddress(host="127.0.0.1", port=0)
            listen = replace(self.settings.listen, ocpp=free, api=free)
            settings = replace(self.settings, buses=buses, listen=listen)
            if self.story is not None:
                settings = replace(settings, site=self.story.lowered())
            with bind_status_socket(self.folder) as status:
                keys = dict.fromkeys(settings.credentials)
                daemon = Daemon(settings, keys=keys, status=status, folder=self.folder)
                await self._run_both(settings, daemon, plant)

    async def _run_both(self, settings: Settings, daemon: Daemon, plant: PlantProcess) -> None:
        asked, stop = asyncio.Event(), asyncio.Event()
        stop_on_signals(asked)

        def on_ready(port: int) -> None:
            _log.info("%s", start_report(settings, ocpp_port=port, state=self.folder))
            plant.connect_stations(f"ws://127.0.0.1:{port}")

        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(plant, asked, stop), name="plant")
            showing = tasks.create_task(self._show(daemon), name="view")
            telling = tasks.create_task(self._tell(daemon, plant, stop), name="story")
            try:
                await daemon.run(stop=stop, on_ready=on_ready, on_stuck=leave_stuck)
            except ServiceEndedError as error:
                self.failure = str(error)
            following.cancel()
            showing.cancel()
            telling.cancel()

    async def _follow(self, plant: PlantProcess, asked: asyncio.Event, stop: asyncio.Event) -> None:
        """Wait until the plant is over or a person has seen enough; then stop the daemon.

        The plant ends first: it would rightly call it a fault if its gateway went away.
        """
        limit_s = None if self.duration_s is None else self.duration_s + GRACE_S
        try:
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(self._hear(plant), name="hear the plant")
                asking = tasks.create_task(asked.wait(), name="asked to end")
                done, _ = await asyncio.wait(
                    [hearing, asking], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
                )
                asking.cancel()
                if not done:
                    self.failure = "the simulated building does not come to an end"
                await plant.end()
        except ExceptionGroup as failures:
            known, unknown = failures.split(PlantError)
            if known is None or unknown is not None:
                raise
            self.failure = str(known.exceptions[0])
        finally:
            stop.set()

    async def _hear(self, plant: PlantProcess) -> None:
        async for said in plant.said():
            _log.info("plant: %s", said)
            self.ticker.append(said)

    async def _tell(self, daemon: Daemon, plant: PlantProcess, stop: asyncio.Event) -> None:
        """Tell the story, as soon as there is an API to tell it through, until `stop`."""
        if self.story is None:
            return
        while (url := daemon.api_url) is None:  # noqa: ASYNC110 - the view looks at it so, too
            await asyncio.sleep(VIEW_INTERVAL_S)
        async with asyncio.TaskGroup() as tasks:
            told = self.story.tell(url, self.folder, self._say, plant.tell_promise)
            telling = tasks.create_task(told, name="tell")
            await stop.wait()
            telling.cancel()  # Before the API ends: it would wait for who still listens.

    def _say(self, words: str) -> None:
        _log.info("story: %s", words)
        self.told.append(words)

    def _lately(self) -> list[str]:
        """Return three lines: the story's last ones stay until there are newer ones."""
        return [*self.told, *list(self.ticker)[len(self.told) - 3 :]]

    async def _show(self, daemon: Daemon) -> None:
        if self.console is None:
            return
        console = self.console
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                snapshot = daemon.snapshot()
                if snapshot is not None:
                    lines = render(
                        snapshot,
                        width=console.width,
                        height=console.height,
                        ticker=self._lately(),
                    )
                    # A terminal that takes nothing must hold up no decision.
                    await asyncio.to_thread(live.update, Group(*lines), refresh=True)
                await asyncio.sleep(VIEW_INTERVAL_S)


@click.command("demo")
@click.option("--for", "duration_s", type=Duration(), help="How long, such as 60s [no end].")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the report."
)
@click.option("--no-browser", is_flag=True, help="Open no browser; nothing opens one yet.")
@click.option("-c", "--config", "config", type=click.Path(path_type=Path), help="The site file.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Another day with each number.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and no view.")
@click.option("--plant", "plant_module", default=PLANT_MODULE, hidden=True)
def demo_command(
    *,
    duration_s: float | None,
    report: Path | None,
    no_browser: bool,
    config: Path | None,
    seed: int,
    as_json: bool,
    plant_module: str,
) -> None:
    """Run a simulated building with real protocols, and show it on the terminal.

    Meters and charging stations are simulated in a process of their own, on free ports of this
    machine. Things go wrong in the building while it runs; it reports what came of it.

    Nobody outside hears of it: the webhooks of the site file are not called.

    Exits with 0 only if the building saw no invariant violated.
    """
    del no_browser
    if report is not None and not report.absolute().parent.is_dir():
        raise click.UsageError(f"there is no folder {report.parent} to write the report to")
    settings = load_or_exit(config or _find_config())
    terminal = Console()
    folder = Path(tempfile.mkdtemp(prefix=DEMO_PREFIX))
    demo = _Demo(
        settings=settings,
        folder=folder,
        report=folder / "report.json",
        duration_s=duration_s,
        seed=seed,
        plant_module=plant_module,
        story=Story.of(settings.site, duration_s),
        console=terminal if terminal.is_terminal and not as_json else None,
    )
    with ExitStack() as log:
        stream = sys.stderr
        if demo.console is not None:
            stream = log.enter_context((folder / "headroom.log").open("w", encoding="utf-8"))
        log.enter_context(logging_to(stream))
        try:
            run_loop(demo.run())
        except (PlantError, StatusUnavailableError) as error:
            demo.failure = str(error)
        except UnusableRequestError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(REFUSED)
    sys.exit(_conclude(demo, report, as_json=as_json))


def _find_config() -> Path:
    """Return the demo's site file: here, or where Headroom was cloned."""
    beside = Path(gateway.__file__).parent.parent / CONFIG
    return CONFIG if CONFIG.exists() else beside


def _conclude(demo: _Demo, copy_to: Path | None, *, as_json: bool) -> int:
    """Say what came of it; return the exit code. What explains a failure is kept."""
    text = demo.report.read_text(encoding="utf-8") if demo.report.exists() else None
    if text is not None and copy_to is not None:
        copy_to.write_text(text, encoding="utf-8")
    if text is not None and as_json:
        click.echo(text)
    report: dict[str, Any] | None = None
    with contextlib.suppress(ValueError):
        report = None if text is None else json.loads(text)
    if demo.failure is None and report is None:
        demo.failure = "the simulated building wrote no report that can be read"
    if report is not None and not as_json:
        for line in _summary(report):
            click.echo(line)
    violated = None if report is None else report.get("invariants_violated")
    if demo.failure is None and violated == 0:
        shutil.rmtree(demo.folder, ignore_errors=True)
        return 0
    reason = demo.failure or f"invariants violated: {violated}"
    click.echo(f"Error: {reason}; the logs are in {demo.folder}", err=True)
    return FAILED


def _summary(report: dict[str, Any]) -> list[str]:
    """Return what a person wants to know of a report."""
    lines = [
        f"{circuit['id']}: at most {circuit['peak_ratio']:.0%} of {circuit['rating_a']:g} A,"
        f" {circuit['over_rating_s']:.0f} s over its rating"
        for circuit in report.get("circuits", ())
    ]
    faults = report.get("faults", ())
    kinds = ", ".join(fault["kind"] for fault in faults) or "none"
    lines.append(f"{counted(len(faults), 'fault')}: {kinds}")
    latency = report.get("limit_latency_s") or {}
    if latency.get("p99") is not None:
        lines.append(f"limits in force after {latency['p50']:.2f} s, p99 {latency['p99']:.2f} s")
    if report.get("energy_vs_omniscient") is not None:
        lines.append(
            f"{report['energy_vs_omniscient']:.0%} of the energy an omniscient sharer gives"
        )
    lines.append(f"invariants violated: {report.get('invariants_violated')}")
    return lines
