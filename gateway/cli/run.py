"""`headroom run`: the daemon, in the foreground, as systemd or a person starts it."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import click

from gateway.adapters.log_output import logging_to
from gateway.adapters.status_socket import StatusUnavailableError, bind_status_socket
from gateway.bootstrap import Daemon, UnusableRequestError
from gateway.cli.serving import (
    FAILED,
    REFUSED,
    leave_stuck,
    load_or_exit,
    run_loop,
    start_report,
    stop_on_signals,
)
from gateway.cli.state_folder import choose_state_folder, state_option
from gateway.services.supervisor import ServiceEndedError
from gateway.settings import Settings
from gateway.settings.credentials import read_credentials

_log = logging.getLogger(__name__)


@click.command("run")
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    required=True,
    help="The site file.",
)
@state_option
@click.option("--verbose", is_flag=True, help="Log more than people need.")
@click.option("--json", "as_json", is_flag=True, help="Log JSON, one object a line.")
def run_command(config: Path, *, state: Path | None, verbose: bool, as_json: bool) -> None:
    """Control the site of a site file until SIGTERM or Ctrl-C.

    Logs to standard error. When it ends, however it ends, every limit lapses to its fallback.

    Exits with 0 when told to stop, 1 when it cannot go on, 2 when the site file is refused.
    """
    settings = load_or_exit(config)
    folder = choose_state_folder(state)
    level = logging.DEBUG if verbose else logging.INFO
    with logging_to(sys.stderr, level=level, as_json=as_json):
        code = _run(settings, folder)
    sys.exit(code)


def _run(settings: Settings, folder: Path) -> int:
    credentials = read_credentials(settings, environment=os.environ)
    for warning in settings.warnings:
        _log.warning("%s", warning.describe(str(settings.path)))
    for station, problem in credentials.problems.items():
        _log.warning("station %s: %s", station, problem)

    def on_ready(port: int) -> None:
        _log.info("%s", start_report(settings, ocpp_port=port, state=folder))

    try:
        with bind_status_socket(folder) as status:
            daemon = Daemon(settings, keys=credentials.keys, status=status)

            async def main() -> None:
                stop = asyncio.Event()
                stop_on_signals(stop)
                await daemon.run(stop=stop, on_ready=on_ready, on_stuck=leave_stuck)

            run_loop(main())
    except UnusableRequestError as error:
        _log.error("%s", error)
        return REFUSED
    except (ServiceEndedError, StatusUnavailableError) as error:
        _log.error("%s", error)
        return FAILED
    return 0
