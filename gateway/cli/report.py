"""`headroom report`: a day, a week or a month of a building, from what its daemon has written down."""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from gateway.adapters.clock import SystemClock
from gateway.adapters.history_file import HistoryReader
from gateway.adapters.last_good import FILE_NAME, LastGoodError, read_last_good
from gateway.adapters.ledger_backup import open_to_read
from gateway.adapters.ledger_rows import read_memory
from gateway.adapters.ledger_schema import LEDGER_NAME, check_is_ours
from gateway.api.reports import ReliabilityView, reliability_view
from gateway.cli.failing import REFUSED, failing
from gateway.cli.state_folder import folders_to_ask, state_option
from gateway.cli.wording import counted
from gateway.domain.circuits import Connector, Site
from gateway.domain.electric import Phase
from gateway.domain.errors import HeadroomError
from gateway.domain.promises import PromiseState, Reservation
from gateway.planning.calibrate import reliability_report
from gateway.settings import Settings, SettingsRefusedError, load_site, load_text

MINUTE_H = 1 / 60
CHARGES_FROM_W = 50.0
"""Below this a vehicle does not charge: its electronics and the meter's noise take as much."""
LIMIT_STEP_A = 0.1
OF_A_CONNECTOR = ("power_w", "limit_a", "draw_l1_a", "draw_l2_a", "draw_l3_a")


class NothingWrittenError(HeadroomError):
    """There is nothing to report of; the message says where it was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From when until when, by the building's clock."""

    since_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most a phase of a circuit carried, import; None where nothing was measured.

    `share_of_rating` and `share_of_set_point` are of the ratings of the site file: what a
    calendar had lowered them to by then is not looked at.
    """

    circuit: str
    phase: str
    rating_a: float
    set_point_a: float
    peak_a: float | None
    peak_at: str | None
    share_of_set_point: float | None
    share_of_rating: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a connector gave, by its station's readings, minute by minute.

    `limited_h` is how much of `charging_h` its limit was below its maximum; `known_h` how much of
    the period it told anything.
    """

    connector: str
    energy_wh: int
    charging_h: float
    limited_h: float
    known_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What became of the promises that ended: how many by state, and their energy.

    Holds that were never confirmed and what was given up promise nothing: their energy is left out.
    """

    ended: dict[str, int]
    open_now: int
    promised_wh: int
    delivered_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report as it is printed."""

    site: str
    period: Period
    promised: Promised
    reliability: ReliabilityView
    given: tuple[Given, ...]
    peaks: tuple[Peak, ...]


@click.command("report")
@click.argument("length", type=click.Choice(["day", "week", "month"]), default="day")
@click.option(
    "--of",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="A day in it, such as 2026-03-02 [default: today].",
)
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    help="The site file [default: the one that ran last].",
)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report_command(
    *, length: str, day: datetime | None, config: Path | None, state: Path | None, as_json: bool
) -> None:
    """Report a day, week or month: promises kept, energy given, peaks of circuits.

    It is made of what the daemon has written into its state folder; whether it runs or not does
    not matter. Days are those of the building's clock, weeks begin on Monday. Minutes are kept for
    90 days, and so is what became of promises.

    \b
    headroom report
    headroom report month --of 2026-02-14 --json

    Exits with 1 when no daemon has written anything here.
    """  # noqa: D301 - click's own mark
    with failing(HeadroomError, OSError, sqlite3.Error, as_json=as_json):
        try:
            folder = _folder(state)
            settings = _settings(folder, config)
        except SettingsRefusedError as error:
            click.echo(str(error), err=True)
            sys.exit(REFUSED)
        zone = ZoneInfo(settings.site.timezone)
        now_at = SystemClock().now_at().astimezone(zone)
        if day is not None and day.date() > now_at.date():
            raise click.UsageError(f"{day.date()} is to come: name today or a day before it")
        of_at = now_at if day is None else day.replace(tzinfo=zone)
        with Console(stderr=True).status("Reading what was ..."):
            report = report_of(settings.site, folder, period_of(length, of_at, now_at=now_at))
    if as_json:
        click.echo(json.dumps(in_json(report), indent=2))
        return
    _say(report)


def period_of(length: str, of_at: datetime, *, now_at: datetime) -> Period:
    """Return the day, week or month an instant is in, up to now; by the clock of the instant."""
    since_at = of_at.replace(hour=0, minute=0, second=0, microsecond=0)
    if length == "week":
        since_at -= timedelta(days=since_at.weekday())
    elif length == "month":
        since_at = since_at.replace(day=1)
    days = {"day": 1, "week": 7, "month": 32}[length]
    until_at = since_at + timedelta(days=days)
    if length == "month":
        until_at = until_at.replace(day=1)
    return Period(since_at=since_at, until_at=max(since_at, min(until_at, now_at)))


