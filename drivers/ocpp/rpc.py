"""OCPP-J frames: what a station sent, what it is told, and how a call can fail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import orjson

from gateway.domain.charging import OcppVersion
from gateway.domain.errors import NeverAskedError, StationError, StationUnreachableError
from gateway.domain.ids import StationId

CALL: Final = 2
CALL_RESULT: Final = 3
CALL_ERROR: Final = 4

MAX_ID_LENGTH: Final = 36  # OCPP 2.0.1 part 4 table 4; 1.6-J errata sheet v4.0 §3.
UNREADABLE_ID: Final = "-1"  # OCPP 2.0.1 part 4 §4.2.3.

_NEST = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw])
_ID_OF_BROKEN_CALL = re.compile(rb'\s*\[\s*2\s*,\s*"([^"\\\x00-\x1f]{1,36})"\s*,')


class CallRefusedError(StationError):
    """The station answered a call with a CALLERROR."""

    def __init__(self, station: StationId, code: str, description: str) -> None:
        """Keep the code apart: it says whether to ask again."""
        super().__init__(station, f"{code} {description}".strip())
        self.code = code


class CallUnansweredError(StationUnreachableError):
    """A call went out and no answer that can be read came in time: its outcome is unknown."""


class ConnectionLostError(CallUnansweredError):
    """The connection ended, or there is none: what was in flight may or may not have arrived."""


class CallNotSentError(NeverAskedError):
    """A call never reached the wire: it waited too long, or too many others waited."""


class SupersededError(CallNotSentError):
    """A newer call about the same thing took this one's place before it was sent."""


class RefusedError(Exception):
    """A CALL of a station that gets a CALLERROR; `code` is in the words of its OCPP version."""

    def __init__(self, code: str, description: str) -> None:
        """Say which error, and what is wrong in a sentence for the station's log."""
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one OCPP version spells its errors, and whether it answers what it cannot read.

    1.6-J table 7 spells `FormationViolation` and `OccurenceConstraintViolation`, and knows no
    error for a frame whose id cannot be read; 2.0.1 part 4 §4.2.3 and table 8 do.
    """

    version: OcppVersion
    formation: str
    occurrence: str
    framing: str
    unknown_type: str | None
    unreadable_id: str | None


DIALECTS: Final[Mapping[OcppVersion, Dialect]] = {
    OcppVersion.V16: Dialect(
        version=OcppVersion.V16,
        formation="FormationViolation",
        occurrence="OccurenceConstraintViolation",
        framing="FormationViolation",
        unknown_type=None,
        unreadable_id=None,
    ),
    OcppVersion.V201: Dialect(
        version=OcppVersion.V201,
        formation="FormatViolation",
        occurrence="OccurrenceConstraintViolation",
        framing="RpcFrameworkError",
        unknown_type="MessageTypeNotSupported",
        unreadable_id=UNREADABLE_ID,
    ),
}


class Call(NamedTuple):
    """A request of the station; `payload` is undecoded JSON, or decoded where it had to be."""

    id: str
    action: str
    payload: object


class CallResult(NamedTuple):
    """The answer to a call of ours."""

    id: str
    payload: Mapping[str, object]


class CallErrorReply(NamedTuple):
    """The refusal of a call of ours."""

    id: str
    code: str
    description: str


class Malformed(NamedTuple):
    """A frame that is none of the others: why, what to answer, and the call it may have ended."""

    reason: str
    answer: bytes | None = None
    reply_to: str | None = None


Frame = Call | CallResult | CallErrorReply | Malformed


def decode(raw: bytes, dialect: Dialect) -> Frame:
    """Return what a frame says. Never raises, whatever `raw` is."""
    try:
        kind, call_id, action, payload = _NEST.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(raw, dialect)
    if kind != CALL or not 0 < len(call_id) <= MAX_ID_LENGTH:
        return _decode_slowly(raw, dialect)
    return Call(call_id, action, payload)


def _decode_slowly(raw: bytes, dialect: Dialect) -> Frame:
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        found = _ID_OF_BROKEN_CALL.match(raw)
        call_id = found[1].decode("utf-8", "replace") if found else None
        return _malformed(f"not JSON: {error.msg}", call_id, dialect)
    if not isinstance(frame, list) or not frame:
        return _malformed("not a JSON array", None, dialect)
    kind, call_id = frame[0], frame[1] if len(frame) > 1 else None
    if isinstance(kind, bool) or not isinstance(kind, int):
        return _malformed("the message type is not an integer", call_id, dialect)
    match kind:
        case 2:
            return _read_call(frame, call_id, dialect)
        case 3:
            return _read_result(frame, call_id)
        case 4:
            return _read_error(frame, call_id)
        case _:
            return _malformed(
                f"unknown message type {kind:.6g}", call_id, dialect, code=dialect.unknown_type
            )


def _read_call(frame: list[object], call_id: object, dialect: Dialect) -> Call | Malformed:
    if not isinstance(call_id, str) or not 0 < len(call_id) <= MAX_ID_LENGTH:
        return _malformed("the message id is not a string of 1 to 36 characters", call_id, dialect)
    if len(frame) != 4:
        return _malformed(f"a CALL has 4 elements, this has {len(frame)}", call_id, dialect)
    action, payload = frame[2], frame[3]
    if not isinstance(action, str):
        return _malformed("the action is not a string", call_id, dialect)
    return Call(call_id, action, {} if payload is None else payload)


def _read_result(frame: list[object], call_id: object) -> CallResult | Malformed:
    if not isinstance(call_id, str):
        return Malformed("a CALLRESULT without an id")
    if len(frame) != 3 or not isinstance(frame[2], dict):
        return Malformed("a CALLRESULT without a payload", reply_to=call_id)
    return CallResult(call_id, frame[2])


def _read_error(frame: list[object], call_id: object) -> CallErrorReply | Malformed:
    if not isinstance(call_id, str):
        return Malformed("a CALLERROR without an id")
    # A description or details left out, or of the wrong type, change nothing of the refusal.
    code = frame[2] if len(frame) > 2 and isinstance(frame[2], str) else "GenericError"
    description = frame[3] if len(frame) > 3 and isinstance(frame[3], str) else ""
    return CallErrorReply(call_id, plain_text(code, limit=50), plain_text(description))


def _malformed(
    reason: str, call_id: object, dialect: Dialect, *, code: str | None = ""
) -> Malformed:
    if code == "":
        code = dialect.framing
    if isinstance(call_id, str) and 0 < len(call_id) <= MAX_ID_LENGTH:
        answer_to: str | None = call_id
    else:
        answer_to = dialect.unreadable_id
    if code is None or answer_to is None:
        return Malformed(reason)
    return Malformed(reason, answer=encode_error(answer_to, code, reason))


def plain_text(text: str, *, limit: int = 255) -> str:
    """Return what a station wrote, fit to be logged or shown: one line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def encode_call(call_id: str, action: str, payload: Mapping[str, object]) -> bytes:
    """Return the CALL frame."""
    return orjson.dumps([CALL, call_id, action, payload])


def encode_result(call_id: str, payload: Mapping[str, object] | bytes) -> bytes:
    """Return the CALLRESULT frame; bytes are a payload already encoded."""
    if isinstance(payload, bytes):
        return b"[3," + orjson.dumps(call_id) + b"," + payload + b"]"
    return orjson.dumps([CALL_RESULT, call_id, payload])


def encode_error(call_id: str, code: str, description: str) -> bytes:
    """Return the CALLERROR frame; the description is cut to the 255 characters allowed."""
    return orjson.dumps([CALL_ERROR, call_id, code, description[:255], {}])
