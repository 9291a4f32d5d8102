"""The files people copy are right, complete and known to their editors."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.control.parameters import ControlParameters
from gateway.settings import load_site, schema_text
from gateway.settings.models import ControlEntry, SiteFile

CONFIG = Path(__file__).resolve().parents[2] / "config"
EXAMPLE, DEMO = CONFIG / "site.example.yaml", CONFIG / "site.demo.yaml"


@pytest.mark.parametrize("file", [EXAMPLE, DEMO], ids=lambda file: file.name)
def test_an_example_is_right_proven_and_raises_no_doubt(file: Path) -> None:
    settings = load_site(file)

    assert settings.proof.holds
    assert settings.warnings == ()


@pytest.mark.parametrize("file", [EXAMPLE, DEMO], ids=lambda file: file.name)
def test_an_example_fits_the_schema_its_editor_takes(file: Path) -> None:
    schema = json.loads((CONFIG / "site.schema.json").read_text(encoding="utf-8"))
    text = file.read_text(encoding="utf-8")

    jsonschema_rs.validate(schema, YAML(typ="safe", pure=True).load(text))

    assert text.splitlines()[0] == "# yaml-language-server: $schema=site.schema.json"


def test_the_schema_refuses_what_the_models_refuse() -> None:
    schema = json.loads(schema_text())
    document: Any = YAML(typ="safe", pure=True).load(EXAMPLE)
    document["circuits"][0]["rating"] = 3

    assert not jsonschema_rs.is_valid(schema, document)


def test_the_schema_checked_in_is_that_of_the_models() -> None:
    checked_in = (CONFIG / "site.schema.json").read_text(encoding="utf-8")

    assert checked_in == schema_text(), (
        "run: .venv/bin/headroom check --schema > config/site.schema.json"
    )


def _properties(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[str]:
    """Yield every key that may stand anywhere below a part of the schema."""
    if "$ref" in part:
        yield from _properties(schema, schema["$defs"][part["$ref"].rsplit("/", 1)[1]])
    for name, child in part.get("properties", {}).items():
        yield name
        yield from _properties(schema, child)
    for key in ("anyOf", "oneOf"):
        for child in part.get(key, []):
            yield from _properties(schema, child)
    if "items" in part:
        yield from _properties(schema, part["items"])


def _keys(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from _keys(value)
    elif isinstance(document, list):
        for item in document:
            yield from _keys(item)


def test_the_example_shows_every_key() -> None:
    schema = json.loads(schema_text())

    shown = set(_keys(YAML(typ="safe", pure=True).load(EXAMPLE)))

    assert shown == set(_properties(schema, schema))


def test_every_key_says_what_it_means() -> None:
    # A name, an address or a switch whose key says it all.
    plain = {"id", "name", "host", "port", "bus", "unit", "site", "stop_input", "time_constant_s"}
    schema = json.loads(schema_text())

    silent = [
        f"{name}.{key}"
        for name, part in schema["$defs"].items()
        for key, described in part["properties"].items()
        if "description" not in described and "$ref" not in described and key not in plain
    ]

    assert [key for key in silent if not key.endswith((".serial", ".tcp"))] == []


def test_the_example_shows_the_defaults_of_the_safety_numbers() -> None:
    assert load_site(EXAMPLE).control == ControlParameters()
    document: Any = YAML(typ="safe", pure=True).load(EXAMPLE)
    assert list(document["control"]) == list(ControlEntry.model_fields)


def test_a_site_that_leaves_everything_out_gets_the_same_defaults(tmp_path: Path) -> None:
    example: Any = YAML(typ="safe", pure=True).load(EXAMPLE)
    for key in ("control", "listen"):
        del example[key]
    file = tmp_path / "site.yaml"
    with file.open("w") as stream:
        YAML(typ="safe", pure=True).dump(example, stream)

    short, long = load_site(file), load_site(EXAMPLE)

    assert (short.control, short.listen) == (long.control, long.listen)
    assert short.site == long.site


def test_nothing_listens_beyond_this_machine_unless_told_to() -> None:
    defaults = SiteFile.model_fields["listen"].get_default()

    assert {defaults.ocpp.host, defaults.api.host, defaults.metrics.host} == {"127.0.0.1"}
    assert (defaults.ocpp.port, defaults.api.port, defaults.metrics.port) == (9000, 8080, 9464)


def test_the_demo_has_what_the_demo_promises() -> None:
    settings = load_site(DEMO)

    assert [station.id for station in settings.site.stations] == [
        f"CP-{n:02}" for n in range(1, 10)
    ]
    assert {meter.profile for meter in settings.site.meters} == {
        "schneider_iem3000",
        "eastron_sdm630_v2",
    }
    assert set(settings.credentials.values()) == {None}
