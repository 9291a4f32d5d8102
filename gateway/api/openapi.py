"""The description of the API (OpenAPI 3.1), made from what the API itself is made of."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.calls import LINK_WORD
from gateway.api.endpoints import EVENT_STREAM, Endpoint
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
SECONDS_UNTIL = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
HEADERS: Mapping[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    429: SECONDS_UNTIL,
    503: SECONDS_UNTIL,
}
"""What a refusal says in its headers, by its status; most say nothing there."""


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
    by_name = {endpoint.answering.__name__: endpoint for endpoint in listed}
    for endpoint in listed:
        operation = _operation(endpoint, cast("Names", names), by_name)
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


def _operation(endpoint: Endpoint, names: Names, by_name: Mapping[str, Endpoint]) -> dict[str, Any]:
    answer = names[endpoint.answer, "serialization"]
    if endpoint.media_type == EVENT_STREAM:
        answer = _event(answer)
    said: dict[str, Any] = {
        "description": endpoint.summary,
        "content": {endpoint.media_type: {"schema": answer}},
    }
    if endpoint.links:
        said["links"] = {
            name: _link(name, by_name[name], at) for name, at in endpoint.links.items()
        }
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
        of_status = [f"{TYPE_PREFIX}{k}" for k in kinds if KINDS[k].status == status]
        types = {"properties": {"type": {"enum": of_status}, "status": {"const": status}}}
        problem = {"allOf": [names[ProblemBody, "serialization"], types]}
        responses[str(status)] = {
            "description": ", ".join(f"`{each}`" for each in of_status),
            "headers": HEADERS.get(status, {}),
            "content": {MEDIA_TYPE: {"schema": problem}},
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


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one event of a stream, whose data is JSON of that schema."""
    as_json = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    fields = {"id": {"type": "string"}, "event": {"type": "string"}, "data": as_json}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _link(name: str, followed: Endpoint, pointers: Mapping[str, str]) -> dict[str, Any]:
    """Return how an operation is asked with what an answer says, at these JSON pointers."""
    values = {asked: f"$response.body#{pointer}" for asked, pointer in pointers.items()}
    is_in_path = all(f"{{{asked}}}" in followed.path for asked in values)
    return {"operationId": name, "parameters" if is_in_path else "requestBody": values}
