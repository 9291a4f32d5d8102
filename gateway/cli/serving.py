"""What every command that runs a daemon does alike: its settings, its signals, its end."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import uvloop

from gateway.adapters.clock import SystemClock
from gateway.bootstrap import describe_buses
from gateway.cli.failing import FAILED, REFUSED
from gateway.cli.wording import counted
from gateway.settings import Settings, SettingsRefusedError, load_site

_log = logging.getLogger(__name__)

STOPS_WITHIN_S = 25.0
"""A stop takes no longer, whatever hangs; the unit's TimeoutStopSec is above it."""

BOUNCE_S = 0.25
"""Nobody presses twice so fast: whoever started us and the terminal both passed one signal on."""

COLLECT_AFTER = 10_000
"""Objects made and not yet gone before the youngest are looked through: a few MB at most."""

STOPS = (signal.SIGTERM, signal.SIGINT)


def load_or_exit(path: Path) -> Settings:
    """Return the settings, or say everything that is wrong with them and exit with 2."""
    try:
        return load_site(path)
    except SettingsRefusedError as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on the event loop the daemon is measured with."""
    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def collect_seldom() -> None:
    """Leave what is loaded by now out of every later look for garbage, and look less often.

    All of it stays, and going through it again would stall the loop for a tenth of a second. What
    a decision makes is gone without such a look: hardly any of it points back at itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


class EarlySignals:
    """SIGTERM and SIGINT from before the event loop runs: nothing is cut short, and nothing lost.

    Left to Python, a SIGINT would break whatever is being done just then, and be lost where that
    catches everything. A start that is told to end and does not come to its loop is ended by the
    system `within_s` later.
    """

    def __init__(self, *, within_s: float = STOPS_WITHIN_S) -> None:
        """Begin to listen."""
        self.heard: signal.Signals | None = None
        self._within_s = within_s
        for number in STOPS:
            signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.heard is None:
            self.heard = signal.Signals(number)
            # No thread here: the handler may have interrupted the making of another.
            signal.setitimer(signal.ITIMER_REAL, self._within_s)
        else:
            os._exit(128 + number)


def stop_on_signals(
    stop: asyncio.Event, *, within_s: float = STOPS_WITHIN_S, early: EarlySignals | None = None
) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; the second ends the process at once.

    After the first the process ends `within_s`, in order or not, even if its loop hangs. One that
    follows within `BOUNCE_S` is the first one again. What was heard `early` counts.
    """
    loop, clock = asyncio.get_running_loop(), SystemClock()
    last_resort = threading.Timer(within_s, os._exit, [FAILED])
    last_resort.daemon = True  # It keeps nobody waiting who ends sooner.
    first_s: float | None = None

    def on_signal(number: signal.Signals) -> None:
        nonlocal first_s
        if first_s is not None:
            if clock.monotonic_s() - first_s > BOUNCE_S:
                os._exit(128 + number)
            return
        first_s = clock.monotonic_s()
        _log.info("%s: stopping; every limit lapses to its fallback", number.name)
        stop.set()
        last_resort.start()
        signal.setitimer(signal.ITIMER_REAL, 0)

    for number in STOPS:
        loop.add_signal_handler(number, on_signal, number)
    if early is not None and early.heard is not None:
        on_signal(early.heard)


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
