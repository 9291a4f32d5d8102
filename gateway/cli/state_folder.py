"""Which folder a daemon keeps its state in, and where to ask it."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

SYSTEM_FOLDER = Path("/var/lib/headroom")
SYSTEM_SOCKET_FOLDER = Path("/run/headroom")
FOLDER_VARIABLE = "HEADROOM_STATE"
DEMO_PREFIX = "headroom-demo-"

state_option = click.option(
    "--state",
    "state",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The daemon's state folder [default: ${FOLDER_VARIABLE}, {SYSTEM_FOLDER}, or yours].",
)


def choose_state_folder(given: Path | None, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder: the one given, the environment's, the system's, or the user's own."""
    if given is not None:
        return given
    # systemd.exec(5): StateDirectory= is made and named by the service manager.
    for variable in (FOLDER_VARIABLE, "STATE_DIRECTORY"):
        if folder := environment.get(variable):
            return Path(folder)
    if os.access(SYSTEM_FOLDER, os.W_OK):
        return SYSTEM_FOLDER
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "headroom"


def choose_socket_folder(
    given: Path | None, *, environment: Mapping[str, str] = os.environ
) -> Path:
    """Return where a daemon answers: beside its state, or where the service manager says.

    There it answers even when the disk takes nothing any more.
    """
    if given is None and (folder := environment.get("RUNTIME_DIRECTORY")):
        return Path(folder)
    return choose_state_folder(given, environment=environment)


def folders_to_ask(
    given: Path | None, *, environment: Mapping[str, str] = os.environ
) -> list[Path]:
    """Return where a daemon may be asked, the likeliest first: a demo that runs comes last."""
    if given is not None:
        return [given, SYSTEM_SOCKET_FOLDER] if given == SYSTEM_FOLDER else [given]
    demos = Path(tempfile.gettempdir()).glob(f"{DEMO_PREFIX}*")
    mine = [demo for demo in demos if demo.stat().st_uid == os.getuid()]
    newest = sorted(mine, key=lambda demo: demo.stat().st_mtime, reverse=True)
    chosen = choose_state_folder(None, environment=environment)
    return list(dict.fromkeys([chosen, SYSTEM_SOCKET_FOLDER, SYSTEM_FOLDER, *newest]))
