"""What metrics tell of plans, in words that Prometheus's own tool accepts."""

import re

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.planner_families import PlannerFigures, planner_families
from tests.support.exposition import promtool, samples_of, value_of

COUNTS = {
    "by_worker": 7,
    "by_greedy": 2,
    "refused": 1,
    "overtaken": 3,
    "failures": 4,
    "spawned": 5,
}


def text_of(*, age_s: float | None = 12.5, took_s: float | None = 0.25) -> str:
    class Told:
        def collect(self) -> object:
            return planner_families(PlannerFigures(counts=COUNTS, age_s=age_s, took_s=took_s))

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told())  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def test_plans_are_told_by_who_made_them_and_what_came_between() -> None:
    text = text_of()

    assert value_of(text, "headroom_planner_plans_total", maker="worker") == 7
    assert value_of(text, "headroom_planner_plans_total", maker="greedy") == 2
    assert value_of(text, "headroom_planner_plans_not_taken_total", cause="refused") == 1
    assert value_of(text, "headroom_planner_plans_not_taken_total", cause="overtaken") == 3
    assert value_of(text, "headroom_planner_failures_total") == 4
    assert value_of(text, "headroom_planner_processes_begun_total") == 5
    assert value_of(text, "headroom_planner_plan_age_seconds") == 12.5
    assert value_of(text, "headroom_planner_plan_seconds") == 0.25


def test_while_there_is_no_plan_it_has_no_age() -> None:
    samples = samples_of(text_of(age_s=None, took_s=None))

    assert "headroom_planner_plan_age_seconds" not in samples
    assert "headroom_planner_plan_seconds" not in samples


def test_names_and_words_are_as_those_of_the_other_metrics() -> None:
    families = list(text_string_to_metric_families(text_of()))

    assert all(family.name.startswith("headroom_planner_") for family in families)
    texts = [family.documentation for family in families]
    assert [t for t in texts if not re.fullmatch(r"[A-Z0-9].*[A-Za-z0-9)]\.", t)] == []
    assert promtool("check", "metrics", text=text_of()) == (0, "")
