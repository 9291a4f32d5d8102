"""A simulated day in figures: `python -m tests.simulation.figures [KIND [SEEDS]]` prints them."""

import json
import sys
from dataclasses import asdict, dataclass
from statistics import fmean

from drivers.sim.generator import generate
from drivers.sim.scenario import ScenarioKind
from tests.simulation.harness import Run
from tests.simulation.odd import odd

SIX_HOURS_S = 21_600.0
ODD = "odd"
"""A day with faults made odd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What the plant says of a day, and what was believed wrongly or left unexplained."""

    kind: str
    seed: int
    energy_vs_omniscient: float
    limit_changes_per_connector_h: float
    needless_pauses_per_connector_h: float
    highest_peak_ratio: float
    over_rating_s: float
    thermal_budget_peak_ratio: float
    violations: tuple[str, ...]
    unsound: tuple[str, ...]
    stuck: tuple[str, ...]
    unexplained: tuple[str, ...]


def day_of(kind: str, seed: int, duration_s: float = SIX_HOURS_S) -> Day:
    """Run a seed; on an ordinary day at a site whose base is known, else at a new one."""
    of_kind = ScenarioKind.FAULTS if kind == ODD else ScenarioKind(kind)
    scenario = generate(of_kind, seed, duration_s=duration_s)
    if kind == ODD:
        scenario = odd(scenario, seed)
    run = Run.of(scenario, knows_base=kind == "ordinary")
    report = run.to_end(duration_s)
    return Day(
        kind=kind,
        seed=seed,
        energy_vs_omniscient=report.energy_vs_omniscient or 0.0,
        limit_changes_per_connector_h=report.limit_changes_per_connector_h,
        needless_pauses_per_connector_h=report.needless_pauses_per_connector_h,
        highest_peak_ratio=max(circuit.peak_ratio for circuit in report.circuits),
        over_rating_s=sum(circuit.over_rating_s for circuit in report.circuits),
        thermal_budget_peak_ratio=max(c.thermal_budget_peak for c in report.circuits),
        violations=tuple(f"{v.what}: {v.at_s:.0f} s: {v.detail}" for v in report.violations),
        unsound=tuple(run.unsound),
        stuck=tuple(run.stuck.told),
        unexplained=tuple(run.unexplained),
    )


def summary_of(days: list[Day]) -> str:
    """Return the means and the worst of some days of one kind, as a line of JSON."""
    energies = [day.energy_vs_omniscient for day in days]
    changes = [day.limit_changes_per_connector_h for day in days]
    pauses = [day.needless_pauses_per_connector_h for day in days]
    told = [[*day.violations, *day.unsound, *day.stuck, *day.unexplained] for day in days]
    figures = {
        "kind": days[0].kind,
        "seeds": len(days),
        "energy_vs_omniscient": _mean_and_worst(energies, min(energies)),
        "limit_changes_per_connector_h": _mean_and_worst(changes, max(changes)),
        "needless_pauses_per_connector_h": _mean_and_worst(pauses, max(pauses)),
        "thermal_budget_peak_ratio": max(day.thermal_budget_peak_ratio for day in days),
        "days_told_of": [day.seed for day, against in zip(days, told, strict=True) if against],
        "told": sum(map(len, told)),
    }
    return json.dumps(figures) + "\n"


def _mean_and_worst(values: list[float], worst: float) -> dict[str, float]:
    return {"mean": round(fmean(values), 3), "worst": round(worst, 3)}


def main() -> None:
    """Print each day as a line of JSON, and the means and the worst of them."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "harsh"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    days = [day_of(kind, seed) for seed in range(1, count + 1)]
    for day in days:
        sys.stdout.write(json.dumps(asdict(day)) + "\n")
    sys.stdout.write(summary_of(days))


if __name__ == "__main__":
    main()
