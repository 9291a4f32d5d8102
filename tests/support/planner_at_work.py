"""A planner's process of its own for a test, and what is seen of it from outside."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.services.planner_pipe import PlannerPipe


@asynccontextmanager
async def a_pipe() -> AsyncIterator[PlannerPipe]:
    """Give a way to a process that is gone in the end."""
    pipe = PlannerPipe()
    try:
        yield pipe
    finally:
        await pipe.end()


async def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(0.005)


def cpu_ticks(process_id: int) -> int:
    """Return the CPU time a process has had, in hundredths of a second."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def planner_children() -> list[str]:
    """Return the processes of this one, zombies too, that are planners."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        is_ours = int(state[1]) == os.getpid()
        if is_ours and (state[0] == "Z" or "planner_process" in command):
            found.append(folder.name)
    return found
