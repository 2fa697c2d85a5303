"""IAM policy documents: comparison by meaning, and validation that the emulator lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from standins.aws.session import AwsError, Session, policy_text
from standins.provider import Values

NO_SUCH_ENTITY = ("NoSuchEntity", "NoSuchEntityException")
TRUST_LIMIT, INLINE_LIMIT, MANAGED_LIMIT = 2048, 10240, 6144
"""Characters, blanks not counted."""


def invalid_json(value: Any) -> str | None:
    """Why text can't be a policy; None if it can, or is not known yet."""
    if not isinstance(value, str):
        return None
    try:
        parsed = json.loads(value)
    except ValueError as error:
        return f"contains an invalid JSON policy: {error}"
    return None if isinstance(parsed, dict) else "contains an invalid JSON policy: not a JSON object"


def same_document(old: Any, new: Any) -> bool:
    """Whether two policy documents mean the same."""
    return isinstance(old, str) and isinstance(new, str) and policy_text(old) == policy_text(new)


def kept_text(actual: Any, known: Any) -> str:
    """The program's text of a document if it still means the same as AWS' document, else AWS' text."""
    text = actual if isinstance(actual, str) else json.dumps(actual)
    return known if isinstance(known, str) and same_document(known, text) else text


def check_size(operation: str, text: str, limit: int, quota: str) -> None:
    """Raises AwsError for a document that is too long."""
    if len(re.sub(r"\s", "", text)) > limit:
        raise AwsError(operation, "LimitExceeded", f"Cannot exceed quota for {quota}: {limit}")


def check_principals(aws: Session, operation: str, policy: str, code: str = "MalformedPolicyDocument") -> None:
    """Raises AwsError if a policy lets in a role or user of this account that does not exist."""
    for principal in _principals(json.loads(policy)):
        found = re.fullmatch(rf"arn:[^:]+:iam::{aws.account}:(role|user)/(?:.*/)?([^/]+)", principal)
        if found:
            kind, name = found.groups()
            method, parameters = (f"get_{kind}", {f"{kind.title()}Name": name})
            if aws.find("iam", method, NO_SUCH_ENTITY, **parameters) is None:
                reason = f'Invalid principal in policy: "AWS":"{principal}"'
                raise AwsError(operation, code, reason)


def _principals(document: Values) -> Iterator[str]:
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        named = principal.get("AWS", []) if isinstance(principal, dict) else []
        yield from [named] if isinstance(named, str) else named
