"""What the daemon and its planner process say to each other, and in what frames."""

from struct import Struct

import msgspec

from gateway.planning.problem import Plan, Problem
from gateway.planning.rearranging import Rearranged, Rearranging

LENGTH = Struct("!I")
"""What goes before every message: how many bytes it has."""


class ToPlan(msgspec.Struct, frozen=True, kw_only=True, tag="plan"):
    """A problem to be planned, and how long the solver may take over it; the answer is a `Plan`."""

    problem: Problem
    time_limit_s: float


class ToRearrange(msgspec.Struct, frozen=True, kw_only=True, tag="rearrange"):
    """What promises are to make room for; the answer is a `Rearranged`, or None if they cannot."""

    question: Rearranging


Question = ToPlan | ToRearrange
Answer = Plan | Rearranged | None

_encoder = msgspec.msgpack.Encoder()
_question: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_plan = msgspec.msgpack.Decoder(Plan)
_rearranged: msgspec.msgpack.Decoder[Rearranged | None] = msgspec.msgpack.Decoder(Rearranged | None)


def framed(message: Question | Answer) -> bytes:
    """Return a message as it goes over a pipe."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def question_in(body: bytes) -> Question:
    """Return the question of a frame.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _question.decode(body)


def plan_in(body: bytes) -> Plan:
    """Return the plan of a frame.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _plan.decode(body)


def rearranged_in(body: bytes) -> Rearranged | None:
    """Return what was found to move, None if that cannot be.

    Raises:
        msgspec.MsgspecError: it is neither.
    """
    return _rearranged.decode(body)
