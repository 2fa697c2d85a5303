"""Generates tenants.schema.json, which editors check tenants.yaml with: `python -m cli.editor_schema [--check]`."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

from model.config.names import TENANT_PATTERN
from model.config.sources import REFERENCES
from model.config.tenants import TenantsFile
from model.config.tiers import DURATION, LIMITED, QUOTA, Tier

QUOTA_PATTERN = r"^(count/[a-z]+(\.[a-z0-9.-]+)?|.+\.storageclass\.storage\.k8s\.io/.+|requests\..+/.+)$"
"""The keys of a quota that contain other names; model/config/tiers.py validates them more strictly."""

FILE = Path(__file__).resolve().parent.parent / "tenants.schema.json"


def render() -> str:
    """The schema's text, generated from the models."""
    generated = TenantsFile.model_json_schema()
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema: dict[str, Any] = {"$schema": dialect, **generated, "title": "Tenants of the SaaS"}
    definitions: dict[str, Any] = schema["$defs"]
    # Rules that the models check in code. Values that defaults or a tier can hold are optional for a tenant.
    definitions["Tenant"]["required"] = ["name"]
    definitions["Tenant"]["properties"]["name"]["pattern"] = TENANT_PATTERN
    for kind in ("Tenant", "Defaults", "Tier"):
        properties: dict[str, Any] = definitions[kind]["properties"]
        for key in ("interval", "retryInterval", "timeout"):
            properties[key]["pattern"] = DURATION
        properties["quota"]["propertyNames"] = {"anyOf": [{"enum": list(QUOTA)}, {"pattern": QUOTA_PATTERN}]}
        for name, field in Tier.model_fields.items():
            # These defaults are the tier basic's; other tiers have others.
            properties[field.alias or name].pop("default", None)
    for part in definitions["Limits"]["properties"].values():
        part.pop("default")
        part["propertyNames"] = {"enum": list(LIMITED)}
    definitions["Source"].pop("required")
    definitions["Tenant"]["not"] = {"required": ["product", "source"]}
    for kind in ("Source", "DefaultSource"):
        definitions[kind]["not"] = {"anyOf": [{"required": list(pair)} for pair in combinations(REFERENCES, 2)]}
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    """Write the file; with --check only compare it."""
    if "--check" not in sys.argv:
        FILE.write_text(render(), encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write("tenants.schema.json is outdated: run `python -m cli.editor_schema`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
