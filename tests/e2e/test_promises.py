"""Promises of a real daemon: asked for over HTTP and on the command line, and kept through kills."""

import asyncio
import hashlib
import hmac
import json
import re
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.daemon_asking import PLACE, ask, promised, token
from tests.support.daemon_process import (
    SITE,
    Iem3000,
    a_building,
    daemon,
    headroom,
    run,
    station,
    wait_until,
)
from tests.support.http_asking import get
from tests.support.modbus_peers import TcpPeer


def as_promised(view: dict[str, Any]) -> dict[str, Any]:
    """Return a reservation without how sure it is now: that is looked at anew after a restart."""
    return {**view, "confidence_now": None}


def test_what_was_promised_is_promised_whenever_the_daemon_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        state, site = tmp_path / "state", tmp_path / "site.yaml"
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(a_building(tmp_path, Iem3000()))
            secret = await token(state, "--role", "vehicle_operator", "--name", "vans")
            # Its vehicle has hours to come in: restarts on a slow machine put nothing at risk.
            depart_at = datetime.now(UTC) + timedelta(hours=4)  # noqa: TID251 - the daemon's clock is the machine's
            wanted = {
                "energy_wh": 5_000,
                "connector": "CP-01/1",
                "depart_at": depart_at.isoformat(),
            }
            _, quote = await ask(process, secret, "POST", "/quotes", wanted)
            assert quote["answer"] == "yes"
            offer = {"offer_id": quote["offers"][0]["offer_id"]}
            status, held = await ask(process, secret, "POST", "/reservations", offer)
            assert (status, held["state"]) == (201, "held")
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            path = f"/reservations/{held['reservation_id']}"
            process = await stack.enter_async_context(daemon(site, state))
            assert as_promised((await ask(process, secret, "GET", path))[1]) == as_promised(held)
            _, confirmed = await ask(process, secret, "POST", f"{path}/confirm")
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            process = await stack.enter_async_context(daemon(site, state))
            seen = (await ask(process, secret, "GET", path))[1]
            assert as_promised(seen) == as_promised(confirmed)
            async with station(await process.ocpp_port(), "CP-01") as arriving:
                await arriving.boot()
                await arriving.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
                while (await ask(process, secret, "GET", path))[1]["state"] != "arrived":  # noqa: ASYNC110 - it is asked over HTTP
                    await asyncio.sleep(0.1)
            _, cancelled = await ask(process, secret, "DELETE", path)
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            process = await stack.enter_async_context(daemon(site, state))
            assert (await ask(process, secret, "GET", path))[1] == cancelled

    run(test())


