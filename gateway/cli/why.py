"""`headroom why`: the sentence behind a connector's limit, as the running daemon says it."""

import json
from pathlib import Path

import click
import msgspec

from gateway.adapters.status_socket import SNAPSHOT, Question, StatusUnavailableError
from gateway.cli.asking import said_by_daemon
from gateway.cli.failing import failing
from gateway.cli.state_folder import state_option
from gateway.domain.spelling import suggest
from gateway.services.snapshot import ConnectorView, Snapshot


@click.command("why")
@click.argument("connector", required=False)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why_command(connector: str | None, *, state: Path | None, as_json: bool) -> None:
    """Say why CONNECTOR's limit is what it is; without CONNECTOR, say it of all.

    The sentence is the one in the log and on the terminal view.

    \b
    headroom why CP-03/1
    headroom why CP-03/1 --json

    Exits with 1 when no daemon runs here, or it knows no such connector.
    """  # noqa: D301 - click's own mark
    with failing(StatusUnavailableError, LookupError, as_json=as_json):
        snapshot = fetch_snapshot(state)
        chosen = find_connectors(snapshot, connector)
    if as_json:
        answers = [msgspec.to_builtins(view) for view in chosen]
        click.echo(json.dumps(answers if connector is None else answers[0], indent=2))
        return
    for view in chosen:
        click.echo(f"{view.connector}: {view.why}")


def fetch_snapshot(state: Path | None) -> Snapshot:
    """Return what the running daemon shows.

    Raises:
        StatusUnavailableError: no daemon answers, or it speaks of other things than we know.
    """
    said, folder = said_by_daemon(state, Question(ask=SNAPSHOT))
    try:
        snapshot = msgspec.json.decode(said, type=Snapshot | None)
    except msgspec.MsgspecError as error:
        message = f"the daemon with the state folder {folder} is of another version: {error}"
        raise StatusUnavailableError(message) from error
    if snapshot is None:
        raise StatusUnavailableError("the daemon has only just started: ask again")
    return snapshot


def find_connectors(snapshot: Snapshot, name: str | None) -> tuple[ConnectorView, ...]:
    """Return the connector of that name, or all without a name.

    A station's name is enough where it has one connector only.

    Raises:
        LookupError: there is none; the message has the nearest name.
    """
    if name is None:
        return snapshot.connectors
    folded = name.casefold()
    found = [view for view in snapshot.connectors if view.connector.casefold() == folded]
    found = found or [
        view
        for view in snapshot.connectors
        if view.connector.rpartition("/")[0].casefold() == folded
    ]
    if len(found) == 1:
        return (found[0],)
    if found:
        names = ", ".join(view.connector for view in found)
        raise LookupError(f"{name} has several connectors: {names}")
    near = suggest(name, [view.connector for view in snapshot.connectors])
    raise LookupError(f"there is no connector {name}{near}")
