"""Promises of a real daemon: asked for over HTTP and on the command line, and kept through kills."""

import asyncio
import http.client
import json
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.support.daemon_process import (
    Iem3000,
    Process,
    a_building,
    daemon,
    headroom,
    run,
    station,
)

PLACE = r"API at http://127\.0\.0\.1:(\d+)$"


async def token(state: Path, *words: str) -> str:
    code, out, _ = await headroom("token", "--state", str(state), "--json", *words)
    assert code == 0
    made: str = json.loads(out)["token"]
    return made


async def ask(
    process: Process, secret: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """Return status and answer of the daemon's API."""
    port = int((await process.wait_for_line(PLACE))[1])

    def exchange() -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1{path}", sent, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content)

    return await asyncio.to_thread(exchange)


def test_what_was_promised_is_promised_whenever_the_daemon_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        state, site = tmp_path / "state", tmp_path / "site.yaml"
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(a_building(tmp_path, Iem3000()))
            secret = await token(state, "--role", "vehicle_operator", "--name", "vans")
            wanted = {"energy_wh": 5_000, "connector": "CP-01/1"}
            _, quote = await ask(process, secret, "POST", "/quotes", wanted)
            assert quote["answer"] == "yes"
            offer = {"offer_id": quote["offers"][0]["offer_id"]}
            status, held = await ask(process, secret, "POST", "/reservations", offer)
            assert (status, held["state"]) == (201, "held")
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            path = f"/reservations/{held['reservation_id']}"
            process = await stack.enter_async_context(daemon(site, state))
            assert await ask(process, secret, "GET", path) == (200, held)
            _, confirmed = await ask(process, secret, "POST", f"{path}/confirm")
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            process = await stack.enter_async_context(daemon(site, state))
            assert await ask(process, secret, "GET", path) == (200, confirmed)
            async with station(await process.ocpp_port(), "CP-01") as arriving:
                await arriving.boot()
                await arriving.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
                while (await ask(process, secret, "GET", path))[1]["state"] != "arrived":  # noqa: ASYNC110 - it is asked over HTTP
                    await asyncio.sleep(0.1)
            _, cancelled = await ask(process, secret, "DELETE", path)
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            process = await stack.enter_async_context(daemon(site, state))
            assert await ask(process, secret, "GET", path) == (200, cancelled)

    run(test())


def test_a_quote_on_the_command_line_is_told_in_words(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = int((await process.wait_for_line(PLACE))[1])
            state = str(process.state)
            wanted = ("--energy", "11kWh", "--arrive", "07:30", "--depart", "09:00")
            code, out, _ = await headroom("quote", *wanted, "--state", state)
            assert (code, out.count("\n")) == (0, 1)
            assert re.fullmatch(
                r"Yes: 11\.0 kWh on CP-0\d/1 from (\w{3} )?07:30 to (\w{3} )?08:00,"
                r" at up to 22\.1 kW\.\n",
                out,
            )

            secret = await token(process.state, "--role", "vehicle_operator")
            remote = ("--url", f"http://127.0.0.1:{port}", "--token", secret, "--json")
            code, out, _ = await headroom("quote", "--energy", "900kWh", *remote)
            assert (code, json.loads(out)["answer"]) == (0, "partly")
            assert json.loads(out)["offers"]

            for words, advice in (
                (("--connector", "CP-11/1", "--state", state), "did you mean CP-01/1?"),
                (("--energy", "1kWh", "--connector", "CP-11/1", *remote), "did you mean CP-01/1?"),
                ((*remote[:3], "wrong"), "headroom token"),
                (("--max-power", "1kW", "--state", state), "allow more"),
            ):
                code, _, err = await headroom("quote", *words)
                assert code == 1
                assert advice in err
            code, _, err = await headroom("quote", "--energy", "30", "--state", state)
            assert (code, "such as 30kWh" in err) == (2, True)
            code, _, err = await headroom("quote", "--arrive", "noon", "--state", state)
            assert (code, "such as 07:30" in err) == (2, True)

    run(test())


def test_tokens_are_listed_and_taken_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await process.wait_for_line(PLACE)
            state = ("--state", str(process.state))
            secret = await token(process.state, "--role", "viewer", "--name", "screen")
            assert (await ask(process, secret, "GET", "/site"))[0] == 200
            _, out, _ = await headroom("token", "--list", *state)
            assert out.startswith("screen: viewer, up to normal, 600 requests a minute")
            assert (await headroom("token", "--revoke", "screen", *state))[0] == 0
            assert (await ask(process, secret, "GET", "/site"))[0] == 401
            assert (await headroom("token", "--revoke", "screen", *state))[0] == 1
            assert (await headroom("token", *state))[0] == 2

    run(test())
