"""What a simulated station is part of: wires, a line to speak on, and eyes that watch it."""

from typing import Protocol

from drivers.sim.evse import Evse
from gateway.domain.events import StationEvent
from gateway.domain.ids import StationId


class Surroundings(Protocol):
    """What a station is part of: wires to draw from, a line to speak on, and eyes that watch."""

    def shift(self, evse: Evse, delta_a: float, at_s: float) -> None:
        """Take note that the draw of `evse` changed by `delta_a` on each phase it uses."""

    def utter(self, station: StationId, event: StationEvent) -> None:
        """Carry what the station says; `at_s` of the event is when it says it."""

    def watch_limit(self, evse: Evse, before_a: float, at_s: float, *, was_sent: bool) -> None:
        """Take note of a new limit in force; `was_sent` when a message changed it, not time."""

    def watch_visit(self, evse: Evse, at_s: float, *, arrives: bool) -> None:
        """Take note that a vehicle has come, or is about to leave."""

    def may_link(self) -> bool:
        """Return whether there is a gateway to connect to."""
