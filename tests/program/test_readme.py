"""The README's tenant becomes the objects that the README shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.program.conftest import Run

ROOT = Path(__file__).parents[2]
NAMESPACE = "tenant-003"


def includes(whole: Any, part: Any) -> bool:
    """Whether everything in `part` is in `whole`; lists in any order."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(includes(whole.get(key), value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(includes(item, wanted) for item in whole) for wanted in part)
    return whole == part


def test_the_readmes_tenant_becomes_the_objects_it_shows(run: Run) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    entry, shown = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    tenants = (ROOT / "tenants.yaml").read_text(encoding="utf-8") + entry.removeprefix("tenants:\n")
    recording = run(tenants)
    objects = [entry.inputs for entry in recording.registrations.values() if entry.type.startswith("kubernetes:")]
    ours = [
        entry
        for entry in objects
        if entry["metadata"].get("namespace") == NAMESPACE
        or (entry["kind"] == "Namespace" and entry["metadata"]["name"] == NAMESPACE)
    ]
    assert len(ours) == 10
    for wanted in yaml.safe_load_all(shown):
        (found,) = [
            entry
            for entry in ours
            if entry["kind"] == wanted["kind"] and entry["metadata"]["name"] == wanted["metadata"]["name"]
        ]
        assert includes(found, wanted)
