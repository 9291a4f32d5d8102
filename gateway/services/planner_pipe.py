"""The process that plans, and the way to it: one question at a time, answered in time or not at all.

It is begun by the first question. It may crash, hang or be killed: who asks is told so in time, and
the next question begins another.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import TypeVar

import msgspec

from gateway.domain.errors import HeadroomError
from gateway.ports import Clock
from gateway.services.planner_words import LENGTH, Question, framed

COMMAND = (sys.executable, "-P", "-m", "gateway.services.planner_process")
MAX_ANSWER_BYTES = 64 * 1024 * 1024  # A plan of 1,000 connectors and 288 slots has about 1 MB.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


_Answer = TypeVar("_Answer")


class PlannerBusyError(HeadroomError):
    """Others had the process for all the time there was."""


class PlannerFailedError(HeadroomError):
    """The process ended, hung, or did not answer in frames; it is no more."""


class Rest:
    """How long the process is not asked by whom it failed: longer each time, until it answers."""

    def __init__(self, clock: Clock) -> None:
        """Begin without any."""
        self._clock = clock
        self._pause_s, self._until_s = FIRST_PAUSE_S, float("-inf")

    @property
    def left_s(self) -> float:
        """Return for how long it rests still; 0 is not at all."""
        return max(0.0, self._until_s - self._clock.monotonic_s())

    def begin(self) -> float:
        """Rest after a failure; return for how long."""
        pause_s = self._pause_s
        self._until_s = self._clock.monotonic_s() + pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s

    def cut_short(self) -> None:
        """Have it asked again; if it fails, the next rest is longer all the same."""
        self._until_s = float("-inf")

    def forget(self) -> None:
        """Note that it has answered."""
        self._pause_s, self._until_s = FIRST_PAUSE_S, float("-inf")


class PlannerPipe:
    """Asks the process, which it begins and ends; in one event loop."""

    def __init__(self) -> None:
        """Begin without a process."""
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self.spawned_count = 0

    @property
    def process_id(self) -> int | None:
        """Return the id of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    async def answer(
        self,
        question: Question,
        understood: Callable[[bytes], _Answer],
        *,
        within_s: float,
        turn_within_s: float | None = None,
    ) -> _Answer:
        """Return the answer to a question, which is given `within_s`, as it is `understood`.

        `turn_within_s` is how long others may keep it waiting (None: for as long as they take).
        Who stops waiting for the answer ends the process, so that nobody else is given it.

        Raises:
            PlannerBusyError: its turn did not come in time.
            PlannerFailedError: there was no answer that could be understood.
        """
        framed_question = await asyncio.to_thread(framed, question)
        try:
            async with asyncio.timeout(turn_within_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise PlannerBusyError("others had it all the time") from error
        try:
            body = await self._asked(framed_question, within_s)
            return await asyncio.to_thread(understood, body)
        except msgspec.MsgspecError as error:
            await self.end()
            raise PlannerFailedError("it answered what was not asked") from error
        except BaseException:
            await self.end()
            raise
        finally:
            self._turn.release()

    async def _asked(self, question: bytes, within_s: float) -> bytes:
        try:
            async with asyncio.timeout(within_s):
                process = await self._running()
                assert process.stdin is not None
                assert process.stdout is not None
                if process.stdin.is_closing():  # It is gone, and uvloop would call this a fault.
                    raise PlannerFailedError("it ended")
                process.stdin.write(question)
                await process.stdin.drain()
                (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                if length > MAX_ANSWER_BYTES:
                    message = f"it would answer {length} bytes"
                    raise PlannerFailedError(message)
                return await process.stdout.readexactly(length)
        except TimeoutError as error:
            raise PlannerFailedError("it did not answer in time") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise PlannerFailedError("it ended") from error
        except OSError as error:
            message = f"it cannot be begun: {error}"
            raise PlannerFailedError(message) from error

    async def _running(self) -> Process:
        """Return the process that plans, begun if there is none."""
        if self._process is not None and self._process.returncode is not None:
            await self.end()
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=PIPE,
                stdout=PIPE,
                env=_environment(),
                # An interrupt from the terminal is for the daemon, which ends it in order.
                start_new_session=True,
            )
            self.spawned_count += 1
        return self._process

    async def end(self) -> None:
        """End the process and let go of its pipes; HiGHS does not hear any gentler signal."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        # To the end of its output: a pipe that still holds something is not closed.
        await process.communicate()


def _environment() -> dict[str, str]:
    """Return what the process is told: nothing of the service manager, one thread."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_", "CREDENTIALS_"))
    }
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
