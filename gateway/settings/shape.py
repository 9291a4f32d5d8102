"""From plain values to the models of site.yaml, with every mistake of shape in plain words."""

import re
import types
import typing
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.spelling import suggest
from gateway.settings.mistakes import Finding, Route, as_number, shown
from gateway.settings.models import SiteFile
from gateway.settings.nodes import Plain

# What a number or a missing key means, where its name alone does not say it.
_MEANINGS = {
    "voltage_v": "between a phase and neutral, such as 230",
    "worst_case_base_a": "0 only if nothing but chargers and declared loads hangs there",
    "fallback_a": "what it draws when nobody tells it anything: 0, or 6 and more",
    "format": "as set on every meter of the line",
    "baud": "as set on every meter of the line",
}

_NAME_PATTERN = re.compile(r"\^\[A-Za-z0-9\]\[A-Za-z0-9(?P<signs>[^\]]+)\]\{0,(?P<more>[0-9]+)\}\$")


def read_shape(plain: Plain) -> tuple[SiteFile | None, tuple[Finding, ...]]:
    """Return the file as models, or else every mistake of shape."""
    try:
        return SiteFile.model_validate(plain), ()
    except ValidationError as error:
        return None, tuple(_read_errors(error, plain))


def _read_errors(error: ValidationError, plain: Plain) -> Iterator[Finding]:
    for detail in error.errors(include_url=False):
        # Tags of a choice, in angle brackets, are no part of the file.
        route: Route = tuple(step for step in detail["loc"] if not str(step).startswith("<"))
        value = _value_at(plain, route)
        match detail["type"]:
            case "extra_forbidden":
                known = _keys_at(SiteFile, route[:-1])
                problem = f"there is no such key{suggest(str(route[-1]), known)}"
                yield Finding(route=route, problem=problem, at="key")
            case "missing":
                problem = f"{route[-1]} is missing{_meaning(route)}"
                yield Finding(route=route[:-1], problem=problem)
            case "too_short" if isinstance(value, tuple) and value:
                pass  # Its entries are wrong, and said to be; it is not empty.
            case _:
                problem = _describe(detail, value)
                yield Finding(route=route, problem=f"{problem}{_meaning(route)}")


def _meaning(route: Route) -> str:
    meaning = _MEANINGS.get(str(route[-1])) if route else None
    return "" if meaning is None else f" ({meaning})"


def _describe(detail: ErrorDetails, value: Plain) -> str:
    context = detail.get("ctx", {})
    if value is None and detail["type"] == "tuple_type":
        return "no value is given (take the key out, or write [])"
    if value is None and detail["type"] != "headroom":
        return "no value is given"
    match detail["type"]:
        case "headroom":
            return str(context["problem"])
        case "string_type":
            return f"takes text, not {shown(value)}{_quoting(value)}"
        case "int_type" | "int_from_float":
            return f"takes a whole number, not {shown(value)}{as_number(value)}"
        case "float_type":
            return f"takes a number, not {shown(value)}{as_number(value)}"
        case "bool_type":
            return f"takes true or false, not {shown(value)}"
        case "tuple_type":
            return f"takes a list, not {shown(value)}"
        case "model_type" | "model_attributes_type":
            return f"takes keys and values, not {shown(value)}"
        case "literal_error":
            return _choose(str(context["expected"]), value)
        case "greater_than_equal":
            return f"takes {context['ge']:g} or more, not {shown(value)}"
        case "greater_than":
            return f"takes more than {context['gt']:g}, not {shown(value)}"
        case "less_than_equal":
            return f"takes {context['le']:g} or less, not {shown(value)}"
        case "string_pattern_mismatch":
            return f"takes {_name_of(str(context['pattern']))}, not {shown(value)}"
        case "too_short" | "string_too_short":
            return "is empty"
        case "too_long" | "string_too_long":
            return f"takes {context['max_length']} at most"
        case _:
            return detail["msg"]


def _name_of(pattern: str) -> str:
    """Return in words what names of a pattern in `values` are made of."""
    found = _NAME_PATTERN.fullmatch(pattern)
    assert found is not None, pattern
    return (
        f"a name of at most {int(found['more']) + 1} letters from A to Z, digits and"
        f" {' '.join(found['signs'])}, that begins with a letter or digit"
    )


def _quoting(value: Plain) -> str:
    return " (put it in quotes)" if isinstance(value, bool | int | float) else ""


def _choose(expected: str, value: Plain) -> str:
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = suggest(value, words) if isinstance(value, str) else ""
    near = near if near.startswith(" (did") else ""
    near = (as_number(value) if all(word.isdigit() for word in words) else "") or near
    options = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    if options == "none":
        options = "none or {credential: NAME}"
    return f"takes {options}, not {shown(value)}{near}"


def _value_at(plain: Plain, route: Route) -> Plain:
    for step in route:
        match plain:
            case dict() if isinstance(step, str) and step in plain:
                plain = plain[step]
            case tuple() if isinstance(step, int) and step < len(plain):
                plain = plain[step]
            case _:
                return None
    return plain


def _keys_at(model: type[BaseModel], route: Route) -> tuple[str, ...]:
    """Return the keys the file may have at `route`."""
    for step in route:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        inner = next(_models_in(annotation), None)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models a type is made of: of a list its entries, of a choice its branches."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)