def test_what_an_occupant_says_by_the_link_of_the_session_outlives_the_daemon(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        state, site = tmp_path / "state", tmp_path / "site.yaml"
        need = {"energy_wh": 7_000, "criticality": "opportunistic"}
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(a_building(tmp_path, Iem3000()))
            operator = await token(state, "--role", "operator")
            async with station(await process.ocpp_port(), "CP-01") as arriving:
                await arriving.boot()
                number = await arriving.start_transaction(1, timestamp="2026-01-05T08:00:00Z")
                listed: list[Any] = []
                while not listed:
                    listed = (await ask(process, operator, "GET", "/sessions"))[1]["sessions"]
            (session,) = listed
            path, _, word = session["link"].removeprefix("/api/v1").partition("?token=")
            status, said = await ask(process, word, "PUT", f"{path}/need", need)
            assert (status, said["wants_wh"], said["criticality"]) == (200, 7_000, "opportunistic")
            assert (await ask(process, word, "GET", "/sessions"))[0] == 401
            await process.end(lambda p: p.send_signal(signal.SIGKILL))

            process = await stack.enter_async_context(daemon(site, state))
            status, now = await ask(process, word, "GET", path)
            assert (status, now["wants_wh"]) == (200, 7_000)
            assert now["criticality"] == "opportunistic"
            # Nor is its connector free to whoever asks next, though no station tells of it again.
            vans = await token(state, "--role", "vehicle_operator", "--name", "vans")
            wanted = {"energy_wh": 2_000, "connector": "CP-01/1"}
            _, quote = await ask(process, vans, "POST", "/quotes", wanted)
            assert "CP-01/1 is occupied now" in quote["reason"]
            # What came of it is kept with what was said before: those who come later are planned by it.
            async with station(await process.ocpp_port(), "CP-01") as leaving:
                await leaving.boot()
                await leaving.stop_transaction(number, timestamp="2026-01-05T09:00:00Z")
            assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0
        with closing(sqlite3.connect(state / "ledger.db")) as ledger:
            ((kept,),) = ledger.execute("SELECT session FROM transactions").fetchall()
        assert json.loads(kept)["said"]["energy_wh"] == 7_000.0

    run(test())


@asynccontextmanager
async def an_ear(heard: list[tuple[str, bytes]]) -> AsyncIterator[int]:
    """Listen for webhooks; yield the port."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"Content-Length: (\d+)", head)
        assert length is not None
        heard.append((head, await reader.readexactly(int(length[1]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def test_who_was_promised_what_is_late_hears_of_it_and_so_does_prometheus(tmp_path: Path) -> None:
    async def test() -> None:
        heard: list[tuple[str, bytes]] = []
        async with AsyncExitStack() as stack:
            ear = await stack.enter_async_context(an_ear(heard))
            meter = await stack.enter_async_context(TcpPeer(Iem3000()))
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
            kinds = "[reservation, reservation-at-risk]"
            hook = f"{{id: desk, url: 'http://127.0.0.1:{ear}/hear', tell: {kinds}}}"
            (tmp_path / "site.yaml").write_text(f"{text}webhooks: [{hook}]\n")
            (tmp_path / "credentials").mkdir()
            (tmp_path / "credentials" / "desk").write_text("a secret of more than sixteen\n")
            state = tmp_path / "state"
            process = await stack.enter_async_context(daemon(tmp_path / "site.yaml", state))
            secret = await token(state, "--role", "vehicle_operator", "--name", "vans")
            there = await stack.enter_async_context(station(await process.ocpp_port(), "CP-01"))
            await there.boot()
            # It needs 87 of its 90 seconds, and does not come.
            depart_at = datetime.now(UTC) + timedelta(seconds=90)  # noqa: TID251 - the daemon's clock is the machine's
            wanted = {"energy_wh": 535, "depart_at": depart_at.isoformat(), "connector": "CP-01/1"}
            promise = await promised(process, secret, wanted)

            await wait_until(lambda: len(heard) == 3)
            async with asyncio.timeout(20):
                url = (await process.wait_for_line(r"metrics at (http://127\.0\.0\.1:\d+)$"))[1]
                while True:
                    said = (await get(url, "/metrics")).body.decode()
                    if "\nheadroom_promises_at_risk 1.0" in said:
                        break
            bodies = [json.loads(body) for _, body in heard]
            states = [b["data"]["state"] for b in bodies if b["kind"] == "reservation"]
            assert states == ["held", "confirmed"]
            (risk,) = [b for b in bodies if b["kind"] == "reservation-at-risk"]
            assert (risk["subject"], risk["holder"]) == (promise["reservation_id"], "vans")
            assert risk["data"]["danger"] == "late"
            head, body = heard[-1]
            signed = re.search(r"Headroom-Signature: t=(\d+),v1=(\w+)", head)
            assert signed is not None
            key, whole = b"a secret of more than sixteen", signed[1].encode() + b"." + body
            assert hmac.new(key, whole, hashlib.sha256).hexdigest() == signed[2]

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
                r"Yes: 11\.0 kWh on CP-0\d/1 from (\w{3} )?07:30 to (\w{3} )?08:01,"
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
            _, out, _ = await headroom("token", "--list", *state)
            assert out == f"There is no token in {process.state}.\n"
            assert (await headroom("token", *state))[0] == 2

    run(test())
