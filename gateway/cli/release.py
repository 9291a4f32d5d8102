"""`headroom release`: a person says that what was stopped or tripped may go on."""

import getpass
import json
import os
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.adapters.status_socket import CIRCUIT, RELEASE, Question, StatusUnavailableError
from gateway.cli.asking import DaemonRefusesError, answer_of
from gateway.cli.failing import failing
from gateway.cli.state_folder import state_option


@click.command("release")
@click.argument("circuit", required=False)
@click.option("--by", "by", help="Who says so, for the log [default: the user who types it].")
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def release_command(
    circuit: str | None, by: str | None, *, state: Path | None, as_json: bool
) -> None:
    """Let the site charge again after its stop input stopped everything.

    With CIRCUIT: close the trip output that opened that circuit, end its lockout, and believe its
    meter again where that was doubted.

    Make sure first that what it was pressed, or opened, for is over. It is refused while the input
    still asks for a stop or the circuit is over its rating, or while either does not answer.

    \b
    headroom release
    headroom release carpark
    headroom release --by "J. Smith, fire warden"

    Exits with 1 when it is refused, nothing is stopped, open, locked out or doubted, or no daemon runs
    here.
    """  # noqa: D301 - click's own mark
    with failing(StatusUnavailableError, DaemonRefusesError, as_json=as_json):
        answer = release(state, by=by or who_asks(), circuit=circuit)
    click.echo(json.dumps(answer) if as_json else _in_words(answer, circuit))


def _in_words(answer: Mapping[str, object], circuit: str | None) -> str:
    """Return what a release has done, for people."""
    if circuit is None:
        return "Released: the site charges again."
    done = [f"the trip output of {circuit} is told to close"] if answer.get("closes") else []
    left_s = answer.get("lockout_left_s")
    if isinstance(left_s, int | float):
        done.append(f"the lockout of {circuit}, which had {left_s / 60:.0f} min to go, is over")
    if answer.get("believed"):
        done.append(f"the meter of {circuit} is believed again")
    return f"Released: {', and '.join(done)}."


def release(state: Path | None, *, by: str, circuit: str | None = None) -> Mapping[str, object]:
    """Ask the running daemon to let the site, or a circuit, go on; return what it has done.

    Raises:
        StatusUnavailableError: no daemon answers, or not in our words.
        DaemonRefusesError: it refuses.
    """
    words: dict[str, object] = {} if circuit is None else {CIRCUIT: circuit}
    question = Question(ask=RELEASE, by=by, words=words)
    return answer_of(state, question, dict[str, object])


def who_asks() -> str:
    """Return the name of who typed the command, for the audit."""
    # sudo(8): who typed the command, not whom it runs as.
    return os.environ.get("SUDO_USER") or getpass.getuser()
