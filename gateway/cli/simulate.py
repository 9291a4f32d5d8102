"""`headroom simulate`: recorded sessions charged again under a limit, by one policy or all."""

import json
import re
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gateway.adapters.session_csv import SessionFileError, read_sessions
from gateway.cli.plots import Course, drawn
from gateway.planning.recorded import (
    ANY_POWER,
    SLOT_S,
    Policy,
    RecordedSession,
    Result,
    Steps,
    most_ma,
    offline_optimum_wh,
    replay,
)

AMOUNT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Z]+)")

LEAST_WH = 1.0
"""Below this there is nothing to compare policies by."""


class Amount(click.ParamType[float]):
    """A number with its unit, in the smallest of the units there are."""

    def __init__(self, name: str, units: dict[str, float], example: str) -> None:
        """Take what it is called, its units and what each is, and how one is written."""
        self.name, self._units, self._example = name, units, example

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the amount; it is more than nothing."""
        if isinstance(value, float):
            return value
        found = AMOUNT.fullmatch(str(value))
        if found is None or found["unit"] not in self._units or float(found["number"]) <= 0:
            self.fail(f"{value!r} is no {self.name}, such as {self._example}", param, ctx)
        return float(found["number"]) * self._units[found["unit"]]


POWER_W = Amount("power", {"kW": 1_000.0, "W": 1.0}, "20kW")
CURRENT_MA = Amount("current", {"A": 1_000.0, "mA": 1.0}, "6A")


@click.command("simulate")
@click.option(
    "--sessions",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="A CSV file, plain or .gz.",
)
@click.option("--limit", "limit_w", required=True, type=POWER_W, help="For all together: 20kW.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice([policy.value for policy in Policy]),
    help="Who goes first; each policy in turn without it.",
)
@click.option("--month", type=click.IntRange(1, 12), help="Only sessions that begin in it.")
@click.option("--stated", is_flag=True, help="Go by what drivers said, not by what came.")
@click.option("--max-power", "max_w", default=6_656.0, type=POWER_W, help="Of one vehicle.")
@click.option(
    "--min-current", "min_ma", type=CURRENT_MA, help="The least that is given, if any: 6A."
)
@click.option("--step", "step_ma", type=CURRENT_MA, help="Currents are whole steps: 1A.")
@click.option(
    "--svg", "svg_path", type=click.Path(path_type=Path, dir_okay=False), help="Plot to this file."
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def simulate_command(
    path: Path,
    *,
    limit_w: float,
    policies: tuple[str, ...],
    month: int | None,
    stated: bool,
    max_w: float,
    min_ma: float | None,
    step_ma: float | None,
    svg_path: Path | None,
    is_json: bool,
) -> None:
    """Charge recorded sessions again under a limit, and compare with the most there was to have.

    The file has the columns `arrival`, `departure` (2019-05-01 08:00:00-07:00) and
    `delivered_energy (kWh)`; for --stated `requested_energy (kWh)` and `estimated_departure`, too.

    fcfs: first come, first served; rr: in turns; edf: who leaves first; llf: who can wait least.
    `headroom` plans as the daemon does, `greedy` without the linear program. `headroom` promises
    each who comes all it wants where that fits, unless it goes by what was stated; kept are
    promises of which at least 98 % were delivered.

    Any power can be given at any time, as the literature has it, unless --min-current (6A: IEC
    61851-1) and --step say otherwise, for every policy alike; the most there was to have knows
    neither.

    Exits with 2 when the file cannot be used, or nothing is delivered in it.
    """
    steps = _steps(min_ma, step_ma)
    try:
        sessions = read_sessions(path, max_w=max_w, month=month)
    except SessionFileError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    with Console(stderr=True).status("looking for the most there is to have"):
        optimum_wh = offline_optimum_wh(sessions, limit_w=limit_w)
    if optimum_wh < LEAST_WH or not steps.down_ma(most_ma(min(limit_w, max_w))):
        click.echo(
            f"Error: {path}: under {limit_w / 1_000:g} kW nobody gets anything: the limit is too low, "
            f"nothing was delivered, or nobody stays for {SLOT_S / 60:g} minutes",
            err=True,
        )
        sys.exit(2)
    chosen = [Policy(policy) for policy in policies] or list(Policy)
    figures, courses = _figures(
        sessions, chosen, limit_w, optimum_wh, steps=steps, is_stated=stated
    )
    if svg_path is not None:
        try:
            svg_path.write_text(_plotted(figures, courses, limit_w), encoding="utf-8")
        except OSError as error:
            click.echo(f"Error: {svg_path}: {error.strerror or error}", err=True)
            sys.exit(1)
    if is_json:
        click.echo(json.dumps(figures, indent=2))
        return
    _show(figures)


def _steps(min_ma: float | None, step_ma: float | None) -> Steps:
    """Return the currents that can be given; what is not asked for is as good as any."""
    steps_ma = ANY_POWER.step_ma if step_ma is None else int(step_ma)
    least_ma = steps_ma if min_ma is None else int(min_ma)
    if not steps_ma or least_ma % steps_ma:
        message = f"a least current of {least_ma} mA is not made of steps of {steps_ma} mA"
        raise click.UsageError(message)
    return Steps(min_ma=least_ma, step_ma=steps_ma)


def _figures(
    sessions: tuple[RecordedSession, ...],
    policies: list[Policy],
    limit_w: float,
    optimum_wh: float,
    *,
    steps: Steps,
    is_stated: bool,
) -> tuple[dict[str, object], list[Course]]:
    rows: dict[str, dict[str, float | None]] = {}
    courses: list[Course] = []
    with Console(stderr=True).status("charging") as status:
        for policy in policies:
            status.update(f"charging by {policy}")
            began_s = time.process_time()
            result = replay(
                sessions,
                limit_w=limit_w,
                policy=policy,
                steps=steps,
                is_stated=is_stated,
                is_promising=True,
                clock_s=time.process_time,
            )
            cpu_s = time.process_time() - began_s
            rows[policy] = _row(result, sessions, optimum_wh, cpu_s)
            share_ratio = result.energy_wh / optimum_wh
            courses.append(Course(name=policy, share_ratio=share_ratio, powers_w=result.powers_w))
    figures: dict[str, object] = {
        "sessions": len(sessions),
        "asked_kwh": round(sum(s.energy_wh for s in sessions) / 1_000, 1),
        "limit_kw": limit_w / 1_000,
        "optimum_kwh": round(optimum_wh / 1_000, 1),
        "min_current_a": None if steps == ANY_POWER else steps.min_ma / 1_000,
        "step_a": None if steps == ANY_POWER else steps.step_ma / 1_000,
        "goes_by": "what drivers said" if is_stated else "what came",
        "policies": rows,
    }
    return figures, courses


def _row(
    result: Result, sessions: tuple[RecordedSession, ...], optimum_wh: float, cpu_s: float
) -> dict[str, float | None]:
    plans_s = sorted(result.plans_s)
    promised = len(result.promised)
    return {
        "energy_kwh": round(result.energy_wh / 1_000, 1),
        "of_optimum": round(result.energy_wh / optimum_wh, 4),
        "peak_kw": round(result.peak_w / 1_000, 2),
        "least_a": min(result.currents_ma, default=0) / 1_000,
        "promised": promised or None,
        "kept": result.kept_count(sessions) if promised else None,
        "plans": result.plan_count,
        "plan_p50_ms": round(_quantile(plans_s, 0.5) * 1_000, 3),
        "plan_p99_ms": round(_quantile(plans_s, 0.99) * 1_000, 3),
        "cpu_s": round(cpu_s, 1),
    }


def _quantile(in_order: list[float], part: float) -> float:
    return in_order[int(part * (len(in_order) - 1))] if in_order else 0.0


def _plotted(figures: dict[str, object], courses: list[Course], limit_w: float) -> str:
    rows = figures["policies"]
    assert isinstance(rows, dict)
    notes = [
        (
            f"{figures['sessions']} sessions took {figures['asked_kwh']} kWh;"
            f" {figures['optimum_kwh']} kWh is the most there was to have. By {figures['goes_by']}."
        )
    ]
    notes += [
        f"{policy} promised {row['promised']} of them all they wanted and kept {row['kept']}."
        for policy, row in rows.items()
        if row["promised"]
    ]
    return drawn(
        courses,
        title=f"Recorded sessions under {limit_w / 1_000:g} kW",
        limit_w=limit_w,
        slot_s=SLOT_S,
        notes=notes,
    )


def _show(figures: dict[str, object]) -> None:
    console = Console()
    console.print(
        f"{figures['sessions']} sessions took {figures['asked_kwh']} kWh; under "
        f"{figures['limit_kw']} kW {figures['optimum_kwh']} kWh are the most there is to have."
    )
    if figures["step_a"] is not None:
        console.print(
            f"Currents are given from {figures['min_current_a']:g} A on, in steps of "
            f"{figures['step_a']:g} A: the most knows neither."
        )
    table = Table(
        "policy",
        "kWh",
        "of most",
        "peak kW",
        "promised",
        "kept",
        "plans",
        "plan p99 ms",
        "CPU s",
        box=None,
    )
    for column in table.columns[1:]:
        column.justify = "right"
    rows = figures["policies"]
    assert isinstance(rows, dict)
    for policy, row in rows.items():
        table.add_row(
            policy,
            f"{row['energy_kwh']:,.1f}",
            f"{row['of_optimum']:.2%}",
            f"{row['peak_kw']:.2f}",
            _count(row["promised"]),
            _count(row["kept"]),
            str(row["plans"]),
            f"{row['plan_p99_ms']:.2f}",
            f"{row['cpu_s']:.1f}",
        )
    console.print(table)


def _count(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"
