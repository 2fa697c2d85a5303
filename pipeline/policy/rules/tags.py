"""Rule about cost allocation tags."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .resource import UNKNOWN, Hidden, Resource

REQUIRED_TAGS = ("Project", "Stack")
"""Tags by which Cost Explorer groups."""
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
TAGGED_TYPES = ("instance", "volume", "network-interface")
"""Types of resources that EC2 creates from a launch template."""


def tagged_resources(resource: Resource) -> Iterator[str]:
    """Every AWS resource has the tags Project and Stack, from its provider or from a node's launch template."""
    if not resource.type.startswith("aws:"):
        return
    yield from _by_provider(resource)
    if resource.type == TEMPLATE:
        yield from _by_template(resource)


def _by_provider(resource: Resource) -> Iterator[str]:
    if resource.provider is None:
        yield "the default provider creates it, which adds no tags: pass it the stack's aws provider."
        return
    defaults = _decoded(resource.provider.props.get("defaultTags"))
    tags = defaults.get("tags") if isinstance(defaults, Mapping) else defaults
    if missing := _missing(tags):
        yield f"its provider's default tags lack {', '.join(missing)}: add them."


def _by_template(template: Resource) -> Iterator[str]:
    """Nodes, their disks and interfaces, the largest part of the bill, get their tags from the template only."""
    specifications = template.get("tagSpecifications") or []
    if isinstance(specifications, Hidden) or any(isinstance(each, Hidden) for each in specifications):
        return
    tags = {each.get("resourceType"): each.get("tags") for each in specifications}
    for kind in TAGGED_TYPES:
        if missing := _missing(tags.get(kind)):
            yield f"its tagSpecifications for {kind} lack {', '.join(missing)}: a provider's tags end at the template."


def _missing(tags: Any) -> list[str]:
    return [] if isinstance(tags, Hidden) else [tag for tag in REQUIRED_TAGS if tag not in (tags or {})]


def _decoded(value: Any) -> Any:
    """A provider's setting: the SDKs write anything but strings as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return UNKNOWN  # JSON with an unknown value in it is unknown as a whole
