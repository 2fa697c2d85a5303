"""Whose a resource is, and what it costs them, can be told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .resource import UNKNOWN, Hidden, Resource

REQUIRED_TAGS = ("Project", "Stack")
"""What Cost Explorer groups by."""
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
STARTED = ("instance", "volume", "network-interface")
"""What is made from a launch template."""


def tagged_resources(resource: Resource) -> Iterator[str]:
    """Everything on AWS carries the tags Project and Stack, from its provider, or from a node's launch template."""
    if not resource.type.startswith("aws:"):
        return
    yield from _by_provider(resource)
    if resource.type == TEMPLATE:
        yield from _by_template(resource)


def _by_provider(resource: Resource) -> Iterator[str]:
    if resource.provider is None:
        yield "it is made by the default provider, which tags nothing: pass it the stack's aws provider."
        return
    defaults = _decoded(resource.provider.props.get("defaultTags"))
    tags = defaults.get("tags") if isinstance(defaults, Mapping) else defaults
    if missing := _missing(tags):
        yield f"its provider's default tags lack {', '.join(missing)}: add them."


def _by_template(template: Resource) -> Iterator[str]:
    """The largest part of the bill is what no provider tags."""
    specifications = template.get("tagSpecifications") or []
    if isinstance(specifications, Hidden) or any(isinstance(one, Hidden) for one in specifications):
        return
    told = {one.get("resourceType"): one.get("tags") for one in specifications}
    for kind in STARTED:
        if missing := _missing(told.get(kind)):
            yield f"its tagSpecifications for {kind} lack {', '.join(missing)}: a provider's tags end at the template."


def _missing(tags: Any) -> list[str]:
    return [] if isinstance(tags, Hidden) else [tag for tag in REQUIRED_TAGS if tag not in (tags or {})]


def _decoded(value: Any) -> Any:
    """A provider's setting: the SDKs write what is no string as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return UNKNOWN  # JSON with an unknown value in it is unknown as a whole
