"""The application: every endpoint behind one door, and every refusal a problem document."""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import __version__
from gateway.api.batch import BATCHES
from gateway.api.calendar import CALENDAR
from gateway.api.calls import (
    LINK_WORD,
    FindAccess,
    admitted,
    bearer_token,
    read_body,
    said_flags,
    understood,
    used_key,
)
from gateway.api.endpoints import ENDPOINTS, EVENT_STREAM, Call, Endpoint, Sources
from gateway.api.limits import LIMITS
from gateway.api.openapi import describe
from gateway.api.problems import ProblemError, problem_response, unexpected
from gateway.api.quotas import Quotas
from gateway.api.reports import REPORTS
from gateway.api.sessions import SESSIONS
from gateway.api.sse import Followers
from gateway.ports import Clock

PREFIX = "/api/v1"
NOT_ALLOWED = 405
SLOWLY = frozenset({"unauthorized", "too-many-requests"})
"""The refusals of those who are not known or have no quota left: they may be flooding."""
SLOWLY_S = 0.1

_log = logging.getLogger(__name__)


def api_app(sources: Sources, *, find_access: FindAccess) -> Starlette:
    """Return the application under `/api/v1`."""
    of_rooms = (*ENDPOINTS, *BATCHES, *REPORTS, *SESSIONS, *LIMITS, *CALENDAR)
    endpoints = (*of_rooms, Followers().endpoint())
    # Anybody may ask for it, and no quota counts how often: it is written once.
    described = json.dumps(describe(endpoints, prefix=PREFIX, version=__version__)).encode()
    quotas = Quotas()

    async def openapi(_request: Request) -> Response:
        await sources.clock.sleep_s(SLOWLY_S)
        return Response(described, media_type="application/json", headers={"Connection": "close"})

    def answering(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            def opens(word: str) -> bool:
                return sources.sessions.opens(request.path_params["session_id"], word)

            try:
                access = admitted(
                    request,
                    endpoint.role,
                    find_access=find_access,
                    quotas=quotas,
                    clock=sources.clock,
                    opens=opens if endpoint.is_for_occupants else None,
                )
                flags = said_flags(
                    request,
                    endpoint.flags,
                    words=(LINK_WORD,) if endpoint.is_for_occupants else (),
                )
                body = await read_body(request)
                said = None
                if endpoint.body is not None:
                    content_type = request.headers.get("content-type", "")
                    said = understood(body, endpoint.body, content_type=content_type)
                key = used_key(request, body) if endpoint.has_key else None
                call = Call(
                    request=request,
                    access=access,
                    body=said,
                    key=key,
                    flags=flags,
                    sources=sources,
                    access_now=lambda: find_access(bearer_token(request)),
                    charge=lambda count: quotas.charge(access.name, count),
                )
                return _response(await endpoint.answering(call), endpoint.status)
            except ProblemError as problem:
                return await _refusal(problem, sources.clock)

        return answer

    routes = [_route(endpoint, answering(endpoint)) for endpoint in endpoints]
    routes.append(Route(f"{PREFIX}/openapi.json", openapi))
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: partial(_on_http_error, routes, sources.clock),
            Exception: _on_mistake,
        },
    )
    # A path with a slash too many is another path, and no redirect.
    app.router.redirect_slashes = False
    return app


def _route(endpoint: Endpoint, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(
        # A connector's name has a slash in it.
        PREFIX + endpoint.path.replace("{connector}", "{connector:path}"),
        answer,
        methods=[endpoint.method],
        name=endpoint.answering.__name__,
    )
    if endpoint.media_type == EVENT_STREAM:
        # The framework takes HEAD with every GET; here it would wait for an end that never comes.
        route.methods = {endpoint.method}
    return route


async def _refusal(problem: ProblemError, clock: Clock) -> Response:
    """Return the answer a problem makes; who floods waits for each of them, and nobody else does."""
    if problem.kind.name in SLOWLY:
        return await _slow_refusal(problem, clock)
    return problem_response(problem)


async def _slow_refusal(problem: ProblemError, clock: Clock) -> Response:
    """Return the answer after a while; whoever asks again has to connect for it."""
    await clock.sleep_s(SLOWLY_S)
    problem.headers["Connection"] = "close"
    return problem_response(problem)


def _response(said: BaseModel | Response, status: int) -> Response:
    if isinstance(said, Response):
        return said
    return Response(
        said.model_dump_json(),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _on_mistake(_request: Request, _error: Exception) -> Response:
    """Return what is said of a mistake of our own; the framework raises it again, into the log."""
    return problem_response(unexpected())


async def _on_http_error(
    routes: list[Route], clock: Clock, request: Request, error: Exception
) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code != NOT_ALLOWED:
        message = f"there is no {path}: {PREFIX}/openapi.json lists what there is"
        return await _slow_refusal(ProblemError("not-found", message), clock)
    # The framework names the methods of the first route of that path alone.
    here = [route for route in routes if route.path_regex.match(path)]
    allowed = ", ".join(sorted({name for route in here for name in route.methods or ()}))
    message = f"{path} takes {allowed}, not {request.method}"
    problem = ProblemError("method-not-allowed", message, headers={"Allow": allowed})
    return await _slow_refusal(problem, clock)
