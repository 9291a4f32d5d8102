"""The JSON schemas of OCPP, as fast validators, and what is wrong with a payload in its words."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import jsonschema_rs
import orjson

from drivers.ocpp.rpc import DIALECTS, RefusedError
from gateway.domain.charging import OcppVersion

_PACKAGES: Final = {OcppVersion.V16: "ocpp.v16", OcppVersion.V201: "ocpp.v201"}
_SUFFIX: Final = {OcppVersion.V16: "", OcppVersion.V201: "Request"}


@cache
def actions(version: OcppVersion) -> frozenset[str]:
    """Return every action of a version, whoever may send it."""
    folder = files(_PACKAGES[version]) / "schemas"
    names = {entry.name.removesuffix(".json") for entry in folder.iterdir()}
    return frozenset(name.removesuffix("Response") for name in names if name.endswith("Response"))


@cache
def load_schema(version: OcppVersion, action: str, *, is_answer: bool) -> Mapping[str, object]:
    """Return the schema of a request or of its answer, as published.

    Raises:
        KeyError: the version has no such action.
    """
    if action not in actions(version):
        raise KeyError(action)
    name = f"{action}{'Response' if is_answer else _SUFFIX[version]}.json"
    text = (files(_PACKAGES[version]) / "schemas" / name).read_bytes()
    schema: Mapping[str, object] = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    return schema


@cache
def _validator(
    version: OcppVersion, action: str, *, is_answer: bool
) -> jsonschema_rs.Draft4Validator | jsonschema_rs.Draft6Validator:
    schema = dict(load_schema(version, action, is_answer=is_answer))
    # Formats off: stations send times without a zone and empty addresses.
    if version is OcppVersion.V16:
        return jsonschema_rs.Draft4Validator(schema, validate_formats=False)
    return jsonschema_rs.Draft6Validator(schema, validate_formats=False)


def build_all(version: OcppVersion) -> None:
    """Build every validator of a version now, so that no message waits for it later."""
    for action in actions(version):
        _validator(version, action, is_answer=False)
        _validator(version, action, is_answer=True)


def is_valid(version: OcppVersion, action: str, payload: object, *, is_answer: bool) -> bool:
    """Return whether a payload is what the schema says; one nested too deep is not."""
    try:
        return _validator(version, action, is_answer=is_answer).is_valid(payload)
    except ValueError:
        return False


def _first_error(
    version: OcppVersion, action: str, payload: object, *, is_answer: bool
) -> jsonschema_rs.ValidationError | None:
    """Return the first thing wrong with a payload that is not valid, None if it is its depth.

    The first only: to list them all takes minutes where each of many parts is wrong.
    """
    try:
        _validator(version, action, is_answer=is_answer).validate(payload)
    except jsonschema_rs.ValidationError as error:
        return error
    except ValueError:
        pass
    return None


def find_fault(
    version: OcppVersion, action: str, payload: object, *, is_answer: bool
) -> RefusedError | None:
    """Return the first thing wrong with a payload as the error OCPP has for it, or None."""
    if is_valid(version, action, payload, is_answer=is_answer):
        return None
    dialect = DIALECTS[version]
    codes = {
        "required": dialect.occurrence,
        "minItems": dialect.occurrence,
        "maxItems": dialect.occurrence,
        "additionalProperties": dialect.formation,
        "type": "TypeConstraintViolation",
    }
    error = _first_error(version, action, payload, is_answer=is_answer)
    if error is None:
        return RefusedError(dialect.formation, "nested too deep")
    # The message would repeat the value, which may be long or deep: only where and which rule.
    where = "/".join(str(step) for step in error.instance_path) or "the payload"
    rule = str(error.schema_path[-1]) if error.schema_path else "schema"
    detail = f"{where[:120]} breaks {rule}"
    if rule == "required":
        detail = f"{where[:120]}: {error.message[:80]}"
    return RefusedError(codes.get(rule, "PropertyConstraintViolation"), detail)
