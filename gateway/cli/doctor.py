"""`headroom doctor`: everything around the daemon, looked at, with what to do about it."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gateway.adapters.last_good import LastGoodError, read_last_good
from gateway.adapters.state_lock import holder_of
from gateway.cli.diagnosis import (
    Finding,
    SiteFacts,
    Verdict,
    judge_clock,
    judge_daemon,
    judge_disk,
    judge_ledger,
    judge_port,
    judge_serial,
    judge_silence,
    judge_site,
    judge_state,
)
from gateway.cli.examination import (
    User,
    ask_daemon,
    look_at_clock,
    look_at_disk,
    look_at_ledger,
    look_at_port,
    look_at_serial,
    look_at_state,
    user_of,
)
from gateway.cli.failing import FAILED, REFUSED
from gateway.cli.site_option import site_option
from gateway.cli.state_folder import choose_state_folder, state_option
from gateway.settings import SerialBus, Settings, SettingsRefusedError, load_site
from gateway.settings.credentials import read_credentials

STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


@click.command("doctor")
@site_option()
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(config: Path, *, state: Path | None, as_json: bool) -> None:
    """Look at everything around the daemon, and say what to do about what is wrong.

    The site file and the passwords, ports, serial lines, the clock, the disk and the ledger; and
    the stations and meters as the running daemon knows them. Changes nothing, and may be run while
    the daemon runs. With sudo it sees more.

    Exits with 0 when nothing fails, 1 when something does, 2 when the site file is refused.
    """
    findings = examine(config.absolute(), choose_state_folder(state).absolute())
    shown = list[Finding]()
    terminal = Console(highlight=False)
    for finding in findings:
        shown.append(finding)
        if not as_json:
            _show(terminal, finding)
    worst = max((f.verdict for f in shown), key=list(Verdict).index)
    if as_json:
        click.echo(json.dumps({"verdict": worst, "findings": list(map(_as_json, shown))}, indent=2))
    is_refused = any(f.area == "site file" and f.verdict is Verdict.FAIL for f in shown)
    sys.exit(REFUSED if is_refused else FAILED if worst is Verdict.FAIL else 0)


def examine(config: Path, folder: Path) -> Iterator[Finding]:
    """Yield everything there is to say of a site, and of the machine it is to run on."""
    daemon = holder_of(folder)
    user = user_of(folder, daemon)
    settings, site = _look_at_site(config, folder, user)
    yield from judge_site(site)
    if settings is not None:
        listen = settings.listen
        for listener, address in (
            ("ocpp", listen.ocpp),
            ("api", listen.api),
            ("metrics", listen.metrics),
        ):
            facts = look_at_port(
                listener,
                address,
                daemon=daemon,
                serves_stations=listener == "ocpp" and bool(settings.site.stations),
            )
            yield from judge_port(facts)
        for bus in settings.buses:
            if isinstance(bus, SerialBus):
                yield judge_serial(look_at_serial(bus, user=user, daemon=daemon))
    yield judge_clock(look_at_clock())
    yield judge_state(look_at_state(folder, user))
    yield judge_disk(look_at_disk(folder))
    name = None if settings is None else settings.site.name
    yield from judge_ledger(look_at_ledger(folder, site=name))
    snapshot = ask_daemon(folder)
    if isinstance(snapshot, str):
        yield judge_silence(snapshot, daemon=daemon)
    else:
        yield from judge_daemon(snapshot, site=name)


def _look_at_site(config: Path, folder: Path, user: User) -> tuple[Settings | None, SiteFacts]:
    try:
        read_last_good(folder)
        damaged = None
    except LastGoodError as error:
        damaged = str(error)
    try:
        settings = load_site(config)
    except SettingsRefusedError as error:
        mistakes = tuple(str(error).splitlines())
        return None, SiteFacts(
            path=str(config), user=user.name, mistakes=mistakes, damaged_copy=damaged
        )
    found = read_credentials(settings, environment=os.environ)
    return settings, SiteFacts(
        path=str(config),
        user=user.name,
        mistakes=(),
        doubts=tuple(warning.describe(str(config)) for warning in settings.warnings),
        is_readable=user.may(config.stat(), 0o4),
        locked_out={n: text for n, text in found.problems.items() if n not in found.keys},
        poor={n: text for n, text in found.problems.items() if n in found.keys},
        station_count=len(settings.site.stations),
        damaged_copy=damaged,
        trip_outputs={output.circuit: str(output) for output in settings.trip_outputs},
    )


def _show(terminal: Console, finding: Finding) -> None:
    line = Text(f"{finding.verdict:<5}", style=STYLES[finding.verdict])
    line.append(f"{finding.area}: {finding.what}", style="none")
    terminal.print(line, soft_wrap=True)
    if finding.fix is not None:
        terminal.print(Text(f"     {finding.fix}", style="dim"), soft_wrap=True)


def _as_json(finding: Finding) -> dict[str, str | None]:
    return {
        "area": finding.area,
        "verdict": finding.verdict,
        "what": finding.what,
        "fix": finding.fix,
    }
