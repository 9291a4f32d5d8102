"""`headroom watch`: the terminal view of a daemon that runs on this machine."""

import contextlib
import json
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live

from gateway.adapters.status_socket import StatusUnavailableError
from gateway.cli.failing import failing
from gateway.cli.state_folder import state_option
from gateway.cli.view import render
from gateway.cli.why import fetch_snapshot

INTERVAL_S = 1.0


@click.command("watch")
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once.")
def watch_command(*, state: Path | None, as_json: bool) -> None:
    """Show every circuit and connector of the running daemon, live, until Ctrl-C.

    Where the output is no terminal, and as JSON, shows them once.

    Exits with 1 when no daemon runs here.
    """
    console = Console()
    with failing(StatusUnavailableError, as_json=as_json), contextlib.suppress(KeyboardInterrupt):
        if as_json:
            click.echo(json.dumps(msgspec.to_builtins(fetch_snapshot(state)), indent=2))
        elif console.is_terminal:
            _show(console, state)
        else:
            for line in render(fetch_snapshot(state), width=100):
                click.echo(line.plain.rstrip())


def _show(console: Console, state: Path | None) -> None:
    snapshot = fetch_snapshot(state)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = render(snapshot, width=console.width, height=console.height)
            live.update(Group(*lines), refresh=True)
            time.sleep(INTERVAL_S)  # noqa: TID251 - nothing else runs in this process
            snapshot = fetch_snapshot(state)
