"""Asks the API of a real daemon, as programs do: over HTTP, with tokens made on the command line."""

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

from tests.support.daemon_process import Process, headroom

PLACE = r"API at http://127\.0\.0\.1:(\d+)$"


async def token(state: Path, *words: str) -> str:
    code, out, _ = await headroom("token", "--state", str(state), "--json", *words)
    assert code == 0
    made: str = json.loads(out)["token"]
    return made


async def promised(process: Process, secret: str, wanted: dict[str, object]) -> dict[str, Any]:
    """Return a reservation of the best that is offered for a need, confirmed."""
    _, quote = await ask(process, secret, "POST", "/quotes", wanted)
    offer = {"offer_id": quote["offers"][0]["offer_id"]}
    _, held = await ask(process, secret, "POST", "/reservations", offer)
    path = f"/reservations/{held['reservation_id']}/confirm"
    status, confirmed = await ask(process, secret, "POST", path)
    assert (status, confirmed["state"]) == (200, "confirmed")
    return confirmed  # type: ignore[no-any-return]


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
