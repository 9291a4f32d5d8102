"""What reaches the gateway from the plant in memory, besides the domain's own station events."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.events import MeterRead, StationEvent, StopInputChanged
from gateway.domain.ids import MeterId


class Outcome(StrEnum):
    """How a call to a station ended; the names in brackets are what a `StationDriver` does.

    Every call gets exactly one of them.
    """

    ACCEPTED = "accepted"  # (returns)
    REJECTED = "rejected"  # (LimitRejectedError) What was in force before still is.
    UNANSWERED = "unanswered"  # (StationUnreachableError) It may have been applied, or may yet be.
    SUPERSEDED = "superseded"  # Never sent: a newer limit for the same connector took its place.


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The end of the call that `send_limit`, `set_fallback` or `request_reading` gave a number."""

    at_s: float
    call_number: int
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSilent:
    """A poll of a meter ended without an answer (`MeterFaultError` of a `MeterDriver`)."""

    at_s: float
    meter: MeterId
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKilled:
    """The gateway's process is gone; nothing reaches it, and nothing may be asked, until it starts.

    Whatever it had not made durable is lost; calls under way never get an answer.
    """

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStarted:
    """A new process of the gateway is up; meters answer it, stations dial in again one by one."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClockJumped:
    """The gateway's wall clock was set by `by_s` seconds; its monotonic clock ran on."""

    at_s: float
    by_s: float


Observation = (
    MeterRead
    | MeterSilent
    | StationEvent
    | StopInputChanged
    | Answered
    | GatewayKilled
    | GatewayStarted
    | WallClockJumped
)
"""One thing that reached the gateway; `at_s` of each is the second it arrived."""
