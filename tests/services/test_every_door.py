"""Whoever asks the same is answered the same: over HTTP, in a batch, and on the daemon's own machine."""

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.token_file import make_token
from gateway.domain.access import Access, Role
from gateway.domain.errors import HeadroomError
from gateway.domain.memory import Memory
from gateway.domain.needs import Criticality
from gateway.domain.tokens import TokenPolicy
from gateway.front_desk import ASKED_HERE_AT_ONCE, FrontDesk
from gateway.services.alarms import Alarms
from gateway.settings import ListenAddress
from tests.support.asking_here import quoted_here
from tests.support.planner_at_work import wait_until
from tests.support.small_site import at_start, small_site


@pytest.fixture(autouse=True)
def all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the solver's two seconds may be over before it had its turn."""
    monkeypatch.setattr("gateway.services.quoting.SOLVER_S", 60.0)


class Doors:
    """A front desk with its API, before which everybody stands."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.desk = FrontDesk(
            at_start(small_site(3)),
            clock=self.clock,
            wall_clock=self.clock,
            alarms=Alarms(self.clock),
            ledger=None,
            memory=Memory(),
            address=ListenAddress(host="127.0.0.1", port=0),
            folder=folder,
            post=lambda _: None,
            plan_min_gap_s=1.0,
            tokens=TokenPolicy(),
        )
        self.now_at = self.clock.now_at()
        access = Access(name="all", role=Role.OPERATOR, criticality=Criticality.CRITICAL)
        self.token = make_token(folder, access, now_at=self.now_at)

    async def post(self, path: str, body: object = None) -> Any:
        """Return what the API answers."""

        def ask() -> Any:
            assert self.desk.url is not None
            address = self.desk.url.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=120)
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            said = None if body is None else json.dumps(body).encode()
            connection.request("POST", f"/api/v1{path}", said, headers)
            answer = json.loads(connection.getresponse().read())
            connection.close()
            return answer

        return await asyncio.to_thread(ask)

    def need(self, connector: str, until_h: float, kwh: float, **more: object) -> dict[str, object]:
        return {
            "arrive_at": (self.now_at + timedelta(hours=1)).isoformat(),
            "depart_at": (self.now_at + timedelta(hours=1 + until_h)).isoformat(),
            "energy_wh": int(kwh * 1_000),
            "connector": connector,
            **more,
        }


def at_the_doors(folder: Path, test: Callable[[Doors], Awaitable[None]]) -> None:
    async def run() -> None:
        doors = Doors(folder)
        services = {service.name: service for service in doors.desk.services()}
        async with asyncio.TaskGroup() as tasks:
            # The planner's end takes its process along.
            running = [
                tasks.create_task(services[name].run(), name=name) for name in ("API", "planner")
            ]
            await wait_until(lambda: doors.desk.url is not None)
            await test(doors)
            for task in running:
                task.cancel()

    asyncio.run(run())


def test_what_is_critical_is_thought_over_at_every_door(tmp_path: Path) -> None:
    async def test(doors: Doors) -> None:
        van = await doors.post("/quotes", doors.need("CP-01/1", 4, 20))
        held = await doors.post("/reservations", {"offer_id": van["offers"][0]["offer_id"]})
        await doors.post(f"/reservations/{held['reservation_id']}/confirm")
        drone = doors.need("CP-02/1", 1, 15, criticality="critical")
        alone = await doors.post("/quotes", drone)
        batch = await doors.post("/quotes/batch", {"needs": [drone, drone]})
        here = await quoted_here(doors.desk, drone)

        assert alone["answer"] == "yes"
        assert "it moves 1 promise in time" in alone["reason"]
        for said in (here, *(each["quote"] for each in batch["quotes"])):
            assert (said["answer"], said["reason"]) == (alone["answer"], alone["reason"])

    at_the_doors(tmp_path, test)


def test_no_more_are_answered_at_once_on_this_machine_than_leave_the_socket_room(
    tmp_path: Path,
) -> None:
    async def test(doors: Doors) -> None:
        van = await doors.post("/quotes", doors.need("CP-01/1", 4, 20))
        await doors.post("/reservations", {"offer_id": van["offers"][0]["offer_id"]})
        drone = doors.need("CP-02/1", 1, 15, criticality="critical")

        async def refusal() -> str:
            try:
                await quoted_here(doors.desk, drone)
            except HeadroomError as refused:
                return str(refused)
            return ""

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(refusal(), name="asks") for _ in range(8)]
        refusals = [refused for each in asked if (refused := await each)]

        assert len(asked) - len(refusals) == ASKED_HERE_AT_ONCE
        assert all("ask again" in refused for refused in refusals)
        assert (await quoted_here(doors.desk, drone))["answer"] == "yes"

    at_the_doors(tmp_path, test)
