"""Told to stop, a process stops: in order if it can, in time in any case."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.cli.serving import BOUNCE_S

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


PRESSED = """
import asyncio, signal, time
from gateway.cli.serving import EarlySignals, run_loop, stop_on_signals

early = EarlySignals()
print("early", flush=True)
while early.heard is None and {waits}:
    time.sleep(0.01)

async def main():
    stop = asyncio.Event()
    stop_on_signals(stop, early=early)
    print("ready", flush=True)
    await stop.wait()
    print("told", flush=True)
    if not {waits}:
        await asyncio.sleep(3600)

run_loop(main())
print("ended in order", flush=True)
"""


@pytest.fixture
def pressed(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the script; it is gone in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", PRESSED.format(waits=request.param)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"early\n"
        yield process
        process.kill()


@pytest.mark.parametrize("pressed", [True], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_in_order(
    pressed: "subprocess.Popen[bytes]", number: signal.Signals
) -> None:
    pressed.send_signal(number)

    out, _ = pressed.communicate(timeout=40)

    assert out == b"ready\ntold\nended in order\n"
    assert pressed.returncode == 0


def test_a_start_that_hangs_is_ended_too() -> None:
    hangs = (
        "from gateway.cli.serving import EarlySignals; EarlySignals(within_s=0.5);"
        "print('early', flush=True);"
        "[None for _ in iter(int, 1)]"
    )
    with subprocess.Popen([sys.executable, "-c", hangs], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"early\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=40) == -signal.SIGALRM
        finally:
            process.kill()


@pytest.mark.parametrize("pressed", [False], indirect=True)
def test_one_press_that_is_passed_on_twice_is_one(pressed: "subprocess.Popen[bytes]") -> None:
    assert pressed.stdout is not None
    assert pressed.stdout.readline() == b"ready\n"
    pressed.send_signal(signal.SIGINT)
    assert pressed.stdout.readline() == b"told\n"
    pressed.send_signal(signal.SIGINT)

    with pytest.raises(subprocess.TimeoutExpired):  # It goes on ending in order.
        pressed.wait(timeout=2 * BOUNCE_S)

    pressed.send_signal(signal.SIGTERM)
    assert pressed.wait(timeout=40) == 128 + signal.SIGTERM


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


FROZEN = """
import gc
from gateway.cli.serving import run_loop

async def main():
    print(gc.get_freeze_count())

made = [[] for _ in range(5_000)]
run_loop(main())
"""


def test_what_is_loaded_is_never_looked_through_for_garbage_again() -> None:
    """Going through all of it would stall control for a tenth of a second, now and then."""
    told = subprocess.run(
        [sys.executable, "-c", FROZEN], capture_output=True, text=True, check=True, timeout=60
    )

    assert int(told.stdout) > 5_000
