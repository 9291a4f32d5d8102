"""The daemon as it is delivered: a process, real sockets, and libraries not ours at the other end."""

import asyncio
import contextlib
import json
import signal
import socket
import stat
from pathlib import Path

import pytest
from ocpp.v16 import call
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.daemon_process import (
    PATIENCE_S,
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
from tests.support.http_asking import get
from tests.support.modbus_peers import TcpPeer
from tests.support.ocpp16_station import Station16

NOON = "2026-01-05T12:00:00Z"


async def plug_in(connected: Station16) -> None:
    await connected.boot()
    await connected.say_status(1, "Preparing")
    await connected.start_transaction(1, timestamp=NOON)
    await connected.say_status(1, "Charging")


def limits_a(connected: Station16) -> list[float]:
    """Return the limits of the leases a station heard."""
    return [
        profile["charging_schedule"]["charging_schedule_period"][0]["limit"]
        for profile in connected.profiles("TxProfile")
    ]


def test_a_limit_reaches_a_station_and_is_explained_in_the_words_of_the_log(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = await process.ocpp_port()
            async with station(port, "CP-01") as connected:
                await plug_in(connected)
                await wait_until(lambda: limits_a(connected))

                # 60 A of a set-point of 95 A are left, but nobody knows yet whether it obeys.
                assert limits_a(connected)[0] == 6.0
                (fallback,) = connected.profiles("TxDefaultProfile")[:1]
                period = fallback["charging_schedule"]["charging_schedule_period"][0]
                assert (fallback["connector_id"], period["limit"]) == (1, 6.0)

                code, said, _ = await headroom("why", "CP-01/1", "--state", str(process.state))
                assert code == 0
                assert said.startswith("CP-01/1: 6.0 A: the station has not yet been seen to obey")
                await process.wait_for_line(r"CP-01/1: 6\.0 A: the station has not yet")
                assert any(line.endswith(said.strip()) for line in process.lines)

                _, text, _ = await headroom(
                    "why", "CP-01/1", "--json", "--state", str(process.state)
                )
                answer = json.loads(text)
                assert answer["limit_ma"] == 6_000
                assert answer["reason"] == "station-unproven"
                assert f"{answer['connector']}: {answer['why']}" == said.strip()

                assert await process.end(lambda p: p.send_signal(signal.SIGTERM)) == 0
            assert not (process.state / "headroom.sock").exists()
            assert not [line for line in process.lines if "cannot be folded" in line]
            assert not [line for line in process.lines if "fault" in line.lower()]

    run(test())


def test_a_list_of_tokens_in_the_site_file_decides_who_may_charge(tmp_path: Path) -> None:
    listed = "authorize: {accept: list, tokens: [{id: '04A2', group: STAFF}]}\n"

    async def test() -> None:
        async with TcpPeer(Iem3000()) as meter:
            config = tmp_path / "site.yaml"
            text = SITE.format(meter_port=meter.port, ocpp_port=0, metrics_port=0) + listed
            await asyncio.to_thread(config.write_text, text)
            async with (
                daemon(config, tmp_path / "state") as process,
                station(await process.ocpp_port(), "CP-01") as connected,
            ):
                known = await connected.call(call.Authorize(id_tag="04a2"), suppress=False)
                other = await connected.call(call.Authorize(id_tag="TAG"), suppress=False)
                assert known.id_tag_info == {"status": "Accepted", "parent_id_tag": "STAFF"}
                assert other.id_tag_info == {"status": "Invalid"}

    run(test())


# NaN; 2,048 A on a circuit of 100 A, which no device carries for as long as it takes to measure.
@pytest.mark.parametrize("high_word", ["7FC0", "4500"])
def test_a_meter_that_falls_silent_is_told_of_and_a_reader_of_nonsense_believes_nothing(
    tmp_path: Path, high_word: str
) -> None:
    meter = Iem3000()

    async def test() -> None:
        async with a_building(tmp_path, meter) as process:
            await process.ocpp_port()
            await wait_until(lambda: meter.polls > 2)
            meter.current = high_word
            await process.wait_for_line(r"WARNING: meter main is lost for \d+ s: no current can be")
            meter.current = "41A0"
            await process.wait_for_line(r"meter main is back")
            assert await process.end(lambda p: p.send_signal(signal.SIGINT)) == 0

    run(test())


def test_why_knows_what_was_meant_and_says_when_nobody_is_there(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await process.ocpp_port()
            state = ("--state", str(process.state))

            code, out, err = await headroom("why", "CP-1/1", *state)
            assert (code, out) == (1, "")
            assert err == "Error: there is no connector CP-1/1 (did you mean CP-01/1?)\n"

            code, out, _ = await headroom("why", *state)
            assert code == 0
            assert [line.split(":")[0] for line in out.splitlines()] == ["CP-01/1", "CP-02/1"]

            code, out, _ = await headroom("why", "CP-02", *state)
            assert out.startswith("CP-02/1: ")

            code, out, _ = await headroom("watch", *state)
            assert code == 0
            assert "supply      L1" in out
            assert "CP-02/1   out of reach" in out

            code, out, _ = await headroom("watch", "--json", *state)
            shown = json.loads(out)
            assert (code, shown["site"], shown["circuits"][0]["id"]) == (0, "Dockside", "supply")
            assert [each["connector"] for each in shown["connectors"]] == ["CP-01/1", "CP-02/1"]

            socket_mode = (process.state / "headroom.sock").stat().st_mode
            assert stat.S_IMODE(socket_mode) == 0o600
            assert await process.end(lambda p: p.terminate()) == 0

            for words in (("why", "CP-01/1"), ("watch",), ("station", "reset", "CP-01")):
                code, out, err = await headroom(*words, "--json", *state)
                assert code == 1
                assert "no daemon runs" in json.loads(out)["error"]
                assert "no daemon runs" in err

    run(test())


async def see_all_but_stations(process: Process) -> None:
    """See that a daemon runs and is asked, and says that stations cannot connect."""
    url = (await process.wait_for_line(r"metrics at (\S+)$"))[1]
    await process.wait_for_line(r"API at http://")
    assert await wait_for_problems(url) == ["stations cannot connect yet"]
    assert (await get(url, "/healthz")).status == 200

    _, out, _ = await headroom("watch", "--json", "--state", str(process.state))
    shown = json.loads(out)
    assert [alarm["name"] for alarm in shown["alarms"]] == ["OCPP"]
    assert shown["circuits"][0]["phases"][0]["current_ma"] >= 20_000


async def wait_for_problems(url: str) -> list[str]:
    """Return what keeps a daemon from being ready, once its meter has been read."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            problems: list[str] = json.loads((await get(url, "/readyz")).body)["problems"]
            if not any("cycle" in problem or "meter" in problem for problem in problems):
                return problems
            await asyncio.sleep(0.1)


def test_a_port_in_use_keeps_stations_away_until_it_is_free_and_nothing_else(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with a_building(tmp_path, Iem3000(), ocpp_port=port) as process:
                await process.wait_for_line(
                    rf"ALARM OCPP: cannot listen for stations on 127\.0\.0\.1:{port}:"
                    " another program has the port: end it, or choose another"
                )
                await see_all_but_stations(process)

                taken.close()
                await process.wait_for_line("alarm OCPP is over")
                async with station(await process.ocpp_port(), "CP-01") as connected:
                    await connected.boot()
                    await wait_until(lambda: connected.profiles("TxDefaultProfile"))
                url = (await process.wait_for_line(r"metrics at (\S+)$"))[1]
                assert await wait_for_problems(url) == []
                assert await process.end(lambda p: p.terminate()) == 0
            assert len([line for line in process.lines if "ALARM" in line]) == 1

    run(test())


def test_an_address_of_another_machine_keeps_stations_away_and_nothing_else(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with TcpPeer(Iem3000()) as meter:
            config = tmp_path / "site.yaml"
            text = SITE.format(meter_port=meter.port, ocpp_port=9000, metrics_port=0)
            elsewhere = text.replace("ocpp: {host: 127.0.0.1", "ocpp: {host: 192.0.2.1")
            await asyncio.to_thread(config.write_text, elsewhere)
            async with daemon(config, tmp_path / "state") as process:
                await process.wait_for_line(
                    r"ALARM OCPP: cannot listen for stations on 192\.0\.2\.1:9000: .*"
                    "is that an address of this machine"
                )
                await see_all_but_stations(process)
                assert await process.end(lambda p: p.terminate()) == 0

    run(test())


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await process.ocpp_port()
            async with daemon(tmp_path / "site.yaml", process.state) as second:
                said = await second.wait_for_line(
                    r"ERROR: another Headroom runs .*\(process (\d+)\)"
                )
                assert int(said[1]) == process.process.pid
                assert "--state" in said.string
                assert await second.end(lambda _: None) == 1
            code, _, _ = await headroom("why", "--state", str(process.state))
            assert code == 0

    run(test())


def test_a_socket_left_by_a_daemon_that_was_killed_is_no_obstacle(tmp_path: Path) -> None:
    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await process.ocpp_port()
            process.process.kill()
            await process.process.wait()
            assert list(process.state.iterdir())
            async with daemon(tmp_path / "site.yaml", process.state) as second:
                await second.ocpp_port()
                assert await second.end(lambda p: p.terminate()) == 0

    run(test())


def test_a_site_file_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(
        "site: {name: X, timezone: Nowhere/Land}\n"
        "circuits:\n"
        "  - {id: supply, rating_a: -5, device: mcb}\n"
        "stations: [{id: CP-01, circuit: suply, auth: none, connectors: []}]\n"
    )

    code, out, err = asyncio.run(headroom("run", "-c", str(config)))

    assert (code, out) == (2, "")
    assert all(line.startswith(f"{config}:") for line in err.splitlines())
    for word in ("Nowhere/Land", "rating_a", "did you mean supply?"):
        assert word in err


def test_a_site_that_is_not_safe_in_silence_is_refused_with_the_sum(tmp_path: Path) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(
        "site: {name: X, timezone: Europe/London, voltage_v: 230}\n"
        "circuits: [{id: supply, rating_a: 20, device: mcb, worst_case_base_a: 15}]\n"
        "stations: [{id: CP-01, circuit: supply, auth: none, connectors:"
        " [{id: 1, phases: [L1], max_a: 16, fallback_a: 6}]}]\n"
    )

    code, _, err = asyncio.run(headroom("run", "-c", str(config)))

    assert code == 2
    assert "fallbacks 6.0 A + base 15.0 A" in err


def test_a_site_whose_stations_are_not_declared_yet_is_served(tmp_path: Path) -> None:
    """Whoever commissions a building begins with its meters, and sees its stations wait."""
    config = tmp_path / "site.yaml"
    config.write_text(
        "site: {name: X, timezone: Europe/London, voltage_v: 230}\n"
        "circuits: [{id: supply, rating_a: 63, device: mcb, worst_case_base_a: 15}]\n"
        "listen: {ocpp: {port: 0}, api: {port: 0}, metrics: {port: 0}}\n"
    )

    async def test() -> None:
        async with daemon(config, tmp_path / "state") as process:
            async with station(await process.ocpp_port(), "CP-07"):
                await process.wait_for_line(r"CP-07 .* waits for adoption")
                await wait_until((tmp_path / "state" / "last-good.yaml").exists)  # Ten cycles.
            assert await process.end(lambda p: p.terminate()) == 0

    run(test())


def test_a_serial_port_that_is_not_there_is_named_and_everything_else_runs(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        config = tmp_path / "site.yaml"
        text = (
            "site: {name: X, timezone: Europe/London, voltage_v: 230}\n"
            "buses: [{id: line, serial: {port: /dev/serial/by-id/gone, baud: 9600, format: 8N1}}]\n"
            "meters: [{id: main, bus: line, unit: 1, profile: eastron_sdm630_v2}]\n"
            "circuits: [{id: supply, rating_a: 63, device: mcb, meter: main,"
            " worst_case_base_a: 15}]\n"
            "stations: [{id: CP-01, circuit: supply, auth: none, connectors:"
            " [{id: 1, phases: [L1], max_a: 16, fallback_a: 6}]}]\n"
            "listen: {ocpp: {port: 0}, api: {port: 0}, metrics: {port: 0}}\n"
        )
        await asyncio.to_thread(config.write_text, text)
        async with daemon(config, tmp_path / "state") as process:
            port = await process.ocpp_port()
            await process.wait_for_line(r"WARNING: .*/dev/serial/by-id/gone does not exist: is the")
            async with station(port, "CP-01") as connected:
                await plug_in(connected)
                await wait_until(connected.profiles)
                assert await process.end(lambda p: p.terminate()) == 0

    run(test())


HOSTILE = {
    "a frame of 5 MB": "[2,1," + "x" * 5_000_000,
    "a call without sense": '[2,"a",["x"],{}]',
    "nesting 100,000 deep": "[" * 100_000,
    "nesting 1,000 deep": '[2,"a","Heartbeat",' + '{"a":' * 1_000 + "1" + "}" * 1_000 + "]",
    "a number of 5,000 digits": f'[2,"a","MeterValues",{{"connectorId":{"9" * 5_000}}}]',
    "NaN": '[2,"a","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-01-05T12:00:00Z",'
    '"sampledValue":[{"value":"NaN","measurand":"Current.Import","phase":"L1","unit":"A"}]}]}]',
}


def test_what_one_station_sends_harms_neither_the_daemon_nor_another(
    tmp_path: Path,
) -> None:
    async def send(process: Process, port: int, frame: str) -> None:
        connection = await connect(
            f"ws://127.0.0.1:{port}/CP-02", subprotocols=[Subprotocol("ocpp1.6")], proxy=None
        )
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            await connection.send(frame)
            async with asyncio.timeout(1):
                while True:
                    await connection.recv()
        # Closing a connection that the daemon has just cut off can find its transport gone
        # already, which the client library trips over: websockets 17, asyncio's own loop.
        with contextlib.suppress(AttributeError):
            await connection.close()
        assert process.process.returncode is None

    async def test() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            port = await process.ocpp_port()
            async with station(port, "CP-01") as connected:
                await plug_in(connected)
                await wait_until(lambda: limits_a(connected))
                for frame in HOSTILE.values():
                    await send(process, port, frame)
                heard = len(limits_a(connected))
                await wait_until(lambda: len(limits_a(connected)) > heard)  # Renewed as ever.
                code, said, _ = await headroom("why", "CP-01/1", "--state", str(process.state))
                assert (code, said.split(":")[0]) == (0, "CP-01/1")
                assert await process.end(lambda p: p.terminate()) == 0
            assert not [line for line in process.lines if "cannot be folded" in line]
            assert not [line for line in process.lines if "Traceback" in line]

    run(test())
