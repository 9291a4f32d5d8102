"""What is wrong with a field of a body, in words for who sent it."""

from collections.abc import Iterator, Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticCustomError

AT_FIELD = "at_field"
INSTANT = "takes an instant with its zone, such as 2026-03-01T07:30:00Z"
_PLAIN = {
    "missing": "is missing",
    "int_type": "takes a whole number",
    "int_from_float": "takes a whole number",
    "float_type": "takes a number",
    "finite_number": "takes a number",
    "string_type": "takes text",
    "bool_type": "takes true or false",
    "list_type": "takes a list",
    "model_type": "takes an object",
    "datetime_type": INSTANT,
    "datetime_parsing": INSTANT,
    "datetime_from_date_parsing": INSTANT,
    "datetime_object_invalid": INSTANT,
    "timezone_aware": INSTANT,
    "string_too_short": "is empty",
}
_BOUNDED = {
    "greater_than": ("gt", "takes more than {}"),
    "greater_than_equal": ("ge", "takes {} or more"),
    "less_than": ("lt", "takes less than {}"),
    "less_than_equal": ("le", "takes {} or less"),
    "too_short": ("min_length", "takes {} or more of them"),
    "too_long": ("max_length", "takes {} of them at most"),
    "string_too_long": ("max_length", "takes {} characters at most"),
    "enum": ("expected", "takes {}"),
    "literal_error": ("expected", "takes {}"),
}


def wrong_at(field: str, said: str) -> PydanticCustomError:
    """Return what makes a model refuse one of its fields for what another says."""
    return PydanticCustomError(AT_FIELD, "{said}", {"field": field, "said": said})


def place_of(found: ErrorDetails) -> tuple[str, ...]:
    """Return the way to the field that is wrong."""
    inner = (found["ctx"]["field"],) if found["type"] == AT_FIELD else ()
    return tuple(str(step) for step in (*found["loc"], *inner))


def wrong_said(found: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with it; what there are no words for is told in the library's."""
    kind = found["type"]
    if kind == "extra_forbidden":
        return (
            f"there is no such field; known are {', '.join(_fields_at(model, found['loc'][:-1]))}"
        )
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _BOUNDED:
        bound, words = _BOUNDED[kind]
        value = found["ctx"][bound]
        return words.format(f"{value:g}" if isinstance(value, float) else value)
    return found["msg"].removeprefix("Value error, ")


def _fields_at(model: type[BaseModel], route: Sequence[str | int]) -> Sequence[str]:
    for step in route:
        if isinstance(step, str):
            model = next(_models_in(model.model_fields[step].annotation))
    return tuple(model.model_fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
