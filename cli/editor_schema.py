"""tenants.schema.json, by which editors check and complete tenants.yaml: `python -m cli.editor_schema [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from model.config.names import TENANT_PATTERN
from model.config.tenants import REFERENCES, TenantsFile
from model.config.tiers import DURATION, LIMITED, QUOTA, Tier

QUOTA_PATTERN = r"^(count/[a-z]+(\.[a-z0-9.-]+)?|.+\.storageclass\.storage\.k8s\.io/.+|requests\..+/.+)$"
"""Those of a quota's keys that no list can hold; model/config/tiers.py checks them better."""

FILE = Path(__file__).resolve().parent.parent / "tenants.schema.json"


def render() -> str:
    """The schema's text, generated from the model."""
    generated = TenantsFile.model_json_schema()
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema: dict[str, Any] = {"$schema": dialect, **generated, "title": "Tenants of the SaaS"}
    definitions: dict[str, Any] = schema["$defs"]
    # What the model checks in code, an editor checks too. What defaults or a tier may hold, a tenant may leave out.
    definitions["Tenant"]["required"] = ["name"]
    definitions["Tenant"]["properties"]["name"]["pattern"] = TENANT_PATTERN
    for kind in ("Tenant", "Defaults", "Tier"):
        properties: dict[str, Any] = definitions[kind]["properties"]
        properties["interval"]["pattern"] = DURATION
        properties["quota"]["propertyNames"] = {"anyOf": [{"enum": list(QUOTA)}, {"pattern": QUOTA_PATTERN}]}
        for name, field in Tier.model_fields.items():
            # They are those of the tier basic: another tier's may be others.
            properties[field.alias or name].pop("default", None)
    for part in definitions["Limits"]["properties"].values():
        part.pop("default")
        part["propertyNames"] = {"enum": list(LIMITED)}
    definitions["Source"].pop("required")
    for kind in ("Source", "DefaultSource"):
        definitions[kind]["not"] = {
            "anyOf": [{"required": [one, other]} for i, one in enumerate(REFERENCES) for other in REFERENCES[i + 1 :]]
        }
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    """Write the file; with --check only say whether it is fresh."""
    if "--check" not in sys.argv:
        FILE.write_text(render(), encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write("tenants.schema.json is stale: run `python -m cli.editor_schema`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
