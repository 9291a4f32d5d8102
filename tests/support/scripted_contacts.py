"""A contact and an output that answer as a test scripts them, in virtual time."""

from collections.abc import Callable

from gateway.domain.errors import ContactFaultError, OutputFaultError
from tests.support.virtual_time import VirtualClock


class ScriptedContact:
    """A contact of which `says` knows, each second from the first, whether it is closed; None is no answer."""

    def __init__(self, says: Callable[[float], bool | None], *, takes_s: float = 0.02) -> None:
        self._says, self._takes_s = says, takes_s
        self._clock = VirtualClock()
        self.asked_s: list[float] = []

    async def is_closed(self) -> bool:
        now_s = self._clock.monotonic_s()
        self.asked_s.append(now_s)
        said = self._says(now_s - self.asked_s[0])
        await self._clock.sleep_s(self._takes_s)
        if said is None:
            raise ContactFaultError("stop input", f"mute {len(self.asked_s)} times")
        return said


class ScriptedOutput:
    """An output that answers while `answers` says so, second by second; `writes` what it was told."""

    def __init__(
        self, *, is_closed: bool, answers: Callable[[float], bool] = lambda _: True
    ) -> None:
        self.closed, self._answers = is_closed, answers
        self._clock = VirtualClock()
        self.writes: list[tuple[float, bool]] = []

    async def _wait_answer(self) -> None:
        await self._clock.sleep_s(0.01)
        if not self._answers(self._clock.monotonic_s()):
            raise OutputFaultError("output", f"mute at {self._clock.monotonic_s()}")

    async def is_closed(self) -> bool:
        await self._wait_answer()
        return self.closed

    async def switch(self, *, is_closed: bool) -> None:
        self.writes.append((round(self._clock.monotonic_s(), 1), is_closed))
        await self._wait_answer()
        self.closed = is_closed
