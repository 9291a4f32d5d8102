"""`headroom backup` and `headroom restore`: a copy of the ledger, and back."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_backup import (
    LedgerCopy,
    backup_path,
    backup_to,
    check_copy,
    restore_from,
)
from gateway.adapters.ledger_schema import BACKUP_FOLDER, LEDGER_NAME
from gateway.adapters.state_lock import holding_state
from gateway.cli.failing import REFUSED, failing
from gateway.cli.release import who_asks
from gateway.cli.site_choice import choose_site
from gateway.cli.site_option import site_option
from gateway.cli.state_folder import choose_state_folder, state_option
from gateway.domain.errors import HeadroomError
from gateway.settings import SettingsRefusedError

FAULTS = (HeadroomError, OSError, sqlite3.Error)


@click.command("backup")
@click.argument("to", type=click.Path(path_type=Path), required=False)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup_command(to: Path | None, *, state: Path | None, as_json: bool) -> None:
    """Copy the ledger to the file or folder TO, and check the copy; the daemon may run.

    Without TO, into the state folder's own backups, where the daemon puts one each night. A copy
    on another disk is what outlives this one.

    \b
    headroom backup /media/usb

    Exits with 1 when there is nothing to copy, or it cannot be copied whole.
    """  # noqa: D301 - click's own mark
    folder = choose_state_folder(state).absolute()
    now_at = SystemClock().now_at()
    usual = backup_path(folder, now_at)
    target = usual if to is None else to.absolute()
    if target.is_dir():
        target /= usual.name
    with failing(*FAULTS, as_json=as_json), _waiting(f"Copying the ledger of {folder}"):
        if target.exists():
            raise FileExistsError(17, "there is a file of that name already", str(target))
        copy = backup_to(target, folder=folder)
        if to is None:
            _give_to_owner_of(folder, folder / BACKUP_FOLDER, target)
    _say(copy, f"Copied to {copy.path}", as_json=as_json)


@click.command("restore")
@click.argument("backup", type=click.Path(path_type=Path))
@site_option("The site file: a ledger of another site is refused.")
@state_option
@click.option("--check", "is_check", is_flag=True, help="Look at BACKUP, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore_command(
    backup: Path, *, config: Path, state: Path | None, is_check: bool, as_json: bool
) -> None:
    """Put BACKUP in the place of the ledger; that one is kept beside it, by another name.

    Stop the daemon first. Transactions, lockouts and the audit are then as they were when BACKUP
    was made; what came later is in the ledger that was replaced. Nothing is believed of what
    stations do now: each counts its maximum until it has been met and tried again.

    \b
    sudo systemctl stop headroom
    sudo headroom restore /var/lib/headroom/backups/ledger-20260105T042000Z.db -c /etc/headroom/site.yaml
    sudo systemctl start headroom

    Exits with 1 when BACKUP is damaged, newer, or of another site, or the daemon runs; with 2
    when the site file is refused. Nothing is changed then.
    """  # noqa: D301 - click's own mark
    folder = choose_state_folder(state).absolute()
    try:
        site = choose_site(config.absolute(), folder).settings.site.name
    except SettingsRefusedError as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)
    with failing(*FAULTS, as_json=as_json), _waiting(f"Checking {backup}"):
        copy = check_copy(backup, site=site)
        if is_check:
            before = None
        else:
            now_at = SystemClock().now_at()
            with holding_state(folder):
                before = restore_from(
                    backup, folder=folder, site=site, now_at=now_at, by=who_asks()
                )
                _give_to_owner_of(folder, folder / LEDGER_NAME)
    said = "Sound" if is_check else f"Restored from {backup}"
    if before is not None:
        said += f"; the ledger of before is {before}"
    _say(copy, said, as_json=as_json, before=before)


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Show on a terminal that something is being done."""
    with Console(stderr=True).status(f"{what} ..."):
        yield


def _give_to_owner_of(folder: Path, *paths: Path) -> None:
    """See that the daemon's user has what root has made in its folder."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid)


def _say(copy: LedgerCopy, said: str, *, as_json: bool, before: Path | None = None) -> None:
    if as_json:
        known = {
            "path": str(copy.path),
            "site": copy.site,
            "version": copy.version,
            "transactions": copy.transaction_count,
            "audit_head": str(copy.head),
            "replaced": None if before is None else str(before),
        }
        click.echo(json.dumps(known, indent=2))
        return
    click.echo(
        f"{said}.\n{copy.site}: {copy.transaction_count} transactions, audit up to row"
        f" {copy.head.number}, ledger version {copy.version}."
    )
