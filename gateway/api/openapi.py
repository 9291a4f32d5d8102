"""The description of the API (OpenAPI 3.1), made from what the API itself is made of."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.calls import LINK_WORD
from gateway.api.endpoints import Endpoint
from gateway.api.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX, ProblemBody

Names = Mapping[tuple[type[BaseModel], Literal["validation", "serialization"]], dict[str, Any]]
REFERENCE = "#/components/schemas/{model}"
ANY_REQUEST = (
    "unauthorized",
    "not-allowed",
    "too-many-requests",
    "invalid-header",
    "invalid-query",
    # Of a body too, that nobody asked for.
    "body-too-large",
    "invalid-body",
)
WITH_BODY = ("malformed-json", "not-json")


def describe(endpoints: Iterable[Endpoint], *, prefix: str, version: str) -> dict[str, Any]:
    """Return the description of these endpoints."""
    listed = tuple(endpoints)
    bodies = {e.body for e in listed if e.body is not None}
    answers: set[type[BaseModel]] = {e.answer for e in listed} | {ProblemBody}
    models = [*((m, "validation") for m in bodies), *((m, "serialization") for m in answers)]
    names, schemas = models_json_schema(
        sorted(models, key=lambda each: each[0].__name__),  # type: ignore[arg-type]
        ref_template=REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        operation = _operation(endpoint, cast("Names", names))
        paths.setdefault(f"{prefix}{endpoint.path}", {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headroom",
            "version": version,
            "description": "Asks what a building's chargers can promise, and holds it to that.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "link": {"type": "apiKey", "in": "query", "name": LINK_WORD},
            },
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint, names: Names) -> dict[str, Any]:
    answer = names[endpoint.answer, "serialization"]
    said = {"description": endpoint.summary, "content": {endpoint.media_type: {"schema": answer}}}
    # A name with a slash in it makes another path of it.
    with_name = ("not-found",) if "{" in endpoint.path else ()
    kinds = [
        *ANY_REQUEST,
        *(WITH_BODY if endpoint.body else ()),
        *(kind for kind in with_name if kind not in endpoint.problems),
        *endpoint.problems,
    ]
    responses: dict[str, Any] = {str(endpoint.status): said}
    for status in sorted({KINDS[kind].status for kind in kinds}):
        of_status = [f"`{TYPE_PREFIX}{k}`" for k in kinds if KINDS[k].status == status]
        problem = {"schema": names[ProblemBody, "serialization"]}
        responses[str(status)] = {
            "description": ", ".join(of_status),
            "content": {MEDIA_TYPE: problem},
        }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "boolean"}}
        for name in endpoint.flags
    ]
    if endpoint.has_key:
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}
        )
    parameters += [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in endpoint.headers.items()
    ]
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": f"For the role `{endpoint.role}` and those above it.",
        "operationId": endpoint.answering.__name__,
        "parameters": parameters,
        "responses": responses,
    }
    if endpoint.is_for_occupants:
        operation["security"] = [{"token": []}, {"link": []}]
        operation["description"] += " Or for whoever has the link of the session."
    if endpoint.body is not None:
        schema = names[endpoint.body, "validation"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation
