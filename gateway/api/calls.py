"""Before a request reaches its answer: who asks, how often, and with which body."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection
from math import ceil
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from gateway.api.field_words import place_of, wrong_said
from gateway.api.models import Body
from gateway.api.problems import FieldFault, ProblemError
from gateway.api.quotas import Quotas, at_once_count
from gateway.domain.access import Access, Role
from gateway.planning.answers import UsedKey
from gateway.ports import Clock

MAX_BODY_BYTES = 65_536
BODY_WITHIN_S = 10.0
LONGEST_KEY = 128
LINK_WORD = "token"
"""What a link has in its query: the secret word."""

FindAccess = Callable[[str], Access | None]
"""Returns what a token allows, None if it is nobody's."""

B = TypeVar("B", bound=Body)


OCCUPANT_QUOTA_PER_MIN = 60
UNKNOWN = "send a token made with `headroom token` as Authorization: Bearer TOKEN"
OVER = (
    "this link opens nothing: it is for one vehicle's stay, whole as it was given, and ends with"
    " that; who runs the chargers has the link of the next"
)


def bearer_token(request: Request) -> str:
    """Return the token a request brings, empty if it brings none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def admitted(
    request: Request,
    role: Role,
    *,
    find_access: FindAccess,
    quotas: Quotas,
    clock: Clock,
    opens: Callable[[str], bool] | None = None,
) -> Access:
    """Return who asks, if they may ask that now; the body is not touched.

    `opens` says of a word whether it is the link of the session that is asked about; it may be
    in the address as `LINK_WORD`, too, for people follow links. Who sends a token and a link may do
    what the stronger of the two lets them.

    Raises:
        ProblemError: they are not known, may not, or have asked too often.
    """
    said = bearer_token(request)
    access = find_access(said)
    is_occupant = False
    if opens is not None and (access is None or not access.role.includes(role)):
        words = (said, request.query_params.get(LINK_WORD, ""))
        is_occupant = any(opens(word) for word in words if word)
        if is_occupant:
            session_id = request.path_params["session_id"]
            access = Access(
                name=f"session {session_id}",
                role=Role.VIEWER,
                quota_per_min_count=OCCUPANT_QUOTA_PER_MIN,
            )
    if access is None:
        followed = opens is not None and LINK_WORD in request.query_params
        message = OVER if followed else UNKNOWN
        headers = {"WWW-Authenticate": 'Bearer realm="headroom"'}
        raise ProblemError("unauthorized", message, headers=headers)
    quota = access.quota_per_min_count
    wait_s = quotas.wait_s(access.name, quota_per_min=quota, now_s=clock.monotonic_s())
    if wait_s > 0:
        seconds, whose = ceil(wait_s), "link" if is_occupant else "token"
        raise ProblemError(
            "too-many-requests",
            f"with this {whose} one may ask {quota} times a minute, {at_once_count(quota)} of them"
            f" at once: ask again in {seconds} s",
            headers={"Retry-After": str(seconds)},
        )
    if not is_occupant and not access.role.includes(role):
        message = f"this needs the role {role}, and the token has {access.role}: use another token"
        raise ProblemError("not-allowed", message)
    return access


async def read_body(request: Request) -> bytes:
    """Return the body, if it is not too large and comes in time.

    Raises:
        ProblemError: it does not.
    """
    declared = request.headers.get("content-length", "0")
    too_large = ProblemError(
        "body-too-large",
        f"a body may have {MAX_BODY_BYTES} bytes: say less",
        headers={"Connection": "close"},
    )
    if not declared.isdecimal() or int(declared) > MAX_BODY_BYTES:
        raise too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.stream():
                length += len(part)
                if length > MAX_BODY_BYTES:
                    raise too_large
                parts.append(part)
    except TimeoutError as error:
        message = f"the body did not come within {BODY_WITHIN_S:.0f} s: send it at once"
        raise ProblemError("invalid-body", message, headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise ProblemError("invalid-body", "the body was cut short: send it again") from error
    return b"".join(parts)


def understood(body: bytes, model: type[B], *, content_type: str) -> B:
    """Return a body in our words.

    Raises:
        ProblemError: it is no JSON, or says what it must not.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", "application/json"):
        raise ProblemError("not-json", "send it as Content-Type: application/json")
    try:
        read = model.model_validate_json(body, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if found[0]["type"] == "json_invalid":
            message = f"send a JSON object: {found[0]['msg']}"
            raise ProblemError("malformed-json", message) from error
        faults = tuple(_fault(each, model) for each in found)
        told = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:3])
        told += f"; and {len(faults) - 3} more in errors" if faults[3:] else ""
        message = f"put right what is named, and send it again: {told}"
        raise ProblemError("invalid-body", message, errors=faults) from error
    json.loads(body, object_pairs_hook=_said_once)
    return read


def _said_once(pairs: list[tuple[str, object]]) -> None:
    """Return if no name comes twice in an object: the last would count, and the first be lost.

    Raises:
        ProblemError: one does.
    """
    names = [name for name, _ in pairs]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise ProblemError("invalid-body", f"{name[:40]} is said twice: say it once")


def said_flags(
    request: Request, names: Collection[str], *, words: Collection[str] = ()
) -> dict[str, bool]:
    """Return what the query says of these names, which are true or false; it may have `words` too.

    Raises:
        ProblemError: it says something else of one, says one twice, or has another.
    """
    said: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in (*names, *words):
            known = " and ".join((*names, *words)) or "nothing"
            message = f"this takes {known} in its query, not {name[:40]!r}: leave it out"
            raise ProblemError("invalid-query", message)
        if name in said:
            raise ProblemError("invalid-query", f"{name} is said twice: say it once")
        if name in names and value not in ("true", "false"):
            message = f"{name} is true or false, not {value[:40]!r}: say one, or leave it out"
            raise ProblemError("invalid-query", message)
        said[name] = value
    return {name: said[name] == "true" for name in names if name in said}


def used_key(request: Request, body: bytes) -> UsedKey | None:
    """Return the request's idempotency key, with a digest of what it asks for.

    Raises:
        ProblemError: the key is empty or too long.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        instead = "use a shorter one" if key else "give it a word of yours, or leave the header out"
        message = f"an Idempotency-Key has 1 to {LONGEST_KEY} characters: {instead}"
        raise ProblemError("invalid-header", message)
    asked = f"{request.method} {request.url.path}\n".encode() + body
    return UsedKey(key=key, digest=hashlib.sha256(asked).hexdigest())


def _fault(found: ErrorDetails, model: type[Body]) -> FieldFault:
    # RFC 6901: ~ and / are escaped in a pointer.
    places = [place.replace("~", "~0").replace("/", "~1") for place in place_of(found)]
    pointer = "".join(f"/{place}" for place in places)
    return FieldFault(pointer=pointer, detail=wrong_said(found, model))
