"""Risks as the demo tells them: each once, as the API tells an operator."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.cli.demo_api import Api, Notice
from gateway.cli.demo_story import say_risks
from gateway.domain.access import Role
from gateway.domain.limits import Authority, Constraint
from tests.support.api_desk import Desk, api_desk
from tests.support.small_site import CARPARK

MARK = "limit"
"""Anybody is told of limits, and the story says nothing of them."""


class Followed(Api):
    """The API, and how many marks it has told so far."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(f"http://127.0.0.1:{desk.port}", desk.token("demo", Role.OPERATOR))
        self.desk, self.marks = desk, 0

    async def notices(self) -> AsyncIterator[Notice]:
        async for notice in super().notices():
            self.marks += notice.kind == MARK
            yield notice

    async def wait_mark(self) -> None:
        """Return once a mark was told, and so all that was told before."""
        before = self.marks
        while self.marks == before:
            self.desk.loop.call_soon_threadsafe(self.desk.feed.tell, MARK, "CP-03/1")
            await asyncio.sleep(0.05)


def promise(desk: Desk, holder: str, connector: str) -> None:
    token = desk.token(holder)
    wanted = {
        "arrive_at": desk.at(1),
        "depart_at": desk.at(3),
        "energy_wh": 20_000,
        "connector": connector,
    }
    offer = desk.ask("POST", "/quotes", wanted, token=token).said["offers"][0]["offer_id"]
    held = desk.ask("POST", "/reservations", {"offer_id": offer}, token=token)
    assert held.status == 201


def limit(desk: Desk, limit_a: int) -> None:
    limited = Constraint(
        subject=CARPARK,
        limit_ma=(limit_a * 1_000,) * 3,
        authority=Authority.SITE,
        source="calendar",
    )
    desk.loop.call_soon_threadsafe(desk.booking.limit, (limited,))
    desk.review()


def test_each_of_two_promises_at_risk_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []

    async def test(desk: Desk) -> None:
        api = Followed(desk)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(say_risks(api, said.append), name="hear")
            await api.wait_mark()
            await asyncio.to_thread(limit, desk, 56)
            await api.wait_mark()
            await asyncio.to_thread(limit, desk, 96)
            await api.wait_mark()
            hearing.cancel()

    with api_desk(tmp_path) as desk:
        promise(desk, "vans", "CP-01/1")
        promise(desk, "drones", "CP-02/1")
        desk.review()
        asyncio.run(test(desk))

    assert sorted(words.partition(": the 20.0 kWh on ")[0] for words in said) == [
        "AT RISK, drones",
        "AT RISK, vans",
        "no longer at risk: drones",
        "no longer at risk: vans",
    ]
