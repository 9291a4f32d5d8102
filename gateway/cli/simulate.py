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
from gateway.planning.recorded import Policy, RecordedSession, offline_optimum_wh, replay

POWER = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>kW|W)")


class Power(click.ParamType[float]):
    """A power: 20kW or 20000W; in W."""

    name = "power"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the power in W."""
        if isinstance(value, float):
            return value
        found = POWER.fullmatch(str(value))
        if found is None or float(found["number"]) <= 0:
            self.fail(f"{value!r} is no power, such as 20kW", param, ctx)
        return float(found["number"]) * (1_000 if found["unit"] == "kW" else 1)


@click.command("simulate")
@click.option(
    "--sessions", "path", required=True, type=click.Path(path_type=Path), help="A CSV file."
)
@click.option("--limit", "limit_w", required=True, type=Power(), help="For all together: 20kW.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice([policy.value for policy in Policy]),
    help="How the limit is shared; all policies without it.",
)
@click.option("--month", type=click.IntRange(1, 12), help="Only sessions that begin in it.")
@click.option("--stated", is_flag=True, help="Go by what drivers said, not by what came.")
@click.option("--max-power", "max_w", default=6_656.0, type=Power(), help="Of one vehicle.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def simulate_command(
    path: Path,
    *,
    limit_w: float,
    policies: tuple[str, ...],
    month: int | None,
    stated: bool,
    max_w: float,
    is_json: bool,
) -> None:
    """Charge recorded sessions again under a limit, and compare with the most there was to have."""
    try:
        sessions = read_sessions(path, max_w=max_w, month=month).sessions
    except SessionFileError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    figures = _figures(
        sessions, [Policy(p) for p in policies] or list(Policy), limit_w, is_stated=stated
    )
    if is_json:
        click.echo(json.dumps(figures, indent=2))
        return
    _show(figures)


def _figures(
    sessions: tuple[RecordedSession, ...],
    policies: list[Policy],
    limit_w: float,
    *,
    is_stated: bool,
) -> dict[str, object]:
    console = Console(stderr=True)
    with console.status("looking for the most there is to have") as status:
        optimum_wh = offline_optimum_wh(sessions, limit_w=limit_w)
        rows: dict[str, dict[str, float]] = {}
        for policy in policies:
            status.update(f"charging by {policy}")
            began_s = time.process_time()
            result = replay(sessions, limit_w=limit_w, policy=policy, is_stated=is_stated)
            rows[policy] = {
                "energy_kwh": round(result.energy_wh / 1_000, 1),
                "of_optimum": round(result.energy_wh / optimum_wh, 4),
                "peak_kw": round(result.peak_w / 1_000, 2),
                "plans": result.plan_count,
                "cpu_s": round(time.process_time() - began_s, 1),
            }
    return {
        "sessions": len(sessions),
        "asked_kwh": round(sum(s.energy_wh for s in sessions) / 1_000, 1),
        "limit_kw": limit_w / 1_000,
        "optimum_kwh": round(optimum_wh / 1_000, 1),
        "goes_by": "what drivers said" if is_stated else "what came",
        "policies": rows,
    }


def _show(figures: dict[str, object]) -> None:
    console = Console()
    console.print(
        f"{figures['sessions']} sessions took {figures['asked_kwh']} kWh; under "
        f"{figures['limit_kw']} kW {figures['optimum_kwh']} kWh are the most there is to have."
    )
    table = Table("policy", "kWh", "of the most", "peak kW", "plans", "CPU s", box=None)
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
            str(row["plans"]),
            f"{row['cpu_s']:.1f}",
        )
    console.print(table)
