"""Told to stop, a process stops: in order if it can, in time in any case."""

import signal
import subprocess
import sys

import pytest

HANGS = """
import asyncio, time
from gateway.cli.serving import run_loop, stop_on_signals

async def main():
    stop = asyncio.Event()
    stop_on_signals(stop, within_s=0.5)
    print("ready", flush=True)
    await stop.wait()
    print("told", flush=True)
    {hang}

run_loop(main())
"""


@pytest.mark.parametrize(
    "hang", ["await asyncio.sleep(3600)", "time.sleep(3600)", "await asyncio.to_thread(input)"]
)
def test_what_hangs_in_whatever_way_is_ended(hang: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGS.format(hang=hang)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"told\n"
        assert process.wait(timeout=40) == 1
