"""`headroom run`: the daemon, in the foreground, as systemd or a person starts it."""

import asyncio
import faulthandler
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.adapters.log_output import logging_to
from gateway.adapters.sd_notify import SdNotify
from gateway.adapters.state_lock import StateFolderError, holding_state
from gateway.adapters.status_socket import (
    SocketFolderError,
    StatusUnavailableError,
    bind_status_socket,
)
from gateway.bootstrap import Daemon, UnusableRequestError
from gateway.cli.failing import FAILED, REFUSED
from gateway.cli.serving import (
    EarlySignals,
    leave_stuck,
    run_loop,
    start_report,
    stop_on_signals,
)
from gateway.cli.site_choice import CONFIGURATION, SiteChoice, choose_site, keep_site
from gateway.cli.site_option import site_option
from gateway.cli.state_folder import choose_socket_folder, choose_state_folder, state_option
from gateway.services.supervisor import ServiceEndedError
from gateway.settings import SettingsRefusedError
from gateway.settings.credentials import read_credentials, read_hooks

_log = logging.getLogger(__name__)

OPENING_S = 300.0
"""What a large ledger on a slow card may take to be checked, or brought to a new version."""


@click.command("run")
@site_option()
@state_option
@click.option("--verbose", is_flag=True, help="Log more than people need.")
@click.option("--json", "as_json", is_flag=True, help="Log JSON, one object a line.")
def run_command(config: Path, *, state: Path | None, verbose: bool, as_json: bool) -> None:
    """Control the site of a site file until SIGTERM or Ctrl-C.

    Logs to standard error. When it ends, however it ends, every limit lapses to its fallback.

    A site file that is refused is no reason to leave a building at its fallbacks: the last one
    that ran is run instead, with an alarm, where the state folder holds one.

    Exits with 0 when told to stop, 1 when it cannot go on, 2 when the site file is refused and
    none that ran can stand in for it.
    """
    early = EarlySignals()
    folder = choose_state_folder(state)
    try:
        choice = choose_site(config.absolute(), folder)
    except SettingsRefusedError as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)
    # Whoever ends us for being stuck (a watchdog's SIGABRT) gets to see where.
    faulthandler.enable()
    level = logging.DEBUG if verbose else logging.INFO
    with logging_to(sys.stderr, level=level, as_json=as_json):
        code = _run(choice, folder, choose_socket_folder(state), early)
    sys.exit(code)


def _run(choice: SiteChoice, folder: Path, socket_folder: Path, early: EarlySignals) -> int:
    settings = choice.settings
    credentials = read_credentials(settings, environment=os.environ)
    for warning in settings.warnings:
        _log.warning("%s", warning.describe(str(settings.path)))
    for station, problem in credentials.problems.items():
        _log.warning("station %s: %s", station, problem)
    hooks, unheard = read_hooks(settings, environment=os.environ)
    try:
        with holding_state(folder), _socket_in(socket_folder) as status:
            manager = SdNotify(os.environ)
            manager.needs_time(OPENING_S, "opening the ledger")
            daemon = Daemon(
                settings,
                keys=credentials.keys,
                status=status,
                manager=manager,
                folder=folder,
                hooks=hooks,
            )
            for hook, problem in unheard.items():
                daemon.alarms.sound(f"webhook {hook}", problem)
            if choice.alarm is not None:
                daemon.alarms.sound(CONFIGURATION, choice.alarm)
            run_loop(_serve(daemon, choice, folder, early))
    except UnusableRequestError as error:
        _log.error("%s", error)
        return REFUSED
    except (ServiceEndedError, StateFolderError, StatusUnavailableError) as error:
        _log.error("%s", error)
        return FAILED
    return 0


@contextmanager
def _socket_in(folder: Path) -> Iterator[socket.socket | Path]:
    """Lend the status socket; or its folder, where a full disk is no reason not to control."""
    try:
        status = bind_status_socket(folder)
    except SocketFolderError:
        yield folder
        return
    with status:
        yield status


async def _serve(daemon: Daemon, choice: SiteChoice, folder: Path, early: EarlySignals) -> None:
    def on_ready(port: int) -> None:
        _log.info("%s", start_report(choice.settings, ocpp_port=port, state=folder))

    async def on_good() -> None:
        if choice.alarm is None:
            await keep_site(choice.settings, folder, daemon.alarms)

    stop = asyncio.Event()
    stop_on_signals(stop, early=early)
    await daemon.run(stop=stop, on_ready=on_ready, on_stuck=leave_stuck, on_good=on_good)
