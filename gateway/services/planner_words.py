"""What the daemon and its planner process say to each other, and in what frames."""

from dataclasses import dataclass
from struct import Struct

import msgspec

from gateway.planning.problem import Plan, Problem

LENGTH = Struct("!I")
"""What goes before every message: how many bytes it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A problem, and how long the solver may take over it."""

    problem: Problem
    time_limit_s: float


_encoder = msgspec.msgpack.Encoder()
_asked = msgspec.msgpack.Decoder(Asked)
_plan = msgspec.msgpack.Decoder(Plan)


def framed(message: Asked | Plan) -> bytes:
    """Return a message as it goes over a pipe."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def asked_of(body: bytes) -> Asked:
    """Return the question of a frame.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _asked.decode(body)


def plan_in(body: bytes) -> Plan:
    """Return the plan of a frame.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _plan.decode(body)
