"""Exceptions from rules: the resources that may break a rule, each with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA: Mapping[str, Any] = {
    "type": "array",
    "description": "The resources that may break the rule, each with the reason why.",
    "items": {
        "type": "object",
        "properties": {
            # Never a name alone, which other resources may have too.
            "resource": {"type": "string", "pattern": "::", "description": "The resource's URN, or TYPE::NAME."},
            "reason": {"type": "string", "minLength": 10, "description": "Why, for a reader in a year."},
        },
        "required": ["resource", "reason"],
        "additionalProperties": False,
    },
}
"""JSON schema of `exceptions` in a rule's configuration; the engine checks it before anything runs."""


@dataclass(frozen=True)
class RuleException:
    """A resource that may break a rule."""

    resource: str
    """Its URN, or TYPE::NAME, which ends it."""
    reason: str

    def covers(self, urn: str) -> bool:
        """Whether the resource with this URN may break the rule. A type follows :: or, with parents, $."""
        return urn == self.resource or urn.endswith((f"::{self.resource}", f"${self.resource}"))


def parse(config: Mapping[str, Any]) -> Sequence[RuleException]:
    """The exceptions of one rule's configuration, which the schema was applied to."""
    return [RuleException(each["resource"], each["reason"]) for each in config.get("exceptions", ())]
