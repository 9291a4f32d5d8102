"""A simulated day in figures: `python -m tests.simulation.figures [KIND [SEEDS]]` prints them."""

import json
import sys
from dataclasses import asdict, dataclass
from statistics import fmean

from drivers.sim.generator import generate
from drivers.sim.scenario import ScenarioKind
from tests.simulation.harness import Run

SIX_HOURS_S = 21_600.0


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
    scenario = generate(ScenarioKind(kind), seed, duration_s=duration_s)
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


def main() -> None:
    """Print each day as a line of JSON, and the means."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "harsh"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    days = [day_of(kind, seed) for seed in range(1, count + 1)]
    for day in days:
        print(json.dumps(asdict(day)))  # noqa: T201 - this is its output
    means = {
        name: round(fmean(getattr(day, name) for day in days), 3)
        for name in (
            "energy_vs_omniscient",
            "limit_changes_per_connector_h",
            "needless_pauses_per_connector_h",
        )
    }
    print(json.dumps({"kind": kind, "seeds": count, "mean": means}))  # noqa: T201


if __name__ == "__main__":
    main()
