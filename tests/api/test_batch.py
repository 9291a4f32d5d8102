"""Many needs in one request: each is answered alone, and each counts for the quota."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.batch import MAX_NEEDS, NOT_THOUGHT_OVER, THINKS_FOR_S
from gateway.api.problems import TYPE_PREFIX
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality, Need
from gateway.planning.answers import QuoteAnswer
from gateway.planning.rearranging import Rearranging
from tests.support.api_desk import Desk, api_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def needs(desk: Desk, count: int, **more: Any) -> dict[str, Any]:
    return {
        "needs": [
            {"arrive_at": desk.at(1), "depart_at": desk.at(2), "energy_wh": 5_000 + n} | more
            for n in range(count)
        ]
    }


def test_each_need_is_answered_alone_and_its_offers_can_be_held(desk: Desk) -> None:
    token = desk.token("routes")
    body = needs(desk, 3)
    body["needs"][1]["criticality"] = "critical"
    body["needs"][2]["connector"] = "CP-11/1"
    reply = desk.ask("POST", "/quotes/batch", body, token=token)

    assert reply.status == 200
    first, second, third = reply.said["quotes"]
    assert (first["quote"]["answer"], first["problem"]) == ("yes", None)
    assert (second["quote"], second["problem"]["type"]) == (None, TYPE_PREFIX + "not-allowed")
    assert third["problem"]["status"] == 422
    assert "did you mean CP-01/1?" in third["problem"]["detail"]
    offer = {"offer_id": first["quote"]["offers"][0]["offer_id"]}
    assert desk.ask("POST", "/reservations", offer, token=token).status == 201


def test_a_need_that_meets_a_fault_of_ours_leaves_the_others_their_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = desk.booking.quote_thoroughly

    async def quote(need: Need, access: Access) -> QuoteAnswer:
        if need.energy_wh == 5_001:
            raise ZeroDivisionError
        return await asked(need, access)

    monkeypatch.setattr(desk.booking, "quote_thoroughly", quote)
    reply = desk.ask("POST", "/quotes/batch", needs(desk, 3), token=desk.token("routes"))

    assert reply.status == 200
    first, second, third = reply.said["quotes"]
    assert (first["quote"]["answer"], third["quote"]["answer"]) == ("yes", "yes")
    assert (second["quote"], second["problem"]["type"]) == (None, TYPE_PREFIX + "unexpected")
    assert second["problem"]["status"] == 500


def test_what_is_critical_is_thought_over_while_there_is_time_and_then_it_is_said_that_it_is_not(
    tmp_path: Path,
) -> None:
    posed = list[Rearranging]()

    async def think_over(question: Rearranging) -> None:
        posed.append(question)
        thinking.clock.now_s += THINKS_FOR_S

    with api_desk(tmp_path, think_over) as thinking:
        token = thinking.token("drones", criticality=Criticality.CRITICAL)
        body = needs(thinking, 3, connector="CP-01/1", energy_wh=900_000, criticality="critical")
        body["needs"][2]["criticality"] = "normal"
        said = thinking.ask("POST", "/quotes/batch", body, token=token).said["quotes"]

    assert len(posed) == 1
    is_told = [each["quote"]["reason"].endswith(NOT_THOUGHT_OVER) for each in said]
    assert is_told == [False, True, False]


def test_a_need_that_says_what_it_must_not_is_named(desk: Desk) -> None:
    body = needs(desk, 2)
    body["needs"][1]["energy_wh"] = -1
    reply = desk.ask("POST", "/quotes/batch", body, token=desk.token("routes"))

    assert reply.status == 422
    assert reply.said["errors"][0]["pointer"] == "/needs/1/energy_wh"
    for count in (0, MAX_NEEDS + 1):
        wrong = needs(desk, count)
        assert desk.ask("POST", "/quotes/batch", wrong, token=desk.token("r")).status == 422


def test_each_need_counts_and_who_owes_waits(desk: Desk) -> None:
    token = desk.token("routes", quota=60, criticality=Criticality.NORMAL)
    assert desk.ask("POST", "/quotes/batch", needs(desk, 40), token=token).status == 200
    # Ten were allowed at once, and one is added each second.
    refused = desk.ask("GET", "/site", token=token)
    assert (refused.status, refused.headers["retry-after"]) == (429, "31")
    desk.clock.now_s += 31
    assert desk.ask("GET", "/site", token=token).status == 200


def test_others_have_their_turn_between_the_needs_of_a_large_batch(desk: Desk) -> None:
    token = desk.token("routes")
    turns = [0]

    async def count_turns() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    counting = asyncio.run_coroutine_threadsafe(count_turns(), desk.loop)
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    turns[0] = 0
    body = json.dumps(needs(desk, MAX_NEEDS)).encode()
    connection.request("POST", "/api/v1/quotes/batch", body, headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    counting.cancel()

    assert len(said["quotes"]) == MAX_NEEDS
    assert turns[0] >= MAX_NEEDS


def test_reliability_is_reported_by_level(desk: Desk) -> None:
    reply = desk.ask("GET", "/reports/reliability", token=desk.token("s", Role.VIEWER))

    assert reply.said["levels"][2] == {
        "level": 0.9,
        "count": 0,
        "promised": None,
        "kept": None,
        "low": None,
        "high": None,
    }
    assert (reply.said["kept_means"], reply.said["alarm"]) == (0.98, None)
    assert set(reply.said["excused"]) == {"no_show", "came_late", "left_early", "refused_power"}
