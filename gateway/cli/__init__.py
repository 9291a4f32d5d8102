"""The command line `headroom`: one file for each group of commands."""

import click

from gateway import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headroom")
def main() -> None:
    """Share a building's electrical supply between its chargers."""
