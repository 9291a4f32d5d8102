"""From the JSON Schema of a description to what hypothesis may send: what fits it, and what does not."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]
INSTANTS: st.SearchStrategy[datetime] = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.just(UTC),
)


class Schemas:
    """The schemas of one description.

    `near` are instants at which something can be asked, `names` those something is known by.
    """

    def __init__(
        self, components: Schema, *, near: st.SearchStrategy[datetime], names: tuple[str, ...]
    ) -> None:
        self._components = components
        self._names = st.sampled_from(names)
        self._instants = st.one_of(near, near, near, INSTANTS).map(lambda at: at.isoformat())

    def fitting(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Return what fits a schema, as far as the words used in ours go."""
        schema = self._whole(schema)
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "anyOf" in schema:
            return st.one_of([self.fitting(each) for each in schema["anyOf"]])
        kinds: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": _integer,
            "number": _number,
            "boolean": lambda _: st.booleans(),
            "null": lambda _: st.none(),
        }
        return kinds[schema["type"]](schema)

    def spoilt(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Return objects that fit but for one part; whether that part may be so is not known."""
        schema = self._whole(schema)
        names = sorted(schema["properties"])
        junk = st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**70), 2**70),
            st.floats(allow_nan=False),
            st.text(max_size=300),
            st.lists(st.integers(), max_size=3),
            st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
        )
        name = st.one_of(st.sampled_from(names), st.text(min_size=1, max_size=8))
        return st.builds(
            lambda body, at, value: {**body, at: value}, self.fitting(schema), name, junk
        )

    def _whole(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if reference is None:
            return schema
        found: Schema = self._components["schemas"][reference.rsplit("/", 1)[1]]
        return found

    def _object(self, schema: Schema) -> st.SearchStrategy[Any]:
        parts = {name: self.fitting(part) for name, part in schema["properties"].items()}
        required = set(schema.get("required", ()))
        return st.fixed_dictionaries(
            {name: part for name, part in parts.items() if name in required},
            optional={name: part for name, part in parts.items() if name not in required},
        )

    def _array(self, schema: Schema) -> st.SearchStrategy[Any]:
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", 4), least + 3)
        return st.lists(self.fitting(schema["items"]), min_size=least, max_size=most)

    def _string(self, schema: Schema) -> st.SearchStrategy[Any]:
        if schema.get("format") == "date-time":
            return self._instants
        most = schema.get("maxLength", 40)
        return st.one_of(
            self._names,
            self._names,
            st.text(min_size=schema.get("minLength", 0), max_size=most),
        )


def _integer(schema: Schema) -> st.SearchStrategy[int]:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    return st.integers(least, schema.get("maximum", 10**9))


def _number(schema: Schema) -> st.SearchStrategy[float]:
    return st.floats(
        schema.get("minimum", schema.get("exclusiveMinimum", 0.0)),
        schema.get("maximum", schema.get("exclusiveMaximum", 1e6)),
        exclude_min="exclusiveMinimum" in schema,
        exclude_max="exclusiveMaximum" in schema,
        allow_nan=False,
    )
