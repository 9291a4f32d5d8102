"""Metrics of a real daemon over a real socket, while it runs, while it stops, and when it cannot listen."""

import asyncio
import json
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.daemon_process import Iem3000, Process, a_building, run, station, wait_until
from tests.support.exposition import promtool, value_of
from tests.support.http_asking import get
from tests.support.modbus_peers import Act

PLACE = r"metrics at (http://127\.0\.0\.1:\d+)$"


class Mutable(Iem3000):
    """A meter that can be made to say nothing; it shows 20 A and 20.125 A in turn."""

    is_mute = False

    def __call__(self, question: bytes) -> Sequence[Act]:
        self.current = ("41A0", "41A1")[self.polls % 2]
        return () if self.is_mute else super().__call__(question)


async def metrics_url(process: Process) -> str:
    """Return where the daemon's metrics are."""
    return (await process.wait_for_line(PLACE))[1]


async def wait_for_status(url: str, path: str, status: int) -> Any:
    """Return what is said with that status, once it is."""
    while (reply := await get(url, path)).status != status:  # noqa: ASYNC110 - it is far away
        await asyncio.sleep(0.1)
    return json.loads(reply.body)


async def wait_for_value(url: str, name: str, wanted: float, **labels: str) -> str:
    """Return the metrics once one has the value."""
    while True:
        text = (await get(url, "/metrics")).body.decode()
        if f"\n{name}" in text and value_of(text, name, **labels) == wanted:
            return text
        await asyncio.sleep(0.1)


def test_a_running_daemon_tells_what_it_does_in_words_promtool_accepts(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process, asyncio.timeout(40):
            url = await metrics_url(process)
            async with station(await process.ocpp_port(), "CP-01") as connected:
                await connected.boot()
                text = await wait_for_value(url, "headroom_station_connected", 1, station="CP-01")
                text = await wait_for_value(
                    url, "headroom_circuit_rating_amperes", 100, circuit="supply", phase="L1"
                )
                while "headroom_circuit_current_amperes{" not in text:
                    text = (await get(url, "/metrics")).body.decode()

            reply = await get(url, "/metrics")
            assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert round(value_of(text, "headroom_circuit_current_amperes",
                                  circuit="supply", phase="L1")) == 20  # fmt: skip
            assert value_of(text, "headroom_control_cycle_seconds_count") > 0
            assert value_of(text, "process_resident_memory_bytes") > 10e6
            assert promtool("check", "metrics", text=text) == (0, "")

    run(test())


def test_health_is_told_from_the_control_cycle_and_readiness_from_meters(tmp_path: Path) -> None:
    async def test() -> None:
        meter = Mutable()
        async with a_building(tmp_path, meter) as process, asyncio.timeout(40):
            url = await metrics_url(process)
            await process.ocpp_port()
            good = {"ok": True, "problems": []}
            assert await wait_for_status(url, "/readyz", 200) == good
            assert await wait_for_status(url, "/healthz", 200) == good

            meter.is_mute = True
            (problem,) = (await wait_for_status(url, "/readyz", 503))["problems"]
            assert problem.startswith("meter main of circuit supply has said nothing new for ")
            assert (await get(url, "/healthz")).status == 200

            meter.is_mute = False
            assert await wait_for_status(url, "/readyz", 200) == good

    run(test())


def test_a_stop_is_in_order_though_somebody_still_reads(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process, asyncio.timeout(40):
            url = await metrics_url(process)
            await process.ocpp_port()
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"}")

            assert await process.end(lambda daemon: daemon.send_signal(signal.SIGTERM)) == 0
            assert await reader.read() == b""
            writer.close()

    run(test())


def test_a_port_in_use_stops_nobody_from_charging(tmp_path: Path) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with a_building(tmp_path, Iem3000(), metrics_port=port) as process:
                await process.wait_for_line(
                    rf"ALARM metrics: cannot listen for metrics on 127\.0\.0\.1:{port}: Address"
                )
                async with station(await process.ocpp_port(), "CP-01") as connected:
                    await connected.boot()
                    await wait_until(connected.profiles)

    run(test())
