"""What a monitoring system and a service manager may ask over HTTP: metrics, alive, ready."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.adapters.metrics import CONTENT_TYPE

Problems = Callable[[], Sequence[str]]
"""Returns what is wrong, a sentence each; nothing when all is well."""

UNAVAILABLE = 503


def metrics_app(
    *, exposition: Callable[[], Awaitable[bytes]], life_problems: Problems, work_problems: Problems
) -> Starlette:
    """Return the application: `/metrics`, `/healthz` (is it alive?), `/readyz` (can it do its work?).

    The last two answer 200, or 503 with what is wrong, as `{"ok": …, "problems": […]}`.
    """

    async def metrics(request: Request) -> Response:
        del request
        return Response(await exposition(), media_type=CONTENT_TYPE)

    async def healthz(request: Request) -> Response:
        del request
        return _verdict(life_problems())

    async def readyz(request: Request) -> Response:
        del request
        return _verdict(work_problems())

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
    )


def _verdict(problems: Sequence[str]) -> Response:
    body = {"ok": not problems, "problems": list(problems)}
    headers = {"Cache-Control": "no-store"}
    return JSONResponse(body, status_code=UNAVAILABLE if problems else 200, headers=headers)
