"""Tells the service manager that control lives: by completed cycles, and by nothing else."""

import asyncio
from typing import Protocol

from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle

GOOD_AFTER_CYCLES = 10
"""So many cycles, in which stations could connect, show that a configuration runs."""


class ServiceManager(Protocol):
    """Who started the daemon and watches it; it may be nobody. Nothing here waits or raises."""

    def ready(self, status: str) -> bool:
        """Say that the start is over; return whether that was heard, or nobody listens."""

    def alive(self) -> None:
        """Feed the watchdog, where there is one."""

    def tell(self, status: str) -> None:
        """Say in one line how things are."""


class Heartbeat:
    """Follows the control loop; when that stops the watchdog starves, whatever else still runs."""

    def __init__(self, manager: ServiceManager, alarms: Alarms) -> None:
        """Begin before the first cycle."""
        self._manager = manager
        self._alarms = alarms
        self._cycle_count = 0
        self.is_listening = False
        """Whether stations can connect."""
        self._is_start_over = False
        self._is_ready = False
        self._told = ""
        self._good = asyncio.Event()

    def note_listening(self) -> None:
        """Note that stations can connect: with the next cycle the start is over."""
        self.is_listening = self._is_start_over = True

    def note_deaf(self) -> None:
        """Note that stations cannot connect for now: the start is over all the same.

        Otherwise the service manager would end it in time, and with it all that does run.
        """
        self._is_start_over = True

    def beat(self, cycle: Cycle) -> None:
        """Note that a cycle was completed."""
        self._cycle_count += self.is_listening
        if self._cycle_count == GOOD_AFTER_CYCLES:
            self._good.set()
        self._manager.alive()
        if not self._is_start_over:
            return
        status = self._status_of(cycle)
        if not self._is_ready:
            # Said again until it is heard: without it the start would time out.
            self._is_ready = self._manager.ready(status)
        elif status != self._told:
            self._manager.tell(status)
        self._told = status

    async def wait_good(self) -> None:
        """Wait until control has run long enough to call its configuration good."""
        await self._good.wait()

    def _status_of(self, cycle: Cycle) -> str:
        stations = cycle.state.stations.values()
        connected = sum(station.is_connected for station in stations)
        status = f"{connected} of {len(stations)} stations connected"
        if alarms := self._alarms.sounding():
            status += f"; ALARM {', '.join(alarm.name for alarm in alarms)}"
        return status
