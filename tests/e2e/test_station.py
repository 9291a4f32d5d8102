"""A person asks stations of both versions for something: the command, the daemon's socket, the `ocpp` library."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from gateway.adapters.status_socket import MAX_CALLERS, STATION, Question, ask_status
from tests.support.daemon_process import (
    PATIENCE_S,
    Iem3000,
    Process,
    a_building,
    headroom,
    run,
    station,
    station_of_201,
    wait_until,
)
from tests.support.ocpp16_station import Station16

NOON = "2026-01-05T12:00:00Z"


async def plug_in(connected: Station16) -> int:
    """Begin a transaction, and return its number once its connector was told a limit."""
    await connected.boot()
    await connected.say_status(1, "Preparing")
    number = await connected.start_transaction(1, timestamp=NOON)
    await connected.say_status(1, "Charging")
    await wait_until(lambda: connected.profiles("TxProfile"))
    return number


async def ask(process: Process, *words: str) -> tuple[int, str, str]:
    return await headroom("station", *words, "--state", str(process.state))


async def ask_until(process: Process, *words: str, says: str) -> tuple[int, str, str]:
    """Ask again until that is said: what a station was told or lost is known a cycle later."""
    async with asyncio.timeout(PATIENCE_S):
        said = await ask(process, *words)
        while says not in "".join(said[1:]):
            said = await ask(process, *words)
    return said


def in_building(tmp_path: Path, test: Callable[[Process, int], Awaitable[None]]) -> None:
    async def scene() -> None:
        async with a_building(tmp_path, Iem3000()) as process:
            await test(process, await process.ocpp_port())

    run(scene())


def acts(state: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Return what the audit has of stations: what was done, to what, and how."""
    with closing(sqlite3.connect(state / "ledger.db")) as ledger:
        rows = ledger.execute("SELECT kind, subject, detail FROM audit ORDER BY number")
        return [
            (kind, subject, json.loads(detail))
            for kind, subject, detail in rows
            if kind.startswith("station-")
        ]


def test_what_is_asked_for_reaches_a_station_of_1_6_and_is_kept_with_who_asked(
    tmp_path: Path,
) -> None:
    async def test(process: Process, port: int) -> None:
        async with station(port, "CP-01") as connected:
            number = await plug_in(connected)
            said = await ask_until(
                process, "schedule", "cp-01", says="its fallback of 6.0 A holds after that"
            )
            stopped = await ask(process, "stop", "CP-01/1", "--by", "J. Smith")
            started = await ask(process, "start", "CP-01/1", "--token", "04A2", "--json")
            reset = await ask(process, "reset", "CP-01", "--hard", "--by", "J. Smith")

            lines = said[1].splitlines()
            assert lines[0] == "CP-01/1 says: 16.3 A now, then 6.0 A from 60 s on."
            assert lines[1].startswith("Headroom told it 6.0 A for ")
            assert "its fallback of 6.0 A holds after that" in lines[1]
            assert lines[2].startswith("That is more: ")
            assert stopped[:2] == (0, f"CP-01/1: accepted. Transaction {number} ends.\n")
            done = {"wish": "start", "of": "CP-01/1", "transaction": None}
            assert (started[0], json.loads(started[1])) == (0, done)
            assert reset[:2] == (0, "CP-01: accepted. It restarts now.\n")
            assert connected.said("RemoteStopTransaction") == [{"transaction_id": number}]
            remote = [{"connector_id": 1, "id_tag": "04A2"}]
            assert connected.said("RemoteStartTransaction") == remote
            assert connected.said("Reset") == [{"type": "Hard"}]
            await process.wait_for_line(r"reset of CP-01, asked for by J\. Smith: accepted")
            await wait_until(lambda: len(acts(process.state)) == 6)
            kept = acts(process.state)
            assert {act[2]["outcome"] for act in kept[::2]} == {"asked"}
            kept = kept[1::2]
            assert [act[:2] for act in kept] == [
                ("station-stop", "CP-01/1"),
                ("station-start", "CP-01/1"),
                ("station-reset", "CP-01"),
            ]
            assert kept[2][2] == {"by": "J. Smith", "outcome": "accepted", "type": "hard"}

    in_building(tmp_path, test)


def test_the_same_is_asked_of_a_station_of_2_0_1_in_its_own_words(tmp_path: Path) -> None:
    async def test(process: Process, port: int) -> None:
        async with station_of_201(port, "CP-01", statuses={"Reset": "Scheduled"}) as connected:
            await connected.boot()
            await connected.say_event("Started", "T1", number=1)
            await wait_until(lambda: connected.profiles_sent("TxProfile"))
            said = await ask(process, "schedule", "CP-01/1", "--json")
            done = [
                await ask(process, "stop", "CP-01/1"),
                await ask(process, "start", "CP-01/1", "--token", "TAG"),
                await ask(process, "reset", "CP-01"),
            ]

            periods = json.loads(said[1])["periods"]
            assert [(p["start_s"], p["current_ma"]) for p in periods] == [(0, 16_300), (60, 6_000)]
            assert [code for code, _, _ in done] == [0, 0, 0]
            assert connected.said("RequestStopTransaction") == [{"transaction_id": "T1"}]
            (start,) = connected.said("RequestStartTransaction")
            assert start["id_token"] == {"id_token": "TAG", "type": "Central"}
            assert connected.said("Reset") == [{"type": "OnIdle"}]

    in_building(tmp_path, test)


