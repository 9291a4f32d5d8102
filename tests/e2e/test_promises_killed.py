"""The daemon is killed while four writers make and replace promises: what was answered stands, the rest is done once."""

import asyncio
import contextlib
import http.client
import json
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.support.daemon_process import (
    SITE,
    Iem3000,
    Process,
    daemon,
    headroom,
    run,
    wait_until,
)
from tests.support.modbus_peers import TcpPeer

PLACE = r"API at http://127\.0\.0\.1:(\d+)$"
LIVES_S = (1.5, 0.7, 1.1)
BETWEEN_ACTS_S = 0.05
LEFT_W = 27_600  # 40 A on three phases: 95, less 40 of base at its worst, less 15 of reserve.
FOLLOWS = {
    "held": {"held", "confirmed", "cancelled", "expired"},
    "confirmed": {"confirmed", "cancelled"},
    "cancelled": {"cancelled"},
}
"""What a reservation may have become of a state that was answered, by requests that were not."""


@dataclass(kw_only=True)
class Writer:
    """Asks, holds, confirms and cancels without end; it keeps what it was answered.

    Not as fast as it could: no more is to wait for a deaf receiver than is kept for it.
    """

    port: int
    token: str
    rng: Random
    known: dict[str, str] = field(default_factory=dict)
    answered: set[tuple[str, str]] = field(default_factory=set)
    """Every reservation and state that was ever answered to a write."""
    pending: tuple[str, str, Any, str] | None = None
    """The write that was not answered: method, path, body and key."""

    def run(self) -> None:
        never = threading.Event()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not never.wait(BETWEEN_ACTS_S):
                self._act()

    def _act(self) -> None:
        now_at = datetime.fromisoformat(self.ask("GET", "/site")[1]["now"])
        arrive_at = now_at + timedelta(minutes=self.rng.randrange(1, 40 * 60))
        wanted = {
            "arrive_at": arrive_at.isoformat(),
            "depart_at": (arrive_at + timedelta(hours=2)).isoformat(),
            "energy_wh": self.rng.randrange(500, 9_000),
        }
        status, quote = self.ask("POST", "/quotes", wanted)
        assert status == 200, quote
        if not quote["offers"]:
            return
        offer = self.rng.choice(quote["offers"])["offer_id"]
        body = {"offer_id": offer}
        confirmed = [name for name, state in self.known.items() if state == "confirmed"]
        if confirmed and self.rng.random() < 0.5:
            body["replaces"] = self.rng.choice(confirmed)
        status, held = self.write("POST", "/reservations", body)
        if status != 201:
            return
        if "replaces" in body:
            self.known[body["replaces"]] = "cancelled"
            self.answered.add((body["replaces"], "cancelled"))
        path = f"/reservations/{held['reservation_id']}"
        if self.rng.random() < 0.7:
            self.write("POST", f"{path}/confirm")
        if self.rng.random() < 0.8:
            self.write("DELETE", path)

    def write(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        key = f"{self.rng.getrandbits(64):x}"
        self.pending = (method, path, body, key)
        status, said = self.ask(method, path, body, key=key)
        self.pending = None
        if status in (200, 201):
            self.known[said["reservation_id"]] = said["state"]
            self.answered.add((said["reservation_id"], said["state"]))
        return status, said

    def ask(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/api/v1{path}", sent, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@dataclass(kw_only=True)
class Ear:
    """Hears webhooks; of each it has its name and what it says. While it is deaf it says so."""

    port: int = 0
    heard: dict[str, bytes] = field(default_factory=dict)
    is_deaf: bool = True

    @property
    def told(self) -> set[tuple[str, str]]:
        bodies = [json.loads(body) for body in self.heard.values()]
        return {(body["subject"], body["data"]["state"]) for body in bodies}

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
            if not self.is_deaf:
                # What comes again under a name says the same.
                assert self.heard.setdefault(headers["Headroom-Delivery"], body) == body
            status = "503 Later" if self.is_deaf else "204 No Content"
            writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        writer.close()


@contextlib.asynccontextmanager
async def an_ear() -> AsyncIterator[Ear]:
    ear = Ear()
    server = await asyncio.start_server(ear.hear, "127.0.0.1", 0)
    ear.port = server.sockets[0].getsockname()[1]
    async with server:
        yield ear


def most_promised_w(reservations: list[dict[str, Any]]) -> int:
    """Return the most power that open reservations take at any instant."""
    steps: list[tuple[str, int]] = []
    for reservation in reservations:
        before_w = 0
        for step in reservation["profile"]:
            steps.append((step["start_at"], step["power_w"] - before_w))
            before_w = step["power_w"]
    total_w = most_w = 0
    # Where one ends as another begins, the end comes first.
    for _, change_w in sorted(steps):
        total_w += change_w
        most_w = max(most_w, total_w)
    return most_w


async def port_of(process: Process) -> int:
    return int((await process.wait_for_line(PLACE))[1])


def look(writers: list[Writer], port: int) -> int:
    """See that what was answered stands; repeat what was not; return how many stand."""
    for writer in writers:
        writer.port = port
        for name, state in writer.known.items():
            status, now = writer.ask("GET", f"/reservations/{name}")
            assert status == 200
            assert now["state"] in FOLLOWS[state], (state, now)
            writer.known[name] = now["state"]
        if writer.pending is not None:
            method, path, body, key = writer.pending
            replaced = (body or {}).get("replaces")
            first = writer.ask(method, path, body, key=key)
            # An offer does not outlive the daemon; a hold it was made of does.
            assert first[0] in (200, 201, 404, 409, 410), first
            assert writer.ask(method, path, body, key=key) == first
            # What was to give way to it has, or stands: never neither, never both.
            if replaced is not None:
                assert (writer.known[replaced] == "cancelled") == (first[0] == 201), first
            if first[0] in (200, 201):
                writer.known[first[1]["reservation_id"]] = first[1]["state"]
            writer.pending = None
    mine = [
        r
        for writer in writers[:1]
        for r in writer.ask("GET", "/reservations")[1]["reservations"]
        if r["state"] in ("held", "confirmed", "arrived")
    ]
    assert most_promised_w(mine) <= LEFT_W
    return len(mine)


def test_promises_stand_through_kills_in_the_middle_of_everything(tmp_path: Path) -> None:
    async def test() -> None:
        state, site = tmp_path / "state", tmp_path / "site.yaml"
        async with TcpPeer(Iem3000()) as meter, an_ear() as ear:
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0)
            hook = f"{{id: desk, url: 'http://127.0.0.1:{ear.port}/', tell: [reservation]}}"
            await asyncio.to_thread(site.write_text, f"{text}webhooks: [{hook}]\n")
            (tmp_path / "credentials").mkdir()
            (tmp_path / "credentials" / "desk").write_text("a secret of more than sixteen\n")
            words = ("--role", "operator", "--quota", "60000", "--name", "fleet", "--json")
            code, out, err = await headroom("token", "--state", str(state), *words)
            assert code == 0, err
            token = json.loads(out)["token"]
            writers = [Writer(port=0, token=token, rng=Random(seed)) for seed in range(4)]
            for life_s in LIVES_S:
                async with daemon(site, state) as process:
                    port = await port_of(process)
                    await asyncio.to_thread(look, writers, port)
                    threads = [threading.Thread(target=writer.run) for writer in writers]
                    for thread in threads:
                        thread.start()
                    await asyncio.sleep(life_s)
                    await process.end(lambda p: p.send_signal(signal.SIGKILL))
                    for thread in threads:
                        await asyncio.to_thread(thread.join)
                    ear.is_deaf = False  # The first life has told nobody of anything.
            async with daemon(site, state) as process:
                standing = await asyncio.to_thread(look, writers, await port_of(process))
                answered = set[tuple[str, str]]().union(*(w.answered for w in writers))
                await wait_until(lambda: answered <= ear.told)
            assert standing > 0
            assert sum(len(writer.known) for writer in writers) > 4 * len(LIVES_S)

    run(test())
