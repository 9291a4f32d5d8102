"""The interview of a station of either version: what it can do, and what we set up."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from drivers.ocpp.rpc import ConnectionLostError
from drivers.ocpp.station import StationRecord
from gateway.domain.errors import StationUnreachableError

RETRY_AFTER_S: Final = 60.0

_log = logging.getLogger(__name__)


class Questions(Protocol):
    """What a version asks. Each may raise `StationUnreachableError` when no answer comes."""

    async def ask_who_it_is(self) -> None:
        """Ask a station that came back without a boot to say who and how it is.

        One we know is not asked to boot: that would put all that was proven of it in doubt, and it
        has not rebooted, or it would have said so. That it does not even answer is no reason to ask
        nothing else.
        """

    async def learn(self) -> None:
        """Read the station's capabilities, publish them, set up its meter values."""

    async def clear_foreign(self, number: int) -> None:
        """Clear what others left that would overrule a connector's fallback."""

    async def look_around(self) -> None:
        """See to whatever else is open; called last, and often."""


async def write_first_taken(
    values: Iterable[str], write: Callable[[str], Awaitable[str]], counters: Counter[str]
) -> str | None:
    """Write values until the station takes one; return it, None if none is in force for now."""
    for value in values:
        status = await write(value)
        if status != "Rejected":
            return value if status == "Accepted" else None
    counters["configuration-refused"] += 1
    return None


class Interview:
    """Learns a station at its first connection and after every boot."""

    __slots__ = ("_questions", "_station", "is_greeted")

    def __init__(self, station: StationRecord, questions: Questions) -> None:
        """Ask nothing before `run`."""
        self._station = station
        self._questions = questions
        self.is_greeted = False  # On this connection.

    async def run(self) -> None:
        """Do as `Conversation.interview`."""
        if not self.is_greeted:
            await self._greet()
            self.is_greeted = True
        while True:
            try:
                async with self._station.context.interview_slots:
                    await self._do_due_work()
            except ConnectionLostError:
                raise
            except StationUnreachableError as error:
                _log.info("asked again in a while: %s", error)
            else:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_AFTER_S):
                    await self._station.booted.wait_given()

    async def _greet(self) -> None:
        """Wait a little for a boot; a station that only reconnected is asked who and how it is.

        It may not know how to say (then we know it from before, or never), or not even answer.
        """
        try:
            async with asyncio.timeout(self._station.context.boot_patience_s):
                await self._station.booted.wait_given()
        except TimeoutError:
            self._station.counters["boot-asked-for"] += 1
            await self._questions.ask_who_it_is()

    async def _do_due_work(self) -> None:
        if not self._station.is_learnt:
            self._station.booted.take_back()
            self._station.is_learnt = True  # A boot meanwhile makes it untrue again.
            try:
                await self._questions.learn()
            except BaseException:  # The connection's end cancels us where we wait.
                self._station.is_learnt = False
                raise
        for number, connector in tuple(self._station.connectors.items()):
            if connector.fallback_ma is not None and not connector.is_alone:
                await self._questions.clear_foreign(number)
                connector.is_alone = True
        await self._questions.look_around()
