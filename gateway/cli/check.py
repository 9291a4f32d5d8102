"""`headroom check`: every mistake in a site file, or the proof that the site is safe in silence."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gateway.cli.proof_view import (
    explain_failures,
    explain_first_start,
    explain_watts,
    first_start_json,
    proof_json,
    proof_table,
)
from gateway.cli.wording import counted
from gateway.control.first_starts import first_starts
from gateway.settings import (
    Mistake,
    MistakesError,
    Settings,
    read_site,
    schema_text,
)
from gateway.settings.credentials import Credentials, read_credentials, read_hooks

REFUSED = 2
MAX_SHOWN_COUNT = 50
STATION_PROOFS = ("adopted", "fallback written", "obeys a limit", "falls back by itself")
TRIP_PROOFS = ("opens its circuit", "closes it again")
METER_PROOFS = ("on the right phases", "the right way round")


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a site file, and stop.")
@click.pass_context
def check_command(ctx: click.Context, file: Path | None, *, as_json: bool, schema: bool) -> None:
    """Check the site file FILE, and prove that silence fits every circuit.

    Names every mistake by line and column. Without mistakes, shows for each circuit and phase
    what flows at worst when Headroom, a meter or the network fails. Nothing is sent anywhere.

    Exits with 0 if the daemon would take the file, with 2 if not.
    """
    if schema:
        click.echo(schema_text(), nl=False)
        return
    if file is None:
        raise click.UsageError("name the site file: headroom check site.yaml")
    terminal = Console(file=sys.stdout, highlight=False, markup=False)
    try:
        settings = read_site(file)
    except MistakesError as error:
        if as_json:
            click.echo(_as_json(file, mistakes=error.mistakes))
        else:
            _show_mistakes(terminal, error)
        ctx.exit(REFUSED)
    credentials = read_credentials(settings, environment=os.environ)
    if as_json:
        click.echo(_as_json(file, settings=settings, credentials=credentials))
    else:
        _show_settings(terminal, settings, credentials)
    ctx.exit(0 if settings.proof.holds else REFUSED)


def _show_mistakes(terminal: Console, error: MistakesError) -> None:
    lines = error.text.splitlines()
    for mistake in error.mistakes[:MAX_SHOWN_COUNT]:
        _show_mistake(terminal, mistake, file=str(error.path), lines=lines, style="bold red")
    count = len(error.mistakes)
    if count > MAX_SHOWN_COUNT:
        terminal.print(f"... and {count - MAX_SHOWN_COUNT} more.\n")
    terminal.print(Text(f"Refused: {counted(count, 'mistake')}.", style="bold red"))


def _show_mistake(
    terminal: Console, mistake: Mistake, *, file: str, lines: list[str], style: str
) -> None:
    """Print the one line editors understand, and below it the line of the file, marked."""
    text = Text(mistake.describe(file))
    where = text.plain.find(": ") + 1
    text.stylize("bold", 0, where)
    text.stylize(style, len(text) - len(mistake.problem))
    terminal.print(text, soft_wrap=True)
    place = mistake.place
    if place is None or not 1 <= place.line <= len(lines):
        return
    # A long line is cut around the place, so that the mark stays below it.
    room = max(20, terminal.width - 10)
    line = "".join(c if c.isprintable() else " " for c in lines[place.line - 1])
    start = 0 if place.column <= room else place.column - room // 2
    terminal.print(
        Text(f"{place.line:>6} │ ", style="dim").append(line[start : start + room], style="none"),
        soft_wrap=True,
    )
    terminal.print(
        Text(f"{'':>6} │ ", style="dim").append(f"{'':>{place.column - 1 - start}}^", style=style),
        soft_wrap=True,
    )


def _show_settings(terminal: Console, settings: Settings, credentials: Credentials) -> None:
    site, proof = settings.site, settings.proof
    terminal.print(
        Text.assemble((site.name, "bold"), (f"  {settings.path}", "dim")), soft_wrap=True
    )
    terminal.print(
        f"{counted(len(site.circuits), 'circuit')}, {counted(len(site.meters), 'meter')}, "
        f"{counted(len(site.stations), 'station')}, "
        f"{counted(len(site.connectors), 'connector')}\n"
    )
    terminal.print("Worst case if Headroom, a meter or the network fails; amperes per phase:\n")
    terminal.print(proof_table(site, proof))
    in_watts = explain_watts(site)
    if in_watts is not None:
        terminal.print(in_watts + "\n", soft_wrap=True)
    if not proof.holds:
        for line in explain_failures(site, proof):
            terminal.print(line, soft_wrap=True)
        terminal.print()
    _show_trip_outputs(terminal, settings)
    _show_warnings(terminal, settings, credentials)
    _show_unproven(terminal, settings)
    _show_first_starts(terminal, settings)
    if proof.holds:
        # Of the phases that are there; a circuit without a rating is refused before.
        present = [row for row in proof.phases if row.rating_ma]
        least = min(present, key=lambda row: row.margin_ma)
        verdict = (
            f"Accepted: silence fits every circuit; the tightest is {least.circuit} "
            f"{least.phase.name} with {least.margin_ma / 1_000:.1f} A to spare."
        )
        terminal.print(Text(verdict, style="bold green"), soft_wrap=True)
    else:
        terminal.print(Text("Refused: in silence a circuit would be overloaded.", style="bold red"))


def _show_trip_outputs(terminal: Console, settings: Settings) -> None:
    if not settings.trip_outputs:
        return
    terminal.print("Opened when nothing else takes a circuit below its rating:")
    for output in settings.trip_outputs:
        terminal.print(f"  {output.circuit}: {output}", soft_wrap=True)
    terminal.print()


def _show_warnings(terminal: Console, settings: Settings, credentials: Credentials) -> None:
    words = [warning.describe(str(settings.path)) for warning in settings.warnings]
    words += [f"station {name}: {problem}" for name, problem in credentials.problems.items()]
    _, unheard = read_hooks(settings, environment=os.environ)
    words += [f"webhook {name}: {problem}" for name, problem in unheard.items()]
    if words:
        terminal.print(Text("Allowed, but probably not meant:", style="bold yellow"))
    for line in words:
        terminal.print(f"  {line}", soft_wrap=True)
    if words:
        terminal.print()


def _show_unproven(terminal: Console, settings: Settings) -> None:
    terminal.print("Declared here, to be proven at commissioning:")
    for kind, names, proofs in _unproven(settings):
        terminal.print(f"  each {kind}: {', '.join(proofs)}", soft_wrap=True)
        terminal.print(f"    {', '.join(names)}", style="dim", soft_wrap=True)
    terminal.print()


def _show_first_starts(terminal: Console, settings: Settings) -> None:
    starts = first_starts(settings.site, settings.control)
    if not starts:
        return
    terminal.print(
        "At a station never seen to obey a first vehicle may draw all it can. Others are cut for it at once,"
        " down to pause; if it begins before they have followed, a circuit in full use carries:",
        soft_wrap=True,
    )
    for start in starts:
        for line in explain_first_start(start):
            terminal.print(f"  {line}", soft_wrap=True)
    terminal.print()


def _unproven(settings: Settings) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield a kind of thing, those declared of it, and what commissioning has to prove of each."""
    if settings.site.stations:
        yield "station", tuple(station.id for station in settings.site.stations), STATION_PROOFS
    if settings.site.meters:
        yield "meter", tuple(meter.id for meter in settings.site.meters), METER_PROOFS
    if settings.trip_outputs:
        circuits = tuple(output.circuit for output in settings.trip_outputs)
        yield "trip output", circuits, TRIP_PROOFS


