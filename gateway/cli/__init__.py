"""The command line `headroom`: one file for each group of commands."""

import errno
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from gateway import __version__

COMMANDS = {
    "backup": "gateway.cli.backup:backup_command",
    "check": "gateway.cli.check:check_command",
    "demo": "gateway.cli.demo:demo_command",
    "doctor": "gateway.cli.doctor:doctor_command",
    "quote": "gateway.cli.quote:quote_command",
    "read": "gateway.cli.read:read_command",
    "release": "gateway.cli.release:release_command",
    "report": "gateway.cli.report:report_command",
    "restore": "gateway.cli.backup:restore_command",
    "run": "gateway.cli.run:run_command",
    "simulate": "gateway.cli.simulate:simulate_command",
    "station": "gateway.cli.station:station_command",
    "token": "gateway.cli.token:token_command",
    "watch": "gateway.cli.watch:watch_command",
    "why": "gateway.cli.why:why_command",
}
"""Where each command lives; it is imported only when it is asked for."""

DISK_TAKES_NOTHING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class _LazyGroup(click.Group):
    """A group that starts fast, whatever its commands import."""

    # The types are those of click.
    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Run a command; output that nothing takes is a failure in words, no fault."""
        try:
            return super().main(args, **extra)
        except OSError as error:
            # Of files by name the commands speak themselves: this is where the output goes.
            if error.filename is not None or error.errno not in DISK_TAKES_NOTHING:
                raise
            sys.stdout = None  # Nothing of what is left in it is tried again at the exit.
            click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headroom")
def main() -> None:
    """Share a building's electrical supply between its chargers."""
