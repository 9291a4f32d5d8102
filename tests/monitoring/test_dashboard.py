"""The dashboard's queries, each put to a real Prometheus that scrapes the demo while it runs."""

import json
import math
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from gateway.control.condition import Condition
from gateway.domain.reasons import ReasonKind
from tests.support.daemon_process import HEADROOM
from tests.support.prometheus_process import PATIENCE_S, Prometheus, prometheus, wait_for

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "config" / "grafana"
DASHBOARD = json.loads((GRAFANA / "headroom.json").read_text(encoding="utf-8"))
RULES = ROOT / "config" / "prometheus" / "headroom.rules.yml"
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24

EMPTY_UNTIL_EVENT = {
    "Alarms that sound",
    "Stations that are lost",
    "Circuits that are locked out, or want to be switched off",
}
"""Panels that show nothing on a good day; their queries are put as well, and must be understood."""

TRANSLATED = {
    "$supply": "supply",
    "$circuit": "carpark",
    "$__rate_interval": "20s",
}


class Query(NamedTuple):
    panel: str
    expression: str


QUERIES = [Query(panel["title"], t["expr"]) for panel in PANELS for t in panel["targets"]]


class House(NamedTuple):
    """A demo that runs, and the Prometheus that watches it."""

    prometheus: Prometheus
    instance: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("monitoring")
    text = (ROOT / "config" / "site.demo.yaml").read_text(encoding="utf-8")
    assert "metrics: { port: 9464 }" in text
    site = folder / "site.yaml"
    site.write_text(text.replace("metrics: { port: 9464 }", "metrics: { port: 0 }"))
    log = folder / "demo.log"
    with log.open("wb") as errors:
        demo = subprocess.Popen(
            [*HEADROOM, "demo", "-c", str(site), "--json"],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            (instance,) = wait_for(
                lambda: re.findall(r"metrics at http://(\S+)$", log.read_text(), re.MULTILINE),
                "the demo tells no address of its metrics",
            )
            with prometheus(instance, folder) as running:
                yield House(running, instance)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(PATIENCE_S)


def as_grafana_asks(expression: str, house: House) -> str:
    """Return the query with its variables filled in."""
    for variable, value in {**TRANSLATED, "$instance": house.instance}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.panel)
def test_every_query_has_an_answer(query: Query, house: House) -> None:
    expression = as_grafana_asks(query.expression, house)
    if query.panel in EMPTY_UNTIL_EVENT:
        house.prometheus.query(expression)  # Fails if it is not understood.
        return

    def numbers() -> list[float]:
        found = [float(one["value"][1]) for one in house.prometheus.query(expression)]
        return [number for number in found if math.isfinite(number)]

    wait_for(numbers, f"{query.panel}: {expression} is empty")


def test_what_is_empty_until_something_happens_is_what_shows_trouble() -> None:
    shown = {panel["title"] for panel in PANELS}

    assert shown >= EMPTY_UNTIL_EVENT
    assert all("Empty is good." in panel["description"]
               for panel in PANELS if panel["title"] in EMPTY_UNTIL_EVENT)  # fmt: skip


def test_every_variable_has_something_to_choose(house: House) -> None:
    choices = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert found is not None
        series = as_grafana_asks(found[1], house)
        seen = wait_for(partial(house.prometheus.query, series), f"{series} is empty")
        choices[variable["name"]] = {one["metric"][found[2]] for one in seen}

    assert choices == {
        "instance": {house.instance},
        "supply": {"supply", "annex"},
        "circuit": {"supply", "carpark", "annex", "workshop"},
    }


def test_every_metric_that_is_asked_for_is_told(house: House) -> None:
    wait_for(lambda: house.prometheus.query("headroom_control_cycles_total"), "nothing is scraped")
    told = set(house.prometheus.ask("metadata"))
    rules = [r for group in YAML(typ="safe").load(RULES)["groups"] for r in group["rules"]]
    asked = {query.expression for query in QUERIES} | {rule["expr"] for rule in rules}
    names = {name for text in asked for name in re.findall(r"\b(?:headroom|process)_\w+", text)}

    assert len(names) > 25
    assert {name for name in names if name.removesuffix("_bucket") not in told} == set()


def test_every_alert_can_be_evaluated(house: House) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = house.prometheus.ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def are_evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in rules())

    wait_for(are_evaluated, "the alerts are not evaluated")

    assert {rule["name"]: rule.get("lastError") for rule in rules() if rule["health"] != "ok"} == {}
    sounding = {rule["name"] for rule in rules() if rule["state"] == "firing"}
    assert not sounding & {"HeadroomDown", "HeadroomControlLate", "HeadroomStopped"}


def test_the_dashboard_is_what_grafana_can_lay_out() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]

    assert len(set(ids)) == len(ids)
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    overlapping = [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]
    assert overlapping == []


def test_every_panel_says_what_it_shows_and_where_it_asks() -> None:
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}, panel["title"]
        assert all('instance="$instance"' in t["expr"] for t in panel["targets"]), panel["title"]


def words_for(column: str) -> set[str]:
    """Return what the table of connectors has words for in a column."""
    (table,) = [panel for panel in PANELS if panel["title"] == "Each connector now"]
    (override,) = [
        o for o in table["fieldConfig"]["overrides"] if o["matcher"]["options"] == column
    ]
    (mappings,) = [p["value"] for p in override["properties"] if p["id"] == "mappings"]
    return set(mappings[0]["options"])


def test_every_reason_and_every_state_has_words_for_people() -> None:
    (stacked,) = [panel for panel in PANELS if panel["title"] == "Connectors by what limits them"]
    named = {o["matcher"]["options"] for o in stacked["fieldConfig"]["overrides"]}

    assert words_for("reason") == named == {str(kind) for kind in ReasonKind}
    assert words_for("state") == {str(condition) for condition in Condition}


def test_what_grafana_is_provisioned_with_is_there() -> None:
    yaml = YAML(typ="safe", pure=True)
    provisioning = GRAFANA / "provisioning"
    (provider,) = yaml.load(provisioning / "dashboards" / "headroom.yaml")["providers"]
    (source,) = yaml.load(provisioning / "datasources" / "headroom.yaml")["datasources"]

    assert (provider["type"], source["type"]) == ("file", "prometheus")
