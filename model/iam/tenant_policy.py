"""The IAM role of a tenant: its name and its inline policy. model/checks.py has the rules for its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from model.config.aws_access import PLACEHOLDER, AwsAccess
from model.iam.documents import allow, document

ROLE_NAME_LIMIT = 64
INLINE_LIMIT = 10_240
"""IAM's limit for the inline policies of a role, in characters without whitespace."""
MANAGED_LIMIT = 6_144
"""IAM's limit for a managed policy, in characters without whitespace."""
ATTACHMENT_LIMIT = 10
"""IAM's default quota of managed policies per role."""


def inline_policy(access: AwsAccess, tenant: str) -> str:
    """The role's inline policy as JSON: the statements, with the tenant's name for its placeholder."""

    def own(texts: Sequence[str]) -> list[str]:
        return [text.replace(PLACEHOLDER, tenant) for text in texts]

    return document(
        *(
            allow(
                statement.actions,
                own(statement.resources),
                {
                    operator: {key: own(values) for key, values in keys.items()}
                    for operator, keys in statement.conditions.items()
                },
            )
            for statement in access.statements
        )
    )


def compact_size(policy: str) -> int:
    """A policy's length as IAM counts it, without whitespace."""
    return len(json.dumps(json.loads(policy), separators=(",", ":")))


def role_name(prefix: str, tenant: str) -> str:
    """`<prefix>-tenant-<tenant>`; if that is too long for IAM, cut off and completed by a digest."""
    name = f"{prefix}-tenant-{tenant}"
    if len(name) <= ROLE_NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: ROLE_NAME_LIMIT - len(digest) - 1]}-{digest}"
