"""`headroom read`: what a meter says now, asked over its own line."""

import asyncio
import json
import logging
import re
import sys

import click
from rich.console import Console
from rich.table import Table

from gateway.bootstrap import UnusableRequestError, read_profile_once
from gateway.domain.errors import MeterFaultError
from gateway.domain.metering import Quality, Sample

TCP_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\s]+))(?::(?P<port>\d{1,5}))?")
# The path itself may hold colons (/dev/serial/by-path/pci-0000:00:14.0-...).
SERIAL_PORT = re.compile(r"(?P<port>.+?)(?::(?P<baud>\d+)(?::(?P<format>\w+))?)?")

NOTHING_USABLE = (
    "it answers, but no value of it can be used: is it of this profile, and is it wired and on?"
)


class TcpAddress(click.ParamType[tuple[str, int | None]]):
    """HOST or HOST:PORT; an IPv6 address in brackets."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None]:
        """Return host and port."""
        found = TCP_ADDRESS.fullmatch(str(value))
        port = found["port"] if found else None
        if found is None or (port is not None and not 0 < int(port) < 65_536):  # noqa: PLR2004
            self.fail(f"{value!r} is no HOST:PORT, such as 10.0.0.5:502", param, ctx)
        return found["v6"] or found["host"], None if port is None else int(port)


class SerialPort(click.ParamType[tuple[str, int | None, str | None]]):
    """PORT, PORT:BAUD or PORT:BAUD:FORMAT."""

    name = "port[:baud[:format]]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None, str | None]:
        """Return port, baud and format."""
        found = SERIAL_PORT.fullmatch(str(value))
        if found is None:
            self.fail(
                f"{value!r} is no PORT:BAUD:FORMAT, such as /dev/ttyUSB0:9600:8N1", param, ctx
            )
        baud = found["baud"]
        return found["port"], None if baud is None else int(baud), found["format"]


@click.command("read")
@click.argument("profile")
@click.option("--tcp", type=TcpAddress(), help="Where the meter or its gateway listens.")
@click.option("--rtu", type=SerialPort(), help="The serial line the meter hangs on.")
@click.option(
    "--unit", type=click.IntRange(0, 255), help="The meter's Modbus unit [default: its factory's]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def read_command(
    profile: str,
    *,
    tcp: tuple[str, int | None] | None,
    rtu: tuple[str, int | None, str | None] | None,
    unit: int | None,
    as_json: bool,
) -> None:
    """Read every value of a meter once, by the register map PROFILE.

    The daemon must not run on the same serial port meanwhile.

    \b
    headroom read eastron_sdm630_v2 --rtu /dev/ttyUSB0:9600:8N1 --unit 1
    headroom read sunspec_201_204 --tcp 10.0.0.5:502 --json

    Exits with 1 when it says nothing, or no value that can be used.
    """  # noqa: D301 - click's own mark
    if (tcp is None) == (rtu is None):
        raise click.UsageError("give either --tcp HOST:PORT or --rtu PORT[:BAUD[:FORMAT]]")
    # What goes wrong is the answer of this command, and said there, once.
    logging.basicConfig(handlers=[logging.NullHandler()])
    terminal = Console(stderr=True)
    try:
        with terminal.status("asking the meter ..."):
            values = asyncio.run(read_profile_once(profile, tcp=tcp, rtu=rtu, unit=unit))
    except UnusableRequestError as error:
        raise click.UsageError(str(error)) from error
    except MeterFaultError as fault:
        if as_json:
            click.echo(json.dumps({"error": fault.detail}))
        raise click.ClickException(fault.detail) from fault
    problem = None if any(s.quality is Quality.GOOD for s in values.values()) else NOTHING_USABLE
    if as_json:
        told: dict[str, object] = {"values": {n: _as_json(s) for n, s in values.items()}}
        click.echo(json.dumps(told if problem is None else {"error": problem, **told}, indent=2))
    else:
        Console(file=sys.stdout).print(_as_table(values))
    if problem is not None:
        raise click.ClickException(problem)


def _as_json(sample: Sample) -> dict[str, object]:
    return {"value": sample.value, "unit": sample.unit, "quality": str(sample.quality)}


def _as_table(values: dict[str, Sample]) -> Table:
    table = Table("value", "", "unit", "quality", box=None)
    table.columns[1].justify = "right"
    for name, sample in values.items():
        shown = "–" if sample.value is None else f"{sample.value:,.7g}"
        style = None if sample.quality is Quality.GOOD else "yellow"
        table.add_row(name, shown, sample.unit, str(sample.quality), style=style)
    return table
