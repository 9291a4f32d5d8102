"""Connections that died unheard, and quiet ones that did not."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection
from websockets.frames import CloseCode

from drivers.ocpp.liveness import Patience
from gateway.domain.events import Event, StationConnected, StationDisconnected
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import Hall, ask, in_hall, wait_until

RunLoop = Callable[[Coroutine[Any, Any, None]], None]
FIRST = StationId("CP-01")
HEARTBEAT = [2, "h", "Heartbeat", {}]

# The default, a hundred times as fast; and one that never gives up.
FAST = Patience(look_each_s=0.02, ask_after_s=0.1, silent_after_s=0.2, drop_after_s=0.9)
FAITHFUL = Patience(look_each_s=0.02, ask_after_s=0.1, silent_after_s=0.2, drop_after_s=1e6)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run_loop(request: pytest.FixtureRequest) -> RunLoop:
    run: RunLoop = request.param
    return run


def comings_and_goings(hall: Hall) -> list[type[Event]]:
    kinds = (StationConnected, StationDisconnected)
    return [type(fact) for fact in hall.facts if isinstance(fact, kinds)]


def die(station: ClientConnection) -> None:
    """Leave the other end to itself: nothing is read, and so no ping is answered."""
    station.transport.pause_reading()


def test_a_quiet_station_that_answers_pings_is_there(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", ping_interval=None):
            await wait_until(hall.server.connected_stations)
            await asyncio.sleep(1.5)  # Longer than a dead one would be kept.

            assert hall.server.connected_stations() == {FIRST}
            assert comings_and_goings(hall) == [StationConnected]

    in_hall(scene, run_loop=run_loop, patience=FAST, boot_patience_s=1_000)


def test_a_connection_that_died_unheard_is_out_of_reach_and_back_when_it_carries_again(
    run_loop: RunLoop,
) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", ping_interval=None) as station:
            await ask(station, HEARTBEAT)
            die(station)
            await wait_until(lambda: not hall.server.connected_stations())
            assert comings_and_goings(hall) == [StationConnected, StationDisconnected]

            station.transport.resume_reading()
            await wait_until(hall.server.connected_stations)
            assert (await ask(station, HEARTBEAT))[0] == 3  # On the same connection.
        await wait_until(lambda: len(comings_and_goings(hall)) == 4)

        assert comings_and_goings(hall) == [StationConnected, StationDisconnected] * 2
        assert hall.server.counters["silent"] == 1

    in_hall(scene, run_loop=run_loop, patience=FAITHFUL, boot_patience_s=1_000)


def test_a_connection_that_stays_dead_is_given_up_and_told_once(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", ping_interval=None) as station:
            await ask(station, HEARTBEAT)
            die(station)
            await wait_until(lambda: hall.server.counters["given-up"])
            station.transport.resume_reading()
            await station.wait_closed()

            # Cut, not closed: what the system still held of it is not delivered.
            assert station.close_code == CloseCode.ABNORMAL_CLOSURE
        assert comings_and_goings(hall) == [StationConnected, StationDisconnected]

    in_hall(scene, run_loop=run_loop, patience=FAST, boot_patience_s=1_000)


def test_a_new_connection_takes_over_from_a_dead_one(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", ping_interval=None) as dead:
            await ask(dead, HEARTBEAT)
            die(dead)
            await wait_until(lambda: not hall.server.connected_stations())
            async with hall.connect("CP-01", ping_interval=None) as station:
                assert (await ask(station, HEARTBEAT))[0] == 3
                assert hall.server.connected_stations() == {FIRST}
                assert comings_and_goings(hall) == [
                    StationConnected,
                    StationDisconnected,
                    StationConnected,
                ]
            dead.transport.resume_reading()

    in_hall(scene, run_loop=run_loop, patience=FAITHFUL, boot_patience_s=1_000)


def test_who_talks_is_not_asked(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("CP-01", ping_interval=None) as talking:
            pings = 0
            take = talking.protocol.recv_frame

            def count(frame: Any) -> None:
                nonlocal pings
                pings += frame.opcode == 9
                take(frame)

            talking.protocol.recv_frame = count  # type: ignore[method-assign]
            for _ in range(50):
                await ask(talking, HEARTBEAT)
                await asyncio.sleep(0.01)
            assert pings == 0

            await asyncio.sleep(0.5)
            assert pings > 0

    in_hall(scene, run_loop=run_loop, patience=FAITHFUL, boot_patience_s=1_000)


def test_a_stranger_that_died_unheard_makes_room(run_loop: RunLoop) -> None:
    async def scene(hall: Hall) -> None:
        async with hall.connect("stranger", ping_interval=None) as stranger:
            await stranger.send(json.dumps(HEARTBEAT))
            await wait_until(hall.server.pending_stations)
            die(stranger)
            await wait_until(lambda: not hall.server.pending_stations())
            stranger.transport.resume_reading()

    in_hall(scene, run_loop=run_loop, patience=FAST)


@pytest.mark.parametrize(
    ("quiet_s", "is_due", "is_silent", "is_over"),
    [
        (2, False, False, False),
        (10, True, False, False),
        (12, False, False, False),
        (18, False, False, False),
        (20, True, True, False),
        (88, False, True, False),
        (90, True, True, True),
    ],
)
def test_patience_ends_in_steps(
    quiet_s: int, *, is_due: bool, is_silent: bool, is_over: bool
) -> None:
    patience = Patience()
    look_count = quiet_s // 2

    assert patience.is_due(look_count) == is_due
    assert patience.is_silent(look_count) == is_silent
    assert patience.is_over(look_count) == is_over
