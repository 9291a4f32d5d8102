"""Mends what a station's payload gets wrong in its form, so that what it means is not lost."""

import math
from collections.abc import Mapping, Sized
from typing import Final, NamedTuple

from drivers.ocpp.schemas import load_schema
from gateway.domain.charging import OcppVersion

# A bad element of these is dropped alone; the rest of the message stands.
_DROPPABLE: Final = frozenset({"sampledValue", "meterValue", "transactionData"})

# Spellings seen in the field, in lower case.
_ALIASES: Final = {
    "degc": "Celsius",
    "percentage": "Percent",
    "%": "Percent",
    "amp": "A",
    "amps": "A",
    "ampere": "A",
    "watt": "W",
    "volt": "V",
}

_NO_VALUE: Final = object()

MOST_VALUES: Final = 10_000
"""What has more values is not mended: to walk them holds up everybody, a second for each MiB."""


class Mended(NamedTuple):
    """A payload nearer to its schema, the rules that were needed, how many values were walked."""

    payload: object
    rules: tuple[str, ...]
    walked_count: int


class _TooManyError(Exception):
    """There are more values than are walked."""


def mend(version: OcppVersion, action: str, payload: object, *, is_answer: bool = False) -> Mended:
    """Return the payload nearer to its schema.

    Null counts as absent; unknown properties and bad sampled values are dropped; strings are
    cut to their length; enumerations are matched whatever their case; numbers written as
    strings, and the reverse, are converted. What cannot be mended, or is too much, is left as it
    is. The argument is not changed.
    """
    schema = load_schema(version, action, is_answer=is_answer)
    definitions = schema.get("definitions")
    mender = _Mender(definitions if isinstance(definitions, Mapping) else {})
    try:
        mended = mender.mend_object(schema, payload, is_root=True)
    except _TooManyError:
        return Mended(payload, ("too-much",), MOST_VALUES)
    rules = tuple(dict.fromkeys(mender.rules))
    return Mended(payload if mended is _NO_VALUE else mended, rules, mender.walked_count)


class _Mender:
    """One payload's walk along its schema; its depth is the schema's, not the payload's."""

    def __init__(self, definitions: Mapping[str, object]) -> None:
        self._definitions = definitions
        self.rules: list[str] = []
        self.walked_count = 0

    def _walk(self, parts: Sized) -> None:
        """Count what is about to be walked.

        Raises:
            _TooManyError: it is more than is left.
        """
        self.walked_count += len(parts)
        if self.walked_count > MOST_VALUES:
            raise _TooManyError

    def mend_value(self, schema: Mapping[str, object], value: object, name: str) -> object:
        """Return `value` mended, or `_NO_VALUE` where it cannot be what the schema asks."""
        schema = self._resolve(schema)
        match schema.get("type"):
            case "object":
                return self.mend_object(schema, value)
            case "array":
                return self._mend_array(schema, value, name)
            case "string":
                return self._mend_string(schema, value)
            case "integer":
                return self._mend_number(value, is_integer=True)
            case "number":
                return self._mend_number(value, is_integer=False)
            case "boolean":
                return self._mend_boolean(value)
            case _:
                return value

    def _resolve(self, schema: Mapping[str, object]) -> Mapping[str, object]:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = self._definitions.get(reference.rpartition("/")[2])
            return target if isinstance(target, Mapping) else {}
        return schema

    def mend_object(
        self, schema: Mapping[str, object], value: object, *, is_root: bool = False
    ) -> object:
        """Return the object mended; the root keeps what cannot be, for the schema to name it."""
        if not isinstance(value, dict):
            return _NO_VALUE
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return value
        required = schema.get("required")
        needed = required if isinstance(required, list) else []
        self._walk(value)
        mended: dict[str, object] = {}
        for key, item in value.items():
            if item is None:
                self.rules.append("null-is-absent")
            elif key in properties:
                new = self.mend_value(properties[key], item, key)
                if new is not _NO_VALUE:
                    mended[key] = new
                elif key in needed and is_root:
                    # For the schema to name; of a list of values none is good, and that says it.
                    mended[key] = [] if key in _DROPPABLE else item
                else:
                    self.rules.append(f"dropped-{key}")
            elif schema.get("additionalProperties") is False:
                self.rules.append("unknown-property")
            else:
                mended[key] = item
        if not is_root and any(key not in mended for key in needed):
            return _NO_VALUE
        return mended

    def _mend_array(self, schema: Mapping[str, object], value: object, name: str) -> object:
        items = schema.get("items")
        if not isinstance(value, list) or not isinstance(items, Mapping):
            return _NO_VALUE
        self._walk(value)
        kept = [self.mend_value(items, item, name) for item in value]
        if any(item is _NO_VALUE for item in kept):
            if name not in _DROPPABLE:
                return _NO_VALUE
            self.rules.append(f"dropped-{name}")
            kept = [item for item in kept if item is not _NO_VALUE]
        least, most = schema.get("minItems"), schema.get("maxItems")
        if isinstance(least, int) and len(kept) < least:
            return _NO_VALUE
        if isinstance(most, int) and len(kept) > most:
            self.rules.append("cut-array")
            kept = kept[:most]
        return kept

    def _mend_string(self, schema: Mapping[str, object], value: object) -> object:
        if isinstance(value, bool):
            return _NO_VALUE
        if isinstance(value, int | float):
            self.rules.append("number-for-string")
            value = str(value)
        if not isinstance(value, str):
            return _NO_VALUE
        allowed = schema.get("enum")
        if isinstance(allowed, list) and value not in allowed:
            return self._mend_enum(allowed, value)
        longest = schema.get("maxLength")
        if isinstance(longest, int) and len(value) > longest:
            self.rules.append("cut-string")
            return value[:longest]
        return value

    def _mend_enum(self, allowed: list[str], value: str) -> object:
        plain = value.strip().lower()
        for candidate in (plain, _ALIASES.get(plain, "").lower()):
            for name in allowed:
                if name.lower() == candidate:
                    self.rules.append("enum-spelling")
                    return name
        return _NO_VALUE

    def _mend_number(self, value: object, *, is_integer: bool) -> object:
        if isinstance(value, bool):
            return _NO_VALUE
        if isinstance(value, str):
            try:
                value = float(value[:40])
            except ValueError:
                return _NO_VALUE
            if not math.isfinite(value):
                return _NO_VALUE
            self.rules.append("string-for-number")
        if not isinstance(value, int | float):
            return _NO_VALUE
        if is_integer and isinstance(value, float):
            self.rules.append("fraction-for-integer")
            return int(value)
        return value

    def _mend_boolean(self, value: object) -> object:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            self.rules.append("string-for-boolean")
            return value.strip().lower() == "true"
        return _NO_VALUE