def report_of(site: Site, folder: Path, period: Period) -> Report:
    """Return what the files of a state folder say of a period.

    Raises:
        HeadroomError, OSError, sqlite3.Error: they cannot be read.
    """
    with closing(open_to_read(folder / LEDGER_NAME)) as reading:
        check_is_ours(reading, folder / LEDGER_NAME, site=site.name)
        promises = [memory.promise for memory in read_memory(reading).promises.values()]
    since_s, until_s = period.since_at.timestamp(), period.until_at.timestamp()
    ended = [
        p for p in promises if p.closed_at_s is not None and since_s <= p.closed_at_s < until_s
    ]
    ended.sort(key=lambda promise: promise.closed_at_s or 0.0)
    history = HistoryReader(folder=folder)
    return Report(
        site=site.name,
        period=period,
        promised=_promised(ended, open_now=sum(p.state.is_open for p in promises)),
        reliability=reliability_view(reliability_report(ended)),
        given=_given(site, history, period),
        peaks=_peaks(site, history, period),
    )


def _promised(ended: list[Reservation], *, open_now: int) -> Promised:
    counts = Counter(str(promise.state) for promise in ended)
    kept_or_not = (PromiseState.FULFILLED, PromiseState.BROKEN, PromiseState.NO_SHOW)
    promised = [p for p in ended if p.state in kept_or_not]
    return Promised(
        ended={str(state): counts[state] for state in PromiseState if counts[state]},
        open_now=open_now,
        promised_wh=sum(promise.energy_wh for promise in promised),
        delivered_wh=round(sum(promise.delivered_wh for promise in promised)),
    )


def _given(site: Site, history: HistoryReader, period: Period) -> tuple[Given, ...]:
    connectors = site.connectors
    names = [f"connector/{c.ref}/{what}" for c in connectors for what in OF_A_CONNECTOR]
    totals = [[0.0, 0.0, 0.0, 0.0] for _ in connectors]
    for _, figures in history.means(names, *_instants(period)):
        for at, connector in enumerate(connectors):
            power_w, limit_a, *draws_a = figures[5 * at : 5 * at + 5]
            if isnan(power_w):
                power_w = _power_w(draws_a, site.voltage_v)
            if isnan(power_w):
                continue
            is_charging = power_w >= CHARGES_FROM_W
            total = totals[at]
            total[0] += power_w * MINUTE_H
            total[1] += MINUTE_H * is_charging
            total[2] += MINUTE_H * (is_charging and _is_limited(limit_a, connector))
            total[3] += MINUTE_H
    return tuple(
        Given(
            connector=str(connector.ref),
            energy_wh=round(energy_wh),
            charging_h=round(charging_h, 2),
            limited_h=round(limited_h, 2),
            known_h=round(known_h, 2),
        )
        for connector, (energy_wh, charging_h, limited_h, known_h) in zip(
            connectors, totals, strict=True
        )
    )


def _power_w(draws_a: Iterable[float], voltage_v: float) -> float:
    """Return the power of a station that tells no watts, NaN if it tells no amperes either."""
    known = [draw_a for draw_a in draws_a if not isnan(draw_a)]
    return sum(known) * voltage_v if known else nan


def _is_limited(limit_a: float, connector: Connector) -> bool:
    return limit_a < connector.max_ma / 1_000 - LIMIT_STEP_A


def _peaks(site: Site, history: HistoryReader, period: Period) -> tuple[Peak, ...]:
    rows = [(c, phase) for c in site.circuits for phase in Phase if c.rating_ma[phase]]
    names = [f"circuit/{circuit.id}/{phase.name}/current_a" for circuit, phase in rows]
    most: list[tuple[float, float] | None] = [None] * len(rows)
    for at_s, highs_a in history.highs(names, *_instants(period)):
        for at, high_a in enumerate(highs_a):
            known = most[at]
            if not isnan(high_a) and (known is None or high_a > known[0]):
                most[at] = high_a, at_s
    zone = period.since_at.tzinfo
    found = []
    for (circuit, phase), peak in zip(rows, most, strict=True):
        rating_a = circuit.rating_ma[phase] / 1_000
        set_point_a = circuit.set_point_ma[phase] / 1_000
        found.append(
            Peak(
                circuit=circuit.id,
                phase=phase.name,
                rating_a=rating_a,
                set_point_a=set_point_a,
                peak_a=None if peak is None else round(peak[0], 1),
                peak_at=None if peak is None else datetime.fromtimestamp(peak[1], zone).isoformat(),
                share_of_set_point=None if peak is None else round(peak[0] / set_point_a, 3),
                share_of_rating=None if peak is None else round(peak[0] / rating_a, 3),
            )
        )
    return tuple(found)


