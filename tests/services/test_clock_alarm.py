"""A clock that was never set, or that jumps, is said to be so while it lasts, and nothing waits for it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.clock import SystemClock
from gateway.bootstrap import Daemon
from gateway.domain.errors import HeadroomError
from gateway.domain.moments import Moment
from gateway.settings import load_site
from tests.support.asking_here import quoted_here

SITE = """
site: {name: X, timezone: Europe/London, voltage_v: 230}
circuits: [{id: supply, rating_a: 63, device: mcb, worst_case_base_a: 15}]
listen: {ocpp: {port: 0}, api: {port: 0}, metrics: {port: 0}}
"""
KNOWN, DOUBTED = ("AskError",), ("clock-jump", "TimeUnknownError")


class SetLater(SystemClock):
    """The machine's clock, as if it had been started in 1970 and is to be set."""

    def __init__(self) -> None:
        self.behind = super().now_at() - datetime(1970, 1, 1, 0, 1, tzinfo=UTC)

    def now_at(self) -> datetime:
        return super().now_at() - self.behind


class NotKeptRight(SystemClock):
    """The machine's clock, wrong by `off`, in a machine that was started anew: nothing keeps it right."""

    def __init__(self, boot_id: str, off: timedelta) -> None:
        self._boot_id, self.off = boot_id, off

    def now_at(self) -> datetime:
        return super().now_at() + self.off

    def moment(self) -> Moment:
        now = super().moment()
        return replace(
            now,
            wall_at=self.now_at(),
            boot_id=self._boot_id,
            boot_s=now.boot_s % 60,
            is_synchronised=False,
        )


def sounding(daemon: Daemon) -> tuple[str, ...]:
    return tuple(alarm.name for alarm in daemon.alarms.sounding())


def test_a_clock_that_was_never_set_and_one_that_jumps_are_alarms(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, clock = tmp_path / "site.yaml", SetLater()
    config.write_text(SITE)
    daemon = Daemon(load_site(config), keys={}, clock=clock, folder=tmp_path / "state")

    async def wait_alarms(*names: str) -> None:
        async with asyncio.timeout(40):
            while daemon.snapshot() is None or names != sounding(daemon):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)

    async def test() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                daemon.run(stop=stop, on_ready=lambda _: None, on_stuck=lambda _: None)
            )
            await wait_alarms("clock")
            clock.behind = timedelta()
            await wait_alarms()
            clock.behind = timedelta(hours=-2)
            await wait_alarms("clock-jump")
            clock.behind = timedelta()
            await wait_alarms()
            stop.set()

    asyncio.run(test())

    said, jumped = [r.getMessage() for r in caplog.records if "ALARM" in r.getMessage()]
    assert "the wall clock jumped forward by 2:00:0" in jumped
    assert "shows 1970: it was never set" in said
    assert "timedatectl" in said


async def refusal(daemon: Daemon) -> str:
    """Return what refuses a quote."""
    with pytest.raises(HeadroomError) as refused:
        await quoted_here(daemon._desk, {"energy_wh": 5_000})
    return refused.type.__name__


def sounds_after_a_start(
    folder: Path, clock: NotKeptRight, *, jumps_by: timedelta | None = None
) -> tuple[str, ...]:
    """Run a daemon over a folder for a moment, in which its clock may jump; return what sounds then.

    What refuses a quote comes after that; nothing could be had at this site at any time.
    """
    config = folder / "site.yaml"
    config.write_text(SITE)
    daemon = Daemon(load_site(config), keys={}, clock=clock, folder=folder / "state")

    async def test() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(40):
            tasks.create_task(
                daemon.run(stop=stop, on_ready=lambda _: None, on_stuck=lambda _: None)
            )
            while daemon.snapshot() is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
            if jumps_by is not None:
                clock.off = jumps_by
                while not sounding(daemon):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            refused.append(await refusal(daemon))
            live = daemon._desk._live()
            # What is read is told by the wall clock, whatever promises go by.
            assert live is not None
            assert abs(live.at - clock.now_at()) < timedelta(minutes=1)
            stop.set()

    refused: list[str] = []
    asyncio.run(test())
    return *sounding(daemon), *refused


@pytest.mark.parametrize(("days", "names"), [(3.0, DOUBTED), (-3.0, DOUBTED), (0.01, KNOWN)])
def test_a_start_with_a_wall_clock_far_from_the_ledgers_promises_nothing_however_often(
    tmp_path: Path, days: float, names: tuple[str, ...]
) -> None:
    off = timedelta(days=days)
    assert sounds_after_a_start(tmp_path, NotKeptRight("first", timedelta())) == KNOWN
    for boot_id in ("second", "second", "third"):
        assert sounds_after_a_start(tmp_path, NotKeptRight(boot_id, off)) == names
    assert sounds_after_a_start(tmp_path, NotKeptRight("fourth", timedelta())) == KNOWN


def test_a_wall_clock_that_jumped_is_doubted_after_a_restart_too(tmp_path: Path) -> None:
    off = timedelta(days=3)
    clock = NotKeptRight("first", timedelta())
    assert sounds_after_a_start(tmp_path, clock, jumps_by=off) == ("clock-jump", "AskError")
    assert sounds_after_a_start(tmp_path, NotKeptRight("first", off)) == DOUBTED
