"""The option that names the site file, where one has to be named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def site_option(text: str = "The site file.") -> Callable[[Any], Any]:
    """Return `-c`, `--config`; `text` is its help."""
    return click.option(
        "-c", "--config", "config", type=click.Path(path_type=Path), required=True, help=text
    )
