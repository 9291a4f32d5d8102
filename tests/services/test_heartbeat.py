"""The watchdog is fed by completed control cycles only, and the start is over with the first."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.adapters.sd_notify import SdNotify
from gateway.domain.events import StationConnected
from gateway.domain.ids import StationId
from gateway.services.alarms import Alarms
from gateway.services.control_loop import ControlLoop
from gateway.services.heartbeat import GOOD_AFTER_CYCLES, Heartbeat
from gateway.services.inbox import Inbox
from tests.support.small_site import at_start, small_site
from tests.support.virtual_time import VirtualClock, run_virtual


class StallingClock(VirtualClock):
    """Time in which everything lives on, but no sleep that begins after `until_s` ever ends."""

    until_s = float("inf")

    async def sleep_s(self, delay_s: float) -> None:
        if self.monotonic_s() >= self.until_s:
            await asyncio.Event().wait()
        await super().sleep_s(delay_s)


class Watched:
    """A control loop, followed by a heartbeat with a real socket at its other end."""

    def __init__(self, hearing: socket.socket) -> None:
        self.hearing = hearing
        self.clock = StallingClock()
        self.alarms = Alarms(self.clock)
        variables = {"NOTIFY_SOCKET": hearing.getsockname(), "WATCHDOG_USEC": "10000000"}
        self.heartbeat = Heartbeat(SdNotify(variables), self.alarms)
        self.inbox = Inbox()
        self.loop = ControlLoop(
            at_start(small_site(2)),
            self.inbox,
            lambda _: None,
            clock=self.clock,
            on_cycle=self.heartbeat.beat,
        )

    def heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.hearing.recv(4096).decode())
            except BlockingIOError:
                return said

    async def run_for(self, duration_s: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.loop.run())
            await asyncio.sleep(duration_s)
            running.cancel()


def _move(old: Path, new: Path) -> None:
    old.rename(new)


@contextmanager
def watched(tmp_path: Path) -> Iterator[Watched]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as hearing:
        hearing.bind(str(tmp_path / "notify"))
        yield Watched(hearing)


def test_the_watchdog_is_fed_once_a_cycle_and_starves_when_cycles_stop(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            daemon.clock.until_s = 5.0
            await daemon.run_for(5.5)
            fed = daemon.heard().count("WATCHDOG=1")
            assert fed == daemon.loop.counters["cycles"] == 6

            # Everything else lives on: the loop, its timers, the inbox.
            daemon.inbox.post(StationConnected(at_s=6, station=StationId("CP-01")))
            await daemon.run_for(60)
            assert daemon.heard().count("WATCHDOG=1") == daemon.loop.counters["cycles"] - fed == 1

    run_virtual(test())


def test_a_cycle_that_breaks_off_feeds_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            daemon.loop._offer = lambda _: 1 / 0  # type: ignore[assignment]
            with pytest.raises(ZeroDivisionError):
                daemon.loop.run_cycle()
            assert daemon.heard() == []

    run_virtual(test())


def test_the_start_is_over_when_stations_can_connect_and_control_has_run(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            await daemon.run_for(3.5)
            assert set(daemon.heard()) == {"WATCHDOG=1"}
            daemon.heartbeat.note_listening()
            assert daemon.heard() == []
            daemon.loop.run_cycle()
            assert daemon.heard() == ["WATCHDOG=1", "READY=1\nSTATUS=0 of 2 stations connected"]
            daemon.inbox.post(StationConnected(at_s=4, station=StationId("CP-01")))
            daemon.loop.run_cycle()
            daemon.loop.run_cycle()
            daemon.alarms.sound("ledger", "the disk is full")
            daemon.loop.run_cycle()
            assert [said for said in daemon.heard() if said != "WATCHDOG=1"] == [
                "STATUS=1 of 2 stations connected",
                "STATUS=1 of 2 stations connected; ALARM ledger",
            ]

    run_virtual(test())


def test_the_start_is_over_though_stations_cannot_connect_for_now(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            daemon.alarms.sound("OCPP", "another program has the port")
            daemon.heartbeat.note_deaf()
            daemon.loop.run_cycle()
            status = "STATUS=0 of 2 stations connected; ALARM OCPP"
            assert daemon.heard() == ["WATCHDOG=1", f"READY=1\n{status}"]
            assert not daemon.heartbeat.is_listening

    run_virtual(test())


def test_a_start_that_was_not_heard_of_is_told_again(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            daemon.heartbeat.note_listening()
            _move(tmp_path / "notify", tmp_path / "away")
            daemon.loop.run_cycle()
            _move(tmp_path / "away", tmp_path / "notify")
            daemon.loop.run_cycle()
            assert any(said.startswith("READY=1") for said in daemon.heard())

    run_virtual(test())


def test_a_configuration_is_good_once_it_has_run_and_stations_could_connect(tmp_path: Path) -> None:
    async def test() -> None:
        with watched(tmp_path) as daemon:
            async with asyncio.TaskGroup() as tasks:
                good = tasks.create_task(daemon.heartbeat.wait_good())
                daemon.heartbeat.note_deaf()
                for _ in range(GOOD_AFTER_CYCLES):  # In vain: no station could connect.
                    daemon.loop.run_cycle()
                daemon.heartbeat.note_listening()
                for _ in range(GOOD_AFTER_CYCLES - 1):
                    daemon.loop.run_cycle()
                await asyncio.sleep(1)
                assert not good.done()
                daemon.loop.run_cycle()

    run_virtual(test())
