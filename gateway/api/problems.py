"""Refusals as problem documents (RFC 9457): what is wrong, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from pydantic import BaseModel
from starlette.responses import Response

from gateway.planning.answers import (
    HoldExpiredError,
    KeyReusedError,
    NoLongerFitsError,
    NotAllowedError,
    NotDurableError,
    PromisedAlreadyError,
    RefusedError,
    TimeUnknownError,
    TooManyError,
    TooManyEventsError,
    UnknownEventError,
    UnknownOfferError,
    UnknownReservationError,
    UnknownSessionError,
    WrongStateError,
)
from gateway.planning.asking import AskError, AskFault

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:headroom:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of problem: its name, its status, and what it is called for people."""

    name: str
    status: int
    title: str


_KINDS = (
    Kind(name="malformed-json", status=400, title="The body is not JSON"),
    Kind(name="unauthorized", status=401, title="Who asks is not known"),
    Kind(name="not-allowed", status=403, title="The token does not allow it"),
    Kind(name="not-found", status=404, title="There is nothing here"),
    Kind(name="unknown-offer", status=404, title="No such offer"),
    Kind(name="unknown-reservation", status=404, title="No such reservation"),
    Kind(name="unknown-event", status=404, title="No such event"),
    Kind(name="unknown-session", status=404, title="No such session"),
    Kind(name="method-not-allowed", status=405, title="That cannot be done here"),
    Kind(name="no-longer-fits", status=409, title="It does not fit any more"),
    Kind(name="already-promised", status=409, title="The vehicle is promised something then"),
    Kind(name="wrong-state", status=409, title="The reservation is not in a state for it"),
    Kind(name="hold-expired", status=410, title="The hold has expired"),
    Kind(name="body-too-large", status=413, title="The body is too large"),
    Kind(name="not-json", status=415, title="The body must be JSON"),
    Kind(name="key-reused", status=422, title="The idempotency key was used before"),
    Kind(name="invalid-body", status=422, title="The body does not say what it must"),
    Kind(name="invalid-query", status=400, title="The query cannot be understood"),
    Kind(name="invalid-header", status=400, title="A header cannot be understood"),
    *(
        Kind(name=str(fault), status=422, title=title)
        for fault, title in {
            AskFault.DEPARTURE_BEFORE_ARRIVAL: "The departure is before the arrival",
            AskFault.PARTS_OUT_OF_ORDER: "The parts do not follow one another",
            AskFault.NOTHING_WANTED: "Nothing is asked for",
            AskFault.WINDOW_IN_THE_PAST: "The window is in the past",
            AskFault.WINDOW_TOO_FAR: "The window is beyond the plan",
            AskFault.UNKNOWN_CONNECTOR: "No such connector",
            AskFault.UNKNOWN_CIRCUIT: "No such circuit",
            AskFault.POWER_TOO_LOW: "The power is too low to flow",
            AskFault.NOT_POSSIBLE_THERE: "That connector cannot do it",
        }.items()
    ),
    Kind(name="too-many-requests", status=429, title="Too many requests"),
    Kind(name="too-many-events", status=429, title="Too many events to come"),
    Kind(name="too-many-reservations", status=429, title="Too many open reservations"),
    Kind(name="unexpected", status=500, title="Something went wrong that should not"),
    Kind(name="too-many-connections", status=503, title="Too many are connected"),
    Kind(name="too-many-followers", status=503, title="Too many follow already"),
    Kind(name="not-durable", status=503, title="Nothing can be promised now"),
    Kind(name="time-not-known", status=503, title="Nothing is promised by a time that is a guess"),
    Kind(name="not-ready", status=503, title="The daemon has only just started"),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
_KIND_OF: Mapping[type[RefusedError], str] = {
    HoldExpiredError: "hold-expired",
    KeyReusedError: "key-reused",
    NotAllowedError: "not-allowed",
    NotDurableError: "not-durable",
    PromisedAlreadyError: "already-promised",
    TimeUnknownError: "time-not-known",
    TooManyEventsError: "too-many-events",
    TooManyError: "too-many-reservations",
    UnknownOfferError: "unknown-offer",
    UnknownReservationError: "unknown-reservation",
    UnknownEventError: "unknown-event",
    UnknownSessionError: "unknown-session",
    WrongStateError: "wrong-state",
    NoLongerFitsError: "no-longer-fits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """A field of a body that is wrong: where it is (a JSON pointer), and what is wrong."""

    pointer: str
    detail: str


class ProblemError(Exception):
    """A request that is answered with a problem document."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: tuple[FieldFault, ...] = (),
        quote: BaseModel | None = None,
    ) -> None:
        """`detail` says what to do; `quote` is a fresh one, where that helps."""
        super().__init__(detail)
        self.kind = KINDS[kind]
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors
        self.quote = quote


def problem_of(error: AskError | RefusedError) -> ProblemError:
    """Return how a refusal of the book is answered."""
    if isinstance(error, AskError):
        return ProblemError(str(error.fault), str(error))
    headers = None
    if isinstance(error, TimeUnknownError):
        headers = {"Retry-After": str(ceil(error.retry_after_s))}
    return ProblemError(_KIND_OF[type(error)], str(error), headers=headers)


class Field(BaseModel):
    """A field of the body that is wrong."""

    pointer: str
    detail: str


class ProblemBody(BaseModel):
    """A problem document (RFC 9457). `detail` says what is wrong and what to do."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Field] | None = None
    quote: dict[str, object] | None = None
    """A fresh quote, where what was held no longer fits."""


def problem_body(problem: ProblemError) -> ProblemBody:
    """Return the document of a problem."""
    quote = problem.quote
    return ProblemBody(
        type=f"{TYPE_PREFIX}{problem.kind.name}",
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        errors=[Field(pointer=e.pointer, detail=e.detail) for e in problem.errors] or None,
        quote=None if quote is None else quote.model_dump(mode="json"),
    )


def problem_response(problem: ProblemError) -> Response:
    """Return the answer a problem makes."""
    return Response(
        problem_body(problem).model_dump_json(exclude_none=True),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def unexpected() -> ProblemError:
    """Return what is said of a mistake of our own; the log says which it was."""
    message = "the daemon's log says what: ask again, and tell whoever runs it if it stays so"
    return ProblemError("unexpected", message)


def crowded_response() -> Response:
    """Return the answer to one connection too many, which is closed with it."""
    detail = "the API serves as many connections as it can: use fewer at once, and try again"
    headers = {"Connection": "close", "Retry-After": "5"}
    return problem_response(ProblemError("too-many-connections", detail, headers=headers))
