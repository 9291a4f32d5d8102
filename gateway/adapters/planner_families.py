"""What Prometheus is told of plans: who made them, how old the one is that is gone by, and how long it took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

MAKERS = {"worker": "by_worker", "greedy": "by_greedy"}
CAUSES = ("refused", "overtaken")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerFigures:
    """What is told from. `counts` are as the planner counts them.

    `age_s` and `took_s` are of the plan that is gone by: None while there is none.
    """

    counts: Mapping[str, int]
    age_s: float | None
    took_s: float | None


def planner_families(seen: PlannerFigures) -> Iterator[Metric]:
    """Yield everything there is to tell of plans."""
    plans = CounterMetricFamily(
        "headroom_planner_plans",
        "Plans taken, by who made them: the planner's process, or the daemon itself (greedy).",
        labels=["maker"],
    )
    for maker, counted in MAKERS.items():
        plans.add_metric([maker], seen.counts.get(counted, 0))
    left = CounterMetricFamily(
        "headroom_planner_plans_not_taken",
        "Plans that were refused for what was wrong with them, or overtaken by a limit or a promise.",
        labels=["cause"],
    )
    for cause in CAUSES:
        left.add_metric([cause], seen.counts.get(cause, 0))
    yield from (plans, left)
    yield CounterMetricFamily(
        "headroom_planner_failures",
        "How often the planner's process ended, hung, or answered what is no plan.",
        value=seen.counts.get("failures", 0),
    )
    yield CounterMetricFamily(
        "headroom_planner_processes_begun",
        "How often a process that plans was begun.",
        value=seen.counts.get("spawned", 0),
    )
    # A family without a sample is told all the same, so that its name is known.
    age = GaugeMetricFamily(
        "headroom_planner_plan_age_seconds",
        "How old the plan is that is gone by, in s. Absent while there is none.",
        labels=[],
    )
    took = GaugeMetricFamily(
        "headroom_planner_plan_seconds",
        "How long that plan took from its question on, in s. Absent while there is none.",
        labels=[],
    )
    if seen.age_s is not None:
        age.add_metric([], seen.age_s)
    if seen.took_s is not None:
        took.add_metric([], seen.took_s)
    yield from (age, took)
