"""A daemon ends in order and in time, and starts again whatever ended it and whatever it is given."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.adapters.last_good import LastGood, keep_last_good
from gateway.adapters.status_socket import ask_status
from gateway.cli.serving import BOUNCE_S
from gateway.services.snapshot import Snapshot
from tests.support.daemon_process import (
    SITE,
    Iem3000,
    Process,
    a_building,
    daemon,
    headroom,
    run,
    station,
    wait_until,
)

FILE = "last-good.yaml"


async def wait_kept(process: Process) -> None:
    await process.ocpp_port()
    await wait_until((process.state / FILE).exists)


async def snapshot_of(process: Process) -> Snapshot:
    """Return what the daemon shows, over its socket."""
    return msgspec.json.decode(await ask_status(process.state), type=Snapshot)


def test_a_second_signal_ends_at_once_what_the_first_does_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = await process.ocpp_port()
            # A peer that connects and says nothing more keeps the server's end waiting.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /CP-01 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
            )
            assert b"101" in await reader.readline()
            process.process.send_signal(signal.SIGTERM)
            await process.wait_for_line(r"SIGTERM: stopping")
            await asyncio.sleep(2 * BOUNCE_S)
            assert process.process.returncode is None
            code = await process.end(lambda p: p.send_signal(signal.SIGTERM))
            assert code == 128 + signal.SIGTERM
            writer.close()
            async with daemon(tmp_path / "site.yaml", process.state) as again:
                await again.ocpp_port()

    run(test())


def test_with_an_http_server_in_the_loop_one_handler_hears_the_signal(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = int((await process.wait_for_line(r"metrics at http://127\.0\.0\.1:(\d+)"))[1])
            await process.ocpp_port()
            # A scraper that keeps its connection, and another that has asked for half a page.
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            held[0][1].write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"HTTP/1.1" in await held[0][0].readline()
            held[1][1].write(b"GET /metrics HTTP/1.1\r\n")

            assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0

            assert sum("stopping; every limit" in line for line in process.lines) == 1
            assert not [line for line in process.lines if "does not end" in line]
            for _, writer in held:
                writer.close()

    run(test())


def test_the_last_site_file_that_ran_stands_in_for_one_that_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            config, good = tmp_path / "site.yaml", await read(tmp_path / "site.yaml")
            await wait_kept(process)
            process.process.kill()
            await process.process.wait()

            await write(config, good.replace("rating_a: 100", "rating_amps: 100"))
            async with daemon(config, process.state) as second:
                said = await second.wait_for_line(r"ERROR: ALARM configuration: (.*)")
                for word in (str(config), "rating_amps", "rating_a", str(process.state / FILE)):
                    assert word in said[1]
                async with station(await second.ocpp_port(), "CP-01") as connected:
                    await connected.boot()
                    await connected.say_status(1, "Preparing")
                    await wait_until(connected.profiles)
                shown = await snapshot_of(second)
                alarms = {alarm.name: alarm.text for alarm in shown.alarms}
                assert alarms["configuration"] == said[1], alarms
                assert shown.counters["alarms.configuration"] == 1
                assert await second.end(lambda p: p.terminate()) == 0
            assert await read(config) != good

            await write(config, good.replace("rating_a: 100", "rating_a: 90"))
            async with daemon(config, process.state) as third:
                await third.ocpp_port()
                shown = await snapshot_of(third)
                assert shown.alarms == ()
                assert shown.circuits[0].phases[0].rating_ma == 90_000

    run(test())


def test_a_site_file_that_has_not_run_yet_never_stands_in(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            config, good = tmp_path / "site.yaml", await read(tmp_path / "site.yaml")
            await process.ocpp_port()
            assert await process.end(lambda p: p.terminate()) == 0
            assert not (process.state / FILE).exists()

            await write(config, good.replace("rating_a: 100", "rating_a: -1"))
            code, _, err = await headroom("run", "-c", str(config), "--state", str(process.state))
            assert code == 2
            assert "rating_a" in err

    run(test())


def test_a_kept_site_file_that_is_damaged_stands_in_for_nothing(tmp_path: Path) -> None:
    text = SITE.format(meter_port=502, ocpp_port=0, metrics_port=0)
    config = tmp_path / "site.yaml"
    keep_last_good(
        tmp_path, LastGood(text=text, source=config, kept_at=datetime(2026, 1, 5, tzinfo=UTC))
    )
    words = ("run", "-c", str(config), "--state", str(tmp_path))

    def outcome(change: Callable[[str], str]) -> str:
        (tmp_path / FILE).write_text(change((tmp_path / FILE).read_text()))
        code, _, err = asyncio.run(headroom(*words))
        assert code == 2
        assert "there is no such file" in err
        return err

    assert "damaged" in outcome(lambda text: text.replace("rating_a: 100", "rating_a: 900"))
    (tmp_path / FILE).unlink()
    refused = LastGood(text="site: {}\n", source=config, kept_at=datetime(2026, 1, 5, tzinfo=UTC))
    keep_last_good(tmp_path, refused)
    # It ran with an older version, and this one refuses it.
    assert f"{tmp_path / FILE}:" in outcome(lambda text: text)


async def read(path: Path) -> str:
    return await asyncio.to_thread(path.read_text)


async def write(path: Path, text: str) -> None:
    await asyncio.to_thread(path.write_text, text)
