"""The Prometheus configuration and the alerts, judged by Prometheus's own tool."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.exposition import promtool

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "prometheus" / "prometheus.yml"
RULES = ROOT / "config" / "prometheus" / "headroom.rules.yml"
README = ROOT / "README.md"
HOW_TO = ROOT / "docs" / "how-to" / "prometheus-and-grafana.md"
TESTS = sorted(Path(__file__).parent.glob("*.test.yml"))
MATTERS = {"critical", "warning", "info"}


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def test_the_configuration_is_accepted() -> None:
    code, said = promtool("check", "config", str(CONFIG))

    assert (code, "1 rule files found" in said) == (0, True), said


def test_the_rules_are_accepted() -> None:
    code, said = promtool("check", "rules", str(RULES))

    assert (code, f"{len(alerts())} rules found" in said) == (0, True), said


def cases_in(folder: Path) -> list[str]:
    """Write the rules without descriptions, and their tests beside them; return the tests."""
    rules = read(RULES)
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]["description"]
    yaml = YAML(typ="safe", pure=True)
    yaml.width = 1_000
    yaml.dump(rules, folder / "headroom.rules.yml")
    return [str(shutil.copy(path, folder)) for path in TESTS]


def test_each_alert_sounds_when_it_must_and_not_before(tmp_path: Path) -> None:
    code, said = promtool("test", "rules", *cases_in(tmp_path))

    assert code == 0, said


@pytest.mark.parametrize(
    ("rule", "weakened"),
    [
        ("> 15\n", "> 15000\n"),
        ("connected == 0", "connected == 2"),
        (" and headroom_station_connected == 1", ""),
        ("abs(headroom_circuit_current_amperes)", "headroom_circuit_current_amperes"),
        ("< 0.8 or", "< 0.2 or"),
        ("[24h]) > 10", "[24h]) > 100"),
    ],
)
def test_a_weaker_rule_is_noticed(tmp_path: Path, rule: str, weakened: str) -> None:
    tests = cases_in(tmp_path)
    copy = tmp_path / "headroom.rules.yml"
    text = copy.read_text()
    assert rule in text
    copy.write_text(text.replace(rule, weakened))

    code, _ = promtool("test", "rules", *tests)

    assert code != 0


def test_every_alert_has_a_test_in_which_it_sounds_and_one_in_which_it_does_not() -> None:
    tests = [test for path in TESTS for test in read(path)["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    sounding = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = {alert["alert"] for alert in alerts()}

    assert sounding == names
    assert silent == names


def test_every_alert_says_how_much_it_matters_what_it_means_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in MATTERS, alert["alert"]
        for text in alert["annotations"].values():
            assert text.endswith("."), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]


def test_people_can_read_of_every_alert_how_much_it_matters() -> None:
    lines = HOW_TO.read_text(encoding="utf-8").splitlines()
    rows = {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}

    assert {
        row for row in rows if not any(f"| `{row[0]}` | {row[1]} |" in x for x in lines)
    } == set()


def test_the_readme_counts_the_alerts() -> None:
    assert f"{len(alerts())} alerts" in README.read_text(encoding="utf-8")
