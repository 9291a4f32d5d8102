"""The calendar over HTTP: what people know will come is known under an id of their own, or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.access import Role
from tests.support.api_desk import Desk, Reply, api_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def party(desk: Desk, **more: Any) -> dict[str, Any]:
    said = {"circuit": "carpark", "from_at": desk.at(11), "until_at": desk.at(14), "extra_a": 20.5}
    return {**said, "note": "a party", **more}


def put(desk: Desk, token: str, name: str = "party", **more: Any) -> Reply:
    return desk.ask("PUT", f"/calendar/{name}", party(desk, **more), token=token)


def events(desk: Desk, token: str) -> list[Any]:
    listed: list[Any] = desk.ask("GET", "/calendar", token=token).said["events"]
    return listed


def test_what_people_know_is_listed_changed_and_taken_back(desk: Desk) -> None:
    token = desk.token("desk", Role.OPERATOR)
    said = put(desk, token)
    assert (said.status, said.said["extra_ma"], said.said["by"]) == (200, [20_500] * 3, "desk")
    assert put(desk, token).said == said.said
    assert len(desk.calendar_changes) == 1

    moved = put(desk, token, phases=["L2"], extra_a=7.0001).said
    assert moved["extra_ma"] == [0, 7_001, 0]
    sooner = put(desk, token, "market", from_at=desk.at(1), until_at=desk.at(2)).said
    for told in (moved, sooner):
        del told["effects"], told["at_risk"]
    assert events(desk, desk.token("screen", Role.VIEWER)) == [sooner, moved]

    gone = desk.ask("DELETE", "/calendar/party", token=token)
    assert (gone.status, gone.said["is_cancelled"]) == (200, True)
    assert desk.ask("DELETE", "/calendar/party", token=token).said == gone.said
    desk.clock.now_s += 3 * 3_600.0
    assert events(desk, token) == []
    assert len(desk.calendar_changes) == 4


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"circuit": "carprk"}, "unknown-circuit"),
        ({"until_at": "2026-01-05T18:00:00Z", "from_at": "2026-01-05T19:00:00Z"}, "invalid-body"),
        (
            {"from_at": "2020-01-01T00:00:00Z", "until_at": "2020-01-02T00:00:00Z"},
            "window-in-the-past",
        ),
        ({"until_at": "2029-01-02T00:00:00Z"}, "window-too-far"),
        ({"extra_a": -5}, "invalid-body"),
        ({"phases": []}, "invalid-body"),
        ({"from_at": "2026-01-05T18:00:00"}, "invalid-body"),
    ],
    ids=["circuit", "order", "past", "far", "negative", "no phase", "no zone"],
)
def test_what_cannot_be_is_told(desk: Desk, wrong: dict[str, Any], kind: str) -> None:
    reply = put(desk, desk.token("desk", Role.OPERATOR), **wrong)

    assert reply.said["type"] == f"urn:headroom:problem:{kind}"
    assert desk.calendar_changes == []


def test_who_says_something_is_told_what_it_changes(desk: Desk) -> None:
    token = desk.token("desk", Role.OPERATOR)

    (covered,) = put(desk, token, extra_a=39.0, phases=["L2"]).said["effects"]
    assert (covered["circuit"], covered["phase"]) == ("carpark", "L2")
    assert covered["before_ma"] == covered["after_ma"] == 40_000
    assert covered["why"].startswith(
        "carpark, L2: nothing changes: its declared worst case, 40.0 A"
    )
    (more,) = put(desk, token, extra_a=55.0).said["effects"]
    assert (more["before_ma"], more["after_ma"]) == (40_000, 55_000)
    assert more["why"].endswith("does not cover it: 55.0 A count while it lasts.")
    (later,) = put(desk, token, from_at=desk.at(70), until_at=desk.at(71)).said["effects"]
    assert (later["before_ma"], later["after_ma"]) == (None, None)


def test_who_may_and_what_is_not_there(desk: Desk) -> None:
    operator = desk.token("desk", Role.OPERATOR)

    assert put(desk, desk.token("vans")).status == 403
    unknown = desk.ask("DELETE", "/calendar/party", token=operator)
    assert (unknown.status, unknown.said["type"][-13:]) == (404, "unknown-event")
    assert put(desk, operator, "x" * 65).status == 404


def test_there_are_not_more_events_to_come_than_can_be_gone_through(desk: Desk) -> None:
    token = desk.token("desk", Role.OPERATOR)
    for number in range(500):
        assert put(desk, token, f"{number}").status == 200
    assert put(desk, token, "one-more").said["type"][-15:] == "too-many-events"
    assert put(desk, token, "17", extra_a=1).status == 200
