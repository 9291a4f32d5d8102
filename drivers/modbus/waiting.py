"""The questions that wait for a line: who is asked for first, and what they are told."""

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.modbus.errors import ModbusError
from drivers.modbus.question import Outcome, Request


@dataclass(slots=True, order=True)
class Job:
    """Questions to one unit, to be asked one straight after the other, and their outcomes."""

    priority: int
    number: int
    requests: tuple[Request, ...] = field(compare=False)
    outcomes: asyncio.Future[tuple[Outcome, ...]] = field(compare=False)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Tell whoever still waits what the unit said."""
        if not self.outcomes.done():
            self.outcomes.set_result(tuple(outcomes))

    def fail(self, error: ModbusError) -> None:
        """Tell whoever still waits that there is no answer, and why."""
        if not self.outcomes.done():
            self.outcomes.set_exception(error)


class WaitingRoom:
    """Jobs in order of priority and arrival."""

    def __init__(self) -> None:
        """Begin empty."""
        self._jobs: list[Job] = []
        self._numbers = itertools.count()
        self._has_work = asyncio.Event()

    def __len__(self) -> int:
        """Return how many wait, those included who have given up waiting."""
        return len(self._jobs)

    def enter(self, requests: Sequence[Request]) -> asyncio.Future[tuple[Outcome, ...]]:
        """Have these asked together; cancelling what is returned is giving up waiting."""
        outcomes: asyncio.Future[tuple[Outcome, ...]] = asyncio.get_running_loop().create_future()
        job = Job(requests[0].priority, next(self._numbers), tuple(requests), outcomes)
        heapq.heappush(self._jobs, job)
        self._has_work.set()
        return outcomes

    async def call_next(self) -> Job:
        """Wait for somebody who still waits, and take them out."""
        while True:
            while self._jobs:
                job = heapq.heappop(self._jobs)
                if not job.outcomes.done():
                    return job
            self._has_work.clear()
            await self._has_work.wait()

    def send_away(self, error: ModbusError) -> None:
        """Tell everybody who waits the same, and be empty."""
        for job in self._jobs:
            job.fail(error)
        self._jobs.clear()