def _instants(period: Period) -> tuple[datetime, datetime]:
    """Return a period in UTC: sums of days by a clock that changes twice a year are no days."""
    return period.since_at.astimezone(UTC), period.until_at.astimezone(UTC)


def _folder(state: Path | None) -> Path:
    """Return the state folder that has a ledger, the likeliest first.

    Raises:
        NothingWrittenError: none has.
    """
    looked = folders_to_ask(state)
    for folder in looked:
        if (folder / LEDGER_NAME).exists():
            return folder
    message = f"no daemon has written anything into {looked[0]}: name its folder with --state"
    raise NothingWrittenError(message)


def _settings(folder: Path, config: Path | None) -> Settings:
    if config is not None:
        return load_site(config)
    try:
        kept = read_last_good(folder)
    except LastGoodError as error:
        raise NothingWrittenError(f"{error}: name the site file with -c") from error
    if kept is None:
        message = f"no site file has run with {folder} for long enough: name one with -c"
        raise NothingWrittenError(message)
    return load_text(kept.text, path=folder / FILE_NAME)


def in_json(report: Report) -> dict[str, object]:
    """Return a report for programs; instants are the building's."""
    return {
        "site": report.site,
        "from_at": report.period.since_at.isoformat(),
        "until_at": report.period.until_at.isoformat(),
        "promises": asdict(report.promised),
        "reliability": report.reliability.model_dump(mode="json"),
        "connectors": [asdict(given) for given in report.given],
        "circuits": [asdict(peak) for peak in report.peaks],
    }


def _say(report: Report) -> None:
    console = Console()
    since_at, until_at = report.period.since_at, report.period.until_at
    console.print(f"{report.site}  {since_at:%a %d %b %Y} to {until_at:%a %d %b %Y %H:%M}\n")
    console.print(_promises_said(report.promised), highlight=False)
    levels = _table("said", "promises", "kept", "95 % interval")
    for row in report.reliability.levels:
        if row.kept is not None and row.low is not None and row.high is not None:
            interval = f"{row.low:.0%} to {row.high:.0%}"
            levels.add_row(f"{row.level:.0%}", str(row.count), f"{row.kept:.0%}", interval)
    if levels.row_count:
        console.print("\nOf those in whose window the building was short:\n")
        console.print(levels)
    if report.reliability.alarm is not None:
        console.print(f"\n{report.reliability.alarm}", highlight=False)
    console.print()
    peaks = _table("circuit", "peak", "of set-point", "of rating", "at")
    for peak in report.peaks:
        at = "" if peak.peak_at is None else f"{datetime.fromisoformat(peak.peak_at):%a %H:%M}"
        peaks.add_row(
            f"{peak.circuit} {peak.phase}",
            "?" if peak.peak_a is None else f"{peak.peak_a:.1f} A",
            "?" if peak.share_of_set_point is None else f"{peak.share_of_set_point:.0%}",
            "?"
            if peak.share_of_rating is None
            else f"{peak.share_of_rating:.0%} of {peak.rating_a:g} A",
            at,
        )
    console.print(peaks)
    console.print()
    given = _table("connector", "energy", "charging", "limited")
    for each in report.given:
        energy = f"{each.energy_wh / 1_000:.1f} kWh" if each.known_h else "?"
        given.add_row(each.connector, energy, f"{each.charging_h:.1f} h", f"{each.limited_h:.1f} h")
    console.print(given)


def _promises_said(promised: Promised) -> str:
    total = sum(promised.ended.values())
    states = ", ".join(
        f"{count} {state.replace('_', '-')}" for state, count in promised.ended.items()
    )
    said = f"{counted(total, 'promise')} ended{': ' if states else ''}{states}; {promised.open_now} open now."
    if promised.promised_wh:
        delivered, asked = promised.delivered_wh / 1_000, promised.promised_wh / 1_000
        said += f" {delivered:.1f} kWh of {asked:.1f} kWh promised were delivered."
    return said


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, title in enumerate(titles):
        table.add_column(title, justify="left" if at == 0 else "right")
    return table
