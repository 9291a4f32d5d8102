"""Watches the stop input and tells control when everything must stand still, and when no longer."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gateway.control.stop_latch import StopLatch
from gateway.domain.errors import ContactFaultError
from gateway.domain.events import StopInputChanged
from gateway.domain.stops import StopCause
from gateway.ports import Clock, ContactDriver, Post
from gateway.services.alarms import Alarms

_log = logging.getLogger(__name__)

POLL_S: Final = 1.0
ALARM: Final = "stop input"
TOLD: Final = {
    StopCause.ACTIVE: "the stop input asks for a stop: every connector goes to 0 A",
    StopCause.UNRELEASED: (
        "the stop input has stopped everything and is back to normal or unheard since: if all is "
        "well, release it with `headroom release`"
    ),
    StopCause.SILENT: (
        "the stop input does not answer, and may be asking for a stop: every connector goes to "
        "0 A until it is heard again"
    ),
}
"""What a person is told, by what keeps everything at 0 A."""


class StopWatch:
    """The stop input of a site; without a `contact` there is none, or none any more.

    `stops_when_closed` says which way the contact is wired; `latch` what is known of it already;
    `told` what control believes when the watch begins.
    """

    def __init__(
        self,
        contact: ContactDriver | None,
        latch: StopLatch,
        *,
        stops_when_closed: bool,
        told: StopCause | None,
        clock: Clock,
        post: Post,
        alarms: Alarms,
    ) -> None:
        self._contact = contact
        self._latch = latch
        self._stops_when_closed = stops_when_closed
        self._told = told
        self._clock = clock
        self._post = post
        self._alarms = alarms
        self._sounded: StopCause | None = None
        self._fault = ""

    async def run(self) -> None:
        """Read the contact each second, for ever; end by cancelling."""
        async with asyncio.TaskGroup() as tasks:
            if self._contact is not None:
                tasks.create_task(self._read(self._contact), name="stop input: read")
            # On its own, so that silence is told in time however long a read hangs.
            tasks.create_task(self._every(POLL_S, self._tell), name="stop input: tell")

    def release(self, by: str) -> None:
        """Let the site go on after a stop; `by` is who says that all is well.

        Raises:
            ReleaseRefusedError: it must not, or there is no stop.
        """
        self._tell()
        self._latch = self._latch.released(self._clock.monotonic_s())
        _log.warning("the stop is released by %s", by)
        self._tell()

    async def _read(self, contact: ContactDriver) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            while (delay_s := due_s - self._clock.monotonic_s()) > 0:
                await self._clock.sleep_s(delay_s)
            begun_s = self._clock.monotonic_s()
            try:
                is_active = await contact.is_closed() is self._stops_when_closed
            except ContactFaultError as fault:
                self._fault = fault.detail
            else:
                now_s = self._clock.monotonic_s()
                self._latch = self._latch.heard(is_active=is_active, now_s=now_s)
                self._tell()
            due_s = max(begun_s + POLL_S, self._clock.monotonic_s())

    async def _every(self, period_s: float, do: Callable[[], None]) -> None:
        while True:
            do()
            await self._clock.sleep_s(period_s)

    def _tell(self) -> None:
        """Tell control and people, if what keeps everything at 0 A is another than before."""
        now_s = self._clock.monotonic_s()
        if self._contact is None:
            # Nothing is left that could ask for a stop, or be silent.
            self._latch = self._latch.heard(is_active=False, now_s=now_s)
        cause = self._latch.cause(now_s)
        if cause is not self._sounded:
            self._sounded = cause
            self._sound(cause)
        if cause is not self._told:
            self._told = cause
            self._post(StopInputChanged(at_s=now_s, is_stopped=cause is not None, cause=cause))

    def _sound(self, cause: StopCause | None) -> None:
        if cause is None:
            self._alarms.end(ALARM)
        else:
            why = f" ({self._fault})" if cause is StopCause.SILENT and self._fault else ""
            self._alarms.sound(ALARM, TOLD[cause] + why)
