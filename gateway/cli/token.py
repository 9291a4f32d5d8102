"""`headroom token`: lets a program ask the API, for as much as its role allows."""

import json
import secrets
import sys
from pathlib import Path

import click

from gateway.adapters.clock import SystemClock
from gateway.adapters.token_file import TokenFileError, make_token, read_tokens, revoke_token
from gateway.cli.failing import REFUSED, fail
from gateway.cli.state_folder import choose_state_folder, state_option
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality

LONGEST_NAME = 80


def _readable(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Return a name that stands on a line of a list.

    Raises:
        click.BadParameter: it does not.
    """
    if name is None:
        return None
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise click.BadParameter(
            f"a name has one line of {LONGEST_NAME} characters at most, and begins and ends with one"
            " that can be seen"
        )
    return name


@click.command("token")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    help="What it may do: each role may do what those before it may, and more.",
)
@click.option(
    "--criticality",
    type=click.Choice([str(criticality) for criticality in Criticality]),
    default=str(Criticality.NORMAL),
    show_default=True,
    help="The highest it may claim.",
)
@click.option(
    "--name",
    callback=_readable,
    help="Whose it is, for lists and the audit [default: one of its own].",
)
@click.option(
    "--quota",
    type=click.IntRange(1, 60_000),
    default=600,
    show_default=True,
    help="How many requests a minute are answered, taking one with another.",
)
@click.option("--list", "is_list", is_flag=True, help="List the tokens there are instead.")
@click.option("--revoke", metavar="NAME", help="Take the token of that name back instead.")
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def token_command(
    role: str | None,
    *,
    criticality: str,
    name: str | None,
    quota: int,
    is_list: bool,
    revoke: str | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Make a token for a program that asks the API; it is shown this once.

    A running daemon knows it at once. One of the same name is replaced by it.

    \b
    headroom token --role vehicle_operator --criticality critical --name drones
    headroom token --list
    headroom token --revoke drones

    Exits with 1 when the state folder cannot be used, or there is no such token to take back.
    """  # noqa: D301 - click's own mark
    folder = choose_state_folder(state)
    try:
        if is_list:
            _list(folder, as_json=as_json)
        elif revoke is not None:
            _revoke(folder, revoke, as_json=as_json)
        elif role is None:
            click.echo("Error: say --role, --list or --revoke", err=True)
            sys.exit(REFUSED)
        else:
            access = Access(
                name=name or f"{role}-{secrets.token_hex(3)}",
                role=Role(role),
                criticality=Criticality(criticality),
                quota_per_min_count=quota,
            )
            _make(folder, access, as_json=as_json)
    except TokenFileError as error:
        fail(str(error), as_json=as_json)


def _make(folder: Path, access: Access, *, as_json: bool) -> None:
    token = make_token(folder, access, now_at=SystemClock().now_at())
    if as_json:
        told = {"token": token, "name": access.name, "role": access.role}
        click.echo(json.dumps({**told, "criticality": access.criticality}))
        return
    click.echo(token)
    click.echo(f"Keep it: only its hash is written, to {folder}.", err=True)


def _list(folder: Path, *, as_json: bool) -> None:
    rows = read_tokens(folder)
    if as_json:
        told = [
            {
                "name": row.name,
                "role": row.role,
                "criticality": row.criticality,
                "quota_per_min": row.quota_per_min,
                "made_at": row.made_at.isoformat(),
            }
            for row in rows
        ]
        click.echo(json.dumps(told, indent=2))
        return
    if not rows:
        click.echo(f"There is no token in {folder}.")
    for row in rows:
        click.echo(
            f"{row.name}: {row.role}, up to {row.criticality}, {row.quota_per_min} requests a"
            f" minute, made {row.made_at:%Y-%m-%d %H:%M} UTC"
        )


def _revoke(folder: Path, name: str, *, as_json: bool) -> None:
    if not revoke_token(folder, name):
        fail(
            f"there is no token {name}: headroom token --list shows those there are",
            as_json=as_json,
        )
    click.echo(json.dumps({"revoked": name}) if as_json else f"The token {name} opens nothing now.")
