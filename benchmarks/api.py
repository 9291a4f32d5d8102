"""Quotes a second over HTTP from the whole daemon, and its control cycle under a flood of requests.

The daemon and the building are those of `whole_daemon`: 100 stations, each with a vehicle that
charges, 20 meters. In one run: four connections of a client ask for quotes as fast as they are
answered, with a token that may; one asks for a hundred needs at once, as a planner of routes does;
sixteen ask as fast as they can with one that may ask 600 times a minute, with bodies of 32 kB: what is
too much is refused before the body is read, and the connection closed; six ask for what is critical
and fits nowhere, which is thought over with everybody's charging. How long control cycles took is
told by the daemon's own metrics, so a quantile lies between two bounds of a distribution; both are
told. Of 60 cycles a p99 is the longest: nobody asks before the flood and after it, so that what
others do to the machine can be told from it. The client is a process of its own.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import uvloop

from benchmarks.whole_daemon import STATIONS, Building, Daemon, building, daemon, phase, site_text
from gateway.adapters.token_file import make_token
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality

MUST_PER_S: Final = 500
LASTS_S: Final = 60.0
FLOOD_BYTES: Final = 32_768
MOST_WH: Final = 90_000
OFTEN_A_MIN: Final = 1_000_000
BATCHED: Final = 100
CONNECTIONS: Final = {"asking": 4, "batch": 1, "flood": 16, "critical": 6}
ASKS: Final = (
    ("asking", OFTEN_A_MIN),
    ("batch", OFTEN_A_MIN),
    ("nobody", None),
    ("flood", 600),
    ("nobody_again", None),
    ("critical", OFTEN_A_MIN),
)


class Client:
    """Some connections that ask for quotes, each as soon as it is answered."""

    def __init__(self, port: int, token: str, how: str) -> None:
        """Ask with a token, as one of `CONNECTIONS`."""
        self._port, self._token = port, token
        self._body_bytes = FLOOD_BYTES * (how == "flood")
        self._is_critical, self._is_batch = how == "critical", how == "batch"
        self._chance = Random(1)
        self._answers: Counter[int] = Counter()
        self._took_s: list[float] = []

    async def run(self, connections: int, for_s: float) -> dict[str, object]:
        """Ask for so long; return what came of it."""
        begun_s = time.perf_counter()
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s), asyncio.TaskGroup() as tasks:
                for _ in range(connections):
                    tasks.create_task(self._ask_for_ever())
        elapsed_s, took_s = time.perf_counter() - begun_s, sorted(self._took_s)
        return {
            "answers_per_s": round(self._answers.total() / elapsed_s, 1),
            "needs_per_s": round(self._answers[200] * self._needs_count / elapsed_s),
            "of_status": dict(sorted(self._answers.items())),
            "answered_p50_ms": round(took_s[len(took_s) // 2] * 1_000, 1),
            "answered_p99_ms": round(took_s[len(took_s) * 99 // 100] * 1_000, 1),
        }

    async def _ask_for_ever(self) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._is_answered(reader, writer):
                    pass
            writer.close()

    async def _is_answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Ask once; return whether the connection may be asked again."""
        begun_s = time.perf_counter()
        writer.write(self._request())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None, head
        await reader.readexactly(int(length[1]))
        self._answers[int(head.split(" ", 2)[1])] += 1
        self._took_s.append(time.perf_counter() - begun_s)
        return "connection: close" not in head

    @property
    def _needs_count(self) -> int:
        return BATCHED if self._is_batch else 1

    def _need(self) -> dict[str, object]:
        chance = self._chance
        arrive_at = datetime.now(UTC) + timedelta(hours=chance.uniform(3, 40))
        wanted: dict[str, object] = {
            "arrive_at": arrive_at.isoformat(),
            "depart_at": (arrive_at + timedelta(hours=chance.uniform(1, 4))).isoformat(),
            "energy_wh": chance.randrange(2_000, 15_000),
            "connector": f"CP-{chance.randrange(STATIONS)}/1",
        }
        if self._is_critical:
            wanted |= {"criticality": Criticality.CRITICAL, "energy_wh": MOST_WH}
        return wanted

    def _request(self) -> bytes:
        wanted = (
            {"needs": [self._need() for _ in range(BATCHED)]} if self._is_batch else self._need()
        )
        body = json.dumps(wanted).encode().ljust(self._body_bytes)
        path = "quotes/batch" if self._is_batch else "quotes"
        head = (
            f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n\r\n"
        )
        return head.encode() + body


def _told(running: Daemon, house: Building) -> dict[str, object]:
    """Return what the daemon says of its cycles while its building charges for a while."""
    seen = phase(running, house, calls_per_s=None, for_s=LASTS_S)
    words = ("control_cycle_ms", "loop_lag_ms", "cycles_per_s", "late_cycles", "processor_ratio")
    return {word: seen[word] for word in (*words, "waited_for_a_core_ratio")}


def _asked(running: Daemon, house: Building, port: int, token: str, how: str) -> dict[str, object]:
    """Return the same while a client asks, and what was answered."""
    words = [sys.executable, "-m", "benchmarks.api", str(port), token, how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
        told = _told(running, house)
        answers = client.communicate()[0]
    return {**json.loads(answers), **told}


def measure() -> dict[str, object]:
    """Return control undisturbed, quotes a second, and control under a flood."""
    with tempfile.TemporaryDirectory() as name, building() as house:
        folder = Path(name)
        site, state = folder / "site.yaml", folder / "state"
        site.write_text(site_text(house.modbus), encoding="utf-8")
        with daemon(site, folder) as running:
            house.tell(ocpp=running.ocpp_port)
            log = (folder / "headroom.log").read_text(encoding="utf-8")
            found = re.search(r"API at http://127\.0\.0\.1:(\d+)$", log, re.MULTILINE)
            assert found is not None, log
            figures: dict[str, object] = {"must_per_s": MUST_PER_S}
            for how, quota in ASKS:
                print(f"  {how} ...", file=sys.stderr, flush=True)
                if quota is None:
                    figures[how] = _told(running, house)
                    continue
                access = Access(
                    name=how,
                    role=Role.VEHICLE_OPERATOR,
                    criticality=Criticality.CRITICAL,
                    quota_per_min_count=quota,
                )
                token = make_token(state, access, now_at=datetime.now(UTC))
                figures[how] = _asked(running, house, int(found[1]), token, how)
            return {**figures, "load_average": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        how = sys.argv[3]
        asked = Client(int(sys.argv[1]), sys.argv[2], how)
        print(json.dumps(uvloop.run(asked.run(CONNECTIONS[how], LASTS_S))))
    else:
        print(json.dumps(measure(), indent=2))
