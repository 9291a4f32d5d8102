"""What every command that runs a daemon does alike: its settings, its signals, its end."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import uvloop

from gateway.bootstrap import describe_buses
from gateway.cli.wording import counted
from gateway.settings import Settings, SettingsRefusedError, load_site

_log = logging.getLogger(__name__)

REFUSED = 2
FAILED = 1

STOPS_WITHIN_S = 25.0
"""A stop takes no longer, whatever hangs; the unit's TimeoutStopSec is above it."""


def load_or_exit(path: Path) -> Settings:
    """Return the settings, or say everything that is wrong with them and exit with 2."""
    try:
        return load_site(path)
    except SettingsRefusedError as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on the event loop the daemon is measured with."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def stop_on_signals(stop: asyncio.Event, *, within_s: float = STOPS_WITHIN_S) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; the second ends the process at once.

    After the first the process ends `within_s`, in order or not, even if its loop hangs.
    """
    loop = asyncio.get_running_loop()
    last_resort = threading.Timer(within_s, os._exit, [FAILED])
    last_resort.daemon = True  # It keeps nobody waiting who ends sooner.

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _log.info("%s: stopping; every limit lapses to its fallback", number.name)
        stop.set()
        last_resort.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def leave_stuck(names: Sequence[str]) -> NoReturn:
    """End the process though some services do not: what they hold, the system takes back."""
    with contextlib.suppress(Exception):
        click.echo(f"{', '.join(names)} did not end in time", err=True)
    os._exit(FAILED)


def start_report(settings: Settings, *, ocpp_port: int, state: Path) -> str:
    """Return in one line what listens where, what is read, who is awaited, and how to ask."""
    site, buses = settings.site, describe_buses(settings)
    meters = ", ".join(f"{m.id} ({buses[m.bus]}, unit {m.unit})" for m in site.meters) or "none"
    host = settings.listen.ocpp.host
    host = f"[{host}]" if ":" in host else host
    return (
        f"{site.name}: {counted(len(site.circuits), 'circuit')}; meters: {meters};"
        f" {counted(len(site.stations), 'station')} awaited at ws://{host}:{ocpp_port}/<id>;"
        f" ask with: headroom why CONNECTOR --state {state}"
    )
