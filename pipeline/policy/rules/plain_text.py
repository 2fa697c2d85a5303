"""Rule about credentials in plain text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .resource import Resource

CREDENTIALS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})"),
    "a Pulumi token": re.compile(r"\bpul-[0-9a-f]{40}\b"),
}
"""Kind of credential -> pattern."""


def no_plain_text_secrets(resource: Resource) -> Iterator[str]:
    """No property holds a credential that is not marked as a secret."""
    encoded = resource.type == "kubernetes:core/v1:Secret"
    for path, text in _texts(resource.props, ""):
        readings = [text, _decoded(text)] if encoded and path.startswith(".data.") else [text]
        for what, pattern in CREDENTIALS.items():
            if any(pattern.search(reading) for reading in readings):
                yield f"{path.removeprefix('.')} is {what} in plain text: wrap it in pulumi.Output.secret."


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return ""
