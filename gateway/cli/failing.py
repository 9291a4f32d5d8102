"""How a command that fails says so: to people in a line, to programs as JSON, and by its exit code."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

FAILED = 1
REFUSED = 2


def fail(message: str, *, as_json: bool) -> NoReturn:
    """Say what went wrong, and exit with 1."""
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(f"Error: {message}", err=True)
    sys.exit(FAILED)


@contextmanager
def failing(*kinds: type[Exception], as_json: bool) -> Iterator[None]:
    """Fail with what is wrong where it is one of `kinds`."""
    try:
        yield
    except kinds as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            message = f"{error.filename}: {error.strerror}"
        fail(message, as_json=as_json)
