"""A rating by the calendar in a real daemon: held from the first decision on, told ahead to whom it breaks."""

import asyncio
import re
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from gateway.adapters.status_socket import ask_status
from gateway.services.snapshot import PhaseView, Snapshot
from tests.support.daemon_asking import ask, promised, token
from tests.support.daemon_process import SITE, Iem3000, Process, daemon, run
from tests.support.modbus_peers import TcpPeer

RATINGS = ', ratings: [{starts: "00:00", ends: "00:00", rating_a: 80}]'


async def first_phase(process: Process) -> PhaseView:
    """Return the supply's first phase, once the daemon has decided something."""
    while True:
        body = await ask_status(process.state)
        snapshot = msgspec.json.decode(body, type=Snapshot | None)
        if snapshot is not None:
            return snapshot.circuits[0].phases[0]
        await asyncio.sleep(0.1)


def test_a_rating_holds_from_the_first_decision_and_a_restart_without_it_is_free_of_it(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        state, config = tmp_path / "state", tmp_path / "site.yaml"
        async with TcpPeer(Iem3000()) as meter, asyncio.timeout(90):
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
            lowered = text.replace("worst_case_base_a: 40", f"worst_case_base_a: 40{RATINGS}")
            for written, bound in ((lowered, (76_000, "calendar")), (text, (95_000, None))):
                await asyncio.to_thread(config.write_text, written)
                async with daemon(config, state) as process:
                    await process.ocpp_port()
                    phase = await first_phase(process)
                    assert (phase.bound_ma, phase.bound_source) == bound
                    screen = await token(state, "--role", "viewer", "--name", f"s{bound[0]}")
                    _, told = await ask(process, screen, "GET", "/site")
                    supply = told["circuits"][0]
                    assert supply["set_point_now_ma"] == [bound[0]] * 3
                    assert supply["rating_ma"] == [100_000] * 3
                    assert (supply["calendar"] is None) is (bound[1] is None)
                    assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0

    run(test())


def test_when_the_calendar_lowers_a_rating_the_operator_is_told_whose_promise_is_at_risk(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        site, state = tmp_path / "site.yaml", tmp_path / "state"
        now_at = datetime.now(UTC)  # noqa: TID251 - the daemon's clock is the machine's
        arrive_at, depart_at = now_at + timedelta(hours=1), now_at + timedelta(hours=3)
        wanted: dict[str, object] = {
            "arrive_at": arrive_at.isoformat(),
            "depart_at": depart_at.isoformat(),
            "energy_wh": 15_000,
            "max_power_w": 11_040,
        }
        critical = {"connector": "CP-02/1", "criticality": "critical"}
        local_at = arrive_at.astimezone(ZoneInfo("Europe/London"))
        drop = f'{{starts: "{local_at:%H:%M}", ends: "{local_at - timedelta(hours=1):%H:%M}"'
        async with TcpPeer(Iem3000()) as meter, AsyncExitStack() as stack:
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
            site.write_text(text)
            process = await stack.enter_async_context(daemon(site, state))
            vans = await token(state, "--role", "vehicle_operator", "--name", "vans")
            drones = await token(
                state, "--role", "vehicle_operator", "--name", "drones", "--criticality", "critical"
            )
            operator = await token(state, "--role", "operator", "--name", "desk")
            van = await promised(process, vans, {**wanted, "connector": "CP-01/1"})
            await promised(process, drones, {**wanted, **critical})
            await process.end(lambda p: p.send_signal(signal.SIGTERM))

            at = "worst_case_base_a: 40"
            site.write_text(text.replace(at, f"{at}, ratings: [{drop}, rating_a: 80}}]"))
            process = await stack.enter_async_context(daemon(site, state))
            path = "/reservations?at_risk=true"
            risks: list[Any] = []
            async with asyncio.timeout(40):
                while not risks:
                    risks = (await ask(process, operator, "GET", path))[1]["reservations"]

            (risk,) = risks
            assert (risk["reservation_id"], risk["holder"]) == (van["reservation_id"], "vans")
            assert (van["confidence"], risk["confidence_now"], risk["at_risk"]) == (1.0, None, True)
            assert re.search(
                r"circuit supply may leave it only 5\.0 A on L1 from .*\d\d:\d\d", risk["why"]
            )
            assert await ask(process, vans, "GET", path) == (200, {"reservations": [risk]})
            assert await ask(process, drones, "GET", path) == (200, {"reservations": []})
            await process.wait_for_line(f"of vans is at risk: {re.escape(risk['why'])}")

    run(test())
