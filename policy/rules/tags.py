"""Whose a resource is, and what it costs them, can be told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .resource import UNKNOWN, Hidden, Resource

REQUIRED_TAGS = ("Project", "Stack")
"""What Cost Explorer groups by."""


def tagged_resources(resource: Resource) -> Iterator[str]:
    """Everything on AWS carries the tags Project and Stack, from its provider's default tags."""
    if not resource.type.startswith("aws:"):
        return
    if resource.provider is None:
        yield "it is made by the default provider, which tags nothing: pass it the stack's aws provider."
        return
    defaults = _decoded(resource.provider.props.get("defaultTags"))
    tags = defaults.get("tags") if isinstance(defaults, Mapping) else defaults
    if isinstance(tags, Hidden):
        return
    if missing := [tag for tag in REQUIRED_TAGS if tag not in (tags or {})]:
        yield f"its provider's default tags lack {', '.join(missing)}: add them."


def _decoded(value: Any) -> Any:
    """A provider's setting: the SDKs write what is no string as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return UNKNOWN  # JSON with an unknown value in it is unknown as a whole
