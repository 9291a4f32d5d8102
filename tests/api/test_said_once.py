"""What would not do what it seems to say is refused: in a query, and twice in a body."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.api.problems import TYPE_PREFIX
from gateway.domain.access import Role
from tests.support.api_desk import Desk, Reply, api_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def detail(reply: Reply, kind: str) -> str:
    assert reply.said["type"] == TYPE_PREFIX + kind
    said: str = reply.said["detail"]
    return said


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("atrisk=true", "this takes at_risk in its query, not 'atrisk'"),
        ("at_risk=true&at_risk=false", "at_risk is said twice: say it once"),
        ("at_risk=true&limit=5", "this takes at_risk in its query, not 'limit'"),
        ("at_risk=", "at_risk is true or false, not ''"),
    ],
)
def test_a_query_that_would_not_do_what_it_says_is_refused(
    desk: Desk, query: str, told: str
) -> None:
    answer = desk.ask("GET", f"/reservations?{query}", token=desk.token("vans"))

    assert told in detail(answer, "invalid-query")


def test_where_there_is_nothing_to_ask_in_a_query_any_is_refused(desk: Desk) -> None:
    token = desk.token("desk", Role.OPERATOR)
    for path in ("/site", "/reservations/none", "/events"):
        answer = desk.ask("GET", f"{path}?at_risk=true", token=token)
        assert "this takes nothing in its query, not 'at_risk'" in detail(answer, "invalid-query")
    answer = desk.ask("POST", "/quotes?energy_wh=5", {}, token=token)
    assert "not 'energy_wh': leave it out" in detail(answer, "invalid-query")


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        (b'{"energy_wh": 1000, "depart_at": null, "energy_wh": 2000}', "energy_wh"),
        (b'{"soc": {"now_pct": 1, "target_pct": 2, "battery_wh": 9, "now_pct": 1}}', "now_pct"),
    ],
)
def test_what_is_said_twice_in_a_body_is_refused(desk: Desk, body: bytes, twice: str) -> None:
    answer = desk.ask("POST", "/quotes", body, token=desk.token("vans"))

    assert f"{twice} is said twice: say it once" in detail(answer, "invalid-body")
