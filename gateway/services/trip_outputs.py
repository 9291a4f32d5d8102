"""Opens the trip output of a circuit that nothing else takes below its rating, until released."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.control.stop_latch import ReleaseRefusedError
from gateway.control.trip_latch import TripLatch, TripState
from gateway.domain.errors import OutputFaultError
from gateway.domain.events import CircuitTripped
from gateway.domain.ids import CircuitId
from gateway.domain.memory import Act, TripMemory
from gateway.ports import Clock, Ledger, OutputDriver, Post
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle

_log = logging.getLogger(__name__)

RETRY_S: Final = 0.5
"""How soon an output that is not as it must be is tried again."""

LOOK_S: Final = 5.0
"""How often one that is as it must be is looked at."""

TOLD: Final = {
    TripState.OPENING: "circuit {0} is over its rating and its trip output has not opened yet{1}:"
    " switch it off by hand",
    TripState.OPEN: "the trip output of circuit {0} has opened, for it was over its rating and"
    " nothing was left to cut: find out what drew there, then `headroom release {0}`",
    TripState.POWERLESS: "the trip output of circuit {0} is open, and the circuit is over its rating"
    " all the same: switch it off by hand, and have its breaker looked at",
    TripState.CLOSING: "the trip output of circuit {0} is released and has not closed yet{1}",
    TripState.FOUND_OPEN: "the trip output of circuit {0} is open, and Headroom knows of no trip: if"
    " all is well, `headroom release {0}` closes it",
    TripState.SILENT: "the trip output of circuit {0} does not answer{1}: it may not open when it"
    " must",
}
"""What a person is told; {0} is the circuit, {1} what went wrong on the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedOutput:
    """An output as fitted; `trips_when_closed` says which way it is wired."""

    driver: OutputDriver
    trips_when_closed: bool


@dataclass(slots=True)
class _Watched:
    """An output and what is known of it."""

    fitted: FittedOutput
    latch: TripLatch
    has_news: asyncio.Event = field(default_factory=asyncio.Event)
    fault: str = ""
    told: tuple[TripState | None, bool] = (None, False)


class TripOutputs:
    """The trip outputs of a site, each kept as it must be whatever becomes of the others.

    `tripped` are the circuits that were tripped before a restart and are not released. An output
    that nobody here has opened is never closed by itself: it is an alarm.
    """

    def __init__(
        self,
        fitted: Mapping[CircuitId, FittedOutput],
        *,
        tripped: Collection[CircuitId],
        clock: Clock,
        alarms: Alarms,
        ledger: Ledger | None,
        post: Post,
    ) -> None:
        now_s = clock.monotonic_s()
        self._post = post
        self._wanted: frozenset[CircuitId] = frozenset()
        self._clock = clock
        self._alarms = alarms
        self._ledger = ledger
        self._outputs = {
            circuit: _Watched(
                output, TripLatch.after_restart(is_tripped=circuit in tripped, now_s=now_s)
            )
            for circuit, output in fitted.items()
        }

    async def run(self) -> None:
        """Keep every output as it must be, for ever; end by cancelling, which moves none."""
        async with asyncio.TaskGroup() as tasks:
            for circuit, watched in self._outputs.items():
                tasks.create_task(self._keep(circuit, watched), name=f"trip output of {circuit}")
            await asyncio.Event().wait()

    def follow(self, cycle: Cycle) -> None:
        """Open what a decision says must open; never waits."""
        wanted = frozenset(cycle.decision.trips)
        for circuit in sorted(wanted - self._wanted):
            self._post(CircuitTripped(at_s=self._clock.monotonic_s(), circuit=circuit))
        self._wanted = wanted
        for circuit, watched in self._outputs.items():
            was_tripped = watched.latch.is_tripped
            watched.latch = watched.latch.judged(is_over=circuit in wanted)
            if watched.latch.is_tripped and not was_tripped:
                _log.critical("circuit %s: nothing is left to cut, its trip output opens", circuit)
                self._remember(circuit, Act(kind="trip", subject=circuit), is_tripped=True)
                watched.fault = ""
                watched.has_news.set()
            self._tell(circuit, watched)

    def is_held_open(self, circuit: CircuitId) -> bool:
        """Return whether a circuit has an output that is open, or tripped, until it is released."""
        watched = self._outputs.get(circuit)
        return watched is not None and (watched.latch.is_tripped or watched.latch.is_open is True)

    def release(self, circuit: CircuitId, by: str) -> None:
        """Have the output of a circuit closed after a trip; `by` is who says that all is well.

        Where it does not close within a few seconds, the release is void.

        Raises:
            ReleaseRefusedError: it must not be closed, or there is nothing to close.
        """
        watched = self._outputs.get(circuit)
        if watched is None:
            fitted = ", ".join(self._outputs) or "no circuit"
            raise ReleaseRefusedError(f"{circuit!r} has no trip output; {fitted} has")
        try:
            watched.latch = watched.latch.released(self._clock.monotonic_s())
        except ReleaseRefusedError as error:
            raise ReleaseRefusedError(f"circuit {circuit}: {error}") from error
        _log.warning("the trip output of circuit %s is released by %s", circuit, by)
        # After a crash from here on it is found as it then is, open or closed.
        act = Act(kind="trip-release", subject=circuit, by=by)
        self._remember(circuit, act, is_tripped=False)
        watched.has_news.set()
        self._tell(circuit, watched)

    def _remember(self, circuit: CircuitId, act: Act, *, is_tripped: bool) -> None:
        if self._ledger is not None:
            self._ledger.keep_durably(TripMemory(circuit=circuit, is_tripped=is_tripped), act)

    async def _keep(self, circuit: CircuitId, watched: _Watched) -> None:
        while True:
            watched.has_news.clear()
            await self._look(watched)
            self._tell(circuit, watched)
            is_settled = watched.latch.is_as_wanted(self._clock.monotonic_s())
            try:
                async with asyncio.timeout(LOOK_S if is_settled else RETRY_S):
                    await watched.has_news.wait()
            except TimeoutError:
                pass

    async def _look(self, watched: _Watched) -> None:
        """Set the output if it is not as it must be, and read it in any case."""
        fitted, now_s = watched.fitted, self._clock.monotonic_s()
        wants_open = watched.latch.wants_open(now_s)
        is_order = not watched.latch.is_as_wanted(now_s)
        try:
            if is_order:
                await fitted.driver.switch(is_closed=wants_open is fitted.trips_when_closed)
                is_open = wants_open is True
            else:
                is_open = await fitted.driver.is_closed() is fitted.trips_when_closed
        except OutputFaultError as fault:
            watched.fault = fault.detail
            if is_order:
                watched.latch = watched.latch.unconfirmed()
            return
        watched.fault = ""
        watched.latch = watched.latch.heard(is_open=is_open, now_s=self._clock.monotonic_s())

    def _tell(self, circuit: CircuitId, watched: _Watched) -> None:
        state = watched.latch.state(self._clock.monotonic_s())
        if state is TripState.OPENING and not watched.fault:
            return  # It is about to be told to: that it must open is an alarm of its own.
        if watched.told == (state, bool(watched.fault)):
            return
        watched.told = (state, bool(watched.fault))
        why = f" ({watched.fault})" if watched.fault else ""
        text = None if state is None else TOLD[state].format(circuit, why)
        self._alarms.show(f"trip output of {circuit}", text)
