"""Which object a Pulumi resource is: type tokens, URNs, ids and names."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

AUTONAMED = "pulumi.com/autonamed"


class UnsupportedTypeError(Exception):
    """A Pulumi type that is no single Kubernetes object."""


def group_version_kind(token: str) -> tuple[str, str]:
    """apiVersion and kind of a token such as `kubernetes:apps/v1:Deployment`. Raises UnsupportedTypeError."""
    match = re.fullmatch(r"kubernetes:([a-z0-9.-]+)/(v[a-z0-9]+):([A-Z]\w*)", token)
    if not match or match[1] == "helm.sh":
        raise UnsupportedTypeError(
            f"{token} is not a kind that this stand-in for pulumi-kubernetes can make. It makes single Kubernetes "
            "objects, typed kubernetes:GROUP/VERSION:Kind; charts and YAML groups need the official provider"
        )
    group, version, kind = match.groups()
    if kind.endswith(("List", "Patch")):
        raise UnsupportedTypeError(f"{token}: lists and patches need the official provider; declare the objects")
    return (version if group == "core" else f"{group}/{version}"), kind


def resource_type(urn: str) -> str:
    """The type token in a URN."""
    return urn.split("::")[2].rpartition("$")[2]


def resource_name(urn: str) -> str:
    """The logical name in a URN."""
    return urn.split("::", 3)[3]


def field_manager(urn: str) -> str:
    """Who owns a resource's fields in the API server's eyes.

    The official provider draws a random suffix and keeps it in state. Here the URN makes it, so that a creation that
    was killed before its state was saved goes on as the same owner.
    """
    return f"pulumi-kubernetes-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def autoname(urn: str) -> str:
    """A name for an object that the program gave none."""
    return f"{resource_name(urn)}-{secrets.token_hex(4)}"


def object_id(item: dict[str, Any]) -> str:
    """The resource id: NAMESPACE/NAME, or NAME in no namespace."""
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]


def parse_id(text: str) -> tuple[str | None, str]:
    """Namespace, if any, and name."""
    namespace, slash, name = text.rpartition("/")
    return (namespace if slash else None), name
