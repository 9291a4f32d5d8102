"""The queue of calls to one station: bounded, by priority, the newest of a kind only."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from drivers.ocpp.adapter import Priority
from drivers.ocpp.rpc import CallErrorReply, CallResult, Malformed

MAX_WAITING_CALLS: Final = 32


class Ending(Enum):
    """How a call ended without an answer."""

    SUPERSEDED = auto()
    CROWDED_OUT = auto()
    EXPIRED = auto()
    CONNECTION_LOST = auto()


Outcome = CallResult | CallErrorReply | Malformed | Ending


@dataclass(slots=True, eq=False, kw_only=True)
class OutgoingCall:
    """A call on its way. Its future gets an `Outcome`, never an exception: nobody may listen."""

    id: str
    action: str
    frame: bytes
    priority: Priority
    sequence: int
    latest_s: float
    """When it has to be on its way, by the loop's clock: after that it is not sent."""
    outcome: asyncio.Future[Outcome]
    key: str | None = None
    timer: asyncio.TimerHandle | None = field(default=None)
    is_sent: bool = False

    def end(self, outcome: Outcome) -> None:
        """Give the outcome to whoever waits; the first one stands."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class CallQueue:
    """The calls that wait for one station. At most `MAX_WAITING_CALLS`, so a list is enough."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: list[OutgoingCall] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, call: OutgoingCall) -> None:
        """Queue a call.

        It ends the one that waits under the same key as superseded and inherits its priority
        if that was the higher. If the queue is full, the least urgent call (the newest of
        those, perhaps this one) ends as crowded out.
        """
        if call.key is not None:
            for other in self._waiting:
                if other.key == call.key:
                    self._waiting.remove(other)
                    call.priority = min(call.priority, other.priority)
                    other.end(Ending.SUPERSEDED)
                    break
        self._waiting.append(call)
        if len(self._waiting) > MAX_WAITING_CALLS:
            last = max(self._waiting, key=_turn)
            self._waiting.remove(last)
            last.end(Ending.CROWDED_OUT)

    def take(self) -> OutgoingCall | None:
        """Return the call whose turn it is, None if none waits."""
        if not self._waiting:
            return None
        first = min(self._waiting, key=_turn)
        self._waiting.remove(first)
        return first

    def withdraw(self, call: OutgoingCall) -> bool:
        """Return whether the call still waited; it does no more."""
        if call not in self._waiting:
            return False
        self._waiting.remove(call)
        return True

    def end_all(self, ending: Ending) -> None:
        """End every call that waits."""
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.end(ending)


def _turn(call: OutgoingCall) -> tuple[int, int]:
    return call.priority, call.sequence
