"""The JSON Schema of site.yaml, for editors: it is checked in as config/site.schema.json."""

import json

from gateway.settings.models import SiteFile


def schema_text() -> str:
    """Return the schema as it is checked in."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SiteFile.model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