REFUSES = {"RemoteStartTransaction": "Rejected", "Reset": "Rejected"}
COMPLAINTS = {
    "reset CP-03": "there is no station CP-03 (did you mean CP-02?)",
    "schedule CP-01/2": "there is no connector CP-01/2 (did you mean CP-01/1?)",
    "reset CP-02": "CP-02 is not connected",
    "stop CP-01/1": "no transaction is known to run on CP-01/1",
    "start CP-01/1 --token TAG": "CP-01 refuses: RemoteStartTransaction: Rejected",
    "reset CP-01": "CP-01 refuses: Reset: Rejected",
    f"start CP-01/1 --token {'9' * 21}": "a token has 1 to 20 characters in ocpp1.6",
    "reset CP-99": "CP-99 is not in the site file: it waits for adoption",
}


def test_what_is_not_done_is_said_with_the_reason(tmp_path: Path) -> None:
    async def test(process: Process, port: int) -> None:
        async with (
            station(port, "CP-01", statuses=REFUSES) as connected,
            station(port, "CP-99") as stranger,
        ):
            await connected.boot()
            await stranger.boot()
            await wait_until(lambda: connected.profiles("TxDefaultProfile"))
            for words, complaint in COMPLAINTS.items():
                code, said, error = await ask(process, *words.split(), "--json")
                assert (code, json.loads(said)) == (1, {"error": complaint})
                assert error == f"Error: {complaint}\n"
            wrong = Question(ask=STATION, words={"wish": "dance", "station": "CP-01"})
            assert b"no station can be asked that: Invalid enum value 'dance'" in await ask_status(
                process.state, wrong
            )
            await wait_until(lambda: len(acts(process.state)) == 4)
            refused = [(kind, detail["outcome"]) for kind, _, detail in acts(process.state)[1::2]]
            assert refused == [
                ("station-start", "RemoteStartTransaction: Rejected"),
                ("station-reset", "Reset: Rejected"),
            ]

    in_building(tmp_path, test)


def test_a_station_that_does_not_answer_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async def test(process: Process, port: int) -> None:
        async with station(port, "CP-01", delays_s={"Reset": 30.0}) as mute:
            await mute.boot()
            await wait_until(lambda: mute.profiles("TxDefaultProfile"))
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(ask(process, "reset", "CP-01", "--by", "J. Smith"))
                await wait_until(lambda: mute.said("Reset"))
                async with station(port, "CP-02") as other:
                    await plug_in(other)
                    assert not asking.done()
            assert asking.result()[0] == 1
            told = "CP-01: no answer to Reset: look whether it did it before you ask again"
            assert asking.result()[2] == f"Error: {told}\n"
            await wait_until(lambda: len(acts(process.state)) == 2)
            outcomes = ("asked", "no answer to Reset")
            kept = [detail for _, _, detail in acts(process.state)]
            assert kept == [{"by": "J. Smith", "outcome": outcome} for outcome in outcomes]

    in_building(tmp_path, test)


def test_those_who_ask_a_mute_station_shut_nobody_out_of_the_socket(tmp_path: Path) -> None:
    async def test(process: Process, port: int) -> None:
        async with station(port, "CP-01", delays_s={"Reset": 30.0}) as mute:
            await mute.boot()
            await wait_until(lambda: mute.profiles("TxDefaultProfile"))
            reset = Question(ask=STATION, words={"wish": "reset", "station": "CP-01"})
            async with asyncio.TaskGroup() as tasks:
                asking = [
                    tasks.create_task(ask_status(process.state, reset, patience_s=PATIENCE_S))
                    for _ in range(MAX_CALLERS)
                ]
                await wait_until(lambda: sum(each.done() for each in asking) == MAX_CALLERS - 1)
                assert b'"connectors"' in await ask_status(process.state)
                (waits,) = [each for each in asking if not each.done()]
            told = {each.result() for each in asking if each is not waits}
            words = "CP-01 has yet to answer what was asked before: ask again in a few seconds"
            assert told == {json.dumps({"error": words}, separators=(",", ":")).encode() + b"\n"}
            assert len(mute.said("Reset")) == 1

    in_building(tmp_path, test)


def test_a_restart_ends_what_the_station_has_lost_by_it(tmp_path: Path) -> None:
    async def test(process: Process, port: int) -> None:
        async with station(port, "CP-01") as connected:
            await plug_in(connected)
            assert (await ask(process, "reset", "CP-01"))[0] == 0
        async with station(port, "CP-01") as again:
            await again.boot()
            await again.say_status(1, "Available")
            await process.wait_for_line(r"transaction \d+ is over: lost in a reboot")
            await ask_until(process, "stop", "CP-01/1", says="no transaction is known to run")

    in_building(tmp_path, test)
