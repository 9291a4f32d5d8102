"""A port that is taken is an alarm and no more, until it is free."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from starlette.applications import Starlette

from gateway.adapters.clock import SystemClock
from gateway.adapters.http_listener import HttpListener
from gateway.services.alarms import Alarms
from gateway.services.listening import keep_listening

PATIENCE_S = 20.0


class Faulty:
    """A listener that has a fault at first, and then none."""

    def __init__(self) -> None:
        self.begun = 0

    async def run(self, on_listening: Callable[[str], None]) -> None:
        self.begun += 1
        if self.begun == 1:
            raise ExceptionGroup("tasks", [RuntimeError("a fault")])
        on_listening("http://127.0.0.1:1")
        await asyncio.Event().wait()


async def wait_for_alarms(alarms: Alarms, count: int) -> None:
    while len(alarms.sounding()) != count:  # noqa: ASYNC110 - alarms set no events
        await asyncio.sleep(0.01)


def test_a_port_in_use_is_an_alarm_until_it_is_free() -> None:
    async def test() -> None:
        alarms, clock = Alarms(SystemClock()), SystemClock()
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        listener = HttpListener(Starlette(), host="127.0.0.1", port=port, purpose="metrics")
        async with asyncio.timeout(PATIENCE_S):
            keeping = asyncio.get_running_loop().create_task(
                keep_listening(
                    listener, name="metrics", alarms=alarms, clock=clock, again_after_s=0.05
                )
            )
            await wait_for_alarms(alarms, 1)
            (alarm,) = alarms.sounding()
            assert alarm.name == "metrics"
            assert f"127.0.0.1:{port}: Address already in use" in alarm.text

            taken.close()
            await wait_for_alarms(alarms, 0)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            assert alarms.counters["metrics"] == 1

            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    asyncio.run(test())


def test_a_fault_in_it_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        clock = SystemClock()
        alarms, faulty = Alarms(clock), Faulty()
        async with asyncio.timeout(PATIENCE_S):
            keeping = asyncio.get_running_loop().create_task(
                keep_listening(
                    faulty, name="metrics", alarms=alarms, clock=clock, again_after_s=0.05
                )
            )
            await wait_for_alarms(alarms, 1)
            await wait_for_alarms(alarms, 0)
            assert faulty.begun == 2

            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    asyncio.run(test())
    assert "RuntimeError: a fault" in caplog.text