def _as_json(
    file: Path,
    *,
    mistakes: Iterable[Mistake] = (),
    settings: Settings | None = None,
    credentials: Credentials | None = None,
) -> str:
    document: dict[str, object] = {
        "file": str(file),
        "accepted": settings is not None and settings.proof.holds,
        "mistakes": [_mistake_json(mistake) for mistake in mistakes],
        "warnings": [],
        "proof": None,
        "unproven": [],
        "first_starts": [],
    }
    if settings is not None and credentials is not None:
        document["warnings"] = [
            *(_mistake_json(warning) for warning in settings.warnings),
            *(
                {"line": None, "column": None, "path": f"stations.{name}", "problem": problem}
                for name, problem in credentials.problems.items()
            ),
        ]
        document["proof"] = proof_json(settings.site, settings.proof)
        document["unproven"] = [
            {"kind": kind, "id": name, "unproven": list(proofs)}
            for kind, names, proofs in _unproven(settings)
            for name in names
        ]
        starts = first_starts(settings.site, settings.control)
        document["first_starts"] = [first_start_json(start) for start in starts]
    return json.dumps(document, indent=2, ensure_ascii=False)


def _mistake_json(mistake: Mistake) -> dict[str, object]:
    place = mistake.place
    return {
        "line": None if place is None else place.line,
        "column": None if place is None else place.column,
        "path": mistake.path,
        "problem": mistake.problem,
    }
