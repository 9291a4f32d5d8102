"""The stream of events: who is told what, and what a follower misses it hears of."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.token_file import revoke_token
from gateway.api.app import PREFIX
from gateway.api.sse import MAX_FOLLOWERS, told
from gateway.domain.access import Access, Role
from gateway.services.feed import Feed
from tests.support.api_desk import Desk, api_desk
from tests.support.virtual_time import VirtualClock, run_virtual


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def offer_of(desk: Desk, token: str) -> str:
    """Return an offer to hold."""
    wanted = {"arrive_at": desk.at(1), "depart_at": desk.at(3), "energy_wh": 20_000}
    said = desk.ask("POST", "/quotes", wanted, token=token).said
    offer_id: str = said["offers"][0]["offer_id"]
    return offer_id


def tell_limits(desk: Desk, *limits_ma: int) -> None:
    """Let limits be told, one after the other."""

    def tell() -> None:
        for limit_ma in limits_ma:
            desk.feed.tell("limit", "x", ma=limit_ma)

    desk.loop.call_soon_threadsafe(tell)


def test_changes_are_streamed_to_whom_they_concern(desk: Desk) -> None:
    vans, drones, screen = desk.token("vans"), desk.token("drones"), desk.token("s", Role.VIEWER)
    for token in (vans, drones):
        assert (
            desk.ask(
                "POST", "/reservations", {"offer_id": offer_of(desk, token)}, token=token
            ).status
            == 201
        )
    desk.loop.call_soon_threadsafe(lambda: desk.feed.tell("limit", "CP-01/1", limit_ma=0))

    everything = {"Last-Event-ID": "0"}
    assert [kind for _, kind, _ in desk.events(vans, 2, **everything)] == ["reservation", "limit"]
    assert [n for n, _, _ in desk.events(drones, 2, **everything)] == [2, 3]
    ((number, kind, said),) = desk.events(screen, 1, **everything)
    assert (number, kind, said["subject"]) == (3, "limit", "CP-01/1")
    assert (said["data"], said["holder"]) == ({"limit_ma": 0}, None)


def test_nobody_asks_for_the_head_of_a_stream_alone(desk: Desk) -> None:
    reply = desk.ask("HEAD", "/events", token=desk.token("vans"))

    assert (reply.status, reply.headers["allow"]) == (405, "GET")


def test_no_token_takes_every_stream_there_is(desk: Desk) -> None:
    greedy, vans, drones = (desk.token(name) for name in ("greedy", "vans", "drones"))

    def follow(token: str) -> http.client.HTTPResponse:
        connection = desk.connection()
        closing.callback(connection.close)
        connection.request("GET", f"{PREFIX}/events", headers={"Authorization": f"Bearer {token}"})
        answer = closing.enter_context(connection.getresponse())
        if answer.status == 200:
            assert answer.readline().startswith(b": what changes is told")
        return answer

    def is_open(answer: http.client.HTTPResponse) -> bool:
        """Return whether a stream goes on once something has been told."""
        while line := answer.readline():
            if line.startswith(b"event: "):
                return True
        return False

    with ExitStack() as closing:
        first = [follow(greedy) for _ in range(MAX_FOLLOWERS)]
        others = [follow(token) for token in (vans, drones)]
        assert {answer.status for answer in (*first, *others)} == {200}
        assert follow(greedy).status == 503
        desk.loop.call_soon_threadsafe(lambda: desk.feed.tell("limit", "CP-01/1", limit_ma=0))
        # Those that were open longest gave way.
        assert [is_open(answer) for answer in first[:3]] == [False, False, True]
        assert [is_open(answer) for answer in others] == [True, True]


@pytest.mark.parametrize("last_id", ["193a5c1e2d0-7", "7", "9" * 5_000, "a-b"])
def test_who_saw_events_of_another_life_is_told_that_some_are_missed(
    desk: Desk, last_id: str
) -> None:
    screen = desk.token("s", Role.VIEWER)
    tell_limits(desk, 0, 6_000)

    told = desk.events(screen, 3, **{"Last-Event-ID": last_id})

    assert [kind for _, kind, _ in told] == ["missed", "limit", "limit"]
    assert told[0][2]["data"] == {"count": None}


def test_who_goes_on_after_a_break_is_told_what_came_in_it(desk: Desk) -> None:
    screen = desk.token("s", Role.VIEWER)
    tell_limits(desk, 0, 6_000, 8_000)

    told = desk.events(screen, 1, **{"Last-Event-ID": f"{desk.feed.life}-2"})

    assert [(number, said["data"]) for number, _, said in told] == [(3, {"ma": 8_000})]


def test_a_stream_ends_once_its_token_opens_nothing_any_more(desk: Desk) -> None:
    screen, closing = desk.token("s", Role.VIEWER), desk.connection()
    closing.request("GET", f"{PREFIX}/events", headers={"Authorization": f"Bearer {screen}"})
    answer = closing.getresponse()
    assert answer.readline().startswith(b": what changes is told")

    assert revoke_token(desk.folder, "s")
    tell_limits(desk, 0)

    rest = answer.read()
    assert b"this token opens nothing any more" in rest
    assert b"event: " not in rest
    closing.close()


async def kinds_told(
    feed: Feed, clock: VirtualClock, after: int, by: Access
) -> list[tuple[str, Any]]:
    """Return the kinds that a follower is told at once, and how many each says are missed."""
    stream, found = told(feed, f"{feed.life}-{after}", lambda: by, clock), []
    async for part in stream:
        if part == b": nothing has changed\n\n":
            break
        if part.startswith(b"id: "):
            _, kind, data = part.decode().strip().split("\n")
            said = json.loads(data.removeprefix("data: "))
            found.append((kind.removeprefix("event: "), said["data"].get("count")))
    return found


def test_only_what_a_token_might_have_seen_is_said_to_be_missed() -> None:
    vans, drones = (Access(name=name, role=Role.VEHICLE_OPERATOR) for name in ("vans", "drones"))
    desk = Access(name="desk", role=Role.OPERATOR)

    async def test() -> None:
        clock = VirtualClock()
        feed = Feed(clock, remembered=1)
        feed.tell("limit", "x")
        for _ in range(3):
            feed.tell("reservation", "r", holder="drones")
        feed.tell("limit", "x")
        for by, after, missed in ((vans, 0, 1), (drones, 0, 4), (drones, 2, 2), (desk, 1, 3)):
            kinds = await kinds_told(feed, clock, after, by)
            assert kinds == [("missed", missed), ("limit", None)]
        assert await kinds_told(feed, clock, 1, vans) == [("limit", None)]

    run_virtual(test())


def test_who_was_away_for_very_long_is_told_that_some_are_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.services.feed.KNOWN_WHOSE", 3)
    vans = Access(name="vans", role=Role.VEHICLE_OPERATOR)

    async def test() -> None:
        clock = VirtualClock()
        feed = Feed(clock, remembered=1)
        for _ in range(5):
            feed.tell("reservation", "r", holder="drones")
        feed.tell("limit", "x")
        assert await kinds_told(feed, clock, 2, vans) == [("missed", None), ("limit", None)]
        assert await kinds_told(feed, clock, 3, vans) == [("limit", None)]

    run_virtual(test())


def test_who_asks_for_all_that_is_remembered_holds_up_nobody() -> None:
    screen = Access(name="s", role=Role.VIEWER)

    async def test() -> None:
        clock, turns = VirtualClock(), 0
        feed = Feed(clock)
        for _ in range(100):
            feed.tell("limit", "x")
        stream = told(feed, "0", lambda: screen, clock)

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            others = tasks.create_task(take_turns())
            assert (await anext(stream)).startswith(b": ")
            events = [await anext(stream) for _ in range(100)]
            others.cancel()

        assert all(part.startswith(b"id: ") for part in events)
        assert turns >= 99

    run_virtual(test())
